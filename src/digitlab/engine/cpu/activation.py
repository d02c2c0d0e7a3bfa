"""Each value by itself: activations other than ReLU behind a convolution or dense layer; and borders of zeros.

In plain words::

    leaky ReLU   y = x  if x > 0  else  slope * x
    ELU          y = x  if x > 0  else  alpha * (exp(x) - 1)
    sigmoid      y = 1 / (1 + exp(-x))
    tanh         y = (1 - exp(-2 x)) / (1 + exp(-2 x))

The gradient needs ``y`` only, which is why ``y`` may take the place of ``x``::

    d leaky ReLU = 1 if y > 0 else slope          d sigmoid = y * (1 - y)
    d ELU        = 1 if y > 0 else y + alpha      d tanh    = 1 - y * y

``exp`` is computed for a vector at once, of numbers up to zero: ``exp(x) = 2**k * exp(r)`` with a whole k and
``|r| <= log(2) / 2``, and of ``exp(r) - 1`` the first seven terms of its series, which is exact in float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.program import COPY, ELU, LEAKY_RELU, SIGMOID, TANH
from digitlab.engine.cpu.tiles import (
    LANES,
    VECTOR,
    multiply_add,
    pointer_to,
    read_vector,
    repeat,
    vector_code,
    write_vector,
)

_BITS = ir.VectorType(ir.IntType(32), LANES)
# exp of less is no ordinary float32 number any more.
_LEAST = -87.0
# Added and subtracted again, it rounds to whole numbers, which then are the last bits of the sum.
_ROUNDER = 12582912.0
# log(2) in two parts, the first of so few bits that its products with whole numbers are exact (Cody and Waite 1980).
_LOG_2_HIGH, _LOG_2_LOW = 0.693359375, -2.12194440e-4


def _all(value: float) -> Any:
    return ir.Constant(VECTOR, [value] * LANES)


_ZERO, _ONE = _all(0.0), _all(1.0)


def _exp(builder: Any, x: Any) -> tuple[Any, Any]:
    """Emit exp(x) and exp(x) - 1 of numbers x <= 0; NaN stays NaN."""
    x = builder.select(builder.fcmp_ordered("<", x, _all(_LEAST)), _all(_LEAST), x)
    rounded = multiply_add(builder, x, _all(1.0 / math.log(2.0)), _all(_ROUNDER))
    k = builder.fsub(rounded, _all(_ROUNDER))
    r = multiply_add(builder, k, _all(-_LOG_2_HIGH), x)
    r = multiply_add(builder, k, _all(-_LOG_2_LOW), r)
    series = _all(1.0 / math.factorial(7))
    for n in range(6, 0, -1):
        series = multiply_add(builder, series, r, _all(1.0 / math.factorial(n)))
    series = builder.fmul(series, r)
    power = builder.shl(builder.bitcast(rounded, _BITS), ir.Constant(_BITS, [23] * LANES))
    power = builder.bitcast(builder.add(power, ir.Constant(_BITS, [127 << 23] * LANES)), VECTOR)
    return (
        multiply_add(builder, power, series, power),
        multiply_add(builder, power, series, builder.fsub(power, _ONE)),
    )


def _is(builder: Any, function: Any, name: int) -> Any:
    return builder.icmp_signed("==", function, function.type(name))


# One code for all functions, because compiling is what takes longest of the first run ever.
@vector_code
def _apply_smooth(typing_context: Any, memory: Any, at: Any, to: Any, function: Any, below: Any) -> Any:
    """Write ELU, sigmoid or tanh of the vector at ``memory[at]`` to ``memory[to]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x = read_vector(builder, pointer_to(context, builder, memory, args[0], args[1]))
        is_above = builder.fcmp_ordered(">", x, _ZERO)
        is_tanh = _is(builder, args[3], TANH)
        exponent = builder.select(is_above, builder.fsub(_ZERO, x), x)
        exponent = builder.select(is_tanh, builder.fadd(exponent, exponent), exponent)
        exponential, less_one = _exp(builder, exponent)
        upper = builder.select(
            is_tanh,
            builder.select(is_above, builder.fsub(_ZERO, less_one), less_one),
            builder.select(is_above, _ONE, exponential),
        )
        bounded = builder.fdiv(upper, builder.fadd(_ONE, exponential))
        elu = builder.select(is_above, x, builder.fmul(less_one, repeat(builder, args[4])))
        y = builder.select(_is(builder, args[3], ELU), elu, bounded)
        write_vector(builder, y, pointer_to(context, builder, memory, args[0], args[2]))
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(memory, i64, i64, i64, types.float32), generate


@vector_code
def _multiply_by_slope(typing_context: Any, memory: Any, y: Any, dy: Any, dx: Any, function: Any, below: Any) -> Any:
    """Write the gradient at ``memory[dy]``, times the slope where ``memory[y]`` was written, to ``memory[dx]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        y, gradient = (read_vector(builder, pointer_to(context, builder, memory, args[0], at)) for at in args[1:3])
        least = repeat(builder, args[5])
        least = builder.select(_is(builder, args[4], ELU), builder.fadd(y, least), least)
        slope = builder.select(builder.fcmp_ordered(">", y, _ZERO), _ONE, least)
        slope = builder.select(_is(builder, args[4], SIGMOID), builder.fmul(y, builder.fsub(_ONE, y)), slope)
        slope = builder.select(_is(builder, args[4], TANH), builder.fsub(_ONE, builder.fmul(y, y)), slope)
        slope = builder.select(_is(builder, args[4], COPY), _ONE, slope)
        gradient = builder.fmul(gradient, slope)
        write_vector(builder, gradient, pointer_to(context, builder, memory, args[0], args[3]))
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(memory, i64, i64, i64, i64, types.float32), generate


@kernel
def apply_to_run(memory, at, to, n, function, below):
    """Write a function of ``n`` numbers at ``memory[at]`` to ``memory[to]``; whole vectors, if it is a smooth one."""
    if function in (COPY, LEAKY_RELU):
        slope = np.float32(1.0) if function == COPY else below
        for i in range(n):
            x = memory[at + i]
            memory[to + i] = x if x > np.float32(0.0) else slope * x
    else:
        for i in range(0, n, LANES):
            _apply_smooth(memory, at + i, to + i, function, below)


@kernel
def apply(op, memory):
    """Apply a function to one block of images."""
    n = op.in_width * op.channels * LANES
    for y in range(op.in_height):
        apply_to_run(memory, op.x + y * op.x_row, op.y + y * op.y_row, n, op.function, np.float32(op.below))


@kernel
def gradient(op, memory):
    """Multiply the gradient of what was written by the slope there."""
    n, row, below = op.in_width * op.channels * LANES, op.out_width * op.channels * LANES, np.float32(op.below)
    for line in range(op.in_height):
        y, dy, dx = op.y + line * op.y_row, op.dy + line * row, op.dx + line * n
        for i in range(0, n, LANES):
            _multiply_by_slope(memory, y + i, dy + i, dx + i, op.function, below)
