"""Max-pooling: keep the largest value of every window, and remember which one it was.

In plain words::

    y[r, c] = max of x over the window of (r, c);   winner[r, c] = which pixel of the window it was

The gradient of the output flows to the winner alone. The winner is one byte: 0, 1, 2 ... in reading order, the first
of equals; ``NOTHING`` when ReLU made the whole window zero, so that no gradient flows at all. ReLU and pooling are one
pass, forward and backward, because the larger of two numbers is the larger after ReLU too.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES
from digitlab.engine.cpu.windows import NOTHING, give_to_winner

__all__ = ["NOTHING", "pool", "pool_gradient", "spread_winners"]


@kernel
def spread_winners(memory, dy, winners, won, n, first, row, d_lanes, d_bias):
    """Give the gradient of ``n`` pooled values to the winners among 2 x 2 pixels, and add it to the bias' gradient."""
    for i in range(0, n, LANES):
        give_to_winner(memory, dy + i, winners, won + i, first + i, n, row, d_lanes, d_bias + i)


@kernel
def pool(op, memory, winners):
    """Run a max-pooling of any window and stride over one block of images."""
    n = op.channels * LANES
    for y in range(op.out_height):
        for x in range(op.out_width):
            top, left = y * op.stride_height - op.border_top, x * op.stride_width - op.border_left
            to = op.y + y * op.y_row + x * n
            won = op.winners + (y * op.out_width + x) * n
            for i in range(n):
                memory[to + i] = -np.inf
                winners[won + i] = 0
            for py in range(max(0, -top), min(op.pool_height, op.in_height - top)):
                for px in range(max(0, -left), min(op.pool_width, op.in_width - left)):
                    at = op.x + (top + py) * op.x_row + (left + px) * n
                    pixel = np.uint8(py * op.pool_width + px)
                    for i in range(n):
                        if memory[at + i] > memory[to + i]:
                            memory[to + i] = memory[at + i]
                            winners[won + i] = pixel


@kernel
def pool_gradient(op, memory, winners):
    """Add every output's gradient to its winner; windows may overlap."""
    n = op.channels * LANES
    for i in range(op.dx, op.dx + op.in_height * op.in_width * n):
        memory[i] = 0.0
    for y in range(op.out_height):
        for x in range(op.out_width):
            top, left = y * op.stride_height - op.border_top, x * op.stride_width - op.border_left
            at = (y * op.out_width + x) * n
            for i in range(n):
                winner = int(winners[op.winners + at + i])
                row, column = top + winner // op.pool_width, left + winner % op.pool_width
                memory[op.dx + (row * op.in_width + column) * n + i] += memory[op.dy + at + i]
