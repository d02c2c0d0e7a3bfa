"""Maps: a network slid over a page, one page at a time.

In plain words, the same convolution as in ``convolution.py``::

    z[y, x, f] = bias[f] + sum over ky, kx, c of  x[y + ky, x + kx, c] * kernel[ky, kx, c, f]

but one vector holds ``LANES`` filters f of one page, not one value of ``LANES`` images. A tile holds the sums of
neighbouring pixels for one or two vectors of filters; where 2 x 2 max-pooling follows, it holds the pixels of whole
windows, and only the largest of each is written. Threads share the rows of every map.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.claiming import claim, finish, is_dismissed, is_finished, open_phase, rest, task_of
from digitlab.engine.cpu.compiled import entry_point, kernel
from digitlab.engine.cpu.lanes import LANES, REGISTERS, load, rectified, repeated
from digitlab.engine.cpu.pixels import add_outer, kept_above_zero, largest_of_windows, store_pixels, store_winners

__all__ = ["LINEAR", "MASKED", "RELU", "answer_page", "compute_rows", "convolve_row", "load_rows"]

#: What becomes of sums before they are written: nothing; ReLU; zeros where a ReLU gave zeros.
LINEAR, RELU, MASKED = range(3)

#: Pixels of a tile with two vectors of filters: their sums take half of the registers.
PIXELS = REGISTERS // 4
# Tasks of one map's rows: so many that a thread that is late holds up the others for little.
_TASKS = 16


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
def _convolve_and_pool_row(
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


@kernel
def compute_rows(op, packed, values, winners, first, end, x_base, y_base):
    """Write the rows from ``first`` to before ``end`` of what one operation answers.

    ``x_base`` and ``y_base`` are the rows that stand first in the memory of what is read and written.
    """
    rows, run, mode = op.kernel_height, op.kernel_width * op.channels, RELU if op.relu else LINEAR
    for y in range(first, end):
        own = 2 * y if op.pool else y
        at, to = op.x + (own - op.top - x_base) * op.x_row, op.y + (y - y_base) * op.y_row
        if op.pool:
            winner = op.winners + y * op.out_width * op.filters if op.winners >= 0 else -1
            _convolve_and_pool_row(
                values, at, op.x_row, rows, run, op.channels, op.out_width, op.filters, packed, op.weights, op.bias,
                mode, to, winners, winner,
            )  # fmt: skip
        else:
            convolve_row(
                values, at, op.x_row, rows, run, op.channels, op.width, op.filters, packed, op.weights, op.bias, mode,
                to, op.filters, 0,
            )  # fmt: skip


@kernel
def load_rows(op, bytes_, floats, first, end, base, values):
    """Copy rows of a page to where the first operation reads them; bytes are divided by 255."""
    is_bytes, n = len(bytes_) > 0, op.x_row - (op.left + op.right) * op.channels
    for y in range(first, end):
        to = op.x + (y - base) * op.x_row + op.left * op.channels
        if is_bytes:
            for i in range(n):
                values[to + i] = np.float32(bytes_[y, i]) / np.float32(255.0)
        else:
            for i in range(n):
                values[to + i] = floats[y, i]


@kernel
def _clear_borders(ops, values):
    """Write the zeros left and right of every map; what a page of another size has left behind stood there."""
    for index in range(len(ops)):
        op = ops[index]
        for row in range(op.x_rows):
            at = op.x + row * op.x_row
            values[at : at + op.left * op.channels] = 0.0
            values[at + op.x_row - op.right * op.channels : at + op.x_row] = 0.0


@kernel
def _begin_stripe(ops, bases, ends, stripe, bytes_, floats, values):
    """Keep the rows of the last stripe that are needed again, and add new ones of the page, and borders."""
    for index in range(len(ops)):
        op = ops[index]
        base, row = bases[stripe, index], op.x_row
        height = op.height - op.top - op.bottom + op.kernel_height - 1
        if stripe == 0:
            values[op.x : op.x - base * row] = 0.0
        else:
            before, n_there = bases[stripe - 1, index], ends[stripe - 1, index]
            shift = (base - before) * row
            if shift > 0:
                for i in range(op.x, op.x + (n_there - base) * row):
                    values[i] = values[i + shift]
        if ends[stripe, index] == height and (stripe == 0 or ends[stripe - 1, index] < height):
            at = op.x + (height - base) * row
            values[at : at + op.bottom * row] = 0.0
    first = ends[stripe - 1, 0] if stripe else 0
    load_rows(ops[0], bytes_, floats, first, ends[stripe, 0], bases[stripe, 0], values)


@kernel
def _give_rows(op, values, first, end, base, out):
    """Copy rows of the last maps to the answer, without the filters that only fill up the vectors."""
    for y in range(first, end):
        at = op.y + (y - base) * op.y_row
        for x in range(op.out_width):
            for k in range(out.shape[2]):
                out[y, x, k] = values[at + k]
            at += op.filters


@entry_point
def answer_page(worker, board, ops, bases, ends, bytes_, floats, packed, values, winners, out):
    """Answer one page as thread 0, or help until it is done.

    Parameters
    ----------
    worker : int
        Which thread this is. Number 0 opens the phases, one for each stripe and operation, and returns at the end.
    board : ndarray
        Where the tasks are claimed; used for this page only.
    ops, bases, ends
        The plan.
    bytes_, floats : ndarray
        The page, uint8 or float32 (height, width x channels); the other one is empty.
    packed : ndarray
        float32, the weights.
    values : ndarray
        float32, the plan's memory.
    winners : ndarray
        uint8, not used: pages that are only answered remember none.
    out : ndarray
        float32 (height, width, maps), written.
    """
    n_rounds, phase, n_ops = 0, 0, len(ops)
    if worker == 0:
        _clear_borders(ops, values)
        _begin_stripe(ops, bases, ends, 0, bytes_, floats, values)
        open_phase(board, min(_TASKS, ends[0, 1]))
    while True:
        ticket = claim(board)
        if ticket >= 0:
            n_rounds = 0
            stripe, index = divmod((ticket >> 32) - 1, n_ops)
            task, n_tasks = task_of(ticket), (ticket >> 16) & 0x7FFF
            begin = ends[stripe - 1, index + 1] if stripe else 0
            n = ends[stripe, index + 1] - begin
            first, end = begin + n * task // n_tasks, begin + n * (task + 1) // n_tasks
            op, base = ops[index], bases[stripe, index + 1]
            compute_rows(op, packed, values, winners, first, end, bases[stripe, index], base)
            if index == n_ops - 1:
                _give_rows(op, values, first, end, base, out)
            finish(board)
        elif worker == 0 and is_finished(board):
            phase += 1
            if phase == n_ops * len(ends):
                return
            stripe, index = divmod(phase, n_ops)
            if index == 0:
                _begin_stripe(ops, bases, ends, stripe, bytes_, floats, values)
            begin = ends[stripe - 1, index + 1] if stripe else 0
            open_phase(board, min(_TASKS, ends[stripe, index + 1] - begin))
            n_rounds = 0
        else:
            n_rounds += 1
            if worker > 0 and is_dismissed(board):
                return
            rest(n_rounds)
