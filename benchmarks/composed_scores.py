"""How well a composed picture was read: digits right and in place, what was read besides, rows, texts, boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from composed_glyphs import Mark
from composed_photos import Composed
from digitlab.reading.reading import Digit, Reading


@dataclass(frozen=True)
class Found:
    """Counts over pictures: of digits, of lines, of boxes, and the confidence of the surest digit that is none.

    Attributes
    ----------
    n_pictures, n_turned : int
        Pictures, and those turned upright rightly.
    n_digits, n_right, n_extra : int
        Digits that stand there, those read where they stand, and what was read where none stands.
    n_lines, n_whole, n_texts : int
        Lines that stand there; those of which all digits and nothing else was read, as one number where it is a row of
        boxes; and those whose text with separators is right.
    n_cells, n_cells_right : int
        Boxes, and those of which the digit, or that there is none, was told.
    n_empty : int
        Pictures on which nothing was read.
    surest_extra : float
        The highest confidence of a digit that is none; 0 without any.
    """

    n_pictures: int = 0
    n_turned: int = 0
    n_digits: int = 0
    n_right: int = 0
    n_extra: int = 0
    n_lines: int = 0
    n_whole: int = 0
    n_texts: int = 0
    n_cells: int = 0
    n_cells_right: int = 0
    n_empty: int = 0
    surest_extra: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether all digits were read where they stand, nothing besides, and every box was told."""
        return self.n_right == self.n_digits and self.n_extra == 0 and self.n_cells_right == self.n_cells

    def __add__(self, other: Found) -> Found:
        summed = {
            name: getattr(self, name) + getattr(other, name)
            for name in self.__dataclass_fields__
            if name != "surest_extra"
        }
        return Found(**summed, surest_extra=max(self.surest_extra, other.surest_extra))


def judge(picture: Composed, reading: Reading) -> Found:
    """Compare a reading with what was composed."""
    right, extra = in_place(picture, reading)
    read = [[number.value for number in line.numbers] for line in reading.lines]
    n_whole = sum((_counted(_digits(picture.lines)) & _counted("".join(numbers) for numbers in read)).values())
    if picture.cells:
        n_whole = sum(
            (_counted(picture.lines) & _counted(numbers[0] for numbers in read if len(numbers) == 1)).values()
        )
    texts = _counted(picture.lines) & _counted(line.text for line in reading.lines)
    return Found(
        n_pictures=1,
        n_turned=int(reading.turned == picture.turned),
        n_digits=len(picture.marks),
        n_right=right,
        n_extra=len(extra),
        n_lines=len(picture.lines),
        n_whole=n_whole,
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


def _digits(lines: Iterable[str]) -> list[str]:
    return ["".join(character for character in line if character.isdecimal()) for line in lines]


def _counted(values: Iterable[str]) -> Counter[str]:
    return Counter(values)
