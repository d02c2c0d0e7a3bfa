"""Augmenting: images as another hand, another pen and another paper would have made them.

In plain words, for every image::

    turn, shear, scale, shift and bend it, perhaps with a neighbor at its side
    thicken or thin the strokes;  break one;  cut off an edge;  blur
    ink    = steeper edges or fainter ink
    paper  = a grey level, a slope of it, a faint line
    value  = ink over paper + noise

The geometry costs one interpolation a pixel::

    point = where it comes from: turned, sheared, scaled, shifted, and displaced a little (elastic)
    value = the old image there, between its four nearest pixels
            or a neighbor's, where one reaches in from the side and is brighter

The elastic displacement is that of Simard, Steinkraus and Platt (2003), a smooth random field; it is smooth here
because a cubic B-spline draws it from a coarse grid of 7 x 7 arrows, seven pixels apart.

An image has a row of ``N_DRAWS`` numbers in [0, 1) of its own, so that nothing depends on which thread makes it, or
when. Every change has places of its own in it, so that widening one range changes nothing of what the others do.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.chance import mixed
from digitlab.engine.cpu.compiled import entry_point, kernel

#: Pixels on a side, and arrows of the elastic grid on a side.
SIDE, GRID = 28, 7

#: How far every change may go; the names are those of ``Augmentation``.
RANGES = np.dtype(
    [
        (name, np.float32)
        for name in (
            "rotation",
            "shear",
            "scale",
            "aspect",
            "shift",
            "elastic",
            "thicken",
            "thin",
            "blur",
            "contrast",
            "background",
            "noise",
            "cut",
            "gap",
            "neighbor",
        )
    ]
)

# Which number a change takes.
TURN, SHEAR, SCALE, ASPECT, RIGHT, DOWN, STROKE, BLUR, EDGES, FAINT = range(10)
PAPER, SLOPE, SLOPE_WHERE, LINE, LINE_WHERE, LINE_LEVEL, NOISE, NOISE_KEY = range(10, 18)
CUT, CUT_SIDE, CUT_DEPTH, GAP, GAP_X, GAP_Y, GAP_ANGLE, GAP_WIDTH = range(18, 26)
NEIGHBOR, NEIGHBOR_SIDE, NEIGHBOR_FAR, NEIGHBOR_DOWN, NEIGHBOR_WHICH = range(26, 31)
ARROWS = 31

#: Random numbers of one image.
N_DRAWS = ARROWS + 2 * GRID * GRID

_MIDDLE = np.float32((SIDE - 1) / 2)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_SPACING = 7


@kernel
def _either(draw):
    """From [0, 1) to [-1, 1)."""
    return np.float32(2.0) * draw - _ONE


@kernel
def _spline(t, weights):
    """Write the four weights of a cubic B-spline at ``t`` in [0, 1) between two of its knots."""
    sixth = np.float32(1.0 / 6.0)
    weights[0] = (_ONE - t) * (_ONE - t) * (_ONE - t) * sixth
    weights[1] = (np.float32(4.0) - np.float32(6.0) * t * t + np.float32(3.0) * t * t * t) * sixth
    weights[3] = t * t * t * sixth
    weights[2] = _ONE - weights[0] - weights[1] - weights[3]


@kernel
def _between(images, index, y, x):
    """Return the value of an image between its pixels, 0-255; beyond its edges there is nothing."""
    value = _ZERO
    if y > -_ONE and x > -_ONE and y < np.float32(SIDE) and x < np.float32(SIDE):
        top, left = math.floor(y), math.floor(x)
        v, u = y - np.float32(top), x - np.float32(left)
        i, j = int(top), int(left)
        a = np.float32(images[index, i, j]) if i >= 0 and j >= 0 else _ZERO
        b = np.float32(images[index, i, j + 1]) if i >= 0 and j < SIDE - 1 else _ZERO
        c = np.float32(images[index, i + 1, j]) if i < SIDE - 1 and j >= 0 else _ZERO
        d = np.float32(images[index, i + 1, j + 1]) if i < SIDE - 1 and j < SIDE - 1 else _ZERO
        value = (_ONE - v) * ((_ONE - u) * a + u * b) + v * ((_ONE - u) * c + u * d)
    return value


@kernel
def warp(images, index, ranges, draws, scratch, image):
    """Write image number ``index`` of uint8 (n, 28, 28) with its geometry changed, 0-255; its neighbor is any of them.

    ``ranges`` is of type ``RANGES`` with angles in radians, ``draws`` float32 (N_DRAWS,), ``scratch`` float32 (32,).
    """
    angle = ranges.rotation * _either(draws[TURN])
    sine, cosine = np.float32(math.sin(angle)), np.float32(math.cos(angle))
    shear = ranges.shear * _either(draws[SHEAR])
    size = np.float32(math.exp(ranges.scale * _either(draws[SCALE])))
    stretch = np.float32(math.exp(ranges.aspect * _HALF * _either(draws[ASPECT])))
    wide, high = size * stretch, size / stretch
    right, down = ranges.shift * _either(draws[RIGHT]), ranges.shift * _either(draws[DOWN])
    has_neighbor = draws[NEIGHBOR] < ranges.neighbor
    # Ink is at most 20 pixels wide: a neighbor this far away reaches in, and never to the middle.
    aside = np.float32(16.5) + np.float32(5.5) * draws[NEIGHBOR_FAR]
    if draws[NEIGHBOR_SIDE] < _HALF:
        aside = -aside
    below = np.float32(3.0) * _either(draws[NEIGHBOR_DOWN])
    other = min(int(draws[NEIGHBOR_WHICH] * np.float32(len(images))), len(images) - 1)
    is_elastic = ranges.elastic > _ZERO
    across, along = scratch[:4], scratch[4:8]
    for y in range(SIDE):
        if is_elastic:
            # The spline in one direction first: seven arrows for this row.
            _spline(np.float32(y % _SPACING) / np.float32(_SPACING), across)
            first = y // _SPACING
            for k in range(2 * GRID):
                total = _ZERO
                for r in range(4):
                    total += across[r] * _either(draws[ARROWS + (first + r) * 2 * GRID + k])
                scratch[8 + k] = ranges.elastic * total
        for x in range(SIDE):
            v, u = np.float32(y) - _MIDDLE - down, np.float32(x) - _MIDDLE - right
            u += shear * v
            at_x = wide * (cosine * u - sine * v) + _MIDDLE
            at_y = high * (sine * u + cosine * v) + _MIDDLE
            if is_elastic:
                _spline(np.float32(x % _SPACING) / np.float32(_SPACING), along)
                first = 8 + x // _SPACING
                for r in range(4):
                    at_x += along[r] * scratch[first + r]
                    at_y += along[r] * scratch[first + GRID + r]
            value = _between(images, index, at_y, at_x)
            if has_neighbor:
                value = max(value, _between(images, other, at_y - below, at_x - aside))
            image[y, x] = value


@kernel
def _sometimes(draw):
    """From [0, 1) to [0, 1), with 0 for half of the draws."""
    return max(_ZERO, np.float32(2.0) * draw - _ONE)


@kernel
def _four(image, y, x):
    """Return the pixels above, below, left and right."""
    above = image[y - 1, x] if y > 0 else _ZERO
    below = image[y + 1, x] if y < SIDE - 1 else _ZERO
    left = image[y, x - 1] if x > 0 else _ZERO
    right = image[y, x + 1] if x < SIDE - 1 else _ZERO
    return above, below, left, right


@kernel
def _change_stroke(amount, image, before):
    """Grey dilation, or erosion where the amount is below 0, by a part of a pixel on each side."""
    brightest, after = _ZERO, _ZERO
    for y in range(SIDE):
        for x in range(SIDE):
            before[y, x] = image[y, x]
            brightest = max(brightest, image[y, x])
    for y in range(SIDE):
        for x in range(SIDE):
            own = before[y, x]
            a, b, c, d = _four(before, y, x)
            goal = max(own, a, b, c, d) if amount > _ZERO else min(own, a, b, c, d)
            image[y, x] = own + abs(amount) * (goal - own)
            after = max(after, image[y, x])
    if after > _ONE:
        # A line as thin as the steps would fade; it is to become thinner, not fainter.
        gain = brightest / after
        for y in range(SIDE):
            for x in range(SIDE):
                image[y, x] *= gain


@kernel
def _blur(amount, image, before):
    """Mix every pixel with the mean of its four neighbors."""
    for y in range(SIDE):
        for x in range(SIDE):
            before[y, x] = image[y, x]
    for y in range(SIDE):
        for x in range(SIDE):
            a, b, c, d = _four(before, y, x)
            image[y, x] += amount * (np.float32(0.25) * (a + b + c + d) - before[y, x])


@kernel
def _cut_edge(draws, image):
    """Lose up to a sixth of the ink's box at one of its four edges."""
    top, bottom, left, right = SIDE, -1, SIDE, -1
    for y in range(SIDE):
        for x in range(SIDE):
            if image[y, x] > np.float32(64.0):
                top, bottom, left, right = min(top, y), max(bottom, y), min(left, x), max(right, x)
    side = int(draws[CUT_SIDE] * np.float32(4.0))
    extent = bottom - top + 1 if side < 2 else right - left + 1
    depth = int(draws[CUT_DEPTH] * np.float32(extent) / np.float32(6.0) + _HALF)
    for y in range(SIDE):
        for x in range(SIDE):
            if (
                (side == 0 and y < top + depth)
                or (side == 1 and y > bottom - depth)
                or (side == 2 and x < left + depth)
                or (side == 3 and x > right - depth)
            ):
                image[y, x] = _ZERO


@kernel
def _break_stroke(draws, image):
    """Leave a gap, one to three pixels wide, along a short line somewhere near the middle."""
    x0 = np.float32(6.0) + np.float32(16.0) * draws[GAP_X]
    y0 = np.float32(6.0) + np.float32(16.0) * draws[GAP_Y]
    angle = np.float32(math.pi) * draws[GAP_ANGLE]
    sine, cosine = np.float32(math.sin(angle)), np.float32(math.cos(angle))
    half_width, half_length = _HALF + draws[GAP_WIDTH], np.float32(3.5)
    for y in range(SIDE):
        for x in range(SIDE):
            u, v = np.float32(x) - x0, np.float32(y) - y0
            beside, along = abs(cosine * v - sine * u), abs(cosine * u + sine * v)
            if along < half_length:
                image[y, x] *= min(_ONE, max(_ZERO, beside - half_width + _HALF))


@kernel
def _print(ranges, draws, image, out):
    """Put the ink on its paper, add noise, and round to 0-255."""
    steepness = _ONE + np.float32(4.0) * ranges.contrast * _sometimes(draws[EDGES])
    level = _ONE - ranges.contrast * _sometimes(draws[FAINT])
    grey = ranges.background * _sometimes(draws[PAPER])
    slope = ranges.background * _sometimes(draws[SLOPE]) / np.float32(SIDE)
    where = np.float32(2.0 * math.pi) * draws[SLOPE_WHERE]
    slope_x, slope_y = slope * np.float32(math.cos(where)), slope * np.float32(math.sin(where))
    line = np.float32(2.0) * ranges.background * _sometimes(draws[LINE])
    place = np.float32(SIDE) * np.float32(2.0) * draws[LINE_WHERE]  # the first half of them across, the others down
    line *= draws[LINE_LEVEL]
    noise = ranges.noise * _sometimes(draws[NOISE])
    key = mixed(np.uint32(draws[NOISE_KEY] * np.float32(16777216.0)))
    for y in range(SIDE):
        for x in range(SIDE):
            ink = image[y, x] * np.float32(1.0 / 255.0)
            if steepness > _ONE:
                ink = _HALF + (ink - _HALF) * steepness
            ink = level * min(_ONE, max(_ZERO, ink))
            paper = grey + slope_x * (np.float32(x) - _MIDDLE) + slope_y * (np.float32(y) - _MIDDLE)
            apart = abs(np.float32(y) - place) if place < np.float32(SIDE) else abs(np.float32(x + SIDE) - place)
            paper = max(_ZERO, paper) + line * max(_ZERO, _ONE - apart)
            value = ink + (_ONE - ink) * min(_ONE, paper)
            if noise > _ZERO:
                bits = mixed(np.uint32(key ^ np.uint32(y * SIDE + x)))
                # Four bytes, each even over 256 values, sum to nearly a normal distribution of this spread.
                total = (
                    (bits & np.uint32(255))
                    + ((bits >> np.uint32(8)) & np.uint32(255))
                    + ((bits >> np.uint32(16)) & np.uint32(255))
                    + (bits >> np.uint32(24))
                )
                value += noise * (np.float32(total) - np.float32(510.0)) * np.float32(1.0 / 147.8)
            out[y, x] = np.uint8(min(_ONE, max(_ZERO, value)) * np.float32(255.0) + _HALF)


@entry_point
def augment_images(images, first, last, ranges, draws, scratch, image, before, out):
    """Augment the images, uint8 (n, 28, 28), from ``first`` to before ``last``, into the same rows of ``out``.

    ``ranges`` is of type ``RANGES`` with angles in radians, ``draws`` float32 (n, N_DRAWS) in [0, 1); ``scratch``,
    ``image`` and ``before``, float32 (32,) and two (28, 28), are this thread's own.
    """
    for index in range(first, last):
        own = draws[index]
        warp(images, index, ranges, own, scratch, image)
        stroke = own[STROKE] * (ranges.thicken + ranges.thin) - ranges.thin
        while stroke != _ZERO:
            # One pixel at a time; what is left of it in the last round.
            step = min(_ONE, max(-_ONE, stroke))
            _change_stroke(step, image, before)
            stroke -= step
        if own[GAP] < ranges.gap:
            _break_stroke(own, image)
        if own[CUT] < ranges.cut:
            _cut_edge(own, image)
        blur = ranges.blur * _sometimes(own[BLUR])
        if blur > _ZERO:
            _blur(blur, image, before)
        _print(ranges, own, image, out[index])
