"""Farm: parts of many files handed out to the workers of a cluster, whoever of them dies meanwhile.

A few parts a worker are under way and no more. One whose worker died is given to another by Dask; one that kills its
worker again and again is read at the end, file by file, when nothing else can be harmed, and the file that kills is
told in its row. A scheduler that is gone is waited for.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from statistics import median
from typing import Any

import digitlab
from digitlab.cluster import NoSchedulerError, WorkerError, connected, load_distributed, sendable
from digitlab.engine.cpu.threads import available_threads
from digitlab.errors import ConfigError, DataError, DigitlabError
from digitlab.processes import EndedError, UnforeseenError
from digitlab.reading.apart import DEVICE_MEMORY_BYTES, MEMORY_BYTES, PAGE_SECONDS, Apart
from digitlab.reading.many import FileReading, Task, check_reader, read_one_apart
from digitlab.reading.places import fetched, is_elsewhere
from digitlab.reading.reading import ReadingOptions
from digitlab.reading.results_file import table_rows

# Parts that a worker's thread may have under way, so that it never waits itself; no more, so that memory is bounded.
_AHEAD = 3
# A part that takes so many times as long as they usually do is given to another worker as well, when none is left.
_STRAGGLES, _STRAGGLES_S = 4.0, 30.0
# How often a part is given out again that a worker could not read, though none of its files was to blame.
_MOST_TRIES = 3
_RECONNECT_S, _AGAIN_S = 600.0, 2.0
_LOOK_S, _RESULT_S = 2.0, 60.0
_KILLS = (
    "It was given up: it ended the worker that read it, several times. It may need more memory than a worker has; save "
    "it plainer or smaller."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """How a file is read, as it travels to the workers: options, model, the scale of its pixels, time, device.

    ``content`` is a word for what the model's file holds, ``version`` that of digitlab, which workers must have, too.
    """

    options: ReadingOptions
    model: str | None = None
    pixels: str | None = None
    page_seconds: float = PAGE_SECONDS
    device: str = "cpu"
    content: str = ""
    version: str = digitlab.__version__

    @property
    def recipe(self) -> str:
        """A word that differs where what is read may differ."""
        told = [self.options.to_dict(), self.content or self.model, self.pixels, self.page_seconds, self.device]
        return hashlib.sha256(json.dumps([*told, self.version], sort_keys=True).encode()).hexdigest()[:16]


#: A part's number and its rows, or None and none where nothing came for a while; and how many threads of workers read.
Found = Generator[tuple[int | None, list[list[str]], int], None, None]
#: A file: how it is called in the table, and where it lies.
Name = tuple[str, str]


def read_on(
    cluster: str, names: Callable[[int], list[Name]], parts: Sequence[int], asked: Asked, workers: int | None = None
) -> Found:
    """Yield the rows of every part as it is read; ``names`` tells what is in one.

    A scheduler that is gone is waited for, ten minutes long, and what it had to do is asked for again. NoSchedulerError
    if there is none; DigitlabError if the workers cannot read at all.
    """
    left = dict.fromkeys(parts)
    lost_s: float | None = None
    is_begun = False
    while left:
        try:
            with connected(cluster, workers or available_threads()) as client:
                is_begun = True
                for part, rows, n_workers in _Turn(client, names, asked).read(list(left)):
                    lost_s = None
                    if part is not None:
                        del left[part]
                    yield part, rows, n_workers
        except (NoSchedulerError, OSError, CancelledError) as error:
            if isinstance(error, NoSchedulerError) and not is_begun:
                raise
            if cluster == "local":
                raise ConfigError(
                    f"The workers of {cluster} are gone ({type(error).__name__}). What was read is kept; give the same "
                    "command again."
                ) from None
            lost_s = lost_s or time.monotonic()
            if time.monotonic() - lost_s > _RECONNECT_S:
                raise NoSchedulerError(
                    f"The scheduler at {cluster} was not there for {_RECONNECT_S / 60:.0f} minutes. What was read is "
                    "kept; start it, and give the same command again."
                ) from None
            yield None, [], 0
            time.sleep(_AGAIN_S)


class _Turn:
    """What is asked of one scheduler, as long as it is there; CancelledError or OSError once it is gone."""

    def __init__(self, client: Any, names: Callable[[int], list[Name]], asked: Asked) -> None:
        self._client, self._names, self._asked = client, names, asked
        self._killed = load_distributed().KilledWorker
        self._ready: SimpleQueue[Any] = SimpleQueue()
        self._running: dict[Any, int] = {}
        self._begun: dict[int, float] = {}
        self._tries: dict[int, int] = {}
        self._took: deque[float] = deque(maxlen=100)
        self._n_workers, self._looked = 0, 0.0

    def read(self, parts: Sequence[int]) -> Found:
        """Yield parts as they are read; those that kill workers last."""
        waiting, missing, killers = deque(parts), set(parts), []
        while missing:
            self._fill(waiting)
            future = self._next()
            part = None if future is None else self._running.pop(future, None)
            if part is None or part not in missing:
                yield None, [], self._n_workers
                continue
            error = self._error_of(future)
            if error is not None and not isinstance(error, self._killed):
                self._tries[part] = self._tries.get(part, 0) + 1
                self._check_tries(self._tries[part], error)
                self._submit(part)
                continue
            missing.discard(part)
            # What other workers were given of it is taken back.
            self._running = {future: other for future, other in self._running.items() if other != part}
            if error is not None:
                killers.append(part)
                continue
            self._took.append(time.monotonic() - self._begun.pop(part))
            yield part, future.result(timeout=_RESULT_S), self._n_workers
        for part in killers:
            rows = []
            for name in self._names(part):
                rows += yield from self._alone(name)
            yield part, rows, self._n_workers

    def _alone(self, name: Name) -> Generator[tuple[None, list[list[str]], int], None, list[list[str]]]:
        """Read a file while nothing else is read, so that it harms nobody, and nobody it; return its rows."""
        for n_tries in count(1):
            asked = self._ask([name])
            while self._next() is not asked:
                yield None, [], self._n_workers
            error = self._error_of(asked)
            if error is None:
                rows: list[list[str]] = asked.result(timeout=_RESULT_S)
                return rows
            if isinstance(error, self._killed):
                break
            self._check_tries(n_tries, error)
        return _told(name[0], _KILLS)

    def _fill(self, waiting: deque[int]) -> None:
        """Have as much under way as the workers can use."""
        if time.monotonic() - self._looked > _LOOK_S:
            self._n_workers, self._looked = sum(self._client.nthreads().values()), time.monotonic()
        room = _AHEAD * max(1, self._n_workers) - len(self._running)
        for _ in range(min(room, len(waiting))):
            self._submit(waiting.popleft())
        if not waiting and self._took:
            late = time.monotonic() - max(_STRAGGLES_S, _STRAGGLES * median(self._took))
            stragglers = {part for part in self._running.values() if self._begun[part] < late}
            for part in sorted(stragglers)[: max(0, room)]:
                self._submit(part)

    def _submit(self, part: int) -> None:
        self._begun[part] = time.monotonic()
        self._running[self._ask(self._names(part))] = part

    def _ask(self, names: Sequence[Name]) -> Any:
        future = self._client.submit(read_part, list(names), self._asked, pure=False)
        future.add_done_callback(self._ready.put)
        return future

    def _next(self) -> Any:
        """Return what is done next, None if that takes a while."""
        try:
            return self._ready.get(timeout=_LOOK_S)
        except Empty:
            if self._client.status != "running":
                raise ConnectionError("the scheduler is gone") from None
            return None

    def _error_of(self, future: Any) -> BaseException | None:
        """Return why a worker has given nothing, None if it has; what all of them would say is raised."""
        if future.status == "finished":
            return None
        if future.status != "error":
            raise ConnectionError("the scheduler is gone")
        error: BaseException = future.exception(timeout=_RESULT_S)
        if isinstance(error, DigitlabError) and not isinstance(error, EndedError):
            raise error
        return error

    def _check_tries(self, n: int, error: BaseException) -> None:
        if n > _MOST_TRIES:
            told = f"{error!s:.700}" if isinstance(error, WorkerError) else f"{type(error).__name__}: {error!s:.500}"
            raise ConfigError(
                f"The workers cannot read: {told}. They need the same digitlab as here; see what they tell, and give "
                "the same command again."
            ) from error


# ---- on a worker ----

_LOCK = threading.Lock()
_APARTS: dict[tuple[Any, ...], Apart] = {}


def _ready(asked: Asked) -> Apart:
    """Return this worker's processes, one a thread of it, which may end without harm to it; they can read, or raise."""
    if asked.version != digitlab.__version__:
        raise ConfigError(
            f"A worker on {socket.gethostname()} has digitlab {digitlab.__version__}, and {asked.version} asks. "
            "Install the same there."
        )
    who = _who(asked)
    memory = MEMORY_BYTES if asked.device == "cpu" else DEVICE_MEMORY_BYTES
    key = (asked.page_seconds, memory, who)
    with _LOCK:
        if key not in _APARTS:
            apart = Apart(available_threads(), asked.page_seconds, memory, single=True)
            try:
                apart.call(check_reader, who, source=str(asked.model or asked.device))
            except BaseException as error:
                apart.close()
                if isinstance(error, UnforeseenError):
                    raise UnforeseenError(f"{error} (on {socket.gethostname()})") from None
                raise
            _APARTS[key] = apart
        return _APARTS[key]


def _who(asked: Asked) -> tuple[str | None, str | None, str]:
    return asked.model, asked.pixels, asked.device


def read_part(names: Sequence[Name], asked: Asked) -> list[list[str]]:
    """Read some files on a worker, and return the rows of the table; what is wrong with a file is told in its row."""
    return sendable(_rows, names, asked)


def _rows(names: Sequence[Name], asked: Asked) -> list[list[str]]:
    apart = _ready(asked)
    rows: list[list[str]] = []
    for name, place in names:
        try:
            task = Task(name, fetched(place) if is_elsewhere(place) else place)
        except DataError as error:
            rows += _told(name, str(error))
        else:
            rows += _rows_of(read_one_apart(apart, _who(asked), asked.options, task))
    return rows


def _told(name: str, error: str) -> list[list[str]]:
    return _rows_of(FileReading(name, (), error, 0.0))


def _rows_of(reading: FileReading) -> list[list[str]]:
    return [row[:-1] for row in table_rows(reading)]
