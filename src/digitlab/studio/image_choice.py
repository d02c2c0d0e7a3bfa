"""The choice of test images: 500 as in the codelab, or all; one for the whole page, wherever it stands."""

from __future__ import annotations

from nicegui import ui

from digitlab.studio.page import Page
from digitlab.studio.subject import CODELAB_IMAGES, subject_of

__all__ = ["choose_test_images"]


def choose_test_images(page: Page) -> ui.select:
    """Build the control into the current container; it follows the others of the page."""
    subject, n_all = subject_of(page), len(page.data.test)
    few = {CODELAB_IMAGES: f"{CODELAB_IMAGES} images"} if n_all > CODELAB_IMAGES else {}
    control = ui.select(
        few | {0: f"all {n_all:,} images"},
        value=(subject.n_images or 0) if few else 0,
        label="Test images",
        on_change=lambda event: subject.choose_images(event.value or None),
    )
    subject.on_change(lambda: control.set_value(subject.n_images or 0))
    return control.classes("evaluation-set")
