"""Architecture: a stack of layers with its shapes, parameters, summary and JSON form; no weights, no arithmetic."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.storage import parse_json, read_ordinary, reason_of
from digitlab.errors import NetworkError, did_you_mean
from digitlab.network.layers import LAYERS, Conv2D, Layer, Shape, activation_of, are_counts, initialize, settings_of
from digitlab.values import Value

_LONGEST_NAME = 100
_MOST_LAYERS = 64
_MOST_PARAMETERS = 50_000_000
_MOST_VALUES = 16_777_216
_MOST_JSON_BYTES = 1_000_000
_LAYER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class SummaryRow(Value):
    """One line of the summary; the batch dimension of ``output_shape`` is left out."""

    name: str
    kind: str
    output_shape: Shape
    n_parameters: int
    trainable: bool


@dataclass(frozen=True)
class Architecture:
    """A stack of layers.

    Parameters
    ----------
    layers : sequence of Layer
        From input to output; layers without a name get Keras' (``conv2d``, ``conv2d_1`` ...).
    input_shape : tuple of int
        ``(height, width, channels)`` of one image, or ``(features,)``. ``(None, None, channels)`` for a network that
        takes images of any size and answers with maps; its last layer is Conv2D.
    name : str
        What people call it.

    Raises
    ------
    NetworkError
        If the layers do not fit together; the message names the layer.
    """

    layers: tuple[Layer, ...]
    input_shape: Shape = (28, 28, 1)
    name: str = "sequential"

    def __init__(
        self, layers: Sequence[Layer], input_shape: Sequence[int | None] = (28, 28, 1), name: str = "sequential"
    ) -> None:
        if not isinstance(layers, Sequence):
            raise NetworkError("A network is made from a list of layers; put them in square brackets.")
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= _LONGEST_NAME:
            raise NetworkError(f"A network's name has 1 to {_LONGEST_NAME} printable characters; got {name!r}.")
        shape: Shape = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
        sizes = shape[2:] if len(shape) == 3 and shape[:2] == (None, None) else shape
        if len(shape) not in (1, 3) or not are_counts(sizes):
            raise NetworkError(
                f"input_shape must be (height, width, channels), (None, None, channels) or (features,); "
                f"got {input_shape!r}."
            )
        if math.prod(sizes) > _MOST_VALUES:
            raise NetworkError(f"An input can have at most {_MOST_VALUES:,} values; input_shape {shape} has more.")
        if not layers:
            raise NetworkError("A network needs at least one layer; the last one is Dense with a softmax.")
        if len(layers) > _MOST_LAYERS:
            raise NetworkError(f"A network can have at most {_MOST_LAYERS} layers; got {len(layers)}.")
        for layer in layers:
            if type(layer) not in LAYERS.values():
                raise NetworkError(
                    f"{type(layer).__name__} is not a layer that digitlab runs; use one of {', '.join(LAYERS)}."
                )
        object.__setattr__(self, "layers", named(layers))
        object.__setattr__(self, "input_shape", shape)
        object.__setattr__(self, "name", name)
        self._check()

    def _check(self) -> None:
        for position, (layer, shape) in enumerate(zip(self.layers, self.shapes, strict=True), start=1):
            if None not in shape and math.prod(shape) > _MOST_VALUES:
                sentence = f"an output of shape {shape} is too large; it can have at most {_MOST_VALUES:,} values."
                raise NetworkError(sentence, layer=position, name=layer.name)
            if activation_of(layer)[0] == "softmax" and position < len(self.layers):
                sentence = 'softmax belongs in the last layer only; use "relu" or "linear".'
                raise NetworkError(sentence, layer=position, name=layer.name, field="activation")
        if self.answers_maps and not isinstance(self.layers[-1], Conv2D):
            raise NetworkError(
                f"A network for images of any size answers with maps, and its last layer is Conv2D; this ends in "
                f"{self.layers[-1].name}."
            )
        if self.n_parameters > _MOST_PARAMETERS:
            raise NetworkError(
                f"A network can have at most {_MOST_PARAMETERS:,} parameters; this has {self.n_parameters:,}."
            )

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Output shape of every layer, without the batch."""
        shapes = [self.input_shape]
        for position, layer in enumerate(self.layers, start=1):
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except NetworkError as error:
                raise NetworkError(str(error), layer=position, name=layer.name, field=error.field) from None
        return tuple(shapes[1:])

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Input shape of every layer, without the batch."""
        return (self.input_shape, *self.shapes[:-1])

    @property
    def answers_maps(self) -> bool:
        """Whether it takes images of any size and answers with maps, not with the probabilities of classes."""
        return None in self.input_shape

    @property
    def n_classes(self) -> int:
        """Number of classes that the last layer tells apart; a NetworkError if it does not end in a softmax."""
        last = self.layers[-1]
        if self.answers_maps:
            raise NetworkError(
                f"{self.name} answers images of any size with maps, not one digit with probabilities; use a network "
                'that ends in Dense with activation="softmax" for that.'
            )
        if activation_of(last)[0] != "softmax":
            raise NetworkError(
                f'The last layer must be Dense with activation="softmax", or Activation("softmax"), to give '
                f"probabilities; it is {last.name}.",
                field="activation",
            )
        return int(self.shapes[-1][0])

    @property
    def weight_shapes(self) -> tuple[Shape, ...]:
        """Shapes of all weights in Keras' order: kernel, bias, layer by layer."""
        return tuple(named_weight_shapes(self).values())

    @property
    def n_parameters(self) -> int:
        """Number of weights that training may change."""
        return sum(math.prod(shape) for shape in self.weight_shapes)

    def initial_weights(self, seed: int) -> list[NDArray[np.float32]]:
        """Draw all weights, in Keras' order and layout; the same for the same seed, a whole number from 0."""
        if seed < 0:
            raise NetworkError(f"The seed of the initial weights must be a whole number of at least 0; got {seed}.")
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(0,)))
        weights = []
        for layer, input_shape in zip(self.layers, self.input_shapes, strict=True):
            names = (getattr(layer, "kernel_initializer", ""), getattr(layer, "bias_initializer", ""))
            for name, shape in zip(names, layer.weight_shapes(input_shape), strict=False):
                weights.append(initialize(name, shape, rng))
        return weights

    def summary(self) -> tuple[SummaryRow, ...]:
        """Return the table *Layer Name | Output Shape | # Of Params | Trainable*, a row a layer."""
        return tuple(
            SummaryRow(
                name=layer.name,
                kind=type(layer).__name__,
                output_shape=shape,
                n_parameters=sum(math.prod(w) for w in layer.weight_shapes(input_shape)),
                trainable=True,
            )
            for layer, shape, input_shape in zip(self.layers, self.shapes, self.input_shapes, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: name, input shape and every layer's settings."""
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "layers": [{"class_name": type(layer).__name__} | settings_of(layer) for layer in self.layers],
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Architecture:
        """Build a network from its JSON form; a NetworkError names what is missing, unknown or of the wrong kind."""
        if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
            raise NetworkError('A network\'s JSON form is an object with "layers", a list; this is not one.')
        input_shape = config.get("input_shape", [28, 28, 1])
        if not isinstance(input_shape, list | tuple):
            raise NetworkError(f"input_shape must be a list of whole numbers; got {input_shape!r}.")
        layers = [_layer_from_dict(i, entry) for i, entry in enumerate(config["layers"], start=1)]
        return cls(layers, input_shape, config.get("name", "sequential"))


def named_weight_shapes(network: Architecture) -> dict[str, Shape]:
    """Return the shapes of all weights in Keras' order by name, such as ``conv2d/kernel``."""
    return {
        f"{layer.name}/{part}": shape
        for layer, input_shape in zip(network.layers, network.input_shapes, strict=True)
        for part, shape in zip(("kernel", "bias"), layer.weight_shapes(input_shape), strict=False)
    }


def _layer_from_dict(position: int, entry: Any) -> Layer:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
        raise NetworkError(f'Layer {position} must be an object with a "class_name".')
    kind = entry["class_name"]
    if kind not in LAYERS:
        hint = did_you_mean(kind, LAYERS)
        raise NetworkError(f"Layer {position}: digitlab has no layer {kind!r}.{hint} It runs {', '.join(LAYERS)}.")
    settings: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in entry.items() if key != "class_name"
    }
    known = dataclasses.fields(LAYERS[kind])
    unknown = sorted(map(str, set(settings) - {field.name for field in known}))
    if unknown:
        names = ", ".join(field.name for field in known)
        raise NetworkError(f"Layer {position}, {kind}: unknown setting {unknown[0]!r}; it has {names}.")
    for field in known:
        if field.default is dataclasses.MISSING and field.name not in settings:
            raise NetworkError(f"Layer {position}, {kind}: its setting {field.name!r} is missing; give it a value.")
    try:
        return LAYERS[kind](**settings)
    except NetworkError as error:
        raise NetworkError(f"Layer {position}, {kind}: {error}") from None


def is_name(name: object) -> bool:
    """Tell whether a layer can have this name."""
    return isinstance(name, str) and _LAYER_NAME.fullmatch(name) is not None


def stem_of(kind: str) -> str:
    """Return what Keras calls layers of a class, before it counts them.

    >>> stem_of("Conv2D"), stem_of("MaxPooling2D")
    ('conv2d', 'max_pooling2d')
    """
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", kind)).lower()


def named(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers, each with a name of its own: those that are given, and Keras' for the others.

    >>> from digitlab.network.layers import Dense
    >>> [layer.name for layer in named([Dense(8), Dense(10)])]
    ['dense', 'dense_1']
    """
    given = [layer.name for layer in layers if layer.name != ""]
    for position, name in enumerate(given):
        if not is_name(name):
            raise NetworkError(
                f"A layer's name has 1 to 64 letters, digits and underscores and begins with a letter; got {name!r}."
            )
        if name in given[:position]:
            raise NetworkError(f"Two layers are called {name!r}; every layer needs a name of its own.")
    counts: Counter[str] = Counter()
    names = []
    for layer in layers:
        name, stem = layer.name, stem_of(type(layer).__name__)
        while not name or (layer.name == "" and name in given):
            name = f"{stem}_{counts[stem]}" if counts[stem] else stem
            counts[stem] += 1
        names.append(name)
    return tuple(dataclasses.replace(layer, name=name) for layer, name in zip(layers, names, strict=True))


def read_network(path: Path) -> Architecture:
    """Read a network's JSON form of at most 1 MB from a file that anybody may have written; errors name the file."""
    try:
        return Architecture.from_dict(parse_json(read_ordinary(path, _MOST_JSON_BYTES)))
    except FileNotFoundError:
        raise NetworkError(f"There is no file {path}. Check the name and the folder.") from None
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise NetworkError(
            f"{path} cannot be read as a network's JSON form: {reason_of(error)}. A network's to_dict() shows what it "
            "looks like."
        ) from None
