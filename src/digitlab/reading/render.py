"""Render: the photo with what was read and refused drawn on it, or turned, cropped or covered by hand; and every step
of the way, as files to look at."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitlab.errors import DataError, StorageError
from digitlab.reading.photo import Photo, PhotoSource, open_pages, rotated
from digitlab.reading.reading import Box, Reading

if TYPE_CHECKING:
    from PIL import Image

    from digitlab.reading.steps import Explained

_READ = (0, 140, 60)  # red, green, blue
_REFUSED = (214, 90, 40)
_LONGEST_PX = 3000  # of the picture that is drawn on; larger photos are shrunk


def render(photo: PhotoSource, reading: Reading) -> Image.Image:
    """Draw a reading on its photo, upright: digits in green with their values above, what was refused in orange."""
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


#: What can be done: a quarter turn to either side, keeping a rectangle alone, hiding one.
EDITS = ("left", "right", "crop", "hide")

_LEAST_PX = 8
# Of the shorter side of what is hidden: how wide the border around it is from which its ground is guessed.
_BORDER = 0.15
_MOST_POINTS = 4_000


def edited(photo: Photo, reading: Reading, kind: str, box: Box | None = None) -> Photo:
    """Return a photo as it was shown, with one of ``EDITS`` done to it; ``box`` is what is kept, or hidden.

    It is to be read as it lies from then on: what somebody has turned by hand must not be turned back.
    """
    pixels = upright_pixels(photo.pixels, reading)
    if photo.pixels.ndim == 2:
        pixels = pixels[..., 0]
    width, height = reading.width, reading.height
    if kind in ("left", "right"):
        pixels, width, height = np.rot90(pixels, 1 if kind == "left" else -1), height, width
    else:
        assert box is not None
        left, top, right, bottom = _places(box, pixels.shape, width, height)
        if kind == "crop":
            pixels = pixels[top:bottom, left:right]
            width, height = min(box.right, width) - max(box.left, 0), min(box.bottom, height) - max(box.top, 0)
        else:
            pixels = pixels.copy()
            pixels[top:bottom, left:right] = _ground(pixels, Box(left, top, right, bottom))
    return Photo(np.ascontiguousarray(pixels), width, height, photo.source, photo.page)


def _places(box: Box, shape: tuple[int, ...], width: int, height: int) -> Box:
    """Bring a box of the upright photo to its pixels."""
    y, x = shape[0] / height, shape[1] / width
    left, top = max(0, round(box.left * x)), max(0, round(box.top * y))
    right, bottom = min(shape[1], round(box.right * x)), min(shape[0], round(box.bottom * y))
    if right - left < _LEAST_PX or bottom - top < _LEAST_PX:
        raise DataError("This rectangle is too small. Drag a larger one.")
    return Box(left, top, right, bottom)


def _ground(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Guess the paper in a box from the pixels around it: for each color a plane, fitted without the ink."""
    border = max(4, round(_BORDER * min(box.width, box.height)))
    top, left = max(box.top - border, 0), max(box.left - border, 0)
    around = np.ones((min(box.bottom + border, pixels.shape[0]) - top, min(box.right + border, pixels.shape[1]) - left))
    around[box.top - top : box.bottom - top, box.left - left : box.right - left] = 0
    ys, xs = np.nonzero(around)
    if len(ys) == 0:  # the whole photo
        ys, xs = np.nonzero(np.ones_like(around))
    step = max(1, len(ys) // _MOST_POINTS)
    ys, xs = ys[::step] + top, xs[::step] + left
    middle = np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])
    size = max(box.width, box.height)
    places = np.stack([np.ones(len(xs)), (xs - middle[0]) / size, (ys - middle[1]) / size], axis=1)
    values = pixels[ys, xs].reshape(len(xs), -1).astype(np.float64)
    kept = np.ones(len(xs), bool)
    for _ in range(4):
        planes = np.linalg.lstsq(places[kept], values[kept], rcond=None)[0]
        off = np.abs(values - places @ planes).max(axis=1)
        kept = off <= 2 * np.median(off) + 1
    rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right]
    inside = np.stack([np.ones(rows.shape), (columns - middle[0]) / size, (rows - middle[1]) / size], axis=-1)
    painted: NDArray[np.uint8] = np.clip(np.rint(inside @ planes), 0, 255).astype(np.uint8)
    return painted if pixels.ndim == 3 else painted[..., 0]


#: The page that shows the steps one below the other.
INDEX = "index.html"

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
_QUALITY = 90

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
img {{ max-width: 100%; min-width: min(14rem, 100%); border: 1px solid #8888; image-rendering: auto }}
h2 {{ margin: 2rem 0 0 }} p {{ margin: .3rem 0 .7rem }} pre {{ font-size: 1.2rem }}
</style></head><body><h1>{title}</h1>
<p>{summary}</p>{text}
{steps}
</body></html>
"""


def write_overlay(reading: Reading, photo: str | bytes, target: Path, *, numbered: bool = False) -> Path:
    """Write the photo with boxes and values beside ``target``, which has no extension: as JPEG if it is one, else PNG.

    Missing folders are made; ``numbered`` adds the page's number to the name. StorageError says that it cannot be
    written.
    """
    is_jpeg = isinstance(photo, str) and photo.lower().endswith(_JPEG)
    name = f"{target.name}-page-{reading.page}" if numbered else target.name
    path = target.with_name(f"{name}.{'jpg' if is_jpeg else 'png'}")
    _save(reading.render(photo), path)
    return path


def write_steps(explained: Explained, folder: Path, title: str) -> Path:
    """Write a picture of every step into a folder, and a page, headed with a title, that shows and explains them.

    Pictures of the same names are replaced. Returns the page. StorageError says what cannot be written.
    """
    parts = []
    for number, step in enumerate(explained.steps, start=1):
        file = f"{number:02d}-{step.name}.png"
        _save(Image.fromarray(step.picture), folder / file)
        parts.append(
            f"<h2>{number}. {escape(step.title)}</h2>\n<p>{escape(step.sentence)}</p>\n"
            f'<img src="{escape(file)}" alt="{escape(step.title)}">'
        )
    reading = explained.reading
    n_digits, n_refused = len(reading.digits), len(reading.refused)
    summary = (
        f"{n_digits or 'No'} digit{'' if n_digits == 1 else 's'} read, "
        f"{n_refused} mark{'' if n_refused == 1 else 's'} refused."
    )
    text = f"<pre>{escape(reading.text)}</pre>" if reading.text else ""
    page = _PAGE.format(title=escape(title), summary=summary, text=text, steps="\n".join(parts))
    path = folder / INDEX
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(page, "utf-8", errors="backslashreplace")
    except OSError as error:
        raise _cannot(path, error) from None
    return path


def _save(picture: Image.Image, path: Path) -> None:
    spare = path.with_name(f".{path.name}.new{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            picture.save(spare, quality=_QUALITY)
            os.replace(spare, path)
        finally:
            spare.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot(path, error) from None


def _cannot(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written: {error.strerror or error}. Make room or name another folder, and give the same "
        "command again."
    )
