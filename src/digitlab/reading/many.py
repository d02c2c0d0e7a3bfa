"""Many: files read one after the other or several at once, in their order, a bad one told and the others read."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digitlab.errors import DigitlabError, StorageError
from digitlab.reading.options import ReadingOptions
from digitlab.reading.reading import Reading
from digitlab.values import Value

if TYPE_CHECKING:
    from digitlab.reading.reader import Reader

__all__ = ["FileReading", "Task", "read_many"]

_AHEAD = 3  # files a worker may be ahead of the one that is waited for: results of more would only take memory
_READER: list[Reader] = []  # of a worker process


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
        Processes that read; 1 reads in this one.

    Yields
    ------
    FileReading
        With its error where a file cannot be read.

    Raises
    ------
    DigitlabError
        If the model cannot be used, or pictures cannot be written, or a worker is killed.
    """
    options = ReadingOptions() if options is None else options
    workers = min(workers, len(tasks))
    if workers <= 1:
        reader = _open_reader(model)
        for task in tasks:
            yield _read(reader, options, task)
        return
    context = multiprocessing.get_context("spawn")  # the engine's threads do not survive a fork
    pool = ProcessPoolExecutor(workers, context, initializer=_begin)
    waiting: deque[Future[FileReading]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(_work, model, options, task))
            if len(waiting) > _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise StorageError(
            "A worker process was ended from outside, probably for want of memory. What was read before is kept; "
            "give the same command again with --workers 1."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _open_reader(model: str | Path | None) -> Reader:
    from digitlab.reading.reader import Reader

    return Reader(model)


def _begin() -> None:
    """Make a process a worker: it leaves Ctrl-C to its parent, and ends with it however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="digitlab-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(model: str | Path | None, options: ReadingOptions, task: Task) -> FileReading:
    if not _READER:
        _READER.append(_open_reader(model))
    return _read(_READER[0], options, task)


def _read(reader: Reader, options: ReadingOptions, task: Task) -> FileReading:
    began = time.perf_counter()
    readings: list[Reading] = []
    error = None
    try:
        for reading in reader.read_pages(task.photo, options):
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
    from digitlab.reading.pictures import write_overlay, write_steps

    if task.overlay is not None:
        for reading in readings:
            write_overlay(reading, task.photo, Path(task.overlay), numbered=len(readings) > 1)
    if task.explain is not None:
        write_steps(reader.explain(task.photo, options), Path(task.explain), Path(task.name).name)
