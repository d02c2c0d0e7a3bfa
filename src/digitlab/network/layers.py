"""The layers a network may hold: frozen dataclasses that know their shapes and parameters; and initial weights.

Names, defaults and weight layout are Keras'. A shape is ``(height, width, channels)`` or ``(features,)``, without
the batch; height and width are None where they are those of the image, whatever it is. The list is closed; whatever
else a network needs is an error that names the alternative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError

#: Whole numbers; None for a height or width that is the image's own.
Shape = tuple[Any, ...]

#: What a layer may do to its sums; ``softmax`` only in the last layer.
ACTIVATIONS = ("linear", "relu", "softmax")
PADDINGS = ("valid", "same")
_LARGEST_UNITS = 65_536
_LARGEST_KERNEL = 63

#: How weights begin, by Keras' names. ``variance_scaling``: truncated normal, variance 1 / fan-in (the codelab's).
#: ``he_normal``: truncated normal, variance 2 / fan-in (He et al. 2015). ``glorot_uniform``: uniform within
#: sqrt(6 / (fan-in + fan-out)) (Glorot and Bengio 2010). A layer's *fan-in* is the number of values that one of its
#: outputs sums; its *fan-out* the number of outputs that one of its inputs reaches.
INITIALIZERS = ("variance_scaling", "glorot_uniform", "he_normal", "zeros")
# Keras divides by the standard deviation of a normal distribution cut at two standard deviations,
# so that what is left has the variance that was asked for.
_TRUNCATED_NORMAL_STDDEV = 0.87962566103423978


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Base of all layers; ``name`` is given by the network when it is left empty."""

    name: str = ""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of this layer's output for an input of ``input_shape``."""
        return input_shape

    def weight_shapes(self, input_shape: Shape) -> tuple[Shape, ...]:
        """Return the shapes of kernel and bias, in Keras' order; empty for a layer that learns nothing."""
        return ()


@dataclass(frozen=True)
class Conv2D(Layer):
    """Slide ``filters`` small kernels over the image, stride 1.

    Attributes
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or (int, int)
        Height and width of the kernels, in pixels.
    padding : {"valid", "same"}
        ``valid`` keeps to the image, so that it shrinks by kernel_size - 1; ``same`` adds a border of zeros.
    activation : {"linear", "relu"}
        Applied to every sum.
    use_bias : bool
        Whether every filter has a constant of its own.
    kernel_initializer, bias_initializer : str
        Names from ``INITIALIZERS``.
    """

    filters: int
    kernel_size: int | tuple[int, int]
    padding: str = "valid"
    activation: str = "linear"
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"
    bias_initializer: str = "zeros"

    def __post_init__(self) -> None:
        _count(self.filters, "Conv2D filters")
        object.__setattr__(self, "kernel_size", _pair(self.kernel_size, "Conv2D kernel_size"))
        _one_of(self.padding, PADDINGS, "Conv2D padding")
        _check_learning(self, ("linear", "relu"))

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel, in pixels."""
        return _pair(self.kernel_size, "Conv2D kernel_size")

    def output_shape(self, input_shape: Shape) -> Shape:
        height, width, _ = _image_shape("Conv2D", input_shape)
        if self.padding == "same":
            return height, width, self.filters
        kernel_height, kernel_width = self.kernel
        if height is None or width is None:
            return None, None, self.filters
        if kernel_height > height or kernel_width > width:
            raise NetworkError(
                f"Conv2D with a {kernel_height} x {kernel_width} kernel does not fit into an image of "
                f'{height} x {width} pixels; use a smaller kernel_size or padding="same".',
                field="kernel_size",
            )
        return height - kernel_height + 1, width - kernel_width + 1, self.filters

    def weight_shapes(self, input_shape: Shape) -> tuple[Shape, ...]:
        kernel = (*self.kernel, _image_shape("Conv2D", input_shape)[2], self.filters)
        return (kernel, (self.filters,)) if self.use_bias else (kernel,)


@dataclass(frozen=True)
class MaxPooling2D(Layer):
    """Keep the largest value of every window.

    Attributes
    ----------
    pool_size : int or (int, int)
        Height and width of the window, in pixels.
    strides : int, (int, int) or None
        Step from window to window; None means ``pool_size``.
    padding : {"valid", "same"}
        ``valid`` drops what does not fill a window.
    """

    pool_size: int | tuple[int, int] = 2
    strides: int | tuple[int, int] | None = None
    padding: str = "valid"

    def __post_init__(self) -> None:
        pool = _pair(self.pool_size, "MaxPooling2D pool_size")
        if pool[0] * pool[1] > 225:
            raise NetworkError(
                f"MaxPooling2D windows can hold at most 225 pixels; got pool_size {pool}.", field="pool_size"
            )
        object.__setattr__(self, "pool_size", pool)
        object.__setattr__(
            self, "strides", pool if self.strides is None else _pair(self.strides, "MaxPooling2D strides")
        )
        _one_of(self.padding, PADDINGS, "MaxPooling2D padding")

    @property
    def pool(self) -> tuple[int, int]:
        """Height and width of the window, in pixels."""
        return _pair(self.pool_size, "MaxPooling2D pool_size")

    @property
    def stride(self) -> tuple[int, int]:
        """Vertical and horizontal step, in pixels."""
        return _pair(self.strides, "MaxPooling2D strides")

    def output_shape(self, input_shape: Shape) -> Shape:
        height, width, channels = _image_shape("MaxPooling2D", input_shape)
        if height is None or width is None:
            return None, None, channels
        if self.padding == "same":
            return -(-height // self.stride[0]), -(-width // self.stride[1]), channels
        if self.pool[0] > height or self.pool[1] > width:
            raise NetworkError(
                f"MaxPooling2D with a {self.pool[0]} x {self.pool[1]} window does not fit into an image of "
                f"{height} x {width} pixels; use a smaller pool_size or fewer poolings.",
                field="pool_size",
            )
        return (height - self.pool[0]) // self.stride[0] + 1, (width - self.pool[1]) // self.stride[1] + 1, channels


@dataclass(frozen=True)
class Flatten(Layer):
    """Lay an image out as one row of features, in the order height, width, channels."""

    def output_shape(self, input_shape: Shape) -> Shape:
        if None in input_shape:
            raise NetworkError(
                "Flatten needs images of a fixed size; give the network an input_shape without None, or end it with "
                "a Conv2D, which answers with maps."
            )
        return (math.prod(input_shape),)


@dataclass(frozen=True)
class Dropout(Layer):
    """Set a random fraction ``rate`` of the values to zero while training, and scale the rest by 1 / (1 - rate)."""

    rate: float

    def __post_init__(self) -> None:
        if isinstance(self.rate, bool) or not isinstance(self.rate, int | float) or not 0.0 <= self.rate < 1.0:
            raise NetworkError(f"Dropout rate must be a fraction from 0 to below 1; got {self.rate!r}.", field="rate")


@dataclass(frozen=True)
class Dense(Layer):
    """Connect every input feature with each of ``units`` outputs.

    Attributes
    ----------
    units : int
        Number of outputs.
    activation : {"linear", "relu", "softmax"}
        Applied to every sum; ``softmax`` turns the last layer's sums into probabilities.
    use_bias, kernel_initializer, bias_initializer
        As for ``Conv2D``.
    """

    units: int
    activation: str = "linear"
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"
    bias_initializer: str = "zeros"

    def __post_init__(self) -> None:
        _count(self.units, "Dense units")
        _check_learning(self, ACTIVATIONS)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise NetworkError(
                f"Dense needs a row of features but gets an image of shape {input_shape}; add Flatten before it."
            )
        return (self.units,)

    def weight_shapes(self, input_shape: Shape) -> tuple[Shape, ...]:
        kernel = (input_shape[0], self.units)
        return (kernel, (self.units,)) if self.use_bias else (kernel,)


#: The layers a network may hold, by class name.
LAYERS: dict[str, type[Layer]] = {cls.__name__: cls for cls in (Conv2D, MaxPooling2D, Flatten, Dropout, Dense)}


def settings_of(layer: Layer) -> dict[str, Any]:
    """Return a layer's name and settings as JSON has them."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(layer).items()}


def initialize(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a kernel ``(height, width, in, out)`` or ``(in, out)``, or a bias ``(out,)``, as float32."""
    if name == "zeros":
        return np.zeros(shape, np.float32)
    # Keras' reading of a bias: as many inputs as outputs.
    fans = shape[-2:] if len(shape) > 1 else (math.prod(shape), math.prod(shape))
    fan_in, fan_out = (math.prod(shape[:-2]) * n for n in fans)
    if name == "glorot_uniform":
        limit = math.sqrt(6.0 / (fan_in + fan_out))
        return rng.uniform(-limit, limit, shape).astype(np.float32)
    if name not in INITIALIZERS:
        raise NetworkError(f"There is no initializer {name!r}; choose one of {', '.join(INITIALIZERS)}.")
    return _truncated_normal(rng, shape, math.sqrt((2.0 if name == "he_normal" else 1.0) / max(1, fan_in)))


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], stddev: float) -> NDArray[np.float32]:
    values = rng.standard_normal(shape)
    outside = np.abs(values) > 2.0
    while outside.any():
        values[outside] = rng.standard_normal(int(outside.sum()))
        outside = np.abs(values) > 2.0
    return (values * (stddev / _TRUNCATED_NORMAL_STDDEV)).astype(np.float32)


def are_counts(values: Iterable[Any], most: float = math.inf) -> bool:
    """Tell whether all of these, which may be anything, are whole numbers from 1 to ``most``."""
    return all(isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= most for n in values)


def _pair(value: Any, what: str) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not are_counts(pair):
        raise _wrong(what, f"must be a whole number of at least 1, or two of them; got {value!r}.")
    if max(pair) > _LARGEST_KERNEL:
        raise _wrong(what, f"can be at most {_LARGEST_KERNEL}; got {value!r}.")
    return pair[0], pair[1]


def _wrong(what: str, sentence: str) -> NetworkError:
    """Return the error of a setting; ``what`` is a layer and its setting, such as ``"Conv2D filters"``."""
    return NetworkError(f"{what} {sentence}", field=what.split()[-1])


def _count(value: Any, what: str) -> None:
    if not are_counts([value], _LARGEST_UNITS):
        raise _wrong(what, f"must be a whole number from 1 to {_LARGEST_UNITS:,}; got {value!r}.")


def _one_of(value: Any, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise _wrong(what, f"must be one of {', '.join(allowed)}; got {value!r}.")


def _check_learning(layer: Conv2D | Dense, activations: tuple[str, ...]) -> None:
    """Check the settings that all layers with weights have."""
    kind = type(layer).__name__
    _one_of(layer.activation, activations, f"{kind} activation")
    if not isinstance(layer.use_bias, bool):
        raise _wrong(f"{kind} use_bias", f"must be True or False; got {layer.use_bias!r}.")
    _one_of(layer.kernel_initializer, INITIALIZERS, f"{kind} kernel_initializer")
    _one_of(layer.bias_initializer, INITIALIZERS, f"{kind} bias_initializer")


def _image_shape(layer: str, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise NetworkError(
            f"{layer} needs images of shape (height, width, channels) but gets {shape}; "
            "put it before Flatten and Dense."
        )
    return shape[0], shape[1], shape[2]
