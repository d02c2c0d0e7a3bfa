"""Subject: what the Evaluation tab is about; the Runs tab can put a finished run there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from digitlab.studio.page import Page

__all__ = ["Subject", "subject_of"]

#: As many test images as the codelab evaluates.
CODELAB_IMAGES = 500


class Subject:
    """Which model, and on how many test images; one a page.

    Attributes
    ----------
    run_name : str
        A run of the folder; empty for the training of this page.
    n_images : int or None
        How many test images; None for all.
    """

    def __init__(self) -> None:
        self.run_name = ""
        self.n_images: int | None = CODELAB_IMAGES
        self._listeners: list[Callable[[], Any]] = []

    def on_change(self, f: Callable[[], Any]) -> None:
        """Call ``f`` when something was chosen."""
        self._listeners.append(f)

    def choose_run(self, name: str) -> None:
        """Look at a run of the folder; at the training of this page for an empty name."""
        if name != self.run_name:
            self.run_name = name
            self._tell()

    def choose_images(self, n: int | None) -> None:
        """Look at so many test images; None for all."""
        if n != self.n_images:
            self.n_images = n
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def subject_of(page: Page) -> Subject:
    """Return the subject of a page."""
    return page.own(_made)


def _made(_: Page) -> Subject:
    return Subject()
