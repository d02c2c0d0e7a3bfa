"""Dropout: while training, set a random part of the values to zero and scale the rest up.

In plain words::

    y[i] = x[i] / (1 - rate)  with probability 1 - rate,  else 0

Whether a value is dropped is a hash of the step, the layer, the image's place in the batch and the value's place in
the layer, not the next number of a generator: so it is the same whichever thread computes it, and the gradient can
ask again instead of remembering.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from digitlab.engine.cpu.blocks import KEYS
from digitlab.engine.cpu.chance import mixed
from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.tiles import (
    I64,
    LANES,
    VECTOR,
    pointer_to,
    read_vector,
    repeat,
    repeat_integer,
    vector_code,
    write_vector,
)


@kernel
def _note_keys(op, salt, first_image, places):
    """Note what is hashed with a value's place, for every lane."""
    layer = mixed(np.uint32(salt + op.salt * 0x9E3779B9))
    for lane in range(LANES):
        places[KEYS + lane] = mixed(np.uint32(layer ^ np.uint32(first_image + lane)))


@vector_code
def _drop_vector(
    typing_context: Any, memory: Any, at: Any, to: Any, places: Any, keys: Any, element: Any, below: Any, keep: Any
) -> Any:
    """Write the vector at ``memory[at]`` to ``memory[to]``, times ``keep`` or zero as every lane's hash says."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def all_lanes(number: Any) -> Any:
            return builder.trunc(repeat_integer(builder, number), bits.type)

        first = pointer_to(context, builder, places, args[3], args[4])
        own = builder.load(builder.bitcast(first, ir.VectorType(I64, LANES).as_pointer()))
        own.align = 8
        bits = builder.trunc(own, ir.VectorType(ir.IntType(32), LANES))
        bits = builder.xor(bits, all_lanes(args[5]))
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):  # mixed, for all lanes at once
            bits = builder.xor(bits, builder.lshr(bits, ir.Constant(bits.type, [shift] * LANES)))
            bits = builder.mul(bits, ir.Constant(bits.type, [factor] * LANES))
        is_kept = builder.icmp_unsigned(">=", bits, all_lanes(args[6]))
        value = builder.fmul(
            read_vector(builder, pointer_to(context, builder, memory, args[0], args[1])), repeat(builder, args[7])
        )
        dropped = builder.select(is_kept, value, ir.Constant(VECTOR, None))
        write_vector(builder, dropped, pointer_to(context, builder, memory, args[0], args[2]))
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(memory, i64, i64, places, i64, i64, i64, types.float32), generate


@kernel
def drop(op, memory, salt, first_image, places):
    """Drop values of one block, whose first image is number ``first_image`` of the batch."""
    keep = np.float32(1.0 / (1.0 - op.drop_below / 4294967296.0))
    _note_keys(op, salt, first_image, places)
    n = op.in_width * op.channels
    for y in range(op.in_height):
        for i in range(n):
            at, to = op.x + y * op.x_row + i * LANES, op.y + y * op.y_row + i * LANES
            _drop_vector(memory, at, to, places, KEYS, y * n + i, op.drop_below, keep)


@kernel
def drop_gradient(op, memory, salt, first_image, places):
    """Let the gradient pass where the value was kept."""
    keep = np.float32(1.0 / (1.0 - op.drop_below / 4294967296.0))
    _note_keys(op, salt, first_image, places)
    for i in range(op.in_height * op.in_width * op.channels):
        _drop_vector(memory, op.dy + i * LANES, op.dx + i * LANES, places, KEYS, i, op.drop_below, keep)


@kernel
def copy(op, memory):
    """When not training, dropout changes nothing."""
    for y in range(op.in_height):
        for i in range(op.in_width * op.channels * LANES):
            memory[op.y + y * op.y_row + i] = memory[op.x + y * op.x_row + i]


def factors(op: np.void, salt: int, n_images: int) -> NDArray[np.float64]:
    """Return what ``drop`` multiplies every value of a batch by, 0 or the same for all: float64 (n_images, values)."""

    def mixed_all(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            bits = (bits ^ (bits >> np.uint32(shift))) * np.uint32(factor)
        return bits

    layer = mixed_all(np.array([(salt + int(op["salt"]) * 0x9E3779B9) % 2**32], np.uint32))
    keys = mixed_all(layer ^ np.arange(n_images, dtype=np.uint32))
    n_values = int(op["in_height"]) * int(op["in_width"]) * int(op["channels"])
    hashes = mixed_all(keys[:, None] ^ np.arange(n_values, dtype=np.uint32))
    keep = np.float32(1.0 / (1.0 - int(op["drop_below"]) / 2**32))
    return np.where(hashes >= np.uint32(op["drop_below"]), np.float64(keep), 0.0)
