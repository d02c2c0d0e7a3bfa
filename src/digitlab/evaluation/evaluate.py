"""How good a model is on one set of images, every figure from the same answers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import InputError
from digitlab.evaluation.coverage import THRESHOLDS, coverage_curve, refusal_among
from digitlab.metrics import (
    calibration_bins,
    class_numbers,
    confusion_matrix,
    cross_entropy,
    expected_calibration_error,
    precision_recall_f1,
    wilson_interval,
)
from digitlab.values import CLASS_NAMES, Calibration, ClassReport, Evaluation, Mistake

_MOST_LOOKED_AT = 2_000
#: A float32 softmax over ten classes sums to 1 within about 1e-6; more than this is a row of something else.
ROW_SUM_TOLERANCE = 1e-3


class Predictor(Protocol):
    """Anything that answers images with probabilities."""

    def predict(self, images: Any, /) -> Any:
        """Return float32 (n, n_classes), rows summing to 1, for images as `evaluate` was given them."""


def evaluate(
    model: Predictor,
    images: ArrayLike,
    labels: ArrayLike,
    *,
    class_names: Sequence[str] = CLASS_NAMES,
    n_mistakes: int = 20,
    n_bins: int = 15,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Evaluation:
    """Evaluate a model on labelled images with a single ``predict``.

    Accuracy, classes, confusion matrix, mistakes and calibration all come from the same answers, so they agree.

    Parameters
    ----------
    model : Predictor
        Has ``predict(images)``; it is called once, with ``images`` unchanged. A network of digitlab that answers them
        far better in another usual scale of pixels is warned of.
    images : uint8 (n, 28, 28), 0-255, or float32 (n, 28, 28, 1), [0, 1]
        Digits, ink bright on dark; ``n >= 1``. Or of another shape that the model takes.
    labels : integer (n,), 0 to n_classes - 1, or one-hot (n, n_classes)
        True classes in the order of the images.
    class_names : sequence of str
        One name a class; the position is the label.
    n_mistakes : int
        At most this many wrong answers are kept, the most confident first, ties in the order of the images.
    n_bins : int
        Bins of the calibration.
    thresholds : sequence of float
        Confidences, in [0, 1], from which on answers are given, for ``coverage``; see `coverage_curve`. A class called
        "Not a digit" refuses.

    Returns
    -------
    Evaluation
        Its ``loss`` is the mean categorical cross-entropy in nats.

    Raises
    ------
    InputError
        When there are no images, lengths or shapes do not match, or the answers are not probabilities.
    """
    names = tuple(class_names)
    if not names:
        raise InputError("class_names is empty; pass one name for each class, or leave it out for the ten digits.")
    if n_mistakes < 0:
        raise InputError(f"n_mistakes is {n_mistakes}; pass 0 or more.")
    digits = _checked_images(images)
    true = class_numbers(labels, len(names))
    if len(true) != len(digits):
        raise InputError(f"There are {len(digits)} images and {len(true)} labels; pass one label for each image.")
    found = evaluate_answers(
        model.predict(digits), true, class_names=names, n_mistakes=n_mistakes, n_bins=n_bins, thresholds=thresholds
    )
    _warn_of_scale(model, digits, true)
    return found


def evaluate_answers(
    answers: Any,
    labels: NDArray[np.integer],
    *,
    class_names: tuple[str, ...],
    n_mistakes: int = 20,
    n_bins: int = 15,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Evaluation:
    """Evaluate what a model has answered, (n, n_classes), to the images with these labels, (n,)."""
    probabilities = _checked_answers(answers, n_images=len(labels), n_classes=len(class_names))
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, len(class_names))
    bins = calibration_bins(probabilities, labels, n_bins)
    n_correct = int(matrix.trace())
    return Evaluation(
        n_images=len(labels),
        n_correct=n_correct,
        accuracy=n_correct / len(labels),
        interval=wilson_interval(n_correct, len(labels)),
        loss=cross_entropy(probabilities, labels),
        class_names=class_names,
        per_class=_class_reports(matrix, class_names),
        confusion_matrix=tuple(tuple(row) for row in matrix.tolist()),
        mistakes=_worst_mistakes(probabilities, labels, predicted, n_mistakes),
        calibration=Calibration(bins=bins, expected_calibration_error=expected_calibration_error(bins)),
        coverage=coverage_curve(probabilities, labels, thresholds, refusal=refusal_among(class_names)),
    )


def _class_reports(matrix: NDArray[np.int64], names: tuple[str, ...]) -> tuple[ClassReport, ...]:
    precision, recall, f1 = precision_recall_f1(matrix)
    reports = []
    for label, name in enumerate(names):
        n_images, n_correct = int(matrix[label].sum()), int(matrix[label, label])
        reports.append(
            ClassReport(
                label=label,
                name=name,
                n_images=n_images,
                n_correct=n_correct,
                accuracy=float(recall[label]),
                # Without an image nothing is known: the widest interval says so.
                interval=wilson_interval(n_correct, n_images) if n_images else (0.0, 1.0),
                precision=float(precision[label]),
                recall=float(recall[label]),
                f1=float(f1[label]),
            )
        )
    return tuple(reports)


def _worst_mistakes(
    probabilities: NDArray[np.float32], labels: NDArray[np.integer], predicted: NDArray[np.int64], n_mistakes: int
) -> tuple[Mistake, ...]:
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    # A stable sort keeps the order of the images where confidences are equal.
    worst = wrong[np.argsort(-confidence, kind="stable")][:n_mistakes]
    return tuple(
        Mistake(
            index=int(i),
            label=int(labels[i]),
            predicted=int(predicted[i]),
            confidence=float(probabilities[i, predicted[i]]),
            label_probability=float(probabilities[i, labels[i]]),
            probabilities=tuple(probabilities[i].tolist()),
        )
        for i in worst
    )


def _warn_of_scale(model: Any, images: NDArray[Any], labels: NDArray[np.int64]) -> None:
    """Warn where a network of digitlab answers far better with pixels in another scale than 0 to 1."""
    if not hasattr(model, "architecture") or images.size != len(images) * 28 * 28:
        return
    from digitlab.engine.models import scale_that_fits

    if images.dtype != np.uint8 and not 0 < images[:_MOST_LOOKED_AT].max() <= 1:
        return  # in a scale of its own already
    fit = scale_that_fits(model, images, labels)
    if fit is not None and not fit.scale.is_own:
        warnings.warn(
            f"{fit.reason[0].upper()}{fit.reason[1:]}, which {model.name} gets here. If it comes from a file: "
            f'load_model(..., pixels="{fit.scale.text}").',
            UserWarning,
            stacklevel=3,
        )


def _checked_images(images: ArrayLike) -> NDArray[Any]:
    digits = np.asarray(images)
    if digits.ndim == 0 or len(digits) == 0:
        raise InputError("There are no images to evaluate; pass at least one image with its label.")
    if digits.ndim == 1 or digits.shape in ((28, 28), (28, 28, 1)):
        raise InputError(
            f"images has shape {digits.shape}, but uint8 (n, 28, 28) or float32 (n, 28, 28, 1) is expected; "
            "put a single image into a batch with image[None]."
        )
    return digits


def _checked_answers(answers: Any, *, n_images: int, n_classes: int) -> NDArray[np.float32]:
    probabilities = np.asarray(answers, dtype=np.float32)
    if probabilities.shape != (n_images, n_classes):
        raise InputError(
            f"The model answered with shape {probabilities.shape}, but ({n_images}, {n_classes}) is expected; "
            "evaluate a network whose last layer has one unit for each class name."
        )
    if not np.isfinite(probabilities).all():
        n_bad = int(np.count_nonzero(~np.isfinite(probabilities).all(axis=1)))
        raise InputError(
            f"The model's answers for {n_bad} of {n_images} images are NaN or infinite: its weights have diverged. "
            "Train again with a smaller learning rate, or load another checkpoint."
        )
    sums = probabilities.sum(axis=1)
    if probabilities.min() < -ROW_SUM_TOLERANCE or np.abs(sums - 1).max() > ROW_SUM_TOLERANCE:
        raise InputError(
            f"The model's answers are not probabilities (the rows sum to {sums.min():.3g} to {sums.max():.3g}, "
            "not to 1); evaluate a network that ends in softmax."
        )
    return probabilities
