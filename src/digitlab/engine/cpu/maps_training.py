"""One batch of crops: each through the whole network and back, then one step of the optimizer.

Crops are dealt to a fixed number of *slots*, each with a sum of gradients of its own, and the slots are added up in
their order, as in ``batch.py``: results are bit-identical for any number of threads. A batch has three phases: the
slots; adding them up, and the squares of the gradients for their norm; the step.

Backward, from the last convolution to the first, a map's gradient arrives with zeros where its ReLU gave zeros: whoever
writes it sees to that. Then, in plain words::

    d_bias[f]              += sum over y, x of  dz[y, x, f]
    d_kernel[ky, kx, c, f] += sum over y, x of  x[y + ky, x + kx, c] * dz[y, x, f]
    dx[y, x, c]             = sum over ky, kx, f of  dz[y - ky, x - kx, f] * kernel[ky, kx, c, f]

The last is a convolution of dz, with a border of zeros and the kernel turned round, its channels and filters exchanged.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.compiled import entry_point, kernel
from digitlab.engine.cpu.finder_loss import count_marks, finder_loss
from digitlab.engine.cpu.map_rows import LINEAR, MASKED, add_gradient, convolve_row, spread
from digitlab.engine.cpu.maps import compute_rows, load_rows
from digitlab.engine.cpu.team import claim, finish, is_dismissed, is_finished, open_phase, rest, task_of
from digitlab.engine.cpu.tiles import LANES, added, load, store
from digitlab.engine.cpu.update import optimize
from digitlab.engine.cpu.winograd import add_lifted_gradient, convolve_lifted, lift_weights, lower_gradients

# Pixels that a tile of the kernel's gradient sums up before the next has its turn: they stay in the nearest cache.
_PIXELS = 96


@kernel
def _bias_gradient(op, values, sums):
    for f in range(0, op.filters, LANES):
        total = load(1, 1, sums, op.bias + f)
        for y in range(op.height):
            at = op.dz + (y + op.dz_top) * op.dz_row + op.dz_left * op.filters + f
            for _ in range(op.width):
                total = added(total, load(1, 1, values, at))
                at += op.filters
        store(total, sums, op.bias + f)


@kernel
def _kernel_gradient(op, values, sums, lifted_sums, scratch, spare):
    dz = op.dz + op.dz_top * op.dz_row + op.dz_left * op.filters
    if op.lifted >= 0:
        add_lifted_gradient(
            values, op.x, op.x_row, op.channels, dz, op.dz_row, op.height, op.width, op.filters, lifted_sums, op.lifted,
            scratch, spare,
        )  # fmt: skip
        return
    n = max(1, _PIXELS // op.width)
    for first in range(0, op.height, n):
        for ky in range(op.kernel_height):
            add_gradient(
                values, op.x + (first + ky) * op.x_row, op.x_row, op.channels, op.kernel_width * op.channels,
                dz + first * op.dz_row, op.dz_row, op.filters, min(n, op.height - first), op.width, sums, op.weights,
                op.kernel_height, ky, spare,
            )  # fmt: skip


@kernel
def _spread_windows(op, values, winners):
    """Give the gradient of every window to the pixel that was the largest."""
    for y in range(op.out_height):
        for x in range(op.out_width):
            at, winner = op.dy + y * op.dy_row + x * op.filters, op.winners + (y * op.out_width + x) * op.filters
            to = op.dz + (op.dz_top + 2 * y) * op.dz_row + (op.dz_left + 2 * x) * op.filters
            for f in range(0, op.filters, LANES):
                spread(values, at + f, winners, winner + f, to + f, op.filters, op.dz_row)


@kernel
def _input_gradient(op, flipped, lifted, values, winners, scratch):
    """Write the gradient of what was read."""
    height, width = op.height - op.top - op.bottom + op.kernel_height - 1, op.width - op.left - op.right
    width += op.kernel_width - 1
    mode = MASKED if op.masked else LINEAR
    if op.lifted_back >= 0:
        n_windows = (height + 1) // 2 * ((width + 1) // 2)
        convolve_lifted(
            values, op.dz, op.dz_row, op.filters, height, width, 0, n_windows, op.channels, lifted, op.lifted_back,
            lifted, 0, mode, op.dx, op.dx_row, op.channels, op.x + op.top * op.x_row + op.left * op.channels, op.x_row,
            False, winners, -1, scratch,
        )  # fmt: skip
        return
    for y in range(height):
        mask = op.x + (y + op.top) * op.x_row + op.left * op.channels
        convolve_row(
            values, op.dz + y * op.dz_row, op.dz_row, op.kernel_height, op.kernel_width * op.filters, op.filters, width,
            op.channels, flipped, op.flipped, 0, mode, op.dx + y * op.dx_row, op.channels, mask,
        )  # fmt: skip


@kernel
def stop_at_zero(op, values):
    """Stop the gradient of the last maps where their ReLU gave zero."""
    if op.relu:
        for y in range(op.out_height):
            for i in range(op.out_width * op.filters):
                if values[op.y + y * op.y_row + i] <= np.float32(0.0):
                    values[op.dy + y * op.dy_row + i] = 0.0


@kernel
def take_back(ops, flipped, lifted, values, winners, sums, lifted_sums, scratch, spare):
    """Take the gradient of the last maps back through all operations, and add those of the weights.

    Those of kernels that are lifted are added to ``lifted_sums``, all others to ``sums``.
    """
    for index in range(len(ops) - 1, -1, -1):
        op = ops[index]
        if op.pool:
            _spread_windows(op, values, winners)
        _bias_gradient(op, values, sums)
        _kernel_gradient(op, values, sums, lifted_sums, scratch, spare)
        if op.dx >= 0:
            _input_gradient(op, flipped, lifted, values, winners, scratch)


@kernel
def lower_all(ops, lifted_sums, sums):
    """Add what ``lifted_sums`` stand for to ``sums``."""
    for index in range(len(ops)):
        op = ops[index]
        if op.lifted >= 0:
            lower_gradients(lifted_sums, op.lifted, op.channels, op.filters, sums, op.weights)


#: Parts of the parameters, whatever the number of threads: the squares of each are summed by themselves.
N_PARTS = 16


@kernel
def _take_slot(
    ops, images, boxes, labels, starts, chosen, slot, n_slots, training, packed, flipped, lifted, values, winners,
    room, scratch, spare, sums, lifted_sums, losses, rights, n_marks, smoothing, no_bytes,
):  # fmt: skip
    """Take every ``n_slots``-th crop, from crop ``slot`` on, forward and, if training, backward."""
    last = ops[len(ops) - 1]
    height, width = last.out_height, last.out_width
    n_all = count_marks(boxes, labels, starts, chosen, height, width)
    if slot == 0:
        n_marks[0] = n_all
    divisor = max(1, n_all)
    if training:
        sums[:] = 0.0
        lifted_sums[:] = 0.0
    for i in range(slot, len(chosen), n_slots):
        crop = chosen[i]
        load_rows(ops[0], no_bytes, images[crop], 0, images.shape[1], -ops[0].top, values)
        for index in range(len(ops)):
            op = ops[index]
            y_base = -ops[index + 1].top if index + 1 < len(ops) else 0
            compute_rows(op, packed, lifted, values, winners, scratch, 0, op.out_height, -op.top, y_base, 0, 1)
        rights[i] = finder_loss(
            values, last.y, last.y_row, last.dy, last.dy_row, last.filters, height, width, boxes, labels, starts[crop],
            starts[crop + 1], divisor, smoothing, room, losses[i],
        )  # fmt: skip
        if training:
            stop_at_zero(last, values)
            take_back(ops, flipped, lifted, values, winners, sums, lifted_sums, scratch, spare)
    if training:
        lower_all(ops, lifted_sums, sums)


@kernel
def lift_all(ops, packed, flipped, lifted):
    """Lift all kernels that are to be."""
    for index in range(len(ops)):
        op = ops[index]
        if op.lifted >= 0:
            lift_weights(packed, op.weights, op.channels, op.filters, lifted, op.lifted)
        if op.lifted_back >= 0:
            lift_weights(flipped, op.flipped, op.filters, op.channels, lifted, op.lifted_back)


@entry_point
def lift_now(ops, packed, flipped, lifted):
    """Lift all kernels, after weights were set."""
    lift_all(ops, packed, flipped, lifted)


@kernel
def _add_slots(places, sums, n_slots, gradients, begin, end):
    """Finish the gradients of some parameters; return the sum of their squares."""
    squares = 0.0
    for i in range(begin, end):
        total = np.float32(0.0)
        for slot in range(n_slots):
            total += sums[slot, places[i]]
        gradients[i] = total
        squares += np.float64(total) * total
    return squares


@kernel
def _step(places, flipped_places, factor, params, before, packed, flipped, gradients, m, v, begin, end, rule, rates):
    """Take the optimizer's step on some parameters; return how many are not finite any more."""
    for i in range(begin, end):
        gradients[i] *= factor
    n_bad = optimize(params, before, gradients, m, v, begin, end, rule, rates)
    for i in range(begin, end):
        packed[places[i]] = params[i]
        if flipped_places[i] >= 0:
            flipped[flipped_places[i]] = params[i]
    return n_bad


@entry_point
def take_part(
    worker, board, ops, images, boxes, labels, starts, chosen, counts, rates, clip_norm, places, flipped_places, params,
    older, packed, flipped, lifted, values, winners, room, scratch, spare, sums, lifted_sums, losses, rights, n_marks,
    gradients, squares, m, v, faults, no_bytes,
):  # fmt: skip
    """Work on one batch as thread 0, or help until it is done.

    Parameters
    ----------
    worker : int
        Which thread this is. Number 0 opens the phases and returns when the batch is done.
    board : ndarray
        Where the tasks are claimed; used for this batch only.
    ops : ndarray
        The plan's.
    images, boxes, labels, starts : ndarray
        The crops, float32 (n, height, width x channels), and their marks.
    chosen : ndarray
        int64: which crops make the batch.
    counts : ndarray
        int64 (4,): slots; whether to learn, not only to look; the optimizer's rule; which row of ``older`` to write.
    rates : ndarray
        float32 (6,): the optimizer's rate and settings, and label smoothing.
    clip_norm : float
        The gradients' norm is made no longer than this; 0 for any.
    places, flipped_places, params, older, packed, flipped, lifted, gradients, m, v : ndarray
        The network's; float32 (2, n) the parameters of before; the gradients and moments.
    values, winners, room, scratch, spare, lifted_sums : ndarray
        This thread's own memory.
    sums : ndarray
        float32 (slots, packed): the slots' gradients.
    losses, rights : ndarray
        float64 (len(chosen), 3) and int64 (len(chosen),), written: losses and marks called rightly of every crop.
    n_marks : ndarray
        int64 (1,), written: how many marks there are to learn.
    squares, faults : ndarray
        float64 and int64 (N_PARTS,), written: of every part the sum of squared gradients, and how many numbers are
        not finite any more.
    """
    n_rounds, n = 0, len(params)
    if worker == 0:
        open_phase(board, counts[0])
    phase = 1
    while True:
        ticket = claim(board)
        if ticket >= 0:
            n_rounds = 0
            task, own = task_of(ticket), ticket >> 32
            begin, end = n * task // N_PARTS, n * (task + 1) // N_PARTS
            if own == 1:
                _take_slot(
                    ops, images, boxes, labels, starts, chosen, task, counts[0], counts[1] > 0, packed, flipped, lifted,
                    values, winners, room, scratch, spare, sums[task], lifted_sums, losses, rights, n_marks, rates[5],
                    no_bytes,
                )  # fmt: skip
            elif own == 2:
                squares[task] = _add_slots(places, sums, counts[0], gradients, begin, end)
            else:
                norm = 0.0
                for part in range(N_PARTS):
                    norm += squares[part]
                norm = math.sqrt(norm)
                factor = np.float32(clip_norm / norm) if 0.0 < clip_norm < norm else np.float32(1.0)
                faults[task] = _step(
                    places, flipped_places, factor, params, older[counts[3]], packed, flipped, gradients, m, v, begin,
                    end, counts[2], rates,
                )  # fmt: skip
            finish(board)
        elif worker == 0 and is_finished(board):
            if phase == 3:
                lift_all(ops, packed, flipped, lifted)
            if phase == 3 or counts[1] == 0:
                return
            phase += 1
            open_phase(board, N_PARTS)
            n_rounds = 0
        else:
            n_rounds += 1
            if worker > 0 and is_dismissed(board):
                return
            rest(n_rounds)
