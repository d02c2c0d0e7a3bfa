"""Windows of 4 x 4 numbers and back: what the kernels of ``winograd.py`` do with the registers.

All transforms are sums and differences of vectors of channels, first along the columns and then along the rows.

==========================================  =====================================================================
``lift_pixels(a, i, s, r, b, j, d)``        4 x 4 pixels at ``a[i]`` become 16 vectors at ``b[j]``, ``d`` apart
``lift_gradient(a, i, s, r, b, j, d)``      2 x 2 pixels likewise
``lift_kernel(a, i, s, b, j, d)``           3 x 3 taps at ``a[i]``, ``s`` apart, likewise
``lowered_pixels(b, j, d)``                 the tile of 2 x 2 pixels that 16 products stand for
``add_lowered_kernel(b, j, d, a, i, s)``    add to 3 x 3 taps what 16 sums of products stand for
``vector_of(t, k)``                         a tile of vector *k* alone
``store_winner(t, a, i)``                   write as bytes which of four vectors is the largest, lane by lane
==========================================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from digitlab.engine.cpu.multiplying import TileType
from digitlab.engine.cpu.vectors import LANES, VECTOR, pointer_to, read_vector, vector_code, write_vector

__all__ = [
    "add_lowered_kernel",
    "lift_gradient",
    "lift_kernel",
    "lift_pixels",
    "lowered_pixels",
    "store_winner",
    "vector_of",
]

# The matrices of F(2 x 2, 3 x 3), Lavin and Gray 2016, section 4.1: what each of the 4 is a sum of, and each of the 2.
_PIXELS = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_OUTPUTS = ((1, 1, 1, 0), (0, 1, -1, -1))

Matrix = Sequence[Sequence[float]]
_BYTES = ir.VectorType(ir.IntType(8), LANES)


def _exchanged(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _sum(builder: Any, vectors: Sequence[Any], factors: Sequence[float]) -> Any:
    """Emit the sum of the vectors times 1, -1, a half, minus a half or nothing."""
    total = None
    terms = [(vector, factor) for vector, factor in zip(vectors, factors, strict=True) if factor]
    # One that is added comes first, so that its sign need not be turned.
    for vector, factor in sorted(terms, key=lambda term: term[1] < 0):
        if abs(factor) != 1:
            vector = builder.fmul(vector, ir.Constant(VECTOR, [abs(factor)] * LANES))
        if total is None:
            total = vector if factor > 0 else builder.fsub(ir.Constant(VECTOR, None), vector)
        else:
            total = builder.fadd(total, vector) if factor > 0 else builder.fsub(total, vector)
    return total


def _transformed(builder: Any, square: list[list[Any]], matrix: Matrix) -> list[list[Any]]:
    """Emit matrix x square x matrix transposed."""
    columns = [[_sum(builder, column, factors) for factors in matrix] for column in zip(*square, strict=True)]
    rows = list(zip(*columns, strict=True))
    return [[_sum(builder, row, factors) for factors in matrix] for row in rows]


def _lift(size: int, matrix: Matrix) -> Any:
    def emit(
        context: Any,
        builder: Any,
        array: Any,
        source: Any,
        i: Any,
        step: Any,
        row: Any,
        to: Any,
        b: Any,
        j: Any,
        d: Any,
    ) -> None:
        square = []
        for _ in range(size):
            position, line = i, []
            for _ in range(size):
                line.append(read_vector(builder, pointer_to(context, builder, array, source, position)))
                position = builder.add(position, step)
            square.append(line)
            i = builder.add(i, row)
        for line in _transformed(builder, square, matrix):
            for vector in line:
                write_vector(builder, vector, pointer_to(context, builder, to, b, j))
                j = builder.add(j, d)

    return emit


_emit_pixels, _emit_gradient, _emit_kernel = _lift(4, _PIXELS), _lift(2, _exchanged(_OUTPUTS)), _lift(3, _KERNEL)


@vector_code
def lift_pixels(typing_context: Any, array: Any, i: Any, step: Any, row: Any, to: Any, j: Any, d: Any) -> Any:
    """Write 16 vectors for the 4 x 4 pixels at ``array[i]``, ``step`` and ``row`` apart, to ``to[j]``, ``d`` apart."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _emit_pixels(context, builder, array, args[0], args[1], args[2], args[3], to, args[4], args[5], args[6])
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(array, i64, i64, i64, to, i64, i64), generate


@vector_code
def lift_gradient(typing_context: Any, array: Any, i: Any, step: Any, row: Any, to: Any, j: Any, d: Any) -> Any:
    """Write 16 vectors for the gradients of the 2 x 2 pixels at ``array[i]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _emit_gradient(context, builder, array, args[0], args[1], args[2], args[3], to, args[4], args[5], args[6])
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(array, i64, i64, i64, to, i64, i64), generate


@vector_code
def lift_kernel(typing_context: Any, array: Any, i: Any, step: Any, to: Any, j: Any, d: Any) -> Any:
    """Write 16 vectors for 3 x 3 taps that stand at ``array[i]``, ``step`` apart."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = builder.mul(args[2], ir.IntType(64)(3))
        _emit_kernel(context, builder, array, args[0], args[1], args[2], row, to, args[3], args[4], args[5])
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(array, i64, i64, to, i64, i64), generate


def _read_16(context: Any, builder: Any, array: Any, source: Any, j: Any, d: Any) -> list[list[Any]]:
    square = []
    for _ in range(4):
        line = []
        for _ in range(4):
            line.append(read_vector(builder, pointer_to(context, builder, array, source, j)))
            j = builder.add(j, d)
        square.append(line)
    return square


@vector_code
def lowered_pixels(typing_context: Any, array: Any, j: Any, d: Any) -> Any:
    """Return the tile of 2 x 2 pixels that the 16 vectors at ``array[j]``, ``d`` apart, stand for."""
    result = TileType(4)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        square = _transformed(builder, _read_16(context, builder, array, args[0], args[1], args[2]), _OUTPUTS)
        value = ir.Constant(ir.ArrayType(VECTOR, 4), ir.Undefined)
        for k, vector in enumerate([*square[0], *square[1]]):
            value = builder.insert_value(value, vector, k)
        return value

    return result(array, types.int64, types.int64), generate


@vector_code
def add_lowered_kernel(typing_context: Any, array: Any, j: Any, d: Any, to: Any, i: Any, step: Any) -> Any:
    """Add to the 3 x 3 taps at ``to[i]``, ``step`` apart, the gradient that 16 vectors at ``array[j]`` stand for."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lifted, position = _read_16(context, builder, array, args[0], args[1], args[2]), args[4]
        for line in _transformed(builder, lifted, _exchanged(_KERNEL)):
            for vector in line:
                pointer = pointer_to(context, builder, to, args[3], position)
                write_vector(builder, builder.fadd(read_vector(builder, pointer), vector), pointer)
                position = builder.add(position, args[5])
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(array, i64, i64, to, i64, i64), generate


@vector_code
def vector_of(typing_context: Any, tile: Any, k: Any) -> Any:
    """Return the tile of vector ``k`` alone."""
    if not isinstance(k, types.IntegerLiteral):
        return None
    result = TileType(1)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = builder.extract_value(args[0], k.literal_value)
        return builder.insert_value(ir.Constant(ir.ArrayType(VECTOR, 1), ir.Undefined), vector, 0)

    return result(tile, k), generate


@vector_code
def store_winner(typing_context: Any, tile: Any, array: Any, index: Any) -> Any:
    """Write which of a tile's vectors is the largest (the first of equal ones), lane by lane, as bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        largest, winner = builder.extract_value(args[0], 0), ir.Constant(_BYTES, None)
        for place in range(1, tile.n):
            other = builder.extract_value(args[0], place)
            is_larger = builder.fcmp_ordered(">", other, largest)
            largest = builder.select(is_larger, other, largest)
            winner = builder.select(is_larger, ir.Constant(_BYTES, [place] * LANES), winner)
        pointer = builder.bitcast(pointer_to(context, builder, array, args[1], args[2]), _BYTES.as_pointer())
        builder.store(winner, pointer).align = 1
        return context.get_dummy_value()

    return types.none(tile, array, types.int64), generate
