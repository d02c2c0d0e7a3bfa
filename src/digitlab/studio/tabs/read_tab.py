"""The tab Read built: own digits, drawn or photographed, every step to an answer, and the corrections."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from nicegui import background_tasks, ui
from numpy.typing import NDArray

from digitlab.errors import DigitlabError, InputError
from digitlab.reading.change import Change
from digitlab.reading.photo import Photo
from digitlab.reading.reading import Box
from digitlab.studio.page import Page, Refreshing
from digitlab.studio.tabs.read_cards import CorrectionsCard, NumbersCard, PhotoCard
from digitlab.studio.tabs.read_desk import PROCESSES, Desk
from digitlab.studio.tabs.read_elements import DrawnAnswer, DrawPad, StepsView
from digitlab.studio.tabs.readers import TRAINED, corrections_of
from digitlab.studio.widgets.card import card

__all__ = ["ReadTab", "build"]

_NAME = "Read"


def build(page: Page) -> None:
    """Build the tab into the current container."""
    ReadTab(page)


class ReadTab:
    """Which network reads, the drawing, the photos, the steps, and the corrections."""

    def __init__(self, page: Page) -> None:
        self._page, self.desk = page, Desk(page)
        self._corrections = corrections_of(page.trainer)
        # Which kept images come from which change: what is taken back is forgotten.
        self._kept_of: WeakKeyDictionary[Photo, dict[Change | None, list[int]]] = WeakKeyDictionary()
        self._build()
        self._offering = Refreshing(self._offer, gap_s=2.0, name="digitlab studio choice of readers")
        self._stepping = Refreshing(self._steps.refresh, gap_s=0.5, name="digitlab studio steps of reading")
        self._listing = Refreshing(self._kept.refresh, gap_s=0.3, name="digitlab studio corrections")
        # While somebody draws, the answer comes first.
        self.desk.on("drawing", self._stepping.ask)
        self.desk.on("photos", lambda: self._stepping.ask(at_once=True))
        self.desk.on("reader", self._reader_chosen)
        self.desk.on("corrected", self._steps.retell)
        page.on_tab(lambda name: self._opened() if name == _NAME else None)
        page.on_state(lambda _: self._training_changed())
        page.on_generation(self._training_changed)
        self._shown()

    def _opened(self) -> None:
        PROCESSES.start()  # so that the first photo does not wait for one
        self._shown()

    def _build(self) -> None:
        desk, keeps = self.desk, self._corrections is not None
        with ui.element("div").classes("toolbar"):
            self._names = {choice: desk.readers.name(choice) for choice in ("shipped", "trained")}
            self._model = ui.select(self._names, value=desk.choice, label="Network", on_change=self._choose_reader)
            self._model.classes("evaluated-run")
            self._about = ui.label().classes("muted").props('role="status"')
        with ui.element("div").classes("read-pair"):
            with card("Draw", help="own_digits", classes="draw-card"):
                pad = ui.element("div")
            with card("Answer", help="not_a_digit", classes="answer-card"):
                self._answer = DrawnAnswer(self._correct, keeps=keeps)
            with pad:
                DrawPad(desk, self._answer)
        with ui.element("div").classes("read-pair"):
            self._photos = PhotoCard(desk, self._correct, keeps=keeps)
            self._numbers = NumbersCard(desk, self._correct)
        with card("From paper to 28 × 28", help="normalisation"):
            self._steps = StepsView(desk, self._switch)
        self._kept = CorrectionsCard(desk)

    def _shown(self) -> None:
        if self._page.tab == _NAME:
            self._offering.ask(at_once=True)
            self._listing.ask(at_once=True)
            self._training_changed()

    # ---- which network reads, and how ----

    async def _offer(self) -> None:
        try:
            names = await asyncio.to_thread(self.desk.readers.choices)
        except DigitlabError as error:
            self._page.notify(str(error), "error")
            return
        if not self._page.is_open:
            return
        choice = self.desk.choice
        names.setdefault(choice, self.desk.readers.name(choice))
        if names != self._names or self._model.value != choice:
            self._names = names
            self._model.set_options(names, value=choice)

    async def _choose_reader(self) -> None:
        choice = str(self._model.value or "")
        if choice and choice != self.desk.choice:
            await self._change(choice)

    async def _switch(self, option: str, value: Any) -> None:
        await self._change(None, **{option: value})

    async def _change(self, choice: str | None, **options: Any) -> None:
        try:
            await self.desk.choose(choice, **options)
        except DigitlabError as error:
            self._page.notify(str(error), "error")

    def _reader_chosen(self) -> None:
        desk = self.desk
        self._about.set_text(desk.readers.about(desk.choice))
        if self._model.value != desk.choice:
            self._names = {**self._names, desk.choice: desk.readers.name(desk.choice)}
            self._model.set_options(self._names, value=desk.choice)
        self._answer.show(desk.drawn)
        self._stepping.ask(at_once=True)
        self._offering.ask()

    def _training_changed(self) -> None:
        if self._page.tab != _NAME or self.desk.choice != TRAINED:
            return
        self._about.set_text(self.desk.readers.about(TRAINED))
        if self._page.trainer.state != "training":
            background_tasks.create(self._change(TRAINED), name="digitlab studio reading anew")

    # ---- corrections ----

    def _correct(self, serial: int, said: Change | Box) -> None:
        desk, corrections = self.desk, self._corrections
        sheet = desk.sheet(serial)
        if sheet is None:
            return
        kept = self._kept_of.setdefault(sheet.original, {})
        change: Change | None = None
        removed: list[int] = []
        images: list[tuple[NDArray[np.uint8], int]] = []
        if isinstance(said, Box):
            removed = [number for change in desk.take_back(sheet, said) for number in kept.pop(change, [])]
        else:
            change, images = said, desk.correct(sheet, said)
        if desk.drawn is not None and desk.drawn.serial == serial:
            self._answer.show(desk.drawn)

        async def keep() -> None:
            assert corrections is not None
            try:
                for number in removed:
                    with suppress(InputError):  # somebody has removed it from the list
                        await asyncio.to_thread(corrections.remove, number)
                for image, label in images:
                    number = await asyncio.to_thread(corrections.add, image, label)
                    kept.setdefault(change, []).append(number)
            except DigitlabError as error:
                self._page.notify(str(error), "error")
            self._listing.ask(at_once=True)

        if corrections is not None and (removed or images):
            background_tasks.create(keep(), name="digitlab studio correction", context=self._page.client)
