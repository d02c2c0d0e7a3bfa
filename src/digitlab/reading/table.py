"""Table: readings as rows of CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from digitlab.reading.many import FileReading
from digitlab.reading.reading import Reading

__all__ = ["COLUMNS", "csv_text", "safe_cell", "table_rows"]

#: A row a number; a page or file without any has one row with empty cells. ``refused`` counts the page's marks that
#: were refused. ``state`` stands in a file's last row only, and tells that all its rows are there.
COLUMNS = ("file", "page", "line", "number", "digits", "confidence", "box", "refused", "error", "state")

# What spreadsheets take for the beginning of a formula, at the beginning of a cell or behind what some of them take for
# the end of one, quoted or not; the apostrophe itself, so that no two names become one.
_RISKY = re.compile(r"(?:^|(?<=[;|\t\r\n]))(?=[ ]*[=+\-@\t\r'＝＋－＠].)", re.DOTALL)


def table_rows(result: FileReading, state: str = "") -> list[list[str]]:
    """Return a file's rows.

    Parameters
    ----------
    result : FileReading
        What was read.
    state : str
        For the last row: what the file was when it was read, and how it was read.

    Examples
    --------
    >>> table_rows(FileReading("=1.png", (), "There is no such file.", 0.0))
    [["'=1.png", '', '', '', '', '', '', '', 'There is no such file.', '']]
    """
    name = safe_cell(result.file)
    rows = [[name, *cells, "", ""] for reading in result.readings for cells in _page_cells(reading)]
    if result.error is not None:
        rows.append([name, *[""] * 7, safe_cell(result.error), ""])
    if rows:
        rows[-1][-1] = state
    return rows


def _page_cells(reading: Reading) -> Iterator[list[str]]:
    page, refused = str(reading.page), str(len(reading.refused))
    if not reading.lines:
        yield [page, "", "", "", "", "", refused]
    for row, line in enumerate(reading.lines, start=1):
        for place, number in enumerate(line.numbers, start=1):
            box = " ".join(map(str, number.box))
            yield [page, str(row), str(place), number.value, f"{number.confidence:.4f}", box, refused]


def safe_cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula, and that can be written as UTF-8."""
    return _RISKY.sub("'", text.encode("utf-8", "backslashreplace").decode())


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
