"""Tables whose numbers have bars beside them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from digitlab.evaluation.svg import Bar


def bar_table(caption: str, headings: Sequence[str], rows: Sequence[tuple[str, Sequence[Bar | str]]]) -> str:
    """Return an HTML table; everything in it is escaped here.

    Parameters
    ----------
    caption : str
        For screen readers.
    headings : sequence of str
        One a column, that of the rows' names first.
    rows : sequence of (str, cells)
        A name, and a bar or a number's text for each further column.
    """
    head = "".join(
        f'<th scope="col"{"" if column == 0 else " class=num"}>{escape(heading)}</th>'
        for column, heading in enumerate(headings)
    )
    body = "".join(f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_cell, cells))}</tr>' for name, cells in rows)
    return (
        f'<table class="table bar-table"><caption class="sr-only">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(cell: Bar | str) -> str:
    if isinstance(cell, str):
        return f'<td class="num">{escape(cell)}</td>'
    return (
        f'<td class="num bar-cell"><span class="bar-track" aria-hidden="true"><span class="bar" '
        f'style="width:{100 * min(max(cell.length, 0.0), 1.0):.2f}%"></span></span>'
        f'<span class="bar-text">{escape(cell.text)}</span></td>'
    )
