"""Files on the disk: ordinary ones of bounded size are read, and they are replaced whole or not at all."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol, cast

from digitlab.data.bench import new_file, sweep
from digitlab.errors import DataError

__all__ = [
    "MOST_WHOLE",
    "Readable",
    "Writable",
    "compressing",
    "open_ordinary",
    "parse_json",
    "read_ordinary",
    "reading",
    "replacing",
]

_CHUNK_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
_XZ_MAGIC = b"\xfd7zXZ\x00"
# A header may ask for a dictionary of 4 GiB; `xz -9` needs 65 MiB.
_XZ_MEMORY_BYTES = 2**28
#: What a float64 still tells apart. Python would take numbers of any length, and they break what reckons with them.
MOST_WHOLE = 2**53
_LONGEST_SHOWN = 20


class Readable(Protocol):
    """Bytes that come in order; ``read`` returns none of them only at their end."""

    def read(self, n_bytes: int, /) -> bytes: ...


class Writable(Protocol):
    """Something that takes bytes in order."""

    def write(self, content: memoryview, /) -> int: ...


def open_ordinary(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to read, if it is an ordinary one; a pipe would wait for ever, and a device may never end.

    Raises
    ------
    OSError, ValueError
        If it is something else, or cannot be opened.
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
    """Read an ordinary file of at most so many bytes.

    Raises
    ------
    OSError, ValueError
        If it is larger or something else, grows while it is read, or cannot be read.
    """
    with open_ordinary(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes > most_bytes:
            raise OSError(errno.EFBIG, f"it has {n_bytes:,} bytes, and at most {most_bytes:,} are read")
        # Python makes room for as many bytes as are asked for.
        content = file.read(n_bytes + 1)
    if len(content) > n_bytes:
        raise OSError(errno.EAGAIN, "it grew while it was read")
    return content


def parse_json(content: bytes | str) -> Any:
    """Return what JSON that anybody may have written holds; its numbers are finite, whole ones at most 2**53.

    Raises
    ------
    ValueError
        If it is no such JSON, or nested too deep.

    Examples
    --------
    >>> parse_json('{"seed": 3}')
    {'seed': 3}
    >>> parse_json("[1e999]")
    Traceback (most recent call last):
    ...
    ValueError: it holds the number 1e999, and no number of digitlab's is like that
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
            yield _decompressed(file)
    except DataError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile, _XzError) as error:
        raise DataError(
            f"{path} cannot be decompressed: {str(error).rstrip('.')}. A whole gzip or xz file was expected; "
            "copy or download it again."
        ) from None
    except FileNotFoundError:
        raise DataError(f"There is no file {path}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{str(path)!r} cannot be read: {reason}. Check its name, permissions and disk.") from error


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` when the block ends well.

    Parameters
    ----------
    path : Path
        The file to make or replace. Its folder must exist.
    mode : int
        Permissions of the new file, before the umask.
    durable : bool
        Wait until the bytes are on the disk before the old file goes. False is for what can be made again.

    Yields
    ------
    BinaryIO
        The new file, in the folder of ``path`` under a temporary name, to write and to read; removed if the block
        raises anything. What killed processes have left in that folder is removed, too.

    Raises
    ------
    OSError, ValueError
        If it cannot be written or put in place, or no file can have such a name; ``path`` is as it was.
    """
    sweep(path.parent)
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
def compressing(file: BinaryIO, suffix: str) -> Iterator[Writable]:
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


def _decompressed(file: BinaryIO) -> Readable:
    start = file.read(len(_XZ_MAGIC))
    file.seek(0)
    if start.startswith(_GZIP_MAGIC):
        return cast(Readable, gzip.GzipFile(fileobj=file, mode="rb"))
    return _XzStream(file) if start == _XZ_MAGIC else file


class _XzError(Exception):
    """An xz stream is damaged, or this Python cannot read any."""


class _XzStream:
    """The content of an xz file, within a memory limit, which ``lzma.open`` does not offer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = self._new_decompressor()

    def read(self, n_bytes: int, /) -> bytes:
        while True:
            compressed = b""
            if self._decompressor.eof:
                # An xz file may be several streams with zeros between them.
                compressed = self._decompressor.unused_data.lstrip(b"\x00")
                while not compressed:
                    chunk = self._file.read(_CHUNK_BYTES)
                    if not chunk:
                        return b""
                    compressed = chunk.lstrip(b"\x00")
                self._decompressor = self._new_decompressor()
            elif self._decompressor.needs_input:
                compressed = self._file.read(_CHUNK_BYTES)
                if not compressed:
                    raise EOFError("it ends in the middle of its stream")
            try:
                content: bytes = self._decompressor.decompress(compressed, n_bytes)
            except _lzma().LZMAError as error:
                raise _XzError(str(error)) from None
            if content:
                return content

    @staticmethod
    def _new_decompressor() -> Any:
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
