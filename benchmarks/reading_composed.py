"""Write a folder of composed pictures to score or to look at: MNIST's test digits, as hard as is wanted.

    python benchmarks/reading_composed.py FOLDER [--kind sheets] [--pictures 200] [--seed 0]
    python benchmarks/reading.py FOLDER
    python benchmarks/reading_composed.py FOLDER --kind sheets --read

Kinds: ``numbers`` of 1 to 8 digits that stand apart or touch, ``sheets`` on tables lying in any of four turns,
``forms`` with boxes, ``blanks`` (forms with empty, crossed or dashed boxes), ``sudokus``, ``separated`` (dates,
fractions, decimals, times, products), ``heights`` from 10 pixels to filling the picture, ``chalk`` (the same in light
ink on dark), and without any digit ``text`` and ``scenes``. The tests compose the same kinds from another seed. Unlike
the development folders these pictures may be copied. ``--read`` scores them at once, digits in place and boxes and
separators too, which a ``truth.tsv`` cannot tell; the folder then also gets what was read, drawn on each picture that
was not read as a whole.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from composed_empty import SCENES, named_scene, text_page
from composed_kinds import FORMS, HEIGHTS, form, of_height, separated, sheet_on_table, sudoku
from composed_photos import Composed, Mark, moved
from digitlab.data.mnist import MnistData
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Digit, Reading, ReadingOptions
from reading_folders import TRUTH

#: Widths of pen, as the side of the square that thins (below 0) or thickens the ink.
PENS = (-3, 1, 1, 3, 5)
SIDE_PX = 84  # of a digit's 28 x 28 image, enlarged


def number(rng: np.random.Generator) -> Composed:
    """Compose one number of plain test digits on paper with a grain and a shadow."""
    test = MnistData.load().test
    chosen = rng.integers(0, len(test), int(rng.integers(1, 9)))
    # An image has an empty margin of about a fifth on each side: steps below two thirds make digits touch.
    step = int(SIDE_PX * rng.uniform(0.45, 0.9))
    ink = np.zeros((2 * SIDE_PX, step * len(chosen) + 2 * SIDE_PX), np.float32)
    marks = []
    for place, index in enumerate(chosen):
        digit = np.asarray(Image.fromarray(test.images[index]).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))
        top = SIDE_PX // 2 + int(rng.integers(-5, 6))
        left = SIDE_PX // 2 + place * step
        part = ink[top : top + SIDE_PX, left : left + SIDE_PX]
        np.maximum(part, digit.astype(np.float32) / 255, out=part)
        x, y, wide, high = cv2.boundingRect((digit > 100).astype(np.uint8))
        box = (left + x, top + y, left + x + wide, top + y + high)
        marks.append(Mark(str(test.labels[index]), box))
    picture = Image.fromarray((255 * ink).astype(np.uint8))
    pen = int(rng.choice(PENS))
    if abs(pen) > 1:
        picture = picture.filter(ImageFilter.MaxFilter(pen) if pen > 0 else ImageFilter.MinFilter(-pen))
    turn = float(rng.uniform(-8, 8))
    picture = picture.rotate(turn, Image.Resampling.BICUBIC)
    matrix = np.vstack([cv2.getRotationMatrix2D((picture.width / 2, picture.height / 2), turn, 1.0), [0, 0, 1]])
    digits = "".join(str(test.labels[index]) for index in chosen)
    pixels = plainly_lit(np.asarray(picture, np.float32) / 255, rng)
    return Composed(np.dstack([pixels] * 3), (digits,), moved(marks, matrix), kind="number")


def plainly_lit(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Put ink on paper with a grain, a shadow from one side, and noise."""
    height, width = ink.shape
    coarse = Image.fromarray(rng.normal(0, 1, (-(-height // 40), -(-width // 40))).astype(np.float32))
    grain = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 230 - 90 * (x / width) ** 2 - 40 * (y / height)
    noise = rng.normal(0, 4, ink.shape).astype(np.float32)
    return np.clip(light * (1 - 0.75 * ink) + 2 * grain + noise, 0, 255).astype(np.uint8)


#: Makers of pictures, by kind: random numbers and the picture's number in.
KINDS: dict[str, Callable[[np.random.Generator, int], Composed]] = {
    "numbers": lambda rng, k: number(rng),
    "sheets": lambda rng, k: sheet_on_table(rng).turn(k % 4),
    "forms": lambda rng, k: form(rng, FORMS[k % len(FORMS)], rows=1 + k % 3),
    "blanks": lambda rng, k: form(rng, FORMS[k % len(FORMS)], rows=1 + k % 3, blanks=True),
    "sudokus": lambda rng, k: sudoku(rng),
    "separated": lambda rng, k: separated(rng, n_lines=1 + k % 3),
    "heights": lambda rng, k: of_height(rng, HEIGHTS[k % len(HEIGHTS)]),
    "chalk": lambda rng, k: of_height(rng, HEIGHTS[k % len(HEIGHTS)], light_ink=True),
    "text": lambda rng, k: text_page(rng),
    "scenes": lambda rng, k: named_scene(tuple(SCENES)[k % len(SCENES)], rng),
}


def composed(kind: str, seed: int, k: int) -> Composed:
    """Return picture ``k`` of a kind and seed, the same whatever else was composed."""
    return KINDS[kind](np.random.default_rng([seed, zlib.crc32(kind.encode()), k]), k)


def told(kind: str, picture: Composed) -> str:
    """Return the truth as ``truth.tsv`` has it."""
    lines = ["".join(character for character in line if character.isdecimal()) for line in picture.lines]
    return "|".join(lines) if lines else picture.kind


def write_folder(folder: Path, kind: str, n_pictures: int, seed: int) -> None:
    """Write pictures and their truth."""
    folder.mkdir(parents=True, exist_ok=True)
    heading = {"numbers": "digits", "text": "letter", "scenes": "letter"}.get(kind, "lines")
    rows = [f"file\t{heading}\n"]
    for k in range(n_pictures):
        picture = composed(kind, seed, k)
        Image.fromarray(picture.pixels).save(folder / f"{k:03d}.png")
        rows.append(f"{k:03d}.png\t{told(kind, picture)}\n")
    (folder / TRUTH).write_text("".join(rows))


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


def read_kind(kind: str, n_pictures: int, seed: int, folder: Path) -> Found:
    """Read pictures of a kind; those that were not read as a whole are drawn into the folder and told."""
    found, reader = Found(), Reader()
    options = ReadingOptions(grid=(9, 9)) if kind == "sudokus" else ReadingOptions()
    for k in range(n_pictures):
        picture = composed(kind, seed, k)
        reading = reader.read(picture.pixels, options)
        judged = judge(picture, reading)
        found += judged
        if not judged.is_whole or judged.n_texts < judged.n_lines:
            reading.render(picture.pixels).save(folder / f"read-{k:03d}.png")
            print(f"{k:03d} {picture.kind}: {' | '.join(picture.lines)} -> {' | '.join(reading.text.splitlines())}")
    return found


def table(found: Found) -> str:
    """Return the counts for people."""
    rows = [
        ("digits right and in place", found.n_right, found.n_digits),
        ("turned rightly", found.n_turned, found.n_pictures),
        ("lines whole", found.n_whole, found.n_lines),
        ("texts with separators", found.n_texts, found.n_lines),
        ("boxes", found.n_cells_right, found.n_cells),
        ("pictures empty", found.n_empty, found.n_pictures),
    ]
    lines = [f"{what}: {n} of {of} ({100 * n / of:.1f} %)" for what, n, of in rows if of]
    extra = f"extra: {found.n_extra}, {found.n_extra / found.n_pictures:.2f} a picture; surest {found.surest_extra:.4f}"
    return "\n".join([*lines, extra])


def main(argv: list[str] | None = None) -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="made if it is missing")
    parser.add_argument("--kind", choices=KINDS, default="numbers", help="what to compose (default numbers)")
    parser.add_argument("--pictures", type=int, default=200, metavar="N", help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="which (default 0)")
    parser.add_argument("--read", action="store_true", help="read them and tell how well")
    options = parser.parse_args(argv)
    write_folder(options.folder, options.kind, options.pictures, options.seed)
    if options.read:
        print(table(read_kind(options.kind, options.pictures, options.seed, options.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
