"""Parts: a million pages read by the workers of a cluster, in parts of which each is kept whole or not at all.

The names of all files are written down first, in an order that stays. Each part, some of them one after the other, is
read by a worker, and its rows come back to the client, which writes them as a file of their own: under another name
first, then renamed. A part that is there is never read again, whoever was killed meanwhile, and one that two workers
have read is written once. When all are there they are put together, in the order of the names.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitlab.cluster import load_distributed
from digitlab.data.storage import MOST_WHOLE, open_ordinary, parse_json, read_ordinary, reason_of, replacing, try_lock
from digitlab.data.tables import check_parquet, write_parquet
from digitlab.errors import ConfigError, DataError, StorageError
from digitlab.reading.farm import Asked, read_on
from digitlab.reading.results_file import COLUMNS, csv_text, safe_cell
from digitlab.values import Value

_NAMES, _LOCK = "names.jsonl", "lock"
_COLUMNS = COLUMNS[:-1]  # without the state, which is a part's being there
_KINDS: dict[str, type[int] | type[float] | type[str]] = {
    name: {"page": int, "line": int, "number": int, "refused": int, "confidence": float}.get(name, str)
    for name in _COLUMNS
}
_NUMBER, _ERROR = _COLUMNS.index("digits"), _COLUMNS.index("error")
_FOLDER, _PART = re.compile(r"\d{5,}"), re.compile(r"part-\d{7,}\.csv")
_LONGEST_LINE, _MOST_PART_BYTES = 2**16, 2**30
# Of a folder: whoever writes a file looks through its folder for what the killed have left there.
_PARTS_A_FOLDER = 500
# The rate is that of the last so many parts, so that it follows workers that come and go.
_RATE_PARTS = 200


@dataclass(frozen=True, slots=True)
class PartsProgress(Value):
    """How far it is: files done and all, files a second lately, seconds left, and threads of workers at work.

    ``n_bad`` are files of this turn that could not be read.
    """

    done: int
    n_files: int
    per_s: float
    left_s: float | None
    workers: int
    n_bad: int


@dataclass(frozen=True, slots=True)
class PartsResult(Value):
    """What became of them: the file with the results, files, numbers read, and files that could not be read."""

    path: str
    n_files: int
    n_numbers: int
    n_bad: int


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
    when it goes on. ``on_progress`` is told every two seconds at least; what it raises stops the reading, and what was
    read is kept. ConfigError if the table is there already, or was begun with other options; StorageError if it cannot
    be written.
    """
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"A cluster's results are a table: name --out something.parquet or something.csv, not {out}.")
    # What is missing is told now, and not after a night.
    load_distributed()
    if out.suffix.lower() == ".parquet":
        check_parquet(str(out))
    folder = out.with_name(f"{out.name}.parts")
    with _held(folder):
        if out.exists() and not force and not (folder / _NAMES).exists():
            _remove(folder)
            raise ConfigError(f"{out} is there already. Name another --out, or begin it anew with --force.")
        if force:
            with _writing(folder):
                _empty(folder)
        plan = _begun(folder, asked) or _plan(names, folder, asked, part_files)
        _read(plan, plan.missing(), cluster, asked, workers, on_progress)
        with _writing(out):
            result = _put_together(plan, out)
        _remove(folder)
    return PartsResult(str(out), plan.n_files, *result)


def _read(
    plan: _Plan,
    missing: Sequence[int],
    cluster: str,
    asked: Asked,
    workers: int | None,
    on_progress: Callable[[PartsProgress], None] | None,
) -> None:
    """Read the parts that are missing, and keep each."""
    done, n_bad = plan.n_files - sum(plan.size(part) for part in missing), 0
    lately = deque([(time.monotonic(), done)], maxlen=_RATE_PARTS)
    found = read_on(cluster, plan.names, missing, asked, workers)
    try:
        for part, rows, n_workers in found:
            if part is not None:
                with _writing(plan.folder):
                    _keep(plan.path_of(part), rows)
                done += plan.size(part)
                n_bad += _count_bad(rows)
                lately.append((time.monotonic(), done))
            if on_progress is not None:
                per_s = (done - lately[0][1]) / max(1e-9, time.monotonic() - lately[0][0])
                left_s = (plan.n_files - done) / per_s if per_s else None
                on_progress(PartsProgress(done, plan.n_files, per_s, left_s, n_workers, n_bad))
    finally:
        found.close()


# ---- on the disk ----


@dataclass(frozen=True)
class _Plan:
    """What is read: the folder with the names and the parts, and where in the file of names each part begins.

    A million names are never in memory all at once. ``home`` is the folder that relative names are relative to.
    """

    folder: Path
    home: str
    part_files: int
    n_files: int
    starts: array[int]

    def names(self, part: int) -> list[tuple[str, str]]:
        """Return a part's names: how each is called in the table, and where it lies."""
        with open_ordinary(self.folder / _NAMES) as file:
            file.seek(self.starts[part])
            names = [str(parse_json(file.readline(_LONGEST_LINE))) for _ in range(self.size(part))]
        return [(name, _place_of(name, self.home)) for name in names]

    def size(self, part: int) -> int:
        return min(self.part_files, self.n_files - part * self.part_files)

    def path_of(self, part: int) -> Path:
        return self.folder / f"{part // _PARTS_A_FOLDER:05d}" / f"part-{part:07d}.csv"

    def missing(self) -> list[int]:
        """Return the parts that are not there whole; one that is damaged is read again."""
        return [part for part in range(len(self.starts)) if not self._is_whole(part)]

    def _is_whole(self, part: int) -> bool:
        if not os.path.lexists(self.path_of(part)):
            return False
        try:
            return {row[0] for row in self.rows(part)} == {safe_cell(name) for name, _ in self.names(part)}
        except (DataError, OSError):
            return False

    def rows(self, part: int) -> list[list[str]]:
        """Return a part's rows; DataError if they are damaged."""
        path = self.path_of(part)
        try:
            with io.TextIOWrapper(io.BytesIO(read_ordinary(path, _MOST_PART_BYTES)), "utf-8", newline="") as text:
                rows = list(csv.reader(text))
            _typed_rows(rows)
        except (ValueError, IndexError, csv.Error, FileNotFoundError):
            raise DataError(f"{path} is damaged. Give the same command again, which reads that part anew.") from None
        return rows


def _place_of(name: str, home: str) -> str:
    # Workers may have been started in another folder.
    return name if "://" in name else os.path.normpath(os.path.join(home, name))


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{place} cannot be written: {reason_of(error)}. What was read is kept; make room and give the same "
            "command again."
        ) from None


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Let no other process work on the same table."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOCK).open("ab")
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {reason_of(error)}. Choose another --out.") from None
    with file:
        if try_lock(file.fileno()) is False:
            raise ConfigError(f"Another process reads into {folder} just now. Wait for it, or name another --out.")
        yield


def _empty(folder: Path) -> None:
    """Remove what is digitlab's; whatever somebody keeps of their own there stays."""
    # The names first: what is left of a folder without them is nothing that could be gone on with.
    (folder / _NAMES).unlink(missing_ok=True)
    for below in [path for path in folder.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir()]:
        for path in below.iterdir():
            if _PART.fullmatch(path.name):
                path.unlink()
        with suppress(OSError):
            below.rmdir()


def _remove(folder: Path) -> None:
    """Remove the folder, while it is still held."""
    with suppress(OSError):
        _empty(folder)
        (folder / _LOCK).unlink()
        folder.rmdir()


def _begun(folder: Path, asked: Asked) -> _Plan | None:
    """Return what was written down when it began; ConfigError if that was something else, None if it did not begin."""
    path = folder / _NAMES
    if not path.is_file():
        return None
    starts, n, at, last = array("q"), -1, 0, b""
    try:
        with open_ordinary(path) as file:
            head = parse_json(file.readline(_LONGEST_LINE))
            recipe, home, part_files = head["recipe"], head.get("home"), head["part_files"]
            at = file.tell()
            if type(part_files) is not int or part_files < 1:
                raise _damaged(path)
            for last in iter(lambda: file.readline(_LONGEST_LINE), b""):
                n += 1
                if n % part_files == 0:
                    starts.append(at)
                at += len(last)
                if not isinstance(parse_json(last), str):
                    break
            is_whole = file.read(1) == b"" and n > 0 and parse_json(last) == n
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(path) from None
    if recipe != asked.recipe:
        raise ConfigError(
            f"{folder} was begun with other options or another network. Name another --out, or begin it anew with "
            "--force."
        )
    if not is_whole or not isinstance(home, str):
        raise _damaged(path)
    del starts[-(-n // part_files) :]  # the last line is no name: it says how many there are
    return _Plan(folder, home, part_files, n, starts)


def _damaged(path: Path) -> DataError:
    return DataError(f"{path} is damaged. Begin anew with --force, or name another --out.")


def _plan(names: Iterable[str], folder: Path, asked: Asked, part_files: int) -> _Plan:
    """Write the names down, each once, in their order."""
    home, starts, n = os.getcwd(), array("q"), 0
    head = {"recipe": asked.recipe, "home": home, "part_files": part_files}
    seen: set[bytes] = set()
    with _writing(folder):
        _empty(folder)
        with replacing(folder / _NAMES) as file:
            at = file.write(json.dumps(head).encode() + b"\n")
            for name in names:
                # A list may name a file twice; its rows stand there once.
                place = _place_of(name, home).encode("utf-8", "surrogatepass")
                key = hashlib.blake2b(place, digest_size=16).digest()
                if key in seen:
                    continue
                seen.add(key)
                if n % part_files == 0:
                    starts.append(at)
                at, n = at + file.write(json.dumps(name).encode() + b"\n"), n + 1
            if not n:
                raise DataError("There are no pictures to read. Name a folder, a list (.txt) or a bucket with some.")
            file.write(json.dumps(n).encode() + b"\n")
    return _Plan(folder, home, part_files, n, starts)


def _keep(path: Path, rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as file:
        file.write(csv_text(rows).encode())


def _count_bad(rows: Iterable[Sequence[str]]) -> int:
    return sum(row[_ERROR] != "" for row in rows)


def _put_together(plan: _Plan, out: Path) -> tuple[int, int]:
    """Write the table; return how many numbers are in it, and how many files could not be read."""
    n_numbers = n_bad = 0

    def counted() -> Iterator[list[list[str]]]:
        nonlocal n_numbers, n_bad
        for rows in map(plan.rows, range(len(plan.starts))):
            n_numbers += sum(row[_NUMBER] != "" for row in rows)
            n_bad += _count_bad(rows)
            yield rows

    with replacing(out) as file:
        if out.suffix.lower() == ".csv":
            file.write(csv_text([_COLUMNS]).encode())
            for rows in counted():
                file.write(csv_text(rows).encode())
        else:
            write_parquet(file, _KINDS, map(_typed_rows, counted()))
    return n_numbers, n_bad


def _typed_rows(rows: Sequence[Sequence[str]]) -> dict[str, list[Any]]:
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
