"""A network handed to Keras and taken from it, in memory or by a file; Keras is imported only by who asks for it."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.storage import reason_of, replacing, scratch
from digitlab.errors import ConfigError, NetworkError, StorageError
from digitlab.network.architecture import Architecture, named_weight_shapes
from digitlab.network.checkpoint import Checkpoint, save_checkpoint
from digitlab.network.formats.files import MODEL_JSON, MOST_WEIGHT_BYTES, read_whole, unusable
from digitlab.network.formats.hdf5 import Hdf5Error, Hdf5File
from digitlab.network.formats.keras import CONFIG, METADATA, WEIGHTS, weight_folders
from digitlab.network.formats.keras_walk import read_keras_config
from digitlab.network.layers import Conv2D, Dense
from digitlab.network.pixels import PIXELS, PixelScale, with_pixels
from digitlab.runs.listing import open_model

_WEIGHTS_ENDING = ".weights.h5"
_BACKENDS = ("tensorflow", "jax", "torch")


def keras_backend() -> str | None:
    """Return the backend that Keras will use: what ``KERAS_BACKEND`` says, or the first that is installed."""
    chosen = os.environ.get("KERAS_BACKEND")
    return chosen or next((name for name in _BACKENDS if find_spec(name) is not None), None)


def keras_network(model: Any) -> tuple[Architecture, list[NDArray[np.float32]]]:
    """Return the network and the weights of a built Keras model of layers that digitlab has, one after the other.

    Raises ``NetworkError`` if it is something else; the message names the layer.
    """
    kind = type(model).__name__
    if isinstance(model, type) or not hasattr(model, "get_config") or not hasattr(model, "get_weights"):
        raise NetworkError(f"from_keras takes a Keras model; got {kind}.")
    with warnings.catch_warnings():
        # Keras warns of code in a model that somebody might reload; here it is refused a line below.
        warnings.simplefilter("ignore", UserWarning)
        config = model.get_config()
    # Through JSON, because that turns Keras' tuples and settings into what a file would hold.
    description = json.loads(json.dumps({"class_name": kind, "config": config}, default=_plain))
    stack = read_keras_config(description)
    weights = [np.asarray(array, np.float32) for array in model.get_weights()]
    if [array.shape for array in weights] != [shape for layer in stack.learning for _, shape in layer.weights]:
        raise NetworkError(
            "The weights of the Keras model are not those of its layers; build it first, by an Input layer or by "
            "calling it once."
        )
    given = iter(weights)
    return stack.finish([[next(given) for _ in layer.weights] for layer in stack.learning])


def to_keras(network: Architecture, weights: list[NDArray[np.float32]]) -> Any:
    """Return a ``keras.Sequential`` of the same layers, names and weights, on whichever backend Keras uses."""
    backend = keras_backend()
    if backend is not None:
        os.environ.setdefault("KERAS_BACKEND", backend)
    try:
        import keras
    except ImportError as error:
        raise ConfigError(
            f"Keras cannot be used here ({error}). Install it with a backend: pip install keras jax"
        ) from None
    layers = [keras.Input(network.input_shape)]
    for layer in network.layers:
        settings = {name: value for name, value in dataclasses.asdict(layer).items() if value is not None}
        if isinstance(layer, Conv2D | Dense):
            settings["kernel_initializer"] = _initializer(keras, layer.kernel_initializer)
            settings["bias_initializer"] = _initializer(keras, layer.bias_initializer)
        layers.append(getattr(keras.layers, type(layer).__name__)(**settings))
    model = keras.Sequential(layers, name=_keras_name(network.name))
    model.set_weights(weights)
    return model


def save_model(model: Any, filepath: str | os.PathLike[str], overwrite: bool, pixels: PixelScale | None = None) -> None:
    """Write a ``Sequential`` as a file of the kind that its name says; ``pixels`` is what it learned from, if known."""
    metadata = {} if pixels is None else {PIXELS: pixels.text}
    path = _target(filepath, overwrite)
    if path.suffix.lower() == ".safetensors":
        weights = tuple(model.get_weights())
        save_checkpoint(path, Checkpoint(model.architecture, weights, model.class_names, metadata))
        return
    if path.suffix.lower() in (".h5", ".hdf5"):
        with _keras_archive(model) as archive:
            _put(path, _whole_h5(model, json.loads(archive.read(CONFIG)), json.loads(archive.read(METADATA))))
        return
    name = path.parent if path.name == MODEL_JSON else path
    kinds = {".keras": "keras", ".onnx": "onnx", "": "tfjs"}
    if name.suffix.lower() not in kinds:
        raise ConfigError(
            f"What kind of file is {path}? Name it {path.stem or 'model'}.keras or .h5 for Keras, .onnx for "
            "onnxruntime, .safetensors for digitlab, or without an ending: a folder for TensorFlow.js."
        )
    kind = kinds[name.suffix.lower()]
    if kind == "onnx" and pixels is not None:
        # Such a file takes bytes and divides them; what the network learned from besides becomes a part of it.
        checkpoint = with_pixels(Checkpoint(model.architecture, tuple(model.get_weights()), model.class_names), pixels)
        model, metadata = type(model).from_checkpoint(checkpoint), checkpoint.metadata
    _export(model, name, kind, metadata)


def save_weights(model: Any, filepath: str | os.PathLike[str], overwrite: bool) -> None:
    """Write the weights of a ``Sequential`` as Keras 3 does."""
    path = _target(filepath, overwrite)
    if not path.name.endswith(_WEIGHTS_ENDING):
        raise ConfigError(
            f"A file of weights ends in {_WEIGHTS_ENDING}; name it {path.name.split('.')[0]}{_WEIGHTS_ENDING}. The "
            'whole model is written by save("model.keras").'
        )
    with _keras_archive(model) as archive:
        _put(path, archive.read(WEIGHTS))


def _whole_h5(model: Any, config: dict[str, Any], metadata: dict[str, Any]) -> bytes:
    """Return the older format of Keras: the description as an attribute, and the weights by the names of the layers."""
    import h5py  # what the archive was written with

    network: Architecture = model.architecture
    arrays = dict(zip(named_weight_shapes(network), model.get_weights(), strict=True))
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        described = {name: config[name] for name in ("class_name", "config")}
        file.attrs["model_config"] = json.dumps(described, separators=(",", ":"))
        group = file.create_group("model_weights")
        for one in (file, group):
            one.attrs["keras_version"], one.attrs["backend"] = metadata["keras_version"], "tensorflow"
        group.attrs["layer_names"] = np.array([layer.name for layer in network.layers], "S")
        for layer in network.layers:
            names = [name for name in arrays if name.startswith(f"{layer.name}/")]
            inner = group.create_group(layer.name)
            inner.attrs["weight_names"] = np.array(names, "S")
            for name in names:
                inner.create_dataset(name, data=arrays[name])
    return memory.getvalue()


def weights_in(network: Architecture, filepath: str | os.PathLike[str]) -> list[NDArray[np.float32]]:
    """Return the weights for a network that a file of Keras 3, or any model file, holds."""
    path = _path(filepath)
    if not path.name.endswith(_WEIGHTS_ENDING):
        return list(open_model(path).weights)
    arrays = []
    try:
        file = Hdf5File(read_whole(path, MOST_WEIGHT_BYTES))
        folders = weight_folders(type(layer).__name__ for layer in network.layers)
        for layer, shape, folder in zip(network.layers, network.input_shapes, folders, strict=True):
            arrays += [file.array(f"{folder}/{i}", one) for i, one in enumerate(layer.weight_shapes(shape))]
    except Hdf5Error as error:
        raise unusable(path, f"{error} It must be of this network, {network.name}, saved by Keras 3.") from None
    return arrays


@contextmanager
def _keras_archive(model: Any) -> Iterator[zipfile.ZipFile]:
    """Yield the ``.keras`` file of a model, read back and found right."""
    with scratch() as folder:
        _export(model, folder / "model.keras", "keras")
        with zipfile.ZipFile(folder / "model.keras") as archive:
            yield archive


def _put(path: Path, content: bytes) -> None:
    try:
        with replacing(path) as file:
            file.write(content)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be written: {reason_of(error)}. Choose another place.") from error


def _export(model: Any, path: Path, kind: str, metadata: Mapping[str, str] | None = None) -> None:
    # The verb stands above the engine; it is called through the front door, as a user would.
    import digitlab

    model = copy(model)
    model.forget_scale()  # it is asked here for bytes, whatever it learned from
    digitlab.export(model, path, format=kind, ask_runtimes=False, metadata=metadata)


def _path(filepath: Any) -> Path:
    if not isinstance(filepath, str | os.PathLike):
        raise ConfigError(f'A file is a name such as "model.keras" or a path; got {filepath!r:.80}.')
    return Path(filepath)


def _target(filepath: Any, overwrite: bool) -> Path:
    path = _path(filepath)
    if not overwrite and os.path.lexists(path):
        raise StorageError(f"{path} exists and overwrite is False; choose another name.")
    return path


def _initializer(keras: Any, name: str) -> Any:
    # Keras' "variance_scaling" has the settings that digitlab's has; the others have no settings.
    return keras.initializers.VarianceScaling() if name == "variance_scaling" else name


def _keras_name(name: str) -> str:
    return name.replace("/", "_")


def _plain(value: Any) -> Any:
    # A dtype policy, an initializer: nothing that read_keras_config looks at.
    return {"class_name": type(value).__name__}
