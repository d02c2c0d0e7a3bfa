"""TensorFlow.js layers models: ``model.json`` with the topology, and binary files with the weights beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import ConfigError, NetworkError, RunError
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import (
    MODEL_JSON,
    MOST_JSON_BYTES,
    MOST_WEIGHT_BYTES,
    checkpoint_in,
    parse_json,
    read_whole,
    shown,
    unusable,
)
from digitlab.network.formats.keras_config import is_keras_config
from digitlab.network.formats.keras_walk import Arrays, ForeignStack, read_keras_config
from digitlab.network.layers import are_counts

#: By name: how a weight is stored.
QUANTIZATIONS: dict[str, str] = {"uint8": "<u1", "uint16": "<u2", "float16": "<f2"}
_BY_KERAS = "If you have the original, save it as .keras: Keras answers with layers that digitlab lacks."
_MOST_SHARDS = 1_000
_MOST_WEIGHTS = 1_000
# What a shard may be called: nothing that leads out of the folder, on any system.
_SHARD = re.compile(r"(\./)?[A-Za-z0-9_][A-Za-z0-9_. -]{0,199}(/[A-Za-z0-9_][A-Za-z0-9_. -]{0,199}){0,4}")


@dataclass(frozen=True)
class _Stored:
    name: str
    shape: tuple[int, ...]
    quantization: Mapping[str, Any] | None

    @property
    def n_bytes(self) -> int:
        dtype = "<f4" if self.quantization is None else QUANTIZATIONS[self.quantization["dtype"]]
        return math.prod(self.shape) * np.dtype(dtype).itemsize


def is_layers_model(path: Path) -> bool:
    """Tell whether a JSON file is a TensorFlow.js model, or Keras' part of one, and no description of digitlab's."""
    try:
        document = parse_json(path, read_whole(path, MOST_JSON_BYTES), "it")
    except RunError:
        return False
    return "modelTopology" in document or "weightsManifest" in document or is_keras_config(document)


def read_tfjs(path: Path) -> Checkpoint:
    """Read a TensorFlow.js layers model that anybody may have written: ``model.json``, or the folder with it."""
    if path.is_dir():
        path = path / MODEL_JSON
    document = parse_json(path, read_whole(path, MOST_JSON_BYTES), "it")
    try:
        stack = _topology(document)
        stored = _manifest(document)
        n_left = stack.n_parameters
        arrays: dict[str, NDArray[np.float32]] = {}
        for paths, weights in stored:
            # Of all groups together: a file may name the same shard a thousand times.
            n_left -= sum(math.prod(weight.shape) for weight in weights)
            if n_left < 0:
                raise RunError(f"it holds more weights than the {stack.n_parameters:,} of its network.")
            content = _shards(path, paths, sum(weight.n_bytes for weight in weights))
            for weight in weights:
                chunk, content = content[: weight.n_bytes], content[weight.n_bytes :]
                numbers = (
                    np.frombuffer(bytes(chunk), "<f4").astype(np.float32)
                    if weight.quantization is None
                    else dequantized(bytes(chunk), weight.quantization)
                )
                arrays[weight.name] = numbers.reshape(weight.shape)
        network, ordered = stack.finish(_ordered(stack, arrays))
    except NetworkError as error:
        # Code in a file is not run by Keras either.
        step = "" if "runs no code" in str(error) else f" {_BY_KERAS}"
        raise unusable(path, f"{error}{step}") from None
    except RunError as error:
        text = str(error)
        raise (error if text.startswith(("The model ", "There is no ")) else unusable(path, text)) from None
    told = document.get("userDefinedMetadata")
    told = told if isinstance(told, Mapping) else {}
    return checkpoint_in(path, network, ordered, told.get("class_names"), told.get("digitlab"), stack.tells_pixels)


def _topology(document: Mapping[str, Any]) -> ForeignStack:
    kind = document.get("format", "layers-model")
    topology = document.get("modelTopology")
    if kind == "graph-model" or (isinstance(topology, Mapping) and "node" in topology):
        raise RunError(
            "it is a graph model, which holds operations instead of layers. Convert the original as a layers model "
            "(tfjs_layers_model)."
        )
    if is_keras_config(document):
        raise RunError(
            "it is what Keras' model.to_json() writes: a network without weights. In Keras: model = "
            "keras.models.model_from_json(open('model.json').read()), then model.load_weights(...) with the file of "
            "its weights, and model.save('model.keras')."
        )
    if not isinstance(topology, Mapping):
        raise RunError("it is not a TensorFlow.js layers model: it has no modelTopology. Name the right model.json.")
    inner = topology.get("model_config", topology)
    if not isinstance(inner, Mapping):
        raise RunError("its modelTopology is damaged. Save the model again.")
    return read_keras_config(inner)


def _manifest(document: Mapping[str, Any]) -> list[tuple[list[str], list[_Stored]]]:
    groups = document.get("weightsManifest")
    if not isinstance(groups, list):
        raise RunError("it has no weightsManifest, so that it is a network without weights. Save the model again.")
    read = []
    for group in groups:
        paths, weights = (group.get("paths"), group.get("weights")) if isinstance(group, Mapping) else (None, None)
        if not isinstance(paths, list) or not isinstance(weights, list) or len(paths) > _MOST_SHARDS:
            raise RunError("its weightsManifest is damaged. Save the model again.")
        if len(weights) > _MOST_WEIGHTS:
            raise RunError(f"it lists {len(weights):,} weights, too many for a network of digitlab.")
        for shard in paths:
            if not isinstance(shard, str) or not _SHARD.fullmatch(shard):
                raise RunError(
                    f"its weights should be in files beside it, and {shown(shard)} is no name of one. "
                    "Copy the model's files into one folder."
                )
        read.append((paths, [_stored(weight) for weight in weights]))
    return read


def _stored(weight: Any) -> _Stored:
    if not isinstance(weight, Mapping) or not isinstance(weight.get("name"), str):
        raise RunError("its weightsManifest is damaged. Save the model again.")
    name, shape, quantization = weight["name"], weight.get("shape"), weight.get("quantization")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 4 or not are_counts(shape, MOST_WEIGHT_BYTES):
        raise RunError(f"the shape of its weight {shown(name)} cannot be one of a layer.")
    if weight.get("dtype") != "float32":
        raise RunError(f"its weight {shown(name)} is {shown(weight.get('dtype'))}; digitlab's are float32.")
    if quantization is not None:
        kind = quantization.get("dtype") if isinstance(quantization, Mapping) else None
        if not isinstance(kind, str) or kind not in QUANTIZATIONS:
            raise RunError(f"its weight {shown(name)} is quantized in another way than {', '.join(QUANTIZATIONS)}.")
    return _Stored(name, tuple(shape), quantization)


def _shards(path: Path, shards: list[str], n_bytes: int) -> memoryview:
    parts, missing = [], n_bytes
    for shard in shards:
        parts.append(read_whole(path.parent / shard, max(0, missing), folder=path.parent))
        missing -= len(parts[-1])
    if missing:
        raise unusable(path, f"its weights are cut short: {missing:,} bytes are missing from {', '.join(shards)}.")
    return memoryview(b"".join(parts))


def _ordered(stack: ForeignStack, arrays: Mapping[str, NDArray[np.float32]]) -> list[Arrays]:
    """Return the arrays of every layer, found by the last two words of their names: layer/part."""
    by_place = {"/".join(name.split(":")[0].split("/")[-2:]): array for name, array in arrays.items()}
    ordered: list[Arrays] = []
    for layer in stack.learning:
        found = []
        for part, shape in layer.weights:
            place = f"{layer.name}/{part}"
            array = by_place.pop(place, None)
            if array is None:
                raise RunError(f"the weight {shown(place)} of its network is missing.")
            if array.shape != shape:
                raise RunError(f"the weight {shown(place)} should have the shape {shape}; it has {array.shape}.")
            found.append(array)
        ordered.append(found)
    if by_place:
        raise RunError(f"it holds a weight {shown(next(iter(by_place)))} that its network does not have.")
    return ordered


def quantized(weights: NDArray[np.float32], kind: str) -> tuple[bytes, dict[str, Any]]:
    """Return weights in fewer bits, little endian in C order, and how to read them: ``dtype``, ``min`` and ``scale``.

    The whole numbers are affine: ``weight = scale * number + min``, one scale and min an array, chosen so that zero
    stays exactly zero where the weights have both signs (Jacob et al. 2018, equation 1).

    >>> content, description = quantized(np.array([-1, 0, 1.55], np.float32), "uint8")
    >>> list(content), {key: round(value, 4) for key, value in description.items() if key != "dtype"}
    ([0, 100, 255], {'min': -1.0, 'scale': 0.01})
    """
    if kind not in QUANTIZATIONS:
        raise ConfigError(f"Weights can be stored as {', '.join(QUANTIZATIONS)}, not as {kind!r}.")
    if kind == "float16":
        largest = float(np.abs(weights).max(initial=0.0))
        if largest > float(np.finfo(np.float16).max):
            raise ConfigError(f"A weight of {largest:g} does not fit into float16; choose uint16.")
        return weights.astype("<f2").tobytes(), {"dtype": kind}
    most = np.iinfo(QUANTIZATIONS[kind]).max
    low, high = float(weights.min(initial=0.0)), float(weights.max(initial=0.0))
    scale = (high - low) / most or 1.0
    # The bounds above include zero, and it shall be one of the steps.
    low = -round(-low / scale) * scale
    numbers = np.clip(np.round((weights.astype(np.float64) - low) / scale), 0, most)
    return numbers.astype(QUANTIZATIONS[kind]).tobytes(), {"dtype": kind, "min": low, "scale": scale}


def dequantized(content: bytes, description: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return the weights that ``quantized`` stored, of a known ``dtype``, as a row of float32."""
    numbers = np.frombuffer(content, QUANTIZATIONS[description["dtype"]])
    if numbers.dtype.kind == "f":
        return numbers.astype(np.float32)
    affine = [description.get(name) for name in ("min", "scale")]
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v) for v in affine):
        raise RunError("its quantized weights lack a min or scale. Save the model again.")
    low, scale = np.array(affine, np.float64)
    with np.errstate(over="ignore"):
        return np.asarray(numbers * scale + low, np.float32)
