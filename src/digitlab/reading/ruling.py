"""Ruling: printed lines, grids and frames, removed without cutting what is written across them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.reading.ink import Ink
from digitlab.reading.reading import Box
from digitlab.reading.strokes import usual_height

__all__ = ["remove_ruling"]

_LONG = 3.5  # times the height of writing: no stroke of a digit is so long
_ACROSS = 0.6  # of the picture, where the line runs out of it
_BESIDE = 0.15  # of the picture: how near to its border the frame of a cell or field runs


def remove_ruling(ink: Ink) -> tuple[Ink, list[Box]]:
    """Remove ruled lines.

    A pixel of a line is removed where the ink is there only as thick as the line; where a stroke crosses it, the ink
    goes on above or below and stays.

    Returns
    -------
    ink : Ink
        Without lines.
    boxes : list of Box
        Where they were.
    """
    rows, row_boxes = _lines(ink.mask, ink.stroke_px)
    columns, column_boxes = _lines(np.ascontiguousarray(ink.mask.T), ink.stroke_px)
    boxes = [*row_boxes, *(Box(box.top, box.left, box.bottom, box.right) for box in column_boxes)]
    if not boxes:
        return ink, []
    gone = rows | columns.T
    mask = ink.mask & ~gone
    # The soft edge of a removed line goes with it, that of what stays does not.
    shape = np.ones((3, 3), np.uint8)
    near = cv2.dilate(gone.view(np.uint8), shape, iterations=2).view(np.bool_)
    stays = cv2.dilate(mask.view(np.uint8), shape).view(np.bool_) & ~gone
    soft = np.where(near & ~stays, np.float32(0), ink.soft)
    return replace(ink, mask=mask, soft=soft), boxes


def _lines(mask: NDArray[np.bool_], stroke_px: float) -> tuple[NDArray[np.bool_], list[Box]]:
    """Find horizontal lines in a mask: the pixels to remove, and the boxes."""
    height, width = mask.shape
    nothing = np.zeros_like(mask)
    if min(height, width) < 16 or stroke_px <= 0:
        return nothing, []
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    writing = [
        Box(left, top, left + wide, top + high)
        for left, top, wide, high, area in stats[1:].tolist()
        if area > stroke_px**2 and wide < 0.5 * width and high < 0.9 * height and left > 0 and left + wide < width
    ]
    usual = usual_height(writing, 0.5 * min(height, width))
    # A line that is not quite level is a staircase of runs: thickened by a pixel its steps overlap.
    run = max(9, round(0.6 * usual))
    if run >= width:
        return nothing, []
    thick = cv2.dilate(mask.view(np.uint8), np.ones((3, 1), np.uint8))
    level = cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones((1, run), np.uint8))
    n, labels, found, _ = cv2.connectedComponentsWithStats(level, connectivity=8)
    gone = nothing
    boxes: list[Box] = []
    for k in range(1, min(n, 500)):
        left, top, wide, high, area = (int(value) for value in found[k])
        thickness = area / wide - 2
        leaves = (left <= 2) + (left + wide >= width - 2)
        beside = top < _BESIDE * height or top + high > (1 - _BESIDE) * height
        is_long = wide > _LONG * usual or (leaves and wide > _ACROSS * width) or (wide > 0.8 * width and beside)
        is_thin = thickness < max(3 * stroke_px, 0.06 * wide) and (thickness < 0.5 * usual or beside)
        if not (is_long and is_thin):
            continue
        part = (slice(max(top - 1, 0), top + high + 1), slice(left, left + wide))
        line = (labels[part] == k) & mask[part]
        boxes.append(Box(left, top, left + wide, top + high))
        gone[part] |= line & (_runs(mask, part) <= max(3.0, 1.5 * thickness + 2))
    return gone, boxes


def _runs(mask: NDArray[np.bool_], part: tuple[slice, slice]) -> NDArray[np.int32]:
    """For each pixel of ``part`` the length of the vertical run of ink that it is in."""
    margin = 40  # runs are compared with a line's thickness; longer ones need not be told apart
    top = max(part[0].start - margin, 0)
    window = mask[top : part[0].stop + margin, part[1]]
    before = np.zeros(window.shape, np.int32)
    after = np.zeros(window.shape, np.int32)
    for row in range(window.shape[0]):
        before[row] = np.where(window[row], (before[row - 1] if row else 0) + 1, 0)
    for row in range(window.shape[0] - 1, -1, -1):
        after[row] = np.where(window[row], (after[row + 1] if row + 1 < window.shape[0] else 0) + 1, 0)
    rows = slice(part[0].start - top, part[0].start - top + (min(part[0].stop, mask.shape[0]) - part[0].start))
    return np.asarray((before + after - 1)[rows], np.int32)
