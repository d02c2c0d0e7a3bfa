"""Gathering: put the images of one block side by side, one in every lane.

In plain words::

    block[pixel, lane] = images[order[first + lane], pixel]      (bytes are divided by 255)

Pixels are taken ``LANES`` at a time: a square of images x pixels is loaded, one image a row, exchanged into one pixel a
row inside the registers, and stored.

Handwritten digits have an empty margin. So the smallest box that holds all ink of the block is noted, and the first
convolution leaves out products with the zeros beside it.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES, load_rows, store, transposed

__all__ = ["BOTTOM", "LEFT", "PLACES", "RIGHT", "TOP", "gather"]

#: Numbers that a worker keeps of a block: where its images begin, and the first and past the last row and column with
#: ink in any of them.
PLACES = LANES + 4
TOP, BOTTOM, LEFT, RIGHT = range(LANES, PLACES)


@kernel
def _has_ink(memory, at, n, step, times):
    """Tell whether any of ``times`` runs of ``n`` numbers, ``step`` apart, holds anything but zeros."""
    found = 0
    for _ in range(times):
        for i in range(at, at + n):
            found |= memory[i] != np.float32(0.0)
        at += step
    return found != 0


@kernel
def _note_box(layout, memory, places):
    row, width = layout.image_row, layout.image_width // layout.image_channels
    pixel = layout.image_channels * LANES
    top, bottom, left, right = 0, layout.image_height, 0, width
    while top < bottom and not _has_ink(memory, layout.image + top * row, width * pixel, row, 1):
        top += 1
    while bottom > top and not _has_ink(memory, layout.image + (bottom - 1) * row, width * pixel, row, 1):
        bottom -= 1
    first = layout.image + top * row
    while left < right and not _has_ink(memory, first + left * pixel, pixel, row, bottom - top):
        left += 1
    while right > left and not _has_ink(memory, first + (right - 1) * pixel, pixel, row, bottom - top):
        right -= 1
    places[TOP], places[BOTTOM], places[LEFT], places[RIGHT] = top, bottom, left, right


@kernel
def gather(bytes_, floats, order, first, n_images, layout, places, memory):
    """Write one block of images; lanes without an image repeat the first one.

    Parameters
    ----------
    bytes_, floats : ndarray
        uint8 (n, values) or float32 (n, values); the other one is empty.
    order : ndarray
        int64, which images.
    first, n_images : int
        The block is ``order[first : first + n_images]``.
    layout : record
        Where to: ``image_height`` rows of ``image_width`` values, ``image_row`` numbers apart, from ``image`` on.
    places : ndarray
        int64 (PLACES,), written: see there.
    memory : ndarray
        The worker's float32 memory.
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
                    image = places[lane] // n_values
                    value = (
                        np.float32(bytes_[image, y * width + x]) / np.float32(255.0)
                        if len(bytes_)
                        else floats[image, y * width + x]
                    )
                    memory[to + lane] = value
                x += 1
                continue
            # The last square overlaps the one before rather than reaching beyond the image.
            x = min(x, width - LANES)
            to = layout.image + y * row + x * LANES
            if len(bytes_):
                store(transposed(load_rows(bytes_, places, y * width + x)), memory, to)
            else:
                store(transposed(load_rows(floats, places, y * width + x)), memory, to)
            x += LANES
    _note_box(layout, memory, places)
