"""The few pieces of HTML that the report's cards are made of; every text is escaped here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

__all__ = ["card", "duration", "empty_card", "listed", "percent", "scroll_box", "table"]


def card(name: str, title: str, body: str) -> str:
    """Return a card, a section with a heading of level 3; ``body`` is HTML."""
    return (
        f'<section class="card" id="{escape(name)}" aria-labelledby="{escape(name)}-title">'
        f'<h3 id="{escape(name)}-title">{escape(title)}</h3>\n{body}</section>\n'
    )


def empty_card(name: str, title: str, reason: str) -> str:
    """Return a card that says in a sentence why it has nothing to show."""
    return card(name, title, f'<p class="quiet">{escape(reason)}</p>')


def scroll_box(name: str, content: str) -> str:
    """Return a box in which wide content scrolls, by keyboard too; ``content`` is HTML."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{content}</div>'


def table(name: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[int] = ()) -> str:
    """Return a table whose first column names its rows.

    Parameters
    ----------
    name : str
        For screen readers, plain text.
    headings : sequence of str
        Plain text.
    rows : iterable of sequence of str
        Cells as HTML: escape plain text before.
    numbers : collection of int
        Columns, from 0, that hold numbers and stand on the right.
    """
    head = "".join(
        f'<th scope="col"{_side(column in numbers)}>{escape(heading)}</th>' for column, heading in enumerate(headings)
    )
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td{_side(column in numbers)}>{cell}</td>" for column, cell in enumerate(others, start=1))
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>\n')
    return scroll_box(name, f"<table><thead><tr>{head}</tr></thead>\n<tbody>{''.join(lines)}</tbody></table>")


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them.

    Examples
    --------
    >>> listed(["seed", "epochs", "data"])
    'seed, epochs and data'
    """
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)


def percent(fraction: float, digits: int = 2) -> str:
    """Return a fraction in [0, 1] as text.

    Never rounds to 100 % what is not all, nor to 0 % what is not nothing.

    Examples
    --------
    >>> [percent(f) for f in (0.9876, 0.99999, 1.0, 0.00001)]
    ['98.76 %', '>99.99 %', '100 %', '<0.01 %']
    """
    if fraction in (0, 1):
        return f"{fraction:.0%}".replace("%", " %")
    smallest = 10.0**-digits
    if fraction * 100 < smallest / 2:
        return f"<{smallest:.{digits}f} %"
    if (1 - fraction) * 100 < smallest / 2:
        return f">{100 - smallest:.{digits}f} %"
    return f"{fraction * 100:.{digits}f} %"


def duration(seconds: float) -> str:
    """Return a time span as text.

    Examples
    --------
    >>> [duration(s) for s in (0.00042, 0.0123, 0.684, 3.2051, 75.0, 7325.0)]
    ['0.42 ms', '12.3 ms', '684 ms', '3.21 s', '1 min 15 s', '2 h 2 min']
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.995:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _side(is_number: bool) -> str:
    return ' class="number"' if is_number else ""
