"""The card with photos: where they come in, which one is shown, and its marks."""

from __future__ import annotations

import asyncio
import io

from nicegui import ui
from PIL import Image

from digitlab.errors import DigitlabError
from digitlab.reading.reading import Box
from digitlab.studio.reading.desk import Desk
from digitlab.studio.reading.elements import Correct, PhotoSource, PhotoView
from digitlab.studio.widgets.card import card
from digitlab.training.composed_page import compose_page

__all__ = ["PhotoCard"]

_EXAMPLE = "example.png"


class PhotoCard:
    """Photos and pages, one of them shown.

    Parameters
    ----------
    desk : Desk
        What is read.
    on_correct : callable
        Told what somebody says of a mark or a number.
    keeps : bool
        Whether corrections are kept to learn from.
    """

    def __init__(self, desk: Desk, on_correct: Correct, *, keeps: bool) -> None:
        self._desk, self._n_examples = desk, 0
        with card("Read a photo", help="own_photos", classes="photo-card"):
            PhotoSource(desk, self._example)
            self._bar = ui.element("div").classes("toolbar photo-bar")
            with self._bar:
                self._choice = ui.select({}, label="Photo", on_change=self._choose).classes("field-photo")
                ui.button("Put all away", on_click=desk.clear).props("outline")
            self.view = PhotoView(desk, on_correct, self._edit, keeps=keeps)
        self.draw()
        desk.on("photos", self.draw)
        desk.on("corrected", self.draw)

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

    async def _edit(self, serial: int, kind: str, box: Box | None) -> None:
        desk = self._desk
        sheet = desk.shown
        n_changes = 0 if sheet is None else len(sheet.changes)
        desk.focus(on_drawing=False)
        try:
            await desk.edit(serial, kind, box)
        except DigitlabError as error:
            desk.page.notify(str(error), "error")
            return
        finally:
            self.view.run_method("idle")
        if n_changes and desk.shown is not None and not desk.shown.changes:
            desk.page.notify(
                "The photo was read anew, without your corrections of it. What is kept to learn from stays."
            )

    async def _example(self) -> None:
        desk = self._desk
        seed, self._n_examples = self._n_examples, self._n_examples + 1

        def example() -> bytes:
            file = io.BytesIO()
            Image.fromarray(compose_page(desk.page.data.test, seed=seed).pixels).save(file, "PNG")
            return file.getvalue()

        try:
            await desk.take_file(_EXAMPLE, await asyncio.to_thread(example))
        except DigitlabError as error:
            desk.page.notify(str(error), "error")
