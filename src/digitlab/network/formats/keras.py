"""Keras' model files: ``.keras``, a zip of two JSON documents and ``model.weights.h5``, and whole models as HDF5.

``keras.models.load_model`` runs what a file names, and its safe mode was bypassed several times. Here descriptions are
read by a whitelist (``keras_walk``), weights are copied as numbers, and nothing is extracted to the disk.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from digitlab.data import storage
from digitlab.errors import NetworkError, RunError
from digitlab.network.architecture import stem_of
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import MOST_JSON_BYTES, checkpoint_in, opened, parse_json, unusable
from digitlab.network.formats.hdf5 import Content, FilePart, Hdf5Error, Hdf5File
from digitlab.network.formats.keras_walk import Arrays, ForeignLayer, ForeignStack, read_keras_config

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_END, _END_BYTES, _ZIP64_LOCATOR, _LOCATOR_BYTES = b"PK\x05\x06", 22, b"PK\x06\x07", 20
_MOST_ENTRIES = 100
# Weights, Adam's two moments and a copy, and what HDF5 adds to every layer.
_COPIES, _ROOM_BYTES = 5, 2**22
# Keras stores without compressing; who compressed a small file again is welcome, a bomb is not.
_MOST_INFLATED_BYTES = 2**24
_MOST_FILE_BYTES = 2**32
_CHUNK_BYTES = 2**20
# What Keras 3, and Keras 2.13 and 2.14, call the layers of a network in its weights.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
# How many images a Normalization has seen, a whole number that nobody needs.
_NO_COUNT = np.zeros((), np.float32)
_COUNTED = re.compile(r"(.*?)(?:_(\d+))?")
_IS_WEIGHT = re.compile(r"/vars/\d+$")
_ONLY_WEIGHTS = (
    "it holds only weights, without the network that they are of. In Keras, build the same network again, then "
    "model.load_weights('{name}') and model.save('model.keras')."
)


def read_keras(path: Path) -> Checkpoint:
    """Read a model file of Keras that anybody may have written, told apart by its first bytes: zip or HDF5."""
    with opened(path, _MOST_FILE_BYTES) as (file, n_bytes):
        start = file.read(8)
        try:
            if start.startswith(_ZIP):
                return _archive(path, file, n_bytes)
            if start == _HDF5:
                return _whole_model(path, FilePart(file, 0, n_bytes))
        except OSError as error:
            raise unusable(path, f"it cannot be read ({storage.reason_of(error)}). Copy it again.") from None
    raise unusable(path, _what_else(start))


def _what_else(start: bytes) -> str:
    """Return what a file is that begins so, and the next step."""
    if start == b"version ":
        return "it is what Git LFS keeps in the place of a model. Fetch the model itself: git lfs pull."
    if start.lstrip()[:1] == b"<":
        return "it is a web page and no model. Download the file itself."
    return "it is no model file of Keras. Save the model again: model.save('model.keras')."


# ---- .keras ----


def _archive(path: Path, file: BinaryIO, n_bytes: int) -> Checkpoint:
    with open_archive(path, file, n_bytes) as archive:
        description = parse_json(path, archive_member(path, archive, CONFIG, MOST_JSON_BYTES), CONFIG)
        stack = _described(path, description)
        metadata = _metadata(path, archive)
        weights = _weights(path, archive, file, n_bytes, _COPIES * 4 * stack.n_parameters + _ROOM_BYTES)
    try:
        arrays = _by_folder(Hdf5File(weights), stack.learning)
        network, ordered = stack.finish(arrays)
    except NetworkError as error:
        raise unusable(path, str(error), lacks=True) from None
    except Hdf5Error as error:
        raise unusable(path, f"{error} Save the model again with Keras 3.") from None
    return checkpoint_in(
        path, network, ordered, metadata.get("class_names"), metadata.get("digitlab"), stack.tells_pixels
    )


def weight_folders(kinds: Iterable[str]) -> list[str]:
    """Return where Keras puts the weights of every layer: by its class in snake case, counted."""
    counts: Counter[str] = Counter()
    folders = []
    for kind in kinds:
        stem = stem_of(kind)
        folders.append(f"layers/{stem}_{counts[stem]}/vars" if counts[stem] else f"layers/{stem}/vars")
        counts[stem] += 1
    return folders


def _described(path: Path, description: Any) -> ForeignStack:
    try:
        return read_keras_config(description)
    except NetworkError as error:
        raise unusable(path, str(error), lacks=True) from None


def _by_folder(file: Hdf5File, layers: Sequence[ForeignLayer]) -> list[Arrays]:
    """Return the arrays of every layer, wherever this version of Keras has put them."""
    places: dict[tuple[str, ...], dict[int, int]] = {}
    for path, address in file.arrays(without="optimizer"):
        # Keras for Windows joined names with its own sign.
        *folders, number = path.replace("\\", "/").split("/")
        if folders[-1:] == ["vars"] and number.isdecimal() and len(number) < 4:
            inner = tuple(name for name in folders[:-1] if name not in _CONTAINERS)
            places.setdefault(inner, {})[int(number)] = address
    folders_of = [layer.folders for layer in layers]
    stems = {tuple(_counted(name)[0] for name in inner) for inner in folders_of}
    alike = [inner for inner in places if tuple(_counted(name)[0] for name in inner) in stems]
    by_rank = {rank: inner for inner, rank in _ranks(alike).items()}
    ranks = _ranks(folders_of)
    ways = (folders_of, [layer.names for layer in layers], [by_rank.get(ranks[inner], ()) for inner in folders_of])
    for way in ways:
        if all(_fits(file, places.get(inner, {}), layer) for inner, layer in zip(way, layers, strict=True)):
            return [_arrays(file, places[inner], layer) for inner, layer in zip(way, layers, strict=True)]
    for inner, layer in zip(folders_of, layers, strict=True):
        for i, (_, shape) in enumerate(layer.weights):
            where = f"layers/{'/layers/'.join(inner)}/vars/{i}"
            if i not in places.get(inner, {}):
                raise Hdf5Error(f"{where} is missing from its weights.")
            file.array_at(places[inner][i], shape, where)
    raise Hdf5Error("its weights are not those of its layers.")


def _arrays(file: Hdf5File, there: dict[int, int], layer: ForeignLayer) -> Arrays:
    wanted = enumerate(layer.weights)
    return [
        _NO_COUNT if part == "count" else file.array_at(there[i], shape, f"{layer.name}/{part}")
        for i, (part, shape) in wanted
    ]


def _fits(file: Hdf5File, there: dict[int, int], layer: ForeignLayer) -> bool:
    return all(i in there and file.shape_at(there[i]) == shape for i, (_, shape) in enumerate(layer.weights))


def _ranks(paths: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Count the folders of every class anew, 0, 1, 2 ... in their order: Keras 2.13 and 2.14 leave out numbers."""
    counts: dict[tuple[tuple[str, ...], str], dict[str, int]] = {}
    ranked = {}
    for path in sorted(paths, key=lambda path: [_counted(name) for name in path]):
        ranks = []
        for depth, name in enumerate(path):
            stem, _ = _counted(name)
            beside = counts.setdefault((path[:depth], stem), {})
            ranks.append((stem, beside.setdefault(name, len(beside))))
        ranked[path] = tuple(ranks)
    return ranked


def _counted(name: str) -> tuple[str, int]:
    match = _COUNTED.fullmatch(name)
    assert match is not None
    return match[1], int(match[2][:9]) if match[2] else 0


def open_archive(path: Path, file: BinaryIO, n_bytes: int) -> zipfile.ZipFile:
    """Open a ``.keras`` file of so many bytes, if it claims to hold few files."""
    file.seek(max(0, n_bytes - _END_BYTES - _LOCATOR_BYTES))
    tail = file.read(_END_BYTES + _LOCATOR_BYTES)
    end = tail[-_END_BYTES:]
    if not end.startswith(_END):
        raise unusable(path, "it is not a whole .keras file of Keras 3. Save or copy it again.")
    # Python would make an object for every entry that the file claims to have, millions of them if it says so.
    n_entries, directory_bytes = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    if _ZIP64_LOCATOR in tail or n_entries > _MOST_ENTRIES or directory_bytes > 2**16:
        raise unusable(path, f"it claims to hold {n_entries:,} files; a .keras file holds three.")
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
        raise unusable(path, f"it is a damaged zip file ({error}). Save the model again.") from None


def _entry(path: Path, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise unusable(path, f"it has no {name}, which a .keras file of Keras 3 has. Save the model again.") from None
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise unusable(path, f"{name} in it is encrypted or compressed in a way that Keras does not use.")
    return entry


def archive_member(path: Path, archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    """Return what a ``.keras`` file holds under a name, which is not larger than a network needs."""
    entry = _entry(path, archive, name)
    try:
        with archive.open(entry) as file:
            content = file.read(most_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise unusable(path, f"{name} in it is damaged ({error}). Save the model again.") from None
    if len(content) > most_bytes:
        raise unusable(
            path, f"{name} in it has more than {most_bytes:,} bytes, too many for a network. Save it in Keras."
        )
    return content


def _weights(path: Path, archive: zipfile.ZipFile, file: BinaryIO, n_bytes: int, most_inflated_bytes: int) -> Content:
    """Return the weights, which stay in the file if they are stored as they are: the optimizer's may be large."""
    entry = _entry(path, archive, WEIGHTS)
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        return archive_member(path, archive, WEIGHTS, min(most_inflated_bytes, _MOST_INFLATED_BYTES))
    try:
        with archive.open(entry) as stored:
            while stored.read(_CHUNK_BYTES):  # its checksum is compared at the end
                pass
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise unusable(path, f"{WEIGHTS} in it is damaged ({error}). Save the model again.") from None
    file.seek(entry.header_offset)
    head = file.read(30)
    start = entry.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    if len(head) < 30 or start + entry.file_size > n_bytes:
        raise unusable(path, f"{WEIGHTS} in it is cut short. Save the model again.")
    return FilePart(file, start, entry.file_size)


def _metadata(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        metadata = storage.parse_json(archive_member(path, archive, METADATA, MOST_JSON_BYTES))
    except (RunError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


# ---- HDF5 ----


def _whole_model(path: Path, content: Content) -> Checkpoint:
    """Read what ``model.save("model.h5")`` of Keras 1 to 3 writes."""
    try:
        file = Hdf5File(content)
        root = file.find("")
        attributes = file.texts(root)
        members = file.members(root)
        texts = attributes.get("model_config")
        if not texts:
            if _listed(attributes, "layer_names") or any(_IS_WEIGHT.search(name) for name, _ in file.arrays()):
                raise unusable(path, _ONLY_WEIGHTS.format(name=path.name))
            raise unusable(
                path, "it is an HDF5 file, but no model of Keras. Save the model again: model.save('m.keras')."
            )
        stack = _described(path, parse_json(path, texts[0].encode(), "its model_config"))
        group = "model_weights" if "model_weights" in members else ""
        about = file.texts(file.find(group))
        arrays = _by_name(file, group, stack.learning)
        if about.get("backend") == ["theano"]:
            # Theano turns kernels around when it convolves.
            arrays = [[np.flip(array, (0, 1)) if array.ndim == 4 else array for array in layer] for layer in arrays]
        network, ordered = stack.finish(arrays)
    except NetworkError as error:
        raise unusable(path, str(error), lacks=True) from None
    except Hdf5Error as error:
        raise unusable(path, f"{error} Save the model again with Keras: model.save('model.keras').") from None
    return checkpoint_in(path, network, ordered, None, None, stack.tells_pixels)


def _by_name(file: Hdf5File, group: str, layers: Sequence[ForeignLayer]) -> list[Arrays]:
    """Return the arrays of every layer: by the names of the layers of the outermost network, and their order there."""
    found: dict[str, list[Arrays]] = {}
    for outer in dict.fromkeys(layer.names[0] for layer in layers):
        mine = [layer for layer in layers if layer.names[0] == outer]
        there = f"{group}/{outer}" if group else outer
        names = _listed(file.texts(file.find(there)), "weight_names")
        wanted = [(layer, name, shape) for layer in mine for name, shape in layer.weights]
        if len(wanted) > len(names):
            raise Hdf5Error(f"{there} lacks weights of its layers.")
        order = _order(wanted, names) if len(mine) > 1 else list(range(len(wanted)))
        arrays = iter(
            _NO_COUNT if name == "count" else file.array(f"{there}/{names[i]}", shape)
            for i, (_, name, shape) in zip(order, wanted, strict=True)
        )
        found[outer] = [[next(arrays) for _ in layer.weights] for layer in mine]
    queues = {outer: iter(of_layers) for outer, of_layers in found.items()}
    return [next(queues[layer.names[0]]) for layer in layers]


def _order(wanted: Sequence[tuple[ForeignLayer, str, Any]], names: Sequence[str]) -> list[int]:
    """Return which of the names each weight of a network in a network has: by its layer's, or else by its place."""
    by_place = {tuple(name.split(":")[0].split("/")[-2:]): i for i, name in enumerate(names)}
    keys = [(layer.name, name) for layer, name, _ in wanted]
    if all(key in by_place for key in keys):
        return [by_place[key] for key in keys]
    # Keras lists what learns first, then the rest.
    learns = [name in ("kernel", "bias", "gamma", "beta") for _, name, _ in wanted]
    ranked = sorted(range(len(wanted)), key=lambda i: not learns[i])
    return [ranked.index(i) for i in range(len(wanted))]


def _listed(attributes: dict[str, list[str]], name: str) -> list[str]:
    """Return a list of names, which Keras cuts into several attributes where it is long."""
    if name in attributes:
        return attributes[name]
    parts, names = 0, []
    while f"{name}{parts}" in attributes:
        names += attributes[f"{name}{parts}"]
        parts += 1
    return names
