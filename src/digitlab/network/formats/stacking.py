"""A stack of layers as other programs describe it: activations and pixels' scale come as layers of their own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D
from digitlab.network.naming import is_name

__all__ = ["Stack", "is_pixel_scale", "lacking"]

_SCALE_TOLERANCE = 1e-6
_LARGEST_INPUT = 2**24
_LONGEST_KIND = 60

#: What to use instead of what digitlab lacks; the names are Keras' and ONNX's.
_INSTEAD = {
    "Activation": "relu inside the network and softmax at its end",
    "AveragePool": "max pooling",
    "AveragePooling2D": "MaxPooling2D",
    "BatchNormalization": "a network without it, or one whose normalization was folded into the layer before",
    "DepthwiseConv2D": "Conv2D",
    "ELU": "ReLU",
    "GlobalAveragePool": "flattening",
    "GlobalAveragePooling2D": "Flatten",
    "GlobalMaxPooling2D": "MaxPooling2D and Flatten",
    "LeakyReLU": "ReLU",
    "LeakyRelu": "ReLU",
    "PReLU": "ReLU",
    "SeparableConv2D": "Conv2D",
    "Sigmoid": "ReLU, or softmax at the end",
    "SpatialDropout2D": "Dropout",
    "Tanh": "ReLU",
}


def lacking(kind: str, *, position: int) -> NetworkError:
    """Return the error for a layer that digitlab does not have, with what to use instead."""
    kind = kind if kind.replace(".", "").isidentifier() and len(kind) <= _LONGEST_KIND else "something unknown"
    if "Lambda" in kind:
        why = "it is code, and digitlab runs no code from a file. Express it with other layers."
    elif kind in _INSTEAD:
        why = f"digitlab does not have it; use {_INSTEAD[kind]}."
    else:
        why = "digitlab does not have it. It runs Conv2D, MaxPooling2D, Flatten, Dropout, Dense, relu and softmax."
    return NetworkError(f"Layer {position} is {kind}: {why}")


def is_pixel_scale(scale: float, offset: float = 0.0) -> bool:
    """Tell whether this is what digitlab does to pixels of 0 to 255 itself: dividing by 255."""
    return abs(scale * 255.0 - 1.0) <= _SCALE_TOLERANCE and offset == 0.0


class Stack:
    """Layers that are added one by one.

    Attributes
    ----------
    layers : list of Layer
        So far; names that digitlab does not allow are left out.
    """

    def __init__(self) -> None:
        self.layers: list[Layer] = []

    def add(self, layer: Layer) -> None:
        """Add a layer; its name is kept if it can be."""
        taken = {other.name for other in self.layers}
        if not is_name(layer.name) or layer.name in taken:
            layer = dataclasses.replace(layer, name="")
        self.layers.append(layer)

    def activate(self, activation: str, position: int) -> None:
        """Add an activation that stands by itself, by making it part of the layer whose sums it is for.

        Max-pooling and ReLU may change places, since ReLU is monotonic.

        Raises
        ------
        NetworkError
            If there is no such layer.
        """
        if activation == "linear":
            return
        passable = (MaxPooling2D, Flatten, Dropout) if activation == "relu" else (Dropout,)
        for i in reversed(range(len(self.layers))):
            layer = self.layers[i]
            if isinstance(layer, Conv2D | Dense) and layer.activation in ("linear", activation):
                self.layers[i] = dataclasses.replace(layer, activation=activation)
                return
            if not isinstance(layer, passable):
                break
        raise NetworkError(
            f"Layer {position} is a {activation} that does not follow a linear Conv2D or Dense; "
            "in digitlab an activation belongs to one of these."
        )

    def finish(self, input_shape: Sequence[int], name: str) -> Architecture:
        """Return the network; one that ends in logits gets a softmax, which changes no answer.

        Raises
        ------
        NetworkError
            If the layers do not fit together.
        """
        last = self.layers[-1] if self.layers else None
        if isinstance(last, Dense) and last.activation == "linear":
            self.layers[-1] = dataclasses.replace(last, activation="softmax")
        shape = tuple(input_shape)
        # Before anything multiplies them: a file may say 10**18.
        if not shape or math.prod(shape) > _LARGEST_INPUT:
            raise NetworkError(f"Its input shape {shape} cannot be one of images.")
        usable = isinstance(name, str) and name.isprintable() and 1 <= len(name) <= 100
        architecture = Architecture(self.layers, shape, name if usable else "sequential")
        architecture.n_classes  # noqa: B018 - says so if the network does not end in probabilities
        return architecture
