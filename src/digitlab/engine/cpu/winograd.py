"""3 x 3 convolutions with 16 multiplications where there were 36 (Winograd 1980; Lavin and Gray 2016).

The sums of 2 x 2 neighbouring pixels read a window of 4 x 4. *Lifted*, which takes additions only, window and kernel
become 16 numbers each, a channel and a filter by itself, and for every filter f, in plain words::

    product[k, f] = sum over c of  window[k, c] * kernel[k, c, f]              for k = 0 to 15

What the 16 products stand for, *lowered* again by additions, are the four sums. So the multiplications are those of 16
convolutions of a single tap, on a quarter of the pixels. The gradient of the kernel has the same shape: the gradients
of the four pixels, lifted, times the window, summed up over all windows and lowered once at the end.

A lifted kernel is packed as 16 kernels of one tap, one after the other.
"""

from __future__ import annotations

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES, added, largest_of_pairs, load, rectified, repeated, store
from digitlab.engine.cpu.pixels import kept_above_zero
from digitlab.engine.cpu.rows import LINEAR, MASKED, PIXELS, RELU, add_gradient, convolve_row
from digitlab.engine.cpu.winograd_tiles import (
    add_lowered_kernel,
    lift_gradient,
    lift_kernel,
    lift_pixels,
    lowered_pixels,
    store_winner,
    vector_of,
)

__all__ = ["N_LIFTED", "WINDOWS", "add_lifted_gradient", "convolve_lifted", "lift_weights", "lower_gradients"]

#: Numbers of a lifted window or kernel.
N_LIFTED = 16
#: Windows that are lifted before they are multiplied: they stay in the core's cache.
WINDOWS = 32


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
                pixels = added(pixels, repeated(load(1, biases, bias + f), 4))
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
        pixel = kept_above_zero(pixel, 1, values, mask, 0)
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
