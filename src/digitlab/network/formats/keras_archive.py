"""Keras 3's ``.keras``: a zip of ``config.json``, ``metadata.json`` and ``model.weights.h5``, read without Keras.

``keras.models.load_model`` runs what a file names, and its safe mode was bypassed several times; here the description
goes through the whitelist of ``keras_config`` and the weights are copied as numbers. Nothing is extracted to the disk.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data import storage
from digitlab.errors import NetworkError, RunError
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.hdf5 import Hdf5Error, Hdf5File
from digitlab.network.formats.keras_config import ForeignLayer, read_keras_config
from digitlab.network.formats.untrusted import (
    MOST_JSON_BYTES,
    MOST_WEIGHT_BYTES,
    finite,
    kept_metadata,
    named_classes,
    parse_json,
    read_whole,
    unusable,
)

__all__ = ["CONFIG", "METADATA", "WEIGHTS", "read_keras_archive", "weight_folders"]

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_END, _END_BYTES, _ZIP64_LOCATOR, _LOCATOR_BYTES = b"PK\x05\x06", 22, b"PK\x06\x07", 20
_MOST_ENTRIES = 100
# Weights, Adam's two moments and a copy, and what HDF5 adds to every layer.
_COPIES, _ROOM_BYTES = 5, 2**22
# Keras stores without compressing; who compressed a small file again is welcome, a bomb is not.
_MOST_INFLATED_BYTES = 2**24


def read_keras_archive(path: Path) -> Checkpoint:
    """Read a ``.keras`` file that anybody may have written.

    Raises
    ------
    RunError
        If it is missing, damaged, hostile, or holds a network that digitlab cannot run; the message says what.
    """
    content = read_whole(path, 2 * MOST_WEIGHT_BYTES)
    with _opened(path, content) as archive:
        description = parse_json(path, _member(path, archive, CONFIG, MOST_JSON_BYTES), CONFIG)
        try:
            stack = read_keras_config(description)
        except NetworkError as error:
            raise unusable(path, str(error)) from None
        network = stack.architecture
        most_bytes = _COPIES * 4 * network.n_parameters + _ROOM_BYTES
        weights = _member(path, archive, WEIGHTS, most_bytes)
        metadata = _metadata(path, archive)
    folders = [folder for folder, layer in zip(weight_folders(stack.layers), stack.layers, strict=True) if layer.learns]
    arrays: dict[str, NDArray[np.float32]] = {}
    try:
        file = Hdf5File(weights)
        for folder, (_, shapes) in zip(folders, stack.learning, strict=True):
            arrays |= {f"{folder}/{i}": file.array(f"{folder}/{i}", shape) for i, shape in enumerate(shapes)}
    except Hdf5Error as error:
        raise unusable(path, f"{error} Save the model again with Keras 3.") from None
    finite(path, arrays)
    class_names = named_classes(metadata.get("class_names"), network.n_classes)
    return Checkpoint(network, tuple(arrays.values()), class_names, kept_metadata(metadata.get("digitlab")))


def weight_folders(layers: Sequence[ForeignLayer]) -> list[str]:
    """Return where Keras puts the weights of every layer: by its class in snake case, counted."""
    counts: dict[str, int] = {}
    folders = []
    for layer in layers:
        stem = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", layer.kind)).lower()
        n = counts.get(stem, 0)
        counts[stem] = n + 1
        folders.append(f"layers/{stem}_{n}/vars" if n else f"layers/{stem}/vars")
    return folders


def _opened(path: Path, content: bytes) -> zipfile.ZipFile:
    end = content[-_END_BYTES:]
    if not content.startswith(b"PK\x03\x04") or not end.startswith(_END):
        advice = "In Keras: keras.saving.load_model(old).save('model.keras')."
        raise unusable(path, f"it is not a whole .keras file of Keras 3. {advice}")
    # Python would make an object for every entry that the file claims to have, millions of them if it says so.
    n_entries, is_large = (
        int.from_bytes(end[10:12], "little"),
        _ZIP64_LOCATOR in content[-_END_BYTES - _LOCATOR_BYTES :],
    )
    directory_bytes = int.from_bytes(end[12:16], "little")
    if is_large or n_entries > _MOST_ENTRIES or directory_bytes > 2**16:
        raise unusable(path, f"it claims to hold {n_entries:,} files; a .keras file holds three.")
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
        raise unusable(path, f"it is a damaged zip file ({error}). Save the model again.") from None


def _member(path: Path, archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise unusable(path, f"it has no {name}, which a .keras file of Keras 3 has. Save the model again.") from None
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise unusable(path, f"{name} in it is encrypted or compressed in a way that Keras does not use.")
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        most_bytes = min(most_bytes, _MOST_INFLATED_BYTES)
    try:
        with archive.open(entry) as file:
            content = file.read(most_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise unusable(path, f"{name} in it is damaged ({error}). Save the model again.") from None
    if len(content) > most_bytes:
        raise unusable(
            path, f"{name} in it has more than {most_bytes:,} bytes, too many for this network. Save it in Keras."
        )
    return content


def _metadata(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        metadata = storage.parse_json(_member(path, archive, METADATA, MOST_JSON_BYTES))
    except (RunError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
