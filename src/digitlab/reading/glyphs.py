"""Glyphs: the ink of each candidate, cut out of the page, so that the network that knows single digits can be asked.

The finder says where a digit is; whose ink is whose is found here: within its box, as much darker (or brighter) than
the paper around it as strokes are, and connected. A rule that runs through, or a neighbour that touches, is cut at the
box.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.reading.finder import Marks

_HEIGHT_PX = 48  # of a digit in its cut-out: more than two pixels for each of the field's 20
_AROUND = 0.4  # of the larger side: paper around the box, to tell ink from paper by
_OVER = 0.14  # of the larger side: ink so far beyond the box may still be the digit's
_EDGE = 0.42  # of a stroke's contrast: where its edge is
_SLOPES = np.linspace(-0.32, 0.32, 9)  # of rules that run through
_RULED = 0.8  # of the columns beside the box are dark along a rule, on either side
_OWN = 0.5  # of a connected piece of ink lies within the box: then it is the digit's

_ALL_OVER = 0.94  # of a picture: what is as wide and as high is its frame
_LARGER = 1.1  # times the area: a box that is hardly larger is the same

_Box = tuple[float, float, float, float]


def is_bright_ink(light: NDArray[np.float32], marks: Marks) -> bool:
    """Say whether a page's ink is brighter than its ground: whether the rarer half of its boxes' range is the upper."""
    total = 0.0
    for k in range(len(marks)):
        part = _part(light, marks.box(k), 0.25)
        if part.size:
            # Ink covers less than its ground, so the mean lies nearer to the ground than the middle of the range.
            low, high = np.percentile(part, (2, 98))
            total += float(marks.p[k]) * float(np.sign((low + high) / 2 - part.mean()))
    return total > 0


def cut_out(
    light: NDArray[np.float32], marks: Marks, bright_ink: bool, *, are_neighbors: bool = True
) -> list[NDArray[np.float32]]:
    """Cut the ink of candidates out of a page, float32 (h, w), 0-1: each as float32, bright on dark, with a margin.

    Neighbours share the ink between them; where they are none, but opinions on the same ink, each has all of it.
    """
    rivals = _rivals(marks) if are_neighbors else np.zeros((len(marks), len(marks)), np.bool_)
    return [
        _ink(light, marks.box(k), bright_ink, [marks.box(int(j)) for j in np.flatnonzero(rivals[k])])
        for k in range(len(marks))
    ]


def all_ink(light: NDArray[np.float32], box: _Box, bright_ink: bool) -> _Box | None:
    """Return the box of all ink of what is in a box, with the strokes that run out of it.

    None where that is hardly more than the box itself, or runs all over the picture.
    """
    height, width = light.shape
    side = max(box[3] - box[1], box[2] - box[0], 2.0)
    scale = _HEIGHT_PX / side
    size = (max(4, round(width * scale)), max(4, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    contrast = ink_contrast(np.asarray(cv2.resize(light, size, interpolation=how), np.float32), bright_ink, _HEIGHT_PX)
    left, top, right, bottom = (round(value * scale) for value in box)
    inside = contrast[max(0, top) : bottom + 1, max(0, left) : right + 1]
    if inside.size < 4:
        return None
    level = _stroke_level(inside)
    mask = (contrast > _EDGE * level).view(np.uint8)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    within = np.bincount(labels[max(0, top) : bottom + 1, max(0, left) : right + 1].ravel(), minlength=n)
    own = within > 0.1 * within[1:].sum()
    own[0] = False  # the paper
    if not own.any():
        return None
    lefts, tops, wide, high, _ = stats.T
    rights, bottoms = lefts + wide, tops + high
    found = lefts[own].min() / scale, tops[own].min() / scale, rights[own].max() / scale, bottoms[own].max() / scale
    if (found[2] - found[0]) > _ALL_OVER * width and (found[3] - found[1]) > _ALL_OVER * height:
        return None
    covered = (found[2] - found[0]) * (found[3] - found[1])
    return found if covered > _LARGER * (box[2] - box[0]) * (box[3] - box[1]) else None


def _stroke_level(inside: NDArray[np.float32]) -> float:
    """How strong the middle of strokes is: what is strongest, but not the strongest speck."""
    strong = np.partition(inside.ravel(), -max(2, inside.size // 14))[-max(2, inside.size // 14) :]
    return float(np.median(strong))


def _rivals(marks: Marks) -> NDArray[np.bool_]:
    """Which other marks stand so close to one that their ink may touch: bool (n, n)."""
    apart_x = np.abs(marks.x[:, None] - marks.x) - (marks.width[:, None] + marks.width) / 2
    apart_y = np.abs(marks.y[:, None] - marks.y) - (marks.height[:, None] + marks.height) / 2
    reach = _OVER * np.maximum(marks.height, marks.width)[:, None]
    ratio = marks.height[:, None] / marks.height
    close = (apart_x < reach) & (apart_y < 0) & (ratio < 2) & (ratio > 0.5) & (marks.p > 0.4)
    np.fill_diagonal(close, False)
    return np.asarray(close, np.bool_)


def _part(light: NDArray[np.float32], box: tuple[float, float, float, float], around: float) -> NDArray[np.float32]:
    """The part of the page around a box, with so much of its larger side besides."""
    left, top, right, bottom = box
    more = around * max(bottom - top, right - left)
    return light[max(0, int(top - more)) : int(bottom + more) + 1, max(0, int(left - more)) : int(right + more) + 1]


def _ink(light: NDArray[np.float32], box: _Box, bright_ink: bool, rivals: list[_Box]) -> NDArray[np.float32]:
    left, top, right, bottom = box
    side = max(bottom - top, right - left, 2.0)
    part = _part(light, box, _AROUND)
    high, wide = part.shape
    if high < 2 or wide < 2:
        return np.zeros((4, 4), np.float32)
    x0, y0 = max(0, int(left - _AROUND * side)), max(0, int(top - _AROUND * side))
    scale = _HEIGHT_PX / side
    size = (max(4, round(part.shape[1] * scale)), max(4, round(part.shape[0] * scale)))
    part = np.asarray(
        cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.float32
    )
    fx, fy = size[0] / wide, size[1] / high
    inner = ((left - x0) * fx, (top - y0) * fy, (right - x0) * fx, (bottom - y0) * fy)
    others = [((a - x0) * fx, (b - y0) * fy, (c - x0) * fx, (d - y0) * fy) for a, b, c, d in rivals]
    return _own(ink_contrast(part, bright_ink, _HEIGHT_PX), inner, others)


def ink_contrast(part: NDArray[np.float32], bright_ink: bool, height_px: float) -> NDArray[np.float32]:
    """Return by what part of the light each pixel differs from the paper around it, where digits are so high."""
    light = 1 - part if bright_ink else part
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), 0.8), np.float32)
    # No stroke is as wide as this; what is darker and narrower is filled in with the paper around it.
    wide = int(height_px * 4 / 9) | 1
    paper = cv2.morphologyEx(cv2.blur(light, (3, 3)), cv2.MORPH_CLOSE, np.ones((wide, wide), np.uint8))
    paper = cv2.blur(paper, (wide // 2 | 1, wide // 2 | 1))
    return np.asarray((paper - light) / np.maximum(paper, np.float32(0.12)), np.float32)


def _own(contrast: NDArray[np.float32], box: _Box, rivals: list[_Box]) -> NDArray[np.float32]:
    """Keep the ink of the box, and what of it reaches a little beyond."""
    height, width = contrast.shape
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    inside = contrast[top:bottom, left:right]
    if inside.size < 4:
        return np.zeros_like(contrast)
    level = _stroke_level(inside)
    if level < 0.015:
        return np.zeros_like(contrast)
    contrast = _without_rules(contrast, contrast > 0.25 * level, left, right)
    if rivals:
        # Where two stand close, ink is that one's of whose box it is nearer to the middle.
        nearest = np.min([_away(contrast.shape, rival) for rival in rivals], 0)
        contrast = np.where(_away(contrast.shape, box) <= nearest, contrast, np.float32(0))
    mask = (contrast > _EDGE * level).view(np.uint8)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    within = np.bincount(labels[top:bottom, left:right].ravel(), minlength=n)
    area = stats[:, cv2.CC_STAT_AREA]
    own = within >= _OWN * area
    # What only reaches in is the digit's where it is most of what is there: a rule runs through it, say.
    own |= within > 0.3 * max(1, int(within[1:].sum()))
    own[0] = False
    over = _OVER * max(box[2] - box[0], box[3] - box[1])
    kept = own[labels]
    reach = np.zeros_like(kept)
    reach[
        max(0, int(box[1] - over)) : int(np.ceil(box[3] + over)),
        max(0, int(box[0] - over)) : int(np.ceil(box[2] + over)),
    ] = True
    kept &= reach
    near = cv2.dilate(kept.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
    low = np.float32(0.15 * level)
    soft = (contrast - low) / np.float32(0.7 * level)
    return np.where(near, np.clip(soft, 0, 1), np.float32(0))


def _without_rules(
    contrast: NDArray[np.float32], dark: NDArray[np.bool_], left: int, right: int
) -> NDArray[np.float32]:
    """Erase rules that run on to the left and to the right of columns ``left`` to ``right``, but for strokes across."""
    height, width = dark.shape
    if min(left, width - right) < 5:
        return contrast
    beside = np.r_[0 : left - 1, right + 1 : width]
    if dark[:, beside].any(0).mean() < _RULED:
        return contrast
    thick = dark.copy()
    thick[1:] |= dark[:-1]
    thick[:-1] |= dark[1:]
    columns = np.arange(width)
    for slope in _SLOPES:
        shift = np.rint(slope * (columns - width / 2)).astype(np.int64)
        rows = np.arange(height)[:, None] + shift
        inside = (rows >= 0) & (rows < height)
        level = thick[rows.clip(0, height - 1), columns] & inside
        found = np.minimum(level[:, : left - 1].mean(1), level[:, right + 1 :].mean(1)) >= _RULED
        changes = np.flatnonzero(np.diff(np.concatenate([[0], found.view(np.int8), [0]])))
        for first, last in changes.reshape(-1, 2):
            # A rule's own rows reach a little beyond those that are dark all along; past them, ink is a stroke across.
            first, last = int(first) - 2, int(last) + 2
            above, below = rows[max(first - 1, 0)], rows[min(last, height - 1)]
            crossed = dark[above.clip(0, height - 1), columns] | dark[below.clip(0, height - 1), columns]
            if last - first > height // 5 or crossed[beside].mean() > 0.4:
                continue
            contrast = contrast.copy()
            for row in range(max(first, 0), min(last, height)):
                contrast[rows[row, ~crossed].clip(0, height - 1), columns[~crossed]] = 0
    return contrast


def _away(shape: tuple[int, ...], box: _Box) -> NDArray[np.float32]:
    """How far each pixel is from the middle of a box, in halves of its width; up and down counts less."""
    left, top, right, bottom = box
    across = np.abs(np.arange(shape[1]) + 0.5 - (left + right) / 2) / max(1.0, (right - left) / 2)
    down = np.abs(np.arange(shape[0]) + 0.5 - (top + bottom) / 2) / max(1.0, (bottom - top) / 2)
    return np.asarray(np.hypot(across, 0.5 * down[:, None]), np.float32)
