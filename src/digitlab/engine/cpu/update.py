"""Update: from the sums that the slots left behind to the next weights.

The gradients are finished in parts of the parameters, so that threads can share them: every number is computed by one
thread in one order, and is the same however many parts there are.

The optimizers are Keras'. Adam (Kingma and Ba 2015), in plain words, for the gradient g of one parameter at step t::

    m += (1 - beta_1) * (g - m)                     the mean of past gradients
    v += (1 - beta_2) * (g * g - v)                 the mean of their squares
    parameter -= rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)

AdamW (Loshchilov and Hutter 2019) first shrinks the parameter by ``rate * weight_decay`` of itself.
SGD with momentum: ``m = momentum * m - rate * g; parameter += m``, and with Nesterov's look-ahead
``parameter += momentum * m - rate * g``.
"""

from __future__ import annotations

import math

from digitlab.engine.cpu import dense
from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.convolution import phase_of_taps
from digitlab.engine.cpu.program import DENSE
from digitlab.engine.cpu.tiles import LANES, added, lane_sums, load, store
from digitlab.engine.optimizers import ADAM_RULE


@kernel
def optimize(params, before, gradients, m, v, begin, end, rule, rates):
    """Take one step on ``params[begin:end]``, and write what they were to ``before``.

    ``rates`` (float32) are the rate and the settings of ``digitlab.engine.optimizers.OptimizerStep``. Returns how many
    of the new parameters and moments are not finite.
    """
    rate, a, b, epsilon, shrink = rates[0], rates[1], rates[2], rates[3], rates[4]
    n_bad = 0
    if rule == ADAM_RULE:
        for i in range(begin, end):
            before[i] = params[i]
            g = gradients[i]
            m[i] += (g - m[i]) * a
            v[i] += (g * g - v[i]) * b
            params[i] -= params[i] * shrink
            params[i] -= m[i] * rate / (math.sqrt(v[i]) + epsilon)
    else:
        for i in range(begin, end):
            before[i] = params[i]
            m[i] = m[i] * a - gradients[i] * rate
            params[i] -= params[i] * shrink
            params[i] += m[i] * a - gradients[i] * rate if b > 0.0 else m[i]
    for i in range(begin, end):
        # A finite number less itself is zero; infinite or NaN it is NaN, which is not zero.
        n_bad += (params[i] - params[i]) + (m[i] - m[i]) + (v[i] - v[i]) != 0.0
    return n_bad


@kernel
def _convolution_gradients(op, d_lanes, size, n_slots, begin, end, scratch, gradients):
    """Add up slots, ``size`` numbers apart, then lanes, for the numbers ``begin`` to ``end`` of kernel and biases."""
    for j in range(begin, end, LANES):
        at = op.d_weights + j * LANES
        sums = load(LANES, 1, d_lanes, at)
        for slot in range(1, n_slots):
            sums = added(sums, load(LANES, 1, d_lanes, slot * size + at))
        store(lane_sums(sums), scratch, 0)
        for k in range(min(LANES, end - j)):
            gradients[op.weights + j + k] = scratch[k]


@kernel
def _flip(op, params, flipped, begin, end):
    """Copy the kernel's rows (one tap and channel each) to where the input gradient wants them."""
    channels, filters, width, stride = op.channels, op.filters, op.kernel_width, op.stride_width
    reversed_tap = 0
    for row in range(begin, end):
        tap, c = row // channels, row % channels
        if c == 0 or row == begin:
            first, n = phase_of_taps(width, stride, tap % width % stride)
            reversed_tap = tap - tap % width + first + n - 1 - tap % width // stride
        to = op.flipped + reversed_tap * filters * channels + c
        at = op.weights + row * filters
        for f in range(filters):
            flipped[to + f * channels] = params[at + f]


@kernel
def update_part(
    ops, layout, part, n_parts, n_slots, n_blocks, d_lanes, tape, scratch,
    params, before, flipped, gradients, m, v, rule, rates,
):  # fmt: skip
    """Finish the gradients of one part of the parameters, take the optimizer's step on it, and keep what it was before.

    Returns how many of the new parameters and moments are not finite.
    """
    n_bad, size = 0, layout.lane_gradients
    for index in range(len(ops)):
        op = ops[index]
        if op.weights < 0:
            continue
        rows = op.n_weights // op.filters
        begin, end = rows * part // n_parts, rows * (part + 1) // n_parts
        if op.kind == DENSE:
            dense.kernel_gradient_rows(op, tape, layout.tape, n_blocks, begin, end, scratch, gradients)
            if part == 0 and op.bias >= 0:
                dense.bias_gradient(op, tape, layout.tape, n_blocks, gradients)
        else:
            _convolution_gradients(op, d_lanes, size, n_slots, begin * op.filters, end * op.filters, scratch, gradients)
            if part == 0 and op.bias >= 0:
                _convolution_gradients(
                    op, d_lanes, size, n_slots, op.n_weights, op.n_weights + op.filters, scratch, gradients
                )
        first, last = op.weights + begin * op.filters, op.weights + end * op.filters
        n_bad += optimize(params, before, gradients, m, v, first, last, rule, rates)
        if part == 0 and op.bias >= 0:
            n_bad += optimize(params, before, gradients, m, v, op.bias, op.bias + op.filters, rule, rates)
        if op.flipped >= 0:
            _flip(op, params, flipped, begin, end)
    return n_bad
