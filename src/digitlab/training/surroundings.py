"""Surroundings: a digit as a form or a bad photo has it, cut out by a box that does not quite fit.

Whoever cuts digits out of a photo gets more than the digit: a ruled line through it, an edge of the box of a form, the
end of the digit beside it, specks; and the pen is a hair or a marker, the photo coarse. What may be taken for another
sign is left out by rule: a line through a one is a cross, and a line beside it is eleven.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["surrounded"]

_ONE = 1
_INK = 0.3
# How often each happens; where none does, the digit becomes coarse.
_PEN, _COARSE, _DOTS, _RULE, _EDGE, _BESIDE = 0.3, 0.25, 0.2, 0.22, 0.2, 0.25
# The digit's height in pixels of a coarse photo.
_COARSE_PX = (8, 15)


def surrounded(
    fine: NDArray[np.float32],
    stroke_px: float,
    label: int,
    others: NDArray[np.uint8],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Change the pen, draw lines, specks and neighbors around a digit, and cut it out by a box that is a little off.

    Parameters
    ----------
    fine : ndarray
        float32 (h, w), 0-1, bright ink on dark, with a margin.
    stroke_px : float
        The width of its strokes.
    label : int
        Which digit it is.
    others : ndarray
        uint8 (n, 28, 28): what may stand beside it.
    rng : Generator
        Where the changes come from.

    Returns
    -------
    ndarray
        float32 (h, w), 0-1, not framed yet.
    """
    does_pen, coarse, dots, rule, edge, beside = rng.random(6) < [_PEN, _COARSE, _DOTS, _RULE, _EDGE, _BESIDE]
    fine = _other_pen(fine, stroke_px, rng) if does_pen else fine
    rows, columns = np.flatnonzero(fine.max(1) > _INK), np.flatnonzero(fine.max(0) > _INK)
    if len(rows) == 0:
        return fine
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    size = max(right - left, bottom - top)
    drawn = np.zeros_like(fine)
    if rule:
        _draw_rule(drawn, (left, top, right, bottom), stroke_px, label, rng)
    if edge:
        _draw_edge(drawn, (left, top, right, bottom), stroke_px, label, rng)
    if dots:
        for _ in range(int(rng.integers(1, 4))):
            x, y = rng.uniform(left - 0.12 * size, right + 0.12 * size), rng.uniform(top, bottom)
            _disk(drawn, x, y, stroke_px * rng.uniform(0.25, 0.6))
    if beside:
        _place_beside(drawn, (left, right, top, bottom), others, rng)
    fine = np.maximum(fine, drawn)
    # By how much the box is too wide or too narrow on each side; what is outside is not the digit's.
    off = rng.uniform(-0.06, 0.13, 4) * size
    x0, y0 = max(0, round(left - off[0])), max(0, round(top - off[1]))
    x1, y1 = round(right + off[2]), round(bottom + off[3])
    cut = fine[y0:y1, x0:x1] if x1 - x0 > 3 and y1 - y0 > 3 else fine
    if coarse or not (does_pen or dots or rule or edge or beside):
        cut = _coarser(cut, rng)
    return cut


def _other_pen(fine: NDArray[np.float32], stroke_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """The same lines by a thinner or a thicker pen."""
    by = rng.uniform(-0.32, 0.7) * stroke_px / 2
    n = round(abs(by))
    if n == 0:
        return fine
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * n + 1, 2 * n + 1))
    changed = cv2.dilate(fine, disk) if by > 0 else cv2.erode(fine, disk)
    return np.asarray(changed, np.float32) if changed.max() > _INK else fine


def _coarser(cut: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """As a photo shows it in which a digit has only some ten pixels; with the pixels seen, or smoothed away."""
    height, width = cut.shape
    scale = rng.uniform(*_COARSE_PX) / max(height, width)
    small = cv2.resize(cut, (max(2, round(width * scale)), max(2, round(height * scale))), interpolation=cv2.INTER_AREA)
    how = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.integers(3))]
    return np.asarray(np.clip(cv2.resize(small, (width, height), interpolation=how), 0, 1), np.float32)


def _draw_rule(
    drawn: NDArray[np.float32], box: tuple[int, int, int, int], stroke_px: float, label: int, rng: np.random.Generator
) -> None:
    """A ruled line across, from one side to the other; for a one, only where a foot would be."""
    left, top, _, bottom = box
    place = rng.uniform(0.88, 1.05) if label == _ONE else rng.choice([rng.uniform(0.0, 1.0), rng.uniform(0.85, 1.05)])
    y, tilt = top + place * (bottom - top), rng.normal(0, 0.03)
    ends = ((-10.0, y - tilt * (left + 10)), (drawn.shape[1] + 10.0, y + tilt * (drawn.shape[1] + 10 - left)))
    _line(drawn, *ends, stroke_px * rng.uniform(0.15, 0.6), rng.uniform(0.35, 1.0))


def _draw_edge(
    drawn: NDArray[np.float32], box: tuple[int, int, int, int], stroke_px: float, label: int, rng: np.random.Generator
) -> None:
    """Part of a form box's edge at one side, perhaps with the corner."""
    left, top, right, bottom = box
    size = max(right - left, bottom - top)
    is_left = rng.random() < 0.5
    apart = rng.uniform(0.04, 0.12) * size
    x = left - apart if is_left else right + apart
    width, level = stroke_px * rng.uniform(0.2, 0.7), rng.uniform(0.4, 1.0)
    y = top + rng.uniform(-0.1, 1.0) * (bottom - top)
    # Beside a one, only a piece that is much shorter than it.
    length = size * (rng.uniform(0.15, 0.35) if label == _ONE else rng.uniform(0.2, 1.2))
    _line(drawn, (x, y), (x + rng.normal(0, 0.02) * length, y + length), width, level)
    if rng.random() < 0.4 and label != _ONE:
        below = bottom + apart if rng.random() < 0.7 else top - apart
        _line(drawn, (x, below), (x + (size if is_left else -size) * rng.uniform(0.3, 1.5), below), width, level)


def _place_beside(
    drawn: NDArray[np.float32],
    sides: tuple[int, int, int, int],
    others: NDArray[np.uint8],
    rng: np.random.Generator,
) -> None:
    """The end of another digit, so far aside that no more than a fifth of the box's width is its."""
    left, right, top, bottom = sides
    other = others[int(rng.integers(len(others)))].astype(np.float32) / np.float32(255)
    scale = (bottom - top) / 20 * rng.uniform(0.8, 1.15)
    other = np.clip(cv2.resize(other, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), 0, 1)
    columns = np.flatnonzero(other.max(0) > _INK)
    if len(columns) == 0:
        return
    other = other[:, columns[0] : columns[-1] + 1]
    reach = rng.uniform(-0.02, 0.12) * (bottom - top)
    is_left = rng.random() < 0.5
    x = round(left - other.shape[1] - 0.02 * (bottom - top)) if is_left else round(right + 0.02 * (bottom - top))
    x += round(reach if is_left else -reach) if rng.random() < 0.4 else 0
    y = round((top + bottom - other.shape[0]) / 2 + rng.normal(0, 0.08) * (bottom - top))
    y0, x0 = max(0, y), max(0, x)
    part = other[y0 - y : drawn.shape[0] - y, x0 - x : drawn.shape[1] - x]
    there = drawn[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
    np.maximum(there, part, out=there)


def _line(
    drawn: NDArray[np.float32], start: tuple[float, float], end: tuple[float, float], width: float, level: float
) -> None:
    fixed = np.round(np.array([start, end]) * 16).astype(np.int32)
    line = np.zeros(drawn.shape, np.uint8)
    cv2.polylines(line, [fixed], False, round(255 * level), max(1, round(width)), cv2.LINE_AA, 4)
    np.maximum(drawn, line.astype(np.float32) / np.float32(255), out=drawn)


def _disk(drawn: NDArray[np.float32], x: float, y: float, radius: float) -> None:
    disk = np.zeros(drawn.shape, np.uint8)
    center = (round(16 * x), round(16 * y))
    cv2.circle(disk, center, max(16, round(16 * radius)), 255, -1, cv2.LINE_AA, 4)
    np.maximum(drawn, disk.astype(np.float32) / np.float32(255), out=drawn)
