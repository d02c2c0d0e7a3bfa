"""Confidence: what three networks say together, as a probability that can be trusted.

Three opinions on every candidate: the finder's, who sees the page around it, the second look's, and that of the network
that knows single digits, who sees it framed as MNIST's were. Their odds are multiplied, each to a power (a product of
experts: Hinton 2002), together with what the page around tells: writing is of one size, and stands in lines. The powers
were chosen on composed pictures and on every second development picture (docs/decisions/0013).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digitlab.reading.finder import Marks, common_area

# Powers of the evidence for a digit, as ``evidence`` lists it, and last a constant.
_POWERS = (1.91, 0.4, 0.2, 0.2, 2.73, -0.3, -26.8, -3.73, 2.52, 1.4, -4.95)
# Powers of the finder's, the single-digit network's and the second look's probabilities of which digit it is.
_WHICH = (0.5, 0.5, 0.65)
# Log odds that no evidence exceeds: one mark in a thousand that looks like nothing else is none.
_SUREST = 6.8
# A number's odds: the power of the product of its digits' and a constant.
_NUMBER = (1.0, -0.8)
# Sizes that differ less from the page's usual one than by this factor are usual.
_USUAL_RATIO = 1.7
# Log odds that the network's word is worth at least and at most.
_MOST_AGAINST, _MOST_FOR = -3.0, 2.5
_LEAST = 1e-5
_RIVAL = 0.35  # a separator in the place of a one is likely above this
_NEAR = 8.0  # heights: candidates so near are around


def is_digit(
    marks: Marks,
    answers: NDArray[np.float32],
    again: NDArray[np.float32],
    prior: float | NDArray[np.float64] = 0.0,
) -> NDArray[np.float64]:
    """Return the probability of every candidate that it is a digit: float64 (n,).

    ``answers`` and ``again``, float32 (n, 11), are what the single-digit network says of the framed glyphs, and the
    second look; ``prior`` are log odds that are known besides, for all or for each.
    """
    return _probability(digit_odds(evidence(marks, answers, again)) + prior)


def digit_odds(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of the odds that evidence, float64 (n, 10), gives."""
    return np.asarray(np.minimum(found @ np.array(_POWERS[:-1]) + _POWERS[-1], _SUREST), np.float64)


def evidence(marks: Marks, answers: NDArray[np.float32], again: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what speaks for a digit: float64 (n, 10).

    The finder's log odds, the second look's, and the single-digit network's; the logarithm of the probability that the
    finder and that network name the same digit; what other levels say; whether it is a one, which any line may be, and
    whether a slash is likely in its place; how far the size is from what is usual on the page, how much company it has
    (-0.5 to 0.5), and the log odds that what is found around is a digit.
    """
    if len(marks) == 0:
        return np.zeros((0, 10))
    network = _normalized(answers[:, :10])
    same = np.log(np.maximum((marks.answers * network).sum(1), 1e-4))
    none = answers[:, 10].astype(np.float64)
    # A network of ten answers says 0 of all, which tells nothing. That a piece of line could be a digit tells little.
    support = np.minimum(marks.support, 1.0)
    network_odds = np.where(none > 0, np.clip(-_log_odds(none), _MOST_AGAINST, _MOST_FOR), 0.0)
    one = np.sqrt(marks.answers * network)[:, 1]
    digits = 1 - again[:, 10].astype(np.float64)
    around = _surroundings(marks, digits * np.minimum(2 * marks.p, 1))
    slash = one * np.maximum(marks.rival - _RIVAL, 0)
    own = np.stack([_log_odds(marks.p), _log_odds(digits), network_odds, same, support, one, slash], 1)
    return np.concatenate([own, around, _accepted(marks, digits)[:, None]], 1)


def _surroundings(marks: Marks, likely: NDArray[np.float64]) -> NDArray[np.float64]:
    """How unusual a mark's size is on its page, and whether it has others of its size beside, above or below."""
    # Specks are many, and each says little of how large writing is.
    weights = (likely > 0.4) * likely * marks.p * marks.height
    order = np.argsort(marks.height)
    summed = np.cumsum(weights[order])
    usual = float(marks.height[order][min(np.searchsorted(summed, summed[-1] / 2), len(marks) - 1)])
    unusual = np.maximum(0, np.abs(np.log(marks.height / usual)) - np.log(_USUAL_RATIO)) * (summed[-1] > 0)
    dx, dy = np.abs(marks.x[:, None] - marks.x), np.abs(marks.y[:, None] - marks.y)
    high, low = np.maximum(marks.height[:, None], marks.height), np.minimum(marks.height[:, None], marks.height)
    beside = (dx > 0.3 * low) & (dx < 2.2 * high) & (dy < 0.5 * high)
    above = (dy > 0.8 * low) & (dy < 2.5 * high) & (dx < 0.6 * high)
    alike = high < 1.6 * low
    np.fill_diagonal(alike, False)
    # Where nothing else of its size is on the page, a mark that stands alone is none the worse.
    company = np.minimum(((beside | above) & alike) @ likely, 2) / 2 - np.minimum(alike @ likely, 2) / 4
    return np.stack([unusual, company], 1)


def _accepted(marks: Marks, digits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log odds that candidates around each are digits: in a word, or a drawing, most of what is found is none."""
    area = marks.width * marks.height
    shared = common_area(marks, marks) / np.minimum(area[:, None], area)
    np.fill_diagonal(shared, 0)
    # A part of a digit says nothing.
    counts = ~((shared > 0.4) & (digits > 0.5) & (digits > digits[:, None])).any(1)
    high, low = np.maximum(marks.height[:, None], marks.height), np.minimum(marks.height[:, None], marks.height)
    far = np.hypot(marks.x[:, None] - marks.x, marks.y[:, None] - marks.y)
    weights = (far < _NEAR * high) & (high < 2.2 * low) & (shared < 0.4) & counts
    np.fill_diagonal(weights, False)
    sums, right = weights @ marks.p, weights @ (marks.p * digits)
    return _log_odds((right + 0.25) / (sums + 0.5))


def which_digit(marks: Marks, answers: NDArray[np.float32], again: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probabilities of the ten digits for every candidate, given that it is one: float64 (n, 10)."""
    three = (marks.answers, _normalized(answers[:, :10]), _normalized(again[:, :10]))
    logs = np.asarray(sum(power * np.log(np.maximum(one, _LEAST)) for power, one in zip(_WHICH, three, strict=True)))
    return _normalized(np.exp(logs - logs.max(1, keepdims=True, initial=-1e9)))


def of_number(digits: NDArray[np.float64]) -> float:
    """Return the probability that all digits of a number are right, and that it has no others, from theirs."""
    product = np.array([float(np.prod(digits))])
    return float(_probability(_NUMBER[0] * _log_odds(product) + _NUMBER[1])[0])


def _normalized(values: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.maximum(values.astype(np.float64), _LEAST)
    return np.asarray(kept / kept.sum(1, keepdims=True), np.float64)


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(kept / (1 - kept)), np.float64)


def _probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -50, 50))), np.float64)
