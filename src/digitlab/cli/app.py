"""The command ``digitlab``: its subcommands, what becomes of errors, and ``digitlab about``.

Nothing heavy is imported here, so that help comes at once; a command's own module is imported when it is used.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError, UnusedCliTokensError

from digitlab import __version__
from digitlab.cli.terminal import AsJson, print_json, say_error, stderr, stdout
from digitlab.errors import DigitlabError, TrainingDivergedError

EXIT_DIVERGED = 1
EXIT_BAD_INPUT = 2
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

_OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EIO)
# Each command, and the module of this package that has it.
_COMMANDS = {
    "studio": "serve",
    "train": "train",
    "sweep": "sweep",
    "evaluate": "evaluate",
    "compare": "runs",
    "predict": "predict",
    "explain": "explain",
    "read": "read",
    "export": "export",
    "serve": "serve",
    "summary": "summary",
    "runs": "runs",
    "learn": "summary",
    "about": "app",
}
_PURPOSE = (
    "Teach a machine to read handwritten digits, watch it learn, and put it to work.\n\n"
    "Begin with the page: digitlab. Or in the terminal: digitlab train"
)
_USAGE = {
    "predict": "Usage: digitlab predict [OPTIONS] [RUN] IMAGE...",
    "explain": "Usage: digitlab explain [OPTIONS] RUN [IMAGE]",
    "learn": "Usage: digitlab learn [OPTIONS] [TERM]",
    "read": "Usage: digitlab read [OPTIONS] FILE|FOLDER|PDF|-...",
}

_MNIST = {
    "title": "The MNIST database of handwritten digits",
    "authors": "Yann LeCun and Corinna Cortes",
    "licence": "CC BY-SA 3.0",
    "licence_url": "https://creativecommons.org/licenses/by-sa/3.0/",
    "source": "http://yann.lecun.com/exdb/mnist/",
    "changes": "recompressed with xz, bytes unchanged",
}


def build_app() -> App:
    """Return the command line, with commands that are imported when they are used."""
    app = App(
        name="digitlab",
        help=_PURPOSE,
        version=f"digitlab {__version__}",
        help_format="markdown",
        group_parameters=Group("Options", sort_key=3),
        default_parameter=Parameter(negative_iterable=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for position, (name, module) in enumerate(_COMMANDS.items()):
        if name == "runs":  # with verbs of its own
            app.command(f"digitlab.cli.{module}:{name.upper()}", name=name, sort_key=position)
            continue
        app.command(f"digitlab.cli.{module}:{name}", name=name, sort_key=position, usage=_USAGE.get(name))
    app["--help"].group = app["--version"].group = "Options"
    return app


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command, the words after ``digitlab``, and return its exit code; no words at all open the Studio.

    The code is 0 if it did what was asked; 1 if the training diverged; 2 for input that cannot be used or files that
    cannot be written; 130 or 143 if it was interrupted (Ctrl-C or SIGTERM); 70 for an error in digitlab itself.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a question mark, not an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    words = (sys.argv[1:] if tokens is None else list(tokens)) or ["studio"]
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone (``| head``), which is nothing to tell anybody.
        _drop_output()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _drop_output()
        say_error(f"The output cannot be written: {error.strerror}. Make room, or send it elsewhere.")
        return EXIT_BAD_INPUT
    return code


def _run(words: list[str]) -> int:
    try:
        app = build_app()
        if words[0].startswith("-"):
            app.resolved_commands()  # the overview shows the first line of each one's docstring
        code = app(words, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        command = next((word for word in words if word in _COMMANDS), "")
        sentence = str(error).strip()
        if isinstance(error, UnusedCliTokensError):
            sentence = f"There is nothing that {' '.join(error.unused_tokens or [])!r} could mean here."
        say_error(sentence, f"See: digitlab {command} --help".replace("  ", " "))
        return EXIT_BAD_INPUT
    except TrainingDivergedError as error:
        say_error(str(error))
        return EXIT_DIVERGED
    except DigitlabError as error:
        say_error(str(error))
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        stderr().print("Stopped.")
        return EXIT_INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OUTPUT_ERRORS:
            raise
        import traceback

        traceback.print_exc()
        say_error("This is an error in digitlab itself. Please report it with the lines above.")
        return EXIT_BUG
    return code if isinstance(code, int) else 0


def _drop_output() -> None:
    # Python would flush what is left once more when it exits, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def about(*, as_json: AsJson = False) -> None:
    """Show versions, licences, the cache and this machine.

    Parameters
    ----------
    as_json
        Print one JSON object.
    """
    from rich.table import Table

    from digitlab.data.cache import CACHE_VARIABLE, cache_folder
    from digitlab.engine.cpu.threads import available_threads
    from digitlab.engine.xla.devices import list_devices
    from digitlab.training.keeping import environment

    cache, devices = cache_folder(), list_devices()
    machine = environment(available_threads())
    document: dict[str, Any] = {
        "digitlab": __version__,
        "licence": "Apache-2.0",
        "data": _MNIST,
        "cache": None if cache is None else str(cache),
        "environment": machine,
        "devices": [device.to_dict() for device in devices],
    }
    if as_json:
        print_json(document)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("digitlab", f"{__version__}, handwritten digits from the first convolution to the report")
    table.add_row("Code", "Apache-2.0")
    table.add_row("Data", f"{_MNIST['title']}, by {_MNIST['authors']}")
    table.add_row("", f"{_MNIST['licence']}, {_MNIST['licence_url']}")
    table.add_row("", f"from {_MNIST['source']}; {_MNIST['changes']}")
    table.add_row("Cache", f"off ({CACHE_VARIABLE}, or no folder that can be used)" if cache is None else str(cache))
    table.add_row("Python", f"{machine['python']}, NumPy {machine['numpy']}, Numba {machine['numba']}")
    table.add_row("Machine", f"{machine['processor']}, {machine['threads']} threads, {machine['system']}")
    for device in devices:
        table.add_row("Device", f"{device}: --device {device.name}")
    if not devices:
        table.add_row("Device", "the processor; JAX, for GPUs and TPUs, is not installed (pip install 'digitlab[xla]')")
    stdout().print(table)
