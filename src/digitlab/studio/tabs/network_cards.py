"""Two cards of the tab Model: the cost of one image, and the codelab's network beside a dense one of equal size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nicegui import ui

from digitlab.evaluation.alike import NetworkResult, fair_pair, unlike_settings
from digitlab.explanation.facts import times
from digitlab.network.architecture import Architecture
from digitlab.network.cost import Cost, cost_of
from digitlab.network.zoo import architecture as of_zoo
from digitlab.studio.page import Page
from digitlab.studio.run_list import open_run, results_here
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.controls import say
from digitlab.studio.widgets.tables import bar_table
from digitlab.svg import Bar
from digitlab.text import listed, percent, size_text

_PAIR = ("codelab_cnn", "dense_baseline")


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
        values = f"{size_text(cost.values_bytes)}: the image and what the layers make of it"
        figures = (
            ("Parameters", f"{cost.n_parameters:,}", f"{size_text(cost.weights_bytes)} of memory"),
            ("Multiply-adds", f"{cost.multiply_adds:,}", "for one answer; about 3 × as many to learn from it"),
            ("Values", f"{cost.n_values:,}", values),
        )
        told = (f'<div><dt>{a}</dt><dd class="num">{b}</dd><dd class="muted">{c}</dd></div>' for a, b, c in figures)
        self._figures.set_content(f'<dl class="figures">{"".join(told)}</dl>')
        names = ("n_parameters", "multiply_adds")
        most = {name: max(1, *(getattr(layer, name) for layer in cost.layers)) for name in names}
        rows = [
            (layer.name, [Bar(f"{getattr(layer, name):,}", getattr(layer, name) / most[name]) for name in names])
            for layer in cost.layers
        ]
        headings = ("Layer Name", "Parameters", "Multiply-adds")
        self._table.set_content(bar_table("Cost of one image in each layer", headings, rows))

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
        self._is_fair = False
        exports = Exports(name="with-and-without-convolutions", csv=self._saved_rows, json=self._document)
        with card("With and Without Convolutions", help="dense_baseline", exports=exports):
            # Before the figures that it is about.
            self._warning = ui.label().classes("unlike").props('role="status"')
            with ui.element("div").classes("table-scroll"):
                self._table = ui.html("", sanitize=False).classes("pair-table")
            self._sentence = ui.label().props('role="status"')
            with ui.element("div").classes("toolbar"):
                for name in _PAIR:
                    ui.button(f"Use {name}", on_click=lambda name=name: choose(name)).props("outline")
                self._alike = ui.button(on_click=self._train_alike).props("outline")
        self._draw(False)

    async def refresh(self) -> None:
        """Look for runs of the two, and show what they have reached."""
        found = await asyncio.to_thread(results_here, self._page.trainer, self._networks)
        if self._page.is_open:
            a, b, is_fair = fair_pair(*found)
            self._results = (a, b)
            self._draw(is_fair)

    def _draw(self, is_fair: bool) -> None:
        self._is_fair = is_fair
        columns, rows = self._rows()
        cells = [(name, [_shown(cell) for cell in both]) for name, *both in rows]
        self._table.set_content(bar_table("Two networks of about equal size", columns, cells))
        say(self._warning, self._unlike())
        self._sentence.set_text(self._told(is_fair))
        made_from = None if is_fair else self._made_from()
        self._alike.set_visibility(made_from is not None)
        if made_from is not None:
            self._alike.set_text(f"Train {made_from[0]} as {made_from[1]} was")

    def _made_from(self) -> tuple[str, str] | None:
        """Return the network to train for a fair comparison, and the run whose settings and steering it takes."""
        convolutional, dense = self._results
        if convolutional is not None:
            return _PAIR[1], convolutional.run
        return None if dense is None else (_PAIR[0], dense.run)

    async def _train_alike(self) -> None:
        page, made_from = self._page, self._made_from()
        if made_from is None:
            return
        network, name = made_from
        trainer = page.trainer
        with page.telling_errors():
            run = open_run(trainer, name)
            await asyncio.to_thread(trainer.repeat, run, {"network": network}, owner=page.client_id)
            page.notify(f"{network} trains as {name} did, at the same batches.")
            page.set_tab("Training")

    def _unlike(self) -> str:
        a, b = self._results
        if self._is_fair or a is None or b is None:
            return ""
        return (
            f"These two runs were not trained alike: they differ in {listed(unlike_settings(a, b, _PAIR))}. Their "
            "figures do not tell what convolutions are worth."
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
        if not is_fair or not errors[0] or not errors[1]:
            return told
        return (
            f"{told}On the validation images the dense network made {errors[1] / errors[0]:.1f} times as many mistakes."
        )

    def _rows(self) -> Rows:
        results = self._results
        rows: list[tuple[Any, ...]] = [
            ("Layers", *(_chain(network) for network in self._networks)),
            ("Parameters", *(cost.n_parameters for cost in self._costs)),
            ("Multiply-adds", *(cost.multiply_adds for cost in self._costs)),
            ("Validation accuracy", *(None if r is None else r.val_accuracy for r in results)),
            ("Test accuracy", *(None if r is None else r.test_accuracy for r in results)),
            ("Run", *("" if r is None else r.run for r in results)),
        ]
        return ("", *_PAIR), rows

    def _saved_rows(self) -> Rows:
        (_, *names), rows = self._rows()
        return (self._unlike(), *names), rows  # before any figure, here too

    def _document(self) -> dict[str, Any]:
        networks = [
            {"network": cost.name, "n_parameters": cost.n_parameters, "multiply_adds": cost.multiply_adds}
            | ({} if r is None else {"run": r.run, "val_accuracy": r.val_accuracy, "test_accuracy": r.test_accuracy})
            for cost, r in zip(self._costs, self._results, strict=True)
        ]
        return {"unlike": self._unlike(), "networks": networks}


def _chain(network: Architecture) -> str:
    # Lines may break between shapes and not within one.
    return " → ".join(times(shape).replace(" ", "\u00a0") for shape in network.shapes)


def _shown(cell: Any) -> str:
    if isinstance(cell, float):
        return percent(cell)
    return f"{cell:,}" if isinstance(cell, int) else str(cell or "–")
