"""What one image costs in a network: multiply-adds, and the numbers that are kept.

A *multiply-add* is one weight times one input, added to a sum; that is nearly all of the arithmetic. Comparisons
(max-pooling, ReLU) and the softmax are not counted. Numbers are float32, four bytes each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Dense, Layer, Shape
from digitlab.text import size_text
from digitlab.values import Value

_BYTES = 4


@dataclass(frozen=True, slots=True)
class LayerCost(Value):
    """One layer and one image: weights, multiply-adds, and values that come out."""

    name: str
    kind: str
    n_parameters: int
    multiply_adds: int
    n_values: int


@dataclass(frozen=True, slots=True)
class Cost(Value):
    """A whole network and one image: sums over the layers; ``n_values`` counts the image's own values too."""

    name: str
    n_parameters: int
    multiply_adds: int
    n_values: int
    layers: tuple[LayerCost, ...]

    @property
    def weights_bytes(self) -> int:
        """Bytes of all weights."""
        return _BYTES * self.n_parameters

    @property
    def values_bytes(self) -> int:
        """Bytes of the image and all that the layers make of it."""
        return _BYTES * self.n_values

    @property
    def sentence(self) -> str:
        """What one image costs, for people."""
        return (
            f"{self.multiply_adds:,} multiply-adds for one answer, about 3 times as many to learn from it; the weights "
            f"take {size_text(self.weights_bytes)}, the image and what the layers make of it "
            f"{size_text(self.values_bytes)}"
        )


def multiply_adds(layer: Layer, input_shape: Shape) -> int:
    """Return the multiply-adds of one image in one layer; a border of zeros counts as pixels.

    >>> multiply_adds(Conv2D(8, 5), (28, 28, 1))
    115200
    >>> multiply_adds(Dense(10), (256,))
    2560
    """
    if isinstance(layer, Conv2D):
        height, width, filters = layer.output_shape(input_shape)
        return math.prod((height, width, filters, *layer.kernel, input_shape[2]))
    if isinstance(layer, Dense):
        return math.prod(input_shape) * layer.units
    return 0


def layer_cost(layer: Layer, input_shape: Shape) -> LayerCost:
    """Return what one image costs in one layer; NetworkError if the layer cannot take this input."""
    return LayerCost(
        name=layer.name,
        kind=type(layer).__name__,
        n_parameters=sum(map(math.prod, layer.weight_shapes(input_shape))),
        multiply_adds=multiply_adds(layer, input_shape),
        n_values=math.prod(layer.output_shape(input_shape)),
    )


def cost_of(architecture: Architecture) -> Cost:
    """Return what one image costs in a network.

    >>> from digitlab.network.zoo import architecture
    >>> cost = cost_of(architecture("codelab_cnn"))
    >>> cost.n_parameters, cost.multiply_adds
    (5994, 322560)
    """
    layers = tuple(map(layer_cost, architecture.layers, architecture.input_shapes))
    return Cost(
        name=architecture.name,
        n_parameters=sum(layer.n_parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        n_values=math.prod(architecture.input_shape) + sum(layer.n_values for layer in layers),
        layers=layers,
    )
