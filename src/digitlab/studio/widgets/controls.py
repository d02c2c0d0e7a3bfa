"""Controls: a slider that people and the training move, a button that keeps the focus, the choice of test images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from digitlab.studio.page import CODELAB_IMAGES, Page

_SECONDS_BETWEEN_EVENTS = 0.06


class LiveSlider(ui.element, component="../static/live_slider.js"):
    """A slider over whole numbers.

    ``on_slide`` is told of the value when somebody moves it, at most some 15 times a second and at the end. ``text``
    says what a value means, with ``{value}`` and ``{max}``; or ``words`` do, one a value.
    """

    def __init__(
        self,
        page: Page,
        label: str,
        on_slide: Callable[[int], Any],
        *,
        min: int = 0,
        max: int,
        value: int,
        text: str = "{value}",
        words: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self._page, self._on_slide = page, on_slide
        self.value, self.max = value, max
        self._props |= {"label": label, "min": min, "max": max, "value": value, "text": text}
        if words is not None:
            self._props["words"] = list(words)
        self.on("slide", self._slid, throttle=_SECONDS_BETWEEN_EVENTS)

    def put(self, value: int, max: int | None = None) -> None:
        """Put it elsewhere; it does not tell that to ``on_slide``."""
        end = self.max if max is None else max
        if (value, end) != (self.value, self.max):
            self.value, self.max = value, end
            self._page.send(self, "put", value, end)

    def set_enabled(self, enabled: bool) -> None:
        """Let people move it, or not."""
        if enabled is bool(self._props.get("disabled")):
            # The whole element is sent anew, and must not take the slider back to where it once was.
            self._props |= {"disabled": not enabled, "value": self.value, "max": self.max}
            self.update()

    def _slid(self, event: GenericEventArguments) -> None:
        try:
            value = int(event.args)
        except (TypeError, ValueError):
            return  # a browser sends a number; this came from somewhere else
        self.value = value = min(max(value, self._props["min"]), self.max)
        self._on_slide(value)


def choose_test_images(page: Page) -> ui.select:
    """Build the control into the current container; it follows the others of the page."""
    subject, n_all = page.subject, len(page.data.test)
    few = {CODELAB_IMAGES: f"{CODELAB_IMAGES} images"} if n_all > CODELAB_IMAGES else {}
    control = ui.select(
        few | {0: f"all {n_all:,} images"},
        value=(subject.n_images or 0) if few else 0,
        label="Test images",
        on_change=lambda event: subject.choose_images(event.value or None),
    )
    subject.on_change(lambda: control.set_value(subject.n_images or 0))
    return control.classes("evaluation-set")
