"""The trash: where deleted runs lie until so many more are deleted, and from where they can be brought back.

::

    runs/.trash/1764316800000000000~2026-11-22_codelab-cnn_s0/

A run is moved there in one step, whole, and moved back in one; nothing else in a folder of runs is ever touched.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from digitlab.data.storage import bench, holding, reason_of
from digitlab.errors import RunError, StorageError, did_you_mean
from digitlab.runs.label import LABEL
from digitlab.runs.listing import check_name
from digitlab.runs.run import (
    CONFIG,
    EVALUATION,
    FILES,
    HISTORY,
    MODEL,
    REPORT,
    STATE,
    Run,
    RunLock,
)
from digitlab.text import listed, size_text
from digitlab.values import Value

TRASH = ".trash"
#: More than these are deleted for good, the oldest first; the newest stays, however large.
MOST_DELETED, MOST_DELETED_BYTES = 20, 2**30

_ENTRY = re.compile(r"(\d{19})~([A-Za-z0-9][A-Za-z0-9._-]{0,99})")
_WORDS = {
    CONFIG: "settings",
    HISTORY: "history",
    MODEL: "weights",
    STATE: "the state to go on from",
    EVALUATION: "evaluation",
    REPORT: "report",
    LABEL: "title and note",
}


@dataclass(frozen=True, slots=True)
class DeletedRun(Value):
    """A run in the trash: what it was called, where it lies, and when it was deleted, in seconds since 1970."""

    name: str
    path: str
    deleted_s: float


def what_is_lost(run: Run) -> str:
    """Say what a run's folder holds, before it is deleted.

    It is a RunError where it holds something that is no part of a run, which nobody could bring back elsewhere.
    """
    found = _own_files(run.path)
    words = [word for name, word in _WORDS.items() if name in found] or ["nothing yet"]
    return f"{listed(words)}, {size_text(sum(found.values()))}"


def delete_run(run: Run) -> DeletedRun:
    """Move a run into the trash of its folder, from which ``restore_run`` brings it back.

    RunError if it is being trained, is a link, or holds what is no part of a run; then nothing has changed.
    """
    path = run.path
    with holding(path.parent):
        _own_files(path)
        try:
            lock = RunLock(path)
        except RunError:
            raise RunError(
                f"The run {path.name} is being trained, here or by another process. Stop it, then delete it."
            ) from None
        try:
            trash = _trash(path.parent)
            at_ns = time.time_ns()
            to = trash / f"{at_ns:019d}~{path.name}"
            path.rename(to)
        except FileNotFoundError:
            raise _gone(path) from None
        except OSError as error:
            raise StorageError(f"The run {path} cannot be deleted: {reason_of(error)}. It is as it was.") from None
        finally:
            lock.release()
        _throw_away(trash)
    return DeletedRun(path.name, str(to), at_ns / 1e9)


def deleted_runs(out: str | Path = "runs") -> tuple[DeletedRun, ...]:
    """List the runs in the trash of a folder, the one that was deleted last at the end."""
    return tuple(
        DeletedRun(found[2], str(path), int(found[1]) / 1e9)
        for path in _entries(Path(out) / TRASH)
        if (found := _ENTRY.fullmatch(path.name))
    )


def restore_run(name: str, out: str | Path = "runs") -> Run:
    """Bring a deleted run back, the one of that name that was deleted last; RunError if there is none, or no room."""
    check_name(name)
    folder = Path(out)
    with holding(folder):
        deleted = deleted_runs(folder)
        found = [one for one in deleted if one.name == name]
        if not found:
            hint = did_you_mean(name, [one.name for one in deleted])
            raise RunError(f"There is no deleted run {name!r} in {folder / TRASH}.{hint}")
        target = folder / name
        try:
            # Whoever makes a run of that name at the same time comes before or after this, and not in between.
            target.mkdir()
        except FileExistsError:
            raise RunError(f"There is a run {name} again. Delete that one first, then bring this one back.") from None
        except OSError as error:
            raise StorageError(f"{target} cannot be made: {reason_of(error)}. The run stays deleted.") from None
        try:
            if sys.platform == "win32":
                target.rmdir()
            Path(found[-1].path).rename(target)
        except OSError as error:
            with suppress(OSError):
                target.rmdir()
            raise StorageError(f"The run {name} cannot be moved back: {reason_of(error)}. It stays deleted.") from None
    return Run(target)


def _own_files(path: Path) -> dict[str, int]:
    """Return the files of a run with their sizes in bytes; RunError if there is more, or it is no folder of ours."""
    try:
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
        if not is_folder:
            raise RunError(
                f"{path} leads to somewhere else, and only runs in this folder are deleted. Remove it yourself."
            )
        with os.scandir(path) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    except FileNotFoundError:
        raise _gone(path) from None
    except OSError as error:
        raise StorageError(f"The run {path} cannot be looked at: {reason_of(error)}.") from None
    if CONFIG not in found:
        raise RunError(f"{path} is not a run: it has no {CONFIG}. See what there is with: digitlab runs")
    for name, status in found.items():
        is_ours = name in FILES or re.fullmatch(r"\.digitlab-.*\.tmp", name)
        if not is_ours or stat.S_ISDIR(status.st_mode):
            raise RunError(f"{path} also holds {name!r}, which is no part of a run. Move it away, then delete the run.")
    return {name: status.st_size for name, status in found.items()}


def _gone(path: Path) -> RunError:
    return RunError(f"There is no run {path.name} in {path.parent} any more. See what there is with: digitlab runs")


def _trash(folder: Path) -> Path:
    trash = folder / TRASH
    with suppress(FileExistsError):
        trash.mkdir(mode=0o700)
    if not stat.S_ISDIR(trash.lstat().st_mode):
        raise StorageError(f"{trash} is no folder, or leads to somewhere else. Remove it, then delete the run.")
    return trash


def _entries(trash: Path) -> list[Path]:
    """Return the deleted runs, the oldest first; what else lies there is nobody's here."""
    try:
        if not stat.S_ISDIR(trash.lstat().st_mode):
            return []
        with os.scandir(trash) as found:
            names = [one.name for one in found if _ENTRY.fullmatch(one.name) and one.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [trash / name for name in sorted(names)]


def _throw_away(trash: Path) -> None:
    """Delete for good what is too much; a failure leaves it for the next time."""
    entries = _entries(trash)
    n_bytes, n_kept = 0, 0
    for path in reversed(entries):
        n_bytes += _size_bytes(path)
        if n_kept and (n_kept == MOST_DELETED or n_bytes > MOST_DELETED_BYTES):
            break
        n_kept += 1
    for path in entries[: len(entries) - n_kept]:
        with suppress(OSError), bench(trash) as place:
            # Out of sight first: what is half deleted cannot be brought back.
            path.rename(place / path.name)


def _size_bytes(path: Path) -> int:
    with suppress(OSError), os.scandir(path) as files:
        return sum(file.stat(follow_symlinks=False).st_size for file in files)
    return 0
