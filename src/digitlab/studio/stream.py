"""What reaches a browser tab and how often: the training's records, a frame at a time, and what is computed again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from nicegui import Client, background_tasks, ui

from digitlab.studio.trainer import Trainer
from digitlab.values import EpochRecord, StepRecord

_SECONDS_BETWEEN_FRAMES = 1 / 12
# Drawing takes at most this part of the browser's time: it may share the processor with the training.
_DRAWING_PART = 0.1
# How long a browser may take to draw a frame before the next is sent all the same.
_PATIENCE_S = 5.0


class Stream:
    """Watches the trainer for one browser tab.

    What is new is handed over in frames, at most 12 a second. The next one waits until the browser has drawn the last
    and rested nine times as long, so that a slow browser gets fewer frames, each with more points, and never falls
    behind. All that a frame calls in the browser travels as one message. Nothing is sent while there is no connection.
    """

    def __init__(
        self, trainer: Trainer, client: Client, tell: Callable[..., None], status: Callable[[], tuple[Any, ...]]
    ) -> None:
        self._trainer, self._client, self._tell, self._status = trainer, client, tell, status
        self._generation, self._cursor, self._n_told = trainer.generation, 0, 0
        #: Batches done, as far as the browser tab was told: what all its parts show.
        self.step = trainer.step_done
        self._calls: list[tuple[int | None, str, tuple[Any, ...]]] = []

    def told(self) -> list[StepRecord | EpochRecord]:
        """Return the records that were handed over, for a part of the page that is built later."""
        if self._generation != self._trainer.generation:
            return []
        return self._trainer.records_since(0)[0][: self._n_told]

    def send(self, element: ui.element | None, method: str, arguments: tuple[Any, ...]) -> None:
        """Call a method of an element's script in the browser, or of the page's own, with the next frame."""
        self._calls.append((None if element is None else element.id, method, arguments))

    async def follow(self) -> None:
        """Hand over whatever is new, until the browser tab is gone."""
        await self._client.connected()
        status: tuple[Any, ...] | None = None
        while not self._client.is_deleted:
            if not self._client.has_socket_connection:
                await asyncio.sleep(_SECONDS_BETWEEN_FRAMES)
                continue
            trainer = self._trainer
            if trainer.generation != self._generation:
                self._generation, self._cursor, self._n_told = trainer.generation, 0, 0
                self.step = 0
                self._tell("generation")
            seen = self._status()
            records, self._cursor = trainer.records_since(self._cursor)
            self._n_told += len(records)
            if records:
                self.step = records[-1].step
            # Whoever hears that the training has ended has all its records.
            if records:
                self._tell("records", records)
            if seen != status:
                status = seen
                self._tell("state", trainer.state)
            drawing_s = await self._flush()
            await asyncio.sleep(max(_SECONDS_BETWEEN_FRAMES, drawing_s * (1 / _DRAWING_PART - 1)))

    async def _flush(self) -> float:
        """Send the frame, wait until the browser has drawn it, and return how many seconds that took it."""
        calls, self._calls = self._calls, []
        if not calls or self._client.is_deleted:
            return 0.0
        try:
            script = f"window.studio.frame({json.dumps(calls)})"
            took_ms = await self._client.run_javascript(script, timeout=_PATIENCE_S)
        except TimeoutError:
            return 0.0
        return min(_PATIENCE_S, max(0.0, took_ms / 1000)) if isinstance(took_ms, int | float) else 0.0


class Refreshing:
    """Runs a coroutine function when asked to; askings meanwhile become one. To be used on the event loop.

    From the beginning of one time to the beginning of the next ``gap_s`` go by, ``hurried_gap_s`` where somebody waits;
    and it never takes more than a fifth of the time. ``refresh`` handles its own failures.
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
