"""ONNX models as PyTorch, tf2onnx, Keras, CNTK and scikit-learn's users export them: one chain of operations.

Every operation of the chain becomes a layer of digitlab, a scale and an offset that are folded into layers, or only
another layout of the same numbers; whatever else is computed on the way there stands on given numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.folding import Affine, Weighted
from digitlab.network.formats.files import assembled, checkpoint_in, lacking, shown, unusable
from digitlab.network.formats.onnx_graph import COMPUTABLE, Graph, Node, axes_of, border_of, computed, read_graph
from digitlab.network.formats.onnx_layout import Layout
from digitlab.network.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    Shape,
    ZeroPadding2D,
    activation_of,
    same_border,
)

_SIDE = 28  # of a digit, where a model leaves the size of its images open
_MOST_OUTPUTS = 4
# What is computed on the way from given numbers may be so many times what the file holds, and a little more.
_COPIES, _MORE_VALUES = 8, 10_000
# A scale and an offset of every single value: MNIST's images with 256 channels have fewer.
_MOST_SCALED = 2**18
# Whoever divides pixels by more than this has pixels of 0 to 255: their deviation is 79, and that of 0 to 1 is 0.31.
_LEAST_DIVISOR = 20.0
_SCALE_TOLERANCE = 1e-6
_LARGEST_FLOAT = 3e38
# TensorProto's numbers for FLOAT, FLOAT16 and DOUBLE.
_FLOATS = (1, 10, 11)

Given = Sequence[NDArray[Any] | None]


def read_onnx(path: Path) -> Checkpoint:
    """Read an ONNX model that anybody may have written."""
    graph = read_graph(path)
    found: list[tuple[bool, bool, bool, Architecture, list[NDArray[np.float32]]]] = []
    problem: NetworkError | None = None
    for output in graph.outputs[:_MOST_OUTPUTS]:
        for shape in _possible_shapes(graph.input_shape):
            try:
                walk = _Walk(graph, output, shape)
                network, weights = walk.finish()
            except NetworkError as error:
                problem = problem or error
                continue
            found.append((walk.ends_in_softmax, network.n_classes == 10, walk.tells_pixels, network, weights))
            break
    if not found:
        raise unusable(path, str(problem), lacks=True)
    # Of several outputs, such as features and logits beside the probabilities, that with the classes.
    *_, tells_pixels, network, weights = max(found, key=lambda one: one[:2])
    return checkpoint_in(path, network, weights, graph.class_names, graph.metadata, tells_pixels)


def _possible_shapes(shape: Shape) -> list[Shape]:
    """Return what one image can be where the model leaves sizes open: one of MNIST's."""
    n_open = sum(n < 1 for n in shape)
    if n_open == 0:
        return [shape]
    sides = tuple(n if n > 0 else _SIDE for n in shape)
    first, last = (1, *sides[1:]), (*sides[:-1], 1)
    if len(shape) == 1 or (len(shape) == 2 and set(shape) & {1, _SIDE * _SIDE}):
        return [(_SIDE * _SIDE,)]
    if len(shape) == 3 and n_open == 3:
        return [first, last]
    if len(shape) == 3 and n_open == 1 and shape[1] >= 1:
        return [first if shape[0] < 1 else last]
    return [sides]


class _Walk:
    """The chain from the input to an output; ``names`` are those of the tensor that the images are in.

    A scale and an offset, ``spread`` over that tensor, wait until the next layer comes.
    """

    def __init__(self, graph: Graph, output: str, input_shape: Shape) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        self.left_values = _COPIES * sum(array.size for array in self.constants.values()) + _MORE_VALUES
        self.names = {graph.input}
        self.steps: list[Weighted | Affine] = []
        #: Shape of one image or row in digitlab's order, once it is known which axis is which.
        self.shape: Shape | None = None
        self.input_shape: Shape | None = None
        self.layout = Layout.of_input(input_shape)
        self.spread: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        if graph.takes_bytes:
            self._scale(np.float64(255.0), np.float64(0.0))
        self.tells_pixels = graph.takes_bytes
        self.ends_in_softmax = self.has_ended = False
        #: Of every tensor so far that the images were in.
        self.shapes = {graph.input: self.layout.shape}
        for position, node in enumerate(graph.leading_to(output), start=1):
            self._follow(node, position)
        if output not in self.names:
            raise NetworkError(f"its output {shown(output)} does not come from the images.")

    def finish(self) -> tuple[Architecture, list[NDArray[np.float32]]]:
        """Return the network and its weights."""
        self._settle()
        if self.input_shape is None or not any(isinstance(step, tuple) and step[1] for step in self.steps):
            raise NetworkError("it has no layer that learns.")
        self._as_row()
        return assembled(self.steps, self.input_shape, self.graph.name)

    def _follow(self, node: Node, position: int) -> None:
        inputs = [name for name in node.inputs if name]
        known = [self.constants[name] for name in inputs if name in self.constants]
        if not node.outputs:
            raise lacking(node.kind, position=position)
        if len(known) == len(inputs) and node.kind in COMPUTABLE:
            result = computed(node, known)
            self.left_values -= result.size
            if self.left_values < 0:
                raise NetworkError("it computes too much from given numbers; export the model again.")
            self.constants[node.outputs[0]] = result
            return
        if node.kind == "Shape" and len(inputs) == 1 and inputs[0] in self.shapes:
            # Nobody knows the batch; as -1 it does what it should where the shape is used to reshape.
            shape = np.array([-1, *self.shapes[inputs[0]]])
            self.constants[node.outputs[0]] = shape[node.get("start", 0) : node.get("end", len(shape))]
            return
        if node.kind not in _OPERATIONS:
            raise lacking(node.kind, position=position)
        is_behind = node.kind in _EITHER_WAY or not self.names.isdisjoint(node.inputs[:1])
        if len(known) != len(inputs) - 1 or sum(name in self.names for name in inputs) != 1 or not is_behind:
            raise NetworkError(
                f"Operation {position}, {node.kind}, does not follow the one before it; digitlab runs chains."
            )
        given = [self.constants.get(name) if name and name not in self.names else None for name in node.inputs]
        needed = _LEAST_GIVEN.get(node.kind, 0)
        if len(known) < needed or any(given[i] is None for i in range(1, needed + 1) if node.kind not in _EITHER_WAY):
            raise NetworkError(f"Operation {position}, {node.kind}, lacks the numbers that it computes with.")
        if self.has_ended and node.kind not in _BEHIND_THE_ANSWER:
            raise lacking(node.kind, position=position)
        try:
            changes = _OPERATIONS[node.kind](self, node, given)
        except NetworkError as error:
            raise NetworkError(f"Operation {position}, {node.kind}: {error}") from None
        if changes is None:
            self.names = {node.outputs[0]}
        else:
            self.names.add(node.outputs[0])
        self.shapes[node.outputs[0]] = self.layout.shape

    # ---- the state between two layers ----

    def _settle(self, names: str = "") -> Shape:
        """Settle which axis is which, now that an operation reads the axes ``names``, and what was scaled so far."""
        if self.shape is None:
            self.layout, self.shape = self.layout.settled(names)
            self.input_shape = self.shape
        if self.spread is not None:
            factor, offset = self.spread
            self.spread = None
            if not np.isfinite(factor).all() or not np.isfinite(offset).all():
                raise NetworkError("it scales by numbers that are not finite; export the model again.")
            self.tells_pixels = self.tells_pixels or not self.steps
            if not self.steps and not self.graph.takes_bytes and np.median(np.abs(factor)) < 1.0 / _LEAST_DIVISOR:
                factor = factor * 255.0  # its pixels are 0 to 255
            if np.abs(factor - 1.0).max() > _SCALE_TOLERANCE or np.abs(offset).max() > _SCALE_TOLERANCE:
                self.steps.append(self._affine(factor, offset))
        assert self.shape is not None
        return self.shape

    def _affine(self, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> Affine:
        """Return a map of channels, or of the features of a row, which is made of images if it has to be."""
        numbers = [self.layout.channels_of(array) for array in (factor, offset)]
        if self._has_images() and numbers[0] is not None and numbers[1] is not None:
            return Affine.of(numbers[0], numbers[1])
        if self.layout.row is None:
            raise NetworkError("it computes with every pixel by itself, and digitlab's layers with every channel.")
        order = self.layout.row_order()
        rows = [np.broadcast_to(array, self.layout.shape).ravel()[order] for array in (factor, offset)]
        self._as_row()
        return Affine.of(rows[0], rows[1])

    def _scale(self, factor: ArrayLike, offset: ArrayLike) -> None:
        """Compute with numbers that are spread over the tensor as NumPy does it, the batch included."""
        arrays = []
        rank = len(self.layout.dimensions)
        for numbers in (factor, offset):
            array = np.asarray(numbers, np.float64)
            if array.ndim == rank + 1 and array.shape[0] == 1:
                array = array[0]
            array = array.reshape((1,) * (rank - array.ndim) + array.shape)
            if array.ndim != rank or any(n not in (1, m) for n, m in zip(array.shape, self.layout.shape, strict=True)):
                raise NetworkError(f"it has {array.size} numbers for images or rows of {self.layout.shape}.")
            arrays.append(array)
        if self.spread is not None:
            before = self.spread
            with np.errstate(all="ignore"):
                arrays = [before[0] * arrays[0], before[1] * arrays[0] + arrays[1]]
        if max(array.size for array in arrays) > _MOST_SCALED:
            raise NetworkError("it scales every value by itself, and they are too many.")
        self.spread = arrays[0], arrays[1]

    def _relaid(self, layout: Layout, move: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
        """Take another layout of the same numbers; ``move`` does the same to what is spread over them."""
        is_of_channels = self._has_images() and all(
            self.layout.channels_of(array) is not None for array in self.spread or ()
        )
        if is_of_channels:
            self._settle()
        if self.spread is not None:
            factor, offset = self.spread
            is_one = factor.size == offset.size == 1
            if not is_one and math.prod(self.layout.shape) > _MOST_SCALED:
                raise NetworkError("it scales every value by itself, and they are too many.")
            shape = (1,) * len(layout.dimensions)
            self.spread = tuple(  # type: ignore[assignment]
                array.reshape(shape) if is_one else move(np.broadcast_to(array, self.layout.shape))
                for array in (factor, offset)
            )
        self.layout = layout

    def _has_images(self) -> bool:
        return self.shape is not None and len(self.shape) == 3

    def _image(self) -> Shape:
        """Return the shape of the images that an operation reads as (channels, height, width)."""
        shape = self._settle("CHW")
        self.layout.must_be("CHW")
        if len(shape) != 3:
            raise NetworkError("it reads images, and behind the flattening there are none.")
        return shape

    def _as_row(self) -> None:
        """Flatten images, if there are any; the layout is then a row's."""
        assert self.shape is not None
        row = self.layout.row
        if row is None:
            raise NetworkError("its dense layer reads images; flatten them before it.")
        if len(self.shape) == 3:
            self._add(Flatten())
            self.layout = Layout.of_row(self.shape[0], row, len(self.layout.dimensions))

    def _add(self, layer: Layer, weights: tuple[NDArray[np.float32], ...] = ()) -> None:
        self.shape = layer.output_shape(self.shape or ())
        self.steps.append((layer, weights))

    def _bordered(self, node: Node, window: Sequence[int], strides: Sequence[int], *, zeros: bool) -> str:
        """Return the padding of a layer; a border that is neither ``valid`` nor ``same`` is added as one of zeros."""
        assert self.shape is not None
        sizes = self.shape[:2]
        border = border_of(node, sizes, window, strides)
        if border == ((0, 0), (0, 0)):
            return "valid"
        same = tuple(same_border(n, k, s) for n, k, s in zip(sizes, window, strides, strict=True))
        is_pooling = node.kind != "Conv"
        if border == same and not (is_pooling and zeros and node.kind == "AveragePool"):
            return "same"
        if not zeros or any(n >= k for side, k in zip(border, window, strict=True) for n in side if is_pooling):
            raise NetworkError(f"its border of {border} is one that digitlab's layers do not have; use valid or same.")
        self._add(ZeroPadding2D(border))
        return "valid"

    # ---- layers that learn ----

    def conv(self, node: Node, given: Given) -> None:
        kernel = _numbers(given[1])
        if self.shape is not None and not self._has_images() and kernel.shape[2:] == (1, 1):
            # Behind global pooling a row of channels is left, and a convolution of one pixel is a dense layer.
            self._dense(kernel[:, :, 0, 0].T, given[2:3], 0)
            return
        shape = self._image()
        if kernel.ndim != 4 or kernel.shape[1] != shape[-1] or node.get("group", 1) != 1:
            raise NetworkError("its kernels do not fit the channels; digitlab has ordinary convolutions only.")
        _ones(node, "dilations", "use a larger kernel")
        strides = node.wholes("strides", (1, 1))
        if len(strides) != 2 or min(strides) < 1:
            raise NetworkError(f"its strides are {strides}; two whole numbers from 1 are expected.")
        padding = self._bordered(node, kernel.shape[2:], strides, zeros=True)
        bias = tuple(_numbers(b).ravel() for b in given[2:3] if b is not None)
        layer = Conv2D(
            kernel.shape[0], kernel.shape[2:], strides=(strides[0], strides[1]), padding=padding, use_bias=bool(bias)
        )
        self._add(layer, (np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), *bias))
        self._became_image()

    def gemm(self, node: Node, given: Given) -> None:
        if node.get("transA", 0) or given[0] is not None:
            raise NetworkError("it is not a plain dense layer; its images have to come first, as rows.")
        kernel = _numbers(given[1]) * np.float32(node.get("alpha", 1.0))
        beta = np.float32(node.get("beta", 1.0))
        bias = [None if b is None else _numbers(b) * beta for b in given[2:3]]
        self._dense(kernel.T if node.get("transB", 0) else kernel, bias, len(self.layout.dimensions) - 1)

    def matmul(self, node: Node, given: Given) -> None:
        if given[0] is not None:
            raise NetworkError("its weights stand before the images; export it with the images first.")
        self._dense(_numbers(given[1]), [], len(self.layout.dimensions) - 1)

    def _dense(self, kernel: NDArray[np.float32], bias: Given, place: int) -> None:
        """Add a dense layer for rows that are the dimension ``place``."""
        self._settle()
        if kernel.ndim != 2:
            raise NetworkError("its weights are not a table of features and units.")
        order = self.layout.row_order()
        rank, units = len(self.layout.dimensions), kernel.shape[1]
        if kernel.shape[0] != len(order) or (self.layout.sizes and self.layout.row != place):
            raise NetworkError(
                f"its dense layer expects {kernel.shape[0]} features and gets {self.layout.shape[place]}."
            )
        self._as_row()
        biases = tuple(_numbers(one).ravel() for one in bias if one is not None)
        if any(one.size not in (1, units) for one in biases):
            raise NetworkError(f"its bias does not have {units} numbers, one for each unit.")
        spread = tuple(np.broadcast_to(one, units) for one in biases)
        self._add(Dense(units, use_bias=bool(biases)), (np.ascontiguousarray(kernel[order]), *spread))
        self.layout = Layout.of_row(units, place, rank)

    def _became_image(self) -> None:
        assert self.shape is not None
        height, width, channels = self.shape
        self.layout = Layout.of("CHW", (channels, height, width))

    # ---- pooling and borders ----

    def pool(self, node: Node, given: Given) -> None:
        self._image()
        window = node.wholes("kernel_shape")
        strides = node.wholes("strides", (1,) * len(window))
        if len(window) != 2 or len(strides) != 2 or min(*window, *strides) < 1:
            raise NetworkError("its window is not one of images.")
        _ones(node, "dilations", "use a larger window")
        pool, step = (window[0], window[1]), (strides[0], strides[1])
        if node.kind == "MaxPool":
            # Nothing counts beyond the image, so zeros may stand there only where no value is less.
            padding = self._bordered(node, window, strides, zeros=self._is_nonnegative())
            self._add(MaxPooling2D(pool, step, padding=padding))
        else:
            counts_border = bool(node.get("count_include_pad", 0)) and not node.get("ceil_mode", 0)
            padding = self._bordered(node, window, strides, zeros=counts_border)
            self._add(AveragePooling2D(pool, step, padding=padding))
        self._became_image()

    def _is_nonnegative(self) -> bool:
        """Tell whether no value of the images can be below zero."""
        for step in reversed(self.steps):
            if isinstance(step, Affine):
                return False
            if activation_of(step[0])[0] in ("relu", "sigmoid"):
                return True
            if not isinstance(step[0], MaxPooling2D | AveragePooling2D | ZeroPadding2D):
                return False
        return True

    def global_pool(self, node: Node, given: Given) -> None:
        self._image()
        self._pool_globally(node.kind == "GlobalMaxPool")

    def reduce(self, node: Node, given: Given) -> None:
        self._settle()
        rank = len(self.layout.dimensions)
        named = node.wholes("axes") if len(given) < 2 or given[1] is None else [int(n) for n in given[1].ravel()[:9]]
        axes = [_behind_batch(n, rank) for n in named]
        chosen = {axis for i in axes for axis in self.layout.dimensions[i]}
        if not axes or not chosen <= {"H", "W"} or any(len(self.layout.dimensions[i]) > 1 for i in axes):
            raise NetworkError("it takes the mean or the largest of other than rows and columns.")
        is_max = node.kind == "ReduceMax"
        if chosen and chosen >= set(self.layout.sizes) & {"H", "W"}:
            self._pool_globally(is_max)
        elif chosen:
            assert self.shape is not None
            window = (self.shape[0], 1) if chosen == {"H"} else (1, self.shape[1])
            self._add(MaxPooling2D(window) if is_max else AveragePooling2D(window))
            self.layout = self.layout.without(*chosen)
        if not node.get("keepdims", 1):
            self.layout = self.layout.squeezed(axes)

    def _pool_globally(self, is_max: bool) -> None:
        self._add(GlobalMaxPooling2D() if is_max else GlobalAveragePooling2D())
        self.layout = self.layout.without("H").without("W").renamed({"C": "F"})

    def pad(self, node: Node, given: Given) -> None:
        rank = len(self.layout.dimensions)
        pads, value, axes = node.wholes("pads", node.wholes("paddings")), [node.get("value", 0.0)], [*range(rank + 1)]
        for i, array in enumerate(given[1:4]):  # before operator set 11 these are attributes
            if array is not None and i == 0:
                pads = tuple(int(n) for n in array.ravel()[:16])
            elif array is not None and i == 1:
                value = [*array.ravel()[:2]]
            elif array is not None:
                axes = [int(n) % (rank + 1) for n in array.ravel()[:8]]
        if len(pads) != 2 * len(axes) or node.get("mode", "constant") != "constant" or value != [0.0]:
            raise NetworkError("its border is not one of zeros.")
        sides = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes) if pads[i] or pads[i + len(axes)]}
        if not sides:
            return
        if self.shape is None:
            # Whatever has a border is no channel.
            self._settle("HW" if rank == 2 else "HWC" if rank not in sides else "CHW")
        self._settle()
        names = {axis: self.layout.dimensions[axis - 1] for axis in sides if 1 <= axis <= rank}
        by_name = {axes[0]: sides[axis] for axis, axes in names.items() if len(axes) == 1}
        if len(by_name) != len(sides) or not set(by_name) <= {"H", "W"}:
            raise NetworkError("its border is not one of images' rows and columns.")
        self._add(ZeroPadding2D((by_name.get("H", (0, 0)), by_name.get("W", (0, 0)))))
        assert self.shape is not None
        self.layout = Layout(self.layout.dimensions, self.layout.sizes | {"H": self.shape[0], "W": self.shape[1]})

    # ---- scales, offsets, activations ----

    def arithmetic(self, node: Node, given: Given) -> None:
        """Add, subtract, multiply or divide by given numbers."""
        is_first = given[0] is None
        numbers = given[1] if is_first else given[0]
        values = np.asarray(numbers, np.float64)
        if node.get("broadcast", 0) and "axis" in node.attributes:  # before operator set 7
            behind = len(self.layout.dimensions) + 1 - _behind_batch(node.get("axis", 0), 99) - 1 - values.ndim
            values = values.reshape(values.shape + (1,) * max(0, behind))
        if node.kind in ("Add", "Sub"):
            sign = -1.0 if node.kind == "Sub" else 1.0
            self._scale(1.0 if is_first else sign, values * sign if is_first else values)
        elif node.kind == "Mul":
            self._scale(values, 0.0)
        elif is_first:
            with np.errstate(all="ignore"):
                self._scale(1.0 / values, 0.0)
        else:
            raise NetworkError("it divides by the images.")

    def negative(self, node: Node, given: Given) -> None:
        self._scale(-1.0, 0.0)

    def batch_normalization(self, node: Node, given: Given) -> None:
        if node.get("training_mode", 0):
            raise NetworkError("it was exported while it trains. Call model.eval() before you export it.")
        gamma, beta, mean, variance = (_numbers(array).ravel() for array in given[1:5])
        if len({array.size for array in (gamma, beta, mean, variance)}) != 1:
            raise NetworkError("its numbers are not one for each channel.")
        affine = Affine.normalization(mean, variance, node.get("epsilon", 1e-5), gamma, beta)
        shape = (-1, *(1 for _ in self.layout.dimensions[1:]))
        self._scale(affine.factor.reshape(shape), affine.offset.reshape(shape))

    def scaler(self, node: Node, given: Given) -> None:
        """Standardize features as scikit-learn does."""
        offset, scale = np.array(node.get("offset", (0.0,))), np.array(node.get("scale", (1.0,)))
        self._scale(scale, -offset * scale)

    def activation(self, node: Node, given: Given) -> None:
        self._activate(Activation({"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}[node.kind]))

    def _activate(self, layer: Layer) -> None:
        self._settle()
        self._add(layer)

    def leaky_relu(self, node: Node, given: Given) -> None:
        self._activate(LeakyReLU(node.get("alpha", 0.01)))

    def prelu(self, node: Node, given: Given) -> None:
        slopes = _numbers(given[1])
        if slopes.size == 0 or (slopes != slopes.flat[0]).any():
            raise NetworkError("it has several slopes; digitlab's LeakyReLU has one.")
        self._activate(LeakyReLU(float(slopes.flat[0])))

    def elu(self, node: Node, given: Given) -> None:
        self._activate(ELU(node.get("alpha", 1.0)))

    def clip(self, node: Node, given: Given) -> None:
        limits = [node.get("min", -math.inf), node.get("max", math.inf)]
        for i, array in enumerate(given[1:3]):
            limits[i] = limits[i] if array is None or array.size != 1 else float(array.ravel()[0])
        if node.kind == "Max":
            numbers = given[0] if given[1] is None else given[1]
            is_one = len(given) == 2 and numbers is not None and numbers.size == 1
            limits[0] = float(numbers.ravel()[0]) if is_one else math.nan  # type: ignore[union-attr]
        if limits[0] != 0.0 or limits[1] < _LARGEST_FLOAT:
            raise NetworkError(f"it cuts values off at {limits[0]} and {limits[1]}; digitlab has ReLU only.")
        self._activate(Activation("relu"))

    def softmax(self, node: Node, given: Given) -> bool:
        # A LogSoftmax gives the logarithms of the same probabilities.
        self._settle()
        if self.layout.row is None:
            raise NetworkError("it does not run over the classes; put it behind the last dense layer.")
        axis = _behind_batch(node.get("axis", 1 if self.graph.opset < 13 else -1), len(self.layout.dimensions))
        if axis != self.layout.row and not (self.graph.opset < 13 and axis < self.layout.row):
            raise NetworkError("it does not run over the classes; put it behind the last dense layer.")
        self._as_row()
        self._add(Activation("softmax"))
        self.has_ended = self.ends_in_softmax = True
        return True

    def answer(self, node: Node, given: Given) -> bool:
        """Pass over what only looks up which answer is the largest; the probabilities are before it."""
        self._settle()
        if node.kind == "ArgMax" and self.layout.row != _behind_batch(node.get("axis", 0), len(self.layout.dimensions)):
            raise NetworkError("it does not look for the largest of the classes.")
        if node.kind != "ArgMax" and not self.ends_in_softmax:
            raise NetworkError("it stands where there are no probabilities.")
        self.has_ended = True
        return True

    # ---- other layouts of the same numbers ----

    def flatten(self, node: Node, given: Given) -> None:
        axis = node.get("axis", 1)
        axis = axis if axis >= 0 else axis + len(self.layout.dimensions) + 1
        if axis < 1 or math.prod(self.layout.shape[: axis - 1]) != 1:
            raise NetworkError("it flattens the batch too; flatten from axis 1.")
        self._reshape((-1,))

    def reshape(self, node: Node, given: Given) -> None:
        numbers = given[1] if len(given) > 1 else None
        if numbers is not None and not np.isfinite(numbers).all():
            raise NetworkError("its new shape is not finite; export the model again.")
        target = node.wholes("shape") if numbers is None else tuple(int(n) for n in numbers.ravel()[:9])
        allows_zero = bool(node.get("allowzero", 0))
        if self.has_ended:
            return
        batches = (-1, 0, 1, self.graph.batch)
        if len(target) < 2 or target[0] not in batches or (allows_zero and 0 in target):
            raise NetworkError("it reshapes the batch; keep the first dimension as it is.")
        shape = (0, *self.layout.shape)
        self._reshape(tuple(shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(target))[1:])

    def _reshape(self, target: Sequence[int]) -> None:
        layout = self.layout.reshaped(target, splits=self.shape is None)
        self._relaid(layout, lambda array: array.reshape(layout.shape))

    def squeeze(self, node: Node, given: Given) -> None:
        axes = axes_of(node.attributes, given)
        if self.has_ended:
            return
        behind = None if axes is None else [_behind_batch(n, len(self.layout.dimensions)) for n in axes]
        layout = self.layout.squeezed(behind)
        self._relaid(layout, lambda array: array.reshape(layout.shape))

    def unsqueeze(self, node: Node, given: Given) -> None:
        axes = axes_of(node.attributes, given) or ()
        layout = self.layout.unsqueezed([_behind_batch(n, len(self.layout.dimensions) + len(axes)) for n in axes])
        self._relaid(layout, lambda array: array.reshape(layout.shape))

    def transpose(self, node: Node, given: Given) -> None:
        order = node.wholes("perm", tuple(reversed(range(len(self.layout.dimensions) + 1))))
        layout = self.layout.transposed(order)
        self._relaid(layout, lambda array: array.transpose([i - 1 for i in order[1:]]))

    def nothing(self, node: Node, given: Given) -> bool:
        """Pass the images on: dropout does nothing when images are answered, and everything is float32 here."""
        return True

    def cast(self, node: Node, given: Given) -> bool:
        if node.get("to", 1) not in _FLOATS and not self.has_ended and self.shape is not None:
            raise NetworkError("it rounds values to whole numbers.")
        return True


def _behind_batch(axis: int, rank: int) -> int:
    """Return the position behind the batch of an axis, which may be counted from the end."""
    position = axis - 1 if axis >= 0 else rank + axis
    if not 0 <= position < rank:
        raise NetworkError("it works along the batch, or along an axis that there is not.")
    return position


def _numbers(array: NDArray[Any] | None) -> NDArray[np.float32]:
    if array is None:
        raise NetworkError("it lacks the numbers that it computes with.")
    return array.astype(np.float32, copy=False)


def _ones(node: Node, name: str, advice: str) -> None:
    value = node.wholes(name)
    if any(n != 1 for n in value):
        raise NetworkError(f"its {name} are {value}, and digitlab has only 1; {advice}.")


#: Operations of which either side may be the images.
_EITHER_WAY = frozenset(["Add", "Div", "Gemm", "MatMul", "Max", "Mul", "Sub"])
#: How many given numbers an operation has at least, besides the images.
_LEAST_GIVEN = {
    "Add": 1, "BatchNormalization": 4, "Conv": 1, "Div": 1, "Gemm": 1, "MatMul": 1, "Max": 1, "Mul": 1, "PRelu": 1,
    "Sub": 1,
}  # fmt: skip
#: What may stand behind the probabilities, or the largest of them, and changes no answer.
_BEHIND_THE_ANSWER = frozenset(
    ["ArgMax", "Cast", "Exp", "Identity", "Log", "Reshape", "Squeeze", "Flatten", "ai.onnx.ml.Normalizer",
     "ai.onnx.ml.ZipMap"]
)  # fmt: skip

#: What an operation does; True says that the images stay in the same tensor, by another name.
_OPERATIONS: dict[str, Callable[[_Walk, Node, Given], bool | None]] = {
    "Add": _Walk.arithmetic,
    "ArgMax": _Walk.answer,
    "AveragePool": _Walk.pool,
    "BatchNormalization": _Walk.batch_normalization,
    "Cast": _Walk.cast,
    "Clip": _Walk.clip,
    "Conv": _Walk.conv,
    "Div": _Walk.arithmetic,
    "Dropout": _Walk.nothing,
    "Elu": _Walk.elu,
    "Exp": _Walk.answer,
    "Flatten": _Walk.flatten,
    "Gemm": _Walk.gemm,
    "GlobalAveragePool": _Walk.global_pool,
    "GlobalMaxPool": _Walk.global_pool,
    "Identity": _Walk.nothing,
    "LeakyRelu": _Walk.leaky_relu,
    "Log": _Walk.answer,
    "LogSoftmax": _Walk.softmax,
    "MatMul": _Walk.matmul,
    "Max": _Walk.clip,
    "MaxPool": _Walk.pool,
    "Mul": _Walk.arithmetic,
    "Neg": _Walk.negative,
    "PRelu": _Walk.prelu,
    "Pad": _Walk.pad,
    "ReduceMax": _Walk.reduce,
    "ReduceMean": _Walk.reduce,
    "Relu": _Walk.activation,
    "Reshape": _Walk.reshape,
    "Sigmoid": _Walk.activation,
    "Softmax": _Walk.softmax,
    "Squeeze": _Walk.squeeze,
    "Sub": _Walk.arithmetic,
    "Tanh": _Walk.activation,
    "Transpose": _Walk.transpose,
    "Unsqueeze": _Walk.unsqueeze,
    "ai.onnx.ml.Normalizer": _Walk.answer,
    "ai.onnx.ml.Scaler": _Walk.scaler,
    "ai.onnx.ml.ZipMap": _Walk.answer,
}
