"""Tables: images as rows of CSV, ``label,pixel0,pixel1 ...`` in any of its dialects, or of Parquet with PNGs in it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.pictures import PictureReader
from digitlab.data.shaping import is_written
from digitlab.data.storage import Readable
from digitlab.data.survey import MOST_FILES, Item, shown_list
from digitlab.errors import DataError
from digitlab.processes import Processes

# 400,000 letters, the largest table that people train with, have 700 MB.
_MOST_TEXT_BYTES = 2**31
_MOST_PIXEL_BYTES = 2**30
_LONGEST_LINE = 2**20
_CHUNK_BYTES = 2**22
_MOST_PACKED_BYTES, _MOST_UNPACKED_BYTES = 2**30, 2**32
# A million pictures take half of that.
_PARQUET_SECONDS, _PARQUET_MEMORY_BYTES = 600.0, 2**32
# A picture that is told once can stand in every row, and is unpacked in each of them that are read together.
_ROWS_AT_ONCE = 16
_MOST_VALUES = 4 * 64 * 64
_LABEL_NAMES = ("label", "labels", "class", "target", "digit", "y", "class_label", "character", "number", "category")
_IMAGE_NAMES = ("image", "img", "images", "picture", "png", "pixels", "x")
_FILE_NAMES = ("file", "filename", "file_name", "image", "path", "image_path", "name", "id", "image_id", *_IMAGE_NAMES)
_INDEX_NAMES = ("", "index", "unnamed: 0", "id", "row", "rownames")
_NEWLINE, _CR = 10, b"\r"
_HUGE = 1e9


@dataclass(frozen=True, eq=False)
class Table:
    """Images, their labels and what is told of them; ``labels`` is None of a table that has none.

    ``class_names`` are those that the file gives its whole-number labels.
    """

    images: NDArray[Any]
    labels: NDArray[Any] | None
    class_names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


# ---- CSV ----


# Rows that a Parquet file is written in at a time.
_ROWS_A_GROUP = 50_000


def read_csv(item: Item) -> Table:
    """Read rows of pixels and a label; its first line may name the columns."""
    with item.open() as stream:
        lines = _Chunks(stream, str(item))
        first = lines.first_line()
        delimiter = max((b",", b";", b"\t", b" ", b"|"), key=first.count)
        cells = [cell.strip().strip('"').strip() for cell in _text(first, item).split(delimiter.decode())]
        while cells and cells[-1] == "":
            cells.pop()  # of a line that ends in a delimiter
        names = _header(cells)
        columns = _columns(cells, names, item)
        if names:
            lines.skip(len(first) + 1)
        values: list[NDArray[Any]] = []
        labels: list[Any] = []
        n_bytes = n_rows = 0
        for chunk in lines:
            pixels, of_rows = _apart(chunk, delimiter, len(cells), columns) or _carefully(
                chunk, delimiter, len(cells), columns, n_rows + bool(names), item
            )
            values.append(pixels)
            labels += of_rows
            n_rows += len(pixels)
            n_bytes += pixels.nbytes
            if n_bytes > _MOST_PIXEL_BYTES:
                raise DataError(f"{item} holds more than {_MOST_PIXEL_BYTES:,} bytes of pixels. Use a smaller table.")
    if not values:
        raise DataError(f"{item} holds no rows of images. Copy or download it again.")
    images = values[0] if len(values) == 1 else np.concatenate(values)
    if columns.label is None:
        return Table(images, None)
    if not columns.is_sure and len(labels) > 1 == len(set(labels)) < len(set(images[:1000, -1].tolist())):
        # Without names the label stands first; but where that is one number and the last column is not, last.
        return Table(np.column_stack([np.asarray(labels, images.dtype), images[:, :-1]]), images[:, -1].copy())
    return Table(images, np.array(labels))


def read_label_column(item: Item, n_images: int) -> NDArray[Any]:
    """Read the labels of so many images, a line each, with or without a heading: (n,), or (n, n_classes) if one-hot."""
    rows = _short_rows(item)
    width = len(rows[-1]) if rows else 0
    if len(rows) - n_images not in (0, 1) or any(len(row) != width for row in rows):
        raise DataError(
            f"{item} has {len(rows):,} lines, and there are {n_images:,} images; a line an image was expected, with or "
            "without a heading. Check that the two belong together."
        )
    rows = rows[-n_images:]
    if width > 2:
        try:
            return np.array(rows, np.float32)
        except ValueError:
            raise DataError(
                f"{item} has {width} columns; labels, or one-hot rows, were expected. Correct it."
            ) from None
    return np.array([row[-1].strip() for row in rows])


def read_label_table(items: Sequence[Item]) -> dict[str, str]:
    """Read which picture has which label from tables of file names and labels: by name, alone and with its folder."""
    found: dict[str, str] = {}
    for item in items:
        rows = _short_rows(item)
        names = [cell.strip().lower() for cell in rows[0]] if rows else []
        of_file, of_label = _place(names, _FILE_NAMES), _place(names, _LABEL_NAMES)
        is_headed = of_file is not None or of_label is not None
        if len(names) == 2:
            # One name tells the other column, and without any the label stands last.
            of_file = (0 if of_label is None else 1 - of_label) if of_file is None or of_file == of_label else of_file
            of_label = 1 - of_file
        if of_file is None or of_label is None:
            continue
        for row in rows[is_headed:]:
            if len(row) > max(of_file, of_label):
                parts = Path(row[of_file].strip()).parts[-2:]
                found |= dict.fromkeys(("/".join(parts), "".join(parts[-1:])), row[of_label].strip())
    return found


def _place(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return which column has the first of the wanted names that is there."""
    return next((names.index(name) for name in wanted if name in names), None)


def _short_rows(item: Item) -> list[list[str]]:
    """Return the rows of a table without pixels."""
    text = item.read(_CHUNK_BYTES * 16).decode("utf-8", "replace").lstrip("\ufeff")
    first = text.split("\n", 1)[0]
    delimiter = max((",", ";", "\t", " "), key=first.count)
    lines = io.StringIO(text, newline=None)  # of any kind, and each only when it is asked for
    try:
        rows = list(itertools.islice(filter(None, csv.reader(lines, delimiter=delimiter)), MOST_FILES + 2))
    except csv.Error as error:
        raise DataError(f"{item} is no table of file names and labels: {error}. Correct it.") from None
    if len(rows) > MOST_FILES + 1:
        raise DataError(f"{item} names more than {MOST_FILES:,} files. Use a part of it.")
    return rows


@dataclass(frozen=True)
class _Columns:
    """Which columns are pixels and which is the label; ``is_sure`` where a name says so."""

    pixels: NDArray[np.intp]
    label: int | None
    is_sure: bool


def _header(cells: Sequence[str]) -> list[str]:
    """Return the names of the columns, if that is what a first line holds; numbers in a row are names, too."""
    if all(_is_number(cell) for cell in cells):
        # A row of pixels has some number twice; pandas counts columns, or the cells of what it takes for names.
        is_counted = len(cells) > 16 and len(set(cells)) == len(cells)
        return [f"column {cell}" for cell in cells] if is_counted else []
    # The first row of a table whose label is a text, such as A.
    if sum(not _is_number(cell) for cell in cells) == 1 and len(cells) > 16 and cells[0].lower() not in _LABEL_NAMES:
        others = [cell for cell in cells if _is_number(cell)]
        if cells[-1].lower() not in (*_LABEL_NAMES, "") and others != [str(k) for k in range(len(others))]:
            return []
    return [cell.lower() for cell in cells]


def _columns(cells: Sequence[str], names: Sequence[str], item: Item) -> _Columns:
    n = len(cells)
    label = _place(names, _LABEL_NAMES)
    kept = [k for k in range(n) if k != label and (not names or names[k] not in _INDEX_NAMES)]
    if label is None and not _is_size(len(kept)) and _is_size(len(kept) - 1):
        texts = [k for k in (0, n - 1) if not names and not _is_number(cells[k])]
        label, sure = (texts or [kept[0]])[0], bool(texts)
        return _Columns(np.array([k for k in kept if k != label], np.intp), label, sure)
    if not _is_size(len(kept)):
        raise DataError(
            f"{item} has {n:,} columns; a row was expected to be a label and the {28 * 28} pixels of an image, as in "
            "label,pixel0,pixel1 ... Name the file that holds images."
        )
    return _Columns(np.array(kept, np.intp), label, True)


def _is_size(n: int) -> bool:
    """Tell whether so many numbers can be an image: a square of grey, or one of 28 x 28 in color."""
    return n == 3 * 28 * 28 or (64 <= n <= 2**16 and round(n**0.5) ** 2 == n)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


class _Chunks:
    """The lines of a text in chunks that end where a line does."""

    def __init__(self, stream: Readable, name: str) -> None:
        self._stream, self._name, self._rest, self._n_bytes = stream, name, b"", 0

    def _more(self) -> bytes:
        content = self._stream.read(_CHUNK_BYTES)
        self._n_bytes += len(content)
        if self._n_bytes > _MOST_TEXT_BYTES:
            raise DataError(f"{self._name} is longer than {_MOST_TEXT_BYTES:,} bytes. Use a part of it.")
        return content

    def first_line(self) -> bytes:
        """Return the first line, which stays to be read; a mark of its encoding goes."""
        while b"\n" not in self._rest and len(self._rest) <= _LONGEST_LINE and (more := self._more()):
            self._rest += more
        self._rest = self._rest.removeprefix(b"\xef\xbb\xbf")
        if b"\r" in self._rest[:_LONGEST_LINE] and b"\n" not in self._rest[:_LONGEST_LINE]:
            raise DataError(f"{self._name} ends its lines as old Macs did. Save it as CSV anew.")
        line = self._rest.split(b"\n", 1)[0]
        if not line.strip() or len(line) > _LONGEST_LINE or b"\0" in line:
            raise DataError(f"{self._name} is no CSV: its first line is empty or no text. Save it as CSV in UTF-8.")
        return line

    def skip(self, n_bytes: int) -> None:
        self._rest = self._rest[n_bytes:]

    def __iter__(self) -> Iterator[bytes]:
        while more := self._more():
            content = self._rest + more
            end = content.rfind(b"\n") + 1
            self._rest = content[end:]
            if len(self._rest) > _LONGEST_LINE:
                raise DataError(
                    f"{self._name} has a line of more than {_LONGEST_LINE:,} bytes. It is no table of images."
                )
            if end:
                yield content[:end]
        if self._rest.strip():
            yield self._rest.rstrip(b"\n") + b"\n"


def _apart(chunk: bytes, delimiter: bytes, n_columns: int, columns: _Columns) -> tuple[NDArray[Any], list[Any]] | None:
    """Return the pixels and labels of lines of numbers, whose label may be a text; None where that is not so simple."""
    rows = _numbers(chunk, delimiter, n_columns)
    if rows is not None:
        return rows[:, columns.pixels], [] if columns.label is None else rows[:, columns.label].tolist()
    is_first = columns.label == 0
    if not is_first and columns.label != n_columns - 1:
        return None
    whole = chunk.replace(_CR, b"").split(b"\n")[:-1]
    lines = [line.partition(delimiter) if is_first else line.rpartition(delimiter) for line in whole]
    rows = _numbers(b"".join(line[2 * is_first] + b"\n" for line in lines), delimiter, n_columns - 1)
    try:
        labels = [line[2 - 2 * is_first].decode().strip().strip('"').strip() for line in lines]
    except UnicodeDecodeError:
        return None
    return None if rows is None or "" in labels else (rows[:, columns.pixels - is_first], labels)


def _numbers(chunk: bytes, delimiter: bytes, n_columns: int) -> NDArray[Any] | None:
    """Read lines of any numbers: uint8 or float32 (n, n_columns); None if they hold anything else."""
    # As pandas writes whole numbers of a column that has, or had, holes: 255.0.
    whole = chunk.replace(_CR, b"").replace(b".0" + delimiter, delimiter).replace(b".0\n", b"\n")
    rows = _quickly(whole, delimiter, n_columns)
    if rows is not None or not chunk.strip():
        return rows
    try:
        text = io.TextIOWrapper(io.BytesIO(chunk), "ascii")
        decimals = np.loadtxt(text, np.float32, comments=None, delimiter=delimiter.decode(), quotechar='"', ndmin=2)
    except ValueError:
        return None
    return decimals if decimals.shape[1] == n_columns and (np.abs(decimals) < _HUGE).all() else None


def _quickly(chunk: bytes, delimiter: bytes, n_columns: int) -> NDArray[np.uint8] | None:
    """Read lines of whole numbers from 0 to 255: uint8 (n, n_columns); None if they hold anything else."""
    content = np.frombuffer(chunk, np.uint8)
    ends = np.flatnonzero((content == delimiter[0]) | (content == _NEWLINE))
    if len(ends) % n_columns:
        return None
    rows = content[ends].reshape(-1, n_columns)
    if (rows[:, -1] != _NEWLINE).any() or (rows[:, :-1] == _NEWLINE).any():
        return None
    width = np.diff(ends, prepend=-1) - 1
    if len(width) == 0 or width.min() < 1 or width.max() > 3:
        return None
    # What is below "0" becomes large.
    digits = content - np.uint8(48)
    if int((digits > 9).sum()) != len(ends):
        return None
    ones, tens, hundreds = (digits[ends - k] for k in (1, 2, 3))
    values = ones + tens * (width > 1).astype(np.uint8) * np.uint8(10)
    large = np.flatnonzero(width == 3)
    if (hundreds[large] * np.uint16(100) + values[large] > 255).any():
        return None
    values[large] += hundreds[large] * np.uint8(100)
    return values.reshape(-1, n_columns)


def _carefully(
    chunk: bytes, delimiter: bytes, n_columns: int, columns: _Columns, n_before: int, item: Item
) -> tuple[NDArray[np.float32], list[str]]:
    """Read lines of any numbers, with quotes and spaces; the label may be a text."""
    rows, labels = [], []
    lines = _text(chunk, item).splitlines()
    try:
        for number, row in enumerate(csv.reader(lines, delimiter=delimiter.decode()), n_before + 1):
            if not any(row):
                continue
            while len(row) > n_columns and not row[-1].strip():
                row.pop()
            if len(row) != n_columns:
                raise DataError(
                    f"{item} has {len(row):,} columns in line {number:,}, and {n_columns:,} in the first. Correct it, "
                    "or download it again."
                )
            try:
                values = np.array([float(row[k]) for k in columns.pixels])
            except ValueError as error:
                reason = str(error).removeprefix("could not convert string to float: ")
                raise DataError(f"{item} holds {reason:.60}, no number, in line {number:,}. Correct it.") from None
            if not (np.abs(values) < _HUGE).all():
                raise DataError(
                    f"{item} holds pixels that are no numbers, or too large, in line {number:,}. Correct it."
                )
            rows.append(values.astype(np.float32))
            if columns.label is not None:
                labels.append(row[columns.label].strip())
    except csv.Error as error:
        raise DataError(f"{item} is no CSV: {error}. Save it as CSV in UTF-8.") from None
    pixels = np.array(rows, np.float32).reshape(len(rows), len(columns.pixels))
    return pixels, labels


def _text(line: bytes, item: Item) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{item} is no text in UTF-8. Save it as CSV in UTF-8.") from None


# ---- Parquet ----


class _Apart(Processes):
    """The process that pyarrow works in, which believes what a file says of sizes."""

    does = "reads Parquet"

    def too_late(self, source: str, n: int) -> DataError:
        return DataError(
            f"{source} was given up: to read it takes more than {self.seconds:g} seconds of work. Use a smaller file."
        )

    def too_large(self, source: str, n: int) -> DataError:
        return DataError(
            f"{source} was given up: to read it takes more than {self.memory_bytes / 2**30:g} GB of memory, or it is "
            "damaged in a way that ends what reads it. Download it again, or use a smaller file."
        )


def _be_ready() -> None:
    # Its usual allocator reserves room that counts as memory of its own.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    with suppress(ImportError):
        import pyarrow.parquet  # noqa: F401 - before time and memory count


def read_parquet(items: Sequence[Item]) -> Table:
    """Read Hugging Face's tables of ``image`` (PNG or rows of pixels) and ``label``; files follow each other."""
    check_parquet(str(items[0]))
    with closing(_Apart(1, _PARQUET_SECONDS, _PARQUET_MEMORY_BYTES, _be_ready)) as apart:
        tables = [
            apart.call(parquet_here, item.read(_MOST_PACKED_BYTES), str(item), source=str(item)) for item in items
        ]
    if len({table.images.shape[1:] for table in tables}) > 1:
        raise DataError(f"{items[0]} holds other images than the files that follow it. Name one of them by itself.")
    if any(table.labels is None for table in tables):
        return Table(np.concatenate([table.images for table in tables]), None)
    return Table(
        np.concatenate([table.images for table in tables]),
        np.concatenate([np.asarray(table.labels) for table in tables]),
        tables[0].class_names,
        [note for table in tables for note in table.notes],
    )


def parquet_here(content: bytes, name: str) -> Table:
    """Read a file's bytes in this process, whatever it takes."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise _no_pyarrow(name) from None
    try:
        # One thread, so that it ends where it fails; and no memory beyond what this file's pages need.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's word on large pictures; their size is checked
            return _parquet(pq.ParquetFile(pa.BufferReader(content), pre_buffer=False), name)
    except DataError:
        raise
    except (pa.ArrowException, MemoryError, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        reason = str(error).split("\n")[0].rstrip(".")[:200] or type(error).__name__
        raise DataError(f"{name} cannot be read as Parquet: {reason}. Download it again.") from None


def check_parquet(name: str) -> None:
    """Raise DataError if pyarrow, which opens and writes Parquet, is not installed."""
    if find_spec("pyarrow") is None:
        raise _no_pyarrow(name)


def _no_pyarrow(name: str) -> DataError:
    return DataError(f"{name} is a Parquet file, which pyarrow opens. Install it: pip install 'digitlab[parquet]'")


def _parquet(file: Any, item: str) -> Table:
    names = list(file.schema_arrow.names)
    n_rows = file.metadata.num_rows
    if not 0 < n_rows <= MOST_FILES:
        raise DataError(f"{item} says that it has {n_rows:,} rows; 1 to {MOST_FILES:,} were expected.")
    groups = [file.metadata.row_group(k) for k in range(file.metadata.num_row_groups)]
    n_values = max(group.column(k).num_values for group in groups for k in range(group.num_columns))
    if n_values > _MOST_VALUES * n_rows:
        raise DataError(f"{item} says that {n_rows:,} rows hold {n_values:,} values. Use images of 28 x 28 pixels.")
    small = [name.lower() for name in names]
    at_label, at_image = _place(small, _LABEL_NAMES), _place(small, _IMAGE_NAMES)
    label, image = (None if at is None else names[at] for at in (at_label, at_image))
    pixels = [name for name in names if re.fullmatch(r"(pixel|px|x)?_?\d+(x\d+)?", name.lower())]
    if image is None and not _is_size(len(pixels)):
        raise DataError(
            f"{item} has the columns {shown_list(names)}; image and label were expected, or a column for each pixel. "
            "Rename the column of images to image."
        )
    wanted = [*([image] if image is not None else pixels), *([label] if label is not None else [])]
    class_names = () if label is None else _class_names(file, label)
    reader = PictureReader(is_written(class_names))
    rows: list[NDArray[Any]] = []
    labels: list[Any] = []
    n_seen = n_bytes = 0
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted, use_threads=False):
        n_seen += batch.num_rows
        if n_seen > n_rows:
            raise DataError(f"{item} holds more rows than it says. Download it again.")
        if label is not None:
            labels += batch.column(label).to_pylist()
        if image is None:
            rows.append(np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in pixels]))
            continue
        for k, cell in enumerate(batch.column(image).to_pylist(), n_seen - batch.num_rows):
            content = cell.get("bytes") if isinstance(cell, dict) else cell
            if isinstance(content, bytes):
                n_bytes += len(content)
                if n_bytes > _MOST_UNPACKED_BYTES:
                    raise DataError(
                        f"{item} holds over {_MOST_UNPACKED_BYTES:,} bytes of pictures. Use a smaller file."
                    )
                reader.add(content, f"Image {k:,} of {item}")
            elif isinstance(content, list):
                rows.append(np.array(content, np.float32)[np.newaxis])
            else:
                raise DataError(f"{item} holds no picture in row {k:,}. Download it with its images embedded.")
    if rows and reader.n_added:
        raise DataError(f"{item} holds pictures and rows of pixels together. Make all of one kind.")
    if not rows:
        reader.check(str(item))
    images, kept = (np.concatenate(rows), None) if rows else reader.images()
    if label is None:
        return Table(images, None)
    if any(one is None for one in labels):
        raise DataError(f"{item} has a row without a label. Leave such rows out.")
    found = np.array(labels)
    return Table(images, found if kept is None else found[kept], class_names, reader.notes())


def _class_names(file: Any, label: str) -> tuple[str, ...]:
    """Return what Hugging Face's datasets library has noted of the labels in the file's schema."""
    try:
        noted = json.loads((file.schema_arrow.metadata or {})[b"huggingface"][:100_000])
        names = noted["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return ()
    is_usable = isinstance(names, list) and all(
        isinstance(name, str) and 0 < len(name) <= 60 and name.isprintable() for name in names
    )
    return tuple(names) if is_usable else ()


def write_parquet(
    file: IO[bytes], kinds: Mapping[str, type[int] | type[float] | type[str]], parts: Iterable[Mapping[str, list[Any]]]
) -> None:
    """Write columns of these types, part by part, as a Parquet file; DataError if pyarrow is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise _no_pyarrow(str(getattr(file, "name", "The table"))) from None
    arrow = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    schema = pa.schema([(name, arrow[kind]) for name, kind in kinds.items()])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        waiting, n = [], 0
        for part in parts:
            waiting.append(pa.Table.from_pydict(dict(part), schema))
            n += waiting[-1].num_rows
            if n >= _ROWS_A_GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting, n = [], 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
