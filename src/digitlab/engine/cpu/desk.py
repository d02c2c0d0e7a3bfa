"""The desk: what a kernel that composes crops takes from, and the memory that it works in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.sketching import N_BOX, N_VIEW

__all__ = ["CONTRAST", "CROP_PX", "MOST_MARKS", "N_FORM", "N_HABITS", "Bank", "Desk", "new_desk"]

#: Pixels on a side of a practice crop.
CROP_PX = 144
#: Marks of one crop, at most.
MOST_MARKS = 320
#: Numbers of a sign's form, see ``sketching``, and of a hand's habits, see ``writing``.
N_FORM, N_HABITS = 12, 32
#: Among the habits: how much darker than the paper the ink is, 0-1.
CONTRAST = 31
_MOST_POINTS = 96
_LATTICE = 80


class Bank(NamedTuple):
    """What crops are composed of.

    Attributes
    ----------
    images : ndarray
        uint8 (n, 28, 28), ink bright: digits first, then what is none.
    labels : ndarray
        int64 (n,): 0-9, or -1 for what is no digit.
    boxes : ndarray
        float32 (n, 4): left, top, right and bottom of the ink, in pixels of the image.
    slants : ndarray
        float32 (n,): how far the ink leans, pixels to the right for each pixel up.
    edges, starts : ndarray
        uint8 (m, 4) and int64 (n + 1,): where a pen went, see ``thinning``; those of image i are from ``starts[i]``.
    printed, printed_boxes : ndarray
        uint8 (n_fonts, 10, 28, 28) and float32 (n_fonts, 10, 4): printed digits.
    strips, strip_widths : ndarray
        uint8 (n_strips, height, width) and int64 (n_strips,): words, ink bright; printed ones first.
    n_digits, n_printed : int
        How many of the images are digits, and how many of the words are printed.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    slants: NDArray[np.float32]
    edges: NDArray[np.uint8]
    starts: NDArray[np.int64]
    printed: NDArray[np.uint8]
    printed_boxes: NDArray[np.float32]
    strips: NDArray[np.uint8]
    strip_widths: NDArray[np.int64]
    n_digits: int
    n_printed: int


class Desk(NamedTuple):
    """The memory of one thread: planes float32 (side, side), and what is too small to name again."""

    ink: NDArray[np.float32]
    print: NDArray[np.float32]
    light: NDArray[np.float32]
    hidden: NDArray[np.float32]
    spare: NDArray[np.float32]
    lattice: NDArray[np.float32]
    points: NDArray[np.float64]
    form: NDArray[np.float64]
    habits: NDArray[np.float64]
    lens: NDArray[np.float64]
    box: NDArray[np.float64]
    other_box: NDArray[np.float64]
    #: float64 (MOST_MARKS, 5): boxes, and the height by which a mark is judged; and int64 (MOST_MARKS,) labels.
    marks: NDArray[np.float64]
    labels: NDArray[np.int64]
    n_marks: NDArray[np.int64]
    stream: NDArray[np.uint64]


def new_desk(side: int = CROP_PX) -> Desk:
    """Return a desk for crops of this side."""
    ink, printed, light, hidden, spare = np.zeros((5, side, side), np.float32)
    return Desk(
        ink=ink,
        print=printed,
        light=light,
        hidden=hidden,
        spare=spare,
        lattice=np.zeros(_LATTICE * _LATTICE * 4, np.float32),
        points=np.zeros((_MOST_POINTS, 2)),
        form=np.zeros(N_FORM),
        habits=np.zeros(N_HABITS),
        lens=np.zeros(N_VIEW),
        box=np.zeros(N_BOX),
        other_box=np.zeros(N_BOX),
        marks=np.zeros((MOST_MARKS, 5)),
        labels=np.zeros(MOST_MARKS, np.int64),
        n_marks=np.zeros(1, np.int64),
        stream=np.zeros(1, np.uint64),
    )
