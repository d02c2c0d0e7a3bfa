"""The tab Model: choose a network, change its layers, see its shapes, parameters and cost."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from nicegui import events, ui

from digitlab.data.storage import parse_json
from digitlab.errors import DigitlabError, NetworkError
from digitlab.evaluation.comparison import NetworkResult, fair_pair, results_of, unlike_settings
from digitlab.evaluation.markup import listed, percent
from digitlab.evaluation.svg import Bar
from digitlab.explanation.facts import plural, times
from digitlab.network.architecture import Architecture
from digitlab.network.cost import Cost, cost_of, size_text
from digitlab.network.layers import LAYERS
from digitlab.network.zoo import ZOO
from digitlab.network.zoo import architecture as of_zoo
from digitlab.studio.page import Page
from digitlab.studio.run_list import open_run, run_lines
from digitlab.studio.tabs.layer_editor import CheckedNetwork, LayerActions, LayerEditor, LayerRow
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.card import ExplanationDialog, Exports, Rows, card
from digitlab.studio.widgets.tables import bar_table

_PAIR = ("codelab_cnn", "dense_baseline")
# Runs are looked through from the newest on, and no further than this.
_MOST_RUNS = 200


class CostCard:
    """Parameters, memory and multiply-adds of one image, as sums and layer by layer."""

    def __init__(self) -> None:
        self._cost: Cost | None = None
        exports = Exports(name="cost-of-one-image", csv=self._rows, json=self._document)
        with card("Cost of One Image", help="cost", exports=exports):
            self._figures = ui.html("", sanitize=False)
            with ui.element("div").classes("table-scroll"):
                self._table = ui.html("", sanitize=False)

    def show(self, network: Architecture) -> None:
        """Show what one image costs in a network."""
        cost = self._cost = cost_of(network)
        figures = (
            ("Parameters", f"{cost.n_parameters:,}", f"{size_text(cost.weights_bytes)} of memory"),
            ("Multiply-adds", f"{cost.multiply_adds:,}", "for one answer; about 3 × as many to learn from it"),
            (
                "Values",
                f"{cost.n_values:,}",
                f"{size_text(cost.values_bytes)}: the image and what the layers make of it",
            ),
        )
        self._figures.set_content(
            '<dl class="figures">'
            + "".join(
                f'<div><dt>{a}</dt><dd class="num">{b}</dd><dd class="muted">{c}</dd></div>' for a, b, c in figures
            )
            + "</dl>"
        )
        most = [max(1, *(getattr(layer, name) for layer in cost.layers)) for name in ("n_parameters", "multiply_adds")]
        rows = [
            (
                layer.name,
                (
                    Bar(f"{layer.n_parameters:,}", layer.n_parameters / most[0]),
                    Bar(f"{layer.multiply_adds:,}", layer.multiply_adds / most[1]),
                ),
            )
            for layer in cost.layers
        ]
        self._table.set_content(
            bar_table("Cost of one image in each layer", ("Layer Name", "Parameters", "Multiply-adds"), rows)
        )

    def _rows(self) -> Rows:
        layers = () if self._cost is None else self._cost.layers
        columns = ("Layer Name", "Kind", "Parameters", "Multiply-adds", "Values")
        return columns, [(x.name, x.kind, x.n_parameters, x.multiply_adds, x.n_values) for x in layers]

    def _document(self) -> dict[str, Any]:
        return {} if self._cost is None else self._cost.to_dict()


class ComparisonCard:
    """The codelab's network and the dense one side by side, with the results of their runs where there are any."""

    def __init__(self, page: Page, choose: Callable[[str], None]) -> None:
        self._page = page
        self._networks = [of_zoo(name) for name in _PAIR]
        self._costs = [cost_of(network) for network in self._networks]
        self._results: tuple[NetworkResult | None, NetworkResult | None] = (None, None)
        exports = Exports(name="with-and-without-convolutions", csv=self._rows, json=self._document)
        with card("With and Without Convolutions", help="dense_baseline", exports=exports):
            # Before the figures that it is about.
            self._warning = ui.label().classes("unlike").props('role="status"')
            with ui.element("div").classes("table-scroll"):
                self._table = ui.html("", sanitize=False).classes("pair-table")
            self._sentence = ui.label().props('role="status"')
            with ui.element("div").classes("toolbar"):
                for name in _PAIR:
                    ui.button(f"Use {name}", on_click=lambda name=name: choose(name)).props("outline")
        self._draw(False)

    async def refresh(self) -> None:
        """Look for runs of the two, and show what they have reached."""
        found = await asyncio.to_thread(results_here, self._page.trainer, self._networks)
        if self._page.client.is_deleted:
            return
        a, b, is_fair = fair_pair(*found)
        self._results = (a, b)
        self._draw(is_fair)

    def _draw(self, is_fair: bool) -> None:
        columns, rows = self._rows()
        cells = [(name, [_shown(cell) for cell in both]) for name, *both in rows]
        self._table.set_content(bar_table("Two networks of about equal size", columns, cells))
        warning = "" if is_fair else self._unlike()
        self._warning.set_text(warning)
        self._warning.set_visibility(bool(warning))
        self._sentence.set_text(self._told(is_fair))

    def _unlike(self) -> str:
        a, b = self._results
        names = [] if a is None or b is None else unlike_settings(a, b)
        if not names:
            return ""
        return (
            f"These two runs were not trained alike: they differ in {listed(names)}. Their figures do not tell what "
            "convolutions are worth; train both with the same settings for a fair comparison."
        )

    def _told(self, is_fair: bool) -> str:
        convolutional, dense = self._costs
        ratio = convolutional.multiply_adds / dense.multiply_adds
        told = (
            f"About as many parameters, and {ratio:,.0f} times the arithmetic: a convolution uses its numbers at every "
            "place. "
        )
        missing = [name for name, result in zip(_PAIR, self._results, strict=True) if result is None]
        if missing:
            which = "both: choose one" if len(missing) == 2 else f"{missing[0]} too: choose it"
            return f"{told}To see what that is worth, train {which} here and press Start in the Training tab."
        errors = [None if r is None or r.val_accuracy is None else 1 - r.val_accuracy for r in self._results]
        if not is_fair or None in errors or not errors[0] or not errors[1]:
            return told
        times_more = errors[1] / errors[0]
        return f"{told}On the validation images the dense network made {times_more:.1f} times as many mistakes."

    def _rows(self) -> Rows:
        a, b = self._results
        pair = list(zip(self._networks, self._costs, strict=True))
        rows: list[tuple[Any, ...]] = [
            ("Layers", *(_chain(network) for network, _ in pair)),
            ("Parameters", *(cost.n_parameters for _, cost in pair)),
            ("Multiply-adds", *(cost.multiply_adds for _, cost in pair)),
            ("Validation accuracy", *(None if r is None or r.val_accuracy is None else r.val_accuracy for r in (a, b))),
            ("Test accuracy", *(None if r is None or r.test_accuracy is None else r.test_accuracy for r in (a, b))),
            ("Run", *("" if r is None else r.run for r in (a, b))),
        ]
        return ("", *_PAIR), rows

    def _document(self) -> list[dict[str, Any]]:
        return [
            {"network": cost.name, "n_parameters": cost.n_parameters, "multiply_adds": cost.multiply_adds}
            | ({} if r is None else {"run": r.run, "val_accuracy": r.val_accuracy, "test_accuracy": r.test_accuracy})
            for cost, r in zip(self._costs, self._results, strict=True)
        ]


def results_here(trainer: Trainer, networks: Sequence[Architecture]) -> list[list[NetworkResult]]:
    """Return the complete runs of each network in the trainer's folder, the newest first; it reads files."""
    lines = run_lines(trainer)[:_MOST_RUNS]
    return results_of(((open_run(trainer, x.name), x.info) for x in lines if x.info is not None), networks)


def _chain(network: Architecture) -> str:
    # Lines may break between shapes and not within one.
    return " → ".join(times(shape).replace(" ", "\u00a0") for shape in network.shapes)


def _shown(cell: Any) -> str:
    if isinstance(cell, float):
        return percent(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    return str(cell) if cell else "–"


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
