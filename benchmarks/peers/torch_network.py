"""digitlab's networks in PyTorch, with the weights digitlab gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from nchw_layout import PlacedLayer, placed
from torch import nn


def build(architecture: dict[str, Any], weights: Sequence[np.ndarray]) -> nn.Sequential:
    """Return the network, from (n, channels, height, width) to logits, as ``cross_entropy`` wants them.

    Raises
    ------
    ValueError
        If the network holds something this lacks.
    """
    modules: list[nn.Module] = []
    channels = architecture["input_shape"][-1]
    for layer in placed(architecture, weights):
        pools = layer.kind == "MaxPooling2D"
        if pools and modules and isinstance(modules[-1], nn.ReLU):
            # ReLU never falls, so that it may come after the maximum: the same function on a quarter of the values.
            modules.insert(-1, _module(layer, channels))
        else:
            modules.append(_module(layer, channels))
        if layer.settings.get("activation") == "relu":
            modules.append(nn.ReLU(inplace=True))
        channels = layer.shape[-1]
    return nn.Sequential(*modules)


def _module(layer: PlacedLayer, channels: int) -> nn.Module:
    settings = layer.settings
    if layer.kind == "Conv2D":
        size = tuple(settings["kernel_size"])
        convolution = nn.Conv2d(channels, settings["filters"], size, padding=settings["padding"])
        return _weighted(convolution, layer)
    if layer.kind == "MaxPooling2D":
        return nn.MaxPool2d(tuple(settings["pool_size"]), tuple(settings["strides"]))
    if layer.kind == "Dropout":
        return nn.Dropout(settings["rate"])
    if layer.kind == "Dense":
        return _weighted(nn.Linear(channels, settings["units"]), layer)
    return nn.Flatten()


def _weighted(module: nn.Conv2d | nn.Linear, layer: PlacedLayer) -> nn.Module:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(layer.kernel))
        if layer.bias is None:
            module.bias = None
        else:
            module.bias.copy_(torch.from_numpy(layer.bias))
    return module
