"""The confusion matrix: its shades, what its cells say, which images they hold, and a picture of it.

Blue means right, orange means mistaken: a pair that people tell apart with every kind of colour vision, and in both
only lightness says how much. The steps of the orange scale rise about geometrically, so that a mistake in one of two
hundred images is seen beside a diagonal of 99 %.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digitlab.svg import FONT, GROUND, INK, standalone_svg
from digitlab.text import percent
from digitlab.values import NOT_A_DIGIT

Matrix = Sequence[Sequence[int]]

#: Upper ends of the shades, as fractions of a row: of mistakes, of right answers, and of the difference of two models.
WRONG = (0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 1.0)
RIGHT = (0.5, 0.9, 1.0)
MORE = (0.005, 0.02, 0.05, 1.0)

_CELL, _CELLS_LEFT, _CELLS_TOP = 56, 92, 84
#: How the shades look, light and dark: for the page, the report and pictures.
SHADES = Path(__file__).with_name("shades.css")
_DEEP = {"wrong-6", "wrong-7", "more-4", "less-4"}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which images of an evaluation are meant: those with a label (a row), or answered so (a column), or both (a cell).

    With neither, all mistakes.

    >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> Selection(label=1).indices(np.array([0, 1, 1]), probabilities).tolist()
    [2, 1]
    """

    label: int | None = None
    predicted: int | None = None

    @classmethod
    def from_page(cls, args: Any, n_classes: int) -> Self | None:
        """Read what a browser sent, which may be anything; None where it is no selection.

        >>> Selection.from_page({"label": 4, "predicted": 9}, 10)
        Selection(label=4, predicted=9)
        >>> Selection.from_page({"label": 12, "predicted": None}, 10) is None
        True
        """
        if not isinstance(args, Mapping):
            return None
        numbers = [args.get("label"), args.get("predicted")]
        for number in numbers:
            if number is not None and (type(number) is not int or not 0 <= number < n_classes):
                return None
        return cls(*numbers)

    def indices(self, labels: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[np.intp]:
        """Return which images are meant: mistakes first, the most confident first, then the least sure right answers.

        Labels are integer (n,), probabilities float (n, n_classes); the positions, intp (m,), keep ties in order.
        """
        predicted = probabilities.argmax(axis=1)
        wrong = predicted != labels
        meant = wrong.copy() if self == MISTAKES else np.ones(len(labels), dtype=bool)
        if self.label is not None:
            meant &= labels == self.label
        if self.predicted is not None:
            meant &= predicted == self.predicted
        chosen = np.flatnonzero(meant)
        confidence = probabilities[chosen, predicted[chosen]]
        # One key for both halves: mistakes get -confidence - 2, so they come before every right answer.
        key = np.where(wrong[chosen], -confidence - 2, confidence)
        order: NDArray[np.intp] = chosen[np.argsort(key, kind="stable")]
        return order

    def sentence(self, matrix: Matrix, names: Sequence[str]) -> str:
        """Say what is selected and how many images that are.

        >>> Selection(label=0, predicted=1).sentence([[9, 1], [2, 8]], ("Zero", "Six"))
        'label Zero, predicted Six: 1 image, 10.0 % of the Zeros'
        >>> Selection(predicted=1).sentence([[9, 1], [2, 8]], ("Zero", "Six"))
        'predicted Six: 9 images, 88.9 % of them right'
        """
        n_row = 0 if self.label is None else sum(matrix[self.label])
        if self.label is not None and self.predicted is not None:
            n = matrix[self.label][self.predicted]
            return (
                f"label {names[self.label]}, predicted {names[self.predicted]}: {_images(n)}, "
                f"{_part(n, n_row)} of the {_plural(names[self.label])}"
            )
        if self.label is not None:
            right = matrix[self.label][self.label]
            return f"label {names[self.label]}: {_images(n_row)}, {_part(right, n_row)} of them answered rightly"
        if self.predicted is not None:
            n_column = sum(row[self.predicted] for row in matrix)
            right = matrix[self.predicted][self.predicted]
            return f"predicted {names[self.predicted]}: {_images(n_column)}, {_part(right, n_column)} of them right"
        n_all = sum(map(sum, matrix))
        n_wrong = n_all - sum(row[i] for i, row in enumerate(matrix))
        return f"mistakes: {n_wrong:,} of {_images(n_all)}, the most confident first"


#: All wrong answers.
MISTAKES = Selection()


def count_cells(matrix: Matrix, names: Sequence[str]) -> list[list[dict[str, str]]]:
    """Return for every cell its count, its part of the row, its shade and what it says to a screen reader.

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
                    "says": f"label {names[label]}, predicted {names[answer]}: {_images(n_first)} in {first_name}, "
                    f"{_images(n_second)} in {second_name}, {change}",
                }
            )
        rows.append(cells)
    return rows


def shade(part: float, scale: Sequence[float]) -> int:
    """Return 0 for nothing, else which step of the scale a fraction belongs to, from 1.

    >>> [shade(part, RIGHT) for part in (0, 0.5, 0.51, 1.0)]
    [0, 1, 2, 3]
    """
    if part <= 0:
        return 0
    return 1 + next((i for i, upper in enumerate(scale) if part <= upper), len(scale) - 1)


def legend(**scales: tuple[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Return for every kind of shades its title, and a shade and a text for each step of its scale."""
    return [
        {
            "title": title,
            "steps": [{"shade": f"{kind}-{i}", "text": f"≤ {100 * upper:g} %"} for i, upper in enumerate(scale, 1)],
        }
        for kind, (title, scale) in scales.items()
    ]


#: The legend of `count_cells`.
COUNT_LEGEND = legend(right=("Right, of the row", RIGHT), wrong=("Mistaken, of the row", WRONG))


@cache
def shades_css() -> str:
    """Return the style of the shades, by the classes that cells have."""
    return SHADES.read_text(encoding="utf-8")


def matrix_svg(title: str, names: Sequence[str], cells: Sequence[Sequence[dict[str, str]]]) -> str:
    """Draw a confusion matrix from the cells of `count_cells` or `difference_cells`, as a file of its own."""
    # The light ones, which come first, for a picture that is put on paper.
    fills = dict(re.findall(r"--(\w+-\d): (#\w+)", shades_css().partition("@media")[0]))
    n, middle = len(names), _CELLS_LEFT + len(names) * _CELL / 2
    parts = [
        f'<text x="{_CELLS_LEFT}" y="24" font-size="16" font-weight="600">{escape(title)}</text>',
        f'<text x="{middle:g}" y="50" text-anchor="middle">prediction</text>',
        f'<text transform="translate(18 {_CELLS_TOP + n * _CELL / 2:g}) rotate(-90)" text-anchor="middle">label</text>',
    ]
    for k, name in enumerate(names):
        x, y = _CELLS_LEFT + (k + 0.5) * _CELL, _CELLS_TOP + (k + 0.5) * _CELL
        parts.append(
            f'<text x="{x:g}" y="{_CELLS_TOP - 8}" text-anchor="middle">{escape(name)}</text>'
            f'<text x="{_CELLS_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{escape(name)}</text>'
        )
    for r, row in enumerate(cells):
        for c, cell in enumerate(row):
            step_of = cell["shade"].split()[0]
            x, y = _CELLS_LEFT + c * _CELL, _CELLS_TOP + r * _CELL
            middle, line = x + _CELL / 2, y + (27 if cell["part"] else 33)
            parts.append(
                f'<g fill="{GROUND if step_of in _DEEP else INK}" text-anchor="middle">'
                f"<title>{escape(cell['says'])}</title>"
                f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_CELL - 2}" rx="5" '
                f'fill="{fills.get(step_of, GROUND)}" stroke="#dfe3ea"/>'
                f'<text x="{middle:g}" y="{line}" font-size="15">{escape(cell["n"])}</text>'
                f'<text x="{middle:g}" y="{y + 43}" font-size="11">{escape(cell["part"])}</text></g>'
            )
    size = f"{_CELLS_LEFT + n * _CELL + 16} {_CELLS_TOP + n * _CELL + 16}"
    return standalone_svg(f'<svg viewBox="0 0 {size}" {FONT} font-size="13" fill="{INK}">{"".join(parts)}</svg>')


def _plural(name: str) -> str:
    """Return the name of a class for several of it.

    >>> _plural("Four"), _plural("Six")
    ('Fours', 'Sixes')
    """
    if name == NOT_A_DIGIT:
        return "images of no digit"
    return name + ("es" if name.lower().endswith(("s", "x", "sh", "ch")) else "s")


def _images(n: int) -> str:
    return f"{n:,} image" + ("" if n == 1 else "s")


def _part(n: int, whole: int) -> str:
    return percent(n / whole if whole else 0.0, 1)
