"""Places: where many files lie, a folder, a list, a bucket or addresses, and how one of them is fetched.

What is not on this machine's disks is opened by fsspec, which knows S3, HTTP and many more, and has each one's own way
to be given credentials.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digitlab.data.storage import open_ordinary, reason_of
from digitlab.errors import ConfigError, DataError

#: Of one file that is fetched; a larger one is told.
MOST_BYTES = 400_000_000
_MOST_NAMES = 20_000_000
_LONGEST_NAME = 4_096
_LISTS = (".txt", ".lst", ".list")


def is_elsewhere(place: str) -> bool:
    """Tell whether fsspec opens this: ``s3://bucket/scans`` and the like, not a path."""
    return "://" in place


def _fsspec(place: str) -> Any:
    try:
        import fsspec
    except ImportError:
        raise ConfigError(
            f"fsspec, which opens {place.partition('://')[0]}://, is not installed. Install it with: pip install "
            "'digitlab[cluster]'"
        ) from None
    return fsspec


def _opened(place: str) -> Any:
    fsspec = _fsspec(place)
    try:
        system, path = fsspec.core.url_to_fs(place)
        # fsspec would wait for a pipe for ever, and read a device without end.
        is_here = "file" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,))
        return open_ordinary(path) if is_here else system.open(path, "rb")
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{place} cannot be opened: {error}") from None
    except Exception as error:  # every protocol has errors of its own
        raise DataError(f"{place} cannot be opened: {str(error) or type(error).__name__:.300}.") from None


def fetched(place: str) -> bytes:
    """Return what is in a file elsewhere; DataError if it cannot be had, or is too large."""
    with _opened(place) as file:
        try:
            content: bytes = file.read(MOST_BYTES + 1)
        except Exception as error:
            raise DataError(f"{place} cannot be read: {str(error) or type(error).__name__:.300}.") from None
    if len(content) > MOST_BYTES:
        raise DataError(f"{place} is larger than {MOST_BYTES // 10**6} MB; save it smaller.")
    return content


def names_in(place: str, extensions: frozenset[str]) -> Iterator[str]:
    """Yield the names of the files in a place, in an order that does not change: paths, or addresses of fsspec's.

    A place is a picture itself, a folder with all below it, or a text file (.txt) with a name a line, relative ones
    beside the file; each of them here or elsewhere. Of a folder only files with one of the ``extensions`` are named.
    ConfigError if there is no such place.
    """
    if Path(place).suffix.lower() in _LISTS:
        yield from _listed(place)
    elif is_elsewhere(place):
        yield from _elsewhere(place, extensions)
    elif os.path.isdir(place):
        yield from _below(place, extensions)
    elif os.path.isfile(place):
        yield place
    else:
        raise ConfigError(f"There is no file or folder {place}. Check the path.")


def _below(folder: str, extensions: frozenset[str]) -> Iterator[str]:
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(path, name) for name in sorted(files) if _is_picture(name, extensions))


def _is_picture(name: str, extensions: frozenset[str]) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in extensions


def _elsewhere(place: str, extensions: frozenset[str]) -> Iterator[str]:
    if _is_picture(place.rpartition("/")[2], extensions):
        yield place
        return
    fsspec = _fsspec(place)
    try:
        system, path = fsspec.core.url_to_fs(place)
        found = system.find(path)
    except Exception as error:
        raise ConfigError(f"{place} cannot be listed: {str(error) or type(error).__name__:.300}.") from None
    protocol = place.partition("://")[0]
    for name in sorted(found):
        if _is_picture(name.rpartition("/")[2], extensions):
            yield name if is_elsewhere(name) else f"{protocol}://{name}"


def _listed(place: str) -> Iterator[str]:
    beside = place.rpartition("/")[0] if is_elsewhere(place) else str(Path(place).parent)
    try:
        with _opened(place) if is_elsewhere(place) else open_ordinary(place) as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_NAME + 2), b""), start=1):
                if number > _MOST_NAMES or len(line) > _LONGEST_NAME + 1:
                    raise ConfigError(
                        f"Line {number} of {place} is too long, or there are more than {_MOST_NAMES:,}. A list has the "
                        "name of a file a line."
                    )
                name = line.decode("utf-8", "surrogateescape").strip()
                if name and not name.startswith("#"):
                    is_whole = is_elsewhere(name) or name.startswith("/")
                    yield name if is_whole else f"{beside}/{name}"
    except OSError as error:
        raise ConfigError(f"The list {place} cannot be read: {reason_of(error)}.") from None
