"""ONNX models as tf2onnx, Keras and PyTorch write them: one chain of operations, followed from images to answers.

ONNX convolves ``(n, channels, height, width)`` and digitlab ``(n, height, width, channels)``; between them and the
dense layers exporters transpose, reshape and flatten as they like. What matters in the end is in which order a dense
layer's rows are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import (
    Stack,
    checkpoint_in,
    is_pixel_scale,
    lacking,
    shown,
    unusable,
)
from digitlab.network.formats.onnx_graph import COMPUTABLE, Graph, Node, computed, padding_of, read_graph
from digitlab.network.layers import Conv2D, Dense, Flatten, MaxPooling2D, Shape

_MOST_PIXELS = 2**24
# Of axes of which nobody knows yet which is which.
_UNSETTLED = "abc"
_UNCLEAR = "it reshapes its images in a way that digitlab does not follow; flatten them once, before the dense layers."


def read_onnx(path: Path) -> Checkpoint:
    """Read an ONNX model that anybody may have written."""
    graph = read_graph(path)
    try:
        network, weights = _Walk(graph).finish()
    except NetworkError as error:
        raise unusable(path, str(error), lacks=True) from None
    return checkpoint_in(path, network, weights, graph.class_names, graph.metadata)


class _Walk:
    """The chain from the input to the output; ``current`` is the tensor that the images are in."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        self.current = graph.input
        self.stack = Stack()
        self.weights: list[list[NDArray[np.float32]]] = []
        self.input = _Input(graph.input_shape, takes_bytes=graph.takes_bytes)
        #: Shape of one image or row in digitlab's order, once it is known which axis is which.
        self.shape: Shape | None = None
        self.input_shape: Shape | None = None
        self.layout = self.input.layout
        #: Of every tensor so far that the images were in.
        self.shapes = {self.current: self.layout.shape}
        for position, node in enumerate(graph.nodes, start=1):
            self._follow(node, position)
        if self.current != graph.output:
            raise NetworkError(f"its output {shown(graph.output)} does not come from the last layer.")

    def finish(self) -> tuple[Architecture, list[NDArray[np.float32]]]:
        if self.input_shape is None:
            raise NetworkError("it has no layer that learns.")
        network = self.stack.finish(self.input_shape, self.graph.name)
        return network, [array for arrays in self.weights for array in arrays]

    def _follow(self, node: Node, position: int) -> None:
        inputs = [name for name in node.inputs if name]
        known = [self.constants[name] for name in inputs if name in self.constants]
        if len(node.outputs) < 1:
            raise lacking(node.kind, position=position)
        if len(known) == len(inputs) and node.kind in COMPUTABLE:
            self.constants[node.outputs[0]] = computed(node, known)
            return
        if node.kind == "Shape" and len(inputs) == 1 and inputs[0] in self.shapes:
            # Nobody knows the batch; as -1 it does what it should where the shape is used to reshape.
            self.constants[node.outputs[0]] = np.array([-1, *self.shapes[inputs[0]]])
            return
        if node.kind not in _OPERATIONS:
            raise lacking(node.kind, position=position)
        if inputs.count(self.current) != 1 or len(known) != len(inputs) - 1:
            raise NetworkError(
                f"Operation {position}, {node.kind}, does not follow the one before it; digitlab runs chains."
            )
        if len(known) < _LEAST_GIVEN.get(node.kind, 0):
            raise NetworkError(f"Operation {position}, {node.kind}, lacks the numbers that it computes with.")
        try:
            _OPERATIONS[node.kind](self, node, known)
        except NetworkError as error:
            raise NetworkError(f"Operation {position}, {node.kind}: {error}") from None
        self.current = node.outputs[0]
        self.shapes[self.current] = self.layout.shape

    def _begin(self, names: str) -> Shape:
        """Settle which axis of the input is which, now that an operation reads the axes ``names``."""
        if self.shape is None:
            self.layout, self.shape = self.input.settled(names, self.layout)
            self.input_shape = self.shape
        return self.shape

    def _moved(self, layer: Conv2D | MaxPooling2D, shape: Shape) -> None:
        self.shape = layer.output_shape(shape)
        self.stack.add(layer)
        height, width, channels = self.shape
        self.layout = _Layout.of("CHW", (channels, height, width))

    def conv(self, node: Node, known: list[NDArray[Any]]) -> None:
        shape = self._begin("CHW")
        self.layout.places("CHW")
        kernel = known[0]
        if kernel.ndim != 4 or kernel.shape[1] != shape[-1] or node.get("group", 1) != 1:
            raise NetworkError("its kernels do not fit the channels; digitlab has ordinary convolutions only.")
        _ones(node, "strides", "use max-pooling to make images smaller")
        _ones(node, "dilations", "use a larger kernel")
        padding = padding_of(node, shape[:2], kernel.shape[2:], (1, 1))
        layer = Conv2D(kernel.shape[0], kernel.shape[2:], padding=padding, use_bias=len(known) > 1)
        self._moved(layer, shape)
        self.weights.append([np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), *(b.ravel() for b in known[1:2])])

    def pool(self, node: Node, known: list[NDArray[Any]]) -> None:
        shape = self._begin("CHW")
        self.layout.places("CHW")
        pool = node.wholes("kernel_shape")
        strides = node.wholes("strides", (1,) * len(pool))
        if len(pool) != 2 or len(strides) != 2 or min(strides) < 1:
            raise NetworkError("its window is not one of images.")
        _ones(node, "dilations", "use a larger window")
        padding = padding_of(node, shape[:2], pool, strides)
        self._moved(MaxPooling2D((pool[0], pool[1]), (strides[0], strides[1]), padding=padding), shape)

    def gemm(self, node: Node, known: list[NDArray[Any]]) -> None:
        scales = [node.get(name, 1.0) for name in ("alpha", "beta")]
        if scales != [1.0, 1.0] or node.get("transA", 0) or node.inputs[0] != self.current:
            raise NetworkError("it is not a plain dense layer; export it with alpha and beta 1.")
        kernel = known[0].T if node.get("transB", 0) else known[0]
        self._dense(kernel, known[1:2])

    def matmul(self, node: Node, known: list[NDArray[Any]]) -> None:
        if node.inputs[0] != self.current:
            raise NetworkError("its weights stand before the images; export it with the images first.")
        self._dense(known[0], [])

    def _dense(self, kernel: NDArray[Any], bias: list[NDArray[Any]]) -> None:
        shape = self._begin("F")
        if kernel.ndim != 2:
            raise NetworkError("its weights are not a table of features and units.")
        kernel = self.layout.rows_in_order(np.ascontiguousarray(kernel))
        if len(shape) == 3:
            self.stack.add(Flatten())
        units = kernel.shape[1]
        self.stack.add(Dense(units, use_bias=bool(bias)))
        self.weights.append([kernel, *(b.ravel() for b in bias)])
        self.shape, self.layout = (units,), _Layout.of("F", (units,))

    def add(self, node: Node, known: list[NDArray[Any]]) -> None:
        if self.shape is None:
            self.input.compute(node.kind, known[0])
            return
        last = self.stack.layers[-1]
        if not isinstance(last, Conv2D | Dense) or last.use_bias or last.activation != "linear":
            raise NetworkError("it adds something that is no layer's bias; digitlab has none of these.")
        units = last.units if isinstance(last, Dense) else last.filters
        behind = len(self.layout.dimensions) - 1 if self.layout.dimensions[0] in (("C",), ()) else 0
        if known[0].size != units or known[0].shape[known[0].ndim - behind :] != (1,) * behind:
            raise NetworkError(f"it adds {known[0].size} numbers where the layer before it has {units} units.")
        self.stack.layers[-1] = dataclasses.replace(last, use_bias=True)
        self.weights[-1].append(np.asarray(known[0].ravel(), np.float32))

    def scaled(self, node: Node, known: list[NDArray[Any]]) -> None:
        if self.shape is not None or node.inputs[0] != self.current:
            raise NetworkError("it computes with the images in a way that digitlab's layers do not.")
        self.input.compute(node.kind, known[0])

    def relu(self, node: Node, known: list[NDArray[Any]]) -> None:
        self.stack.activate("relu", len(self.stack.layers) + 1)

    def softmax(self, node: Node, known: list[NDArray[Any]]) -> None:
        if node.get("axis", -1) not in (-1, 1) or self.shape is None or len(self.shape) != 1:
            raise NetworkError("it does not run over the classes; put it behind the last dense layer.")
        # A LogSoftmax gives the logarithms of the same probabilities.
        self.stack.activate("softmax", len(self.stack.layers) + 1)

    def flatten(self, node: Node, known: list[NDArray[Any]]) -> None:
        if node.get("axis", 1) != 1:
            raise NetworkError("it flattens the batch too; flatten from axis 1.")
        self.layout = self.layout.reshaped((-1,))

    def reshape(self, node: Node, known: list[NDArray[Any]]) -> None:
        if known and not np.isfinite(known[0]).all():
            raise NetworkError("its new shape is not finite; export the model again.")
        target = tuple(int(n) for n in known[0].ravel()[:9]) if known else node.wholes("shape")
        allows_zero = bool(node.get("allowzero", 0))
        if len(target) < 2 or target[0] not in (-1, 0, 1) or (allows_zero and 0 in target):
            raise NetworkError("it reshapes the batch; keep the first dimension as it is.")
        shape = (0, *self.layout.shape)
        inner = tuple(shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(target))[1:]
        image = self.input.as_image(inner) if self.shape is None else None
        self.layout = self.layout.reshaped(inner) if image is None else image

    def transpose(self, node: Node, known: list[NDArray[Any]]) -> None:
        order = node.wholes("perm", tuple(reversed(range(len(self.layout.dimensions) + 1))))
        self.layout = self.layout.transposed(order)

    def nothing(self, node: Node, known: list[NDArray[Any]]) -> None:
        """Pass the images on: dropout does nothing when images are answered, and everything is float32 here."""


def _ones(node: Node, name: str, advice: str) -> None:
    value = node.wholes(name)
    if any(n != 1 for n in value):
        raise NetworkError(f"its {name} are {value}, and digitlab has only 1; {advice}.")


#: How many given numbers an operation has at least, besides the images.
_LEAST_GIVEN = {"Add": 1, "Conv": 1, "Div": 1, "Gemm": 1, "MatMul": 1, "Mul": 1, "Sub": 1}

_OPERATIONS: dict[str, Callable[[_Walk, Node, list[NDArray[Any]]], None]] = {
    "Add": _Walk.add,
    "Cast": _Walk.nothing,
    "Conv": _Walk.conv,
    "Div": _Walk.scaled,
    "Dropout": _Walk.nothing,
    "Flatten": _Walk.flatten,
    "Gemm": _Walk.gemm,
    "Identity": _Walk.nothing,
    "LogSoftmax": _Walk.softmax,
    "MatMul": _Walk.matmul,
    "MaxPool": _Walk.pool,
    "Mul": _Walk.scaled,
    "Relu": _Walk.relu,
    "Reshape": _Walk.reshape,
    "Softmax": _Walk.softmax,
    "Sub": _Walk.scaled,
    "Transpose": _Walk.transpose,
}


class _Input:
    """What goes into a model: how its pixels are scaled, and which of its axes is which, which no exporter says.

    A convolution behind it settles where the channels are; a dense layer leaves them where a picture can have them.
    """

    def __init__(self, shape: Shape, *, takes_bytes: bool) -> None:
        if len(shape) not in (1, 3) or any(n < 1 for n in shape) or math.prod(shape) > _MOST_PIXELS:
            raise NetworkError("its input must be images of a fixed size, or a row of features.")
        self.layout = _Layout.of(_UNSETTLED[: len(shape)], shape)
        self._shape, self._takes_bytes = shape, takes_bytes
        self._scale, self._offset = 1.0, 0.0

    def compute(self, kind: str, given: NDArray[Any]) -> None:
        """Add, subtract, multiply or divide by a number."""
        if given.size != 1:
            raise NetworkError("it computes with every pixel by itself; digitlab's networks take pixels from 0 to 1.")
        value = float(given.ravel()[0])
        if kind in ("Add", "Sub"):
            self._offset += value if kind == "Add" else -value
        else:
            factor = value if kind == "Mul" else 1.0 / value if value else math.inf
            self._scale, self._offset = self._scale * factor, self._offset * factor

    def as_image(self, shape: Shape) -> _Layout | None:
        """Return the layout if a row of pixels is made an image, since digitlab's networks take both; None if not."""
        if len(self._shape) != 1 or len(shape) != 3 or math.prod(shape) != self._shape[0] or min(shape) < 1:
            return None
        return _Layout.of(_UNSETTLED, shape)

    def settled(self, names: str, layout: _Layout) -> tuple[_Layout, Shape]:
        """Return the layout with the axes called what they are, and the shape of an image as digitlab has it.

        ``names`` are the axes that the first layer reads: ``CHW``, or ``F`` for features.
        """
        is_plain = self._scale == 1.0 and self._offset == 0.0 and not self._takes_bytes
        if not is_plain and not is_pixel_scale(self._scale, self._offset):
            raise NetworkError(
                "its images are not scaled to 0 to 1, as digitlab's are; train it with pixels divided by 255."
            )
        if names == "F":
            return self._settled_features(layout)
        if len(layout.dimensions) != len(names) or any(len(axes) > 1 for axes in layout.dimensions):
            raise NetworkError("it reads no images of (channels, height, width).")
        sizes = dict(zip(names, layout.shape, strict=True))
        return _Layout.of(names, layout.shape), (sizes["H"], sizes["W"], sizes["C"])

    def _settled_features(self, layout: _Layout) -> tuple[_Layout, Shape]:
        if len(self._shape) == 1:
            return layout, layout.shape
        is_first = self._shape[0] < self._shape[2]
        renamed = dict(zip(_UNSETTLED, "CHW" if is_first else "HWC", strict=True))
        dimensions = tuple(tuple(renamed[axis] for axis in axes) for axes in layout.dimensions)
        sizes = {renamed[axis]: size for axis, size in layout.sizes.items()}
        shape = (*self._shape[1:], self._shape[0]) if is_first else self._shape
        return _Layout(dimensions, sizes), shape


@dataclass(frozen=True)
class _Layout:
    """The dimensions of a tensor behind the batch, each as the axes that were merged into it, and the axes' sizes.

    Axes of size 1 are left out, since they may be anywhere.
    """

    dimensions: tuple[tuple[str, ...], ...]
    sizes: dict[str, int]

    @classmethod
    def of(cls, names: str, sizes: tuple[int, ...]) -> _Layout:
        """Return the layout of plain axes, such as ``_Layout.of("CHW", (8, 12, 12))``."""
        kept = {name: size for name, size in zip(names, sizes, strict=True) if size != 1}
        return cls(tuple((name,) if name in kept else () for name in names), kept)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return tuple(math.prod(self.sizes[axis] for axis in dimension) for dimension in self.dimensions)

    def transposed(self, order: tuple[int, ...]) -> _Layout:
        """Return the layout after a transposition, the batch (0) included and at its place."""
        if sorted(order) != list(range(len(self.dimensions) + 1)) or order[0] != 0:
            raise NetworkError(_UNCLEAR)
        return _Layout(tuple(self.dimensions[i - 1] for i in order[1:]), self.sizes)

    def reshaped(self, target: tuple[int, ...]) -> _Layout:
        """Return the layout after a reshaping to ``target`` without the batch, of which one may be -1."""
        total = math.prod(self.shape)
        known = math.prod(n for n in target if n != -1)
        if target.count(-1) > 1 or any(n < -1 or n == 0 for n in target) or known == 0 or total % known:
            raise NetworkError(_UNCLEAR)
        axes = [axis for dimension in self.dimensions for axis in dimension]
        dimensions = []
        for size in (total // known if n == -1 else n for n in target):
            taken: list[str] = []
            while math.prod(self.sizes[axis] for axis in taken) < size and axes:
                taken.append(axes.pop(0))
            if math.prod(self.sizes[axis] for axis in taken) != size:
                raise NetworkError(_UNCLEAR)
            dimensions.append(tuple(taken))
        if axes:
            raise NetworkError(_UNCLEAR)
        return _Layout(tuple(dimensions), self.sizes)

    def places(self, names: str) -> None:
        """Check that the dimensions are these axes, such as ``CHW``."""
        expected = _Layout.of(names, tuple(self.sizes.get(name, 1) for name in names))
        if self.dimensions != expected.dimensions:
            raise NetworkError("its images do not have channels where ONNX' convolution and pooling expect them.")

    def rows_in_order(self, kernel: NDArray[np.float32], names: str = "HWC") -> NDArray[np.float32]:
        """Return a dense kernel ``(features, units)`` with its rows in the order of the named axes."""
        if len(self.dimensions) != 1:
            raise NetworkError("its dense layer reads images; flatten them before it.")
        (axes,) = self.dimensions
        if kernel.ndim != 2 or kernel.shape[0] != self.shape[0]:
            raise NetworkError(f"its dense layer expects {kernel.shape[0]} features and gets {self.shape[0]}.")
        wanted = [axes.index(name) for name in names if name in axes]
        if len(wanted) != len(axes):
            return kernel
        cube = kernel.reshape(*(self.sizes[axis] for axis in axes), kernel.shape[1])
        return np.ascontiguousarray(cube.transpose(*wanted, len(axes)).reshape(kernel.shape))
