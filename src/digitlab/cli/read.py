"""``digitlab read``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from digitlab.cli.numbers import NUMBER, WholeNumber
from digitlab.errors import ConfigError
from digitlab.reading.apart import PAGE_SECONDS
from digitlab.reading.options import ReadingOptions, grid_of

__all__ = ["read"]

_HOW = Group("What is read", sort_key=1)
_RESULTS = Group("Results", sort_key=2)
_DEFAULT = ReadingOptions()


def read(
    *files: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    digits: Annotated[WholeNumber | None, Parameter(group=_HOW)] = None,
    expect: Annotated[str | None, Parameter(group=_HOW)] = None,
    grid: Annotated[str | None, Parameter(group=_HOW)] = None,
    min_confidence: Annotated[float, Parameter(converter=NUMBER, group=_HOW)] = _DEFAULT.min_confidence,
    model: Annotated[str | None, Parameter(group=_HOW)] = None,
    runs: Annotated[Path, Parameter(group=_HOW)] = Path("runs"),
    as_json: Annotated[bool, Parameter(name="--json", negative="", group=_RESULTS, show_default=False)] = False,
    as_csv: Annotated[bool, Parameter(name="--csv", negative="", group=_RESULTS, show_default=False)] = False,
    out: Annotated[Path | None, Parameter(group=_RESULTS)] = None,
    force: Annotated[bool, Parameter(negative="", group=_RESULTS, show_default=False)] = False,
    overlay: Annotated[Path | None, Parameter(group=_RESULTS)] = None,
    explain: Annotated[Path | None, Parameter(group=_RESULTS)] = None,
    workers: Annotated[
        WholeNumber | None, Parameter(show_default=lambda _: "as many as there are cores, up to 8")
    ] = None,
    page_timeout: Annotated[float, Parameter(converter=NUMBER)] = PAGE_SECONDS,
) -> int:
    r"""Read handwritten digits from photos, scans and drawings.

    Names are photos, PDFs, folders of them, or - for one image from standard input. A file that cannot be read is told,
    the others are read, and the exit code is 1; it is 2 if nothing could be read. Files are read in processes that have
    1 GB of memory.

    Parameters
    ----------
    files
        Photos (PNG, JPEG and others), PDFs, folders, or -. Of a PDF or TIFF all pages are read.
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
        .keras, .onnx, TensorFlow.js' model.json).
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
        document, its first page's.
    workers
        Processes that read at the same time; what is read does not depend on it.
    page_timeout
        Seconds of work that a page may take; one that takes more is given up.
    """
    if as_json and as_csv:
        raise ConfigError("--json and --csv are two ways to print the same. Give one of them.")
    if digits is not None and expect is not None:
        raise ConfigError(rf'--digits {digits} is short for --expect "\d{{{digits}}}". Give one of them.')
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers must be a whole number of at least 1; got {workers}.")
    if force and out is None:
        raise ConfigError("--force begins the file of --out anew; name one, or leave --force out.")
    cells = None if grid is None else grid_of(grid)
    options = ReadingOptions(min_confidence=min_confidence, digits=digits, expect=expect, grid=cells)
    from digitlab.cli.reading_run import ReadingRun

    style = "json" if as_json else "csv" if as_csv else "none" if out is not None else "table"
    return ReadingRun(options, model, runs, out, overlay, explain, workers, style, force, page_timeout).run(files)
