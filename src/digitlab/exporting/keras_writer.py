"""``.keras`` files as Keras 3 loads them, written without Keras: a zip of two JSON documents and the weights."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from digitlab.errors import ConfigError
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.keras_archive import CONFIG, METADATA, WEIGHTS, weight_folders
from digitlab.network.formats.keras_config import ForeignLayer
from digitlab.network.layers import Conv2D, Flatten, Layer, MaxPooling2D, Shape

__all__ = ["write_keras"]

_KERAS_VERSION = "3.10.0"  # the oldest whose files look like this
_INITIALIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "glorot_uniform": ("GlorotUniform", {"seed": None}),
    "he_normal": ("HeNormal", {"seed": None}),
    "zeros": ("Zeros", {}),
    "variance_scaling": (
        "VarianceScaling",
        {"scale": 1.0, "mode": "fan_in", "distribution": "truncated_normal", "seed": None},
    ),
}


def write_keras(checkpoint: Checkpoint, path: Path) -> None:
    """Write a ``.keras`` file; equal checkpoints give equal bytes.

    Raises
    ------
    ConfigError
        If the package ``h5py`` is not installed.
    """
    network = checkpoint.architecture
    layers = [_layer(layer, shape) for layer, shape in zip(network.layers, network.input_shapes, strict=True)]
    batch_shape = [None, *network.input_shape]
    name = "images"
    while any(layer.name == name for layer in network.layers):
        name += "_"
    first = _object("keras.layers", "InputLayer", {"batch_shape": batch_shape, "dtype": "float32", "name": name})
    config = _object(
        "keras",
        "Sequential",
        {
            "name": network.name.replace("/", "_"),
            "trainable": True,
            "layers": [first, *layers],
            "build_input_shape": batch_shape,
        },
    )
    metadata = {
        "keras_version": _KERAS_VERSION,
        "class_names": list(checkpoint.class_names),
        "digitlab": checkpoint.metadata,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (
            (METADATA, json.dumps(metadata).encode()),
            (CONFIG, json.dumps(config).encode()),
            (WEIGHTS, _weights(checkpoint)),
        ):
            # With a date of its own, because equal content shall be equal bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def _weights(checkpoint: Checkpoint) -> bytes:
    try:
        import h5py
    except ImportError:
        raise ConfigError(
            'Writing .keras files needs the package h5py. Install it: pip install "digitlab[export]"'
        ) from None
    network = checkpoint.architecture
    foreign = [ForeignLayer(type(layer).__name__, layer.name, learns=False) for layer in network.layers]
    arrays = iter(checkpoint.weights)
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for layer, shape, folder in zip(network.layers, network.input_shapes, weight_folders(foreign), strict=True):
            group = file.create_group(folder)
            group.attrs["name"] = layer.name
            for i in range(len(layer.weight_shapes(shape))):
                group.create_dataset(str(i), data=next(arrays))
    return memory.getvalue()


def _layer(layer: Layer, shape: Shape) -> dict[str, Any]:
    config: dict[str, Any] = {
        key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(layer).items()
    }
    config |= {"trainable": True, "dtype": "float32"}
    for part in ("kernel_initializer", "bias_initializer"):
        if part in config:
            config[part] = _object("keras.initializers", *_INITIALIZERS[config[part]])
    if isinstance(layer, Conv2D | MaxPooling2D | Flatten):
        config["data_format"] = "channels_last"
    return _object("keras.layers", type(layer).__name__, config) | {"build_config": {"input_shape": [None, *shape]}}


def _object(module: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}
