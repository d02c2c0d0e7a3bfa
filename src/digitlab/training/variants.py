"""Variants: digits as other hands write them, drawn onto the digits of a set that has few of these.

MNIST was written in one country, and nearly all of it with one pen. Elsewhere most ones have an upstroke, often as
long as the stem; sevens have a bar or a serif; nines have a tail like a g. A reader that has hardly seen any takes such
ones for sevens or for no digit (``docs/decisions/0006-the-readers-network.md``). What is added is a stroke or two of
the digit's own width; everything else is the digit as its writer wrote it. Some of them, and some digits without any
such stroke, are put into surroundings.

Whoever cuts digits out of a form or a bad photo gets more than the digit: a ruled line through it, an edge of the box,
the end of the digit beside it, specks; and the pen is a hair or a marker, the photo coarse. What may be taken for
another sign is left out by rule: a line through a one is a cross, and a line beside it is eleven.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.data.frame import frame, stroke_width
from digitlab.data.mnist import Split
from digitlab.training.letters import draw_line, smooth

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

# How often each of the surroundings happens; where none does, the digit becomes coarse.
_PEN, _COARSE, _DOTS, _RULE, _EDGE, _BESIDE = 0.3, 0.25, 0.2, 0.22, 0.2, 0.25
# The digit's height in pixels of a coarse photo.
_COARSE_PX = (8, 15)
_ONE = 1
_FAINT_INK = 0.3


def make_variants(n: int, digits: Split, *, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw variants of a set's digits: images uint8 (m, 28, 28) and labels uint8 (m,).

    Image ``i`` depends on the seed, the set and ``i``. ``m`` is ``n``, or less where the set lacks digits to draw on.
    """
    every, places = np.arange(len(digits)), [np.flatnonzero(digits.labels == label) for label in range(10)]
    images, labels = np.zeros((n, 28, 28), np.uint8), np.zeros(n, np.uint8)
    n_made = 0
    for i in range(n):
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, i)))
        label, change = _kind(rng)
        for _ in range(_MOST_TRIES):
            of_label = every if label is None else places[label]
            if len(of_label) == 0:
                break
            index = of_label[rng.integers(len(of_label))]
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
        x = _lone_stroke(fine, y, 2.2 * width)
        if x is None:
            return None
        half = len(rows) * rng.uniform(0.15, 0.36)
        middle = np.array([x + rng.normal(0, 0.2) * half, y])
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
        x = _lone_stroke(fine, int(y), 1.8 * width)
        if x is None:
            return None
        places.append(np.array([x, y]))
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


def _lone_stroke(fine: NDArray[np.float32], row: int, widest: float) -> float | None:
    """Where the one stroke of a row is; None if there is none, or more than one."""
    columns = np.flatnonzero(fine[row] > _INK)
    return None if len(columns) == 0 or np.ptp(columns) > widest else float(columns.mean())


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
        draw_line(drawn, points, max(2, round(width)))
    soft = cv2.GaussianBlur(drawn, (0, 0), 1.5).astype(np.float32) / np.float32(255)
    return np.asarray(np.maximum(fine, soft), np.float32)


def surrounded(
    fine: NDArray[np.float32],
    stroke_px: float,
    label: int,
    others: NDArray[np.uint8],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Change the pen, draw lines, specks and neighbors around a digit, and cut it out by a box that is a little off.

    ``fine`` is float32 (h, w), 0-1, bright ink on dark with a margin, its strokes ``stroke_px`` wide; ``others``, uint8
    (n, 28, 28), may stand beside it. Returns float32 (h, w), 0-1, not framed yet.
    """
    does_pen, coarse, dots, rule, edge, beside = rng.random(6) < [_PEN, _COARSE, _DOTS, _RULE, _EDGE, _BESIDE]
    fine = _other_pen(fine, stroke_px, rng) if does_pen else fine
    rows, columns = np.flatnonzero(fine.max(1) > _FAINT_INK), np.flatnonzero(fine.max(0) > _FAINT_INK)
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
    return np.asarray(changed, np.float32) if changed.max() > _FAINT_INK else fine


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
    columns = np.flatnonzero(other.max(0) > _FAINT_INK)
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
    line = np.zeros(drawn.shape, np.uint8)
    draw_line(line, np.array([start, end]), max(1, round(width)), round(255 * level))
    np.maximum(drawn, line.astype(np.float32) / np.float32(255), out=drawn)


def _disk(drawn: NDArray[np.float32], x: float, y: float, radius: float) -> None:
    disk = np.zeros(drawn.shape, np.uint8)
    center = (round(16 * x), round(16 * y))
    cv2.circle(disk, center, max(16, round(16 * radius)), 255, -1, cv2.LINE_AA, 4)
    np.maximum(drawn, disk.astype(np.float32) / np.float32(255), out=drawn)
