"""Checkpoint: weights, architecture, class names and provenance in one safetensors file; nothing is unpickled.

The format is 8 bytes with the length of the header, the header (JSON: the tensors' names, dtypes, shapes and places,
and a map of texts) and the tensors. digitlab's file holds a tensor ``layer/kernel`` and ``layer/bias`` for every layer
that learns, ``state/...`` for what a resumed training needs, and in that map one note, a JSON object: ``format``,
``network``, ``class_names``, ``metadata``. One, because safetensors writes several in an order that changes from call
to call: equal content is equal bytes.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from digitlab.data.storage import open_ordinary, parse_json, reason_of, replacing
from digitlab.errors import NetworkError, RunError, StorageError
from digitlab.network.architecture import Architecture, named_weight_shapes
from digitlab.network.layers import Shape
from digitlab.values import CLASS_NAMES

_FORMAT = 1
_STATE = "state/"
_STATE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")
_NOTE = "digitlab"
_DTYPES: dict[str, type[Any]] = {"F32": np.float32, "I64": np.int64}
# Those that other programs' files may have besides.
_OTHER_DTYPES = _DTYPES | {"F16": np.float16, "F64": np.float64}
# Room for the weights and Adam's two moments of the largest network that Architecture allows, 600 MB.
_LARGEST_FILE_BYTES = 768 * 2**20
_LARGEST_HEADER_BYTES = 2**20
_LONGEST_SHOWN = 80
_views: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What came out of a training: all that is needed to answer, and to know where the answer comes from.

    ``weights`` are float32, finite, in Keras' order and layout: kernel ``(height, width, in, out)`` or ``(in, out)``,
    bias ``(out,)``; the checkpoint keeps copies of its own. The position of a class name is its label; there are none
    where the network answers with maps. ``metadata`` is provenance. ``extra``, finite float32 or int64 ``(n,)``, is
    what resuming needs besides: the optimizer's state.

    >>> from digitlab.network import architecture
    >>> network = architecture("codelab_cnn")
    >>> checkpoint = Checkpoint(network, tuple(network.initial_weights(seed=0)), metadata={"epoch": "0"})
    >>> checkpoint.class_names[3]
    'Three'
    """

    architecture: Architecture
    weights: tuple[NDArray[np.float32], ...]
    class_names: tuple[str, ...] = CLASS_NAMES
    metadata: dict[str, str] = field(default_factory=dict)
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = named_weight_shapes(self.architecture)
        if len(self.weights) != len(shapes):
            raise RunError(
                f"The network {self.architecture.name} has {len(shapes)} weight arrays, not {len(self.weights)}; "
                f"pass them in this order: {', '.join(shapes) or 'none'}."
            )
        weights = tuple(
            _checked(name, array, np.dtype(np.float32), shape)
            for (name, shape), array in zip(shapes.items(), self.weights, strict=True)
        )
        class_names = () if self.architecture.answers_maps else self.class_names
        _check_texts(class_names, self.metadata, 0 if self.architecture.answers_maps else self.architecture.n_classes)
        extra: dict[str, NDArray[Any]] = {}
        for name, array in self.extra.items():
            if not isinstance(name, str) or not _STATE_NAME.fullmatch(name) or _STATE + name in shapes:
                raise RunError(
                    f"An extra tensor's name has letters, digits and _ . / - and is no layer's; it cannot be {name!r}."
                )
            array = np.asarray(array)
            dtype = np.dtype(np.int64 if array.dtype == np.int64 else np.float32)
            extra[name] = _checked(_STATE + name, array, dtype, (array.size,))
        own = {"weights": weights, "class_names": tuple(class_names), "metadata": dict(self.metadata), "extra": extra}
        for key, value in own.items():
            object.__setattr__(self, key, value)


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint, the old file or the whole new one; equal checkpoints give equal bytes."""
    names = named_weight_shapes(checkpoint.architecture)
    tensors: dict[str, NDArray[Any]] = dict(zip(names, checkpoint.weights, strict=True))
    tensors |= {_STATE + name: array for name, array in checkpoint.extra.items()}
    record = {
        "format": _FORMAT,
        "network": checkpoint.architecture.to_dict(),
        "class_names": list(checkpoint.class_names),
        "metadata": checkpoint.metadata,
    }
    _write(Path(path), tensors, json.dumps(record, sort_keys=True, separators=(",", ":")))


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint that anybody may have written: complete, every weight finite and of the right shape."""
    path = Path(path)
    tensors, note = read_tensors(path)
    if note is None:
        raise _unusable(path, "it is a safetensors file, but digitlab did not write it.")
    return checkpoint_of_tensors(path, tensors, note)


def checkpoint_of_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], note: str) -> Checkpoint:
    """Return the checkpoint that a file's tensors and digitlab's note make."""
    try:
        record = _record(note)
        architecture = Architecture.from_dict(record["network"])
        expected = named_weight_shapes(architecture)
        for name in expected:
            if name not in tensors:
                raise RunError(f"the tensor {name!r} of its network is missing.")
        for name in tensors:
            if name not in expected and not name.startswith(_STATE):
                raise RunError(f"it holds a tensor {name!r} that its network does not have.")
        return Checkpoint(
            architecture=architecture,
            weights=tuple(tensors[name] for name in expected),
            class_names=tuple(record["class_names"]),
            metadata=record["metadata"],
            extra={name.removeprefix(_STATE): array for name, array in tensors.items() if name not in expected},
        )
    except (RunError, NetworkError) as error:
        raise _unusable(path, str(error)) from error


def _checked(name: str, array: Any, dtype: np.dtype[Any], shape: Shape) -> NDArray[Any]:
    # The copy is contiguous: safetensors writes the memory of whatever it gets, strides or not.
    copied: NDArray[Any] = np.array(array, order="C", copy=True)
    if copied.dtype != dtype or copied.shape != shape:
        raise RunError(f"{name} must be {dtype} of shape {shape}; it is {copied.dtype} of shape {copied.shape}.")
    if not np.isfinite(copied).all():
        raise RunError(f"{name} holds NaN or infinite values; use the weights of an earlier epoch.")
    return copied


def _check_texts(class_names: Sequence[Any], metadata: Mapping[Any, Any], n_classes: int) -> None:
    if len(class_names) != n_classes or not all(isinstance(name, str) for name in class_names):
        raise RunError(f"The network tells {n_classes} classes apart and needs as many class names, each a text.")
    if not all(isinstance(text, str) for item in metadata.items() for text in item):
        raise RunError("A checkpoint's metadata maps texts to texts; turn numbers into texts with str().")


def _record(note: str) -> dict[str, Any]:
    try:
        record = parse_json(note)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise RunError("its header is not one that digitlab writes.")
    if record.get("format") != _FORMAT:
        raise RunError(f"its format is {str(record.get('format'))[:20]}, and this version of digitlab reads {_FORMAT}.")
    for key, kind in (("network", dict), ("class_names", list), ("metadata", dict)):
        if not isinstance(record.get(key), kind):
            raise RunError(f"{key!r} is missing from its header or of the wrong kind.")
    return record


def _write(path: Path, tensors: Mapping[str, NDArray[Any]], note: str) -> None:
    """Write float32 and int64 tensors and one note, ASCII, so that there is the old file or the whole new one."""
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
            f"The checkpoint {path} could not be written ({reason_of(error)}); nothing that existed was lost. "
            "Free some space or choose another folder, then save again."
        ) from error


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], str | None]:
    """Read the tensors, of any shape and values, and digitlab's note or None, of a file that may be anybody's."""
    content, header_bytes = _content(path)
    try:
        views = _views(content)
    except SafetensorError as error:
        raise _unusable(path, f"it is damaged or not a safetensors file ({error}).") from error
    try:
        note = parse_json(content[8 : 8 + header_bytes])["__metadata__"][_NOTE]
    except (ValueError, KeyError, TypeError):
        note = None
    note = note if isinstance(note, str) else None
    dtypes = _OTHER_DTYPES if note is None else _DTYPES
    tensors: dict[str, NDArray[Any]] = {}
    for name, view in views:
        if view["dtype"] not in dtypes:
            raise _unusable(path, f"the tensor {name!r} is {view['dtype']}, and only {', '.join(dtypes)} can be here.")
        try:
            tensors[name] = _array(dtypes[view["dtype"]], view["shape"], view["data"])
        except (ValueError, OverflowError):  # more dimensions, or longer ones, than NumPy has
            raise _unusable(path, f"the tensor {name[:_LONGEST_SHOWN]!r} has a shape that no array has.") from None
    return tensors, note


def _unusable(path: Path, why: str) -> RunError:
    """Return the error that names the file, what is wrong with it and the next step."""
    return RunError(
        f"The checkpoint {path} cannot be used: {why} Use another one, or train again with `digitlab train`."
    )


def _content(path: Path) -> tuple[bytes, int]:
    try:
        with open_ordinary(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > _LARGEST_FILE_BYTES:
                raise _unusable(path, f"it has {size_bytes:,} bytes, and at most {_LARGEST_FILE_BYTES:,} are read.")
            start = file.read(8)
            header_bytes = int.from_bytes(start, "little")
            if start.startswith((b"PK\x03\x04", b"\x80")) and header_bytes > _LARGEST_HEADER_BYTES:
                raise _unusable(path, "it looks like a pickle or a zip file, which digitlab never opens.")
            if not 0 < header_bytes <= min(_LARGEST_HEADER_BYTES, size_bytes - 8):
                raise _unusable(path, "it is cut short or not a safetensors file.")
            return start + file.read(size_bytes - 8), header_bytes
    except RunError:
        raise
    except FileNotFoundError:
        raise RunError(f"There is no checkpoint {path}; check the path, or train one with `digitlab train`.") from None
    except IsADirectoryError:
        raise RunError(f"{path} is a folder, not a checkpoint; give the model.safetensors in it.") from None
    except (OSError, ValueError) as error:
        raise _unusable(path, f"it cannot be read ({reason_of(error)}).") from error


def _array(dtype: type[Any], shape: list[int], data: bytes) -> NDArray[Any]:
    if math.prod(shape) == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype, copy=False)
