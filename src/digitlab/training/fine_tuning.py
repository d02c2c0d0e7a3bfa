"""Fine-tuning: a trained network goes on learning from a few images of somebody's own, and forgets nothing of MNIST.

A network that learns from new images alone forgets the old ones within a few steps (McCloskey and Cohen 1989), so the
few are mixed into some thousand training images of what it knows ("replay"): MNIST's, and for a network with an
eleventh answer also images that are no digit, all of them changed at random as in its own training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.choosing import choose_images
from digitlab.data.mnist import MnistData
from digitlab.engine.augmentation import AUGMENTATIONS, Augmentation, augmented
from digitlab.engine.fitting import LabelledImages, steps
from digitlab.engine.inputs import wrap_labelled
from digitlab.engine.optimizers import Adam, scheduled_rate
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, InputError
from digitlab.metrics import accuracy
from digitlab.network.checkpoint import Checkpoint
from digitlab.runs.history import Record
from digitlab.values import CLASS_NAMES, StepRecord, Value

__all__ = ["MOST_VALIDATION", "FineTuned", "FineTuningOptions", "fine_tune"]

# Copies of a correction are changed so far, that the network learns the hand and not the pixels.
_GENTLE = Augmentation(rotation=8.0, shear=0.15, scale=0.1, aspect=0.1, shift=1.0, elastic=2.0, thicken=0.3)
# Of the images that are replayed to a network with an eleventh answer, so many are no digit.
_NONDIGITS = 0.15
#: Validation images that are watched at most.
MOST_VALIDATION = 1_000
_N_DIGITS = len(CLASS_NAMES)


@dataclass(frozen=True, slots=True)
class FineTuningOptions(Value):
    """How a network learns from corrections.

    Attributes
    ----------
    epochs : int
        Passes over replayed images and corrections.
    replay_images : int
        How many of MNIST's training images are mixed in.
    share : float
        The part of what is learned from that corrections are, in (0, 1): a few are repeated up to
        ``most_repeats`` times to come near it.
    most_repeats : int
        How often one correction comes in an epoch at most; no more would be learned from more.
    batch_size : int
        Images in one step.
    learning_rate : float, optional
        Of Adam, falling to 0 along a cosine; by default small beside a training's, because little is to change, and
        the smaller the more weights the network has.
    seed : int
        Where all randomness comes from: the same seed gives the same weights.
    threads : int, optional
        Threads that share the work; all cores by default. No result depends on it.

    Raises
    ------
    ConfigError
        If a value cannot be used.
    """

    epochs: int = 2
    replay_images: int = 3_000
    share: float = 0.2
    most_repeats: int = 100
    batch_size: int = 128
    learning_rate: float | None = None
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "replay_images", "most_repeats", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1; got {getattr(self, name)}.")
        if not 0 < self.share < 1:
            raise ConfigError(f"share must be above 0 and below 1; got {self.share}.")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate must be above 0 and below 1; got {self.learning_rate}.")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0; got {self.seed}.")

    def rate_for(self, n_parameters: int) -> float:
        """Return the learning rate for a network with so many weights.

        The reader's 320 thousand want 0.0001, the codelab's 6 thousand want 0.001: chosen on validation images that the
        networks had answered wrongly, so that these are learned and the others do not suffer.
        """
        if self.learning_rate is not None:
            return self.learning_rate
        return float(np.clip(0.00012 * math.sqrt(320_000 / n_parameters), 0.0001, 0.001))


@dataclass(frozen=True, slots=True)
class FineTuned(Value):
    """What came of it.

    Attributes
    ----------
    n_corrections, n_left_out : int
        How many were learned from; and how many not, since the network has no answer "not a digit".
    right_before, right_after : int
        How many of the corrections were answered rightly. Those were learned from: it says little of other images.
    n_test : int
        MNIST's test images.
    accuracy_before, accuracy_after : float
        Fraction of them answered rightly, in [0, 1].
    n_replayed : int
        Images that were mixed in.
    seconds : float
        How long it took, both evaluations included.
    options : FineTuningOptions
        How it was done.
    checkpoint : Checkpoint
        The network; not part of the JSON form.
    records : tuple of StepRecord or EpochRecord
        How the training went; not part of the JSON form.
    """

    n_corrections: int
    n_left_out: int
    right_before: int
    right_after: int
    n_test: int
    accuracy_before: float
    accuracy_after: float
    n_replayed: int
    seconds: float
    options: FineTuningOptions
    checkpoint: Checkpoint = field(repr=False, compare=False)
    records: tuple[Record, ...] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("checkpoint", "records")}
        return plain | {"options": self.options.to_dict()}


def fine_tune(
    start: Checkpoint,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    data: MnistData,
    options: FineTuningOptions | None = None,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> FineTuned:
    """Let a trained network learn from corrections, without forgetting what it knows.

    Parameters
    ----------
    start : Checkpoint
        The network and its weights; it is not changed. Its metadata (temperature, threshold) is kept.
    images : ndarray
        uint8 (n, 28, 28), 0-255, ink bright on dark.
    labels : ndarray
        uint8 (n,): 0-9, or 10 for "not a digit".
    data : MnistData
        What is replayed (training images), watched (validation images) and reported with (test images).
    options : FineTuningOptions, optional
        How.
    on_step : callable, optional
        Told of the steps done and of all steps, from 0 on. What it raises ends the training, and nothing is kept.

    Raises
    ------
    InputError
        If there is nothing to learn from, or the network is not one for digits.
    TrainingDivergedError
        If the loss becomes NaN or infinite.
    """
    options = FineTuningOptions() if options is None else options
    began = time.perf_counter()
    model = Sequential.from_checkpoint(start, threads=options.threads)
    has_eleventh = _check_network(model)
    usable = labels < model.architecture.n_classes
    own, own_labels = images[usable], labels[usable]
    if len(own) == 0:
        raise InputError(_NOTHING if len(labels) == 0 else _NOTHING_FOR_TEN)
    replayed, replayed_labels = _replayed(data, options, has_eleventh)
    copies = _n_copies(len(own), len(replayed), options)
    every = np.concatenate([replayed, *[own] * copies])
    every_labels = np.concatenate([replayed_labels, *[own_labels] * copies])
    training = wrap_labelled(model.architecture, every, every_labels)

    def of_epoch(epoch: int) -> LabelledImages:
        changed = every.copy()
        n = len(replayed)
        if has_eleventh and (augmentation := AUGMENTATIONS["reader"]) is not None:
            changed[:n] = augmented(replayed, augmentation, seed=options.seed, epoch=epoch, threads=options.threads)
        # One copy stays as it was: that is the image that was answered wrongly.
        rest = every[n + len(own) :]
        if len(rest):
            changed[n + len(own) :] = augmented(rest, _GENTLE, seed=options.seed, epoch=epoch, threads=options.threads)
        return wrap_labelled(model.architecture, changed, every_labels)

    rate = options.rate_for(model.count_params())
    n_steps = options.epochs * math.ceil(len(every) / options.batch_size)
    tell = on_step if on_step is not None else _tell_nobody
    tell(0, n_steps)
    right_before, accuracy_before = _fares(model, own, own_labels, data)
    records = []
    n_validation = min(MOST_VALIDATION, len(data.validation))
    model.runner.start_training(min(options.batch_size, len(every)))
    for record in steps(
        model.runner,
        training,
        batch_size=options.batch_size,
        epochs=options.epochs,
        optimizer=Adam(rate),
        learning_rate=lambda step: scheduled_rate("cosine", rate, step, n_steps),
        seed=options.seed,
        validation=model.labelled(data.validation.images[:n_validation], data.validation.labels[:n_validation]),
        of_epoch=of_epoch,
    ):
        records.append(record)
        if isinstance(record, StepRecord):
            tell(record.step, n_steps)
    model.runner.seal()
    right_after, accuracy_after = _fares(model, own, own_labels, data)
    return FineTuned(
        n_corrections=len(own),
        n_left_out=len(labels) - len(own),
        right_before=right_before,
        right_after=right_after,
        n_test=len(data.test),
        accuracy_before=accuracy_before,
        accuracy_after=accuracy_after,
        n_replayed=len(replayed),
        seconds=time.perf_counter() - began,
        options=options,
        checkpoint=Checkpoint(
            start.architecture, tuple(model.get_weights()), start.class_names, start.metadata | {"fine_tuned": "yes"}
        ),
        records=tuple(records),
    )


_NOTHING = "There is no correction to learn from; correct a wrong answer first."
_NOTHING_FOR_TEN = (
    'All corrections say "not a digit", and this network has no such answer. Choose the shipped reader, or correct a '
    "digit."
)


def _check_network(model: Sequential) -> bool:
    """Tell whether there is an eleventh answer."""
    network = model.architecture
    if network.input_shape != (28, 28, 1) or network.n_classes not in (_N_DIGITS, _N_DIGITS + 1):
        raise InputError(
            f"{network.name} takes {network.input_shape} and tells {network.n_classes} classes apart; only networks "
            "for 28 x 28 digits learn from corrections. Choose another network."
        )
    return network.n_classes > _N_DIGITS


def _replayed(
    data: MnistData, options: FineTuningOptions, has_eleventh: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images, labels = choose_images(data.training, min(options.replay_images, len(data.training)), options.seed)
    if has_eleventh:
        from digitlab.training.nondigits.pool import make_nondigits

        n = max(1, round(len(images) * _NONDIGITS / (1 - _NONDIGITS)))
        others = make_nondigits(n, data.training, seed=options.seed)
        images = np.concatenate([images, others.images])
        labels = np.concatenate([labels, np.full(n, _N_DIGITS, np.uint8)])
    return images, labels


def _n_copies(n_own: int, n_replayed: int, options: FineTuningOptions) -> int:
    wanted = options.share * n_replayed / (1 - options.share) / n_own
    return max(1, min(options.most_repeats, math.ceil(wanted)))


def _fares(
    model: Sequential, own: NDArray[np.uint8], own_labels: NDArray[np.uint8], data: MnistData
) -> tuple[int, float]:
    right = int((model.predict(own).argmax(axis=1) == own_labels).sum())
    return right, accuracy(data.test.labels, model.predict(data.test.images).argmax(axis=1))


def _tell_nobody(step: int, n_steps: int) -> None:
    return None
