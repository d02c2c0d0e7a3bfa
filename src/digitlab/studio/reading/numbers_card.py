"""The numbers of the photos that were read: as a table, as text to copy, as CSV and JSON to save."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Any

from nicegui import ui

from digitlab.evaluation.markup import percent
from digitlab.reading.reading import REASONS
from digitlab.studio.card import Exports, Rows, card
from digitlab.studio.reading.desk import Desk
from digitlab.studio.reading.sheet import Sheet

__all__ = ["NumbersCard", "number_rows"]

_COPY = (
    "() => window.studio.copyText(document.querySelector('.numbers-text').textContent).then((copied) => emit(copied))"
)
_EMPTY = "What stands on a photo is listed here."


class NumbersCard:
    """Lines and numbers of the photo that is shown; what is saved holds all photos.

    Parameters
    ----------
    desk : Desk
        What is read.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        exports = Exports(name="reading", csv=lambda: number_rows(desk.sheets), json=self._records)
        with card("Numbers", help="confidence", exports=exports, classes="numbers-card"):
            self._says = ui.label(_EMPTY).classes("muted").props('role="status"')
            self._text = (
                ui.element("pre").classes("numbers-text num").props('tabindex="0" aria-label="The numbers as text"')
            )
            with self._text:
                self._content = ui.html("", sanitize=False)
            self._table = ui.html("", sanitize=False).classes("table-scroll")
            self._refused = ui.html("", sanitize=False)
            self._copy = ui.button("Copy as text", icon="content_copy").props("outline")
            self._copy.on("click", lambda event: self._copied(event.args), js_handler=_COPY)
        self.draw()
        desk.on("photos", self.draw)

    def draw(self) -> None:
        """Show what stands on the photo that is shown."""
        sheet = self._desk.shown
        text = "" if sheet is None else sheet.reading.text
        for element in (self._text, self._copy):
            element.set_visibility(bool(text))
        self._says.set_text(_EMPTY if sheet is None else _sentence(sheet))
        self._content.set_content(escape(text))
        self._table.set_content("" if sheet is None or not text else _table(sheet))
        self._refused.set_content("" if sheet is None else _refused(sheet))

    def _copied(self, copied: object) -> None:
        page = self._desk.page
        if copied:
            page.notify("The numbers are copied.", "success")
        else:
            page.notify("The browser does not let pages copy; select the numbers and copy them yourself.")

    def _records(self) -> list[dict[str, Any]]:
        return [sheet.reading.to_dict() for sheet in self._desk.sheets]


def number_rows(sheets: list[Sheet]) -> Rows:
    """Return a row for every number of the sheets."""
    columns = ("file", "page", "line", "number", "digits", "confidence", "left", "top", "right", "bottom")
    rows = [
        (_safe(sheet.photo.source), sheet.photo.page, at_line, at, number.value, number.confidence, *number.box)
        for sheet in sheets
        for at_line, line in enumerate(sheet.reading.lines, 1)
        for at, number in enumerate(line.numbers, 1)
    ]
    return columns, rows


def _safe(name: str) -> str:
    # Spreadsheets take these for the beginning of a formula.
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else name


def _sentence(sheet: Sheet) -> str:
    reading = sheet.reading
    if not reading.digits:
        return "No digit was found on this photo."
    turned = f", after turning it by {reading.turned}°" if reading.turned else ""
    skew = f"{' and' if turned else ', after'} straightening it by {abs(reading.skew):.1f}°" if reading.skew else ""
    return f"{_n(len(reading.numbers), 'number')}, {_n(len(reading.digits), 'digit')}{turned}{skew}."


def _n(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _table(sheet: Sheet) -> str:
    rows = [
        f'<tr><td class="num">{k}</td><th scope="row" class="num">{escape(number.value)}</th>'
        f'<td class="num">{percent(min(number.confidence, 1.0), 1)}</td></tr>'
        for k, line in enumerate(sheet.reading.lines, 1)
        for number in line.numbers
    ]
    return (
        '<table class="table numbers-table"><caption class="sr-only">Numbers and how sure they are</caption>'
        '<thead><tr><th scope="col" class="num">Line</th><th scope="col">Number</th>'
        f'<th scope="col" class="num">All digits right</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _refused(sheet: Sheet) -> str:
    reasons = Counter(refused.reason for refused in sheet.reading.refused)
    if not reasons:
        return ""
    items = "".join(
        f'<li><b class="num">{n} ×</b> {escape(REASONS[reason])}</li>' for reason, n in reasons.most_common()
    )
    return f'<h3 class="refused-head">{_n(reasons.total(), "mark")} refused</h3><ul class="refused-list">{items}</ul>'
