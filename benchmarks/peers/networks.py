"""What digitlab hands to the other contestants: its networks with channels first, and a preset as JSON.

digitlab keeps Keras' layout: images (height, width, channels), kernels (h, w, in, out) and (in, out). A recipe is a
dict: ``config``, a ``TrainConfig`` in its JSON form; ``changed``, what of it differs from the defaults;
``architecture``, the network's JSON form; and ``rates``, the learning rate of every step. The defaults are the
codelab's, so whatever is not changed asks for nothing special. Only NumPy is needed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Settings that the peers follow, whatever their value.
FOLLOWED = {
    "network", "train_images", "validation_images", "batch_size", "epochs", "learning_rate", "schedule", "beta_1",
    "beta_2", "epsilon", "weight_decay", "label_smoothing", "shuffle", "seed",
}  # fmt: skip
#: What AdamW takes away where nothing else is said; Adam takes nothing.
DEFAULT_DECAY = {"adam": 0.0, "adamw": 0.004}

#: Layers that the peers build, with what they know of each. The initialisers do not matter: weights are handed over.
_BUILT: dict[str, set[str]] = {
    "Conv2D": {"filters", "kernel_size", "padding", "activation", "use_bias"},
    "MaxPooling2D": {"pool_size", "strides", "padding"},
    "Flatten": set(),
    "Dropout": {"rate"},
    "Dense": {"units", "activation", "use_bias"},
}
_IRRELEVANT = {"class_name", "name", "kernel_initializer", "bias_initializer"}


def lacking(recipe: dict[str, Any]) -> list[str]:
    """Return what the recipe asks for and the peers cannot do, in words; empty when they can follow it.

    A setting that this function has never heard of counts as lacking once a preset changes it.
    """
    config, changed = recipe["config"], recipe["changed"]
    lacks = [f"{name} = {changed[name]}" for name in changed if name not in FOLLOWED and name != "optimizer"]
    if config["optimizer"] not in DEFAULT_DECAY:
        lacks.append(f"optimizer = {config['optimizer']}")
    return lacks + lacking_layers(recipe["architecture"])


def lacking_layers(architecture: dict[str, Any]) -> list[str]:
    """Return what the network holds and the peers cannot build, in words."""
    lacks = []
    for layer in architecture["layers"]:
        kind = layer["class_name"]
        if kind not in _BUILT:
            lacks.append(f"the layer {kind}")
            continue
        # A setting that came later and is off, as None, False and 0 are, changes nothing.
        unknown = [name for name, value in layer.items() if value and name not in _BUILT[kind] | _IRRELEVANT]
        lacks += [f"{kind} with {name} = {layer[name]}" for name in unknown]
        if kind == "MaxPooling2D" and layer["padding"] != "valid":
            lacks.append(f"MaxPooling2D with padding = {layer['padding']}")
    return list(dict.fromkeys(lacks))


def decay(config: dict[str, Any]) -> float:
    """Return the weight decay that the settings mean."""
    given = config["weight_decay"]
    return DEFAULT_DECAY[config["optimizer"]] if given is None else given


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
