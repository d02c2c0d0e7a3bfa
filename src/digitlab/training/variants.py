"""Variants: digits as other hands write them, drawn onto the digits of a set that has few of these.

MNIST was written in one country, and nearly all of it with one pen. Elsewhere most ones have an upstroke, often as
long as the stem; sevens have a bar or a serif; nines have a tail like a g. A reader that has hardly seen any takes such
ones for sevens or for no digit (``docs/decisions/0006-the-readers-network.md``). What is added is a stroke or two of
the digit's own width; everything else is the digit as its writer wrote it. Some of them, and some digits without any
such stroke, are put into the surroundings of a form or a bad photo: see ``surroundings.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.reading.frame import frame, stroke_width
from digitlab.training.nondigits.pen import smooth
from digitlab.training.surroundings import surrounded

__all__ = ["FINE", "enlarged", "make_variants", "with_bar", "with_flag", "with_tail"]

#: How many times finer than MNIST's the images are in which strokes are drawn.
FINE = 4

# One of the streams that come from a seed: see engine/augmentation.py for the others.
_STREAM = 6
_INK = 0.5
_MOST_TRIES = 20
# Shares of all variants: ones with a flag or a foot, sevens with a bar or a serif, longer tails. The rest are digits as
# they were written, in surroundings.
_FLAGS, _BARS, _TAILS = 0.35, 0.1, 0.12
# Share of these that are put into surroundings, too.
_BOTH = 0.3
_TAILED = (4, 7, 9, 9, 9)


def make_variants(n: int, digits: Split, *, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw variants of a set's digits.

    Image ``i`` depends on the seed, the set and ``i``.

    Returns
    -------
    images, labels : ndarray
        uint8 (m, 28, 28) and uint8 (m,). ``m`` is ``n``, or less where the set lacks digits to draw on.
    """
    places = [np.flatnonzero(digits.labels == label) for label in range(10)]
    images, labels = np.zeros((n, 28, 28), np.uint8), np.zeros(n, np.uint8)
    n_made = 0
    for i in range(n):
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, i)))
        label, change = _kind(rng)
        for _ in range(_MOST_TRIES):
            index = _any_of(np.arange(len(digits)) if label is None else places[label], rng)
            if index is None:
                break
            ink = digits.images[index].astype(np.float32) / np.float32(255)
            of = int(digits.labels[index])
            changed = enlarged(ink) if change is None else change(ink, rng)
            if changed is None:
                continue
            if change is None or rng.random() < _BOTH:
                changed = surrounded(changed, FINE * stroke_width(ink), of, digits.images, rng)
            images[n_made], labels[n_made] = np.round(frame(changed) * 255), of
            n_made += 1
            break
    return images[:n_made], labels[:n_made]


_Change = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32] | None]


def _kind(rng: np.random.Generator) -> tuple[int | None, _Change | None]:
    """Choose the digit to draw on, None for any, and what to draw, None for nothing."""
    which = rng.random()
    if which < _FLAGS:
        return 1, with_flag
    if which < _FLAGS + _BARS:
        return 7, with_bar
    if which < _FLAGS + _BARS + _TAILS:
        return _TAILED[rng.integers(len(_TAILED))], with_tail
    return None, None


def _any_of(places: NDArray[np.intp], rng: np.random.Generator) -> int | None:
    return int(places[rng.integers(len(places))]) if len(places) else None


def with_flag(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Draw a flag at the head of a one, a foot, or both: float32 (224, 224), 0-1; None if it is more than a line."""
    fine = enlarged(ink)
    rows, columns = np.nonzero(fine > _INK)
    if len(rows) == 0:
        return None
    _, size, _ = cv2.minAreaRect(np.stack([columns, rows], 1).astype(np.float32))
    if min(size) > 0.3 * max(size) or np.ptp(rows) < 40:
        return None
    width = FINE * stroke_width(ink)
    height = float(np.ptp(rows))
    head, foot = (
        np.array([columns[near].mean(), rows[near].mean()])
        for near in (rows < rows.min() + width, rows > rows.max() - width)
    )
    which = rng.random()
    strokes = []
    if which < 0.87:
        strokes.append(_flag(head, foot, height, rng))
    if which > 0.7:
        half = height * rng.uniform(0.15, 0.45)
        # Under the stem, or to the right of it only.
        aside = half * rng.uniform(0.5, 1.0) if rng.random() < 0.25 else rng.normal(0, 0.05) * height
        strokes.append(_lying(foot + np.array([aside, -0.25 * width]), half, rng.normal(0, 0.08)))
    return _with_strokes(fine, strokes, width * rng.uniform(0.75, 1.1))


def _flag(
    head: NDArray[np.float64], foot: NDArray[np.float64], height: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A flag's points, from short to as long as the stem, straight or bent."""
    along = (foot - head) / max(float(np.hypot(*(foot - head))), 1e-6)
    # Steeper than the bar of a seven, seen from the stem: that is what tells the two apart. A long one is steeper.
    is_long = rng.random() < 0.45
    angle = np.radians(rng.uniform(12, 42) if is_long else rng.uniform(15, 55))
    length = height * (rng.uniform(0.6, 1.05) if is_long else rng.uniform(0.15, 0.65))
    across = np.array([-along[1], along[0]])
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ along
    # Some writers start the stem a little above the place where the flag meets it.
    start = head + along * height * (rng.uniform(0.05, 0.22) if rng.random() < 0.15 else 0.0)
    end = start + turned * length
    bend = rng.normal(0, 0.08) * length
    points = [start, start + turned * length * 0.35 + across * bend, start + turned * length * 0.7 + across * bend, end]
    return np.array(points)


def with_bar(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Draw a bar through the stem of a seven, a serif at its left end, or both.

    float32 (224, 224), 0-1; None if there is no lone stem to draw it on.
    """
    fine = enlarged(ink)
    rows = np.flatnonzero((fine > _INK).any(1))
    if len(rows) < 40:
        return None
    width = FINE * stroke_width(ink)
    strokes = []
    which = rng.random()
    if which < 0.8:
        y = int(rows[0] + rng.uniform(0.4, 0.7) * len(rows))
        columns = np.flatnonzero(fine[y] > _INK)
        if len(columns) == 0 or np.ptp(columns) > 2.2 * width:
            return None
        half = len(rows) * rng.uniform(0.15, 0.36)
        middle = np.array([columns.mean() + rng.normal(0, 0.2) * half, y])
        strokes.append(_lying(middle, half, rng.uniform(-0.35, 0.1)))
    if which > 0.55:
        upper = fine[rows[0] : rows[0] + len(rows) // 3] > _INK
        columns = np.flatnonzero(upper.any(0))
        left = columns[0] + 0.4 * width
        top = rows[0] + float(np.flatnonzero(upper[:, columns[0] : columns[0] + int(width) + 1].any(1)).mean())
        end = np.array([left + rng.normal(0, 0.04) * len(rows), top + len(rows) * rng.uniform(0.1, 0.28)])
        strokes.append(np.array([[left, top], end]))
    return _with_strokes(fine, strokes, width * rng.uniform(0.7, 1.05))


def with_tail(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Lengthen the stem of a four, seven or nine at its foot, perhaps with a curl to the left, as a g has.

    float32 (224, 224), 0-1; None if there is no lone stem.
    """
    fine = enlarged(ink)
    rows = np.flatnonzero((fine > _INK).any(1))
    if len(rows) < 40:
        return None
    width = FINE * stroke_width(ink)
    places = []
    for y in (rows[-1] - 0.5 * width, rows[-1] - 0.25 * len(rows)):
        columns = np.flatnonzero(fine[int(y)] > _INK)
        if len(columns) == 0 or np.ptp(columns) > 1.8 * width:
            return None
        places.append(np.array([columns.mean(), y]))
    foot, above = places
    down = (foot - above) / max(float(np.hypot(*(foot - above))), 1e-6)
    length = len(rows) * rng.uniform(0.1, 0.5)
    points = [foot, foot + down * length * 0.5, foot + down * length]
    if rng.random() < 0.6:
        reach = len(rows) * rng.uniform(0.15, 0.5)
        low = points[-1] + down * 0.25 * reach - [0.45 * reach, 0]
        points.append(low)
        points.append(low - [0.5 * reach, reach * rng.uniform(0.0, 0.45)])
    return _with_strokes(fine, [smooth(np.array(points))], width * rng.uniform(0.8, 1.05))


def _lying(middle: NDArray[np.float64], half: float, tilt: float) -> NDArray[np.float64]:
    """A line across, ``half`` to either side, that falls by ``tilt`` for each pixel to the right."""
    reach = np.array([half, half * tilt])
    return np.array([middle - reach, middle + reach])


def enlarged(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a 28 x 28 image ``FINE`` times as large, with a margin to draw in: float32 (224, 224), 0-1."""
    side = 28 * FINE
    large = np.clip(cv2.resize(ink, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    return np.asarray(np.pad(large, side // 2), np.float32)


def _with_strokes(fine: NDArray[np.float32], strokes: list[NDArray[np.float64]], width: float) -> NDArray[np.float32]:
    drawn = np.zeros(fine.shape, np.uint8)
    for points in strokes:
        fixed = np.round(points * 16).astype(np.int32)
        cv2.polylines(drawn, [fixed], False, 255, max(2, round(width)), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(drawn, (0, 0), 1.5).astype(np.float32) / np.float32(255)
    return np.asarray(np.maximum(fine, soft), np.float32)
