"""What is written with MNIST's test digits in a hand: numbers, separators, sheets, forms, puzzles, of any size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from composed_photos import (
    GROUNDS,
    Composed,
    Mark,
    ground,
    inked,
    laid,
    lit,
    moved,
    paper,
    pen_color,
    photographed,
    ruled,
    tilted,
)
from digitlab.data.mnist import MnistData

FORMS = ("grid", "boxes", "comb", "thin", "thick")
#: Heights of digits in pixels.
HEIGHTS = (10, 14, 20, 32, 64, 128, 256, 420)
_PHOTO_PX = 1440  # longest side
#: Test digits that the reader's first network (0.1.0) gave less than 70 % of its label's probability: most of them are
#: illegible to people as well. They are left out, so that a row of eight is wrong because of the way, not of MNIST;
#: how many of all 10,000 are answered rightly is measured elsewhere.
ILLEGIBLE = (
    *(33, 193, 247, 359, 593, 659, 674, 716, 938, 947, 1045, 1182, 1232, 1242, 1260, 1299, 1393, 1403, 1459, 1621),
    *(1790, 1878, 1901, 2018, 2035, 2040, 2053, 2130, 2293, 2326, 2377, 2454, 2462, 2597, 2654, 2771, 2995, 3073),
    *(3225, 3422, 3558, 3702, 3762, 3941, 4027, 4065, 4176, 4201, 4443, 4507, 4536, 4578, 4740, 4761, 4823, 5201),
    *(5600, 5613, 5634, 5654, 5676, 5937, 5955, 5997, 6571, 6576, 6625, 7354, 7927, 8316, 9505, 9664, 9692, 9729),
    *(9750, 9850),
)
SEPARATORS = "/-.,:x="

_MNIST_PX = 20  # the height of a digit within its 28 x 28 image
_FINE_PX = 40  # smaller digits are drawn so high and shrunk, as a camera would


@dataclass(frozen=True)
class Hand:
    """How somebody writes; slant, gap and unrest are in heights."""

    height_px: float  # of the usual digit
    threshold: float  # in (0, 1): a thick pen has a low one
    slant: float  # how far the top of a digit stands to the right of its foot
    gap: tuple[float, float]  # least and largest between digits
    unrest: float  # how far digits stray from the line
    upright_ones: bool = False  # whether a 1 stands upright, so that nobody takes it for a slash

    @property
    def pen_px(self) -> float:
        """About how wide the pen is."""
        return self.height_px * (0.2 - 0.18 * self.threshold)


def some_hand(
    rng: np.random.Generator, height_px: float, gap: tuple[float, float] = (0.04, 0.3), *, upright_ones: bool = False
) -> Hand:
    """Return somebody's hand."""
    slant = rng.normal(0, 0.04) if upright_ones else rng.normal(0.05, 0.1)
    return Hand(height_px, rng.uniform(0.28, 0.52), slant, gap, rng.uniform(0.01, 0.06), upright_ones)


@cache
def _digits() -> tuple[NDArray[np.uint8], tuple[NDArray[np.int64], ...]]:
    """Test images, uint8 (10000, 28, 28), and for each digit the indices of those that are legible."""
    test = MnistData.load().test
    legible = np.setdiff1d(np.arange(len(test.labels)), ILLEGIBLE)
    return test.images.reshape(-1, 28, 28), tuple(legible[test.labels[legible] == digit] for digit in range(10))


@cache
def _upright_ones() -> NDArray[np.int64]:
    """Indices of test ones whose ink is at most a third as wide as it is high."""
    images, indices = _digits()
    boxes = [cv2.boundingRect((images[k] > 100).astype(np.uint8)) for k in indices[1]]
    return indices[1][[3 * width <= height for _, _, width, height in boxes]]


def digit_ink(digit: int, hand: Hand, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a test digit in a hand; float32 (h, w), 0-1, cut to its ink."""
    images, indices = _digits()
    known = _upright_ones() if digit == 1 and hand.upright_ones else indices[digit]
    image = images[rng.choice(known)].astype(np.float32) / 255
    height = hand.height_px * rng.uniform(0.92, 1.08)
    fine = max(height, _FINE_PX)
    scale = fine / _MNIST_PX
    side = int(2.2 * fine)
    turn, slant = np.deg2rad(rng.normal(0, 3)), hand.slant + rng.normal(0, 0.03)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, -slant], [0, 1]]
    linear = scale * linear * [[rng.uniform(0.93, 1.07)], [1]]
    place = np.array([side / 2, side / 2]) - linear @ [13.5, 13.5]
    large = cv2.warpAffine(image, np.column_stack([linear, place]), (side, side), flags=cv2.INTER_CUBIC)
    # The pen: a soft edge of about a pixel and a half at the threshold.
    softness = max(0.7 / scale, 0.05)
    ink = 1 / (1 + np.exp(-(large - hand.threshold) / (0.35 * softness)))
    ink[large < 0.05] = 0
    if fine > height:
        small = max(1, round(side * height / fine))
        ink = cv2.resize(ink, (small, small), interpolation=cv2.INTER_AREA)
    return _cut(ink.astype(np.float32))


def separator_ink(name: str, hand: Hand, rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """Draw what stands between numbers; float32 (h, w), 0-1, cut, and how far its top lies below that of the digits."""
    high = hand.height_px
    fine = max(1.0, _FINE_PX / high)
    h = high * fine
    side = int(2 * h)
    canvas = np.zeros((side, side), np.uint8)
    pen = max(1, round(hand.pen_px * fine * rng.uniform(0.85, 1.15)))

    def stroke(*points: tuple[float, float], width: int = pen) -> None:
        shaken = [(x + rng.normal(0, 0.012), y + rng.normal(0, 0.012)) for x, y in points]
        corners = [np.array([h * (x + 0.5), h * (y + 0.4)]) * 16 for x, y in shaken]
        cv2.polylines(canvas, [np.array(corners, np.int32)], False, 255, width, cv2.LINE_AA, 4)

    def dot(x: float, y: float) -> None:
        center = (round(16 * h * (x + 0.5)), round(16 * h * (y + 0.4)))
        cv2.circle(canvas, center, round(16 * max(0.75 * pen, 0.045 * h)), 255, -1, cv2.LINE_AA, 4)

    lean, wide = rng.uniform(0.25, 0.5), rng.uniform(0.28, 0.42)
    if name == "/":
        stroke((0, rng.uniform(1.02, 1.15)), (lean, rng.uniform(-0.1, 0.0)))
    elif name == "-":
        stroke((0, 0.55), (wide, rng.uniform(0.5, 0.58)))
    elif name == ".":
        dot(0, 0.95)
    elif name == ",":
        stroke((0.06, 0.9), (0.05, 1.0), (-0.03, 1.16))
    elif name == ":":
        dot(0, 0.35)
        dot(rng.normal(0, 0.02), 0.8)
    elif name == "x":
        stroke((0, 0.42), (wide + 0.06, 0.88))
        stroke((wide + 0.06, 0.42), (0, 0.88))
    elif name == "=":
        stroke((0, 0.44), (wide + 0.05, 0.43))
        stroke((0, 0.66), (wide + 0.05, 0.65))
    else:
        raise ValueError(f"{name!r} is no separator; choose one of {SEPARATORS}.")
    rows = np.flatnonzero(canvas.max(1))
    cut = _cut(canvas.astype(np.float32) / 255)
    if fine > 1:
        size = (max(1, round(cut.shape[1] / fine)), max(1, round(cut.shape[0] / fine)))
        cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
    return cut, (rows[0] - 0.4 * h) / fine


def write(
    ink: NDArray[np.float32], text: str, left: float, top: float, hand: Hand, rng: np.random.Generator
) -> tuple[list[Mark], float]:
    """Write digits, separators and spaces into ``ink``, float32 (h, w); return the digits and where the text ends."""
    marks = []
    for character in text:
        if character == " ":
            left += hand.height_px * rng.uniform(0.9, 1.5)
            continue
        if character in SEPARATORS:
            glyph, below = separator_ink(character, hand, rng)
            y = top + below
        else:
            glyph = digit_ink(int(character), hand, rng)
            y = top + hand.height_px - glyph.shape[0] + rng.normal(0, hand.unrest) * hand.height_px
        box = lay(ink, glyph, left, y)
        if character not in SEPARATORS:
            marks.append(Mark(character, box))
        # What is low and narrow stands a little freer, as people write it.
        left = box[2] + hand.height_px * (rng.uniform(*hand.gap) + (0.06 if character in SEPARATORS else 0.0))
    return marks, left


def lay(ink: NDArray[np.float32], glyph: NDArray[np.float32], left: float, top: float) -> tuple[float, ...]:
    """Lay a glyph into the ink, as far as it is on it; return its box."""
    x, y = round(left), round(top)
    height, width = glyph.shape
    part = ink[max(y, 0) : y + height, max(x, 0) : x + width]
    own = glyph[max(-y, 0) : max(-y, 0) + part.shape[0], max(-x, 0) : max(-x, 0) + part.shape[1]]
    np.maximum(part, own, out=part)
    return x, y, x + width, y + height


def some_number(rng: np.random.Generator, least: int = 2, most: int = 6) -> str:
    """Return digits."""
    return "".join(str(digit) for digit in rng.integers(0, 10, int(rng.integers(least, most + 1))))


def _cut(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    left, top, width, height = cv2.boundingRect((ink > 0.3).astype(np.uint8))
    return ink[top : top + max(height, 1), left : left + max(width, 1)]


def sheet_on_table(rng: np.random.Generator, tilt: float = 15.0) -> Composed:
    """A sheet of numbers that lies on a table, all four edges in view, photographed at up to ``tilt`` degrees."""
    wide, high = (1150, 1500) if rng.random() < 0.6 else (1400, 1050)
    hand = some_hand(rng, rng.uniform(44, 70))
    sheet, ink = paper((high, wide), rng), np.zeros((high, wide), np.float32)
    pitch = hand.height_px * rng.uniform(1.7, 2.4)
    margin = 1.4 * hand.height_px
    if rng.random() < 0.35:
        ruled(sheet, pitch, margin + hand.height_px * 1.08, rng)
    lines, marks = [], []
    n_lines = min(int(rng.integers(4, 9)), int((high - 2 * margin) / pitch))
    first = int(rng.integers(0, int((high - 2 * margin) / pitch) - n_lines + 1))
    for row in range(n_lines):
        text = some_number(rng)
        while rng.random() < 0.45 and len(text) < 0.75 * (wide - 2 * margin) / hand.height_px - 6:
            text += " " + some_number(rng, 1, 5)
        left = margin * rng.uniform(0.8, 1.6)
        found, end = write(ink, text, left, margin + (first + row) * pitch, hand, rng)
        assert end < wide, "the line is too long for the sheet"
        lines.append(text)
        marks += found
    sheet = inked(sheet, ink, pen_color(rng), rng)
    frame = (_PHOTO_PX * 3 // 4, _PHOTO_PX) if high > wide else (_PHOTO_PX, _PHOTO_PX * 3 // 4)
    matrix = tilted((wide, high), frame, rng.uniform(0.3, 1) * tilt, rng.normal(0, 3), rng)
    kind = str(rng.choice(GROUNDS))
    photo = laid(sheet, ground(kind, frame[::-1], rng), matrix, rng)
    photo = lit(photo, rng, hard=rng.random() < 0.3)
    pixels = photographed(photo, rng, blur=rng.uniform(0.5, 1.1))
    return Composed(pixels, tuple(lines), moved(marks, matrix), kind=f"sheet on {kind}")


def form(rng: np.random.Generator, style: str, *, blanks: bool = False, rows: int = 1) -> Composed:
    """Rows of boxes with a digit in each, as scanned; ``blanks`` leaves some empty, crossed or with a dash."""
    cell = rng.uniform(52, 84)
    wide = cell * rng.uniform(0.75, 1.0)
    counts = [int(rng.integers(3, 9)) for _ in range(rows)]
    gap = wide * rng.uniform(0.12, 0.4) if style == "boxes" else 0.0
    label = rng.random() < 0.5
    left = 60.0 + (190 if label else 0) + rng.uniform(0, 60)
    size = (round(70 + cell + (rows - 1) * 1.9 * cell + 70), round(left + max(counts) * (wide + gap) + 70))
    sheet, ink = paper(size, rng), np.zeros(size, np.float32)
    hand = some_hand(rng, cell * rng.uniform(0.5, 0.68))
    printed = np.zeros(size, np.float32)
    lines, marks, cells = [], [], []
    for row, count in enumerate(counts):
        top = 70 + row * 1.9 * cell
        _boxes(printed, style, left, top, wide, cell, gap, count, rng)
        if label:
            word = str(rng.choice(["Amount", "Code", "Number", "Total", "Date", "Member"]))
            letters = np.zeros(size, np.uint8)
            cv2.putText(
                letters, word, (30, round(top + 0.62 * cell)), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 230, 2, cv2.LINE_AA
            )
            np.maximum(printed, letters.astype(np.float32) / 255, out=printed)
        values = []
        for k in range(count):
            x, y = left + k * (wide + gap) + wide / 2, top + cell / 2
            values.append(_filled(ink, x, y, hand, rng, blanks=blanks and rng.random() < 0.35, marks=marks))
        if not any(values):
            values[0] = _filled(ink, left + wide / 2, top + cell / 2, hand, rng, blanks=False, marks=marks)
        cells.append(tuple(values))
        lines.append("".join(values))
    color = np.array([[0.1] * 3, [0.75, 0.4, 0.5], [0.35, 0.45, 0.7]][rng.choice(3, p=[0.6, 0.2, 0.2])])
    faint = rng.uniform(0.3, 0.6) if style == "thin" else 1.0
    sheet = sheet * (1 - printed[..., None] * faint * (1 - color))
    sheet = inked(sheet.astype(np.float32), ink, pen_color(rng), rng)
    skew = cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), rng.normal(0, 0.6), 1.0)
    sheet = cv2.warpAffine(sheet, skew, size[::-1], borderMode=cv2.BORDER_REPLICATE)
    photo = lit(sheet, rng) if rng.random() < 0.5 else sheet
    pixels = photographed(photo, rng, blur=rng.uniform(0.4, 0.9), noise=0.01)
    places = moved(marks, np.vstack([skew, [0, 0, 1]]))
    return Composed(pixels, tuple(lines), places, cells=tuple(cells), kind=f"form, {style}")


def sudoku(rng: np.random.Generator, filled: float = 0.6) -> Composed:
    """A puzzle of nine rows of nine, photographed from above; some cells are empty."""
    cell, margin = 74, 90
    side = 9 * cell + 2 * margin
    sheet, ink, printed = (
        paper((side, side), rng),
        np.zeros((side, side), np.float32),
        np.zeros((side, side), np.float32),
    )
    thin, thick = int(rng.integers(1, 3)), int(rng.integers(3, 6))
    for k in range(10):
        at = margin + k * cell
        width = thick if k % 3 == 0 else thin
        cv2.line(printed, (margin, at), (side - margin, at), 1.0, width)
        cv2.line(printed, (at, margin), (at, side - margin), 1.0, width)
    hand = some_hand(rng, cell * rng.uniform(0.46, 0.62))
    marks: list[Mark] = []
    rows = []
    for row in range(9):
        values = []
        for column in range(9):
            x, y = margin + (column + 0.5) * cell, margin + (row + 0.5) * cell
            is_filled = rng.random() < filled or (column == 8 and not any(values))
            values.append(_in_cell(ink, x, y, int(rng.integers(1, 10)), hand, rng, marks) if is_filled else "")
        rows.append(tuple(values))
    sheet = sheet * (1 - printed[..., None] * rng.uniform(0.6, 0.95))
    sheet = inked(sheet.astype(np.float32), ink, pen_color(rng), rng)
    matrix = tilted((side, side), (1000, 1000), rng.uniform(0, 8), rng.normal(0, 2), rng, fill=0.98)
    photo = laid(sheet, ground("granite", (1000, 1000), rng), matrix, rng)
    pixels = photographed(lit(photo, rng), rng)
    lines = tuple("".join(values) for values in rows)
    return Composed(pixels, lines, moved(marks, matrix), cells=tuple(rows), kind="sudoku")


def some_separated(rng: np.random.Generator) -> str:
    """Return a date, a fraction, a decimal, a time, a product, an equation or a telephone number."""
    kind = int(rng.integers(7))
    day, month, year = rng.integers(1, 32), rng.integers(1, 13), rng.integers(1950, 2030)
    n = [some_number(rng, 1, 3) for _ in range(3)]
    if kind == 0:
        mark = str(rng.choice(list("/.-")))
        return mark.join((f"{day:02d}", f"{month:02d}", str(year)))
    if kind == 1:
        return f"{n[0]}/{n[1]}"
    if kind == 2:
        return f"{n[0]}{rng.choice(list('.,'))}{some_number(rng, 1, 2)}"
    if kind == 3:
        return f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}"
    if kind == 4:
        return f"{n[0]}x{n[1]}"
    if kind == 5:
        return f"{n[0]}={n[1]}"
    return f"{some_number(rng, 3, 4)}-{some_number(rng, 3, 4)}"


def separated(rng: np.random.Generator, text: str | None = None, n_lines: int = 3) -> Composed:
    """Lines with separators between numbers, each written freely on a sheet."""
    hand = some_hand(rng, rng.uniform(46, 76), gap=(0.07, 0.22), upright_ones=True)
    lines = [text or some_separated(rng) for _ in range(n_lines)]
    size = (round(hand.height_px * (1.6 + 2.0 * n_lines)), round(hand.height_px * (max(map(len, lines)) * 0.95 + 3)))
    sheet, ink = paper(size, rng), np.zeros(size, np.float32)
    marks: list[Mark] = []
    for row, line in enumerate(lines):
        left, top = hand.height_px * rng.uniform(0.8, 1.4), hand.height_px * (1.2 + 2.0 * row)
        marks += write(ink, line, left, top, hand, rng)[0]
    photo = lit(inked(sheet, ink, pen_color(rng), rng), rng)
    return Composed(photographed(photo, rng), tuple(lines), tuple(marks), kind="separated")


def of_height(rng: np.random.Generator, height_px: int, *, light_ink: bool = False) -> Composed:
    """Digits of one height: lines of small ones, or one that fills the picture; ``light_ink``: chalk on slate."""
    hand = some_hand(rng, height_px, gap=(0.1, 0.3))
    if height_px > 100:
        count, n_lines, margin = (3 if height_px < 200 else 1), 1, 0.25
    else:
        count, n_lines, margin = 5, min(4, 200 // height_px), 1.0
    size = (round(height_px * (2 * margin + 1 + 2 * (n_lines - 1))), round(height_px * (2 * margin + 1.15 * count)))
    size = (max(size[0], 64), max(size[1], 64))
    sheet, ink = paper(size, rng), np.zeros(size, np.float32)
    if light_ink:
        sheet = sheet * np.array([0.12, 0.16, 0.15], np.float32)
    lines, marks = [], []
    for row in range(n_lines):
        text = some_number(rng, count, count)
        left, top = height_px * margin, height_px * (margin + 2 * row)
        marks += write(ink, text, left, top, hand, rng)[0]
        lines.append(text)
    if light_ink:
        sheet = sheet * (1 - ink[..., None]) + np.float32(rng.uniform(0.6, 0.95)) * ink[..., None]
    else:
        sheet = inked(sheet, ink, pen_color(rng), rng)
    blur = 0.5 if height_px < 40 else 0.9
    pixels = photographed(lit(sheet, rng), rng, blur=blur, noise=0.008, quality=92)
    return Composed(pixels, tuple(lines), tuple(marks), kind=f"{height_px} px high")


def _in_cell(
    ink: NDArray[np.float32], x: float, y: float, digit: int, hand: Hand, rng: np.random.Generator, marks: list[Mark]
) -> str:
    """Write a digit about the middle of a cell."""
    glyph = digit_ink(digit, hand, rng)
    x, y = x + rng.normal(0, 0.05) * hand.height_px, y + rng.normal(0, 0.05) * hand.height_px
    marks.append(Mark(str(digit), lay(ink, glyph, x - glyph.shape[1] / 2, y - glyph.shape[0] / 2)))
    return str(digit)


def _filled(
    ink: NDArray[np.float32],
    x: float,
    y: float,
    hand: Hand,
    rng: np.random.Generator,
    *,
    blanks: bool,
    marks: list[Mark],
) -> str:
    """Fill a box with a digit, or, for ``blanks``, with nothing, a cross or a dash; return the digit or nothing."""
    if not blanks:
        return _in_cell(ink, x, y, int(rng.integers(0, 10)), hand, rng, marks)
    what = rng.choice(["", "x", "-"])
    if what:
        glyph, _ = separator_ink(what, hand, rng)
        if what == "x":
            glyph = cv2.resize(glyph, None, fx=rng.uniform(1.2, 1.7), fy=rng.uniform(1.2, 1.7))
        lay(ink, glyph, x - glyph.shape[1] / 2, y - glyph.shape[0] / 2)
    return ""


def _boxes(
    printed: NDArray[np.float32],
    style: str,
    left: float,
    top: float,
    wide: float,
    high: float,
    gap: float,
    count: int,
    rng: np.random.Generator,
) -> None:
    """Print a row of boxes."""
    width = {"thick": int(rng.integers(4, 7)), "thin": 1}.get(style, int(rng.integers(2, 4)))
    first, t, last, b = round(left), round(top), round(left + count * wide), round(top + high)
    if style == "boxes":
        for k in range(count):
            x = left + k * (wide + gap)
            cv2.rectangle(printed, (round(x), t), (round(x + wide), b), 1.0, width)
        return
    if style == "comb":
        cv2.line(printed, (first, b), (last, b), 1.0, width)
        ticks = [(round(left + k * wide), round(b - high * rng.uniform(0.25, 0.35))) for k in range(count + 1)]
        for x, y in ticks:
            cv2.line(printed, (x, b), (x, y), 1.0, width)
        return
    cv2.rectangle(printed, (first, t), (last, b), 1.0, width)
    for k in range(1, count):
        x = round(left + k * wide)
        cv2.line(printed, (x, t), (x, b), 1.0, width)
