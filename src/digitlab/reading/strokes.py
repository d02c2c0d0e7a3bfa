"""Strokes: connected pieces of ink, each with its place and its own grey values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.reading.ink import Ink
from digitlab.reading.reading import Box

__all__ = ["Stroke", "find_strokes", "joined", "usual_height"]

_MOST = 4000  # more connected pieces than this on one page are texture, not writing; the largest are kept


@dataclass(frozen=True, eq=False)
class Stroke:
    """Connected ink, or a piece of it.

    Attributes
    ----------
    box : Box
        Where ``soft`` is, in pixels of the working picture.
    soft : ndarray
        float32 (box.height, box.width), 0-1: its ink and no other's.
    """

    box: Box
    soft: NDArray[np.float32]


def find_strokes(ink: Ink) -> list[Stroke]:
    """Find the connected pieces of ink, from left to right; specks smaller than a dot of the pen are left out."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    height, width = ink.mask.shape
    area = stats[:, cv2.CC_STAT_AREA]
    kept = np.flatnonzero(area >= max(4.0, 0.3 * ink.stroke_px**2))
    kept = kept[kept > 0]
    if kept.size > _MOST:
        kept = kept[np.argsort(area[kept])[-_MOST:]]
    strokes = []
    for k in kept[np.argsort(stats[kept, cv2.CC_STAT_LEFT], kind="stable")]:
        left, top, wide, high, _ = (int(value) for value in stats[k])
        # A pixel more on each side: the soft edge lies outside of the mask.
        box = Box(max(left - 1, 0), max(top - 1, 0), min(left + wide + 1, width), min(top + high + 1, height))
        own = labels[box.top : box.bottom, box.left : box.right]
        soft = ink.soft[box.top : box.bottom, box.left : box.right]
        strokes.append(Stroke(box, np.where((own == k) | (own == 0), soft, np.float32(0))))
    return strokes


def joined(strokes: Sequence[Stroke]) -> Stroke:
    """Put strokes together as one."""
    if len(strokes) == 1:
        return strokes[0]
    box = strokes[0].box
    for stroke in strokes[1:]:
        box = box.around(stroke.box)
    soft = np.zeros((box.height, box.width), np.float32)
    for stroke in strokes:
        top, left = stroke.box.top - box.top, stroke.box.left - box.left
        part = soft[top : top + stroke.box.height, left : left + stroke.box.width]
        np.maximum(part, stroke.soft, out=part)
    return Stroke(box, soft)


def usual_height(boxes: Sequence[Box], default: float) -> float:
    """Return the height that half of the written height has or exceeds: specks hardly count, however many they are."""
    if not boxes:
        return default
    heights = np.sort(np.array([box.height for box in boxes], float))
    weights = np.cumsum(heights * np.minimum(heights, 4 * np.median(heights)))
    return float(heights[np.searchsorted(weights, weights[-1] / 2)])
