"""Frame: ink of any size becomes a 28 x 28 image as MNIST was made. This is the only place where that happens.

MNIST's digits were scans of about 1 bit, fitted into 20 x 20 pixels without distortion, which left grey edges, and
placed in 28 x 28 so that their centre of mass is in the middle (LeCun, Bottou, Bengio and Haffner 1998, III.A). Pens
were of one kind. What people draw and photograph has lines between a hair and a marker, so the width of the stroke is
brought within MNIST's range too; a network cannot be asked to know lines that were never among what it learned from.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

#: Side of an image, and of the field inside it that the ink is fitted into.
SIDE_PX = 28
FIELD_PX = 20

#: Widths of stroke that need no correction, in pixels of the 28 x 28 image, as ``stroke_width`` measures them: the
#: 2nd and the 98th hundredth of MNIST's training images.
STROKE_PX = (1.7, 4.2)

_CORRECTED_PX = (2.2, 3.6)  # where the others are brought to: well inside, between the 25th and the 92nd hundredth

_SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_FINE = 4  # lines are thickened in an image this many times finer than the field
_FAINT = 0.2  # of the ink's level: what is fainter does not widen the box


def frame(ink: NDArray[np.float32], *, center: bool = True) -> NDArray[np.float32]:
    """Make a 28 x 28 image of one glyph, as MNIST's digits were made: float32, 0-1; all 0 where there is no ink.

    ``ink`` is float32 (h, w), 0-1, bright on dark, of any size, with or without a margin. Without ``center`` its box,
    not its centre of mass, is put in the upper left of the field: to show why centring matters.
    """
    glyph = _crop(np.asarray(ink, np.float32))
    if glyph is None:
        return np.zeros((SIDE_PX, SIDE_PX), np.float32)
    # Shrunk before its levels are set: a line finer than a pixel has become faint by then, and is made solid again.
    longest = max(glyph.shape)
    glyph = _leveled(_resize(glyph, FIELD_PX * _FINE / longest) if longest > FIELD_PX * _FINE else glyph)
    width = stroke_width(glyph) * FIELD_PX / max(glyph.shape)
    if not STROKE_PX[0] <= width <= STROKE_PX[1]:
        glyph = _with_stroke(glyph, width)
    return _place(_fit(glyph), center)


def frame_all(glyphs: Sequence[NDArray[np.float32]], *, center: bool = True) -> NDArray[np.float32]:
    """Frame many glyphs: float32 (n, 28, 28, 1), as ``Sequential.predict`` takes them."""
    images = np.zeros((len(glyphs), SIDE_PX, SIDE_PX, 1), np.float32)
    for image, glyph in zip(images, glyphs, strict=True):
        image[..., 0] = frame(glyph, center=center)
    return images


def stroke_width(ink: NDArray[np.float32]) -> float:
    """Estimate the width of the strokes, in pixels of ``ink``, from 0 where there is none.

    A stroke much longer than wide has twice its length as outline, so its width is twice the area by the outline; and
    the outline's length is the total variation of the grey values, which needs no threshold.
    """
    padded = _padded(ink, 1, 1, 1, 1)
    rows, columns = padded[:-1, :-1], padded[1:, 1:]
    # The two diagonals of each 2 x 2 block (Roberts): unlike forward differences, the same for all four directions.
    outline = float(cv2.sumElems(cv2.magnitude(rows - columns, padded[1:, :-1] - padded[:-1, 1:]))[0]) / np.sqrt(2)
    return 2 * float(cv2.sumElems(ink)[0]) / outline if outline > 0 else 0.0


def _crop(ink: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The ink's box, or None without ink."""
    if ink.size == 0:
        return None
    peak = cv2.minMaxLoc(ink)[1]
    if not 1 / 255 <= peak < np.inf:
        return None
    left, top, width, height = cv2.boundingRect((ink > _FAINT * peak).view(np.uint8))
    return ink[top : top + height, left : left + width]


def _leveled(glyph: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stretch the levels so that the middle of a stroke is 1."""
    solid = glyph[glyph > 0.5 * glyph.max()]
    # The brighter third of the solid ink is the middle of strokes even where they are two or three pixels wide.
    kth = 2 * solid.size // 3
    level = float(np.partition(solid, kth)[kth])
    leveled: NDArray[np.float32] = np.minimum(glyph * np.float32(1 / level), np.float32(1))
    return leveled


def _resize(glyph: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    height, width = glyph.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return glyph
    return _resized(glyph, size)


def _resized(glyph: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = glyph.shape
    shrinks = size[0] <= width and size[1] <= height
    resized = cv2.resize(glyph, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.clip(resized, 0, 1)  # cubic interpolation overshoots, and area averaging by rounding


def _with_stroke(glyph: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """Thicken or thin the strokes until they are within range once the glyph is fitted into the field.

    The ink is enlarged first, so that a step of one pixel is a small step, and the steps alternate between a cross
    and a square, which together come near a disk.
    """
    longest = max(glyph.shape)
    glyph = _resize(glyph, FIELD_PX * _FINE / longest)
    low, high = (_FINE * bound for bound in _CORRECTED_PX)
    now = width * _FINE
    field = float(FIELD_PX * _FINE)
    # Thickening by s pixels makes the ink larger by as much, and fitting it makes the strokes thinner again.
    step = (low - now) / (1 - low / field) if now < low else (high - now) / (1 - high / field)
    n_steps = round(abs(step) / 2)
    if step > 0:
        glyph = _padded(glyph, n_steps, n_steps, n_steps, n_steps)
    else:
        # Ink is thinned by a part of what is too much: the ends of strokes and small holes say more than their width.
        n_steps = min(n_steps, int(now / 4))
    for k in range(n_steps):
        shape = _CROSS if k % 2 == 0 else _SQUARE
        # Beyond the box there is no ink; for thinning, OpenCV would otherwise leave the box's edges as they are.
        if step > 0:
            glyph = np.asarray(cv2.dilate(glyph, shape), np.float32)
        else:
            glyph = np.asarray(cv2.erode(glyph, shape, borderType=cv2.BORDER_CONSTANT, borderValue=0), np.float32)
    thinned = _crop(glyph)
    return glyph if thinned is None else _leveled(thinned)


def _padded(glyph: NDArray[np.float32], top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
    height, width = glyph.shape
    wider = np.zeros((top + height + bottom, left + width + right), np.float32)
    wider[top : top + height, left : left + width] = glyph
    return wider


def _fit(glyph: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale so that the longer side has 20 pixels; the shorter is padded to whole pixels, not stretched."""
    height, width = glyph.shape
    longest = max(height, width)
    if longest == FIELD_PX:
        return glyph
    # Pad the shorter side to the next multiple of one final pixel.
    shorter = min(height, width)
    pixels = max(1, int(np.ceil(shorter * FIELD_PX / longest - 1e-6)))
    wanted = max(shorter, round(pixels * longest / FIELD_PX))
    before = (wanted - shorter) // 2
    after = wanted - shorter - before
    if height < width:
        return _resized(_padded(glyph, before, after, 0, 0), (FIELD_PX, pixels))
    return _resized(_padded(glyph, 0, 0, before, after), (pixels, FIELD_PX))


def _place(glyph: NDArray[np.float32], center: bool) -> NDArray[np.float32]:
    """Put at most 20 x 20 into 28 x 28, the centre of mass in the middle, by whole pixels as MNIST has it."""
    image = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    height, width = glyph.shape
    if center:
        rows, columns = glyph.sum(1, dtype=np.float64), glyph.sum(0, dtype=np.float64)
        total = max(float(rows.sum()), 1e-9)
        middle = SIDE_PX / 2  # as indices of pixels: in MNIST the centre of mass is within 13.5 and 14.5
        top = round(middle - float(rows @ np.arange(height)) / total)
        left = round(middle - float(columns @ np.arange(width)) / total)
        top, left = (min(max(top, 0), SIDE_PX - height), min(max(left, 0), SIDE_PX - width))
    else:
        top = left = 0
    image[top : top + height, left : left + width] = glyph
    return image
