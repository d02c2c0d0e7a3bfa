"""Tiles of pixels x filters: what the kernels of ``maps.py`` do with the registers, in a few words more.

A tile of ``n`` rows holds, for ``n`` neighbouring pixels of one map, the same vectors of filters: vector *(p, q)* is
vector *q* of pixel *p*. Every vector of weights that is loaded then serves ``n`` pixels, and every pixel's number that
is repeated in a vector serves all vectors of filters.

==================================  =========================================================================
``add_outer(t, n, x, i, s, w, j)``  vector *(p, q)* += the number ``x[i + p * s]`` times vector *q* at ``w[j]``
``store_pixels(t, n, a, i, s)``     write it: pixel *p* to ``a[i + p * s]`` and on
``kept_above_zero(t, n, a, i, s)``  the tile with zeros where ``a``, read in the same way, is not above zero
``largest_of_windows(t, u, n)``     of two rows of ``n`` pixels each, the largest of every 2 x 2 window
``store_winners(t, u, n, a, i, s)`` write as bytes which pixel of each window that was: 0 and 1 above, 2 and 3 below
``spread(a, i, w, k, j, s, r)``     write the vector at ``a[i]`` to the pixel of a window that won, zeros to the others
==================================  =========================================================================
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from digitlab.engine.cpu.multiplying import TileType
from digitlab.engine.cpu.vectors import (
    LANES,
    VECTOR,
    multiply_add,
    pointer_to,
    read_vector,
    repeat,
    vector_code,
    write_vector,
)

__all__ = ["add_outer", "kept_above_zero", "largest_of_windows", "spread", "store_pixels", "store_winners"]

_BYTES = ir.VectorType(ir.IntType(8), LANES)


@vector_code
def add_outer(typing_context: Any, tile: Any, n: Any, numbers: Any, i: Any, step: Any, vectors: Any, j: Any) -> Any:
    """Return the tile, ``n`` rows, with ``numbers[i + p * step]`` times vector q at ``vectors[j]`` added to (p, q)."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    rows = n.literal_value
    columns = tile.n // rows

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, position = args[0], args[3]
        start = pointer_to(context, builder, vectors, args[5], args[6])
        across = [read_vector(builder, start, q) for q in range(columns)]
        for p in range(rows):
            number = repeat(builder, builder.load(pointer_to(context, builder, numbers, args[2], position)))
            position = builder.add(position, args[4])
            for q in range(columns):
                k = p * columns + q
                total = multiply_add(builder, number, across[q], builder.extract_value(value, k))
                value = builder.insert_value(value, total, k)
        return value

    return tile(tile, n, numbers, types.int64, types.int64, vectors, types.int64), generate


@vector_code
def store_pixels(typing_context: Any, tile: Any, n: Any, array: Any, index: Any, stride: Any) -> Any:
    """Write a tile of ``n`` rows to ``array``, the row of pixel p to ``array[index + p * stride]`` and on."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    rows = n.literal_value
    columns = tile.n // rows

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        position = args[3]
        for p in range(rows):
            pointer = pointer_to(context, builder, array, args[2], position)
            for q in range(columns):
                write_vector(builder, builder.extract_value(args[0], p * columns + q), pointer, q)
            position = builder.add(position, args[4])
        return context.get_dummy_value()

    return types.none(tile, n, array, types.int64, types.int64), generate


@vector_code
def kept_above_zero(typing_context: Any, tile: Any, n: Any, array: Any, index: Any, stride: Any) -> Any:
    """Return the tile with zeros where the numbers of ``array``, laid out as for ``store_pixels``, are 0 or below."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    rows = n.literal_value
    columns = tile.n // rows

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, position, zero = args[0], args[3], ir.Constant(VECTOR, None)
        for p in range(rows):
            pointer = pointer_to(context, builder, array, args[2], position)
            for q in range(columns):
                k = p * columns + q
                is_above = builder.fcmp_ordered(">", read_vector(builder, pointer, q), zero)
                kept = builder.select(is_above, builder.extract_value(value, k), zero)
                value = builder.insert_value(value, kept, k)
            position = builder.add(position, args[4])
        return value

    return tile(tile, n, array, types.int64, types.int64), generate


def _window(builder: Any, upper: Any, lower: Any, columns: int, p: int, q: int) -> list[Any]:
    """Emit the four vectors of window p: two of the upper row, two of the lower."""
    places = (2 * p * columns + q, (2 * p + 1) * columns + q)
    return [builder.extract_value(tile, k) for tile in (upper, lower) for k in places]


@vector_code
def largest_of_windows(typing_context: Any, upper: Any, lower: Any, n: Any) -> Any:
    """Return a tile of ``n / 2`` rows: the largest of every 2 x 2 window of two tiles of ``n`` rows."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    columns = upper.n // n.literal_value
    result = TileType(upper.n // 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = ir.Constant(ir.ArrayType(VECTOR, result.n), ir.Undefined)
        for k in range(result.n):
            largest, *others = _window(builder, args[0], args[1], columns, *divmod(k, columns))
            for other in others:
                largest = builder.select(builder.fcmp_ordered(">", other, largest), other, largest)
            value = builder.insert_value(value, largest, k)
        return value

    return result(upper, lower, n), generate


@vector_code
def store_winners(typing_context: Any, upper: Any, lower: Any, n: Any, array: Any, index: Any, stride: Any) -> Any:
    """Write which pixel of every window is the largest (the first of equal ones) to bytes, as ``store_pixels`` does."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    windows = n.literal_value // 2
    columns = upper.n // n.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        position = args[4]
        for p in range(windows):
            pointer = builder.bitcast(pointer_to(context, builder, array, args[3], position), _BYTES.as_pointer())
            for q in range(columns):
                largest, *others = _window(builder, args[0], args[1], columns, p, q)
                winner = ir.Constant(_BYTES, None)
                for place, other in enumerate(others, start=1):
                    is_larger = builder.fcmp_ordered(">", other, largest)
                    largest = builder.select(is_larger, other, largest)
                    winner = builder.select(is_larger, ir.Constant(_BYTES, [place] * LANES), winner)
                builder.store(winner, builder.gep(pointer, [ir.IntType(64)(q)])).align = 1
            position = builder.add(position, args[5])
        return context.get_dummy_value()

    return types.none(upper, lower, n, array, types.int64, types.int64), generate


@vector_code
def spread(typing_context: Any, array: Any, i: Any, winners: Any, k: Any, j: Any, step: Any, row: Any) -> Any:
    """Write the vector at ``array[i]`` to the window at ``array[j]``: each lane to the pixel that ``winners[k]`` says.

    The pixels stand at ``j``, ``j + step``, ``j + row`` and ``j + row + step``; the other ones become zero.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero, second = ir.Constant(VECTOR, None), builder.add(args[4], args[6])
        vector = read_vector(builder, pointer_to(context, builder, array, args[0], args[1]))
        winner = builder.load(
            builder.bitcast(pointer_to(context, builder, winners, args[2], args[3]), _BYTES.as_pointer())
        )
        winner.align = 1
        places = (args[4], builder.add(args[4], args[5]), second, builder.add(second, args[5]))
        for place, position in enumerate(places):
            won = builder.icmp_unsigned("==", winner, ir.Constant(_BYTES, [place] * LANES))
            pointer = pointer_to(context, builder, array, args[0], position)
            write_vector(builder, builder.select(won, vector, zero), pointer)
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(array, i64, winners, i64, i64, i64, i64), generate
