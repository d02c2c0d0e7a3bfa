"""Arrays from an HDF5 file as Keras writes them, read without the HDF5 library.

HDF5 is a file system in a file. The library is C code that follows whatever a damaged file says; here are the hundred
lines that Keras' files need, and every offset is checked. The classic layout (HDF5 File Format Specification 3.0,
The HDF Group): superblock version 0, groups as B-trees of symbol tables, object headers version 1, contiguous arrays.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import RunError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DATASPACE, _DATATYPE, _EXTERNAL, _LAYOUT, _CONTINUATION, _SYMBOL_TABLE = 0x01, 0x03, 0x07, 0x08, 0x10, 0x11
# Others are passed over: as many as a damaged file may have, of 64 kB each, would be half a gigabyte.
_READ = (_DATASPACE, _DATATYPE, _EXTERNAL, _LAYOUT, _SYMBOL_TABLE)
_CONTIGUOUS, _COMPACT = 1, 0
# Size in bytes -> (the properties of an IEEE number, little endian: offset, precision, exponent, mantissa, bias).
_FLOATS: dict[int, tuple[int, ...]] = {
    2: (0, 16, 10, 5, 0, 10, 15),
    4: (0, 32, 23, 8, 0, 23, 127),
    8: (0, 64, 52, 11, 0, 52, 1023),
}
_MOST_STEPS = 20_000
_LONGEST_NAME = 256
_MOST_DIMENSIONS = 8


class Hdf5Error(RunError):
    """The file is damaged, or not one that Keras writes."""


@dataclass
class Hdf5File:
    """A file in memory, which must be an HDF5 file of the classic layout."""

    content: bytes
    _steps: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        start = self._bytes(0, 96)
        if start[:8] != _SIGNATURE:
            raise Hdf5Error("its weights are not an HDF5 file.")
        if start[8] != 0 or start[13:15] != b"\x08\x08" or struct.unpack_from("<Q", start, 24)[0] != 0:
            raise Hdf5Error("its weights are in a layout of HDF5 that Keras does not write by default.")
        (self._root,) = struct.unpack_from("<Q", start, 64)

    def array(self, path: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Read the array at a path such as ``layers/dense/vars/0``, which must have this shape, as float32."""
        address = self._root
        for name in path.split("/"):
            address = self._member(address, name, path)
        messages = dict(self._messages(address))
        if _EXTERNAL in messages or not {_DATASPACE, _DATATYPE, _LAYOUT} <= set(messages):
            raise Hdf5Error(f"{path} is not an array in the file itself.")
        found = _dimensions(messages[_DATASPACE])
        if found != shape:
            raise Hdf5Error(f"{path} should have the shape {shape}; it has {found}.")
        dtype = _dtype(messages[_DATATYPE], path)
        raw = self._raw(messages[_LAYOUT], math.prod(shape) * dtype.itemsize, path)
        return np.frombuffer(raw, dtype).reshape(shape).astype(np.float32)

    def _bytes(self, address: int, n: int) -> bytes:
        if n < 0 or address < 0 or address + n > len(self.content):
            raise Hdf5Error("its weights are cut short or damaged.")
        return self.content[address : address + n]

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise Hdf5Error("its weights are damaged: they lead round in circles.")

    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        version, _, n_messages, _, size = struct.unpack("<BBHII", self._bytes(address, 12))
        if version != 1:
            raise Hdf5Error("its weights are in a layout of HDF5 that Keras does not write by default.")
        blocks = [(address + 16, size)]
        while blocks and n_messages > 0:
            place, size = blocks.pop(0)
            end = place + size
            while place + 8 <= end and n_messages > 0:
                self._step()
                kind, length = struct.unpack("<HH", self._bytes(place, 4))
                data = self._bytes(place + 8, length)
                if kind == _CONTINUATION and length >= 16:
                    blocks.append(struct.unpack_from("<QQ", data))
                elif kind in _READ:
                    yield kind, data
                place += 8 + length
                n_messages -= 1

    def _member(self, address: int, name: str, path: str) -> int:
        table = dict(self._messages(address)).get(_SYMBOL_TABLE, b"")
        if len(table) < 16:
            raise Hdf5Error(f"{path} is missing from its weights.")
        tree, heap = struct.unpack_from("<QQ", table)
        if self._bytes(heap, 4) != b"HEAP":
            raise Hdf5Error("its weights are damaged.")
        (names,) = struct.unpack("<Q", self._bytes(heap + 24, 8))
        for offset, member, kind in self._symbols(tree, 8):
            text = self.content[names + offset : names + offset + _LONGEST_NAME].split(b"\0", 1)[0]
            if text == name.encode() and kind != 2:  # 2 is a link by name, which may lead anywhere
                return member
        raise Hdf5Error(f"{path} is missing from its weights.")

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
            raise Hdf5Error("its weights are damaged.")

    def _raw(self, layout: bytes, n_bytes: int, path: str) -> bytes:
        if len(layout) >= 18 and layout[0] == 3 and layout[1] == _CONTIGUOUS:
            address, size = struct.unpack_from("<QQ", layout, 2)
            if size == n_bytes:
                return self._bytes(address, n_bytes)
        if len(layout) >= 4 and layout[0] == 3 and layout[1] == _COMPACT:
            (size,) = struct.unpack_from("<H", layout, 2)
            if size == n_bytes and len(layout) >= 4 + size:
                return layout[4 : 4 + size]
        raise Hdf5Error(f"{path} is not stored in one piece, as Keras stores it.")


def _dimensions(message: bytes) -> tuple[int, ...]:
    start = {1: 8, 2: 4}.get(message[0] if message else 0, 0)
    rank = message[1] if len(message) > 1 else 255
    if not start or rank > _MOST_DIMENSIONS or len(message) < start + 8 * rank:
        raise Hdf5Error("its weights are damaged.")
    return struct.unpack_from(f"<{rank}Q", message, start)


def _dtype(message: bytes, path: str) -> np.dtype[Any]:
    if len(message) >= 20 and message[0] & 0x0F == 1 and not message[1] & 0x41:
        (size,) = struct.unpack_from("<I", message, 4)
        if size in _FLOATS and struct.unpack_from("<HHBBBBI", message, 8) == _FLOATS[size]:
            return np.dtype(f"<f{size}")
    raise Hdf5Error(f"{path} does not hold floating-point numbers of 16, 32 or 64 bits.")
