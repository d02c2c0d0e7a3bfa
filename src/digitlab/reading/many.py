"""Many: files read one after the other or several at once, in their order, a bad one told and the others read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from digitlab.errors import DataError, DigitlabError, StorageError
from digitlab.reading.options import ReadingOptions
from digitlab.reading.pictures import write_overlay, write_steps
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Reading
from digitlab.values import Value

__all__ = ["FileReading", "Task", "read_many"]

_AHEAD = 3  # files a worker may be ahead of the one that is waited for: results of more would only take memory


@dataclass(frozen=True, slots=True)
class Task:
    """One file to read.

    Attributes
    ----------
    name : str
        How the result is called.
    photo : str or bytes
        Its path, or what is in it.
    overlay : str or None
        Where to write the photo with boxes, without extension; further pages get a number.
    explain : str or None
        The folder for a picture of every step.
    """

    name: str
    photo: str | bytes
    overlay: str | None = None
    explain: str | None = None


@dataclass(frozen=True, slots=True)
class FileReading(Value):
    """What became of one file.

    Attributes
    ----------
    file : str
        Its name.
    readings : tuple of Reading
        One a page; those before the error if there is one.
    error : str or None
        Why it, or the rest of it, could not be read.
    seconds : float
        How long it took.
    """

    file: str
    readings: tuple[Reading, ...]
    error: str | None
    seconds: float


def read_many(
    tasks: Sequence[Task],
    *,
    model: str | Path | None = None,
    options: ReadingOptions | None = None,
    workers: int = 1,
) -> Generator[FileReading, None, None]:
    """Read files and hand them over in their order, as they are ready.

    What is read does not depend on the number of workers. Closing the iterator waits for the files that are being
    read, and begins no others.

    Parameters
    ----------
    tasks : sequence of Task
        What to read.
    model : str or Path, optional
        A checkpoint; the shipped reader by default.
    options : ReadingOptions, optional
        The defaults if left out.
    workers : int
        Threads that read. Threads and not processes, because most of the work is done without Python's lock, and
        processes cost a second each to begin with.

    Yields
    ------
    FileReading
        With its error where a file cannot be read.

    Raises
    ------
    DigitlabError
        If the model cannot be used, or pictures cannot be written.
    """
    options = ReadingOptions() if options is None else options
    reader = Reader(model)
    waiting: deque[Future[FileReading]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="digitlab-reading")
    try:
        for task in tasks:
            waiting.append(pool.submit(_read, reader, options, task))
            if len(waiting) > _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(reader: Reader, options: ReadingOptions, task: Task) -> FileReading:
    began = time.perf_counter()
    readings: list[Reading] = []
    error = None
    try:
        most = options.most_pages
        for reading in reader.read_pages(task.photo, replace(options, most_pages=most + 1)):
            if len(readings) == most:
                raise DataError(f"It has more than {most:,} pages, and only these were read. Split it.")
            readings.append(reading)
        _draw(reader, options, task, readings)
    except StorageError:
        raise  # the disk is full: the next file would fare no better
    except DigitlabError as problem:
        error = str(problem)
    except MemoryError:
        error = "It needs more memory than there is. Make it smaller first."
    except Exception as problem:
        # One file in ten thousand must not end a night's work, nor be passed over in silence.
        error = f"This is an error in digitlab itself, please report it: {type(problem).__name__}: {problem}"
    return FileReading(task.name, tuple(readings), error, time.perf_counter() - began)


def _draw(reader: Reader, options: ReadingOptions, task: Task, readings: Sequence[Reading]) -> None:
    if task.overlay is not None:
        for reading in readings:
            write_overlay(reading, task.photo, Path(task.overlay), numbered=len(readings) > 1)
    if task.explain is not None:
        write_steps(reader.explain(task.photo, options), Path(task.explain), Path(task.name).name)
