"""The frozen results that travel between the layers, each with one JSON form.

The terminal's ``--json``, the HTTP body and the files of a run directory are all
``value.to_dict()``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from digitlab.errors import InputError
from digitlab.text import percent

#: The ten classes as the codelab names them; the position is the label.
CLASS_NAMES = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

#: The eleventh class of a network that may also answer that there is no digit.
NOT_A_DIGIT = "Not a digit"


def usual_names(n: int) -> tuple[str, ...]:
    """Return what ``n`` classes are called where nobody says: digits, with or without ``NOT_A_DIGIT``, or numbers."""
    names = (*CLASS_NAMES, NOT_A_DIGIT)
    return names[:n] if n in (len(CLASS_NAMES), len(names)) else tuple(map(str, range(n)))


def _plain(value: Any) -> Any:
    if isinstance(value, float | str):
        return value  # most of them, and they need no further questions
    if isinstance(value, Value):
        return value.to_dict()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@dataclass(frozen=True, slots=True)
class Value:
    """A frozen result whose fields are numbers, strings, tuples or other values."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types, nested values included."""
        kind: Any = type(self)
        return {name: _plain(getattr(self, name)) for name in _names(kind)}

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # Readings come from other processes; this takes half the time of what dataclasses bring.
        kind: Any = type(self)
        return kind, tuple([getattr(self, name) for name in _names(kind)])


@dataclass(frozen=True, slots=True)
class StepRecord(Value):
    """One optimizer step: what happened on one batch, ``n_images`` long, the ``batch``-th of its epoch, both from 1.

    ``step`` counts within the run, from 1. ``loss`` (mean cross-entropy, nats) and ``accuracy`` are from before it.
    """

    step: int
    epoch: int
    batch: int
    n_images: int
    loss: float
    accuracy: float
    learning_rate: float
    images_per_s: float


@dataclass(frozen=True, slots=True)
class RateChange(Value):
    """A learning rate that was set while training, after ``step`` steps; the peak, where there is a schedule."""

    step: int
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Resumption(Value):
    """A training that was stopped after ``step`` optimizer steps went on from there."""

    step: int


@dataclass(frozen=True, slots=True)
class CropsRecord(Value):
    """One optimizer step of a finder: what happened on one batch of crops, with ``n_marks`` to learn in them.

    ``loss`` is the sum of three, before the step: focal loss of the heat maps (``centers``), cross-entropy at the marks
    in nats (``classes``), errors of place and size (``places``); each by the mark. ``accuracy`` is the fraction of the
    marks called rightly, 0 where there are none.
    """

    step: int
    n_crops: int
    n_marks: int
    loss: float
    centers: float
    classes: float
    places: float
    accuracy: float
    learning_rate: float
    crops_per_s: float


@dataclass(frozen=True, slots=True)
class EpochRecord(Value):
    """One pass over the training images; ``step`` counts the optimizer steps done at its end.

    ``loss`` and ``accuracy`` are means over the epoch's images, each from before its batch's step; ``val_loss`` and
    ``val_accuracy`` are of the weights at the epoch's end, None without validation images. ``learning_rate`` is that of
    the last step, ``images_per_s`` counts the seconds spent on training only.
    """

    epoch: int
    step: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float
    images_per_s: float

    def line(self, n_epochs: int) -> str:
        """Return it in one line of text: its number of ``n_epochs``, losses in nats, accuracies and speed.

        >>> EpochRecord(2, 22, 1.99, 0.357, 1.7639, 0.696, 0.001, 102_444.0).line(10)
        'Epoch  2/10  loss 1.9900  accuracy 35.70 %  val_loss 1.7639  val_accuracy 69.60 %  102,444 images/s'
        """
        return "  ".join([*self._told(n_epochs), f"{self.images_per_s:,.0f} images/s"])

    def _told(self, n_epochs: int) -> list[str]:
        parts = [
            f"Epoch {self.epoch:>{len(str(n_epochs))}}/{n_epochs}",
            f"loss {self.loss:.4f}",
            f"accuracy {percent(self.accuracy)}",
        ]
        if self.val_loss is not None and self.val_accuracy is not None:
            parts += [f"val_loss {self.val_loss:.4f}", f"val_accuracy {percent(self.val_accuracy)}"]
        return parts


@dataclass(frozen=True, slots=True)
class FinderEpochRecord(EpochRecord):
    """One epoch of a finder: its images are crops, its accuracies the share of their marks.

    Of the ``n_crops`` validation crops: marks that are there, those without a centre nearby, those called by another's
    name, and centres where nothing is.
    """

    n_marks: int
    n_missed: int
    n_wrong: int
    n_extra: int
    n_crops: int

    def line(self, n_epochs: int) -> str:
        """Return it in one line of text, with the shares of the marks that were missed and called wrongly."""
        n = max(1, self.n_marks)
        parts = [
            *self._told(n_epochs),
            f"missed {percent(self.n_missed / n)}",
            f"wrong {percent(self.n_wrong / n)}",
            f"extra {self.n_extra / max(1, self.n_crops):.3f} a crop",
            f"{self.images_per_s:,.0f} crops/s",
        ]
        return "  ".join(parts)


@dataclass(frozen=True, slots=True)
class Prediction(Value):
    """The answer for one image.

    Attributes
    ----------
    source : str
        Where the image came from, for people: a file name, or ``file#index``.
    label : int
        The most probable class.
    confidence : float
        Its probability, in [0, 1].
    probabilities : tuple of float
        One a class; they sum to 1.
    """

    source: str
    label: int
    confidence: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ClassReport(Value):
    """How one class fared.

    ``accuracy`` is the fraction of this class's images that were answered rightly (which is the class's recall);
    ``precision`` the fraction of the answers with this class that were right, 0 when there was no such answer;
    ``f1`` their harmonic mean. ``interval`` is the 95 % Wilson interval of ``accuracy``.
    """

    label: int
    name: str
    n_images: int
    n_correct: int
    accuracy: float
    interval: tuple[float, float]
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Mistake(Value):
    """An image that was answered wrongly; ``index`` counts within the evaluated images, from 0."""

    index: int
    label: int
    predicted: int
    confidence: float
    label_probability: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CalibrationBin(Value):
    """The answers whose confidence lies in (low, high]; means are 0 in an empty bin."""

    low: float
    high: float
    n_images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration(Value):
    """Whether "90 % sure" is right nine times out of ten.

    ``expected_calibration_error`` is the mean of |accuracy - confidence| over the bins, weighted by their images
    (Naeini, Cooper and Hauskrecht 2015).
    """

    bins: tuple[CalibrationBin, ...]
    expected_calibration_error: float


@dataclass(frozen=True, slots=True)
class CoveragePoint(Value):
    """What becomes of the images when only answers with a confidence of ``threshold`` or more are given.

    ``n_answered`` are, ``n_correct`` of them rightly; the others are refused. ``coverage`` is the fraction answered,
    ``accuracy`` that of the answered that is right, None where nothing is answered.
    """

    threshold: float
    n_answered: int
    n_correct: int
    coverage: float
    accuracy: float | None

    @property
    def n_wrong(self) -> int:
        """Mistakes that remain."""
        return self.n_answered - self.n_correct


@dataclass(frozen=True, slots=True)
class CoverageCurve(Value):
    """Accuracy over coverage: how much more often the answers are right that remain when unsure ones are refused.

    Attributes
    ----------
    n_images, n_answers, n_correct : int
        Images; answers to them at a threshold of 0, all but those that are refusals themselves; and how many are right.
    points : tuple of CoveragePoint
        By rising threshold.
    area : float
        Area under the risk-coverage curve: the error rate of the surest k answers, averaged over every k; equally sure
        answers count as in any order. Smaller is better; refusing at random gives the error rate of all. In [0, 1].
    """

    n_images: int
    n_answers: int
    n_correct: int
    points: tuple[CoveragePoint, ...]
    area: float

    def at(self, threshold: float) -> CoveragePoint:
        """Return the point of a threshold, one of those that the curve was made with."""
        for point in self.points:
            if point.threshold == threshold:
                return point
        raise InputError(
            f"The curve has no point at {threshold}; ask for it: coverage_curve(probabilities, labels, [{threshold}])."
        )


@dataclass(frozen=True, slots=True)
class Evaluation(Value):
    """How good a model is on one set of images; every figure is from the same images.

    Attributes
    ----------
    n_images, n_correct : int
        Images evaluated and answered rightly.
    accuracy : float
        ``n_correct / n_images``.
    interval : tuple of float
        95 % Wilson interval of the accuracy.
    loss : float
        Mean categorical cross-entropy in nats.
    class_names : tuple of str
        The position is the label.
    per_class : tuple of ClassReport
        One a class, in the order of the labels.
    confusion_matrix : tuple of tuple of int
        Rows are true labels, columns predicted ones.
    mistakes : tuple of Mistake
        The most confident wrong answers, most confident first.
    calibration : Calibration
        Confidence against accuracy.
    coverage : CoverageCurve
        Accuracy of the answers that are sure enough, at several thresholds.
    """

    n_images: int
    n_correct: int
    accuracy: float
    interval: tuple[float, float]
    loss: float
    class_names: tuple[str, ...]
    per_class: tuple[ClassReport, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    mistakes: tuple[Mistake, ...]
    calibration: Calibration
    coverage: CoverageCurve

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"<Evaluation: accuracy {percent(self.accuracy)} ({percent(low)} to {percent(high)}), "
            f"{self.n_correct:,} of {self.n_images:,} images, loss {self.loss:.4f}>"
        )

    def _repr_html_(self) -> str:
        from digitlab.notebook import evaluation_html

        return evaluation_html(self)
