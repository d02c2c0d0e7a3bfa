"""What steers a training and tells how far it is: commands, speed, time travel, and the line of progress."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import background_tasks, ui
from nicegui.elements.mixins.text_element import TextElement

from digitlab.errors import DigitlabError
from digitlab.studio.page import Page
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.controls import LiveSlider
from digitlab.text import duration
from digitlab.values import StepRecord


class Command(TextElement):
    """A button that keeps the keyboard's focus when it cannot be used for the moment."""

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
    """The buttons, each enabled when it can do something."""

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
    """How many batches a second: a slider in equal ratios, and full speed."""

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


# A replay of any run takes about this long, and never goes faster than so many looks a second.
_REPLAY_S = 8.0
_LOOKS_PER_S = 12


class TimeTravel:
    """Slider, ``Replay`` and ``Live``; all of them move the page's cursor, and follow it."""

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


# Over how long a stretch the time left is reckoned.
_STRETCH_S = 4.0


class Pace:
    """How many batches and images a second are really done, waiting included: what somebody sees who looks on."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()
        self._n_images = 0

    def note(self, records: Sequence[StepRecord], now: float) -> None:
        """Take note of some batches, the last of which has just been done."""
        if not records:
            return
        self._n_images += sum(record.n_images for record in records)
        self._seen.append((now, records[-1].step, self._n_images))
        while now - self._seen[0][0] > _STRETCH_S and len(self._seen) > 2:
            self._seen.popleft()

    def rest(self) -> None:
        """Begin anew, after a pause."""
        self._seen.clear()

    def seconds_for(self, n_batches: int) -> float | None:
        """Return how long so many batches will take; None if nobody can know yet."""
        if len(self._seen) < 2 or self._seen[-1][1] == self._seen[0][1]:
            return None
        (began, first, _), (now, last, _) = self._seen[0], self._seen[-1]
        return n_batches * (now - began) / (last - first)

    @property
    def images_per_s(self) -> float | None:
        """Images a second over the last seconds; None if nobody can know yet."""
        if len(self._seen) < 2 or self._seen[-1][0] <= self._seen[0][0]:
            return None
        (began, _, before), (now, _, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - began)


class ProgressLine(ui.element, component="../../static/progress_line.js"):
    """A bar and a line of text: batch, epoch, time left, images a second."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page
        self.text = ""
        self.pace = Pace()
        self._props |= {"label": "Progress of the training", "fraction": 0.0, "text": ""}

    def note(self, records: Sequence[StepRecord]) -> None:
        """Take note of new batches."""
        self.pace.note(records, time.monotonic())

    def restart(self) -> None:
        """Forget what was seen."""
        self.pace = Pace()

    def show(self, trainer: Trainer) -> None:
        """Show where the training is."""
        step, n_steps = self._page.step, max(1, trainer.n_steps)
        n_epochs = trainer.config.epochs
        epoch = min(n_epochs, step * n_epochs // n_steps + (step < n_steps))
        parts = [f"Batch {step:,} of {n_steps:,}", f"epoch {epoch} of {n_epochs}"]
        is_going_on = trainer.state == "training" and step < n_steps
        left_s = self.pace.seconds_for(n_steps - step) if is_going_on else None
        if left_s is not None:
            parts.append(f"{duration(max(left_s, 0.1))} left")
        images_per_s = self.pace.images_per_s
        if is_going_on and images_per_s is not None:
            parts.append(f"{images_per_s:,.0f} images/s")
        text = " · ".join(parts)
        if text != self.text:
            self.text = text
            self._page.send(self, "show", step / n_steps, text)
