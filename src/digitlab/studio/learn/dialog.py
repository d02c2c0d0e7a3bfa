"""The dialog in which a short text is read, with ways on to the texts that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from digitlab.studio.learn.explaining import TOPICS, explanation, facts_of

if TYPE_CHECKING:
    from digitlab.studio.page import Page

__all__ = ["ExplanationDialog"]


class ExplanationDialog:
    """One dialog for all texts. Escape closes it, and the focus goes back to where it was.

    Parameters
    ----------
    page : Page
        Whose network and settings the texts tell of.
    """

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

    def open(self, topic: str) -> None:
        """Show the text about a topic, with the numbers of now.

        Raises
        ------
        InputError
            If there is no such topic.
        """
        content = explanation(topic, facts_of(self._page)).to_html()
        self.topic = topic
        self._title.set_text(TOPICS[topic].title)
        self._dialog.props(f'aria-label="{TOPICS[topic].title}"')
        self._text.set_content(content)
        self._see.clear()
        with self._see:
            if TOPICS[topic].see:
                ui.label("See also").classes("muted")
            for other in TOPICS[topic].see:
                ui.button(TOPICS[other].title, on_click=lambda other=other: self.open(other)).props(
                    "outline dense"
                ).classes("learn-link")
        self._dialog.open()
