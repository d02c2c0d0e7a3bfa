"""Refreshing: what is asked for often is done one at a time, not too often, and always after the last asking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from nicegui import background_tasks

__all__ = ["Refreshing"]


class Refreshing:
    """Runs a coroutine function when asked to; askings meanwhile become one. To be used on the event loop.

    Parameters
    ----------
    refresh : coroutine function
        What is done; it handles its own failures.
    gap_s : float
        From the beginning of one time to the beginning of the next, at least; and never does it take more than a fifth
        of the time.
    hurried_gap_s : float
        The same where somebody waits.
    name : str
        Of the task.

    Attributes
    ----------
    n_done : int
        How often it was done.
    """

    def __init__(
        self, refresh: Callable[[], Awaitable[None]], *, gap_s: float, hurried_gap_s: float = 0.1, name: str = "refresh"
    ) -> None:
        self._refresh, self._name = refresh, name
        self._gap_s, self._hurried_gap_s = gap_s, hurried_gap_s
        self._is_asked = False
        self._is_running = False
        self._hurry = asyncio.Event()
        self.n_done = 0

    def ask(self, *, at_once: bool = False) -> None:
        """Have it done: ``at_once`` when somebody waits for it, else when the gap is over."""
        self._is_asked = True
        if at_once:
            self._hurry.set()
        if not self._is_running:
            self._is_running = True
            background_tasks.create(self._go_on(), name=self._name)

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._is_asked:
                self._is_asked = False
                self._hurry.clear()
                began = loop.time()
                await self._refresh()
                self.n_done += 1
                took = loop.time() - began
                await asyncio.sleep(max(0.0, self._hurried_gap_s - took))
                rest = max(self._gap_s, 5 * took) - (loop.time() - began)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), max(0.0, rest))
        finally:
            self._is_running = False
