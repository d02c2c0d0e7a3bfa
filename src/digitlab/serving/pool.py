"""Pool: a few threads for what takes long, a queue that ends somewhere, and patience that ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from digitlab.serving.refusals import RefusedError

__all__ = ["Patience", "Pool"]

T = TypeVar("T")

_SMOOTHING = 0.1
_LONGEST_RETRY_S = 60.0


class Patience:
    """How long one piece of work may go on; the work asks where it can stop.

    Parameters
    ----------
    seconds : float
        From now.
    """

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.is_over = False

    def check(self) -> None:
        """Stop the work here if nobody waits for it any more.

        Raises
        ------
        TimeoutError
            If so.
        """
        if self.is_over or time.monotonic() > self.ends:
            raise TimeoutError


class Pool:
    """Runs work in threads; safe to call from one event loop.

    Parameters
    ----------
    workers, queue : int
        Threads, and pieces of work that may wait for one.
    timeout_s : float
        How long a piece may wait and take, in seconds.

    Attributes
    ----------
    n_waiting : int
        Pieces that wait or run.
    """

    def __init__(self, workers: int, queue: int, timeout_s: float) -> None:
        self.workers, self.timeout_s = workers, timeout_s
        self._most = workers + queue
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="digitlab-reading")
        self._usual_s = 0.1
        self.n_waiting = 0

    async def run(self, work: Callable[[Patience], T]) -> T:
        """Run a piece of work in a thread, after those that came before it.

        Parameters
        ----------
        work : callable
            Calls ``check`` of its argument where it can stop.

        Raises
        ------
        RefusedError
            If too many wait, or it took too long; a thread that cannot stop goes on, and counts, until it can.
        """
        if self.n_waiting >= self._most:
            wait_s = min(_LONGEST_RETRY_S, self._usual_s * self.n_waiting / self.workers)
            raise RefusedError(
                429, f"{self.n_waiting:,} pictures are waiting already.", "Try again later.", retry_after_s=wait_s
            )
        patience = Patience(self.timeout_s)
        self.n_waiting += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work, patience)
        running.add_done_callback(self._note_end)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await asyncio.shield(running)
        except TimeoutError:
            raise RefusedError(
                503,
                f"This was not done within {self.timeout_s:g} seconds.",
                "Try again later, or with fewer pages or a smaller picture.",
                retry_after_s=min(_LONGEST_RETRY_S, self.timeout_s),
            ) from None
        finally:
            patience.is_over = True

    def close(self) -> None:
        """End the threads, after what they are doing."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _timed(self, work: Callable[[Patience], T], patience: Patience) -> T:
        patience.check()
        began = time.monotonic()
        result = work(patience)
        self._usual_s += _SMOOTHING * (time.monotonic() - began - self._usual_s)
        return result

    def _note_end(self, running: asyncio.Future[T]) -> None:
        self.n_waiting -= 1
        if not running.cancelled():
            running.exception()  # seen, also where nobody waits any more
