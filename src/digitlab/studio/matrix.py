"""The confusion matrix as an element: a grid of buttons, each of which says what it counts.

Blue means right, orange means mistaken: a pair that people tell apart with every kind of colour vision, and in both
only lightness says how much. The steps of the orange scale rise about geometrically, so that a mistake in one of two
hundred images is seen beside a diagonal of 99 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import events, ui

from digitlab.evaluation.markup import percent
from digitlab.studio.selection import MISTAKES, Selection

__all__ = ["MORE", "RIGHT", "WRONG", "ConfusionMatrix", "count_cells", "difference_cells", "shade"]

Matrix = Sequence[Sequence[int]]

#: Upper ends of the shades, as fractions of a row: of mistakes, of right answers, and of the difference of two models.
WRONG = (0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 1.0)
RIGHT = (0.5, 0.9, 1.0)
MORE = (0.005, 0.02, 0.05, 1.0)

# What is seen before there is anything to count: nothing jumps when there is.
_EMPTY = [[{"n": "", "part": "", "shade": "wrong-0", "says": "not counted yet"}] * 10] * 10


class ConfusionMatrix(ui.element, component="static/matrix.js"):
    """Labels down, predictions across; arrow keys move in it, and a cell, a row or a column can be chosen.

    Parameters
    ----------
    names : sequence of str
        The classes, in the order of their labels.
    on_choose : callable, optional
        Told what was chosen; `MISTAKES` when it was let go again.
    label : str
        What a screen reader calls the grid.
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
        legend = [
            {"title": "Right, of the row", "steps": _steps("right", RIGHT)},
            {"title": "Mistaken, of the row", "steps": _steps("wrong", WRONG)},
        ]
        self._draw(count_cells(matrix, self.names), sums, legend)

    def show_difference(self, first: Matrix, second: Matrix, first_name: str, second_name: str) -> None:
        """Draw the second model's counts minus the first's: blue where the first has more, orange where the second."""
        sums = [[f"{what} {name}" for name in self.names] for what in ("label", "predicted")]
        legend = [
            {"title": f"More often in {first_name}", "steps": _steps("less", MORE)},
            {"title": f"More often in {second_name}", "steps": _steps("more", MORE)},
        ]
        self._draw(difference_cells(first, second, self.names, first_name, second_name), sums, legend)

    def choose(self, selection: Selection) -> None:
        """Mark what is chosen, without telling ``on_choose``."""
        self.chosen = selection
        self._props["chosen"] = {"label": selection.label, "predicted": selection.predicted}
        self.update()

    def _draw(self, cells: list[list[dict[str, str]]], sums: list[list[str]], legend: list[dict[str, Any]]) -> None:
        self._props["cells"], self._props["sums"], self._props["legend"] = cells, sums, legend
        self.update()

    def _choose(self, event: events.GenericEventArguments) -> Any:
        selection = Selection.from_page(event.args, len(self.names))
        if selection is None:
            return None
        self.choose(MISTAKES if selection == self.chosen else selection)
        # Returned, so that NiceGUI awaits it where it is a coroutine.
        return self._on_choose(self.chosen) if self._on_choose else None


def count_cells(matrix: Matrix, names: Sequence[str]) -> list[list[dict[str, str]]]:
    """Return for every cell its count, its part of the row, its shade and what it says to a screen reader.

    Examples
    --------
    >>> count_cells([[98, 2], [0, 5]], ("Zero", "One"))[0][1]
    {'n': '2', 'part': '2.0 %', 'shade': 'wrong-4', 'says': 'label Zero, predicted One: 2 images, 2.0 % of the Zeros'}
    """
    rows = []
    for label, counts in enumerate(matrix):
        whole = sum(counts)
        cells = []
        for answer, n in enumerate(counts):
            part = n / whole if whole else 0.0
            kind, scale = ("right", RIGHT) if label == answer else ("wrong", WRONG)
            cells.append(
                {
                    "n": f"{n}",
                    "part": percent(part, 1) if n else "",
                    "shade": f"{kind}-{shade(part, scale)}",
                    "says": Selection(label, answer).sentence(matrix, names),
                }
            )
        rows.append(cells)
    return rows


def difference_cells(
    first: Matrix, second: Matrix, names: Sequence[str], first_name: str, second_name: str
) -> list[list[dict[str, str]]]:
    """Return the cells of a difference, second minus first; both matrices are of the same images.

    Examples
    --------
    >>> difference_cells([[9, 1], [0, 8]], [[10, 0], [0, 8]], ("Zero", "One"), "A", "B")[0][1]["says"]
    'label Zero, predicted One: 1 image in A, 0 images in B, 1 fewer in B'
    """
    rows = []
    for label, (before, after) in enumerate(zip(first, second, strict=True)):
        whole = sum(before)
        cells = []
        for answer, (n_first, n_second) in enumerate(zip(before, after, strict=True)):
            more = n_second - n_first
            part = abs(more) / whole if whole else 0.0
            change = "the same" if more == 0 else f"{abs(more):,} {'more' if more > 0 else 'fewer'} in {second_name}"
            cells.append(
                {
                    "n": f"{more:+d}".replace("-", "−") if more else "0",
                    "part": percent(part, 1) if more else "",
                    "shade": f"{'more' if more > 0 else 'less'}-{shade(part, MORE)}{' diagonal' * (label == answer)}",
                    "says": f"label {names[label]}, predicted {names[answer]}: {_count(n_first)} in {first_name}, "
                    f"{_count(n_second)} in {second_name}, {change}",
                }
            )
        rows.append(cells)
    return rows


def shade(part: float, scale: Sequence[float]) -> int:
    """Return 0 for nothing, else which step of the scale a fraction belongs to, from 1.

    Examples
    --------
    >>> [shade(part, RIGHT) for part in (0, 0.5, 0.51, 1.0)]
    [0, 1, 2, 3]
    """
    if part <= 0:
        return 0
    return 1 + next((i for i, upper in enumerate(scale) if part <= upper), len(scale) - 1)


def _steps(kind: str, scale: Sequence[float]) -> list[dict[str, str]]:
    return [{"shade": f"{kind}-{i}", "text": f"≤ {100 * upper:g} %"} for i, upper in enumerate(scale, start=1)]


def _count(n: int) -> str:
    return f"{n:,} image" + ("" if n == 1 else "s")
