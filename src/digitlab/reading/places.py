"""Places: where many files lie, a folder, a list, a bucket or addresses, and how one of them is fetched.

What is not on this machine's disks is opened by fsspec, which knows S3, HTTP and many more, and has each one's own way
to be given credentials.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from digitlab.data.storage import open_ordinary, reason_of
from digitlab.errors import ConfigError, DataError

#: Of one file that is fetched; a larger one is told.
MOST_BYTES = 400_000_000
_MOST_NAMES = 20_000_000
_LONGEST_NAME = 4_096
_PAUSES_S = (0.5, 2.0)
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, ValueError)
_FINAL_STATUS = (400, 401, 403, 404, 410)
_LISTS = (".txt", ".lst", ".list")


def is_elsewhere(place: str) -> bool:
    """Tell whether fsspec opens this: ``s3://bucket/scans`` and the like, not a path."""
    return "://" in place


def _is_web(place: str) -> bool:
    return place.lower().startswith(("http://", "https://"))


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
        if not is_here:
            return system.open(path, "rb")
    except ImportError as error:  # of what it needs for this protocol, such as s3fs
        raise ConfigError(f"{place} cannot be opened: {error}. It is needed on every worker.") from None
    except Exception as error:  # every protocol has errors of its own
        if _is_final(error) and isinstance(error, FileNotFoundError):
            raise DataError(f"{place} cannot be opened: there is no such file. Check its name.") from error
        if "Credential" in type(error).__name__:  # as those of S3, Google and Azure are called
            raise ConfigError(f"{place} cannot be opened: {error}. They are needed on every worker.") from None
        raise DataError(f"{place} cannot be opened: {str(error) or type(error).__name__:.300}.") from error
    try:
        return open_ordinary(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{place} cannot be opened: {reason_of(error)}. Check its name.") from None


def _is_final(error: BaseException) -> bool:
    """Tell whether it is of no use to try again; fsspec says of whatever goes wrong with HTTP that there is no file."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        return getattr(error.__cause__, "status", 0) in _FINAL_STATUS
    return isinstance(error, _FINAL)


def fetched(place: str) -> bytes:
    """Return what is in a file elsewhere; DataError if it cannot be had, or is too large.

    A network fails now and then, so that is tried again, but for what is not there or not allowed.
    """
    for pause_s in _PAUSES_S:
        try:
            return _fetched(place)
        except DataError as error:
            if error.__cause__ is None or _is_final(error.__cause__):
                raise
        time.sleep(pause_s)
    return _fetched(place)


def _fetched(place: str) -> bytes:
    with _opened(place) as file:
        try:
            content: bytes = file.read(MOST_BYTES + 1)
        except Exception as error:
            raise DataError(f"{place} cannot be read: {str(error) or type(error).__name__:.300}.") from error
    if len(content) > MOST_BYTES:
        raise DataError(f"{place} is larger than {MOST_BYTES // 10**6} MB; save it smaller.")
    return content


def names_in(place: str, extensions: frozenset[str]) -> Iterator[str]:
    """Yield the names of the files in a place, in an order that does not change: paths, or addresses of fsspec's.

    A place is a picture itself, a folder with all below it, or a text file (.txt) with a name a line, relative ones
    beside the file; each of them here or elsewhere. Of a folder only files with one of the ``extensions`` are named.
    What is on the web and no picture is a list, whatever it is called. ConfigError if there is no such place.
    """
    is_web = _is_web(place)  # where links from page to page need not end
    if is_web and _is_picture(place.partition("?")[0].rpartition("/")[2], extensions):
        yield place
    elif is_web or Path(place).suffix.lower() in _LISTS:
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
    closed: list[str] = []
    for path, folders, files in os.walk(folder, onerror=lambda error: closed.append(str(error.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(path, name) for name in sorted(files) if _is_picture(name, extensions))
    yield from closed  # a folder that cannot be looked into is named like a file, and told when it cannot be read


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


def _lines_of(place: str) -> BinaryIO:
    if not is_elsewhere(place):
        return open_ordinary(place)
    file = _opened(place)
    return file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)


def _listed(place: str) -> Iterator[str]:
    own = place.partition("?")[0] if _is_web(place) else place
    beside = own.rpartition("/")[0] if is_elsewhere(own) else str(Path(own).parent)
    try:
        with _lines_of(place) as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_NAME + 2), b""), start=1):
                if number > _MOST_NAMES or len(line) > _LONGEST_NAME + 1:
                    raise ConfigError(
                        f"Line {number} of {place} is too long, or there are more than {_MOST_NAMES:,}. A list has the "
                        "name of a file a line."
                    )
                name = line.decode("utf-8", "surrogateescape").strip()
                if name.startswith("<"):
                    raise ConfigError(f"{place} is a web page and no list. A list has the name of a file a line.")
                if name and not name.startswith("#"):
                    is_whole = is_elsewhere(name) or name.startswith("/")
                    yield name if is_whole else f"{beside}/{name}"
    except OSError as error:
        raise ConfigError(f"The list {place} cannot be read: {reason_of(error)}.") from None
