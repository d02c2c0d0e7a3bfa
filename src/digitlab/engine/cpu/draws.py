"""Draws: the random numbers of one image, and how far each may take it.

An image has a row of ``N_DRAWS`` numbers in [0, 1). Every change has places of its own in it, so that widening one
range changes nothing of what the others do.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "ARROWS",
    "ASPECT",
    "BLUR",
    "CUT",
    "CUT_DEPTH",
    "CUT_SIDE",
    "DOWN",
    "EDGES",
    "FAINT",
    "GAP",
    "GAP_ANGLE",
    "GAP_WIDTH",
    "GAP_X",
    "GAP_Y",
    "GRID",
    "LINE",
    "LINE_LEVEL",
    "LINE_WHERE",
    "NEIGHBOR",
    "NEIGHBOR_DOWN",
    "NEIGHBOR_FAR",
    "NEIGHBOR_SIDE",
    "NEIGHBOR_WHICH",
    "NOISE",
    "NOISE_KEY",
    "N_DRAWS",
    "PAPER",
    "RANGES",
    "RIGHT",
    "SCALE",
    "SHEAR",
    "SIDE",
    "SLOPE",
    "SLOPE_WHERE",
    "STROKE",
    "TURN",
]

#: Pixels on a side, and arrows of the elastic grid on a side.
SIDE, GRID = 28, 7

#: How far every change may go; the names are those of ``Augmentation``.
RANGES = np.dtype(
    [
        (name, np.float32)
        for name in (
            "rotation",
            "shear",
            "scale",
            "aspect",
            "shift",
            "elastic",
            "thicken",
            "thin",
            "blur",
            "contrast",
            "background",
            "noise",
            "cut",
            "gap",
            "neighbor",
        )
    ]
)

# Which number a change takes.
TURN, SHEAR, SCALE, ASPECT, RIGHT, DOWN, STROKE, BLUR, EDGES, FAINT = range(10)
PAPER, SLOPE, SLOPE_WHERE, LINE, LINE_WHERE, LINE_LEVEL, NOISE, NOISE_KEY = range(10, 18)
CUT, CUT_SIDE, CUT_DEPTH, GAP, GAP_X, GAP_Y, GAP_ANGLE, GAP_WIDTH = range(18, 26)
NEIGHBOR, NEIGHBOR_SIDE, NEIGHBOR_FAR, NEIGHBOR_DOWN, NEIGHBOR_WHICH = range(26, 31)
ARROWS = 31

#: Random numbers of one image.
N_DRAWS = ARROWS + 2 * GRID * GRID
