"""Render: the upright photo with what was read and what was refused drawn on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.reading.photo import PhotoSource, open_pages
from digitlab.reading.reading import Box, Reading
from digitlab.reading.upright import rotated

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["render", "upright_pixels"]

_READ = (0, 140, 60)  # red, green, blue
_REFUSED = (214, 90, 40)
_LONGEST_PX = 3000  # of the picture that is drawn on; larger photos are shrunk


def render(photo: PhotoSource, reading: Reading) -> Image.Image:
    """Draw a reading on its photo.

    Parameters
    ----------
    photo : path, bytes, file, Pillow image or ndarray
        What was read.
    reading : Reading
        What came of it.

    Returns
    -------
    Image
        Upright; digits in green with their values above them, what was refused in orange.
    """
    from PIL import Image, ImageDraw, ImageFont

    pixels = upright_pixels(photo, reading)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    x, y = picture.width / max(reading.width, 1), picture.height / max(reading.height, 1)
    width = max(1, round(max(picture.size) / 800))

    def frame(box: Box, color: tuple[int, int, int]) -> tuple[float, float, float, float]:
        place = (box.left * x, box.top * y, max(box.right * x - 1, box.left * x), max(box.bottom * y - 1, box.top * y))
        draw.rectangle(place, outline=color, width=width)
        return place

    for refused in reading.refused:
        frame(refused.box, _REFUSED)
    for digit in reading.digits:
        left, top, _, bottom = frame(digit.box, _READ)
        size = max(10.0, 0.4 * (bottom - top))
        font = ImageFont.load_default(size)
        # Above the box, or below it at the photo's upper border.
        where = top - 1.2 * size if top > 1.2 * size else bottom
        draw.text((left, where), str(digit.value), fill=_READ, font=font, stroke_width=width, stroke_fill="white")
    return picture


def upright_pixels(photo: PhotoSource, reading: Reading, longest_px: int = _LONGEST_PX) -> NDArray[np.uint8]:
    """Return the photo turned and straightened as it was read: uint8 (h, w, 3), 0-255, at most ``longest_px`` long."""
    page = next(open_pages(photo, 1, longest_px, first_page=reading.page))
    pixels = page.pixels if page.pixels.ndim == 3 else cv2.cvtColor(page.pixels, cv2.COLOR_GRAY2RGB)
    pixels = np.ascontiguousarray(np.rot90(pixels, -reading.turned // 90))
    return np.asarray(rotated(pixels, reading.skew, fill=(255, 255, 255)), np.uint8)
