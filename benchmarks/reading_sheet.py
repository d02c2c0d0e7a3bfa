"""A contact sheet of what was read wrongly: each picture with what stands there and what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from reading_scores import Answer

_CELL = (200, 120)  # pixels of a picture on the sheet
_LABEL_PX = 34
_COLUMNS = 6


def write_sheet(answers: Sequence[Answer], paths: Mapping[str, Path], target: Path, n_most: int = 180) -> int:
    """Write the sheet, the surest mistakes first, and return how many there are; nothing is written without any."""
    wrong = sorted((answer for answer in answers if not answer.is_right), key=lambda answer: -answer.confidence)
    if not wrong:
        target.unlink(missing_ok=True)
        return 0
    shown = wrong[:n_most]
    n_rows = -(-len(shown) // _COLUMNS)
    width, height = _CELL[0] + 8, _CELL[1] + _LABEL_PX + 8
    sheet = Image.new("RGB", (width * min(_COLUMNS, len(shown)), height * n_rows), "#d0d7de")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for place, answer in enumerate(shown):
        left, top = width * (place % _COLUMNS) + 4, height * (place // _COLUMNS) + 4
        sheet.paste("#ffffff", (left, top, left + _CELL[0], top + height - 8))
        with Image.open(paths[answer.file]) as image:
            small = ImageOps.contain(ImageOps.exif_transpose(image).convert("RGB"), _CELL)
        sheet.paste(small, (left + (_CELL[0] - small.width) // 2, top))
        draw.text((left + 4, top + _CELL[1] + 2), f"{answer.told} -> {answer.text or 'nothing'}", "#1f2328", font)
        draw.text((left + 4, top + _CELL[1] + 17), f"{answer.confidence:.2f} {answer.file[-22:]}", "#656d76", font)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target)
    return len(wrong)
