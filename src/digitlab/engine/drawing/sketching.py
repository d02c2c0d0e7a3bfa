"""Sketching: strokes, signs and printed words, put onto a plane of ink.

A *plane* is float32 (side, side), 0-1: how much of a pixel is inked; what is drawn twice is as dark as its darker part.
Everything is placed on a page and goes through a *view*, the page as a camera at an angle sees it.

The *desk* is the memory that a kernel works in; what it composes of is the *bank*.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.chance import between, normal
from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.drawing.thinning import EDGE_UNITS

#: Of a view: four of a matrix, two of the perspective, two of the middle.
N_VIEW = 8
#: A box as it grows: left, top, right, bottom.
LEFT, TOP, RIGHT, BOTTOM = range(4)
N_BOX = 4
_SIDE = 28
_UNIT = 1.0 / EDGE_UNITS
_ONE, _ZERO, _HALF = np.float32(1.0), np.float32(0.0), np.float32(0.5)
#: Pixels on a side of a practice crop.
CROP_PX = 144
#: Marks of one crop, at most.
MOST_MARKS = 320
#: Numbers of a sign's form, see ``sketching``, and of a hand's habits, see ``writing``.
N_FORM, N_HABITS = 12, 32
#: Among the habits: how much darker than the paper the ink is, 0-1.
CONTRAST = 31
_MOST_POINTS = 96
_LATTICE = 80


class Bank(NamedTuple):
    """What crops are composed of.

    Attributes
    ----------
    images : ndarray
        uint8 (n, 28, 28), ink bright: digits first, then what is none.
    labels : ndarray
        int64 (n,): 0-9, or -1 for what is no digit.
    boxes : ndarray
        float32 (n, 4): left, top, right and bottom of the ink, in pixels of the image.
    slants : ndarray
        float32 (n,): how far the ink leans, pixels to the right for each pixel up.
    edges, starts : ndarray
        uint8 (m, 4) and int64 (n + 1,): where a pen went, see ``thinning``; those of image i are from ``starts[i]``.
    printed, printed_boxes : ndarray
        uint8 (n_fonts, 10, 28, 28) and float32 (n_fonts, 10, 4): printed digits.
    strips, strip_widths : ndarray
        uint8 (n_strips, height, width) and int64 (n_strips,): words, ink bright; printed ones first.
    n_digits, n_printed : int
        How many of the images are digits, and how many of the words are printed.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    slants: NDArray[np.float32]
    edges: NDArray[np.uint8]
    starts: NDArray[np.int64]
    printed: NDArray[np.uint8]
    printed_boxes: NDArray[np.float32]
    strips: NDArray[np.uint8]
    strip_widths: NDArray[np.int64]
    n_digits: int
    n_printed: int


class Desk(NamedTuple):
    """The memory of one thread: planes float32 (side, side), and what is too small to name again."""

    ink: NDArray[np.float32]
    print: NDArray[np.float32]
    light: NDArray[np.float32]
    hidden: NDArray[np.float32]
    spare: NDArray[np.float32]
    lattice: NDArray[np.float32]
    points: NDArray[np.float64]
    form: NDArray[np.float64]
    habits: NDArray[np.float64]
    lens: NDArray[np.float64]
    box: NDArray[np.float64]
    other_box: NDArray[np.float64]
    #: float64 (MOST_MARKS, 5): boxes, and the height by which a mark is judged; and int64 (MOST_MARKS,) labels.
    marks: NDArray[np.float64]
    labels: NDArray[np.int64]
    n_marks: NDArray[np.int64]
    stream: NDArray[np.uint64]


def new_desk(side: int = CROP_PX) -> Desk:
    """Return a desk for crops of this side."""
    ink, printed, light, hidden, spare = np.zeros((5, side, side), np.float32)
    return Desk(
        ink=ink,
        print=printed,
        light=light,
        hidden=hidden,
        spare=spare,
        lattice=np.zeros(_LATTICE * _LATTICE * 4, np.float32),
        points=np.zeros((_MOST_POINTS, 2)),
        form=np.zeros(N_FORM),
        habits=np.zeros(N_HABITS),
        lens=np.zeros(N_VIEW),
        box=np.zeros(N_BOX),
        other_box=np.zeros(N_BOX),
        marks=np.zeros((MOST_MARKS, 5)),
        labels=np.zeros(MOST_MARKS, np.int64),
        n_marks=np.zeros(1, np.int64),
        stream=np.zeros(1, np.uint64),
    )


@kernel
def through(view, x, y):
    """Return where a point of the page is seen."""
    dx, dy = x - view[6], y - view[7]
    u, v = view[0] * dx + view[1] * dy, view[2] * dx + view[3] * dy
    depth = 1.0 / max(0.3, 1.0 + view[4] * u + view[5] * v)
    return view[6] + u * depth, view[7] + v * depth


@kernel
def clear_box(box):
    """Begin a box that holds nothing."""
    box[0], box[1], box[2], box[3] = 1e9, 1e9, -1e9, -1e9


@kernel
def grow_box(box, x, y, radius):
    """Let a box hold a disc."""
    box[0], box[1] = min(box[0], x - radius), min(box[1], y - radius)
    box[2], box[3] = max(box[2], x + radius), max(box[3], y + radius)


@kernel
def add_mark(desk, label, box, height):
    """Note a mark with the box of its ink, if there is room and ink."""
    n = desk.n_marks[0]
    if n >= len(desk.labels) or box[2] <= box[0]:
        return
    for k in range(4):
        desk.marks[n, k] = box[k]
    desk.marks[n, 4] = height
    desk.labels[n] = label
    desk.n_marks[0] = n + 1


@kernel
def segment(plane, x1, y1, x2, y2, r1, r2, strength):
    """Ink a straight stroke with round ends, in pixels of the plane; its radius may change on the way."""
    side = plane.shape[0]
    most = max(r1, r2) + 1.0
    top, bottom = max(0, math.floor(min(y1, y2) - most)), min(side, math.floor(max(y1, y2) + most) + 1)
    low, high = min(x1, x2) - most, max(x1, x2) + most
    if top >= bottom or high < 0.0 or low >= side:
        return
    dx, dy = x2 - x1, y2 - y1
    squared = dx * dx + dy * dy
    inverse = np.float32(1.0 / squared) if squared > 1e-9 else _ZERO
    reach = most * math.sqrt(squared) / abs(dy) if abs(dy) > 1e-6 else 1e9
    slope = dx / dy if abs(dy) > 1e-6 else 0.0
    # A line thinner than a pixel is a pixel wide and fainter.
    faint = np.float32(strength * min(1.0, 2.0 * max(r1, r2, 0.1)))
    first, change = np.float32(max(r1, 0.4)), np.float32(max(r2, 0.4) - max(r1, 0.4))
    fdx, fdy = np.float32(dx), np.float32(dy)
    for y in range(top, bottom):
        middle = x1 + (y + 0.5 - y1) * slope
        left = max(0, math.floor(max(low, middle - reach)))
        right = min(side, math.floor(min(high, middle + reach)) + 1)
        py = np.float32(y + 0.5 - y1)
        for x in range(left, right):
            px = np.float32(x + 0.5 - x1)
            t = min(max((px * fdx + py * fdy) * inverse, _ZERO), _ONE)
            qx, qy = px - t * fdx, py - t * fdy
            cover = first + change * t + _HALF - np.float32(math.sqrt(qx * qx + qy * qy))
            if cover > _ZERO:
                value = min(cover, _ONE) * faint
                if value > plane[y, x]:
                    plane[y, x] = value


@kernel
def line(plane, view, x1, y1, x2, y2, radius, strength):
    """Ink a straight stroke, in pixels of the page."""
    a, b = through(view, x1, y1)
    c, d = through(view, x2, y2)
    segment(plane, a, b, c, d, radius, radius, strength)


@kernel
def disc(plane, view, x, y, radius, strength, box):
    """Ink a dot of the page."""
    a, b = through(view, x, y)
    segment(plane, a, b, a, b, radius, radius, strength)
    grow_box(box, a, b, max(radius, 0.5))


@kernel
def curve(plane, view, points, n, radius, strength, is_closed, box):
    """Ink the smooth curve through ``n`` points of the page (Catmull and Rom 1974): float64 (n or more, 2)."""
    n_parts = n if is_closed else n - 1
    last_x, last_y = through(view, points[0, 0], points[0, 1])
    grow_box(box, last_x, last_y, radius)
    for k in range(n_parts):
        b, c = k, (k + 1) % n
        a = (k - 1) % n if is_closed else max(k - 1, 0)
        d = (k + 2) % n if is_closed else min(k + 2, n - 1)
        length = abs(points[c, 0] - points[b, 0]) + abs(points[c, 1] - points[b, 1])
        n_steps = min(max(int(length / 2.5), 2), 12)
        for step in range(1, n_steps + 1):
            t = step / n_steps
            w1 = t * (-0.5 + t * (1.0 - 0.5 * t))
            w2 = 1.0 + t * t * (-2.5 + 1.5 * t)
            w3 = t * (0.5 + t * (2.0 - 1.5 * t))
            w4 = t * t * (-0.5 + 0.5 * t)
            x = w1 * points[a, 0] + w2 * points[b, 0] + w3 * points[c, 0] + w4 * points[d, 0]
            y = w1 * points[a, 1] + w2 * points[b, 1] + w3 * points[c, 1] + w4 * points[d, 1]
            px, py = through(view, x, y)
            segment(plane, last_x, last_y, px, py, radius, radius, strength)
            grow_box(box, px, py, radius)
            last_x, last_y = px, py


@kernel
def stretch_sign(stream, label, longer, form):
    """Choose how far a digit's lower and upper half are drawn out: ``form[4]`` and ``form[5]``."""
    low, up = math.exp(0.11 * normal(stream)), math.exp(0.11 * normal(stream))
    if between(stream, 0.0, 1.0) < longer:
        if label == 9 or label == 7 or label == 4 or label == 1:
            low *= between(stream, 1.0, 2.0)
        if label == 6 or label == 4:
            up *= between(stream, 1.0, 1.7)
    form[4], form[5] = low, up


@kernel
def _formed(form, u, v):
    """From a sign's own coordinates, its middle at 0, to the page.

    ``form``: x and y of its middle, pixels for each of its own across and down, lower and upper stretch, slant, sine
    and cosine of its turn, and three of a bend.
    """
    v *= form[3] * (form[4] if v > 0.0 else form[5])
    u = u * form[2] - form[6] * v
    u += form[9] * math.sin(v * form[10] + form[11])
    return form[0] + u * form[8] - v * form[7], form[1] + u * form[7] + v * form[8]


@kernel
def stroked_sign(plane, view, edges, middle_x, middle_y, form, radius, brush, brush_turn, strength, box):
    """Ink a sign along its edges, uint8 (n, 4) as ``thinning`` gives them, with a pen.

    ``middle_x`` and ``middle_y`` are those of the sign's box in pixels of its image, ``form`` is float64 (12,) as for
    ``_formed``, ``radius`` half the pen's width in pixels of the plane. ``brush``, 0-1, is how much thinner the pen is
    across the direction ``brush_turn``; 0 for a round one. ``box``, float64 (4,), is grown by the ink.
    """
    sine, cosine = math.sin(brush_turn), math.cos(brush_turn)
    for k in range(len(edges)):
        u, v = edges[k, 0] * _UNIT - middle_x, edges[k, 1] * _UNIT - middle_y
        x1, y1 = _formed(form, u, v)
        x1, y1 = through(view, x1, y1)
        u, v = edges[k, 2] * _UNIT - middle_x, edges[k, 3] * _UNIT - middle_y
        x2, y2 = _formed(form, u, v)
        x2, y2 = through(view, x2, y2)
        own = radius
        if brush > 0.0:
            dx, dy = x2 - x1, y2 - y1
            length = math.sqrt(dx * dx + dy * dy)
            if length > 1e-3:
                own = radius * (1.0 - brush * abs(dx * cosine + dy * sine) / length)
        segment(plane, x1, y1, x2, y2, own, own, strength)
        grow_box(box, x1, y1, own)
        grow_box(box, x2, y2, own)


@kernel
def _cubic(image, y, x):
    """The image between its pixels by Catmull and Rom's cubic, 0-1; beyond it nothing."""
    if y < -1.0 or x < -1.0 or y > _SIDE or x > _SIDE:
        return _ZERO
    top, left = math.floor(y), math.floor(x)
    v, u = np.float32(y - top), np.float32(x - left)
    total = _ZERO
    half = _HALF
    u1 = u * (-half + u * (_ONE - half * u))
    u2 = _ONE + u * u * (np.float32(-2.5) + np.float32(1.5) * u)
    u3 = u * (half + u * (np.float32(2.0) - np.float32(1.5) * u))
    u4 = u * u * (-half + half * u)
    for i in range(4):
        r = top - 1 + i
        if r < 0 or r >= _SIDE:
            continue
        row = _ZERO
        if left - 1 >= 0 and left + 2 < _SIDE:
            row = u1 * image[r, left - 1] + u2 * image[r, left] + u3 * image[r, left + 1] + u4 * image[r, left + 2]
        else:
            if 0 <= left - 1 < _SIDE:
                row += u1 * image[r, left - 1]
            if 0 <= left < _SIDE:
                row += u2 * image[r, left]
            if 0 <= left + 1 < _SIDE:
                row += u3 * image[r, left + 1]
            if 0 <= left + 2 < _SIDE:
                row += u4 * image[r, left + 2]
        if i == 0:
            total += row * (v * (-half + v * (_ONE - half * v)))
        elif i == 1:
            total += row * (_ONE + v * v * (np.float32(-2.5) + np.float32(1.5) * v))
        elif i == 2:
            total += row * (v * (half + v * (np.float32(2.0) - np.float32(1.5) * v)))
        else:
            total += row * (v * v * (-half + half * v))
    return total * np.float32(1 / 255)


@kernel
def stamped_sign(plane, view, image, middle_x, middle_y, form, reach, threshold, softness, strength, box):
    """Ink a sign as its image has it, made thinner or thicker by a threshold of the smooth image.

    ``reach``: half of the sign's longer side in its image's pixels. The rest is as for ``stroked_sign``.
    """
    side = plane.shape[0]
    cx, cy = through(view, form[0], form[1])
    ax, ay = through(view, form[0] + 1.0, form[1])
    bx, by = through(view, form[0], form[1] + 1.0)
    a, b, c, d = ax - cx, bx - cx, ay - cy, by - cy
    determinant = a * d - b * c
    if abs(determinant) < 1e-6:
        return
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    high = (reach + 2.0) * form[3] * max(form[4], form[5])
    wide = (reach + 2.0) * form[2] + abs(form[6]) * high + abs(form[9])
    half = math.sqrt(high * high + wide * wide) * (1.0 + abs(view[4]) * 40 + abs(view[5]) * 40)
    half_y = min(half, abs(form[8]) * high + abs(form[7]) * wide + 3.0 + 0.35 * half)
    top, bottom = math.floor(cy - half_y), math.floor(cy + half_y) + 1
    left, right = math.floor(cx - half), math.floor(cx + half) + 1
    if bottom < 0 or right < 0 or top >= side or left >= side:
        grow_box(box, cx, cy, high)
        return
    gain = np.float32(0.25 / softness)
    cut = np.float32(threshold)
    for y in range(top, bottom):
        for x in range(left, right):
            dx, dy = x + 0.5 - cx, y + 0.5 - cy
            p, q = a * dx + b * dy, c * dx + d * dy
            u, v = p * form[8] + q * form[7], -p * form[7] + q * form[8]
            u -= form[9] * math.sin(v * form[10] + form[11])
            u = (u + form[6] * v) / form[2]
            v = v / (form[3] * (form[4] if v > 0.0 else form[5]))
            if abs(u) > reach + 2.0 or abs(v) > reach + 2.0:
                continue
            cover = (_cubic(image, v + middle_y - 0.5, u + middle_x - 0.5) - cut) * gain + _HALF
            if cover > _ZERO:
                if cover > _HALF:
                    box[0], box[1] = min(box[0], float(x)), min(box[1], float(y))
                    box[2], box[3] = max(box[2], x + 1.0), max(box[3], y + 1.0)
                if 0 <= y < side and 0 <= x < side:
                    value = min(cover, _ONE) * np.float32(strength)
                    if value > plane[y, x]:
                        plane[y, x] = value


@kernel
def word(plane, view, strip, width, x, y, scale, turn, strength):
    """Ink a printed word: a strip of text, uint8 (height, at least width), its left end's middle at a point."""
    side = plane.shape[0]
    height = strip.shape[0]
    sine, cosine = math.sin(turn), math.cos(turn)
    mx, my = x + 0.5 * width * scale * cosine, y + 0.5 * width * scale * sine
    cx, cy = through(view, mx, my)
    ax, ay = through(view, mx + 1.0, my)
    bx, by = through(view, mx, my + 1.0)
    a, b, c, d = ax - cx, bx - cx, ay - cy, by - cy
    determinant = a * d - b * c
    if abs(determinant) < 1e-6:
        return
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    half_x = 0.5 * scale * (width * (abs(ax - cx) * abs(cosine) + abs(bx - cx) * abs(sine)) + height * 1.1) + 2
    half_y = 0.5 * scale * (width * (abs(ay - cy) * abs(cosine) + abs(by - cy) * abs(sine)) + height * 1.1) + 2
    half_y += 0.5 * scale * width * abs(sine)
    top, bottom = max(0, int(cy - half_y)), min(side, int(cy + half_y) + 1)
    left, right = max(0, int(cx - half_x)), min(side, int(cx + half_x) + 1)
    n = 1 if scale > 0.8 else 2 if scale > 0.4 else 3
    part = 1.0 / n
    for py in range(top, bottom):
        for px in range(left, right):
            total = 0.0
            for k in range(n * n):
                dx = px + (k % n + 0.5) * part - cx
                dy = py + (k // n + 0.5) * part - cy
                p, q = a * dx + b * dy, c * dx + d * dy
                u = (p * cosine + q * sine) / scale + 0.5 * width - 0.5
                v = (-p * sine + q * cosine) / scale + 0.5 * height - 0.5
                if u <= 0.0 or v <= 0.0 or u >= width - 1.0 or v >= height - 1.0:
                    continue
                i, j = int(v), int(u)
                s, t = v - i, u - j
                total += (1 - s) * ((1 - t) * strip[i, j] + t * strip[i, j + 1])
                total += s * ((1 - t) * strip[i + 1, j] + t * strip[i + 1, j + 1])
            value = np.float32(min(1.0, total * part * part * (1.25 / 255)) * strength)
            if value > plane[py, px]:
                plane[py, px] = value
