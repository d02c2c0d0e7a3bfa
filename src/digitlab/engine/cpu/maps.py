"""Maps: a network slid over a page, one page at a time.

In plain words, the same convolution as in ``convolution.py``::

    z[y, x, f] = bias[f] + sum over ky, kx, c of  x[y + ky, x + kx, c] * kernel[ky, kx, c, f]

but one vector holds ``LANES`` filters f of one page, not one value of ``LANES`` images (``map_rows.py``). Convolutions
of 3 x 3 take fewer multiplications on the way of ``winograd.py``. Threads share the rows of every map.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import entry_point, kernel
from digitlab.engine.cpu.map_rows import LINEAR, RELU, convolve_and_pool_row, convolve_row
from digitlab.engine.cpu.team import claim, finish, is_dismissed, is_finished, open_phase, rest, task_of
from digitlab.engine.cpu.tiles import LANES, load, store
from digitlab.engine.cpu.winograd import WINDOWS, convolve_lifted

# Tasks of one map's rows: so many that a thread that is late holds up the others for little.
_TASKS = 16


@kernel
def n_tasks_of(op, n_rows):
    """How many tasks so many new rows of an operation are."""
    if op.lifted >= 0:
        n_rows = n_rows_of_windows(n_rows, op.pool) * ((op.width + 1) // 2) // WINDOWS + (n_rows > 0)
    return min(_TASKS, n_rows)


@kernel
def n_rows_of_windows(n_rows, pool):
    """How many rows of windows of 2 x 2 sums make so many rows of what is written."""
    return n_rows if pool else (n_rows + 1) // 2


@kernel
def compute_rows(op, packed, lifted, values, winners, scratch, first, end, x_base, y_base, task, n_tasks):
    """Write one task's share of the rows from ``first`` to before ``end`` of what one operation answers.

    ``x_base`` and ``y_base`` are the rows that stand first in the memory of what is read and written. Without a pooling
    ``first`` is even, so that the windows of 2 x 2 are the same however a page is cut.
    """
    rows, run, mode = op.kernel_height, op.kernel_width * op.channels, RELU if op.relu else LINEAR
    if op.lifted >= 0:
        own, height = (2 * first, 2 * (end - first)) if op.pool else (first, end - first)
        at, to = op.x + (own - op.top - x_base) * op.x_row, op.y + (first - y_base) * op.y_row
        winner = op.winners + first * op.out_width * op.filters if op.winners >= 0 else -1
        n = n_rows_of_windows(end - first, op.pool) * ((op.width + 1) // 2)
        convolve_lifted(
            values, at, op.x_row, op.channels, height, op.width, n * task // n_tasks, n * (task + 1) // n_tasks,
            op.filters, lifted, op.lifted, packed, op.bias, mode, to, op.y_row, op.filters, 0, 0, op.pool, winners,
            winner, scratch,
        )  # fmt: skip
        return
    n = end - first
    for y in range(first + n * task // n_tasks, first + n * (task + 1) // n_tasks):
        own = 2 * y if op.pool else y
        at, to = op.x + (own - op.top - x_base) * op.x_row, op.y + (y - y_base) * op.y_row
        if op.pool:
            winner = op.winners + y * op.out_width * op.filters if op.winners >= 0 else -1
            convolve_and_pool_row(
                values, at, op.x_row, rows, run, op.channels, op.out_width, op.filters, packed, op.weights, op.bias,
                mode, to, winners, winner,
            )  # fmt: skip
        else:
            convolve_row(
                values, at, op.x_row, rows, run, op.channels, op.width, op.filters, packed, op.weights, op.bias, mode,
                to, op.filters, 0,
            )  # fmt: skip


@kernel
def _copy(source, at, values, to, n):
    """Copy ``n`` numbers; where both are the same array, downwards."""
    i = 0
    while i + 4 * LANES <= n:
        store(load(4, 1, source, at + i), values, to + i)
        i += 4 * LANES
    while i < n:
        values[to + i] = source[at + i]
        i += 1


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
            _copy(floats[y], 0, values, to, n)


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
                _copy(values, op.x + shift, values, op.x, (n_there - base) * row)
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
def answer_page(worker, board, ops, bases, ends, bytes_, floats, packed, lifted, values, winners, scratch, out):
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
    packed, lifted : ndarray
        float32, the weights.
    values : ndarray
        float32, the plan's memory.
    scratch : ndarray
        float32, this thread's own.
    winners : ndarray
        uint8, not used: pages that are only answered remember none.
    out : ndarray
        float32 (height, width, maps), written.
    """
    n_rounds, phase, n_ops = 0, 0, len(ops)
    if worker == 0:
        _clear_borders(ops, values)
        _begin_stripe(ops, bases, ends, phase, bytes_, floats, values)
        open_phase(board, n_tasks_of(ops[0], ends[0, 1]))
    while True:
        ticket = claim(board)
        if ticket >= 0:
            n_rounds = 0
            stripe, index = divmod((ticket >> 32) - 1, n_ops)
            task, n_tasks = task_of(ticket), (ticket >> 16) & 0x7FFF
            begin = ends[stripe - 1, index + 1] if stripe else 0
            compute_rows(
                ops[index], packed, lifted, values, winners, scratch, begin, ends[stripe, index + 1],
                bases[stripe, index], bases[stripe, index + 1], task, n_tasks,
            )  # fmt: skip
            finish(board)
        elif worker == 0 and is_finished(board):
            phase += 1
            if phase % n_ops == 0:
                stripe = phase // n_ops - 1
                begin = ends[stripe - 1, n_ops] if stripe else 0
                _give_rows(ops[n_ops - 1], values, begin, ends[stripe, n_ops], bases[stripe, n_ops], out)
            if phase == n_ops * len(ends):
                return
            stripe, index = divmod(phase, n_ops)
            if index == 0:
                _begin_stripe(ops, bases, ends, stripe, bytes_, floats, values)
            begin = ends[stripe - 1, index + 1] if stripe else 0
            open_phase(board, n_tasks_of(ops[index], ends[stripe, index + 1] - begin))
            n_rounds = 0
        else:
            n_rounds += 1
            if worker > 0 and is_dismissed(board):
                return
            rest(n_rounds)
