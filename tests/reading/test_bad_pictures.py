"""Pictures that nobody means: no numbers, no size, noise. Nothing is read from them, with any options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from digitlab.reading.reader import Reader
from digitlab.reading.reading import ReadingOptions

RANDOM = np.random.default_rng(0)
MIN_CONFIDENCE = ReadingOptions().min_confidence

ODD: dict[str, NDArray[Any]] = {
    "not a number": np.full((50, 50), np.nan),
    "infinite": np.full((50, 50), np.inf, np.float32),
    "negative": -np.ones((30, 30), np.float32),
    "far above one": np.full((30, 30), 1e30),
    "two by two": np.array([[0, 255], [255, 0]], np.uint8),
    "a line of noise": RANDOM.integers(0, 256, (2, 900), np.uint8),
    "a column of noise": RANDOM.integers(0, 256, (900, 2), np.uint8),
    "a strip of noise": RANDOM.integers(0, 256, (24, 1500), np.uint8),
    "seven by seven": RANDOM.integers(0, 256, (7, 7), np.uint8),
    "28 x 28 of noise": RANDOM.integers(0, 256, (28, 28), np.uint8),
    "see-through noise": RANDOM.integers(0, 256, (40, 40, 4), np.uint8),
    "every other pixel": ((np.indices((300, 300)).sum(0) % 2) * 255).astype(np.uint8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_nothing_is_read_from_odd_pictures(reader: Reader, name: str) -> None:
    reading = reader.read(ODD[name])
    # A few pixels of noise may look like anything, but not for certain.
    surest = max((digit.confidence for digit in reading.digits), default=0.0)
    assert surest < (0.9 if "noise" in name else MIN_CONFIDENCE)


@pytest.mark.parametrize("asked", [{"grid": (9, 9)}, {"digits": 4}, {"expect": r"\d{2}"}], ids=str)
def test_what_is_expected_is_not_found_in_odd_pictures(reader: Reader, asked: dict[str, Any]) -> None:
    for name in ("not a number", "two by two", "a line of noise"):
        reading = reader.read(ODD[name], ReadingOptions(**asked))
        assert not reading.digits
        assert all(not cell.value for line in reading.lines for cell in line.cells)


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_have_probabilities_too(reader: Reader, name: str) -> None:
    probabilities, p_not_a_digit = reader.read_digit(ODD[name])
    assert probabilities.sum() == pytest.approx(1, abs=1e-4)
    assert 0 <= p_not_a_digit <= 1
