"""``digitlab read``: from names of files to what stands on them, printed and written as it is read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from cyclopts import Group, Parameter
from rich import box
from rich.table import Table
from rich.text import Text

from digitlab.cli.terminal import (
    COMPILING,
    AsJson,
    Flag,
    Interruption,
    Number,
    Pixels,
    StateNetwork,
    WholeNumber,
    Workers,
    n_workers,
    print_json,
    say,
    shown,
    stderr,
    stdout,
    with_network,
)
from digitlab.errors import ConfigError, DataError
from digitlab.reading.apart import PAGE_SECONDS
from digitlab.reading.reading import ReadingOptions, grid_of
from digitlab.text import counted, duration, percent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from digitlab.reading.farm import Asked
    from digitlab.reading.many import FileReading, Task
    from digitlab.reading.parts import PartsProgress
    from digitlab.reading.results_file import ResultsFile

#: What is taken for a photo in a folder by its name; others are by what is in them. A file that is named is opened
#: whatever it is called. Those from HEIC on are opened only where something more is installed, or not at all; that is
#: told, so that no photo is passed over.
EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *(
            "png",
            "apng",
            "jpg",
            "jpeg",
            "jpe",
            "jfif",
            "mpo",
            "bmp",
            "dib",
            "gif",
            "tif",
            "tiff",
            "webp",
            "jp2",
            "avif",
        ),
        *("pdf", "j2k", "jpx", "ppm", "pgm", "pbm", "pnm", "tga", "pcx", "ico", "psd"),
        *(
            "heic",
            "heif",
            "hif",
            "heics",
            "avifs",
            "jxl",
            "jxr",
            "svg",
            "svgz",
            "eps",
            "ai",
            "xcf",
            "kra",
            "djvu",
            "djv",
        ),
        *(
            "dng",
            "cr2",
            "cr3",
            "nef",
            "nrw",
            "arw",
            "srf",
            "sr2",
            "orf",
            "rw2",
            "raf",
            "pef",
            "srw",
            "x3f",
            "dcr",
            "kdc",
        ),
        *("3fr", "erf", "mrw", "rwl", "iiq"),
    )
)
#: The word for standard input at the command line, and what it is called in results.
STANDARD_INPUT = "-"

_HOW = Group("What is read", sort_key=1)
_RESULTS = Group("Results", sort_key=2)
_DEFAULT = ReadingOptions()

_EXIT_UNREAD, _EXIT_ALL_UNREAD = 1, 2
_MOST_BYTES = 400_000_000  # of standard input
_MOST_MODEL_BYTES = 2**30
_STANDARD_INPUT_NAME = "standard input"

_DOUBTFUL = 0.9  # less sure than this is shown in yellow
_HEADINGS = ("File", "Line", "Read", "Confidence", "Refused")
_OTHERS = 4 + 10 + 7 + 4 * 3  # characters that everything but the file and what was read takes
_LEAST_READ = 12
_PAGE_ROOM = len(", page 99")
_DOCUMENTS = (".pdf", ".tif", ".tiff")
# How far a cluster is.
_TELL_EVERY_S = 10.0
# A photo takes well under a second when the kernels are in the cache.
_COMPILING_AFTER_S = 5.0


def read(
    *files: Annotated[str, Parameter(allow_leading_hyphen=True)],
    digits: Annotated[WholeNumber | None, Parameter(group=_HOW)] = None,
    expect: Annotated[str | None, Parameter(group=_HOW)] = None,
    grid: Annotated[str | None, Parameter(group=_HOW)] = None,
    min_confidence: Annotated[Number, Parameter(group=_HOW)] = _DEFAULT.min_confidence,
    model: Annotated[str | None, Parameter(group=_HOW)] = None,
    pixels: Annotated[Pixels, Parameter(group=_HOW)] = None,
    network: Annotated[StateNetwork, Parameter(group=_HOW)] = None,
    runs: Annotated[Path, Parameter(group=_HOW)] = Path("runs"),
    as_json: Annotated[AsJson, Parameter(group=_RESULTS)] = False,
    as_csv: Annotated[Flag, Parameter(name="--csv", group=_RESULTS)] = False,
    out: Annotated[Path | None, Parameter(group=_RESULTS)] = None,
    force: Annotated[Flag, Parameter(group=_RESULTS)] = False,
    overlay: Annotated[Path | None, Parameter(group=_RESULTS)] = None,
    explain: Annotated[Path | None, Parameter(group=_RESULTS)] = None,
    workers: Workers = None,
    page_timeout: Number = PAGE_SECONDS,
    device: Annotated[str, Parameter(group=_HOW)] = "cpu",
    cluster: Annotated[str | None, Parameter(group=_RESULTS)] = None,
) -> int:
    r"""Read handwritten digits from photos, scans and drawings.

    Names are photos, PDFs, folders of them, or - for one image from standard input. A file that cannot be read is told,
    the others are read, and the exit code is 1; it is 2 if nothing could be read. Files are read in processes that have
    1 GB of memory.

    Parameters
    ----------
    files
        Photos (PNG, JPEG and others), PDFs, folders, or -. Of a PDF or TIFF all pages are read, of an animation all
        pictures. In a folder everything is read that is a picture by its name or by what is in it.
    digits
        Every number has exactly so many digits.
    expect
        Every number matches this regular expression, for instance "\d{4}".
    grid
        The page is a grid of rows and columns of boxes, such as 9x9 for a sudoku; every line is one of its rows, and
        empty boxes are told.
    min_confidence
        Refuse a digit whose probability is less than this, from 0 to 1.
    model
        Read with a network of your own: a run's name or folder, "latest", or a model file (.safetensors,
        .keras, .h5, .onnx, TensorFlow.js' model.json).
    pixels
        How the pixels were scaled that a model file's network learned from: 0-255, 0-1, -1-1, or MEAN,STD of pixels
        from 0 to 1 (PyTorch's Normalize), such as 0.1307,0.3081. By default what the file says, or what fits far
        better, which is told.
    network
        The network whose weights a PyTorch state dict (.safetensors) holds: a name of the zoo, or a JSON file with
        layers. All other files say it themselves.
    runs
        The folder of runs.
    as_json
        Print a JSON object a line for every file, as soon as it is read.
    as_csv
        Print CSV: file, page, line, number, digits, confidence, box and more.
    out
        Write CSV to this file, as it is read. Given again, the command goes on where it was interrupted, and reads
        only what is new or has changed.
    force
        Begin the file of --out anew.
    overlay
        Write every photo with boxes and values into this folder.
    explain
        Write a picture of every step of the way into this folder, and a page that shows them (index.html); of a
        document, a folder a page.
    workers
        Processes that read at the same time; what is read does not depend on it.
    page_timeout
        Seconds of work that a page may take; one that takes more is given up.
    device
        Where the networks run: cpu, digitlab's own engine; gpu, tpu or cpu-xla, which need digitlab[xla]; or auto.
    cluster
        Read on the workers of a Dask scheduler (tcp://HOST:8786), or local, into --out, a .parquet or .csv. FILE may
        be a list of names (.txt), s3://BUCKET/FOLDER or the like, then. Interrupted, the same command goes on.
    """
    if as_json and as_csv:
        raise ConfigError("--json and --csv are two ways to print the same. Give one of them.")
    if digits is not None and expect is not None:
        raise ConfigError(rf'--digits {digits} is short for --expect "\d{{{digits}}}". Give one of them.')
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers must be a whole number of at least 1; got {workers}.")
    from digitlab.engine.xla.devices import check_device

    check_device(device)
    if force and out is None:
        raise ConfigError("--force begins the file of --out anew; name one, or leave --force out.")
    cells = None if grid is None else grid_of(grid)
    options = ReadingOptions(min_confidence=min_confidence, digits=digits, expect=expect, grid=cells)
    if cluster is not None:
        from digitlab.reading.farm import Asked

        if as_json or as_csv or overlay is not None or explain is not None or out is None:
            raise ConfigError("--cluster reads into a table and nothing else: give it --out results.parquet, or .csv.")
        checkpoint, pixels = _network_of(model, network, pixels, runs)
        asked = Asked(
            options,
            None if checkpoint is None else str(checkpoint.absolute()),
            pixels,
            page_timeout,
            device,
            _recipe(options, checkpoint, pixels),
        )
        return _read_on_cluster(files, out, cluster, asked, workers=workers, force=force)
    from digitlab.reading.many import read_many
    from digitlab.reading.results_file import ResultsFile

    began = time.perf_counter()
    photos = find_photos(map(Path, files))
    checkpoint, pixels = _network_of(model, network, pixels, runs)
    with Interruption() as interruption, ExitStack() as stack:
        table = None
        if out is not None:
            table = stack.enter_context(ResultsFile(out, _recipe(options, checkpoint, pixels), force=force))
        tasks = _tasks(photos, table, overlay, explain)
        n_before = len(photos.paths) - len(tasks)
        if n_before:
            say(f"{out} has {n_before:,} of {_files(len(photos.paths))} already, and they are not read again.")
        style = "json" if as_json else "csv" if as_csv else "none" if out is not None else "table"
        screen = stack.enter_context(_Screen(style, _shown(tasks, photos)))
        for problem in photos.problems:
            screen.tell(problem)
        results = read_many(
            tasks,
            model=checkpoint,
            pixels=pixels,
            options=options,
            workers=n_workers(workers),
            page_seconds=page_timeout,
            device=device,
        )
        n_read = n_bad = n_numbers = 0
        with closing(results):
            for result in results:
                if table is not None:
                    table.append(result, result.file)
                screen.show(result)
                n_read += 1
                n_bad += result.error is not None
                n_numbers += sum(len(reading.numbers) for reading in result.readings)
                if interruption.requested:
                    screen.note("Stopping; Ctrl-C: at once")
                    break
        if interruption.requested and n_read < len(tasks):
            stack.close()
            if out is not None:
                rest = f"They are kept in {out}; to go on, give the same command again."
            else:
                rest = "A command with --out results.csv can be stopped and gone on with."
            say(f"Stopped after {n_read:,} of {_files(len(tasks))}. {rest}")
            return interruption.exit_code
    if len(tasks) > 1 or table is not None:
        bad = f", {n_bad:,} of them could not be read" if n_bad else ""
        kept = f" are in {out}" if out is not None and n_read else ""
        seconds = duration(time.perf_counter() - began)
        say(f"{_files(n_read)}{bad}; {n_numbers:,} number{'' if n_numbers == 1 else 's'}{kept}; {seconds}.")
    if not n_bad and not photos.problems:
        return 0
    return _EXIT_UNREAD if n_read > n_bad or n_before else _EXIT_ALL_UNREAD


def _network_of(
    model: str | None, network: str | None, pixels: str | None, runs: Path
) -> tuple[Path | None, str | None]:
    """Return the file of the network that is to read, None for the shipped one, and how its pixels are scaled."""
    from digitlab.network.formats.files import is_model_file
    from digitlab.runs.listing import checkpoint_of

    if model is None and network is not None:
        raise ConfigError("--network is that of a PyTorch state dict; name it with --model.")
    model = None if model is None else with_network(model, network)
    checkpoint = None if model is None else checkpoint_of(model, runs)
    if model is None and pixels is not None:
        raise ConfigError("--pixels is how a model file's network was given its pixels; name one with --model.")
    if model is not None and (is_model_file(model) or pixels is not None):
        from digitlab.engine.models import opened_model

        opened = opened_model(model, runs, pixels)
        pixels = opened.pixels
        if opened.note:
            say(opened.note, style="yellow")
        del opened  # another runtime's model has a process, and those that read have their own
    return checkpoint, pixels


class _StoppedError(Exception):
    """Somebody wants the reading on a cluster to end."""


def _read_on_cluster(
    places: Sequence[str], out: Path, cluster: str, asked: Asked, *, workers: int | None, force: bool
) -> int:
    """Read everything in some places on a cluster, tell how far it is, and return the exit code."""
    from digitlab.reading.parts import read_parts
    from digitlab.reading.places import names_in

    told_s = began = time.perf_counter()
    done = ""

    def tell(progress: PartsProgress) -> None:
        nonlocal told_s, done
        done = f" after {progress.done:,} of {_files(progress.n_files)}"
        stop_if_asked()
        if progress.done == progress.n_files or time.perf_counter() - told_s > _TELL_EVERY_S:
            told_s = time.perf_counter()
            say(progress_line(progress))

    def stop_if_asked() -> None:
        if interruption.requested:
            raise _StoppedError

    def names() -> Iterator[str]:
        for place in places:
            for name in names_in(place, EXTENSIONS):
                stop_if_asked()
                yield name

    with Interruption() as interruption:
        try:
            result = read_parts(names(), out, cluster, asked, workers=n_workers(workers), force=force, on_progress=tell)
        except _StoppedError:
            say(f"Stopped{done}. What was read is kept beside {out}; to go on, give the same command again.")
            return interruption.exit_code
    bad = f", {result.n_bad:,} of them could not be read" if result.n_bad else ""
    numbers = counted(result.n_numbers, "number")
    seconds = duration(time.perf_counter() - began)
    say(f"{_files(result.n_files)}{bad}; {numbers} are in {result.path}; {seconds}.")
    if not result.n_bad:
        return 0
    return _EXIT_UNREAD if result.n_files > result.n_bad else _EXIT_ALL_UNREAD


def progress_line(progress: PartsProgress) -> str:
    """Return how far a cluster is, in a line."""
    line = f"{progress.done:,} of {_files(progress.n_files)}"
    if progress.n_bad:
        line += f", {progress.n_bad:,} could not be read"
    if not progress.workers:
        return f"{line}; no worker is there, waiting for some"
    if progress.per_s:
        line += f"; {3600 * progress.per_s:,.0f} an hour on {counted(progress.workers, 'worker')}"
    return f"{line}; {duration(progress.left_s)} left" if progress.left_s else line


def _tasks(photos: PhotoFiles, table: ResultsFile | None, overlay: Path | None, explain: Path | None) -> list[Task]:
    """What is not in the table yet."""
    from digitlab.reading.many import Task

    tasks = []
    for path, stem in zip(photos.paths, unique_names(photos.inside), strict=True):
        is_input = path == STANDARD_INPUT
        name = _STANDARD_INPUT_NAME if is_input else path
        if not is_input and table is not None and table.has(name, path):
            continue
        source = _standard_input() if is_input else path
        pictures = [None if folder is None else str(folder / stem) for folder in (overlay, explain)]
        tasks.append(Task(name, source, *pictures))
    if table is not None:
        table.forget(task.name for task in tasks)
    return tasks


def _recipe(options: ReadingOptions, checkpoint: Path | None, pixels: str | None = None) -> str:
    """A word that differs where options or the network differ, or the scale of its pixels."""
    from digitlab.data.storage import read_ordinary
    from digitlab.network.pixels import PixelScale
    from digitlab.reading.answers import SHIPPED

    path = SHIPPED if checkpoint is None else checkpoint
    digest = hashlib.sha256(json.dumps(options.to_dict(), sort_keys=True).encode())
    if pixels is not None and not PixelScale.of(pixels).is_own:
        digest.update(pixels.encode())
    # An ONNX model's weights may lie beside it; what is wrong with a file is told by who loads it.
    for file in (path, path.with_name(f"{path.name}.data")):
        with suppress(OSError, ValueError):
            digest.update(read_ordinary(file, _MOST_MODEL_BYTES))
    return digest.hexdigest()[:12]


def _shown(tasks: Sequence[Task], photos: PhotoFiles) -> dict[str, str]:
    """How files are called in the table: by their place in the folder that was named, if no two are called so."""
    are_unique = len(set(photos.inside)) == len(photos.inside)
    inside = dict(zip(photos.paths, photos.inside, strict=True)) if are_unique else {}
    return {task.name: inside.get(task.name, task.name) for task in tasks}


def _files(n: int) -> str:
    return f"{n:,} file{'' if n == 1 else 's'}"


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError("- reads an image from standard input, and there is none: digitlab read - < photo.jpg")
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DataError(f"Standard input has more than {_MOST_BYTES // 1_000_000} MB. Save the photo smaller first.")
    return content


@dataclass(frozen=True, slots=True)
class PhotoFiles:
    """The files to read, each once: their paths as they were named, ``STANDARD_INPUT`` maybe among them.

    ``inside`` tells where each stands in the folder that was named, or its name: ``2026/page 1.png``. ``problems`` are
    folders that cannot be read or have no photos, in sentences.
    """

    paths: tuple[str, ...]
    inside: tuple[str, ...]
    problems: tuple[str, ...]


def find_photos(names: Iterable[Path]) -> PhotoFiles:
    """Find what is to be read: files as they are, and folders with everything in them but hidden files.

    Raises ``DataError`` if nothing was named, or an option that does not exist.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    names = list(names)
    if not names:
        raise DataError("There is nothing to read; name a photo, a PDF or a folder: digitlab read photo.jpg")
    for name in names:
        if str(name).startswith("-") and str(name) != STANDARD_INPUT:
            raise DataError(f"There is no option {name}. See: digitlab read --help. A file of that name is ./{name}")
        if not _is_folder(name):
            found.setdefault(str(name), name.name)
            continue
        n_before = len(found)
        n_others = 0
        for path in _walk(name, problems):
            if path.suffix.lower() in EXTENSIONS or _is_picture(path):
                found.setdefault(str(path), str(path.relative_to(name)))
            else:
                n_others += 1
        if len(found) == n_before:
            others = f"; it has {n_others:,} other file{'' if n_others == 1 else 's'}" if n_others else ""
            problems.append(f"{name} holds no photos or PDFs{others}. Name another folder, or the files themselves.")
    return PhotoFiles(tuple(found), tuple(found.values()), tuple(problems))


def unique_names(inside: Sequence[str]) -> list[str]:
    """Return a name without extension for each file, no two alike: ``a``, ``a-2`` for ``a.png`` and ``a.jpg``.

    >>> unique_names(["a.png", "a.jpg", "deep/a.png", "a-2.png"])
    ['a', 'a-2', 'deep/a', 'a-2-2']
    """
    taken: set[str] = set()
    names = []
    for path in inside:
        stem = str(Path(path).with_suffix("")) if path != STANDARD_INPUT else "standard-input"
        name, number = stem, 2
        # Compared without case, for file systems that do so too.
        while name.casefold() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _is_picture(path: Path) -> bool:
    """Tell whether a file is a picture or document by what is in it, whatever it is called."""
    from digitlab.data.storage import open_ordinary
    from digitlab.reading.photo import HEAD_BYTES, kind_of

    try:
        with open_ordinary(path) as file:
            head = file.read(HEAD_BYTES)
            # Texts and programs may speak of PDFs.
            return bool(kind := kind_of(head)) and (kind != "PDF" or head.lstrip().startswith(b"%PDF-"))
    except (OSError, ValueError):
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # whatever is wrong with it is told by who opens it


def _walk(folder: Path, problems: list[str]) -> Iterator[Path]:
    def tell(error: OSError) -> None:
        problems.append(f"{error.filename} cannot be looked into: {error.strerror}. Check its permissions.")

    for place, folders, files in os.walk(folder, onerror=tell):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=_as_counted)
        for name in sorted((name for name in files if not name.startswith(".")), key=_as_counted):
            yield Path(place, name)


def _as_counted(name: str) -> tuple[list[tuple[int, str]], str]:
    """Order ``page 2`` before ``page 10``."""
    parts = re.split(r"(\d+)", name.casefold(), flags=re.ASCII)
    return [(len(part.lstrip("0")), part.lstrip("0")) if k % 2 else (0, part) for k, part in enumerate(parts)], name


class _Screen:
    """Shows files as they are read: a table that grows, JSON or CSV to stdout; a bar and errors to stderr.

    ``style`` is "table", "json", "csv", or "none" for the bar and errors only; ``names`` are all files, and how each is
    called in the table.
    """

    def __init__(self, style: str, names: Mapping[str, str]) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._bar.stop()

    def show(self, result: FileReading) -> None:
        """Print what became of a file."""
        from digitlab.reading.results_file import COLUMNS, csv_text, table_rows

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
            confidence = prod(number.confidence for number in line.numbers)
            yield [
                name if row == 1 else "",
                str(row),
                Text(line.row if "." in line.row else line.text, style="bold"),
                Text(percent(confidence, 1), style="yellow" if confidence < _DOUBTFUL else ""),
                refused if row == 1 else "",
            ]
