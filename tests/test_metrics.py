"""Metrics against scikit-learn, published values and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from digitlab import metrics
from digitlab.errors import InputError


def random_answers(seed: int, n: int, n_classes: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, float32 probabilities and the answers of a reader that is often right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)) + 2.0 * np.eye(n_classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities.astype(np.float32), probabilities.argmax(axis=1)


@pytest.mark.interop
@pytest.mark.parametrize("seed", range(5))
def test_confusion_matrix_and_accuracy_equal_scikit_learns(seed):
    from sklearn.metrics import accuracy_score, confusion_matrix

    labels, _, predicted = random_answers(seed, n=50 + 200 * seed)
    expected = confusion_matrix(labels, predicted, labels=range(10))
    found = metrics.confusion_matrix(labels, predicted)
    assert found.dtype == np.int64
    assert_array_equal(found, expected)
    assert metrics.accuracy(labels, predicted) == pytest.approx(accuracy_score(labels, predicted), abs=1e-15)


@pytest.mark.interop
@pytest.mark.parametrize(("seed", "n"), [(0, 500), (1, 12), (2, 3)])
def test_precision_recall_and_f1_equal_scikit_learns_even_for_absent_classes(seed, n):
    from sklearn.metrics import precision_recall_fscore_support

    labels, _, predicted = random_answers(seed, n)
    expected = precision_recall_fscore_support(labels, predicted, labels=range(10), zero_division=0)
    found = metrics.precision_recall_f1(metrics.confusion_matrix(labels, predicted))
    for ours, theirs in zip(found, expected[:3], strict=True):
        assert_allclose(ours, theirs, atol=1e-15)


@pytest.mark.interop
def test_cross_entropy_equals_scikit_learns_log_loss():
    from sklearn.metrics import log_loss

    labels, probabilities, _ = random_answers(3, n=400)
    rows = probabilities.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    assert metrics.cross_entropy(rows, labels) == pytest.approx(log_loss(labels, rows, labels=range(10)), rel=1e-12)


def test_cross_entropy_of_a_certain_mistake_is_finite():
    assert metrics.cross_entropy([[1.0, 0.0]], [1]) == pytest.approx(-math.log(1e-7))


@pytest.mark.parametrize(
    ("n_correct", "n", "low", "high"),
    # Newcombe 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_has_newcombes_published_values(n_correct, n, low, high):
    assert metrics.wilson_interval(n_correct, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.01, 0.999))
def test_wilson_bounds_solve_the_score_equation(counts, confidence):
    from statistics import NormalDist

    n_correct, n = counts
    low, high = metrics.wilson_interval(n_correct, n, confidence)
    p = n_correct / n
    assert 0.0 <= low <= p <= high <= 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    for bound in (low, high):
        assert (p - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / n, rel=1e-6, abs=1e-12)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_of_the_mistakes_is_the_mirror_image(counts):
    n_correct, n = counts
    low, high = metrics.wilson_interval(n_correct, n)
    assert metrics.wilson_interval(n - n_correct, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_calibration_equals_a_plain_loop(n_bins, seed, n):
    labels, probabilities, predicted = random_answers(seed, n)
    bins = metrics.calibration_bins(probabilities, labels, n_bins)
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    expected_error = 0.0
    for b, low, high in zip(bins, edges[:-1], edges[1:], strict=True):
        inside = [i for i in range(n) if low < probabilities[i].max() <= high]
        assert (b.low, b.high, b.n_images) == (low, high, len(inside))
        if not inside:
            assert (b.confidence, b.accuracy) == (0.0, 0.0)
            continue
        confidence = math.fsum(float(probabilities[i].max()) for i in inside) / len(inside)
        accuracy = sum(int(predicted[i] == labels[i]) for i in inside) / len(inside)
        assert b.confidence == pytest.approx(confidence, abs=1e-12)
        assert b.accuracy == pytest.approx(accuracy, abs=1e-12)
        expected_error += len(inside) / n * abs(accuracy - confidence)
    assert metrics.expected_calibration_error(bins) == pytest.approx(expected_error, abs=1e-12)


def test_calibration_puts_an_edge_into_the_lower_bin_and_certainty_into_the_last():
    bins = metrics.calibration_bins([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0 + 1e-7]], [0, 0, 0], n_bins=2)
    assert [b.n_images for b in bins] == [1, 2]


def test_a_perfectly_calibrated_reader_has_no_calibration_error():
    probabilities = np.tile([0.75, 0.25], (4, 1))
    bins = metrics.calibration_bins(probabilities, [0, 0, 0, 1])
    assert metrics.expected_calibration_error(bins) == 0.0


def test_classes_without_images_or_answers_count_zero():
    precision, recall, f1 = metrics.precision_recall_f1([[3, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert_array_equal(precision, [0.75, 0, 0])
    assert_array_equal(recall, [1, 0, 0])
    assert_allclose(f1, [6 / 7, 0, 0])


def test_large_unsigned_labels_do_not_overflow():
    labels = np.array([9, 9], dtype=np.uint8)
    assert metrics.confusion_matrix(labels, labels, n_classes=200)[9, 9] == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.accuracy([], []), "at least one label"),
        (lambda: metrics.accuracy([1, 2], [1]), "2 labels and 1 answers"),
        (lambda: metrics.accuracy([0.5], [1]), "holds 0.5 at position 0"),
        (lambda: metrics.accuracy([[1, 0]], [1]), "argmax"),
        (lambda: metrics.confusion_matrix([10], [1]), "holds 10"),
        (lambda: metrics.confusion_matrix([1], [-1]), "predicted holds -1"),
        (lambda: metrics.confusion_matrix([], [], n_classes=0), "n_classes is 0"),
        (lambda: metrics.precision_recall_f1([[1, 2]]), "square"),
        (lambda: metrics.precision_recall_f1([[-1]]), "0 or more"),
        (lambda: metrics.wilson_interval(3, 2), "3 right answers of 2"),
        (lambda: metrics.wilson_interval(0, 0), "n >= 1"),
        (lambda: metrics.wilson_interval(1, 2, confidence=1.0), "between 0 and 1"),
        (lambda: metrics.cross_entropy([[np.nan, 1.0]], [0]), "smaller learning rate"),
        (lambda: metrics.cross_entropy([[0.5, 0.5]], [2]), "holds 2"),
        (lambda: metrics.cross_entropy([[0.5, 0.5]], [0, 1]), "one label for each row"),
        (lambda: metrics.cross_entropy(np.zeros((0, 10)), []), "n >= 1"),
        (lambda: metrics.calibration_bins([[0.5, 0.5]], [0], n_bins=0), "at least one bin"),
        (lambda: metrics.expected_calibration_error([]), "no images"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(call, words):
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
