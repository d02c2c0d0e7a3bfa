"""Thinning: the line that a pen went along, from an image of the stroke.

The image is enlarged, cut at a threshold, and pixels are taken from its border until lines of one pixel are left
(Zhang and Suen 1984). What remains is a set of short edges, smoothed, along which any pen can go again.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.compiled import entry_point, kernel

_SIDE = 28
_FINE = 2
_LARGE = _SIDE * _FINE + 2
#: Edges of one image, at most.
MOST_EDGES = 160
#: Edges are in these parts of a pixel of the image: 28 of them are 252, within a byte.
EDGE_UNITS = 9


@kernel
def _value(image, y, x):
    """The image between its pixels, 0-255."""
    top, left = math.floor(y), math.floor(x)
    v, u = y - top, x - left
    total = 0.0
    for i in range(2):
        for j in range(2):
            a, b = int(top) + i, int(left) + j
            if 0 <= a < _SIDE and 0 <= b < _SIDE:
                total += (v if i else 1.0 - v) * (u if j else 1.0 - u) * image[a, b]
    return total


@kernel
def _peel(ink, marked, is_second):
    """Take away one layer from two of the four sides; return how many pixels went."""
    n_gone = 0
    for y in range(1, _LARGE - 1):
        for x in range(1, _LARGE - 1):
            marked[y, x] = 0
            if ink[y, x] == 0:
                continue
            p2, p3, p4, p5 = ink[y - 1, x], ink[y - 1, x + 1], ink[y, x + 1], ink[y + 1, x + 1]
            p6, p7, p8, p9 = ink[y + 1, x], ink[y + 1, x - 1], ink[y, x - 1], ink[y - 1, x - 1]
            n = p2 + p3 + p4 + p5 + p6 + p7 + p8 + p9
            if n < 2 or n > 6:
                continue
            turns = int(p2 == 0 and p3 == 1) + int(p3 == 0 and p4 == 1) + int(p4 == 0 and p5 == 1)
            turns += int(p5 == 0 and p6 == 1) + int(p6 == 0 and p7 == 1) + int(p7 == 0 and p8 == 1)
            turns += int(p8 == 0 and p9 == 1) + int(p9 == 0 and p2 == 1)
            if turns != 1:
                continue
            if is_second:
                if p2 * p4 * p8 != 0 or p2 * p6 * p8 != 0:
                    continue
            elif p2 * p4 * p6 != 0 or p4 * p6 * p8 != 0:
                continue
            marked[y, x] = 1
            n_gone += 1
    for y in range(1, _LARGE - 1):
        for x in range(1, _LARGE - 1):
            if marked[y, x]:
                ink[y, x] = 0
    return n_gone


@kernel
def _smoothed(ink, y, x):
    """The mean place of the line's pixels around one of its own, in pixels of the image."""
    total_y, total_x, n = 0.0, 0.0, 0.0
    for i in range(max(0, y - 2), min(_LARGE, y + 3)):
        for j in range(max(0, x - 2), min(_LARGE, x + 3)):
            if ink[i, j]:
                total_y += i
                total_x += j
                n += 1.0
    # A line's end would be drawn in by the mean: it stays half where it was.
    near = 0
    for i in range(y - 1, y + 2):
        for j in range(x - 1, x + 2):
            near += ink[i, j]
    keep = 0.6 if near <= 2 else 0.15
    mean_y, mean_x = total_y / n, total_x / n
    place_y, place_x = keep * y + (1 - keep) * mean_y, keep * x + (1 - keep) * mean_x
    return (place_y - 1.0 + 0.5) / _FINE, (place_x - 1.0 + 0.5) / _FINE


@kernel
def _byte(value):
    return np.uint8(min(max(value * EDGE_UNITS + 0.5, 0.0), 255.0))


@kernel
def _thin(image, threshold, ink, marked, edges):
    """Write one image's edges, and return how many there are."""
    for y in range(_LARGE):
        for x in range(_LARGE):
            inner = 0 < y < _LARGE - 1 and 0 < x < _LARGE - 1
            at_y, at_x = (y - 1 + 0.5) / _FINE - 0.5, (x - 1 + 0.5) / _FINE - 0.5
            ink[y, x] = 1 if inner and _value(image, at_y, at_x) > threshold else 0
    for _ in range(30):
        n_gone = _peel(ink, marked, False)
        n_gone += _peel(ink, marked, True)
        if n_gone == 0:
            break
    n = 0
    for y in range(1, _LARGE - 1):
        for x in range(1, _LARGE - 1):
            if ink[y, x] == 0:
                continue
            here_y, here_x = _smoothed(ink, y, x)
            n_near = -1
            for i in range(y - 1, y + 2):
                for j in range(x - 1, x + 2):
                    n_near += ink[i, j]
            for k in range(5):
                # To the right and to those below, so that every edge is made once; a lone pixel is an edge to itself.
                i = y if k == 0 or k == 4 else y + 1
                j = x + 1 if k == 0 else x + k - 2 if k < 4 else x
                if k < 4:
                    if ink[i, j] == 0:
                        continue
                    # A diagonal beside a corner would cut it off.
                    if k == 1 and (ink[y, x - 1] or ink[y + 1, x]):
                        continue
                    if k == 3 and (ink[y, x + 1] or ink[y + 1, x]):
                        continue
                elif n_near > 0:
                    continue
                if n < MOST_EDGES:
                    there_y, there_x = _smoothed(ink, i, j)
                    edges[n, 0], edges[n, 1] = _byte(here_x), _byte(here_y)
                    edges[n, 2], edges[n, 3] = _byte(there_x), _byte(there_y)
                    n += 1
    return n


@entry_point
def thin_images(images, first, last, threshold, ink, marked, edges, counts):
    """Write the edges of images, uint8 (n, 28, 28), ink bright, from ``first`` to before ``last``.

    What is above ``threshold``, 0-255, is ink. ``ink`` and ``marked``, uint8 (58, 58), are this thread's own.
    ``edges``, uint8 (n, MOST_EDGES, 4), x, y, x, y in ninths of a pixel, and ``counts``, int64 (n,), are written.
    """
    for i in range(first, last):
        counts[i] = _thin(images[i], threshold, ink, marked, edges[i])
