"""The curves of two runs over each other: the batch's loss, and what the validation images said after every epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from nicegui import ui

from digitlab.errors import InputError
from digitlab.evaluation.axes import thinned
from digitlab.evaluation.comparison import ComparedRun, Comparison
from digitlab.studio.card import Exports, Rows, card
from digitlab.studio.charts import Curve, LiveChart
from digitlab.studio.page import Page

__all__ = ["CURVES", "CurvesView", "curve_of", "curve_table"]

# More columns of points than a chart has pixels would not be seen.
_COLUMNS = 1200

#: Of every chart: its card's title, what it draws, its x axis, and the end of its y axis.
CURVES = (
    ("loss", "onBatchEnd: loss", "Batch", None),
    ("val_loss", "onEpochEnd: val_loss", "Epoch", None),
    ("val_accuracy", "onEpochEnd: val_acc", "Epoch", 1.0),
)


class CurvesView:
    """Three charts, each with the curves A and B; built into the current container."""

    def __init__(self, page: Page) -> None:
        self._drawn: Comparison | None = None
        self._charts: dict[str, LiveChart] = {}
        with ui.element("div").classes("grid-3"):
            for name, title, x_name, y_max in CURVES:
                self._build(page, name, title, x_name, y_max)

    def _build(self, page: Page, name: str, title: str, x_name: str, y_max: float | None) -> None:
        async def png() -> bytes:
            return await self._charts[name].png()

        async def svg() -> str:
            return await self._charts[name].svg()

        def table() -> Rows:
            return curve_table(self._found(), name, x_name.lower())

        def records() -> list[dict[str, Any]]:
            columns, rows = table()
            return [dict(zip(columns, row, strict=True)) for row in rows]

        with card(title, help=x_name.lower(), exports=Exports(png=png, svg=svg, csv=table, json=records)):
            is_marked = x_name == "Epoch"
            curves = [Curve("A", "--series-1", marked=is_marked), Curve("B", "--series-2", marked=is_marked)]
            label = f"{name} of both runs over each {x_name.lower()}"
            chart = LiveChart(page, label, curves, x_name=x_name, y_max=y_max)
            self._charts[name] = chart.on_pick(lambda x: self._look_at(name, x))

    def show(self, comparison: Comparison) -> None:
        """Draw the curves of two runs."""
        self._drawn = comparison
        for name, chart in self._charts.items():
            a, b = (curve_of(run, name) for run in (comparison.a, comparison.b))
            chart.restart(max([1.0, *a[0][-1:], *b[0][-1:]]))
            chart.append({"A": _few(*a), "B": _few(*b)})

    def _look_at(self, name: str, x: int) -> None:
        """Show both values at one x."""
        if self._drawn is not None:
            curves = {"A": curve_of(self._drawn.a, name), "B": curve_of(self._drawn.b, name)}
            values = {letter: dict(zip(*curve, strict=True)).get(x) for letter, curve in curves.items()}
            self._charts[name].set_cursor(x, {letter: value for letter, value in values.items() if value is not None})

    def _found(self) -> Comparison:
        if self._drawn is None:
            raise InputError("There is nothing to save yet; choose two runs.")
        return self._drawn


def curve_of(run: ComparedRun, name: str) -> tuple[list[float], list[float]]:
    """Return the x and y values of a run's curve; epochs without validation have no point."""
    if name == "loss":
        return [float(r.step) for r in run.steps], [r.loss for r in run.steps]
    points = [(float(r.epoch), value) for r in run.epochs if (value := getattr(r, name)) is not None]
    return [x for x, _ in points], [y for _, y in points]


def curve_table(comparison: Comparison, name: str, x_name: str) -> Rows:
    """Return both curves as a table with every point; empty where only the other run has one."""
    curves = [dict(zip(*curve_of(run, name), strict=True)) for run in (comparison.a, comparison.b)]
    xs = sorted({x for curve in curves for x in curve})
    columns = (x_name, f"{name} of {comparison.a.name}", f"{name} of {comparison.b.name}")
    return columns, [(int(x), *(curve.get(x) for curve in curves)) for x in xs]


def _few(xs: list[float], ys: list[float]) -> tuple[list[float], list[float]]:
    if len(xs) <= _COLUMNS:
        return xs, ys
    positions = np.asarray(xs) / xs[-1] * _COLUMNS
    kept = thinned(positions, np.asarray(ys)).tolist()
    return [xs[i] for i in kept], [ys[i] for i in kept]
