"""`evaluate` against scikit-learn, with a model whose answers are given; and the warning of a scale of pixels."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import InputError
from digitlab.evaluation.evaluate import evaluate
from digitlab.network import Checkpoint


class GivenAnswers:
    """A model that answers with given probabilities and counts how often it is asked."""

    def __init__(self, probabilities):
        self.probabilities = np.asarray(probabilities, dtype=np.float32)
        self.asked = []

    def predict(self, images):
        self.asked.append(images)
        return self.probabilities


def random_case(seed=0, n=300):
    """Return a model, uint8 images and labels; the model is right more often than not."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n).astype(np.uint8)
    logits = rng.normal(size=(n, 10)) + 3.0 * np.eye(10)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return GivenAnswers(probabilities), rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), labels


@pytest.mark.interop
@pytest.mark.parametrize(("seed", "n"), [(0, 300), (1, 15)])
def test_every_figure_equals_scikit_learns(seed, n):
    from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

    model, images, labels = random_case(seed, n)
    evaluation = evaluate(model, images, labels)
    predicted = model.probabilities.argmax(axis=1)
    assert evaluation.accuracy == pytest.approx(accuracy_score(labels, predicted), abs=1e-15)
    assert np.array_equal(evaluation.confusion_matrix, confusion_matrix(labels, predicted, labels=range(10)))
    rows = model.probabilities.astype(np.float64)
    expected_loss = log_loss(labels, rows / rows.sum(axis=1, keepdims=True), labels=range(10))
    assert evaluation.loss == pytest.approx(expected_loss, rel=1e-6)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=range(10), zero_division=0
    )
    for i, report in enumerate(evaluation.per_class):
        assert report.n_images == support[i]
        found = (report.precision, report.recall, report.accuracy, report.f1)
        assert found == pytest.approx((precision[i], recall[i], recall[i], f1[i]), abs=1e-15)


def test_all_figures_come_from_one_predict_on_the_images_as_given():
    model, images, labels = random_case()
    evaluation = evaluate(model, images, labels)
    assert len(model.asked) == 1
    assert model.asked[0] is images
    matrix = np.array(evaluation.confusion_matrix)
    assert matrix.sum() == evaluation.n_images == len(images)
    assert matrix.trace() == evaluation.n_correct == sum(r.n_correct for r in evaluation.per_class)
    assert sum(b.n_images for b in evaluation.calibration.bins) == evaluation.n_images
    assert evaluation.interval[0] < evaluation.accuracy < evaluation.interval[1]


def test_mistakes_are_wrong_answers_by_falling_confidence_then_index():
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95]])
    images = np.zeros((5, 28, 28), dtype=np.uint8)
    evaluation = evaluate(GivenAnswers(probabilities), images, [0, 0, 0, 0, 0], class_names=("Zero", "One"))
    assert [m.index for m in evaluation.mistakes] == [4, 0, 2, 3]
    first = evaluation.mistakes[0]
    assert (first.label, first.predicted) == (0, 1)
    assert (first.confidence, first.label_probability) == pytest.approx((0.95, 0.05))
    assert first.probabilities == pytest.approx((0.05, 0.95))


@pytest.mark.parametrize("n_mistakes", [0, 3, 10_000])
def test_at_most_n_mistakes_are_kept(n_mistakes):
    model, images, labels = random_case()
    evaluation = evaluate(model, images, labels, n_mistakes=n_mistakes)
    assert len(evaluation.mistakes) == min(n_mistakes, evaluation.n_images - evaluation.n_correct)


def test_one_hot_labels_and_float_images_give_the_same_evaluation():
    model, images, labels = random_case()
    floats = (images[..., None] / 255).astype(np.float32)
    one_hot = np.eye(10, dtype=np.float32)[labels]
    assert evaluate(model, floats, one_hot) == evaluate(model, images, labels)


def test_a_class_without_images_has_the_widest_interval():
    probabilities = np.tile(np.eye(10, dtype=np.float32)[3], (4, 1))
    evaluation = evaluate(GivenAnswers(probabilities), np.zeros((4, 28, 28), np.uint8), [3, 3, 3, 3])
    assert evaluation.accuracy == 1.0
    assert evaluation.per_class[0].n_images == 0
    assert evaluation.per_class[0].interval == (0.0, 1.0)
    assert evaluation.mistakes == ()


def test_an_evaluation_is_plain_json():
    model, images, labels = random_case()
    evaluation = evaluate(model, images, labels)
    again = json.loads(json.dumps(evaluation.to_dict()))
    assert again["n_images"] == 300
    assert again["per_class"][9]["name"] == "Nine"
    assert len(again["calibration"]["bins"]) == 15


ZEROS = np.zeros((2, 28, 28), dtype=np.uint8)
HALVES = np.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("images", "labels", "answers", "words"),
    [
        (ZEROS[:0], [], HALVES[:0], "no images"),
        (ZEROS[0], [0], HALVES, r"image\[None\]"),
        (ZEROS[0, 0], [0] * 28, HALVES, r"\(n, 28, 28\)"),
        (ZEROS, [0], HALVES, "2 images and 1 labels"),
        (ZEROS, [0, 2], HALVES, "holds 2"),
        (ZEROS, [0, -1], HALVES, "holds -1"),
        (ZEROS, [0.5, 1.0], HALVES, "holds 0.5 at position 0"),
        (ZEROS, [[1, 0], [1, 1]], HALVES, "one-hot rows of 2"),
        (ZEROS, [[1, 0, 0], [0, 1, 0]], HALVES, "one-hot rows of 2"),
        (ZEROS, [0, 1], np.full((2, 3), 1 / 3), "last layer"),
        (ZEROS, [0, 1], [[np.nan, 0.5], [0.5, 0.5]], "1 of 2 images are NaN"),
        (ZEROS, [0, 1], [[np.inf, 0.5], [0.5, 0.5]], "smaller learning rate"),
        (ZEROS, [0, 1], [[3.0, -1.0], [0.5, 0.5]], "softmax"),
        (ZEROS, [0, 1], [[2.0, -1.0], [0.5, 0.5]], "softmax"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(images, labels, answers, words):
    with pytest.raises(InputError, match=words) as caught:
        evaluate(GivenAnswers(answers), images, labels, class_names=("Zero", "One"))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("options", [{"class_names": ()}, {"n_mistakes": -1}, {"n_bins": 0}])
def test_wrong_options_are_refused_with_a_sentence(options):
    model, images, labels = random_case(n=5)
    with pytest.raises(InputError, match=r"pass|least"):
        evaluate(model, images, labels, **options)


# ---- networks that learned from pixels in another scale are told so; those that did not are not ----


def test_a_network_that_learned_from_another_scale_is_warned_of(foreign: Callable[[str], Path]) -> None:
    test, model = dl.MnistData.load().test, dl.load_model(foreign("0-255"))
    with pytest.warns(UserWarning, match=r'of 1,000 labelled images .* from 0 to 255, .* pixels="0-255"') as caught:
        found = evaluate(model, test.images[:1000], test.labels[:1000])
    assert f"{100 * found.accuracy:.1f} % with pixels from 0 to 1" in str(caught[0].message)
    as_floats = test.images[:1000].astype(np.float32)
    for right in (model, as_floats), (dl.load_model(foreign("0-255"), pixels="0-255"), test.images[:1000]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert evaluate(*right, test.labels[:1000]).accuracy > 0.85


def test_a_network_that_learned_from_0_to_1_is_passed_over(learned: Checkpoint) -> None:
    test = dl.MnistData.load().test
    for model in (dl.Sequential.from_checkpoint(learned), dl.codelab_cnn(seed=3)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            evaluate(model, test.images[:1000], test.labels[:1000])


@pytest.mark.parametrize("shape", [(1000, 784), (1000, 1, 28, 28)])
def test_images_of_other_shapes_go_to_the_model_as_they_are(learned: Checkpoint, shape: tuple[int, ...]) -> None:
    test, model = dl.MnistData.load().test, dl.Sequential.from_checkpoint(learned)
    expected = evaluate(model, test.images[:1000], test.labels[:1000])
    assert evaluate(model, test.images[:1000].reshape(shape), test.labels[:1000]) == expected
