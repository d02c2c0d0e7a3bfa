"""Practice: what a finder's session learns from, and the records of its steps and epochs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.crops import Crops
from digitlab.engine.drawing.sketching import Bank
from digitlab.engine.loop import Progress, crop_steps
from digitlab.network.architecture import Architecture
from digitlab.training.config import TrainConfig
from digitlab.training.finder_score import FinderScore, score_maps
from digitlab.training.fonts import find_fonts
from digitlab.training.nondigits import fonts_for
from digitlab.training.pages import compose
from digitlab.training.practice_bank import bank_digest, make_bank
from digitlab.values import FinderEpochRecord, StepRecord

__all__ = ["Practice", "gather_practice", "practice_steps", "score_finder"]

# Gradients longer than this are shortened: a crop full of one's first edges must not undo what was learned.
_CLIP_NORM = 5.0
_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Practice:
    """What a session of a finder works with.

    Attributes
    ----------
    training : PracticeCrops
        As many as an epoch has.
    validation : Crops or None
        Composed of the validation digits, once.
    of_epoch, nondigits : None, dict
        As in ``Material``: the bank's digest and its fonts stand there.
    """

    training: PracticeCrops
    validation: Crops | None
    nondigits: dict[str, Any]
    of_epoch: None = None


@dataclass(frozen=True, eq=False)
class PracticeCrops:
    """Crops that are composed when they are needed, ``n`` an epoch; the next epoch has others."""

    bank: Bank
    n: int
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return self.n

    def of_batch(self, step: int, threads: int | None = 1) -> Crops:
        """Return the crops of the step after ``step`` others."""
        epoch, batch = divmod(step, -(-self.n // self.batch_size))
        first = batch * self.batch_size
        n = min(self.batch_size, self.n - first)
        return compose(self.bank, n, seed=self.seed, first=epoch * self.n + first, threads=threads)


def gather_practice(config: TrainConfig, data: MnistData, architecture: Architecture) -> Practice:
    """Make the banks of training and validation, and the validation crops."""
    fonts = find_fonts()
    bank = make_bank(data.training, seed=config.seed, fonts=fonts, threads=config.threads)
    validation = None
    if config.validation_images:
        of_validation = make_bank(data.validation, seed=config.seed, fonts=fonts, threads=config.threads)
        validation = compose(of_validation, config.validation_images, seed=config.seed, threads=config.threads)
    nondigits = {
        "n_training": len(bank.images) - bank.n_digits,
        "digest": bank_digest(bank),
        "fonts": tuple(font.name for font in fonts_for(data.training, fonts)),
    }
    return Practice(PracticeCrops(bank, config.train_images, config.batch_size, config.seed), validation, nondigits)


def practice_steps(
    runner: MapsRunner,
    practice: Practice,
    config: TrainConfig,
    learning_rate: Callable[[int], float],
    progress: Progress,
) -> Generator[StepRecord | FinderEpochRecord, None, None]:
    """Train a finder, and yield a record for every batch and every epoch, as ``fitting.steps`` does.

    The crops of the next batch are composed while the engine learns from this one.
    """
    n_batches = -(-len(practice.training) // config.batch_size)
    n_steps = config.epochs * n_batches
    with ThreadPoolExecutor(1, "digitlab-composing") as composer:
        ahead: dict[int, Future[Crops]] = {}

        def of_batch(step: int) -> Crops:
            wanted = ahead.pop(step, None) or composer.submit(practice.training.of_batch, step)
            if step + 1 < n_steps:
                ahead[step + 1] = composer.submit(practice.training.of_batch, step + 1)
            return wanted.result()

        while progress.epochs_done < config.epochs:
            epoch = progress.epochs_done + 1
            for record in crop_steps(
                runner,
                of_batch,
                n_steps=epoch * n_batches,
                optimizer=config.build_optimizer(),
                learning_rate=learning_rate,
                label_smoothing=config.label_smoothing,
                clip_norm=_CLIP_NORM,
                steps_done=progress.step,
            ):
                n_right = round(record.accuracy * record.n_marks)
                progress.add_batch(record.n_crops, record.loss, n_right, record.n_crops / record.crops_per_s)
                progress.epoch_marks += record.n_marks
                yield StepRecord(
                    step=record.step,
                    epoch=epoch,
                    batch=record.step - (epoch - 1) * n_batches,
                    n_images=record.n_crops,
                    loss=record.loss,
                    accuracy=record.accuracy,
                    learning_rate=record.learning_rate,
                    images_per_s=record.crops_per_s,
                )
            yield _end_epoch(runner, practice.validation, progress, learning_rate(progress.step - 1))


def _end_epoch(
    runner: MapsRunner, validation: Crops | None, progress: Progress, learning_rate: float
) -> FinderEpochRecord:
    score, loss = FinderScore(0, 0, 0, 0, 0, 0), 0.0
    for k in range(0, 0 if validation is None else len(validation), _CHUNK):
        assert validation is not None  # or there would be no chunk
        some = validation.take(np.arange(k, min(k + _CHUNK, len(validation))))
        score += score_finder(runner.predict, some)
        losses = runner.losses(some)
        loss += losses.total * losses.n_marks
    record = FinderEpochRecord(
        epoch=progress.epochs_done + 1,
        step=progress.step,
        loss=progress.epoch_loss / progress.epoch_images,
        accuracy=progress.epoch_correct / max(1, progress.epoch_marks),
        val_loss=None if validation is None else loss / max(1, score.n_marks),
        val_accuracy=None if validation is None else score.found,
        learning_rate=learning_rate,
        images_per_s=progress.epoch_images / progress.epoch_seconds,
        n_marks=score.n_marks,
        n_missed=score.n_missed,
        n_wrong=score.n_wrong,
        n_extra=score.n_extra,
        n_crops=score.n_crops,
    )
    progress.end_epoch()
    return record


def score_finder(answer: Callable[[NDArray[np.float32]], NDArray[np.float32]], crops: Crops) -> FinderScore:
    """Compare a finder's answers to crops with their marks; ``answer`` gives the maps of one page."""
    return score_maps(np.stack([answer(image) for image in crops.images]), crops)
