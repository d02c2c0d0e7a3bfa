"""Pen: strokes become ink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Stroke", "draw_strokes", "smooth"]

_CANVAS_PX = 96
_MARGIN_PX = 14
_SHIFT = 4  # bits behind the point, for OpenCV


@dataclass(frozen=True, eq=False)
class Stroke:
    """Points that a pen passes without being lifted: float64 (n, 2), x and y; in a curve or in straight lines."""

    points: NDArray[np.float64]
    is_curved: bool = False


def smooth(points: NDArray[np.float64], n: int = 8) -> NDArray[np.float64]:
    """Return the curve through the points (Catmull and Rom 1974), ``n`` points for each part of it."""
    if len(points) < 3:
        return points
    p = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.arange(n)[:, None, None] / n
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.concatenate([curve.swapaxes(0, 1).reshape(-1, 2), points[-1:]])


def draw_strokes(
    strokes: Sequence[Stroke],
    rng: np.random.Generator,
    *,
    turn: float = 0.2,
    slant: tuple[float, float] = (-0.2, 0.6),
    stretch: float = 0.35,
) -> NDArray[np.float32]:
    """Draw strokes with some pen in some hand: float32 (h, w), 0-1, bright on dark.

    Parameters
    ----------
    strokes : sequence of Stroke
        In any unit; they fill the drawing.
    rng : Generator
        Where the hand comes from.
    turn : float
        Radians, either way.
    slant : (float, float)
        Least and most, pixels to the right for each pixel up.
    stretch : float
        Logarithm of the largest change of width by height.
    """
    angle, ratio = rng.uniform(-turn, turn), np.exp(rng.uniform(-stretch, stretch) / 2)
    shear = np.array([[1.0, -rng.uniform(*slant)], [0.0, 1.0]])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ shear @ np.diag([ratio, 1 / ratio])
    moved = [s.points @ matrix.T for s in strokes]
    everything = np.concatenate(moved)
    low = everything.min(0)
    size = max(float((everything.max(0) - low).max()), 1e-6)
    scale = (_CANVAS_PX - 2 * _MARGIN_PX) / size
    shape = np.ceil((everything.max(0) - low) * scale).astype(int) + 2 * _MARGIN_PX
    image = np.zeros((int(shape[1]), int(shape[0])), np.uint8)
    width_px = round(float(np.exp(rng.uniform(np.log(4), np.log(13)))))
    for points in moved:
        fixed = np.round(((points - low) * scale + _MARGIN_PX) * 2**_SHIFT).astype(np.int32)
        cv2.polylines(image, [fixed], False, 255, max(2, width_px + int(rng.integers(-1, 2))), cv2.LINE_AA, _SHIFT)
    return image.astype(np.float32) / np.float32(255)
