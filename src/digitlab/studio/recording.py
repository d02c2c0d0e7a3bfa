"""Recording: the weights of a training, step by step, within a memory budget."""

from __future__ import annotations

import threading
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

__all__ = ["Recording"]


class Recording:
    """Snapshots of a network's weights by step.

    Every step is kept while there is room. Then only every 2nd, 4th, 8th ... is, besides the first, the newest and the
    ends of the epochs; if those alone are too many, the ends of every 2nd, 4th ... epoch. Adding a snapshot costs the
    same however many there are, and what was thinned is spread evenly over the run. All methods may be called from any
    thread. The first and the newest are kept even where they do not fit ``budget_bytes``.

    Examples
    --------
    >>> recording = Recording(budget_bytes=4 * 4)
    >>> for step in range(10):
    ...     recording.add(step, np.full(1, step, np.float32))
    >>> recording.steps()
    [0, 4, 8, 9]
    >>> recording.at(7)
    (4, array([4.], dtype=float32))
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._steps: list[int] = []
        self._weights: list[NDArray[np.float32]] = []
        self._epoch_ends: dict[int, int] = {}  # step -> epoch
        self._n_bytes = 0
        self._stride = self._epoch_stride = 1

    def add(self, step: int, weights: NDArray[np.float32]) -> None:
        """Keep a snapshot of a step after those before; ``weights``, float32 (n,), must not change any more."""
        with self._lock:
            if self._steps and step <= self._steps[-1]:
                raise ValueError(f"Step {step} does not come after step {self._steps[-1]}.")
            if len(self._steps) > 1 and not self._is_kept(self._steps[-1]):
                self._n_bytes -= self._weights[-1].nbytes
                del self._steps[-1], self._weights[-1]
            self._steps.append(step)
            self._weights.append(weights)
            self._n_bytes += weights.nbytes
            while self._n_bytes > self._budget_bytes and len(self._steps) > 2:
                self._thin()

    def end_epoch(self, epoch: int) -> None:
        """Say that the newest snapshot is that of an epoch's end, from 1."""
        with self._lock:
            self._epoch_ends[self._steps[-1]] = epoch

    def steps(self) -> list[int]:
        """Return the steps that are kept, in order; 0 is before the first batch."""
        with self._lock:
            return self._steps.copy()

    def at(self, step: int | None = None) -> tuple[int, NDArray[np.float32]]:
        """Return the nearest step at or before one (or the first; None: the newest) and its weights, float32 (n,)."""
        with self._lock:
            position = len(self._steps) - 1 if step is None else max(0, bisect_right(self._steps, step) - 1)
            return self._steps[position], self._weights[position]

    @property
    def n_bytes(self) -> int:
        """Memory that the snapshots take."""
        return self._n_bytes

    def _is_kept(self, step: int) -> bool:
        epoch = self._epoch_ends.get(step)
        return step % self._stride == 0 or (epoch is not None and epoch % self._epoch_stride == 0)

    def _thin(self) -> None:
        # Each call doubles a stride, so that there are few calls in a run, however long it is.
        if self._stride <= self._steps[-1]:
            self._stride *= 2
        else:
            self._epoch_stride *= 2
        newest = len(self._steps) - 1
        kept = [i for i, step in enumerate(self._steps) if i in (0, newest) or self._is_kept(step)]
        self._steps = [self._steps[i] for i in kept]
        self._weights = [self._weights[i] for i in kept]
        self._n_bytes = sum(weights.nbytes for weights in self._weights)
        self._epoch_ends = {step: epoch for step, epoch in self._epoch_ends.items() if self._is_kept(step)}
