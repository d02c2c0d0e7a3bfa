"""Cards: a heading, a "?" that explains, a menu of what can be saved, and the content; and dialogs."""

from __future__ import annotations

import asyncio
import csv
import inspect
import io
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

from nicegui import ui

from digitlab.errors import DigitlabError
from digitlab.explanation.facts import Facts
from digitlab.explanation.topics import TOPICS, Explanation, find_topic
from digitlab.reading.results_file import safe_cell
from digitlab.studio.page import Page, current_page
from digitlab.studio.widgets.charts import png_of_svg

#: A table to save: the names of the columns, and the rows.
Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]

_MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "csv": "text/csv", "json": "application/json"}
# Where the training that goes on, or is over, is looked at rather than the settings of the next one.
_TABS_OF_THE_TRAINING = ("Training", "Network", "Evaluation", "Read")


@dataclass(frozen=True, kw_only=True)
class Exports:
    """What can be saved of a card, called then and off the event loop where it is no coroutine function.

    ``name`` is that of the files, by default made from the card's title; ``json`` is by default the rows of ``csv`` by
    the names of their columns. Where ``draws`` is set the browser makes the PNG from the SVG.
    """

    name: str = ""
    png: Callable[[], bytes | Awaitable[bytes]] | None = None
    svg: Callable[[], str | Awaitable[str]] | None = None
    csv: Callable[[], Rows | Awaitable[Rows]] | None = None
    json: Callable[[], Any] | None = None
    draws: bool = False

    def kinds(self) -> list[str]:
        """Return what the menu offers."""
        has_more = {"png": self.draws, "json": self.csv is not None}
        return [kind for kind in _MEDIA_TYPES if getattr(self, kind) is not None or has_more.get(kind)]

    async def content(self, kind: str) -> bytes:
        """Return the file of a kind."""
        if kind == "png" and self.draws:
            return await png_of_svg(str(await _called(self.svg)))
        if kind == "json" and self.json is None:
            columns, rows = await _called(self.csv)
            return await asyncio.to_thread(_encoded, kind, [dict(zip(columns, row, strict=True)) for row in rows])
        return await asyncio.to_thread(_encoded, kind, await _called(getattr(self, kind)))


@contextmanager
def card(
    title: str, *, help: str | None = None, exports: Exports | None = None, classes: str = ""
) -> Iterator[ui.element]:
    """Build a card; what is built inside the ``with`` is its content.

    ``help`` is a topic of ``digitlab.explanation``, for the "?"; ``classes`` are more CSS classes.
    """
    with ui.element("section").classes(f"card {classes}").props(f'aria-label="{title}"'):
        with ui.element("div").classes("card-head"):
            ui.label(title).classes("card-title").props('role="heading" aria-level="2"')
            if help is not None:
                button = ui.button("?", on_click=lambda: explain(current_page(), help))
                button.classes("icon-button help-button")
                button.props(f'flat round dense aria-haspopup="dialog" aria-label="Explain: {title}"')
            if exports is not None:
                _export_menu(title, exports)
        with ui.element("div").classes("card-body") as body:
            yield body


def _export_menu(title: str, exports: Exports) -> None:
    stem = exports.name or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")

    async def save(kind: str) -> None:
        try:
            content = await exports.content(kind)
        except (DigitlabError, TimeoutError) as error:
            current_page().notify(str(error) or "The browser did not answer; try again.", "error")
            return
        ui.download.content(content, f"{stem}.{kind}", _MEDIA_TYPES[kind])

    button = ui.button(icon="download").props(f'flat round dense aria-label="Save: {title}"').classes("icon-button")
    with button, ui.menu().props("auto-close"):
        for kind in exports.kinds():
            ui.menu_item(f"{kind.upper()} file", lambda kind=kind: save(kind)).mark(f"{stem}.{kind}")


async def _called(function: Any) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function()
    result = await asyncio.to_thread(function)
    return await result if inspect.isawaitable(result) else result


def _encoded(kind: str, content: Any) -> bytes:
    if kind == "csv":
        columns, rows = content
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows([safe_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
        return text.getvalue().encode()
    if kind == "json":
        return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
    return content if isinstance(content, bytes) else str(content).encode()


@contextmanager
def dialog(classes: str) -> Iterator[tuple[ui.dialog, ui.label]]:
    """Build a dialog and its title; Escape closes it, and the focus goes back to where it was."""
    with ui.dialog() as box, ui.element("div").classes(f"studio-dialog {classes}"):
        with ui.element("div").classes("dialog-head"):
            title = ui.label().classes("dialog-title").props('role="heading" aria-level="2"')
            close = ui.button(icon="close", on_click=box.close).classes("icon-button")
            close.props('flat round dense aria-label="Close"')
        box.props(f'aria-labelledby="{title.html_id}"')
        yield box, title


class ExplanationDialog:
    """The dialog in which a term is explained, with ways on to the terms that go with it; one for all terms."""

    def __init__(self, page: Page) -> None:
        self._page, self.topic = page, ""
        with page.client.content, dialog("learn-dialog") as (self._dialog, self._title):
            self._text = ui.html("", sanitize=False).classes("learn-text")
            self._see = ui.element("nav").classes("toolbar learn-see").props('aria-label="Related"')

    def open(self, term: str) -> None:
        """Explain a term, with the numbers of now; an unknown one is an `InputError`."""
        self.topic = find_topic(term)
        topic = TOPICS[self.topic]
        self._text.set_content(as_html(topic.explain(facts_of(self._page))))
        self._title.set_text(topic.title)
        self._see.clear()
        with self._see:
            if topic.see:
                ui.label("See also").classes("muted")
            for other in topic.see:
                button = ui.button(TOPICS[other].title, on_click=lambda other=other: self.open(other))
                button.props("outline dense").classes("learn-link")
        self._dialog.open()


def explain(page: Page, term: str) -> None:
    """Explain a term to whoever looks at a page."""
    page.own(ExplanationDialog).open(term)


def facts_of(page: Page) -> Facts:
    """Return the network, settings and data that the page's tab is about."""
    trainer = page.trainer
    if page.tab in _TABS_OF_THE_TRAINING and trainer.state != "idle":
        return Facts(trainer.architecture, trainer.config, page.data)
    return Facts(page.network, page.config, page.data)


def as_html(explanation: Explanation) -> str:
    """Return an explanation's paragraphs, everything in them escaped."""
    first, *others = (f"<p>{escape(paragraph)}</p>" for paragraph in explanation.text)
    formula = f'<p class="learn-formula">{escape(explanation.formula)}</p>' if explanation.formula else ""
    here = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in explanation.here)
    if here:
        here = f'<div class="learn-here"><h3>In your network</h3>{here}</div>'
    return first + formula + "".join(others) + here
