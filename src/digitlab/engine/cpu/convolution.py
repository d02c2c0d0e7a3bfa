"""Convolution: slide a small kernel over the image, multiply and sum.

In plain words::

    for every pixel (y, x) of the output, for every filter f:
        z[y, x, f] = bias[f] + sum over ky, kx, c of  x[y + ky, x + kx, c] * kernel[ky, kx, c, f]

which is ``2 * kernel_height * kernel_width * channels`` arithmetic operations for every value of the output. Every
value here is a vector of ``LANES`` images.

*Forward.* A tile holds the sums of 8 filters at one pixel. One kernel row reads ``kernel_width * channels`` vectors
that stand side by side; each is loaded once and goes, times one number of the kernel, into all 8 sums.

*Gradient of the kernel.* ``d_kernel[ky, kx, c, f]`` is the sum over all pixels of
``x[y + ky, x + kx, c] * dz[y, x, f]``. A tile holds such sums for up to 6 neighbouring taps and 4 filters while
the loop goes over the pixels. They stay lane-wise (one sum an image) and are added up over the lanes once for a batch.

*Gradient of the input.* ``dx[y, x, c]`` is the sum over ky, kx, f of ``dz[y - ky, x - kx, f] * kernel[ky, kx, c, f]``,
for those taps for which the pixel exists: the same loop as forward, with the kernel's last two axes exchanged.

A max-pooling of 2 x 2 pixels that follows is done at once (``pooling.py``): four tiles, one for every pixel of the
window, and only the largest is kept, so that the large map before the pooling never exists.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES, REGISTERS, add_products, add_rows, add_scaled, splat, store, zeros
from digitlab.engine.cpu.pooling import keep_largest, spread_winners

__all__ = ["convolve", "convolve_and_pool", "input_gradient", "kernel_gradient", "relu_gradient", "spread_gradient"]


def _channel_sums(n: int) -> Any:
    """Make the kernel that sums ``n`` neighbouring channels over ``rows`` runs of vectors."""

    @kernel
    def channel_sums(memory, at, row, rows, run, params, w, step, w_row, bias, out, to):
        sums = splat(n, params, bias) if bias >= 0 else zeros(n)
        for _ in range(rows):
            for tap in range(run):
                sums = add_scaled(sums, params, w + tap * step, memory, at + tap * LANES)
            at += row
            w += w_row
        store(sums, out, to)

    return channel_sums


_sums_of_8, _sums_of_4, _sums_of_1 = _channel_sums(8), _channel_sums(4), _channel_sums(1)


@kernel
def _sum_channels(memory, at, row, rows, run, params, w, w_row, bias, channels, out, to):
    """Compute all channels of one pixel, eight at a time; the last eight may overlap the ones before."""
    width = 8 if channels >= 8 else 4 if channels >= 4 else 1
    c = 0
    while c < channels:
        c = min(c, channels - width)
        b = bias + c if bias >= 0 else -1
        if width == 8:
            _sums_of_8(memory, at, row, rows, run, params, w + c, channels, w_row, b, out, to + c * LANES)
        elif width == 4:
            _sums_of_4(memory, at, row, rows, run, params, w + c, channels, w_row, b, out, to + c * LANES)
        else:
            _sums_of_1(memory, at, row, rows, run, params, w + c, channels, w_row, b, out, to + c * LANES)
        c += width


@kernel
def convolve(op, params, memory):
    """Run a convolution, its bias and ReLU over one block of images. A dense layer is one with a single pixel."""
    run, n_values = op.kernel_width * op.channels, op.filters * LANES
    rows, relu, zero = op.kernel_height, op.relu, np.float32(0.0)
    for y in range(op.height):
        for x in range(op.width):
            at = op.x + y * op.x_row + x * op.channels * LANES
            to = op.y + y * op.y_row + x * n_values
            _sum_channels(
                memory, at, op.x_row, rows, run, params, op.weights, run * op.filters, op.bias, op.filters, memory, to
            )
            if relu:
                for i in range(to, to + n_values):
                    memory[i] = max(memory[i], zero)


@kernel
def convolve_and_pool(op, params, memory, window, winners):
    """Run a convolution, its bias, ReLU and 2 x 2 max-pooling over one block of images."""
    run, n_values = op.kernel_width * op.channels, op.filters * LANES
    rows = op.kernel_height
    for y in range(op.out_height):
        for x in range(op.out_width):
            for pixel in range(4):
                at = op.x + (2 * y + pixel // 2) * op.x_row + (2 * x + pixel % 2) * op.channels * LANES
                to = pixel * n_values
                _sum_channels(
                    memory,
                    at,
                    op.x_row,
                    rows,
                    run,
                    params,
                    op.weights,
                    run * op.filters,
                    op.bias,
                    op.filters,
                    window,
                    to,
                )
            won = op.winners + (y * op.out_width + x) * n_values
            keep_largest(window, n_values, op.relu, memory, op.y + y * op.y_row + x * n_values, winners, won)


@kernel
def spread_gradient(op, memory, winners, d_lanes):
    """Turn the gradient of the pooled map into that of the convolution's own map, and sum the bias' gradient."""
    n_values = op.filters * LANES
    row = op.width * n_values
    if op.width % 2 or op.height % 2:  # what no window covers
        for i in range(op.dz, op.dz + op.height * row):
            memory[i] = 0.0
    for y in range(op.out_height):
        for x in range(op.out_width):
            at = (y * op.out_width + x) * n_values
            first = op.dz + 2 * y * row + 2 * x * n_values
            spread_winners(memory, op.dy + at, winners, op.winners + at, n_values, first, row, d_lanes, op.d_bias)


@kernel
def relu_gradient(op, memory, d_lanes):
    """Without fused pooling: stop the gradient where ReLU gave zero, and sum the bias' gradient."""
    n_values = op.filters * LANES
    zero = np.float32(0.0)
    for y in range(op.height):
        for x in range(op.width):
            at = op.y + y * op.y_row + x * n_values
            to = op.dz + (y * op.width + x) * n_values
            for i in range(n_values):
                if op.relu and memory[at + i] <= zero:
                    memory[to + i] = zero
                d_lanes[op.d_bias + i] += memory[to + i]


def _tap_gradients(taps: int, n: int) -> Any:
    """Make the kernel that sums the gradients of ``taps`` neighbouring taps and ``n`` filters over all pixels."""
    size = taps * n

    @kernel
    def tap_gradients(memory, x_first, x_row, x_step, dz, filters, height, width, d_lanes, to):
        sums = zeros(size)
        d = dz
        for y in range(height):
            x = x_first + y * x_row
            for _ in range(width):
                sums = add_products(sums, taps, memory, x, memory, d)
                x += x_step
                d += filters * LANES
        add_rows(sums, taps, d_lanes, to, filters * LANES)

    return tap_gradients


_taps_6_4, _taps_5_4, _taps_4_4 = _tap_gradients(6, 4), _tap_gradients(5, 4), _tap_gradients(4, 4)
_taps_3_4, _taps_2_4, _taps_1_4 = _tap_gradients(3, 4), _tap_gradients(2, 4), _tap_gradients(1, 4)
_taps_1_1 = _tap_gradients(1, 1)


@kernel
def _widest(run):
    """Return how many taps to take at once, such that few are left over and the tile fits into the registers."""
    if REGISTERS < 32:
        return 3 if run % 3 == 0 else 2
    for taps in (6, 5, 4, 3):
        if run % taps == 0:
            return taps
    return min(run, 5)


@kernel
def kernel_gradient(op, memory, d_lanes, first_row, n_rows):
    """Add the gradient of the kernel from ``n_rows`` rows of the convolution's map, lane by lane."""
    filters, width = op.filters, op.width
    run, x_step = op.kernel_width * op.channels, op.channels * LANES
    widest = _widest(run)
    dz_first = op.dz + first_row * width * filters * LANES
    for ky in range(op.kernel_height):
        x_first = op.x + (first_row + ky) * op.x_row
        tap = 0
        while tap < run:
            taps = widest if tap + widest <= run else 1
            f = 0
            while f < filters:
                n = 4 if f + 4 <= filters else 1
                x, dz = x_first + tap * LANES, dz_first + f * LANES
                to = op.d_weights + ((ky * run + tap) * filters + f) * LANES
                if n == 4:
                    if taps == 6:
                        _taps_6_4(memory, x, op.x_row, x_step, dz, filters, n_rows, width, d_lanes, to)
                    elif taps == 5:
                        _taps_5_4(memory, x, op.x_row, x_step, dz, filters, n_rows, width, d_lanes, to)
                    elif taps == 4:
                        _taps_4_4(memory, x, op.x_row, x_step, dz, filters, n_rows, width, d_lanes, to)
                    elif taps == 3:
                        _taps_3_4(memory, x, op.x_row, x_step, dz, filters, n_rows, width, d_lanes, to)
                    elif taps == 2:
                        _taps_2_4(memory, x, op.x_row, x_step, dz, filters, n_rows, width, d_lanes, to)
                    else:
                        _taps_1_4(memory, x, op.x_row, x_step, dz, filters, n_rows, width, d_lanes, to)
                else:
                    for t in range(taps):
                        d_to = to + t * filters * LANES
                        _taps_1_1(memory, x + t * LANES, op.x_row, x_step, dz, filters, n_rows, width, d_lanes, d_to)
                f += n
            tap += taps


@kernel
def input_gradient(op, flipped, memory):
    """Compute the gradient of what the convolution read, from ``dz``; every tap counts only where its pixel exists."""
    channels, filters = op.channels, op.filters
    d_row = op.width * filters * LANES
    tap_size = filters * channels
    w_row = op.kernel_width * tap_size
    for y in range(op.in_height):
        for x in range(op.in_width):
            # With its border the pixel is (y + top, x + left); tap (ky, kx) reaches it from row y + top - ky.
            low_y = max(0, y + op.border_top - op.height + 1)
            high_y = min(op.kernel_height, y + op.border_top + 1)
            low_x = max(0, x + op.border_left - op.width + 1)
            high_x = min(op.kernel_width, x + op.border_left + 1)
            to = op.dx + (y * op.in_width + x) * channels * LANES
            n = max(0, high_x - low_x)
            # Taps run backwards over the pixels of a row, so the kernel is stored reversed from left to right:
            # reversed tap j = kernel_width - 1 - kx, and pixels from left to right.
            first = op.kernel_width - high_x
            at = op.dz + (y + op.border_top - low_y) * d_row + (x + op.border_left - high_x + 1) * filters * LANES
            w = op.flipped + low_y * w_row + first * tap_size
            _sum_channels(
                memory, at, -d_row, max(0, high_y - low_y), n * filters, flipped, w, w_row, -1, channels, memory, to
            )
