"""The tab Model: choose a network, change its layers, see its shapes, parameters and cost."""

from __future__ import annotations

import dataclasses
import json
from html import escape
from typing import Any

from nicegui import events, ui

from digitlab.data.storage import parse_json
from digitlab.errors import DigitlabError, NetworkError
from digitlab.explanation.facts import plural, times
from digitlab.network.architecture import Architecture
from digitlab.network.layers import LAYERS
from digitlab.network.zoo import ZOO
from digitlab.network.zoo import architecture as of_zoo
from digitlab.studio.page import Page
from digitlab.studio.tabs.model.cost_cards import ComparisonCard, CostCard
from digitlab.studio.tabs.model.layer_editor import CheckedNetwork, LayerEditor
from digitlab.studio.tabs.model.layer_row import LayerActions, LayerRow
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.explanation_dialog import ExplanationDialog

#: A network of 64 layers takes some 20 kB.
MOST_BYTES = 300_000
_INPUT_SHAPE = (28, 28, 1)


def network_document(architecture: Architecture) -> str:
    """Return the JSON document of a network; ``digitlab train --network FILE.json`` reads it too."""
    return json.dumps(architecture.to_dict(), indent=2) + "\n"


def read_network_document(content: bytes) -> Architecture:
    """Read a network from what somebody chose or dropped.

    Examples
    --------
    >>> read_network_document(b"<html>")
    Traceback (most recent call last):
    ...
    digitlab.errors.NetworkError: This file is not JSON. Choose one that was downloaded here, or that to_dict() gives.
    """
    if len(content) > MOST_BYTES:
        raise too_large()
    try:
        values = parse_json(content)
    except ValueError:
        raise NetworkError(
            "This file is not JSON. Choose one that was downloaded here, or that to_dict() gives."
        ) from None
    network = Architecture.from_dict(values)
    if network.input_shape != _INPUT_SHAPE:
        raise NetworkError(
            f"This network takes inputs of shape {network.input_shape}; the digits here are {_INPUT_SHAPE}. "
            f'Set "input_shape" to {list(_INPUT_SHAPE)}.'
        )
    return network


def too_large() -> NetworkError:
    """Return what is said of a file that is too large."""
    return NetworkError(f"This file is too large to be a network's layers; the limit is {MOST_BYTES // 1_000} kB.")


def architecture_table(checked: CheckedNetwork) -> str:
    """Return the table as HTML, with a dash for what a wrong layer leaves open; everything in it is escaped."""
    rows = []
    for layer in checked.layers:
        shape = "–" if layer.output_shape is None else times(layer.output_shape)
        n = "–" if layer.cost is None else f"{layer.cost.n_parameters:,}"
        wrong = ' class="is-wrong"' if layer.error else ""
        rows.append(
            f'<tr{wrong}><th scope="row">{escape(layer.name)}</th><td>{shape}</td><td class="num">{n}</td>'
            "<td>yes</td></tr>"
        )
    total = "–" if checked.architecture is None else f"{checked.architecture.n_parameters:,}"
    return (
        '<table class="table summary-table"><caption class="sr-only">Model Architecture</caption><thead><tr>'
        '<th scope="col">Layer Name</th><th scope="col">Output Shape</th><th scope="col" class="num"># Of Params</th>'
        f'<th scope="col">Trainable</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        f'<tfoot><tr><th scope="row">Total</th><td></td><td class="num">{total}</td><td></td></tr></tfoot></table>'
    )


# What is no JSON is not sent whole: a message has an end, and its beginning is enough to say so.
_READ_FILE = f"""async (event) => {{
    const [file] = event.target.files;
    if (!file) return;
    let text = file.size > {MOST_BYTES} ? null : await file.text();
    event.target.value = "";
    try {{ if (text !== null) text = JSON.stringify(JSON.parse(text)); }} catch {{ text = text.slice(0, 100); }}
    emit(text);
}}"""


def build(page: Page) -> None:
    """Build the tab into the current container."""
    _Model(page)


class _Model:
    """The editor, its rows, and what they say of the network."""

    def __init__(self, page: Page) -> None:
        self.page = page
        #: What the page was told last, or told here.
        self.told = page.network
        self.editor = LayerEditor(self.told)
        self.rows: dict[int, LayerRow] = {}
        self.explanation = ExplanationDialog(page)
        self.actions = LayerActions(self.change, self.move, self.remove, self.explanation.open)
        exports = Exports(name="model-architecture", csv=self.table_rows, json=self.table_document)
        with card("Model Architecture", help="network", exports=exports, classes="model-card"):
            self.build_toolbar()
            self.status = ui.label().classes("model-status num").props('role="status"')
            with ui.element("div").classes("model-columns"):
                with ui.element("div").classes("model-editor"):
                    self.list = ui.element("ol").classes("layers").props('aria-label="Layers, from input to output"')
                    self.build_adding()
                with ui.element("div").classes("table-scroll"):
                    self.table = ui.html("", sanitize=False)
        with ui.element("div").classes("grid-2"):
            self.cost = CostCard()
            self.comparison = ComparisonCard(page, self.choose)
        self.draw_rows()
        self.show(self.editor.check())
        page.on_settings(self.follow)
        page.on_tab(self.refresh_runs)
        page.on_state(self.refresh_runs)

    # ---- building ----

    def build_toolbar(self) -> None:
        with ui.element("div").classes("toolbar"):
            self.select = ui.select([*ZOO], label="Network", on_change=lambda event: self.choose(event.value)).classes(
                "field-network"
            )
            self.undo_button = ui.button("Undo", icon="undo", on_click=self.undo).props("outline")
            self.save_button = ui.button("Save as JSON", icon="download", on_click=self.save).props("outline")
            # Not ui.upload: its route takes files without end, and keeps the page for as long as the process lives.
            file = ui.element("input").classes("file-upload").props('type="file" accept=".json,application/json" inert')
            file.on("change", self.read, js_handler=_READ_FILE)
            pick = f"() => getHtmlElement({file.id}).click()"
            ui.button("Open JSON", icon="upload_file").props("outline").on("click", js_handler=pick)

    def build_adding(self) -> None:
        with ui.element("div").classes("toolbar adding").props('role="group" aria-label="Add a layer"'):
            ui.label("Add").classes("muted")
            for kind in LAYERS:
                ui.button(kind, icon="add", on_click=lambda kind=kind: self.add(kind)).props(
                    f'outline dense aria-label="Add {kind}"'
                )

    # ---- what people do ----

    def choose(self, name: str) -> None:
        if name in ZOO and self.editor.check().architecture != of_zoo(name):
            self.load(of_zoo(name))

    def load(self, network: Architecture) -> None:
        self.editor.load(network)
        self.draw_rows()
        self.changed()

    def change(self, key: int, setting: str, value: Any) -> None:
        self.editor.change(key, setting, value)
        self.changed()

    def add(self, kind: str) -> None:
        key = self.editor.add(kind)
        self.draw_rows()
        self.changed()
        self.rows[key].focus_field()

    def remove(self, key: int) -> None:
        keys = list(self.rows)
        at = keys.index(key)
        self.editor.remove(key)
        self.draw_rows()
        self.changed()
        neighbours = [*keys[at + 1 :], *reversed(keys[:at])]
        if neighbours:
            self.rows[neighbours[0]].focus_remove()

    def move(self, key: int, by: int) -> None:
        self.editor.move(key, by)
        self.draw_rows()
        self.changed()
        self.rows[key].focus_move(by)

    def undo(self) -> None:
        self.editor.undo()
        self.draw_rows()
        self.changed()

    def save(self) -> None:
        network = self.editor.check().architecture
        if network is not None:
            ui.download.content(
                network_document(network).encode(), f"{_file_stem(network.name)}.json", "application/json"
            )

    def read(self, event: events.GenericEventArguments) -> None:
        try:
            if not isinstance(event.args, str):
                raise too_large()
            network = read_network_document(event.args.encode("utf-8", "replace"))
        except DigitlabError as error:
            self.page.notify(str(error), "error")
            return
        self.load(network)
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

    async def refresh_runs(self, _: str) -> None:
        if self.page.tab == "Model" and self.page.trainer.state != "training":
            await self.comparison.refresh()

    # ---- drawing ----

    def draw_rows(self) -> None:
        """Make, move and remove rows until they are those of the editor; rows that stay keep what is typed."""
        drafts = self.editor.drafts
        wanted = {draft.key for draft in drafts}
        for key in [key for key in self.rows if key not in wanted]:
            self.rows.pop(key).element.delete()
        for draft in drafts:
            if draft.key not in self.rows:
                with self.list:
                    self.rows[draft.key] = LayerRow(draft, self.actions)
            self.rows[draft.key].take(draft)
        for position, draft in enumerate(drafts):
            element = self.rows[draft.key].element
            if self.list.default_slot.children[position] is not element:
                element.move(self.list, position)
        self.rows = {draft.key: self.rows[draft.key] for draft in drafts}

    def changed(self) -> None:
        """Show what the layers give now, and let the next training take it, if it can be trained."""
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
        n_layers = len(checked.layers)
        for position, layer in enumerate(checked.layers, start=1):
            self.rows[layer.draft.key].show(layer, position, n_layers, checked.wrong_at)
        self.table.set_content(architecture_table(checked))
        self.undo_button.set_enabled(self.editor.can_undo)
        network = checked.architecture
        self.save_button.set_enabled(network is not None)
        self.status.set_text(self._status(checked))
        self.status.classes(add="" if network else "error", remove="error" if network else "")
        if network is not None:
            self.cost.show(network)
        self._show_name(checked.name)

    def _status(self, checked: CheckedNetwork) -> str:
        network = checked.architecture
        if network is not None:
            return f"{plural(network.n_parameters, 'parameter')}. The next training takes {network.name} as it is here."
        where = f"Layer {checked.wrong_at} cannot work as it is; it says why." if checked.wrong_at else checked.error
        return f"{where} Until then, training takes {self.page.network.name}."

    def _show_name(self, name: str) -> None:
        options = [*ZOO] if name in ZOO else [*ZOO, name]
        if self.select.options != options or self.select.value != name:
            self.select.set_options(options, value=name)

    # ---- what is given away ----

    def table_rows(self) -> Rows:
        columns = ("Layer Name", "Output Shape", "# Of Params", "Trainable")
        rows = self.page.network.summary()
        return columns, [(r.name, times(r.output_shape), r.n_parameters, "yes" if r.trainable else "no") for r in rows]

    def table_document(self) -> dict[str, Any]:
        network = self.page.network
        return network.to_dict() | {
            "n_parameters": network.n_parameters,
            "summary": [row.to_dict() for row in network.summary()],
        }


def _file_stem(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)[:60].strip("-") or "network"
