"""A network from Keras' description of it, in the style of Keras 2, of Keras 3, or of TensorFlow.js.

By whitelist: a layer, and a setting that changes what it computes, is known here or refused by name. What only matters
for training (regularizers, constraints, seeds) is passed over. Nothing in a description is ever imported or called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.formats.keras_layers import READERS, LayerSettings
from digitlab.network.formats.stacking import Stack, lacking
from digitlab.network.formats.untrusted import shown
from digitlab.network.layers import Flatten, Shape

__all__ = ["ForeignLayer", "ForeignStack", "read_keras_config"]

_MOST_LAYERS = 200

Config = Mapping[str, Any]


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


def read_keras_config(model: Config) -> ForeignStack:
    """Build a network from ``{"class_name": "Sequential", "config": {...}}``.

    Parameters
    ----------
    model : mapping
        A ``Sequential``, or a ``Functional`` whose layers follow one another.

    Returns
    -------
    ForeignStack
        Weights are in the order of the layers that learn: kernel, bias.

    Raises
    ------
    NetworkError
        If it is something else or holds a layer or setting that digitlab lacks; the message names it.
    """
    kind, config = model.get("class_name"), model.get("config")
    layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, Mapping) else None
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(layers, list):
        raise NetworkError(f"It should describe a Sequential network; it describes {shown(kind)}.")
    if len(layers) > _MOST_LAYERS:
        raise NetworkError(f"It has {len(layers)} layers; digitlab runs at most 64.")
    stack, foreign = Stack(), []
    input_shape: tuple[int, ...] | None = None
    before = ""
    for position, entry in enumerate(layers, start=1):
        layer_kind, settings = _entry(position, entry)
        name = str(settings.get("name") or entry.get("name") or "")
        if kind != "Sequential":
            _check_chain(entry, before, position)
        before = name
        if input_shape is None:
            input_shape = _batch_shape(settings, position)
        if layer_kind == "InputLayer":
            continue
        if layer_kind not in READERS and layer_kind != "Reshape":
            raise lacking(layer_kind, position=position)
        try:
            if layer_kind == "Reshape":
                input_shape = _reshape(stack, settings, input_shape)
            else:
                READERS[layer_kind](stack, LayerSettings(settings), position)
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


def _reshape(stack: Stack, settings: Config, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    target = settings.get("target_shape")
    if isinstance(target, list) and len(target) == 1:
        stack.add(Flatten())
        return input_shape
    if not stack.layers and isinstance(target, list) and -1 not in target:
        # A row of pixels that is made an image: digitlab's networks take both.
        return _shape([None, *target], 1)
    raise NetworkError("its Reshape is not one to a row of features, or of the input to images; use Flatten.")


def _entry(position: int, entry: Any) -> tuple[str, Config]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
        raise NetworkError(f"Layer {position} should be an object with a class_name.")
    settings = entry.get("config")
    if not isinstance(settings, Mapping):
        raise NetworkError(f"Layer {position} has no settings.")
    return entry["class_name"], settings


def _batch_shape(settings: Config, position: int) -> tuple[int, ...] | None:
    for key in ("batch_shape", "batch_input_shape"):
        if settings.get(key) is not None:
            return _shape(settings[key], position)
    return None


def _shape(shape: Any, position: int) -> tuple[int, ...] | None:
    if shape is None:
        return None
    inner = list(shape[1:]) if isinstance(shape, list | tuple) else []
    if len(inner) not in (1, 3) or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in inner):
        raise NetworkError(
            f"Layer {position}: its input must be images of a fixed size, (height, width, channels), or a row of "
            "features."
        )
    return tuple(inner)


def _check_chain(entry: Config, before: str, position: int) -> None:
    """Check that a layer of a functional model reads the layer before it, and nothing else."""
    nodes = entry.get("inbound_nodes")
    sources = _sources(nodes, 0)
    if sources != ([before] if before else []):
        raise NetworkError(
            f"Layer {position} does not follow the layer before it; digitlab runs layers one after the other."
        )


def _sources(nodes: Any, depth: int) -> list[str]:
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
