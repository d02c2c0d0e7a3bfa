"""Shares: what every image of a batch gives to the gradient of a weight, product by product.

The engine sums gradients and keeps none of the parts, so the way of the batch is gone once more here, in float64 and as
it is while training, with what dropout left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.dropout import factors
from digitlab.engine.images import Images
from digitlab.explanation.inside import Floats, Step, backward, softmax, through, windowed
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Layer
from digitlab.values import Value

Float32s = NDArray[np.float32]

#: An error is how the loss changes with a sum of the layer.
GRADIENT_FORMULA = "gradient = input × error of the sum, summed over positions and images"

# Numbers of the largest layer's windows that are in memory at a time, and of a layer's inputs and errors that are kept.
_MOST_WINDOWS, _MOST_KEPT = 4_000_000, 16_000_000


@dataclass(frozen=True, slots=True)
class Share(Value):
    """What one image, by its place in the batch, gives to a gradient: a sum of products, one a position."""

    image: int
    share: float


@dataclass(frozen=True, slots=True)
class Product(Value):
    """One product of an image's share: the input at a position, times the error of the sum there."""

    place: tuple[int, ...]
    value: float
    error: float
    product: float


@dataclass(frozen=True, eq=False)
class BatchWay:
    """The images of a step, and their way through the network as it was before the step."""

    network: Architecture
    weights: list[Float32s]
    given: Images
    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    smoothing: float
    salt: int
    dropouts: NDArray[np.void]
    gradients: Float32s
    #: Inputs and errors of the layer that was asked for last.
    _kept: dict[int, tuple[Float32s, Float32s]] = field(default_factory=dict)

    def answers(self) -> tuple[Floats, Floats]:
        """Return probabilities (n, n_classes) and losses (n,)."""
        probabilities, losses = [], []
        for chosen, steps in self._ways():
            sums = _last_sums(steps)
            largest = sums.max(axis=1)
            totals = np.log(np.exp(sums - largest[:, None]).sum(axis=1)) + largest
            losses.append(totals - sums[np.arange(len(sums)), self.labels[chosen]])
            probabilities.append(softmax(sums))
        return np.concatenate(probabilities), np.concatenate(losses)

    def shares(self, layer: Layer, position: int, index: tuple[int, ...]) -> Floats:
        """Return what every image gives to a weight's gradient, float64 (n,)."""
        shares = []
        for inputs, errors in self._errors(position):
            values, own = _factors_of(layer, index, inputs, errors)
            shares.append((values * own).reshape(len(own), -1).sum(axis=1))
        return np.concatenate(shares)

    def products(self, layer: Layer, position: int, index: tuple[int, ...], image: int) -> list[Product]:
        """Return the products that an image's share of a weight's gradient is the sum of, the largest first."""
        kept = self._kept.get(position)
        if kept is not None:
            inputs, errors = (each[image : image + 1].astype(np.float64) for each in kept)
        else:
            ((chosen, steps),) = self._ways(image)
            inputs, errors = steps[position][2], self._errors_of(chosen, steps, position)
        values, own = (each[0] for each in _factors_of(layer, index, inputs, errors))
        found = [
            Product(tuple(map(int, place)), float(values[place]), float(own[place]), float(values[place] * own[place]))
            for place in np.ndindex(own.shape)
        ]
        return sorted(found, key=lambda product: -abs(product.product))

    def _errors(self, position: int) -> Iterator[tuple[Floats, Floats]]:
        """Give inputs and errors of the sums of a layer, some images at a time, in their order."""
        kept = self._kept.get(position)
        if kept is not None:
            yield kept[0].astype(np.float64), kept[1].astype(np.float64)
            return
        found: list[tuple[Float32s, Float32s]] = []
        n_kept = 0
        for chosen, steps in self._ways():
            errors, inputs = self._errors_of(chosen, steps, position), steps[position][2]
            n_kept += inputs.size + errors.size
            found = [*found, (inputs.astype(np.float32), errors.astype(np.float32))] if n_kept <= _MOST_KEPT else []
            yield inputs, errors
        if n_kept <= _MOST_KEPT:
            self._kept.clear()
            self._kept[position] = np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    def _errors_of(self, chosen: NDArray[np.int64], steps: list[Step], position: int) -> Floats:
        n_classes = self.network.n_classes
        truth = np.full((len(chosen), n_classes), self.smoothing / n_classes)
        truth[np.arange(len(chosen)), self.labels[chosen]] += 1.0 - self.smoothing
        return backward(steps, (softmax(_last_sums(steps)) - truth) / len(self.labels), position)

    def _ways(self, image: int | None = None) -> Iterator[tuple[NDArray[np.int64], list[Step]]]:
        """Send the images through the network, so many at a time as fit; or one of them."""
        network, n = self.network, len(self.labels)
        largest = 1
        for layer, shape, out in zip(network.layers, network.input_shapes, network.shapes, strict=True):
            window = math.prod(layer.kernel) * shape[-1] if isinstance(layer, Conv2D) else 1
            largest = max(largest, math.prod(shape), math.prod(out[:2] if len(out) == 3 else out) * window)
        size = max(1, _MOST_WINDOWS // largest)
        scale = 255.0 if len(self.given.as_bytes) else 1.0
        masks = [factors(op, self.salt, n) for op in self.dropouts]
        parts = [np.arange(first, min(n, first + size)) for first in range(0, n, size)]
        for chosen in parts if image is None else [np.array([image])]:
            pixels = (self.given.pixels[chosen] / scale).astype(np.float64).reshape(-1, *network.input_shape)
            yield chosen, through(network, self.weights, pixels, [mask[chosen] for mask in masks])


def _last_sums(steps: list[Step]) -> Floats:
    return np.asarray(steps[-1][3])


def _factors_of(layer: Layer, index: tuple[int, ...], inputs: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """Return what a weight is multiplied by at every position of every image, and the errors of the sums there."""
    own = errors[..., index[-1]]
    if len(index) == 1:
        return np.ones_like(own), own
    if isinstance(layer, Conv2D):
        return windowed(layer, inputs, 0.0)[..., index[0], index[1], index[2]], own
    return inputs[..., index[0]], own
