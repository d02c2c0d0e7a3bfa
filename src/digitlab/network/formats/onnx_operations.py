"""The operations of ONNX that digitlab understands: what each does to a `Walk` through a graph.

One becomes a layer, a scale and an offset, or another layout of the same numbers; or it is nothing, because it does
nothing when images are answered. What digitlab's layers do not do is a NetworkError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.folding import Affine
from digitlab.network.formats.onnx_graph import Node, axes_of, border_of
from digitlab.network.formats.onnx_layout import Layout
from digitlab.network.formats.onnx_walk import Walk
from digitlab.network.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    ZeroPadding2D,
    activation_of,
    same_border,
)

_LARGEST_FLOAT = 3e38
# TensorProto's numbers for FLOAT, FLOAT16 and DOUBLE.
_FLOATS = (1, 10, 11)

#: What an operation gets, in its order; None where the images are, or nothing is.
Given = Sequence[NDArray[Any] | None]


def _bordered(walk: Walk, node: Node, window: Sequence[int], strides: Sequence[int], *, zeros: bool) -> str:
    """Return the padding of a layer; a border that is neither ``valid`` nor ``same`` is added as one of zeros."""
    assert walk.shape is not None
    sizes = walk.shape[:2]
    border = border_of(node, sizes, window, strides)
    if border == ((0, 0), (0, 0)):
        return "valid"
    same = tuple(same_border(n, k, s) for n, k, s in zip(sizes, window, strides, strict=True))
    if border == same and not (zeros and node.kind == "AveragePool"):
        return "same"
    is_empty = any(n >= k for side, k in zip(border, window, strict=True) for n in side)  # of a window of the border
    if not zeros or (is_empty and node.kind == "MaxPool"):
        raise NetworkError(f"its border of {border} is one that digitlab's layers do not have; use valid or same.")
    walk.add(ZeroPadding2D(border))
    return "valid"


# ---- layers that learn ----


def _conv(walk: Walk, node: Node, given: Given) -> None:
    kernel = _numbers(given[1])
    if walk.shape is not None and not walk.has_images() and kernel.shape[2:] == (1, 1):
        # Behind global pooling a row of channels is left, and a convolution of one pixel is a dense layer.
        _dense(walk, kernel[:, :, 0, 0].T, given[2:3], 0)
        return
    shape = walk.image()
    if kernel.ndim != 4 or kernel.shape[1] != shape[-1] or node.get("group", 1) != 1:
        raise NetworkError("its kernels do not fit the channels; digitlab has ordinary convolutions only.")
    _ones(node, "dilations", "use a larger kernel")
    strides = node.wholes("strides", (1, 1))
    if len(strides) != 2 or min(strides) < 1:
        raise NetworkError(f"its strides are {strides}; two whole numbers from 1 are expected.")
    padding = _bordered(walk, node, kernel.shape[2:], strides, zeros=True)
    bias = tuple(_numbers(b).ravel() for b in given[2:3] if b is not None)
    layer = Conv2D(
        kernel.shape[0], kernel.shape[2:], strides=(strides[0], strides[1]), padding=padding, use_bias=bool(bias)
    )
    walk.add(layer, (np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), *bias))
    walk.became_image()


def _gemm(walk: Walk, node: Node, given: Given) -> None:
    if node.get("transA", 0) or given[0] is not None:
        raise NetworkError("it is not a plain dense layer; its images have to come first, as rows.")
    kernel = _numbers(given[1]) * np.float32(node.get("alpha", 1.0))
    beta = np.float32(node.get("beta", 1.0))
    bias = [None if b is None else _numbers(b) * beta for b in given[2:3]]
    _dense(walk, kernel.T if node.get("transB", 0) else kernel, bias, len(walk.layout.dimensions) - 1)


def _matmul(walk: Walk, node: Node, given: Given) -> None:
    if given[0] is not None:
        raise NetworkError("its weights stand before the images; export it with the images first.")
    _dense(walk, _numbers(given[1]), [], len(walk.layout.dimensions) - 1)


def _dense(walk: Walk, kernel: NDArray[np.float32], bias: Given, place: int) -> None:
    """Add a dense layer for rows that are the dimension ``place``."""
    walk.settle()
    if kernel.ndim != 2:
        raise NetworkError("its weights are not a table of features and units.")
    rank, units = len(walk.layout.dimensions), kernel.shape[1]
    if kernel.shape[0] != walk.layout.shape[place] or (walk.layout.sizes and walk.layout.row != place):
        raise NetworkError(f"its dense layer expects {kernel.shape[0]} features and gets {walk.layout.shape[place]}.")
    order = walk.layout.row_order()
    walk.as_row()
    biases = tuple(_numbers(one).ravel() for one in bias if one is not None)
    if any(one.size not in (1, units) for one in biases):
        raise NetworkError(f"its bias does not have {units} numbers, one for each unit.")
    spread = tuple(np.broadcast_to(one, units) for one in biases)
    walk.add(Dense(units, use_bias=bool(biases)), (np.ascontiguousarray(kernel[order]), *spread))
    walk.layout = Layout.of_row(units, place, rank)


def _linear_classifier(walk: Walk, node: Node, given: Given) -> None:
    """Take scikit-learn's logistic regression, which is a dense layer."""
    coefficients = np.array(node.get("coefficients", (0.0,)), np.float32)
    intercepts = np.array(node.get("intercepts", (0.0,)), np.float32)
    n = max(1, intercepts.size)
    if coefficients.size % n or node.get("post_transform", "NONE") != "SOFTMAX":
        raise NetworkError("its probabilities are not those of a softmax.")
    _dense(walk, coefficients.reshape(n, -1).T, [intercepts], len(walk.layout.dimensions) - 1)
    _end_in_softmax(walk)


# ---- pooling and borders ----


def _pool(walk: Walk, node: Node, given: Given) -> None:
    walk.image()
    window = node.wholes("kernel_shape")
    strides = node.wholes("strides", (1,) * len(window))
    if len(window) != 2 or len(strides) != 2 or min(*window, *strides) < 1:
        raise NetworkError("its window is not one of images.")
    _ones(node, "dilations", "use a larger window")
    pool, step = (window[0], window[1]), (strides[0], strides[1])
    if node.kind == "MaxPool":
        # Nothing counts beyond the image, so zeros may stand there only where no value is less.
        padding = _bordered(walk, node, window, strides, zeros=_is_nonnegative(walk))
        walk.add(MaxPooling2D(pool, step, padding=padding))
    else:
        counts_border = bool(node.get("count_include_pad", 0))
        if counts_border and node.get("ceil_mode", 0) and any(node.wholes("pads")):
            raise NetworkError("it counts some of its border; export it with ceil_mode=False.")
        padding = _bordered(walk, node, window, strides, zeros=counts_border and not node.get("ceil_mode", 0))
        walk.add(AveragePooling2D(pool, step, padding=padding))
    walk.became_image()


def _is_nonnegative(walk: Walk) -> bool:
    """Tell whether no value of the images can be below zero."""
    for step in reversed(walk.steps):
        if isinstance(step, Affine):
            return False
        if activation_of(step[0])[0] in ("relu", "sigmoid"):
            return True
        if not isinstance(step[0], MaxPooling2D | AveragePooling2D | ZeroPadding2D):
            return False
    return True


def _global_pool(walk: Walk, node: Node, given: Given) -> None:
    walk.image()
    _pool_globally(walk, node.kind == "GlobalMaxPool")


def _reduce(walk: Walk, node: Node, given: Given) -> None:
    walk.settle()
    rank = len(walk.layout.dimensions)
    named = node.wholes("axes") if len(given) < 2 or given[1] is None else [int(n) for n in given[1].ravel()[:9]]
    axes = [_behind_batch(n, rank) for n in named]
    chosen = {axis for i in axes for axis in walk.layout.dimensions[i]}
    if not axes or not chosen <= {"H", "W"} or any(len(walk.layout.dimensions[i]) > 1 for i in axes):
        raise NetworkError("it takes the mean or the largest of other than rows and columns.")
    is_max = node.kind == "ReduceMax"
    if chosen and chosen >= set(walk.layout.sizes) & {"H", "W"}:
        _pool_globally(walk, is_max)
    elif chosen:
        assert walk.shape is not None
        window = (walk.shape[0], 1) if chosen == {"H"} else (1, walk.shape[1])
        walk.add(MaxPooling2D(window) if is_max else AveragePooling2D(window))
        walk.layout = walk.layout.without(*chosen)
    if not node.get("keepdims", 1):
        walk.layout = walk.layout.squeezed(axes)


def _pool_globally(walk: Walk, is_max: bool) -> None:
    walk.add(GlobalMaxPooling2D() if is_max else GlobalAveragePooling2D())
    walk.layout = walk.layout.without("H").without("W").renamed({"C": "F"})


def _pad(walk: Walk, node: Node, given: Given) -> None:
    rank = len(walk.layout.dimensions)
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
    if walk.shape is None:
        # Whatever has a border is no channel.
        walk.settle("HW" if rank == 2 else "HWC" if rank not in sides else "CHW")
    walk.settle()
    names = {axis: walk.layout.dimensions[axis - 1] for axis in sides if 1 <= axis <= rank}
    by_name = {axes[0]: sides[axis] for axis, axes in names.items() if len(axes) == 1}
    if len(by_name) != len(sides) or not set(by_name) <= {"H", "W"}:
        raise NetworkError("its border is not one of images' rows and columns.")
    walk.add(ZeroPadding2D((by_name.get("H", (0, 0)), by_name.get("W", (0, 0)))))
    assert walk.shape is not None
    walk.layout = Layout(walk.layout.dimensions, walk.layout.sizes | {"H": walk.shape[0], "W": walk.shape[1]})


# ---- scales, offsets, activations ----


def _arithmetic(walk: Walk, node: Node, given: Given) -> None:
    """Add, subtract, multiply or divide by given numbers."""
    walk.tells_pixels = walk.tells_pixels or not walk.steps
    is_first = given[0] is None
    numbers = given[1] if is_first else given[0]
    values = np.asarray(numbers, np.float64)
    if node.get("broadcast", 0) and "axis" in node.attributes:  # before operator set 7
        behind = len(walk.layout.dimensions) + 1 - _behind_batch(node.get("axis", 0), 99) - 1 - values.ndim
        values = values.reshape(values.shape + (1,) * max(0, behind))
    if node.kind in ("Add", "Sub"):
        sign = -1.0 if node.kind == "Sub" else 1.0
        walk.scale(1.0 if is_first else sign, values * sign if is_first else values)
    elif node.kind == "Mul":
        walk.scale(values, 0.0)
    elif is_first:
        with np.errstate(all="ignore"):
            walk.scale(1.0 / values, 0.0)
    else:
        raise NetworkError("it divides by the images.")


def _negative(walk: Walk, node: Node, given: Given) -> None:
    walk.scale(-1.0, 0.0)


def _batch_normalization(walk: Walk, node: Node, given: Given) -> None:
    if node.get("training_mode", 0):
        raise NetworkError("it was exported while it trains. Call model.eval() before you export it.")
    gamma, beta, mean, variance = (_numbers(array).ravel() for array in given[1:5])
    if len({array.size for array in (gamma, beta, mean, variance)}) != 1:
        raise NetworkError("its numbers are not one for each channel.")
    affine = Affine.normalization(mean, variance, node.get("epsilon", 1e-5), gamma, beta)
    shape = (-1, *(1 for _ in walk.layout.dimensions[1:]))
    walk.scale(affine.factor.reshape(shape), affine.offset.reshape(shape))


def _scaler(walk: Walk, node: Node, given: Given) -> None:
    """Standardize features as scikit-learn does."""
    walk.tells_pixels = walk.tells_pixels or not walk.steps
    offset, scale = np.array(node.get("offset", (0.0,))), np.array(node.get("scale", (1.0,)))
    walk.scale(scale, -offset * scale)


def _activation(walk: Walk, node: Node, given: Given) -> None:
    _activate(walk, Activation({"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}[node.kind]))


def _activate(walk: Walk, layer: Layer) -> None:
    walk.settle()
    walk.add(layer)


def _leaky_relu(walk: Walk, node: Node, given: Given) -> None:
    _activate(walk, LeakyReLU(node.get("alpha", 0.01)))


def _prelu(walk: Walk, node: Node, given: Given) -> None:
    slopes = _numbers(given[1])
    if slopes.size == 0 or (slopes != slopes.flat[0]).any():
        raise NetworkError("it has several slopes; digitlab's LeakyReLU has one.")
    _activate(walk, LeakyReLU(float(slopes.flat[0])))


def _elu(walk: Walk, node: Node, given: Given) -> None:
    _activate(walk, ELU(node.get("alpha", 1.0)))


def _clip(walk: Walk, node: Node, given: Given) -> None:
    limits = [node.get("min", -math.inf), node.get("max", math.inf)]
    for i, array in enumerate(given[1:3]):
        limits[i] = limits[i] if array is None or array.size != 1 else float(array.ravel()[0])
    if node.kind == "Max":
        numbers = given[0] if given[1] is None else given[1]
        is_one = len(given) == 2 and numbers is not None and numbers.size == 1
        limits[0] = float(numbers.ravel()[0]) if is_one else math.nan  # type: ignore[union-attr]
    if limits[0] != 0.0 or limits[1] < _LARGEST_FLOAT:
        raise NetworkError(f"it cuts values off at {limits[0]} and {limits[1]}; digitlab has ReLU only.")
    _activate(walk, Activation("relu"))


def _softmax(walk: Walk, node: Node, given: Given) -> bool:
    # A LogSoftmax gives the logarithms of the same probabilities.
    walk.settle()
    if walk.layout.row is None:
        raise NetworkError("it does not run over the classes; put it behind the last dense layer.")
    axis = _behind_batch(node.get("axis", 1 if walk.graph.opset < 13 else -1), len(walk.layout.dimensions))
    if axis != walk.layout.row and not (walk.graph.opset < 13 and axis < walk.layout.row):
        raise NetworkError("it does not run over the classes; put it behind the last dense layer.")
    _end_in_softmax(walk)
    return True


def _end_in_softmax(walk: Walk) -> None:
    walk.as_row()
    walk.add(Activation("softmax"))
    walk.has_ended = walk.ends_in_softmax = True


def _answer(walk: Walk, node: Node, given: Given) -> bool:
    """Pass over what only looks up which answer is the largest; the probabilities are before it."""
    walk.settle()
    if node.kind == "ArgMax" and walk.layout.row != _behind_batch(node.get("axis", 0), len(walk.layout.dimensions)):
        raise NetworkError("it does not look for the largest of the classes.")
    if node.kind != "ArgMax" and not walk.ends_in_softmax:
        raise NetworkError("it stands where there are no probabilities.")
    walk.has_ended = True
    return True


# ---- other layouts of the same numbers ----


def _flatten(walk: Walk, node: Node, given: Given) -> None:
    axis = node.get("axis", 1)
    axis = axis if axis >= 0 else axis + len(walk.layout.dimensions) + 1
    if axis < 1 or math.prod(walk.layout.shape[: axis - 1]) != 1:
        raise NetworkError("it flattens the batch too; flatten from axis 1.")
    _to_shape(walk, (-1,))


def _reshape(walk: Walk, node: Node, given: Given) -> None:
    numbers = given[1] if len(given) > 1 else None
    if numbers is not None and not np.isfinite(numbers).all():
        raise NetworkError("its new shape is not finite; export the model again.")
    target = node.wholes("shape") if numbers is None else tuple(int(n) for n in numbers.ravel()[:9])
    allows_zero = bool(node.get("allowzero", 0))
    if walk.has_ended:
        return
    batches = (-1, 0, 1, walk.graph.batch)
    if len(target) < 2 or target[0] not in batches or (allows_zero and 0 in target):
        raise NetworkError("it reshapes the batch; keep the first dimension as it is.")
    shape = (0, *walk.layout.shape)
    _to_shape(walk, tuple(shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(target))[1:])


def _to_shape(walk: Walk, target: Sequence[int]) -> None:
    layout = walk.layout.reshaped(target, splits=walk.shape is None)
    walk.relaid(layout, lambda array: array.reshape(layout.shape))


def _squeeze(walk: Walk, node: Node, given: Given) -> None:
    axes = axes_of(node.attributes, given)
    if walk.has_ended:
        return
    behind = None if axes is None else [_behind_batch(n, len(walk.layout.dimensions)) for n in axes]
    layout = walk.layout.squeezed(behind)
    walk.relaid(layout, lambda array: array.reshape(layout.shape))


def _unsqueeze(walk: Walk, node: Node, given: Given) -> None:
    axes = axes_of(node.attributes, given) or ()
    layout = walk.layout.unsqueezed([_behind_batch(n, len(walk.layout.dimensions) + len(axes)) for n in axes])
    walk.relaid(layout, lambda array: array.reshape(layout.shape))


def _transpose(walk: Walk, node: Node, given: Given) -> None:
    order = node.wholes("perm", tuple(reversed(range(len(walk.layout.dimensions) + 1))))
    layout = walk.layout.transposed(order)
    walk.relaid(layout, lambda array: array.transpose([i - 1 for i in order[1:]]))


def _nothing(walk: Walk, node: Node, given: Given) -> bool:
    """Pass the images on: dropout does nothing when images are answered, and everything is float32 here."""
    return True


def _cast(walk: Walk, node: Node, given: Given) -> bool:
    if node.get("to", 1) not in _FLOATS and not walk.has_ended and walk.shape is not None:
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
EITHER_WAY = frozenset(["Add", "Div", "Gemm", "MatMul", "Max", "Mul", "Sub"])
#: How many given numbers an operation has at least, besides the images.
LEAST_GIVEN = {
    "Add": 1, "BatchNormalization": 4, "Conv": 1, "Div": 1, "Gemm": 1, "MatMul": 1, "Max": 1, "Mul": 1, "PRelu": 1,
    "Sub": 1,
}  # fmt: skip
#: What may stand behind the probabilities, or the largest of them, and changes no answer.
BEHIND_THE_ANSWER = frozenset(
    ["ArgMax", "Cast", "Exp", "Identity", "Log", "Reshape", "Squeeze", "Flatten", "ai.onnx.ml.Normalizer",
     "ai.onnx.ml.ZipMap"]
)  # fmt: skip

#: Which result has the probabilities, where that is not the first.
RESULTS = {"ai.onnx.ml.LinearClassifier": 1}

#: What an operation does; True says that the images stay in the same tensor, by another name.
OPERATIONS: dict[str, Callable[[Walk, Node, Given], bool | None]] = {
    "Add": _arithmetic,
    "ArgMax": _answer,
    "AveragePool": _pool,
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Conv": _conv,
    "Div": _arithmetic,
    "Dropout": _nothing,
    "Elu": _elu,
    "Exp": _answer,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "Identity": _nothing,
    "LeakyRelu": _leaky_relu,
    "Log": _answer,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "Max": _clip,
    "MaxPool": _pool,
    "Mul": _arithmetic,
    "Neg": _negative,
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "Relu": _activation,
    "Reshape": _reshape,
    "Sigmoid": _activation,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Sub": _arithmetic,
    "Tanh": _activation,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "ai.onnx.ml.LinearClassifier": _linear_classifier,
    "ai.onnx.ml.Normalizer": _answer,
    "ai.onnx.ml.Scaler": _scaler,
    "ai.onnx.ml.ZipMap": _answer,
}
