"""Images and labels as the engine takes them, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import DataError
from digitlab.metrics import class_numbers
from digitlab.network.architecture import Architecture


@dataclass(frozen=True)
class Images:
    """Images as rows of values: uint8 (n, values), 0-255, or float32 (n, values); the other one is empty."""

    as_bytes: NDArray[np.uint8]
    as_floats: NDArray[np.float32]

    @classmethod
    def from_array(cls, images: NDArray[np.uint8] | NDArray[np.float32], n_values: int) -> Images:
        """Wrap an array of images without copying it, if it is contiguous uint8 or float32."""
        rows: NDArray[Any] = np.ascontiguousarray(images).reshape(len(images), n_values)
        if not rows.flags.writeable:
            rows = rows.copy()  # Numba would compile every kernel once more for arrays that are read-only
        empty = (0, n_values)
        if rows.dtype == np.uint8:
            return cls(rows, np.empty(empty, np.float32))
        return cls(np.empty(empty, np.uint8), rows.astype(np.float32, copy=False))

    def __len__(self) -> int:
        return max(len(self.as_bytes), len(self.as_floats))


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels, int64 (n,)."""

    images: Images
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def wrap_images(architecture: Architecture, images: ArrayLike) -> Images:
    """Check images, of a shape and dtype that the network takes, and wrap them for the engine."""
    array = np.asarray(images)
    shape = architecture.input_shape
    n_values = math.prod(shape)
    fits = [shape, (n_values,)] + ([shape[:2]] if len(shape) == 3 and shape[2] == 1 else [])
    if array.ndim == 0 or array.shape[1:] not in fits:
        wanted = " or ".join(str(("n", *s)).replace("'", "") for s in fits)
        raise DataError(f"{architecture.name} takes images of shape {wanted}; got {array.shape}.")
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"Images must be uint8 (0-255) or float (0-1); got {array.dtype}.")
    return Images.from_array(array, n_values)


def wrap_pages(architecture: Architecture, images: ArrayLike) -> NDArray[Any]:
    """Check images for a network that answers with maps: uint8 or float32 (n, height, width, channels), n >= 1."""
    array, channels = np.asarray(images), architecture.input_shape[2]
    if array.ndim == 3 and channels == 1:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] != channels or array.size == 0:
        raise DataError(
            f"{architecture.name} takes images of shape (n, height, width, {channels}) of any height and width; "
            f"got {np.shape(images)}."
        )
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"Images must be uint8 (0-255) or float; got {array.dtype}.")
    return array.astype(np.float32, copy=False)


def wrap_labelled(architecture: Architecture, images: NDArray[Any], labels: ArrayLike) -> LabelledImages:
    """Check images and labels (numbers ``(n,)`` or one-hot ``(n, n_classes)``) and wrap them for the engine."""
    # A network that answers with maps has no classes, and says so.
    numbers = class_numbers(labels, architecture.n_classes)
    wrapped = wrap_images(architecture, images)
    if len(numbers) != len(wrapped):
        raise DataError(
            f"There are {len(wrapped):,} images but {len(numbers):,} labels; give one label for every image."
        )
    if len(numbers) == 0:
        raise DataError("There are no images; give at least one.")
    return LabelledImages(wrapped, numbers)
