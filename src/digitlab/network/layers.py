"""The layers a network may hold: frozen dataclasses that know their shapes and parameters; and initial weights.

Names, defaults and weight layout are Keras'. A shape is ``(height, width, channels)`` or ``(features,)``, without
the batch; height and width are None where they are those of the image, whatever it is. The list is closed; whatever
else a network needs is an error that names the alternative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import MissingNameError, NetworkError, did_you_mean

#: Whole numbers; None for a height or width that is the image's own.
Shape = tuple[Any, ...]

#: What may be done to every value by itself: keras.activations' functions, with their defaults.
ELEMENTWISE = ("linear", "relu", "sigmoid", "tanh", "elu", "leaky_relu")
#: What a layer may do to its sums; ``softmax`` only in the last layer.
ACTIVATIONS = (*ELEMENTWISE, "softmax")
PADDINGS = ("valid", "same")
_LARGEST_UNITS = 65_536
_LARGEST_KERNEL = 63
_STEEPEST = 1_000.0
# What Keras' activations of these names do below zero; its layers LeakyReLU and ELU have settings of their own.
_BELOW_ZERO = {"leaky_relu": 0.2, "elu": 1.0}

#: How weights begin, by Keras' names. ``variance_scaling``: truncated normal, variance 1 / fan-in (the codelab's).
#: ``he_normal``: truncated normal, variance 2 / fan-in (He et al. 2015). ``glorot_uniform``: uniform within
#: sqrt(6 / (fan-in + fan-out)) (Glorot and Bengio 2010). A layer's *fan-in* is the number of values that one of its
#: outputs sums; its *fan-out* the number of outputs that one of its inputs reaches.
INITIALIZERS = ("variance_scaling", "glorot_uniform", "he_normal", "zeros")
# Keras divides by the standard deviation of a normal distribution cut at two standard deviations,
# so that what is left has the variance that was asked for.
_TRUNCATED_NORMAL_STDDEV = 0.87962566103423978

_SHAPE_IS_THE_NETWORKS = "Sequential(layers, input_shape=(28, 28, 1)) tells the shape of the images."
_WEIGHTS_ARE_THE_NETWORKS = "model.get_weights() gives kernel and bias of every layer, one after the other"
# What Keras' layers take and have, and what to write here.
_KERAS_SETTINGS = {
    "batch_input_shape": _SHAPE_IS_THE_NETWORKS,
    "bias_regularizer": "AdamW(weight_decay=...) keeps weights small.",
    "data_format": "Channels are last.",
    "dtype": "Numbers are float32.",
    "input_dim": _SHAPE_IS_THE_NETWORKS,
    "input_shape": _SHAPE_IS_THE_NETWORKS,
    "kernel_regularizer": "AdamW(weight_decay=...) keeps weights small.",
    "trainable": "Every layer is trained.",
}
_KERAS_ATTRIBUTES = {
    "get_weights": _WEIGHTS_ARE_THE_NETWORKS,
    "input": '"digitlab studio" shows what goes through every layer',
    "output": '"digitlab studio" shows what goes through every layer',
    "set_weights": "model.set_weights(weights) sets those of every layer",
    "trainable": "every layer is trained",
    "weights": _WEIGHTS_ARE_THE_NETWORKS,
}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Base of all layers; ``name`` is given by the network when it is left empty."""

    name: str = ""

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Say what to write instead of a setting of Keras' that the layer does not have, or which one is missing."""
        known = [one.name for one in fields(cls)]
        for name in settings:
            if name not in known:
                advice = f" {_KERAS_SETTINGS[name]}" if name in _KERAS_SETTINGS else did_you_mean(name, known)
                raise NetworkError(f"{cls.__name__} has no {name}.{advice} It has {', '.join(known)}.")
        if args or settings:  # a copy is made without any, and filled afterwards
            placed = [one.name for one in fields(cls) if not one.kw_only][: len(args)]
            for one in fields(cls):
                if one.default is MISSING and one.name not in placed and one.name not in settings:
                    raise NetworkError(f"{cls.__name__} needs {one.name}.")
        return super().__new__(cls)

    if not TYPE_CHECKING:  # type checkers shall miss what is missing

        def __getattr__(self, name: str) -> Any:
            advice = f": {_KERAS_ATTRIBUTES[name]}" if name in _KERAS_ATTRIBUTES else ""
            raise MissingNameError(f"digitlab's {type(self).__name__} has no attribute {name!r}{advice}")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of this layer's output for an input of ``input_shape``."""
        return input_shape

    def weight_shapes(self, input_shape: Shape) -> tuple[Shape, ...]:
        """Return the shapes of kernel and bias, in Keras' order; empty for a layer that learns nothing."""
        return ()


@dataclass(frozen=True)
class Conv2D(Layer):
    """Slide ``filters`` small kernels over the image.

    Attributes
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or (int, int)
        Height and width of the kernels, in pixels.
    strides : int or (int, int)
        Step from one place of the kernel to the next, in pixels; in Python by name only.
    padding : {"valid", "same"}
        ``valid`` keeps to the image, so that it shrinks by kernel_size - 1; ``same`` adds a border of zeros.
    activation : {"linear", "relu", "sigmoid", "tanh", "elu", "leaky_relu"}
        Applied to every sum.
    use_bias : bool
        Whether every filter has a constant of its own.
    kernel_initializer, bias_initializer : str
        Names from ``INITIALIZERS``.
    """

    filters: int
    kernel_size: int | tuple[int, int]
    strides: int | tuple[int, int] = field(default=(1, 1), kw_only=True)
    padding: str = "valid"
    activation: str = "linear"
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"
    bias_initializer: str = "zeros"

    def __post_init__(self) -> None:
        _count(self.filters, "Conv2D filters")
        object.__setattr__(self, "kernel_size", _pair(self.kernel_size, "Conv2D kernel_size"))
        object.__setattr__(self, "strides", _pair(self.strides, "Conv2D strides"))
        _one_of(self.padding, PADDINGS, "Conv2D padding")
        _check_learning(self, ELEMENTWISE)

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel, in pixels."""
        return _pair(self.kernel_size, "Conv2D kernel_size")

    @property
    def stride(self) -> tuple[int, int]:
        """Vertical and horizontal step, in pixels."""
        return _pair(self.strides, "Conv2D strides")

    def output_shape(self, input_shape: Shape) -> Shape:
        height, width, _ = _image_shape("Conv2D", input_shape)
        sizes = windows_of((height, width), self.kernel, self.stride, self.padding)
        if sizes is None:
            raise NetworkError(
                f"Conv2D with a {self.kernel[0]} x {self.kernel[1]} kernel does not fit into an image of "
                f'{height} x {width} pixels; use a smaller kernel_size or padding="same".',
                field="kernel_size",
            )
        return *sizes, self.filters

    def weight_shapes(self, input_shape: Shape) -> tuple[Shape, ...]:
        kernel = (*self.kernel, _image_shape("Conv2D", input_shape)[2], self.filters)
        return (kernel, (self.filters,)) if self.use_bias else (kernel,)


@dataclass(frozen=True)
class _Pooling2D(Layer):
    """What both poolings of windows have in common."""

    pool_size: int | tuple[int, int] = 2
    strides: int | tuple[int, int] | None = None
    padding: str = "valid"

    def __post_init__(self) -> None:
        kind = type(self).__name__
        pool = _pair(self.pool_size, f"{kind} pool_size")
        object.__setattr__(self, "pool_size", pool)
        object.__setattr__(self, "strides", pool if self.strides is None else _pair(self.strides, f"{kind} strides"))
        _one_of(self.padding, PADDINGS, f"{kind} padding")

    @property
    def pool(self) -> tuple[int, int]:
        """Height and width of the window, in pixels."""
        return _pair(self.pool_size, f"{type(self).__name__} pool_size")

    @property
    def stride(self) -> tuple[int, int]:
        """Vertical and horizontal step, in pixels."""
        return _pair(self.strides, f"{type(self).__name__} strides")

    def output_shape(self, input_shape: Shape) -> Shape:
        kind = type(self).__name__
        height, width, channels = _image_shape(kind, input_shape)
        sizes = windows_of((height, width), self.pool, self.stride, self.padding)
        if sizes is None:
            raise NetworkError(
                f"{kind} with a {self.pool[0]} x {self.pool[1]} window does not fit into an image of "
                f"{height} x {width} pixels; use a smaller pool_size or fewer poolings.",
                field="pool_size",
            )
        return *sizes, channels


@dataclass(frozen=True)
class MaxPooling2D(_Pooling2D):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if math.prod(self.pool) > 225:
            raise NetworkError(
                f"MaxPooling2D windows can hold at most 225 pixels; got pool_size {self.pool}.", field="pool_size"
            )


@dataclass(frozen=True)
class AveragePooling2D(_Pooling2D):
    """Keep the mean of every window; beyond the image there is nothing that would count.

    Attributes
    ----------
    pool_size, strides, padding
        As for ``MaxPooling2D``.
    """


@dataclass(frozen=True)
class _GlobalPooling2D(Layer):
    """What both poolings of whole maps have in common."""

    def output_shape(self, input_shape: Shape) -> Shape:
        kind = type(self).__name__
        if None in _image_shape(kind, input_shape):
            raise NetworkError(
                f"{kind} needs images of a fixed size; give the network an input_shape without None, or end it with "
                "a Conv2D, which answers with maps."
            )
        return (input_shape[2],)


@dataclass(frozen=True)
class GlobalAveragePooling2D(_GlobalPooling2D):
    """Keep the mean of every channel: one row of features."""


@dataclass(frozen=True)
class GlobalMaxPooling2D(_GlobalPooling2D):
    """Keep the largest value of every channel: one row of features."""


@dataclass(frozen=True)
class ZeroPadding2D(Layer):
    """Add a border of zeros.

    Attributes
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        Rows and columns on each side; or those at top and bottom, and those on the left and right.
    """

    padding: int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))

    def __post_init__(self) -> None:
        sides: Any = self.padding
        sides = (sides, sides) if isinstance(sides, int) else sides if isinstance(sides, list | tuple) else ()
        sides = [(side, side) if isinstance(side, int) else side for side in sides]
        if len(sides) != 2 or not all(isinstance(side, list | tuple) and len(side) == 2 for side in sides):
            raise _wrong(
                "ZeroPadding2D padding",
                f"must be a whole number, two of them, or ((top, bottom), (left, right)); got {self.padding!r}.",
            )
        if not all(n == 0 or are_counts([n], _LARGEST_KERNEL) for side in sides for n in side):
            raise _wrong(
                "ZeroPadding2D padding", f"holds whole numbers from 0 to {_LARGEST_KERNEL}; got {self.padding!r}."
            )
        object.__setattr__(self, "padding", tuple((int(first), int(last)) for first, last in sides))

    @property
    def sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows of zeros at top and bottom, and columns on the left and right."""
        (top, bottom), (left, right) = cast("Any", self.padding)
        return (top, bottom), (left, right)

    def output_shape(self, input_shape: Shape) -> Shape:
        height, width, channels = _image_shape("ZeroPadding2D", input_shape)
        if height is None or width is None:
            return None, None, channels
        return height + sum(self.sides[0]), width + sum(self.sides[1]), channels


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
    activation : {"linear", "relu", "sigmoid", "tanh", "elu", "leaky_relu", "softmax"}
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


@dataclass(frozen=True)
class Activation(Layer):
    """Apply a function to what the layer before gives.

    Attributes
    ----------
    activation : {"linear", "relu", "sigmoid", "tanh", "elu", "leaky_relu", "softmax"}
        As for ``Dense``; ``softmax`` turns a row of features into probabilities, at the network's end.
    """

    activation: str

    def __post_init__(self) -> None:
        _one_of(self.activation, ACTIVATIONS, "Activation activation")

    def output_shape(self, input_shape: Shape) -> Shape:
        if self.activation == "softmax" and len(input_shape) != 1:
            raise NetworkError(
                f"softmax needs a row of features but gets an image of shape {input_shape}; add Flatten or "
                "GlobalAveragePooling2D before it."
            )
        return input_shape


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """Keep what is above zero, and ``negative_slope`` times what is below (Maas et al. 2013)."""

    negative_slope: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "negative_slope", _steepness(self.negative_slope, "LeakyReLU negative_slope"))


@dataclass(frozen=True)
class ELU(Layer):
    """Keep what is above zero, and ``alpha * (exp(x) - 1)`` of an x below (Clevert et al. 2016)."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", _steepness(self.alpha, "ELU alpha"))


#: The layers a network may hold, by class name.
LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Conv2D,
        MaxPooling2D,
        Flatten,
        Dropout,
        Dense,
        AveragePooling2D,
        GlobalAveragePooling2D,
        GlobalMaxPooling2D,
        ZeroPadding2D,
        Activation,
        LeakyReLU,
        ELU,
    )
}


def _refuse(layer: Layer, name: str, _value: Any) -> None:
    advice = "every layer is trained" if name == "trainable" else "make one anew, dataclasses.replace(layer, ...)"
    raise MissingNameError(f"A layer of digitlab's cannot be given another {name}: {advice}.")


# After they are made, since a frozen dataclass brings its own.
for _kind in LAYERS.values():
    _kind.__setattr__ = _refuse  # type: ignore[assignment,method-assign]


def settings_of(layer: Layer) -> dict[str, Any]:
    """Return a layer's name and settings as JSON has them."""
    settings = {key: _listed(value) for key, value in asdict(layer).items()}
    if isinstance(layer, Conv2D) and layer.stride == (1, 1):
        del settings["strides"]  # networks without strides are written as they were before there were any
    return settings


def activation_of(layer: Layer) -> tuple[str, float]:
    """Return the function that a layer applies to its values, by its name, and what that has below zero.

    The second is the slope of leaky ReLU, and ELU's alpha.

    >>> activation_of(Dense(8, activation="leaky_relu")), activation_of(ELU()), activation_of(Flatten())
    (('leaky_relu', 0.2), ('elu', 1.0), ('linear', 0.0))
    """
    if isinstance(layer, LeakyReLU):
        return "leaky_relu", layer.negative_slope
    if isinstance(layer, ELU):
        return "elu", layer.alpha
    name = getattr(layer, "activation", "linear")
    return name, _BELOW_ZERO.get(name, 0.0)


def windows_of(sizes: Shape, window: Shape, strides: Shape, padding: str) -> Shape | None:
    """Return how many windows there are down and across; None if none fits.

    >>> windows_of((28, 28), (5, 5), (2, 2), "valid"), windows_of((28, 28), (5, 5), (2, 2), "same")
    ((12, 12), (14, 14))
    """
    if None in sizes:
        return None, None
    if padding == "same":
        return tuple(-(-size // step) for size, step in zip(sizes, strides, strict=True))
    if any(size < length for size, length in zip(sizes, window, strict=True)):
        return None
    return tuple((size - length) // step + 1 for size, length, step in zip(sizes, window, strides, strict=True))


def same_border(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return how many zeros ``same`` adds before and behind ``size`` pixels; the odd one stands behind.

    >>> same_border(28, 5, 1), same_border(28, 2, 1), same_border(28, 5, 2)
    ((2, 2), (0, 1), (1, 2))
    """
    extra = max(0, (-(-size // stride) - 1) * stride + window - size)
    return extra // 2, extra - extra // 2


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


def _steepness(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= _STEEPEST:
        raise _wrong(what, f"must be a number from 0 to {_STEEPEST:,.0f}; got {value!r}.")
    return float(value)


def _listed(value: Any) -> Any:
    return [_listed(entry) for entry in value] if isinstance(value, tuple) else value


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
