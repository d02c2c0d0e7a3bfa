"""Layers: what each one does to a batch of images, in JAX; XLA compiles it, and JAX has its gradient.

The arithmetic is that of ``engine.cpu``, down to what it does with ties: of a window's largest values the first in
reading order gets the gradient, and dropout asks the same hash of step, image and place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from digitlab.engine.cpu.program import DROPOUT, build_program
from digitlab.network.architecture import Architecture
from digitlab.network.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    ZeroPadding2D,
    activation_of,
    same_border,
)

#: What JAX calls the order of axes here: images, rows, columns, channels; kernels as Keras has them.
_AXES = ("NHWC", "HWIO", "NHWC")
#: Numbers by which float32 stays float32: accelerators would round products to fewer bits by themselves.
_EXACT = lax.Precision.HIGHEST
_GOLDEN = 0x9E3779B9


def answer(
    architecture: Architecture, weights: Sequence[Any], images: Any, dtype: Any, salt: Any = None, first: Any = 0
) -> Any:
    """Return the sums of the last layer, before a softmax, float32, for images ``(n, *input_shape)``.

    ``weights`` stand in Keras' order. Between the layers numbers are of ``dtype``. With a ``salt``, uint32, a training
    step's own, dropout drops; ``first`` is the number that the first image has in its batch.
    """
    x, left = images.astype(dtype), list(weights)
    drops = iter(_drops(architecture)) if salt is not None else iter(())
    for layer, shape in zip(architecture.layers, architecture.input_shapes, strict=True):
        own = [left.pop(0).astype(dtype) for _ in layer.weight_shapes(shape)]
        if isinstance(layer, Conv2D):
            x = convolved(x, own[0], layer)
        elif isinstance(layer, Dense):
            x = jnp.dot(x, own[0], precision=_EXACT)
        elif isinstance(layer, Dropout) and salt is not None:
            x = _dropped(x, *next(drops), salt, first)
        else:
            x = moved(x, layer)
        if len(own) == 2:
            x = x + own[1]
        x = activated(x, layer)
    return x.astype(jnp.float32)


def convolved(x: Any, kernel: Any, layer: Conv2D) -> Any:
    """Slide a kernel ``(height, width, in, out)`` over maps, with the border that the layer adds."""
    borders = [(0, 0), (0, 0)]
    if layer.padding == "same":
        borders = [same_border(*sizes) for sizes in zip(x.shape[1:3], layer.kernel, layer.stride, strict=True)]
    return lax.conv_general_dilated(x, kernel, layer.stride, borders, dimension_numbers=_AXES, precision=_EXACT)


def activated(x: Any, layer: Layer) -> Any:
    """Apply a layer's activation; of a softmax nothing is done here, as the loss is computed from the sums."""
    name, below = activation_of(layer)
    if name == "relu":
        return jax.nn.relu(x)
    if name == "leaky_relu":
        return jnp.where(x > 0, x, jnp.asarray(below, x.dtype) * x)
    if name == "elu":
        return jnp.where(x > 0, x, jnp.asarray(below, x.dtype) * jnp.expm1(jnp.minimum(x, 0)))
    if name == "sigmoid":
        return jax.nn.sigmoid(x)
    return jnp.tanh(x) if name == "tanh" else x


def moved(x: Any, layer: Layer) -> Any:
    """Run a layer without weights, dropout when it drops excepted."""
    if isinstance(layer, MaxPooling2D):
        return _largest(_windows(x, layer, -jnp.inf))
    if isinstance(layer, AveragePooling2D):
        ones = _windows(jnp.ones((1, *x.shape[1:3], 1), x.dtype), layer, 0.0)
        return sum(_windows(x, layer, 0.0)) / sum(ones)
    if isinstance(layer, GlobalAveragePooling2D):
        return x.mean((1, 2))
    if isinstance(layer, GlobalMaxPooling2D):
        rows = x.reshape(x.shape[0], -1, x.shape[-1])
        return jnp.take_along_axis(rows, rows.argmax(1, keepdims=True), 1)[:, 0]
    if isinstance(layer, ZeroPadding2D):
        return jnp.pad(x, ((0, 0), *layer.sides, (0, 0)))
    return x.reshape(x.shape[0], -1) if isinstance(layer, Flatten) else x


def _windows(x: Any, layer: MaxPooling2D | AveragePooling2D, beyond: float) -> list[Any]:
    """Return maps of the first pixel of every window, of the second ... in reading order."""
    borders = [(0, 0), (0, 0)]
    if layer.padding == "same":
        borders = [same_border(*sizes) for sizes in zip(x.shape[1:3], layer.pool, layer.stride, strict=True)]
    x = jnp.pad(x, ((0, 0), *borders, (0, 0)), constant_values=beyond)
    down, across = layer.stride
    height, width = (
        (size - window) // step * step + 1
        for size, window, step in zip(x.shape[1:3], layer.pool, layer.stride, strict=True)
    )
    places = [(ky, kx) for ky in range(layer.pool[0]) for kx in range(layer.pool[1])]
    return [x[:, ky : ky + height : down, kx : kx + width : across] for ky, kx in places]


def _largest(pixels: Sequence[Any]) -> Any:
    """The largest of a window's pixels; the gradient goes to the first of equals, as in ``cpu.pooling``."""
    best = pixels[0]
    for pixel in pixels[1:]:
        best = jnp.where(pixel > best, pixel, best)
    return best


def _drops(architecture: Architecture) -> list[tuple[int, int]]:
    """What every dropout layer hashes with the salt, and the number below which hashes drop."""
    ops = build_program(architecture).ops
    return [(int(op["salt"]), int(op["drop_below"])) for op in ops[ops["kind"] == DROPOUT]]


def _dropped(x: Any, layer_salt: int, drop_below: int, salt: Any, first: Any) -> Any:
    n, n_values = x.shape[0], math.prod(x.shape[1:])
    layer = _mixed(salt + jnp.uint32(layer_salt * _GOLDEN & 0xFFFFFFFF))
    images = _mixed(layer ^ (jnp.uint32(first) + jnp.arange(n, dtype=jnp.uint32)))
    hashes = _mixed(images[:, None] ^ jnp.arange(n_values, dtype=jnp.uint32))
    keep = jnp.asarray(1.0 / (1.0 - drop_below / 2**32), x.dtype)
    return jnp.where(hashes.reshape(x.shape) >= jnp.uint32(drop_below), x * keep, 0)


def _mixed(bits: Any) -> Any:
    """The hash of ``cpu.chance``."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    return bits ^ (bits >> 16)
