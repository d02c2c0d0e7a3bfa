"""Many: files read in processes that can be ended, in their order, a bad one told and the others read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from digitlab.errors import DataError, DigitlabError, StorageError
from digitlab.processes import EndedError, UnforeseenError
from digitlab.reading.apart import DEVICE_MEMORY_BYTES, MEMORY_BYTES, PAGE_SECONDS, Apart
from digitlab.reading.reading import Reading, ReadingOptions
from digitlab.reading.render import write_overlay, write_steps
from digitlab.values import Value

if TYPE_CHECKING:
    # Not loaded by who only asks other processes to read: it takes a second.
    from digitlab.reading.reader import Origin, Reader


# A model, the scale of its pixels and the device, as `read_many` is given them.
_Who: TypeAlias = "tuple[str | Path | None, str | None, str]"
_FILES_A_PROCESS = 2
_AHEAD = 3  # files a worker may be ahead of the one that is waited for: results of more would only take memory


@dataclass(frozen=True, slots=True)
class Task:
    """One file to read: how the result is called, and its path, or what is in it.

    The photo with boxes goes to ``overlay`` (no extension; further pages get a number), all steps to a folder.
    """

    name: str
    photo: str | bytes
    overlay: str | None = None
    explain: str | None = None


@dataclass(frozen=True, slots=True)
class FileReading(Value):
    """What became of one file: a reading a page, those before the error if there is one, and the seconds it took."""

    file: str
    readings: tuple[Reading, ...]
    error: str | None
    seconds: float


def read_many(
    tasks: Sequence[Task],
    *,
    model: str | Path | None = None,
    pixels: str | None = None,
    options: ReadingOptions | None = None,
    workers: int = 1,
    page_seconds: float = PAGE_SECONDS,
    device: str = "cpu",
) -> Generator[FileReading, None, None]:
    """Read files in ``workers`` processes and hand them over in their order, as they are ready.

    What is read does not depend on the number of workers; few files begin fewer, since each costs a second to begin
    with. Closing the iterator waits for the files that are being read, and begins no others. A file that cannot be read
    is told by its error; DigitlabError is raised if the model cannot be used, or pictures cannot be written.
    ``pixels`` is how those of a model file were scaled, as for ``Reader``, and ``device`` where the networks run.
    """
    options = ReadingOptions() if options is None else options
    waiting: deque[Future[FileReading]] = deque()
    workers = max(1, min(workers, len(tasks) // _FILES_A_PROCESS))
    apart = Apart(workers, page_seconds, MEMORY_BYTES if device == "cpu" else DEVICE_MEMORY_BYTES)
    who = (model, pixels, device)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="digitlab-reading")
    try:
        if model is not None or device != "cpu":
            apart.call(check_reader, who, source=str(model or device))
        for task in tasks:
            waiting.append(pool.submit(read_one_apart, apart, who, options, task))
            if len(waiting) > _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        apart.close()


def read_pages_apart(
    apart: Apart, origin: Origin, options: ReadingOptions, content: bytes, source: str
) -> Iterator[Reading]:
    """Read the pages of a file one by one as ``Reader.read_pages`` does, in another process."""
    return apart.each(_pages, origin, options, Task(source, content), source=source)


def check_reader(who: _Who) -> None:
    """Load a reader where it is to read: DigitlabError says what is wrong with its model or device."""
    _reader(who)


def read_one_apart(apart: Apart, who: _Who, options: ReadingOptions, task: Task) -> FileReading:
    """Read a file in another process; what is wrong with it is in the result."""
    began = time.perf_counter()
    readings: list[Reading] = []
    error = None
    try:
        most = options.most_pages
        asked = replace(options, most_pages=most + 1)
        for reading in apart.each(_pages, who, asked, task, source=_name(task)):
            if reading is None:
                continue
            if len(readings) == most:
                raise DataError(f"It has more than {most:,} pages, and only these were read. Split it.")
            readings.append(reading)
    except (StorageError, EndedError):
        raise  # the disk is full, and the next file would fare no better; or nobody waits any more
    except DigitlabError as problem:
        error = str(problem)
    except UnforeseenError as problem:
        # One file in ten thousand must not end a night's work, nor be passed over in silence.
        error = f"This is an error in digitlab itself, please report it: {problem}"
    return FileReading(task.name, tuple(readings), error, time.perf_counter() - began)


def _name(task: Task) -> str:
    return Path(task.name).name if isinstance(task.photo, str) else "image"


def _reader(who: Origin | _Who) -> Reader:
    from digitlab.reading.reader import Origin, reader_of

    return reader_of(who if isinstance(who, Origin) else Origin(-1, *who))


def _pages(who: Origin | _Who, options: ReadingOptions, task: Task) -> Iterator[Reading | None]:
    """Read a file's pages, and draw what is asked for; None after a picture, so that each has its time."""
    reader = _reader(who)
    readings: list[Reading] = []
    for reading in reader.read_pages(task.photo, options):
        readings.append(reading)
        yield reading
    if task.overlay is not None:
        for reading in readings:
            write_overlay(reading, task.photo, Path(task.overlay), numbered=len(readings) > 1)
            yield None
    if task.explain is not None:
        folder, title = Path(task.explain), Path(task.name).name
        for number, explained in enumerate(reader.explain_pages(task.photo, options), start=1):
            if len(readings) > 1:
                write_steps(explained, folder / f"page-{number}", f"{title}, page {number}")
            else:
                write_steps(explained, folder, title)
            yield None
