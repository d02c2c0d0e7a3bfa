"""Parts: a million pages read by the workers of a cluster, in parts of which each is kept whole or not at all.

The names of all files are written down first, in an order that stays. Each part, some of them one after the other, is
read by a worker, and its rows come back to the client, which writes them as a file of their own: under another name
first, then renamed. A part that is there is never read again, whoever was killed meanwhile, and one that two workers
have read is written once. When all are there they are put together, in the order of the names.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from statistics import median
from typing import Any

from digitlab.cluster import connected, load_distributed
from digitlab.data.storage import (
    MOST_WHOLE,
    open_ordinary,
    parse_json,
    read_ordinary,
    reason_of,
    replacing,
    try_lock,
)
from digitlab.engine.cpu.threads import available_threads
from digitlab.errors import ConfigError, DataError, StorageError
from digitlab.reading.apart import DEVICE_MEMORY_BYTES, MEMORY_BYTES, Apart
from digitlab.reading.many import FileReading, Task, read_one_apart
from digitlab.reading.places import fetched, is_elsewhere
from digitlab.reading.reading import ReadingOptions
from digitlab.reading.results_file import COLUMNS, csv_text, safe_cell, table_rows
from digitlab.values import Value

_NAMES, _LOCK = "names.jsonl", "lock"
_PART = re.compile(r"part-\d{7,}\.csv")
_COLUMNS = COLUMNS[:-1]  # without the state, which is a part's being there
_KINDS: dict[str, type[int] | type[float] | type[str]] = {
    name: {"page": int, "line": int, "number": int, "refused": int, "confidence": float}.get(name, str)
    for name in _COLUMNS
}
_LONGEST_LINE, _MOST_PART_BYTES = 2**16, 2**30
# Parts that a worker may have waiting, so that it never waits itself; and no more, so that memory stays bounded.
_AHEAD = 3
# A part that takes so many times as long as they usually do is given to another worker as well, when none is left.
_STRAGGLES, _STRAGGLES_S = 4.0, 30.0
# How often a part is tried whose worker died; then its files are read one by one, and the one that kills is told.
_MOST_DEATHS = 3
_RECONNECT_S, _AGAIN_S = 600.0, 2.0
_LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class PartsProgress(Value):
    """How far it is: files done and all, files a second of this turn, seconds left, and workers at work."""

    done: int
    n_files: int
    per_s: float
    left_s: float | None
    workers: int


@dataclass(frozen=True, slots=True)
class PartsResult(Value):
    """What became of them: the file with the results, files, numbers read, and files that could not be read."""

    path: str
    n_files: int
    n_numbers: int
    n_bad: int


@dataclass(frozen=True, slots=True)
class Asked:
    """How a file is read, as it travels to the workers: options, model, the scale of its pixels, time, device."""

    options: ReadingOptions
    model: str | None = None
    pixels: str | None = None
    page_seconds: float = 10.0
    device: str = "cpu"

    @property
    def recipe(self) -> str:
        """A word that differs where anything of it does."""
        told = [self.options.to_dict(), self.model, self.pixels, self.page_seconds, self.device]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def read_parts(
    names: Iterable[str],
    out: Path,
    cluster: str,
    asked: Asked,
    *,
    part_files: int = 32,
    workers: int | None = None,
    force: bool = False,
    on_progress: Callable[[PartsProgress], None] | None = None,
) -> PartsResult:
    """Read files on a cluster into one table, ``out`` (.csv or .parquet), and go on with what was begun.

    The rows of every name stand in it once, in the order of the names, which are listed when it begins and not again
    when it goes on. ConfigError if the table is there already, or was begun with other options; StorageError if it
    cannot be written.
    """
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"A cluster's results are a table: name --out something.parquet or something.csv, not {out}.")
    folder = out.with_name(f"{out.name}.parts")
    if out.exists() and not force:
        raise ConfigError(f"{out} is there already. Name another --out, or begin it anew with --force.")
    with _held(folder):
        if force:
            _empty(folder)
        all_names, part_files = _written_down(names, folder, asked, part_files)
        parts = [all_names[k : k + part_files] for k in range(0, len(all_names), part_files)]
        missing = [k for k, part in enumerate(parts) if not _is_whole(folder, k, part)]
        n_done = len(all_names) - sum(len(parts[k]) for k in missing)
        began, done = time.monotonic(), n_done
        with contextlib.closing(_read(parts, missing, cluster, asked, workers)) as found:
            for k, rows, n_workers in found:
                _keep(folder, k, rows)
                done += len(parts[k])
                if on_progress is not None:
                    per_s = (done - n_done) / max(1e-9, time.monotonic() - began)
                    left = (len(all_names) - done) / per_s if per_s else None
                    on_progress(PartsProgress(done, len(all_names), per_s, left, n_workers))
        result = _put_together(folder, len(parts), out)
        _empty(folder)
    with contextlib.suppress(OSError):
        (folder / _LOCK).unlink()
        folder.rmdir()  # unless somebody keeps something of their own there
    return PartsResult(str(out), len(all_names), *result)


# ---- on the disk ----


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Let no other process work on the same table."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK).open("ab") as file:
            if try_lock(file.fileno()) is False:
                raise ConfigError(f"Another process reads into {folder} just now. Wait for it, or name another --out.")
            yield
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {reason_of(error)}. Choose another --out.") from None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == _NAMES or _PART.fullmatch(path.name):
            path.unlink()


def _written_down(names: Iterable[str], folder: Path, asked: Asked, part_files: int) -> tuple[list[str], int]:
    """Return the names in their order, and how many make a part: as they were written down when it began."""
    path = folder / _NAMES
    if path.is_file():
        return _names_of_then(path, asked)
    seen: dict[str, None] = {}
    with replacing(path) as file:
        file.write(json.dumps({"recipe": asked.recipe, "part_files": part_files}).encode() + b"\n")
        for name in names:
            if name not in seen:  # a list may name a file twice; its rows stand there once
                seen[name] = None
                file.write(json.dumps(name).encode() + b"\n")
        if not seen:
            raise DataError("There are no pictures to read. Name a folder, a list (.txt) or a bucket with some.")
        file.write(json.dumps(len(seen)).encode() + b"\n")
    return list(seen), part_files


def _names_of_then(path: Path, asked: Asked) -> tuple[list[str], int]:
    """Read what ``_written_down`` wrote, and anybody may have changed; its last line says how many names there are."""
    try:
        with open_ordinary(path) as file:
            lines = iter(lambda: file.readline(_LONGEST_LINE), b"")
            head = parse_json(next(lines, b""))
            recipe, part_files = head["recipe"], head["part_files"]
            *names, n_names = map(parse_json, lines) if recipe == asked.recipe else (0,)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(path) from None
    if recipe != asked.recipe:
        raise ConfigError(
            f"{path.parent} was begun with other options or another network. Name another --out, or begin it anew with "
            "--force."
        )
    if n_names != len(names) or type(part_files) is not int or part_files < 1:
        raise _damaged(path)
    if not all(isinstance(name, str) for name in names):
        raise _damaged(path)
    return names, part_files


def _damaged(path: Path) -> DataError:
    return DataError(f"{path} is damaged. Begin anew with --force, or name another --out.")


def _path_of(folder: Path, part: int) -> Path:
    return folder / f"part-{part:07d}.csv"


def _keep(folder: Path, part: int, rows: Sequence[Sequence[str]]) -> None:
    try:
        with replacing(_path_of(folder, part)) as file:
            file.write(csv_text(rows).encode())
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {reason_of(error)}. What was read is kept; make room and give the same "
            "command again."
        ) from None


def _is_whole(folder: Path, part: int, names: Sequence[str]) -> bool:
    """Tell whether a part is there with rows of all its files; one that is damaged is read again."""
    if not os.path.lexists(_path_of(folder, part)):
        return False
    try:
        return {row[0] for row in _rows_of(folder, part)} == {safe_cell(name) for name in names}
    except (DataError, OSError):
        return False


def _rows_of(folder: Path, part: int) -> list[list[str]]:
    path = _path_of(folder, part)
    try:
        with io.TextIOWrapper(io.BytesIO(read_ordinary(path, _MOST_PART_BYTES)), "utf-8", newline="") as text:
            rows = list(csv.reader(text))
        _typed_rows(rows)
    except (ValueError, IndexError, csv.Error, FileNotFoundError):
        raise DataError(f"{path} is damaged. Give the same command again, which reads that part anew.") from None
    return rows


def _put_together(folder: Path, n_parts: int, out: Path) -> tuple[int, int]:
    """Write the table; return how many numbers are in it, and how many files could not be read."""
    n_numbers = n_bad = 0
    number, error = _COLUMNS.index("digits"), _COLUMNS.index("error")

    def counted() -> Iterator[list[list[str]]]:
        nonlocal n_numbers, n_bad
        for rows in (_rows_of(folder, part) for part in range(n_parts)):
            n_numbers += sum(row[number] != "" for row in rows)
            n_bad += sum(row[error] != "" for row in rows)
            yield rows

    with replacing(out) as file:
        if out.suffix.lower() == ".csv":
            file.write(csv_text([_COLUMNS]).encode())
            for rows in counted():
                file.write(csv_text(rows).encode())
        else:
            from digitlab.data.tables import write_parquet

            write_parquet(file, _KINDS, map(_typed_rows, counted()))
    return n_numbers, n_bad


def _typed_rows(rows: list[list[str]]) -> dict[str, list[Any]]:
    """Rows as columns of numbers and texts; None where a cell is empty. ValueError where they are no such rows."""
    if any(len(row) != len(_KINDS) for row in rows):
        raise ValueError("other columns")
    return {
        name: [None if row[k] == "" else _typed(row[k], kind) for row in rows]
        for k, (name, kind) in enumerate(_KINDS.items())
    }


def _typed(cell: str, kind: type[int] | type[float] | type[str]) -> int | float | str:
    value = kind(cell)
    if not isinstance(value, str) and not 0 <= value <= MOST_WHOLE:
        raise ValueError("no such number")
    return value


# ---- on the cluster ----

_Found = Generator[tuple[int, list[list[str]], int], None, None]


def _read(parts: Sequence[Sequence[str]], missing: Sequence[int], cluster: str, asked: Asked, n: int | None) -> _Found:
    """Yield every missing part's number and rows as it is read, and how many workers there are.

    A scheduler that is gone is waited for; what it had to do is asked for again.
    """
    left = set(missing)
    lost_s: float | None = None
    while left:
        try:
            with connected(cluster, n or available_threads()) as client:
                for part, rows, n_workers in _asked_of(client, parts, sorted(left), asked):
                    lost_s = None
                    left.discard(part)
                    yield part, rows, n_workers
        except (ConfigError, OSError, CancelledError) as error:
            is_lost = lost_s is not None or len(left) < len(missing) or not isinstance(error, ConfigError)
            if cluster == "local" or not is_lost:
                if isinstance(error, ConfigError):
                    raise
                raise ConfigError(
                    f"The workers of {cluster} are gone ({type(error).__name__}). What was read is kept; give the same "
                    "command again."
                ) from None
            lost_s = lost_s or time.monotonic()
            if time.monotonic() - lost_s > _RECONNECT_S:
                raise ConfigError(
                    f"The scheduler at {cluster} was not there for {_RECONNECT_S / 60:.0f} minutes. What was read is "
                    "kept; start it, and give the same command again."
                ) from None
            time.sleep(_AGAIN_S)


def _asked_of(client: Any, parts: Sequence[Sequence[str]], left: Sequence[int], asked: Asked) -> _Found:
    distributed = load_distributed()
    waiting, deaths, begun = deque(left), dict.fromkeys(left, 0), dict.fromkeys(left, 0.0)
    running: dict[Any, int] = {}
    took: deque[float] = deque(maxlen=100)
    ready: SimpleQueue[Any] = SimpleQueue()

    def submit(part: int, function: Callable[..., Any]) -> None:
        begun[part] = time.monotonic()
        future = client.submit(function, list(parts[part]), asked, pure=False)
        running[future] = part
        future.add_done_callback(ready.put)

    def fill(n_workers: int) -> None:
        room = _AHEAD * max(1, n_workers) - len(running)
        while waiting and room > 0:
            submit(waiting.popleft(), read_part)
            room -= 1
        if not waiting and took:
            late = time.monotonic() - max(_STRAGGLES_S, _STRAGGLES * median(took))
            for part in [part for part in {*running.values()} if begun[part] < late][: max(0, room)]:
                submit(part, read_part)

    missing = set(left)
    while missing:
        n_workers = len(client.nthreads())
        fill(n_workers)
        try:
            future = ready.get(timeout=_LOOK_S)
        except Empty:
            if client.status != "running":
                raise ConnectionError("the scheduler is gone") from None
            continue
        part = running.pop(future)
        if part not in missing:
            continue  # another worker was sooner
        if future.status == "finished":
            rows = future.result()
            took.append(time.monotonic() - begun[part])
            missing.discard(part)
            yield part, rows, n_workers
        elif future.status == "cancelled":
            raise ConnectionError("the scheduler is gone")
        else:
            deaths[part] += 1
            error = future.exception()
            if not isinstance(error, distributed.KilledWorker) and deaths[part] > _MOST_DEATHS:
                raise error
            is_careful = deaths[part] >= _MOST_DEATHS or isinstance(error, distributed.KilledWorker)
            submit(part, read_one_by_one if is_careful else read_part)


# ---- on a worker ----


@cache
def _apart(page_seconds: float, memory_bytes: int) -> Apart:
    """The processes of this worker, one for each of its threads, which may end without harm to it."""
    return Apart(available_threads(), page_seconds, memory_bytes)


def read_part(names: Sequence[str], asked: Asked) -> list[list[str]]:
    """Read some files on a worker, and return the rows of the table."""
    memory = MEMORY_BYTES if asked.device == "cpu" else DEVICE_MEMORY_BYTES
    apart = _apart(asked.page_seconds, memory)
    who = (asked.model, asked.pixels, asked.device)
    rows: list[list[str]] = []
    for name in names:
        try:
            task = Task(name, fetched(name) if is_elsewhere(name) else name)
        except (DataError, ConfigError) as error:
            reading = FileReading(name, (), str(error), 0.0)
        else:
            reading = read_one_apart(apart, who, asked.options, task)
        rows += [row[:-1] for row in table_rows(reading)]
    return rows


def read_one_by_one(names: Sequence[str], asked: Asked) -> list[list[str]]:
    """Read files whose worker died several times, as carefully as can be: what cannot be read is told."""
    rows = []
    for name in names:
        try:
            rows += read_part([name], asked)
        except Exception as error:
            told = FileReading(name, (), f"It could not be read: {type(error).__name__}.", 0.0)
            rows += [row[:-1] for row in table_rows(told)]
    return rows
