"""Training as a generator: one record a batch and one an epoch; whoever iterates decides what becomes of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.crops import Crops
from digitlab.engine.images import LabelledImages
from digitlab.engine.optimizers import Optimizer, OptimizerStep
from digitlab.errors import TrainingDivergedError
from digitlab.metrics import accuracy, cross_entropy
from digitlab.values import CropsRecord, EpochRecord, StepRecord

if TYPE_CHECKING:  # JAX is imported by whoever asks for its devices
    from digitlab.engine.xla.maps_runner import XlaMapsRunner
    from digitlab.engine.xla.runner import XlaRunner

# Nats a batch. Adam with a learning rate of a million rarely overflows; its loss of 1e21 is as lost as NaN.
_MOST_LOSS = 1e6


@dataclass
class Progress:
    """How far a training run is; with the weights and the optimizer's moments, all that resuming needs.

    Attributes
    ----------
    step : int
        Optimizer steps done.
    epochs_done : int
        Epochs whose record was given. It falls behind ``step`` between an epoch's last batch and its record.
    epoch_loss, epoch_correct, epoch_images, epoch_seconds : float, int, int, float
        Sums over the batches done of the epoch whose record is to come.
    epoch_marks : int
        Likewise, for a finder: marks, of which ``epoch_correct`` were called rightly.
    rates : sequence of (int, float)
        Learning rates that were set on the way, each with the number of steps done before it.
    """

    step: int = 0
    epochs_done: int = 0
    epoch_loss: float = 0.0
    epoch_correct: int = 0
    epoch_images: int = 0
    epoch_seconds: float = 0.0
    rates: Sequence[tuple[int, float]] = ()
    epoch_marks: int = 0

    def rate_set(self, step: int) -> float | None:
        """Return the learning rate that was set for the step after ``step`` others; None if none was."""
        return next((rate for since, rate in reversed(self.rates) if since <= step), None)

    def add_batch(self, n_images: int, loss: float, n_correct: int, seconds: float) -> None:
        """Count one step."""
        self.step += 1
        self.epoch_loss += loss * n_images
        self.epoch_correct += n_correct
        self.epoch_images += n_images
        self.epoch_seconds += seconds

    def end_epoch(self) -> None:
        """Count one epoch and begin the sums anew."""
        self.epochs_done += 1
        self.epoch_marks = 0
        self.epoch_loss, self.epoch_correct, self.epoch_images, self.epoch_seconds = 0.0, 0, 0, 0.0


def batch_order(n_images: int, epoch: int, seed: int, shuffle: bool) -> NDArray[np.int64]:
    """Return the order of the images in one epoch, from 1; it depends on nothing but the arguments."""
    if not shuffle:
        return np.arange(n_images, dtype=np.int64)
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(1, epoch)))
    return rng.permutation(n_images).astype(np.int64)


#: What a runner is told of one step: the labels of its batch, which images they are, the optimizer's numbers, and what
#: dropout asks for.
Step = tuple[NDArray[np.int64], NDArray[np.int64], OptimizerStep, int]


@dataclass(frozen=True, eq=False)
class _Epoch:
    """What the steps of one epoch learn from, whoever asks for them, and whenever."""

    training: LabelledImages
    order: NDArray[np.int64]
    batch_size: int
    first: int  # steps done before it
    optimizer: Optimizer
    learning_rate: Callable[[int], float]
    seed: int | None  # None where nothing is dropped

    @property
    def n_batches(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def step(self, done: int) -> Step:
        """The step that comes after ``done`` others."""
        begin = (done - self.first) * self.batch_size
        chosen = self.order[begin : begin + self.batch_size]
        salt = 0 if self.seed is None else step_salt(self.seed, done)
        return self.training.labels[chosen], chosen, self.optimizer.step(done + 1, self.learning_rate(done)), salt

    def ahead(self, done: int, n: int) -> list[Step]:
        """Up to ``n`` steps that come after that one, as they will be if nobody sets another rate meanwhile."""
        following = [self.step(k) for k in range(done + 1, min(done + 1 + n, self.first + self.n_batches))]
        self.learning_rate(done)  # whoever asks for the rate is told that of the step that is taken now
        return following


def _diverged(step: int, rate: float) -> TrainingDivergedError:
    return TrainingDivergedError(
        f"The loss became NaN or infinite, or hopelessly large, at step {step}, with learning rate {rate:g}. "
        f"The weights from before were kept. Try a learning rate ten times smaller."
    )


def steps(
    runner: CpuRunner | XlaRunner,
    training: LabelledImages,
    *,
    batch_size: int,
    epochs: int,
    optimizer: Optimizer,
    learning_rate: Callable[[int], float],
    shuffle: bool = True,
    seed: int = 0,
    label_smoothing: float = 0.0,
    validation: LabelledImages | None = None,
    progress: Progress | None = None,
    of_epoch: Callable[[int], LabelledImages] | None = None,
) -> Iterator[StepRecord | EpochRecord]:
    """Train, and yield a record for every batch and, after its last batch, for every epoch.

    Stop iterating and training stops. The runner must hold the weights and moments of ``progress``, which is kept up to
    date, so that the run can be resumed after any record; whoever puts both back between two records, to where they
    were before, gets what comes then once more. ``learning_rate`` gives the rate of a step, given the number of steps
    done before it; ``of_epoch`` what to learn from in an epoch, from 1, in place of ``training``: as many images,
    changed at random. Part ``label_smoothing``, 0-1, of the truth is spread over all classes.

    Raises ``TrainingDivergedError`` if the loss is no longer finite or is above a million nats, or the weights are no
    longer finite; the weights are those of before.
    """
    n = len(training)
    n_batches = -(-n // batch_size)
    progress = Progress() if progress is None else progress
    runner.remember()
    while progress.epochs_done < epochs:
        epoch = progress.epochs_done + 1
        of_steps = _Epoch(
            training if of_epoch is None else of_epoch(epoch),
            batch_order(n, epoch, seed, shuffle),
            batch_size,
            (epoch - 1) * n_batches,
            optimizer,
            learning_rate,
            seed if runner.has_dropout else None,
        )
        while (batch := progress.step - (epoch - 1) * n_batches + 1) <= n_batches:
            began, rate = time.perf_counter(), learning_rate(progress.step)
            labels, chosen, numbers, salt = of_steps.step(progress.step)
            loss, n_correct = runner.train_batch(
                of_steps.training.images, labels, chosen, numbers, salt, label_smoothing,
                partial(of_steps.ahead, progress.step),
            )  # fmt: skip
            if not (loss <= _MOST_LOSS and runner.is_finite):
                # A bad loss is the fault of the batch before, bad weights are that of this one.
                runner.take_back(1 if loss <= _MOST_LOSS else 2)
                raise _diverged(progress.step + 1, rate)
            seconds = runner.batch_seconds or max(time.perf_counter() - began, 1e-9)
            progress.add_batch(len(chosen), loss, n_correct, seconds)
            yield StepRecord(
                step=progress.step,
                epoch=epoch,
                batch=batch,
                n_images=len(chosen),
                loss=loss,
                accuracy=n_correct / len(chosen),
                learning_rate=rate,
                images_per_s=len(chosen) / seconds,
            )
        rate = learning_rate(progress.step - 1)
        val_loss, val_accuracy = _validate(runner, validation)
        if math.isnan(val_loss or 0.0):
            runner.take_back(1)
            raise _diverged(progress.step, rate)
        record = EpochRecord(
            epoch=epoch,
            step=progress.step,
            loss=progress.epoch_loss / progress.epoch_images,
            accuracy=progress.epoch_correct / progress.epoch_images,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=rate,
            images_per_s=progress.epoch_images / progress.epoch_seconds,
        )
        progress.end_epoch()
        yield record


def crop_steps(
    runner: MapsRunner | XlaMapsRunner,
    of_batch: Callable[[int], Crops],
    *,
    n_steps: int,
    optimizer: Optimizer,
    learning_rate: Callable[[int], float],
    label_smoothing: float = 0.0,
    clip_norm: float = 0.0,
    steps_done: int = 0,
) -> Iterator[CropsRecord]:
    """Train a finder and yield a record for every batch; ``of_batch`` gives the crops of a step.

    Both functions are given the number of steps done before. The runner is ready (``start_training``); to go on with a
    run it must hold the weights and moments of that moment, and the result is the same, bit for bit on processors with
    the same vector instructions, as if the run had never stopped. Gradients whose norm is longer are shortened to
    ``clip_norm``; 0 for never. Raises ``TrainingDivergedError`` as ``steps`` does.
    """
    runner.remember()
    for done in range(steps_done, n_steps):
        crops, rate = of_batch(done), learning_rate(done)
        began = time.perf_counter()
        step = optimizer.step(done + 1, rate)
        found = runner.train_batch(crops, np.arange(len(crops)), step, label_smoothing, clip_norm)
        if not (found.total <= _MOST_LOSS and runner.is_finite):
            # A bad loss is the fault of the batch before, bad weights are that of this one.
            runner.take_back(1 if found.total <= _MOST_LOSS else 2)
            raise _diverged(done + 1, rate)
        yield CropsRecord(
            step=done + 1,
            n_crops=len(crops),
            n_marks=found.n_marks,
            loss=found.total,
            centers=found.centers,
            classes=found.classes,
            places=found.places,
            accuracy=found.n_right / max(1, found.n_marks),
            learning_rate=rate,
            crops_per_s=len(crops) / max(time.perf_counter() - began, 1e-9),
        )


def crop_epochs(
    runner: MapsRunner | XlaMapsRunner,
    training: Crops,
    *,
    batch_size: int,
    epochs: int,
    optimizer: Optimizer,
    learning_rate: Callable[[int], float],
    shuffle: bool = True,
    seed: int = 0,
    label_smoothing: float = 0.0,
    validation: Crops | None = None,
) -> Iterator[StepRecord | EpochRecord]:
    """Train a finder on crops that stay the same, as ``steps`` trains on images; accuracies are those of the marks."""
    n_batches = -(-len(training) // batch_size)

    def of_batch(step: int) -> Crops:
        epoch, batch = divmod(step, n_batches)
        order = batch_order(len(training), epoch + 1, seed, shuffle)
        return training.take(order[batch * batch_size : (batch + 1) * batch_size])

    progress, n_marks = Progress(), 0
    for record in crop_steps(
        runner,
        of_batch,
        n_steps=epochs * n_batches,
        optimizer=optimizer,
        learning_rate=learning_rate,
        label_smoothing=label_smoothing,
    ):
        epoch, batch = divmod(record.step - 1, n_batches)
        seconds = record.n_crops / record.crops_per_s
        progress.add_batch(record.n_crops, record.loss, round(record.accuracy * record.n_marks), seconds)
        n_marks += record.n_marks
        yield StepRecord(
            step=record.step,
            epoch=epoch + 1,
            batch=batch + 1,
            n_images=record.n_crops,
            loss=record.loss,
            accuracy=record.accuracy,
            learning_rate=record.learning_rate,
            images_per_s=record.crops_per_s,
        )
        if batch + 1 == n_batches:
            seen = None if validation is None or not len(validation) else runner.losses(validation)
            yield EpochRecord(
                epoch=epoch + 1,
                step=record.step,
                loss=progress.epoch_loss / progress.epoch_images,
                accuracy=progress.epoch_correct / max(1, n_marks),
                val_loss=None if seen is None else seen.total,
                val_accuracy=None if seen is None else seen.n_right / max(1, seen.n_marks),
                learning_rate=record.learning_rate,
                images_per_s=progress.epoch_images / progress.epoch_seconds,
            )
            progress.end_epoch()
            n_marks = 0


def step_salt(seed: int, step: int) -> int:
    """Return the number of its own that dropout gets for the step after ``step`` others."""
    return int(np.random.SeedSequence(entropy=seed, spawn_key=(2, step)).generate_state(1)[0])


def _validate(runner: CpuRunner | XlaRunner, validation: LabelledImages | None) -> tuple[float | None, float | None]:
    if validation is None or len(validation) == 0:
        return None, None
    probabilities = runner.predict(validation.images)
    if not np.isfinite(probabilities).all():  # weights can be finite and their sums not
        return math.nan, math.nan
    return cross_entropy(probabilities, validation.labels), accuracy(validation.labels, probabilities.argmax(axis=1))
