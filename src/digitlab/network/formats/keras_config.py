"""A network from Keras' description of it, in the style of Keras 2, of Keras 3, or of TensorFlow.js.

By whitelist: a layer, and a setting that changes what it computes, is known here or refused by name. What only matters
for training (regularizers, constraints, seeds) is passed over. Nothing in a description is ever imported or called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.formats.stacking import Stack, is_pixel_scale, lacking
from digitlab.network.formats.untrusted import shown
from digitlab.network.layers import ACTIVATIONS, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Shape

__all__ = ["ForeignLayer", "ForeignStack", "read_keras_config"]

_MOST_LAYERS = 200
_INITIALIZERS = {"GlorotUniform": "glorot_uniform", "HeNormal": "he_normal", "Zeros": "zeros"}

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
        if layer_kind not in _READERS:
            raise lacking(layer_kind if layer_kind.isidentifier() else "unknown", position=position)
        try:
            if layer_kind == "Reshape":
                input_shape = _reshape(stack, settings, input_shape)
            else:
                _READERS[layer_kind](stack, _Settings(settings), position)
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


class _Settings:
    """The settings of one layer, asked for one by one."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def number(self, name: str, kind: type) -> Any:
        value = self.config.get(name)
        if isinstance(value, bool) or not isinstance(value, kind | int):
            raise NetworkError(f"its setting {name} is missing or not a number.")
        return value

    def pair(self, name: str, default: Any = None) -> Any:
        value = self.config.get(name, default)
        return tuple(value) if isinstance(value, list) else value

    def text(self, name: str, default: Any) -> Any:
        value = self.config.get(name)
        return default if value is None else value

    def must_be(self, name: str, allowed: tuple[Any, ...], advice: str) -> None:
        value = self.config.get(name)
        if value is not None and value not in allowed:
            found = value if isinstance(value, int | float | list) and len(str(value)) < 40 else shown(value)
            raise NetworkError(f"its {name} is {found}, and digitlab has only {allowed[0]}; {advice}.")

    def activation(self) -> str:
        value = self.text("activation", "linear")
        if value not in ACTIVATIONS:
            raise NetworkError(f"its activation {shown(value)} is not one that digitlab has; use relu or softmax.")
        return str(value)

    def initializer(self, name: str) -> str:
        # Only for who trains the network anew from other weights; one that digitlab lacks becomes Keras' default.
        value = self.config.get(name)
        kind = value.get("class_name") if isinstance(value, Mapping) else value
        default = "zeros" if name == "bias_initializer" else "glorot_uniform"
        return _INITIALIZERS.get(kind, default) if isinstance(kind, str) else default

    def common(self) -> dict[str, Any]:
        name = self.config.get("name")
        return {
            "name": name if isinstance(name, str) else "",
            "activation": self.activation(),
            "use_bias": self.text("use_bias", True),
            "kernel_initializer": self.initializer("kernel_initializer"),
            "bias_initializer": self.initializer("bias_initializer"),
        }

    @property
    def name(self) -> str:
        name = self.config.get("name")
        return name if isinstance(name, str) else ""


def _conv(stack: Stack, settings: _Settings, position: int) -> None:
    settings.must_be("strides", (1, [1, 1]), "use MaxPooling2D to make images smaller")
    settings.must_be("dilation_rate", (1, [1, 1]), "use a larger kernel")
    settings.must_be("groups", (1,), "use an ordinary Conv2D")
    settings.must_be("data_format", ("channels_last",), "build the network with channels last")
    stack.add(
        Conv2D(
            settings.number("filters", int),
            settings.pair("kernel_size"),
            padding=settings.text("padding", "valid"),
            **settings.common(),
        )
    )


def _pool(stack: Stack, settings: _Settings, position: int) -> None:
    settings.must_be("data_format", ("channels_last",), "build the network with channels last")
    stack.add(
        MaxPooling2D(
            settings.pair("pool_size", 2),
            settings.pair("strides"),
            padding=settings.text("padding", "valid"),
            name=settings.name,
        )
    )


def _dense(stack: Stack, settings: _Settings, position: int) -> None:
    stack.add(Dense(settings.number("units", int), **settings.common()))


def _flatten(stack: Stack, settings: _Settings, position: int) -> None:
    settings.must_be("data_format", ("channels_last",), "build the network with channels last")
    stack.add(Flatten(name=settings.name))


def _dropout(stack: Stack, settings: _Settings, position: int) -> None:
    settings.must_be("noise_shape", (None,), "leave it out")
    stack.add(Dropout(float(settings.number("rate", float)), name=settings.name))


def _activation(stack: Stack, settings: _Settings, position: int) -> None:
    stack.activate(settings.activation(), position)


def _relu(stack: Stack, settings: _Settings, position: int) -> None:
    settings.must_be("max_value", (None,), "use a plain ReLU")
    settings.must_be("negative_slope", (0,), "use a plain ReLU")
    settings.must_be("threshold", (0,), "use a plain ReLU")
    stack.activate("relu", position)


def _softmax(stack: Stack, settings: _Settings, position: int) -> None:
    settings.must_be("axis", (-1, 1), "put it behind the last Dense layer")
    stack.activate("softmax", position)


def _rescaling(stack: Stack, settings: _Settings, position: int) -> None:
    scale, offset = settings.number("scale", float), settings.text("offset", 0.0)
    if not isinstance(offset, int | float) or stack.layers or not is_pixel_scale(float(scale), float(offset)):
        raise NetworkError(
            "its Rescaling is not the division by 255 that digitlab does itself, at the beginning; train the network "
            "with pixels from 0 to 1."
        )


_READERS: dict[str, Callable[[Stack, _Settings, int], None]] = {
    "Activation": _activation,
    "Conv2D": _conv,
    "Dense": _dense,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "MaxPooling2D": _pool,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _flatten,
    "Softmax": _softmax,
}


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
