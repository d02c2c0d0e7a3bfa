"""Coverage: what refusing unsure answers gains, and what it costs.

A classifier that may refuse is given a threshold: it answers where it is at least so sure. The higher the threshold,
the less is answered (coverage) and the more of that is right (accuracy).

Y. Geifman and R. El-Yaniv (2017), "Selective classification for deep neural networks", NeurIPS. The area under the
curve: Y. Geifman, G. Uziel and R. El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural classifiers",
ICLR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import InputError
from digitlab.metrics import checked_probabilities
from digitlab.svg import IN_PAGE, PALETTE, Axis, chart, grid, legend, marker, nice_axis
from digitlab.text import percent
from digitlab.values import NOT_A_DIGIT, CoverageCurve, CoveragePoint

#: Thresholds that an evaluation tells: close together where well-trained networks have most of their answers.
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
# The smallest part of the accuracy's axis, so that nothing looks steep that is flat.
_LEAST_SPAN = 0.02


def coverage_curve(
    probabilities: ArrayLike, labels: ArrayLike, thresholds: Sequence[float] = THRESHOLDS, *, refusal: int | None = None
) -> CoverageCurve:
    """Tell how accurate the answers are that are sure enough.

    Parameters
    ----------
    probabilities : float (n, n_classes), n >= 1, rows summing to 1
        As ``predict`` returns them. The confidence of an answer is its row's largest.
    labels : integer (n,), 0 to n_classes - 1, or one-hot (n, n_classes)
        True classes in the same order.
    thresholds : sequence of float
        Each in [0, 1]: an answer is given where its confidence is at least that.
    refusal : int, optional
        A class whose answer is itself a refusal at every threshold, such as 10 of a network that knows "Not a digit".

    Returns
    -------
    CoverageCurve
        One point a threshold, and the area under the risk-coverage curve.

    Raises
    ------
    InputError
        If these are no probabilities, there is none, or a threshold is not in [0, 1].

    Examples
    --------
    >>> answers = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]
    >>> curve = coverage_curve(answers, [0, 0, 1, 1], [0.0, 0.7])
    >>> [(p.n_answered, p.n_correct, p.coverage, p.accuracy) for p in curve.points]
    [(4, 3, 1.0, 0.75), (3, 3, 0.75, 1.0)]
    """
    rows, true = checked_probabilities(probabilities, labels)
    predicted = rows.argmax(axis=1)
    answers = np.ones(len(true), bool) if refusal is None else predicted != refusal
    confidence, is_right = rows.max(axis=1), predicted == true
    return curve_of(confidence[answers], is_right[answers], len(true), thresholds)


def curve_of(
    confidence: NDArray[np.float64], is_right: NDArray[np.bool_], n_images: int, thresholds: Sequence[float]
) -> CoverageCurve:
    """Return the curve of answers, (n,) each, of ``n_images``; images beyond the answers are refused at any threshold.

    Whether an answer ``is_right`` belongs to its confidence.
    """
    wanted = sorted(set(map(float, thresholds)))
    for threshold in wanted:
        if not 0 <= threshold <= 1:
            raise InputError(f"The threshold is {threshold}; it is a confidence, from 0 to 1. Try 0.9.")
    order = np.argsort(confidence, kind="stable")
    # How many of the answers from a place on are right; none behind the last.
    right_from = np.append(np.cumsum(is_right[order][::-1])[::-1], 0)
    points = []
    for threshold, first in zip(wanted, np.searchsorted(confidence[order], wanted), strict=True):
        n, n_correct = len(confidence) - int(first), int(right_from[first])
        points.append(CoveragePoint(threshold, n, n_correct, n / n_images, n_correct / n if n else None))
    return CoverageCurve(n_images, len(confidence), int(is_right.sum()), tuple(points), _area(confidence, is_right))


def refusal_among(class_names: Sequence[str]) -> int | None:
    """Return the number of the class whose answer is a refusal, or None where there is none.

    >>> refusal_among(("Zero", "One", "Not a digit"))
    2
    """
    return class_names.index(NOT_A_DIGIT) if NOT_A_DIGIT in class_names else None


def threshold_text(threshold: float) -> str:
    """Return a threshold for people.

    >>> threshold_text(0.9), threshold_text(0.995), threshold_text(0.99999)
    ('90 %', '99.5 %', '99.999 %')
    """
    return f"{round(100 * threshold, 6):g} %"


def coverage_sentence(curve: CoverageCurve, point: CoveragePoint) -> str:
    """Say what becomes of the images at a point of a curve.

    >>> curve = coverage_curve([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [0, 0, 1], [0.0, 0.7, 1.0])
    >>> coverage_sentence(curve, curve.points[1])
    'At 70 % it answers 2 of 3 images and is right on 2 of them (100 %). Of the 1 that it refuses, 0 would be right.'
    >>> coverage_sentence(curve, curve.points[2])
    'At 100 % it answers none of 3 images.'
    """
    at = f"At {threshold_text(point.threshold)} it answers"
    n_refused = curve.n_images - point.n_answered
    if point.accuracy is None:
        return f"{at} none of {curve.n_images:,} images."
    answered = "all" if not n_refused else f"{point.n_answered:,} of"
    told = f"{at} {answered} {curve.n_images:,} images and is right on {point.n_correct:,} of them"
    told = f"{told} ({percent(point.accuracy)})."
    if not n_refused:
        return told
    return f"{told} Of the {n_refused:,} that it refuses, {curve.n_correct - point.n_correct:,} would be right."


def area_sentence(curve: CoverageCurve) -> str:
    """Tell the area under the risk-coverage curve, beside what it would be if confidence told nothing.

    >>> area_sentence(coverage_curve([[0.9, 0.1], [0.4, 0.6]], [0, 0]))
    'The area under the risk-coverage curve is 0.2500; if confidence told nothing, it would be 0.5000.'
    """
    at_random = 1 - curve.n_correct / curve.n_answers if curve.n_answers else 0.0
    return (
        f"The area under the risk-coverage curve is {curve.area:.4f}; if confidence told nothing, it would be "
        f"{at_random:.4f}."
    )


# ---- the picture ----


def coverage_axes(curve: CoverageCurve) -> tuple[Axis, Axis]:
    """Return where coverage and accuracy lie in the chart, both in percent."""
    known = [100 * point.accuracy for point in curve.points if point.accuracy is not None]
    low = min([*known, 100 - 100 * _LEAST_SPAN])
    step = 10 if low < 80 else 5 if low < 90 else 1
    across = nice_axis((0.0, 100.0), IN_PAGE.left, IN_PAGE.right)
    return across, nice_axis((float(step * math.floor(low / step)), 100.0), IN_PAGE.bottom, _TOP)


_TOP = 53  # below one row of the legend


def coverage_chart(curve: CoverageCurve, *, title: str = "Coverage and accuracy") -> str:
    """Draw the accuracy of what is answered over how much that is, within a page.

    The dashed line is the accuracy of all: where the curve would be if confidence told nothing.
    """
    frame, color = IN_PAGE, PALETTE[0]
    x_axis, y_axis = coverage_axes(curve)
    flat = f'fill="none" stroke="{PALETTE[1]}" stroke-width="1.5" stroke-dasharray="2 5" stroke-linecap="round"'

    def line(x: float, y: float) -> str:
        return f'<path class="series series-0" d="M{x} {y}h22" fill="none" stroke="{color}" stroke-width="2"/>'

    def dashed(x: float, y: float) -> str:
        return f'<path class="diagonal" d="M{x} {y}h22" {flat}/>'

    drawn_legend, _ = legend(frame, [("the surest", line), ("refused at random", dashed)])
    body = [grid(frame, x_axis, y_axis, "Answered, in %", "Right of those, in %"), drawn_legend]
    given = [(point, point.accuracy) for point in curve.points if point.accuracy is not None]
    places = [(x_axis.at(100 * point.coverage), y_axis.at(100 * accuracy)) for point, accuracy in given]
    if given:
        level = y_axis.at(100 * given[0][1])
        body.append(f'<path class="diagonal" d="M{frame.left} {level:.1f}H{places[0][0]:.1f}" {flat}/>')
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        body.append(
            f'<path class="series series-0" d="M{path}" fill="none" stroke="{color}" stroke-width="2" '
            f'stroke-linejoin="round" stroke-linecap="round"/>'
        )
        if len(given) <= len(THRESHOLDS) + 1:
            for (point, accuracy), (x, y) in zip(given, places, strict=True):
                told = (
                    f"{threshold_text(point.threshold)}: {percent(point.coverage)} answered, {percent(accuracy)} right"
                )
                body.append(marker(0, x, y, told))
    told = "; ".join(
        f"at {threshold_text(point.threshold)} {percent(point.coverage)} answered, {percent(accuracy)} of them right"
        for point, accuracy in given[:: max(1, len(given) // len(THRESHOLDS))]
    )
    return chart(frame, title, f"Accuracy over coverage, area of the risk {curve.area:.4f}: {told}.", body)


def _area(confidence: NDArray[np.float64], is_right: NDArray[np.bool_]) -> float:
    """Return the mean error rate of the surest k answers over all k; 0 where there is none."""
    if not len(confidence):
        return 0.0
    _, group = np.unique(-confidence, return_inverse=True)
    n = np.bincount(group)
    wrong = np.bincount(group, weights=~is_right)
    first, wrong_before = np.cumsum(n) - n, np.cumsum(wrong) - wrong
    at = np.repeat(np.arange(len(n)), n)
    k = np.arange(1, len(confidence) + 1)
    # Among equally sure answers mistakes come up evenly: the mean over their orders.
    expected = wrong_before[at] + (k - first[at]) * (wrong / n)[at]
    return float((expected / k).mean())
