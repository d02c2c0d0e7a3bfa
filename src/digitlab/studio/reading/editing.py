"""Editing: a photo turned, cropped, or with a region left out, before it is read again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import DataError
from digitlab.reading.photo import Photo
from digitlab.reading.reading import Box, Reading
from digitlab.reading.render import upright_pixels

__all__ = ["EDITS", "edited"]

#: What can be done: a quarter turn to either side, keeping a rectangle alone, hiding one.
EDITS = ("left", "right", "crop", "hide")

_LEAST_PX = 8
# Of the shorter side of what is hidden: how wide the border around it is from which its ground is guessed.
_BORDER = 0.15
_MOST_POINTS = 4_000


def edited(photo: Photo, reading: Reading, kind: str, box: Box | None = None) -> Photo:
    """Return a photo as it was shown, with one thing done to it.

    It is to be read as it lies from then on: what somebody has turned by hand must not be turned back.

    Parameters
    ----------
    photo : Photo
        As it was read.
    reading : Reading
        What was read, and how the photo was turned and straightened for it.
    kind : str
        One of ``EDITS``.
    box : Box, optional
        In pixels of the upright photo: what is kept, or hidden.

    Raises
    ------
    DataError
        If the rectangle is too small.
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
    """Guess the paper in a box from the pixels around it: for each color a plane, fitted without the ink.

    Returns
    -------
    ndarray
        uint8, the box's height and width, and colors where there are.
    """
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
