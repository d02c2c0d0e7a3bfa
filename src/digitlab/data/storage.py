"""Files on the disk: read through their compression, and replaced whole or not at all."""

from __future__ import annotations

import gzip
import os
import secrets
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from digitlab.errors import DataError

__all__ = ["Readable", "Writable", "compressing", "reading", "replacing", "temporary_name"]

_CHUNK_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
_XZ_MAGIC = b"\xfd7zXZ\x00"
# A header may ask for a dictionary of 4 GiB; `xz -9` needs 65 MiB.
_XZ_MEMORY_BYTES = 2**28


class Readable(Protocol):
    """Bytes that come in order; ``read`` returns none of them only at their end."""

    def read(self, n_bytes: int, /) -> bytes: ...


class Writable(Protocol):
    """Something that takes bytes in order."""

    def write(self, content: memoryview, /) -> int: ...


@contextmanager
def reading(path: Path) -> Iterator[Readable]:
    """Open a plain, gzip or xz file, told apart by its first bytes, and yield its decompressed bytes.

    What goes wrong in opening, reading or decompressing is raised as a `DataError` that names the file.
    """
    try:
        # Before opening, because a named pipe would wait for its writer for ever.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path} is a folder, where a file was expected. Name a file inside it.")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path} is not a regular file. Copy its content into a file and name that.")
        with open(path, "rb") as file:
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
        The new file, in the folder of ``path`` under a temporary name; removed if the block raises anything.

    Raises
    ------
    OSError, ValueError
        If it cannot be written or put in place, or no file can have such a name; ``path`` is as it was.
    """
    # In the same folder, because a rename is atomic only within one file system.
    temporary = path.parent / temporary_name()
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError, ValueError):
            temporary.unlink()
        raise


def temporary_name() -> str:
    """Return a file name that nobody else uses, ``.digitlab-*.tmp``."""
    return f".digitlab-{secrets.token_hex(8)}.tmp"


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
