"""Memory: the images that are read, and what every thread writes to by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.gathering import PLACES
from digitlab.engine.cpu.vectors import LANES

__all__ = ["Images", "WorkerMemory", "aligned", "scratch_room"]

# float32 numbers that a kernel may leave and take up again.
_SCRATCH = 16 * LANES


@dataclass(frozen=True)
class Images:
    """Images as rows of values: uint8 (n, values), 0-255, or float32 (n, values); the other one is empty."""

    as_bytes: NDArray[np.uint8]
    as_floats: NDArray[np.float32]

    @classmethod
    def from_array(cls, images: NDArray[np.uint8] | NDArray[np.float32], n_values: int) -> Images:
        """Wrap an array of images without copying it, if it is contiguous uint8 or float32."""
        rows: NDArray[Any] = np.ascontiguousarray(images).reshape(len(images), n_values)
        if not rows.flags.writeable:
            rows = rows.copy()  # Numba would compile every kernel once more for arrays that are read-only
        empty = (0, n_values)
        if rows.dtype == np.uint8:
            return cls(rows, np.empty(empty, np.float32))
        return cls(np.empty(empty, np.uint8), rows.astype(np.float32, copy=False))

    def __len__(self) -> int:
        return max(len(self.as_bytes), len(self.as_floats))


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
    """What one thread writes to.

    Parameters
    ----------
    n_floats, n_winners : int
        float32 numbers for values and gradients, and bytes for pooling winners.
    """

    def __init__(self, n_floats: int, n_winners: int) -> None:
        self.values = aligned(n_floats)
        self.scratch = scratch_room()
        self.winners = np.zeros(max(1, n_winners), np.uint8)
        self.places = np.zeros(PLACES, np.int64)
