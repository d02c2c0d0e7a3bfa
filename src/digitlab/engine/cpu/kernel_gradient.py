"""The gradient of a convolution's kernel: how every tap would change the loss.

In plain words::

    d_kernel[ky, kx, c, f] = sum over all pixels (y, x) and images of  x[y + ky, x + kx, c] * dz[y, x, f]

which is as much arithmetic as the convolution itself. A tile holds such sums for up to 6 neighbouring taps and 4
filters while the loop goes over the pixels. They stay lane-wise (one sum an image) and are added up over the lanes once
for a batch (``updating.py``).
"""

from __future__ import annotations

from typing import Any

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.gathering import ink_seen_by
from digitlab.engine.cpu.lanes import LANES, REGISTERS, add_products, add_rows, zeros

__all__ = ["kernel_gradient"]


def _tap_gradients(taps: int, n: int) -> Any:
    """Make the kernel that sums the gradients of ``taps`` neighbouring taps and ``n`` filters over all pixels."""
    size = taps * n

    @kernel
    def tap_gradients(memory, x_first, x_row, x_step, dz, d_row, filters, height, width, d_lanes, to):
        sums = zeros(size)
        for y in range(height):
            x, d = x_first + y * x_row, dz + y * d_row
            for _ in range(width):
                sums = add_products(sums, taps, memory, x, memory, d)
                x += x_step
                d += filters * LANES
        add_rows(sums, taps, d_lanes, to, filters * LANES)

    return tap_gradients


_taps_6_4, _taps_5_4, _taps_3_4 = _tap_gradients(6, 4), _tap_gradients(5, 4), _tap_gradients(3, 4)
_taps_1_4, _taps_1_1 = _tap_gradients(1, 4), _tap_gradients(1, 1)


@kernel
def kernel_gradient(op, memory, d_lanes, places, is_first):
    """Add the gradient of the kernel, lane by lane."""
    filters = op.filters
    run, x_step = op.kernel_width * op.channels, op.channels * LANES
    # As many taps at once as leave few over, and as the registers hold sums for.
    if REGISTERS < 32 or run < 5:
        widest = 3
    elif run % 6 == 0 or (run % 5 != 0 and run % 3 == 0):
        widest = 6 if run % 6 == 0 else 3
    else:
        widest = 5
    top, bottom, left, right = ink_seen_by(op, places, is_first)
    # Only pixels count whose row of taps meets ink.
    first_x = max(0, left - op.kernel_width + 1)
    width = min(op.width, right) - first_x
    d_row = op.width * filters * LANES
    for ky in range(op.kernel_height):
        first_y = max(0, top - ky)
        height = min(op.height, bottom - ky) - first_y
        x_first = op.x + (first_y + ky) * op.x_row + first_x * x_step
        dz_first = op.dz + first_y * d_row + first_x * filters * LANES
        tap = 0
        while tap < run:
            taps = widest if tap + widest <= run else 1
            f = 0
            while f < filters:
                n = 4 if f + 4 <= filters else 1
                x, dz = x_first + tap * LANES, dz_first + f * LANES
                to = op.d_weights + ((ky * run + tap) * filters + f) * LANES
                if n == 4:
                    if taps == 6:
                        _taps_6_4(memory, x, op.x_row, x_step, dz, d_row, filters, height, width, d_lanes, to)
                    elif taps == 5:
                        _taps_5_4(memory, x, op.x_row, x_step, dz, d_row, filters, height, width, d_lanes, to)
                    elif taps == 3:
                        _taps_3_4(memory, x, op.x_row, x_step, dz, d_row, filters, height, width, d_lanes, to)
                    else:
                        _taps_1_4(memory, x, op.x_row, x_step, dz, d_row, filters, height, width, d_lanes, to)
                else:
                    for t in range(taps):
                        d_to = to + t * filters * LANES
                        _taps_1_1(
                            memory, x + t * LANES, op.x_row, x_step, dz, d_row, filters, height, width, d_lanes, d_to
                        )
                f += n
            tap += taps
