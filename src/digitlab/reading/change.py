"""Change: a reading as somebody says it is.

What somebody says of a mark or a number is a ``Change``, and ``corrected`` is the one place where changes become
another reading: whatever shows or saves one asks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from digitlab.errors import InputError
from digitlab.reading.confidence import of_number
from digitlab.reading.reading import Alternative, Box, Digit, Line, Number, Reading, Refused
from digitlab.values import Value

# A number with more digits is no number that somebody has typed over another.
_MOST_DIGITS = 60
# Boxes that share so much of what they cover are of the same ink, though another network or step has read it.
_SAME = 0.5
_ONE_LINE = 0.4  # of the lower one's height is shared by two marks of one line
_GAP = 1.0  # of the height of writing: a wider gap parts two numbers, as it does for the reader
_TALL = 0.5  # of a number's height: lower ink within it is a speck, and no digit that was overlooked


@dataclass(frozen=True, slots=True)
class Change(Value):
    """What somebody says of a place in a reading.

    Attributes
    ----------
    box : Box
        That of a digit, of refused ink, or of a number.
    value : str
        The digits that stand there, at most 60; empty where there is none.
    is_number : bool
        Whether the box is a number's.

    Raises
    ------
    InputError
        If the value is something else than digits.
    """

    box: Box
    value: str
    is_number: bool = False

    def __post_init__(self) -> None:
        is_plain = self.value.isascii() and self.value.isdigit() and len(self.value) <= _MOST_DIGITS
        if self.value and not is_plain:
            raise InputError(f"A number is at most {_MOST_DIGITS} digits from 0 to 9; got {self.value[:80]!r}.")


def corrected(reading: Reading, changes: Iterable[Change]) -> Reading:
    """Return a reading as somebody says it is.

    Changes apply one after the other, and one that no longer fits anything is passed over. What somebody has said has a
    confidence of 1 and no alternatives. A digit that is said to be none is refused; refused ink that is said to be a
    digit takes its place in its line, and in the number that it stands in or close to. A number's new digits go to its
    own, where there are as many of them (or as many together with what was refused among them); else they share its box
    evenly.

    Parameters
    ----------
    reading : Reading
        As it was read; it is not changed. Its boxes need not be exactly those of the changes, so that changes can be
        carried over to another reading of the same photo.
    changes : iterable of Change
        In the order in which they were said.

    Examples
    --------
    >>> digit = Digit(7, Box(10, 10, 30, 50), 0.6, (Alternative(1, 0.3),))
    >>> line = Line(digit.box, (Number("7", digit.box, 0.6, (digit,)),))
    >>> corrected(Reading("a.png", 1, 100, 60, 0, 0.0, (line,), ()), [Change(digit.box, "1")]).text
    '1'
    """
    for change in changes:
        reading = _number_changed(reading, change) if change.is_number else _mark_changed(reading, change)
    return reading


def _number_changed(reading: Reading, change: Change) -> Reading:
    numbers = reading.numbers
    k = _best([number.box for number in numbers], change.box)
    if k is None:
        return reading
    number = numbers[k]
    within = [refused for refused in reading.refused if _is_overlooked(refused, number)]
    if len(change.value) == len(number.digits):
        within, boxes = [], [digit.box for digit in number.digits]
    elif len(change.value) == len(number.digits) + len(within):
        boxes = [*(digit.box for digit in number.digits), *(refused.box for refused in within)]
        boxes.sort(key=lambda box: box.left + box.right)
    else:
        # Nobody has said which of them is what.
        boxes = _shared(number.box, len(change.value)) if change.value else []
    digits = tuple(map(_said, boxes, change.value))
    refused = [one for one in reading.refused if not any(one is other for other in within)]
    if not change.value:
        refused += [_refused(digit) for digit in number.digits]
    return _with_number(replace(reading, refused=tuple(refused)), number, digits)


def _mark_changed(reading: Reading, change: Change) -> Reading:
    digits = reading.digits
    k = _best([*(digit.box for digit in digits), *(refused.box for refused in reading.refused)], change.box)
    if k is None:
        return reading
    if k >= len(digits):
        refused = reading.refused[k - len(digits)]
        if not change.value:
            return reading
        rest = tuple(other for other in reading.refused if other is not refused)
        said = tuple(map(_said, _shared(refused.box, len(change.value)), change.value))
        return _with_digits(replace(reading, refused=rest), said)
    digit = digits[k]
    number = next(number for number in reading.numbers if any(one is digit for one in number.digits))
    at = next(i for i, one in enumerate(number.digits) if one is digit)
    said = tuple(map(_said, _shared(digit.box, len(change.value)), change.value)) if change.value else ()
    if not change.value:
        reading = replace(reading, refused=(*reading.refused, _refused(digit)))
    return _with_number(reading, number, (*number.digits[:at], *said, *number.digits[at + 1 :]))


def _said(box: Box, value: str) -> Digit:
    return Digit(int(value), box, 1.0, ())


def _refused(digit: Digit) -> Refused:
    return Refused(digit.box, "not-a-digit", Alternative(digit.value, digit.confidence))


def _is_overlooked(refused: Refused, number: Number) -> bool:
    height = number.box.height
    return _is_in(refused.box, number.box) and _TALL * height <= refused.box.height <= 2 * height


def _shared(box: Box, n: int) -> list[Box]:
    """Part a box into n side by side."""
    edges = [box.left + round(box.width * k / n) for k in range(n + 1)]
    return [Box(left, box.top, max(right, left + 1), box.bottom) for left, right in pairwise(edges)]


def _best(boxes: Sequence[Box], box: Box) -> int | None:
    """Say which of the boxes is meant: the same, or the one that shares most with it."""
    parts = [_shared_part(other, box) for other in boxes]
    best = max(range(len(parts)), key=parts.__getitem__, default=None)
    return best if best is not None and parts[best] >= _SAME else None


def _shared_part(a: Box, b: Box) -> float:
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (a.width * a.height + b.width * b.height - both)


def _with_number(reading: Reading, number: Number, digits: tuple[Digit, ...]) -> Reading:
    """Give a number other digits; without any it goes, and its line with the last of its numbers."""
    lines = []
    for line in reading.lines:
        if not any(other is number for other in line.numbers):
            lines.append(line)
            continue
        numbers = [_of_digits(number, digits) if other is number else other for other in line.numbers]
        left = _without_empty(numbers)
        if left or line.cells:
            lines.append(_of_numbers(line, left))
    return replace(reading, lines=tuple(lines))


def _with_digits(reading: Reading, said: tuple[Digit, ...]) -> Reading:
    """Put digits that stand side by side where they belong."""
    box = _around(said)
    near = [(gap, k) for k, line in enumerate(reading.lines) if (gap := _gap_in_line(line, box)) is not None]
    if not near:
        number = Number("".join(str(digit.value) for digit in said), box, 1.0, said)
        below = [line for line in reading.lines if _middle(line.box) > _middle(box)]
        above = [line for line in reading.lines if _middle(line.box) <= _middle(box)]
        return replace(reading, lines=(*above, Line(box, (number,)), *below))
    chosen = min(near)[1]
    line = _line_with(reading.lines[chosen], said)
    return replace(reading, lines=tuple(line if k == chosen else other for k, other in enumerate(reading.lines)))


def _gap_in_line(line: Line, box: Box) -> int | None:
    """How far a mark is from the nearest digit of a line; None where that is higher or lower than it."""
    digits = [digit.box for number in line.numbers for digit in number.digits] or [line.box]
    nearest = min(digits, key=lambda other: _gap(other, box))
    shared = min(nearest.bottom, box.bottom) - max(nearest.top, box.top)
    return _gap(nearest, box) if shared > _ONE_LINE * min(nearest.height, box.height) else None


def _line_with(line: Line, said: tuple[Digit, ...]) -> Line:
    box = _around(said)
    heights = sorted(digit.box.height for number in line.numbers for digit in number.digits)
    near = _GAP * heights[len(heights) // 2] if heights else 0.0
    joined = [number for number in line.numbers if _gap(number.box, box) <= near]
    # Whatever stood between the numbers that it joins was this digit.
    first = replace(joined[0], separator=joined[-1].separator) if joined else Number("", box, 1.0, ())
    digits = sorted(
        (*said, *(digit for number in joined for digit in number.digits)), key=lambda digit: sum(digit.box[::2])
    )
    others = [number for number in line.numbers if not any(number is one for one in joined)]
    numbers = [*others, _of_digits(first, tuple(digits))]
    return _of_numbers(line, sorted(numbers, key=lambda number: number.box.left))


def _gap(a: Box, b: Box) -> int:
    """Columns between two boxes."""
    return max(a.left - b.right, b.left - a.right, 0)


def _middle(box: Box) -> float:
    return (box.top + box.bottom) / 2


def _without_empty(numbers: Sequence[Number]) -> list[Number]:
    """Leave out numbers without digits; what stood behind them stands behind those before them."""
    left: list[Number] = []
    for number in numbers:
        if number.digits:
            left.append(number)
        elif left:
            left[-1] = replace(left[-1], separator=left[-1].separator or number.separator)
    if left:
        left[-1] = replace(left[-1], separator="")
    return left


def _of_digits(number: Number, digits: tuple[Digit, ...]) -> Number:
    # The reader's confidence allows for digits that it has overlooked; whoever says all of them has overlooked none.
    read = np.array([digit.confidence for digit in digits])
    confidence = 1.0 if all(not digit.alternatives for digit in digits) else round(of_number(read), 6)
    value = "".join(str(digit.value) for digit in digits)
    return replace(number, value=value, box=_around(digits or number.digits), confidence=confidence, digits=digits)


def _of_numbers(line: Line, numbers: Sequence[Number]) -> Line:
    digits = [digit for number in numbers for digit in number.digits]
    cells = tuple(
        replace(cell, value="".join(str(digit.value) for digit in digits if _is_in(digit.box, cell.box)))
        for cell in line.cells
    )
    return replace(line, box=_around(numbers) if numbers else line.box, numbers=tuple(numbers), cells=cells)


def _is_in(box: Box, other: Box) -> bool:
    """Whether the middle of a box is in another."""
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return other.left <= x < other.right and other.top <= y < other.bottom


def _around(marks: Sequence[Digit] | Sequence[Number]) -> Box:
    box = marks[0].box
    for mark in marks[1:]:
        box = box.around(mark.box)
    return box
