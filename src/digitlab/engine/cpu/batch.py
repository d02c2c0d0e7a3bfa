"""One batch: blocks of images through the whole network and back, then one step of the optimizer.

A batch is cut into blocks of ``LANES`` images. A block goes through all operations forward and backward before the next
begins, so that its values stay in the core's own cache. Blocks are dealt to a fixed number of *slots*, each with a sum
of gradients of its own; the slots are added up in their order. Which thread works on which slot changes nothing, so
results are bit-identical for any number of threads.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu import activation, convolution, dense, dropout, pooling
from digitlab.engine.cpu.blocks import gather
from digitlab.engine.cpu.compiled import entry_point, kernel
from digitlab.engine.cpu.convolution import kernel_gradient
from digitlab.engine.cpu.program import AVERAGE, CONV, CONV_POOL, DENSE, DROPOUT, POOL
from digitlab.engine.cpu.softmax import loss_and_gradient, probabilities
from digitlab.engine.cpu.team import claim, finish, is_dismissed, is_finished, open_phase, phase_of, rest, task_of
from digitlab.engine.cpu.tiles import LANES, address
from digitlab.engine.cpu.update import update_part


@kernel
def _forward(ops, params, memory, winners, places, training, salt, first_image, rare):
    for index in range(len(ops)):
        op = ops[index]
        if op.kind == CONV_POOL:
            convolution.convolve_and_pool(op, params, memory, winners, places, index == 0)
        elif op.kind == CONV or op.kind == DENSE:
            convolution.convolve(op, params, memory)
        elif op.kind == POOL:
            pooling.pool(op, memory, winners)
        elif op.kind == DROPOUT and training:
            dropout.drop(op, memory, salt, first_image, places)
        elif op.kind == DROPOUT:
            dropout.copy(op, memory)
        elif rare is not None:
            if op.kind == AVERAGE:
                pooling.average(op, memory)
            else:
                activation.apply(op, memory)


@kernel
def _stop_at_zero(op, memory):
    """Stop a dense layer's gradient where its ReLU gave zero."""
    if op.relu:
        for i in range(op.filters * LANES):
            if memory[op.y + i] <= np.float32(0.0):
                memory[op.dy + i] = 0.0


@kernel
def _backward(ops, flipped, memory, winners, places, d_lanes, tape, block_start, salt, first_image, rare):
    for index in range(len(ops) - 1, -1, -1):
        op = ops[index]
        if op.kind == CONV_POOL or op.kind == CONV:
            if op.kind == CONV_POOL:
                convolution.spread_gradient(op, memory, winners, d_lanes)
            else:
                convolution.relu_gradient(op, memory, d_lanes)
            kernel_gradient(op, memory, d_lanes, places, index == 0)
            if op.dx >= 0:
                convolution.input_gradient(op, flipped, memory)
        elif op.kind == DENSE:
            _stop_at_zero(op, memory)
            dense.record(op, memory, tape, block_start)
            if op.dx >= 0:
                convolution.input_gradient(op, flipped, memory)
        elif op.dx < 0:
            continue
        elif op.kind == POOL:
            pooling.pool_gradient(op, memory, winners)
        elif op.kind == DROPOUT:
            dropout.drop_gradient(op, memory, salt, first_image, places)
        elif rare is not None:
            if op.kind == AVERAGE:
                pooling.average_gradient(op, memory)
            else:
                activation.gradient(op, memory)


@kernel
def _take_slot(
    ops, layout, bytes_, floats, is_bytes, order, n_images, labels, slot, n_slots, training, params, flipped,
    memory, winners, places, d_lanes, tape, losses, corrects, salt, smoothing, out, rare,
):  # fmt: skip
    """Take every ``n_slots``-th block, from block ``slot`` on, forward and, if training, backward."""
    if training:
        for i in range(layout.lane_gradients):
            d_lanes[i] = 0.0
    scale = np.float32(1.0 / n_images)
    for block in range(slot, -(-n_images // LANES), n_slots):
        first = block * LANES
        n = min(LANES, n_images - first)
        gather(bytes_, floats, is_bytes, order, first, n, layout, places, memory)
        _forward(ops, params, memory, winners, places, training, salt, first, rare)
        if training:
            losses[block], corrects[block] = loss_and_gradient(
                memory, layout.logits, layout.d_logits, layout.n_classes, labels, first, n, scale, smoothing
            )
            _backward(ops, flipped, memory, winners, places, d_lanes, tape, block * layout.tape, salt, first, rare)
        else:
            probabilities(memory, layout.logits, layout.n_classes, out, first, n)


@entry_point
def take_part(
    worker, patience, board, ops, layout, bytes_, floats, order, labels, counts, rates, params, older, flipped,
    memory, scratch, winners, places, d_lanes, tape, losses, corrects, gradients, m, v, faults, out, rare,
):  # fmt: skip
    """Work on one batch as thread 0, or on whatever comes as one of the others until nothing does for a while.

    A batch that is learned has two phases (``team.py``): the slots, then the parts of the parameters. One that is
    only answered has the first; whatever learning needs may then be empty.

    Parameters
    ----------
    worker : int
        Which thread this is. Number 0 opens the phases and returns when the batch is done.
    patience : int
        How often one of the others looks for work in vain before it returns.
    board : ndarray
        Where the tasks are claimed.
    ops, layout
        The program.
    bytes_, floats : ndarray
        All images, uint8 (n, values) or float32 (n, values); the other one is empty.
    order, labels : ndarray
        int64: which images make the batch, and their labels.
    counts : ndarray
        int64 (6,): images of the batch, slots, parts (0 to answer only), salt, the optimizer's rule, and which row of
        ``older`` to write.
    rates : ndarray
        float32 (6,): the optimizer's rate and settings, and label smoothing.
    params, older, flipped, gradients, m, v : ndarray
        float32: the parameters; (2, n), those of before; the exchanged copies; the gradients; the moments.
    memory, scratch, winners, places
        This thread's own memory.
    d_lanes, tape : ndarray
        float32: what the slots leave behind.
    losses, corrects : ndarray
        float64 and int64 (n_blocks,), written: loss and right answers of every block.
    faults : ndarray
        int64 (n_parts,), written: how many numbers of every part are not finite any more.
    out : ndarray
        float32 (n_images, n_classes), written: the probabilities, if the batch is only answered.
    rare : True or None
        Whether the program has operations of the rarer kinds. Without, the code for them is not even compiled.
    """
    # Addresses from here on: how large everything is, the program says.
    board, order, labels = address(board, 0), address(order, 0), address(labels, 0)
    counts, rates = address(counts, 0), address(rates, 0)
    n_rounds = 0
    if worker == 0:
        open_phase(board, counts[1])
    while True:
        ticket = claim(board)
        if ticket >= 0:
            n_rounds = 0
            task = task_of(ticket)
            n_slots, n_blocks = counts[1], -(-counts[0] // LANES)
            if (ticket >> 32) % 2 == 1:
                _take_slot(
                    ops, layout, address(bytes_, 0), address(floats, 0), len(bytes_) > 0, order, counts[0], labels,
                    task, n_slots, counts[2] > 0, address(params, 0), address(flipped, 0), address(memory, 0),
                    address(winners, 0), address(places, 0), address(d_lanes, task * layout.lane_gradients),
                    address(tape, 0), address(losses, 0), address(corrects, 0), counts[3], rates[5], address(out, 0),
                    rare,
                )  # fmt: skip
            else:
                before = address(older, counts[5] * older.shape[1])
                faults[task] = update_part(
                    ops, layout, task, counts[2], n_slots, n_blocks, address(d_lanes, 0), address(tape, 0),
                    address(scratch, 0), address(params, 0), before, address(flipped, 0), address(gradients, 0),
                    address(m, 0), address(v, 0), counts[4], rates,
                )  # fmt: skip
            finish(board)
        elif worker == 0 and is_finished(board):
            if phase_of(board) % 2 == 0 or counts[2] == 0:
                return
            open_phase(board, counts[2])
            n_rounds = 0
        else:
            n_rounds += 1
            if worker > 0 and (n_rounds > patience or is_dismissed(board)):
                return
            rest(n_rounds)
