"""One image: when there are no others to put beside it, a layer's filters stand side by side instead.

In plain words, the same convolution as in ``convolution.py``::

    z[y, x, f] = bias[f] + sum over ky, kx, c of  x[y + ky, x + kx, c] * kernel[ky, kx, c, f]

but one vector holds ``LANES`` filters f of one image, not one value of ``LANES`` images. The kernel is stored with its
filters side by side, so a vector of it is multiplied by one number of the image. A tile holds such sums for 8
neighbouring pixels, which share every vector of the kernel that is loaded.

Where a block of images keeps a vector, one image keeps a number: every position of the program is divided by ``LANES``.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.compiled import entry_point, kernel
from digitlab.engine.cpu.lanes import LANES, add_scaled, load, rectified, repeated, store, store_rows, zeros
from digitlab.engine.cpu.operations import CONV, CONV_POOL, DENSE, POOL

__all__ = ["predict_one"]

_PIXELS = 8


@kernel
def _sums_of_8(values, at, row, rows, run, step, params, w, filters, w_row, bias, relu, to, is_whole, scratch):
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
def _sums_of_1(values, at, row, rows, run, params, w, filters, w_row, bias, scratch):
    sums = load(1, params, bias) if bias >= 0 else zeros(1)
    for _ in range(rows):
        for tap in range(run):
            sums = add_scaled(sums, values, at + tap, 1, params, w + tap * filters)
        at += row
        w += w_row
    store(sums, scratch, 0)


@kernel
def _sums_of_many(values, at, run, params, w, filters, scratch):
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


@kernel
def _many(op, params, values, to, relu, scratch):
    """Write as many of a dense layer's outputs as fill tiles of 8 vectors; return how many those are."""
    run, floor = op.kernel_width * op.channels, np.float32(0.0) if relu else np.float32(-np.inf)
    n = op.filters - op.filters % (_PIXELS * LANES)
    for f in range(0, n, _PIXELS * LANES):
        _sums_of_many(values, op.x // LANES, run, params, op.weights + f, op.filters, scratch)
        for k in range(_PIXELS * LANES):
            bias = params[op.bias + f + k] if op.bias >= 0 else np.float32(0.0)
            values[to + f + k] = max(scratch[k] + bias, floor)
    return n


@kernel
def _convolve(op, params, values, to, to_row, relu, scratch):
    """Write the convolution's map to ``values``, from ``to`` on. A dense layer is one with a single pixel."""
    channels, filters = op.channels, op.filters
    run, row = op.kernel_width * channels, op.x_row // LANES
    n = _PIXELS if op.width >= _PIXELS else 1
    done = _many(op, params, values, to, relu, scratch) if op.width * op.height * op.kernel_height == 1 else 0
    for y in range(op.height):
        x = 0
        while x < op.width:
            # The last pixels overlap the ones before rather than reaching beyond the row.
            x = min(x, op.width - n)
            at = op.x // LANES + y * row + x * channels
            for f in range(done, filters, LANES):
                # The last vector reads what stands behind the kernel's row; those sums are not used.
                w, bias = op.weights + f, op.bias + f if op.bias >= 0 else -1
                start, n_kept = to + y * to_row + x * filters + f, min(LANES, filters - f)
                if n == _PIXELS:
                    _sums_of_8(
                        values, at, row, op.kernel_height, run, channels, params, w, filters, run * filters, bias,
                        relu, start, n_kept == LANES, scratch,
                    )  # fmt: skip
                    if n_kept == LANES:
                        continue
                else:
                    _sums_of_1(values, at, row, op.kernel_height, run, params, w, filters, run * filters, bias, scratch)
                for pixel in range(n):
                    for k in range(n_kept):
                        total = scratch[pixel * LANES + k]
                        values[start + pixel * filters + k] = max(total, np.float32(0.0)) if relu else total
            x += n


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


@entry_point
def predict_one(ops, layout, bytes_, floats, params, values, n_values, scratch, out):
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
            row = op.width * op.filters
            _convolve(op, params, values, n_values, row, op.relu, scratch)
            _pool(op, values, n_values, row, 0, 0, op.height, op.width, op.filters, (2, 2), (2, 2))
        elif op.kind == POOL:
            _pool(
                op, values, op.x // LANES, op.x_row // LANES, op.border_top, op.border_left, op.in_height, op.in_width,
                op.channels, (op.pool_height, op.pool_width), (op.stride_height, op.stride_width),
            )  # fmt: skip
        else:  # dropout changes nothing
            for y in range(op.in_height):
                for i in range(op.in_width * op.channels):
                    values[op.y // LANES + y * (op.y_row // LANES) + i] = values[
                        op.x // LANES + y * (op.x_row // LANES) + i
                    ]
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
