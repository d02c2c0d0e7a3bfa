"""Gathering: put the images of one block side by side, one in every lane.

In plain words::

    block[pixel, lane] = images[order[first + lane], pixel]      (bytes are divided by 255)

Pixels are taken ``LANES`` at a time: a square of images x pixels is loaded, one image a row, exchanged into one pixel a
row inside the registers, and stored.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.lanes import LANES, load_rows, store, transposed

__all__ = ["gather"]


@kernel
def gather(bytes_, floats, order, first, n_images, layout, positions, memory):
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
    positions : ndarray
        int64 (LANES,), room for the positions of the images.
    memory : ndarray
        The worker's float32 memory.
    """
    height, width, row = layout.image_height, layout.image_width, layout.image_row
    if row == width * LANES:  # no border: the whole image is one row
        height, width = 1, height * width
    n_values = layout.image_height * layout.image_width
    for lane in range(LANES):
        positions[lane] = order[first + lane if lane < n_images else first] * n_values
    for y in range(height):
        x = 0
        while x < width:
            to = layout.image + y * row + x * LANES
            if width < LANES:
                for lane in range(LANES):
                    image = positions[lane] // n_values
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
                store(transposed(load_rows(bytes_, positions, y * width + x)), memory, to)
            else:
                store(transposed(load_rows(floats, positions, y * width + x)), memory, to)
            x += LANES
