"""Digits with a word under each, as an element: one picture for all, cut up by the browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui import events, ui
from numpy.typing import NDArray

from digitlab.evaluation.png import png_data_uri

__all__ = ["Digit", "ExampleDigits", "side_by_side"]


@dataclass(frozen=True, slots=True)
class Digit:
    """What stands under an image, and what a screen reader says."""

    text: str
    says: str


class ExampleDigits(ui.element, component="static/example_digits.js"):
    """A grid of digits: one stop for the Tab key, arrow keys move, a click or Enter opens one.

    Parameters
    ----------
    name : str
        What a screen reader calls the grid.
    on_open : callable
        Told the position of the digit that was chosen.
    size_px : int
        Width of a digit, at most.
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
