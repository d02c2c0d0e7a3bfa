"""Register tiles: a few vectors that stay in the processor's registers while a kernel sums into them.

Everything in this engine puts ``LANES`` images side by side: lane *i* of every vector belongs to image *i* of a
block. One machine instruction then does the same arithmetic for all images of the block, whatever the layer's shape.

A *tile* is a handful of such vectors, say the sums of eight output channels at one pixel. The functions below are the
whole vocabulary of the kernels:

======================  =====================================================================================
``zeros(n)``            a tile of ``n`` vectors, all zero
``splat(n, a, i)``      a tile whose vector *r* repeats the number ``a[i + r]`` in every lane
``store(t, a, i)``      write a tile to the ``n * LANES`` numbers that begin at ``a[i]``
``store_rows(t, a, i, s)``  the same, with ``s`` numbers from vector to vector
``add_rows(t, n, a, i, s)``       add it to ``a`` instead, as ``n`` rows that stand ``s`` numbers apart
``add_scaled(t, w, i, s, x, j)``  vector *r* of the tile += the number ``w[i + r * s]`` times the vector at ``x[j]``
``add_products(t, n, a, i, b, j)`` vector *(p, q)* += vector *p* at ``a[i]`` times vector *q* at ``b[j]``, lane by lane
``repeated(t, n)``      a tile that holds ``n`` copies of a tile, one after the other
``add_windows(t, w, i, x, j, s, r)`` the same for four tiles in one, those of the four pixels of a 2 x 2 window
``load(n, a, i)``       a tile read from ``a[i]`` on
``load_rows(a, p, i)``  a tile of ``LANES`` vectors, vector *r* read from ``a[p[r] + i]``; bytes are divided by 255
``transposed(t)``       a square tile with rows and columns exchanged
``added(t, u)``         the sum of two tiles
``rectified(t)``        the tile with zeros where its numbers are below zero
``larger(t, u)``         of two tiles of one size, the larger number at each place
``largest_of_pairs(t)`` a tile of half the size: vectors 0 and 1, 2 and 3 and so on, the larger number of each
``address(a, i)``       where ``a[i]`` stands, in place of an array that begins there
``is_zero(a, i)``       whether all numbers of the vector at ``a[i]`` are zero
``lane_sums(t)``        one vector, lane *r* of which is the sum over the lanes of vector *r* of a square tile
======================  =====================================================================================

Networks that answer with maps put the filters of one page side by side instead; what their kernels do besides stands
in ``map_rows.py`` and ``winograd.py``. Below, the functions come after the handful of LLVM instructions that all of
them are made of.

``n`` must be known when a kernel is compiled. Nothing checks bounds here: the program that calls the kernels lays out
every array once and knows them (``program.py``).

Compilers rarely keep sums in registers across three nested loops by themselves; with tiles the kernels reach 85 to
98 % of the processor's multiply-add peak (``docs/decisions/0002-register-tiles.md``).
"""

from __future__ import annotations

import platform
from collections.abc import Callable
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
    """The Numba type of a tile of ``n`` vectors."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(name=f"Tile({n} x {LANES})")


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, data_model_manager: Any, tile: TileType) -> None:
        super().__init__(data_model_manager, tile, ir.ArrayType(VECTOR, tile.n))


@vector_code
def address(typing_context: Any, array: Any, index: Any) -> Any:
    """Return the address of ``array.flat[index]``, which is read and written like an array.

    An array brings its sizes and strides along into every kernel that is called: much to compile, and not used.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return pointer_to(context, builder, array, args[0], args[1])

    return types.CPointer(array.dtype)(array, types.int64), generate


@vector_code
def zeros(typing_context: Any, n: Any) -> Any:
    """Return a tile of ``n`` vectors, all zero."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    tile = TileType(n.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(ir.ArrayType(VECTOR, tile.n), None)

    return tile(n), generate


@vector_code
def splat(typing_context: Any, n: Any, array: Any, index: Any) -> Any:
    """Return a tile whose vector r repeats the number ``array[index + r]``."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    tile = TileType(n.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, array, args[1], args[2])
        value = ir.Constant(ir.ArrayType(VECTOR, tile.n), ir.Undefined)
        for r in range(tile.n):
            number = builder.load(builder.gep(pointer, [I64(r)]))
            value = builder.insert_value(value, repeat(builder, number), r)
        return value

    return tile(n, array, index), generate


@vector_code
def store(typing_context: Any, tile: Any, array: Any, index: Any) -> Any:
    """Write a tile to ``array``, beginning at ``array[index]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, array, args[1], args[2])
        for r in range(tile.n):
            write_vector(builder, builder.extract_value(args[0], r), pointer, r)
        return context.get_dummy_value()

    return types.none(tile, array, index), generate


@vector_code
def load(typing_context: Any, n: Any, array: Any, index: Any) -> Any:
    """Return a tile read from the ``n * LANES`` numbers that begin at ``array[index]``."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    tile = TileType(n.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, array, args[1], args[2])
        value = ir.Constant(ir.ArrayType(VECTOR, tile.n), ir.Undefined)
        for r in range(tile.n):
            value = builder.insert_value(value, read_vector(builder, pointer, r), r)
        return value

    return tile(n, array, index), generate


@vector_code
def load_rows(typing_context: Any, array: Any, positions: Any, offset: Any) -> Any:
    """Return a square tile: vector r is read from ``array.flat[positions[r] + offset]``; bytes are divided by 255."""
    tile = TileType(LANES)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = ir.Constant(ir.ArrayType(VECTOR, LANES), ir.Undefined)
        where = pointer_to(context, builder, positions, args[1], I64(0))
        for r in range(LANES):
            position = builder.load(builder.gep(where, [I64(r)]))
            pointer = pointer_to(context, builder, array, args[0], builder.add(position, args[2]))
            if array.dtype == types.uint8:
                packed = builder.load(builder.bitcast(pointer, ir.VectorType(ir.IntType(8), LANES).as_pointer()))
                packed.align = 1
                vector = builder.fdiv(builder.uitofp(packed, VECTOR), ir.Constant(VECTOR, [255.0] * LANES))
            else:
                vector = read_vector(builder, pointer, 0)
            value = builder.insert_value(value, vector, r)
        return value

    return tile(array, positions, types.int64), generate


@vector_code
def transposed(typing_context: Any, tile: Any) -> Any:
    """Return a tile of ``LANES`` vectors with rows and columns exchanged."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = exchanged(builder, [builder.extract_value(args[0], r) for r in range(LANES)])
        value = ir.Constant(ir.ArrayType(VECTOR, LANES), ir.Undefined)
        for r in range(LANES):
            value = builder.insert_value(value, rows[r], r)
        return value

    return tile(tile), generate


@vector_code
def store_rows(typing_context: Any, tile: Any, array: Any, index: Any, stride: Any) -> Any:
    """Write a tile to ``array``, vector r to ``array[index + r * stride]`` and on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        position = args[2]
        for r in range(tile.n):
            write_vector(
                builder, builder.extract_value(args[0], r), pointer_to(context, builder, array, args[1], position)
            )
            position = builder.add(position, args[3])
        return context.get_dummy_value()

    return types.none(tile, array, types.int64, types.int64), generate


@vector_code
def repeated(typing_context: Any, tile: Any, times: Any) -> Any:
    """Return a tile that holds ``times`` copies of a tile."""
    if not isinstance(times, types.IntegerLiteral):
        return None
    result = TileType(tile.n * times.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = ir.Constant(ir.ArrayType(VECTOR, result.n), ir.Undefined)
        for r in range(result.n):
            value = builder.insert_value(value, builder.extract_value(args[0], r % tile.n), r)
        return value

    return result(tile, times), generate


@vector_code
def rectified(typing_context: Any, tile: Any) -> Any:
    """Return a tile with zeros where its numbers are below zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, zero = args[0], ir.Constant(VECTOR, None)
        for r in range(tile.n):
            vector = builder.extract_value(args[0], r)
            is_below = builder.fcmp_ordered("<", vector, zero)
            value = builder.insert_value(value, builder.select(is_below, zero, vector), r)
        return value

    return tile(tile), generate


@vector_code
def added(typing_context: Any, tile: Any, other: Any) -> Any:
    """Return the sum of two tiles of one size, number by number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = args[0]
        for r in range(tile.n):
            total = builder.fadd(builder.extract_value(args[0], r), builder.extract_value(args[1], r))
            value = builder.insert_value(value, total, r)
        return value

    return tile(tile, other), generate


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@vector_code
def larger(typing_context: Any, tile: Any, other: Any) -> Any:
    """Return the larger number at each place of two tiles of one size."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = args[0]
        for r in range(tile.n):
            vector = _larger(builder, *(builder.extract_value(arg, r) for arg in args))
            value = builder.insert_value(value, vector, r)
        return value

    return tile(tile, other), generate


@vector_code
def largest_of_pairs(typing_context: Any, tile: Any) -> Any:
    """Return a tile of half the size: the larger number at each place of vectors 0 and 1, 2 and 3 and so on."""
    result = TileType(tile.n // 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = ir.Constant(ir.ArrayType(VECTOR, result.n), ir.Undefined)
        for r in range(result.n):
            vector = _larger(builder, *(builder.extract_value(args[0], 2 * r + k) for k in (0, 1)))
            value = builder.insert_value(value, vector, r)
        return value

    return result(tile), generate


@vector_code
def lane_sums(typing_context: Any, tile: Any) -> Any:
    """Return a tile of one vector: lane r is the sum over the lanes of vector r of a square tile.

    Added in one fixed order: neighbours, then pairs, then fours and so on.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = exchanged(builder, [builder.extract_value(args[0], r) for r in range(LANES)])
        while len(vectors) > 1:
            vectors = [builder.fadd(a, b) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
        return builder.insert_value(ir.Constant(ir.ArrayType(VECTOR, 1), ir.Undefined), vectors[0], 0)

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
