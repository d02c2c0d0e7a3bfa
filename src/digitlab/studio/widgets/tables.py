"""Tables: one that sorts, one with bars, the figures of an evaluation, and its confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

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
from digitlab.studio.widgets.controls import Scripted
from digitlab.svg import Bar
from digitlab.text import percent
from digitlab.values import Evaluation

# What is seen before there is anything to count: nothing jumps when there is.
_EMPTY = [[{"n": "", "part": "", "shade": "wrong-0", "says": "not counted yet"}] * 10] * 10


def bar_table(caption: str, headings: Sequence[str], rows: Sequence[tuple[str, Sequence[Bar | str]]]) -> str:
    """Return an HTML table: a name in each row, and a bar or a number's text in each further column.

    Everything in it is escaped here; the caption is for screen readers.
    """
    head = "".join(
        f'<th scope="col"{"" if column == 0 else " class=num"}>{escape(heading)}</th>'
        for column, heading in enumerate(headings)
    )
    body = "".join(f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_cell, cells))}</tr>' for name, cells in rows)
    return (
        f'<table class="table bar-table"><caption class="sr-only">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(cell: Bar | str) -> str:
    if isinstance(cell, str):
        return f'<td class="num">{escape(cell)}</td>'
    return (
        f'<td class="num bar-cell"><span class="bar-track" aria-hidden="true"><span class="bar" '
        f'style="width:{100 * min(max(cell.length, 0.0), 1.0):.2f}%"></span></span>'
        f'<span class="bar-text">{escape(cell.text)}</span></td>'
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and whether it holds numbers (on the right, greatest first at the first click).

    A hidden heading is for screen readers only; the cells below speak for themselves.
    """

    title: str
    is_number: bool = False
    can_sort: bool = True
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell.

    The column is sorted by ``order``, by the text where it is left out, and None is always last. Of the kinds,
    ``button`` and ``check`` report ``action`` when used, and ``link`` opens ``href`` in a new tab; ``line`` and
    ``lines`` are text that can be typed over, of at most so many characters (``most``), and report it with the
    ``action``. A screen reader ``says`` something else than the text. A check ``is_on`` or not, and ``is_off`` if it
    cannot be used. ``look`` is a class of the stylesheet, ``hint`` stands where there is no text yet, and ``span`` is
    how many columns it takes; the cells in the others follow nevertheless, and are not seen. A cell of ``parts`` holds
    other cells.
    """

    text: str
    order: float | str | None = ""
    kind: Literal["text", "button", "check", "link", "line", "lines"] = "text"
    action: str = ""
    href: str = ""
    says: str = ""
    is_on: bool = False
    is_off: bool = False
    look: str = ""
    span: int = 1
    hint: str = ""
    most: int = 0
    parts: tuple[Cell, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what the browser needs, without what has its default."""
        given = {"text": self.text, "order": self.text.casefold() if self.order == "" else self.order}
        told = given | {name: value for name, usual in _USUAL.items() if (value := getattr(self, name)) != usual}
        return told | ({"parts": [part.to_dict() for part in self.parts]} if self.parts else {})


_USUAL = {
    "kind": "text", "action": "", "href": "", "says": "", "is_on": False, "is_off": False, "look": "", "span": 1,
    "hint": "", "most": 0,
}  # fmt: skip
# Of what is typed so much is taken, as its length tells that it is too much.
_TYPED_AT_MOST = 2


@dataclass(frozen=True, slots=True)
class Row:
    """A row with a name of its own; its first cell that is no check names it for screen readers."""

    key: str
    cells: tuple[Cell, ...]
    is_marked: bool = False


class SortableTable(Scripted, component="../static/sortable_table.js"):
    """A table whose headings sort it, at a click or the Enter key, in the browser, without asking the server."""

    def __init__(
        self,
        name: str,
        columns: Sequence[Column],
        *,
        heading_column: int = 0,
        on_action: Callable[[str, str], Any] | None = None,
        on_edit: Callable[[str, str, str], Any] | None = None,
    ) -> None:
        super().__init__()
        self.rows: tuple[Row, ...] = ()
        heads = [{"title": c.title, "number": c.is_number, "sorts": c.can_sort, "hidden": c.is_hidden} for c in columns]
        self._props.update(
            {"name": name, "columns": heads, "rows": [], "by": None, "descending": False, "heading": heading_column}
        )

        def act(sent: dict[str, Any]) -> Any:
            key, action = str(sent.get("row")), str(sent.get("action"))
            # Only what the table offers: the browser may send anything.
            cells = (part for row in self.rows if row.key == key for cell in row.cells for part in (cell, *cell.parts))
            offered = next((cell for cell in cells if action and cell.action == action), None)
            if offered is None:
                return None
            if offered.kind in ("line", "lines"):
                text = sent.get("text")
                if on_edit is None or not isinstance(text, str):
                    return None
                return on_edit(key, action, text[: _TYPED_AT_MOST * offered.most])
            return on_action(key, action) if on_action is not None else None

        self.on_values("act", act)

    def show(self, rows: Sequence[Row]) -> None:
        """Replace all rows; the order that somebody chose stays."""
        self.rows = tuple(rows)
        told = [{"key": r.key, "marked": r.is_marked, "cells": [cell.to_dict() for cell in r.cells]} for r in rows]
        self.give(rows=told)


class ConfusionMatrix(Scripted, component="../static/matrix.js"):
    """Labels down, predictions across; arrow keys move in it, and a cell, a row or a column can be chosen.

    ``on_choose`` is told what was chosen; `MISTAKES` when it was let go again. ``label`` is for screen readers.
    """

    def __init__(
        self, names: Sequence[str], on_choose: Callable[[Selection], Any], *, label: str = "Confusion matrix"
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
        self.give(cells=count_cells(matrix, self.names), sums=sums, legend=COUNT_LEGEND)

    def show_difference(self, first: Matrix, second: Matrix, first_name: str, second_name: str) -> None:
        """Draw the second model's counts minus the first's: blue where the first has more, orange where the second."""
        sums = [[f"{what} {name}" for name in self.names] for what in ("label", "predicted")]
        titles = legend(less=(f"More often in {first_name}", MORE), more=(f"More often in {second_name}", MORE))
        cells = difference_cells(first, second, self.names, first_name, second_name)
        self.give(cells=cells, sums=sums, legend=titles)

    def choose(self, selection: Selection) -> None:
        """Mark what is chosen, without telling ``on_choose``."""
        self.chosen = selection
        self.give(chosen={"label": selection.label, "predicted": selection.predicted})

    def _choose(self, event: events.GenericEventArguments) -> Any:
        selection = Selection.from_page(event.args, len(self.names))
        if selection is None:
            return None
        self.choose(MISTAKES if selection == self.chosen else selection)
        # Returned, so that NiceGUI awaits it where it is a coroutine.
        return self._on_choose(self.chosen)


def matrix_table(names: Sequence[str], matrix: Matrix) -> Rows:
    """Return a matrix as it is saved: a row a label, with its name."""
    return ("label", *names), [(name, *counts) for name, counts in zip(names, matrix, strict=True)]


#: The codelab's three columns, and what they leave open.
CLASS_COLUMNS = (
    Column("Class"),
    *(Column(t, is_number=True) for t in ("Accuracy", "# Samples", "95 % interval", "Precision", "F1")),
)


class AccuracyView:
    """Built into the current container; ``on_choose`` is told of the class that was chosen in the table."""

    def __init__(self, on_choose: Callable[[Selection], Any]) -> None:
        self._which = ui.label().classes("muted num")
        with ui.element("div").classes("key-figures"):
            self._accuracy, self._interval = figure("", "first")
            self._loss, _ = figure("loss, in nats", "second")
            self._mistakes, self._mistakes_of = figure("mistakes", "second")
        self._table = SortableTable(
            "Accuracy of each class", CLASS_COLUMNS, on_action=lambda row, _: on_choose(Selection(label=int(row)))
        )
        self._table.classes("of-classes")
        ui.label("The accuracy of a class is its recall.").classes("muted")

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

    >>> images_sentence(500, 10_000, 0.9083)
    'On 500 of the 10,000 test images. On all of them the accuracy is 90.83 %.'
    """
    if n_images == n_all:
        return f"On all {n_all:,} test images."
    on_all = "" if accuracy_on_all is None else f" On all of them the accuracy is {percent(accuracy_on_all)}."
    return f"On {n_images:,} of the {n_all:,} test images.{on_all}"


def class_rows(evaluation: Evaluation, chosen: Selection) -> Sequence[Row]:
    """Return the rows of the table; the name of each class is a button."""
    rows = []
    for r in evaluation.per_class:
        low, high = r.interval
        # Of a class without images nothing is known.
        accuracy, interval = (percent(r.accuracy, 1), f"{100 * low:.1f} to {100 * high:.1f} %") if r.n_images else "––"
        cells = (
            Cell(r.name, order=r.label, kind="button", action="choose", says=f"{r.name}: show its images"),
            Cell(accuracy, order=r.accuracy if r.n_images else None),
            Cell(f"{r.n_images:,}", order=r.n_images),
            Cell(interval, order=low if r.n_images else None),
            Cell(percent(r.precision, 1), order=r.precision),
            Cell(f"{r.f1:.3f}", order=r.f1),
        )
        rows.append(Row(str(r.label), cells, is_marked=chosen == Selection(label=r.label)))
    return rows


def class_table(evaluation: Evaluation) -> Rows:
    """Return the table as it is saved: with plain numbers."""
    columns = ("class", "accuracy", "n_images", "interval_low", "interval_high", "precision", "recall", "f1")
    return columns, [
        (r.name, r.accuracy, r.n_images, *r.interval, r.precision, r.recall, r.f1) for r in evaluation.per_class
    ]


def figure(unit: str, rank: str) -> tuple[ui.label, ui.label]:
    """Build a figure into the current container: the label of its value, and that of its unit below."""
    with ui.element("div").classes("key-figure"):
        return ui.label().classes(f"value {rank}"), ui.label(unit).classes("unit")
