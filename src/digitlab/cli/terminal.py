"""What the commands share: options, what is printed where (results to stdout, messages to stderr), and Ctrl-C."""

from __future__ import annotations

import atexit
import errno
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Self

from cyclopts import Parameter, Token
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from digitlab.errors import ConfigError


def _converter(kind: type[int] | type[float], words: str) -> Callable[[Any, Sequence[Token]], int | float]:
    def convert(_: Any, tokens: Sequence[Token]) -> int | float:
        try:
            return kind(tokens[0].value)
        except ValueError:
            raise ValueError(f"{words} was expected, not {tokens[0].value!r}.") from None

    return convert


# Converters for ``cyclopts.Parameter``; its own would round 2.5 to 2 where a whole number is wanted.
WHOLE_NUMBER, NUMBER = _converter(int, "a whole number"), _converter(float, "a number")

WholeNumber = Annotated[int, Parameter(converter=WHOLE_NUMBER)]
Number = Annotated[float, Parameter(converter=NUMBER)]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
AsJson = Annotated[Flag, Parameter(name="--json")]
Workers = Annotated[WholeNumber | None, Parameter(show_default=lambda _: "as many as there are cores, up to 8")]

#: How a model file's network was given its pixels; one scale begins with a hyphen.
Pixels = Annotated[str | None, Parameter(allow_leading_hyphen=True)]

#: The network of a PyTorch state dict.
StateNetwork = Annotated[str | None, Parameter(name="--network")]

_MOST_WORKERS = 8  # by default: each may hold a photo of 50 megapixels

_READING_AFTER_S, _READING_EVERY_S = 2.0, 10.0

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
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

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


def with_network(model: str, network: str | None) -> str:
    """Return the model; of a PyTorch state dict with its network, a checkpoint that lasts as long as the command.

    So whatever a command does with a model's file, in other processes too, it can do with that one.
    """
    if network is None:
        return model
    from digitlab.network.checkpoint import save_checkpoint
    from digitlab.network.formats.files import is_model_file, load_model_file

    if not is_model_file(model):
        raise ConfigError(
            f"--network is that of a PyTorch state dict (.safetensors), and {model} is none. Leave it out."
        )
    checkpoint = load_model_file(model, network)
    folder = Path(tempfile.mkdtemp(prefix="digitlab-"))
    atexit.register(_remove, folder, os.getpid())
    path = folder / f"{Path(model).stem}.safetensors"
    save_checkpoint(path, checkpoint)
    return str(path)


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not in a copy of this process
        shutil.rmtree(folder, ignore_errors=True)


def say(sentence: str, *, style: str = "") -> None:
    """Print a message to stderr."""
    console = stderr()
    # Where nobody reads along, a line is a line, however long.
    console.print(Text(shown(sentence), style=style), soft_wrap=not console.is_terminal)


@contextmanager
def saying_that_it_reads(data: str | os.PathLike[str] | None) -> Iterator[None]:
    """Say so where it takes long to read somebody's own data, and of many pictures how many have been read."""
    from digitlab.data.pictures import watching

    if data is None:
        yield
        return
    counts: list[int] = []
    done = threading.Event()

    def tell() -> None:
        wait_s = _READING_AFTER_S
        while not done.wait(wait_s):
            say(f"Reading the images in {data} ..." + (" {:,} of {:,}.".format(*counts) if counts else ""))
            wait_s = _READING_EVERY_S

    threading.Thread(target=tell, daemon=True).start()
    try:
        with watching(lambda n_read, n: counts.__setitem__(slice(None), (n_read, n))):
            yield
    finally:
        done.set()


def say_error(sentence: str, hint: str = "") -> None:
    """Print an error to stderr, and what to look at next."""
    console = stderr()
    text = Text.assemble(("Error: ", "bold red"), shown(sentence), f" {hint}" if hint else "")
    console.print(text, soft_wrap=not console.is_terminal)


def n_workers(asked: int | None) -> int:
    """Return how many processes read: as many as somebody asked for, or the default of ``Workers``."""
    from digitlab.engine.cpu.threads import available_threads

    return min(available_threads(), _MOST_WORKERS) if asked is None else asked


def show_command(console: Console, command: str) -> None:
    """Print a command on a line of its own, unbroken, so that it can be copied."""
    console.print(Text(f"  {command}", style="bold cyan"), soft_wrap=True)


def right(heading: str) -> Column:
    """Return a column whose cells stand at its right edge, as numbers do."""
    return Column(heading, justify="right")


def folding(heading: str) -> Column:
    """Return a column whose cells are shown whole, on several lines where there is little room."""
    return Column(heading, overflow="fold")


def results_table(title: str = "", *columns: Column | str) -> Table:
    """Return an empty table in the style of all results."""
    return Table(
        *columns,
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While it is entered, the first Ctrl-C or SIGTERM is only noted; a second one ends the process at once.

    A thread of its own hears of the signals, because the main thread does not while a kernel is compiled. ``signal`` is
    the one that came, if one did.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._undo = ExitStack()

    @property
    def requested(self) -> bool:
        """Whether somebody wants the work to end."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        return 128 + (self.signal or 0)

    def __enter__(self) -> Self:
        # Python lets only the main thread handle signals; elsewhere nothing changes.
        if threading.current_thread() is not threading.main_thread():
            return self
        heard, told = socket.socketpair()
        told.setblocking(False)
        listener = threading.Thread(target=self._listen, args=(heard,), name="digitlab-signals", daemon=True)
        listener.start()
        self._undo.callback(heard.close)
        self._undo.callback(listener.join)
        self._undo.callback(told.close)
        self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False))
        for number in _SIGNALS:
            # A handler that does nothing: the wakeup descriptor has told the listener already.
            self._undo.callback(signal.signal, number, signal.signal(number, lambda *_: None))
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _listen(self, heard: socket.socket) -> None:
        while numbers := heard.recv(16):
            for number in numbers:
                if number not in _SIGNALS:
                    continue
                if self.signal is not None:
                    _end_at_once(128 + number)
                self.signal = number


def _end_at_once(code: int) -> None:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # a progress bar hides the cursor
    os._exit(code)
