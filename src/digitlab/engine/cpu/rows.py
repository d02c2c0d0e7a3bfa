"""One row of a map: sums of products in register tiles, and the same for the gradient of a kernel.

One vector holds ``LANES`` filters of one page. A tile holds the sums of neighbouring pixels for one or two vectors of
filters; where 2 x 2 max-pooling follows, it holds the pixels of whole windows, and only the largest of each is written.
The taps of one row of a kernel (its columns, all channels of each) stand side by side in the map, too.
"""

from __future__ import annotations

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES, REGISTERS, load, rectified, repeated, store, zeros
from digitlab.engine.cpu.pixels import add_outer, kept_above_zero, largest_of_windows, store_pixels, store_winners

__all__ = ["LINEAR", "MASKED", "PIXELS", "RELU", "add_gradient", "convolve_and_pool_row", "convolve_row"]

#: What becomes of sums before they are written: nothing; ReLU; zeros where a ReLU gave zeros.
LINEAR, RELU, MASKED = range(3)

#: Pixels of a tile with two vectors of filters, and taps of a tile of gradients: they take half of the registers.
PIXELS = REGISTERS // 4


def _tile(n_pixels, n_vectors):
    @kernel
    def sums(values, at, row, rows, run, step, weights, w, bias, mode, to, to_step, mask):
        """Write the sums of ``n_pixels`` pixels for ``n_vectors`` vectors of filters.

        The ``run`` taps of each of the kernel's ``rows`` stand side by side in the map; ``row`` leads from one to the
        next, ``step`` from pixel to pixel, ``to_step`` from pixel to pixel in what is written.
        """
        total = repeated(load(n_vectors, weights, bias), n_pixels)
        for _ in range(rows):
            for tap in range(run):
                total = add_outer(total, n_pixels, values, at + tap, step, weights, w)
                w += n_vectors * LANES
            at += row
        if mode == RELU:
            total = rectified(total)
        elif mode == MASKED:
            total = kept_above_zero(total, n_pixels, values, mask, to_step)
        store_pixels(total, n_pixels, values, to, to_step)

    return sums


def _windows(n_pixels, n_vectors):
    n_windows = n_pixels // 2

    @kernel
    def largest(values, at, row, rows, run, step, weights, w, bias, mode, to, to_step, winners, winner):
        """The same for two rows of pixels, of which the largest of every 2 x 2 window is written."""
        upper = repeated(load(n_vectors, weights, bias), n_pixels)
        lower = upper
        for _ in range(rows):
            for tap in range(run):
                upper = add_outer(upper, n_pixels, values, at + tap, step, weights, w)
                lower = add_outer(lower, n_pixels, values, at + row + tap, step, weights, w)
                w += n_vectors * LANES
            at += row
        if winner >= 0:
            store_winners(upper, lower, n_pixels, winners, winner, to_step)
        total = largest_of_windows(upper, lower, n_pixels)
        if mode == RELU:
            total = rectified(total)
        store_pixels(total, n_windows, values, to, to_step)

    return largest


_sums_of_2, _sums_of_1 = _tile(PIXELS, 2), _tile(PIXELS, 1)
_sum_of_2, _sum_of_1 = _tile(1, 2), _tile(1, 1)
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
                _sums_of_2(values, x_at, row, rows, run, step, weights, w_f, bias + f, mode, x_to, to_step, x_mask)
            elif n == PIXELS:
                _sums_of_1(values, x_at, row, rows, run, step, weights, w_f, bias + f, mode, x_to, to_step, x_mask)
            elif is_pair:
                _sum_of_2(values, x_at, row, rows, run, step, weights, w_f, bias + f, mode, x_to, to_step, x_mask)
            else:
                _sum_of_1(values, x_at, row, rows, run, step, weights, w_f, bias + f, mode, x_to, to_step, x_mask)


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
    n = PIXELS * n_vectors

    @kernel
    def add_tile(values, x, x_row, x_step, dz, dz_row, dz_step, n_rows, width, sums, to, n_kept, spare):
        """Add to the gradient of ``PIXELS`` taps, which stand side by side, or of the first ``n_kept`` of them."""
        total = load(n, sums, to) if n_kept == PIXELS else zeros(n)
        for y in range(n_rows):
            at, d_at = x + y * x_row, dz + y * dz_row
            for _ in range(width):
                total = add_outer(total, PIXELS, values, at, 1, values, d_at)
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
