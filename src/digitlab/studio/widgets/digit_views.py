"""Digits as elements: many with a word under each, and one as the numbers that it is, with the dialog that shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui import events, ui
from numpy.typing import NDArray

from digitlab.evaluation.svg import png_data_uri


@dataclass(frozen=True, slots=True)
class Digit:
    """What stands under an image, and what a screen reader says."""

    text: str
    says: str


class ExampleDigits(ui.element, component="../static/example_digits.js"):
    """A grid of digits: one stop for the Tab key, arrow keys move, a click or Enter opens one.

    ``on_open`` is told the position of the digit that was chosen; ``size_px`` is the width of a digit, at most.
    """

    def __init__(self, name: str, on_open: Callable[[int], Any], *, size_px: int = 56) -> None:
        super().__init__()
        self._on_open = on_open
        self.digits: tuple[Digit, ...] = ()
        self._props.update({"name": name, "digits": [], "sprite": "", "size": size_px})
        self.on("open", self._open)

    def show(self, digits: Sequence[Digit], sprite: str, *, says: str = "") -> None:
        """Show digits; ``sprite`` is the data URI of all of them, side by side, and ``says`` what they are."""
        self.digits = tuple(digits)
        self._props["digits"] = [{"text": digit.text, "says": digit.says} for digit in digits]
        self._props["sprite"] = sprite
        if says:
            self._props["name"] = says
        self.update()

    def _open(self, event: events.GenericEventArguments) -> Any:
        # The browser may send anything.
        if type(event.args) is int and 0 <= event.args < len(self.digits):
            return self._on_open(event.args)
        return None


def side_by_side(images: NDArray[np.uint8]) -> str:
    """Return uint8 images (n, 28, 28), n >= 1, in one row as a PNG's data URI; to be called off the event loop."""
    return png_data_uri(np.concatenate(list(images), axis=1))


class PixelView(ui.element, component="../static/pixel_view.js"):
    """An image as a grid of numbers; the pointer or the arrow keys choose a pixel, and a line tells its value."""

    def __init__(self) -> None:
        super().__init__()
        self._props.update({"pixels": [], "name": "", "width": 28})

    def show(self, image: NDArray[np.uint8], name: str) -> None:
        """Show an image, uint8 (28, 28); ``name`` says what it is."""
        self._props.update({"pixels": image.ravel().tolist(), "name": name, "width": image.shape[1]})
        self.update()


#: Gives the image at a position, uint8 (28, 28), its title and a sentence about it.
Give = Callable[[int], tuple[NDArray[np.uint8], str, str]]


class PixelDialog:
    """The dialog of a tab in which a digit is seen as the numbers that it is, with ways to the one before and after."""

    def __init__(self) -> None:
        self._give: Give | None = None
        self._position = self._n_images = 0
        with ui.dialog() as self._dialog, ui.element("div").classes("studio-dialog pixel-dialog"):
            self._dialog.props('aria-labelledby="pixel-dialog-title"')
            with ui.element("div").classes("dialog-head"):
                self._title = ui.label().classes("dialog-title")
                self._title.props('role="heading" aria-level="2" id="pixel-dialog-title"')
                close = ui.button(icon="close", on_click=self._dialog.close).classes("icon-button")
                close.props('flat round dense aria-label="Close"')
            self._sentence = ui.label().classes("muted").props('aria-live="polite"')
            self._view = PixelView()
            with ui.element("div").classes("toolbar"):
                self._previous = ui.button("Previous", on_click=lambda: self._step(-1)).props("outline")
                self._next = ui.button("Next", on_click=lambda: self._step(1)).props("outline")

    def open(self, give: Give, position: int, n_images: int) -> None:
        """Show the image at a position of ``n_images``, which ``give`` gives."""
        self._give, self._position, self._n_images = give, position, n_images
        self._show()
        self._dialog.open()

    def _step(self, by: int) -> None:
        if self._give is not None and 0 <= self._position + by < self._n_images:
            self._position += by
            self._show()

    def _show(self) -> None:
        assert self._give is not None
        image, title, sentence = self._give(self._position)
        self._title.set_text(title)
        self._sentence.set_text(sentence)
        self._view.show(image, title)
        self._previous.set_enabled(self._position > 0)
        self._next.set_enabled(self._position + 1 < self._n_images)
