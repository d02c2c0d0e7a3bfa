"""How well a composed picture was read: digits right and in place, what was read besides, rows, texts, boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace

import numpy as np

from composed_glyphs import Mark
from composed_photos import Composed
from digitlab.reading.reading import Digit, Reading


@dataclass(frozen=True)
class Found:
    """Counts over pictures: of digits, of lines, of boxes."""

    n_pictures: int = 0
    n_turned: int = 0  # upright rightly
    n_digits: int = 0
    n_right: int = 0  # read where they stand
    n_extra: int = 0  # read where none stands
    n_lines: int = 0
    n_whole: int = 0  # all digits and nothing else was read, as one number where it is a row of boxes
    n_texts: int = 0  # the text with separators is right
    n_cells: int = 0
    n_cells_right: int = 0  # the digit, or that there is none, was told
    n_empty: int = 0  # pictures on which nothing was read
    surest_extra: float = 0.0  # the highest confidence of a digit that is none

    @property
    def is_whole(self) -> bool:
        """Whether all digits were read where they stand, nothing besides, and every box was told."""
        return self.n_right == self.n_digits and self.n_extra == 0 and self.n_cells_right == self.n_cells

    def __add__(self, other: Found) -> Found:
        surest = max(self.surest_extra, other.surest_extra)
        summed = (a + b for a, b in zip(astuple(self), astuple(other), strict=True))
        return replace(Found(*summed), surest_extra=surest)


def judge(picture: Composed, reading: Reading) -> Found:
    """Compare a reading with what was composed."""
    right, extra = in_place(picture, reading)
    read = [[number.value for number in line.numbers] for line in reading.lines]
    if picture.cells:
        whole = Counter(picture.lines) & Counter(numbers[0] for numbers in read if len(numbers) == 1)
    else:
        digits = ("".join(filter(str.isdecimal, line)) for line in picture.lines)
        whole = Counter(digits) & Counter("".join(numbers) for numbers in read)
    texts = Counter(picture.lines) & Counter(line.text for line in reading.lines)
    return Found(
        n_pictures=1,
        n_turned=int(reading.turned == picture.turned),
        n_digits=len(picture.marks),
        n_right=right,
        n_extra=len(extra),
        n_lines=len(picture.lines),
        n_whole=sum(whole.values()),
        n_texts=sum(texts.values()),
        n_cells=sum(map(len, picture.cells)),
        n_cells_right=cells_right(picture, reading),
        n_empty=int(not reading.digits),
        surest_extra=max((digit.confidence for digit in extra), default=0.0),
    )


def total(found: Iterable[Found]) -> Found:
    """Return the sum."""
    return sum(found, Found())


def in_place(picture: Composed, reading: Reading) -> tuple[int, list[Digit]]:
    """Return how many digits were read where they stand, and those that were read where none stands."""
    if reading.turned != picture.turned:
        return 0, list(reading.digits)
    free = [(mark, *_straightened(mark, reading)) for mark in picture.marks]
    n_right, extra = 0, []
    for digit in reading.digits:
        box = digit.box
        here = [
            (abs(x - (box.left + box.right) / 2) + abs(y - (box.top + box.bottom) / 2), place)
            for place, (_, x, y) in enumerate(free)
            if box.left <= x <= box.right and box.top <= y <= box.bottom
        ]
        if not here:
            extra.append(digit)
            continue
        mark, _, _ = free.pop(min(here)[1])
        n_right += mark.value == str(digit.value)
    return n_right, extra


def cells_right(picture: Composed, reading: Reading) -> int:
    """Return how many boxes were told as what they hold, each row compared with the row that was read most like it."""
    if not picture.cells:
        return 0
    rows = [tuple(cell.value for cell in line.cells) for line in reading.lines if line.cells]
    n_right = 0
    for cells in picture.cells:
        best = max(rows, key=lambda row: _agreeing(cells, row), default=())
        if best:
            n_right += _agreeing(cells, best)
            rows.remove(best)
    return n_right


def _agreeing(truth: tuple[str, ...], read: tuple[str, ...]) -> int:
    """How many boxes agree; none where there are more or fewer of them."""
    return sum(a == b for a, b in zip(truth, read, strict=True)) if len(truth) == len(read) else 0


def _straightened(mark: Mark, reading: Reading) -> tuple[float, float]:
    """Where the middle of a digit is in pixels of the reading, whose photo was turned clockwise by its skew."""
    x, y = mark.center
    if reading.skew == 0:
        return x, y
    angle = np.deg2rad(reading.skew)
    sine, cosine = float(np.sin(angle)), float(np.cos(angle))
    # The straightened picture holds all of the other, so its size tells the other's.
    spread = cosine**2 - sine**2
    width = (reading.width * cosine - reading.height * abs(sine)) / spread
    height = (reading.height * cosine - reading.width * abs(sine)) / spread
    across, down = x - width / 2, y - height / 2
    return (
        reading.width / 2 + across * cosine - down * sine,
        reading.height / 2 + across * sine + down * cosine,
    )
