"""The card with photos: where they come in, which one is shown, and its marks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicegui import ui

from digitlab.errors import DigitlabError
from digitlab.studio.card import card
from digitlab.studio.reading.desk import Desk
from digitlab.studio.reading.elements import Corrected, PhotoSource, PhotoView
from digitlab.studio.reading.example import EXAMPLE_NAME, example_page

__all__ = ["PhotoCard"]


class PhotoCard:
    """Photos and pages, one of them shown.

    Parameters
    ----------
    desk : Desk
        What is read.
    on_correct : callable
        Told what somebody says of a mark.
    keeps : bool
        Whether corrections can be kept.
    """

    def __init__(self, desk: Desk, on_correct: Callable[[Corrected], None], *, keeps: bool) -> None:
        self._desk, self._n_examples = desk, 0
        with card("Read a photo", help="own_photos", classes="photo-card"):
            PhotoSource(desk, self._example)
            self._bar = ui.element("div").classes("toolbar photo-bar")
            with self._bar:
                self._choice = ui.select({}, label="Photo", on_change=self._choose).classes("field-photo")
                ui.button("Put all away", on_click=desk.clear).props("outline")
            self.view = PhotoView(desk, on_correct, keeps=keeps)
        self.draw()
        desk.on("photos", self.draw)

    def draw(self) -> None:
        """Show the photo that is chosen."""
        desk = self._desk
        sheet = desk.shown
        self._bar.set_visibility(sheet is not None)
        self.view.set_visibility(sheet is not None)
        if sheet is not None:
            names = {k: f"{k + 1}. {other.title}" for k, other in enumerate(desk.sheets)}
            self._choice.set_options(names, value=desk.at)
            self.view.show(sheet, desk.at)

    async def _choose(self) -> None:
        at = self._choice.value
        if isinstance(at, int) and at != self._desk.at:
            self._desk.focus(on_drawing=False)
            await self._desk.show(at)

    async def _example(self) -> None:
        desk = self._desk
        seed, self._n_examples = self._n_examples, self._n_examples + 1
        content, _ = await asyncio.to_thread(lambda: example_page(desk.page.data.test, seed=seed))
        try:
            await desk.take_file(EXAMPLE_NAME, content)
        except DigitlabError as error:
            desk.page.notify(str(error), "error")
