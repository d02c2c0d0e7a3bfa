"""What an evaluation looks like: its figures over a table that sorts, and its confusion matrix as a grid of buttons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import events, ui

from digitlab.evaluation.confusion import (
    COUNT_LEGEND,
    MISTAKES,
    MORE,
    Matrix,
    Selection,
    count_cells,
    difference_cells,
    legend,
)
from digitlab.studio.widgets.card import Rows
from digitlab.studio.widgets.sortable_table import Cell, Column, Row, SortableTable
from digitlab.text import percent
from digitlab.values import Evaluation

#: The codelab's three columns, and what they leave open.
CLASS_COLUMNS = (
    Column("Class"),
    Column("Accuracy", is_number=True),
    Column("# Samples", is_number=True),
    Column("95 % interval", is_number=True),
    Column("Precision", is_number=True),
    Column("Recall", is_number=True),
    Column("F1", is_number=True),
)

# What is seen before there is anything to count: nothing jumps when there is.
_EMPTY = [[{"n": "", "part": "", "shade": "wrong-0", "says": "not counted yet"}] * 10] * 10


class ConfusionMatrix(ui.element, component="../static/matrix.js"):
    """Labels down, predictions across; arrow keys move in it, and a cell, a row or a column can be chosen.

    ``on_choose`` is told what was chosen; `MISTAKES` when it was let go again. ``label`` is for screen readers.
    """

    def __init__(
        self,
        names: Sequence[str],
        on_choose: Callable[[Selection], Any] | None = None,
        *,
        label: str = "Confusion matrix",
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.chosen = MISTAKES
        self._on_choose = on_choose
        self._props.update(
            {"names": list(self.names), "name": label, "cells": _EMPTY, "sums": [], "legend": [], "chosen": {}}
        )
        self.on("choose", self._choose)

    def set_names(self, names: Sequence[str]) -> None:
        """Call the classes otherwise, from the next drawing on."""
        self.names = tuple(names)
        self._props["names"] = list(names)

    def show_counts(self, matrix: Matrix) -> None:
        """Draw the confusion matrix of one model; rows are labels, columns predictions."""
        sums = [
            [Selection(label=k).sentence(matrix, self.names) for k in range(len(self.names))],
            [Selection(predicted=k).sentence(matrix, self.names) for k in range(len(self.names))],
        ]
        self._draw(count_cells(matrix, self.names), sums, COUNT_LEGEND)

    def show_difference(self, first: Matrix, second: Matrix, first_name: str, second_name: str) -> None:
        """Draw the second model's counts minus the first's: blue where the first has more, orange where the second."""
        sums = [[f"{what} {name}" for name in self.names] for what in ("label", "predicted")]
        titles = legend(less=(f"More often in {first_name}", MORE), more=(f"More often in {second_name}", MORE))
        self._draw(difference_cells(first, second, self.names, first_name, second_name), sums, titles)

    def choose(self, selection: Selection) -> None:
        """Mark what is chosen, without telling ``on_choose``."""
        self.chosen = selection
        self._props["chosen"] = {"label": selection.label, "predicted": selection.predicted}
        self.update()

    def _draw(self, cells: list[list[dict[str, str]]], sums: list[list[str]], titles: list[dict[str, Any]]) -> None:
        self._props["cells"], self._props["sums"], self._props["legend"] = cells, sums, titles
        self.update()

    def _choose(self, event: events.GenericEventArguments) -> Any:
        selection = Selection.from_page(event.args, len(self.names))
        if selection is None:
            return None
        self.choose(MISTAKES if selection == self.chosen else selection)
        # Returned, so that NiceGUI awaits it where it is a coroutine.
        return self._on_choose(self.chosen) if self._on_choose else None


class AccuracyView:
    """Built into the current container; ``on_choose`` is told of the class that was chosen in the table."""

    def __init__(self, on_choose: Callable[[Selection], Any]) -> None:
        self._which = ui.label().classes("muted num")
        with ui.element("div").classes("key-figures"):
            self._accuracy, self._interval = _figure("", "first")
            self._loss, _ = _figure("loss, in nats", "second")
            self._mistakes, self._mistakes_of = _figure("mistakes", "second")
        self._table = SortableTable(
            "Accuracy of each class", CLASS_COLUMNS, on_action=lambda row, _: on_choose(Selection(label=int(row)))
        )
        self._table.classes("of-classes")

    def draw(self, evaluation: Evaluation, chosen: Selection, n_all: int, accuracy_on_all: float | None = None) -> None:
        """Show an evaluation, and of which of ``n_all`` test images; the row of a chosen class is marked."""
        self._which.set_text(images_sentence(evaluation.n_images, n_all, accuracy_on_all))
        low, high = evaluation.interval
        self._accuracy.set_text(percent(evaluation.accuracy))
        self._interval.set_text(f"accuracy, 95 % interval {percent(low)} to {percent(high)}")
        self._loss.set_text(f"{evaluation.loss:.4f}")
        self._mistakes.set_text(f"{evaluation.n_images - evaluation.n_correct:,}")
        self._mistakes_of.set_text(f"mistakes in {evaluation.n_images:,} images")
        self._table.show(class_rows(evaluation, chosen))


def images_sentence(n_images: int, n_all: int, accuracy_on_all: float | None = None) -> str:
    """Say on which images figures are, and what the accuracy on all of them is, where other parts of the page say so.

    Examples
    --------
    >>> images_sentence(500, 10_000, 0.9083)
    'On 500 of the 10,000 test images. On all of them the accuracy is 90.83 %.'
    """
    if n_images == n_all:
        return f"On all {n_all:,} test images."
    on_all = "" if accuracy_on_all is None else f" On all of them the accuracy is {percent(accuracy_on_all)}."
    return f"On {n_images:,} of the {n_all:,} test images.{on_all}"


def class_rows(evaluation: Evaluation, chosen: Selection) -> Sequence[Row]:
    """Return the rows of the table; the name of each class is a button."""
    return [
        Row(
            key=str(report.label),
            cells=(
                Cell(
                    report.name,
                    order=report.label,
                    kind="button",
                    action="choose",
                    says=f"{report.name}: show its images",
                ),
                Cell(percent(report.accuracy, 1), order=report.accuracy),
                Cell(f"{report.n_images:,}", order=report.n_images),
                Cell(_interval(*report.interval), order=report.interval[0]),
                Cell(percent(report.precision, 1), order=report.precision),
                Cell(percent(report.recall, 1), order=report.recall),
                Cell(f"{report.f1:.3f}", order=report.f1),
            ),
            is_marked=chosen == Selection(label=report.label),
        )
        for report in evaluation.per_class
    ]


def class_table(evaluation: Evaluation) -> Rows:
    """Return the table as it is saved: with plain numbers."""
    columns = ("class", "accuracy", "n_images", "interval_low", "interval_high", "precision", "recall", "f1")
    return columns, [
        (r.name, r.accuracy, r.n_images, *r.interval, r.precision, r.recall, r.f1) for r in evaluation.per_class
    ]


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def _figure(unit: str, rank: str) -> tuple[ui.label, ui.label]:
    with ui.element("div").classes("key-figure"):
        return ui.label().classes(f"value {rank}"), ui.label(unit).classes("unit")
