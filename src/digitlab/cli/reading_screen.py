"""What is printed while files are read: a table that grows, JSON or CSV to stdout; a bar and errors to stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from rich import box
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from digitlab.cli.progress import COMPILING
from digitlab.cli.terminal import print_json, shown, stderr, stdout
from digitlab.evaluation.markup import percent
from digitlab.reading.many import FileReading
from digitlab.reading.table import COLUMNS, csv_text, table_rows

__all__ = ["ReadingScreen"]

_DOUBTFUL = 0.9  # less sure than this is shown in yellow
_HEADINGS = ("File", "Line", "Read", "Confidence", "Refused")
_OTHERS = 4 + 10 + 7 + 4 * 3  # characters that everything but the file and what was read takes
_LEAST_READ = 12
_PAGE_ROOM = len(", page 99")
_DOCUMENTS = (".pdf", ".tif", ".tiff")
# A photo takes well under a second when the kernels are in the cache.
_COMPILING_AFTER_S = 5.0


class ReadingScreen:
    """Shows files as they are read. Enter it, then call ``show`` with each of them.

    Parameters
    ----------
    style : str
        "table", "json", "csv", or "none" for the bar and errors only.
    names : mapping of str to str
        All files, and how each is called in the table.
    """

    def __init__(self, style: str, names: Mapping[str, str]) -> None:
        self._style, self._names = style, {file: shown(name) for file, name in names.items()}
        self._is_first = True
        self._stdout, self._stderr = stdout(), stderr()
        longest = max(
            (len(name) + _PAGE_ROOM * name.lower().endswith(_DOCUMENTS) for name in self._names.values()), default=0
        )
        self._name_width = max(len(_HEADINGS[0]), min(longest, self._stdout.width - _OTHERS - _LEAST_READ))
        # Lines of JSON and a bar on the same terminal would overwrite each other.
        is_mixed = style in ("json", "csv") and self._stdout.is_terminal
        self._has_bar = self._stderr.is_terminal and not self._stderr.is_dumb_terminal and not is_mixed
        self._bar = Progress(
            TextColumn("Reading"),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("files"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._stderr,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._has_bar,
        )
        self._task = self._bar.add_task("", total=len(names), note="")
        self._timer = threading.Timer(_COMPILING_AFTER_S, self._say_compiling)

    def __enter__(self) -> Self:
        self._bar.start()
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._bar.stop()

    def show(self, result: FileReading) -> None:
        """Print what became of a file."""
        self._timer.cancel()
        if self._style == "json":
            print_json(result.to_dict(), indent=None)
        elif self._style == "csv":
            rows = [COLUMNS[:-1]] if self._is_first else []
            text = csv_text([*rows, *(row[:-1] for row in table_rows(result))])
            # To a file or another program the names go as they are.
            sys.stdout.write("\n".join(map(shown, text.split("\n"))) if self._stdout.is_terminal else text)
            sys.stdout.flush()
        elif self._style == "table" and result.readings:
            self._print(self._table(result))
        self._is_first = self._is_first and not result.readings and self._style != "csv"
        if result.error is not None:
            self.tell(result.error if result.file in result.error else f"{result.file}: {result.error}")
        self._bar.advance(self._task)

    def tell(self, sentence: str) -> None:
        """Print what went wrong, above the bar."""
        text = Text.assemble(("Error: ", "bold red"), shown(sentence))
        self._stderr.print(text, soft_wrap=not self._stderr.is_terminal)

    def note(self, words: str) -> None:
        """Show words beside the bar."""
        self._bar.update(self._task, note=words)

    def _say_compiling(self) -> None:
        self._stderr.print(Text(COMPILING, style="dim"), soft_wrap=not self._stderr.is_terminal)

    def _print(self, renderable: RenderableType) -> None:
        # Where both are the same terminal, the bar's console must know what is printed above it.
        console = self._stderr if self._has_bar and self._stdout.is_terminal else self._stdout
        console.print(renderable)
        if console is self._stdout:
            sys.stdout.flush()

    def _table(self, result: FileReading) -> Table:
        """One file's part of the table, in columns of fixed width so that the parts fit together."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=self._is_first)
        width = self._stdout.width - _OTHERS - self._name_width
        table.add_column(_HEADINGS[0], width=self._name_width, overflow="fold")
        table.add_column(_HEADINGS[1], width=4, justify="right")
        table.add_column(_HEADINGS[2], width=max(_LEAST_READ, width), overflow="fold")
        table.add_column(_HEADINGS[3], width=10, justify="right")
        table.add_column(_HEADINGS[4], width=7, justify="right")
        for cells in _rows(result, self._names.get(result.file, shown(result.file))):
            table.add_row(*cells)
        return table


def _rows(result: FileReading, file: str) -> Iterator[list[RenderableType]]:
    for reading in result.readings:
        name = f"{file}, page {reading.page}" if len(result.readings) > 1 else file
        refused = f"{len(reading.refused):,}" if reading.refused else ""
        if not reading.lines:
            yield [name, "", Text("no digits", style="dim"), "", refused]
        for row, line in enumerate(reading.lines, start=1):
            confidence = 1.0
            for number in line.numbers:
                confidence *= number.confidence
            yield [
                name if row == 1 else "",
                str(row),
                Text(line.row if "." in line.row else line.text, style="bold"),
                Text(percent(confidence, 1), style="yellow" if confidence < _DOUBTFUL else ""),
                refused if row == 1 else "",
            ]
