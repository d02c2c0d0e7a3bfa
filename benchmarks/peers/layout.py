"""A network of digitlab in the layout of frameworks that put channels first: what each layer is, with its weights.

digitlab keeps Keras' layout: images (height, width, channels), kernels (h, w, in, out) and (in, out). Only NumPy is
needed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from recipe import lacking_layers


@dataclass(frozen=True)
class PlacedLayer:
    """A layer's JSON form, its output's (height, width, channels) or (features,), and its weights.

    ``kernel`` is float32 (out, in, h, w) of a convolution or (out, in) of a dense layer, and ``bias`` float32 (out,);
    None where there is none.
    """

    settings: dict[str, Any]
    shape: tuple[int, ...]
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """The layer's class in digitlab."""
        return str(self.settings["class_name"])


def placed(architecture: dict[str, Any], weights: Sequence[np.ndarray]) -> list[PlacedLayer]:
    """Return the layers of an architecture's JSON form with the weights that digitlab gave.

    ValueError if the network holds something the contestants lack, or another number of weights.
    """
    if lacks := lacking_layers(architecture):
        raise ValueError(f"the peer lacks {', '.join(lacks)}")
    left = list(weights)
    shape = tuple(architecture["input_shape"])
    flattened: tuple[int, ...] | None = None
    layers = []
    for settings in architecture["layers"]:
        kind = settings["class_name"]
        kernel = bias = None
        if kind in ("Conv2D", "Dense"):
            kernel = left.pop(0)
            bias = left.pop(0) if settings["use_bias"] else None
        if kind == "Conv2D":
            height, width, _, filters = kernel.shape
            grown = (0, 0) if settings["padding"] == "same" else (height - 1, width - 1)
            shape = (shape[0] - grown[0], shape[1] - grown[1], filters)
            kernel = kernel.transpose(3, 2, 0, 1)
        elif kind == "MaxPooling2D":
            steps = zip(shape, settings["pool_size"], settings["strides"], strict=False)
            shape = (*((size - pool) // stride + 1 for size, pool, stride in steps), shape[2])
        elif kind == "Flatten":
            flattened, shape = (shape if len(shape) == 3 else None), (math.prod(shape),)
        elif kind == "Dense":
            if flattened:
                # The features come in the order height, width, channels; with channels first in another.
                kernel = kernel.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(shape[0], -1)
                flattened = None
            kernel = kernel.T
            shape = (kernel.shape[0],)
        layers.append(PlacedLayer(settings, shape, None if kernel is None else np.ascontiguousarray(kernel), bias))
    if left:
        raise ValueError(f"{len(left)} arrays of weights are left over")
    return layers
