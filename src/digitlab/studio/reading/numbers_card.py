"""The numbers of the photos that were read, corrected: as a table, as text to copy, as CSV and JSON to save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape
from typing import Any

from nicegui import ui

from digitlab.errors import InputError
from digitlab.evaluation.markup import percent
from digitlab.reading.reading import REASONS, Number
from digitlab.reading.table import safe_cell
from digitlab.studio.reading.desk import Desk
from digitlab.studio.reading.elements import Correct, NumbersTable
from digitlab.studio.reading.sheet import Sheet, overlay
from digitlab.studio.widgets.card import Exports, Rows, card

__all__ = ["NumbersCard", "number_rows", "records"]

_COPY = (
    "() => window.studio.copyText(document.querySelector('.numbers-text').textContent).then((copied) => emit(copied))"
)
_EMPTY = "What stands on a photo is listed here."


class NumbersCard:
    """The numbers of all photos, and as text those of the one that is shown.

    Parameters
    ----------
    desk : Desk
        What is read.
    on_correct : callable
        Told what somebody says of a number.
    """

    def __init__(self, desk: Desk, on_correct: Correct) -> None:
        self._desk = desk
        exports = Exports(name="reading", png=self._overlay, csv=self._rows, json=self._records)
        with card("Numbers", help="confidence", exports=exports, classes="numbers-card"):
            self._says = ui.label(_EMPTY).classes("muted").props('role="status"')
            self._text = (
                ui.element("pre").classes("numbers-text num").props('tabindex="0" aria-label="The numbers as text"')
            )
            with self._text:
                self._content = ui.html("", sanitize=False)
            self.table = NumbersTable(on_correct, self._show)
            self._refused = ui.html("", sanitize=False)
            self._copy = ui.button("Copy as text", icon="content_copy").props("outline")
            self._copy.on("click", lambda event: self._copied(event.args), js_handler=_COPY)
        self.draw()
        for event in ("photos", "corrected"):
            desk.on(event, self.draw)

    def draw(self) -> None:
        """Show what stands on the photos."""
        desk, sheet = self._desk, self._desk.shown
        text = "" if sheet is None else sheet.reading.text
        for element in (self._text, self._copy):
            element.set_visibility(bool(text))
        self._says.set_text(_EMPTY if sheet is None else _sentence(sheet))
        self._content.set_content(escape(text))
        self.table.show(list(_lines(desk.sheets)), desk.at, has_files=len(desk.sheets) > 1)
        self._refused.set_content("" if sheet is None else _refused(sheet))

    async def _show(self, at: int) -> None:
        self._desk.focus(on_drawing=False)
        await self._desk.show(at)

    def _copied(self, copied: object) -> None:
        page = self._desk.page
        if copied:
            page.notify("The numbers are copied.", "success")
        else:
            page.notify("The browser does not let pages copy; select the numbers and copy them yourself.")

    # Photos that are not shown may still have been read by another network: what is saved is of one reader.

    async def _rows(self) -> Rows:
        return number_rows(await self._desk.catch_up())

    async def _records(self) -> list[dict[str, Any]]:
        return records(await self._desk.catch_up())

    def _overlay(self) -> bytes:
        sheet = self._desk.shown
        if sheet is None:
            raise InputError("There is no photo yet. Choose one, or show the example.")
        return overlay(sheet)


def _numbers(sheet: Sheet) -> Iterator[tuple[int, int, Number]]:
    for at_line, line in enumerate(sheet.reading.lines, 1):
        for at, number in enumerate(line.numbers, 1):
            yield at_line, at, number


def number_rows(sheets: list[Sheet]) -> Rows:
    """Return a row for every number of the sheets."""
    columns = ("file", "page", "line", "number", "digits", "confidence", "corrected", "left", "top", "right", "bottom")
    rows = []
    for sheet in sheets:
        name, page = safe_cell(sheet.photo.source), sheet.photo.page
        for at_line, at, number in _numbers(sheet):
            is_corrected = "yes" if sheet.is_corrected(number) else ""
            rows.append((name, page, at_line, at, number.value, number.confidence, is_corrected, *number.box))
    return columns, rows


def records(sheets: list[Sheet]) -> list[dict[str, Any]]:
    """Return the sheets' readings as plain JSON types, each number telling whether somebody has corrected it."""
    told = []
    for sheet in sheets:
        plain = sheet.reading.to_dict()
        for line, described in zip(sheet.reading.lines, plain["lines"], strict=True):
            for number, of_number in zip(line.numbers, described["numbers"], strict=True):
                of_number["corrected"] = sheet.is_corrected(number)
        told.append(plain)
    return told


def _lines(sheets: list[Sheet]) -> Iterator[dict[str, Any]]:
    """What the table in the browser is told."""
    for k, sheet in enumerate(sheets):
        for at_line, _, number in _numbers(sheet):
            yield {
                "serial": sheet.serial,
                "at": k,
                "title": sheet.title,
                "line": at_line,
                "box": list(number.box),
                "value": number.value,
                "sure": percent(min(number.confidence, 1.0), 1),
                "corrected": sheet.is_corrected(number),
            }


def _sentence(sheet: Sheet) -> str:
    reading = sheet.reading
    if not reading.digits:
        return "No digit was found on this photo."
    turned = f", after turning it by {reading.turned}°" if reading.turned else ""
    skew = f"{' and' if turned else ', after'} straightening it by {abs(reading.skew):.1f}°" if reading.skew else ""
    return f"{_n(len(reading.numbers), 'number')}, {_n(len(reading.digits), 'digit')}{turned}{skew}."


def _n(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _refused(sheet: Sheet) -> str:
    reasons = Counter(refused.reason for refused in sheet.reading.refused)
    if not reasons:
        return ""
    items = "".join(
        f'<li><b class="num">{n} ×</b> {escape(REASONS[reason])}</li>' for reason, n in reasons.most_common()
    )
    return f'<h3 class="refused-head">{_n(reasons.total(), "mark")} refused</h3><ul class="refused-list">{items}</ul>'
