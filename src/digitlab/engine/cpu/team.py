"""The team: the threads that work on the batches of one network, woken once and then found waiting."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.claiming import dismiss, new_board
from digitlab.engine.cpu.threads import submit

__all__ = ["Team"]

# Looks in vain after which a thread goes to sleep, some milliseconds: waking it takes longer than Python needs between
# two batches, and whoever steps through a training batch by batch must not find a core busy.
_PATIENCE = 10_000


class Team:
    """The calling thread, number 0, and its helpers.

    A helper stays within compiled code from batch to batch for as long as they follow one another quickly. Nobody
    depends on it: where it does not come, the caller does all the work.

    Parameters
    ----------
    n_workers : int
        Threads, the caller included.
    """

    def __init__(self, n_workers: int) -> None:
        self._n_workers = n_workers
        self._helpers: dict[int, Future[None]] = {}
        self._board = new_board()
        self._material: object = None

    def work(self, part: Callable[[int, int, NDArray[np.int64]], None], material: object) -> None:
        """Do one batch.

        Parameters
        ----------
        part : callable
            Called with the number of the thread, its patience and the board: ``batch.take_part`` on arrays that stay
            the same from batch to batch.
        material : object
            Stands for those arrays: where it is another one than before, helpers begin anew.
        """
        if material is not self._material:
            # Helpers still hold the arrays of before.
            self.dismiss()
            self._material = material
        for worker in range(1, self._n_workers):
            helper = self._helpers.get(worker)
            if helper is None or helper.done():
                self._helpers[worker] = submit(part, worker, _PATIENCE, self._board)
        part(0, 0, self._board)

    def dismiss(self) -> None:
        """Send the helpers away at once, so that they do not wait on a core that others could use."""
        dismiss(self._board)
        self._helpers, self._board, self._material = {}, new_board(), None
