"""Files on the disk: read if they are ordinary and of bounded size, and replaced whole or not at all.

Whoever makes something keeps it locked until it is in its place. So whoever writes into the same folder next can tell
what is left of a process that was killed, and removes it: an unlocked one is nobody's. Where there are no such locks,
on Windows and on some file systems, what is older than an hour is taken for left over.
"""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn, Protocol

from digitlab.errors import DataError, StorageError

_CHUNK_BYTES = 2**20
# What is read at once of a compressed file: what is behind the end of a stream is copied once more for the next.
_PIECE_BYTES = 2**16
_GZIP_MAGIC = b"\x1f\x8b"
_XZ_MAGIC = b"\xfd7zXZ\x00"
# A header may ask for a dictionary of 4 GiB; `xz -9` needs 65 MiB.
_XZ_MEMORY_BYTES = 2**28
# An empty one has 32 bytes (of xz; 20 of gzip), and to go on to the next costs as much as a megabyte (a kilobyte): a
# file of nothing else takes minutes. bgzip makes one of every 64 kilobytes.
_MOST_STREAMS, _BYTES_A_STREAM = 1_000, 2**12
# No honest one is so long without content; a name, or zeros behind a stream, may be of any length.
_MOST_EMPTY_BYTES = 2**24
#: What a float64 still tells apart. Python would take numbers of any length, and they break what reckons with them.
MOST_WHOLE = 2**53
_LONGEST_SHOWN = 20


class Readable(Protocol):
    """Bytes that come in order; ``read`` returns none of them only at their end."""

    def read(self, n_bytes: int, /) -> bytes: ...


def open_ordinary(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to read, if it is an ordinary one; a pipe would wait for ever, and a device may never end.

    OSError or ValueError if it is something else, or cannot be opened.
    """

    # Asked before, because opening a device can do something; and after, because it may have changed in between.
    _check_ordinary(os.stat(path))
    file = open(path, "rb", opener=_not_waiting)  # noqa: SIM115 - it is handed over
    try:
        _check_ordinary(os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def read_ordinary(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """Read an ordinary file of at most so many bytes; OSError or ValueError if it is none, or grows meanwhile."""
    with open_ordinary(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes > most_bytes:
            raise OSError(errno.EFBIG, f"it has {n_bytes:,} bytes, and at most {most_bytes:,} are read")
        # Python makes room for as many bytes as are asked for.
        content = file.read(n_bytes + 1)
    if len(content) > n_bytes:
        raise OSError(errno.EAGAIN, "it grew while it was read")
    return content


def read_up_to(stream: Readable, n_bytes: int) -> bytearray:
    """Return the next bytes of a stream, fewer only at its end; no more memory is taken than there are."""
    content = bytearray()
    while len(content) < n_bytes:
        chunk = stream.read(min(n_bytes - len(content), _CHUNK_BYTES))
        if not chunk:
            break
        content += chunk
    return content


def reason_of(error: BaseException) -> str:
    """Return what the system says of an error, without its number and the file's name."""
    return str(getattr(error, "strerror", None) or error)


def parse_json(content: bytes | str) -> Any:
    """Return what JSON that anybody may have written holds; its numbers are finite, whole ones at most 2**53.

    ValueError if it is no such JSON, or nested too deep.
    """
    try:
        return json.loads(content, parse_int=_whole, parse_float=_finite, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


@contextmanager
def reading(path: Path) -> Iterator[Readable]:
    """Open a plain, gzip or xz file, told apart by its first bytes, and yield its decompressed bytes.

    What goes wrong in opening, reading or decompressing is raised as a `DataError` that names the file.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path} is a folder, where a file was expected. Name a file inside it.")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path} is not a regular file. Copy its content into a file and name that.")
        with open_ordinary(path) as file:
            yield decompressed(file)
    except DataError:
        raise
    except (EOFError, zlib.error, _PackedError) as error:
        raise DataError(
            f"{path} cannot be decompressed: {str(error).rstrip('.')}. A whole gzip or xz file was expected; "
            "copy or download it again."
        ) from None
    except FileNotFoundError:
        raise DataError(f"There is no file {path}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} cannot be read: {reason_of(error)}. Check its name, permissions and disk."
        ) from error


def decompressed(file: BinaryIO) -> Readable:
    """Return the content of a plain, gzip or xz file, told apart by its first bytes; errors are the decoders' own."""
    start = file.read(len(_XZ_MAGIC))
    file.seek(0)
    if start.startswith(_GZIP_MAGIC):
        return _Unpacked(file, _Gunzip)
    return _Unpacked(file, _unxz) if start == _XZ_MAGIC else file


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a new file, to write and to read, that takes the place of ``path`` when the block ends well.

    It lies in the same folder under a temporary name, and is gone if anything is raised; then ``path`` is as it was.
    ``mode`` is before the umask. What need not be ``durable`` can be made again, and nobody waits for the disk. What
    killed processes have left in that folder is removed, too. OSError or ValueError if it cannot be done.
    """
    clear_leftovers(path.parent)
    # In the same folder, because a rename is atomic only within one file system.
    file, temporary = new_file(path.parent, mode)
    try:
        with file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if sys.platform != "win32":
                # While it is locked; Windows has no such locks, and moves no open files.
                os.replace(temporary, path)
        if sys.platform == "win32":
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError, ValueError):
            temporary.unlink()
        raise


@contextmanager
def compressing(file: BinaryIO, suffix: str) -> Iterator[IO[bytes] | BufferedIOBase]:
    """Yield what compresses into ``file`` as ``suffix`` says: ``.gz``, ``.xz``, or anything else for plain."""
    if suffix.lower() == ".gz":
        # No name and no time, so that equal content gives equal bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
            yield stream
    elif suffix.lower() == ".xz":
        with _lzma().LZMAFile(file, "wb") as stream:
            yield stream
    else:
        yield file


def _not_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_ordinary(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not an ordinary file")


def _whole(text: str) -> int:
    # Long ones take long to convert.
    if len(text) > len(str(MOST_WHOLE)) + 1 or not -MOST_WHOLE <= int(text) <= MOST_WHOLE:
        _no_number(text)
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _no_number(text)
    return number


def _no_number(text: str) -> NoReturn:
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    raise ValueError(f"it holds the number {shown}, and no number of digitlab's is like that")


class _PackedError(Exception):
    """An xz or gzip stream is damaged, or holds next to nothing, or this Python cannot read any."""


class _Unpacked:
    """The content of a gzip or xz file, within limits of memory and of what is read for nothing."""

    def __init__(self, file: BinaryIO, new: Callable[[], Any]) -> None:
        self._file, self._new = file, new
        self._decompressor = new()
        self._n_streams, self._n_bytes, self._n_empty_bytes = 1, 0, 0

    def read(self, n_bytes: int, /) -> bytes:
        while n_bytes:
            compressed = b""
            if self._decompressor.eof:
                # A file may be several streams with zeros between them.
                compressed = self._decompressor.unused_data.lstrip(b"\x00")
                while not compressed:
                    chunk = self._more()
                    if not chunk:
                        return b""
                    compressed = chunk.lstrip(b"\x00")
                self._n_streams += 1
                if self._n_streams > _MOST_STREAMS + self._n_bytes // _BYTES_A_STREAM:
                    raise _PackedError(f"it has {self._n_streams:,} streams for {self._n_bytes:,} bytes")
                self._decompressor = self._new()
            elif self._decompressor.needs_input:
                compressed = self._more()
                if not compressed:
                    raise EOFError("it ends in the middle of its stream")
            try:
                content: bytes = self._decompressor.decompress(compressed, n_bytes)
            except zlib.error:
                raise
            except _lzma().LZMAError as error:
                raise _PackedError(str(error)) from None
            if content:
                self._n_bytes += len(content)
                self._n_empty_bytes = 0
                return content
        return b""

    def _more(self) -> bytes:
        chunk = self._file.read(_PIECE_BYTES)
        self._n_empty_bytes += len(chunk)
        if self._n_empty_bytes > _MOST_EMPTY_BYTES:
            raise _PackedError(f"it has over {_MOST_EMPTY_BYTES:,} bytes that hold nothing")
        return chunk


class _Gunzip:
    """A gzip stream, as lzma's decompressors have it; zlib reads its head and checks its sum."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    def decompress(self, compressed: bytes, n_bytes: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + compressed, n_bytes)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


def _unxz() -> Any:
    lzma = _lzma()
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


def _lzma() -> Any:
    # Here and not above, because a Python that was built without liblzma lacks it.
    try:
        import lzma
    except ImportError:
        raise DataError(
            "This Python was built without lzma and cannot use .xz files. Install Python with liblzma."
        ) from None
    return lzma


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

    After half a minute of waiting it is a StorageError.
    """
    descriptor = _held(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            _unlock(descriptor)
            os.close(descriptor)


def locked_folder(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed; BlockingIOError if another process has it.

    None where nothing can be locked: whatever is wrong with it is told by who reads or writes it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except (OSError, ValueError):
        return None
    is_ours = try_lock(descriptor)
    if is_ours:
        return descriptor
    os.close(descriptor)
    if is_ours is None:
        return None
    raise BlockingIOError


def _held(folder: Path) -> int | None:
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        descriptor = None
        with suppress(OSError):
            descriptor = locked_folder(folder)
            # Somebody may have moved it away meanwhile, and put another in its place.
            if descriptor is None or os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                return descriptor
        if descriptor is not None:
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
    clear_leftovers(folder)

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

    An OSError leaves what was there.
    """
    if _exchanged(made, target):
        return
    # Two steps, and for a moment there is none. If this process is killed then, ``clear_leftovers`` puts it back.
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


def clear_leftovers(folder: Path) -> None:
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
