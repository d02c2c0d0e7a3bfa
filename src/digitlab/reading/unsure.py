"""Unsure: digits that are less sure than the least confidence leave a reading, and are told as refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from digitlab.reading.confidence import of_number
from digitlab.reading.reading import Alternative, Box, Cell, Digit, Line, Number, Reading, Refused


def refuse_unsure(reading: Reading, least: float, *, keeps_rows: bool = False) -> Reading:
    """Return a reading in which digits with less confidence than ``least`` are refused as "unsure", after the others.

    So one reading with all its digits gives that of every threshold. A number without digits goes, and its line with
    the last of them; but ``keeps_rows`` keeps the rows of a grid.

    >>> digits = tuple(Digit(k, Box(20 * k, 0, 20 * k + 10, 20), p, ()) for k, p in ((1, 0.9), (2, 0.3)))
    >>> line = Line(Box(20, 0, 50, 20), (Number("12", Box(20, 0, 50, 20), 0.2, digits),))
    >>> found = refuse_unsure(Reading("a.png", 1, 100, 60, 0, 0.0, (line,), ()), 0.4)
    >>> found.text, found.refused[0].reason, found.refused[0].best
    ('1', 'unsure', Alternative(value=2, probability=0.3))
    """
    unsure = [digit for digit in reading.digits if digit.confidence < least]
    if not unsure:
        return reading
    lines = (_sure_line(line, least) for line in reading.lines)
    refused = tuple(Refused(digit.box, "unsure", Alternative(digit.value, digit.confidence)) for digit in unsure)
    return replace(
        reading,
        lines=tuple(line for line in lines if line.numbers or keeps_rows),
        refused=(*reading.refused, *refused),
    )


def _sure_line(line: Line, least: float) -> Line:
    if all(digit.confidence >= least for number in line.numbers for digit in number.digits):
        return line
    numbers = [made for number in line.numbers if (made := _sure_number(number, least)) is not None]
    if numbers:
        numbers[-1] = replace(numbers[-1], separator="")
    digits = [digit for number in line.numbers for digit in number.digits]
    box = _around([number.box for number in numbers] or [cell.box for cell in line.cells] or [line.box])
    return Line(box, tuple(numbers), tuple(_sure_cell(cell, digits, least) for cell in line.cells))


def _sure_number(number: Number, least: float) -> Number | None:
    digits = tuple(digit for digit in number.digits if digit.confidence >= least)
    if len(digits) in (0, len(number.digits)):
        return number if digits else None
    confidence = round(of_number(np.array([digit.confidence for digit in digits])), 6)
    value = "".join(str(digit.value) for digit in digits)
    return Number(value, _around([digit.box for digit in digits]), confidence, digits, number.separator)


def _sure_cell(cell: Cell, digits: Sequence[Digit], least: float) -> Cell:
    within = [digit for digit in digits if _is_in(digit.box, cell.box)]
    if all(digit.confidence >= least for digit in within):
        return cell
    return Cell(cell.box, "".join(str(digit.value) for digit in within if digit.confidence >= least))


def _is_in(box: Box, other: Box) -> bool:
    """Whether the middle of a box is in another."""
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return other.left <= x < other.right and other.top <= y < other.bottom


def _around(boxes: Sequence[Box]) -> Box:
    box = boxes[0]
    for other in boxes[1:]:
        box = box.around(other)
    return box
