"""One row of a map: sums of products in register tiles, and the same for the gradient of a kernel.

One vector holds ``LANES`` filters of one page. A tile holds the sums of neighbouring pixels, one a row, for one or two
vectors of filters; where 2 x 2 max-pooling follows, it holds the pixels of whole windows, and only the largest of each
is written. The taps of one row of a kernel (its columns, all channels of each) stand side by side in the map, too.

What tiles do here besides:

=================================  ==========================================================================
``kept_above_zero(t, a, i, s)``    the tile with zeros where ``a``, read as ``store_rows`` writes, is not above zero
``largest_of_windows(t, u)``       of two rows of pixels, each a tile, the largest of every 2 x 2 window
``store_winners(t, u, a, i, s)``   write as bytes which pixel of each window that was: 0 and 1 above, 2 and 3 below
``spread(a, i, w, k, j, s, r)``    write the vector at ``a[i]`` to the pixel of a window that won, zeros to the others
=================================  ==========================================================================
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.tiles import (
    LANES,
    REGISTERS,
    VECTOR,
    TileType,
    add_outer,
    load,
    pointer_to,
    read_vector,
    rectified,
    repeated,
    store,
    store_rows,
    tile_of,
    vector_code,
    vectors_of,
    write_vector,
    zeros,
)

#: What becomes of sums before they are written: nothing; ReLU; zeros where a ReLU gave zeros.
LINEAR, RELU, MASKED = range(3)

#: Pixels of a tile with two vectors of filters, and taps of a tile of gradients: they take half of the registers.
PIXELS = REGISTERS // 4

_BYTES = ir.VectorType(ir.IntType(8), LANES)


@vector_code
def kept_above_zero(typing_context: Any, tile: Any, array: Any, index: Any, stride: Any) -> Any:
    """Return the tile with zeros where the numbers of ``array``, laid out as for ``store_rows``, are 0 or below."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors, position, zero = vectors_of(builder, args[0]), args[2], ir.Constant(VECTOR, None)
        for p in range(tile.rows):
            pointer = pointer_to(context, builder, array, args[1], position)
            for q in range(tile.columns):
                k = p * tile.columns + q
                is_above = builder.fcmp_ordered(">", read_vector(builder, pointer, q), zero)
                vectors[k] = builder.select(is_above, vectors[k], zero)
            position = builder.add(position, args[3])
        return tile_of(builder, vectors)

    return tile(tile, array, types.int64, types.int64), generate


def _windows_of(builder: Any, args: Any, tile: TileType) -> list[list[Any]]:
    """Emit the four vectors of every window, window by window: two of the upper row, two of the lower."""
    upper, lower = (vectors_of(builder, arg) for arg in args[:2])
    places = [2 * p * tile.columns + q for p in range(tile.rows // 2) for q in range(tile.columns)]
    return [[row[k + right] for row in (upper, lower) for right in (0, tile.columns)] for k in places]


@vector_code
def largest_of_windows(typing_context: Any, upper: Any, lower: Any) -> Any:
    """Return a tile of half as many rows: the largest of every 2 x 2 window of two tiles."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = []
        for largest, *others in _windows_of(builder, args, upper):
            for other in others:
                largest = builder.select(builder.fcmp_ordered(">", other, largest), other, largest)
            found.append(largest)
        return tile_of(builder, found)

    return TileType(upper.rows // 2, upper.columns)(upper, lower), generate


@vector_code
def store_winners(typing_context: Any, upper: Any, lower: Any, array: Any, index: Any, stride: Any) -> Any:
    """Write which pixel of every window is the largest (the first of equal ones) to bytes, as ``store_rows`` does."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        windows, position = _windows_of(builder, args, upper), args[3]
        for p in range(upper.rows // 2):
            pointer = builder.bitcast(pointer_to(context, builder, array, args[2], position), _BYTES.as_pointer())
            for q in range(upper.columns):
                largest, *others = windows[p * upper.columns + q]
                winner = ir.Constant(_BYTES, None)
                for place, other in enumerate(others, start=1):
                    is_larger = builder.fcmp_ordered(">", other, largest)
                    largest = builder.select(is_larger, other, largest)
                    winner = builder.select(is_larger, ir.Constant(_BYTES, [place] * LANES), winner)
                builder.store(winner, builder.gep(pointer, [ir.IntType(64)(q)])).align = 1
            position = builder.add(position, args[4])
        return context.get_dummy_value()

    return types.none(upper, lower, array, types.int64, types.int64), generate


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


def tile_of_sums(n_pixels, n_vectors):
    """Make the kernel of the sums of ``n_pixels`` pixels for ``n_vectors`` vectors of filters."""

    @kernel
    def sums(values, at, row, rows, run, step, weights, w, w_step, bias, mode, out, to, to_step, mask):
        """Write the sums to ``out``, those of the pixels ``to_step`` numbers apart.

        The ``run`` taps of each of the kernel's ``rows`` stand side by side in the map; ``row`` leads from one to the
        next, ``step`` from pixel to pixel, ``w_step`` from tap to tap in the weights. ``bias`` is -1 for none.
        """
        total = repeated(load(1, n_vectors, weights, bias), n_pixels) if bias >= 0 else zeros(n_pixels, n_vectors)
        for _ in range(rows):
            for tap in range(run):
                total = add_outer(total, values, at + tap, step, weights, w)
                w += w_step
            at += row
        if mode == RELU:
            total = rectified(total)
        elif mode == MASKED:
            total = kept_above_zero(total, values, mask, to_step)
        store_rows(total, out, to, to_step)

    return sums


def _windows(n_pixels, n_vectors):
    @kernel
    def largest(values, at, row, rows, run, step, weights, w, bias, mode, to, to_step, winners, winner):
        """The same for two rows of pixels and packed weights; the largest of every 2 x 2 window is written."""
        upper = repeated(load(1, n_vectors, weights, bias), n_pixels)
        lower = upper
        for _ in range(rows):
            for tap in range(run):
                upper = add_outer(upper, values, at + tap, step, weights, w)
                lower = add_outer(lower, values, at + row + tap, step, weights, w)
                w += n_vectors * LANES
            at += row
        if winner >= 0:
            store_winners(upper, lower, winners, winner, to_step)
        total = largest_of_windows(upper, lower)
        if mode == RELU:
            total = rectified(total)
        store_rows(total, values, to, to_step)

    return largest


_sums_of_2, _sums_of_1 = tile_of_sums(PIXELS, 2), tile_of_sums(PIXELS, 1)
_sum_of_2, _sum_of_1 = tile_of_sums(1, 2), tile_of_sums(1, 1)
_windows_of_2, _windows_of_1 = _windows(PIXELS // 2, 2), _windows(PIXELS, 1)
_window_of_2, _window_of_1 = _windows(2, 2), _windows(2, 1)


@kernel
def convolve_row(values, at, row, rows, run, step, width, filters, weights, w, bias, mode, to, to_step, mask):
    """Write one row of ``width`` pixels of a convolution; ``w``, ``bias``: where the packed weights stand."""
    n = PIXELS if width >= PIXELS else 1
    for f in range(0, filters, 2 * LANES):
        is_pair = f + 2 * LANES <= filters
        w_f = w + f * rows * run
        for x in range(0, width, n):
            # The last pixels overlap the ones before rather than reaching beyond the row.
            x = min(x, width - n)
            x_at, x_to, x_mask = at + x * step, to + x * to_step + f, mask + x * to_step + f
            if n == PIXELS and is_pair:
                _sums_of_2(
                    values, x_at, row, rows, run, step, weights, w_f, 2 * LANES, bias + f, mode, values, x_to, to_step,
                    x_mask,
                )  # fmt: skip
            elif n == PIXELS:
                _sums_of_1(
                    values, x_at, row, rows, run, step, weights, w_f, LANES, bias + f, mode, values, x_to, to_step,
                    x_mask,
                )  # fmt: skip
            elif is_pair:
                _sum_of_2(
                    values, x_at, row, rows, run, step, weights, w_f, 2 * LANES, bias + f, mode, values, x_to, to_step,
                    x_mask,
                )  # fmt: skip
            else:
                _sum_of_1(
                    values, x_at, row, rows, run, step, weights, w_f, LANES, bias + f, mode, values, x_to, to_step,
                    x_mask,
                )  # fmt: skip


@kernel
def convolve_and_pool_row(
    values, at, row, rows, run, step, n_windows, filters, weights, w, bias, mode, to, winners, winner
):
    """Write one row of ``n_windows`` windows."""
    for f in range(0, filters, 2 * LANES):
        is_pair = f + 2 * LANES <= filters
        w_f, many = w + f * rows * run, (PIXELS // 4 if is_pair else PIXELS // 2)
        n = many if n_windows >= many else 1
        for x in range(0, n_windows, n):
            x = min(x, n_windows - n)
            x_at, x_to, x_winner = at + 2 * x * step, to + x * filters + f, -1
            if winner >= 0:
                x_winner = winner + x * filters + f
            if n == many and is_pair:
                _windows_of_2(
                    values, x_at, row, rows, run, step, weights, w_f, bias + f, mode, x_to, filters, winners, x_winner
                )
            elif n == many:
                _windows_of_1(
                    values, x_at, row, rows, run, step, weights, w_f, bias + f, mode, x_to, filters, winners, x_winner
                )
            elif is_pair:
                _window_of_2(
                    values, x_at, row, rows, run, step, weights, w_f, bias + f, mode, x_to, filters, winners, x_winner
                )
            else:
                _window_of_1(
                    values, x_at, row, rows, run, step, weights, w_f, bias + f, mode, x_to, filters, winners, x_winner
                )


def _gradient_tile(n_vectors):
    @kernel
    def add_tile(values, x, x_row, x_step, dz, dz_row, dz_step, n_rows, width, sums, to, n_kept, spare):
        """Add to the gradient of ``PIXELS`` taps, which stand side by side, or of the first ``n_kept`` of them."""
        total = load(PIXELS, n_vectors, sums, to) if n_kept == PIXELS else zeros(PIXELS, n_vectors)
        for y in range(n_rows):
            at, d_at = x + y * x_row, dz + y * dz_row
            for _ in range(width):
                total = add_outer(total, values, at, 1, values, d_at)
                at += x_step
                d_at += dz_step
        if n_kept == PIXELS:
            store(total, sums, to)
        else:
            store(total, spare, 0)
            for i in range(n_kept * n_vectors * LANES):
                sums[to + i] += spare[i]

    return add_tile


_gradient_of_2, _gradient_of_1 = _gradient_tile(2), _gradient_tile(1)


@kernel
def add_gradient(values, x, x_row, x_step, run, dz, dz_row, filters, n_rows, width, sums, to, rows, ky, spare):
    """Add to the gradient of row ``ky`` of a packed kernel of ``rows`` rows, which begins at ``sums[to]``.

    ``x`` and ``dz``: the first pixel that is read and that of the gradient, both in ``values``; ``n_rows`` rows of
    ``width`` pixels are summed up. ``spare`` has room for a tile.
    """
    for f in range(0, filters, 2 * LANES):
        n_vectors = min(2, (filters - f) // LANES)
        own = to + (f * rows + ky * n_vectors * LANES) * run
        for tap in range(0, run, PIXELS):
            n_kept, at = min(PIXELS, run - tap), own + tap * n_vectors * LANES
            if n_vectors == 2:
                _gradient_of_2(
                    values, x + tap, x_row, x_step, dz + f, dz_row, filters, n_rows, width, sums, at, n_kept, spare
                )
            else:
                _gradient_of_1(
                    values, x + tap, x_row, x_step, dz + f, dz_row, filters, n_rows, width, sums, at, n_kept, spare
                )
