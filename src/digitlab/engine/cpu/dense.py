"""Dense layers: every output is a weighted sum of all inputs.

In plain words::

    y[o] = bias[o] + sum over i of  x[i] * kernel[i, o]

Forward and the gradient of the input are a convolution of a single pixel with a kernel of a single pixel, and
``convolution.py`` runs them. What is different is the gradient of the kernel::

    d_kernel[i, o] = sum over all images of  x[i] * d[o]

A dense kernel has many numbers and each is used once an image, so summing them lane by lane, as convolutions do, would
mean more loading and storing than arithmetic. Instead the blocks write their inputs and output gradients to a *tape*,
image by image. When the whole batch is through, a tile of 8 inputs x ``LANES`` outputs runs over the tape's images.
"""

from __future__ import annotations

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.tiles import LANES, add_outer, load, store, store_rows, transposed, zeros

_ROWS = 8


@kernel
def _write_rows(memory, start, n, tape, to, row):
    """Write ``n`` vectors to the tape, transposed: a row an image."""
    i = 0
    while i < n:
        if n < LANES:
            for lane in range(LANES):
                tape[to + lane * row + i] = memory[start + i * LANES + lane]
            i += 1
        else:
            i = min(i, n - LANES)
            store_rows(transposed(load(LANES, 1, memory, start + i * LANES)), tape, to + i, row)
            i += LANES


@kernel
def record(op, memory, tape, block_start):
    """Write a block's inputs and output gradients to the tape."""
    _write_rows(memory, op.x, op.channels, tape, block_start + op.tape_x, op.channels)
    _write_rows(memory, op.dy, op.filters, tape, block_start + op.tape_d, op.padded_filters)


@kernel
def kernel_gradient_rows(op, tape, block_size, n_blocks, begin, end, scratch, gradients):
    """Compute the gradients of the kernel's rows ``begin`` to ``end`` from the tape of a whole batch."""
    channels, filters, padded = op.channels, op.filters, op.padded_filters
    width = min(_ROWS, channels)
    i = begin
    while i < end:
        # The last rows overlap the ones before rather than being short: they are computed twice and are the same.
        i = min(i, channels - width)
        for o in range(0, padded, LANES):
            if width == _ROWS:
                sums = zeros(_ROWS, 1)
                for block in range(n_blocks):
                    x = block * block_size + op.tape_x + i
                    d = block * block_size + op.tape_d + o
                    for _ in range(LANES):
                        sums = add_outer(sums, tape, x, 1, tape, d)
                        x += channels
                        d += padded
                store(sums, scratch, 0)
            else:
                for r in range(width):
                    single = zeros(1, 1)
                    for block in range(n_blocks):
                        x = block * block_size + op.tape_x + i + r
                        d = block * block_size + op.tape_d + o
                        for _ in range(LANES):
                            single = add_outer(single, tape, x, 1, tape, d)
                            x += channels
                            d += padded
                    store(single, scratch, r * LANES)
            for r in range(max(0, begin - i), min(width, end - i)):
                for lane in range(min(LANES, filters - o)):
                    gradients[op.weights + (i + r) * filters + o + lane] = scratch[r * LANES + lane]
        i += width


@kernel
def bias_gradient(op, tape, block_size, n_blocks, gradients):
    """Sum the output gradients over the images of a whole batch."""
    for o in range(op.filters):
        gradients[op.bias + o] = 0.0
    for block in range(n_blocks):
        for lane in range(LANES):
            d = block * block_size + op.tape_d + lane * op.padded_filters
            for o in range(op.filters):
                gradients[op.bias + o] += tape[d + o]
