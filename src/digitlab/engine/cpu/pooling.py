"""Pooling: keep the largest value of every window, and remember which one it was; or keep the mean.

In plain words::

    y[r, c] = max of x over the window of (r, c);   winner[r, c] = which pixel of the window it was

The gradient of the output flows to the winner alone. The winner is one byte: 0, 1, 2 ... in reading order, the first
of equals; ``NOTHING`` when ReLU made the whole window zero, so that no gradient flows at all. ReLU and pooling are one
pass, forward and backward, because the larger of two numbers is the larger after ReLU too.

The mean of a window is that of the pixels which the image has there, and every one of them gets the same part of the
gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.tiles import I64, LANES, VECTOR, pointer_to, read_vector, vector_code, write_vector

#: The winner's number where ReLU left nothing above zero.
NOTHING = 255

_BYTES = ir.VectorType(ir.IntType(8), LANES)
_ZERO = ir.Constant(VECTOR, None)


def _bytes(value: int) -> Any:
    return ir.Constant(_BYTES, [value] * LANES)


# The two steps that a compiler does not turn into vectors by itself.
@vector_code
def store_largest(typing_context: Any, tile: Any, relu: Any, out: Any, to: Any, winners: Any, won: Any) -> Any:
    """Write the largest of a tile's quarters, one quarter a pixel of the window, and which it was, lane by lane."""
    n = tile.n // 4

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        use = builder.icmp_signed("!=", args[1], args[1].type(0))
        target = pointer_to(context, builder, out, args[2], args[3])
        bytes_ = pointer_to(context, builder, winners, args[4], args[5])
        for r in range(n):
            largest, winner = builder.extract_value(args[0], r), _bytes(0)
            for k in range(1, 4):
                value = builder.extract_value(args[0], k * n + r)
                above = builder.fcmp_ordered(">", value, largest)
                largest = builder.select(above, value, largest)
                winner = builder.select(above, _bytes(k), winner)
            # "Not above zero" is false for NaN, which therefore goes on and is noticed in the loss.
            nothing = builder.fcmp_ordered("<=", largest, _ZERO)
            largest = builder.select(use, builder.select(nothing, _ZERO, largest), largest)
            winner = builder.select(use, builder.select(nothing, _bytes(NOTHING), winner), winner)
            write_vector(builder, largest, target, r)
            place = builder.bitcast(builder.gep(bytes_, [I64(r * LANES)]), _BYTES.as_pointer())
            builder.store(winner, place).align = 1
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(tile, i64, out, i64, winners, i64), generate


@vector_code
def give_to_winner(
    typing_context: Any,
    memory: Any,
    dy: Any,
    winners: Any,
    won: Any,
    first: Any,
    step: Any,
    row: Any,
    sums: Any,
    at: Any,
) -> Any:
    """Write the gradient at ``memory[dy]`` to the winner of four pixels, zero to the others; add it to ``sums[at]``.

    The pixels stand at ``first``, ``first + step``, ``first + row`` and ``first + row + step``.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        gradient = read_vector(builder, pointer_to(context, builder, memory, args[0], args[1]))
        source = pointer_to(context, builder, winners, args[2], args[3])
        winner = builder.load(builder.bitcast(source, _BYTES.as_pointer()))
        winner.align = 1
        second_row = builder.add(args[4], args[6])
        pixels = (args[4], builder.add(args[4], args[5]), second_row, builder.add(second_row, args[5]))
        for k, pixel in enumerate(pixels):
            own = builder.select(builder.icmp_unsigned("==", winner, _bytes(k)), gradient, _ZERO)
            write_vector(builder, own, pointer_to(context, builder, memory, args[0], pixel))
        given = builder.select(builder.icmp_unsigned("!=", winner, _bytes(NOTHING)), gradient, _ZERO)
        target = pointer_to(context, builder, sums, args[7], args[8])
        write_vector(builder, builder.fadd(read_vector(builder, target), given), target)
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(memory, i64, winners, i64, i64, i64, i64, sums, i64), generate


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


@kernel
def window_inside(op, y, x):
    """Return the first and past the last row and column of a window that the map has, and 1 / how many pixels."""
    top, left = y * op.stride_height - op.border_top, x * op.stride_width - op.border_left
    bottom, right = min(top + op.pool_height, op.in_height), min(left + op.pool_width, op.in_width)
    top, left = max(0, top), max(0, left)
    return top, bottom, left, right, np.float32(1.0 / ((bottom - top) * (right - left)))


@kernel
def average(op, memory):
    """Run an average pooling of any window and stride over one block of images."""
    n = op.channels * LANES
    for y in range(op.out_height):
        for x in range(op.out_width):
            top, bottom, left, right, part = window_inside(op, y, x)
            to = op.y + y * op.y_row + x * n
            for i in range(n):
                memory[to + i] = 0.0
            for row in range(top, bottom):
                for column in range(left, right):
                    at = op.x + row * op.x_row + column * n
                    for i in range(n):
                        memory[to + i] += memory[at + i]
            for i in range(n):
                memory[to + i] *= part


@kernel
def average_gradient(op, memory):
    """Share out every output's gradient among the pixels of its window; windows may overlap."""
    n = op.channels * LANES
    for i in range(op.dx, op.dx + op.in_height * op.in_width * n):
        memory[i] = 0.0
    for y in range(op.out_height):
        for x in range(op.out_width):
            top, bottom, left, right, part = window_inside(op, y, x)
            at = op.dy + (y * op.out_width + x) * n
            for row in range(top, bottom):
                for column in range(left, right):
                    to = op.dx + (row * op.in_width + column) * n
                    for i in range(n):
                        memory[to + i] += memory[at + i] * part
