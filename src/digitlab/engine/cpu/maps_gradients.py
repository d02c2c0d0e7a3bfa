"""Maps, backward: gradients of one crop's maps and weights, from the last convolution to the first.

A map's gradient arrives with zeros where its ReLU gave zeros: whoever writes it sees to that. Then, in plain words::

    d_bias[f]              += sum over y, x of  dz[y, x, f]
    d_kernel[ky, kx, c, f] += sum over y, x of  x[y + ky, x + kx, c] * dz[y, x, f]
    dx[y, x, c]             = sum over ky, kx, f of  dz[y - ky, x - kx, f] * kernel[ky, kx, c, f]

The last is a convolution of dz, with a border of zeros and the kernel turned round, its channels and filters exchanged.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES, added, load, store
from digitlab.engine.cpu.pixels import spread
from digitlab.engine.cpu.rows import LINEAR, MASKED, add_gradient, convolve_row
from digitlab.engine.cpu.winograd import add_lifted_gradient, convolve_lifted, lower_gradients

__all__ = ["lower_all", "stop_at_zero", "take_back"]

# Pixels that a tile of the kernel's gradient sums up before the next has its turn: they stay in the nearest cache.
_PIXELS = 96


@kernel
def _bias_gradient(op, values, sums):
    for f in range(0, op.filters, LANES):
        total = load(1, sums, op.bias + f)
        for y in range(op.height):
            at = op.dz + (y + op.dz_top) * op.dz_row + op.dz_left * op.filters + f
            for _ in range(op.width):
                total = added(total, load(1, values, at))
                at += op.filters
        store(total, sums, op.bias + f)


@kernel
def _kernel_gradient(op, values, sums, lifted_sums, scratch, spare):
    dz = op.dz + op.dz_top * op.dz_row + op.dz_left * op.filters
    if op.lifted >= 0:
        add_lifted_gradient(
            values, op.x, op.x_row, op.channels, dz, op.dz_row, op.height, op.width, op.filters, lifted_sums, op.lifted,
            scratch, spare,
        )  # fmt: skip
        return
    n = max(1, _PIXELS // op.width)
    for first in range(0, op.height, n):
        for ky in range(op.kernel_height):
            add_gradient(
                values, op.x + (first + ky) * op.x_row, op.x_row, op.channels, op.kernel_width * op.channels,
                dz + first * op.dz_row, op.dz_row, op.filters, min(n, op.height - first), op.width, sums, op.weights,
                op.kernel_height, ky, spare,
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
def _input_gradient(op, flipped, lifted, values, winners, scratch):
    """Write the gradient of what was read."""
    height, width = op.height - op.top - op.bottom + op.kernel_height - 1, op.width - op.left - op.right
    width += op.kernel_width - 1
    mode = MASKED if op.masked else LINEAR
    if op.lifted_back >= 0:
        n_windows = (height + 1) // 2 * ((width + 1) // 2)
        convolve_lifted(
            values, op.dz, op.dz_row, op.filters, height, width, 0, n_windows, op.channels, lifted, op.lifted_back,
            lifted, 0, mode, op.dx, op.dx_row, op.channels, op.x + op.top * op.x_row + op.left * op.channels, op.x_row,
            False, winners, -1, scratch,
        )  # fmt: skip
        return
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
def take_back(ops, flipped, lifted, values, winners, sums, lifted_sums, scratch, spare):
    """Take the gradient of the last maps back through all operations, and add those of the weights.

    Those of kernels that are lifted are added to ``lifted_sums``, all others to ``sums``.
    """
    for index in range(len(ops) - 1, -1, -1):
        op = ops[index]
        if op.pool:
            _spread_windows(op, values, winners)
        _bias_gradient(op, values, sums)
        _kernel_gradient(op, values, sums, lifted_sums, scratch, spare)
        if op.dx >= 0:
            _input_gradient(op, flipped, lifted, values, winners, scratch)


@kernel
def lower_all(ops, lifted_sums, sums):
    """Add what ``lifted_sums`` stand for to ``sums``."""
    for index in range(len(ops)):
        op = ops[index]
        if op.lifted >= 0:
            lower_gradients(lifted_sums, op.lifted, op.channels, op.filters, sums, op.weights)
