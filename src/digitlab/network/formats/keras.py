"""Networks as Keras describes them, and Keras 3's ``.keras``: a zip of two JSON documents and ``model.weights.h5``.

``keras.models.load_model`` runs what a file names, and its safe mode was bypassed several times. Here a layer, and a
setting that changes what it computes, is known or refused by name; what only matters for training is passed over;
weights are copied as numbers. Nothing in a description is ever imported or called, nothing extracted to the disk.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data import storage
from digitlab.errors import NetworkError, RunError
from digitlab.network.architecture import Architecture, stem_of
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import (
    MOST_JSON_BYTES,
    MOST_WEIGHT_BYTES,
    Stack,
    checkpoint_in,
    is_pixel_scale,
    lacking,
    parse_json,
    read_whole,
    shown,
    unusable,
)
from digitlab.network.formats.hdf5 import Hdf5Error, Hdf5File
from digitlab.network.layers import ACTIVATIONS, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Shape, are_counts

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_END, _END_BYTES, _ZIP64_LOCATOR, _LOCATOR_BYTES = b"PK\x05\x06", 22, b"PK\x06\x07", 20
_MOST_ENTRIES = 100
# Weights, Adam's two moments and a copy, and what HDF5 adds to every layer.
_COPIES, _ROOM_BYTES = 5, 2**22
# Keras stores without compressing; who compressed a small file again is welcome, a bomb is not.
_MOST_INFLATED_BYTES = 2**24
_MOST_LAYERS = 200
_INITIALIZERS = {"GlorotUniform": "glorot_uniform", "HeNormal": "he_normal", "Zeros": "zeros"}


def read_keras_archive(path: Path) -> Checkpoint:
    """Read a ``.keras`` file that anybody may have written."""
    content = read_whole(path, 2 * MOST_WEIGHT_BYTES)
    with opened_archive(path, content) as archive:
        description = parse_json(path, member_of(path, archive, CONFIG, MOST_JSON_BYTES), CONFIG)
        try:
            stack = read_keras_config(description)
        except NetworkError as error:
            raise unusable(path, str(error), lacks=True) from None
        network = stack.architecture
        most_bytes = _COPIES * 4 * network.n_parameters + _ROOM_BYTES
        weights = member_of(path, archive, WEIGHTS, most_bytes)
        metadata = _metadata(path, archive)
    folders = zip(weight_folders(layer.kind for layer in stack.layers), stack.layers, strict=True)
    learning = zip([folder for folder, layer in folders if layer.learns], stack.learning, strict=True)
    arrays: list[NDArray[np.float32]] = []
    try:
        file = Hdf5File(weights)
        for folder, (_, shapes) in learning:
            arrays += [file.array(f"{folder}/{i}", shape) for i, shape in enumerate(shapes)]
    except Hdf5Error as error:
        raise unusable(path, f"{error} Save the model again with Keras 3.") from None
    return checkpoint_in(path, network, arrays, metadata.get("class_names"), metadata.get("digitlab"))


def weight_folders(kinds: Iterable[str]) -> list[str]:
    """Return where Keras puts the weights of every layer: by its class in snake case, counted."""
    counts: Counter[str] = Counter()
    folders = []
    for kind in kinds:
        stem = stem_of(kind)
        folders.append(f"layers/{stem}_{counts[stem]}/vars" if counts[stem] else f"layers/{stem}/vars")
        counts[stem] += 1
    return folders


def opened_archive(path: Path, content: bytes) -> zipfile.ZipFile:
    """Open a ``.keras`` file, if it is one, and not of millions of entries."""
    end = content[-_END_BYTES:]
    if not content.startswith(b"PK\x03\x04") or not end.startswith(_END):
        advice = "In Keras: keras.saving.load_model(old).save('model.keras')."
        raise unusable(path, f"it is not a whole .keras file of Keras 3. {advice}")
    # Python would make an object for every entry that the file claims to have, millions of them if it says so.
    n_entries, directory_bytes = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    is_large = _ZIP64_LOCATOR in content[-_END_BYTES - _LOCATOR_BYTES :]
    if is_large or n_entries > _MOST_ENTRIES or directory_bytes > 2**16:
        raise unusable(path, f"it claims to hold {n_entries:,} files; a .keras file holds three.")
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
        raise unusable(path, f"it is a damaged zip file ({error}). Save the model again.") from None


def member_of(path: Path, archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    """Return what one of its files holds, if it is no more than so much."""
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
        metadata = storage.parse_json(member_of(path, archive, METADATA, MOST_JSON_BYTES))
    except (RunError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


@dataclass(frozen=True)
class ForeignLayer:
    """A layer of the description: its class, its name there, and whether it has weights."""

    kind: str
    name: str
    learns: bool


@dataclass(frozen=True)
class ForeignStack:
    """The network, and the layers that it was made from, in order and without the input."""

    architecture: Architecture
    layers: tuple[ForeignLayer, ...]

    @property
    def learning(self) -> list[tuple[ForeignLayer, tuple[Shape, ...]]]:
        """The layers that learn, with the shapes of kernel and bias."""
        network = self.architecture
        shapes = [layer.weight_shapes(shape) for layer, shape in zip(network.layers, network.input_shapes, strict=True)]
        foreign = [layer for layer in self.layers if layer.learns]
        return list(zip(foreign, filter(None, shapes), strict=True))


def read_keras_config(model: Mapping[str, Any]) -> ForeignStack:
    """Build a network from ``{"class_name": "Sequential", "config": {...}}``, of Keras 2, Keras 3 or TensorFlow.js.

    A ``Functional`` whose layers follow one another will do.
    """
    kind, config = model.get("class_name"), model.get("config")
    layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, Mapping) else None
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(layers, list):
        raise NetworkError(f"It should describe a Sequential network; it describes {shown(kind)}.")
    if len(layers) > _MOST_LAYERS:
        raise NetworkError(f"It has {len(layers)} layers; digitlab runs at most 64.")
    stack, foreign = Stack(), []
    input_shape: Shape | None = None
    before = ""
    for position, entry in enumerate(layers, start=1):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
            raise NetworkError(f"Layer {position} should be an object with a class_name.")
        layer_kind, settings = entry["class_name"], entry.get("config")
        if not isinstance(settings, Mapping):
            raise NetworkError(f"Layer {position} has no settings.")
        name = str(settings.get("name") or entry.get("name") or "")
        if kind != "Sequential" and _sources(entry.get("inbound_nodes"), 0) != ([before] if before else []):
            raise NetworkError(
                f"Layer {position} does not follow the layer before it; digitlab runs layers one after the other."
            )
        before = name
        if input_shape is None:
            given = settings.get("batch_shape")
            input_shape = _shape(settings.get("batch_input_shape") if given is None else given, position)
        if layer_kind == "InputLayer":
            continue
        try:
            if layer_kind == "Reshape":
                input_shape = _reshape(stack, settings, input_shape)
            else:
                _add(stack, layer_kind, _Settings(settings), position)
        except NetworkError as error:
            text = str(error)
            raise NetworkError(text if text.startswith("Layer") else f"Layer {position}, {text}") from None
        foreign.append(ForeignLayer(layer_kind, name, layer_kind in ("Conv2D", "Dense")))
    if input_shape is None and isinstance(config, Mapping):
        input_shape = _shape(config.get("build_input_shape"), 0)
    if input_shape is None:
        raise NetworkError("It does not say what shape its images have; build the model before saving it.")
    title = config.get("name") if isinstance(config, Mapping) else None
    return ForeignStack(stack.finish(input_shape, title if isinstance(title, str) else ""), tuple(foreign))


def _shape(shape: Any, position: int) -> Shape | None:
    """Return the shape of one image from that of a batch."""
    if shape is None:
        return None
    inner = list(shape[1:]) if isinstance(shape, list | tuple) else []
    if len(inner) not in (1, 3) or not are_counts(inner):
        raise NetworkError(
            f"Layer {position}: its input must be images of a fixed size, (height, width, channels), or a row of "
            "features."
        )
    return tuple(inner)


def _sources(nodes: Any, depth: int) -> list[str]:
    """Return the names of the layers that a layer of a functional model reads."""
    if depth > 8:
        return ["..."]
    if isinstance(nodes, Mapping):  # Keras 3
        history = nodes.get("keras_history")
        if isinstance(history, list) and history and isinstance(history[0], str):
            return [history[0]]
        return _sources([nodes.get("args"), nodes.get("config")], depth + 1)
    if isinstance(nodes, list):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and all(isinstance(n, int) for n in nodes[1:3]):
            return [nodes[0]]  # Keras 2: name, node, tensor, arguments
        return [source for node in nodes for source in _sources(node, depth + 1)]
    return []


class _Settings:
    """The settings of one layer, asked for one by one; another value than those that digitlab knows is refused."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        name = config.get("name")
        self.name = name if isinstance(name, str) else ""

    def get(self, name: str, default: Any) -> Any:
        value = self.config.get(name)
        return default if value is None else tuple(value) if isinstance(value, list) else value

    def number(self, name: str, kind: type) -> Any:
        value = self.config.get(name)
        if isinstance(value, bool) or not isinstance(value, kind | int):
            raise NetworkError(f"its setting {name} is missing or not a number.")
        return value

    def must_be(self, name: str, allowed: tuple[Any, ...], advice: str) -> None:
        value = self.config.get(name)
        if value is not None and value not in allowed:
            found = value if isinstance(value, int | float | list) and len(str(value)) < 40 else shown(value)
            raise NetworkError(f"its {name} is {found}, and digitlab has only {allowed[0]}; {advice}.")

    def activation(self) -> str:
        value = self.get("activation", "linear")
        if value not in ACTIVATIONS:
            raise NetworkError(f"its activation {shown(value)} is not one that digitlab has; use relu or softmax.")
        return str(value)

    def learning(self) -> dict[str, Any]:
        """What convolutions and dense layers have in common."""
        return {
            "name": self.name,
            "activation": self.activation(),
            "use_bias": self.get("use_bias", True),
            "kernel_initializer": self._initializer("kernel_initializer", "glorot_uniform"),
            "bias_initializer": self._initializer("bias_initializer", "zeros"),
        }

    def _initializer(self, name: str, default: str) -> str:
        # Only for who trains the network anew from other weights; one that digitlab lacks becomes Keras' default.
        value = self.config.get(name)
        kind = value.get("class_name") if isinstance(value, Mapping) else value
        return _INITIALIZERS.get(kind, default) if isinstance(kind, str) else default


def _add(stack: Stack, kind: str, settings: _Settings, position: int) -> None:
    """Add a layer of the whitelist to the stack."""
    if kind in ("Conv2D", "MaxPooling2D", "Flatten"):
        settings.must_be("data_format", ("channels_last",), "build the network with channels last")
    if kind == "Conv2D":
        settings.must_be("strides", (1, [1, 1]), "use MaxPooling2D to make images smaller")
        settings.must_be("dilation_rate", (1, [1, 1]), "use a larger kernel")
        settings.must_be("groups", (1,), "use an ordinary Conv2D")
        filters, size = settings.number("filters", int), settings.get("kernel_size", None)
        stack.add(Conv2D(filters, size, padding=settings.get("padding", "valid"), **settings.learning()))
    elif kind == "MaxPooling2D":
        pool, strides = settings.get("pool_size", 2), settings.get("strides", None)
        stack.add(MaxPooling2D(pool, strides, padding=settings.get("padding", "valid"), name=settings.name))
    elif kind == "Flatten":
        stack.add(Flatten(name=settings.name))
    elif kind == "Dense":
        stack.add(Dense(settings.number("units", int), **settings.learning()))
    elif kind == "Dropout":
        settings.must_be("noise_shape", (None,), "leave it out")
        stack.add(Dropout(float(settings.number("rate", float)), name=settings.name))
    elif kind == "Activation":
        stack.activate(settings.activation(), position)
    elif kind == "ReLU":
        settings.must_be("max_value", (None,), "use a plain ReLU")
        settings.must_be("negative_slope", (0,), "use a plain ReLU")
        settings.must_be("threshold", (0,), "use a plain ReLU")
        stack.activate("relu", position)
    elif kind == "Softmax":
        settings.must_be("axis", (-1, 1), "put it behind the last Dense layer")
        stack.activate("softmax", position)
    elif kind == "Rescaling":
        scale, offset = settings.number("scale", float), settings.get("offset", 0.0)
        if not isinstance(offset, int | float) or stack.layers or not is_pixel_scale(float(scale), float(offset)):
            raise NetworkError(
                "its Rescaling is not the division by 255 that digitlab does itself, at the beginning; train the "
                "network with pixels from 0 to 1."
            )
    else:
        raise lacking(kind, position=position)


def _reshape(stack: Stack, settings: Mapping[str, Any], input_shape: Shape | None) -> Shape | None:
    target = settings.get("target_shape")
    if isinstance(target, list) and len(target) == 1:
        stack.add(Flatten())
        return input_shape
    if not stack.layers and isinstance(target, list) and -1 not in target:
        # A row of pixels that is made an image: digitlab's networks take both.
        return _shape([None, *target], 1)
    raise NetworkError("its Reshape is not one to a row of features, or of the input to images; use Flatten.")
