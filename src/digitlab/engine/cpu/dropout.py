"""Dropout: while training, set a random part of the values to zero and scale the rest up.

In plain words::

    y[i] = x[i] / (1 - rate)  with probability 1 - rate,  else 0

Whether a value is dropped is a hash of the step, the layer, the image's place in the batch and the value's place in
the layer, not the next number of a generator: so it is the same whichever thread computes it, and the gradient can
ask again instead of remembering.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES

__all__ = ["copy", "drop", "drop_gradient"]


@kernel
def _mixed(bits):
    """Mix 32 bits so that every input bit changes every output bit with probability one half.

    The multiply-xorshift finaliser "lowbias32" found by C. Wellons (2018).
    """
    bits = np.uint32(bits ^ (bits >> np.uint32(16)))
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits = np.uint32(bits ^ (bits >> np.uint32(15)))
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    return np.uint32(bits ^ (bits >> np.uint32(16)))


@kernel
def _kept(op, salt, first_image, element, lane):
    key = _mixed(np.uint32(salt + op.salt * 0x9E3779B9))
    key = _mixed(np.uint32(key ^ np.uint32(first_image + lane)))
    return _mixed(np.uint32(key ^ np.uint32(element))) >= np.uint32(op.drop_below)


@kernel
def drop(op, memory, salt, first_image):
    """Drop values of one block, whose first image is number ``first_image`` of the batch."""
    keep = np.float32(1.0 / (1.0 - op.drop_below / 4294967296.0))
    n = op.in_width * op.channels
    for y in range(op.in_height):
        for i in range(n):
            at, to = op.x + y * op.x_row + i * LANES, op.y + y * op.y_row + i * LANES
            for lane in range(LANES):
                kept = _kept(op, salt, first_image, y * n + i, lane)
                memory[to + lane] = memory[at + lane] * keep if kept else np.float32(0.0)


@kernel
def drop_gradient(op, memory, salt, first_image):
    """Let the gradient pass where the value was kept."""
    keep = np.float32(1.0 / (1.0 - op.drop_below / 4294967296.0))
    for i in range(op.in_height * op.in_width * op.channels):
        at, to = op.dy + i * LANES, op.dx + i * LANES
        for lane in range(LANES):
            kept = _kept(op, salt, first_image, i, lane)
            memory[to + lane] = memory[at + lane] * keep if kept else np.float32(0.0)


@kernel
def copy(op, memory):
    """When not training, dropout changes nothing."""
    for y in range(op.in_height):
        for i in range(op.in_width * op.channels * LANES):
            memory[op.y + y * op.y_row + i] = memory[op.x + y * op.x_row + i]
