"""The engine's arithmetic once more in plain NumPy, float64: an oracle that is written to be believed, not to be fast.

Maps are float64 ``(n, height, width, channels)`` and rows of features ``(n, features)``. Weights are a list in Keras'
order and layout. Finite differences in ``test_gradients.py`` show that the oracle's own gradients are right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.network import (
    Architecture,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ZeroPadding2D,
)
from digitlab.network.layers import Layer, activation_of

Array = NDArray[np.float64]


def bordered(x: Array, window: Sequence[int], strides: Sequence[int], padding: str, value: float = 0.0) -> Array:
    """Add the border of ``same``; the larger half of an odd one stands below and to the right."""
    if padding == "valid":
        return x
    extra = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(x.shape[1:], window, strides, strict=False)]
    sizes = [(n // 2, n - n // 2) for n in extra[:2]]
    return np.pad(x, [(0, 0), *sizes, (0, 0)], constant_values=value)


def _taps(x: Array, kernel: Sequence[int], strides: Sequence[int]) -> list[tuple[tuple[int, int], tuple[slice, ...]]]:
    """Every tap of a kernel, and which pixels it meets."""
    height, width = ((x.shape[i + 1] - kernel[i]) // strides[i] * strides[i] + 1 for i in (0, 1))
    return [
        ((ky, kx), np.s_[:, ky : ky + height : strides[0], kx : kx + width : strides[1]])
        for ky, kx in np.ndindex(*kernel[:2])
    ]


def convolve(
    x: Array, kernel: Array, bias: ArrayLike = 0.0, padding: str = "valid", strides: Sequence[int] = (1, 1)
) -> Array:
    """Return the sums before the activation."""
    x = bordered(x, kernel.shape, strides, padding)
    return sum(x[pixels] @ kernel[tap] for tap, pixels in _taps(x, kernel.shape, strides)) + np.asarray(bias)


def kernel_gradient(
    x: Array, dz: Array, shape: tuple[int, ...], padding: str = "valid", strides: Sequence[int] = (1, 1)
) -> Array:
    """Return the gradient of a kernel of that shape from the gradient of its sums."""
    x, gradient = bordered(x, shape, strides, padding), np.zeros(shape)
    for tap, pixels in _taps(x, shape, strides):
        gradient[tap] = np.einsum("nyxc,nyxf->cf", x[pixels], dz)
    return gradient


def input_gradient(
    x_shape: tuple[int, ...], kernel: Array, dz: Array, padding: str = "valid", strides: Sequence[int] = (1, 1)
) -> Array:
    """Return the gradient of what a convolution read."""
    inside = bordered(np.ones(x_shape), kernel.shape, strides, padding) == 1.0
    dx = np.zeros(inside.shape)
    for tap, pixels in _taps(dx, kernel.shape, strides):
        dx[pixels] += dz @ kernel[tap].T
    return dx[inside].reshape(x_shape)


def windows(x: Array, layer: Layer) -> tuple[Array, Array]:
    """Return the windows of a pooling, (n, out height, out width, pixels of a window, channels), in reading order.

    And where each of their pixels stands in an image without channels; of what is beyond the image, NaN and -1.
    """
    window, strides, padding = x.shape[1:3], x.shape[1:3], "valid"
    if isinstance(layer, MaxPooling2D | AveragePooling2D):
        window, strides, padding = layer.pool, layer.stride, layer.padding
    places = np.arange(x.shape[1] * x.shape[2], dtype=np.float64).reshape(1, *x.shape[1:3], 1)
    x = bordered(x, window, strides, padding, np.nan)
    places = bordered(places, window, strides, padding, -1.0)
    taps = _taps(x, window, strides)
    return np.stack([x[p] for _, p in taps], axis=3), np.stack([places[p] for _, p in taps], axis=3).astype(np.int64)


def pool(x: Array, layer: Layer) -> Array:
    """Return the largest value of every window, or their mean."""
    is_max = isinstance(layer, MaxPooling2D | GlobalMaxPooling2D)
    return (np.nanmax if is_max else np.nanmean)(windows(x, layer)[0], axis=3)


def pool_gradient(x: Array, layer: Layer, dy: Array) -> Array:
    """Give every gradient to the first of the window's largest values, or to all of them in equal parts."""
    values, places = windows(x, layer)
    places = np.broadcast_to(places, values.shape)
    is_inside = places >= 0
    if isinstance(layer, MaxPooling2D | GlobalMaxPooling2D):
        first = np.where(is_inside, values, -np.inf).argmax(axis=3)
        shares = (np.arange(values.shape[3])[:, None] == first[:, :, :, None]).astype(np.float64)
    else:
        shares = is_inside / is_inside.sum(axis=3, keepdims=True)
    dx = np.zeros((len(x), x.shape[1] * x.shape[2], x.shape[3]))
    images, channels = (np.broadcast_to(axis, values.shape) for axis in np.indices(values.shape, sparse=True)[::4])
    given = shares * dy.reshape(values[:, :, :, 0].shape)[:, :, :, None]
    np.add.at(dx, (images[is_inside], places[is_inside], channels[is_inside]), given[is_inside])
    return dx.reshape(x.shape)


def activated(z: Array, layer: Layer) -> Array:
    """Return a layer's activation of its sums; of a softmax, nothing is done here."""
    name, below = activation_of(layer)
    if name in ("linear", "softmax"):
        return z
    if name in ("relu", "leaky_relu"):
        return np.where(z > 0.0, z, below * z)
    if name == "elu":
        return np.where(z > 0.0, z, below * np.expm1(np.minimum(z, 0.0)))
    return np.exp(-np.logaddexp(0.0, -z)) if name == "sigmoid" else np.tanh(z)


def slope(z: Array, layer: Layer) -> Array:
    """Return the activation's derivative at these sums."""
    name, below = activation_of(layer)
    if name in ("linear", "softmax"):
        return np.ones(z.shape)
    if name in ("relu", "leaky_relu"):
        return np.where(z > 0.0, 1.0, below)
    if name == "elu":
        return np.where(z > 0.0, 1.0, below * np.exp(np.minimum(z, 0.0)))
    y = activated(z, layer)
    return y * (1.0 - y) if name == "sigmoid" else 1.0 - y * y


POOLINGS = (MaxPooling2D, AveragePooling2D, GlobalMaxPooling2D, GlobalAveragePooling2D)


def softmax(logits: Array) -> Array:
    """Return probabilities."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def sums(
    architecture: Architecture, weights: Sequence[ArrayLike], images: ArrayLike
) -> list[tuple[Layer, Array, Array]]:
    """Return every layer with its input and its output before the activation; dropout does nothing."""
    x = np.asarray(images, np.float64).reshape(-1, *architecture.input_shape)
    remaining = [np.asarray(w, np.float64) for w in weights]
    found = []
    for layer, shape in zip(architecture.layers, architecture.shapes, strict=True):
        z = x
        if isinstance(layer, Conv2D):
            kernel, bias = remaining.pop(0), remaining.pop(0) if layer.use_bias else 0.0
            z = convolve(x, kernel, bias, layer.padding, layer.stride)
        elif isinstance(layer, Dense):
            z = x @ remaining.pop(0) + (remaining.pop(0) if layer.use_bias else 0.0)
        elif isinstance(layer, POOLINGS):
            z = pool(x, layer)
        elif isinstance(layer, ZeroPadding2D):
            z = np.pad(x, [(0, 0), *layer.sides, (0, 0)])
        z = z.reshape(-1, *shape)
        found.append((layer, x, z))
        x = activated(z, layer)
    return found


def forward(architecture: Architecture, weights: Sequence[ArrayLike], images: ArrayLike) -> list[Array]:
    """Return the input and the output of every layer, of the last one the logits."""
    layers = sums(architecture, weights, images)
    return [layers[0][1], *(activated(z, layer) for layer, _, z in layers)]


def loss(
    architecture: Architecture, weights: Sequence[ArrayLike], images: ArrayLike, labels: NDArray[np.int64]
) -> float:
    """Return the mean cross-entropy in nats."""
    z = forward(architecture, weights, images)[-1]
    largest = z.max(axis=1)
    totals = np.log(np.exp(z - largest[:, None]).sum(axis=1))
    return float((totals + largest - z[np.arange(len(labels)), labels]).mean())


def gradients(
    architecture: Architecture, weights: Sequence[ArrayLike], images: ArrayLike, labels: NDArray[np.int64]
) -> list[Array]:
    """Return the gradients of the mean cross-entropy, in the order and layout of the weights."""
    layers = sums(architecture, weights, images)
    d = (softmax(layers[-1][2]) - np.eye(architecture.n_classes)[labels]) / len(labels)
    remaining, found = [np.asarray(w, np.float64) for w in weights], []
    for layer, x, z in reversed(layers):
        if isinstance(layer, Dropout):
            raise NotImplementedError("the oracle does not draw the engine's random numbers")
        d = d.reshape(z.shape) * slope(z, layer)
        if isinstance(layer, Conv2D | Dense):
            if layer.use_bias:
                remaining.pop()
                found.append(d.reshape(-1, d.shape[-1]).sum(axis=0))
            kernel = remaining.pop()
            if isinstance(layer, Conv2D):
                found.append(kernel_gradient(x, d, kernel.shape, layer.padding, layer.stride))
                d = input_gradient(x.shape, kernel, d, layer.padding, layer.stride)
            else:
                found.append(x.T @ d)
                d = d @ kernel.T
        elif isinstance(layer, POOLINGS):
            d = pool_gradient(x, layer, d)
        elif isinstance(layer, ZeroPadding2D):
            (top, _), (left, _) = layer.sides
            d = d[:, top : top + x.shape[1], left : left + x.shape[2]]
    return found[::-1]
