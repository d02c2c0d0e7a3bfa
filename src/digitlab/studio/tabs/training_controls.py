"""What steers a training and tells how far it is: commands, speed, time travel, and the line of progress."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import background_tasks, ui

from digitlab.studio.page import Page
from digitlab.studio.widgets.controls import Command, LiveSlider, Scripted, mark, show_tab
from digitlab.text import duration
from digitlab.values import StepRecord

# Slowest first, in equal ratios.
_SPEEDS = [round(10 ** (i / 6), 1 if i < 6 else 0) for i in range(15)]
_SPEED_AT_FIRST = 6

# A replay of any run takes about this long, and never goes faster than so many looks a second.
_REPLAY_S = 8.0
_LOOKS_PER_S = 12

# Over how long a stretch the time left is reckoned.
_STRETCH_S = 4.0


_WRONG_SETTING = "Nothing can be started: a setting cannot be used. The field says why."


class Commands:
    """The buttons, each enabled when it can do something."""

    def __init__(self, page: Page, has_errors: Callable[[], bool]) -> None:
        self._page, self._has_errors = page, has_errors
        self._buttons: dict[str, Command] = {}
        self._reason_box: ui.element | None = None

    def build(self, names: Sequence[str] = ()) -> None:
        """Build the buttons into the current container; those of ``names``, or all."""
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
            for name in names or actions:
                self._buttons[name] = Command(name, self._guarded(actions[name]), is_main=name == "Start")
        self._page.on(self.enable, "state", "problem")

    def build_reason(self) -> None:
        """Build the sentence that says why nothing can be started, with the way to where that is mended."""
        with ui.element("div").classes("start-reason toolbar") as self._reason_box:
            self._reason = ui.label().props('role="status"')
            self._to_model = Command("Open Model", lambda: show_tab(self._page, "Model"))
        for name in ("Start", "Step one batch"):
            self._buttons[name].props(f'aria-describedby="{self._reason.html_id}"')
        self.enable()

    def enable(self) -> None:
        """Enable what can be done now."""
        state, may_steer = self._page.trainer.state, self._page.may_steer
        is_active = state in ("training", "paused")
        problem, has_errors = self._page.problem, self._has_errors()
        can_start = self._page.is_ready() and not is_active and not has_errors and not problem
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
        if self._reason_box is not None:
            self._reason_box.set_visibility(not is_active and bool(problem or has_errors))
            self._to_model.set_visibility(bool(problem))
            wrong = f"The network in Model cannot be trained as it is. {problem}" if problem else _WRONG_SETTING
            self._reason.set_text(wrong if problem or has_errors else "")

    def _start(self, *, paused: bool = False) -> None:
        page = self._page
        page.trainer.start(page.config, page.architecture, owner=page.client_id, paused=paused)

    def _step(self) -> None:
        if self._page.trainer.state == "idle":
            self._start(paused=True)
        self._page.trainer.step()

    def _guarded(self, action: Callable[[], Any]) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            with self._page.telling_errors():
                # Starting makes a directory and some memory: milliseconds that the event loop does not have.
                await asyncio.to_thread(action)
            self.enable()

        return act


def _in_words(batches_per_s: float) -> str:
    return f"{batches_per_s:g} batch{'es' * (batches_per_s != 1)}/s"


class SpeedControl:
    """How many batches a second: a slider in equal ratios, and full speed. Built into the current container."""

    def __init__(self, page: Page) -> None:
        self._page, speed = page, page.trainer.speed
        at = _SPEED_AT_FIRST
        if speed is not None:
            at = min(range(len(_SPEEDS)), key=lambda i: abs(math.log(_SPEEDS[i] / speed)))
        words = [_in_words(speed) for speed in _SPEEDS]
        with ui.element("div").classes("speed") as self._box:
            self.slider = LiveSlider(page, "Speed", self._slide, max=len(words) - 1, value=at, words=words)
            self.slider.mark("speed")
            self.full = ui.switch("Full speed", value=speed is None, on_change=self._choose)
        page.on(self._follow, "state")

    def _follow(self) -> None:
        may_steer, speed = self._page.may_steer, self._page.trainer.speed
        self.slider.set_enabled(may_steer)
        self.full.set_enabled(may_steer)
        if (speed is None) != self.full.value:
            self.full.set_value(speed is None)  # somebody else chose
        mark(self._box, "is-full", self.full.value)

    def _slide(self, position: int) -> None:
        if self.full.value:
            self.full.set_value(False)
        else:
            self._set(_SPEEDS[position])

    def _choose(self) -> None:
        mark(self._box, "is-full", self.full.value)
        self._set(None if self.full.value else _SPEEDS[self.slider.value])

    def _set(self, speed: float | None) -> None:
        if self._page.may_steer and speed != self._page.trainer.speed:
            self._page.trainer.set_speed(speed)


class TimeTravel:
    """Slider, ``Replay`` and ``Live``; all of them move the page's cursor, and follow it. Built where one is."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._is_replaying = False
        with ui.element("div").classes("time-travel"):
            self._slider = LiveSlider(page, "Time travel", self._look_at, max=0, value=0, text="batch {value} of {max}")
            self._slider.mark("time")
            self._replay = Command("Replay", self._toggle_replay)
            self._live = Command("Live", lambda: self._look_at(None))
        page.on_records(lambda _: self._follow())
        page.on(self._follow, "generation", "state", "cursor")

    def _follow(self) -> None:
        newest, cursor = self._page.step, self._page.cursor
        self._slider.put(newest if cursor is None else min(cursor, newest), newest)
        self._slider.set_enabled(newest > 0)
        self._live.set_enabled(cursor is not None)
        mark(self._live, "is-live", cursor is None)
        self._replay.set_enabled(newest > 0)

    def _look_at(self, step: int | None) -> None:
        self._is_replaying = False
        self._page.set_cursor(step)

    def _toggle_replay(self) -> None:
        if self._is_replaying:
            self._is_replaying = False
        else:
            background_tasks.create(self._play(), name="replay", context=self._page.client)

    async def _play(self) -> None:
        page = self._page
        generation = page.trainer.generation
        first = page.cursor if page.cursor is not None and page.cursor < page.trainer.step_done else 0
        steps = [step for step in page.trainer.recording.steps() if step >= first]
        stride = max(1, round(len(steps) / (_REPLAY_S * _LOOKS_PER_S)))
        self._is_replaying = True
        for step in [*steps[:-1:stride], *steps[-1:]]:
            page.set_cursor(step)
            await asyncio.sleep(1 / _LOOKS_PER_S)
            if not self._is_replaying or not page.is_open or generation != page.trainer.generation:
                break
        self._is_replaying = False


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


class ProgressLine(Scripted, component="../static/progress_line.js"):
    """A bar and a line of text, such as batch, epoch, time left, images a second."""

    def __init__(self, page: Page, label: str = "Progress of the training") -> None:
        super().__init__()
        self._page = page
        self.text = ""
        self._props |= {"label": label, "fraction": 0.0, "text": ""}

    def put(self, fraction: float, text: str) -> None:
        """Show how much is done."""
        if text != self.text:
            self.text = text
            self._page.send(self, "show", fraction, text)


class TrainingProgress(ProgressLine, component="../static/progress_line.js"):
    """Where the training of the page is; follows it."""

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.pace, self._speed = Pace(), page.trainer.speed
        page.on_records(self._on_records)
        page.on(self._on_generation, "generation")
        page.on(self._on_state, "state")

    def _on_records(self, records: Sequence[Any]) -> None:
        if self._speed != self._page.trainer.speed:
            # What was done at another speed tells nothing of this one.
            self._speed = self._page.trainer.speed
            self.pace.rest()
        self.pace.note([record for record in records if isinstance(record, StepRecord)], time.monotonic())
        self._show()

    def _on_generation(self) -> None:
        self.pace = Pace()
        self._show()

    def _on_state(self) -> None:
        if self._page.trainer.state != "training":
            self.pace.rest()
        self._show()

    def _show(self) -> None:
        trainer = self._page.trainer
        step, n_steps = self._page.step, max(1, trainer.n_steps)
        n_epochs = trainer.config.epochs
        epoch = min(n_epochs, step * n_epochs // n_steps + (step < n_steps))
        parts = [f"Batch {step:,} of {n_steps:,}", f"epoch {epoch} of {n_epochs}"]
        if trainer.state == "training" and step < n_steps:
            left_s, images_per_s = self.pace.seconds_for(n_steps - step), self.pace.images_per_s
            parts += [] if left_s is None else [f"{duration(max(left_s, 0.1))} left"]
            parts += [] if images_per_s is None else [f"{images_per_s:,.0f} images/s"]
            parts += [] if trainer.speed is None else [f"at most {_in_words(trainer.speed)}"]
        self.put(step / n_steps, " · ".join(parts))
