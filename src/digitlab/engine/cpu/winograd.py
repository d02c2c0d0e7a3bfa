"""3 x 3 convolutions with 16 multiplications where there were 36 (Winograd 1980; Lavin and Gray 2016).

The sums of 2 x 2 neighbouring pixels read a window of 4 x 4. *Lifted*, which takes additions only, window and kernel
become 16 numbers each, a channel and a filter by itself, and for every filter f, in plain words::

    product[k, f] = sum over c of  window[k, c] * kernel[k, c, f]              for k = 0 to 15

What the 16 products stand for, *lowered* again by additions, are the four sums. So the multiplications are those of 16
convolutions of a single tap, on a quarter of the pixels. The gradient of the kernel has the same shape: the gradients
of the four pixels, lifted, times the window, summed up over all windows and lowered once at the end.

A lifted kernel is packed as 16 kernels of one tap, one after the other.

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

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.map_rows import LINEAR, MASKED, PIXELS, RELU, add_gradient, convolve_row, kept_above_zero
from digitlab.engine.cpu.tiles import (
    LANES,
    VECTOR,
    TileType,
    added,
    largest_of_pairs,
    load,
    pointer_to,
    read_vector,
    rectified,
    repeated,
    store,
    tile_of,
    vector_code,
    write_vector,
)

#: Numbers of a lifted window or kernel.
N_LIFTED = 16
#: Windows that are lifted before they are multiplied: they stay in the core's cache.
WINDOWS = 32

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

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        square = _transformed(builder, _read_16(context, builder, array, args[0], args[1], args[2]), _OUTPUTS)
        return tile_of(builder, [*square[0], *square[1]])

    return TileType(4)(array, types.int64, types.int64), generate


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

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return tile_of(builder, [builder.extract_value(args[0], k.literal_value)])

    return TileType(1)(tile, k), generate


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


@kernel
def _lift_windows(values, at, row, step, n_columns, first, n, scratch, to):
    """Lift ``n`` windows from the ``first`` on, row by row; ``at``: where the first row of them begins."""
    y, x = divmod(first, n_columns)
    for k in range(n):
        window = at + 2 * y * row + 2 * x * step
        for c in range(0, step, LANES):
            lift_pixels(values, window + c, step, row, scratch, to + k * step + c, WINDOWS * step)
        x += 1
        if x == n_columns:
            x, y = 0, y + 1


@kernel
def convolve_lifted(
    values, at, row, step, height, width, begin, end, filters, weights, w, biases, bias, mode, to, to_row, to_step,
    mask, mask_row, pool, winners, winner, scratch,
):  # fmt: skip
    """Write ``height`` rows of ``width`` pixels of a convolution, or the largest of every 2 x 2 of them.

    Of their windows, counted row by row, those from ``begin`` to before ``end``. ``at``: the first window in
    ``values``, whose rows are ``row`` and pixels ``step`` numbers apart. ``weights`` begins with zeros; the lifted
    kernel stands at ``w``. What is written begins at ``to``; with ``MASKED`` it is zero where what stands at ``mask``
    is not above zero.
    """
    n_columns = (width + 1) // 2
    products = N_LIFTED * WINDOWS * step
    for first in range(begin, end, WINDOWS):
        n = min(WINDOWS, end - first)
        _lift_windows(values, at, row, step, n_columns, first, n, scratch, 0)
        for k in range(N_LIFTED):
            # Whole tiles: what stands behind the last window is multiplied and not used.
            convolve_row(
                scratch, k * WINDOWS * step, 0, 1, step, step, max(n, PIXELS), filters, weights,
                w + k * step * filters, 0, LINEAR, products + k * WINDOWS * filters, filters, 0,
            )  # fmt: skip
        y, x = divmod(first, n_columns)
        for k in range(n):
            for f in range(0, filters, LANES):
                pixels = lowered_pixels(scratch, products + k * filters + f, WINDOWS * filters)
                pixels = added(pixels, repeated(load(1, 1, biases, bias + f), 4))
                if pool:
                    # Pixels that fill no window are in none.
                    if 2 * y + 1 < height and 2 * x + 1 < width:
                        if winner >= 0:
                            store_winner(pixels, winners, winner + (y * (width // 2) + x) * filters + f)
                        largest = largest_of_pairs(largest_of_pairs(pixels))
                        if mode == RELU:
                            largest = rectified(largest)
                        store(largest, values, to + y * to_row + x * to_step + f)
                    continue
                if mode == RELU:
                    pixels = rectified(pixels)
                own, own_mask = to + 2 * y * to_row + 2 * x * to_step + f, mask + 2 * y * mask_row + 2 * x * to_step + f
                _store_one(vector_of(pixels, 0), values, own, mode, own_mask)
                if 2 * x + 1 < width:
                    _store_one(vector_of(pixels, 1), values, own + to_step, mode, own_mask + to_step)
                if 2 * y + 1 < height:
                    own, own_mask = own + to_row, own_mask + mask_row
                    _store_one(vector_of(pixels, 2), values, own, mode, own_mask)
                    if 2 * x + 1 < width:
                        _store_one(vector_of(pixels, 3), values, own + to_step, mode, own_mask + to_step)
            x += 1
            if x == n_columns:
                x, y = 0, y + 1


@kernel
def _store_one(pixel, values, to, mode, mask):
    if mode == MASKED:
        pixel = kept_above_zero(pixel, values, mask, 0)
    store(pixel, values, to)


@kernel
def add_lifted_gradient(values, at, row, step, dz, dz_row, height, width, filters, sums, to, scratch, spare):
    """Add to the lifted kernel's gradient at ``sums[to]``; ``dz`` has zeros right of and below its last pixels."""
    n_columns = (width + 1) // 2
    n_windows = (height + 1) // 2 * n_columns
    gradients = N_LIFTED * WINDOWS * step
    for first in range(0, n_windows, WINDOWS):
        n = min(WINDOWS, n_windows - first)
        _lift_windows(values, at, row, step, n_columns, first, n, scratch, 0)
        y, x = divmod(first, n_columns)
        for k in range(n):
            own = dz + 2 * y * dz_row + 2 * x * filters
            for f in range(0, filters, LANES):
                lift_gradient(values, own + f, filters, dz_row, scratch, gradients + k * filters + f, WINDOWS * filters)
            x += 1
            if x == n_columns:
                x, y = 0, y + 1
        for k in range(N_LIFTED):
            add_gradient(
                scratch, k * WINDOWS * step, 0, step, step, gradients + k * WINDOWS * filters, 0, filters, 1, n, sums,
                to + k * step * filters, 1, 0, spare,
            )  # fmt: skip


@kernel
def lift_weights(packed, at, channels, filters, lifted, to):
    """Lift a packed 3 x 3 kernel."""
    for f in range(0, filters, 2 * LANES):
        across = min(2 * LANES, filters - f)
        for c in range(channels):
            for q in range(0, across, LANES):
                own = f * channels + c * across + q
                lift_kernel(
                    packed, at + 9 * f * channels + c * across + q, channels * across, lifted, to + own,
                    channels * filters,
                )  # fmt: skip


@kernel
def lower_gradients(lifted, at, channels, filters, sums, to):
    """Add the gradient of a packed 3 x 3 kernel that the lifted one stands for."""
    for f in range(0, filters, 2 * LANES):
        across = min(2 * LANES, filters - f)
        for c in range(channels):
            for q in range(0, across, LANES):
                own = f * channels + c * across + q
                add_lowered_kernel(
                    lifted, at + own, channels * filters, sums, to + 9 * f * channels + c * across + q,
                    channels * across,
                )  # fmt: skip
