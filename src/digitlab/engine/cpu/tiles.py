"""Register tiles: a few vectors that stay in the processor's registers while a kernel sums into them.

Everything in this engine puts ``LANES`` images side by side: lane *i* of every vector belongs to image *i* of a
block. One machine instruction then does the same arithmetic for all images of the block, whatever the layer's shape.
Networks that answer with maps, and single images, put the filters of one image side by side instead.

A *tile* is a handful of such vectors in rows and columns, say the sums of eight output channels at one pixel (eight
rows of one vector), or of eight neighbouring pixels and two vectors of filters (eight rows of two). Every vector that
is loaded then serves all rows, and every number that is repeated in a vector all columns. The functions below are the
vocabulary of the kernels; what those of maps do besides stands in ``map_rows.py`` and ``winograd.py``:

================================  =====================================================================================
``zeros(r, c)``                   a tile of ``r`` rows and ``c`` columns, all zero
``splat(r, a, i)``                a tile of one column, whose vector *p* repeats the number ``a[i + p]`` in every lane
``load(r, c, a, i)``              a tile read from ``a[i]`` on, row after row
``load_rows(a, p, i)``            ``LANES`` rows of one vector, *r* read from ``a[p[r] + i]``; bytes are divided by 255
``repeated(t, r)``                ``r`` rows, each of which is all vectors of a tile
``store(t, a, i)``                write a tile to the numbers that begin at ``a[i]``, row after row
``store_rows(t, a, i, s)``        write it with ``s`` numbers from the beginning of a row to that of the next
``add_rows(t, a, i, s)``          add it to ``a`` instead
``add_outer(t, w, i, s, x, j)``   vector *(p, q)* += the number ``w[i + p * s]`` times vector *q* at ``x[j]``
``add_products(t, a, i, b, j)``   vector *(p, q)* += vector *p* at ``a[i]`` times vector *q* at ``b[j]``, lane by lane
``add_windows(t, w, i, x, j, s, r)``  the four rows of a tile are the pixels of a 2 x 2 window: vector *(p, q)* += the
                                  number ``w[i + q]`` times the vector of pixel *p*
``transposed(t)``                 a square tile with rows and lanes exchanged
``added(t, u)``                   the sum of two tiles
``rectified(t)``                  the tile with zeros where its numbers are below zero
``largest_of_pairs(t)``           of one column half as many vectors: of 0 and 1, 2 and 3 and so on, the larger numbers
``address(a, i)``                 where ``a[i]`` stands, in place of an array that begins there
``is_zero(a, i)``                 whether all numbers of the vector at ``a[i]`` are zero
``lane_sums(t)``                  one vector, lane *r* of which is the sum over the lanes of vector *r* of a square tile
================================  =====================================================================================

Rows and columns must be known when a kernel is compiled. Nothing checks bounds here: the program that calls the kernels
lays out every array once and knows them (``program.py``).

Compilers rarely keep sums in registers across three nested loops by themselves; with tiles the kernels reach 85 to
98 % of the processor's multiply-add peak (``docs/decisions/0002-register-tiles.md``).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

_config: Any = numba.config


def _has(feature: str) -> bool:
    # The same two variables by which Numba itself can be told to compile for a smaller processor.
    if _config.CPU_NAME or _config.CPU_FEATURES:
        return f"+{feature}" in (_config.CPU_FEATURES or "")
    return bool(llvm.get_host_cpu_features().get(feature, False))


#: float32 numbers in one vector register, and so images in one block.
LANES = 16 if _has("avx512f") else 8 if _has("avx") else 4

#: Vector registers of the processor: x86 has 32 from AVX-512 on and 16 before, 64-bit ARM has 32.
REGISTERS = 32 if LANES == 16 or platform.machine().lower() in ("aarch64", "arm64") else 16

I64 = ir.IntType(64)
_FLOAT = ir.FloatType()
VECTOR = ir.VectorType(_FLOAT, LANES)


def vector_code(function: Callable[..., Any]) -> Any:
    """Make a function that kernels can call and that writes its instructions itself."""
    return intrinsic(function)


def pointer_to(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Emit the address of ``array.flat[index]``; an ``address`` may stand for the array."""
    is_address = isinstance(array_type, types.CPointer)
    return builder.gep(array if is_address else context.make_array(array_type)(context, builder, array).data, [index])


def _vector_pointer(builder: Any, pointer: Any, n_vectors: int) -> Any:
    return builder.bitcast(builder.gep(pointer, [I64(n_vectors * LANES)]), VECTOR.as_pointer())


def read_vector(builder: Any, pointer: Any, n_vectors: int = 0) -> Any:
    """Emit the load of the vector that begins ``n_vectors`` after the pointer."""
    vector = builder.load(_vector_pointer(builder, pointer, n_vectors))
    vector.align = 4
    return vector


def write_vector(builder: Any, vector: Any, pointer: Any, n_vectors: int = 0) -> None:
    """Emit the store of a vector to where the ``n_vectors``-th after the pointer stands."""
    builder.store(vector, _vector_pointer(builder, pointer, n_vectors)).align = 4


def repeat(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def repeat_integer(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(ir.VectorType(I64, LANES), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    # fmuladd becomes one fused instruction where the processor has it, and a product and a sum elsewhere.
    name = f"llvm.fmuladd.v{LANES}f32"
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), name)
    return builder.call(function, [a, b, c])


def exchanged(builder: Any, rows: list[Any]) -> list[Any]:
    """Emit the exchange of rows and columns of LANES vectors."""
    step = LANES // 2
    while step:
        # Exchange the off-diagonal blocks of step x step; then do the same inside every block.
        exchanged = list(rows)
        low = [k if not k & step else LANES + k - step for k in range(LANES)]
        high = [k + step if not k & step else LANES + k for k in range(LANES)]
        for r in (r for r in range(LANES) if not r & step):
            for target, order in ((r, low), (r + step, high)):
                mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
                exchanged[target] = builder.shuffle_vector(rows[r], rows[r + step], mask)
        rows = exchanged
        step //= 2
    return rows


class TileType(types.Type):
    """The Numba type of a tile."""

    def __init__(self, rows: int, columns: int = 1) -> None:
        self.rows, self.columns, self.n = rows, columns, rows * columns
        super().__init__(name=f"Tile({rows} x {columns} x {LANES})")


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, data_model_manager: Any, tile: TileType) -> None:
        super().__init__(data_model_manager, tile, ir.ArrayType(VECTOR, tile.n))


def tile_of(builder: Any, vectors: Sequence[Any]) -> Any:
    """Emit the tile that holds the vectors."""
    value = ir.Constant(ir.ArrayType(VECTOR, len(vectors)), ir.Undefined)
    for k, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, k)
    return value


def vectors_of(builder: Any, tile: Any) -> list[Any]:
    """Emit the vectors of a tile, row after row."""
    return [builder.extract_value(tile, k) for k in range(tile.type.count)]


def _sized(rows: Any, columns: Any = None) -> TileType | None:
    """Return the type of a tile of so many rows and columns; None where they are no constants."""
    sizes = (rows,) if columns is None else (rows, columns)
    if not all(isinstance(size, types.IntegerLiteral) for size in sizes):
        return None
    return TileType(*(size.literal_value for size in sizes))


@vector_code
def address(typing_context: Any, array: Any, index: Any) -> Any:
    """Return the address of ``array.flat[index]``, which is read and written like an array.

    An array brings its sizes and strides along into every kernel that is called: much to compile, and not used.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return pointer_to(context, builder, array, args[0], args[1])

    return types.CPointer(array.dtype)(array, types.int64), generate


@vector_code
def zeros(typing_context: Any, rows: Any, columns: Any) -> Any:
    """Return a tile, all zero."""
    tile = _sized(rows, columns)
    if tile is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(ir.ArrayType(VECTOR, tile.n), None)

    return tile(rows, columns), generate


@vector_code
def splat(typing_context: Any, rows: Any, array: Any, index: Any) -> Any:
    """Return a tile of one column whose vector r repeats the number ``array[index + r]``."""
    tile = _sized(rows)
    if tile is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, array, args[1], args[2])
        numbers = [builder.load(builder.gep(pointer, [I64(r)])) for r in range(tile.n)]
        return tile_of(builder, [repeat(builder, number) for number in numbers])

    return tile(rows, array, index), generate


@vector_code
def load(typing_context: Any, rows: Any, columns: Any, array: Any, index: Any) -> Any:
    """Return a tile read from the numbers that begin at ``array[index]``, row after row."""
    tile = _sized(rows, columns)
    if tile is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, array, args[2], args[3])
        return tile_of(builder, [read_vector(builder, pointer, k) for k in range(tile.n)])

    return tile(rows, columns, array, index), generate


@vector_code
def load_rows(typing_context: Any, array: Any, positions: Any, offset: Any) -> Any:
    """Return a square tile: vector r is read from ``array.flat[positions[r] + offset]``; bytes are divided by 255."""
    tile = TileType(LANES)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where, vectors = pointer_to(context, builder, positions, args[1], I64(0)), []
        for r in range(LANES):
            position = builder.load(builder.gep(where, [I64(r)]))
            pointer = pointer_to(context, builder, array, args[0], builder.add(position, args[2]))
            if array.dtype == types.uint8:
                packed = builder.load(builder.bitcast(pointer, ir.VectorType(ir.IntType(8), LANES).as_pointer()))
                packed.align = 1
                vectors.append(builder.fdiv(builder.uitofp(packed, VECTOR), ir.Constant(VECTOR, [255.0] * LANES)))
            else:
                vectors.append(read_vector(builder, pointer, 0))
        return tile_of(builder, vectors)

    return tile(array, positions, types.int64), generate


@vector_code
def repeated(typing_context: Any, tile: Any, rows: Any) -> Any:
    """Return a tile each row of which is all vectors of a tile."""
    if not isinstance(rows, types.IntegerLiteral):
        return None
    n = rows.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return tile_of(builder, vectors_of(builder, args[0]) * n)

    return TileType(n, tile.n)(tile, rows), generate


@vector_code
def store(typing_context: Any, tile: Any, array: Any, index: Any) -> Any:
    """Write a tile to ``array``, beginning at ``array[index]``, row after row."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, array, args[1], args[2])
        for k, vector in enumerate(vectors_of(builder, args[0])):
            write_vector(builder, vector, pointer, k)
        return context.get_dummy_value()

    return types.none(tile, array, index), generate


@vector_code
def store_rows(typing_context: Any, tile: Any, array: Any, index: Any, stride: Any) -> Any:
    """Write a tile to ``array``, row p to ``array[index + p * stride]`` and on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors, position = vectors_of(builder, args[0]), args[2]
        for p in range(tile.rows):
            pointer = pointer_to(context, builder, array, args[1], position)
            for q in range(tile.columns):
                write_vector(builder, vectors[p * tile.columns + q], pointer, q)
            position = builder.add(position, args[3])
        return context.get_dummy_value()

    # Positions are int64, so that the stride can be added to them.
    return types.none(tile, array, types.int64, types.int64), generate


@vector_code
def add_rows(typing_context: Any, tile: Any, array: Any, index: Any, stride: Any) -> Any:
    """Add a tile to ``array``, row p to ``array[index + p * stride]`` and on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors, position = vectors_of(builder, args[0]), args[2]
        for p in range(tile.rows):
            pointer = pointer_to(context, builder, array, args[1], position)
            for q in range(tile.columns):
                total = builder.fadd(read_vector(builder, pointer, q), vectors[p * tile.columns + q])
                write_vector(builder, total, pointer, q)
            position = builder.add(position, args[3])
        return context.get_dummy_value()

    return types.none(tile, array, types.int64, types.int64), generate


@vector_code
def add_outer(typing_context: Any, tile: Any, numbers: Any, i: Any, step: Any, vectors: Any, j: Any) -> Any:
    """Return the tile with ``numbers[i + p * step]`` times vector q at ``vectors[j]`` added to its vector (p, q)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, position = vectors_of(builder, args[0]), args[2]
        start = pointer_to(context, builder, vectors, args[4], args[5])
        across = [read_vector(builder, start, q) for q in range(tile.columns)]
        for p in range(tile.rows):
            number = repeat(builder, builder.load(pointer_to(context, builder, numbers, args[1], position)))
            position = builder.add(position, args[3])
            for q in range(tile.columns):
                k = p * tile.columns + q
                sums[k] = multiply_add(builder, number, across[q], sums[k])
        return tile_of(builder, sums)

    return tile(tile, numbers, types.int64, types.int64, vectors, types.int64), generate


@vector_code
def add_products(typing_context: Any, tile: Any, a: Any, i: Any, b: Any, j: Any) -> Any:
    """Return the tile with every product of a vector at ``a[i]``, one a row, and one at ``b[j]`` added."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = vectors_of(builder, args[0])
        first = pointer_to(context, builder, a, args[1], args[2])
        second = pointer_to(context, builder, b, args[3], args[4])
        across = [read_vector(builder, second, q) for q in range(tile.columns)]
        for p in range(tile.rows):
            down = read_vector(builder, first, p)
            for q in range(tile.columns):
                k = p * tile.columns + q
                sums[k] = multiply_add(builder, down, across[q], sums[k])
        return tile_of(builder, sums)

    return tile(tile, a, i, b, j), generate


@vector_code
def add_windows(typing_context: Any, tile: Any, numbers: Any, i: Any, vectors: Any, j: Any, step: Any, row: Any) -> Any:
    """Return the tile with ``numbers[i + q]`` times pixel p of a window added to its vector (p, q).

    The pixels stand at ``vectors[j]``, ``j + step``, ``j + row`` and ``j + row + step``.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = vectors_of(builder, args[0])
        scalar = pointer_to(context, builder, numbers, args[1], args[2])
        second = builder.add(args[4], args[6])
        places = (args[4], builder.add(args[4], args[5]), second, builder.add(second, args[5]))
        pixels = [read_vector(builder, pointer_to(context, builder, vectors, args[3], place)) for place in places]
        for q in range(tile.columns):
            number = repeat(builder, builder.load(builder.gep(scalar, [I64(q)])))
            for p, pixel in enumerate(pixels):
                k = p * tile.columns + q
                sums[k] = multiply_add(builder, number, pixel, sums[k])
        return tile_of(builder, sums)

    i64 = types.int64
    return tile(tile, numbers, i64, vectors, i64, i64, i64), generate


@vector_code
def transposed(typing_context: Any, tile: Any) -> Any:
    """Return a tile of ``LANES`` vectors with rows and lanes exchanged."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return tile_of(builder, exchanged(builder, vectors_of(builder, args[0])))

    return tile(tile), generate


@vector_code
def added(typing_context: Any, tile: Any, other: Any) -> Any:
    """Return the sum of two tiles of one size, number by number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(*(vectors_of(builder, arg) for arg in args), strict=True)
        return tile_of(builder, [builder.fadd(*pair) for pair in pairs])

    return tile(tile, other), generate


@vector_code
def rectified(typing_context: Any, tile: Any) -> Any:
    """Return a tile with zeros where its numbers are below zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero, vectors = ir.Constant(VECTOR, None), vectors_of(builder, args[0])
        return tile_of(builder, [builder.select(builder.fcmp_ordered("<", one, zero), zero, one) for one in vectors])

    return tile(tile), generate


@vector_code
def largest_of_pairs(typing_context: Any, tile: Any) -> Any:
    """Return, of one column, half as many vectors: the larger number at each place of 0 and 1, 2 and 3 and so on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = vectors_of(builder, args[0])
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        return tile_of(builder, [builder.select(builder.fcmp_ordered(">", a, b), a, b) for a, b in pairs])

    return TileType(tile.rows // 2)(tile), generate


@vector_code
def lane_sums(typing_context: Any, tile: Any) -> Any:
    """Return a tile of one vector: lane r is the sum over the lanes of vector r of a square tile.

    Added in one fixed order: neighbours, then pairs, then fours and so on.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = exchanged(builder, vectors_of(builder, args[0]))
        while len(vectors) > 1:
            vectors = [builder.fadd(a, b) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
        return tile_of(builder, vectors)

    return TileType(1)(tile), generate


@vector_code
def is_zero(typing_context: Any, array: Any, index: Any) -> Any:
    """Tell whether all numbers of the vector at ``array[index]`` are zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = read_vector(builder, pointer_to(context, builder, array, args[0], args[1]))
        differ = builder.fcmp_unordered("!=", vector, ir.Constant(VECTOR, None))
        bits = builder.bitcast(differ, ir.IntType(LANES))
        return builder.icmp_unsigned("==", bits, ir.IntType(LANES)(0))

    return types.boolean(array, index), generate
