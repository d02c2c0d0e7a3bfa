"""What is printed where: results to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

from rich.console import Console
from rich.text import Text

__all__ = ["print_json", "say", "say_error", "show_command", "stderr", "stdout"]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit with 1; the command line decides what becomes of it.
        self.quiet = True
        raise BrokenPipeError


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
    console.print(Text(sentence, style=style), soft_wrap=not console.is_terminal)


def say_error(sentence: str, hint: str = "") -> None:
    """Print an error to stderr, and what to look at next."""
    console = stderr()
    text = Text.assemble(("Error: ", "bold red"), sentence, f" {hint}" if hint else "")
    console.print(text, soft_wrap=not console.is_terminal)


def show_command(console: Console, command: str) -> None:
    """Print a command on a line of its own, unbroken, so that it can be copied."""
    console.print(Text(f"  {command}", style="bold cyan"), soft_wrap=True)
