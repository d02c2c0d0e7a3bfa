"""Overlay: the curves of several runs over the images that each had seen, and what they were not trained alike in.

Batches and epochs of different runs are different amounts of learning; images seen are the same for all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from digitlab.errors import RunError
from digitlab.evaluation.alike import run_settings
from digitlab.runs.history import Record
from digitlab.runs.label import Label
from digitlab.runs.run import Run
from digitlab.values import StepRecord, Value

#: So many curves can still be told apart.
MOST_RUNS = 6

_NO_LABEL = Label()
_NO_SETTINGS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class CurvePoint(Value):
    """What a run was at after so many images, batches and epochs; fractions and nats, None where it does not say."""

    images: int
    batch: int
    epoch: int
    loss: float | None
    accuracy: float | None
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RunCurves:
    """How a run went: a point for every batch, and one for every epoch; and its settings by name."""

    name: str
    label: Label
    settings: Mapping[str, Any]
    batches: tuple[CurvePoint, ...]
    epochs: tuple[CurvePoint, ...]

    @property
    def title(self) -> str:
        """What people call it; its name where they call it nothing."""
        return self.label.title or self.name

    @property
    def n_images(self) -> int:
        """Images seen in all."""
        return max((points[-1].images for points in (self.batches, self.epochs) if points), default=0)

    def batch_at(self, images: float) -> CurvePoint | None:
        """Return its last batch when it had seen so many images."""
        return _at(self.batches, images)

    def epoch_at(self, images: float) -> CurvePoint | None:
        """Return its last whole epoch when it had seen so many images."""
        return _at(self.epochs, images)


def _at(points: Sequence[CurvePoint], images: float) -> CurvePoint | None:
    found = bisect_right(points, images, key=lambda point: point.images)
    return points[found - 1] if found else None


def read_curves(run: Run) -> RunCurves:
    """Read a run's history as curves; RunError if it is damaged, or tells of no batch."""
    curves = curves_of(run.name, run.history(), label=run.label, settings=run_settings(run))
    if not curves.batches:
        raise RunError(f"The run {run.name} tells of no batch, so that it has no curve. Choose another one.")
    return curves


def curves_of(
    name: str, history: Iterable[Record], *, label: Label = _NO_LABEL, settings: Mapping[str, Any] = _NO_SETTINGS
) -> RunCurves:
    """Return records as curves."""
    batches: list[CurvePoint] = []
    epochs: list[CurvePoint] = []
    seen = 0
    for record in history:
        if isinstance(record, StepRecord):
            seen += record.n_images
            batches.append(CurvePoint(seen, record.step, record.epoch, record.loss, record.accuracy))
        elif batches:
            figures = (record.loss, record.accuracy, record.val_loss, record.val_accuracy)
            epochs.append(CurvePoint(seen, record.step, record.epoch, *figures))
    return RunCurves(name, label, settings, tuple(batches), tuple(epochs))


class ImagesAxis:
    """The axis of batches, or of epochs, of a training: where on it so many images have been seen.

    ``n_images`` are those of an epoch, ``batch_size`` those of a batch, the last of an epoch may have fewer.
    """

    def __init__(self, n_images: int, batch_size: int, *, of_epochs: bool) -> None:
        self._n_images, self._batch_size, self._of_epochs = n_images, min(batch_size, n_images), of_epochs
        self._n_batches = -(-n_images // self._batch_size)

    def place(self, images: int) -> float:
        """Return the x at which so many images have been seen.

        >>> axis = ImagesAxis(100, 40, of_epochs=False)
        >>> [axis.place(images) for images in (40, 60, 80, 90, 100, 140)]
        [1.0, 1.5, 2.0, 2.5, 3.0, 4.0]
        """
        epochs, rest = divmod(images, self._n_images)
        if self._of_epochs:
            return images / self._n_images
        whole = (self._n_batches - 1) * self._batch_size
        part = (
            rest / self._batch_size
            if rest <= whole
            else self._n_batches - 1 + (rest - whole) / (self._n_images - whole)
        )
        return epochs * self._n_batches + part

    def images(self, x: float) -> float:
        """Return how many images have been seen at an x, the other way round."""
        if self._of_epochs:
            return x * self._n_images
        epochs, rest = divmod(x, self._n_batches)
        whole = self._n_batches - 1
        size = self._batch_size
        part = rest * size if rest <= whole else whole * size + (rest - whole) * (self._n_images - whole * size)
        return epochs * self._n_images + part
