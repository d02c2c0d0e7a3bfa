"""The time travel slider: back and forth through the training, while it runs and afterwards."""

from __future__ import annotations

import asyncio

from nicegui import background_tasks, ui

from digitlab.studio.commands import Command
from digitlab.studio.live_slider import LiveSlider
from digitlab.studio.page import Page

__all__ = ["TimeTravel"]

# A replay of any run takes about this long, and never goes faster than so many looks a second.
_REPLAY_S = 8.0
_LOOKS_PER_S = 12


class TimeTravel:
    """Slider, ``Replay`` and ``Live``; all of them move the page's cursor, and follow it.

    Parameters
    ----------
    page : Page
        Whose cursor.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._is_replaying = False

    def build(self) -> None:
        """Build it into the current container."""
        with ui.element("div").classes("time-travel"):
            self._slider = LiveSlider(
                self._page, "Time travel", self._slid, max=0, value=0, text="batch {value} of {max}"
            ).mark("time")
            self._replay = Command("Replay", self._toggle_replay)
            self._live = Command("Live", self._go_live)
        page = self._page
        page.on_records(lambda _: self._follow())
        page.on_generation(self._follow)
        page.on_state(lambda _: self._follow())
        page.on_cursor(lambda _: self._follow())

    def _follow(self) -> None:
        newest, cursor = self._page.step, self._page.cursor
        self._slider.put(newest if cursor is None else min(cursor, newest), newest)
        self._slider.set_enabled(newest > 0)
        self._live.set_enabled(cursor is not None)
        self._live.classes(add="is-live" if cursor is None else "", remove="" if cursor is None else "is-live")
        self._replay.set_enabled(newest > 0)

    def _slid(self, step: int) -> None:
        self._is_replaying = False
        self._page.set_cursor(step)

    async def _go_live(self) -> None:
        self._is_replaying = False
        self._page.set_cursor(None)

    async def _toggle_replay(self) -> None:
        if self._is_replaying:
            self._is_replaying = False
        else:
            background_tasks.create(self._play(), name="replay", context=self._page.client)

    async def _play(self) -> None:
        page = self._page
        generation = page.trainer.generation
        steps = page.trainer.recording.steps()
        first = page.cursor if page.cursor is not None and page.cursor < page.trainer.step_done else 0
        steps = [step for step in steps if step >= first]
        stride = max(1, round(len(steps) / (_REPLAY_S * _LOOKS_PER_S)))
        self._is_replaying = True
        for step in [*steps[:-1:stride], *steps[-1:]]:
            page.set_cursor(step)
            await asyncio.sleep(1 / _LOOKS_PER_S)
            if not self._is_replaying or page.client.is_deleted or generation != page.trainer.generation:
                break
        self._is_replaying = False
