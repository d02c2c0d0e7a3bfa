"""The engine's arithmetic once more in plain NumPy, float64: an oracle that is written to be believed, not to be fast.

Maps are float64 ``(n, height, width, channels)`` and rows of features ``(n, features)``. Weights are a list in Keras'
order and layout. Finite differences in ``test_gradients.py`` show that the oracle's own gradients are right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.network import Architecture, Conv2D, Dense, Dropout, MaxPooling2D

Array = NDArray[np.float64]


def bordered(x: Array, kernel: Sequence[int], padding: str, value: float = 0.0) -> Array:
    """Add the border of a ``same`` convolution; an even kernel has the larger half of it below and to the right."""
    if padding == "valid":
        return x
    sizes = [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in kernel[:2]]
    return np.pad(x, [(0, 0), *sizes, (0, 0)], constant_values=value)


def convolve(x: Array, kernel: Array, bias: ArrayLike = 0.0, padding: str = "valid") -> Array:
    """Return the sums before the activation."""
    x = bordered(x, kernel.shape, padding)
    height, width = x.shape[1] - kernel.shape[0] + 1, x.shape[2] - kernel.shape[1] + 1
    taps = np.ndindex(*kernel.shape[:2])
    return sum(x[:, ky : ky + height, kx : kx + width] @ kernel[ky, kx] for ky, kx in taps) + np.asarray(bias)


def kernel_gradient(x: Array, dz: Array, shape: tuple[int, ...], padding: str = "valid") -> Array:
    """Return the gradient of a kernel of that shape from the gradient of its sums."""
    x, gradient = bordered(x, shape, padding), np.zeros(shape)
    for ky, kx in np.ndindex(*shape[:2]):
        window = x[:, ky : ky + dz.shape[1], kx : kx + dz.shape[2]]
        gradient[ky, kx] = np.einsum("nyxc,nyxf->cf", window, dz)
    return gradient


def input_gradient(x_shape: tuple[int, ...], kernel: Array, dz: Array, padding: str = "valid") -> Array:
    """Return the gradient of what a convolution read."""
    dx = bordered(np.zeros(x_shape), kernel.shape, padding)
    for ky, kx in np.ndindex(*kernel.shape[:2]):
        dx[:, ky : ky + dz.shape[1], kx : kx + dz.shape[2]] += dz @ kernel[ky, kx].T
    if padding == "valid":
        return dx
    top, left = (kernel.shape[0] - 1) // 2, (kernel.shape[1] - 1) // 2
    return dx[:, top : top + x_shape[1], left : left + x_shape[2]]


def _windows(x: Array, layer: MaxPooling2D) -> tuple[Array, tuple[int, int]]:
    # (n, out height, out width, window, channels), windows in reading order, and the border at the top left.
    n, height, width, channels = x.shape
    out = layer.output_shape(x.shape[1:])
    need = [(out[i] - 1) * layer.stride[i] + layer.pool[i] - (height, width)[i] for i in (0, 1)]
    before = [max(0, extra) // 2 if layer.padding == "same" else 0 for extra in need]
    sizes = [(b, max(0, extra) - b) for b, extra in zip(before, need, strict=True)]
    x = np.pad(x, [(0, 0), *sizes, (0, 0)], constant_values=-np.inf)
    windows = np.empty((n, *out[:2], layer.pool[0] * layer.pool[1], channels))
    for y, column in np.ndindex(*out[:2]):
        top, left = y * layer.stride[0], column * layer.stride[1]
        windows[:, y, column] = x[:, top : top + layer.pool[0], left : left + layer.pool[1]].reshape(n, -1, channels)
    return windows, (before[0], before[1])


def pool(x: Array, layer: MaxPooling2D) -> Array:
    """Return the largest value of every window."""
    return _windows(x, layer)[0].max(axis=3)


def pool_gradient(x: Array, layer: MaxPooling2D, dy: Array) -> Array:
    """Give every gradient to the first of the window's largest values."""
    windows, (top, left) = _windows(x, layer)
    winners = windows.argmax(axis=3)
    dx = np.zeros(x.shape)
    for n, y, column, c in np.ndindex(*dy.shape):
        row, across = divmod(int(winners[n, y, column, c]), layer.pool[1])
        dx[n, y * layer.stride[0] - top + row, column * layer.stride[1] - left + across, c] += dy[n, y, column, c]
    return dx


def softmax(logits: Array) -> Array:
    """Return probabilities."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def forward(architecture: Architecture, weights: Sequence[ArrayLike], images: ArrayLike) -> list[Array]:
    """Return the input and the output of every layer, of the last one the logits; dropout does nothing."""
    values = [np.asarray(images, np.float64).reshape(-1, *architecture.input_shape)]
    remaining = [np.asarray(w, np.float64) for w in weights]
    for layer, shape in zip(architecture.layers, architecture.shapes, strict=True):
        x = values[-1]
        if isinstance(layer, Conv2D):
            x = convolve(x, remaining.pop(0), remaining.pop(0) if layer.use_bias else 0.0, layer.padding)
        elif isinstance(layer, Dense):
            x = x @ remaining.pop(0) + (remaining.pop(0) if layer.use_bias else 0.0)
        elif isinstance(layer, MaxPooling2D):
            x = pool(x, layer)
        x = np.maximum(x, 0.0) if getattr(layer, "activation", "linear") == "relu" else x
        values.append(x.reshape(-1, *shape))
    return values


def loss(
    architecture: Architecture, weights: Sequence[ArrayLike], images: ArrayLike, labels: NDArray[np.int64]
) -> float:
    """Return the mean cross-entropy in nats."""
    logits = forward(architecture, weights, images)[-1]
    largest = logits.max(axis=1)
    totals = np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return float((totals + largest - logits[np.arange(len(labels)), labels]).mean())


def gradients(
    architecture: Architecture, weights: Sequence[ArrayLike], images: ArrayLike, labels: NDArray[np.int64]
) -> list[Array]:
    """Return the gradients of the mean cross-entropy, in the order and layout of the weights."""
    values = forward(architecture, weights, images)
    d = (softmax(values[-1]) - np.eye(architecture.n_classes)[labels]) / len(labels)
    remaining, found = [np.asarray(w, np.float64) for w in weights], []
    for layer, x, y in reversed(list(zip(architecture.layers, values[:-1], values[1:], strict=True))):
        if isinstance(layer, Dropout):
            raise NotImplementedError("the oracle does not draw the engine's random numbers")
        d = d.reshape(y.shape)
        if getattr(layer, "activation", "linear") == "relu":
            d = d * (y > 0.0)
        if isinstance(layer, Conv2D | Dense):
            if layer.use_bias:
                remaining.pop()
                found.append(d.reshape(-1, d.shape[-1]).sum(axis=0))
            kernel = remaining.pop()
            is_conv = isinstance(layer, Conv2D)
            found.append(kernel_gradient(x, d, kernel.shape, layer.padding) if is_conv else x.T @ d)
            d = input_gradient(x.shape, kernel, d, layer.padding) if is_conv else d @ kernel.T
        elif isinstance(layer, MaxPooling2D):
            d = pool_gradient(x, layer, d)
    return found[::-1]
