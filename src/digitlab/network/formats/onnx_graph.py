"""An ONNX file as plain nodes and arrays: parsed within bounds, nothing read from other files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from digitlab.data.storage import parse_json
from digitlab.errors import ConfigError, NetworkError
from digitlab.network.formats.files import MOST_WEIGHT_BYTES, read_whole, shown, unusable
from digitlab.network.layers import same_border

_Fields = Mapping[int, Any]
_MOST_NODES = 1_000
#: Of everything that is no row of numbers. A field, of two bytes if it is empty, may become an object of a hundred.
_MOST_DESCRIPTION_BYTES, _FIELD_BYTES = 2**21, 50
# By the numbers of their fields: rows of floats, doubles and raw bytes in tensors; tensors in the attributes of a
# graph's nodes, and its own; the graph of a model.
_ROWS: _Fields = {4: None, 9: None, 10: None}
_MODEL: _Fields = {7: {1: {5: {5: _ROWS}}, 5: _ROWS}}
_MOST_DIMENSIONS = 8
_BYTE = 2
# TensorProto's numbers for FLOAT, INT32, INT64, FLOAT16 and DOUBLE.
_NUMERIC = (1, 6, 7, 10, 11)
_SINGLE, _WHOLE, _TEXT, _TENSOR, _WHOLES = 1, 2, 3, 4, 7
#: What is computed from given numbers and from shapes: exporters write ``x.view(n, -1)`` as six operations.
COMPUTABLE = frozenset(
    ["Cast", "Concat", "Constant", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"]
)
# Shapes are short; nothing here may grow beyond what the file holds.
_MOST_VALUES = 1_024


_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Node:
    """One operation: its kind (``Conv``; with its domain if that is not ONNX's own), and the names of its tensors.

    ``attributes`` are numbers, texts, tuples of whole numbers and arrays; others are None.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: _Value) -> _Value:
        """Return an attribute that is of the kind of ``default``, and that where it is not there."""
        value = self.attributes.get(name, default)
        if not isinstance(value, type(default)):
            raise NetworkError(f"its attribute {name} is of the wrong kind; export the model again.")
        return value

    def wholes(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return an attribute that is several whole numbers; ``default`` if it is not there, or empty."""
        return self.get(name, default) or default


@dataclass(frozen=True)
class Graph:
    """A network as ONNX sees it: nodes in the order in which they are run, and weights and other given numbers.

    ``input_shape`` is without the batch. ``class_names`` and ``metadata`` are what the file says, unchecked, or None.
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
    """Parse an ONNX file that anybody may have written."""
    content = read_whole(path, MOST_WEIGHT_BYTES)
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ConfigError('Reading ONNX needs the package onnx. Install it: pip install "digitlab[export]"') from None
    try:
        n_bytes = _description_bytes(content, 0, len(content), _MODEL, _MOST_DESCRIPTION_BYTES)
        is_large = n_bytes > _MOST_DESCRIPTION_BYTES
        model = onnx.ModelProto.FromString(b"" if is_large else content)
    except (DecodeError, ValueError, RecursionError):
        raise unusable(path, "it is damaged or not an ONNX file. Save the model again.") from None
    if is_large:
        raise unusable(
            path, f"it has more than {_MOST_DESCRIPTION_BYTES:,} bytes besides its weights, too many for a network."
        )
    graph = model.graph
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


def _description_bytes(content: bytes, at: int, end: int, inside: _Fields, most: int) -> int:
    """Count the bytes of a protobuf message that are no rows of numbers, up to more than ``most`` of them.

    ``inside`` are the fields to look into, and with None those that are such rows. ValueError if it is damaged.
    """
    n = 0
    while at < end and n <= most:
        begin = at
        key, at = _varint(content, at)
        kind, size = key & 7, 0
        if kind == 0:
            _, at = _varint(content, at)
        elif kind == 2:
            size, at = _varint(content, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("a group")
        if at + size > end:
            raise ValueError("cut short")
        n += at - begin + _FIELD_BYTES
        deeper = inside.get(key >> 3, ()) if kind == 2 else ()
        if isinstance(deeper, Mapping):
            n += _description_bytes(content, at, at + size, deeper, most - n)
        elif deeper is not None:
            n += size
        at += size
    return n


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Read a whole number of up to ten bytes; return it and where it ends."""
    value = 0
    for i, byte in enumerate(content[at : at + 10]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, at + i + 1
    raise ValueError("cut short")


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


def computed(node: Node, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return what one of the ``COMPUTABLE`` operations makes of given arrays."""
    try:
        return _computed(node.kind, inputs, node.attributes)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, ArithmeticError):
        raise NetworkError(f"its operation {node.kind} on given numbers is damaged; export the model again.") from None


def _computed(kind: str, inputs: Sequence[NDArray[Any]], attributes: Mapping[str, Any]) -> NDArray[Any]:
    if kind == "Constant":
        values = map(attributes.get, ("value", "value_int", "value_ints", "value_float"))
        given = next((np.asarray(value) for value in values if value is not None), np.array(""))
        if given.dtype.kind not in "iuf":
            raise ValueError("no number")
        return given
    if kind in ("Concat", "Gather", "Unsqueeze") and sum(array.size for array in inputs) > _MOST_VALUES:
        raise ValueError("too large")
    data = inputs[0]
    if kind in ("Gather", "Slice") and data.ndim != 1:
        raise ValueError("not a shape")
    if kind == "Concat":
        return np.concatenate([array.ravel() for array in inputs])
    if kind == "Gather":
        _, indices = inputs
        if indices.ndim > 1:
            raise ValueError("not a shape")
        return np.asarray(data[indices])
    if kind == "Slice":
        starts, ends = inputs[1:3] if len(inputs) > 1 else (np.array(attributes[name]) for name in ("starts", "ends"))
        step = int(inputs[4].ravel()[0]) if len(inputs) > 4 else 1
        return data[slice(int(starts.ravel()[0]), int(ends.ravel()[0]), step)]
    if kind == "Squeeze":
        return data.squeeze()
    if kind == "Transpose":
        return data.transpose(attributes.get("perm"))
    if kind == "Reshape":
        return data.reshape([int(n) for n in inputs[1].ravel()])
    return data.ravel() if kind == "Unsqueeze" else data


def padding_of(node: Node, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int]) -> str:
    """Return ``valid`` or ``same`` for a node whose window goes over an image of ``sizes``; ONNX counts pixels."""
    same = [same_border(n, k, s) for n, k, s in zip(sizes, window, strides, strict=True)]
    automatic = node.get("auto_pad", "NOTSET")
    if automatic == "VALID":
        return "valid"
    if automatic == "SAME_UPPER" or (automatic == "SAME_LOWER" and all(a == b for a, b in same)):
        return "same"
    pads = node.wholes("pads", (0, 0, 0, 0))
    if automatic != "NOTSET" or len(pads) != 4:
        raise NetworkError("its border is one that digitlab does not have; use valid or same.")
    border = [(pads[0], pads[2]), (pads[1], pads[3])]
    if node.get("ceil_mode", 0):
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
