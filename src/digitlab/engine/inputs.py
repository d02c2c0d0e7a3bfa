"""What people pass in, checked once: images and labels as the engine takes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.engine.cpu.memory import Images
from digitlab.engine.fitting import LabelledImages
from digitlab.errors import DataError
from digitlab.metrics import class_numbers
from digitlab.network.architecture import Architecture

__all__ = ["wrap_images", "wrap_labelled", "wrap_pages"]


def wrap_images(architecture: Architecture, images: ArrayLike) -> Images:
    """Check images and wrap them for the engine.

    Raises
    ------
    DataError
        If they have another shape or dtype than the network takes.
    """
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
    """Check images for a network that answers with maps: uint8 or float32 (n, height, width, channels), n >= 1.

    Raises
    ------
    DataError
        If they have another shape or dtype than the network takes.
    """
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
    """Check images and labels (numbers ``(n,)`` or one-hot ``(n, n_classes)``) and wrap them for the engine.

    Raises
    ------
    DataError
        If they do not fit together or to this network.
    """
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
