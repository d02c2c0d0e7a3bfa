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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.tiles import LANES
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D

#: What an operation does: convolution, convolution with 2 x 2 max-pooling, max-pooling, dense layer, dropout.
CONV, CONV_POOL, POOL, DENSE, DROPOUT = range(5)

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
            "border_top",
            "border_left",
            "kernel_height",
            "kernel_width",
            "pool_height",
            "pool_width",
            "stride_height",
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

    def place(self, shape: tuple[int, int, int], consumer: Layer | None) -> _Map:
        border = (0, 0, 0, 0)
        if isinstance(consumer, Conv2D) and consumer.padding == "same":
            extra = [size - 1 for size in consumer.kernel]
            border = (extra[0] // 2, extra[0] - extra[0] // 2, extra[1] // 2, extra[1] - extra[1] // 2)
        placed = _Map(shape, self.forward, border)
        self.forward += (shape[0] + border[0] + border[1]) * placed.row
        return placed

    def place_gradient(self, shape: tuple[int, int, int]) -> int:
        start = self.backward
        self.backward += math.prod(shape) * LANES
        return start


def _as_map(shape: tuple[int, ...]) -> tuple[int, int, int]:
    # A row of features is a map of one pixel.
    return (1, 1, shape[0]) if len(shape) == 1 else (shape[0], shape[1], shape[2])


def _steps(architecture: Architecture) -> list[tuple[Layer, Layer | None]]:
    """Pair every convolution with the 2 x 2 max-pooling that follows it; leave out what does no arithmetic."""
    layers = [layer for layer in architecture.layers if not isinstance(layer, Flatten)]
    steps: list[tuple[Layer, Layer | None]] = []
    for layer in layers:
        previous = steps[-1] if steps else None
        if isinstance(layer, MaxPooling2D) and previous and isinstance(previous[0], Conv2D) and previous[1] is None:
            valid = layer.padding == "valid" or all(n % 2 == 0 for n in _conv_shape(architecture, previous[0])[:2])
            if layer.pool == layer.stride == (2, 2) and valid:
                steps[-1] = (previous[0], layer)
                continue
        steps.append((layer, None))
    return steps


def _conv_shape(architecture: Architecture, layer: Layer) -> tuple[int, int, int]:
    return _as_map(architecture.shapes[architecture.layers.index(layer)])


def build_program(architecture: Architecture) -> Program:
    """Lay out a network for the CPU engine.

    Raises
    ------
    NetworkError
        If the last layer is not Dense with a softmax.
    """
    n_classes = architecture.n_classes
    planner = _Planner()
    steps = _steps(architecture)
    shape_of = dict(zip((layer.name for layer in architecture.layers), architecture.shapes, strict=True))
    image = current = planner.place(_as_map(architecture.input_shape), steps[0][0])
    ops = np.zeros(len(steps), OP)
    weights = flipped = lane_gradients = winners = tape = 0
    needs_gradient = False  # of its input: only above the first layer that learns something
    for index, (layer, pooling) in enumerate(steps):
        op = ops[index]
        following = steps[index + 1][0] if index + 1 < len(steps) else None
        own = _as_map(shape_of[layer.name])
        out = _as_map(shape_of[pooling.name]) if pooling else own
        if len(architecture.input_shapes[architecture.layers.index(layer)]) == 1:
            current = _flattened(current)
        written = planner.place(out, following)
        written.gradient = planner.place_gradient(out)
        same = isinstance(layer, Conv2D) and layer.padding == "same"
        op["x"], op["x_row"] = current.start if same else current.first, current.row
        op["border_top"], op["border_left"] = (current.border[0], current.border[2]) if same else (0, 0)
        op["in_height"], op["in_width"], op["channels"] = current.shape
        op["height"], op["width"], op["filters"] = own
        op["out_height"], op["out_width"] = out[:2]
        op["y"], op["y_row"] = written.first, written.row
        op["dy"] = written.gradient
        op["dx"] = current.gradient if needs_gradient else -1
        op["dz"], op["winners"], op["weights"], op["bias"], op["flipped"] = written.gradient, -1, -1, -1, -1
        shapes = layer.weight_shapes(architecture.input_shapes[architecture.layers.index(layer)])
        if shapes:
            op["weights"], op["n_weights"] = weights, math.prod(shapes[0])
            weights += math.prod(shapes[0])
            if len(shapes) == 2:
                op["bias"] = weights
                weights += shapes[1][0]
            if needs_gradient:
                op["flipped"] = flipped
                flipped += math.prod(shapes[0])
            op["relu"] = getattr(layer, "activation", "linear") == "relu"
            needs_gradient = True
        if isinstance(layer, Conv2D):
            op["kind"] = CONV_POOL if pooling else CONV
            op["kernel_height"], op["kernel_width"] = layer.kernel
            op["d_weights"] = lane_gradients
            op["d_bias"] = lane_gradients + math.prod(shapes[0]) * LANES
            lane_gradients = int(op["d_bias"]) + layer.filters * LANES
        if pooling:
            op["dz"] = planner.place_gradient(own)
        if pooling or isinstance(layer, MaxPooling2D):
            op["winners"] = winners
            winners += math.prod(out) * LANES
        if isinstance(layer, MaxPooling2D):
            op["kind"] = POOL
            op["pool_height"], op["pool_width"] = layer.pool
            op["stride_height"], op["stride_width"] = layer.stride
            if layer.padding == "same":
                op["border_top"], op["border_left"] = _same_pool_border(layer, current.shape, out)
        if isinstance(layer, Dense):
            op["kind"] = DENSE  # a convolution of one pixel with a kernel of one pixel
            op["kernel_height"] = op["kernel_width"] = 1
            op["padded_filters"] = -(-layer.units // LANES) * LANES
            op["tape_x"] = tape
            op["tape_d"] = tape + op["channels"] * LANES
            tape += int(op["channels"] + op["padded_filters"]) * LANES
        if isinstance(layer, Dropout):
            op["kind"] = DROPOUT
            op["drop_below"] = min(round(layer.rate * 2**32), 2**32 - 1)
            op["salt"] = index
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
        ops[-1]["y"],
        ops[-1]["dy"],
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
    )


def _flattened(current: _Map) -> _Map:
    # Height, width, channels is the order in memory already.
    return _Map((1, 1, math.prod(current.shape)), current.start, (0, 0, 0, 0), current.gradient)


def _same_pool_border(layer: MaxPooling2D, shape: tuple[int, int, int], out: tuple[int, int, int]) -> tuple[int, int]:
    extra = [max(0, (out[i] - 1) * layer.stride[i] + layer.pool[i] - shape[i]) for i in (0, 1)]
    return extra[0] // 2, extra[1] // 2
