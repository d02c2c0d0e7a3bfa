"""The dialog in which a term is explained, with ways on to the terms that go with it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from digitlab.explanation.facts import Facts
from digitlab.explanation.topics import TOPICS, Explanation, find_topic

if TYPE_CHECKING:
    from digitlab.studio.page import Page

# Where the training that goes on, or is over, is looked at rather than the settings of the next one.
_TABS_OF_THE_TRAINING = ("Training", "Evaluation", "Read")


class ExplanationDialog:
    """One dialog for all terms. Escape closes it, and the focus goes back to where it was."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.topic = ""
        with ui.dialog() as self._dialog, ui.element("div").classes("studio-dialog learn-dialog"):
            with ui.element("div").classes("dialog-head"):
                self._title = ui.label().classes("dialog-title").props('role="heading" aria-level="2"')
                ui.button(icon="close", on_click=self._dialog.close).props(
                    'flat round dense aria-label="Close"'
                ).classes("icon-button")
            self._text = ui.html("", sanitize=False).classes("learn-text")
            self._see = ui.element("nav").classes("toolbar learn-see").props('aria-label="Related"')

    def open(self, term: str) -> None:
        """Explain a term, with the numbers of now; an unknown one is an `InputError`."""
        self.topic = find_topic(term)
        topic = TOPICS[self.topic]
        self._text.set_content(as_html(topic.explain(facts_of(self._page))))
        self._title.set_text(topic.title)
        self._dialog.props(f'aria-label="{topic.title}"')
        self._see.clear()
        with self._see:
            if topic.see:
                ui.label("See also").classes("muted")
            for other in topic.see:
                ui.button(TOPICS[other].title, on_click=lambda other=other: self.open(other)).props(
                    "outline dense"
                ).classes("learn-link")
        self._dialog.open()


def facts_of(page: Page) -> Facts:
    """Return the network, settings and data that the page's tab is about."""
    trainer = page.trainer
    if page.tab in _TABS_OF_THE_TRAINING and trainer.state != "idle":
        return Facts(trainer.architecture, trainer.config, page.data)
    return Facts(page.architecture or page.config.build_architecture(), page.config, page.data)


def as_html(explanation: Explanation) -> str:
    """Return an explanation's paragraphs, everything in them escaped."""
    first, *others = (f"<p>{escape(paragraph)}</p>" for paragraph in explanation.text)
    formula = f'<p class="learn-formula">{escape(explanation.formula)}</p>' if explanation.formula else ""
    here = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in explanation.here)
    if here:
        here = f'<div class="learn-here"><h3>In your network</h3>{here}</div>'
    return first + formula + "".join(others) + here
