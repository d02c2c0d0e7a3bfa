"""Training a finder on practice crops, and how well it finds: its maps compared with the marks of other crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.crops import (
    CENTERS,
    DIGITS,
    IGNORED,
    PLACES,
    PRIOR_LOGIT,
    SEPARATOR_MAPS,
    SIZES,
    STRIDE,
    USUAL_PX,
    Crops,
)
from digitlab.engine.loop import Progress, crop_steps
from digitlab.training.config import TrainConfig
from digitlab.training.material import Practice, composed_ahead
from digitlab.values import FinderEpochRecord, StepRecord

if TYPE_CHECKING:
    from digitlab.engine.xla.maps_runner import XlaMapsRunner

# Gradients longer than this are shortened: a crop full of one's first edges must not undo what was learned.
_CLIP_NORM = 5.0
_CHUNK = 32
# A centre is taken where its probability is above this.
_THRESHOLD = 0.3
_SEPARATOR = 10


def practice_steps(
    runner: MapsRunner | XlaMapsRunner,
    practice: Practice,
    config: TrainConfig,
    learning_rate: Callable[[int], float],
    progress: Progress,
) -> Iterator[StepRecord | FinderEpochRecord]:
    """Train a finder, and yield a record for every batch and every epoch, as ``fitting.steps`` does.

    The crops of the next batch are composed while the engine learns from this one.
    """
    n_batches = -(-len(practice.training) // config.batch_size)
    with ThreadPoolExecutor(1, "digitlab-composing") as composer:
        of_batch = composed_ahead(composer, practice.training.of_batch, config.epochs * n_batches)
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
    runner: MapsRunner | XlaMapsRunner, validation: Crops | None, progress: Progress, learning_rate: float
) -> FinderEpochRecord:
    score, loss = FinderScore(0, 0, 0, 0, 0, 0), 0.0
    for k in range(0, 0 if validation is None else len(validation), _CHUNK):
        assert validation is not None  # or there would be no chunk
        some = validation.take(np.arange(k, min(k + _CHUNK, len(validation))))
        score += score_maps(np.stack([runner.predict(image) for image in some.images]), some)
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


@dataclass(frozen=True)
class FinderScore:
    """What became of the marks of some crops."""

    n_marks: int  # digits and separators that were there
    n_found: int  # those with a peak nearer than half their size
    n_missed: int  # those without
    n_wrong: int  # those found of which the label is not the mark's
    n_extra: int  # peaks where no mark is, nor anything that is ignored
    n_crops: int

    @property
    def found(self) -> float:
        """Share of the marks that were found with their own label, 0-1; 1 where there are none."""
        return (self.n_found - self.n_wrong) / self.n_marks if self.n_marks else 1.0

    def __add__(self, other: FinderScore) -> FinderScore:
        return FinderScore(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        n = max(1, self.n_marks)
        return (
            f"found {self.n_found / n:.1%}, missed {self.n_missed / n:.1%}, wrong {self.n_wrong / n:.2%}, "
            f"extra {self.n_extra / max(1, self.n_crops):.3f} a crop"
        )


@dataclass(frozen=True, eq=False)
class Peaks:
    """Local maxima of the maps of centres of one crop."""

    boxes: NDArray[np.float32]  # (n, 4): left, top, right, bottom, in pixels of the crop
    labels: NDArray[np.int64]  # (n,): 0-9, and 10 and on for separators
    probabilities: NDArray[np.float32]  # (n,): that there is a centre


def find_peaks(maps: NDArray[np.float32]) -> Peaks:
    """Return the local maxima of a finder's answer, float32 (h, w, N_MAPS), surest first."""
    centers = 1 / (1 + np.exp(-np.clip(maps[..., CENTERS] + PRIOR_LOGIT, -30, 30)))
    padded = np.pad(centers, ((1, 1), (1, 1), (0, 0)))
    height, width = centers.shape[:2]
    around = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    rows, columns, kinds = np.nonzero((centers >= np.max(around, axis=0)) & (centers > _THRESHOLD))
    at = maps[rows, columns]
    labels = np.where(
        kinds == 0, at[:, DIGITS].argmax(1), _SEPARATOR + at[:, SEPARATOR_MAPS].argmax(1) if len(at) else 0
    )
    middle = (np.stack([columns, rows], 1) + 0.5 + at[:, PLACES]) * STRIDE
    half = np.exp(np.clip(at[:, SIZES], -4, 4)) * USUAL_PX / 2
    probabilities = centers[rows, columns, kinds]
    order = np.argsort(-probabilities, kind="stable")
    boxes = np.concatenate([middle - half, middle + half], 1)[order]
    return Peaks(boxes.astype(np.float32), labels[order].astype(np.int64), probabilities[order].astype(np.float32))


def score_maps(maps: NDArray[np.float32], crops: Crops) -> FinderScore:
    """Compare a finder's answers, float32 (n, h, w, N_MAPS), with the marks of the crops."""
    n_marks = n_found = n_wrong = n_extra = 0
    for i in range(len(crops)):
        peaks = find_peaks(maps[i])
        boxes, labels = (a[crops.starts[i] : crops.starts[i + 1]] for a in (crops.boxes, crops.labels))
        is_mark = labels != IGNORED
        n_marks += int(is_mark.sum())
        taken = np.zeros(len(labels), bool)
        middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, np.max(boxes[:, 2:] - boxes[:, :2], axis=1, initial=0)
        # A dot's centre need not be hit to the pixel.
        reach = np.maximum(sizes / 2, STRIDE)
        for box, label in zip(peaks.boxes, peaks.labels, strict=True):
            distance = np.hypot(*((box[:2] + box[2:]) / 2 - middles).T)
            is_near = distance < reach
            free = is_near & is_mark & ~taken & ((labels >= _SEPARATOR) == (label >= _SEPARATOR))
            if free.any():
                k = int(np.where(free, distance, np.inf).argmin())
                taken[k] = True
                n_found += 1
                n_wrong += int(labels[k] != label)
            elif not (is_near & ~is_mark).any():
                n_extra += 1
    return FinderScore(n_marks, n_found, n_marks - n_found, n_wrong, n_extra, len(crops))
