"""What is being written, and who may write: benches and temporary files that are locked, and what kills leave behind.

Whoever makes something keeps it locked until it is in its place. So whoever writes into the same folder next can tell
what is left of a process that was killed, and removes it: an unlocked one is nobody's. Where there are no such locks,
on Windows and on some file systems, what is older than an hour is taken for left over.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from digitlab.errors import StorageError

__all__ = ["bench", "holding", "new_file", "replace_folder", "scratch", "sweep", "try_lock"]

_NAME = re.compile(r"\.digitlab-[0-9a-f]{16}\.tmp")
# Folders in the system's temporary one, where others may make some that are called so.
_SCRATCH = "digitlab-export-"
_STALE_S = 3600.0
# Nobody needs a folder for longer than a moment, but a process may be suspended while it has it.
_PATIENCE_S = 30.0
_TRY_EVERY_S = 0.01
# What has been moved out of the way lies in this folder of a bench, under its own name.
_ASIDE = "aside"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux' fcntl.h and fs.h

if sys.platform == "win32":

    def try_lock(descriptor: int) -> bool | None:
        """Lock an open file or folder against other processes: whether it could be had; None where nothing can."""
        return None

    def _unlock(descriptor: int) -> None:
        return None

else:
    import fcntl

    def try_lock(descriptor: int) -> bool | None:
        """Lock an open file or folder against other processes: whether it could be had; None where nothing can."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def _unlock(descriptor: int) -> None:
        # A process that was forked meanwhile would keep it, however soon the descriptor is closed here.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Keep other processes that do the same out of a folder while the block runs; where there is none, do nothing.

    Raises
    ------
    StorageError
        If another process keeps it for longer than half a minute.
    """
    descriptor = _held(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            _unlock(descriptor)
            os.close(descriptor)


def _held(folder: Path) -> int | None:
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except (OSError, ValueError):
            return None  # whatever is wrong with it is told by who reads or writes it
        is_ours = try_lock(descriptor)
        with suppress(OSError):
            # Somebody may have moved it away meanwhile, and put another in its place.
            if is_ours is not False and os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                return descriptor
        os.close(descriptor)
        if time.monotonic() > give_up:
            raise StorageError(f"{folder} is being written by another process. Wait until it ends, and try again.")
        time.sleep(_TRY_EVERY_S)


def new_file(folder: Path, mode: int) -> tuple[BinaryIO, Path]:
    """Make a file under a temporary name, to write and to read; it stays locked as long as it is open."""
    while True:
        path = folder / _temporary_name()
        file = open(path, "x+b", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115 - handed over
        # Between the two steps another process may have taken it for left over.
        if try_lock(file.fileno()) is not False and os.path.lexists(path):
            return file, path
        file.close()


@contextmanager
def bench(folder: Path) -> Iterator[Path]:
    """Yield a new hidden folder in a folder, which is gone when the block ends."""
    sweep(folder)

    def made() -> Path:
        path = folder / _temporary_name()
        path.mkdir()
        return path

    with _kept(made) as path:
        yield path


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder in the system's temporary one, which is gone when the block ends; those of the killed go."""
    home = Path(tempfile.gettempdir())
    with suppress(OSError):
        for path in home.glob(f"{_SCRATCH}*"):
            with suppress(OSError):
                _remove_scratch(path)
    with _kept(lambda: Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=home))) as path:
        yield path


def _remove_scratch(path: Path) -> None:
    status = path.lstat()
    # Nothing is believed of what another account has made there, and no link is followed.
    if stat.S_ISDIR(status.st_mode) and (sys.platform == "win32" or status.st_uid == os.geteuid()):
        _remove_if_left(path, has_aside=False)


@contextmanager
def _kept(made: Callable[[], Path]) -> Iterator[Path]:
    """Yield a folder that is locked, and gone when the block ends."""
    path, descriptor = _locked(made)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _locked(made: Callable[[], Path]) -> tuple[Path, int | None]:
    while True:
        path = made()
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another process took it for left over
        except OSError:
            return path, None
        if try_lock(descriptor) is not False and os.path.lexists(path):
            return path, descriptor
        os.close(descriptor)


def replace_folder(made: Path, target: Path, bench: Path) -> None:
    """Put a folder that was made on a bench in the place of another, which is on the bench afterwards.

    Raises
    ------
    OSError
        If it cannot be done; what was there is there.
    """
    if _exchanged(made, target):
        return
    # Two steps, and for a moment there is none. If this process is killed then, ``sweep`` puts it back.
    aside = bench / _ASIDE / target.name
    aside.parent.mkdir()
    target.rename(aside)
    try:
        made.rename(target)
    except BaseException:
        aside.rename(target)
        raise


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        exchange = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):
        return False
    exchange.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return bool(exchange(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def sweep(folder: Path) -> None:
    """Remove what killed processes have left in a folder; what one had moved out of the way goes back."""
    with suppress(OSError, ValueError):
        with os.scandir(folder) as entries:
            leftovers = [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name)]
        for path in leftovers:
            with suppress(OSError):
                _remove_if_left(path)


def _remove_if_left(path: Path, *, has_aside: bool = True) -> None:
    status = path.lstat()
    descriptor = None
    try:
        if sys.platform == "win32":
            is_left = None
        else:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            is_left = try_lock(descriptor)
        if is_left is None:
            is_left = time.time() - status.st_mtime > _STALE_S
        if not is_left:
            return
        if not stat.S_ISDIR(status.st_mode):
            path.unlink()
            return
        if has_aside and (path / _ASIDE).is_dir():
            for old in (path / _ASIDE).iterdir():
                if not os.path.lexists(path.parent / old.name):
                    old.rename(path.parent / old.name)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _temporary_name() -> str:
    return f".digitlab-{secrets.token_hex(8)}.tmp"
