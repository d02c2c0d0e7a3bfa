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
from digitlab.network.layers import Shape

#: The images that digitlab is about, and those that LeNet-5 takes.
_DIGIT, _PADDED = (28, 28), (32, 32)
_COLORS = 3


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
    array, shape = np.asarray(images), architecture.input_shape
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"Images must be uint8 (0-255) or float (0-1); got {array.dtype}.")
    given, n_values = array.shape[1:], math.prod(shape)
    if given != shape:
        # Where the channels stand, which PyTorch has first, matters only where there are several.
        bare, wanted = (tuple(n for n in sizes if n != 1) for sizes in (given, shape))
        is_row_of_them = len(shape) == 1 and len(bare) == 2 and math.prod(bare) == n_values
        if bare not in (wanted, shape, (n_values,)) and not is_row_of_them:
            if bare not in (_DIGIT, (math.prod(_DIGIT),)) or not holds_digit(shape):
                raise DataError(f"{architecture.name} takes images of shape {_taken(shape)}; got {array.shape}.")
            array = digits_as(shape, array.reshape(-1, *_DIGIT))
    return Images.from_array(array, n_values)


def _taken(shape: Shape) -> str:
    row = (math.prod(shape),)
    fits = [shape, (shape[:2] if shape[2] == 1 else row), row] if len(shape) == 3 else [row]
    return " or ".join(dict.fromkeys(str(("n", *sizes)).replace("'", "") for sizes in fits))


def holds_digit(shape: Shape) -> bool:
    """Tell whether a network with this input can be asked for images of 28 x 28: as it is, or by ``digits_as``.

    >>> [holds_digit(shape) for shape in ((28, 28, 1), (784,), (32, 32, 3), (5,))]
    [True, True, True, False]
    """
    bare = tuple(n for n in shape if n != 1)
    return bare == (math.prod(_DIGIT),) or _picture(bare) in (_DIGIT, _PADDED)


def digits_as(shape: Shape, images: NDArray[Any]) -> NDArray[Any]:
    """Return images of 28 x 28, ``(n, 28, 28)`` or ``(n, 28, 28, 1)``, as the input of a network that holds them.

    They are flattened for ``(784,)``, get a border of zeros for 32 x 32 pixels (LeNet-5's), and are repeated for three
    channels, last or first.

    >>> digits_as((32, 32, 3), np.ones((5, 28, 28), np.uint8)).sum()
    np.uint64(11760)
    """
    bare = tuple(n for n in shape if n != 1)
    if bare == (math.prod(_DIGIT),) or _picture(bare) == _DIGIT == bare:
        return images.reshape(-1, *shape)
    border = (_picture(bare)[0] - _DIGIT[0]) // 2
    digits = np.pad(images.reshape(-1, *_DIGIT), ((0, 0), (border, border), (border, border)))
    if len(bare) == 3:
        digits = np.stack([digits] * _COLORS, axis=1 if bare[0] == _COLORS else 3)
    return digits.reshape(-1, *shape)


def _picture(bare: Shape) -> Shape:
    """Height and width of a shape without ones, and without three channels, last or first."""
    if len(bare) == 3 and _COLORS in (bare[0], bare[2]):
        return bare[1:] if bare[0] == _COLORS else bare[:2]
    return bare


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
