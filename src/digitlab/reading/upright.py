"""Upright: pages that lie on their side or on their head, and lines that rise or fall.

Only clear evidence turns a photo: a 6 is a 9 upside down, so a few digits tell nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.reading.frame import frame_all
from digitlab.reading.ink import Ink
from digitlab.reading.strokes import Stroke, find_strokes, usual_height

__all__ = ["find_skew", "find_turn", "rotated", "rotated_size", "straightened", "turned"]

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_FEWEST = 6  # glyphs; fewer may be a word of a foreign script in any direction
_MOST = 60  # glyphs that are asked; more tell no more
_MOST_SKEW = 20.0  # degrees
_LIKE_A_DIGIT = 0.7  # a probability
_MOSTLY = 0.6  # of the glyphs must look like digits
_SURE = 6.0  # how much likelier another turn must be, as a logarithm: about 400 to 1


def find_turn(ink: Ink, predict: Predict) -> int:
    """Say by how many degrees, clockwise, the page must be turned: 0, 90, 180 or 270.

    Glyphs are read in all four directions; in the right one they look most like digits.

    Parameters
    ----------
    ink : Ink
        Of the photo as it is.
    predict : callable
        From images float32 (n, 28, 28, 1) to probabilities float32 (n, 11), not-a-digit last.
    """
    strokes = find_strokes(ink)
    usual = usual_height([stroke.box for stroke in strokes], 0)
    height, width = ink.mask.shape
    chosen = [
        stroke
        for stroke in strokes
        if 0.5 * usual <= max(stroke.box.width, stroke.box.height) <= 2.2 * usual
        and stroke.box.left > 1
        and stroke.box.top > 1
        and stroke.box.right < width - 1
        and stroke.box.bottom < height - 1
    ]
    if len(chosen) < _FEWEST:
        return 0
    if len(chosen) > _MOST:
        chosen = [chosen[k] for k in np.linspace(0, len(chosen) - 1, _MOST).astype(int)]
    images = frame_all([stroke.soft for stroke in chosen])
    turns = [np.rot90(images, -k, axes=(1, 2)) for k in range(4)]
    answers = predict(np.ascontiguousarray(np.concatenate(turns)))
    # One glyph alone may be sure of nonsense: what each can say is bounded.
    logs = np.log(np.maximum(answers[:, :10].max(1), 0.05)).reshape(4, len(chosen)).sum(1)
    if _share_side_by_side(chosen) > 0.6:
        logs[[1, 3]] = -np.inf  # the lines are level already: the page lies upright or on its head
    best = int(np.argmax(logs))
    shares = (answers[:, :10].max(1) > _LIKE_A_DIGIT).reshape(4, len(chosen)).mean(1)
    if shares[best] < _MOSTLY:
        return 0  # letters: upside down some look like digits, which says nothing of the page
    # A sixth of a power of e for each glyph: on a page of many, chance adds up too.
    return 90 * best if logs[best] - logs[0] > max(_SURE, 0.15 * len(chosen)) else 0


def _share_side_by_side(strokes: Sequence[Stroke]) -> float:
    """The part of the strokes whose nearest other is beside them, not above or below."""
    xs = np.array([(s.box.left + s.box.right) / 2 for s in strokes])
    ys = np.array([(s.box.top + s.box.bottom) / 2 for s in strokes])
    x, y = np.abs(xs[:, None] - xs), np.abs(ys[:, None] - ys)
    distances = np.hypot(x, y) + np.where(np.eye(len(strokes)) > 0, np.inf, 0)
    nearest = np.argmin(distances, axis=1)
    rows = np.arange(len(strokes))
    return float((x[rows, nearest] > y[rows, nearest]).mean())


def turned(ink: Ink, degrees: int) -> Ink:
    """Turn clockwise by 0, 90, 180 or 270 degrees."""
    if degrees % 360 == 0:
        return ink
    k = -degrees // 90
    return replace(
        ink,
        soft=np.ascontiguousarray(np.rot90(ink.soft, k)),
        mask=np.ascontiguousarray(np.rot90(ink.mask, k)),
        flat=np.ascontiguousarray(np.rot90(ink.flat, k)),
    )


def find_skew(ink: Ink) -> float:
    """Say by how many degrees, clockwise, the lines must be turned to be level; 0 where it is not clear.

    When lines are level, the ink of each is gathered in few rows and the gaps between them are empty (projection
    profiles: Postl 1986).
    """
    strokes = find_strokes(ink)
    height, width = ink.mask.shape
    boxes = [s.box for s in strokes if s.box.width < 0.5 * width or s.box.height < 0.05 * height]
    usual = usual_height([box for box in boxes if box.height < 0.5 * height], 0)
    tall = [box for box in boxes if 0.5 * usual <= box.height <= 2.5 * usual]
    if len(tall) < _FEWEST or max(b.right for b in tall) - min(b.left for b in tall) < 6 * usual:
        return 0.0
    # Boxes, not pixels: slanted writing must not be taken for skewed lines. Each is a short bar at its middle.
    xs = np.array([(box.left + box.right) / 2 for box in tall])
    ys = np.array([(box.top + box.bottom) / 2 for box in tall])
    coarse = np.arange(-_MOST_SKEW, _MOST_SKEW + 0.5, 0.5)
    best = float(coarse[np.argmax([_gathered(xs, ys, angle, usual) for angle in coarse])])
    fine = np.arange(best - 0.5, best + 0.55, 0.1)
    best = float(fine[np.argmax([_gathered(xs, ys, angle, 0.5 * usual) for angle in fine])])
    clearly = _gathered(xs, ys, best, usual) > 1.12 * _gathered(xs, ys, 0.0, usual)
    return round(best, 1) if clearly and abs(best) <= _MOST_SKEW else 0.0


def _gathered(xs: NDArray[np.float64], ys: NDArray[np.float64], clockwise: float, usual: float) -> float:
    """How much the middles lie in few rows after turning: the sum over pairs of a bell of their distances in rows."""
    angle = np.deg2rad(clockwise)
    rows = xs * np.sin(angle) + ys * np.cos(angle)
    columns = xs * np.cos(angle) - ys * np.sin(angle)
    apart = (rows[:, None] - rows[None, :]) / (0.25 * usual)
    # Only neighbours: over a whole page, chance would bring some far ones into one row at any angle.
    near = np.abs(columns[:, None] - columns[None, :]) < 12 * usual
    return float((np.exp(-0.5 * apart**2) * near).sum()) - len(xs)


def rotated_size(width: int, height: int, degrees: float) -> tuple[int, int]:
    """Return width and height of the picture that holds all of one turned by ``degrees``."""
    angle = np.deg2rad(abs(degrees))
    sine, cosine = float(np.sin(angle)), float(np.cos(angle))
    return round(width * cosine + height * sine), round(width * sine + height * cosine)


def straightened(ink: Ink, degrees: float) -> Ink:
    """Turn clockwise by a few degrees about the middle; the picture becomes as large as that needs."""
    if degrees == 0:
        return ink
    soft = np.clip(rotated(ink.soft, degrees), 0, 1)
    mask = rotated(ink.mask.astype(np.float32), degrees) > 0.5
    flat = np.asarray(rotated(ink.flat, degrees), np.float32)
    return replace(ink, soft=np.asarray(soft, np.float32), mask=mask, flat=flat)


def rotated(picture: NDArray[Any], degrees: float, fill: tuple[int, ...] = (0,)) -> NDArray[Any]:
    """Turn a picture clockwise by a few degrees about its middle, enlarged to ``rotated_size``."""
    if degrees == 0:
        return picture
    height, width = picture.shape[:2]
    size = rotated_size(width, height, degrees)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=fill))
