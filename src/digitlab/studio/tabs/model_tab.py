"""The tab Model: choose a network, change its layers, see its shapes, parameters and cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from html import escape
from typing import Any

from nicegui import events, ui

from digitlab.data.storage import parse_json
from digitlab.errors import NetworkError
from digitlab.explanation.facts import plural, times
from digitlab.exporting.export import file_stem
from digitlab.network.architecture import Architecture
from digitlab.network.layers import LAYERS
from digitlab.network.zoo import ZOO
from digitlab.network.zoo import architecture as of_zoo
from digitlab.studio.page import Page
from digitlab.studio.tabs.layer_editor import (
    INPUT_SHAPE,
    SETTINGS,
    CheckedLayer,
    CheckedNetwork,
    LayerDraft,
    LayerEditor,
    Setting,
)
from digitlab.studio.tabs.network_cards import ComparisonCard, CostCard
from digitlab.studio.trainer import network_document
from digitlab.studio.widgets.card import ExplanationDialog, Exports, Rows, card
from digitlab.studio.widgets.controls import mark

#: A network of 64 layers takes some 20 kB.
MOST_BYTES = 300_000
_TOO_LARGE = f"This file is too large to be a network's layers; the limit is {MOST_BYTES // 1_000} kB."

# Which text explains a kind of layer: of others the nearest.
_TOPICS = {"Conv2D": "convolution", "ZeroPadding2D": "padding", "Flatten": "flatten", "Dropout": "dropout",
           "Dense": "dense", "Activation": "activation", "LeakyReLU": "activation", "ELU": "activation",
           "AveragePooling2D": "average_pooling", "GlobalAveragePooling2D": "average_pooling"}  # fmt: skip
_OF_POOLING = "max_pooling"

# What is no JSON is not sent whole: a message has an end, and its beginning is enough to say so.
_READ_FILE = f"""async (event) => {{
    const [file] = event.target.files;
    if (!file) return;
    let text = file.size > {MOST_BYTES} ? null : await file.text();
    event.target.value = "";
    try {{ if (text !== null) text = JSON.stringify(JSON.parse(text)); }} catch {{ text = text.slice(0, 100); }}
    emit(text);
}}"""


def read_network_document(content: bytes) -> Architecture:
    """Read a network from what somebody chose or dropped.

    >>> read_network_document(b"<html>")
    Traceback (most recent call last):
    ...
    digitlab.errors.NetworkError: This file is not JSON. Choose one that was downloaded here, or that to_dict() gives.
    """
    if len(content) > MOST_BYTES:
        raise NetworkError(_TOO_LARGE)
    try:
        values = parse_json(content)
    except ValueError:
        raise NetworkError(
            "This file is not JSON. Choose one that was downloaded here, or that to_dict() gives."
        ) from None
    network = Architecture.from_dict(values)
    if network.input_shape != INPUT_SHAPE:
        raise NetworkError(
            f"This network takes inputs of shape {network.input_shape}; the digits here are {INPUT_SHAPE}. "
            f'Set "input_shape" to {list(INPUT_SHAPE)}.'
        )
    return network


class ModelTab:
    """The editor, its rows, and what they say of the network."""

    def __init__(self, page: Page) -> None:
        self.page = page
        #: What the page was told last, or told here.
        self.told = page.network
        self.editor = LayerEditor(self.told, len(page.data.class_names))
        self.rows: dict[int, LayerRow] = {}
        self.explanation = page.own(ExplanationDialog)
        exports = Exports(name="model-architecture", csv=self.table_rows, json=self.table_document)
        with ui.element("div").classes("model-columns"):
            with card("Model Architecture", help="network", exports=exports, classes="model-card"):
                self.build_toolbar()
                self.status = ui.label().classes("model-status num").props('role="status"')
                self.list = ui.element("ol").classes("layers").props('aria-label="Layers, from input to output"')
                with ui.element("div").classes("toolbar adding").props('role="group" aria-label="Add a layer"'):
                    ui.label("Add").classes("muted")
                    for kind in LAYERS:
                        button = ui.button(kind, icon="add", on_click=lambda kind=kind: self.add(kind))
                        button.props(f'outline dense aria-label="Add {kind}"')
            # What follows from the layers, beside them.
            with ui.element("div").classes("model-side"):
                with card("Summary", help="network"), ui.element("div").classes("table-scroll"):
                    self.table = ui.html("", sanitize=False)
                self.cost = CostCard()
        self.comparison = ComparisonCard(page, self.choose)
        self.draw_rows()
        self.show(self.editor.check())
        page.on(self.follow, "settings")
        page.on(self.mend, "problem")
        page.on(self.refresh_runs, "tab", "state")

    def build_toolbar(self) -> None:
        with ui.element("div").classes("toolbar"):
            self.select = ui.select([*ZOO], label="Network", on_change=lambda event: self.choose(event.value))
            self.select.classes("field-network")
            self.undo_button = ui.button("Undo", icon="undo", on_click=self.undo).props("outline")
            self.save_button = ui.button("Save as JSON", icon="download", on_click=self.save).props("outline")
            # Not ui.upload: its route takes files without end, and keeps the page for as long as the process lives.
            file = ui.element("input").classes("file-upload").props('type="file" accept=".json,application/json" inert')
            file.on("change", self.read, js_handler=_READ_FILE)
            pick = f"() => getHtmlElement({file.id}).click()"
            ui.button("Open JSON", icon="upload_file").props("outline").on("click", js_handler=pick)

    # ---- what people do ----

    def choose(self, name: str) -> None:
        if name in ZOO and self.editor.check().architecture != of_zoo(name):
            self.editor.load(of_zoo(name))
            self.changed()

    def change(self, key: int, setting: str, value: Any) -> None:
        self.editor.change(key, setting, value)
        self.changed()

    def add(self, kind: str) -> None:
        key = self.editor.add(kind)
        self.changed()
        self.rows[key].focus_field()

    def remove(self, key: int) -> None:
        keys = list(self.rows)
        at = keys.index(key)
        self.editor.remove(key)
        self.changed()
        if neighbours := [*keys[at + 1 :], *reversed(keys[:at])]:
            _focus(self.rows[neighbours[0]].remove_button)

    def move(self, key: int, by: int) -> None:
        self.editor.move(key, by)
        self.changed()
        self.rows[key].focus_move(by)

    def undo(self) -> None:
        self.editor.undo()
        self.changed()

    def save(self) -> None:
        network = self.editor.check().architecture
        if network is not None:
            name = f"{file_stem(network.name)}.json"
            ui.download.content(network_document(network).encode(), name, "application/json")

    def read(self, event: events.GenericEventArguments) -> None:
        with self.page.telling_errors():
            if not isinstance(event.args, str):
                raise NetworkError(_TOO_LARGE)
            network = read_network_document(event.args.encode("utf-8", "replace"))
            self.editor.load(network)
            self.changed()
            self.page.notify(f"{network.name} is open, with {len(network.layers)} layers.", "success")

    # ---- what the page says elsewhere ----

    def follow(self) -> None:
        """Take over the network that was chosen elsewhere on the page."""
        network = self.page.network
        if network != self.told:
            self.told = network
            self.editor.load(network)
            self.draw_rows()
            self.show(self.editor.check())

    def mend(self) -> None:
        """Take the page's network again, where that was chosen elsewhere instead of one that cannot be trained."""
        if not self.page.problem and self.editor.check().architecture is None:
            self.editor.load(self.page.network)
            self.draw_rows()
            self.show(self.editor.check())

    async def refresh_runs(self) -> None:
        if self.page.tab == "Model" and self.page.trainer.state != "training":
            await self.comparison.refresh()

    # ---- drawing ----

    def draw_rows(self) -> None:
        """Make, move and remove rows until they are those of the editor; rows that stay keep what is typed."""
        drafts = self.editor.drafts
        for key in self.rows.keys() - {draft.key for draft in drafts}:
            self.rows.pop(key).element.delete()
        for position, draft in enumerate(drafts):
            if draft.key not in self.rows:
                with self.list:
                    self.rows[draft.key] = LayerRow(self, draft)
            self.rows[draft.key].take(draft)
            element = self.rows[draft.key].element
            if self.list.default_slot.children[position] is not element:
                element.move(self.list, position)
        self.rows = {draft.key: self.rows[draft.key] for draft in drafts}

    def changed(self) -> None:
        """Show what the layers give now, and let the next training take it, if it can be trained."""
        self.draw_rows()
        checked = self.editor.check()
        network = checked.architecture
        if network is not None:
            self.told = network
            if network.name in ZOO and network == of_zoo(network.name):
                self.page.set_settings(dataclasses.replace(self.page.config, network=network.name))
            else:
                self.page.set_settings(architecture=network)
        self.show(checked)

    def show(self, checked: CheckedNetwork) -> None:
        for position, layer in enumerate(checked.layers, start=1):
            self.rows[layer.draft.key].show(layer, position, len(checked.layers), checked.wrong_at)
        self.table.set_content(architecture_table(checked))
        self.undo_button.set_enabled(self.editor.can_undo)
        network = checked.architecture
        self.save_button.set_enabled(network is not None)
        if network is not None:
            n = plural(network.n_parameters, "parameter")
            self.status.set_text(f"{n}. The next training takes {network.name} as it is here.")
            self.cost.show(network)
        else:
            where = (
                f"Layer {checked.wrong_at} cannot work as it is; it says why." if checked.wrong_at else checked.error
            )
            self.status.set_text(f"{where} Until then, nothing can be trained.")
        mark(self.status, "error", network is None)
        self.page.set_problem(checked.problem)
        options = [*ZOO] if checked.name in ZOO else [*ZOO, checked.name]
        if self.select.options != options or self.select.value != checked.name:
            self.select.set_options(options, value=checked.name)

    # ---- what is given away ----

    def table_rows(self) -> Rows:
        columns = ("Layer Name", "Output Shape", "# Of Params", "Trainable")
        rows = self.page.network.summary()
        return columns, [(r.name, times(r.output_shape), r.n_parameters, "yes" if r.trainable else "no") for r in rows]

    def table_document(self) -> dict[str, Any]:
        network = self.page.network
        rows = [row.to_dict() for row in network.summary()]
        return network.to_dict() | {"n_parameters": network.n_parameters, "summary": rows}


def architecture_table(checked: CheckedNetwork) -> str:
    """Return the table as HTML, with a dash for what a wrong layer leaves open; everything in it is escaped."""
    rows = []
    for layer in checked.layers:
        shape = "–" if layer.output_shape is None else times(layer.output_shape)
        n = "–" if layer.cost is None else f"{layer.cost.n_parameters:,}"
        wrong = ' class="is-wrong"' if layer.error else ""
        name = f'<th scope="row">{escape(layer.name)}</th>'
        rows.append(f'<tr{wrong}>{name}<td>{shape}</td><td class="num">{n}</td><td>yes</td></tr>')
    total = "–" if checked.architecture is None else f"{checked.architecture.n_parameters:,}"
    return (
        '<table class="table summary-table"><caption class="sr-only">Model Architecture</caption><thead><tr>'
        '<th scope="col">Layer Name</th><th scope="col">Output Shape</th><th scope="col" class="num"># Of Params</th>'
        f'<th scope="col">Trainable</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        f'<tfoot><tr><th scope="row">Total</th><td></td><td class="num">{total}</td><td></td></tr></tfoot></table>'
    )


class LayerRow:
    """One layer in the editor: its fields, what it makes of its input, and what is wrong with it.

    A list item that stays while its layer does, so that nobody loses the field in which they type.
    """

    def __init__(self, model: ModelTab, draft: LayerDraft) -> None:
        self._model, self.key, self.kind = model, draft.key, draft.kind
        self._fields: dict[str, Any] = {}
        self._marked = (False, "")
        with ui.element("li").classes("layer").props("tabindex=-1") as self.element:
            with ui.element("div").classes("layer-head"):
                self._number = ui.label().classes("layer-number num").props('aria-hidden="true"')
                ui.label(self.kind).classes("layer-kind")
                self._name = ui.label().classes("layer-name muted")
                help = ui.button("?", on_click=lambda: model.explanation.open(_TOPICS.get(self.kind, _OF_POOLING)))
                help.props(f'flat round dense aria-label="Explain {self.kind}"').classes("icon-button")
            with ui.element("div").classes("layer-buttons"):
                self._up = _icon("arrow_upward", lambda: model.move(self.key, -1))
                self._down = _icon("arrow_downward", lambda: model.move(self.key, 1))
                self.remove_button = _icon("close", lambda: model.remove(self.key))
            rare = [setting for setting in SETTINGS[self.kind] if setting.rare]
            with ui.element("div").classes("layer-fields"):
                for setting in SETTINGS[self.kind]:
                    if not setting.rare:
                        self._build_field(setting, draft)
            with ui.element("div").classes("layer-foot"):
                self._result = ui.label().classes("layer-result num")
                if rare:
                    with ui.element("details").classes("layer-more"):
                        with ui.element("summary"):
                            ui.label("Bias and initial weights")
                        with ui.element("div").classes("layer-fields"):
                            for setting in rare:
                                self._build_field(setting, draft)

    def _build_field(self, setting: Setting, draft: LayerDraft) -> None:
        def changed(event: Any) -> None:
            self._model.change(self.key, setting.name, event.value)

        title, value = setting.title, draft.settings.get(setting.name)
        field: Any
        if setting.form == "choice":
            field = ui.select(list(setting.choices), value=value, label=title, on_change=changed)
        elif setting.form == "flag":
            field = ui.checkbox(title, value=bool(value), on_change=changed)
        elif setting.form == "size":
            field = ui.input(title, value=value, on_change=changed).props('inputmode="numeric" autocomplete="off"')
            if setting.may_be_empty:
                field.props('placeholder="as the window"')
        else:
            field = ui.number(title, value=value, step=1 if setting.form == "whole" else 0.05, on_change=changed)
        kind = setting.form if setting.form in ("choice", "flag", "size") else "number"
        self._fields[setting.name] = field.classes(f"field-{kind}")

    def show(self, checked: CheckedLayer, position: int, n_layers: int, wrong_at: int) -> None:
        """Show what became of the layer, at a position from 1; ``wrong_at`` is the first layer that is wrong, or 0."""
        self._number.set_text(str(position))
        self._name.set_text(checked.name)
        self.element.props(f'aria-label="Layer {position}, {checked.name}"')
        self._up.set_enabled(position > 1)
        self._down.set_enabled(position < n_layers)
        for button, what in ((self._up, "Move up"), (self._down, "Move down"), (self.remove_button, "Remove")):
            button.props(f'aria-label="{what}: layer {position}, {checked.name}"')
        self._result.set_text(_result_text(checked, wrong_at))
        wrong = (bool(checked.error), checked.wrong_setting)
        if wrong != self._marked:
            self._marked = wrong
            # A class and not Quasar's error, which NiceGUI takes away again when it validates what is typed.
            mark(self.element, "is-wrong", wrong[0])
            for name, field in self._fields.items():
                mark(field, "is-wrong", name == wrong[1])
                field.props(add='aria-invalid="true"') if name == wrong[1] else field.props(remove="aria-invalid")

    def take(self, draft: LayerDraft) -> None:
        """Fill the fields with what a draft holds, after an undo."""
        for name, field in self._fields.items():
            if field.value != draft.settings.get(name):
                field.set_value(draft.settings.get(name))

    def focus_field(self) -> None:
        """Put the keyboard's focus into the first field, or on the button that removes the layer."""
        _focus(next(iter(self._fields.values()), self.remove_button))

    def focus_move(self, by: int) -> None:
        """Put the focus back on the button that moved the layer, or on the row where it can go no further."""
        button = self._up if by < 0 else self._down
        _focus(button if button.enabled else self.element)


def _icon(icon: str, action: Callable[[], None]) -> ui.button:
    return ui.button(icon=icon, on_click=action).props("flat round dense").classes("icon-button")


def _result_text(checked: CheckedLayer, wrong_at: int) -> str:
    if checked.error:
        return checked.error
    if checked.output_shape is None or checked.cost is None:
        return f"waits for layer {wrong_at}"
    parts = [times(checked.output_shape)]
    if checked.cost.n_parameters:
        parts.append(plural(checked.cost.n_parameters, "parameter"))
    if checked.cost.multiply_adds:
        parts.append(plural(checked.cost.multiply_adds, "multiply-add"))
    return "→ " + " · ".join(parts)


def _focus(element: ui.element) -> None:
    # After the browser has moved or made the element, which it does when it has drawn what was sent before.
    element.client.run_javascript(
        f"requestAnimationFrame(() => {{ const e = document.getElementById('{element.html_id}');"
        " (e?.matches('input, button, li') ? e : e?.querySelector('input, button'))?.focus(); })"
    )
