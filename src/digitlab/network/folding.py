"""Folding: a scale and an offset a channel, met while a file is read, become part of the layers around them.

Normalization with fixed statistics, the scale of pixels, and what PyTorch calls Normalize are one thing: an affine map
``y = x * factor + offset`` of every channel. It goes into the linear convolution or dense layer before it, or else into
the one behind it, or else becomes a 1 x 1 convolution. Every way gives the same answers, but for rounding to float32.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    Shape,
    ZeroPadding2D,
    activation_of,
    same_border,
)

# A layer that only scales has this many weights, squared.
_MOST_FEATURES = 2_048


@dataclass(frozen=True, eq=False)
class Affine:
    """``y = x * factor + offset`` along the last axis: float64 ``(channels,)``, or ``(1,)`` for all channels alike."""

    factor: NDArray[np.float64]
    offset: NDArray[np.float64]

    @classmethod
    def of(cls, factor: ArrayLike, offset: ArrayLike = 0.0) -> Affine:
        """Make one of numbers or rows of numbers."""
        factors, offsets = (np.atleast_1d(np.asarray(numbers, np.float64)) for numbers in (factor, offset))
        n = max(factors.size, offsets.size)
        return cls(np.broadcast_to(factors, (n,)), np.broadcast_to(offsets, (n,)))

    @classmethod
    def normalization(
        cls,
        mean: ArrayLike,
        variance: ArrayLike,
        epsilon: float = 0.0,
        gamma: ArrayLike | None = None,
        beta: ArrayLike | None = None,
    ) -> Affine:
        """Make the one of ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``; without gamma 1, beta 0."""
        means, variances = np.asarray(mean, np.float64), np.asarray(variance, np.float64)
        with np.errstate(all="ignore"):  # what is not finite is refused where the weights are checked
            factors = np.asarray(1.0 if gamma is None else gamma, np.float64) / np.sqrt(variances + epsilon)
            return cls.of(factors, np.asarray(0.0 if beta is None else beta, np.float64) - means * factors)

    def for_channels(self, n: int) -> Affine:
        """Return the same map with its numbers for each of ``n`` channels; NetworkError if it is one of others."""
        if self.factor.shape not in ((1,), (n,)):
            raise NetworkError(f"It scales {self.factor.size} channels where the layer before it gives {n}.")
        return Affine(np.broadcast_to(self.factor, (n,)), np.broadcast_to(self.offset, (n,)))

    def then(self, other: Affine) -> Affine:
        """Return what both do, this one first."""
        return Affine(self.factor * other.factor, self.offset * other.factor + other.offset)


#: A layer with its weights, in Keras' order and layout.
Weighted = tuple[Layer, tuple[NDArray[np.float32], ...]]


def folded(steps: Sequence[Weighted | Affine], input_shape: Shape) -> list[Weighted]:
    """Return layers that answer as these do, in this order, with the affine maps between them.

    ``input_shape`` is that of one image, ``(height, width, channels)`` or ``(features,)``.
    """
    done: list[Weighted] = []
    shapes = [input_shape]
    left = list(steps)
    with np.errstate(all="ignore"):
        while left:
            step = left.pop(0)
            if isinstance(step, Affine):
                affine = step.for_channels(shapes[-1][-1])
                if _goes_before(done, affine, shapes) or _goes_behind(left, affine, shapes[-1]):
                    continue
                step = _as_layer(affine, shapes[-1])
            done.append(step)
            shapes.append(step[0].output_shape(shapes[-1]))
    return done


def merged(steps: Sequence[Weighted]) -> list[Weighted]:
    """Return the same layers with activations that stand by themselves made part of the layer whose sums they are for.

    They may change places with max-pooling, since all of them rise. What cannot be merged stays as it is.
    """
    done: list[Weighted] = []
    for step in steps:
        name, below_zero = activation_of(step[0])
        by_itself = isinstance(step[0], Activation | LeakyReLU | ELU)
        if not by_itself or not (name == "linear" or _merge(done, name, below_zero)):
            done.append(step)
    return done


def _merge(done: list[Weighted], name: str, below_zero: float) -> bool:
    passable = (Dropout,) if name == "softmax" else (Dropout, Flatten, MaxPooling2D, GlobalMaxPooling2D)
    for j in reversed(range(len(done))):
        layer, weights = done[j]
        if isinstance(layer, Conv2D | Dense):
            if layer.activation == name == "relu":
                return True
            # Not LeakyReLU with a slope of its own, nor a softmax of maps.
            is_plain = activation_of(Activation(name)) == (name, below_zero)
            if layer.activation != "linear" or not is_plain or (name == "softmax" and isinstance(layer, Conv2D)):
                return False
            done[j] = dataclasses.replace(layer, activation=name), weights
            return True
        if not isinstance(layer, passable):
            return False
    return False


def rescaled(checkpoint: Checkpoint, factor: ArrayLike, offset: ArrayLike = 0.0) -> Checkpoint:
    """Return the network that answers an image ``x`` as this one answers ``x * factor + offset``, numbers or a channel.

    What resuming needs, ``extra``, is left out, because it belongs to the old weights.
    """
    network = checkpoint.architecture
    remaining = iter(checkpoint.weights)
    steps: list[Weighted | Affine] = [Affine.of(factor, offset)]
    for layer, shape in zip(network.layers, network.input_shapes, strict=True):
        steps.append((layer, tuple(next(remaining) for _ in layer.weight_shapes(shape))))
    left = folded(steps, network.input_shape)
    return Checkpoint(
        Architecture([layer for layer, _ in left], network.input_shape, network.name),
        tuple(array for _, arrays in left for array in arrays),
        checkpoint.class_names,
        checkpoint.metadata,
    )


def _goes_before(done: list[Weighted], affine: Affine, shapes: list[Shape]) -> bool:
    """Put a map into a linear layer of those before it, if that can be; ``shapes`` are those that go into them."""
    for j in reversed(range(len(done))):
        layer, weights = done[j]
        if isinstance(layer, Conv2D | Dense):
            if layer.activation != "linear":
                return False
            bias = weights[1] * affine.factor if layer.use_bias else 0.0
            done[j] = _with_bias(layer, weights[0] * affine.factor, bias + affine.offset)
            return True
        if isinstance(layer, Flatten):
            # Only if all places of a channel have the same numbers; features that differ go behind.
            factors, offsets = (a.reshape(-1, shapes[j][-1]) for a in (affine.factor, affine.offset))
            if (factors != factors[0]).any() or (offsets != offsets[0]).any():
                return False
            affine = Affine(factors[0], offsets[0])
        elif not _may_change_places(layer, affine):
            return False
    return False


def _goes_behind(left: list[Weighted | Affine], affine: Affine, shape: Shape) -> bool:
    """Put a map into the next layer with weights, if that can be; ``shape`` goes into the first of ``left``."""
    for j, step in enumerate(left):
        if isinstance(step, Affine):
            left[j] = affine.then(step.for_channels(shape[-1]))
            return True
        layer, weights = step
        if isinstance(layer, Conv2D | Dense):
            if isinstance(layer, Conv2D) and _has_border(layer, shape) and affine.offset.any():
                return False
            offsets = (weights[0] * affine.offset[:, None]).reshape(-1, weights[0].shape[-1])
            bias = weights[1] if layer.use_bias else 0.0
            left[j] = _with_bias(layer, weights[0] * affine.factor[:, None], bias + offsets.sum(axis=0))
            return True
        if isinstance(layer, Flatten):
            n_places = layer.output_shape(shape)[0] // shape[-1]
            affine = Affine(np.tile(affine.factor, n_places), np.tile(affine.offset, n_places))
        elif not _may_change_places(layer, affine):
            return False
        shape = layer.output_shape(shape)
    return False


def _may_change_places(layer: Layer, affine: Affine) -> bool:
    """Tell whether a layer and a map of its channels may be done in either order."""
    if isinstance(layer, MaxPooling2D | GlobalMaxPooling2D):
        return bool((affine.factor >= 0.0).all())
    if isinstance(layer, ZeroPadding2D):
        return not affine.offset.any()
    return isinstance(layer, Dropout | AveragePooling2D | GlobalAveragePooling2D)


def _has_border(layer: Conv2D, shape: Shape) -> bool:
    sizes = zip(shape, layer.kernel, layer.stride, strict=False)
    return layer.padding == "same" and any(
        window > 1 if size is None else any(same_border(size, window, step)) for size, window, step in sizes
    )


def _with_bias(layer: Conv2D | Dense, kernel: NDArray[np.float64], bias: ArrayLike) -> Weighted:
    biases = np.broadcast_to(bias, kernel.shape[-1:])
    if not layer.use_bias and not biases.any():
        return layer, (kernel.astype(np.float32),)
    return dataclasses.replace(layer, use_bias=True), (kernel.astype(np.float32), biases.astype(np.float32))


def _as_layer(affine: Affine, shape: Shape) -> Weighted:
    n = affine.factor.size
    if n > _MOST_FEATURES:
        what = "features" if len(shape) == 1 else "channels"
        raise NetworkError(f"It scales {n:,} {what} where no linear layer is beside them, which digitlab lacks.")
    layer: Layer = Conv2D(n, 1) if len(shape) == 3 else Dense(n)
    kernel = np.diag(affine.factor).reshape(layer.weight_shapes(shape)[0])
    return layer, (kernel.astype(np.float32), affine.offset.astype(np.float32))
