"""Images and labels as the engine takes them, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import ConfigError, DataError
from digitlab.metrics import class_numbers
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Shape

#: The images that digitlab is about, and the side of those that LeNet-5 takes.
_DIGIT, _PADDED = (28, 28), 32
_COLORS = 3
# Of squares that digits are resized to: smaller ones are scikit-learn's digits, which are framed in another way, and a
# test set as larger ones would take gigabytes.
_LEAST_SIDE, _MOST_SIDE = 14, 64
_MOST_FLOAT = float(np.finfo(np.float32).max)
# Where they are so few, an array of booleans is made sooner than the least and the most of them are found.
_FEW_NUMBERS = 10_000
#: What the largest value of a set of images usually is: shares of ink, scikit-learn's load_digits, bytes, 16 bits.
USUAL_SCALES = (1.0, 16.0, 255.0, 65535.0)
# Values so much beyond what the network learned from, or no more than 1 where that was bytes, are in another scale.
_BEYOND, _FEW = 1.5, 0.01


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

    @property
    def pixels(self) -> NDArray[Any]:
        """Those of the two that are not empty."""
        return self.as_floats if self.as_floats.size else self.as_bytes


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels, int64 (n,)."""

    images: Images
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def wrap_images(architecture: Architecture, images: ArrayLike) -> Images:
    """Check images, of a shape and dtype that the network takes, and wrap them for the engine."""
    array = as_pixels(images)
    return Images.from_array(_as_input(architecture, array), math.prod(architecture.input_shape))


def _as_input(architecture: Architecture, array: NDArray[Any]) -> NDArray[Any]:
    """Return images as the network takes them, but for axes of one."""
    given, shape = array.shape[1:], architecture.input_shape
    n_values = math.prod(shape)
    if given in (shape, shape[:-1] if shape[-1] == 1 else shape, (n_values,)):  # the usual ones, soonest
        return array
    # Where the channels stand, which PyTorch has first, matters only where there are several.
    bare, wanted = (tuple(n for n in sizes if n != 1) for sizes in (given, shape))
    is_row_of_them = len(shape) == 1 and len(bare) == 2 and math.prod(bare) == n_values
    if bare in (wanted, shape, (n_values,)) or is_row_of_them:
        return array
    if bare in (_DIGIT, (math.prod(_DIGIT),)) and holds_digit(shape):
        return digits_as(shape, array.reshape(-1, *_DIGIT))
    fits = [shape, (n_values,)] + ([shape[:2]] if len(shape) == 3 and shape[2] == 1 else [])
    words = " or ".join(dict.fromkeys(str(("n", *sizes)).replace("'", "") for sizes in fits))
    raise DataError(
        f"{architecture.name} takes images of shape {words}; got {array.shape}.{_shape_advice(array.shape, shape)}"
    )


def holds_digit(shape: Shape) -> bool:
    """Tell whether a network with this input can be asked for images of 28 x 28: as it is, or by ``digits_as``.

    >>> [holds_digit(shape) for shape in ((28, 28, 1), (784,), (32, 32, 3), (5,))]
    [True, True, True, False]
    """
    bare = tuple(n for n in shape if n != 1)
    sides = _picture(bare)
    is_square = len(sides) == 2 and sides[0] == sides[1]
    return bare == (math.prod(_DIGIT),) or (is_square and _LEAST_SIDE <= sides[0] <= _MOST_SIDE)


def digits_as(shape: Shape, images: NDArray[Any]) -> NDArray[Any]:
    """Return images of 28 x 28, ``(n, 28, 28)`` or ``(n, 28, 28, 1)``, as the input of a network that holds them.

    They are flattened for ``(784,)``, resized for squares of another side, and repeated for three channels, last or
    first.

    >>> digits_as((32, 32, 3), np.ones((5, 28, 28), np.uint8)).sum()
    np.uint64(11760)
    """
    bare = tuple(n for n in shape if n != 1)
    if bare == (math.prod(_DIGIT),) or _picture(bare) == _DIGIT == bare:
        return images.reshape(-1, *shape)
    digits = resized_digits(images.reshape(-1, *_DIGIT), _picture(bare)[0])
    if len(bare) == 3:
        digits = np.stack([digits] * _COLORS, axis=1 if bare[0] == _COLORS else 3)
    return digits.reshape(-1, *shape)


def resized_digits(images: NDArray[Any], side: int) -> NDArray[Any]:
    """Return images of 28 x 28 as squares of another side: in a border of zeros where it is 32, as LeNet-5 has them.

    >>> resized_digits(np.full((2, 28, 28), 7, np.uint8), 64).mean()
    np.float64(7.0)
    """
    if side == _DIGIT[0]:
        return images
    if side == _PADDED:
        return np.pad(images, ((0, 0), (2, 2), (2, 2)))
    # Bilinear, the centers of pixels on those of pixels.
    places = np.clip((np.arange(side) + 0.5) * _DIGIT[0] / side - 0.5, 0, _DIGIT[0] - 1)
    table = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(_DIGIT[0]))).astype(np.float32)
    resized = table @ images @ table.T
    return np.asarray(np.rint(resized) if images.dtype == np.uint8 else resized, images.dtype)


def _picture(bare: Shape) -> Shape:
    """Height and width of a shape without ones, and without three channels, last or first."""
    if len(bare) == 3 and _COLORS in (bare[0], bare[2]):
        return bare[1:] if bare[0] == _COLORS else bare[:2]
    return bare


def _shape_advice(given: Shape, shape: Shape) -> str:
    sizes = {math.prod(shape)} | ({math.prod(_DIGIT)} if holds_digit(shape) else set())
    if given and math.prod(given) in sizes:
        return " Put a single image into a batch: image[np.newaxis]."
    if len(given) == 2 and given[1] - 1 in sizes:
        return (
            " One column too many: is it the label, as in Kaggle's train.csv? Then "
            'x, y = frame.drop(columns="label"), frame["label"].'
        )
    return ""


def as_pixels(images: ArrayLike) -> NDArray[Any]:
    """Return images, frames or lists of numbers as an array of uint8, 0-255, or of finite floats.

    Whole numbers are bytes, whatever their width; booleans are ink or none.
    """
    if not isinstance(images, list | tuple | str) and not hasattr(images, "__array__") and _is_collection(images):
        raise DataError(f"The images are a {type(images).__name__}, and arrays are wanted.{_gathered(images)}")
    try:
        array = np.asarray(images)
        if array.dtype == object and array.ndim:
            array = np.asarray(array.tolist())  # a frame's columns of several kinds
    except (ValueError, TypeError, RuntimeError):
        raise DataError(
            f"The images are a {type(images).__name__} that makes no array: they need one shape, and nothing but "
            f"numbers in them.{' Images and labels are two: (x, y).' if isinstance(images, tuple) else ''}"
        ) from None
    kind = array.dtype.kind
    if array.dtype == np.uint8 or (kind == "f" and are_finite(array)):
        return array
    if kind == "b":
        return array.astype(np.float32)
    if kind in "iu":
        least, most = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if least < 0 or most > 255:
            raise DataError(
                f"Pixels that are whole numbers are bytes, 0 to 255; these are {least:,} to {most:,}. Divide them so "
                "that ink is 1 and paper 0, as floats."
            )
        return array.astype(np.uint8)
    if array.ndim and kind in "OSU" and array.size:
        odd = next((one for one in array.flat if not isinstance(one, int | float | np.number)), array.flat[0])
        raise DataError(
            f"Pixels are numbers, and among these is {str(odd)[:40]!r}. Texts of digits become numbers with "
            ".astype(float), and 0 is put where a frame has gaps by .fillna(0)."
        )
    if kind != "f":
        found = str(array.dtype) if array.ndim and array.dtype != object else type(images).__name__
        raise DataError(
            f"Images must be an array of numbers, uint8 (0-255) or float (0-1); got {found}.{_gathered(images)}"
        )
    # Image by image, because an array of booleans would take memory for every pixel.
    bad = [k for k, image in enumerate(np.atleast_1d(array)) if not (np.abs(image) <= _MOST_FLOAT).all()]
    raise DataError(
        f"{len(bad):,} of {len(array):,} images hold pixels that are NaN or infinite, the first at position "
        f"{bad[0]:,}. Leave these out, or put 0 in their place: np.nan_to_num(images)."
    )


def are_finite(array: NDArray[np.floating]) -> bool:
    """Tell whether an array holds no NaN and nothing that float32 takes for infinite."""
    if array.size <= _FEW_NUMBERS and array.dtype.itemsize <= 4:
        return bool(np.isfinite(array).all())
    return not array.size or (float(array.min()) >= -_MOST_FLOAT and float(array.max()) <= _MOST_FLOAT)


def _is_collection(images: Any) -> bool:
    # NumPy would ask such a thing for its items one by one, and may not come to an end.
    return hasattr(images, "__getitem__") and hasattr(images, "__len__") and not isinstance(images, bytes | memoryview)


def _gathered(images: Any) -> str:
    """Return the advice for somebody who passes a whole data set."""
    if isinstance(images, str):
        return ' Files are read by digitlab.MnistData.load("folder").'
    for pixels, labels in (("images", "labels"), ("data", "targets"), ("data", "target")):
        if hasattr(images, pixels) and hasattr(images, labels):
            return f" Pass both parts: x, y = data.{pixels}, data.{labels}."
    if hasattr(images, "training"):
        return " Pass one of its parts: x, y = data.training.images, data.training.labels."
    return " Gather generators and data sets into arrays first: x = np.concatenate(batches)."


def scale_of(pixels: NDArray[Any]) -> float:
    """Return what 1 is in pixels that a network learns from: 1 for bytes, which the engine divides, and for shares.

    Infinite where some are below 0: then nothing can be told of others.
    """
    if pixels.dtype == np.uint8 or not pixels.size:
        return 1.0
    return math.inf if pixels.min() < 0 else usual_scale(float(pixels.max()))


def scale_told(pixels: NDArray[Any], learned: float | None) -> str:
    """Return a sentence where pixels are in another scale than those learned from, or else than 0 to 1; or ""."""
    is_of_bytes = pixels.dtype == np.uint8
    if learned == math.inf or not pixels.size or (is_of_bytes and learned == 1):
        return ""
    most = float(pixels.max())
    if most == 0 or (learned == 1 and most <= _BEYOND) or pixels.min() < 0:
        return ""
    if is_of_bytes:
        if learned is None and most <= USUAL_SCALES[1]:
            scale = usual_scale(most)
            return (
                f"The images are whole numbers, which are bytes from 0 to 255, and none of these is above {most:g}: to "
                f"the network they are nearly black. If {scale:g} is ink, pass images / {scale:.1f}."
            )
        if learned is not None and learned > 1:
            return (
                f"The network learned from floats from 0 to {learned:g}, and bytes are divided by 255 before it sees "
                f"them, so that the answers will be wrong. Pass images.astype(float){_times(learned / 255)}."
            )
        return ""
    if learned is not None:
        return unlike_learned(pixels, learned)
    if not _goes_beyond(pixels, most, 1.0):
        return ""
    scale = usual_scale(most)
    return (
        f"The images go up to {most:g}, and floats should be from 0 to 1. They are taken as they are; what is asked of "
        f"this network later must be so, too, and photos are not. Better pass images / {scale:g}"
        f"{', or bytes: images.astype(np.uint8)' if scale == 255 else ''}."
    )


def unlike_learned(pixels: NDArray[Any], learned: float) -> str:
    """Return a sentence where pixels, 0 or more, are in another scale than those learned from; or ""."""
    most = float(pixels.max())
    if not (_goes_beyond(pixels, most, learned) or 0 < most <= 1 < learned):
        return ""
    scale = usual_scale(most)
    return (
        f"The images were from 0 to {learned:g} when the network learned from them, and these are from 0 to "
        f"{scale:g}, it seems, so that the answers will be wrong. If so, pass X{_times(learned / scale)}."
    )


def _goes_beyond(pixels: NDArray[Any], most: float, learned: float) -> bool:
    # A few may: where a pixel was never inked, scikit-learn's MinMaxScaler leaves what others have there.
    if most <= _BEYOND * learned:
        return False
    return bool(np.count_nonzero(pixels > _BEYOND * learned) > _FEW * np.count_nonzero(pixels))


def usual_scale(most: float) -> float:
    """Return the least of the usual scales that holds a value, or the value itself."""
    return next((scale for scale in USUAL_SCALES if most <= scale), most)


def _times(factor: float) -> str:
    return "" if factor == 1 else f" * {factor:g}" if factor > 1 else f" / {1 / factor:g}"


def wrap_pages(architecture: Architecture, images: ArrayLike) -> NDArray[Any]:
    """Check images for a network that answers with maps: uint8 or float32 (n, height, width, channels), n >= 1."""
    array, channels = as_pixels(images), architecture.input_shape[2]
    if array.ndim == 3 and channels == 1:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] != channels or array.size == 0:
        raise DataError(
            f"{architecture.name} takes images of shape (n, height, width, {channels}) of any height and width; "
            f"got {np.shape(images)}."
        )
    return array if array.dtype == np.uint8 else array.astype(np.float32, copy=False)


def wrap_labelled(architecture: Architecture, images: ArrayLike, labels: ArrayLike) -> LabelledImages:
    """Check images and labels (numbers ``(n,)`` or one-hot ``(n, n_classes)``) and wrap them for the engine."""
    # A network that answers with maps has no classes, and says so.
    numbers = class_numbers(labels, architecture.n_classes)
    pixels = as_pixels(images)
    if pixels.ndim and not len(pixels):
        raise DataError("There are no images; give at least one.")
    wrapped = wrap_images(architecture, pixels)
    if len(numbers) != len(wrapped):
        raise _unequal(len(wrapped), len(numbers))
    return LabelledImages(wrapped, numbers)


def held_out(x: NDArray[Any], y: Any, fraction: float) -> tuple[NDArray[Any], Any, tuple[Any, Any]]:
    """Return images and labels without the last part of them, and that part, as Keras' ``validation_split`` does."""
    labels = np.asarray(() if y is None else y)
    if not isinstance(fraction, int | float | np.number) or not 0 < fraction < 1:
        raise ConfigError(f"validation_split must be a part of the images, 0 to below 1; got {fraction!r:.60}.")
    n = math.floor(len(x) * (1 - fraction)) if x.ndim else 0
    if not 0 < n < len(x):
        raise ConfigError(
            f"validation_split={fraction:g} of {len(x) if x.ndim else 0:,} images leaves none to "
            f"{'validate with' if n else 'learn from'}; give more images, or another part."
        )
    if len(x) != (len(labels) if labels.ndim else 0):
        raise _unequal(len(x), len(labels) if labels.ndim else 0)
    return x[:n], labels[:n], (x[n:], labels[n:])


def validation_pair(given: Any) -> tuple[Any, Any]:
    """Return the images and labels of ``validation_data``; a ConfigError if they are not two."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        found = f"{len(given)} of them" if isinstance(given, tuple | list) else type(given).__name__
        raise ConfigError(f"validation_data is two, (images, labels); got {found}.")
    return given[0], given[1]


def _unequal(n_images: int, n_labels: int) -> DataError:
    return DataError(f"There are {n_images:,} images but {n_labels:,} labels; give one label for every image.")
