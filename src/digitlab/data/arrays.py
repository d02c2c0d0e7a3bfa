"""Arrays: what IDX, ``.npy`` and ``.npz`` files hold, told apart by their first bytes, never unpickled."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from digitlab.data.idx import MAX_BYTES, idx_content, parse_idx
from digitlab.data.storage import Readable, open_ordinary, read_up_to
from digitlab.data.survey import Item, open_archive, shown_list, telling_of_archive
from digitlab.errors import DataError

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_MOST_ARRAYS = 100
# np.savez of what is a list of lists, a frame or a dictionary.
_PICKLED = (
    "{name} holds Python objects, which are never unpickled: they could run anything. Save plain arrays, as in "
    "np.savez('mnist.npz', x_train=np.asarray(x, 'uint8'), y_train=np.asarray(y, 'uint8'))."
)


def read_array(item: Item) -> NDArray[Any]:
    """Read the one array of an IDX, ``.npy`` or ``.npz`` file, in native byte order."""
    with item.open() as stream:
        start = bytes(read_up_to(stream, 6))
        whole = _Rest(start, stream)
        if start == _NPY:
            return _npy(whole, str(item))
        if not start.startswith(_ZIP):
            return parse_idx(idx_content(whole, str(item)), str(item))
    arrays = read_arrays(item)
    if len(arrays) != 1:
        raise DataError(
            f"{item} holds the arrays {shown_list(list(arrays))}, and one was expected. Name it by itself, as the set."
        )
    return next(iter(arrays.values()))


def read_arrays(item: Item) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` file, by name."""
    name = str(item)
    if item.archive is None:
        with telling_of_archive(name), open_ordinary(Path(item.place)) as file:
            return _members(file, name)
    return _members(io.BytesIO(item.read(MAX_BYTES)), name)


def _members(file: BinaryIO, name: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with open_archive(file, name) as archive:
        members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
        if not members or len(members) > _MOST_ARRAYS:
            raise DataError(
                f"{name} holds {len(members)} arrays; 1 to {_MOST_ARRAYS} were expected, such as x_train, y_train, "
                "x_test and y_test. Save it with np.savez."
            )
        left = MAX_BYTES
        for member in members:
            key = member.filename.removesuffix(".npy")
            with telling_of_archive(name), archive.open(member) as stream:
                start = bytes(read_up_to(stream, 6))
                arrays[key] = _npy(_Rest(start, stream), f"{key} in {name}", left)
                left -= arrays[key].nbytes
    return arrays


class _Rest:
    """A stream of which a few bytes were read to see what it is."""

    def __init__(self, start: bytes, stream: Readable) -> None:
        self._start, self._stream = start, stream

    def read(self, n_bytes: int, /) -> bytes:
        taken, self._start = self._start[:n_bytes], self._start[n_bytes:]
        return taken or self._stream.read(n_bytes)


def _npy(stream: Readable, name: str, max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    file = cast(BinaryIO, stream)
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"it is of version {version[0]}.{version[1]}")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
    except Exception as error:  # NumPy's parser of headers raises what it stumbles over
        reason = str(error).split("\n")[0].rstrip(".")[:200]
        raise DataError(f"{name} is no array that NumPy saved: {reason}. Save it again with np.save.") from None
    if dtype.hasobject:
        raise DataError(_PICKLED.format(name=name))
    if dtype.kind not in "biufSU" or dtype.itemsize == 0:
        raise DataError(f"{name} holds {dtype!s:.80}; numbers were expected. Save it as uint8.")
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > max_bytes or math.prod(max(1, size) for size in shape) * max(1, dtype.itemsize) >= 2**63:
        raise DataError(f"{name} promises {n_bytes:,} bytes, and {max_bytes:,} at most are read. Save it as uint8.")
    content = read_up_to(stream, n_bytes + 1)
    if len(content) != n_bytes:
        raise DataError(f"{name} does not end where its header says, after {n_bytes:,} bytes. Save or copy it again.")
    array: NDArray[Any] = np.frombuffer(content, dtype) if n_bytes else np.empty(0, dtype)
    array = array.reshape(shape[::-1]).transpose() if is_fortran else array.reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
