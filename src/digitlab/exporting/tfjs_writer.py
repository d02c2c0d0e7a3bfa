"""TensorFlow.js layers models, as @tensorflow/tfjs 4 loads them: Keras-2 style, ``model.json`` and shards of 4 MiB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from digitlab import __version__
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.quantization import quantized
from digitlab.network.formats.tfjs import MODEL_JSON
from digitlab.network.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D

__all__ = ["write_tfjs"]

# Browsers keep files of up to this size in their cache.
_SHARD_BYTES = 4 * 2**20
_KERAS_VERSION = "2.15.0"  # whose style the topology has


def write_tfjs(checkpoint: Checkpoint, folder: Path, quantize: str | None = None) -> None:
    """Write a model into a new folder.

    Parameters
    ----------
    checkpoint : Checkpoint
        Dropout is left out: it does nothing when images are answered.
    folder : Path
        It must not exist.
    quantize : {"uint8", "uint16", "float16"}, optional
        Fewer bits a weight.
    """
    network = checkpoint.architecture
    specs: list[dict[str, Any]] = []
    content = bytearray()
    arrays = iter(checkpoint.weights)
    for layer, shape in zip(network.layers, network.input_shapes, strict=True):
        for part, array in zip(("kernel", "bias"), (next(arrays) for _ in layer.weight_shapes(shape)), strict=False):
            spec: dict[str, Any] = {"name": f"{layer.name}/{part}", "shape": list(array.shape), "dtype": "float32"}
            if quantize is None:
                content += array.astype("<f4").tobytes()
            else:
                stored, spec["quantization"] = quantized(array, quantize)
                content += stored
            specs.append(spec)
    shards = [bytes(content[start : start + _SHARD_BYTES]) for start in range(0, len(content), _SHARD_BYTES)]
    names = [f"group1-shard{i}of{len(shards)}.bin" for i in range(1, len(shards) + 1)]
    kept = [layer for layer in network.layers if not isinstance(layer, Dropout)]
    layers = [_layer(layer) for layer in kept]
    layers[0]["config"]["batch_input_shape"] = [None, *network.input_shape]
    document = {
        "format": "layers-model",
        "generatedBy": f"digitlab {__version__}",
        "convertedBy": None,
        "modelTopology": {
            "keras_version": _KERAS_VERSION,
            "backend": "tensorflow",
            "model_config": {"class_name": "Sequential", "config": {"name": network.name, "layers": layers}},
        },
        "weightsManifest": [{"paths": names, "weights": specs}],
        "userDefinedMetadata": {"class_names": list(checkpoint.class_names), "digitlab": checkpoint.metadata},
    }
    folder.mkdir()
    for name, shard in zip(names, shards, strict=True):
        (folder / name).write_bytes(shard)
    (folder / MODEL_JSON).write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _layer(layer: Layer) -> dict[str, Any]:
    config: dict[str, Any] = {"name": layer.name, "dtype": "float32"}
    if isinstance(layer, Conv2D):
        config |= {
            "filters": layer.filters,
            "kernel_size": list(layer.kernel),
            "strides": [1, 1],
            "padding": layer.padding,
            "data_format": "channels_last",
            "dilation_rate": [1, 1],
            "activation": layer.activation,
            "use_bias": layer.use_bias,
        }
    elif isinstance(layer, MaxPooling2D):
        config |= {
            "pool_size": list(layer.pool),
            "strides": list(layer.stride),
            "padding": layer.padding,
            "data_format": "channels_last",
        }
    elif isinstance(layer, Flatten):
        config |= {"data_format": "channels_last"}
    elif isinstance(layer, Dense):
        config |= {"units": layer.units, "activation": layer.activation, "use_bias": layer.use_bias}
    return {"class_name": type(layer).__name__, "config": config}
