"""The commands of a training: Start, Pause, Step one batch, Resume, Stop, Reset, and how fast it goes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from digitlab.errors import DigitlabError
from digitlab.studio.live_slider import LiveSlider
from digitlab.studio.page import Page

__all__ = ["Command", "Commands", "SpeedControl", "speeds"]


class Command(TextElement):
    """A button that keeps the keyboard's focus when it cannot be used for the moment.

    Parameters
    ----------
    text : str
        What it does.
    action : callable
        Does it.
    is_main : bool
        Whether it is the one that most people want.
    """

    def __init__(self, text: str, action: Callable[[], Awaitable[None]], *, is_main: bool = False) -> None:
        super().__init__(tag="button", text=text)
        self.enabled = True
        self._action = action
        self.classes("command" + " command-main" * is_main).props('type="button"')
        self.on("click", self._clicked, [])

    def set_enabled(self, enabled: bool) -> None:
        """Let it be used, or not."""
        if enabled != self.enabled:
            self.enabled = enabled
            # Not "disabled": that would take the focus away from whoever has just pressed it.
            self.props(remove="aria-disabled") if enabled else self.props("aria-disabled=true")

    async def _clicked(self) -> None:
        if self.enabled:
            await self._action()


class Commands:
    """The buttons, each enabled when it can do something.

    Parameters
    ----------
    page : Page
        Whose training.
    has_errors : callable
        Tells whether the settings cannot be used.
    """

    def __init__(self, page: Page, has_errors: Callable[[], bool]) -> None:
        self._page, self._has_errors = page, has_errors
        self._buttons: dict[str, Command] = {}

    def build(self) -> None:
        """Build the buttons into the current container."""
        trainer = self._page.trainer
        actions: dict[str, Callable[[], Any]] = {
            "Start": self._start,
            "Pause": trainer.pause,
            "Step one batch": self._step,
            "Resume": trainer.resume,
            "Stop": trainer.stop,
            "Reset": trainer.reset,
        }
        with ui.element("div").classes("commands").props('role="group" aria-label="Training"'):
            for name, action in actions.items():
                self._buttons[name] = Command(name, self._guarded(action), is_main=name == "Start")
        self._page.on_state(lambda _: self.enable())

    def enable(self) -> None:
        """Enable what can be done now."""
        state, may_steer = self._page.trainer.state, self._page.may_steer
        is_active = state in ("training", "paused")
        can_start = self._page.is_ready() and not is_active and not self._has_errors()
        can = {
            "Start": can_start,
            "Pause": state == "training" and may_steer,
            "Step one batch": (state == "paused" and may_steer) or (state == "idle" and can_start),
            "Resume": state in ("paused", "stopped") and may_steer,
            "Stop": is_active and may_steer,
            "Reset": state != "idle" and (may_steer or not is_active),
        }
        for name, button in self._buttons.items():
            button.set_enabled(can[name])

    def _start(self, *, paused: bool = False) -> None:
        page = self._page
        page.trainer.start(page.config, page.architecture, owner=page.client_id, paused=paused)

    def _step(self) -> None:
        if self._page.trainer.state == "idle":
            self._start(paused=True)
        self._page.trainer.step()

    def _guarded(self, action: Callable[[], Any]) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            try:
                # Starting makes a directory and some memory: milliseconds that the event loop does not have.
                await asyncio.to_thread(action)
            except DigitlabError as error:
                self._page.notify(str(error), "error")
            self.enable()

        return act


def speeds() -> list[float]:
    """Return the speeds that can be chosen, from one batch a second on, in equal ratios."""
    rounded = [10 ** (i / 6) for i in range(15)]
    return [float(f"{speed:.2g}") if speed < 10 else float(round(speed)) for speed in rounded]


class SpeedControl:
    """How many batches a second: a slider in equal ratios, and full speed.

    Parameters
    ----------
    page : Page
        Whose training.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._speeds = speeds()

    def build(self) -> None:
        """Build it into the current container."""
        speed = self._page.trainer.speed
        nearest = (
            6 if speed is None else min(range(len(self._speeds)), key=lambda i: abs(math.log(self._speeds[i] / speed)))
        )
        words = [f"{speed:g} batch{'es' * (speed != 1)}/s" for speed in self._speeds]
        with ui.element("div").classes("speed") as self._box:
            self.slider = LiveSlider(
                self._page, "Speed", self._slide, max=len(words) - 1, value=nearest, words=words
            ).mark("speed")
            self.full = ui.switch("Full speed", value=speed is None, on_change=self._choose)
        self._page.on_state(lambda _: self._follow())

    def _follow(self) -> None:
        may_steer = self._page.may_steer
        speed = self._page.trainer.speed
        self.slider.set_enabled(may_steer)
        self.full.set_enabled(may_steer)
        if (speed is None) != self.full.value:
            self.full.set_value(speed is None)  # somebody else chose
        self._dim()

    def _slide(self, position: int) -> None:
        if self.full.value:
            self.full.set_value(False)
        else:
            self._set(self._speeds[position])

    def _dim(self) -> None:
        self._box.classes(add="is-full" if self.full.value else "", remove="" if self.full.value else "is-full")

    def _choose(self) -> None:
        self._dim()
        self._set(None if self.full.value else self._speeds[self.slider.value])

    def _set(self, speed: float | None) -> None:
        if self._page.may_steer and speed != self._page.trainer.speed:
            self._page.trainer.set_speed(speed)
