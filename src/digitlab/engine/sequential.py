"""Sequential: an architecture with weights, as Keras users know it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.data.mnist import MnistData, Split
from digitlab.engine.callbacks import Callback, History, Listeners
from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.crops import Crops
from digitlab.engine.images import LabelledImages, digits_as, holds_digit, wrap_images, wrap_labelled, wrap_pages
from digitlab.engine.keras_bridge import keras_network, to_keras
from digitlab.engine.loop import crop_epochs, steps
from digitlab.engine.optimizers import Adam, LiveRate, Optimizer
from digitlab.engine.runtime import RuntimeModel
from digitlab.errors import ConfigError, NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import LackingError, is_model_file
from digitlab.network.layers import Layer
from digitlab.network.pixels import (
    MOST_IMAGES,
    OWN,
    PixelScale,
    ScaleFit,
    digest_of,
    fitting_scale,
    keep_scale,
    kept_scale,
    told_scale,
    with_pixels,
)
from digitlab.network.zoo import architecture as architecture_of
from digitlab.runs.listing import open_model
from digitlab.values import CLASS_NAMES, NOT_A_DIGIT, EpochRecord, StepRecord

__all__ = ["Model", "Sequential", "codelab_cnn", "dense_baseline", "fast_cnn", "load_model"]

#: What ``fit`` makes small: the digit's cross-entropy, or the finder's loss on crops of pages.
LOSSES = ("cross_entropy", "finder")


class Sequential:
    """A stack of layers with weights, run by the CPU engine.

    Parameters
    ----------
    layers : sequence of Layer
        From input to output; the last is ``Dense(..., activation="softmax")``, or a ``Conv2D`` that answers with maps.
    input_shape : tuple of int
        Height, width and channels of one image, or ``(features,)``. ``(None, None, channels)`` for images of any size
        and a network that answers with maps.
    name : str
        What people call it.
    seed : int
        Where the initial weights come from.
    threads : int, optional
        Threads that share the work; all cores by default. No result depends on it.
    class_names : sequence of str, optional
        What the classes are called; ``Zero`` to ``Nine`` for ten, and ``Not a digit`` for an eleventh.

    Raises
    ------
    NetworkError
        If the layers do not fit together; the message names the layer.

    Examples
    --------
    >>> from digitlab.network import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(10, activation="softmax")], seed=1)
    >>> model.count_params()
    7850
    >>> model.predict(np.zeros((2, 28, 28), np.uint8)).shape
    (2, 10)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Sequence[int | None] = (28, 28, 1),
        name: str = "sequential",
        *,
        seed: int = 0,
        threads: int | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self._start(Architecture(layers, input_shape, name), threads, class_names)
        self.set_weights(self.architecture.initial_weights(seed))

    @classmethod
    def from_architecture(
        cls,
        architecture: Architecture,
        weights: Sequence[NDArray[np.float32]] | None = None,
        *,
        seed: int = 0,
        threads: int | None = None,
        class_names: Sequence[str] | None = None,
    ) -> Sequential:
        """Build a model from an architecture, with the given weights or fresh ones from ``seed``."""
        model = cls.__new__(cls)
        model._start(architecture, threads, class_names)
        if weights is None:
            weights = architecture.initial_weights(seed)
        model.set_weights(weights)
        return model

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, threads: int | None = None) -> Sequential:
        """Build the model that a checkpoint holds."""
        return cls.from_architecture(
            checkpoint.architecture, checkpoint.weights, threads=threads, class_names=checkpoint.class_names
        )

    @classmethod
    def from_keras(
        cls, keras_model: Any, *, threads: int | None = None, class_names: Sequence[str] | None = None
    ) -> Sequential:
        """Take over a network from Keras, with its weights.

        Parameters
        ----------
        keras_model : keras.Sequential or keras.Model
            Built, and of layers that digitlab has, one after the other.
        threads : int, optional
            Threads that share the work; all cores by default.
        class_names : sequence of str, optional
            What the classes are called.

        Raises
        ------
        NetworkError
            If it holds something that digitlab lacks; the message names the layer and the alternative.
        """
        network, weights = keras_network(keras_model)
        return cls.from_architecture(network, weights, threads=threads, class_names=class_names)

    def to_keras(self) -> Any:
        """Return the same network as a ``keras.Sequential``, with these weights, on whichever backend Keras uses.

        Raises
        ------
        ConfigError
            If Keras or a backend for it is not installed.
        """
        return to_keras(self.architecture, self.get_weights())

    def _start(self, architecture: Architecture, threads: int | None, class_names: Sequence[str] | None) -> None:
        self.architecture = architecture
        self._runner = None if architecture.answers_maps else CpuRunner(architecture, threads)
        self._maps_runner = MapsRunner(architecture, threads) if architecture.answers_maps else None
        #: What callbacks may set to end ``fit`` early, and what they may ask for and set the learning rate.
        self.stop_training = False
        self.optimizer: LiveRate | None = None
        n = 0 if architecture.answers_maps else architecture.n_classes
        named = (*CLASS_NAMES, NOT_A_DIGIT)[:n]
        default = named if n in (len(CLASS_NAMES), len(CLASS_NAMES) + 1) else tuple(str(k) for k in range(n))
        self.class_names = tuple(default if class_names is None else class_names)
        if len(self.class_names) != n:
            raise NetworkError(f"The network tells {n} classes apart but {len(self.class_names)} names were given.")

    @property
    def runner(self) -> CpuRunner:
        """What runs a network that answers one digit; NetworkError if it answers with maps."""
        if self._runner is None:
            self.architecture.n_classes  # noqa: B018 - says what such a network can be used for
        assert self._runner is not None
        return self._runner

    @property
    def maps_runner(self) -> MapsRunner:
        """What runs a network that answers with maps; NetworkError if it answers one digit."""
        if self._maps_runner is None:
            raise NetworkError(
                f"{self.name} answers images of one size with probabilities; a network that answers with maps has "
                "input_shape=(None, None, 1) and ends in Conv2D."
            )
        return self._maps_runner

    @property
    def name(self) -> str:
        """What people call this network."""
        return self.architecture.name

    def count_params(self) -> int:
        """Return the number of weights."""
        return self.architecture.n_parameters

    def get_weights(self) -> list[NDArray[np.float32]]:
        """Return copies of all weights in Keras' order and layout: kernel ``(h, w, in, out)``, bias ``(out,)`` ..."""
        return (self._maps_runner or self.runner).weights()

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all weights, in the order and layout of ``get_weights``.

        Raises
        ------
        NetworkError
            If the number of arrays or a shape differs; the message says which.
        """
        arrays = [np.asarray(w, np.float32) for w in weights]
        expected = self.architecture.weight_shapes
        if len(arrays) != len(expected):
            raise NetworkError(f"{self.name} has {len(expected)} weight arrays; got {len(arrays)}.")
        for i, (array, shape) in enumerate(zip(arrays, expected, strict=True)):
            if array.shape != shape:
                raise NetworkError(f"Weight array {i} of {self.name} has shape {shape}; got {array.shape}.")
        (self._maps_runner or self.runner).set_weights(arrays)

    def summary(self, print_fn: Callable[[str], None] = print) -> None:
        """Print the table *Layer Name | Output Shape | # Of Params | Trainable*."""
        rows = [
            (r.name, str(("batch", *r.output_shape)).replace("'", ""), f"{r.n_parameters:,}", "true")
            for r in self.architecture.summary()
        ]
        table = [("Layer Name", "Output Shape", "# Of Params", "Trainable"), *rows]
        widths = [max(len(row[column]) for row in table) for column in range(4)]
        for row in table:
            print_fn("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        print_fn(f"Total: {self.count_params():,} parameters in {self.name}")

    def predict(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Answer images.

        Parameters
        ----------
        images : ndarray
            uint8, 0-255, or float, 0-1: ``(n, 28, 28)``, ``(n, 28, 28, 1)`` or ``(n, 784)``; for other input shapes
            likewise. Ink is bright on dark. Any number of them: memory besides the result does not grow. A network
            for 32 x 32 pixels or three channels takes its own images, and those of 28 x 28: with a border of zeros,
            and with three equal channels. For a network that answers with maps ``(n, height, width, channels)`` of
            any size.

        Returns
        -------
        ndarray
            float32 ``(n, n_classes)``; rows sum to 1. Or float32 ``(n, height, width, maps)``, as high and wide as the
            poolings leave them.

        Raises
        ------
        DataError
            If the images have another shape or dtype.
        NetworkError
            If an answer is no number, because the weights are too large.
        """
        if self._maps_runner is None:
            return self._finite(self.runner.predict(wrap_images(self.architecture, images)))
        pages = wrap_pages(self.architecture, images)
        return self._finite(np.stack([self._maps_runner.predict(page) for page in pages]))

    def predict_maps(self, page: NDArray[Any]) -> NDArray[np.float32]:
        """Answer one page with maps.

        Parameters
        ----------
        page : ndarray
            uint8, 0-255, or float ``(height, width)`` or ``(height, width, channels)``, of any size.

        Returns
        -------
        ndarray
            float32 ``(height, width, maps)``, as high and wide as the poolings leave them. All cores work on the one
            page, in memory that does not grow with it.

        Raises
        ------
        DataError
            If the page has another shape or dtype, or is too small.
        NetworkError
            If the network answers one digit, or an answer is no number, because the weights are too large.
        """
        runner = self.maps_runner
        return self._finite(runner.predict(wrap_pages(self.architecture, np.asarray(page)[None])[0]))

    def _finite(self, answers: NDArray[np.float32]) -> NDArray[np.float32]:
        # Weights that are finite one by one may have sums that are not.
        # Both are NaN where one is; an array of booleans would take memory for every answer.
        if answers.size and not np.isfinite([answers.max(), answers.min()]).all():
            raise NetworkError(
                f"{self.name} answers with what is no number (NaN or infinite): its weights are too large. Use those "
                "of an earlier epoch, or train again with a smaller learning rate."
            )
        return answers

    def labelled(self, images: NDArray[Any], labels: ArrayLike) -> LabelledImages:
        """Check images and labels (numbers ``(n,)`` or one-hot ``(n, n_classes)``) and wrap them for the engine."""
        return wrap_labelled(self.architecture, images, labels)

    def steps(
        self,
        x: NDArray[Any] | Crops,
        y: ArrayLike | None = None,
        *,
        loss: str = "cross_entropy",
        batch_size: int = 512,
        epochs: int = 10,
        validation_data: tuple[NDArray[Any], ArrayLike] | Crops | None = None,
        shuffle: bool = True,
        seed: int = 0,
        optimizer: Optimizer | None = None,
        schedule: str = "constant",
        label_smoothing: float = 0.0,
    ) -> Iterator[StepRecord | EpochRecord]:
        """Train batch by batch: the generator behind ``fit``, with the same parameters.

        Yields
        ------
        StepRecord or EpochRecord
            As they happen; stop iterating and training stops.
        """
        for name, value in (("batch_size", batch_size), ("epochs", epochs)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1; got {value!r}.")
        if seed < 0:
            raise ConfigError(f"seed must be a whole number of at least 0; got {seed}.")
        if not 0.0 <= label_smoothing < 1.0:
            raise ConfigError(f"label_smoothing must be from 0 to below 1; got {label_smoothing}.")
        _check_loss(loss, x, validation_data)
        chosen = Adam() if optimizer is None else optimizer
        if isinstance(x, Crops):
            validation_crops = validation_data if isinstance(validation_data, Crops) else None
            live = self._start_rate(chosen, schedule, epochs * -(-len(x) // batch_size))
            self.maps_runner.start_training()
            return crop_epochs(
                self.maps_runner,
                x,
                batch_size=batch_size,
                epochs=epochs,
                optimizer=chosen,
                learning_rate=live.of_step,
                shuffle=shuffle,
                seed=seed,
                label_smoothing=label_smoothing,
                validation=validation_crops,
            )
        training = self.labelled(x, () if y is None else y)
        validation = None
        if validation_data is not None and not isinstance(validation_data, Crops):
            validation = self.labelled(*validation_data)
        live = self._start_rate(chosen, schedule, epochs * -(-len(training) // batch_size))
        self.runner.start_training(min(batch_size, len(training)))
        return steps(
            self.runner,
            training,
            batch_size=batch_size,
            epochs=epochs,
            optimizer=chosen,
            learning_rate=live.of_step,
            shuffle=shuffle,
            seed=seed,
            label_smoothing=label_smoothing,
            validation=validation,
        )

    def _start_rate(self, optimizer: Optimizer, schedule: str, n_steps: int) -> LiveRate:
        self.optimizer = LiveRate(optimizer.name, schedule, optimizer.learning_rate, n_steps)
        self.optimizer.of_step(0)  # an unknown schedule is told here, not mid-run
        return self.optimizer

    def fit(
        self,
        x: NDArray[Any] | Crops,
        y: ArrayLike | None = None,
        *,
        loss: str = "cross_entropy",
        batch_size: int = 512,
        epochs: int = 10,
        validation_data: tuple[NDArray[Any], ArrayLike] | Crops | None = None,
        shuffle: bool = True,
        seed: int = 0,
        optimizer: Optimizer | None = None,
        schedule: str = "constant",
        label_smoothing: float = 0.0,
        callbacks: Iterable[Callback] = (),
    ) -> History:
        """Train.

        Parameters
        ----------
        x, y : array
            Images as for ``predict``; labels as numbers ``(n,)`` or one-hot ``(n, n_classes)``. For the finder's loss
            ``Crops``, which have their marks, and no y.
        loss : {"cross_entropy", "finder"}
            What is made small: the digit's cross-entropy; or, for a network that answers with maps, the finder's loss.
        batch_size, epochs : int
            Images a step, and passes over the images.
        validation_data : (x, y) or Crops, optional
            Evaluated at the end of every epoch.
        shuffle, seed : bool, int
            Whether every epoch has its own order, and where its randomness comes from.
        optimizer : Adam, AdamW or SGD, optional
            ``Adam()`` by default.
        schedule : {"constant", "cosine", "one-cycle"}
            The learning rate over the run; its peak is the optimizer's.
        label_smoothing : float
            Part of the truth, 0 to below 1, that is spread over all classes (Szegedy et al. 2016). The losses in the
            history are without it.
        callbacks : iterable of Callback
            Told of every batch and epoch, as Keras tells them: ``keras.callbacks`` such as ``EarlyStopping`` and
            ``CSVLogger`` work too. One that sets ``model.stop_training`` ends the training.

        Returns
        -------
        History
            All records.

        Raises
        ------
        ConfigError, DataError
            If something passed in cannot be used.
        TrainingDivergedError
            If the loss becomes NaN or infinite.
        """
        records = self.steps(
            x, y, loss=loss, batch_size=batch_size, epochs=epochs, validation_data=validation_data, shuffle=shuffle,
            seed=seed, optimizer=optimizer, schedule=schedule, label_smoothing=label_smoothing,
        )  # fmt: skip
        self.stop_training = False
        history = Listeners(callbacks, self, epochs, n_batches=-(-len(x) // batch_size)).follow(records)
        (self._maps_runner or self.runner).seal()
        return history


#: Whatever answers images with classes: digitlab's own engine, or another runtime.
Model = Sequential | RuntimeModel


def _check_loss(loss: str, x: Any, validation_data: Any) -> None:
    if loss not in LOSSES:
        raise ConfigError(f"There is no loss {loss!r}. There are {', '.join(LOSSES)}.")
    wants_crops = loss == "finder"
    for what, data in (("x", x), ("validation_data", validation_data)):
        if data is not None and isinstance(data, Crops) != wants_crops:
            wanted = "Crops, with their marks and without y" if wants_crops else "images and labels"
            raise ConfigError(f'loss="{loss}" learns from {wanted}; {what} is something else.')
    if wants_crops and not len(x):
        raise ConfigError("There are no crops; give at least one.")


def codelab_cnn(seed: int = 0) -> Sequential:
    """Return the codelab's network with fresh weights: 5,994 parameters."""
    return Sequential.from_architecture(architecture_of("codelab_cnn"), seed=seed)


def dense_baseline(seed: int = 0) -> Sequential:
    """Return a network without convolutions and about as many parameters as the codelab's."""
    return Sequential.from_architecture(architecture_of("dense_baseline"), seed=seed)


def fast_cnn(seed: int = 0) -> Sequential:
    """Return the network of ``--preset fast`` with fresh weights."""
    return Sequential.from_architecture(architecture_of("fast_cnn"), seed=seed)


def load_model(
    path: str | Path,
    *,
    out: str | Path = "runs",
    threads: int | None = None,
    pixels: str | None = None,
    network: str | Path | Architecture | None = None,
) -> Model:
    """Load a trained model.

    A file of a network that digitlab's layers cannot express becomes a ``RuntimeModel``, which onnxruntime or Keras
    answers for: it has ``predict`` and what evaluation, reading and serving need.

    Parameters
    ----------
    path : str or Path
        A run directory, the name of a run in ``out``, ``latest``, or a model file: a checkpoint (``.safetensors``), a
        TensorFlow.js layers model (``model.json`` or its folder), a ``.keras`` of Keras 3, or an ``.onnx``. Files of
        others are read by whitelist: nothing in them is run, and a layer that digitlab lacks is named.
    out : str or Path
        The folder of runs.
    threads : int, optional
        Threads that share the work; all cores by default.
    pixels : str, optional
        How the pixels were scaled that a file's network learned from: ``0-255``, ``-1-1``, or ``MEAN,STD`` of pixels
        from 0 to 1, such as ``0.1307,0.3081``. That becomes part of the network, which takes bytes then, or pixels from
        0 to 1, as digitlab's own do. By default the network takes what it learned from.
    network : str, Path or Architecture, optional
        The network whose weights a PyTorch state dict (``.safetensors``) holds: a name of the zoo, a JSON file with
        layers, or ``Sequential.architecture``. All other files say it themselves.

    Raises
    ------
    RunError
        If there is none, or it is damaged or not usable; the message says which file and what to do.
    ConfigError
        If there is no such scale, or the network is known to have another.
    NetworkError
        If there is no such network; its layers do not have the weights of the file.
    """
    try:
        return Sequential.from_checkpoint(open_model(path, out, pixels, network), threads=threads)
    except LackingError as error:
        return RuntimeModel(error.path, error.why, threads).rescaled(OWN if pixels is None else PixelScale.of(pixels))


@dataclass(frozen=True, slots=True, eq=False)
class OpenedModel:
    """A model that takes pixels from 0 to 1, whatever it learned from, and its file's metadata.

    ``pixels`` is what to open the same file with elsewhere, None where it tells by itself; ``note`` says in a sentence
    which scale was found to fit, where that is another.
    """

    model: Model
    metadata: dict[str, str]
    pixels: str | None
    note: str


def opened_model(
    path: str | Path,
    out: str | Path = "runs",
    pixels: str | None = None,
    known: Split | None = None,
    threads: int | None = None,
) -> OpenedModel:
    """Open a run or a model file to answer digits: every door's way, on which the scale of a file's pixels is found.

    What was found before is used, or else found with labelled images: those that are ``known``, which are always
    asked, or MNIST's where the network may be one for digits.
    """
    note = ""
    try:
        checkpoint = open_model(path, out, pixels)
    except LackingError as error:
        other = RuntimeModel(error.path, error.why, threads)
        if pixels is None:
            fit = _fitting(other, other.digest, known)
            pixels, note = (OWN if fit is None else fit.scale).text, _note(path, fit)
        return OpenedModel(other.rescaled(PixelScale.of(pixels)), {}, pixels, note)
    model = Sequential.from_checkpoint(checkpoint, threads=threads)
    if not is_model_file(path):
        pixels = OWN.text
    elif pixels is None and told_scale(checkpoint) is None:
        fit = _fitting(model, digest_of(checkpoint), known)
        pixels, note = (OWN if fit is None else fit.scale).text, _note(path, fit)
        if fit is not None:
            checkpoint = with_pixels(checkpoint, fit.scale)
            if not fit.scale.is_own:
                model = Sequential.from_checkpoint(checkpoint, threads=threads)
    return OpenedModel(model, checkpoint.metadata, pixels, note)


def _fitting(model: Model, digest: str, known: Split | None) -> ScaleFit | None:
    """Return the scale that fits, which was found before or is found now, and then kept."""
    fit = kept_scale(digest) if known is None else None
    if fit is None and (fit := _scale_by(model, known)) is not None:
        keep_scale(digest, fit)
    return fit


def _note(path: str | Path, fit: ScaleFit | None) -> str:
    if fit is None or fit.scale.is_own:
        return ""
    return (
        f"{Path(path).name} gets pixels {fit.scale.words} here, as with --pixels {fit.scale.text}: {fit.reason}. "
        "To have it otherwise, say so: --pixels 0-1."
    )


def scale_of(model: Model, images: NDArray[Any], labels: NDArray[np.integer]) -> ScaleFit | None:
    """Return the scale of pixels that fits a model, by labelled images: uint8 or float 0-1, ``(n, 28, 28)`` or so."""
    shape = model.architecture.input_shape
    if model.architecture.answers_maps or not holds_digit(shape):
        return None
    some = digits_as(shape, images[:MOST_IMAGES])
    pixels = some.astype(np.float32) / np.float32(255 if some.dtype == np.uint8 else 1)
    return fitting_scale(model.predict, pixels, labels)


def _scale_by(model: Model, known: Split | None) -> ScaleFit | None:
    if known is None:
        network = model.architecture
        if network.answers_maps or network.n_classes not in (len(CLASS_NAMES), len(CLASS_NAMES) + 1):
            return None
        known = MnistData.load().validation
    return scale_of(model, known.images, known.labels)
