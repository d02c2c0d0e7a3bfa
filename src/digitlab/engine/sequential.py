"""Sequential: an architecture with weights, as Keras users know it."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.engine.callbacks import Callback, History, Listeners, progress
from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.cpu.runner import CpuRunner, Runner
from digitlab.engine.crops import Crops
from digitlab.engine.images import (
    LabelledImages,
    are_finite,
    as_pixels,
    held_out,
    scale_of,
    scale_told,
    validation_pair,
    wrap_images,
    wrap_labelled,
    wrap_pages,
)
from digitlab.engine.keras_bridge import keras_network, save_model, save_weights, to_keras, weights_in
from digitlab.engine.keras_words import (
    Compiled,
    asked_images,
    callbacks_of,
    check_others,
    compiled_of,
    evaluated,
    loss_of,
    missing_name,
    optimizer_of,
    whole_number,
)
from digitlab.engine.loop import crop_epochs, steps
from digitlab.engine.optimizers import LiveRate, Optimizer
from digitlab.engine.xla.devices import check_device, chosen_device
from digitlab.errors import ConfigError, NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.layers import Layer
from digitlab.network.pixels import PixelScale
from digitlab.network.zoo import architecture as architecture_of
from digitlab.values import EpochRecord, StepRecord, usual_names

if TYPE_CHECKING:  # JAX is imported when one of its devices is asked for
    from digitlab.engine.xla.maps_runner import XlaMapsRunner
    from digitlab.engine.xla.runner import XlaRunner

__all__ = ["Sequential", "codelab_cnn", "dense_baseline", "fast_cnn"]


# What a model has once its network is whole.
_STARTED = ("architecture", "_runner", "_maps_runner", "class_names")


@dataclass(frozen=True)
class _Draft:
    """A network that is put together layer by layer; ``kept`` are weights that it has already."""

    layers: tuple[Layer, ...] = ()
    input_shape: Sequence[int | None] = (28, 28, 1)
    name: str = "sequential"
    seed: int = 0
    threads: int | None = None
    class_names: Sequence[str] | None = None
    kept: tuple[NDArray[np.float32], ...] = ()


class Sequential:
    """A stack of layers with weights, run by the CPU engine.

    Parameters
    ----------
    layers : sequence of Layer, optional
        From input to output; the last is ``Dense(..., activation="softmax")``, or a ``Conv2D`` that answers with maps.
        Left out, ``add`` adds them.
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

    #: What callbacks may set to end ``fit`` early, and what they may ask for and set the learning rate.
    stop_training = False
    optimizer: LiveRate | None = None
    #: What the last ``fit`` returned.
    history: History | None = None
    # What ``compile`` was told, and what 1 was in the pixels that ``fit`` learned from, where they were called.
    _compiled: Compiled | None = None
    _learned_scale: float | None = None

    def __init__(
        self,
        layers: Sequence[Layer] = (),
        input_shape: Sequence[int | None] = (28, 28, 1),
        name: str = "sequential",
        *,
        seed: int = 0,
        threads: int | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self._draft = _Draft((), input_shape, name, seed, threads, class_names)
        if not isinstance(layers, Sequence) or layers:
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
        n = 0 if architecture.answers_maps else architecture.n_classes
        names = usual_names(n) if class_names is None else tuple(class_names)
        if len(names) != n:
            raise NetworkError(f"The network tells {n} classes apart but {len(names)} names were given.")
        self.architecture, self.class_names = architecture, names
        self._threads = threads
        self._runner: CpuRunner | XlaRunner | None = None
        self._maps_runner: MapsRunner | XlaMapsRunner | None = None
        if architecture.answers_maps:
            self._maps_runner = MapsRunner(architecture, threads)
        else:
            self._runner = CpuRunner(architecture, threads)

    @property
    def _device(self) -> str:
        runner = self._maps_runner or self.runner
        return "cpu" if isinstance(runner, Runner) else runner.device

    def use_device(self, device: str, precision: str = "float32") -> str:
        """Run this network elsewhere from now on, with the weights that it has.

        Parameters
        ----------
        device : {"cpu", "gpu", "tpu", "cpu-xla", "auto"}
            ``cpu`` is digitlab's own engine; the others are devices of JAX, which ``digitlab[xla]`` brings; ``auto`` is
            the first accelerator that is there. Where there are several of a kind, all of them share the work.
        precision : {"float32", "bfloat16"}
            What numbers between the layers are on JAX's devices; weights, losses and optimizers stay float32.

        Returns
        -------
        str
            A sentence on the device that is used, empty for the processor.

        Raises
        ------
        ConfigError
            If there is no such device, or JAX is not installed.
        """
        check_device(device, precision)
        chosen, told = chosen_device(device)
        if chosen == "cpu" and isinstance(self._maps_runner or self.runner, Runner):
            return told
        weights, network = self.get_weights(), self.architecture
        if chosen == "cpu":
            self._start(network, self._threads, self.class_names)
        elif network.answers_maps:
            from digitlab.engine.xla.maps_runner import XlaMapsRunner

            self._maps_runner = XlaMapsRunner(network, chosen, precision)
        else:
            from digitlab.engine.xla.runner import XlaRunner

            self._runner = XlaRunner(network, chosen, precision)
        self.set_weights(weights)
        return told

    def add(self, layer: Layer) -> None:
        """Put a layer behind the others, as Keras' ``add``; the weights that are there stay.

        Raises
        ------
        NetworkError
            If it is no layer of digitlab.
        """
        if not isinstance(layer, Layer):
            raise NetworkError(
                f"{type(layer).__name__} is not a layer that digitlab runs; add digitlab.Dense(10) and the like. The "
                "shape of the images is told to Sequential(input_shape=(28, 28, 1))."
            )
        draft = self.__dict__.get("_draft", _Draft())
        if "architecture" in self.__dict__:
            network = self.architecture
            draft = replace(
                draft, layers=network.layers, input_shape=network.input_shape, name=network.name,
                threads=self._threads, kept=tuple(self.get_weights()),
            )  # fmt: skip
            for name in _STARTED:
                del self.__dict__[name]
        self._draft = replace(draft, layers=(*draft.layers, layer))

    if not TYPE_CHECKING:  # type checkers shall miss what is missing

        def __getattr__(self, name: str) -> Any:
            # What is put together by ``add`` is no network before its last layer; it is made when it is first asked.
            draft = self.__dict__.get("_draft")
            if name not in _STARTED or draft is None:
                raise missing_name(name, dir(type(self)))
            self._start(Architecture(draft.layers, draft.input_shape, draft.name), draft.threads, draft.class_names)
            self.set_weights([*draft.kept, *self.architecture.initial_weights(draft.seed)[len(draft.kept) :]])
            return self.__dict__[name]

    def __reduce__(self) -> tuple[Any, ...]:
        # What a copy in another process needs: the network and its weights instead of compiled code.
        kept = {name: self.__dict__[name] for name in ("_compiled", "_learned_scale") if name in self.__dict__}
        if "architecture" not in self.__dict__:
            return type(self), (), kept | {"_draft": self._draft}
        return _restored, (self.architecture, self.get_weights(), self._threads, self.class_names), kept

    @property
    def runner(self) -> CpuRunner | XlaRunner:
        """What runs a network that answers one digit; NetworkError if it answers with maps."""
        if self._runner is None:
            self.architecture.n_classes  # noqa: B018 - says what such a network can be used for
        assert self._runner is not None
        return self._runner

    @property
    def maps_runner(self) -> MapsRunner | XlaMapsRunner:
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

    @property
    def layers(self) -> list[Layer]:
        """The layers, from input to output."""
        return list(self.architecture.layers if "architecture" in self.__dict__ else self._draft.layers)

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """What goes in, as Keras tells it: None, which is the batch, and the shape of one image."""
        return (None, *self.architecture.input_shape)

    @property
    def output_shape(self) -> tuple[Any, ...]:
        """What comes out, as Keras tells it: None, which is the batch, and the shape of one answer."""
        return (None, *self.architecture.shapes[-1])

    @property
    def metrics_names(self) -> list[str]:
        """What ``evaluate`` returns."""
        return ["loss", self._settings.accuracy_name]

    @property
    def trainable(self) -> bool:
        """True: every layer learns."""
        return True

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if not value:
            raise ConfigError("digitlab trains every layer; none can be frozen.")

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its place, from 0.

        Raises
        ------
        NetworkError
            If there is none.
        """
        layers = self.layers
        found = [one for k, one in enumerate(layers) if one.name == name or k == index]
        if not found:
            names = ", ".join(one.name for one in layers)
            raise NetworkError(f"{self.name} has no layer {name if index is None else index!r}. It has {names}.")
        return found[0]

    def __repr__(self) -> str:
        if "architecture" not in self.__dict__:
            return f"<Sequential {self._draft.name}: {len(self._draft.layers)} layers so far>"
        network = self.architecture
        answers = "maps" if network.answers_maps else f"{network.n_classes} classes"
        return (
            f"<Sequential {self.name}: {network.input_shape} to {answers} by {len(network.layers)} layers, "
            f"{self.count_params():,} parameters>"
        )

    def _repr_html_(self) -> str:
        if "architecture" not in self.__dict__:
            return escape(repr(self))
        from digitlab.notebook import summary_html

        return summary_html(self.architecture)

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
        try:
            arrays = [np.asarray(w, np.float32) for w in weights]
        except (TypeError, ValueError):
            raise NetworkError("Weights are a list of arrays, as get_weights returns them.") from None
        expected = self.architecture.weight_shapes
        if len(arrays) != len(expected):
            raise NetworkError(f"{self.name} has {len(expected)} weight arrays; got {len(arrays)}.")
        for i, (array, shape) in enumerate(zip(arrays, expected, strict=True)):
            if array.shape != shape:
                raise NetworkError(f"Weight array {i} of {self.name} has shape {shape}; got {array.shape}.")
        (self._maps_runner or self.runner).set_weights(arrays)

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True, **others: Any) -> None:
        """Write the model as a file, of the kind that its name says; ``load_model`` reads it back.

        ``digitlab.export`` does the same with more choices, and asks the other program whether it agrees.

        Parameters
        ----------
        filepath : str or path
            ``model.keras`` or ``model.h5`` for Keras, ``model.onnx`` for onnxruntime, ``model.safetensors`` for
            digitlab alone; a folder, or ``model.json`` in it, for TensorFlow.js.
        overwrite : bool
            Whether a file of that name is replaced.

        Raises
        ------
        ConfigError
            If the name says nothing of these, or a package is missing.
        StorageError
            If it cannot be written; what was there is as it was.
        """
        check_others("save", others)
        learned = self._learned_scale
        # Every door of digitlab opens it with the scale that it learned from.
        pixels = None if learned is None or learned == math.inf else PixelScale.of(f"0-{learned:g}")
        save_model(self, filepath, overwrite, pixels)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone, to a file that ends in ``.weights.h5``, as Keras 3 does."""
        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Take the weights of a ``.weights.h5`` of Keras 3, or of any model that ``load_model`` reads.

        Raises
        ------
        NetworkError, RunError
            If they are those of another network, or the file is damaged.
        """
        self.set_weights(weights_in(self.architecture, filepath))

    def summary(self, print_fn: Callable[[str], None] = print, **others: Any) -> None:
        """Print the table *Layer Name | Output Shape | # Of Params | Trainable*."""
        check_others("summary", others)
        rows = [
            (r.name, str(("batch", *r.output_shape)).replace("'", ""), f"{r.n_parameters:,}", "true")
            for r in self.architecture.summary()
        ]
        table = [("Layer Name", "Output Shape", "# Of Params", "Trainable"), *rows]
        widths = [max(len(row[column]) for row in table) for column in range(4)]
        for row in table:
            print_fn("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        print_fn(f"Total: {self.count_params():,} parameters in {self.name}")

    def __call__(self, images: ArrayLike, training: bool | None = None) -> NDArray[np.float32]:
        """Answer images, as ``predict`` does."""
        if training:
            raise ConfigError("model(images) answers as model.predict does; model.fit(x, y) trains.")
        return self.predict(images)

    def predict(
        self,
        images: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        *,
        x: ArrayLike | None = None,
        **others: Any,
    ) -> NDArray[np.float32]:
        """Answer images.

        Parameters
        ----------
        images : ndarray
            Whole numbers, 0-255, or float, 0-1: ``(n, 28, 28)``, ``(n, 28, 28, 1)`` or ``(n, 784)``, lists and frames
            too; for other input shapes likewise. Ink is bright on dark. Any number of them: memory besides the result
            does not grow. A network for 32 x 32 pixels or three channels takes its own images, and those of 28 x 28:
            with a border of zeros, and with three equal channels. For a network that answers with maps
            ``(n, height, width, channels)`` of any size.
        batch_size, verbose
            Taken because Keras has them; nothing depends on them.
        x : ndarray, optional
            Keras' name for the images.

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
        images = asked_images(images, x, others)
        if self._maps_runner is None:
            wrapped = wrap_images(self.architecture, images)
            if self._learned_scale is not None:
                _warn(scale_told(wrapped.pixels, self._learned_scale))
            return self._finite(self.runner.predict(wrapped))
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
        if not are_finite(answers):
            raise NetworkError(
                f"{self.name} answers with what is no number (NaN or infinite): its weights are too large. Use those "
                "of an earlier epoch, or train again with a smaller learning rate."
            )
        return answers

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        *,
        return_dict: bool = False,
        **others: Any,
    ) -> list[float] | dict[str, float]:
        """Return loss and accuracy on labelled images, as Keras does; ``digitlab.evaluate`` tells far more.

        Parameters
        ----------
        x, y : array
            Images and labels as for ``fit``.
        batch_size : int, optional
            Taken because Keras has it; nothing depends on it.
        verbose : {"auto", 0, 1, 2}
            1 and 2 print a line.
        return_dict : bool
            Return them by name.

        Returns
        -------
        list or dict
            ``[loss, accuracy]``, the loss in nats; or ``{"loss": ..., "accuracy": ...}``.

        Raises
        ------
        DataError, NetworkError
            As ``predict``; or if there is not one label for every image.
        """
        check_others("evaluate", others)
        labelled = self.labelled(x, () if y is None else y)
        if self._learned_scale is not None:
            _warn(scale_told(labelled.images.pixels, self._learned_scale))
        answers = self._finite(self.runner.predict(labelled.images))
        return evaluated(answers, labelled.labels, verbose, self.metrics_names if return_dict else None)

    def compile(self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **others: Any) -> None:
        """Say how ``fit`` trains, as in Keras; it may be left out.

        Parameters
        ----------
        optimizer : str, Adam, AdamW or SGD
            ``"adam"``, ``"adamw"`` or ``"sgd"``, one of digitlab's optimizers, or one of Keras'.
        loss : str, optional
            The cross-entropy, by Keras' names for it: ``"sparse_categorical_crossentropy"`` or
            ``"categorical_crossentropy"``, whether labels are numbers or one-hot. Or Keras' object, with its label
            smoothing.
        metrics : list of str, optional
            ``["accuracy"]``, which is told anyhow.

        Raises
        ------
        ConfigError
            If digitlab has none such; the message says what to write.
        """
        check_others("compile", others)
        self._compiled = compiled_of(optimizer, loss, metrics)
        self._start_rate(self._compiled.optimizer, "constant", 1)

    def forget_scale(self) -> None:
        """Forget in which scale the pixels were that ``fit`` learned from, so that nobody is warned of another one."""
        self._learned_scale = None

    @property
    def _settings(self) -> Compiled:
        return self._compiled or Compiled()

    def labelled(self, images: ArrayLike, labels: ArrayLike) -> LabelledImages:
        """Check images and labels (numbers ``(n,)`` or one-hot ``(n, n_classes)``) and wrap them for the engine."""
        return wrap_labelled(self.architecture, images, labels)

    def steps(
        self,
        x: ArrayLike | Crops,
        y: ArrayLike | None = None,
        *,
        loss: str | None = None,
        batch_size: int = 512,
        epochs: int = 10,
        validation_data: tuple[ArrayLike, ArrayLike] | Crops | None = None,
        shuffle: bool = True,
        seed: int = 0,
        optimizer: str | Optimizer | None = None,
        schedule: str = "constant",
        label_smoothing: float | None = None,
        device: str | None = None,
        precision: str = "float32",
    ) -> Iterator[StepRecord | EpochRecord]:
        """Train batch by batch: the generator behind ``fit``, with the same parameters.

        Yields
        ------
        StepRecord or EpochRecord
            As they happen; stop iterating and training stops.
        """
        batch_size, epochs = whole_number("batch_size", batch_size, 1), whole_number("epochs", epochs, 1)
        seed = whole_number("seed", seed, 0)
        compiled = self._settings
        loss_name, smoothing = (compiled.loss, compiled.label_smoothing) if loss is None else loss_of(loss)
        label_smoothing = smoothing if label_smoothing is None else label_smoothing
        if not 0.0 <= label_smoothing < 1.0:
            raise ConfigError(f"label_smoothing must be from 0 to below 1; got {label_smoothing}.")
        _check_loss(loss_name, x, validation_data)
        if device is not None or precision != "float32":
            self.use_device(self._device if device is None else device, precision)
        chosen = self._chosen(optimizer)
        settings: dict[str, Any] = {
            "batch_size": batch_size, "epochs": epochs, "optimizer": chosen, "shuffle": shuffle, "seed": seed,
            "label_smoothing": label_smoothing,
        }  # fmt: skip
        if isinstance(x, Crops):
            validation_crops = validation_data if isinstance(validation_data, Crops) else None
            live = self._start_rate(chosen, schedule, epochs * -(-len(x) // batch_size))
            self.maps_runner.start_training()
            return crop_epochs(self.maps_runner, x, learning_rate=live.of_step, validation=validation_crops, **settings)
        training = self.labelled(x, () if y is None else y)
        validation = None
        if validation_data is not None and not isinstance(validation_data, Crops):
            validation = self.labelled(*validation_pair(validation_data))
        live = self._start_rate(chosen, schedule, epochs * -(-len(training) // batch_size))
        self.runner.start_training(min(batch_size, len(training)))
        return steps(self.runner, training, learning_rate=live.of_step, validation=validation, **settings)

    def _chosen(self, optimizer: Any) -> Optimizer:
        """Return the optimizer that is given, or the compiled one at the rate that a callback has left it with."""
        if optimizer is not None:
            return optimizer_of(optimizer)
        told = self._settings.optimizer
        if self._compiled is None or self.optimizer is None or self.optimizer.rate_set is None:
            return told
        return replace(told, learning_rate=self.optimizer.rate_set)

    def _start_rate(self, optimizer: Optimizer, schedule: str, n_steps: int) -> LiveRate:
        self.optimizer = LiveRate(optimizer.name, schedule, optimizer.learning_rate, n_steps)
        self.optimizer.of_step(0)  # an unknown schedule is told here, not mid-run
        return self.optimizer

    def fit(
        self,
        x: ArrayLike | Crops,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        epochs: int = 10,
        verbose: str | int = "auto",
        callbacks: Callback | Iterable[Callback] | None = (),
        validation_split: float = 0.0,
        validation_data: tuple[ArrayLike, ArrayLike] | Crops | None = None,
        shuffle: bool = True,
        *,
        loss: str | None = None,
        seed: int = 0,
        optimizer: str | Optimizer | None = None,
        schedule: str = "constant",
        label_smoothing: float | None = None,
        device: str | None = None,
        precision: str = "float32",
        **others: Any,
    ) -> History:
        """Train.

        Parameters
        ----------
        x, y : array
            Images as for ``predict``; labels as numbers ``(n,)``, a column of them, or one-hot ``(n, n_classes)``. For
            the finder's loss ``Crops``, which have their marks, and no y.
        batch_size, epochs : int
            Images a step, 512 by default, and passes over the images.
        verbose : {"auto", 0, 1, 2}
            1 shows a progress bar, 2 a line an epoch, 0 nothing. By default there is a bar in notebooks and nothing
            elsewhere.
        callbacks : Callback or iterable of Callback, optional
            Told of every batch and epoch, as Keras tells them: ``keras.callbacks`` such as ``EarlyStopping`` and
            ``ModelCheckpoint`` work too. One that sets ``model.stop_training`` ends the training.
        validation_split : float
            Part of the images, 0 to below 1, that is kept for validation: the last of them, before shuffling.
        validation_data : (x, y) or Crops, optional
            Evaluated at the end of every epoch, in place of the part that is split off.
        shuffle, seed : bool, int
            Whether every epoch has its own order, and where its randomness comes from.
        loss : {"cross_entropy", "finder"}
            What is made small: the digit's cross-entropy, also by Keras' names for it; or, for a network that answers
            with maps, the finder's loss.
        optimizer : str, Adam, AdamW or SGD, optional
            ``Adam()``, or the one that ``compile`` was told, by default. It begins anew at every fit.
        schedule : {"constant", "cosine", "one-cycle"}
            The learning rate over the run; its peak is the optimizer's.
        label_smoothing : float
            Part of the truth, 0 to below 1, that is spread over all classes (Szegedy et al. 2016). The losses in the
            history are without it.
        device, precision : str, optional
            Where to train, as for ``use_device``; by default where the network is.

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
        check_others("fit", others)
        listeners = [*callbacks_of(callbacks), *progress(verbose)]
        batch_size, epochs = 512 if batch_size is None else batch_size, whole_number("epochs", epochs, 1)
        if not isinstance(x, Crops):
            x = as_pixels(x)
            if validation_split and validation_data is None:
                x, y, validation_data = held_out(x, y, validation_split)
        records = self.steps(
            x, y, loss=loss, batch_size=batch_size, epochs=epochs, validation_data=validation_data, shuffle=shuffle,
            seed=seed, optimizer=optimizer, schedule=schedule, label_smoothing=label_smoothing,
            device=device, precision=precision,
        )  # fmt: skip
        if not isinstance(x, Crops):
            _warn(scale_told(x, None))
            self._learned_scale = scale_of(x)
            if validation_data is not None:
                _warn(scale_told(as_pixels(validation_pair(validation_data)[0]), self._learned_scale))
        self.stop_training = False
        n_batches = -(-len(x) // batch_size)
        listening = Listeners(listeners, self, epochs, n_batches, self._settings.accuracy_name)
        self.history = listening.follow(records)
        (self._maps_runner or self.runner).seal()
        return self.history


def _warn(sentence: str) -> None:
    if sentence:
        warnings.warn(sentence, UserWarning, stacklevel=3)


def _restored(
    network: Architecture, weights: list[NDArray[np.float32]], threads: int | None, class_names: tuple[str, ...]
) -> Sequential:
    return Sequential.from_architecture(network, weights, threads=threads, class_names=class_names)


def _check_loss(loss: str, x: Any, validation_data: Any) -> None:
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
