"""A least confidence that is asked for afterwards gives what it gives while reading."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.reading.confidence import of_number
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Alternative, Box, Cell, Digit, Line, Number, Reading, ReadingOptions, Refused
from digitlab.reading.unsure import refuse_unsure

CONFIDENCES = st.sampled_from([0.1, 0.3, 0.4, 0.8, 0.97])


@st.composite
def readings(draw, *, in_cells: bool = False) -> Reading:
    lines = []
    for row in range(draw(st.integers(0, 3))):
        numbers, x = [], 0
        for _ in range(draw(st.integers(1, 3))):
            digits = []
            for confidence in draw(st.lists(CONFIDENCES, min_size=1, max_size=3)):
                digits.append(Digit(draw(st.integers(0, 9)), Box(x, 50 * row, x + 20, 50 * row + 30), confidence, ()))
                x += 25
            x += 40
            box = Box(digits[0].box.left, 50 * row, digits[-1].box.right, 50 * row + 30)
            confidence = round(of_number(np.array([d.confidence for d in digits])), 6)
            value = "".join(str(d.value) for d in digits)
            numbers.append(Number(value, box, confidence, tuple(digits), draw(st.sampled_from(["", "-"]))))
        numbers[-1] = Number(*(getattr(numbers[-1], name) for name in ("value", "box", "confidence", "digits")))
        box = numbers[0].box.around(numbers[-1].box)
        every = [d for number in numbers for d in number.digits]
        cells = tuple(
            Cell(Box(d.box.left - 2, 50 * row - 2, d.box.right + 2, 50 * row + 32), str(d.value)) for d in every
        )
        lines.append(Line(box, tuple(numbers), cells if in_cells else ()))
    refused = (Refused(Box(0, 400, 9, 409), "too-small", Alternative(1, 0.2)),)
    return Reading("a.png", 1, 900, 500, 0, 0.0, tuple(lines), refused)


@given(readings(in_cells=True), st.floats(0, 1), st.booleans())
def test_every_digit_is_read_or_refused_by_its_confidence_alone(reading: Reading, least: float, keeps: bool) -> None:
    found = refuse_unsure(reading, least, keeps_rows=keeps)
    assert found.digits == tuple(d for d in reading.digits if d.confidence >= least)
    unsure = [d for d in reading.digits if d.confidence < least]
    assert found.refused[:1] == reading.refused
    told = [Refused(d.box, "unsure", Alternative(d.value, d.confidence)) for d in unsure]
    assert list(found.refused[1:]) == told
    assert len(found.lines) == (len(reading.lines) if keeps else sum(bool(line.numbers) for line in found.lines))
    for line in found.lines:
        assert [number.separator for number in line.numbers[-1:]] in ([], [""])
        assert "".join(cell.value for cell in line.cells) == "".join(number.value for number in line.numbers)
        for number in line.numbers:
            assert number.value == "".join(str(d.value) for d in number.digits)
            assert number.confidence == round(of_number(np.array([d.confidence for d in number.digits])), 6)
            assert (number.box.left, number.box.right) == (number.digits[0].box.left, number.digits[-1].box.right)


@given(readings(), st.floats(0, 1), st.floats(0, 1))
def test_refusing_twice_is_refusing_at_the_higher(reading: Reading, one: float, other: float) -> None:
    twice, once = refuse_unsure(refuse_unsure(reading, one), other), refuse_unsure(reading, max(one, other))
    assert twice.lines == once.lines
    assert set(twice.refused) == set(once.refused)
    assert refuse_unsure(reading, 0.0) is reading


@pytest.mark.slow
def test_one_reading_gives_that_of_every_threshold(reader: Reader, compose: Callable) -> None:
    pixels = compose(1, n_numbers=6, most_digits=4, size=(900, 500)).pixels
    whole = reader.read(pixels, ReadingOptions(min_confidence=0.0))
    confidences = sorted(digit.confidence for digit in whole.digits)
    for least in (confidences[1], confidences[len(confidences) // 2] + 1e-9):
        assert refuse_unsure(whole, least) == reader.read(pixels, ReadingOptions(min_confidence=least))
