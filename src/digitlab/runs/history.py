"""The history: one record a line, appended as it happens, and never a line that is half of one."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from digitlab.data.storage import MOST_WHOLE, open_ordinary, reason_of
from digitlab.errors import RunError, StorageError
from digitlab.values import EpochRecord, FinderEpochRecord, RateChange, Resumption, StepRecord

#: What happened, and what somebody did to the training; the latter stands before the first step that it counts for.
Record = StepRecord | EpochRecord
Steering = RateChange | Resumption

_KINDS: dict[str, type[Record | Steering]] = {
    "step": StepRecord,
    "epoch": EpochRecord,
    "finder epoch": FinderEpochRecord,
    "learning rate": RateChange,
    "resumed": Resumption,
}
_MOST_BYTES = 256 * 2**20
# A record has some 200 bytes; a line without an end would be all of the file.
_LONGEST_LINE = 4_096
#: Of what somebody did to a training; whoever lists runs has all of it in memory, and says each in words.
MOST_CHANGES = 10_000


def record_form(record: Record | Steering) -> dict[str, Any]:
    """Return a record as JSON types, with its kind."""
    kind = next(name for name, one in _KINDS.items() if type(record) is one)
    return {"kind": kind} | record.to_dict()


def record_line(record: Record | Steering) -> bytes:
    """Return a record as one line of the history."""
    return (json.dumps(record_form(record), allow_nan=False) + "\n").encode()


def read_records(path: Path) -> Iterator[tuple[Record | Steering, int]]:
    """Read a history that anybody may have written: records in their order, and where each one's line ends, in bytes.

    A last line that was cut off by a crash is left out; a file that does not exist has no records.
    """
    try:
        with open_ordinary(path) as file:
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise RunError(f"{path} is larger than {_MOST_BYTES // 2**20} MB and no history of a run.")
            end = n_changes = 0
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), start=1):
                if not line.endswith(b"\n") and len(line) <= _LONGEST_LINE:
                    return
                end += len(line)
                try:
                    record = _parsed(line)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    raise RunError(
                        f"Line {number} of {path} is not a record. The run is damaged; train it again."
                    ) from None
                n_changes += isinstance(record, Steering)
                if n_changes > MOST_CHANGES:
                    raise too_many_changes(path)
                yield record, end
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"{path} cannot be read: {reason_of(error)}. The run is damaged; train it again.") from None


def too_many_changes(path: Path) -> RunError:
    """Return what is said of a history with more than ``MOST_CHANGES``."""
    return RunError(f"{path} tells of more than {MOST_CHANGES:,} changes and is no history of a run.")


def _parsed(line: bytes) -> Record | Steering:
    if len(line) > _LONGEST_LINE:
        raise ValueError("no record is so long")
    # Millions of lines may be read, so numbers are bounded here and not one by one while they are parsed.
    entry = json.loads(line)
    kind: Any = _KINDS[entry.pop("kind")]
    for name, declared in _fields(kind):
        if not _fits(entry[name], declared):
            raise ValueError(name)
    record: Record | Steering = kind(**entry)
    return record


@cache
def _fields(kind: Any) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, str(field.type)) for field in dataclasses.fields(kind))


def _fits(value: Any, declared: str) -> bool:
    if value is None:
        return declared.endswith("| None")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, int):
        return (0 if declared == "int" else -MOST_WHOLE) <= value <= MOST_WHOLE
    return declared != "int" and math.isfinite(value)


class HistoryFile:
    """The history of a run, open to append to; the file is made if it is missing.

    The first ``n_records`` of its records are kept, steering not counted: those that the state knows of. A run that was
    killed may have written more.
    """

    def __init__(self, path: Path, n_records: int = 0) -> None:
        self._path = path
        self._size_bytes = n_found = 0
        if n_records:
            for record, end in read_records(path):
                if isinstance(record, Steering):
                    continue  # it belongs to the step after it
                self._size_bytes, n_found = end, n_found + 1
                if n_found == n_records:
                    break
        if n_found < n_records:
            raise RunError(
                f"{path} has {n_found} whole records where the run's state knows of {n_records}. The run is damaged; "
                f"train it again."
            )
        try:
            # Without a buffer: what could not be written must not be tried again behind our back when the file closes.
            self._file = open(path, "ab", buffering=0, opener=_opened)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise _unwritten(path, error) from None
        try:
            self._file.truncate(self._size_bytes)
        except OSError as error:
            self._file.close()
            raise _unwritten(path, error) from None

    def append(self, records: Iterable[Record | Steering]) -> None:
        """Append records, all or none of them."""
        lines = b"".join(map(record_line, records))
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._size_bytes)
            raise _unwritten(self._path, error) from error
        self._size_bytes += len(lines)

    def sync(self) -> None:
        """Wait until everything is on the disk; a state must never know of records that a power cut takes away."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritten(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _unwritten(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written: {reason_of(error)}. Nothing that existed was lost; make room, then go on with the "
        "run by --resume, or start it anew if it had just begun."
    )


def _opened(path: str, flags: int) -> int:
    """Open a file to write, and nothing that takes what is written elsewhere; not waiting, should it be a pipe."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not an ordinary file")
    return descriptor
