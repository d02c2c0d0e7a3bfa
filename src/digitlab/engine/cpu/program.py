"""The program: a network as a table of operations on one block of images.

A program is made once for a network. It says which kernels run in which order and where in a worker's memory every
layer's values, gradients and pooling winners stand. The kernels read one row of the table (``op``) and never anything
else about the network, so they are compiled once for all networks.

A map of ``height x width`` pixels with ``channels`` is laid out as ``[row][column][channel][lane]``: what a
convolution sums along one kernel row, and a dense layer along all its inputs, is then one contiguous run, and
flattening costs nothing. A ``same`` convolution reads from a map with a border of zeros, which nobody ever writes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.tiles import LANES
from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    Shape,
    ZeroPadding2D,
    activation_of,
    same_border,
)

#: What an operation does: convolution, convolution with 2 x 2 max-pooling, max-pooling, dense layer, dropout, average
#: pooling, and a function of every value by itself, which may be written elsewhere on a larger map.
CONV, CONV_POOL, POOL, DENSE, DROPOUT, AVERAGE, ACTIVATION = range(7)

#: The functions of ``ACTIVATION``. ReLU is leaky ReLU whose slope below zero is 0.
COPY, LEAKY_RELU, ELU, SIGMOID, TANH = range(5)
_FUNCTIONS = {
    "linear": COPY,
    "softmax": COPY,  # a part of the loss, or of the answer
    "relu": LEAKY_RELU,
    "leaky_relu": LEAKY_RELU,
    "elu": ELU,
    "sigmoid": SIGMOID,
    "tanh": TANH,
}
# Of a max-pooling: winners are bytes.
_LARGEST_WINDOW = 15

#: One row of the table. Positions count float32 numbers in the worker's memory (``x`` ... ``dz``, ``tape``), in the
#: flat parameters (``weights``, ``bias``), or in the lane-wise gradients (``d_weights``, ``d_bias``); -1 for none.
OP = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind",
            "x",  # first pixel that the operation reads (a same convolution's begins in the border)
            "x_row",  # from one row of it to the next
            "in_height",
            "in_width",
            "channels",
            "y",  # first pixel written
            "y_row",
            "height",  # of the operation's own map, before fused pooling
            "width",
            "filters",
            "dy",  # gradient of what was written, without border
            "dz",  # gradient of the convolution's map, before fused pooling
            "dx",  # gradient of what was read, without border; -1 for the first layer
            "function",
            "border_top",
            "border_left",
            "kernel_height",
            "kernel_width",
            "pool_height",
            "pool_width",
            "stride_height",  # 1 where nothing is skipped
            "stride_width",
            "out_height",  # of the map written
            "out_width",
            "relu",
            "winners",  # first of the pooling winners
            "weights",
            "bias",
            "n_weights",
            "flipped",  # the kernel with its last two axes exchanged, for the input gradient
            "d_weights",
            "d_bias",
            "tape_x",  # a dense layer's inputs and output gradients, kept for all blocks of a batch
            "tape_d",
            "padded_filters",
            "drop_below",  # dropout: hashes below this number are dropped
            "salt",
        )
    ]
    + [("below", np.float64)]  # what the function has below zero: a slope, or ELU's alpha
)


#: Where a block's images, sums and gradients stand, for the kernels; the names are those of ``Program``.
LAYOUT = np.dtype(
    [
        (name, np.int64)
        for name in (
            "image",
            "image_row",
            "image_height",
            "image_width",
            "image_channels",
            "logits",
            "d_logits",
            "n_classes",
            "tape",
            "lane_gradients",
        )
    ]
)


@dataclass(frozen=True)
class Program:
    """A network, ready to run.

    Attributes
    ----------
    ops : ndarray
        Structured array, one row an operation.
    layout : numpy.void
        ``image``, ``image_row``, ``image_height``, ``image_width``, ``image_channels``: where the block of images
        stands, and its size (the width counts values, pixels x channels). ``logits``, ``d_logits``: the last layer's
        sums and their gradients. ``n_classes``: how many there are. ``tape``: float32 numbers that dense layers keep
        for one block. ``lane_gradients``: those of one slot.
    memory : int
        float32 numbers that a worker needs for training; the first ``forward_memory`` suffice for prediction.
    largest_map : int
        Values of the largest map before a fused pooling.
    n_winners : int
        Bytes that a worker needs for pooling winners.
    n_parameters, n_flipped : int
        float32 numbers in the flat parameters, and in their exchanged copies.
    n_lane_gradients : int
        float32 numbers of lane-wise convolution gradients.
    rare : True or None
        True where there are operations that most networks do not have; None, not False, where there are none. Numba
        compiles the kernels once for each of the two, and leaves out what a None rules out.
    """

    ops: NDArray[np.void]
    layout: np.void
    memory: int
    forward_memory: int
    largest_map: int
    n_winners: int
    n_parameters: int
    n_flipped: int
    n_lane_gradients: int
    rare: bool | None


@dataclass
class _Map:
    """Where the values of one layer stand, and their gradients."""

    shape: tuple[int, int, int]
    start: int  # of the whole map with its border
    border: tuple[int, int, int, int]  # top, bottom, left, right
    gradient: int = -1

    @property
    def row(self) -> int:
        return (self.shape[1] + self.border[2] + self.border[3]) * self.shape[2] * LANES

    @property
    def first(self) -> int:
        return self.start + self.border[0] * self.row + self.border[2] * self.shape[2] * LANES


class _Planner:
    """Hands out positions, forward memory first, so that prediction needs no more than that."""

    def __init__(self) -> None:
        self.forward = 0
        self.backward = 0

    def place(self, shape: tuple[int, int, int], consumer: _Step | None) -> _Map:
        border = (0, 0, 0, 0)
        if consumer is not None and consumer.kind in (CONV, CONV_POOL) and consumer.padding == "same":
            border = (
                *same_border(shape[0], consumer.window[0], consumer.strides[0]),
                *same_border(shape[1], consumer.window[1], consumer.strides[1]),
            )
        placed = _Map(shape, self.forward, border)
        self.forward += (shape[0] + border[0] + border[1]) * placed.row
        return placed

    def place_gradient(self, shape: tuple[int, int, int]) -> int:
        start = self.backward
        self.backward += math.prod(shape) * LANES
        return start


def _as_map(shape: Shape) -> tuple[int, int, int]:
    # A row of features is a map of one pixel.
    return (1, 1, shape[0]) if len(shape) == 1 else (shape[0], shape[1], shape[2])


@dataclass(frozen=True)
class _Step:
    """One operation: what it reads, its own map, and what it writes where a pooling is fused."""

    kind: int
    layer: Layer
    reads: tuple[int, int, int]
    own: tuple[int, int, int]
    out: tuple[int, int, int]
    window: Shape = (1, 1)
    strides: Shape = (1, 1)
    padding: str = "valid"
    relu: bool = False
    function: int = COPY
    below: float = 0.0
    in_place: bool = False  # writes where it reads

    @property
    def keeps_no_output(self) -> bool:
        """Whether its gradient is told without looking at what it has written."""
        return self.kind != ACTIVATION and not self.relu


def _steps(architecture: Architecture) -> list[_Step]:
    """Return the operations of a network: what does no arithmetic is left out, and what can be fused is."""
    steps: list[_Step] = []
    for layer, shape, out_shape in zip(
        architecture.layers, architecture.input_shapes, architecture.shapes, strict=True
    ):
        reads, out = _as_map(shape), _as_map(out_shape)
        name, below = activation_of(layer)
        step = _Step(ACTIVATION, layer, reads, out, out)
        if isinstance(layer, Flatten):
            continue
        if isinstance(layer, Conv2D):
            steps.append(replace(step, kind=CONV, window=layer.kernel, strides=layer.stride, padding=layer.padding))
        elif isinstance(layer, Dense):
            # A convolution of one pixel with a kernel of one pixel.
            steps.append(replace(step, kind=DENSE))
        elif isinstance(layer, MaxPooling2D) and _fuse(steps, layer, out):
            pass
        elif isinstance(layer, MaxPooling2D | AveragePooling2D):
            kind = POOL if isinstance(layer, MaxPooling2D) else AVERAGE
            steps.append(replace(step, kind=kind, window=layer.pool, strides=layer.stride, padding=layer.padding))
        elif isinstance(layer, GlobalAveragePooling2D):
            steps.append(replace(step, kind=AVERAGE, window=reads[:2], strides=reads[:2]))
        elif isinstance(layer, GlobalMaxPooling2D):
            steps += _global_max_pooling(step)
        elif isinstance(layer, Dropout):
            steps.append(replace(step, kind=DROPOUT))
        elif isinstance(layer, ZeroPadding2D):
            steps.append(step)
        if name == "linear" or (name == "softmax" and steps):
            continue
        if name == "relu" and steps and steps[-1].kind in (CONV, CONV_POOL, DENSE):
            steps[-1] = replace(steps[-1], relu=True)
            continue
        in_place = bool(steps) and steps[-1].keeps_no_output
        steps.append(replace(step, reads=out, function=_FUNCTIONS[name], below=below, in_place=in_place))
    return steps


def _fuse(steps: list[_Step], layer: MaxPooling2D, out: tuple[int, int, int]) -> bool:
    """Make a 2 x 2 max-pooling part of the convolution before it, if it can be; tell whether it was.

    A function between them comes behind it then: all functions are monotonic, so that the largest stays the largest.
    """
    at = len(steps) - 1
    if at > 0 and steps[at].in_place:
        at -= 1
    if at < 0 or steps[at].kind != CONV or steps[at].strides != (1, 1):
        return False
    is_whole = layer.padding == "valid" or all(n % 2 == 0 for n in steps[at].own[:2])
    if not layer.pool == layer.stride == (2, 2) or not is_whole:
        return False
    steps[at] = replace(steps[at], kind=CONV_POOL, out=out)
    steps[at + 1 :] = [replace(step, reads=out, own=out, out=out) for step in steps[at + 1 :]]
    return True


def _global_max_pooling(step: _Step) -> list[_Step]:
    """Return poolings of windows, one after the other, until one pixel is left."""
    steps: list[_Step] = []
    height, width, channels = step.reads
    while height * width > 1 or not steps:
        window = min(height, _LARGEST_WINDOW), min(width, _LARGEST_WINDOW)
        out = -(-height // window[0]), -(-width // window[1]), channels
        pooling = replace(step, kind=POOL, window=window, strides=window, padding="same")
        steps.append(replace(pooling, reads=(height, width, channels), own=out, out=out))
        height, width, _ = out
    return steps


def build_program(architecture: Architecture) -> Program:
    """Lay out a network for the CPU engine.

    Raises
    ------
    NetworkError
        If it does not end in a softmax, or has nothing to learn.
    """
    n_classes = architecture.n_classes
    if not architecture.weight_shapes:
        raise NetworkError(f"{architecture.name} has no weights to learn; give it a Dense or a Conv2D layer.")
    planner = _Planner()
    steps = _steps(architecture)
    shapes_of = {
        layer.name: layer.weight_shapes(shape)
        for layer, shape in zip(architecture.layers, architecture.input_shapes, strict=True)
    }
    image = current = planner.place(steps[0].reads, steps[0])
    ops = np.zeros(len(steps), OP)
    weights = flipped = lane_gradients = winners = tape = 0
    needs_gradient = False  # of its input: only above the first layer that learns something
    for index, step in enumerate(steps):
        op, layer, out = ops[index], step.layer, step.out
        if current.shape != step.reads:
            current = _flattened(current)
        if step.in_place:
            written = current
        else:
            written = planner.place(out, next((other for other in steps[index + 1 :] if not other.in_place), None))
            written.gradient = planner.place_gradient(out)
        is_bordered = step.kind in (CONV, CONV_POOL) and step.padding == "same"
        op["kind"] = step.kind
        op["x"], op["x_row"] = current.start if is_bordered else current.first, current.row
        op["border_top"], op["border_left"] = (current.border[0], current.border[2]) if is_bordered else (0, 0)
        op["in_height"], op["in_width"], op["channels"] = current.shape
        op["height"], op["width"], op["filters"] = step.own
        op["out_height"], op["out_width"] = out[:2]
        op["y"], op["y_row"] = written.first, written.row
        op["dy"] = op["dz"] = written.gradient
        op["dx"] = current.gradient if needs_gradient else -1
        op["winners"], op["weights"], op["bias"], op["flipped"] = -1, -1, -1, -1
        op["stride_height"], op["stride_width"] = step.strides
        op["function"], op["below"], op["relu"] = step.function, step.below, step.relu
        if step.kind in (CONV, CONV_POOL, DENSE):
            shapes = shapes_of[layer.name]
            op["kernel_height"], op["kernel_width"] = step.window
            op["weights"], op["n_weights"] = weights, math.prod(shapes[0])
            weights += math.prod(shapes[0])
            if len(shapes) == 2:
                op["bias"] = weights
                weights += shapes[1][0]
            if needs_gradient:
                op["flipped"] = flipped
                flipped += math.prod(shapes[0])
            needs_gradient = True
        if step.kind in (CONV, CONV_POOL):
            op["d_weights"] = lane_gradients
            op["d_bias"] = lane_gradients + math.prod(shapes[0]) * LANES
            lane_gradients = int(op["d_bias"]) + step.own[2] * LANES
        if step.kind == CONV_POOL:
            op["dz"] = planner.place_gradient(step.own)
        if step.kind in (CONV_POOL, POOL):
            op["winners"] = winners
            winners += math.prod(out) * LANES
        if step.kind in (POOL, AVERAGE):
            op["pool_height"], op["pool_width"] = step.window
            if step.padding == "same":
                for i, side in enumerate(("border_top", "border_left")):
                    op[side] = same_border(current.shape[i], step.window[i], step.strides[i])[0]
        if step.kind == DENSE:
            op["padded_filters"] = -(-step.own[2] // LANES) * LANES
            op["tape_x"] = tape
            op["tape_d"] = tape + op["channels"] * LANES
            tape += int(op["channels"] + op["padded_filters"]) * LANES
        if isinstance(layer, Dropout):
            op["drop_below"] = min(round(layer.rate * 2**32), 2**32 - 1)
            op["salt"] = index
        if isinstance(layer, ZeroPadding2D):
            (top, _), (left, _) = layer.sides
            op["y"] += top * written.row + left * out[2] * LANES
            op["dy"] += (top * out[1] + left) * out[2] * LANES
        current = written
    for op in ops:
        for field in ("dy", "dz", "dx"):
            op[field] += planner.forward if op[field] >= 0 else 0
    lane_gradients += LANES * LANES  # a square tile may be read at the last number
    layout = np.zeros(1, LAYOUT)
    layout[0] = (
        image.first,
        image.row,
        image.shape[0],
        image.shape[1] * image.shape[2],
        image.shape[2],
        current.first,
        current.gradient + planner.forward,
        n_classes,
        tape,
        lane_gradients,
    )
    return Program(
        ops=ops,
        layout=layout[0],
        memory=planner.forward + planner.backward,
        forward_memory=planner.forward,
        largest_map=max(int(op["height"] * op["width"] * op["filters"]) for op in ops),
        n_winners=winners,
        n_parameters=weights,
        n_flipped=flipped,
        n_lane_gradients=lane_gradients,
        rare=True if np.isin(ops["kind"], (AVERAGE, ACTIVATION)).any() else None,
    )


def _flattened(current: _Map) -> _Map:
    # Height, width, channels is the order in memory already.
    return _Map((1, 1, math.prod(current.shape)), current.start, (0, 0, 0, 0), current.gradient)
