"""A safetensors file of float32 and int64 tensors and one note, as digitlab writes it and as anybody may have.

The format is 8 bytes with the length of the header, the header (JSON: the tensors' names, dtypes, shapes and places,
and a map of texts) and the tensors. The note is the one entry of that map, because safetensors writes several in an
order that changes from call to call: equal content is equal bytes.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from digitlab.data.storage import open_ordinary, parse_json, replacing
from digitlab.errors import RunError, StorageError

__all__ = ["read_safetensors", "unusable", "write_safetensors"]

_NOTE = "digitlab"
_DTYPES: dict[str, type[np.float32 | np.int64]] = {"F32": np.float32, "I64": np.int64}
# Room for the weights and Adam's two moments of the largest network that Architecture allows, 600 MB.
_LARGEST_FILE_BYTES = 768 * 2**20
_LARGEST_HEADER_BYTES = 2**20
_views: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]], note: str) -> None:
    """Write a file, so that there is either the old one or the whole new one.

    Parameters
    ----------
    path : Path
        The file to make or replace; its folder must exist.
    tensors : mapping of str to ndarray
        float32 or int64, C-contiguous.
    note : str
        ASCII.

    Raises
    ------
    RunError
        If the file would be larger than `read_safetensors` reads.
    StorageError
        If it cannot be written, for want of space or permission; what was there is untouched.
    """
    content = save(dict(tensors), {_NOTE: note})
    if len(content) > _LARGEST_FILE_BYTES or int.from_bytes(content[:8], "little") > _LARGEST_HEADER_BYTES:
        raise RunError(
            f"The checkpoint for {path} would have {len(content):,} bytes, more than digitlab reads back; "
            "make the network, its metadata or the extra tensors smaller."
        )
    try:
        with replacing(path) as file:
            file.write(content)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"The checkpoint {path} could not be written ({_reason(error)}); nothing that existed was lost. "
            "Free some space or choose another folder, then save again."
        ) from error


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Read a file that anybody may have written.

    Parameters
    ----------
    path : Path
        A file of at most 768 MiB, its header at most 1 MiB.

    Returns
    -------
    tensors : dict of str to ndarray
        float32 or int64 of any shape and any values.
    note : str
        What `write_safetensors` was given.

    Raises
    ------
    RunError
        If the file is missing, damaged or something else; the message names it and the next step.
    """
    content, header_bytes = _read(path)
    try:
        views = _views(content)
    except SafetensorError as error:
        raise unusable(path, f"it is damaged or not a safetensors file ({error}).") from error
    tensors: dict[str, NDArray[Any]] = {}
    for name, view in views:
        if view["dtype"] not in _DTYPES:
            raise unusable(path, f"the tensor {name!r} is {view['dtype']}, and only F32 and I64 can be here.")
        tensors[name] = _array(_DTYPES[view["dtype"]], view["shape"], view["data"])
    try:
        note = parse_json(content[8 : 8 + header_bytes])["__metadata__"][_NOTE]
    except (ValueError, KeyError, TypeError):
        note = None
    if not isinstance(note, str):
        raise unusable(path, "it is a safetensors file, but digitlab did not write it.")
    return tensors, note


def unusable(path: Path, why: str) -> RunError:
    """Return the error that names the file, what is wrong with it and the next step."""
    return RunError(
        f"The checkpoint {path} cannot be used: {why} Use another one, or train again with `digitlab train`."
    )


def _read(path: Path) -> tuple[bytes, int]:
    try:
        # Asked before opening, because opening a named pipe waits for ever.
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise RunError(f"{path} is a folder, not a checkpoint; give the model.safetensors in it.")
        if not stat.S_ISREG(status.st_mode):
            raise unusable(path, "it is not an ordinary file.")
        with open_ordinary(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > _LARGEST_FILE_BYTES:
                raise unusable(path, f"it has {size_bytes:,} bytes, and at most {_LARGEST_FILE_BYTES:,} are read.")
            start = file.read(8)
            header_bytes = int.from_bytes(start, "little")
            if start.startswith((b"PK\x03\x04", b"\x80")) and header_bytes > _LARGEST_HEADER_BYTES:
                raise unusable(path, "it looks like a pickle or a zip file, which digitlab never opens.")
            if not 0 < header_bytes <= min(_LARGEST_HEADER_BYTES, size_bytes - 8):
                raise unusable(path, "it is cut short or not a safetensors file.")
            return start + file.read(size_bytes - 8), header_bytes
    except RunError:
        raise
    except FileNotFoundError:
        raise RunError(f"There is no checkpoint {path}; check the path, or train one with `digitlab train`.") from None
    except (OSError, ValueError) as error:
        raise unusable(path, f"it cannot be read ({_reason(error)}).") from error


def _array(dtype: type[np.float32 | np.int64], shape: list[int], data: bytes) -> NDArray[Any]:
    if math.prod(shape) == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype, copy=False)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
