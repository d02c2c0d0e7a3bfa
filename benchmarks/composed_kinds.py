"""Kinds of composed pictures with digits: sheets on tables, forms, puzzles, separators, every size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from composed_glyphs import Hand, Mark, digit_ink, lay, separator_ink, some_hand, some_number, write
from composed_photos import (
    GROUNDS,
    Composed,
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

FORMS = ("grid", "boxes", "comb", "thin", "thick")
#: Heights of digits in pixels.
HEIGHTS = (10, 14, 20, 32, 64, 128, 256, 420)
_PHOTO_PX = 1440  # longest side


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
