"""Results file: a table that grows file by file, and that an interrupted command can go on with."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from digitlab.data.storage import replacing, try_lock
from digitlab.errors import ConfigError, StorageError
from digitlab.reading.many import FileReading
from digitlab.reading.reading import Reading

#: A row a number; a page or file without any has one row with empty cells. ``refused`` counts the page's marks that
#: were refused. ``state`` stands in a file's last row only, and tells that all its rows are there.
COLUMNS = ("file", "page", "line", "number", "digits", "confidence", "box", "refused", "error", "state")

# What spreadsheets take for the beginning of a formula, at the beginning of a cell or behind what some of them take for
# the end of one, quoted or not; the apostrophe itself, so that no two names become one.
_RISKY = re.compile(r"(?:^|(?<=[;|\t\r\n]))(?=[ ]*[=+\-@\t\r'＝＋－＠].)", re.DOTALL)


def table_rows(result: FileReading, state: str = "") -> list[list[str]]:
    """Return a file's rows; the last has the state: what the file was when it was read, and how it was read.

    >>> table_rows(FileReading("=1.png", (), "There is no such file.", 0.0))
    [["'=1.png", '', '', '', '', '', '', '', 'There is no such file.', '']]
    """
    name = safe_cell(result.file)
    rows = [[name, *cells, "", ""] for reading in result.readings for cells in _page_cells(reading)]
    if result.error is not None:
        rows.append([name, *[""] * 7, safe_cell(result.error), ""])
    if rows:
        rows[-1][-1] = state
    return rows


def _page_cells(reading: Reading) -> Iterator[list[str]]:
    page, refused = str(reading.page), str(len(reading.refused))
    if not reading.lines:
        yield [page, "", "", "", "", "", refused]
    for row, line in enumerate(reading.lines, start=1):
        for place, number in enumerate(line.numbers, start=1):
            box = " ".join(map(str, number.box))
            yield [page, str(row), str(place), number.value, f"{number.confidence:.4f}", box, refused]


def safe_cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula, and that can be written as UTF-8."""
    return _RISKY.sub("'", text.encode("utf-8", "backslashreplace").decode())


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


_FILE, _ERROR, _STATE = (COLUMNS.index(name) for name in ("file", "error", "state"))
_MOST_BYTES, _MOST_FILES = 2**30, 2_000_000
# Of a row; a path and an error have some thousand.
_LONGEST_ROW = 2**20
_CHUNK_BYTES, _ROWS_AT_ONCE = 2**18, 1_000
_MOST_TRIES = 100


def file_state(path: str, recipe: str) -> str:
    """Return what tells whether a file has changed since: size and time; and ``recipe``, a word for how it is read."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return f"none {recipe}"
    changed = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="microseconds")
    return f"{found.st_size} bytes {changed.replace('+00:00', 'Z')} {recipe}"


class ResultsFile:
    """A CSV file of readings, open to append to; a file's rows are in it whole or not at all.

    Opening it drops what a killed process has left half-written. Rows of another recipe (a word for the options and the
    model) are not gone on with; ``force`` begins anew, whatever is in it. ConfigError says that it is something else
    than such a table, StorageError that it cannot be written, or that another process is writing it.
    """

    def __init__(self, path: Path, recipe: str, *, force: bool = False) -> None:
        self.path, self._recipe = path, recipe
        self._file = _opened(path)
        try:
            if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                raise ConfigError(f"{path} is no file that can be gone on with. To print a table, use --csv.")
            self._file = _locked(self._file, path)
            # Of files whose rows are all there: keys of their names, and what they were when they were read well.
            self._whole: set[bytes] = set()
            self._states: dict[bytes, bytes] = {}
            if not force:
                self._look_through()
            self._rewrite()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def has(self, name: str, path: str) -> bool:
        """Whether a file stands in the table as it is now."""
        return self._states.get(_key(safe_cell(name))) == _key(file_state(path, self._recipe))

    def forget(self, names: Iterable[str]) -> None:
        """Drop the rows of files that are about to be read again; StorageError leaves the table as it was."""
        there = {_key(safe_cell(name)) for name in names} & self._whole
        if there:
            self._whole -= there
            self._rewrite()

    def append(self, result: FileReading, path: str) -> None:
        """Append a file's rows, all or none of them: StorageError leaves what was there before."""
        content = csv_text(table_rows(result, file_state(path, self._recipe))).encode()
        size = self._file.seek(0, os.SEEK_END)
        try:
            self._write(content)
        except OSError as error:
            self._file.truncate(size)
            raise StorageError(
                f"{self.path} cannot be written: {error.strerror or error}. What was read before {result.file} is "
                "kept; make room and give the same command again."
            ) from None
        self._whole.add(_key(safe_cell(result.file)))

    def _look_through(self) -> None:
        """Note which files are in the table whole."""
        if os.fstat(self._file.fileno()).st_size > _MOST_BYTES:
            raise ConfigError(f"{self.path} is larger than {_MOST_BYTES // 2**20:,} MB; name another file with --out.")
        for row in self._rows():
            if not row[_STATE]:
                continue
            if row[_STATE].rpartition(" ")[2] != self._recipe:
                raise ConfigError(
                    f"{self.path} was made with other options or another model. Give those again, name another file "
                    "with --out, or begin anew with --force."
                )
            key = _key(row[_FILE])
            self._whole.add(key)
            if not row[_ERROR]:
                self._states[key] = _key(row[_STATE])
            if len(self._whole) > _MOST_FILES:
                raise ConfigError(f"{self.path} tells of over {_MOST_FILES:,} files; name another file with --out.")

    def _rows(self) -> Iterator[list[str]]:
        """Yield the rows below the heading, one by one; of the last, which may be torn, only what is whole."""
        before: list[str] | None = None
        n_bytes = 0

        def lines() -> Iterator[str]:
            nonlocal n_bytes
            for line in self._lines():
                n_bytes += len(line)
                if n_bytes > _LONGEST_ROW:
                    raise self._foreign()
                yield line.decode("utf-8", "replace")

        try:
            for row in csv.reader(lines()):
                n_bytes = 0
                if before is not None and len(before) != len(COLUMNS):
                    raise self._foreign()
                if before is None and tuple(row) != COLUMNS:
                    raise self._foreign()
                if before is not None and tuple(before) != COLUMNS:
                    yield before
                before = row
        except csv.Error:
            raise self._foreign() from None
        # A line may be torn inside quotes, and then the rest of the file is one cell.
        if before is not None and len(before) == len(COLUMNS) and tuple(before) != COLUMNS:
            yield before

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines that end, without a mark of their encoding."""
        rest, at, has_any = b"", 0, False
        while True:
            self._file.seek(at)  # others read and write in between
            chunk = self._file.read(_CHUNK_BYTES) or b""
            at += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield (line if has_any else line.removeprefix(b"\xef\xbb\xbf")) + b"\n"
                has_any = True
            if len(rest) > _LONGEST_ROW:
                raise self._foreign()
            if not chunk:
                break
        if not has_any and not csv_text([COLUMNS]).encode().startswith(rest):
            raise self._foreign()

    def _foreign(self) -> ConfigError:
        return ConfigError(
            f"{self.path} exists and is no table that digitlab read has written. Name another file with --out, or "
            "replace it with --force."
        )

    def _content(self) -> Iterator[bytes]:
        """Yield what the table is to hold: its heading, and the rows of files that are in it whole."""
        rows = (row for row in self._rows() if _key(row[_FILE]) in self._whole) if self._whole else iter(())
        yield csv_text([COLUMNS]).encode()
        while some := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            yield csv_text(some).encode()

    def _is_so(self) -> bool:
        at = 0
        for content in self._content():
            self._file.seek(at)
            if self._file.read(len(content)) != content:
                return False
            at += len(content)
        return at == os.fstat(self._file.fileno()).st_size

    def _rewrite(self) -> None:
        if self._is_so():
            return
        try:
            # Another file in its place, so that whatever happens there is always one that is whole.
            with replacing(self.path.resolve(), durable=False) as file:
                if hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(self._file.fileno()).st_mode))
                file.writelines(self._content())
                # Locked before it is in its place, and as long as this stays open: nobody else comes in between.
                new = io.FileIO(os.dup(file.fileno()), "r+")
                try_lock(new.fileno())
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be written: {error.strerror or error}. It is as it was; make room and give the "
                "same command again."
            ) from None
        self._file.close()
        self._file = new

    def _write(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) or 0 :]


def _key(text: str) -> bytes:
    # A table may tell of a million files.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _opened(path: Path) -> io.FileIO:
    try:
        # Not waiting, should it be a pipe; and without a buffer: what could not be written must not be tried again
        # when the file closes.
        return io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666), "r+")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{path} cannot be written: {reason}. Name another file with --out.") from None


def _locked(file: io.FileIO, path: Path) -> io.FileIO:
    """Return the file, locked; or the one that another process has put in its place meanwhile."""
    for _ in range(_MOST_TRIES):
        is_ours = try_lock(file.fileno())
        with suppress(FileNotFoundError):
            if is_ours is not False and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()
        if is_ours is False:
            break
        file = _opened(path)
    raise StorageError(f"{path} is being written by another digitlab read. Wait until it ends.")
