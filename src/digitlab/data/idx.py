"""The IDX file format, in which MNIST was published, read and written.

A file is: two zero bytes, a byte for the type of the elements, a byte for the number of dimensions, each
dimension as a big-endian uint32, then the elements, big endian, the last dimension running fastest
(Yann LeCun, Corinna Cortes, "The MNIST database of handwritten digits", section "File formats").
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.data.storage import Readable, compressing, read_up_to, reading, reason_of, replacing
from digitlab.errors import DataError, StorageError

#: The largest content read unless told otherwise: about twice the largest file of EMNIST.
MAX_BYTES = 2**30

_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
_MAX_DIMENSIONS = 8


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """Read an IDX file, plain or compressed with gzip or xz.

    Parameters
    ----------
    path : str or path
        The file. Its first bytes, not its name, tell how it is compressed.
    max_bytes : int
        The largest content accepted, in bytes after decompression. Whatever this is, never more is
        decompressed than the header promises and one byte.

    Returns
    -------
    ndarray
        uint8, int8, int16, int32, float32 or float64 in native byte order, in the file's shape, writable.

    Raises
    ------
    DataError
        If the file is missing, damaged, cut off, too long, too large or no IDX file.
    """
    return parse_idx(read_idx_content(path, max_bytes=max_bytes), str(path))


def read_idx_content(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> bytearray:
    """Return the decompressed bytes of an IDX file, header included, of the length that the header promises."""
    with reading(Path(path)) as stream:
        return idx_content(stream, str(path), max_bytes=max_bytes)


def idx_content(stream: Readable, name: str, *, max_bytes: int = MAX_BYTES) -> bytearray:
    """Return the bytes of an IDX file from a stream."""
    content = read_up_to(stream, 4)
    content += read_up_to(stream, _header_bytes(content, name) - len(content))
    *_, n_bytes = _layout(content, name)
    if n_bytes > max_bytes:
        raise DataError(
            f"{name} promises {n_bytes:,} bytes, and {max_bytes:,} at most were expected. "
            "If it is meant to be so large, pass a larger max_bytes."
        )
    # One byte more, which also has the decompressor read and check the end of its stream.
    content += read_up_to(stream, n_bytes + 1 - len(content))
    _check_length(len(content), n_bytes, name)
    return content


def parse_idx(content: bytearray | memoryview, name: str) -> NDArray[Any]:
    """Return the array in the decompressed bytes of an IDX file that is called ``name``, in native byte order.

    Elements of one byte are a view of the bytes.
    """
    dtype, shape, n_bytes = _layout(content, name)
    _check_length(len(content), n_bytes, name)
    elements = np.frombuffer(content, dtype, offset=4 + 4 * len(shape)) if 0 not in shape else np.empty(0, dtype)
    return elements.reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def write_idx(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Write an array as an IDX file, which appears whole or not at all.

    Parameters
    ----------
    path : str or path
        The file to make or replace. At its end ``.gz`` or ``.xz`` compresses it.
    array : array_like
        uint8, int8, int16, int32, float32 or float64 with 1 to 8 dimensions, in any byte order.

    Raises
    ------
    DataError
        If the format cannot hold the array.
    StorageError
        If the file cannot be written; what was at ``path`` before is still there.
    """
    path, array = Path(path), np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise DataError(
            f"{path} cannot hold {array.dtype}; an IDX file holds {', '.join(map(str, _CODES))}. "
            "Convert the array first, as in array.astype('int32')."
        )
    if not 1 <= array.ndim <= _MAX_DIMENSIONS or max(array.shape) >= 2**32:
        raise DataError(
            f"{path} cannot hold an array of shape {array.shape}; 1 to {_MAX_DIMENSIONS} dimensions, each below 2**32, "
            "were expected. Reshape the array first."
        )
    header = idx_header(array)
    elements = np.ascontiguousarray(array, _DTYPES[code]).reshape(-1).view(np.uint8)
    try:
        with replacing(path) as file, compressing(file, path.suffix) as stream:
            stream.write(memoryview(header))
            stream.write(elements.data)
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{str(path)!r} could not be written: {reason_of(error)}. Choose a file in an existing folder that you may "
            f"write to, with {len(header) + elements.size:,} bytes free."
        ) from error


def idx_header(array: NDArray[Any]) -> bytes:
    """Return what the IDX file of an array, of a type that it can hold, begins with."""
    code = _CODES[array.dtype.newbyteorder("=")]
    return struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)


def _header_bytes(content: bytearray | memoryview, name: str) -> int:
    """Return the length of the header that these bytes begin with, from its first four bytes."""
    start = bytes(content[:4])
    if not start:
        raise DataError(f"{name} is empty, where an IDX file was expected. Copy or download it again.")
    if len(start) < 4:
        raise DataError(
            f"{name} holds {len(start)} bytes, fewer than the header of an IDX file. Copy or download it again."
        )
    if start[:2] != b"\x00\x00" or start[2] not in _DTYPES or not 1 <= start[3] <= _MAX_DIMENSIONS:
        codes = ", ".join(f"{code:02x}" for code in _DTYPES)
        raise DataError(
            f"{name} begins with the bytes {start.hex(' ')}; an IDX file was expected, which begins with 00 00, "
            f"a type ({codes}) and the number of dimensions (01 to {_MAX_DIMENSIONS:02x}). "
            "Check that it is the right file; unpack it first if it is an archive (.zip, .tar)."
        )
    return 4 + 4 * start[3]


def _layout(content: bytearray | memoryview, name: str) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return the dtype and shape that the header tells, and the length in bytes of the whole file."""
    n_header = _header_bytes(content, name)
    if len(content) < n_header:
        raise DataError(
            f"{name} ends inside its header, after {len(content)} of {n_header} bytes. Copy or download it again."
        )
    shape = struct.unpack(f">{n_header // 4 - 1}I", bytes(content[4:n_header]))
    dtype = _DTYPES[content[2]]
    # Zeros count as ones, because NumPy refuses an empty array whose other dimensions overflow.
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize >= 2**63:
        raise DataError(f"{name} promises the impossible shape {shape}. Copy or download it again.")
    return dtype, shape, n_header + math.prod(shape) * dtype.itemsize


def _check_length(found: int, n_bytes: int, name: str) -> None:
    if found < n_bytes:
        raise DataError(
            f"{name} is cut off: it holds {found:,} bytes, and its header promises {n_bytes:,}. "
            "Copy or download it again."
        )
    if found > n_bytes:
        raise DataError(
            f"{name} goes on after the {n_bytes:,} bytes that its header promises. "
            "Copy or download it again, or check what wrote it."
        )
