"""How a batch of images lies in an ONNX tensor, followed through transposing and reshaping.

ONNX convolves ``(n, channels, height, width)`` and digitlab ``(n, height, width, channels)``; between them and the
dense layers exporters transpose, reshape and flatten as they like. What matters in the end is in which order a dense
layer's rows are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError

__all__ = ["Layout"]

_UNCLEAR = "it reshapes its images in a way that digitlab does not follow; flatten them once, before the dense layers."


@dataclass(frozen=True)
class Layout:
    """The dimensions of a tensor behind the batch, each as the axes that were merged into it.

    Attributes
    ----------
    dimensions : tuple of tuple of str
        Names of axes; those of size 1 are left out, since they may be anywhere.
    sizes : dict of str to int
        Of every axis that is left.
    """

    dimensions: tuple[tuple[str, ...], ...]
    sizes: dict[str, int]

    @classmethod
    def of(cls, names: str, sizes: tuple[int, ...]) -> Layout:
        """Return the layout of plain axes, such as ``Layout.of("CHW", (8, 12, 12))``."""
        kept = {name: size for name, size in zip(names, sizes, strict=True) if size != 1}
        return cls(tuple((name,) if name in kept else () for name in names), kept)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return tuple(math.prod(self.sizes[axis] for axis in dimension) for dimension in self.dimensions)

    def transposed(self, order: tuple[int, ...]) -> Layout:
        """Return the layout after a transposition, the batch (0) included and at its place."""
        if sorted(order) != list(range(len(self.dimensions) + 1)) or order[0] != 0:
            raise NetworkError(_UNCLEAR)
        return Layout(tuple(self.dimensions[i - 1] for i in order[1:]), self.sizes)

    def reshaped(self, target: tuple[int, ...]) -> Layout:
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
        return Layout(tuple(dimensions), self.sizes)

    def places(self, names: str) -> None:
        """Check that the dimensions are these axes, such as ``"CHW"``.

        Raises
        ------
        NetworkError
            If an axis is elsewhere.
        """
        expected = Layout.of(names, tuple(self.sizes.get(name, 1) for name in names))
        if self.dimensions != expected.dimensions:
            raise NetworkError("its images do not have channels where ONNX' convolution and pooling expect them.")

    def rows_in_order(self, kernel: NDArray[np.float32], names: str = "HWC") -> NDArray[np.float32]:
        """Return a dense kernel ``(features, units)`` with its rows in the order of the named axes.

        Raises
        ------
        NetworkError
            If the images are not one row of features here.
        """
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
