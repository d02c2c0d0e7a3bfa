"""A table that sorts by every column at a click or the Enter key, in the browser, without asking the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nicegui import events, ui


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and whether it holds numbers (on the right, greatest first at the first click).

    A hidden heading is for screen readers only; the cells below speak for themselves.
    """

    title: str
    is_number: bool = False
    can_sort: bool = True
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell.

    Attributes
    ----------
    text : str
        Plain text.
    order : float, str or None
        What the column is sorted by; None is always last. The text where it is left out.
    kind : str
        ``text``; ``button`` and ``check`` report ``action`` when used; ``link`` opens ``href`` in a new tab.
    action, href : str
        For those kinds.
    says : str
        What a screen reader says instead of the text.
    is_on : bool
        Whether a check is set.
    look : str
        A class of the stylesheet.
    span : int
        How many columns it takes; the cells in the others follow nevertheless, and are not seen.
    """

    text: str
    order: float | str | None = ""
    kind: Literal["text", "button", "check", "link"] = "text"
    action: str = ""
    href: str = ""
    says: str = ""
    is_on: bool = False
    look: str = ""
    span: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return what the browser needs, without what has its default."""
        given = {"text": self.text, "order": self.text.casefold() if self.order == "" else self.order}
        defaults = {"kind": "text", "action": "", "href": "", "says": "", "is_on": False, "look": "", "span": 1}
        return given | {name: value for name, usual in defaults.items() if (value := getattr(self, name)) != usual}


@dataclass(frozen=True, slots=True)
class Row:
    """A row with a name of its own; its first cell that is no check names it for screen readers."""

    key: str
    cells: tuple[Cell, ...]
    is_marked: bool = False


class SortableTable(ui.element, component="../static/sortable_table.js"):
    """A table whose headings sort it."""

    def __init__(
        self,
        name: str,
        columns: Sequence[Column],
        *,
        sorted_by: int | None = None,
        descending: bool = False,
        heading_column: int = 0,
        on_action: Callable[[str, str], Any] | None = None,
    ) -> None:
        super().__init__()
        self._on_action = on_action
        self._actions: set[tuple[str, str]] = set()
        self.rows: tuple[Row, ...] = ()
        self._props.update(
            {
                "name": name,
                "columns": [
                    {"title": c.title, "number": c.is_number, "sorts": c.can_sort, "hidden": c.is_hidden}
                    for c in columns
                ],
                "rows": [],
                "by": sorted_by,
                "descending": descending,
                "heading": heading_column,
            }
        )
        self.on("act", self._act)

    def show(self, rows: Sequence[Row]) -> None:
        """Replace all rows; the order that somebody chose stays."""
        self.rows = tuple(rows)
        self._actions = {(row.key, cell.action) for row in rows for cell in row.cells if cell.action}
        self._props["rows"] = [
            {"key": row.key, "marked": row.is_marked, "cells": [cell.to_dict() for cell in row.cells]} for row in rows
        ]
        self.update()

    def _act(self, event: events.GenericEventArguments) -> Any:
        args = event.args if isinstance(event.args, dict) else {}
        row, action = str(args.get("row")), str(args.get("action"))
        # Only what the table offers: the browser may send anything.
        if (row, action) in self._actions and self._on_action is not None:
            return self._on_action(row, action)
        return None
