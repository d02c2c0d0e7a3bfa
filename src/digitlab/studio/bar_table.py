"""Tables whose numbers have bars beside them, and the same as an SVG to save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Bar", "bar_svg", "bar_table"]

_ROW, _LEFT, _BAR, _WIDTH, _TOP = 26, 130, 380, 640, 44


@dataclass(frozen=True, slots=True)
class Bar:
    """A number as text, and the length of its bar as a fraction of the longest."""

    text: str
    length: float


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


def bar_svg(title: str, rows: Sequence[tuple[str, Bar]]) -> str:
    """Return the same bars as one SVG, readable on any background that is light."""
    height = _TOP + _ROW * len(rows) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="14" fill="#16181d">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
        f'<text x="16" y="27" font-size="16" font-weight="600">{escape(title)}</text>'
    ]
    for i, (name, bar) in enumerate(rows):
        y = _TOP + _ROW * i
        width = _BAR * min(max(bar.length, 0.0), 1.0)
        parts.append(
            f'<text x="{_LEFT - 12}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y + 2}" width="{width:.1f}" height="18" rx="3" fill="#2456d6"/>'
            f'<text x="{_LEFT + width + 8:.1f}" y="{y + 15}">{escape(bar.text)}</text>'
        )
    return "".join([*parts, "</svg>"])
