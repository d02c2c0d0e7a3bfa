"""Accuracy, loss and one row a class: figures over a table that sorts, from which a class can be chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from digitlab.evaluation.markup import percent
from digitlab.studio.selection import Selection
from digitlab.studio.widgets.card import Rows
from digitlab.studio.widgets.sortable_table import Cell, Column, Row, SortableTable
from digitlab.values import Evaluation

__all__ = ["CLASS_COLUMNS", "AccuracyView", "class_rows", "class_table", "images_sentence"]

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


class AccuracyView:
    """Built into the current container.

    Parameters
    ----------
    on_choose : callable
        Told of the class that was chosen in the table.
    """

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
