"""This step: the batch that was trained by itself last, taken apart; undoing it, and trying another learning rate."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from digitlab.errors import DigitlabError, InputError
from digitlab.explanation.step import StepApart, step_after, with_rate
from digitlab.explanation.step_frames import (
    IMAGES,
    Chosen,
    account_of_weight,
    first_weight,
    images_of_step,
    maps_of_step,
    plan_of_step,
)
from digitlab.studio.page import Page
from digitlab.studio.trainer import Remembered, Trainer
from digitlab.studio.widgets.card import card
from digitlab.studio.widgets.controls import Command, Scripted
from digitlab.studio.widgets.tables import bar_table
from digitlab.svg import Bar
from digitlab.training.position import Position
from digitlab.training.session import TrainingSession

_GAP_S, _HURRIED_GAP_S = 0.1, 0.05
# Images of a batch that may be asked for, and rates that are told of.
_MOST_IMAGES, _MOST_TRIES = 960, 12
_PEAK = "The rate is the peak of the schedule. "
_ADVICE = "To try a rate, the step is taken back and taken once more; the training goes on with the rate tried last."


class StepPicture(Scripted, component="../static/step_view.js"):
    """The picture of the step."""


@dataclass(frozen=True, slots=True)
class Try:
    """A learning rate that the step was taken with, and what became of the loss of its batch."""

    rate: float
    loss: float
    loss_after: float | None


class Tries:
    """The rates that were tried with one batch, for all pages; the next batch begins anew."""

    def __init__(self, trainer: Trainer) -> None:
        self._session: TrainingSession | None = None
        self._step = -1
        self._tries: dict[float, Try] = {}

    def note(self, session: TrainingSession, apart: StepApart) -> list[Try]:
        """Take note of a step, and return all that were taken of this batch, by rate."""
        if session is not self._session or apart.step != self._step:
            self._session, self._step, self._tries = session, apart.step, {}
        self._tries.pop(apart.learning_rate, None)
        self._tries[apart.learning_rate] = Try(apart.learning_rate, apart.loss, apart.loss_after)
        while len(self._tries) > _MOST_TRIES:
            self._tries.pop(next(iter(self._tries)))
        return sorted(self._tries.values(), key=lambda one: one.rate)


def _remembered(trainer: Trainer) -> Remembered:
    return Remembered(2)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    key: tuple[int, int]
    session: TrainingSession
    position: Position
    apart: StepApart
    tries: list[Try]


class StepView:
    """A card that is there once a batch was trained by itself; nothing is copied or computed while others follow."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._seen: _Seen | None = None
        self._chosen = Chosen()
        self._is_ready = self._is_folded = False
        self._refreshing = page.refreshing("Training", self._refresh, gap_s=_GAP_S, hurried_gap_s=_HURRIED_GAP_S)
        with ui.element("div").classes("step-place") as self.card, card("This Step", help="gradient"):
            self._words = ui.label().classes("step-words num").props('role="status"')
            with ui.element("div").classes("step-rates"):
                with ui.element("div").classes("toolbar"):
                    self.undo = Command("Undo this step", self._undo)
                    self.rate = ui.number("Another learning rate").classes("step-rate").props("step=any")
                    self.rate.mark("another_rate").on("keydown.enter", self._try, [])
                    self.again = Command("Try this rate", self._try)
                    self._folding = Command("Show less", self._fold)
                self._table = ui.html("", sanitize=False).classes("step-tries")
                self._advice = ui.label().classes("muted")
            self.picture = StepPicture()
        self.card.set_visibility(False)
        self.picture.on("ready", self._ready, [])
        self.picture.on_values("look", self._look)
        self.picture.on_values("weight", self._weigh)
        self.picture.on_number("more", self._more)
        page.on_records(lambda _: self._follow())
        page.on(self._follow, "state", "generation")

    # ---- what is shown ----

    def _follow(self) -> None:
        page, trainer, seen = self._page, self._page.trainer, self._seen
        is_undone = seen is not None and trainer.state == "paused" and trainer.step_done == seen.apart.step - 1
        self.undo.set_enabled(page.may_steer and trainer.can_undo)
        self.again.set_enabled(page.may_steer and trainer.state == "paused" and seen is not None)
        if trainer.single_step is not None:
            self._refreshing.ask(at_once=True)
        elif is_undone and seen is not None:
            words = f"Batch {seen.apart.step:,} is undone: everything is as it was before it."
            self._words.set_text(f"{words} Below is what the undone step did. Try another rate, or step once more.")
        else:
            self._seen = None
            self.card.set_visibility(False)

    def _ready(self) -> None:
        # Also when a browser comes back: it has nothing of what it was shown.
        self._is_ready = True
        if self._seen is not None:
            self.picture.run_method("show", *_drawn(self._seen.apart, self._chosen))

    async def _refresh(self) -> None:
        page, trainer = self._page, self._page.trainer
        taken, generation, before = trainer.single_step, trainer.generation, self._seen
        if taken is None:
            return
        session, position = taken
        key = generation, position.progress.step
        if before is not None and before.key == key:
            return
        chosen = dataclasses.replace(self._chosen, image=None)

        def computed() -> tuple[_Seen, Chosen, tuple[dict[str, Any], ...]]:
            apart = trainer.own(_remembered).get(key, lambda: step_after(session, position))
            is_same = before is not None and before.apart.network == apart.network
            own = chosen if is_same else first_weight(apart)
            return (
                _Seen(key, session, position, apart, trainer.own(Tries).note(session, apart)),
                own,
                _drawn(apart, own),
            )

        try:
            seen, self._chosen, drawn = await asyncio.to_thread(computed)
            self._seen = seen
        except DigitlabError as error:
            self._seen = None
            self._words.set_text(f"This step is not taken apart. {error}")
            self._show(is_apart=False)
            return
        if page.is_open:
            self._words.set_text(_told(seen.apart, session))
            self._advice.set_text((_PEAK if session.config.schedule != "constant" else "") + _ADVICE)
            if self.rate.value is None:
                self.rate.set_value(float(f"{10 * trainer.learning_rate:g}"))
            self._table.set_content(_tries_table(seen))
            if self._is_ready:
                self.picture.run_method("show", *drawn)
            self._show(is_apart=True)
            self._follow()  # it may have been undone meanwhile

    def _show(self, *, is_apart: bool) -> None:
        self.card.set_visibility(True)
        self.picture.set_visibility(is_apart and not self._is_folded)

    def _fold(self) -> None:
        self._is_folded = not self._is_folded
        self._folding.set_text("Show more" if self._is_folded else "Show less")
        self.picture.set_visibility(not self._is_folded)

    # ---- what a browser asks for ----

    async def _look(self, values: dict[str, Any]) -> None:
        layer, read, first = (values.get(name) for name in ("layer", "read", "first"))
        seen, before = self._seen, self._chosen
        if seen is None or type(layer) is not int or not 0 <= layer < len(seen.apart.layers):
            return
        if layer != before.layer:
            chosen = first_weight(seen.apart, layer)
        else:
            chosen = dataclasses.replace(before, read=read if type(read) is int else before.read, image=None)
            if type(first) is int and first >= 0 and first != before.first:
                chosen = dataclasses.replace(chosen, first=first, unit=first)
        await self._put(seen.apart, chosen, has_maps=True)

    async def _weigh(self, values: dict[str, Any]) -> None:
        seen, (unit, place, image) = self._seen, (values.get(name) for name in ("unit", "place", "image"))
        if seen is None or type(unit) is not int or not (image is None or type(image) is int):
            return
        if place is not None:
            if not (isinstance(place, list) and len(place) == 2 and all(type(at) is int for at in place)):
                return
            place = place[0], place[1]
        chosen = dataclasses.replace(self._chosen, unit=unit, place=place, image=image)
        await self._put(seen.apart, chosen, has_maps=False)

    async def _put(self, apart: StepApart, chosen: Chosen, *, has_maps: bool) -> None:
        def made() -> tuple[dict[str, Any] | None, dict[str, Any]]:
            account = account_of_weight(apart, chosen)
            return maps_of_step(apart, chosen) if has_maps else None, account

        with suppress(InputError):  # a browser asks for what there is; this came from somewhere else
            maps, account = await asyncio.to_thread(made)
            if self._seen is not None and self._seen.apart is apart:
                self._chosen = dataclasses.replace(chosen, read=account["read"])
                self.picture.run_method("put", maps, account)

    def _more(self, first: int) -> None:
        seen = self._seen
        if seen is not None and 0 < first < min(len(seen.apart.labels), _MOST_IMAGES) and first % IMAGES == 0:
            self.picture.run_method("add", images_of_step(seen.apart, first))

    # ---- undoing, and another rate ----

    def _undo(self) -> None:
        if self._page.may_steer:
            with self._page.telling_errors():
                self._page.trainer.undo_step()

    async def _try(self) -> None:
        page, seen, rate = self._page, self._seen, self.rate.value
        if seen is None or not page.may_steer or not self.again.enabled:
            return
        self.again.set_enabled(False)
        with page.telling_errors():
            if not isinstance(rate, int | float) or not 0 < rate < math.inf:
                raise InputError("Type a learning rate above 0, such as 0.01, and try it then.")
            # A step that makes the weights no numbers would end the training, and could not be undone.
            await asyncio.to_thread(step_after, seen.session, with_rate(seen.session, seen.position, float(rate)))
            page.trainer.try_rate(float(rate))
        self._follow()


def _drawn(apart: StepApart, chosen: Chosen) -> tuple[dict[str, Any], ...]:
    maps, account = maps_of_step(apart, chosen), account_of_weight(apart, chosen)
    return plan_of_step(apart), images_of_step(apart), maps, account


def _told(apart: StepApart, session: TrainingSession) -> str:
    n_batches = session.n_steps // session.config.epochs
    after, change = "no number any more", ""
    if apart.loss_after is not None:
        after, change = f"{apart.loss_after:.4f}", f" ({apart.loss_after - apart.loss:+.4f})".replace("-", "−")
    return (
        f"Batch {apart.batch:,} of {n_batches:,} in epoch {apart.epoch:,}: {len(apart.labels):,} images. Their mean "
        f"loss was {apart.loss:.4f} before the step, and is {after} after it{change}, with learning rate "
        f"{apart.learning_rate:g}."
    )


def _tries_table(seen: _Seen) -> str:
    most = max((abs(one.loss_after - one.loss) for one in seen.tries if one.loss_after is not None), default=0.0) or 1.0
    rows: list[tuple[str, list[Bar | str]]] = []
    for one in seen.tries:
        stands = " (stands)" if one.rate == seen.apart.learning_rate else ""
        if one.loss_after is None:
            rows.append((f"{one.rate:g}{stands}", [f"{one.loss:.4f}", "no number", "lost"]))
            continue
        change = one.loss_after - one.loss
        words = f"{change:+.4f}".replace("-", "−")
        rows.append(
            (
                f"{one.rate:g}{stands}",
                [f"{one.loss:.4f}", f"{one.loss_after:.4f}", Bar(words, abs(change) / most)],
            )
        )
    return bar_table(
        "Learning rates that this batch was trained with",
        ("Learning rate", "Loss before", "Loss after", "Change"),
        rows,
    )
