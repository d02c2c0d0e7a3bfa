"""Calibration: how readily "not a digit" is answered, and how sure an answer is.

The share of images that were no digit was chosen when the network was trained; where it is used nobody knows it. So
the eleventh logit gets a bias by which so many digits are lost as may be, no more; and all logits are divided by a
temperature, so that 90 % sure is right nine times in ten. That is temperature scaling with a bias (Alexandari, Kundaje
and Shrikumar 2020), the bias chosen by what it costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import InputError

#: Share of validation digits that the threshold may refuse.
REFUSED_DIGITS = 0.001
#: Share of validation digits of which "not a digit" may be the likeliest answer: one of 5,000.
LOST_DIGITS = 0.0002

_LEAST, _MOST = 0.05, 20.0
_MOST_BIAS = 12.0
_TINY = 1e-38  # float32 probabilities become 0 below this
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Calibration:
    """What is done with a network's answers before anybody sees them."""

    bias: float  # added to the logit of "not a digit" once, when training ends: part of the weights from then on
    temperature: float  # logits are divided by it
    refuse_above: float  # an image is refused if "not a digit", after the temperature, is more probable than this

    def to_metadata(self) -> dict[str, str]:
        """Return the texts that a checkpoint's metadata holds."""
        return {
            "temperature": f"{self.temperature:.4f}",
            "refuse_above": f"{self.refuse_above:.4f}",
            "bias_of_not_a_digit": f"{self.bias:.4f}",
        }


def calibrate(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Calibration:
    """Choose bias, temperature and threshold from the answers to validation images.

    All by the digits among them: how sure a digit is, is to be right for digits, and what is no digit was made here
    and is as easy or as hard as it was made. The bias is such that the likeliest of eleven answers is hardly ever the
    eleventh; the threshold, which refuses more, is then far below one half.

    ``probabilities`` are float32 (n, 11), the last column for "not a digit"; ``labels`` int64 (n,), 0-10, at least one
    below 10.
    """
    is_digit = labels < probabilities.shape[1] - 1
    raw, true = probabilities[is_digit], labels[is_digit]
    rival = raw[:, -1] / (raw[:, -1] + raw[:, :-1].max(axis=1))
    even = find_threshold(rival, LOST_DIGITS)
    # An untrained network must not be bent until it fits.
    bias = min(max(math.log(max(1 - even, _TINY) / max(even, _TINY)), -_MOST_BIAS), _MOST_BIAS)
    bias = math.floor(1000 * bias) / 1000  # down: rounding must not lose one digit more
    shifted = with_bias(raw, bias)
    temperature = round(find_temperature(shifted, true), 4)
    refuse_above = find_threshold(with_temperature(shifted, temperature)[:, -1], REFUSED_DIGITS)
    return Calibration(bias, temperature, max(math.ceil(10_000 * refuse_above) / 10_000, 1e-4))  # up, likewise


def with_bias(probabilities: ArrayLike, bias: float) -> NDArray[np.float64]:
    """Return the softmax of logits of which the last has a bias added, given that of the logits.

    Examples
    --------
    >>> with_bias([[0.5, 0.5]], math.log(3)).round(2).tolist()
    [[0.25, 0.75]]
    """
    powers = np.array(probabilities, np.float64)
    powers[:, -1] *= math.exp(bias)
    shifted: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shifted


def with_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return the softmax of logits / temperature, given that of the logits: (n, n_classes), rows sum to 1.

    The logarithms of probabilities are the logits but for a constant, which softmax does not see.

    Examples
    --------
    >>> with_temperature([[0.9, 0.1]], 2.0).round(2).tolist()
    [[0.75, 0.25]]
    """
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return scaled


def find_temperature(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature with the least cross-entropy (Guo, Pleiss, Sun and Weinberger 2017, section 4.2).

    The cross-entropy is convex in 1 / temperature, so a golden section finds its only minimum, between 0.05 and 20.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _TINY))
    true = np.asarray(labels)
    if len(true) == 0 or len(logits) != len(true):
        raise InputError(
            f"There are {len(logits)} answers and {len(true)} labels; give one for each, and at least one."
        )
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(true)), true]

    def cost(inverse: float) -> float:
        return float(np.mean(np.log(np.exp(logits * inverse).sum(axis=1)) - chosen * inverse))

    low, high = 1 / _MOST, 1 / _LEAST
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > 1e-6:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = cost(right)
    return 2 / (low + high)


def find_threshold(refused: ArrayLike, share: float) -> float:
    """Return the least threshold that refuses at most a share, in [0, 1), of the digits.

    ``refused`` is the probability of "not a digit" for each of them, (n,).

    Examples
    --------
    >>> find_threshold([0.1, 0.2, 0.3, 0.9], 0.25)
    0.3
    """
    values = np.sort(np.asarray(refused, np.float64))
    if len(values) == 0:
        raise InputError("A threshold needs the answers to at least one digit.")
    return float(values[len(values) - 1 - math.floor(share * len(values))])
