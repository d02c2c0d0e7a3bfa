"""Coverage and accuracy against loops over every image, and what must hold of any curve."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import digitlab as dl
from digitlab.errors import InputError
from digitlab.evaluation.coverage import (
    THRESHOLDS,
    area_sentence,
    coverage_axes,
    coverage_chart,
    coverage_curve,
    coverage_sentence,
    refusal_among,
)
from digitlab.evaluation.evaluate import evaluate_answers
from digitlab.svg import standalone_svg
from digitlab.values import CLASS_NAMES, NOT_A_DIGIT

N_CLASSES = 3


@st.composite
def cases(draw):
    """Return probabilities, (n, 3), of few different values so that many are equally sure, and labels."""
    n = draw(st.integers(1, 30))
    parts = st.lists(st.integers(0, 4), min_size=N_CLASSES, max_size=N_CLASSES).filter(any)
    rows = np.array([draw(parts) for _ in range(n)], float)
    labels = np.array([draw(st.integers(0, N_CLASSES - 1)) for _ in range(n)])
    return rows / rows.sum(axis=1, keepdims=True), labels


def counted_one_by_one(probabilities, labels, threshold, refusal):
    n = right = 0
    for row, label in zip(probabilities, labels, strict=True):
        answer = max(range(N_CLASSES), key=lambda k: row[k])
        if answer != refusal and row[answer] >= threshold:
            n += 1
            right += answer == label
    return n, right


@given(cases(), st.lists(st.floats(0, 1), min_size=1, max_size=5), st.sampled_from([None, 0, 2]))
def test_every_point_is_what_counting_image_by_image_gives(case, thresholds, refusal):
    probabilities, labels = case
    thresholds = [*thresholds, *probabilities.max(axis=1)[:3]]  # where "at least" and "more than" part
    curve = coverage_curve(probabilities, labels, thresholds, refusal=refusal)
    assert [point.threshold for point in curve.points] == sorted(set(thresholds))
    for point in curve.points:
        n, right = counted_one_by_one(probabilities, labels, point.threshold, refusal)
        assert (point.n_answered, point.n_correct, point.n_wrong) == (n, right, n - right)
        assert point.coverage == n / len(labels)
        assert point.accuracy == (right / n if n else None)
        assert curve.at(point.threshold) is point


@given(cases(), st.sampled_from([None, 1]))
def test_a_higher_threshold_never_answers_more_and_never_keeps_more_mistakes(case, refusal):
    curve = coverage_curve(*case, refusal=refusal)
    for before, after in itertools.pairwise(curve.points):
        assert after.n_answered <= before.n_answered
        assert after.n_correct <= before.n_correct
        assert after.n_wrong <= before.n_wrong
    first = curve.points[0]
    assert (first.n_answered, first.n_correct) == (curve.n_answers, curve.n_correct)
    if refusal is None:
        assert first.coverage == 1


@given(cases())
def test_the_order_of_the_images_changes_nothing(case):
    probabilities, labels = case
    turned = coverage_curve(probabilities[::-1], labels[::-1])
    assert turned.points == coverage_curve(probabilities, labels).points
    assert turned.area == pytest.approx(coverage_curve(probabilities, labels).area, abs=1e-12)


def risk_of(order_of_mistakes):
    """Return the mean over k of the error rate of the first k, as a loop."""
    return np.mean([sum(order_of_mistakes[:k]) / k for k in range(1, len(order_of_mistakes) + 1)])


@given(st.lists(st.tuples(st.integers(2, 4), st.booleans()), min_size=1, max_size=6))
def test_the_area_is_the_mean_over_all_orders_of_equally_sure_answers(answers):
    probabilities = [[1 - sure / 4, sure / 4] if sure > 2 else [0.5, 0.5] for sure, _ in answers]
    predicted = np.argmax(probabilities, axis=1)
    labels = [int(k) if is_right else 1 - int(k) for k, (_, is_right) in zip(predicted, answers, strict=True)]
    areas = [
        risk_of([not is_right for _, is_right in order])
        for order in itertools.permutations(answers)
        if [sure for sure, _ in order] == sorted((sure for sure, _ in answers), reverse=True)
    ]
    assert coverage_curve(probabilities, labels).area == pytest.approx(np.mean(areas), abs=1e-12)


def test_confidence_that_tells_nothing_has_the_error_rate_as_its_area():
    curve = coverage_curve([[0.7, 0.3]] * 10, [0] * 8 + [1] * 2)
    assert curve.area == pytest.approx(0.2)
    assert "is 0.2000; if confidence told nothing, it would be 0.2000." in area_sentence(curve)


def test_mistakes_that_are_the_least_sure_have_the_smallest_area():
    sure = np.linspace(0.55, 0.95, 20)
    probabilities = np.stack([sure, 1 - sure], axis=1)
    last, first = (coverage_curve(probabilities, labels).area for labels in ([1] * 4 + [0] * 16, [0] * 16 + [1] * 4))
    assert last < 0.2 < first


def test_answers_that_are_refusals_are_refused_at_every_threshold():
    names = (*CLASS_NAMES, NOT_A_DIGIT)
    assert refusal_among(names) == 10
    assert refusal_among(CLASS_NAMES) is None
    rows = np.full((4, 11), 0.01)
    for row, (k, p) in zip(rows, [(3, 0.9), (10, 0.9), (10, 0.9), (5, 0.9)], strict=True):
        row[k] = p
    curve = coverage_curve(rows, [3, 4, 10, 4], [0.0], refusal=refusal_among(names))
    (point,) = curve.points
    assert (point.n_answered, point.n_correct, curve.n_answers, curve.n_correct) == (2, 1, 2, 1)
    found = evaluate_answers(rows, np.array([3, 4, 1, 4]), class_names=names)
    assert found.coverage.points[0].n_answered == 2


def test_an_evaluation_tells_the_same_as_its_accuracy():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(10), 500).astype(np.float32)
    labels = rng.integers(0, 10, 500)
    found = evaluate_answers(rows, labels, class_names=CLASS_NAMES, thresholds=(0.0, 0.25))
    all_answered, some = found.coverage.points
    assert (all_answered.n_answered, all_answered.n_correct, all_answered.accuracy) == (
        500,
        found.n_correct,
        found.accuracy,
    )
    assert 0 < some.n_answered < 500
    assert json.loads(json.dumps(found.to_dict()))["coverage"]["points"][1]["n_answered"] == some.n_answered


def test_it_is_a_public_name_with_usual_thresholds():
    assert dl.coverage_curve is coverage_curve
    curve = dl.coverage_curve(np.eye(10), np.eye(10))  # one-hot labels, too
    assert tuple(point.threshold for point in curve.points) == THRESHOLDS
    assert all(point.accuracy == 1 for point in curve.points)


@pytest.mark.parametrize(
    ("probabilities", "labels", "thresholds", "words"),
    [
        ([[0.5, 0.5]], [0], [1.5], "from 0 to 1"),
        ([[0.5, 0.5]], [0], [float("nan")], "from 0 to 1"),
        ([[0.5, 0.5]], [0, 1], [0.5], "one label for each row"),
        ([[np.nan, 0.5]], [0], [0.5], "NaN"),
        (np.zeros((0, 2)), [], [0.5], "n >= 1"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(probabilities, labels, thresholds, words):
    with pytest.raises(InputError, match=re.escape(words)):
        coverage_curve(probabilities, labels, thresholds)


def test_a_threshold_that_was_not_asked_for_is_a_sentence():
    with pytest.raises(InputError, match=r"coverage_curve\(probabilities, labels, \[0.77\]\)"):
        coverage_curve([[0.5, 0.5]], [0]).at(0.77)


def test_the_sentence_adds_up():
    rng = np.random.default_rng(1)
    rows, labels = rng.dirichlet(np.ones(4) / 2, 3_000), rng.integers(0, 4, 3_000)
    curve = coverage_curve(rows, labels)
    for point in curve.points:
        if point.n_answered not in (0, 3_000):
            told = coverage_sentence(curve, point)
            found = re.search(r"answers (.+) of 3,000 .* right on (.+) of them .* the (.+) that .*, (.+) would", told)
            assert found is not None
            answered, right, refused, lost = (int(n.replace(",", "")) for n in found.groups())
            assert (answered + refused, right + lost) == (3_000, curve.n_correct)


@pytest.mark.parametrize("n_right", [0, 1, 50, 100])
def test_the_chart_is_a_drawing_whatever_the_accuracy(n_right):
    rng = np.random.default_rng(2)
    sure = rng.uniform(0.5, 1, 100)
    curve = coverage_curve(np.stack([sure, 1 - sure], axis=1), [0] * n_right + [1] * (100 - n_right))
    drawing = coverage_chart(curve)
    assert "NaN" not in drawing
    assert "inf" not in drawing
    assert standalone_svg(drawing).startswith("<svg xmlns")
    x_axis, y_axis = coverage_axes(curve)
    for point in curve.points:
        if point.accuracy is not None:
            assert x_axis.low <= 100 * point.coverage <= x_axis.high
            assert y_axis.low <= 100 * point.accuracy <= y_axis.high


def test_a_network_that_refuses_everything_has_a_chart_and_a_sentence():
    curve = coverage_curve([[0.1, 0.9]] * 3, [0, 0, 1], refusal=1)
    assert curve.area == 0
    assert coverage_sentence(curve, curve.points[0]) == "At 0 % it answers none of 3 images."
    assert "<svg" in coverage_chart(curve)
