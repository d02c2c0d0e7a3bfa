"""One image: when there are no others to put beside it, a layer's filters stand side by side instead.

In plain words, the same convolution as in ``convolution.py``::

    z[y, x, f] = bias[f] + sum over ky, kx, c of  x[y + ky, x + kx, c] * kernel[ky, kx, c, f]

but one vector holds ``LANES`` filters f of one image, not one value of ``LANES`` images. The kernel is stored with its
filters side by side, so a vector of it is multiplied by one number of the image. A tile holds such sums for some
neighbouring pixels, which share every vector of the kernel that is loaded: 8 pixels, or 5 with two vectors of filters
where that fits a row better (a row of 10 takes two tiles of 5, and of 8 it would take two with 6 pixels twice). Where
2 x 2 max-pooling follows, a tile holds the pixels of whole windows, and only the largest of each is written.

Where a block of images keeps a vector, one image keeps a number: every position of the program is divided by ``LANES``.

The tiles are those of ``map_rows.py``. They add up, for some pixels and a vector or two of filters f::

    sums[pixel, f] = bias[f] + sum over taps of  values[at + pixel * step + tap] * params[w + tap * filters + f]

over the ``run`` taps of each of the kernel's ``rows``. The taps of one row (its columns, all channels of each) stand
side by side in the image, too; ``row`` leads from one to the next. Sums stay in registers until they are written, from
``to`` on, ``filters`` numbers from pixel to pixel.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.activation import apply_to_run
from digitlab.engine.cpu.compiled import entry_point, kernel
from digitlab.engine.cpu.map_rows import LINEAR, RELU, largest_of_windows, tile_of_sums
from digitlab.engine.cpu.pooling import window_inside
from digitlab.engine.cpu.program import AVERAGE, CONV, CONV_POOL, DENSE, DROPOUT, POOL
from digitlab.engine.cpu.tiles import LANES, REGISTERS, add_outer, load, rectified, repeated, store_rows, zeros

#: Pixels of a tile, and vectors of filters of a dense layer's.
PIXELS = 8
#: Pixels of each of the two rows of windows in a tile: their sums take half of the registers.
ACROSS = REGISTERS // 4

_sums_of_8, _sums_of_5, _sum = tile_of_sums(PIXELS, 1), tile_of_sums(5, 2), tile_of_sums(1, 1)
#: One pixel of a dense layer, whose vectors of filters stand side by side in the kernel, too.
_sums_of_many = tile_of_sums(1, PIXELS)


@kernel
def _windows(values, at, row, rows, run, step, params, w, filters, bias, relu, out, to, to_step):
    """Sum up ``ACROSS`` pixels in each of two rows, and write the largest of every 2 x 2 window to ``out``."""
    upper = repeated(load(1, 1, params, bias), ACROSS) if bias >= 0 else zeros(ACROSS, 1)
    lower = upper
    for _ in range(rows):
        for tap in range(run):
            upper = add_outer(upper, values, at + tap, step, params, w)
            lower = add_outer(lower, values, at + row + tap, step, params, w)
            w += filters
        at += row
    largest = largest_of_windows(upper, lower)
    if relu:
        largest = rectified(largest)
    store_rows(largest, out, to, to_step)


@kernel
def _many(op, params, values, to, relu, scratch):
    """Write as many of a dense layer's outputs as fill tiles of 8 vectors; return how many those are."""
    run, floor = op.kernel_width * op.channels, np.float32(0.0) if relu else np.float32(-np.inf)
    n = op.filters - op.filters % (PIXELS * LANES)
    for f in range(0, n, PIXELS * LANES):
        _sums_of_many(
            values, op.x // LANES, 0, 1, run, 0, params, op.weights + f, op.filters, -1, LINEAR, scratch, 0, 0, 0
        )
        for k in range(PIXELS * LANES):
            bias = params[op.bias + f + k] if op.bias >= 0 else np.float32(0.0)
            values[to + f + k] = max(scratch[k] + bias, floor)
    return n


@kernel
def _convolve(op, params, values, to, to_row, relu, scratch):
    """Write the convolution's map to ``values``, from ``to`` on. A dense layer is one with a single pixel."""
    filters, width, step, mode = op.filters, op.width, op.stride_width * op.channels, RELU if relu else LINEAR
    rows, run, row = op.kernel_height, op.kernel_width * op.channels, op.x_row // LANES
    done = _many(op, params, values, to, relu, scratch) if width * op.height * rows == 1 else 0
    # Pixels that are computed, some of them twice: tiles of 5 take fewer than tiles of 8?
    by_5 = width >= 5 and (width < PIXELS or -(-width // 5) * 5 < -(-width // PIXELS) * PIXELS)
    n_by_5 = filters - filters % (2 * LANES) if by_5 else 0
    n = PIXELS if width >= PIXELS else 1
    for y in range(op.height):
        line, line_to = op.x // LANES + y * op.stride_height * row, to + y * to_row
        for x in range(0, width if n_by_5 else 0, 5):
            # The last pixels overlap the ones before rather than reaching beyond the row.
            x = min(x, width - 5)
            for f in range(0, n_by_5, 2 * LANES):
                _sums_of_5(
                    values, line + x * step, row, rows, run, step, params, op.weights + f, filters,
                    op.bias + f if op.bias >= 0 else -1, mode, values, line_to + x * filters + f, filters, 0,
                )  # fmt: skip
        for x in range(0, width if max(done, n_by_5) < filters else 0, n):
            x = min(x, width - n)
            at = line + x * step
            for f in range(max(done, n_by_5), filters, LANES):
                # The last vector reads what stands behind the kernel's row; those sums are not used.
                w, bias = op.weights + f, op.bias + f if op.bias >= 0 else -1
                start, n_kept = line_to + x * filters + f, min(LANES, filters - f)
                out, out_to, out_step = (values, start, filters) if n_kept == LANES else (scratch, 0, LANES)
                if n == PIXELS:
                    _sums_of_8(
                        values, at, row, rows, run, step, params, w, filters, bias, mode, out, out_to, out_step, 0
                    )
                else:
                    _sum(values, at, row, rows, run, step, params, w, filters, bias, mode, out, out_to, out_step, 0)
                if n_kept < LANES:
                    _keep(values, start, filters, scratch, n, n_kept)


@kernel
def _keep(values, to, filters, scratch, n, n_kept):
    """Write the first ``n_kept`` numbers of ``n`` vectors in ``scratch``."""
    for pixel in range(n):
        for k in range(n_kept):
            values[to + pixel * filters + k] = scratch[pixel * LANES + k]


@kernel
def _pool(op, values, at, row, top, left, height, width, channels, window, stride):
    """Write the largest of every window of the map at ``at``."""
    to_row = op.y_row // LANES
    for y in range(op.out_height):
        for x in range(op.out_width):
            first_y, first_x = y * stride[0] - top, x * stride[1] - left
            to = op.y // LANES + y * to_row + x * channels
            is_inside = first_y >= 0 and first_x >= 0 and first_y + 2 <= height and first_x + 2 <= width
            if window[0] == 2 and window[1] == 2 and is_inside:
                # The usual case, written to be read and written once.
                a, b = at + first_y * row + first_x * channels, at + (first_y + 1) * row + first_x * channels
                for c in range(channels):
                    upper = max(values[a + c], values[a + channels + c])
                    lower = max(values[b + c], values[b + channels + c])
                    values[to + c] = max(upper, lower)
                continue
            for c in range(channels):
                values[to + c] = -np.inf
            for py in range(max(0, first_y), min(height, first_y + window[0])):
                for px in range(max(0, first_x), min(width, first_x + window[1])):
                    pixel = at + py * row + px * channels
                    for c in range(channels):
                        values[to + c] = max(values[to + c], values[pixel + c])


@kernel
def _average(op, values):
    """Write the mean of every window."""
    channels = op.channels
    for y in range(op.out_height):
        for x in range(op.out_width):
            top, bottom, left, right, part = window_inside(op, y, x)
            to = op.y // LANES + y * (op.y_row // LANES) + x * channels
            for c in range(channels):
                values[to + c] = 0.0
            for row in range(top, bottom):
                for column in range(left, right):
                    at = op.x // LANES + row * (op.x_row // LANES) + column * channels
                    for c in range(channels):
                        values[to + c] += values[at + c]
            for c in range(channels):
                values[to + c] *= part


@kernel
def _apply(op, values, scratch):
    """Apply the function of every value by itself, a vector at a time, of which the last may be short."""
    n, below = op.in_width * op.channels, np.float32(op.below)
    for y in range(op.in_height):
        at, to = op.x // LANES + y * (op.x_row // LANES), op.y // LANES + y * (op.y_row // LANES)
        for first in range(0, n, LANES):
            n_kept = min(LANES, n - first)
            for i in range(n_kept):
                scratch[i] = values[at + first + i]
            apply_to_run(scratch, 0, 0, LANES, op.function, below)
            for i in range(n_kept):
                values[to + first + i] = scratch[i]


@kernel
def _convolve_and_pool(op, params, values, n_values, scratch):
    """Write the largest of every 2 x 2 window of the convolution's map, and not the map."""
    channels, filters, across = op.channels, op.filters, op.width - op.width % 2
    if across < ACROSS:
        _convolve(op, params, values, n_values, op.width * filters, op.relu, scratch)
        _pool(op, values, n_values, op.width * filters, 0, 0, op.height, op.width, filters, (2, 2), (2, 2))
        return
    rows, run, row = op.kernel_height, op.kernel_width * channels, op.x_row // LANES
    for y in range(op.height // 2):
        line, line_to = op.x // LANES + 2 * y * row, op.y // LANES + y * (op.y_row // LANES)
        for x in range(0, across, ACROSS):
            x = min(x, across - ACROSS)
            for f in range(0, filters, LANES):
                bias = op.bias + f if op.bias >= 0 else -1
                start, n_kept = line_to + x // 2 * filters + f, min(LANES, filters - f)
                out, out_to, out_step = (values, start, filters) if n_kept == LANES else (scratch, 0, LANES)
                _windows(
                    values, line + x * channels, row, rows, run, channels, params, op.weights + f, filters, bias,
                    op.relu, out, out_to, out_step,
                )  # fmt: skip
                if n_kept < LANES:
                    _keep(values, start, filters, scratch, ACROSS // 2, n_kept)


@entry_point
def predict_one(ops, layout, bytes_, floats, params, values, n_values, scratch, out, rare):
    """Answer one image.

    Parameters
    ----------
    ops, layout
        The program.
    bytes_, floats : ndarray
        The image, uint8 or float32 (1, pixels); the other one is empty.
    params : ndarray
        float32; at least ``LANES`` numbers stand behind them.
    values : ndarray
        float32, the image's memory: ``n_values`` numbers for the program's maps, and the largest map before a pooling.
    scratch : ndarray
        float32 (8 x LANES,).
    out : ndarray
        float32 (1, n_classes), written: the probabilities.
    rare : True or None
        As for a batch.
    """
    width, row = layout.image_width, layout.image_row // LANES
    for y in range(layout.image_height):
        for i in range(width):
            to = layout.image // LANES + y * row + i
            if len(bytes_):
                values[to] = np.float32(bytes_[0, y * width + i]) / np.float32(255.0)
            else:
                values[to] = floats[0, y * width + i]
    for index in range(len(ops)):
        op = ops[index]
        if op.kind == CONV or op.kind == DENSE:
            _convolve(op, params, values, op.y // LANES, op.y_row // LANES, op.relu, scratch)
        elif op.kind == CONV_POOL:
            _convolve_and_pool(op, params, values, n_values, scratch)
        elif op.kind == POOL:
            _pool(
                op, values, op.x // LANES, op.x_row // LANES, op.border_top, op.border_left, op.in_height, op.in_width,
                op.channels, (op.pool_height, op.pool_width), (op.stride_height, op.stride_width),
            )  # fmt: skip
        elif op.kind == DROPOUT:  # which changes nothing
            for y in range(op.in_height):
                for i in range(op.in_width * op.channels):
                    values[op.y // LANES + y * (op.y_row // LANES) + i] = values[
                        op.x // LANES + y * (op.x_row // LANES) + i
                    ]
        elif rare is not None:
            if op.kind == AVERAGE:
                _average(op, values)
            else:
                _apply(op, values, scratch)
    logits, n_classes = layout.logits // LANES, layout.n_classes
    largest = values[logits]
    for k in range(1, n_classes):
        largest = max(largest, values[logits + k])
    total = np.float32(0.0)
    for k in range(n_classes):
        out[0, k] = math.exp(values[logits + k] - largest)
        total += out[0, k]
    for k in range(n_classes):
        out[0, k] /= total
