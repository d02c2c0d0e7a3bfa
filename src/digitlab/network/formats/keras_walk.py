"""Keras' networks, of Keras 1 to 3 and TensorFlow.js: followed from the input on, and what every layer means here.

A layer, and a setting that changes what it computes, is known or refused by name; what only matters for training is
passed over.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture, stem_of
from digitlab.network.folding import Affine, Weighted
from digitlab.network.formats.files import assembled, lacking, shown
from digitlab.network.formats.keras_config import (
    MODELS,
    MOST_LAYERS,
    MOST_NESTED,
    MOST_VALUES,
    Settings,
    in_order,
    input_shape,
    name_of,
)
from digitlab.network.layers import (
    ACTIVATIONS,
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    Shape,
    ZeroPadding2D,
    are_counts,
)

_MOST_REARRANGED = 2**20
_MOST_PARAMETERS = 50_000_000
# Keras' own other names, those of Keras 1 and of TensorFlow 1.
_ALIASES = {
    "AveragePooling2DV1": "AveragePooling2D",
    "AvgPool2D": "AveragePooling2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution2D": "Conv2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "MaxPool2D": "MaxPooling2D",
    "SyncBatchNormalization": "BatchNormalization",
}
#: Layers that do something while a network learns, and nothing when it answers.
_PASSED_OVER = frozenset(
    (  # noqa: SIM905 - a list of them would take a page
        "ActivityRegularization AlphaDropout AugMix CutMix GaussianDropout GaussianNoise Identity InputLayer "
        "MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast "
        "RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue "
        "RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness "
        "RandomShear RandomTranslation RandomZoom SpatialDropout1D SpatialDropout2D"
    ).split()
)
# Of a size that they would change, these can only be passed over where it is right already.
_SIZED = ("CenterCrop", "RandomCrop", "Resizing")
_FUNCTIONS = {"log_softmax": "softmax", "softmax_v2": "softmax", "relu_v2": "relu"}
# Pixels of 0 to 1 have a variance of 0.25 at most, and nobody makes them twenty times smaller.
_LARGEST_VARIANCE, _LEAST_SCALE = 4.0, 0.05
_LEAST_DEVIATION = 1e-7
_UNCLEAR = "it rearranges its values in a way that digitlab's layers do not."

Arrays = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class ForeignLayer:
    """A layer with weights: where it stands, by Keras' counted class names and by its own, and what it needs.

    ``weights`` are the names and shapes of its arrays in Keras' order; ``convert`` makes of these what digitlab has.
    """

    folders: tuple[str, ...]
    names: tuple[str, ...]
    weights: tuple[tuple[str, Shape], ...]
    convert: Callable[[Arrays], Weighted | Affine]

    @property
    def name(self) -> str:
        """Its own name."""
        return self.names[-1]


@dataclass(frozen=True)
class ForeignStack:
    """A network that was read, without its weights: layers, scales, and layers that need weights."""

    input_shape: Shape
    name: str
    steps: tuple[Layer | Affine | ForeignLayer, ...]
    #: Whether the network begins by scaling its pixels, so that nobody has to find out how they are scaled.
    tells_pixels: bool

    @property
    def learning(self) -> list[ForeignLayer]:
        """The layers that need weights, in order."""
        return [step for step in self.steps if isinstance(step, ForeignLayer)]

    @property
    def n_parameters(self) -> int:
        """How many numbers they need."""
        return sum(math.prod(shape) for layer in self.learning for _, shape in layer.weights)

    def finish(self, arrays: Sequence[Arrays]) -> tuple[Architecture, list[NDArray[np.float32]]]:
        """Return the network with its weights, of the arrays of every layer of ``learning``."""
        given = iter(arrays)
        steps: list[Weighted | Affine] = []
        for step in self.steps:
            made = (step, ()) if isinstance(step, Layer) else step
            steps.append(made.convert(next(given)) if isinstance(made, ForeignLayer) else made)
        return assembled(steps, self.input_shape, self.name)


def read_keras_config(model: Mapping[str, Any]) -> ForeignStack:
    """Build a network from ``{"class_name": "Sequential", "config": {...}}``, of Keras 1 to 3 or TensorFlow.js.

    A ``Functional`` whose layers follow one another will do, and one inside another.
    """
    shape = input_shape(model, 0)
    walk = _Walk(shape)
    walk.model(model, (), ())
    config = model.get("config")
    title = config.get("name") if isinstance(config, Mapping) else None
    name = title if isinstance(title, str) else ""
    stack = ForeignStack(walk.input_shape, name, tuple(walk.steps), walk.tells_pixels)
    n = stack.n_parameters
    if n > _MOST_PARAMETERS:
        raise NetworkError(f"It has {n:,} parameters; digitlab runs networks of at most {_MOST_PARAMETERS:,}.")
    if not n:
        raise NetworkError("It has no layer that learns; digitlab runs networks of Conv2D and Dense.")
    return stack


class _Walk:
    """The way from the input on.

    ``theirs`` is the shape of one image or row in the file's network, ``shape`` the same here. They differ where
    channels come first or pixels are only labelled anew. ``places``, of their shape, then says which of our values,
    counted along height, width, channels, is at each of their places; None where the order is the same, but for
    ``first``: channels come first.
    """

    def __init__(self, theirs: Shape) -> None:
        self.theirs = theirs
        self.first = len(theirs) == 3 and theirs[0] <= 4 < theirs[2]
        self.shape: Shape = (*theirs[1:], theirs[0]) if self.first else (*theirs, 1) if len(theirs) == 2 else theirs
        self.input_shape = self.shape
        self.places: NDArray[np.intp] | None = None
        self.steps: list[Layer | Affine | ForeignLayer] = []
        self.began = self.scaled = self.tells_pixels = False
        self.position = 0
        self._where: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def model(self, model: Mapping[str, Any], folders: tuple[str, ...], names: tuple[str, ...]) -> None:
        """Follow the layers of a network, or of one inside another."""
        if len(folders) > MOST_NESTED:
            raise NetworkError("Its networks are nested too deep; digitlab runs layers one after the other.")
        counts: Counter[str] = Counter()
        for entry in in_order(model):
            self.position += 1
            if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
                raise NetworkError(f"Layer {self.position} should be an object with a class_name.")
            kind: str = entry["class_name"]
            settings = entry.get("config")
            folder = f"{stem_of(kind)}_{counts[kind]}" if counts[kind] else stem_of(kind)
            counts[kind] += 1
            self._where = (*folders, folder), (*names, name_of(entry))
            if kind in MODELS:
                self.position -= 1
                self.model(entry, *self._where)
                continue
            if not isinstance(settings, Mapping):
                raise NetworkError(f"Layer {self.position} has no settings.")
            if self.position > MOST_LAYERS:
                raise NetworkError(f"It has more than {MOST_LAYERS} layers; digitlab runs at most 64.")
            try:
                self.layer(_ALIASES.get(kind, kind), Settings(settings))
            except NetworkError as error:
                text = str(error)
                raise NetworkError(text if text.startswith("Layer") else f"Layer {self.position}, {text}") from None

    def layer(self, kind: str, settings: Settings) -> None:
        """Take a layer of the whitelist."""
        if kind in _PASSED_OVER:
            return
        if kind in _SIZED:
            sizes = (settings.number("height", int), settings.number("width", int))
            if self.image(self.first)[:2] != sizes:
                raise lacking(kind, position=self.position)
        elif kind == "Conv2D":
            self.convolution(settings)
        elif kind == "Dense":
            self.dense(settings)
        elif kind in ("BatchNormalization", "Normalization"):
            self.normalization(kind, settings)
        elif kind == "Rescaling":
            self.scale(Affine.of(settings.numbers("scale"), settings.numbers("offset", 0.0)))
        elif kind in ("MaxPooling2D", "AveragePooling2D"):
            pooling = MaxPooling2D if kind == "MaxPooling2D" else AveragePooling2D
            pool, strides = settings.get("pool_size", 2), settings.get("strides", None)
            padding = settings.get("padding", "valid", old="border_mode")
            self.over_images(pooling(pool, strides, padding, name=settings.name), settings.channels_first)
        elif kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
            pooling_of_all = GlobalAveragePooling2D if kind == "GlobalAveragePooling2D" else GlobalMaxPooling2D
            first = settings.channels_first
            self.over_images(pooling_of_all(name=settings.name), first)
            if settings.get("keepdims", False):
                self.theirs = (*self.theirs, 1, 1) if first else (1, 1, *self.theirs)
        elif kind == "ZeroPadding2D":
            sides = settings.get("padding", 1)
            if isinstance(sides, tuple) and len(sides) == 4:  # Keras 1: top, bottom, left, right
                sides = (sides[:2], sides[2:])
            self.over_images(ZeroPadding2D(sides, name=settings.name), settings.channels_first)
        elif kind == "Flatten":
            if settings.channels_first and len(self.theirs) == 3:
                self.arrange(self.placed().transpose(1, 2, 0).ravel(), settings.name)
            else:
                self.reshape((-1,), settings.name)
        elif kind == "Reshape":
            self.reshape(settings.get("target_shape", None), settings.name)
        elif kind == "Permute":
            order = settings.get("dims", ())
            if (
                not isinstance(order, tuple)
                or not are_counts(order)
                or sorted(order) != [*range(1, len(self.theirs) + 1)]
            ):
                raise NetworkError("its dims are not an order of the dimensions.")
            self.arrange(self.placed().transpose([n - 1 for n in order]), settings.name)
        elif kind == "Dropout":
            self.steps.append(Dropout(float(settings.number("rate", float, old="p")), name=settings.name))
        else:
            self.activate(kind, settings)

    # ---- where the values are ----

    def placed(self) -> NDArray[np.intp]:
        """Return ``places``, written out."""
        if self.places is not None:
            return self.places
        n = math.prod(self.theirs)
        if n > _MOST_REARRANGED:
            raise NetworkError(f"it rearranges {n:,} values; digitlab follows that up to {_MOST_REARRANGED:,}.")
        if self.first and len(self.theirs) == 3:
            return np.arange(n).reshape(*self.theirs[1:], self.theirs[0]).transpose(2, 0, 1)
        return np.arange(n).reshape(self.theirs)

    def reshape(self, target: Any, name: str) -> None:
        n = math.prod(self.theirs)
        if not isinstance(target, tuple) or not are_counts([-d if d == -1 else d for d in target]):
            raise NetworkError("its target_shape is not a shape.")
        known = math.prod(d for d in target if d != -1)
        target = tuple(n // known if d == -1 else d for d in target) if target.count(-1) < 2 else ()
        if math.prod(target) != n:
            raise NetworkError(f"it makes {target or 'an unclear shape'} of {n:,} values, which cannot be.")
        self.arrange(self.placed().reshape(target), name)

    def arrange(self, places: NDArray[np.intp], name: str) -> None:
        """Take note of where the values are now; laid out in a row, they are so here too."""
        self.theirs, self.first = places.shape, False
        self.places = None if (places.ravel() == np.arange(places.size)).all() else places
        if len(self.theirs) == 1 and len(self.shape) == 3:
            self.steps.append(Flatten(name=name))
            self.shape = self.theirs

    def image(self, first: bool) -> Shape:
        """Return the shape here of what a layer reads as images, which has the channels first or last."""
        if len(self.theirs) != 3:
            raise NetworkError(f"it needs images of (height, width, channels) and gets {self.theirs}.")
        if self.places is None and self.first == first and len(self.shape) == 3:
            return self.shape
        places = self.placed().transpose(1, 2, 0) if first else self.placed()
        in_order = bool((places.ravel() == np.arange(places.size)).all())
        if in_order and not self.began:
            # Pixels that were only labelled anew: the network may as well take them so from the beginning.
            self.steps = [step for step in self.steps if not isinstance(step, Flatten)]
            self.input_shape = self.shape = places.shape
        if not in_order or self.shape != places.shape:
            raise NetworkError(_UNCLEAR)
        self.places, self.first = None, first
        return self.shape

    def moved(self, shape: Shape, first: bool) -> None:
        """Take note of what a layer makes, in digitlab's order."""
        if math.prod(shape) > MOST_VALUES:
            raise NetworkError(f"an output of shape {shape} is too large; it can have at most {MOST_VALUES:,} values.")
        self.began, self.shape, self.places = True, shape, None
        self.first = first and len(shape) == 3
        self.theirs = (shape[2], *shape[:2]) if self.first else shape

    # ---- layers ----

    def over_images(self, layer: Layer, first: bool) -> None:
        shape = layer.output_shape(self.image(first))
        self.steps.append(layer)
        self.moved(shape, first)

    def learn(self, weights: Sequence[tuple[str, Shape]], convert: Callable[[Arrays], Weighted | Affine]) -> None:
        self.steps.append(ForeignLayer(*self._where, tuple(weights), convert))

    def convolution(self, settings: Settings) -> None:
        is_old = "nb_filter" in settings.config
        settings.must_be("dilation_rate", (1, [1, 1]), "use a larger kernel")
        settings.must_be("groups", (1,), "use an ordinary Conv2D")
        first = settings.channels_first
        old_size = (settings.get("nb_row", None), settings.get("nb_col", None))
        layer = Conv2D(
            settings.number("filters", int, old="nb_filter"),
            old_size if is_old else settings.get("kernel_size", 0),
            padding=settings.get("padding", "valid", old="border_mode"),
            strides=settings.get("strides", 1, old="subsample"),
            **settings.learning(),
        )
        shape = self.image(first)
        behind, shapes = layer.output_shape(shape), layer.weight_shapes(shape)
        # Keras 1 stored the kernels in the order of the images.
        is_turned = is_old and first
        kernel = tuple(shapes[0][i] for i in (3, 2, 0, 1)) if is_turned else shapes[0]

        def convert(arrays: Arrays) -> Weighted:
            return layer, (arrays[0].transpose(2, 3, 1, 0) if is_turned else arrays[0], *arrays[1:])

        self.learn([*zip(("kernel", "bias"), (kernel, *shapes[1:]), strict=False)], convert)
        self.moved(behind, first)
        self.activate("Activation", settings)

    def dense(self, settings: Settings) -> None:
        units = settings.number("units", int, old="output_dim")
        layer: Layer = Dense(units, **settings.learning())
        if len(self.theirs) == 3:
            # Of every pixel by itself.
            convolution = Conv2D(units, 1, **settings.learning())
            shape = self.image(False)
            shapes = [(*shape[2:], units), *convolution.weight_shapes(shape)[1:]]
            layer, behind = convolution, convolution.output_shape(shape)
        elif len(self.theirs) == 1:
            shapes, behind = list(layer.weight_shapes(self.shape)), layer.output_shape(self.shape)
        else:
            raise NetworkError(f"it needs a row of features and gets {self.theirs}; flatten them before it.")
        order = None if self.places is None else np.argsort(self.places)

        def convert(arrays: Arrays) -> Weighted:
            kernel = arrays[0] if order is None else arrays[0][order]
            return layer, (kernel[None, None] if isinstance(layer, Conv2D) else kernel, *arrays[1:])

        self.learn([*zip(("kernel", "bias"), shapes, strict=False)], convert)
        self.moved(behind, False)
        self.activate("Activation", settings)

    def normalization(self, kind: str, settings: Settings) -> None:
        settings.must_be("mode", (0,), "use mode 0")
        settings.must_be("invert", (False,), "leave it out")
        settings.must_be("renorm", (False,), "leave renorm out")
        n = self.channels(settings.get("axis", -1))
        order = None if self.places is None else np.argsort(self.places)
        names = ["mean", "variance", "count"]
        if kind == "BatchNormalization":
            names = [name for name, key in (("gamma", "scale"), ("beta", "center")) if settings.get(key, True)]
            names += ["moving_mean", "moving_variance"]
        given = settings.config.get("mean"), settings.config.get("variance")
        epsilon = float(settings.number("epsilon", float, 1e-3)) if kind == "BatchNormalization" else 0.0
        is_of_pixels = self.takes_pixels()
        self.tells_pixels |= is_of_pixels and kind == "Normalization"

        def convert(arrays: Arrays) -> Affine:
            parts = {name.removeprefix("moving_"): array for name, array in zip(names, arrays, strict=True)}
            if order is not None:
                parts = {name: array[order] if array.size > 1 else array for name, array in parts.items()}
            return scaling(parts["mean"], parts["variance"], parts.get("gamma"), parts.get("beta"))

        def scaling(mean: Any, variance: Any, gamma: Any = None, beta: Any = None) -> Affine:
            # Keras never divides by less than a ten millionth.
            variance = np.maximum(np.asarray(variance, np.float64), _LEAST_DEVIATION**2 - epsilon)
            affine = Affine.normalization(mean, variance, epsilon, gamma, beta)
            is_of_bytes = is_of_pixels and bool((variance > _LARGEST_VARIANCE).any())
            return Affine.of(255.0).then(affine) if is_of_bytes else affine

        if kind == "Normalization" and given[0] is not None:
            self.steps.append(scaling(settings.numbers("mean"), settings.numbers("variance")))
            return
        self.learn([(name, () if name == "count" else n) for name in names], convert)

    def channels(self, axis: Any) -> Shape:
        """Return the shape of numbers along an axis, which must be the channels; None is for all values alike."""
        if isinstance(axis, tuple) and len(axis) == 1:
            [axis] = axis
        if axis is None or axis == ():
            return ()
        n_axes = len(self.theirs) + 1
        if isinstance(axis, bool) or not isinstance(axis, int) or not -n_axes < axis < n_axes:
            raise NetworkError("its axis is not one of its input.")
        axis %= n_axes
        if len(self.theirs) == 1 and axis == 1:
            return self.theirs
        if len(self.theirs) != 3 or axis not in (1, 3):
            raise NetworkError("it normalizes along another axis than the channels, which digitlab does not.")
        return self.image(axis == 1)[-1:]

    def takes_pixels(self) -> bool:
        """Tell whether the next scale is that of the images, and take note of it."""
        is_first, self.scaled = not self.began and not self.scaled, True
        return is_first

    def scale(self, affine: Affine) -> None:
        # A network whose first layer makes its values small takes pixels of 0 to 255; digitlab's are 0 to 1.
        is_of_pixels = self.takes_pixels()
        self.tells_pixels |= is_of_pixels
        is_of_bytes = is_of_pixels and bool((np.abs(affine.factor) < _LEAST_SCALE).all())
        if affine.factor.size > 1:
            self.image(self.first)
        self.steps.append(Affine.of(255.0).then(affine) if is_of_bytes else affine)

    def activate(self, kind: str, settings: Settings) -> None:
        for layer in self.activation(kind, settings):
            layer.output_shape(self.shape)  # says so of a softmax of images
            self.steps.append(layer)

    def activation(self, kind: str, settings: Settings) -> list[Layer]:
        """Return a function by itself as a layer, or none for ``linear``."""
        if kind == "Activation":
            value = settings.config.get("activation")
            if isinstance(value, Mapping):  # an object instead of a name, as Keras 3 and TensorFlow 2 have them, too
                inner, named = value.get("config"), value.get("class_name")
                if isinstance(inner, Mapping) and named in ("Activation", "ELU", "LeakyReLU", "ReLU", "Softmax"):
                    return self.activation(named, Settings(inner))
                value = inner if named == "function" and isinstance(inner, str) else str(named)
            value = "linear" if value is None else value
            value = _FUNCTIONS.get(value, value) if isinstance(value, str) else value
            if value not in ACTIVATIONS:
                raise NetworkError(f"its activation {shown(value)} is not one that digitlab has; use relu or softmax.")
            return [] if value == "linear" else [Activation(value)]
        if kind == "ReLU":
            settings.must_be("max_value", (None,), "use a plain ReLU")
            settings.must_be("threshold", (0,), "use a plain ReLU")
            slope = settings.number("negative_slope", float, 0.0)
            return [LeakyReLU(slope, name=settings.name) if slope else Activation("relu", name=settings.name)]
        if kind == "LeakyReLU":
            return [LeakyReLU(settings.number("negative_slope", float, 0.3, old="alpha"), name=settings.name)]
        if kind == "ELU":
            return [ELU(settings.number("alpha", float, 1.0), name=settings.name)]
        if kind == "Softmax":
            settings.must_be("axis", (-1, 1, [-1], [1]), "put it behind the last Dense layer")
            return [Activation("softmax", name=settings.name)]
        raise lacking(kind, position=self.position)
