"""An ONNX file as plain nodes and arrays: parsed within bounds, nothing read from other files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.storage import parse_json
from digitlab.errors import ConfigError, NetworkError
from digitlab.network.formats.files import MOST_WEIGHT_BYTES, read_whole, shown, unusable

_MOST_NODES = 1_000
_MOST_DIMENSIONS = 8
_BYTE = 2
# TensorProto's numbers for FLOAT, INT32, INT64, FLOAT16 and DOUBLE.
_NUMERIC = (1, 6, 7, 10, 11)
_SINGLE, _WHOLE, _TEXT, _TENSOR, _WHOLES = 1, 2, 3, 4, 7


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes
    ----------
    kind : str
        Such as ``Conv``; with its domain if that is not ONNX's own.
    inputs, outputs : tuple of str
        Names of tensors.
    attributes : mapping
        Numbers, texts, tuples of whole numbers and arrays; others are None.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def whole(self, name: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        return int(self._typed(name, int, default))

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a number."""
        return float(self._typed(name, float, default))

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a text."""
        return str(self._typed(name, str, default))

    def wholes(self, name: str) -> tuple[int, ...] | None:
        """Return an attribute that is several whole numbers; None if it is not there."""
        found: tuple[int, ...] | None = self._typed(name, tuple, None)
        return found

    def _typed(self, name: str, kind: type, default: Any) -> Any:
        if name not in self.attributes:
            return default
        if not isinstance(self.attributes[name], kind):
            raise NetworkError(f"its attribute {name} is of the wrong kind; export the model again.")
        return self.attributes[name]


@dataclass(frozen=True)
class Graph:
    """A network as ONNX sees it.

    Attributes
    ----------
    name : str
        What it is called.
    nodes : tuple of Node
        In the order in which they are run.
    constants : dict of str to ndarray
        Weights and other given numbers.
    input, output : str
        What goes in and comes out.
    input_shape : tuple of int
        Without the batch.
    takes_bytes : bool
        Whether pixels go in as whole numbers, 0 to 255.
    class_names, metadata : object
        What the file says they are, unchecked; None if it does not.
    """

    name: str
    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    input: str
    output: str
    input_shape: tuple[int, ...]
    takes_bytes: bool
    class_names: Any
    metadata: Any


def read_graph(path: Path) -> Graph:
    """Parse an ONNX file that anybody may have written.

    Raises
    ------
    RunError
        If it is missing, damaged, or needs what digitlab does not read.
    ConfigError
        If the package ``onnx`` is not installed.
    """
    content = read_whole(path, MOST_WEIGHT_BYTES)
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ConfigError('Reading ONNX needs the package onnx. Install it: pip install "digitlab[export]"') from None
    try:
        graph = onnx.ModelProto.FromString(content)
    except (DecodeError, ValueError, RecursionError):
        raise unusable(path, "it is damaged or not an ONNX file. Save the model again.") from None
    model, graph = graph, graph.graph
    if len(graph.node) > _MOST_NODES or not graph.node:
        raise unusable(path, f"it has {len(graph.node):,} operations; a network of digitlab has 1 to {_MOST_NODES:,}.")
    if graph.sparse_initializer or model.functions:
        raise unusable(path, "it has sparse weights or functions of its own. Export it without them.")
    constants = {_text(tensor.name): _array(path, tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if _text(value.name) not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise unusable(
            path, f"it has {len(inputs)} inputs and {len(graph.output)} outputs; digitlab's have one of each."
        )
    tensor_type = inputs[0].type.tensor_type
    dimensions = [dimension.dim_value for dimension in tensor_type.shape.dim][:_MOST_DIMENSIONS]
    return Graph(
        name=_text(graph.name),
        nodes=tuple(_node(path, node) for node in graph.node),
        constants=constants,
        input=_text(inputs[0].name),
        output=_text(graph.output[0].name),
        input_shape=tuple(dimensions[1:]),
        takes_bytes=tensor_type.elem_type == _BYTE,
        class_names=_property(model, "class_names"),
        metadata=_property(model, "digitlab"),
    )


def _node(path: Path, node: Any) -> Node:
    kind, domain = _text(node.op_type), _text(node.domain)
    kind = kind if domain in ("", "ai.onnx") else f"{domain}.{kind}"
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        value: Any = None
        if attribute.type == _SINGLE:
            value = attribute.f
        elif attribute.type == _WHOLE:
            value = attribute.i
        elif attribute.type == _TEXT:
            value = _text(attribute.s)
        elif attribute.type == _TENSOR:
            value = _array(path, attribute.t)
        elif attribute.type == _WHOLES:
            value = tuple(attribute.ints[: 2 * _MOST_DIMENSIONS])
        attributes[_text(attribute.name)] = value
    return Node(kind, tuple(map(_text, node.input)), tuple(map(_text, node.output)), attributes)


def _array(path: Path, tensor: Any) -> NDArray[Any]:
    from onnx import numpy_helper

    if tensor.data_location != 0 or tensor.external_data:
        raise unusable(path, "its weights lie in another file. Save it with the weights inside (one file).")
    if tensor.data_type not in _NUMERIC or len(tensor.dims) > _MOST_DIMENSIONS:
        raise unusable(
            path, f"its numbers {shown(_text(tensor.name))} are of a kind that digitlab does not use; use float32."
        )
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, OverflowError, MemoryError):
        raise unusable(path, f"its numbers {shown(_text(tensor.name))} are damaged. Save the model again.") from None
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    return array.astype(np.int64)


def _text(value: Any) -> str:
    # Where a text is not UTF-8, protobuf gives its bytes.
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _property(model: Any, key: str) -> Any:
    for entry in model.metadata_props:
        if entry.key == key:
            try:
                return parse_json(entry.value[:10_000])
            except ValueError:
                return None
    return None


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


def same_border(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return the pixels that ``same`` adds before and behind, as Keras defines it: the larger half behind.

    Examples
    --------
    >>> same_border(28, 4, 1), same_border(13, 3, 2)
    ((1, 2), (1, 1))
    """
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2


def padding_of(node: Node, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int]) -> str:
    """Return ``valid`` or ``same`` for a node whose window goes over an image of ``sizes``.

    Raises
    ------
    NetworkError
        If its border is another one.
    """
    same = [same_border(n, k, s) for n, k, s in zip(sizes, window, strides, strict=True)]
    automatic = node.text("auto_pad", "NOTSET")
    if automatic == "VALID":
        return "valid"
    if automatic == "SAME_UPPER" or (automatic == "SAME_LOWER" and all(a == b for a, b in same)):
        return "same"
    pads = node.wholes("pads") or (0, 0, 0, 0)
    if automatic != "NOTSET" or len(pads) != 4:
        raise NetworkError("its border is one that digitlab does not have; use valid or same.")
    border = [(pads[0], pads[2]), (pads[1], pads[3])]
    if node.whole("ceil_mode", 0):
        # What a last, cut-off window reads beyond the image is a border behind.
        border = [(a, b + -(n + a + b - k) % s) for (a, b), n, k, s in zip(border, sizes, window, strides, strict=True)]
    if border == [(0, 0), (0, 0)]:
        return "valid"
    # A border that no window reaches is none.
    reached = [
        (a, max(0, ((n + a + b - k) // s) * s + k - n - a))
        for (a, b), n, k, s in zip(border, sizes, window, strides, strict=True)
    ]
    if reached == [(0, 0), (0, 0)]:
        return "valid"
    if reached == same:
        return "same"
    raise NetworkError(f"its border of {pads} pixels is one that digitlab does not have; use valid or same.")
