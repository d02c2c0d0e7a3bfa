"""Turns: trainings of one process share its cores fairly, so many batches at a time, whoever has had least next."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from digitlab.engine.cpu.threads import available_threads

# Of a thread that gives way: it has a third of what the event loop may have of a core that both want.
_NICENESS = 5
# Whoever has had no company for so long is alone, and has all cores.
_ALONE_AFTER_S = 0.2


class Turns:
    """Gives turns, each of one batch or one evaluation: at a time as many as there are cores.

    A training that is alone takes its turns at once and has every core for them. Where several train, each batch has
    one core: threads that work on one batch wait for each other, and trainings of their own do not. To be used from
    any thread. ``gives_way``: whether trainings that begin from now on leave a core to the event loop where both want
    it, since a class waits for its answers.
    """

    def __init__(self, n_cores: int | None = None) -> None:
        self.n_cores = n_cores or available_threads()
        self.gives_way = False
        self._lock = threading.Lock()
        self._n_free = self.n_cores
        # Each with what wakes it: a training that is gone on with may wait beside what is left of it to do.
        self._waiting: list[tuple[Share, threading.Event]] = []
        self._last: Share | None = None
        self._changed_at = -_ALONE_AFTER_S
        # The time that those have had who are served now: newcomers begin there, and nobody saves up turns.
        self._floor_s = 0.0

    def enter(self) -> None:
        """Be called by a training's thread before its first turn."""
        if self.gives_way and sys.platform == "linux":  # elsewhere threads cannot be told apart
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)

    @contextmanager
    def of(self, share: Share) -> Iterator[int]:
        """Wait for a turn and hold it; gives the number of cores to use for it."""
        n_cores = self._take(share)
        began = time.monotonic()
        try:
            yield n_cores
        finally:
            share.used_s += time.monotonic() - began
            self._give()

    def leave(self, share: Share) -> None:
        """Say that it takes no more turns for the time being, so that another one is alone."""
        with self._lock:
            if self._last is share:
                self._last = None

    def _take(self, share: Share) -> int:
        is_due = threading.Event()
        with self._lock:
            share.used_s = max(share.used_s, self._floor_s)
            is_free = self._n_free > 0
            if is_free:
                self._n_free -= 1
                self._serve(share)
            else:
                self._waiting.append((share, is_due))
        if not is_free:
            is_due.wait()
        is_alone = is_free and time.monotonic() - self._changed_at > _ALONE_AFTER_S
        return self.n_cores if is_alone else 1

    def _give(self) -> None:
        with self._lock:
            if not self._waiting:
                self._n_free += 1
                return
            chosen = min(self._waiting, key=lambda one: one[0].used_s)
            self._waiting.remove(chosen)
            self._serve(chosen[0])
        chosen[1].set()

    def _serve(self, share: Share) -> None:
        self._floor_s = max(self._floor_s, share.used_s)
        if self._last is not share:
            if self._last is not None:
                self._changed_at = time.monotonic()
            self._last = share


class Share:
    """What one training has had of the cores: ``used_s`` seconds."""

    def __init__(self) -> None:
        self.used_s = 0.0
