"""Convolution: slide a small kernel over the image, multiply and sum.

In plain words::

    for every pixel (y, x) of the output, for every filter f:
        z[y, x, f] = bias[f] + sum over ky, kx, c of  x[y + ky, x + kx, c] * kernel[ky, kx, c, f]

which is ``2 * kernel_height * kernel_width * channels`` arithmetic operations for every value of the output. Every
value here is a vector of ``LANES`` images.

*Forward.* A tile holds the sums of 8 filters at one pixel. One kernel row reads ``kernel_width * channels`` vectors
that stand side by side; each is loaded once and goes, times one number of the kernel, into all 8 sums.

*Gradient of the input.* ``dx[y, x, c]`` is the sum over ky, kx, f of ``dz[y - ky, x - kx, f] * kernel[ky, kx, c, f]``,
for those taps for which the pixel exists: the same loop as forward, with the kernel's last two axes exchanged.

*Gradient of the kernel*, how every tap would change the loss::

    d_kernel[ky, kx, c, f] = sum over all pixels (y, x) and images of  x[y + ky, x + kx, c] * dz[y, x, f]

which is as much arithmetic as the convolution itself. A tile holds such sums for up to 6 neighbouring taps and 4
filters while the loop goes over the pixels. They stay lane-wise (one sum an image) and are added up over the lanes once
for a batch (``update.py``).

A max-pooling of 2 x 2 pixels that follows is done at once: a tile holds the sums of 4 filters at the four pixels of a
window, and only the largest of four leaves the registers, so that the large map before the pooling never exists.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from digitlab.engine.cpu.blocks import ink_seen_by
from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.pooling import spread_winners, store_largest
from digitlab.engine.cpu.tiles import (
    LANES,
    REGISTERS,
    add_outer,
    add_products,
    add_rows,
    add_windows,
    repeated,
    splat,
    store,
    zeros,
)


def _channel_sums(n: int) -> Any:
    """Make the kernel that sums ``n`` neighbouring channels over ``rows`` runs of vectors."""

    @kernel
    def channel_sums(memory, at, row, rows, run, params, w, step, w_row, bias, out, to):
        sums = splat(n, params, bias) if bias >= 0 else zeros(n, 1)
        for _ in range(rows):
            for tap in range(run):
                sums = add_outer(sums, params, w + tap * step, 1, memory, at + tap * LANES)
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
    row, step = op.stride_height * op.x_row, op.stride_width * op.channels * LANES
    for y in range(op.height):
        for x in range(op.width):
            at = op.x + y * row + x * step
            to = op.y + y * op.y_row + x * n_values
            _sum_channels(
                memory, at, op.x_row, rows, run, params, op.weights, run * op.filters, op.bias, op.filters, memory, to
            )
            if relu:
                for i in range(to, to + n_values):
                    memory[i] = max(memory[i], zero)


def _window_sums(n: int) -> Any:
    """Make the kernel that sums ``n`` neighbouring channels at the four pixels of a window, and keeps the largest."""

    @kernel
    def window_sums(
        memory, at, step, row, rows, run, params, w, w_step, w_row, bias, relu, to, winners, won
    ):  # fmt: skip
        sums = repeated(splat(n, params, bias), 4) if bias >= 0 else zeros(4, n)
        for _ in range(rows):
            for tap in range(run):
                sums = add_windows(sums, params, w + tap * w_step, memory, at + tap * LANES, step, row)
            at += row
            w += w_row
        store_largest(sums, relu, memory, to, winners, won)

    return window_sums


# Four sums for every pixel of a window: as many tiles as fit into the registers beside the pixels themselves.
_AT_ONCE = 4 if REGISTERS == 32 else 2
_windows_of_many, _windows_of_1 = _window_sums(_AT_ONCE), _window_sums(1)


@kernel
def convolve_and_pool(op, params, memory, winners, places, is_first):
    """Run a convolution, its bias, ReLU and 2 x 2 max-pooling over one block of images."""
    filters, row, step = op.filters, op.x_row, op.channels * LANES
    tap_size = op.channels * filters
    w_row = op.kernel_width * tap_size
    top, bottom, left, right = ink_seen_by(op, places, is_first)
    for y in range(op.out_height):
        # Both rows of the window are wanted, so a kernel row counts if it meets ink from either.
        low_y, high_y = max(0, top - 2 * y - 1), min(op.kernel_height, bottom - 2 * y)
        for x in range(op.out_width):
            low_x, high_x = max(0, left - 2 * x - 1), min(op.kernel_width, right - 2 * x)
            rows, run = max(0, high_y - low_y), max(0, high_x - low_x) * op.channels
            at = op.x + (2 * y + low_y) * row + (2 * x + low_x) * step
            w = op.weights + low_y * w_row + low_x * tap_size
            to = op.y + y * op.y_row + x * filters * LANES
            won = op.winners + (y * op.out_width + x) * filters * LANES
            f = 0
            while f < filters:
                n = _AT_ONCE if f + _AT_ONCE <= filters else 1
                bias = op.bias + f if op.bias >= 0 else -1
                if n == _AT_ONCE:
                    _windows_of_many(
                        memory, at, step, row, rows, run, params, w + f, filters, w_row, bias, op.relu,
                        to + f * LANES, winners, won + f * LANES,
                    )  # fmt: skip
                else:
                    _windows_of_1(
                        memory, at, step, row, rows, run, params, w + f, filters, w_row, bias, op.relu,
                        to + f * LANES, winners, won + f * LANES,
                    )  # fmt: skip
                f += n


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


@kernel
def input_gradient(op, flipped, memory):
    """Compute the gradient of what the convolution read, from ``dz``; every tap counts only where its pixel exists.

    Where the kernel goes on by several pixels, every such many-th tap reaches a pixel: one *phase* of the kernel.
    """
    channels, filters = op.channels, op.filters
    d_row = op.width * filters * LANES
    tap_size = filters * channels
    w_row = op.kernel_width * tap_size
    down, across = op.stride_height, op.stride_width
    each, rest = op.kernel_width // across, op.kernel_width % across
    no_bias = np.int64(-1)  # not -1 itself, for which Numba would compile once more
    for y in range(op.in_height):
        # With its border the pixel is (y + top, x + left); tap (ky, kx) reaches it from row (y + top - ky) / down.
        last_y, phase_y = (y + op.border_top) // down, (y + op.border_top) % down
        low_y = max(0, last_y - op.height + 1)
        high_y = min((op.kernel_height - phase_y + down - 1) // down, last_y + 1)
        last_x, phase_x = op.border_left // across, op.border_left % across
        for x in range(op.in_width):
            begin, n_taps = each * phase_x + min(rest, phase_x), each + (phase_x < rest)  # as phase_of_taps
            low_x = max(0, last_x - op.width + 1)
            high_x = min(n_taps, last_x + 1)
            to = op.dx + (y * op.in_width + x) * channels * LANES
            n = max(0, high_x - low_x)
            # Taps run backwards over the pixels of a row, so the kernel is stored reversed from left to right:
            # reversed tap j = n_taps - 1 - kx, and pixels from left to right.
            first = begin + n_taps - high_x
            at = op.dz + (last_y - low_y) * d_row + (last_x - high_x + 1) * filters * LANES
            w = op.flipped + (phase_y + low_y * down) * w_row + first * tap_size
            _sum_channels(
                memory,
                at,
                -d_row,
                max(0, high_y - low_y),
                n * filters,
                flipped,
                w,
                w_row * down,
                no_bias,
                channels,
                memory,
                to,
            )
            phase_x += 1
            if phase_x == across:
                phase_x, last_x = 0, last_x + 1


@kernel
def phase_of_taps(width, stride, phase):
    """Return where the taps ``phase``, ``phase + stride`` ... of a kernel's row begin in its reversed copy; how many.

    The copy has one phase after the other, each from right to left.
    """
    each, rest = width // stride, width % stride
    return each * phase + min(rest, phase), each + (phase < rest)


def _tap_gradients(taps: int, n: int) -> Any:
    """Make the kernel that sums the gradients of ``taps`` neighbouring taps and ``n`` filters over all pixels."""

    @kernel
    def tap_gradients(memory, x_first, x_row, x_step, dz, d_row, filters, height, width, d_lanes, to):
        sums = zeros(taps, n)
        for y in range(height):
            x, d = x_first + y * x_row, dz + y * d_row
            for _ in range(width):
                sums = add_products(sums, memory, x, memory, d)
                x += x_step
                d += filters * LANES
        add_rows(sums, d_lanes, to, filters * LANES)

    return tap_gradients


_taps_6_4, _taps_5_4, _taps_3_4 = _tap_gradients(6, 4), _tap_gradients(5, 4), _tap_gradients(3, 4)
_taps_1_4, _taps_1_1 = _tap_gradients(1, 4), _tap_gradients(1, 1)


@kernel
def kernel_gradient(op, memory, d_lanes, places, is_first):
    """Add the gradient of the kernel, lane by lane."""
    filters = op.filters
    run, x_step = op.kernel_width * op.channels, op.channels * LANES
    # As many taps at once as leave few over, and as the registers hold sums for.
    if REGISTERS < 32 or run < 5:
        widest = 3
    elif run % 6 == 0 or (run % 5 != 0 and run % 3 == 0):
        widest = 6 if run % 6 == 0 else 3
    else:
        widest = 5
    top, bottom, left, right = ink_seen_by(op, places, is_first)
    # Only pixels count whose row of taps meets ink.
    down, across = op.stride_height, op.stride_width
    first_x = max(0, -((op.kernel_width - 1 - left) // across))
    width = min(op.width, -(-right // across)) - first_x
    row, step = op.x_row * down, x_step * across
    d_row = op.width * filters * LANES
    for ky in range(op.kernel_height):
        first_y = max(0, -((ky - top) // down))
        height = min(op.height, -((ky - bottom) // down)) - first_y
        x_first = op.x + ky * op.x_row + first_y * row + first_x * step
        dz_first = op.dz + first_y * d_row + first_x * filters * LANES
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
                        _taps_6_4(memory, x, row, step, dz, d_row, filters, height, width, d_lanes, to)
                    elif taps == 5:
                        _taps_5_4(memory, x, row, step, dz, d_row, filters, height, width, d_lanes, to)
                    elif taps == 3:
                        _taps_3_4(memory, x, row, step, dz, d_row, filters, height, width, d_lanes, to)
                    else:
                        _taps_1_4(memory, x, row, step, dz, d_row, filters, height, width, d_lanes, to)
                else:
                    for t in range(taps):
                        d_to = to + t * filters * LANES
                        _taps_1_1(memory, x + t * LANES, row, step, dz, d_row, filters, height, width, d_lanes, d_to)
                f += n
            tap += taps
