"""Inside a network: every number on the way of an image to its answer, and the arithmetic behind any one of them.

The engine keeps nothing of what it computes on the way, so the way is gone once more here, layer by layer in float64
and plain NumPy: so precisely that every sum adds up to as many digits as anybody shows. It is gone backwards as well,
to the image, which the engine never does. Answers agree with the engine's to float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from digitlab.engine.images import wrap_images
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, did_you_mean
from digitlab.network.architecture import Architecture
from digitlab.network.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    Shape,
    ZeroPadding2D,
    activation_of,
    same_border,
)
from digitlab.values import Value

Floats = NDArray[np.float64]

# Multiply-adds of a product for which OpenBLAS wakes no other thread; and rows that are worth a call.
_ALONE, _FEW_ROWS = 2**18, 8

#: What a layer does, as it is written down; a unit is ``[row, column, channel]`` or ``[feature]``.
FORMULAS = {
    "Conv2D": "sum = bias + window × kernel, summed over rows, columns and channels",
    "Dense": "sum = bias + inputs × weights, summed over all inputs",
    "MaxPooling2D": "output = the largest of the window",
    "AveragePooling2D": "output = the mean of the window",
    "GlobalMaxPooling2D": "output = the largest of the channel",
    "GlobalAveragePooling2D": "output = the mean of the channel",
    "ZeroPadding2D": "output = the input, or 0 in the border",
    "Flatten": "output = the same number, in a row",
    "Dropout": "output = the input; only while training some are left out",
}
#: What is done to a sum afterwards.
ACTIVATION_FORMULAS = {
    "linear": "output = sum",
    "relu": "output = max(0, sum)",
    "leaky_relu": "output = sum above 0, {below:g} × sum below",
    "elu": "output = sum above 0, {below:g} × (exp(sum) - 1) below",
    "sigmoid": "output = 1 / (1 + exp(-sum))",
    "tanh": "output = tanh(sum)",
    "softmax": "output = exp(sum) / the exponentials of all sums",
}


def formula_of(layer: Layer) -> str:
    """Return what a layer computes, in words.

    >>> formula_of(Flatten()), formula_of(Dense(10, activation="relu"))[-21:]
    ('output = the same number, in a row', ' output = max(0, sum)')
    """
    kind = type(layer).__name__
    name, below = activation_of(layer)
    activation = "" if name == "linear" and kind in FORMULAS else ACTIVATION_FORMULAS[name].format(below=below)
    return "; ".join(filter(None, (FORMULAS.get(kind, ""), activation)))


@dataclass(frozen=True, slots=True)
class Term(Value):
    """One product of a sum: an input at its ``place``, times its ``weight``.

    Where nothing is multiplied, the weight is that of a mean, or 1 for the number that was kept and 0 for the others.
    """

    place: tuple[int, ...]
    value: float
    weight: float
    product: float


@dataclass(frozen=True, slots=True)
class Why(Value):
    """The arithmetic behind one number: ``total = bias + sum of the products``, and ``output`` of the total.

    Attributes
    ----------
    layer, kind : str
        The layer's name and class.
    unit : tuple of int
        ``(row, column, channel)`` or ``(feature,)``, from 0.
    formula : str
        What is computed, in words.
    window : (top, left, height, width) or ()
        Where the inputs stand; top and left may be negative and the window reach beyond, into a border of zeros.
    terms : tuple of Term
        In the order of rows, columns, channels; of a dense layer the largest contribution first.
    n_terms : int
        How many there are, where ``terms`` holds only the first.
    bias, total, output : float
        They add up to within float64.
    activation : str
        What makes the output of the total.
    exponentials : tuple of float
        Of a softmax: ``exp(total - largest total)`` of every class, so that none overflows.
    """

    layer: str
    kind: str
    unit: tuple[int, ...]
    formula: str
    window: tuple[int, ...]
    terms: tuple[Term, ...]
    n_terms: int
    bias: float
    total: float
    output: float
    activation: str
    exponentials: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class LayerInside:
    """What one layer did to the image.

    ``inputs`` and ``outputs`` are float64 ``(height, width, channels)`` or ``(features,)``; ``totals`` are the outputs
    before the activation.
    """

    layer: Layer
    weights: tuple[Floats, ...]
    inputs: Floats
    totals: Floats
    outputs: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return name, class and activations as plain JSON types."""
        return {"name": self.layer.name, "kind": type(self.layer).__name__, "outputs": self.outputs.tolist()}


@dataclass(frozen=True, eq=False)
class Inside:
    """An image's way through a network, made by ``look_inside``.

    Attributes
    ----------
    network : Architecture
        What it went through.
    image : float64, the network's input shape
        Pixels from 0 to 1.
    layers : tuple of LayerInside
        From the image to the answer.
    class_names : tuple of str
        Names of the classes; the position is the label.
    """

    network: Architecture
    image: Floats
    layers: tuple[LayerInside, ...]
    class_names: tuple[str, ...]

    @property
    def probabilities(self) -> Floats:
        """The answer, float64 ``(n_classes,)``."""
        return self.layers[-1].outputs

    @property
    def label(self) -> int:
        """The most probable class."""
        return int(self.probabilities.argmax())

    def layer(self, name: str) -> LayerInside:
        """Return what the layer of this name did; an InputError names the layers if there is none."""
        for inside in self.layers:
            if inside.layer.name == name:
                return inside
        names = [inside.layer.name for inside in self.layers]
        raise InputError(f"The network has no layer {name!r}.{did_you_mean(name, names)} It has {', '.join(names)}.")

    def why(self, layer: str, *unit: int, n_terms: int | None = None) -> Why:
        """Take one number apart.

        Parameters
        ----------
        layer : str
            The layer's name, as the summary has it.
        *unit : int
            Row, column and channel of the number, or its place in a row of features; from 0.
        n_terms : int, optional
            At most so many terms; all by default.

        Raises
        ------
        InputError
            If there is no such layer or unit.

        Examples
        --------
        >>> import digitlab as dl
        >>> inside = dl.look_inside(dl.codelab_cnn(seed=0), dl.MnistData.load().test.images[0])
        >>> why = inside.why("conv2d", 10, 10, 3)
        >>> why.window, len(why.terms), abs(why.bias + sum(t.product for t in why.terms) - why.total) < 1e-12
        ((10, 10, 5, 5), 25, True)
        """
        inside = self.layer(layer)
        shape = inside.outputs.shape
        if len(unit) != len(shape) or not all(0 <= place < size for place, size in zip(unit, shape, strict=False)):
            wanted = ", ".join(f"{what} 0 to {size - 1}" for what, size in zip(_places(shape), shape, strict=True))
            raise InputError(f"{layer} has no number at {unit}; name {wanted}.")
        return _taken_apart(inside, unit, n_terms)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the weights as plain JSON types."""
        return {
            "network": self.network.name,
            "image": self.image.tolist(),
            "layers": [inside.to_dict() for inside in self.layers],
            "class_names": list(self.class_names),
            "label": self.label,
            "confidence": float(self.probabilities[self.label]),
        }


def look_inside(model: Sequential, image: ArrayLike) -> Inside:
    """Follow one image through a network, layer by layer.

    Parameters
    ----------
    model : Sequential
        A network that answers one digit.
    image : uint8 (28, 28), 0-255, or float (28, 28) or (28, 28, 1), 0-1
        Ink bright on dark; of another input shape for a network that has one.

    Returns
    -------
    Inside
        Every layer's numbers; its ``why`` takes any one apart.

    Raises
    ------
    DataError
        If the image has another shape.
    NetworkError
        If the network answers with maps.
    """
    model.architecture.n_classes  # noqa: B018 - says so where it has none
    pixels = as_pixels(model, np.asarray(image)[None])
    steps = forward(model, pixels)
    layers = tuple(
        LayerInside(layer, weights, inputs[0], totals[0], outputs[0])
        for layer, weights, inputs, totals, outputs in steps
    )
    return Inside(model.architecture, pixels[0], layers, tuple(model.class_names))


#: A layer with its weights, and a batch of what went in, of its sums, and of what came out.
Step = tuple[Layer, tuple[Floats, ...], Floats, Floats, Floats]


def as_pixels(model: Sequential, images: ArrayLike) -> Floats:
    """Return images as the network's input, float64 ``(n, *input_shape)``, 0-1."""
    wrapped = wrap_images(model.architecture, images)
    rows = wrapped.as_bytes / 255.0 if len(wrapped.as_bytes) else wrapped.as_floats.astype(np.float64)
    return rows.reshape(-1, *model.architecture.input_shape)


def forward(model: Sequential, pixels: Floats) -> list[Step]:
    """Send images, float64 ``(n, *input_shape)``, through the network; return what every layer did."""
    return through(model.architecture, model.get_weights(), pixels)


def through(
    network: Architecture, arrays: Sequence[NDArray[np.float32]], pixels: Floats, dropped: Sequence[Floats] = ()
) -> list[Step]:
    """Send images through a network with these weights; ``dropped`` are what each dropout multiplies by in training."""
    left, factors = [array.astype(np.float64) for array in arrays], list(dropped)
    values, steps = pixels, []
    for layer, shape in zip(network.layers, network.input_shapes, strict=True):
        weights = tuple(left.pop(0) for _ in layer.weight_shapes(shape))
        if isinstance(layer, Dropout) and factors:
            weights = (factors.pop(0).reshape(values.shape),)
        totals = _totals(layer, weights, values)
        outputs = _activated(layer, totals)
        steps.append((layer, weights, values, totals, outputs))
        values = outputs
    return steps


def backward(steps: Sequence[Step], of_totals: Floats, to: int | None = None) -> Floats:
    """Return the gradient of a number with respect to the images, given that with respect to the last layer's sums.

    With ``to`` it is that with respect to the sums of the layer at this place instead.
    Where a maximum was taken, the first of equal values gets all, as in the engine.
    """
    gradient = of_totals
    for position, (layer, weights, inputs, totals, outputs) in reversed(list(enumerate(steps))):
        if position < len(steps) - 1:
            gradient = gradient * _slope(layer, totals, outputs)
        if position == to:
            return gradient
        gradient = _to_inputs(layer, weights, inputs, gradient)
    return gradient


def _borders(sizes: Shape, window: Shape, strides: Shape, padding: str) -> list[tuple[int, int]]:
    """Return how many rows and columns a layer adds before and behind."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    return [same_border(size, length, step) for size, length, step in zip(sizes, window, strides, strict=True)]


def border_of(layer: Conv2D | MaxPooling2D | AveragePooling2D, shape: Shape) -> tuple[int, int]:
    """Return the rows above and the columns left of an image of ``shape`` that a layer's windows reach beyond it."""
    size = layer.kernel if isinstance(layer, Conv2D) else layer.pool
    (top, _), (left, _) = _borders(shape[:2], size, layer.stride, layer.padding)
    return top, left


def windowed(layer: Conv2D | MaxPooling2D | AveragePooling2D, values: NDArray[Any], fill: float) -> NDArray[Any]:
    """Return every window: ``(n, rows, columns, window height, window width, channels)``."""
    window = layer.kernel if isinstance(layer, Conv2D) else layer.pool
    borders = _borders(values.shape[1:3], window, layer.stride, layer.padding)
    padded = np.pad(values, [(0, 0), *borders, (0, 0)], constant_values=fill)
    views = sliding_window_view(padded, window, (1, 2))[:, :: layer.stride[0], :: layer.stride[1]]
    return views.transpose(0, 1, 2, 4, 5, 3)


def _pooling(layer: Layer, values: Floats, beyond: float) -> Floats:
    """Return every window as ``(n, rows, columns, pixels, channels)``; ``beyond`` stands where it leaves the image."""
    if isinstance(layer, MaxPooling2D | AveragePooling2D):
        views = windowed(layer, values, beyond)
        return views.reshape(*views.shape[:3], -1, views.shape[-1])
    return values.reshape(len(values), 1, 1, -1, values.shape[-1])


def _counted(layer: Layer, values: Floats) -> Floats:
    """Return which pixels of every window lie within the image, as 1 and 0, for one image of one channel."""
    return _pooling(layer, np.ones_like(values[:1, ..., :1]), 0.0)


def _totals(layer: Layer, weights: tuple[Floats, ...], values: Floats) -> Floats:
    """Compute a layer, without its activation, for a batch."""
    if isinstance(layer, Conv2D):
        views = windowed(layer, values, 0.0)
        sums = _product(views.reshape(-1, math.prod(views.shape[3:])), weights[0].reshape(-1, layer.filters))
        return (sums + (weights[1] if layer.use_bias else 0.0)).reshape(*views.shape[:3], layer.filters)
    if isinstance(layer, Dense):
        return _product(values, weights[0]) + (weights[1] if layer.use_bias else 0.0)
    if isinstance(layer, MaxPooling2D | AveragePooling2D | GlobalMaxPooling2D | GlobalAveragePooling2D):
        pooled: Floats
        if isinstance(layer, MaxPooling2D | GlobalMaxPooling2D):
            pooled = _pooling(layer, values, -np.inf).max(3)
        else:
            pooled = _pooling(layer, values, 0.0).sum(3) / _counted(layer, values).sum(3)
        return pooled if isinstance(layer, MaxPooling2D | AveragePooling2D) else pooled[:, 0, 0]
    if isinstance(layer, ZeroPadding2D):
        return np.pad(values, [(0, 0), *layer.sides, (0, 0)])
    if isinstance(layer, Flatten):
        return values.reshape(len(values), -1)
    if isinstance(layer, Dropout) and weights:
        return values * weights[0]
    return values  # dropout does nothing when images are answered, and an activation has no sums of its own


def _product(left: Floats, right: Floats) -> Floats:
    """Return ``left @ right``, computed by the calling thread alone.

    NumPy's BLAS wakes threads for larger products, and waits for them: on two busy cores the way of one image through
    reader_cnn took 37 ms so, and takes 2 in pieces that are too small for that.
    """
    (n, inner), m = left.shape, right.shape[1]
    if n == 1:
        return np.asarray(np.einsum("ni,im->nm", left, right))
    n_columns = min(m, max(1, _ALONE // (min(n, _FEW_ROWS) * inner)))
    n_rows = max(min(n, _FEW_ROWS), _ALONE // (n_columns * inner))
    made = np.empty((n, m))
    # Nearly equal pieces: one row by itself would be another routine, which wakes threads sooner.
    for rows in np.array_split(np.arange(n), -(-n // n_rows)):
        for columns in np.array_split(np.arange(m), -(-m // n_columns)):
            piece = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            np.matmul(left[piece[0]], right[:, piece[1]], out=made[piece])
    return made


def _activated(layer: Layer, totals: Floats) -> Floats:
    name, below = activation_of(layer)
    if name == "relu":
        return np.maximum(totals, 0.0)
    if name == "leaky_relu":
        return np.where(totals > 0.0, totals, below * totals)
    if name == "elu":
        return np.where(totals > 0.0, totals, below * np.expm1(np.minimum(totals, 0.0)))
    if name == "sigmoid":
        return 0.5 * (1.0 + np.tanh(0.5 * totals))
    if name == "tanh":
        return np.tanh(totals)
    if name == "softmax":
        return softmax(totals)
    return totals


def softmax(totals: Floats) -> Floats:
    """Return the probabilities that rows of sums mean."""
    exponentials = np.exp(totals - totals.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def _slope(layer: Layer, totals: Floats, outputs: Floats) -> Floats | float:
    """Return how much the output changes by the sum, for every value by itself."""
    name, below = activation_of(layer)
    if name == "relu":
        return (totals > 0.0).astype(np.float64)
    if name == "leaky_relu":
        return np.where(totals > 0.0, 1.0, below)
    if name == "elu":
        return np.where(totals > 0.0, 1.0, outputs + below)
    if name == "sigmoid":
        return outputs * (1.0 - outputs)
    return 1.0 - outputs * outputs if name == "tanh" else 1.0


def _to_inputs(layer: Layer, weights: tuple[Floats, ...], inputs: Floats, gradient: Floats) -> Floats:
    """Return the gradient with respect to a layer's inputs, given that with respect to its sums."""
    if isinstance(layer, Conv2D):
        shares = _product(gradient.reshape(-1, layer.filters), weights[0].reshape(-1, layer.filters).T)
        return _spread(layer, inputs.shape, shares.reshape(*gradient.shape[:3], *layer.kernel, -1))
    if isinstance(layer, Dense):
        return _product(gradient, weights[0].T)
    if isinstance(layer, MaxPooling2D | AveragePooling2D | GlobalMaxPooling2D | GlobalAveragePooling2D):
        parts: Floats
        if isinstance(layer, MaxPooling2D | GlobalMaxPooling2D):
            windows = _pooling(layer, inputs, -np.inf)
            parts = (np.arange(windows.shape[3])[:, None] == windows.argmax(3)[:, :, :, None]).astype(np.float64)
        else:
            counted = _counted(layer, inputs)
            parts = np.broadcast_to(counted / counted.sum(3, keepdims=True), (1, *counted.shape[1:4], inputs.shape[3]))
        if isinstance(layer, MaxPooling2D | AveragePooling2D):
            shares = parts * gradient[:, :, :, None]
            return _spread(layer, inputs.shape, shares.reshape(*shares.shape[:3], *layer.pool, -1))
        return (parts * gradient[:, None, None, None, :]).reshape(inputs.shape)
    if isinstance(layer, ZeroPadding2D):
        (top, _), (left, _) = layer.sides
        return gradient[:, top : top + inputs.shape[1], left : left + inputs.shape[2]]
    if isinstance(layer, Dropout) and weights:
        gradient = gradient * weights[0]
    return gradient.reshape(inputs.shape)


def _spread(layer: Conv2D | MaxPooling2D | AveragePooling2D, shape: Shape, shares: Floats) -> Floats:
    """Add the shares of all windows to the pixels that they were cut from."""
    height, width = shares.shape[3:5]
    borders = _borders(shape[1:3], (height, width), layer.stride, layer.padding)
    (top, bottom), (left, right) = borders
    padded = np.zeros((shape[0], shape[1] + top + bottom, shape[2] + left + right, shape[3]))
    down, across = layer.stride
    rows, columns = shares.shape[1:3]
    for y in range(height):
        for x in range(width):
            padded[:, y : y + down * rows : down, x : x + across * columns : across] += shares[:, :, :, y, x]
    return padded[:, top : top + shape[1], left : left + shape[2]]


def _places(shape: Shape) -> tuple[str, ...]:
    return ("row", "column", "channel") if len(shape) == 3 else ("place",)


def _taken_apart(inside: LayerInside, unit: tuple[int, ...], n_terms: int | None) -> Why:
    layer, kind = inside.layer, type(inside.layer).__name__
    name, _ = activation_of(layer)
    bias, weights = 0.0, np.ones(1)
    window: tuple[int, ...] = ()
    if isinstance(layer, Conv2D | MaxPooling2D | AveragePooling2D):
        size = layer.kernel if isinstance(layer, Conv2D) else layer.pool
        border = border_of(layer, inside.inputs.shape)
        corner = [place * step - beyond for place, step, beyond in zip(unit, layer.stride, border, strict=False)]
        window = (*corner, *size)
    if isinstance(layer, Conv2D):
        bias = float(inside.weights[1][unit[2]]) if layer.use_bias else 0.0
        weights = inside.weights[0][..., unit[2]]
        values = windowed(layer, inside.inputs[None], 0.0)[0, unit[0], unit[1]]
        places = np.argwhere(np.ones(values.shape, np.bool_)) + np.array([*window[:2], 0])
    elif isinstance(layer, Dense):
        bias = float(inside.weights[1][unit[0]]) if layer.use_bias else 0.0
        values, weights = inside.inputs, inside.weights[0][:, unit[0]]
        places = np.arange(len(values))[:, None]
    elif isinstance(layer, MaxPooling2D | AveragePooling2D | GlobalMaxPooling2D | GlobalAveragePooling2D):
        at = unit[:2] if window else (0, 0)
        window = window or (0, 0, *inside.inputs.shape[:2])
        is_counted = _counted(layer, inside.inputs[None])[0, at[0], at[1], :, 0] > 0
        places = np.argwhere(np.ones(window[2:], np.bool_)) + window[:2]
        places = np.column_stack([places, np.full(len(places), unit[-1])])[is_counted]
        values = _pooling(layer, inside.inputs[None], 0.0)[0, at[0], at[1], is_counted, unit[-1]]
        if isinstance(layer, MaxPooling2D | GlobalMaxPooling2D):
            weights = (np.arange(len(values)) == values.argmax()).astype(np.float64)
        else:
            weights = np.full(len(values), 1.0 / len(values))
    else:
        places, values = _one_place(layer, inside.inputs, unit)
    products = values * weights
    terms = [
        Term(tuple(map(int, place)), float(value), float(weight), float(product))
        for place, value, weight, product in zip(
            places, values.ravel(), np.broadcast_to(weights, values.shape).ravel(), products.ravel(), strict=True
        )
    ]
    if isinstance(layer, Dense):
        terms.sort(key=lambda term: -abs(term.product))
    totals = inside.totals if name == "softmax" else np.empty(0)
    return Why(
        layer=layer.name,
        kind=kind,
        unit=unit,
        formula=formula_of(layer),
        window=tuple(map(int, window)),
        terms=tuple(terms[:n_terms]),
        n_terms=len(terms),
        bias=bias,
        total=float(inside.totals[unit]),
        output=float(inside.outputs[unit]),
        activation=name,
        exponentials=tuple(np.exp(totals - totals.max()).tolist()) if totals.size else (),
    )


def _one_place(layer: Layer, inputs: Floats, unit: tuple[int, ...]) -> tuple[NDArray[np.int64], Floats]:
    """Return where the one input stands that a number was made of, and its value; none of a border's zero."""
    place = unit
    if isinstance(layer, Flatten):
        place = tuple(map(int, np.unravel_index(unit[0], inputs.shape)))
    elif isinstance(layer, ZeroPadding2D):
        place = (unit[0] - layer.sides[0][0], unit[1] - layer.sides[1][0], unit[2])
        if not all(0 <= at < size for at, size in zip(place, inputs.shape, strict=True)):
            return np.empty((0, 3), np.int64), np.empty(0)
    return np.array([place], np.int64), inputs[place].reshape(1)
