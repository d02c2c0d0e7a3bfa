"""Which image goes through the network of the tab Network, and where other tabs send one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digitlab.studio.page import Page
from digitlab.studio.tabs.read_desk import Desk
from digitlab.studio.tabs.readers import TRAINED, of_run
from digitlab.studio.tabs.sheet import Mark, Sheet

_TAB = "Network"
# Digits of photos that are offered, of the newest.
MOST_GLYPHS = 96


class LookedAt:
    """The image of the tab Network and the network that it goes through, the same for all who ask on a page.

    ``number`` is that of the test image, which is shown unless the image ``is_drawn`` or ``given`` with a title.
    ``network`` is a choice of ``Readers``. To be used on the event loop; the page hears of ``image`` and ``network``.
    """

    def __init__(self, page: Page) -> None:
        self._page, self._data = page, page.data.test
        self.number = 0
        self.is_drawn = False
        self.given: tuple[NDArray[np.uint8], str] | None = None
        self.network = TRAINED

    def show_test(self, number: int) -> None:
        """Show a test image, by its number from 0."""
        self.number, self.is_drawn, self.given = number, False, None
        self._page.tell("image")

    def show_drawing(self) -> bool:
        """Show what is drawn, now and as it changes; tell whether there is anything."""
        if self.drawing() is None:
            return False
        self.is_drawn, self.given = True, None
        self._page.tell("image")
        return True

    def show(self, image: NDArray[np.uint8], title: str) -> None:
        """Show an image, uint8 (28, 28), ink bright on dark; the title says what it is, as a sentence begins."""
        self.is_drawn, self.given = False, (image, title)
        self._page.tell("image")

    def use_network(self, choice: str) -> None:
        """Let the image go through another network."""
        if choice != self.network:
            self.network = choice
            self._page.tell("network")

    def show_mark(self, sheet: Sheet, mark: Mark) -> None:
        """Show a mark of a drawing or a photo, as the reader framed it."""
        if mark.image is not None:
            self.show(mark.image, title_of(sheet, mark, is_drawing=sheet is self._desk.drawn))

    # ---- what other tabs call ----

    def open_mistake(self, number: int, run_name: str = "") -> None:
        """Open the tab with a test image, and the network of a run; of the training here for an empty name."""
        if 0 <= number < len(self._data):
            self.use_network(of_run(run_name) if run_name else TRAINED)
            self.show_test(number)
            self._page.set_tab(_TAB)

    def open_mark(self, sheet: Sheet, mark: Mark) -> None:
        """Open the tab with a mark of a drawing or a photo, as the reader framed it, and the network that read it."""
        if mark.image is not None:
            self.use_network(self._desk.choice)
            self.show_mark(sheet, mark)
            self._page.set_tab(_TAB)

    # ---- what there is ----

    @property
    def _desk(self) -> Desk:
        return self._page.own(Desk)

    def drawing(self) -> NDArray[np.uint8] | None:
        """Return the first digit that is drawn in the tab Read, as a network gets it; else ink that is none."""
        sheet = self._desk.drawn
        return None if sheet is None else next((mark.image for mark in sheet.marks if mark.image is not None), None)

    def glyphs(self) -> list[tuple[Sheet, Mark]]:
        """Return what was found on drawing and photos, digits and what was refused, the newest sheet first."""
        desk = self._desk
        sheets = [*([] if desk.drawn is None else [desk.drawn]), *reversed(desk.sheets)]
        found = [(sheet, mark) for sheet in sheets for mark in sheet.marks if mark.image is not None]
        return found[:MOST_GLYPHS]

    def image(self) -> tuple[NDArray[np.uint8], str]:
        """Return the image, uint8 (28, 28), and what it is, in words."""
        if self.given is not None:
            return self.given
        drawing = self.drawing() if self.is_drawn else None
        if drawing is not None:
            return drawing, "Your drawing"
        label = self._page.data.class_names[int(self._data.labels[self.number])]
        return self._data.images[self.number], f"Test image {self.number:,} is {label}"


def title_of(sheet: Sheet, mark: Mark, *, is_drawing: bool) -> str:
    """Return what a mark is, in words."""
    where = "your drawing" if is_drawing else sheet.title
    return f"Ink of {where}, refused" if mark.value is None else f"A digit of {where}, read as {mark.value}"
