"""An ONNX file as plain nodes and arrays: parsed within bounds, with weights that lie in files of its own folder."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from digitlab.data.storage import parse_json
from digitlab.errors import ConfigError, NetworkError, RunError
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
# TensorProto's numbers for UINT8 to INT64, UINT32 and UINT64; and FLOAT, FLOAT16 and DOUBLE.
_WHOLE_NUMBERS, _BROKEN_NUMBERS = (2, 3, 4, 5, 6, 7, 12, 13), (1, 10, 11)
_TRUTHS = 9  # whether a Dropout drops, 0 or 1
_SINGLE, _WHOLE, _TEXT, _TENSOR, _SINGLES, _WHOLES = 1, 2, 3, 4, 6, 7
_OWN_DOMAIN = ("", "ai.onnx")
_EXTERNAL = 1
# What exporters call every graph.
_UNNAMED = ("", "main_graph", "torch_jit", "torch-jit-export", "tf2onnx", "CNTKGraph", "mxnet_converted_model")
_MOST_SINGLES = 2**16
_ARITHMETIC: dict[str, Callable[..., NDArray[Any]]] = {
    "Add": np.add, "Div": np.divide, "Mul": np.multiply, "Neg": np.negative, "Reciprocal": np.reciprocal,
    "Sqrt": np.sqrt, "Sub": np.subtract,
}  # fmt: skip
#: What is computed from given numbers and from shapes: exporters write ``x.view(n, -1)`` as six operations.
COMPUTABLE = frozenset(
    ["Cast", "Concat", "Constant", "ConstantOfShape", "Gather", "Identity", "Reshape", "Shape", "Slice", "Squeeze",
     "Transpose", "Unsqueeze", *_ARITHMETIC]
)  # fmt: skip
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
    """A network as ONNX sees it: nodes in any order, and weights and other given numbers.

    ``batch`` and ``input_shape``, which is without it, are 0 where a size is open. ``class_names`` and ``metadata`` are
    what the file says, unchecked, or None.
    """

    name: str
    opset: int
    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    input: str
    outputs: tuple[str, ...]
    batch: int
    input_shape: tuple[int, ...]
    takes_bytes: bool
    class_names: Any
    metadata: Any

    def leading_to(self, output: str) -> list[Node]:
        """Return the nodes that an output is computed by, each behind those whose results it takes."""
        makers = {name: i for i, node in enumerate(self.nodes) for name in node.outputs if name}
        ordered: list[int] = []
        begun, done = set[int](), set[int]()
        left = [makers[output]] if output in makers else []
        while left:
            i = left[-1]
            before = {makers[name] for name in self.nodes[i].inputs if name in makers} - done
            if i in done or not before:
                ordered += [] if i in done else [i]
                done.add(i)
                begun.discard(i)
                left.pop()
            elif i in begun or before & begun:
                raise NetworkError("its operations wait for one another in a circle; export the model again.")
            else:
                begun.add(i)
                left += before
        return [self.nodes[i] for i in ordered]


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
            path,
            f"it has more than {_MOST_DESCRIPTION_BYTES:,} bytes besides its weights, too many for a network.",
            lacks=True,
        )
    graph = model.graph
    if len(graph.node) > _MOST_NODES or not graph.node:
        why = f"it has {len(graph.node):,} operations; a network of digitlab has 1 to {_MOST_NODES:,}."
        raise unusable(path, why, lacks=len(graph.node) > 0)
    if graph.sparse_initializer or model.functions:
        raise unusable(path, "it has sparse weights or functions of its own. Export it without them.", lacks=True)
    tensors = _Tensors(path)
    constants = {_text(tensor.name): tensors.array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if _text(value.name) not in constants]
    if len(inputs) != 1 or not graph.output:
        why = f"it has {len(inputs)} inputs and {len(graph.output)} outputs; digitlab's have one input."
        raise unusable(path, why, lacks=True)
    tensor_type = inputs[0].type.tensor_type
    if tensor_type.elem_type not in (0, *_WHOLE_NUMBERS, *_BROKEN_NUMBERS):
        raise unusable(path, "its input takes no numbers; digitlab's networks take pixels.")
    dimensions = [dimension.dim_value for dimension in tensor_type.shape.dim][:_MOST_DIMENSIONS]
    return Graph(
        name=path.stem if _text(graph.name) in _UNNAMED else _text(graph.name),
        opset=max((one.version for one in model.opset_import if _text(one.domain) in _OWN_DOMAIN), default=1),
        nodes=tuple(_node(tensors, node) for node in graph.node),
        constants=constants,
        input=_text(inputs[0].name),
        outputs=tuple(_text(output.name) for output in graph.output),
        batch=dimensions[0] if dimensions else 0,
        input_shape=tuple(dimensions[1:]),
        takes_bytes=tensor_type.elem_type in _WHOLE_NUMBERS,
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


def _node(tensors: _Tensors, node: Any) -> Node:
    kind, domain = _text(node.op_type), _text(node.domain)
    kind = kind if domain in _OWN_DOMAIN else f"{domain}.{kind}"
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
            value = tensors.array(attribute.t)
        elif attribute.type == _SINGLES:
            value = tuple(attribute.floats[:_MOST_SINGLES])
        elif attribute.type == _WHOLES:
            value = tuple(attribute.ints[: 2 * _MOST_DIMENSIONS])
        attributes[_text(attribute.name)] = value
    return Node(kind, tuple(map(_text, node.input)), tuple(map(_text, node.output)), attributes)


class _Tensors:
    """Makes arrays of the tensors of a file; some lie in files beside it, each of which is read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, bytes] = {}
        self.left_bytes = MOST_WEIGHT_BYTES

    def array(self, tensor: Any) -> NDArray[Any]:
        """Return a tensor's numbers, float32 or int64."""
        from onnx import numpy_helper

        name = shown(_text(tensor.name))
        if tensor.data_type not in (_TRUTHS, *_WHOLE_NUMBERS, *_BROKEN_NUMBERS) or len(tensor.dims) > _MOST_DIMENSIONS:
            raise unusable(
                self.path, f"its numbers {name} are of a kind that digitlab does not use; use float32.", lacks=True
            )
        try:
            if tensor.data_location == _EXTERNAL or tensor.external_data:
                array = self._beside(tensor)
            else:
                array = np.asarray(numpy_helper.to_array(tensor))
        except RunError:
            raise
        except (ValueError, TypeError, OverflowError, MemoryError):
            raise unusable(self.path, f"its numbers {name} are damaged. Save the model again.") from None
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                return array.astype(np.float32, copy=False)
        return array.astype(np.int64, copy=False)

    def _beside(self, tensor: Any) -> NDArray[Any]:
        """Return what a tensor says that a file beside the model holds from one place to another."""
        from onnx.helper import tensor_dtype_to_np_dtype

        place = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
        dtype = np.dtype(tensor_dtype_to_np_dtype(tensor.data_type)).newbyteorder("<")
        shape, offset = tuple(tensor.dims), int(place.get("offset", 0))
        n_bytes = math.prod(shape) * dtype.itemsize
        content = self._file(place.get("location", ""))
        if min(shape, default=0) < 0 or offset < 0 or int(place.get("length", n_bytes)) != n_bytes:
            raise ValueError("not a part of a file")
        if offset + n_bytes > len(content):
            raise unusable(
                self.path,
                f"its weights {shown(_text(tensor.name))} would lie beyond the end of {shown(place['location'])}, "
                f"which has {len(content):,} bytes. Copy that file again, whole, or export the model again.",
            )
        self.left_bytes -= n_bytes
        if self.left_bytes < 0:
            raise unusable(
                self.path, f"its weights have more than {MOST_WEIGHT_BYTES:,} bytes, too many for a network."
            )
        return np.frombuffer(content, dtype, math.prod(shape), offset).reshape(shape)

    def _file(self, location: str) -> bytes:
        """Return a file of the model's folder."""
        if location not in self.files:
            folder = self.path.parent
            if (
                not location
                or Path(location).is_absolute()
                or ".." in Path(location).parts
                or not location.isprintable()
            ):
                raise unusable(
                    self.path,
                    f"its weights are in {shown(location)}, outside its folder. Copy them beside the model, and "
                    "export it again there, or with external_data=False.",
                )
            if not os.path.lexists(folder / location):
                raise unusable(
                    self.path,
                    f"its weights are in another file, {shown(location)}, which is not there. Copy that file "
                    f"into the folder {folder}, or export the model in one file: "
                    "torch.onnx.export(..., external_data=False).",
                )
            most_bytes = MOST_WEIGHT_BYTES - sum(map(len, self.files.values()))
            self.files[location] = read_whole(folder / location, most_bytes, folder=folder)
        return self.files[location]


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
    """Return what one of the ``COMPUTABLE`` operations makes of given arrays; no more numbers than these have."""
    try:
        with np.errstate(all="ignore"):
            return _computed(node.kind, inputs, node.attributes)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, ArithmeticError):
        raise NetworkError(f"its operation {node.kind} on given numbers is damaged; export the model again.") from None


def _computed(kind: str, inputs: Sequence[NDArray[Any]], attributes: Mapping[str, Any]) -> NDArray[Any]:
    most = max([_MOST_VALUES, *(array.size for array in inputs)])
    if kind == "Constant":
        names = ("value", "value_int", "value_ints", "value_float", "value_floats")
        values = [attributes[name] for name in names if attributes.get(name) is not None]
        given = np.asarray(values[0])
        if given.dtype.kind not in "iuf":
            raise ValueError("no number")
        return given
    data = inputs[0]
    if kind in _ARITHMETIC:
        if math.prod(np.broadcast_shapes(*(array.shape for array in inputs))) > most:
            raise ValueError("too large")
        whole = all(array.dtype.kind == "i" for array in inputs)
        return (np.floor_divide if kind == "Div" and whole else _ARITHMETIC[kind])(*inputs)
    if kind == "Shape":
        return np.array(data.shape, np.int64)
    if kind == "Concat":
        if sum(array.size for array in inputs) > most:
            raise ValueError("too large")
        return np.concatenate(inputs, int(attributes.get("axis", 0)))
    if kind == "ConstantOfShape":
        shape = [int(n) for n in data.ravel()]
        if min(shape, default=0) < 0 or math.prod(shape) > most:
            raise ValueError("too large")
        return np.full(shape, np.asarray(attributes.get("value", 0.0)).ravel()[0])
    if kind == "Gather":
        if inputs[1].size * data.size > most * max(1, data.shape[int(attributes.get("axis", 0))]):
            raise ValueError("too large")
        return np.asarray(np.take(data, inputs[1].astype(np.int64), int(attributes.get("axis", 0))))
    if kind == "Slice":
        return _sliced(data, inputs[1:], attributes)
    if kind == "Squeeze":
        axes = axes_of(attributes, inputs)
        return data.squeeze() if axes is None else data.squeeze(axes)
    if kind == "Unsqueeze":
        return np.expand_dims(data, axes_of(attributes, inputs) or ())
    if kind == "Transpose":
        return data.transpose(attributes.get("perm"))
    if kind == "Reshape":
        target = inputs[1].ravel()[:_MOST_DIMENSIONS] if len(inputs) > 1 else attributes["shape"]
        return data.reshape([data.shape[i] if n == 0 else int(n) for i, n in enumerate(target)])
    if kind == "Cast" and attributes.get("to") in _WHOLE_NUMBERS and np.isfinite(data).all():
        return data.astype(np.int64)
    return data


def axes_of(attributes: Mapping[str, Any], inputs: Sequence[NDArray[Any] | None]) -> tuple[int, ...] | None:
    """Return the axes that an operation names, in its second input or, before operator set 13, as an attribute."""
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(int(n) for n in inputs[1].ravel()[:_MOST_DIMENSIONS])
    axes = attributes.get("axes")
    return axes if isinstance(axes, tuple) else None


def _sliced(data: NDArray[Any], bounds: Sequence[NDArray[Any]], attributes: Mapping[str, Any]) -> NDArray[Any]:
    rows = bounds or [np.array(attributes[name]) for name in ("starts", "ends", "axes") if name in attributes]
    starts, ends, *others = [[int(n) for n in row.ravel()[:_MOST_DIMENSIONS]] for row in rows]
    axes = others[0] if others else range(len(starts))
    steps = others[1] if len(others) > 1 else [1] * len(starts)
    chosen = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(chosen)]


def border_of(
    node: Node, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows (top, bottom) and columns (left, right) that the windows of a node reach beyond the image."""
    same = [same_border(n, k, s) for n, k, s in zip(sizes, window, strides, strict=True)]
    automatic = node.get("auto_pad", "NOTSET")
    pads = node.wholes("pads", (0, 0, 0, 0))
    if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") or len(pads) != 4 or min(pads) < 0:
        raise NetworkError("its border is not one of images; export the model again.")
    border = [(0, 0), (0, 0)] if automatic == "VALID" else [(pads[0], pads[2]), (pads[1], pads[3])]
    if automatic.startswith("SAME"):
        border = same if automatic == "SAME_UPPER" else [(b, a) for a, b in same]
    if node.get("ceil_mode", 0):
        # What a last, cut-off window reads beyond the image is a border behind. One that would begin there is none.
        border = [
            (a, b + _cut_off(n, a, b, k, s)) for (a, b), n, k, s in zip(border, sizes, window, strides, strict=True)
        ]
    # A border that no window reaches is none.
    rows, columns = [
        (a, max(0, ((n + a + b - k) // s) * s + k - n - a))
        for (a, b), n, k, s in zip(border, sizes, window, strides, strict=True)
    ]
    return rows, columns


def _cut_off(size: int, before: int, behind: int, window: int, stride: int) -> int:
    """Return by how much a last window, which begins within the image, stands over."""
    over = -(size + before + behind - window) % stride
    return over if size + behind + over - window < size else 0
