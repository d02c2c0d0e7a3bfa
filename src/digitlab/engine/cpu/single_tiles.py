"""Tiles of one image's sums: neighbouring pixels that share every vector of filters that is loaded.

Each of these adds up, for some pixels and a vector or two of filters f::

    sums[pixel, f] = bias[f] + sum over taps of  values[at + pixel * step + tap] * params[w + tap * filters + f]

over the ``run`` taps of each of the kernel's ``rows``. The taps of one row (its columns, all channels of each) stand
side by side in the image, too; ``row`` and ``w_row`` lead from one to the next. Sums stay in registers until they are
written, from ``to`` on, ``filters`` numbers from pixel to pixel.
"""

from __future__ import annotations

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import (
    LANES,
    REGISTERS,
    add_scaled,
    larger,
    largest_of_pairs,
    load,
    rectified,
    repeated,
    store,
    store_rows,
    zeros,
)

__all__ = ["ACROSS", "PIXELS", "largest_of_windows", "sums_of_1", "sums_of_5", "sums_of_8", "sums_of_many"]

#: Pixels of a tile, and vectors of filters of a dense layer's.
PIXELS = 8
#: Pixels of each of the two rows of windows in a tile: their sums take half of the registers.
ACROSS = REGISTERS // 4


@kernel
def sums_of_8(values, at, row, rows, run, step, params, w, filters, w_row, bias, relu, to, is_whole, scratch):
    """Write the sums to ``values``, or to ``scratch`` where there are fewer filters left than a vector has lanes."""
    sums = repeated(load(1, params, bias), 8) if bias >= 0 else zeros(8)
    for _ in range(rows):
        for tap in range(run):
            sums = add_scaled(sums, values, at + tap, step, params, w + tap * filters)
        at += row
        w += w_row
    if relu:
        sums = rectified(sums)
    if is_whole:
        store_rows(sums, values, to, filters)
    else:
        store(sums, scratch, 0)


@kernel
def sums_of_5(values, at, row, rows, run, step, params, w, filters, w_row, bias, relu, to):
    """The same for 5 pixels and two vectors of filters."""
    left = repeated(load(1, params, bias), 5) if bias >= 0 else zeros(5)
    right = repeated(load(1, params, bias + LANES), 5) if bias >= 0 else zeros(5)
    for _ in range(rows):
        for tap in range(run):
            left = add_scaled(left, values, at + tap, step, params, w + tap * filters)
            right = add_scaled(right, values, at + tap, step, params, w + tap * filters + LANES)
        at += row
        w += w_row
    if relu:
        left, right = rectified(left), rectified(right)
    store_rows(left, values, to, filters)
    store_rows(right, values, to + LANES, filters)


@kernel
def largest_of_windows(values, at, row, rows, run, step, params, w, filters, w_row, bias, relu, to, is_whole, scratch):
    """Sum up ``ACROSS`` pixels in each of two rows, and write the largest of every 2 x 2 window."""
    upper = repeated(load(1, params, bias), ACROSS) if bias >= 0 else zeros(ACROSS)
    lower = upper
    for _ in range(rows):
        for tap in range(run):
            upper = add_scaled(upper, values, at + tap, step, params, w + tap * filters)
            lower = add_scaled(lower, values, at + row + tap, step, params, w + tap * filters)
        at += row
        w += w_row
    largest = largest_of_pairs(larger(upper, lower))
    if relu:
        largest = rectified(largest)
    if is_whole:
        store_rows(largest, values, to, filters)
    else:
        store(largest, scratch, 0)


@kernel
def sums_of_1(values, at, row, rows, run, params, w, filters, w_row, bias, scratch):
    sums = load(1, params, bias) if bias >= 0 else zeros(1)
    for _ in range(rows):
        for tap in range(run):
            sums = add_scaled(sums, values, at + tap, 1, params, w + tap * filters)
        at += row
        w += w_row
    store(sums, scratch, 0)


@kernel
def sums_of_many(values, at, run, params, w, filters, scratch):
    """Sum up 8 vectors of filters for one pixel, without bias: they stand side by side in the kernel, too."""
    s0, s1, s2, s3, s4, s5, s6, s7 = zeros(1), zeros(1), zeros(1), zeros(1), zeros(1), zeros(1), zeros(1), zeros(1)
    for tap in range(run):
        s0 = add_scaled(s0, values, at + tap, 1, params, w)
        s1 = add_scaled(s1, values, at + tap, 1, params, w + LANES)
        s2 = add_scaled(s2, values, at + tap, 1, params, w + 2 * LANES)
        s3 = add_scaled(s3, values, at + tap, 1, params, w + 3 * LANES)
        s4 = add_scaled(s4, values, at + tap, 1, params, w + 4 * LANES)
        s5 = add_scaled(s5, values, at + tap, 1, params, w + 5 * LANES)
        s6 = add_scaled(s6, values, at + tap, 1, params, w + 6 * LANES)
        s7 = add_scaled(s7, values, at + tap, 1, params, w + 7 * LANES)
        w += filters
    store(s0, scratch, 0)
    store(s1, scratch, LANES)
    store(s2, scratch, 2 * LANES)
    store(s3, scratch, 3 * LANES)
    store(s4, scratch, 4 * LANES)
    store(s5, scratch, 5 * LANES)
    store(s6, scratch, 6 * LANES)
    store(s7, scratch, 7 * LANES)
