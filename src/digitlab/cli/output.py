"""What is printed where: results to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

#: What is said where nothing would be seen for a while.
COMPILING = "Compiling the kernels for this processor, once: some 10 seconds. Later runs begin at once."

# What moves the cursor, changes colors or turns the direction of writing, and halves of characters, which cannot be
# printed. File names may hold all of them.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    r"""Return a text that has no effect on a terminal but to be seen.

    >>> shown("a\x1b[2Jb.png")
    'a\\x1b[2Jb.png'
    """
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit with 1; the command line decides what becomes of it.
        self.quiet = True
        raise BrokenPipeError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # Whatever is printed, and from wherever its names come: only the ends of lines are left as they are.
        for segment in super().render(renderable, options):
            if segment.control is None and _UNSEEN.search(segment.text):
                lines = "\n".join(map(shown, segment.text.split("\n")))
                yield Segment(lines, segment.style)
            else:
                yield segment


def _console(file: IO[str]) -> Console:
    # Nothing that is printed is markup: a folder may be called [red].
    return _Console(file=file, markup=False, emoji=False, highlight=False)


def stdout() -> Console:
    """Return the console for results."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Return the console for progress, messages and errors."""
    return _console(sys.stderr)


def print_json(document: Mapping[str, Any] | Sequence[Any], *, indent: int | None = 2) -> None:
    """Print one JSON document to stdout; without ``indent`` on a line of its own, at once."""
    sys.stdout.write(json.dumps(document, indent=indent, allow_nan=False) + "\n")
    if indent is None:
        sys.stdout.flush()


def say(sentence: str, *, style: str = "") -> None:
    """Print a message to stderr."""
    console = stderr()
    # Where nobody reads along, a line is a line, however long.
    console.print(Text(shown(sentence), style=style), soft_wrap=not console.is_terminal)


def say_error(sentence: str, hint: str = "") -> None:
    """Print an error to stderr, and what to look at next."""
    console = stderr()
    text = Text.assemble(("Error: ", "bold red"), shown(sentence), f" {hint}" if hint else "")
    console.print(text, soft_wrap=not console.is_terminal)


def show_command(console: Console, command: str) -> None:
    """Print a command on a line of its own, unbroken, so that it can be copied."""
    console.print(Text(f"  {command}", style="bold cyan"), soft_wrap=True)


def results_table(title: str = "") -> Table:
    """Return an empty table in the style of all results."""
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
