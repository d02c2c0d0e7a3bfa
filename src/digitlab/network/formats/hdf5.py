"""Arrays and texts from an HDF5 file as Keras writes them, read without the HDF5 library.

HDF5 is a file system in a file. The library is C code that follows whatever a damaged file says; here are the few
hundred lines that Keras' files need, and every offset is checked. Read are the classic layout, which Keras writes
(groups as B-trees of symbol tables, object headers version 1), and the one since HDF5 1.8 (links as messages or in
fractal heaps, object headers version 2), after the HDF5 File Format Specification 3.0, The HDF Group.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import RunError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE, _CONTINUATION, _TABLE, _MORE = (
    0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B, 0x0C, 0x10, 0x11, 0x15,
)  # fmt: skip
# Others are passed over: as many as a damaged file may have, of 64 kB each, would be half a gigabyte.
_READ = (_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE, _TABLE, _MORE)
_COMPACT, _CONTIGUOUS, _CHUNKED = 0, 1, 2
_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3
# Size in bytes -> (the properties of an IEEE number, little endian: offset, precision, exponent, mantissa, bias).
_FLOATS: dict[int, tuple[int, ...]] = {
    2: (0, 16, 10, 5, 0, 10, 15),
    4: (0, 32, 23, 8, 0, 23, 127),
    8: (0, 64, 52, 11, 0, 52, 1023),
}
_NOWHERE = 2**64 - 1
_MOST_STEPS = 100_000
_MOST_CHUNKS = 20_000
_LONGEST_NAME = 256
_MOST_DIMENSIONS = 8
_MOST_LEVELS = 8
_MOST_TEXTS, _MOST_TEXT_BYTES = 4_096, 2**20
# Of all texts together, and of all that is not an array: the same bytes can stand for any number of them.
_MOST_TEXTS_BYTES, _MOST_DESCRIPTION_BYTES = 2**24, 2**27
_DAMAGED = "its HDF5 data are cut short or damaged."
_UNKNOWN = "its HDF5 data are in a layout that Keras does not write."


class Hdf5Error(RunError):
    """The file is damaged, or not one that Keras writes."""


class Content(Protocol):
    """The bytes of a file: in memory, or read as they are asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice) -> bytes: ...


@dataclass(frozen=True)
class FilePart:
    """Bytes that stay in a file, from ``start`` on."""

    file: BinaryIO
    start: int
    n_bytes: int

    def __len__(self) -> int:
        return self.n_bytes

    def __getitem__(self, part: slice) -> bytes:
        first, last, _ = part.indices(self.n_bytes)
        self.file.seek(self.start + first)
        return self.file.read(max(0, last - first))


@dataclass
class Hdf5File:
    """A file, which must be an HDF5 file of one of the two layouts."""

    content: Content
    _steps: int = field(default=0, init=False)
    _n_read: int = field(default=0, init=False)
    _n_text_bytes: int = field(default=0, init=False)
    _groups: dict[int, dict[str, int]] = field(default_factory=dict, init=False)
    _heaps: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        start = self.content[:96]
        if start[:8] != _SIGNATURE:
            raise Hdf5Error("its weights are not an HDF5 file.")
        start += bytes(96 - len(start))
        # Sizes of offsets and lengths, where the file begins in itself, and where its root stands.
        sizes, base, root = {0: (13, 24, 64), 1: (13, 28, 68), 2: (9, 12, 36), 3: (9, 12, 36)}.get(start[8], (0, 0, 0))
        if not root or start[sizes : sizes + 2] != b"\x08\x08" or start[base : base + 8] != bytes(8):
            raise Hdf5Error(_UNKNOWN)
        self._root: int = struct.unpack_from("<Q", start, root)[0]

    # ---- what is asked for ----

    def array(self, path: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Read the array at a path such as ``layers/dense/vars/0``, which must have this shape, as float32."""
        return self.array_at(self.find(path), shape, path)

    def array_at(self, address: int, shape: tuple[int, ...], path: str) -> NDArray[np.float32]:
        """Read the array at an address; ``path`` is only for what is said of it."""
        messages = dict(self._messages(address))
        if _EXTERNAL in messages or not {_DATASPACE, _DATATYPE, _LAYOUT} <= set(messages):
            raise Hdf5Error(f"{path} is not an array in the file itself.")
        found = _dimensions(messages[_DATASPACE])
        if found != shape:
            raise Hdf5Error(f"{path} should have the shape {shape}; it has {found}.")
        dtype = _float_type(messages[_DATATYPE], path)
        layout = messages[_LAYOUT]
        if len(layout) >= 11 and layout[0] == 3 and layout[1] == _CHUNKED:
            numbers = self._chunked(layout, messages.get(_FILTERS), shape, dtype, path)
        else:
            raw = self._raw(layout, math.prod(shape) * dtype.itemsize, path)
            numbers = np.frombuffer(raw, dtype).reshape(shape)
        with np.errstate(over="ignore"):  # what is not finite is refused where the weights are checked
            return numbers.astype(np.float32)

    def shape_at(self, address: int) -> tuple[int, ...] | None:
        """Return the shape of the array at an address; None if there is a group."""
        messages = dict(self._messages(address))
        return _dimensions(messages[_DATASPACE]) if _LAYOUT in messages and _DATASPACE in messages else None

    def is_whole_at(self, address: int) -> bool:
        """Tell whether the array at an address holds whole numbers, which no layer computes with."""
        return dict(self._messages(address)).get(_DATATYPE, b"\x01")[:1] in (b"\x10", b"\x20", b"\x30")

    def find(self, path: str) -> int:
        """Return the address of a group or array; Hdf5Error if there is none."""
        address = self._root
        for name in path.split("/") if path else ():
            members = self.members(address)
            if name not in members:
                raise Hdf5Error(f"{path} is missing from its weights.")
            address = members[name]
        return address

    def members(self, address: int) -> dict[str, int]:
        """Return what a group has, by name; links to elsewhere are left out, and an array has nothing."""
        if address not in self._groups:
            self._groups[address] = {}  # should it lead round in a circle
            self._groups[address] = dict(self._links(address))
        return self._groups[address]

    def arrays(self, without: str = "") -> Iterator[tuple[str, int]]:
        """Yield path and address of every array, except in the group ``without`` of the root."""
        waiting, seen = [("", self._root)], {self._root}
        while waiting:
            path, address = waiting.pop()
            members = self.members(address)
            for name, member in members.items():
                self._step()
                if member not in seen and (path or name != without):
                    seen.add(member)
                    waiting.append((f"{path}/{name}" if path else name, member))
            if not members and path:
                yield path, address

    def texts(self, address: int) -> dict[str, list[str]]:
        """Return the attributes of a group that are texts or rows of them; numbers are left out."""
        found: dict[str, list[str]] = {}
        for kind, data in self._messages(address):
            if kind == _ATTRIBUTE:
                found |= self._attribute(data)
            elif kind == _MORE and len(data) >= 2:
                start = 4 if data[1] & 1 else 2
                heap, tree = _numbers("<QQ", data, start)
                for one in self._dense(heap, tree, 8) if heap != _NOWHERE else ():
                    found |= self._attribute(one)
        return found

    # ---- objects and groups ----

    def _bytes(self, address: int, n: int) -> bytes:
        self._n_read += n
        if self._n_read > _MOST_DESCRIPTION_BYTES:
            raise Hdf5Error(_DAMAGED)
        return self._numbers_at(address, n)

    def _numbers_at(self, address: int, n: int) -> bytes:
        """Return bytes of an array, of which there are as many as whoever asks knows."""
        if n < 0 or address < 0 or address + n > len(self.content):
            raise Hdf5Error(_DAMAGED)
        return self.content[address : address + n]

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise Hdf5Error("its HDF5 data are damaged: they lead round in circles.")

    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        start = self._bytes(address, min(64, max(12, len(self.content) - address)))
        if start[:4] == b"OHDR":
            yield from self._new_messages(address, start)
            return
        version, _, n_messages, _, size = struct.unpack_from("<BBHII", start)
        if version != 1:
            raise Hdf5Error(_UNKNOWN)
        blocks = [(address + 16, size)]
        while blocks and n_messages > 0:
            place, size = blocks.pop(0)
            end = place + size
            while place + 8 <= end and n_messages > 0:
                self._step()
                kind, length = struct.unpack("<HH", self._bytes(place, 4))
                if kind == _CONTINUATION:
                    blocks.append(_numbers("<QQ", self._bytes(place + 8, length)))
                elif kind in _READ:
                    yield kind, self._bytes(place + 8, length)
                place += 8 + length
                n_messages -= 1

    def _new_messages(self, address: int, start: bytes) -> Iterator[tuple[int, bytes]]:
        """Read an object header of version 2."""
        if start[4] != 2:
            raise Hdf5Error(_UNKNOWN)
        flags = start[5]
        head = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self._bytes(address + head, width), "little")
        blocks = [(address + head + width, size)]
        n_before = 6 if flags & 4 else 4
        while blocks:
            place, size = blocks.pop(0)
            end = place + size
            while place + n_before <= end:
                self._step()
                kind, length = struct.unpack("<BH", self._bytes(place, 3))
                if kind == _CONTINUATION:
                    block, block_size = _numbers("<QQ", self._bytes(place + n_before, length))
                    if self._bytes(block, 4) != b"OCHK":
                        raise Hdf5Error(_DAMAGED)
                    blocks.append((block + 4, block_size - 8))
                elif kind in _READ:
                    yield kind, self._bytes(place + n_before, length)
                place += n_before + length

    def _links(self, address: int) -> Iterator[tuple[str, int]]:
        for kind, data in self._messages(address):
            if kind == _TABLE:
                tree, heap = _numbers("<QQ", data)
                if self._bytes(heap, 4) != b"HEAP":
                    raise Hdf5Error(_DAMAGED)
                (names,) = struct.unpack("<Q", self._bytes(heap + 24, 8))
                for offset, member, cached in self._symbols(tree, _MOST_LEVELS):
                    if cached != 2:  # a link by name, which may lead anywhere
                        yield self._name(names + offset), member
            elif kind == _LINK:
                yield from _link(data)
            elif kind == _LINK_INFO and len(data) >= 2:
                heap, tree = _numbers("<QQ", data, 10 if data[1] & 1 else 2)
                for one in self._dense(heap, tree, 4) if heap != _NOWHERE else ():
                    yield from _link(one)

    def _name(self, address: int) -> str:
        return self.content[address : address + _LONGEST_NAME].split(b"\0", 1)[0].decode("utf-8", "replace")

    def _symbols(self, node: int, most_levels: int) -> Iterator[tuple[int, int, int]]:
        self._step()
        signature = self._bytes(node, 4)
        if signature == b"SNOD":
            (n,) = struct.unpack("<H", self._bytes(node + 6, 2))
            for i in range(n):
                self._step()
                yield struct.unpack("<QQI", self._bytes(node + 8 + 40 * i, 20))
        elif signature == b"TREE" and most_levels > 0:
            (n,) = struct.unpack("<H", self._bytes(node + 6, 2))
            for i in range(n):
                (child,) = struct.unpack("<Q", self._bytes(node + 32 + 16 * i, 8))
                yield from self._symbols(child, most_levels - 1)
        else:
            raise Hdf5Error(_DAMAGED)

    # ---- many links or attributes: a tree of places in a heap ----

    def _dense(self, heap: int, tree: int, skipped: int) -> Iterator[bytes]:
        """Yield the messages of a fractal heap that a B-tree of version 2 lists, of records of ``skipped`` bytes first.

        Of links, a record is a hash and the place in the heap; of attributes, the place and what else.
        """
        head = self._bytes(tree, 38)
        node_size, record_size, depth, root, n = struct.unpack_from("<IHH2xQH", head, 6)
        if head[:4] != b"BTHD" or not 0 < record_size <= node_size or depth > _MOST_LEVELS:
            raise Hdf5Error(_DAMAGED)
        start = 4 if skipped == 4 else 0
        for record in self._records(root, n, depth, node_size, record_size):
            yield self._in_heap(heap, record[start : start + 8])

    def _records(self, node: int, n: int, depth: int, node_size: int, size: int) -> Iterator[bytes]:
        self._step()
        if self._bytes(node, 4) != (b"BTIN" if depth else b"BTLF") or n * size > node_size:
            raise Hdf5Error(_DAMAGED)
        data = self._bytes(node, node_size)
        most, total = (node_size - 10) // size, (node_size - 10) // size
        width = 0
        for level in range(1, depth + 1):
            width = 8 + _width(most) + (_width(total) if level > 1 else 0)
            n_bytes = _width(most)
            most = (node_size - 10 - width) // (size + width)
            total = (most + 1) * total + most
        for i in range(n):
            self._step()
            yield data[6 + i * size : 6 + (i + 1) * size]
        for i in range(n + 1) if depth else ():
            place = 6 + n * size + i * width
            child = data[place : place + 8 + n_bytes]
            if len(child) < 8 + n_bytes:
                raise Hdf5Error(_DAMAGED)
            address, n_records = int.from_bytes(child[:8], "little"), int.from_bytes(child[8:], "little")
            yield from self._records(address, n_records, depth - 1, node_size, size)

    def _in_heap(self, heap: int, identity: bytes) -> bytes:
        self._step()
        head = self._bytes(heap, 146)
        n_filters, largest = struct.unpack_from("<HxI", head, 7)
        columns, first_size, largest_block, bits = struct.unpack_from("<HQQH", head, 110)
        root, n_rows = struct.unpack_from("<QH", head, 132)
        if head[:4] != b"FRHP" or n_filters or not columns or not first_size or bits > 64 or identity[0] & 0x30:
            raise Hdf5Error(_UNKNOWN)
        n_bytes = (bits + 7) // 8
        offset = int.from_bytes(identity[1 : 1 + n_bytes], "little")
        length = int.from_bytes(identity[1 + n_bytes : 1 + n_bytes + _width(min(largest_block, largest))], "little")
        block = root
        while n_rows:
            self._step()
            if self._bytes(block, 4) != b"FHIB":
                raise Hdf5Error(_DAMAGED)
            # The first two rows of blocks are of the same size, every other of twice that of the one before.
            row, size, before = 0, first_size, 0
            while offset - before >= size * columns:
                before += size * columns
                row, size = row + 1, size if row == 0 else size * 2
                if row >= n_rows:
                    raise Hdf5Error(_DAMAGED)
            column, offset = divmod(offset - before, size)
            (block,) = struct.unpack("<Q", self._bytes(block + 13 + n_bytes + 8 * (row * columns + column), 8))
            n_rows = 0 if size <= largest_block else (size // (first_size * columns)).bit_length()
        if self._bytes(block, 4) != b"FHDB":
            raise Hdf5Error(_DAMAGED)
        return self._bytes(block + offset, length)

    # ---- texts ----

    def _attribute(self, message: bytes) -> dict[str, list[str]]:
        if len(message) < 8 or message[0] not in (1, 2, 3):
            raise Hdf5Error(_UNKNOWN)
        sizes = struct.unpack_from("<HHH", message, 2)
        place, parts = 9 if message[0] == 3 else 8, []
        for size in sizes:
            parts.append(message[place : place + size])
            place += -(-size // 8) * 8 if message[0] == 1 else size
        name = parts[0].split(b"\0", 1)[0].decode("utf-8", "replace")
        dimensions = _dimensions(parts[2])
        n, data = math.prod(dimensions), message[place:]
        if len(parts[1]) < 8 or n > _MOST_TEXTS or (message[0] > 1 and message[1] & 3):
            return {}
        kind, (width,) = parts[1][0] & 0x0F, struct.unpack_from("<I", parts[1], 4)
        if kind == 3:  # texts of one length
            if n * width > len(data):
                raise Hdf5Error(_DAMAGED)
            self._count_text(n * width)
            texts = [data[i * width : (i + 1) * width].rstrip(b"\0") for i in range(n)]
        elif kind == 9 and parts[1][1] & 0x0F == 1:  # texts that lie elsewhere
            texts = [self._global(*_numbers("<IQI", data, 16 * i)) for i in range(n)]
        else:
            return {name: []} if n == 0 else {}
        return {name: [text.decode("utf-8", "replace") for text in texts]}

    def _global(self, length: int, heap: int, index: int) -> bytes:
        """Return a text of the global heap."""
        if heap not in self._heaps:
            head = self._bytes(heap, 16)
            (size,) = struct.unpack_from("<Q", head, 8)
            if head[:4] != b"GCOL":
                raise Hdf5Error(_DAMAGED)
            place, end, found = heap + 16, heap + size, {}
            while place + 16 <= min(end, len(self.content)):
                self._step()
                number, n = struct.unpack("<H6xQ", self._bytes(place, 16))
                if number == 0:
                    break
                found[number] = (place + 16, n)
                place += 16 + -(-n // 8) * 8
            self._heaps[heap] = found
        place, n = self._heaps[heap].get(index, (0, 0)) if length else (0, 0)
        if length > n or length > _MOST_TEXT_BYTES:
            raise Hdf5Error(_DAMAGED)
        self._count_text(length)
        return self._bytes(place, length)

    def _count_text(self, n_bytes: int) -> None:
        self._n_text_bytes += n_bytes
        if self._n_text_bytes > _MOST_TEXTS_BYTES:
            raise Hdf5Error(_DAMAGED)

    # ---- numbers ----

    def _raw(self, layout: bytes, n_bytes: int, path: str) -> bytes:
        if len(layout) >= 18 and layout[0] in (3, 4) and layout[1] == _CONTIGUOUS:
            address, size = struct.unpack_from("<QQ", layout, 2)
            if size == n_bytes:
                return self._numbers_at(address, n_bytes)
        if len(layout) >= 4 and layout[0] in (3, 4) and layout[1] == _COMPACT:
            (size,) = struct.unpack_from("<H", layout, 2)
            if size == n_bytes and len(layout) >= 4 + size:
                return layout[4 : 4 + size]
        raise Hdf5Error(f"{path} is not stored in one piece or in chunks, as Keras stores it.")

    def _chunked(
        self, layout: bytes, filters: bytes | None, shape: tuple[int, ...], dtype: np.dtype[Any], path: str
    ) -> NDArray[Any]:
        rank = layout[2] - 1
        tree, *sides = _numbers(f"<Q{rank + 1}I", layout, 3) if rank == len(shape) else (0, 0)
        chunk = tuple(sides[:-1])
        n_bytes = math.prod(chunk) * dtype.itemsize
        n_chunks = math.prod(-(-n // side) if side else _MOST_CHUNKS for n, side in zip(shape, chunk, strict=True))
        # What stands at the edges may be larger than the array, but not every chunk can be.
        if not chunk or n_chunks >= _MOST_CHUNKS or n_bytes * n_chunks > 4 * math.prod(shape) * dtype.itemsize + 2**20:
            raise Hdf5Error(f"{path} is stored in chunks of an odd size.")
        steps = _filters_of(filters, path)
        whole = np.zeros(shape, dtype)
        for place, address, size, mask in self._chunks(tree, rank, _MOST_LEVELS):
            n_chunks -= 1
            if mask or n_chunks < 0 or size > 2 * n_bytes + 2**10:
                raise Hdf5Error(_DAMAGED)
            data = self._numbers_at(address, size)
            for step in reversed(steps):
                data = _unfiltered(data, step, n_bytes, dtype.itemsize)
            if len(data) != n_bytes or any(at >= n for at, n in zip(place, shape, strict=True)):
                raise Hdf5Error(_DAMAGED)
            there = tuple(slice(at, at + side) for at, side in zip(place, chunk, strict=True))
            cut = tuple(slice(0, n - at) for at, n in zip(place, shape, strict=True))
            whole[there] = np.frombuffer(data, dtype).reshape(chunk)[cut]
        return whole

    def _chunks(self, node: int, rank: int, most_levels: int) -> Iterator[tuple[tuple[int, ...], int, int, int]]:
        self._step()
        head = self._bytes(node, 24)
        kind, level, n = struct.unpack_from("<BBH", head, 4)
        if head[:4] != b"TREE" or kind != 1 or most_levels < 1:
            raise Hdf5Error(_DAMAGED)
        key = 8 + 8 * (rank + 1)
        for i in range(n):
            self._step()
            data = self._bytes(node + 24 + i * (key + 8), key + 8)
            size, mask, *place, _, child = struct.unpack(f"<II{rank + 2}Q", data)
            if level:
                yield from self._chunks(child, rank, most_levels - 1)
            else:
                yield tuple(place), child, size, mask


def _numbers(pattern: str, data: bytes, start: int = 0) -> Any:
    if len(data) < start + struct.calcsize(pattern):
        raise Hdf5Error(_DAMAGED)
    return struct.unpack_from(pattern, data, start)


def _width(largest: int) -> int:
    """Return how many bytes hold numbers up to ``largest``."""
    return (largest.bit_length() + 7) // 8


def _link(message: bytes) -> Iterator[tuple[str, int]]:
    """Yield name and address of a link message that leads to an object in the file."""
    if len(message) < 3 or message[0] != 1:
        raise Hdf5Error(_UNKNOWN)
    flags, place = message[1], 2
    kind = message[place] if flags & 8 else 0
    place += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    n = int.from_bytes(message[place : place + width], "little")
    name = message[place + width : place + width + n]
    if kind == 0:
        yield name.decode("utf-8", "replace"), _numbers("<Q", message, place + width + n)[0]


def _dimensions(message: bytes) -> tuple[int, ...]:
    start = {1: 8, 2: 4}.get(message[0] if message else 0, 0)
    rank = message[1] if len(message) > 1 else 255
    if not start or rank > _MOST_DIMENSIONS or len(message) < start + 8 * rank:
        raise Hdf5Error(_DAMAGED)
    return struct.unpack_from(f"<{rank}Q", message, start)


def _float_type(message: bytes, path: str) -> np.dtype[Any]:
    if len(message) >= 20 and message[0] & 0x0F == 1 and not message[1] & 0x41:
        (size,) = struct.unpack_from("<I", message, 4)
        if size in _FLOATS and struct.unpack_from("<HHBBBBI", message, 8) == _FLOATS[size]:
            return np.dtype(f"<f{size}")
    raise Hdf5Error(f"{path} does not hold floating-point numbers of 16, 32 or 64 bits.")


def _filters_of(message: bytes | None, path: str) -> list[int]:
    """Return what was done to chunks one after the other, by number."""
    if message is None:
        return []
    version, n = _numbers("<BB", message)
    place, found = 8 if version == 1 else 2, []
    for _ in range(min(n, 8)):
        (kind,) = _numbers("<H", message, place)
        has_name = version == 1 or kind >= 256
        (n_name,) = _numbers("<H", message, place + 2) if has_name else (0,)
        _, n_values = _numbers("<HH", message, place + (4 if has_name else 2))
        place += (8 if has_name else 6) + (-(-n_name // 8) * 8 if version == 1 else n_name) + 4 * n_values
        place += 4 if version == 1 and n_values % 2 else 0
        found.append(kind)
    if not set(found) <= {_DEFLATE, _SHUFFLE, _CHECKSUM}:
        raise Hdf5Error(f"{path} is compressed in another way than with gzip.")
    return found


def _unfiltered(data: bytes, kind: int, n_bytes: int, item_bytes: int) -> bytes:
    if kind == _CHECKSUM:
        return data[:-4]
    if kind == _SHUFFLE:
        if len(data) % item_bytes:
            raise Hdf5Error(_DAMAGED)
        return np.frombuffer(data, np.uint8).reshape(item_bytes, -1).T.tobytes()
    try:
        return zlib.decompressobj().decompress(data, n_bytes + 16)
    except zlib.error:
        raise Hdf5Error(_DAMAGED) from None
