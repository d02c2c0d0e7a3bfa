"""Variants: ones with a flag and a foot, sevens with a bar, drawn onto the digits of a set that has few of them.

MNIST was written in one country. Elsewhere most ones have an upstroke, and a reader that has hardly seen any takes
them for sevens: half of its mistakes on bank cheques were such ones (``docs/decisions/0006-the-readers-network.md``).
What is added is a stroke or two of the digit's own width; everything else is the digit as its writer wrote it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.reading.frame import frame, stroke_width

__all__ = ["make_variants", "with_bar", "with_flag"]

# One of the streams that come from a seed: see engine/augmentation.py for the others.
_STREAM = 6
_ONE, _SEVEN = 1, 7
# The rest are sevens.
_ONES = 0.75
_FINE = 4
_INK = 0.5
_MOST_TRIES = 20


def make_variants(n: int, digits: Split, *, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw variants of a set's ones and sevens.

    Image ``i`` depends on the seed, the set and ``i``.

    Returns
    -------
    images, labels : ndarray
        uint8 (m, 28, 28) and uint8 (m,). ``m`` is ``n``, or less where the set has no ones or sevens.
    """
    ones, sevens = (np.flatnonzero(digits.labels == label) for label in (_ONE, _SEVEN))
    images, labels = np.zeros((n, 28, 28), np.uint8), np.zeros(n, np.uint8)
    n_made = 0
    for i in range(n):
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, i)))
        is_one = rng.random() < _ONES
        source, change = (ones, with_flag) if is_one else (sevens, with_bar)
        for _ in range(_MOST_TRIES if len(source) else 0):
            ink = digits.images[source[rng.integers(len(source))]].astype(np.float32) / np.float32(255)
            changed = change(ink, rng)
            if changed is not None:
                images[n_made], labels[n_made] = np.round(frame(changed) * 255), _ONE if is_one else _SEVEN
                n_made += 1
                break
    return images[:n_made], labels[:n_made]


def with_flag(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Draw a flag at the head of a one, a foot, or both: float32 (224, 224), 0-1; None if it is more than a line."""
    fine = _enlarged(ink)
    rows, columns = np.nonzero(fine > _INK)
    if len(rows) == 0:
        return None
    _, size, _ = cv2.minAreaRect(np.stack([columns, rows], 1).astype(np.float32))
    if min(size) > 0.3 * max(size) or np.ptp(rows) < 40:
        return None
    width = _FINE * stroke_width(ink)
    height = float(np.ptp(rows))
    head, foot = (
        np.array([columns[near].mean(), rows[near].mean()])
        for near in (rows < rows.min() + width, rows > rows.max() - width)
    )
    which = rng.random()
    strokes = []
    if which < 0.85:
        # Steeper than the bar of a seven, seen from the stem: that is what tells the two apart.
        along = (foot - head) / max(float(np.hypot(*(foot - head))), 1e-6)
        angle = rng.uniform(np.radians(15), np.radians(50))
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ along
        end = head + turned * height * rng.uniform(0.15, 0.65)
        middle = (head + end) / 2 + rng.normal(0, 0.05, 2) * height
        strokes.append(np.array([head, middle, end]))
    if which > 0.65:
        half = height * rng.uniform(0.15, 0.45)
        place = foot + np.array([rng.normal(0, 0.05) * height, -0.25 * width])
        strokes.append(_lying(place, half, rng.normal(0, 0.08)))
    return _with_strokes(fine, strokes, width * rng.uniform(0.75, 1.1))


def with_bar(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Draw a bar through the stem of a seven: float32 (224, 224), 0-1; None if there is no lone stem to draw it on."""
    fine = _enlarged(ink)
    rows = np.flatnonzero((fine > _INK).any(1))
    if len(rows) < 40:
        return None
    y = int(rows[0] + rng.uniform(0.42, 0.62) * len(rows))
    columns = np.flatnonzero(fine[y] > _INK)
    width = _FINE * stroke_width(ink)
    if len(columns) == 0 or np.ptp(columns) > 2.2 * width:
        return None
    half = len(rows) * rng.uniform(0.15, 0.32)
    middle = np.array([columns.mean() + rng.normal(0, 0.2) * half, y])
    bar = _lying(middle, half, rng.uniform(-0.35, 0.1))
    return _with_strokes(fine, [bar], width * rng.uniform(0.7, 1.05))


def _lying(middle: NDArray[np.float64], half: float, tilt: float) -> NDArray[np.float64]:
    """A line across, ``half`` to either side, that falls by ``tilt`` for each pixel to the right."""
    reach = np.array([half, half * tilt])
    return np.array([middle - reach, middle + reach])


def _enlarged(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    side = 28 * _FINE
    large = np.clip(cv2.resize(ink, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    return np.asarray(np.pad(large, side // 2), np.float32)


def _with_strokes(fine: NDArray[np.float32], strokes: list[NDArray[np.float64]], width: float) -> NDArray[np.float32]:
    drawn = np.zeros(fine.shape, np.uint8)
    for points in strokes:
        fixed = np.round(points * 16).astype(np.int32)
        cv2.polylines(drawn, [fixed], False, 255, max(2, round(width)), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(drawn, (0, 0), 1.5).astype(np.float32) / np.float32(255)
    return np.asarray(np.maximum(fine, soft), np.float32)
