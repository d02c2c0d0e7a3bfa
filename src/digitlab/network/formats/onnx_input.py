"""What goes into an ONNX model: how its pixels are scaled, and which of its axes is which.

An exporter says neither. A convolution behind it settles where the channels are; a dense layer leaves them where a
picture can have them.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.formats.onnx_layout import Layout
from digitlab.network.formats.stacking import is_pixel_scale
from digitlab.network.layers import Shape

__all__ = ["OnnxInput"]

_MOST_VALUES = 2**24
_UNSETTLED = "abc"


class OnnxInput:
    """The input of a model, and what is computed with it before the first layer.

    Parameters
    ----------
    shape : tuple of int
        Of the input without the batch.
    takes_bytes : bool
        Whether pixels go in as whole numbers, 0 to 255.

    Raises
    ------
    NetworkError
        If it cannot be one of images.
    """

    def __init__(self, shape: Shape, *, takes_bytes: bool) -> None:
        if len(shape) not in (1, 3) or any(n < 1 for n in shape) or math.prod(shape) > _MOST_VALUES:
            raise NetworkError("its input must be images of a fixed size, or a row of features.")
        self.layout = Layout.of(_UNSETTLED[: len(shape)], shape)
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

    def as_image(self, shape: Shape) -> Layout | None:
        """Return the layout if a row of pixels is made an image, since digitlab's networks take both; None if not."""
        if len(self._shape) != 1 or len(shape) != 3 or math.prod(shape) != self._shape[0] or min(shape) < 1:
            return None
        return Layout.of(_UNSETTLED, shape)

    def settled(self, names: str, layout: Layout) -> tuple[Layout, Shape]:
        """Return the layout with the axes called what they are, and the shape of an image as digitlab has it.

        Parameters
        ----------
        names : str
            The axes that the first layer reads: ``CHW``, or ``F`` for features.
        layout : Layout
            Where the input's axes are by now.

        Raises
        ------
        NetworkError
            If pixels are not scaled to 0 to 1, or the first layer reads no images.
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
        return Layout.of(names, layout.shape), (sizes["H"], sizes["W"], sizes["C"])

    def _settled_features(self, layout: Layout) -> tuple[Layout, Shape]:
        if len(self._shape) == 1:
            return layout, layout.shape
        is_first = self._shape[0] < self._shape[2]
        renamed = dict(zip(_UNSETTLED, "CHW" if is_first else "HWC", strict=True))
        dimensions = tuple(tuple(renamed[axis] for axis in axes) for axes in layout.dimensions)
        sizes = {renamed[axis]: size for axis, size in layout.sizes.items()}
        shape = (*self._shape[1:], self._shape[0]) if is_first else self._shape
        return Layout(dimensions, sizes), shape
