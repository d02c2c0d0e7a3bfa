"""The names of a network's layers: Keras' for those that have none."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from digitlab.errors import NetworkError
from digitlab.network.layers import Layer

__all__ = ["is_name", "named"]

_STEMS = {
    "Conv2D": "conv2d",
    "MaxPooling2D": "max_pooling2d",
    "Flatten": "flatten",
    "Dropout": "dropout",
    "Dense": "dense",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def is_name(name: object) -> bool:
    """Tell whether a layer can have this name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def named(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers, each with a name of its own.

    Parameters
    ----------
    layers : sequence of Layer
        One without a name gets its kind and, from the second of that kind on, a number: ``conv2d``, ``conv2d_1`` ...
        Names that are given are kept and not given again.

    Returns
    -------
    tuple of Layer
        In the same order.

    Raises
    ------
    NetworkError
        If a given name is used twice or is not of 1 to 64 letters, digits and underscores.

    Examples
    --------
    >>> from digitlab.network.layers import Flatten, Dense
    >>> [layer.name for layer in named([Flatten(), Dense(8), Dense(10)])]
    ['flatten', 'dense', 'dense_1']
    """
    given = [layer.name for layer in layers if layer.name != ""]
    for position, name in enumerate(given):
        if not is_name(name):
            raise NetworkError(
                f"A layer's name has 1 to 64 letters, digits and underscores and begins with a letter; got {name!r}."
            )
        if name in given[:position]:
            raise NetworkError(f"Two layers are called {name!r}; every layer needs a name of its own.")
    counts = dict.fromkeys(_STEMS.values(), 0)
    names = []
    for layer in layers:
        name, stem = layer.name, _STEMS[type(layer).__name__]
        while not name or (layer.name == "" and name in given):
            name = f"{stem}_{counts[stem]}" if counts[stem] else stem
            counts[stem] += 1
        names.append(name)
    return tuple(dataclasses.replace(layer, name=name) for layer, name in zip(layers, names, strict=True))
