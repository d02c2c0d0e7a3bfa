"""Ink: which pixels are ink and how much of each, decided against the paper's own noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.reading.frame import stroke_width
from digitlab.reading.light import coarse_paper, contrast, fine_paper, is_bright

__all__ = ["Ink", "find_ink"]

_GRAIN_PX = 0.8
_NOISES = 4.5  # ink differs from paper by so many standard deviations of the paper
_LEAST_CONTRAST = 0.07  # and by this part of the light: less is JPEG blocks and the other side shining through
_EDGE_OF_INK = 0.42  # of a stroke's own contrast: where its edge is, a little outside of the middle of the slope


@dataclass(frozen=True, eq=False)
class Ink:
    """The ink of one photo.

    Attributes
    ----------
    soft : ndarray
        float32 (h, w), 0-1: how much of each pixel is ink, bright on dark, with the grey edges that framing needs.
    mask : ndarray
        bool (h, w): the ink.
    flat : ndarray
        float32 (h, w): contrast to the paper, about 0 on paper.
    stroke_px : float
        Usual width of a stroke; 0 without ink.
    is_bright : bool
        Whether the ink is brighter than its ground.
    """

    soft: NDArray[np.float32]
    mask: NDArray[np.bool_]
    flat: NDArray[np.float32]
    stroke_px: float
    is_bright: bool


def find_ink(light: NDArray[np.float32], invert: str = "auto", flatten: bool = True) -> Ink:
    """Find the ink.

    Parameters
    ----------
    light : ndarray
        float32 (h, w), 0-1.
    invert : str
        "auto", "always" (the ink is darker than the paper) or "never" (it is brighter).
    flatten : bool
        False takes one brightness of paper for the whole photo.
    """
    bright = is_bright(light) if invert == "auto" else invert == "never"
    # The grain of sensor and paper is finer than any stroke.
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), _GRAIN_PX), np.float32)
    paper = coarse_paper(light, bright, flatten)
    flat = contrast(light, paper, bright)
    strong = flat > _threshold(flat, flat < _LEAST_CONTRAST)
    stroke = _stroke(strong)
    if flatten and stroke > 0:
        # Once the strokes are known, the paper can be looked for right beside them.
        around = cv2.dilate(strong.view(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(stroke / 3)))
        paper = fine_paper(light, around.view(np.bool_), paper, reach_px=6 * stroke)
        flat = contrast(light, paper, bright)
        threshold = _threshold(flat, around == 0)
        strong = flat > threshold
    else:
        threshold = _threshold(flat, ~strong)
    mask, level = _edges(flat, strong, threshold)
    soft = _soft(flat, mask, level)
    return Ink(soft, mask, flat, _stroke(mask), bright)


def _threshold(flat: NDArray[np.float32], paper: NDArray[np.bool_]) -> float:
    """The least contrast of ink, from the spread of the paper's: half of it lies below its median's deviation."""
    values = flat[paper]
    values = values[:: max(1, values.size // 50_000)]
    if values.size < 10:
        return _LEAST_CONTRAST
    middle = float(np.median(values))
    noise = 1.4826 * float(np.median(np.abs(values - middle)))
    return max(_LEAST_CONTRAST, middle + _NOISES * noise)


def _edges(
    flat: NDArray[np.float32], strong: NDArray[np.bool_], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Set the edge of every stroke by its own contrast: pencil beside a printed frame is much fainter than that."""
    n, labels, _, _ = cv2.connectedComponentsWithStats(strong.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    if n <= 1:
        return strong, np.zeros_like(flat)
    # The contrast of the middle of a component's strokes: the mean of those of its pixels above its own mean.
    where = labels[strong]
    values = flat[strong].astype(np.float64)
    count = np.maximum(np.bincount(where, minlength=n), 1)
    mean = np.bincount(where, values, n) / count
    upper = values >= mean[where]
    level = np.bincount(where[upper], values[upper], n) / np.maximum(np.bincount(where[upper], minlength=n), 1)
    levels = level.astype(np.float32)
    # A component is known two pixels beyond its edge, so that its soft edge has its level too.
    spread = cv2.dilate(levels[labels], np.ones((5, 5), np.uint8))
    mask = (flat > np.maximum(_EDGE_OF_INK * spread, threshold)) & (spread > 0)
    return mask, np.asarray(spread, np.float32)


def _soft(flat: NDArray[np.float32], mask: NDArray[np.bool_], level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey values from 0 at the paper to 1 in the stroke's middle, at most a pixel beyond the mask."""
    near = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
    low = np.float32(0.12) * level
    soft = (flat - low) / np.maximum(np.float32(0.85) * level - low, np.float32(1e-3))
    return np.where(near & (level > 0), np.clip(soft, 0, 1), np.float32(0))


def _stroke(mask: NDArray[np.bool_]) -> float:
    return stroke_width(mask.astype(np.float32))
