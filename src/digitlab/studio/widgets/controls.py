"""Controls: elements with scripts of their own, a slider, a button that keeps the focus, the choice of test images."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from digitlab.studio.page import CODELAB_IMAGES, Page

_SECONDS_BETWEEN_EVENTS = 0.06


class Scripted(ui.element):
    """An element that a script of ``static/`` draws from what it is given."""

    def give(self, **props: Any) -> None:
        """Give it what it draws."""
        self._props.update(props)
        self.update()

    def on_number(self, event: str, f: Callable[[int], Any]) -> None:
        """Call ``f`` with the whole number that comes with an event; what else a browser sends is passed over."""
        # What f returns is returned, so that NiceGUI awaits it where it is a coroutine.
        self.on(event, lambda sent: f(sent.args) if type(sent.args) is int else None)

    def on_values(self, event: str, f: Callable[[dict[str, Any]], Any]) -> None:
        """Call ``f`` with the values by name that come with an event; a browser may send any."""
        self.on(event, lambda sent: f(sent.args if isinstance(sent.args, dict) else {}))


class LiveSlider(Scripted, component="../static/live_slider.js"):
    """A slider over whole numbers from 0.

    ``on_slide`` is told of the value when somebody moves it, at most some 15 times a second and at the end. ``text``
    says what a value means, with ``{value}`` and ``{max}``; or ``words`` do, one a value.
    """

    def __init__(
        self,
        page: Page,
        label: str,
        on_slide: Callable[[int], Any],
        *,
        max: int,
        value: int,
        text: str = "{value}",
        words: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self._page, self._on_slide = page, on_slide
        self.value, self.max = value, max
        self._props |= {"label": label, "min": 0, "max": max, "value": value, "text": text}
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
            self.give(disabled=not enabled, value=self.value, max=self.max)

    def _slid(self, event: GenericEventArguments) -> None:
        try:
            value = int(event.args)
        except (TypeError, ValueError):
            return  # a browser sends a number; this came from somewhere else
        self.value = value = min(max(value, 0), self.max)
        self._on_slide(value)


class Command(TextElement):
    """A button that keeps the keyboard's focus when it cannot be used for the moment."""

    def __init__(self, text: str, action: Callable[[], Awaitable[None] | None], *, is_main: bool = False) -> None:
        super().__init__(tag="button", text=text)
        self.enabled = True
        self.classes("command" + " command-main" * is_main).props('type="button"')
        # What it returns is awaited where it is a coroutine.
        self.on("click", lambda: action() if self.enabled else None, [])

    def set_enabled(self, enabled: bool) -> None:
        """Let it be used, or not."""
        if enabled != self.enabled:
            self.enabled = enabled
            # Not "disabled": that would take the focus away from whoever has just pressed it.
            self.props(remove="aria-disabled") if enabled else self.props("aria-disabled=true")


def mark(element: ui.element, name: str, is_on: bool) -> None:
    """Give an element a class, or take it away."""
    element.classes(add=name if is_on else "", remove="" if is_on else name)


def show_tab(page: Page, name: str) -> None:
    """Show another tab, and put the keyboard's focus there: what had it is hidden then."""
    page.set_tab(name)
    page.client.run_javascript(f"document.getElementById('tab-{name.lower().replace(' ', '-')}')?.focus()")


def say(label: ui.label, sentence: str) -> None:
    """Show a sentence; nothing where it is empty."""
    label.set_text(sentence)
    label.set_visibility(bool(sentence))


def tell(label: ui.label, sentence: str, *, is_error: bool = False) -> None:
    """Show a sentence that tells how things are, or what is wrong."""
    say(label, sentence)
    mark(label, "error", is_error)
    mark(label, "muted", not is_error)


def copy_button(page: Page, text: str, script: str, done: str, failed: str) -> ui.button:
    """Build a button that copies something, and tells whether it could.

    Browsers let a page write to the clipboard only while they handle a click, so ``script`` does it there.
    """

    def copied(event: GenericEventArguments) -> None:
        page.notify(done, "success") if event.args else page.notify(failed)

    button = ui.button(text).props("outline")
    return button.on("click", copied, js_handler=f"() => {script}.then((copied) => emit(copied))")


def choose_test_images(page: Page) -> ui.select:
    """Build the control into the current container; it follows the others of the page."""
    n_all = len(page.data.test)
    few = {CODELAB_IMAGES: f"{CODELAB_IMAGES} images"} if n_all > CODELAB_IMAGES else {}
    control = ui.select(
        few | {0: f"all {n_all:,} images"},
        value=(page.n_images or 0) if few else 0,
        label="Test images",
        on_change=lambda event: page.evaluate_on(event.value or None),
    )
    page.on(lambda: control.set_value(page.n_images or 0), "subject")
    return control.classes("evaluation-set")
