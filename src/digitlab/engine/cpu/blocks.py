"""Blocks: the memory of a thread, and the images of one block gathered in it side by side, one in every lane.

In plain words::

    block[pixel, lane] = images[order[first + lane], pixel]      (bytes are divided by 255)

Pixels are taken ``LANES`` at a time: a square of images x pixels is loaded, one image a row, exchanged into one pixel a
row inside the registers, and stored.

Handwritten digits have an empty margin. So the smallest box that holds all ink of the block is noted, and the first
convolution leaves out products with the zeros beside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.tiles import LANES, is_zero, load_rows, store, transposed

#: Numbers that a worker keeps of a block: where its images begin; the first and past the last row and column with ink
#: in any of them; and, for dropout, one key for every image.
PLACES = 2 * LANES + 4
TOP, BOTTOM, LEFT, RIGHT, KEYS = range(LANES, LANES + 5)


@kernel
def _note_box(layout, memory, places):
    width, n = layout.image_width // layout.image_channels, layout.image_channels * LANES
    top, bottom, left, right = layout.image_height, 0, width, 0
    for y in range(layout.image_height):
        for x in range(width):
            at = layout.image + y * layout.image_row + x * n
            for i in range(at, at + n, LANES):
                if not is_zero(memory, i):
                    top, bottom, left, right = min(top, y), y + 1, min(left, x), max(right, x + 1)
    places[TOP], places[BOTTOM], places[LEFT], places[RIGHT] = top, bottom, left, right


@kernel
def gather(bytes_, floats, is_bytes, order, first, n_images, layout, places, memory):
    """Write one block of images, ``order[first : first + n_images]``; lanes without an image repeat the first one.

    ``bytes_`` or ``floats``, as ``is_bytes`` says, is where uint8 or float32 (n, values) begin. ``places``, int64
    (PLACES,), is written: see there.
    """
    height, width, row = layout.image_height, layout.image_width, layout.image_row
    if row == width * LANES:  # no border: the whole image is one row
        height, width = 1, height * width
    n_values = layout.image_height * layout.image_width
    for lane in range(LANES):
        places[lane] = order[first + lane if lane < n_images else first] * n_values
    for y in range(height):
        x = 0
        while x < width:
            to = layout.image + y * row + x * LANES
            if width < LANES:
                for lane in range(LANES):
                    at = places[lane] + y * width + x
                    memory[to + lane] = np.float32(bytes_[at]) / np.float32(255.0) if is_bytes else floats[at]
                x += 1
                continue
            # The last square overlaps the one before rather than reaching beyond the image.
            x = min(x, width - LANES)
            to = layout.image + y * row + x * LANES
            if is_bytes:
                store(transposed(load_rows(bytes_, places, y * width + x)), memory, to)
            else:
                store(transposed(load_rows(floats, places, y * width + x)), memory, to)
            x += LANES
    _note_box(layout, memory, places)


@kernel
def ink_seen_by(op, places, is_first):
    """Return the first and past the last row and column of what the convolution reads that are not all zeros.

    Of the images this is known; of all other maps nothing is.
    """
    if is_first:
        return (
            places[TOP] + op.border_top,
            places[BOTTOM] + op.border_top,
            places[LEFT] + op.border_left,
            places[RIGHT] + op.border_left,
        )
    height, width = (op.height - 1) * op.stride_height, (op.width - 1) * op.stride_width
    return 0, height + op.kernel_height, 0, width + op.kernel_width


# float32 numbers that a kernel may leave and take up again.
_SCRATCH = 16 * LANES


def aligned(n: int) -> NDArray[np.float32]:
    """Return n zeros that begin on a cache line, with room behind them for the rest of a vector."""
    # Vectors that begin on a cache line are loaded in one access, and the last may reach beyond the end.
    raw = np.zeros(n + 16 + LANES, np.float32)
    offset = (-raw.ctypes.data % 64) // 4
    return raw[offset : offset + n]


def scratch_room() -> NDArray[np.float32]:
    """Return room for what a kernel leaves and takes up again."""
    return aligned(_SCRATCH)


class WorkerMemory:
    """What one thread writes to: float32 numbers for values and gradients, and bytes for pooling winners."""

    def __init__(self, n_floats: int, n_winners: int) -> None:
        self.values = aligned(n_floats)
        self.scratch = scratch_room()
        self.winners = np.zeros(max(1, n_winners), np.uint8)
        self.places = np.zeros(PLACES, np.int64)
