"""One batch: blocks of images through the whole network and back, then one step of the optimizer.

A batch is cut into blocks of ``LANES`` images. A block goes through all operations forward and backward before the next
begins, so that its values stay in the core's own cache. Blocks are dealt to a fixed number of *slots*, each with a sum
of gradients of its own; the slots are added up in their order. Which thread works on which slot changes nothing, so
results are bit-identical for any number of threads.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu import convolution, dense, dropout, pooling
from digitlab.engine.cpu.compiled import entry_point, inlined, kernel
from digitlab.engine.cpu.gathering import gather
from digitlab.engine.cpu.lanes import LANES, added, lane_sums, load, store
from digitlab.engine.cpu.operations import CONV, CONV_POOL, DENSE, POOL
from digitlab.engine.cpu.optimizing import optimize
from digitlab.engine.cpu.softmax import loss_and_gradient, probabilities

__all__ = ["learn", "predict_blocks", "train_slot"]


@inlined
def _forward(ops, params, memory, window, winners, training, salt, first_image):
    for index in range(len(ops)):
        op = ops[index]
        if op.kind == CONV_POOL:
            convolution.convolve_and_pool(op, params, memory, window, winners)
        elif op.kind == CONV or op.kind == DENSE:
            convolution.convolve(op, params, memory)
        elif op.kind == POOL:
            pooling.pool(op, memory, winners)
        elif training:
            dropout.drop(op, memory, salt, first_image)
        else:
            dropout.copy(op, memory)


@kernel
def _stop_at_zero(op, memory):
    """Stop a dense layer's gradient where its ReLU gave zero."""
    if op.relu:
        for i in range(op.filters * LANES):
            if memory[op.y + i] <= np.float32(0.0):
                memory[op.dy + i] = 0.0


@inlined
def _backward(ops, flipped, memory, winners, d_lanes, tape, block_start, salt, first_image):
    for index in range(len(ops) - 1, -1, -1):
        op = ops[index]
        if op.kind == CONV_POOL or op.kind == CONV:
            if op.kind == CONV_POOL:
                convolution.spread_gradient(op, memory, winners, d_lanes)
            else:
                convolution.relu_gradient(op, memory, d_lanes)
            convolution.kernel_gradient(op, memory, d_lanes, 0, op.height)
            if op.dx >= 0:
                convolution.input_gradient(op, flipped, memory)
        elif op.kind == DENSE:
            _stop_at_zero(op, memory)
            dense.record(op, memory, tape, block_start)
            if op.dx >= 0:
                convolution.input_gradient(op, flipped, memory)
        elif op.kind == POOL:
            if op.dx >= 0:
                pooling.pool_gradient(op, memory, winners)
        elif op.dx >= 0:
            dropout.drop_gradient(op, memory, salt, first_image)


@entry_point
def train_slot(
    ops, layout, bytes_, floats, order, labels, slot, n_slots, params, flipped,
    memory, window, winners, positions, d_lanes, tape, losses, corrects, salt,
):  # fmt: skip
    """Take every ``n_slots``-th block of the batch, from block ``slot`` on, forward and backward."""
    n = len(order)
    d_slot = d_lanes[slot]
    d_slot[:] = 0.0
    scale = np.float32(1.0 / n)
    for block in range(slot, -(-n // LANES), n_slots):
        first = block * LANES
        n_images = min(LANES, n - first)
        gather(bytes_, floats, order, first, n_images, layout, positions, memory)
        _forward(ops, params, memory, window, winners, True, salt, first)
        losses[block], corrects[block] = loss_and_gradient(
            memory, layout.logits, layout.d_logits, layout.n_classes, labels, first, n_images, scale
        )
        _backward(ops, flipped, memory, winners, d_slot, tape, block * layout.tape, salt, first)


@kernel
def _convolution_gradients(op, d_lanes, n_slots, begin, end, scratch, gradients):
    """Add up slots, then lanes, for the kernel's numbers ``begin`` to ``end`` (the biases come after the kernel)."""
    size = d_lanes.shape[1]
    for j in range(begin, end, LANES):
        at = op.d_weights + j * LANES
        sums = load(LANES, d_lanes, at)
        for slot in range(1, n_slots):
            sums = added(sums, load(LANES, d_lanes, slot * size + at))
        store(lane_sums(sums), scratch, 0)
        for k in range(min(LANES, end - j)):
            gradients[op.weights + j + k] = scratch[k]


@kernel
def _flip(op, params, flipped, begin, end):
    """Copy the kernel's rows (one tap and channel each) to where the input gradient wants them."""
    channels, filters, width = op.channels, op.filters, op.kernel_width
    for row in range(begin, end):
        tap, c = row // channels, row % channels
        reversed_tap = tap - tap % width + width - 1 - tap % width
        to = op.flipped + reversed_tap * filters * channels + c
        at = op.weights + row * filters
        for f in range(filters):
            flipped[to + f * channels] = params[at + f]


@entry_point
def learn(
    ops, layout, part, n_parts, n_slots, n_blocks, d_lanes, tape, scratch,
    params, flipped, gradients, m, v, rule, rate, settings,
):  # fmt: skip
    """Finish the gradients of one part of the parameters and take the optimizer's step on it."""
    for index in range(len(ops)):
        op = ops[index]
        if op.weights < 0:
            continue
        rows = op.n_weights // op.filters
        begin, end = rows * part // n_parts, rows * (part + 1) // n_parts
        first, last = op.weights + begin * op.filters, op.weights + end * op.filters
        if op.kind == DENSE:
            dense.kernel_gradient_rows(op, tape, layout.tape, n_blocks, begin, end, scratch, gradients)
            if part == 0 and op.bias >= 0:
                dense.bias_gradient(op, tape, layout.tape, n_blocks, gradients)
        else:
            _convolution_gradients(op, d_lanes, n_slots, begin * op.filters, end * op.filters, scratch, gradients)
            if part == 0 and op.bias >= 0:
                _convolution_gradients(
                    op, d_lanes, n_slots, op.n_weights, op.n_weights + op.filters, scratch, gradients
                )
        optimize(params, gradients, m, v, first, last, rule, rate, settings)
        if part == 0 and op.bias >= 0:
            optimize(params, gradients, m, v, op.bias, op.bias + op.filters, rule, rate, settings)
        if op.flipped >= 0:
            _flip(op, params, flipped, begin, end)


@entry_point
def flip_kernels(ops, params, flipped):
    """Bring all exchanged copies up to date, after the parameters were set from outside."""
    for index in range(len(ops)):
        op = ops[index]
        if op.flipped >= 0:
            _flip(op, params, flipped, 0, op.n_weights // op.filters)


@entry_point
def predict_blocks(ops, layout, bytes_, floats, order, begin, end, params, memory, window, winners, positions, out):
    """Answer the images ``order[begin:end]``; their probabilities go to the same rows of ``out``."""
    for first in range(begin, end, LANES):
        n_images = min(LANES, end - first)
        gather(bytes_, floats, order, first, n_images, layout, positions, memory)
        _forward(ops, params, memory, window, winners, False, 0, first)
        probabilities(memory, layout.logits, layout.n_classes, out, first, n_images)
