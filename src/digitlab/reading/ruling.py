"""Ruling: printed lines, grids and frames, removed without cutting what is written across them."""

from __future__ import annotations

from collections.abc import Sequence
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
_UNBROKEN = 0.9  # of a line's length, in the middle of a picture: the feet of digits side by side are no line
_FINE = 0.03  # of its length: a line that is thinner, and bent by less
_THROUGH = 0.55  # of its length, where it goes from border to border
_FREE = 0.4  # of its length a line has nothing above or below it: the strokes of digits that touch have
_MARGIN = 0.2  # of the picture: a frame so near to its border has nothing of interest beyond it
_BESIDE = 0.14  # of the picture: how near to its border the frame of a cell or field runs


def remove_ruling(ink: Ink) -> tuple[Ink, list[Box], Box]:
    """Remove ruled lines.

    A pixel of a line is removed where the ink is there only as thick as the line; where a stroke crosses it, the ink
    goes on above or below and stays.

    Returns
    -------
    ink : Ink
        Without lines.
    boxes : list of Box
        Where they were.
    inside : Box
        What is inside of a frame along the picture's border; the whole picture where there is none.
    """
    height, width = ink.mask.shape
    if min(height, width) < 16 or ink.stroke_px <= 0:
        return ink, [], Box(0, 0, width, height)
    usual = _height_of_writing(ink.mask, ink.stroke_px)
    rows, row_lines, row_boxes = _lines(ink.mask, ink.stroke_px, usual)
    columns, column_lines, column_boxes = _lines(np.ascontiguousarray(ink.mask.T), ink.stroke_px, usual)
    boxes = [*row_boxes, *(Box(box.top, box.left, box.bottom, box.right) for box in column_boxes)]
    if not boxes:
        return ink, [], Box(0, 0, width, height)
    gone = rows | columns.T | (row_lines & column_lines.T)
    mask = ink.mask & ~gone
    # The soft edge of a removed line goes with it, that of what stays does not.
    shape = np.ones((3, 3), np.uint8)
    near = cv2.dilate(gone.view(np.uint8), shape, iterations=2).view(np.bool_)
    stays = cv2.dilate(mask.view(np.uint8), shape).view(np.bool_) & ~gone
    soft = np.where(near & ~stays, np.float32(0), ink.soft)
    return replace(ink, mask=mask, soft=soft), boxes, _inside(boxes, (width, height), usual)


def _height_of_writing(mask: NDArray[np.bool_], stroke_px: float) -> float:
    height, width = mask.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    least, widest, highest = stroke_px**2, 0.6 * width, 0.95 * height
    writing, held = [], 0
    for left, top, wide, high, area in stats[1:].tolist():
        if area > least and wide < widest and high < highest and left > 0 and left + wide < width:
            writing.append(Box(left, top, left + wide, top + high))
            held += area
    default = 0.6 * min(height, width)
    # Where a line ties all digits together, only specks are left.
    return usual_height(writing, default) if held > 0.3 * float(mask.sum()) else default


def _inside(ruled: Sequence[Box], size: tuple[int, int], usual: float) -> Box:
    """Return what is inside of a frame that runs along the picture's border.

    Beyond it are the neighbours of a cell, small print below a field, and what is left of the frame itself.
    """
    width, height = size
    left, top, right, bottom = 0, 0, width, height
    for line in ruled:
        if line.width > line.height and line.width > _ACROSS * width:
            # A line farther from the border has room for writing beyond it: it is one of many on a page.
            if line.top < min(_MARGIN * height, usual):
                top = max(top, line.bottom)
            elif height - line.bottom < min(_MARGIN * height, usual):
                bottom = min(bottom, line.top)
        elif line.height > line.width and line.height > _ACROSS * height:
            if line.left < min(_MARGIN * width, usual):
                left = max(left, line.right)
            elif width - line.right < min(_MARGIN * width, usual):
                right = min(right, line.left)
    return Box(left, top, right, bottom)


def _lines(
    mask: NDArray[np.bool_], stroke_px: float, usual: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[Box]]:
    """Find horizontal lines in a mask: the pixels to remove, all that are in a line, and the lines' boxes."""
    height, width = mask.shape
    gone, lines = np.zeros_like(mask), np.zeros_like(mask)
    # A line that is not quite level is a staircase of runs: thickened by a pixel its steps overlap.
    run = max(9, round(0.6 * usual))
    if run >= width:
        return gone, lines, []
    thick = cv2.dilate(mask.view(np.uint8), np.ones((3, 1), np.uint8))
    # Faint lines are broken; gaps much shorter than a digit are bridged.
    thick = cv2.morphologyEx(thick, cv2.MORPH_CLOSE, np.ones((1, max(3, round(0.2 * usual)) | 1), np.uint8))
    level = cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones((1, run), np.uint8))
    n, labels, found, _ = cv2.connectedComponentsWithStats(level, connectivity=8)
    boxes: list[Box] = []
    for k in range(1, min(n, 500)):
        left, top, wide, high, area = (int(value) for value in found[k])
        thickness = area / wide - 2
        leaves = (left <= 2) + (left + wide >= width - 2)
        beside = top < _BESIDE * height or top + high > (1 - _BESIDE) * height
        in_margin = top + high < _BESIDE * height or top > (1 - _BESIDE) * height
        # From border to border, straight, and finer than a pen's stroke beside digits so large.
        is_through = leaves == 2 and thickness < _FINE * wide and high < max(thickness, 0) + 3 + _FINE * wide
        is_long = is_through or wide > _LONG * usual or (leaves and wide > max(_ACROSS * width, 2.2 * usual))
        # The frame of a cell or a field, along the picture's border, where a short wide picture of a number has none.
        is_frame = (leaves == 2 and beside) or (in_margin and wide > 0.4 * max(width, height))
        if is_frame:
            is_thin = thickness < max(3 * stroke_px, 0.06 * wide)
            # A frame fills its box; a 6 from border to border does not.
            is_filled = thickness > 0.6 * high or high < thickness + 8
            is_straight = high < 1.5 * max(thickness, 0) + 5 + 0.04 * wide and is_filled
        else:
            is_thin = thickness < 1.3 * stroke_px + 1 and thickness < 0.5 * usual
            is_straight = high < max(thickness, 0) + 4 + 0.1 * wide
        if not ((is_long or is_frame) and is_thin and is_straight):
            continue
        part = (slice(max(top - 1, 0), top + high + 1), slice(left, left + wide))
        line = (labels[part] == k) & mask[part]
        thick_at_most = max(3.0, 1.5 * thickness + 2)
        free = line & (_runs(mask, part, round(thick_at_most) + 2) <= thick_at_most)
        unbroken = line.any(axis=0).mean() > (_THROUGH if is_through else _UNBROKEN)
        if not is_frame and not (unbroken and free.any(axis=0).mean() > _FREE):
            continue
        boxes.append(Box(left, top, left + wide, top + high))
        lines[part] |= line
        gone[part] |= free
    return gone, lines, boxes


def _runs(mask: NDArray[np.bool_], part: tuple[slice, slice], margin: int) -> NDArray[np.int32]:
    """For each pixel of ``part`` the length of the vertical run of ink that it is in, as far as ``margin`` beyond."""
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
