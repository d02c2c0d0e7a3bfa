"""Walk: where the images are on the way through an ONNX graph, and what has become layers so far.

Between two layers the images only get other layouts, scales and offsets. These wait until the next layer comes, and
are then one map of its channels, or of the features of a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.folding import Affine, Weighted
from digitlab.network.formats.files import assembled
from digitlab.network.formats.onnx_graph import Graph
from digitlab.network.formats.onnx_layout import Layout
from digitlab.network.layers import Flatten, Layer, Shape

# What is computed on the way from given numbers may be so many times what the file holds, and a little more.
_COPIES, _MORE_VALUES = 8, 10_000
# A scale and an offset of every single value: MNIST's images with 256 channels have fewer.
_MOST_SCALED = 2**18
# Of all layers and scales together; a file may use the same numbers a thousand times.
_MOST_NUMBERS = 50_000_000
# Whoever divides pixels by more than this has pixels of 0 to 255: their deviation is 79, and that of 0 to 1 is 0.31.
_LEAST_DIVISOR = 20.0
_SCALE_TOLERANCE = 1e-6


class Walk:
    """The way from the input on; ``names`` are those of the tensor that the images are in.

    A scale and an offset, ``spread`` over that tensor, wait until the next layer comes.
    """

    def __init__(self, graph: Graph, input_shape: Shape) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        self.left_values = _COPIES * sum(array.size for array in self.constants.values()) + _MORE_VALUES
        self.names = {graph.input}
        self.steps: list[Weighted | Affine] = []
        self._n_numbers = 0
        #: Shape of one image or row in digitlab's order, once it is known which axis is which.
        self.shape: Shape | None = None
        self.input_shape: Shape | None = None
        self.layout = Layout.of_input(input_shape)
        self.spread: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        if graph.takes_bytes:
            self.scale(np.float64(255.0), np.float64(0.0))
        #: Whether it scales its pixels itself. A normalization that was learned does not say which pixels it was.
        self.tells_pixels = graph.takes_bytes
        self.ends_in_softmax = self.has_ended = False
        #: Of every tensor so far that the images were in.
        self.shapes = {graph.input: self.layout.shape}

    def finish(self) -> tuple[Architecture, list[NDArray[np.float32]]]:
        """Return the network and its weights."""
        self.settle()
        if self.input_shape is None or not any(isinstance(step, tuple) and step[1] for step in self.steps):
            raise NetworkError("it has no layer that learns.")
        self.as_row()
        return assembled(self.steps, self.input_shape, self.graph.name)

    def settle(self, names: str = "") -> Shape:
        """Settle which axis is which, now that an operation reads the axes ``names``, and what was scaled so far."""
        if self.shape is None:
            self.layout, self.shape = self.layout.settled(names)
            self.input_shape = self.shape
        if self.spread is not None:
            factor, offset = self.spread
            self.spread = None
            if not np.isfinite(factor).all() or not np.isfinite(offset).all():
                raise NetworkError("it scales by numbers that are not finite; export the model again.")
            if not self.steps and not self.graph.takes_bytes and np.median(np.abs(factor)) < 1.0 / _LEAST_DIVISOR:
                factor = factor * 255.0  # its pixels are 0 to 255
            if np.abs(factor - 1.0).max() > _SCALE_TOLERANCE or np.abs(offset).max() > _SCALE_TOLERANCE:
                affine = self._affine(factor, offset)
                self._count(affine.factor.size + affine.offset.size)
                self.steps.append(affine)
        assert self.shape is not None
        return self.shape

    def _affine(self, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> Affine:
        """Return a map of channels, or of the features of a row, which is made of images if it has to be."""
        if factor.size == offset.size == 1:
            return Affine.of(factor.ravel(), offset.ravel())
        numbers = [self.layout.channels_of(array) for array in (factor, offset)]
        if self.has_images() and numbers[0] is not None and numbers[1] is not None:
            return Affine.of(numbers[0], numbers[1])
        if self.layout.row is None:
            raise NetworkError("it computes with every pixel by itself, and digitlab's layers with every channel.")
        _must_be_few(math.prod(self.layout.shape))
        order = self.layout.row_order()
        rows = [np.broadcast_to(array, self.layout.shape).ravel()[order] for array in (factor, offset)]
        self.as_row()
        return Affine.of(rows[0], rows[1])

    def scale(self, factor: ArrayLike, offset: ArrayLike) -> None:
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
        _must_be_few(max(array.size for array in arrays))
        self.spread = arrays[0], arrays[1]

    def relaid(self, layout: Layout, move: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
        """Take another layout of the same numbers; ``move`` does the same to what is spread over them."""
        is_of_channels = self.has_images() and all(
            self.layout.channels_of(array) is not None for array in self.spread or ()
        )
        if is_of_channels:
            self.settle()
        if self.spread is not None:
            factor, offset = self.spread
            is_one = factor.size == offset.size == 1
            if not is_one:
                _must_be_few(math.prod(self.layout.shape))
            shape = (1,) * len(layout.dimensions)
            self.spread = tuple(  # type: ignore[assignment]
                array.reshape(shape) if is_one else move(np.broadcast_to(array, self.layout.shape))
                for array in (factor, offset)
            )
        self.layout = layout

    def has_images(self) -> bool:
        return self.shape is not None and len(self.shape) == 3

    def image(self) -> Shape:
        """Return the shape of the images that an operation reads as (channels, height, width)."""
        shape = self.settle("CHW")
        self.layout.must_be("CHW")
        if len(shape) != 3:
            raise NetworkError("it reads images, and behind the flattening there are none.")
        return shape

    def as_row(self) -> None:
        """Flatten images, if there are any; the layout is then a row's."""
        assert self.shape is not None
        row = self.layout.row
        if row is None:
            raise NetworkError("its dense layer reads images; flatten them before it.")
        if len(self.shape) == 3:
            self.add(Flatten())
            self.layout = Layout.of_row(self.shape[0], row, len(self.layout.dimensions))

    def add(self, layer: Layer, weights: tuple[NDArray[np.float32], ...] = ()) -> None:
        self.shape = layer.output_shape(self.shape or ())
        self._count(sum(array.size for array in weights))
        self.steps.append((layer, weights))

    def _count(self, n: int) -> None:
        self._n_numbers += n
        if self._n_numbers > _MOST_NUMBERS:
            raise NetworkError(f"it computes with more than {_MOST_NUMBERS:,} weights, too many for digitlab.")

    def became_image(self) -> None:
        assert self.shape is not None
        height, width, channels = self.shape
        self.layout = Layout.of("CHW", (channels, height, width))


def _must_be_few(n: int) -> None:
    if n > _MOST_SCALED:
        raise NetworkError("it scales every value by itself, and they are too many.")
