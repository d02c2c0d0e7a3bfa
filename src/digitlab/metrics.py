"""Figures of merit for a classifier: pure functions on NumPy arrays.

Labels and answers are integers from 0 to ``n_classes - 1``. Confusion matrices have true labels in the rows and
answers in the columns, as in scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import DataError, InputError
from digitlab.values import CalibrationBin

#: Keras' backend epsilon: probabilities are kept this far from 0 and 1 before the logarithm.
PROBABILITY_EPSILON = 1e-7

# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom, as far as they differ from those of many.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_FREEDOM = ((20, 2.086), (25, 2.060), (30, 2.042), (40, 2.021), (60, 2.000), (120, 1.980), (math.inf, 1.960))


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return the fraction of answers, integer (n,), n >= 1, that equal their label.

    >>> accuracy([7, 2, 1, 0], [7, 2, 1, 6])
    0.75
    """
    true, answers = _checked_pair(labels, predicted, n_classes=None)
    if true.size == 0:
        raise InputError("accuracy needs at least one label, but there are 0; pass the labels of one or more images.")
    return int(np.count_nonzero(true == answers)) / true.size


def wilson_interval(n_correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion, in [0, 1], at a two-sided coverage in (0, 1) (Wilson 1927).

    It keeps its coverage near 0 and 1, where a good digit reader lives and where the textbook interval "p plus or minus
    1.96 standard errors" does not.

    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22, 209-212.
    R. G. Newcombe (1998), "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17,
    857-872, method 3.

    >>> low, high = wilson_interval(81, 263)
    >>> f"{low:.4f} {high:.4f}"
    '0.2553 0.3662'
    """
    if n < 1 or not 0 <= n_correct <= n:
        raise InputError(
            f"wilson_interval was given {n_correct} right answers of {n}; it needs 0 <= n_correct <= n and n >= 1. "
            "Count the right answers and all answers of the same images."
        )
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence is {confidence}; it must lie between 0 and 1, for example 0.95.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = n_correct / n
    scale = 1 / (1 + z * z / n)
    center = scale * (p + z * z / (2 * n))
    half_width = scale * z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # The bounds are exactly 0 and 1 at the ends; floating-point subtraction would leave about 1e-17.
    low = 0.0 if n_correct == 0 else max(0.0, center - half_width)
    high = 1.0 if n_correct == n else min(1.0, center + half_width)
    return low, high


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean of shares, 0-1, by Student's t (1908); None for fewer than two values.

    >>> low, high = mean_interval([0.98, 0.99, 0.985, 0.987])
    >>> f"{low:.4f} {high:.4f}"
    '0.9788 0.9922'
    """
    if len(values) < 2:
        return None
    n = len(values) - 1
    t = _STUDENT[n - 1] if n <= len(_STUDENT) else next(t for most, t in _FREEDOM if n <= most)
    center = fmean(values)
    half = t * stdev(values) / math.sqrt(len(values))
    return max(0.0, center - half), min(1.0, center + half)


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, n_classes: int = 10) -> NDArray[np.int64]:
    """Count how often each label got each answer: int64 (n_classes, n_classes), rows are labels, columns answers.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], n_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    if n_classes < 1:
        raise InputError(f"n_classes is {n_classes}; pass the number of classes, 10 for digits.")
    true, answers = _checked_pair(labels, predicted, n_classes)
    counts = np.bincount(true * n_classes + answers, minlength=n_classes * n_classes)
    return counts.astype(np.int64).reshape(n_classes, n_classes)


def precision_recall_f1(
    matrix: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each class's precision, recall and F1, float64 (n_classes,), from a confusion matrix.

    They are 0 where a quotient is undefined, as with scikit-learn's ``zero_division=0``.

    >>> [figure.tolist() for figure in precision_recall_f1([[1, 1], [0, 2]])]
    [[1.0, 0.6666666666666666], [0.5, 1.0], [0.6666666666666666, 0.8]]
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts < 0).any():
        raise InputError(
            f"A confusion matrix is square with counts of 0 or more, but this one has shape {counts.shape}; "
            "make it with confusion_matrix(labels, predicted)."
        )
    right = counts.diagonal()
    n_true, n_answered = counts.sum(axis=1), counts.sum(axis=0)
    return _ratio(right, n_answered), _ratio(right, n_true), _ratio(2 * right, n_true + n_answered)


def cross_entropy(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean categorical cross-entropy in nats of float (n, n_classes), n >= 1, rows summing to 1.

    Computed in float64 with the probabilities clipped to [1e-7, 1 - 1e-7], the clipping of Keras'
    ``categorical_crossentropy``: one answer that gives its label no chance costs 16.1 nats and not infinity.

    >>> round(cross_entropy([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 4)
    0.4904
    """
    rows, true = checked_probabilities(probabilities, labels)
    chosen = rows[np.arange(true.size), true]
    return float(-np.log(np.clip(chosen, PROBABILITY_EPSILON, 1 - PROBABILITY_EPSILON)).mean())


def calibration_bins(probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15) -> tuple[CalibrationBin, ...]:
    """Group answers by confidence, the largest probability of a row, and compare it with accuracy.

    The bins have equal width over (0, 1], each ``(low, high]``; 15 are the literature's habit (C. Guo, G. Pleiss,
    Y. Sun and K. Q. Weinberger (2017), "On calibration of modern neural networks", ICML, section 2).

    >>> [(b.n_images, b.accuracy) for b in calibration_bins([[0.4, 0.6], [0.1, 0.9]], [0, 1], n_bins=2)]
    [(0, 0.0), (2, 0.5)]
    """
    if n_bins < 1:
        raise InputError(f"n_bins is {n_bins}; a calibration needs at least one bin, 15 is usual.")
    rows, true = checked_probabilities(probabilities, labels)
    confidence = rows.max(axis=1)
    right = rows.argmax(axis=1) == true
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    # side="left" makes the bins (low, high]. A softmax may exceed 1 by rounding, hence the upper clip.
    bin_of = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    n_images = np.bincount(bin_of, minlength=n_bins)
    mean_confidence = _ratio(np.bincount(bin_of, weights=confidence, minlength=n_bins), n_images)
    bin_accuracy = _ratio(np.bincount(bin_of, weights=right, minlength=n_bins), n_images)
    return tuple(
        CalibrationBin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            n_images=int(n_images[i]),
            confidence=float(mean_confidence[i]),
            accuracy=float(bin_accuracy[i]),
        )
        for i in range(n_bins)
    )


def expected_calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Return the mean gap between accuracy and confidence, weighted by images, in [0, 1].

    M. P. Naeini, G. F. Cooper and M. Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
    binning", AAAI.

    >>> round(expected_calibration_error(calibration_bins([[0.2, 0.8], [0.2, 0.8]], [1, 0])), 6)
    0.3
    """
    n_images = sum(b.n_images for b in bins)
    if n_images == 0:
        raise InputError("The calibration bins hold no images; make them from at least one answer.")
    return math.fsum(b.n_images * abs(b.accuracy - b.confidence) for b in bins) / n_images


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    numerator = np.asarray(part, dtype=np.float64)
    denominator = np.asarray(whole, dtype=np.float64)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def class_numbers(values: ArrayLike, n_classes: int | None = None, name: str = "labels") -> NDArray[np.int64]:
    """Return labels as class numbers, int64 ``(n,)``.

    Columns ``(n, 1)`` and floats that are whole are taken; where there are ``n_classes``, one-hot rows, too.

    >>> class_numbers([[3.0], [1.0]], 10)
    array([3, 1])
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} are rows of different lengths; pass one class number for each image.") from None
    if array.dtype.kind in "OSU" and array.size:
        array = _as_numbers(array, name)
    if array.ndim == 2 and array.shape[1] == n_classes != 1 and np.isin(array, (0, 1)).all():
        array = array.argmax(axis=1) if (array.sum(axis=1) == 1).all() else array
    elif array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        or_one_hot = f"; or one-hot rows of {n_classes} with a single 1" if n_classes is not None else ""
        raise DataError(
            f"{name} has shape {array.shape}, but one class number for each image is expected, (n,){or_one_hot}; "
            "turn rows into numbers with .argmax(axis=1)."
        )
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    allowed = "0 or more" if n_classes is None else f"0 to {n_classes - 1}"
    if np.issubdtype(array.dtype, np.floating):
        wrong = np.flatnonzero(~((array >= 0) & (array < 2.0**53) & (array == np.floor(array))))
    elif np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        wrong = np.flatnonzero(array < 0)
    else:
        raise DataError(f"{name} has dtype {array.dtype}, but class numbers are integers; convert with .astype(int).")
    if n_classes is not None and not len(wrong):
        wrong = np.flatnonzero(array >= n_classes)
    if len(wrong):
        raise DataError(
            f"{name} holds {array[wrong[0]]} at position {wrong[0]}, but class numbers are {allowed}; correct it, or "
            "name all classes."
        )
    return array.astype(np.int64)


def _as_numbers(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return an array of Python's objects, of a frame's column say, as numbers; texts are told what to do."""
    found = next((one for one in array.flat if isinstance(one, str | bytes)), None)
    try:
        if found is None:
            return array.astype(np.float64)
    except (ValueError, TypeError):
        found = next(one for one in array.flat if not isinstance(one, int | float | np.number))
    raise DataError(
        f"{name} holds {str(found)!r:.40}, but class numbers are expected. Texts of digits become numbers with "
        ".astype(int), and names with np.unique(names, return_inverse=True); digitlab.DigitClassifier takes names."
    )


def _checked_pair(
    labels: ArrayLike, predicted: ArrayLike, n_classes: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    true = class_numbers(labels, n_classes)
    answers = class_numbers(predicted, n_classes, "predicted")
    if true.size != answers.size:
        raise InputError(
            f"There are {true.size} labels and {answers.size} answers; pass one answer for each label, in its order."
        )
    return true, answers


def checked_probabilities(probabilities: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities, float64 (n, n_classes), n >= 1, and labels, int64 (n,); an InputError for anything else."""
    rows = np.asarray(probabilities, dtype=np.float64)
    if rows.ndim != 2 or rows.size == 0:
        raise InputError(
            f"probabilities has shape {rows.shape}, but (n, n_classes) with n >= 1 is expected; "
            "pass what model.predict returns for one or more images."
        )
    if not np.isfinite(rows).all():
        raise InputError(
            "probabilities holds NaN or infinite values; the model's weights have diverged, "
            "so train again with a smaller learning rate."
        )
    true = class_numbers(labels, rows.shape[1])
    if true.size != rows.shape[0]:
        raise InputError(
            f"There are {true.size} labels and {rows.shape[0]} rows of probabilities; pass one label for each row."
        )
    return rows, true
