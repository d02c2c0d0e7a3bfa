"""Multiplying and adding: the instructions in which nearly all time is spent. ``lanes.py`` says what the words mean."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from digitlab.engine.cpu.vectors import (
    I64,
    LANES,
    VECTOR,
    multiply_add,
    pointer_to,
    read_vector,
    repeat,
    vector_code,
    write_vector,
)

__all__ = ["TileType", "add_products", "add_rows", "add_scaled", "add_windows"]


class TileType(types.Type):
    """The Numba type of a tile of ``n`` vectors."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(name=f"Tile({n} x {LANES})")


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, data_model_manager: Any, tile: TileType) -> None:
        super().__init__(data_model_manager, tile, ir.ArrayType(VECTOR, tile.n))


@vector_code
def add_rows(typing_context: Any, tile: Any, n: Any, array: Any, index: Any, stride: Any) -> Any:
    """Add a tile to ``array``: ``n`` rows, the first at ``array[index]``, each ``stride`` numbers after the last."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    rows = n.literal_value
    columns = tile.n // rows

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        position = args[3]
        for p in range(rows):
            pointer = pointer_to(context, builder, array, args[2], position)
            for q in range(columns):
                total = builder.fadd(read_vector(builder, pointer, q), builder.extract_value(args[0], p * columns + q))
                write_vector(builder, total, pointer, q)
            position = builder.add(position, args[4])
        return context.get_dummy_value()

    # Positions are int64, so that the loop above can add the stride to them.
    return types.none(tile, n, array, types.int64, types.int64), generate


@vector_code
def add_scaled(typing_context: Any, tile: Any, numbers: Any, i: Any, step: Any, vectors: Any, j: Any) -> Any:
    """Return the tile with ``numbers[i + r * step]`` times the vector at ``vectors[j]`` added to its vector r."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = args[0]
        scalar = pointer_to(context, builder, numbers, args[1], args[2])
        vector = read_vector(builder, pointer_to(context, builder, vectors, args[4], args[5]))
        position = I64(0)
        for r in range(tile.n):
            number = repeat(builder, builder.load(builder.gep(scalar, [position])))
            position = builder.add(position, args[3])
            total = multiply_add(builder, number, vector, builder.extract_value(value, r))
            value = builder.insert_value(value, total, r)
        return value

    return tile(tile, numbers, i, types.int64, vectors, j), generate


@vector_code
def add_windows(typing_context: Any, tile: Any, numbers: Any, i: Any, vectors: Any, j: Any, step: Any, row: Any) -> Any:
    """Return the tile with ``numbers[i + r]`` times pixel k of a window added to its vector ``k * n / 4 + r``.

    The pixels stand at ``vectors[j]``, ``j + step``, ``j + row`` and ``j + row + step``.
    """
    n = tile.n // 4

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = args[0]
        scalar = pointer_to(context, builder, numbers, args[1], args[2])
        second = builder.add(args[4], args[6])
        places = (args[4], builder.add(args[4], args[5]), second, builder.add(second, args[5]))
        pixels = [read_vector(builder, pointer_to(context, builder, vectors, args[3], place)) for place in places]
        for r in range(n):
            number = repeat(builder, builder.load(builder.gep(scalar, [I64(r)])))
            for k, pixel in enumerate(pixels):
                total = multiply_add(builder, number, pixel, builder.extract_value(value, k * n + r))
                value = builder.insert_value(value, total, k * n + r)
        return value

    i64 = types.int64
    return tile(tile, numbers, i64, vectors, i64, i64, i64), generate


@vector_code
def add_products(typing_context: Any, tile: Any, n: Any, a: Any, i: Any, b: Any, j: Any) -> Any:
    """Return the tile, ``n`` rows of vectors, with every product of a vector at ``a[i]`` and one at ``b[j]`` added."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    rows = n.literal_value
    columns = tile.n // rows

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = args[0]
        first = pointer_to(context, builder, a, args[2], args[3])
        second = pointer_to(context, builder, b, args[4], args[5])
        across = [read_vector(builder, second, q) for q in range(columns)]
        for p in range(rows):
            down = read_vector(builder, first, p)
            for q in range(columns):
                k = p * columns + q
                total = multiply_add(builder, down, across[q], builder.extract_value(value, k))
                value = builder.insert_value(value, total, k)
        return value

    return tile(tile, n, a, i, b, j), generate
