"""Confidence: what the finder and the single-digit network say together, as a probability that can be trusted.

Two opinions on every candidate: the finder's, who sees the page around it, and that of the network that knows single
digits, who sees it framed as MNIST's were. Their odds are multiplied, each to a power (a product of experts: Hinton
2002). The powers are fitted to what is right on composed validation pages (``docs/decisions/0009``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digitlab.reading.finder import Marks

__all__ = ["is_digit", "which_digit"]

# Powers of the finder's and the network's odds that there is a digit, and a constant.
_FINDER, _NETWORK, _CONSTANT = 1.5, 0.35, 0.3
# The same for which digit it is.
_FINDER_WHICH, _NETWORK_WHICH = 0.5, 0.8
# Odds against a mark that is much smaller or larger than what the page is full of: for every e-fold beyond the first.
_SIZE, _USUAL_RATIO = 2.5, 1.7
# The same for a mark that stands quite alone while others stand in lines, and for one in company.
_ALONE, _COMPANY = 0.8, 0.8
_LEAST = 1e-5


def is_digit(marks: Marks, answers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probability of every candidate that it is a digit.

    Parameters
    ----------
    marks : Marks
        The finder's candidates of one page.
    answers : ndarray
        float32 (n, 11), 0-1: what the network says of the framed glyphs.

    Returns
    -------
    ndarray
        float64 (n,), 0-1.
    """
    if len(marks) == 0:
        return np.zeros(0)
    none = answers[:, 10].astype(np.float64)
    odds = _FINDER * _logit(marks.p) - _NETWORK * _logit(none) + _CONSTANT
    return np.asarray(1 / (1 + np.exp(-(odds + _surroundings(marks, odds)))), np.float64)


def _surroundings(marks: Marks, odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the other marks of the page say of one: writing is of one size, and stands in lines."""
    weights = 1 / (1 + np.exp(-odds))
    order = np.argsort(marks.height)
    summed = np.cumsum((weights * (weights > 0.5))[order])
    change = np.zeros(len(marks))
    if summed[-1] > 2.5:
        usual = float(marks.height[order][np.searchsorted(summed, summed[-1] / 2)])
        ratio = np.abs(np.log(marks.height / usual))
        change -= _SIZE * np.maximum(0, ratio - np.log(_USUAL_RATIO))
        dx = np.abs(marks.x[:, None] - marks.x)
        dy = np.abs(marks.y[:, None] - marks.y)
        high = np.maximum(marks.height[:, None], marks.height)
        low = np.minimum(marks.height[:, None], marks.height)
        beside = (dx > 0.3 * low) & (dx < 2.2 * high) & (dy < 0.5 * high) & (high < 1.6 * low)
        beside |= (dy > 0.8 * low) & (dy < 2.5 * high) & (dx < 0.6 * high) & (high < 1.6 * low)
        company = np.minimum((beside * weights).sum(1), 2) / 2
        change += _COMPANY * company - _ALONE * (1 - company)
    return change


def which_digit(marks: Marks, answers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probabilities of the ten digits for every candidate, given that it is one: float64 (n, 10)."""
    network = np.maximum(answers[:, :10].astype(np.float64), _LEAST)
    network /= network.sum(1, keepdims=True)
    both = np.maximum(marks.answers, 1e-4) ** _FINDER_WHICH * network**_NETWORK_WHICH
    return np.asarray(both / both.sum(1, keepdims=True), np.float64)


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(kept / (1 - kept)), np.float64)
