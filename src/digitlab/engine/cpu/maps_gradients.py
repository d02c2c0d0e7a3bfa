"""Maps, backward: gradients of one crop's maps and weights, from the last convolution to the first.

A map's gradient arrives with zeros where its ReLU gave zeros: whoever writes it sees to that. Then, in plain words::

    d_bias[f]              += sum over y, x of  dz[y, x, f]
    d_kernel[ky, kx, c, f] += sum over y, x of  x[y + ky, x + kx, c] * dz[y, x, f]
    dx[y, x, c]             = sum over ky, kx, f of  dz[y - ky, x - kx, f] * kernel[ky, kx, c, f]

The last is a convolution of dz, with a border of zeros, and the kernel turned round, its channels and filters exchanged.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES, REGISTERS, add_rows, added, load, store, zeros
from digitlab.engine.cpu.maps import LINEAR, MASKED, convolve_row
from digitlab.engine.cpu.pixels import add_outer, spread

__all__ = ["stop_at_zero", "take_back"]

# Channels of a tile of the kernel's gradient, for two vectors of filters each.
_CHANNELS = REGISTERS // 4
# Pixels that a tile sums up before the next has its turn: they stay in the core's nearest cache.
_PIXELS = 96


def _tile(n_vectors):
    n = _CHANNELS * n_vectors

    @kernel
    def add_gradient(values, x, x_row, x_step, dz, dz_row, dz_step, n_rows, width, sums, to, n_kept, scratch):
        """Add to the gradient of ``_CHANNELS`` taps, which stand side by side, or of the first ``n_kept`` of them."""
        total = load(n, sums, to) if n_kept == _CHANNELS else zeros(n)
        for y in range(n_rows):
            at, d_at = x + y * x_row, dz + y * dz_row
            for _ in range(width):
                total = add_outer(total, _CHANNELS, values, at, 1, values, d_at)
                at += x_step
                d_at += dz_step
        if n_kept == _CHANNELS:
            store(total, sums, to)
        else:
            store(total, scratch, 0)
            for i in range(n_kept * n_vectors * LANES):
                sums[to + i] += scratch[i]

    return add_gradient


_gradient_of_2, _gradient_of_1 = _tile(2), _tile(1)


@kernel
def _kernel_gradient(op, values, sums, scratch, first, n_rows):
    """Add the share of some rows of the map to the gradients of kernel and biases."""
    run = op.kernel_width * op.channels
    dz = op.dz + (first + op.dz_top) * op.dz_row + op.dz_left * op.filters
    for f in range(0, op.filters, LANES):
        total = load(1, sums, op.bias + f)
        for y in range(n_rows):
            at = dz + y * op.dz_row + f
            for _ in range(op.width):
                total = added(total, load(1, values, at))
                at += op.filters
        store(total, sums, op.bias + f)
    for f in range(0, op.filters, 2 * LANES):
        n_vectors = min(2, (op.filters - f) // LANES)
        for ky in range(op.kernel_height):
            x = op.x + (first + ky) * op.x_row
            to = op.weights + (f * op.kernel_height + ky * n_vectors * LANES) * run
            for tap in range(0, run, _CHANNELS):
                n_kept, at = min(_CHANNELS, run - tap), to + tap * n_vectors * LANES
                if n_vectors == 2:
                    _gradient_of_2(
                        values, x + tap, op.x_row, op.channels, dz + f, op.dz_row, op.filters, n_rows, op.width, sums,
                        at, n_kept, scratch,
                    )  # fmt: skip
                else:
                    _gradient_of_1(
                        values, x + tap, op.x_row, op.channels, dz + f, op.dz_row, op.filters, n_rows, op.width, sums,
                        at, n_kept, scratch,
                    )  # fmt: skip


@kernel
def _spread_windows(op, values, winners):
    """Give the gradient of every window to the pixel that was the largest."""
    for y in range(op.out_height):
        for x in range(op.out_width):
            at, winner = op.dy + y * op.dy_row + x * op.filters, op.winners + (y * op.out_width + x) * op.filters
            to = op.dz + (op.dz_top + 2 * y) * op.dz_row + (op.dz_left + 2 * x) * op.filters
            for f in range(0, op.filters, LANES):
                spread(values, at + f, winners, winner + f, to + f, op.filters, op.dz_row)


@kernel
def _input_gradient(op, flipped, values):
    """Write the gradient of what was read."""
    height, width = op.height - op.top - op.bottom + op.kernel_height - 1, op.width - op.left - op.right
    width += op.kernel_width - 1
    mode = MASKED if op.masked else LINEAR
    for y in range(height):
        mask = op.x + (y + op.top) * op.x_row + op.left * op.channels
        convolve_row(
            values, op.dz + y * op.dz_row, op.dz_row, op.kernel_height, op.kernel_width * op.filters, op.filters, width,
            op.channels, flipped, op.flipped, 0, mode, op.dx + y * op.dx_row, op.channels, mask,
        )  # fmt: skip


@kernel
def stop_at_zero(op, values):
    """Stop the gradient of the last maps where their ReLU gave zero."""
    if op.relu:
        for y in range(op.out_height):
            for i in range(op.out_width * op.filters):
                if values[op.y + y * op.y_row + i] <= np.float32(0.0):
                    values[op.dy + y * op.dy_row + i] = 0.0


@kernel
def take_back(ops, flipped, values, winners, sums, scratch):
    """Take the gradient of the last maps back through all operations; add those of the weights to ``sums``."""
    for index in range(len(ops) - 1, -1, -1):
        op = ops[index]
        if op.pool:
            _spread_windows(op, values, winners)
        n = max(1, _PIXELS // op.width)
        for first in range(0, op.height, n):
            _kernel_gradient(op, values, sums, scratch, first, min(n, op.height - first))
        if op.dx >= 0:
            _input_gradient(op, flipped, values)
