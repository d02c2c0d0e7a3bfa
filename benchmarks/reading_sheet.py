"""A contact sheet of what was read wrongly: each picture with what was read drawn on it, and what stands there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from digitlab.reading.reading import Reading
from digitlab.reading.render import upright_pixels
from reading_scores import Answer, aligned

_LABEL_PX = 34
_TEXT, _PALE, _GROUND = "#1f2328", "#656d76", "#d0d7de"
_RIGHT, _WRONG, _EXTRA, _REFUSED = "#0a7d33", "#d1242f", "#8250df", "#bf8700"


def cell_of(answers: Sequence[Answer]) -> tuple[int, int, int]:
    """Return the size of a picture on the sheet in pixels and how many stand side by side: pages want more room."""
    most = max(len(answer.truth) for answer in answers)
    if most > 8:
        return 560, 480, 3
    return (380, 170, 4) if most > 1 else (200, 150, 7)


def write_sheet(
    answers: Sequence[Answer], photos: Mapping[str, Path | NDArray[np.uint8]], target: Path, n_most: int = 140
) -> int:
    """Write the sheet, the surest mistakes first, and return how many there are; nothing is written without any.

    Digits that stand there are green, others red, what stands beside them violet, what was refused yellow.
    """
    wrong = sorted((answer for answer in answers if not answer.is_right), key=lambda answer: -answer.confidence)
    if not wrong:
        target.unlink(missing_ok=True)
        return 0
    shown = wrong[:n_most]
    wide, high, n_columns = cell_of(answers)
    n_rows = -(-len(shown) // n_columns)
    width, height = wide + 8, high + _LABEL_PX + 8
    sheet = Image.new("RGB", (width * min(n_columns, len(shown)), height * n_rows), _GROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for place, answer in enumerate(shown):
        left, top = width * (place % n_columns) + 4, height * (place // n_columns) + 4
        sheet.paste("#ffffff", (left, top, left + wide, top + height - 8))
        picture = seen(answer, photos[answer.file], (wide, high))
        sheet.paste(picture, (left + (wide - picture.width) // 2, top))
        told = f"{answer.told} -> {answer.text.replace(' ', '|') or 'nothing'}"
        for row, line in enumerate(_lines(told, wide // 7)):
            draw.text((left + 4, top + high + 2 + 15 * row), line, _TEXT, font)
        note = f"{answer.confidence:.3f} {answer.file[-22:]}"
        if len(told) <= wide // 7:
            draw.text((left + 4, top + high + 17), note, _PALE, font)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, quality=82)
    return len(wrong)


def seen(answer: Answer, photo: Path | NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """Return the picture as it was read, at most ``size`` large, with what was read where it was seen."""
    if answer.reading is None:
        with Image.open(photo) if isinstance(photo, Path) else Image.fromarray(photo) as image:
            return ImageOps.contain(ImageOps.exif_transpose(image).convert("RGB"), size)
    picture = ImageOps.contain(Image.fromarray(upright_pixels(photo, answer.reading)), size)
    _draw(picture, answer, answer.reading)
    return picture


def _draw(picture: Image.Image, answer: Answer, reading: Reading) -> None:
    draw = ImageDraw.Draw(picture)
    x, y = picture.width / max(reading.width, 1), picture.height / max(reading.height, 1)
    for refused in reading.refused:
        box = refused.box
        draw.rectangle((box.left * x, box.top * y, box.right * x, box.bottom * y), outline=_REFUSED)
    truth = answer.truth.replace(" ", "")
    places = aligned(truth, "".join(str(digit.value) for digit in reading.digits))
    for place, digit in zip(places, reading.digits, strict=True):
        color = _EXTRA if place is None else _RIGHT if truth[place] == str(digit.value) else _WRONG
        box = digit.box
        draw.rectangle((box.left * x, box.top * y, box.right * x, box.bottom * y), outline=color)
        font = ImageFont.load_default(min(max(11.0, 0.4 * box.height * y), 24.0))
        place_xy = (box.left * x + 1, max(box.top * y - 0.6 * font.size, 0))
        draw.text(place_xy, str(digit.value), color, font, stroke_width=1, stroke_fill="white")


def _lines(text: str, most: int) -> list[str]:
    """Cut a text into at most two lines of so many characters."""
    if len(text) <= most:
        return [text]
    first, _, second = text.partition(" -> ")
    return [first[:most], f"-> {second}"[:most]]
