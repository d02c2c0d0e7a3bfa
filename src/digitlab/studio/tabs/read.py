"""The tab Read: own digits, drawn or photographed, and every step from them to an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from nicegui import background_tasks, ui

from digitlab.errors import DigitlabError
from digitlab.studio.card import card
from digitlab.studio.page import Page
from digitlab.studio.reading.corrections_card import CorrectionsCard
from digitlab.studio.reading.desk import Desk
from digitlab.studio.reading.elements import Corrected, DrawnAnswer, DrawPad
from digitlab.studio.reading.learning import corrections_of
from digitlab.studio.reading.numbers_card import NumbersCard
from digitlab.studio.reading.photo_card import PhotoCard
from digitlab.studio.reading.readers import TRAINED
from digitlab.studio.reading.steps_view import StepsView
from digitlab.studio.refreshing import Refreshing

__all__ = ["ReadTab", "build"]

_NAME = "Read"


def build(page: Page) -> None:
    """Build the tab into the current container."""
    ReadTab(page)


class ReadTab:
    """Which network reads, the drawing, the photos, the steps, and the corrections.

    Parameters
    ----------
    page : Page
        Where it stands.
    """

    def __init__(self, page: Page) -> None:
        self._page, self.desk = page, Desk(page)
        self._corrections = corrections_of(page.trainer)
        self._build()
        self._offering = Refreshing(self._offer, gap_s=2.0, name="digitlab studio choice of readers")
        self._stepping = Refreshing(self._steps.refresh, gap_s=0.5, name="digitlab studio steps of reading")
        self._listing = Refreshing(self._kept.refresh, gap_s=0.3, name="digitlab studio corrections")
        # While somebody draws, the answer comes first.
        self.desk.on("drawing", self._stepping.ask)
        self.desk.on("photos", lambda: self._stepping.ask(at_once=True))
        self.desk.on("reader", self._reader_chosen)
        page.on_tab(lambda name: self._shown() if name == _NAME else None)
        page.on_state(lambda _: self._training_changed())
        page.on_generation(self._training_changed)
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
                self._answer = DrawnAnswer(self._correct_drawing, keeps=keeps)
            with pad:
                DrawPad(desk, self._answer)
        with ui.element("div").classes("read-pair"):
            self._photos = PhotoCard(desk, self._correct_photo, keeps=keeps)
            NumbersCard(desk)
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

    def _correct_drawing(self, what: Corrected) -> None:
        self._correct(what, self.desk.drawn, self._answer)

    def _correct_photo(self, what: Corrected) -> None:
        self._correct(what, self.desk.shown, self._photos.view)

    def _correct(self, what: Corrected, sheet: Any, view: Any) -> None:
        mark, corrections = what.mark_of(sheet), self._corrections
        if mark is None or corrections is None:
            return

        async def keep() -> None:
            try:
                await asyncio.to_thread(corrections.add, mark.image, what.label)
            except DigitlabError as error:
                self._page.notify(str(error), "error")
                return
            view.corrected(what)
            self._listing.ask(at_once=True)

        background_tasks.create(keep(), name="digitlab studio correction", context=self._page.client)
