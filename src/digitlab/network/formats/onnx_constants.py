"""What ONNX computes from given numbers and from shapes: exporters write ``x.view(n, -1)`` as six operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.formats.onnx_graph import Node

__all__ = ["COMPUTABLE", "computed"]

# Shapes are short; nothing here may grow beyond what the file holds.
_MOST_VALUES = 1_024
_NUMBERS = "iuf"

Array = NDArray[Any]


def computed(node: Node, inputs: Sequence[Array]) -> Array:
    """Return what one of the ``COMPUTABLE`` operations makes of given arrays.

    Raises
    ------
    NetworkError
        If it cannot be computed.
    """
    try:
        return COMPUTABLE[node.kind](inputs, node.attributes)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, ArithmeticError):
        raise NetworkError(f"its operation {node.kind} on given numbers is damaged; export the model again.") from None


def _small(*arrays: Array) -> None:
    if sum(array.size for array in arrays) > _MOST_VALUES:
        raise ValueError("too large")


def _constant(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    for name in ("value", "value_int", "value_ints", "value_float"):
        if attributes.get(name) is not None:
            given = np.asarray(attributes[name])
            if given.dtype.kind not in _NUMBERS:
                raise ValueError("a text")
            return given
    raise ValueError("empty")


def _gather(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    _small(*inputs)
    data, indices = inputs
    if data.ndim != 1 or indices.ndim > 1:
        raise ValueError("not a shape")
    return np.asarray(data[indices])


def _slice(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    data = inputs[0]
    if data.ndim != 1:
        raise ValueError("not a shape")
    if len(inputs) == 1:
        return data[slice(int(attributes["starts"][0]), int(attributes["ends"][0]))]
    step = int(inputs[4].ravel()[0]) if len(inputs) > 4 else 1
    return data[slice(int(inputs[1].ravel()[0]), int(inputs[2].ravel()[0]), step)]


def _concat(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    _small(*inputs)
    return np.concatenate([array.ravel() for array in inputs])


def _as_row(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    _small(*inputs)
    return inputs[0].ravel()


def _squeeze(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return inputs[0].squeeze()


def _transpose(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return inputs[0].transpose(attributes.get("perm"))


def _reshape(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return inputs[0].reshape([int(n) for n in inputs[1].ravel()])


def _same(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return inputs[0]


#: Operations on given numbers, by kind.
COMPUTABLE: dict[str, Callable[[Sequence[Array], Mapping[str, Any]], Array]] = {
    "Cast": _same,
    "Concat": _concat,
    "Constant": _constant,
    "Gather": _gather,
    "Identity": _same,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _as_row,
}
