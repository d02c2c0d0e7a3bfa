"""Layouts: which axis of an ONNX tensor is which, followed through whatever exporters do between images and answers.

ONNX convolves ``(n, channels, height, width)`` and digitlab ``(n, height, width, channels)``; before and behind they
transpose, reshape and flatten as they like. What matters in the end is in which order a dense layer's rows are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.layers import Shape

# Of axes of which nobody knows yet which is which.
_UNSETTLED = "abcd"
_MOST_PIXELS = 2**24
_UNCLEAR = "it reshapes its images in a way that digitlab does not follow; flatten them once, before the dense layers."


@dataclass(frozen=True)
class Layout:
    """The dimensions of a tensor behind the batch, each as the axes that were merged into it, and the axes' sizes.

    Axes are called C, H and W in images, F in rows of features, and otherwise as long as it is open which is which.
    Those of size 1 are left out, since they may be anywhere.
    """

    dimensions: tuple[tuple[str, ...], ...]
    sizes: dict[str, int]

    @classmethod
    def of(cls, names: str, sizes: Sequence[int]) -> Layout:
        """Return the layout of plain axes, such as ``Layout.of("CHW", (8, 12, 12))``."""
        kept = {name: size for name, size in zip(names, sizes, strict=True) if size != 1}
        return cls(tuple((name,) if name in kept else () for name in names), kept)

    @classmethod
    def of_input(cls, shape: Sequence[int]) -> Layout:
        """Return the layout of images of which no exporter says which axis is which."""
        if not 1 <= len(shape) <= len(_UNSETTLED) or any(n < 1 for n in shape) or math.prod(shape) > _MOST_PIXELS:
            raise NetworkError("its input must be images of a fixed size, or a row of features.")
        return cls.of(_UNSETTLED[: len(shape)], shape)

    @classmethod
    def of_row(cls, n_features: int, place: int, n_dimensions: int) -> Layout:
        """Return the layout of rows of features that are one of several dimensions; the others are of size 1."""
        axes = ("F",) if n_features != 1 else ()
        return cls(tuple(axes if i == place else () for i in range(n_dimensions)), dict.fromkeys(axes, n_features))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return tuple(math.prod(self.sizes[axis] for axis in dimension) for dimension in self.dimensions)

    @property
    def row(self) -> int | None:
        """Position of the only dimension that has axes, or of the last one if none has; None if several have."""
        filled = [i for i, axes in enumerate(self.dimensions) if axes]
        return (filled or [len(self.dimensions) - 1])[0] if len(filled) <= 1 else None

    def renamed(self, names: dict[str, str]) -> Layout:
        """Return the layout with other names for its axes."""
        return Layout(
            tuple(tuple(names[axis] for axis in axes) for axes in self.dimensions),
            {names[axis]: size for axis, size in self.sizes.items()},
        )

    def without(self, axis: str) -> Layout:
        """Return the layout once there is only one of an axis, such as a single column."""
        sizes = {name: size for name, size in self.sizes.items() if name != axis}
        return Layout(tuple(tuple(name for name in axes if name != axis) for axes in self.dimensions), sizes)

    def settled(self, names: str) -> tuple[Layout, Shape]:
        """Return the input's layout once an operation reads the axes ``names``, and the shape of an image in digitlab.

        Without names they are guessed: a row, or images with the channels where a picture can have them.
        """
        if not names:
            return self._guessed()
        if len(self.dimensions) != len(names) or any(len(axes) > 1 for axes in self.dimensions):
            raise NetworkError("it reads no images of (channels, height, width).")
        sizes = dict(zip(names, self.shape, strict=True))
        called = {axes[0]: name for axes, name in zip(self.dimensions, names, strict=True) if axes}
        return self.renamed(called), (sizes["H"], sizes["W"], sizes.get("C", 1))

    def _guessed(self) -> tuple[Layout, Shape]:
        axes, sizes = list(self.sizes), tuple(self.sizes.values())
        if len(axes) < 2:
            return self.renamed(dict.fromkeys(axes, "F")), (math.prod(sizes),)
        if len(axes) == 2:
            return self.renamed(dict(zip(axes, "HW", strict=True))), (*sizes, 1)
        if len(axes) > 3:
            raise NetworkError("its input has more axes than images have.")
        is_first = sizes[0] < sizes[2]
        layout = self.renamed(dict(zip(axes, "CHW" if is_first else "HWC", strict=True)))
        return layout, (*sizes[1:], sizes[0]) if is_first else sizes

    def transposed(self, order: Sequence[int]) -> Layout:
        """Return the layout after a transposition, the batch (0) included and at its place."""
        if sorted(order) != list(range(len(self.dimensions) + 1)) or order[0] != 0:
            raise NetworkError(_UNCLEAR)
        return Layout(tuple(self.dimensions[i - 1] for i in order[1:]), self.sizes)

    def reshaped(self, target: Sequence[int], *, splits: bool = False) -> Layout:
        """Return the layout after a reshaping to ``target`` without the batch, of which one may be -1.

        With ``splits`` a row of pixels becomes an image, since digitlab's networks take both.
        """
        total = math.prod(self.shape)
        known = math.prod(n for n in target if n != -1)
        if list(target).count(-1) > 1 or any(n < -1 or n == 0 for n in target) or known == 0 or total % known:
            raise NetworkError(_UNCLEAR)
        shape = tuple(total // known if n == -1 else n for n in target)
        if splits and len(self.sizes) == 1 and math.prod(shape) == total and 2 <= len(shape) <= len(_UNSETTLED):
            return Layout.of(_UNSETTLED[: len(shape)], shape)
        axes = [axis for dimension in self.dimensions for axis in dimension]
        dimensions = []
        for size in shape:
            taken: list[str] = []
            while math.prod(self.sizes[axis] for axis in taken) < size and axes:
                taken.append(axes.pop(0))
            if math.prod(self.sizes[axis] for axis in taken) != size:
                raise NetworkError(_UNCLEAR)
            dimensions.append(tuple(taken))
        if axes:
            raise NetworkError(_UNCLEAR)
        return Layout(tuple(dimensions), self.sizes)

    def squeezed(self, axes: Sequence[int] | None) -> Layout:
        """Return the layout without dimensions of size 1: those of these positions behind the batch, or all."""
        chosen = [i for i, names in enumerate(self.dimensions) if not names] if axes is None else axes
        if any(not 0 <= i < len(self.dimensions) or self.dimensions[i] for i in chosen):
            raise NetworkError(_UNCLEAR)
        return Layout(tuple(names for i, names in enumerate(self.dimensions) if i not in chosen), self.sizes)

    def unsqueezed(self, axes: Sequence[int]) -> Layout:
        """Return the layout with dimensions of size 1 put in, which stand at these positions then."""
        n = len(self.dimensions) + len(axes)
        if len(set(axes)) != len(axes) or any(not 0 <= i < n for i in axes):
            raise NetworkError(_UNCLEAR)
        left = iter(self.dimensions)
        return Layout(tuple(() if i in axes else next(left) for i in range(n)), self.sizes)

    def must_be(self, names: str) -> None:
        """Check that the dimensions are these axes, such as ``CHW``."""
        if self.dimensions != Layout.of(names, [self.sizes.get(name, 1) for name in names]).dimensions:
            raise NetworkError("its images do not have channels where ONNX' convolution and pooling expect them.")

    def row_order(self) -> NDArray[np.intp]:
        """Return where in a row of these axes the features are that digitlab's Flatten lays out, in its order."""
        row = self.row
        if row is None:
            raise NetworkError("its dense layer reads images; flatten them before it.")
        axes = self.dimensions[row]
        places = np.arange(math.prod(self.shape)).reshape([self.sizes[axis] for axis in axes])
        wanted = [axes.index(axis) for axis in "HWCF" if axis in axes]
        return places.transpose(wanted).ravel() if len(wanted) == len(axes) else places.ravel()

    def channels_of(self, numbers: NDArray[Any]) -> NDArray[Any] | None:
        """Return numbers that are spread over a tensor of this layout as one for each channel; None if they differ
        within a channel.
        """
        for i, axes in enumerate(self.dimensions):
            if numbers.shape[i] > 1 and axes != ("C",):
                if (numbers != numbers.take([0], i)).any():
                    return None
                numbers = numbers.take([0], i)
        return numbers.ravel()
