"""How good a model is on one set of images, every figure from the same answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.data.mnist import MnistData
from digitlab.errors import InputError
from digitlab.metrics import (
    calibration_bins,
    class_numbers,
    confusion_matrix,
    cross_entropy,
    expected_calibration_error,
    precision_recall_f1,
    wilson_interval,
)
from digitlab.text import percent
from digitlab.values import CLASS_NAMES, Calibration, ClassReport, Evaluation, Mistake

if TYPE_CHECKING:
    from digitlab.engine.sequential import Sequential


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
) -> Evaluation:
    """Evaluate a model on labelled images with a single ``predict``.

    Accuracy, classes, confusion matrix, mistakes and calibration all come from the same answers, so they agree.

    Parameters
    ----------
    model : Predictor
        Has ``predict(images)``; it is called once, with ``images`` unchanged.
    images : uint8 (n, 28, 28), 0-255, or float32 (n, 28, 28, 1), [0, 1]
        Digits, ink bright on dark; ``n >= 1``.
    labels : integer (n,), 0 to n_classes - 1, or one-hot (n, n_classes)
        True classes in the order of the images.
    class_names : sequence of str
        One name a class; the position is the label.
    n_mistakes : int
        At most this many wrong answers are kept, the most confident first, ties in the order of the images.
    n_bins : int
        Bins of the calibration.

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
    return evaluate_answers(model.predict(digits), true, class_names=names, n_mistakes=n_mistakes, n_bins=n_bins)


def evaluate_answers(
    answers: Any, labels: NDArray[np.integer], *, class_names: tuple[str, ...], n_mistakes: int = 20, n_bins: int = 15
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


def _checked_images(images: ArrayLike) -> NDArray[Any]:
    digits = np.asarray(images)
    if digits.ndim == 0 or len(digits) == 0:
        raise InputError("There are no images to evaluate; pass at least one image with its label.")
    if digits.shape[1:] not in ((28, 28), (28, 28, 1)):
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


# ---- whether a network of somebody's own was trained with pixels in another scale than 0 to 1, which all get here ----

# Such a network answers without complaint, and wrongly; one that was trained with pixels from 0 to 255 can be wrong
# nine times in ten and sure of it. Its confidence tells nothing, so it is asked for digits whose labels are known, once
# in every usual scale.

#: Images that are asked for at most.
_MOST_IMAGES = 2_000

# What people say of it, and do with bytes; what that makes of a pixel of 0 to 1: times a, plus b.
_SCALES = (
    ("from 0 to 255", "images.astype('float32')", 255.0, 0.0),
    ("from -1 to 1", "images / 127.5 - 1", 2.0, -1.0),
    (
        "of mean 0 and deviation 1 (PyTorch's Normalize)",
        "(images / 255 - 0.1307) / 0.3081",
        1 / 0.3081,
        -0.1307 / 0.3081,
    ),
)
# Whoever answers so many of the first images rightly has the right scale; a look costs nothing then.
_FIRST, _GOOD = 200, 0.98
# Far better: at most this part of the mistakes, beyond chance (standard deviations of a fair coin), and more right than
# wrong at all: a network for other things than digits is none the better for any scale.
_MOST_MISTAKES, _LEAST_DEVIATIONS, _LEAST_ACCURACY = 0.7, 3.0, 0.5


def scale_warning(model: Sequential, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> str:
    """Return a sentence where another usual scale of pixels fits far better than 0 to 1; else an empty text.

    A network that does not answer images, uint8 (n, 28, 28), with one class each is passed over.
    """
    network = model.architecture
    if network.answers_maps or math.prod(network.input_shape) != math.prod(images.shape[1:]) or not len(images):
        return ""
    asked = copy(model)
    asked.forget_scale()  # or it would warn of the very scales that are tried here
    labels = labels[:_MOST_IMAGES]
    pixels = images[:_MOST_IMAGES].reshape(-1, *network.input_shape).astype(np.float32) / np.float32(255)

    def is_right(times: float, plus: float, n: int = _MOST_IMAGES) -> NDArray[np.bool_]:
        scaled = pixels[:n] * np.float32(times) + np.float32(plus)
        return np.asarray(asked.predict(scaled).argmax(axis=1) == labels[:n])

    if is_right(1.0, 0.0, _FIRST).mean() >= _GOOD:
        return ""
    now = is_right(1.0, 0.0)
    found = [(is_right(times, plus), words, code) for words, code, times, plus in _SCALES]
    then, words, code = max(found, key=lambda one: int(one[0].sum()))
    n_better, n_worse = int((then & ~now).sum()), int((now & ~then).sum())
    if (
        then.mean() < _LEAST_ACCURACY
        or (~then).sum() > _MOST_MISTAKES * (~now).sum()
        or n_better - n_worse < _LEAST_DEVIATIONS * math.sqrt(n_better + n_worse)
    ):
        return ""
    return (
        f"{model.name} was trained with pixels {words}, it seems: with those it answers {percent(then.mean(), 1)} of "
        f"{len(labels):,} images rightly, and {percent(now.mean(), 1)} with pixels from 0 to 1, which it gets here. In "
        f"Python, give it what it knows: digitlab.load_model(...).predict({_shaped(code, network.input_shape)}); or "
        "train it with images / 255."
    )


def scale_warning_on_mnist(model: Sequential) -> str:
    """Return ``scale_warning`` for MNIST's digits, where a network is one for digits and no images have labels."""
    if model.architecture.answers_maps or model.architecture.n_classes not in (len(CLASS_NAMES), len(CLASS_NAMES) + 1):
        return ""
    test = MnistData.load().test
    return scale_warning(model, test.images[:_MOST_IMAGES], test.labels[:_MOST_IMAGES])


def _shaped(code: str, shape: tuple[int | None, ...]) -> str:
    return code if len(shape) == 3 else f"({code}).reshape(-1, {shape[0]})"
