"""Which files are to be read: those named, and the photos in folders, in the order in which people count."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from digitlab.errors import DataError

#: What is taken for a photo in a folder. A file that is named is opened whatever it is called. Those at the end are
#: opened only where something more is installed, or not at all; that is told, so that no photo is passed over.
EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "gif", "tif", "tiff", "webp", "jp2", "avif", "pdf"),
        *("ppm", "pgm", "pbm", "pnm"),
        *("heic", "heif", "hif", "jxl", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf"),
    )
)
#: The word for standard input at the command line, and what it is called in results.
STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class PhotoFiles:
    """The files to read, each once: their paths as they were named, ``STANDARD_INPUT`` maybe among them.

    ``inside`` tells where each stands in the folder that was named, or its name: ``2026/page 1.png``. ``problems`` are
    folders that cannot be read or have no photos, in sentences.
    """

    paths: tuple[str, ...]
    inside: tuple[str, ...]
    problems: tuple[str, ...]


def find_photos(names: Iterable[Path]) -> PhotoFiles:
    """Find what is to be read: files as they are, and folders with everything in them but hidden files.

    Raises ``DataError`` if nothing was named, or an option that does not exist.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    names = list(names)
    if not names:
        raise DataError("There is nothing to read; name a photo, a PDF or a folder: digitlab read photo.jpg")
    for name in names:
        if str(name).startswith("-") and str(name) != STANDARD_INPUT:
            raise DataError(f"There is no option {name}. See: digitlab read --help. A file of that name is ./{name}")
        if not _is_folder(name):
            found.setdefault(str(name), name.name)
            continue
        n_before = len(found)
        n_others = 0
        for path in _walk(name, problems):
            if path.suffix.lower() in EXTENSIONS:
                found.setdefault(str(path), str(path.relative_to(name)))
            else:
                n_others += 1
        if len(found) == n_before:
            others = f"; it has {n_others:,} other file{'' if n_others == 1 else 's'}" if n_others else ""
            problems.append(f"{name} holds no photos or PDFs{others}. Name another folder, or the files themselves.")
    return PhotoFiles(tuple(found), tuple(found.values()), tuple(problems))


def unique_names(inside: Sequence[str]) -> list[str]:
    """Return a name without extension for each file, no two alike: ``a``, ``a-2`` for ``a.png`` and ``a.jpg``.

    >>> unique_names(["a.png", "a.jpg", "deep/a.png", "a-2.png"])
    ['a', 'a-2', 'deep/a', 'a-2-2']
    """
    taken: set[str] = set()
    names = []
    for path in inside:
        stem = str(Path(path).with_suffix("")) if path != STANDARD_INPUT else "standard-input"
        name, number = stem, 2
        # Compared without case, for file systems that do so too.
        while name.casefold() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # whatever is wrong with it is told by who opens it


def _walk(folder: Path, problems: list[str]) -> Iterator[Path]:
    def tell(error: OSError) -> None:
        problems.append(f"{error.filename} cannot be looked into: {error.strerror}. Check its permissions.")

    for place, folders, files in os.walk(folder, onerror=tell):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=_as_counted)
        for name in sorted((name for name in files if not name.startswith(".")), key=_as_counted):
            yield Path(place, name)


def _as_counted(name: str) -> tuple[list[tuple[int, str]], str]:
    """Order ``page 2`` before ``page 10``."""
    parts = re.split(r"(\d+)", name.casefold(), flags=re.ASCII)
    return [(len(part.lstrip("0")), part.lstrip("0")) if k % 2 else (0, part) for k, part in enumerate(parts)], name
