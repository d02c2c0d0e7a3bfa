"""Warping: the geometry of an image changed, in one interpolation a pixel.

In plain words, for every pixel of the new image::

    point = where it comes from: turned, sheared, scaled, shifted, and displaced a little (elastic)
    value = the old image there, between its four nearest pixels
            or a neighbor's, where one reaches in from the side and is brighter

The elastic displacement is that of Simard, Steinkraus and Platt (2003), a smooth random field; it is smooth here
because a cubic B-spline draws it from a coarse grid of 7 x 7 arrows, seven pixels apart.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.compiled import inlined, kernel
from digitlab.engine.cpu.draws import (
    ARROWS,
    ASPECT,
    DOWN,
    GRID,
    NEIGHBOR,
    NEIGHBOR_DOWN,
    NEIGHBOR_FAR,
    NEIGHBOR_SIDE,
    NEIGHBOR_WHICH,
    RIGHT,
    SCALE,
    SHEAR,
    SIDE,
    TURN,
)

__all__ = ["warp"]

_SPACING = 7
_MIDDLE = np.float32((SIDE - 1) / 2)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


@inlined
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


@inlined
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
    """Write the image with its geometry changed, 0-255.

    Parameters
    ----------
    images, index : ndarray, int
        uint8 (n, 28, 28), and which of them; its neighbor is any of them.
    ranges : record
        Of type ``RANGES``; angles in radians.
    draws : ndarray
        float32 (N_DRAWS,) in [0, 1).
    scratch, image : ndarray
        float32 (32,), and (28, 28), written.
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
