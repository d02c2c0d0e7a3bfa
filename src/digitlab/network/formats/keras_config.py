"""Keras' descriptions of networks, of Keras 1 to 3 and TensorFlow.js: their layers in order, and what these say.

Nothing in a description is ever imported or called. What its layers mean here, ``keras_walk`` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.formats.files import shown
from digitlab.network.layers import Shape, are_counts

#: What Keras calls a network of layers.
MODELS = ("Sequential", "Functional", "Model")
#: Layers of a network, with those of the networks in it; and how deep those are.
MOST_LAYERS, MOST_NESTED = 200, 4
#: Values of one image on its way.
MOST_VALUES = 2**24
#: MNIST's images, for networks that take any size.
_USUAL_SIZE = 28
_INITIALIZERS = {"GlorotUniform": "glorot_uniform", "HeNormal": "he_normal", "Zeros": "zeros"}
_SAVED_AS_OBJECTS = ("__numpy__", "__tensor__", "__tuple__", "TensorShape")


def is_keras_config(document: Any) -> bool:
    """Tell whether JSON is what ``model.to_json()`` of Keras writes."""
    return isinstance(document, Mapping) and document.get("class_name") in MODELS and "config" in document


def _layers_of(model: Mapping[str, Any]) -> list[Any]:
    kind, config = model.get("class_name"), model.get("config")
    layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, Mapping) else None
    if kind not in MODELS:
        raise NetworkError(f"It should describe a Sequential network; it describes {shown(kind)}.")
    if not isinstance(layers, list):
        raise NetworkError("It should list the layers of its network. Save the model again.")
    if len(layers) > MOST_LAYERS:
        raise NetworkError(f"It has {len(layers)} layers; digitlab runs at most 64.")
    return layers


def input_shape(model: Mapping[str, Any], depth: int) -> Shape:
    """Return the shape of one image as the first layer that says it has it."""
    layers, config = _layers_of(model), model.get("config")
    found: Any = None
    for entry in layers:
        settings = entry.get("config") if isinstance(entry, Mapping) else None
        if not isinstance(settings, Mapping | list):
            continue
        if entry.get("class_name") in MODELS and depth < MOST_NESTED:
            try:
                return input_shape(entry, depth + 1)
            except NetworkError:
                continue
        if not isinstance(settings, Mapping):
            continue
        found = settings.get("batch_shape") or settings.get("batch_input_shape")
        if found is not None:
            break
    if found is None and isinstance(config, Mapping):
        found = config.get("build_input_shape")
    for one in (model, *layers[:1]) if found is None else ():
        built = one.get("build_config") if isinstance(one, Mapping) else None
        found = found or (built.get("input_shape") if isinstance(built, Mapping) else None)
    if found is None:
        raise NetworkError("It does not say what shape its images have; build the model before saving it.")
    found = _plain(found)
    inner = list(found[1:]) if isinstance(found, list) else []
    if len(inner) > 1:
        # A network for images of any size is one for MNIST's, too.
        inner = [_USUAL_SIZE if n is None else n for n in inner]
    if len(inner) not in (1, 2, 3) or not are_counts(inner, MOST_VALUES) or math.prod(inner) > MOST_VALUES:
        raise NetworkError(
            "The shape of its input must be that of images of a fixed size, (height, width, channels) or (height, "
            "width), or of a row of features."
        )
    return tuple(inner)


def in_order(model: Mapping[str, Any]) -> list[Any]:
    """Return the layers from the input on; those of a functional model may be listed in any order."""
    layers = _layers_of(model)
    if model.get("class_name") == "Sequential":
        return layers
    behind: dict[str, Any] = {}
    for position, entry in enumerate(layers, start=1):
        if not isinstance(entry, Mapping):
            raise NetworkError(f"Layer {position} should be an object with a class_name.")
        sources = _sources(entry.get("inbound_nodes"), 0)
        source = sources[0] if sources else ""
        if len(sources) > 1 or source in behind:
            raise NetworkError(
                f"Layer {position} does not follow the layer before it; digitlab runs layers one after the other."
            )
        behind[source] = entry
    ordered, name = [], ""
    while name in behind:
        entry = behind.pop(name)
        ordered.append(entry)
        name = name_of(entry)
    config = model["config"]
    outputs = config.get("output_layers") if isinstance(config, Mapping) else None
    ends = outputs if isinstance(outputs, list) and outputs and isinstance(outputs[0], list) else [outputs]
    if behind or (outputs and (len(ends) > 1 or not isinstance(ends[0], list) or ends[0][:1] != [name])):
        raise NetworkError("Its layers do not follow one another; digitlab runs layers one after the other.")
    return ordered


def _sources(nodes: Any, depth: int) -> list[str]:
    """Return the names of the layers that a layer of a functional model reads."""
    if depth > 8:
        return ["..."] * 2
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


def name_of(entry: Mapping[str, Any]) -> str:
    settings = entry.get("config")
    name = (settings.get("name") if isinstance(settings, Mapping) else None) or entry.get("name")
    return name if isinstance(name, str) else ""


class Settings:
    """The settings of one layer, asked for one by one; another value than those that digitlab knows is refused.

    ``old`` is what Keras 1 and 2 called one.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        name = config.get("name")
        self.name = name if isinstance(name, str) else ""

    def get(self, name: str, default: Any, old: str = "") -> Any:
        value = self.config.get(name)
        value = _plain(self.config.get(old) if value is None else value)
        return default if value is None else _tupled(value)

    def number(self, name: str, kind: type, default: Any = None, old: str = "") -> Any:
        value = self.get(name, default, old)
        if isinstance(value, bool) or not isinstance(value, kind | int):
            raise NetworkError(f"its setting {name} is missing or not a number.")
        return value

    def numbers(self, name: str, default: Any = None) -> NDArray[np.float64]:
        """Return a number, or one a channel."""
        value = self.get(name, default)
        while isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], tuple):
            value = value[0]
        row = value if isinstance(value, tuple) else (value,)
        if not 1 <= len(row) <= 65_536 or any(isinstance(n, bool) or not isinstance(n, int | float) for n in row):
            raise NetworkError(f"its setting {name} is missing or not a number.")
        return np.array(row, np.float64)

    def must_be(self, name: str, allowed: tuple[Any, ...], advice: str) -> None:
        value = _plain(self.config.get(name))
        if value is not None and value not in allowed:
            found = value if isinstance(value, int | float | list) and len(str(value)) < 40 else shown(value)
            raise NetworkError(f"its {name} is {found}, and digitlab has only {allowed[0]}; {advice}.")

    @property
    def channels_first(self) -> bool:
        """Whether its images are ``(channels, height, width)``."""
        value = self.get("data_format", "channels_last", old="dim_ordering")
        if value not in ("channels_last", "channels_first", "tf", "th", "default"):
            raise NetworkError(f"its data_format {shown(value)} is not one that Keras has.")
        return value in ("channels_first", "th")

    def learning(self) -> dict[str, Any]:
        """What convolutions and dense layers have in common."""
        settings: dict[str, Any] = {"name": self.name, "use_bias": self.get("use_bias", True, old="bias")}
        self.must_be("quantization_config", (None,), "save it before it is quantized")
        for name, old, default in (
            ("kernel_initializer", "init", "glorot_uniform"),
            ("bias_initializer", "", "zeros"),
        ):
            # Only for who trains the network anew from other weights; one that digitlab lacks becomes Keras' default.
            value = self.config.get(name, self.config.get(old))
            kind = value.get("class_name") if isinstance(value, Mapping) else value
            settings[name] = _INITIALIZERS.get(kind, default) if isinstance(kind, str) else default
        return settings


def _plain(value: Any) -> Any:
    """Return a number or row that was saved as an array, a tensor or a shape as it is."""
    if isinstance(value, Mapping) and value.get("class_name") in _SAVED_AS_OBJECTS:
        inner = value.get("config")
        return inner.get("value") if isinstance(inner, Mapping) else value.get("items")
    return value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(entry) for entry in value) if isinstance(value, list) else value
