"""The runner of networks that answer with maps: pages of any size one at a time, every core on the same page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu import maps
from digitlab.engine.cpu.claiming import dismiss, new_board
from digitlab.engine.cpu.compiled import seal_cache
from digitlab.engine.cpu.maps_program import MapsPlan, build_maps_network, plan_page
from digitlab.engine.cpu.memory import aligned
from digitlab.engine.cpu.threads import available_threads, submit
from digitlab.errors import ConfigError
from digitlab.network.architecture import Architecture

__all__ = ["MapsRunner"]

# Multiply-adds of a page below which waking a thread, some 50 microseconds, is not worth it.
_WORTH_HELP = 20_000_000
_NO_BYTES, _NO_FLOATS = np.empty((0, 0), np.uint8), np.empty((0, 0), np.float32)
_NO_WINNERS = np.empty(1, np.uint8)


class MapsRunner:
    """Runs one fully convolutional network on the processor's cores.

    Parameters
    ----------
    architecture : Architecture
        Convolutions, and 2 x 2 max-poolings behind them.
    n_threads : int, optional
        Threads to share the work; all cores by default. Results do not depend on it.

    Raises
    ------
    ConfigError
        If ``n_threads`` is below 1.
    NetworkError
        If the network holds another layer.
    """

    def __init__(self, architecture: Architecture, n_threads: int | None = None) -> None:
        self.architecture = architecture
        if n_threads is not None and n_threads < 1:
            raise ConfigError(f"threads must be at least 1, or left out for all cores; got {n_threads}.")
        self.n_threads = n_threads or available_threads()
        self.network = build_maps_network(architecture)
        self._params = aligned(self.network.n_parameters)
        self._packed = aligned(self.network.n_packed)
        self._flipped = aligned(self.network.n_flipped)
        self._page_memory: list[NDArray[np.float32]] = []
        self._plan: tuple[tuple[int, int], MapsPlan] | None = None

    @property
    def parameters(self) -> NDArray[np.float32]:
        """A copy of all weights as one flat float32 array, in Keras' order."""
        return self._params.copy()

    @parameters.setter
    def parameters(self, values: NDArray[np.float32]) -> None:
        network = self.network
        self._params[:] = values
        self._packed[network.places] = self._params
        turned = network.flipped_places >= 0
        self._flipped[network.flipped_places[turned]] = self._params[turned]

    def weights(self) -> list[NDArray[np.float32]]:
        """Return copies of all weights, in Keras' order and layout."""
        arrays, start = [], 0
        for shape in self.architecture.weight_shapes:
            size = math.prod(shape)
            arrays.append(self._params[start : start + size].reshape(shape).copy())
            start += size
        return arrays

    def set_weights(self, weights: Sequence[NDArray[np.float32]]) -> None:
        """Set all weights, in Keras' order and layout."""
        self.parameters = np.concatenate([np.ravel(w) for w in weights]).astype(np.float32)

    def predict(self, page: NDArray[Any]) -> NDArray[np.float32]:
        """Return the maps of one page.

        Parameters
        ----------
        page : ndarray
            uint8, 0-255, or float32 (height, width, channels), of any size that leaves something of the maps.

        Returns
        -------
        ndarray
            float32 (height, width, maps), as high and wide as the poolings leave it. Memory besides it is bounded
            whatever the page's size.

        Raises
        ------
        DataError
            If the page is too small.
        """
        height, width = page.shape[:2]
        plan = self._planned(height, width)
        rows = np.ascontiguousarray(page).reshape(height, -1)
        if not rows.flags.writeable:
            rows = rows.copy()  # Numba would compile the kernel once more for arrays that are read-only
        is_bytes = rows.dtype == np.uint8
        bytes_ = rows if is_bytes else _NO_BYTES
        floats = _NO_FLOATS if is_bytes else rows.astype(np.float32, copy=False)
        # Taken and given back, because a server answers in several threads at once; pop and append are atomic.
        try:
            values = self._page_memory.pop()
        except IndexError:
            values = aligned(0)
        if len(values) < plan.n_values:
            values = aligned(plan.n_values)
        out = np.empty(plan.out_shape, np.float32)

        def part(worker: int, board: NDArray[np.int64]) -> None:
            maps.answer_page(
                worker, board, plan.ops, plan.bases, plan.ends, bytes_, floats, self._packed, values, _NO_WINNERS, out
            )

        ops = plan.ops
        taps = ops["kernel_height"] * ops["kernel_width"] * ops["channels"] * ops["filters"]
        multiply_adds = int((taps * ops["height"] * ops["width"]).sum())
        work_together(part, self.n_threads if multiply_adds > _WORTH_HELP else 1)
        self._page_memory.append(values)
        return out

    def _planned(self, height: int, width: int) -> MapsPlan:
        """The plan for pages of this size; the last one is kept."""
        kept = self._plan
        if kept is None or kept[0] != (height, width):
            kept = self._plan = (height, width), plan_page(self.network, height, width)
        return kept[1]

    def seal(self) -> None:
        """Note the compiled code's checksums, once everything that was wanted has been compiled."""
        seal_cache()


def work_together(part: Callable[[int, NDArray[np.int64]], None], n_workers: int) -> None:
    """Call ``part(worker, board)`` in so many threads, this one as worker 0; return when it is done.

    Nobody depends on the others: where one does not come, this thread does all the work.
    """
    board = new_board()
    others: list[Future[None]] = [submit(part, worker, board) for worker in range(1, n_workers)]
    try:
        part(0, board)
    finally:
        dismiss(board)
        # Nobody may look at this memory any more when it is given back.
        for other in others:
            # One that never began is not waited for: its thread is busy elsewhere, or did not survive a fork.
            if not other.cancel():
                other.result()
