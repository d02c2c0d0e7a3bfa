"""Plain threads: the kernels release Python's lock, so threads share the work without copying anything."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

_most: int | None = None


def use_at_most(n: int) -> None:
    """Let what begins from now on in this process use so many cores: there are other processes for the others."""
    global _most
    _most = n


def available_threads() -> int:
    """Return the number of processor cores that this process may use."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return n if _most is None else min(n, _most)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(1, available_threads()), thread_name_prefix="digitlab")


def submit(function: Callable[..., None], *arguments: Any) -> Future[None]:
    """Call a function in a thread of the pool, when one is free."""
    return _pool().submit(function, *arguments)


def share(task: Callable[[int, int], None], n_tasks: int, n_workers: int) -> None:
    """Call ``task(worker, i)`` once for every i below ``n_tasks``, from at most ``n_workers`` threads.

    The calling thread is worker 0. A worker takes the next task when it is done with one, so that a core which is
    busy with something else does not hold up the others.
    """
    tasks = itertools.count()

    def work(worker: int) -> None:
        while (i := next(tasks)) < n_tasks:
            task(worker, i)

    others: list[Future[None]] = [_pool().submit(work, worker) for worker in range(1, min(n_workers, n_tasks))]
    try:
        work(0)
    finally:
        # Whatever happened here, nobody may go on writing to memory that the caller believes to be its own again.
        next(itertools.islice(tasks, n_tasks, n_tasks), None)
        for other in others:
            # One that never began is not waited for: its thread is busy elsewhere, or did not survive a fork.
            if not other.cancel():
                other.result()
