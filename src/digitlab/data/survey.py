"""Survey: the files below a folder or in a zip archive, each of which can be read within bounds."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from digitlab.data.storage import Readable, decompressed, open_ordinary, read_up_to, reading, reason_of
from digitlab.errors import DataError

#: More than the largest set that people train 28 x 28 images with has pictures.
MOST_FILES = 1_200_000
# data/MNIST/raw/train-images-idx3-ubyte/train-images-idx3-ubyte, and one more.
_MOST_FOLDERS_DEEP = 6
# The directory of 300,000 pictures in an archive; Python makes an object of every entry before any can be asked for.
_MOST_DIRECTORY_BYTES = 2**25
_PACKED = (".gz", ".xz")


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A file of a set: the folders that lead to it and its name, and how its bytes are had.

    ``place`` is its path, or its name in the archive.
    """

    folders: tuple[str, ...]
    name: str
    place: str
    archive: zipfile.ZipFile | None = None

    def __str__(self) -> str:
        return self.place if self.archive is None else f"{self.archive.filename}/{self.place}"

    @property
    def stem_and_suffix(self) -> tuple[str, str]:
        """Its name without what says that it is compressed, in two parts; the suffix in small letters."""
        name = self.name[:-3] if self.name.lower().endswith(_PACKED) else self.name
        stem, suffix = os.path.splitext(name)
        return stem, suffix.lower()

    @contextmanager
    def open(self) -> Iterator[Readable]:
        """Open it and yield its decompressed bytes; DataError, with its name, for whatever goes wrong."""
        if self.archive is None:
            with reading(Path(self.place)) as stream:
                yield stream
            return
        with telling_of_archive(str(self)), self.archive.open(self.place) as file:
            yield decompressed(cast(BinaryIO, file))

    def read(self, most_bytes: int) -> bytes:
        """Return all its bytes, decompressed; DataError if they are more than that."""
        with self.open() as stream:
            content = read_up_to(stream, most_bytes + 1)
        if len(content) > most_bytes:
            raise DataError(f"{self} holds more than {most_bytes:,} bytes, the most that is read. Use a smaller file.")
        return bytes(content)


def survey(path: Path, closing: ExitStack, *, most_deep: int = _MOST_FOLDERS_DEEP) -> list[Item]:
    """List the files below a folder, so many folders deep, of a zip archive, or the one file, in order of their names.

    An archive stays open until ``closing`` closes it. DataError if there is nothing, too much, or what cannot be looked
    into.
    """
    try:
        if path.is_dir():
            return sorted(_below(path, most_deep), key=lambda item: (item.folders, item.name))
        if not path.exists():
            raise DataError(f"There is no folder or file {path}. Check its name.")
        if is_archive(path):
            return sorted(_members(path, closing), key=lambda item: (item.folders, item.name))
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{str(path)!r} cannot be read: {reason_of(error)}. Check its name and permissions.") from None
    return [Item((), path.name, str(path))]


def is_archive(path: Path) -> bool:
    """Tell whether a file is a zip archive of files, and not one of arrays (.npz)."""
    with open_ordinary(path) as file:
        return file.read(4) == b"PK\x03\x04" and path.suffix.lower() != ".npz"


@contextmanager
def telling_of_archive(name: str) -> Iterator[None]:
    """Tell in a sentence whatever is wrong with a zip archive."""
    try:
        yield
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(
            f"{name} cannot be unpacked: {reason}. A whole zip archive without a password was expected; unpack it "
            "yourself and name the folder, or download it again."
        ) from None
    except (OSError, ValueError, KeyError, OverflowError) as error:
        raise DataError(f"{name} cannot be unpacked: {reason_of(error)}. Download it again.") from None


def open_archive(file: BinaryIO, name: str) -> zipfile.ZipFile:
    """Open a zip archive whose directory is of bounded size."""
    with telling_of_archive(name):
        n_bytes = _directory_bytes(file)
        if n_bytes > _MOST_DIRECTORY_BYTES:
            raise DataError(
                f"{name} is an archive of too many files: their list alone has {n_bytes:,} bytes. Unpack it and name "
                "the folder."
            )
        file.seek(0)
        archive = zipfile.ZipFile(file)
        archive.filename = name
        return archive


def _directory_bytes(file: BinaryIO) -> int:
    """Return the size of an archive's directory as its end tells it; what zipfile will read at once."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16 - 100))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 20:
        return 0  # and zipfile says what is wrong
    (n_bytes,) = struct.unpack("<I", tail[at + 12 : at + 16])
    wide = tail.rfind(b"PK\x06\x06", 0, at)
    if wide >= 0 and len(tail) >= wide + 48:
        n_bytes = max(n_bytes % 0xFFFFFFFF, struct.unpack("<Q", tail[wide + 40 : wide + 48])[0])
    return min(int(n_bytes), size)


def _below(folder: Path, most_deep: int) -> Iterator[Item]:
    """Walk through a folder; a folder that leads back to one above it is not followed."""
    n_files = 0
    waiting: list[tuple[str, tuple[str, ...], tuple[tuple[int, int], ...]]] = [(str(folder), (), ())]
    while waiting:
        place, folders, above = waiting.pop()
        status = os.stat(place)
        here = (status.st_dev, status.st_ino)
        if here in above:
            continue
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                n_files += 1
                if n_files > MOST_FILES:
                    raise DataError(
                        f"{folder} holds more than {MOST_FILES:,} files. Name the folder in it that holds the set."
                    )
                if entry.is_dir():
                    if len(folders) < most_deep:
                        waiting.append((entry.path, (*folders, entry.name), (*above, here)))
                elif entry.is_file():
                    yield Item(folders, entry.name, entry.path)


def _members(path: Path, closing: ExitStack) -> Iterator[Item]:
    archive = closing.enter_context(open_archive(closing.enter_context(open_ordinary(path)), str(path)))
    for member in archive.infolist():
        parts = PurePosixPath(member.filename).parts
        if member.is_dir() or not parts or any(part.startswith((".", "__MACOSX")) for part in parts):
            continue
        yield Item(tuple(parts[:-1]), parts[-1], member.filename, archive)


def shown_list(names: Sequence[str], most: int = 6) -> str:
    """Return names for a sentence, the first few of many."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
