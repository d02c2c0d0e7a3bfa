"""Cards: a heading, a "?" that explains, a menu of what can be saved, and the content."""

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
from typing import Any

from nicegui import ui

from digitlab.errors import DigitlabError
from digitlab.reading.results_file import safe_cell
from digitlab.studio.page import Page, current_page
from digitlab.studio.widgets.explanation_dialog import ExplanationDialog

#: A table to save: the names of the columns, and the rows.
Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]


@dataclass(frozen=True, kw_only=True)
class Exports:
    """What can be saved of a card; what is None is not in its menu.

    Attributes
    ----------
    name : str
        The files' name, without ending; made from the card's title by default.
    png, svg : callable, optional
        Gives a picture: bytes for PNG, text for SVG. May be a coroutine function.
    csv : callable, optional
        Gives a table as ``(columns, rows)``. Called off the event loop unless it is a coroutine function.
    json : callable, optional
        Gives plain values. Called off the event loop unless it is a coroutine function.
    """

    name: str = ""
    png: Callable[[], bytes | Awaitable[bytes]] | None = None
    svg: Callable[[], str | Awaitable[str]] | None = None
    csv: Callable[[], Rows | Awaitable[Rows]] | None = None
    json: Callable[[], Any] | None = None


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
                button = ui.button("?", on_click=lambda: _open_help(help)).classes("icon-button help-button")
                button.props(f'flat round dense aria-haspopup="dialog" aria-label="Explain: {title}"')
            if exports is not None:
                _export_menu(title, exports)
        with ui.element("div").classes("card-body") as body:
            yield body


def _open_help(topic: str) -> None:
    current_page().own(_dialog).open(topic)


def _dialog(page: Page) -> ExplanationDialog:
    with page.client.content:
        return ExplanationDialog(page)


def _export_menu(title: str, exports: Exports) -> None:
    stem = exports.name or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    kinds = [kind for kind in ("png", "svg", "csv", "json") if getattr(exports, kind) is not None]
    if not kinds:
        return
    button = ui.button(icon="download").props(f'flat round dense aria-label="Save: {title}"').classes("icon-button")
    with button, ui.menu().props("auto-close"):
        for kind in kinds:
            ui.menu_item(f"{kind.upper()} file", lambda kind=kind: _save(exports, kind, stem)).mark(f"{stem}.{kind}")


async def _save(exports: Exports, kind: str, stem: str) -> None:
    try:
        content = await _called(getattr(exports, kind))
        data = await asyncio.to_thread(_encoded, kind, content)
    except (DigitlabError, TimeoutError) as error:
        current_page().notify(str(error) or "The browser did not answer; try again.", "error")
        return
    ui.download.content(data, f"{stem}.{kind}", _MEDIA_TYPES[kind])


_MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "csv": "text/csv", "json": "application/json"}


async def _called(function: Callable[[], Any]) -> Any:
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
