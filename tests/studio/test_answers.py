"""What the views show of a network at a step, and that nothing is computed twice."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import DataError, NetworkError, TrainingDivergedError
from digitlab.network import Architecture, Conv2D, Dense, Flatten, GlobalAveragePooling2D, MaxPooling2D, architecture
from digitlab.studio.tabs import evaluation_tab as tab
from digitlab.studio.tabs.evaluation_tab import evaluate_at
from digitlab.studio.tabs.training_tab import answer_digits, filters_of
from digitlab.studio.trainer import Remembered, Trainer
from digitlab.training.config import TrainConfig

SMALL = TrainConfig(network="dense_baseline", train_images=50, validation_images=20, batch_size=16, epochs=3)


@pytest.fixture(scope="module")
def trained(digits):
    trainer = Trainer(digits, None)
    trainer.start(SMALL)
    assert trainer.wait(lambda: trainer.state == "finished", 60)
    return trainer


@pytest.fixture
def counted(monkeypatch):
    """Return a list that grows with every evaluation that is computed."""
    calls, compute = [], tab.answer_test_images

    def count(*args):
        calls.append(args)
        return compute(*args)

    monkeypatch.setattr(tab, "answer_test_images", count)
    monkeypatch.setattr(tab, "_evaluations", lambda _: Remembered(tab._MOST_EVALUATIONS))
    return calls


def test_the_filters_of_a_convolution_are_its_kernels():
    network = architecture("codelab_cnn")
    weights = network.initial_weights(0)
    filters = filters_of(network, weights)
    assert filters.shape == (5, 5, 1, 8)
    assert filters is weights[0]


def test_the_first_layer_that_learns_counts_wherever_it_is():
    network = Architecture([MaxPooling2D(2), Conv2D(3, 3), Flatten(), Dense(10, activation="softmax")])
    assert filters_of(network, network.initial_weights(0)).shape == (3, 3, 1, 3)


def test_a_dense_layer_looks_at_the_image_that_was_flattened():
    network = architecture("dense_baseline")
    weights = network.initial_weights(0)
    filters = filters_of(network, weights)
    assert filters.shape == (28, 28, 1, 8)
    image = np.random.default_rng(0).random((28, 28, 1), np.float32)
    sums = np.tensordot(image, filters, 3)
    assert sums == pytest.approx(image.ravel() @ weights[0], rel=1e-4)
    pooled = Architecture([MaxPooling2D(4), Flatten(), Dense(10, activation="softmax")])
    assert filters_of(pooled, pooled.initial_weights(0)).shape == (7, 7, 1, 10)
    whole = Architecture([GlobalAveragePooling2D(), Dense(10, activation="softmax")])
    assert filters_of(whole, whole.initial_weights(0)).shape == (1, 1, 1, 10)


def test_features_that_are_no_image_are_a_column():
    network = Architecture([Dense(4), Dense(10, activation="softmax")], input_shape=(6,))
    assert filters_of(network, network.initial_weights(0)).shape == (6, 1, 1, 4)


def test_a_network_that_learns_nothing_has_no_filters():
    with pytest.raises(NetworkError, match="no layer that learns"):
        filters_of(Architecture([Flatten()]), [])


def test_digits_are_answered_with_the_weights_of_the_step(digits, trained):
    images = digits.test.images[:20]
    for step in (0, 7, 12):
        weights = trained.moment(step).weights
        predictions = answer_digits(trained.architecture, weights, images)
        probabilities = dl.Sequential.from_architecture(trained.architecture, weights).predict(images)
        assert np.array([p.probabilities for p in predictions]) == pytest.approx(probabilities)
        assert [p.label for p in predictions] == probabilities.argmax(axis=1).tolist()
        assert [p.confidence for p in predictions] == pytest.approx(probabilities.max(axis=1))
        assert [p.source for p in predictions][:2] == ["#0", "#1"]


def test_no_digits_have_no_answers(digits, trained):
    weights = trained.moment(None).weights
    assert answer_digits(trained.architecture, weights, digits.test.images[:0]) == []


def test_answers_that_are_no_numbers_are_told(digits, trained):
    weights = trained.moment(None).weights
    with pytest.raises(TrainingDivergedError, match="Look at an earlier step"):
        answer_digits(trained.architecture, [w * np.float32(1e30) for w in weights], digits.test.images[:3])


@pytest.mark.parametrize("n_images", [10, 40, None])
def test_everything_of_an_evaluation_is_about_the_same_images(digits, trained, n_images):
    found = evaluate_at(trained, 8, digits, n_images)
    evaluation, probabilities, images, labels = found.evaluation, found.probabilities, found.images, found.labels
    assert np.array_equal(digits.test.images[found.places], images)
    n = n_images or 40
    assert evaluation.n_images == len(probabilities) == len(images) == len(labels) == n
    model = dl.Sequential.from_architecture(trained.architecture, trained.moment(8).weights)
    assert np.array_equal(model.predict(images), probabilities)
    assert evaluation == dl.evaluate(model, images, labels)
    for mistake in evaluation.mistakes:
        assert labels[mistake.index] == mistake.label


def test_the_images_are_the_same_at_every_step_and_in_every_run(digits, trained):
    first, second = evaluate_at(trained, 0, digits, 10), evaluate_at(trained, None, digits, 10)
    assert np.array_equal(first.images, second.images)
    other = Trainer(digits, None)
    other.start(dataclasses.replace(SMALL, seed=9), paused=True)
    assert np.array_equal(evaluate_at(other, None, digits, 10).images, first.images)
    other.close()


def test_more_images_than_there_are_means_all(digits, trained):
    assert evaluate_at(trained, None, digits, 500).evaluation.n_images == 40


def test_the_newest_evaluation_is_that_of_the_run(digits, tmp_path):
    trainer = Trainer(digits, tmp_path)
    trainer.start(SMALL)
    trainer.close()
    trainer = Trainer(digits, tmp_path)
    trainer.start(SMALL)
    assert trainer.wait(lambda: trainer.evaluation is not None, 60)
    assert evaluate_at(trainer, None, digits, None).evaluation == trainer.evaluation
    trainer.close()


def test_what_was_asked_before_is_remembered(digits, trained, counted):
    first = evaluate_at(trained, 5, digits, 10)
    assert evaluate_at(trained, 5, digits, 10) is first
    assert len(counted) == 1
    evaluate_at(trained, 6, digits, 10)
    evaluate_at(trained, 5, digits, 20)
    assert len(counted) == 3
    assert evaluate_at(trained, None, digits, 10).evaluation == evaluate_at(trained, 12, digits, 10).evaluation
    assert len(counted) == 4


def test_another_training_is_evaluated_anew(digits, counted):
    trainer = Trainer(digits, None)
    before = evaluate_at(trainer, 0, digits, 10)
    trainer.start(dataclasses.replace(SMALL, seed=1), paused=True)
    assert evaluate_at(trainer, 0, digits, 10).evaluation != before.evaluation
    assert len(counted) == 2
    trainer.close()


def test_only_so_many_evaluations_are_remembered(digits, trained, counted, monkeypatch):
    monkeypatch.setattr(tab, "_MOST_EVALUATIONS", 3)
    for step in (1, 2, 3, 1, 4):
        evaluate_at(trained, step, digits, 10)
    assert len(counted) == 4
    evaluate_at(trained, 1, digits, 10)
    assert len(counted) == 4
    evaluate_at(trained, 2, digits, 10)
    assert len(counted) == 5


def test_what_several_ask_for_at_once_is_computed_once(digits, trained, counted):
    gate, results = threading.Barrier(4), []

    def ask():
        gate.wait()
        results.append(evaluate_at(trained, 9, digits, None))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 1
    assert all(result is results[0] for result in results)


def test_an_evaluation_that_fails_is_told_to_all_and_tried_again(digits, trained, monkeypatch):
    monkeypatch.setattr(tab, "_evaluations", lambda _: Remembered(tab._MOST_EVALUATIONS))

    def broken(*args):
        raise DataError("no")

    with monkeypatch.context() as patched:
        patched.setattr(tab, "answer_test_images", broken)
        with pytest.raises(DataError, match="no"):
            evaluate_at(trained, 3, digits, 10)
    assert evaluate_at(trained, 3, digits, 10).evaluation.n_images == 10
