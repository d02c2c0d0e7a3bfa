"""Temperature and threshold: known answers, an independent optimiser, and what the figures promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from digitlab.errors import InputError
from digitlab.metrics import calibration_bins, expected_calibration_error
from digitlab.training.calibration import (
    LOST_DIGITS,
    REFUSED_DIGITS,
    Calibration,
    calibrate,
    find_temperature,
    find_threshold,
    with_bias,
    with_temperature,
)


def answers(temperature: float, n: int = 20_000, seed: int = 0):
    """Logits whose softmax is right, and the answers of a network that multiplies them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 11))
    true = softmax(logits, axis=1)
    labels = (true.cumsum(1) > rng.random((n, 1))).argmax(1)
    return softmax(logits * temperature, axis=1).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.3, 0.8, 1.0, 2.5])
def test_the_temperature_that_spoiled_the_answers_is_found(temperature):
    probabilities, labels = answers(temperature)
    found = find_temperature(probabilities, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    mended = with_temperature(probabilities, found)
    assert expected_calibration_error(calibration_bins(mended, labels)) < 0.01


def test_the_temperature_is_that_of_scipys_optimiser_on_scikit_learns_loss():
    probabilities, labels = answers(1.7, n=500)

    def loss(temperature):
        return log_loss(labels, with_temperature(probabilities, temperature), labels=np.arange(11))

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-6}).x
    assert find_temperature(probabilities, labels) == pytest.approx(best, abs=1e-3)


def test_temperature_is_softmax_of_divided_logits():
    logits = np.random.default_rng(0).normal(0, 3, (50, 11))
    for temperature in (0.5, 1.0, 3.0):
        np.testing.assert_allclose(
            with_temperature(softmax(logits, axis=1), temperature), np.exp(log_softmax(logits / temperature, axis=1))
        )


def test_a_bias_is_added_to_the_last_logit():
    logits = np.random.default_rng(0).normal(0, 3, (50, 11))
    moved = logits + np.eye(11)[10] * -1.3
    np.testing.assert_allclose(with_bias(softmax(logits, axis=1), -1.3), softmax(moved, axis=1))


def test_answers_without_any_doubt_stay_finite():
    sure = np.eye(11, dtype=np.float32)
    np.testing.assert_allclose(with_temperature(sure, 3.0).sum(1), 1)
    assert 0.05 <= find_temperature(sure, np.arange(11)) < 20
    assert find_temperature(sure, (np.arange(11) + 1) % 11) == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5])
def test_the_threshold_refuses_as_many_digits_as_it_may_and_not_more(share):
    refused = np.random.default_rng(0).random(5000)
    threshold = find_threshold(refused, share)
    assert (refused > threshold).mean() == pytest.approx(share, abs=1e-9)


def test_a_calibration_keeps_its_promise_and_goes_into_metadata_as_texts():
    probabilities, labels = answers(2.0)
    chosen = calibrate(probabilities, labels)
    shifted = with_bias(probabilities[labels < 10], chosen.bias)
    refused = with_temperature(shifted, chosen.temperature)[:, -1]
    assert (refused > chosen.refuse_above).mean() <= REFUSED_DIGITS * 1.2
    # What is no digit is not asked: however sure the network is there, nothing changes.
    others = np.eye(11, dtype=np.float32)[np.arange(300) % 11]
    more = calibrate(np.concatenate([probabilities, others]), np.concatenate([labels, np.full(300, 10)]))
    assert more == chosen
    texts = chosen.to_metadata()
    assert list(texts) == ["temperature", "refuse_above", "bias_of_not_a_digit"]
    numbers = {name: float(text) for name, text in texts.items()}
    assert Calibration(numbers["bias_of_not_a_digit"], numbers["temperature"], numbers["refuse_above"]) == chosen


def test_the_bias_leaves_the_eleventh_answer_the_likeliest_for_as_many_digits_as_may_be_lost():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 20_000)
    logits = rng.normal(0, 1.5, (20_000, 11)) + 6 * np.eye(11)[labels] + 2 * np.eye(11)[10]
    raw = softmax(logits, axis=1).astype(np.float32)
    assert (raw.argmax(1) == 10).mean() > 5 * LOST_DIGITS
    chosen = calibrate(raw, labels)
    assert -12 < chosen.bias < 0
    assert (with_bias(raw, chosen.bias).argmax(1) == 10).mean() == pytest.approx(LOST_DIGITS, rel=0.2)
    assert calibrate(with_bias(raw, chosen.bias).astype(np.float32), labels).bias == pytest.approx(0, abs=1e-3)


def test_nothing_to_choose_by_is_refused():
    with pytest.raises(InputError, match="0 answers"):
        find_temperature(np.zeros((0, 11)), np.zeros(0, int))
    with pytest.raises(InputError, match="2 answers and 1 labels"):
        find_temperature(np.full((2, 11), 1 / 11), np.zeros(1, int))
    with pytest.raises(InputError, match="at least one digit"):
        find_threshold([], 0.1)
