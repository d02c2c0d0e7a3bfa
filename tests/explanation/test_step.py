"""A step taken apart is the step that the engine takes, and its arithmetic adds up."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.data.mnist import MnistData, Split
from digitlab.engine.cpu.dropout import factors
from digitlab.errors import ConfigError, InputError, RunError
from digitlab.explanation.inside import softmax, through
from digitlab.explanation.moves import AdamUpdate
from digitlab.explanation.step import LayerStep, StepApart, WeightStep
from digitlab.network import Architecture, AveragePooling2D, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.network.layers import Activation
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import StepRecord
from tests.engine import reference

SHAPE = (28, 28, 1)
# A batch of 20, so that blocks of images are cut in two, and a last one of 8.
CONFIG = TrainConfig(train_images=68, validation_images=10, batch_size=20, epochs=3)
NETWORKS = {
    "the codelab's": Architecture(
        [
            # With biases, so that no sum over a black border is 0, where ReLU has no slope.
            Conv2D(8, 5, activation="relu", bias_initializer="he_normal"),
            MaxPooling2D(2),
            Conv2D(16, 5, activation="relu", bias_initializer="he_normal"),
            MaxPooling2D(2),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        SHAPE,
    ),
    "strides, borders, smooth activations, no bias, softmax of its own": Architecture(
        [
            Conv2D(3, (3, 5), strides=(2, 3), padding="same", activation="tanh"),
            AveragePooling2D(2),
            Conv2D(4, 2, activation="leaky_relu", use_bias=False),
            Flatten(),
            Dense(7, activation="elu"),
            Dense(10),
            Activation("softmax"),
        ],
        SHAPE,
    ),
    "dropout on maps and on a row": Architecture(
        [
            Conv2D(4, 3, activation="relu"),
            MaxPooling2D(4),
            Dropout(0.3),
            Flatten(),
            Dense(12, activation="relu"),
            Dropout(0.5),
            Dense(10, activation="softmax"),
        ],
        SHAPE,
    ),
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam with a schedule": {"schedule": "one-cycle", "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.3},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "schedule": "cosine"},
    "nesterov": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
}


@pytest.fixture(scope="module")
def digits() -> MnistData:
    data = MnistData.load()

    def some(split: Split, n: int) -> Split:
        return Split(split.name, split.images[:n].copy(), split.labels[:n].copy())

    return MnistData(
        some(data.training, 80), some(data.validation, 20), some(data.test, 20), source="a few", digest="few"
    )


def apart_and_done(
    digits: MnistData, config: TrainConfig, network: Architecture, n_before: int
) -> tuple[StepApart, TrainingSession, StepRecord]:
    """Take the step after some apart, and then let the training take it."""
    session = TrainingSession(config, digits, architecture=network)
    records = session.records()
    while session.progress.step < n_before:
        next(records)
    apart = dl.take_step_apart(session)
    record = next(record for record in records if isinstance(record, StepRecord))
    return apart, session, record


def arrays_of(apart: StepApart, name: str) -> list[NDArray[np.float32]]:
    return [getattr(array, name) for layer in apart.layers for array in (layer.kernel, layer.bias) if array is not None]


def some_weights(apart: StepApart, rng: np.random.Generator, n: int = 3) -> list[tuple[LayerStep, tuple[int, ...]]]:
    """Weights of every array, among them those that change most: of many the gradient is 0."""
    found = []
    for layer in apart.layers:
        for array in filter(None, (layer.kernel, layer.bias)):
            largest = np.unravel_index(int(np.abs(array.gradient).argmax()), array.gradient.shape)
            chosen = [tuple(int(rng.integers(size)) for size in array.before.shape) for _ in range(n - 1)]
            found += [(layer, index) for index in (tuple(map(int, largest)), *chosen)]
    return found


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n_before", [0, 5, 7])
def test_it_is_the_step_that_the_training_takes_bit_for_bit(digits: MnistData, name: str, n_before: int) -> None:
    apart, session, record = apart_and_done(digits, CONFIG, NETWORKS[name], n_before)
    assert (apart.step, apart.epoch, apart.batch) == (record.step, record.epoch, record.batch)
    assert (apart.loss, apart.learning_rate, len(apart.labels)) == (record.loss, record.learning_rate, record.n_images)
    for shown, real in zip(arrays_of(apart, "after"), session.model.get_weights(), strict=True):
        np.testing.assert_array_equal(shown, real)
    moments = np.concatenate([array.ravel() for array in arrays_of(apart, "second_moment")])
    np.testing.assert_array_equal(moments, session.model.runner.second_moment)
    assert apart.losses.mean() == pytest.approx(apart.loss, rel=1e-5)
    assert (apart.probabilities.argmax(1) == apart.labels).mean() == pytest.approx(record.accuracy)


def test_taking_a_step_apart_changes_nothing_in_the_training(digits: MnistData) -> None:
    alone, watched = (TrainingSession(CONFIG, digits, architecture=NETWORKS["the codelab's"]) for _ in range(2))
    list(alone.records())
    for _ in watched.records():
        if not watched.finished and watched.progress.step < watched.n_steps:
            dl.take_step_apart(watched)
    for one, other in zip(alone.model.get_weights(), watched.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_images_are_those_of_the_batch(digits: MnistData) -> None:
    apart, session, _ = apart_and_done(digits, CONFIG, NETWORKS["the codelab's"], 4)
    training = session.training
    assert isinstance(training.labels, np.ndarray)
    np.testing.assert_array_equal(apart.images.reshape(20, -1), training.images.as_bytes[apart.places])
    np.testing.assert_array_equal(apart.labels, training.labels[apart.places])
    assert len(set(apart.places.tolist())) == 20


def test_the_gradient_is_the_references(digits: MnistData) -> None:
    network = NETWORKS["the codelab's"]
    apart, _, _ = apart_and_done(digits, CONFIG, network, 2)
    expected = reference.gradients(network, arrays_of(apart, "before"), apart.images / 255, apart.labels)
    for shown, real in zip(arrays_of(apart, "gradient"), expected, strict=True):
        np.testing.assert_allclose(shown, real, atol=2e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_shares_and_products_add_up_to_the_gradient(digits: MnistData, name: str) -> None:
    apart, _, _ = apart_and_done(digits, CONFIG, NETWORKS[name], 3)
    for layer, index in some_weights(apart, np.random.default_rng(0)):
        why = apart.why(layer.layer.name, *index)
        size = sum(abs(share.share) for share in why.shares)
        assert sum(share.share for share in why.shares) + why.rounding == pytest.approx(why.gradient, abs=1e-12)
        assert abs(why.rounding) <= 3e-6 * size + 1e-9
        assert len(why.shares) == why.n_shares == len(apart.labels)
        assert [abs(share.share) for share in why.shares] == sorted((abs(s.share) for s in why.shares), reverse=True)
        for image in (why.image, 7):
            one = apart.why(layer.layer.name, *index, image=image)
            share = next(share.share for share in one.shares if share.image == image)
            assert sum(product.product for product in one.products) == pytest.approx(share, abs=1e-7 * size + 1e-13)
            assert all(product.product == pytest.approx(product.value * product.error) for product in one.products)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_is_that_of_finite_differences(digits: MnistData, name: str, smoothing: float) -> None:
    network = NETWORKS[name]
    apart, _, _ = apart_and_done(digits, dataclasses.replace(CONFIG, label_smoothing=smoothing), network, 3)
    before = [array.astype(np.float64) for array in arrays_of(apart, "before")]
    masks = [factors(op, apart._batch.salt, len(apart.labels)) for op in apart._batch.dropouts]
    truth = np.full((len(apart.labels), 10), smoothing / 10)
    truth[np.arange(len(apart.labels)), apart.labels] += 1 - smoothing

    def loss(weights: list[Any]) -> float:
        sums = through(network, weights, apart.images / 255.0, masks)[-1][3]
        return float(-(np.log(softmax(sums)) * truth).sum(axis=1).mean())

    way = [np.random.default_rng(k).normal(size=array.shape) for k, array in enumerate(before)]
    ahead, behind = ([w + step * d for w, d in zip(before, way, strict=True)] for step in (1e-6, -1e-6))
    slope = (loss(ahead) - loss(behind)) / 2e-6
    told = sum(float((g * d).sum()) for g, d in zip(arrays_of(apart, "gradient"), way, strict=True))
    assert told == pytest.approx(slope, rel=2e-4, abs=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_change_is_what_the_optimizer_makes_of_the_gradient(digits: MnistData, name: str) -> None:
    config = dataclasses.replace(CONFIG, **OPTIMIZERS[name])
    for n_before in (0, 6):
        apart, _, record = apart_and_done(digits, config, NETWORKS["the codelab's"], n_before)
        for layer, index in some_weights(apart, np.random.default_rng(1)):
            why = apart.why(layer.layer.name, *index)
            array = layer.bias if len(index) == 1 else layer.kernel
            assert array is not None
            assert why.before + why.change == pytest.approx(why.after, abs=2e-7 * max(1.0, abs(why.after)))
            assert (why.before, why.after) == (array.before[index], array.after[index])
            assert why.learning_rate == record.learning_rate
            assert why.change - why.decay == pytest.approx(_moved(why), rel=1e-12)
            if isinstance(why.update, AdamUpdate):
                assert why.update.mean == pytest.approx(array.first_moment[index], rel=1e-5, abs=1e-12)
                assert why.update.square == pytest.approx(array.second_moment[index], rel=1e-5, abs=1e-15)
            else:
                assert why.update.velocity == pytest.approx(array.first_moment[index], rel=1e-5, abs=1e-10)


def _moved(why: WeightStep) -> float:
    """Kingma and Ba's algorithm 1 as it is written, with the epsilon that is told; and Sutskever's for SGD."""
    update, g, rate = why.update, why.gradient, why.learning_rate
    if isinstance(update, AdamUpdate):
        mean = update.beta_1 * update.mean_before + (1 - update.beta_1) * g
        square = update.beta_2 * update.square_before + (1 - update.beta_2) * g**2
        corrected = mean / (1 - update.beta_1**update.t), square / (1 - update.beta_2**update.t)
        return -rate * corrected[0] / (math.sqrt(corrected[1]) + update.corrected_epsilon)
    velocity = update.momentum * update.velocity_before - rate * g
    return update.momentum * velocity - rate * g if update.nesterov else velocity


@pytest.mark.parametrize("name", NETWORKS)
def test_the_loss_after_the_step_is_that_of_the_new_weights_on_the_same_batch(digits: MnistData, name: str) -> None:
    apart, _, _ = apart_and_done(digits, CONFIG, NETWORKS[name], 3)
    masks = [factors(op, apart._batch.salt, len(apart.labels)) for op in apart._batch.dropouts]
    sums = through(NETWORKS[name], arrays_of(apart, "after"), apart.images / 255.0, masks)[-1][3]
    expected = -np.log(softmax(sums))[np.arange(len(apart.labels)), apart.labels].mean()
    assert apart.loss_after == pytest.approx(expected, rel=1e-5)


def test_another_rate_moves_as_much_further_and_leaves_the_gradient(digits: MnistData) -> None:
    session = TrainingSession(CONFIG, digits, architecture=NETWORKS["the codelab's"])
    usual, tenfold = dl.take_step_apart(session), dl.take_step_apart(session, learning_rate=0.01)
    assert (usual.learning_rate, tenfold.learning_rate) == (0.001, 0.01)
    for one, other in zip(arrays_of(usual, "gradient"), arrays_of(tenfold, "gradient"), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(arrays_of(usual, "change"), arrays_of(tenfold, "change"), strict=True):
        np.testing.assert_allclose(10 * one, other, atol=3e-7)
    assert session.progress.rates == ()
    with pytest.raises(ConfigError):
        dl.take_step_apart(session, learning_rate=-1)
    lost = dl.take_step_apart(session, learning_rate=1e9).loss_after
    assert lost is None or lost > 1e6


def test_images_that_an_epoch_changes_are_shown_changed(digits: MnistData) -> None:
    config = dataclasses.replace(CONFIG, augmentation="reader")
    apart, session, record = apart_and_done(digits, config, NETWORKS["the codelab's"], 5)
    assert not np.array_equal(apart.images.reshape(20, -1), session.training.images.as_bytes[apart.places])  # type: ignore[union-attr]
    assert apart.losses.mean() == pytest.approx(record.loss, rel=1e-5)
    assert any("changed" in note for note in apart.notes)


def test_a_run_is_taken_apart_at_any_of_its_steps(tmp_path: Any) -> None:
    config = TrainConfig(network="dense_baseline", train_images=60, validation_images=10, batch_size=20, epochs=2)
    run = dl.train(config, out=tmp_path)
    records = [record for record in run.history() if isinstance(record, StepRecord)]
    for step in (1, 3, 4, 6):
        apart = dl.take_step_apart(run, step)
        assert (apart.step, apart.loss) == (step, records[step - 1].loss)
    for shown, real in zip(arrays_of(apart, "after"), run.load_model().weights, strict=True):
        np.testing.assert_array_equal(shown, real)
    by_name = dl.take_step_apart(run.name, 6, out=tmp_path).to_dict()
    assert by_name == json.loads(json.dumps(by_name))
    assert by_name == dl.take_step_apart(config, 6).to_dict()
    assert sorted(image["loss"] for image in by_name["images"]) == sorted(apart.losses.tolist())
    for wrong in (0, 7, -1, True, "first"):
        with pytest.raises(InputError):
            dl.take_step_apart(run, wrong)  # type: ignore[arg-type]
    with pytest.raises(RunError):
        dl.take_step_apart("nothing", 1, out=tmp_path)


def test_what_is_not_there_is_told(digits: MnistData) -> None:
    session = TrainingSession(CONFIG, digits, architecture=NETWORKS["the codelab's"])
    apart = dl.take_step_apart(session)
    with pytest.raises(InputError, match="Did you mean 'conv2d'"):
        apart.why("conv", 0)
    with pytest.raises(InputError, match="5 × 5 × 1 × 8, its bias 8"):
        apart.why("conv2d", 5, 0, 0, 0)
    for index in ((), (8,), (0, 0), (0, 0, 0, -1)):
        with pytest.raises(InputError):
            apart.why("conv2d", *index)
    with pytest.raises(InputError, match="images 0 to 19"):
        apart.why("conv2d", 0, image=20)
    with pytest.raises(InputError, match="next step is 1"):
        dl.take_step_apart(session, 2)
    list(session.records())
    with pytest.raises(InputError, match="ends with step 12"):
        dl.take_step_apart(session)
    with pytest.raises(InputError, match="finder"):
        dl.take_step_apart(TrainConfig(network="finder_cnn", loss="finder", train_images=8, validation_images=0))


def test_what_does_not_fit_into_memory_is_gone_through_in_parts(
    digits: MnistData, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = TrainingSession(CONFIG, digits, architecture=NETWORKS["dropout on maps and on a row"])
    whole = dl.take_step_apart(session).why("conv2d", 1, 1, 0, 2, image=5)
    monkeypatch.setattr("digitlab.explanation.shares._MOST_WINDOWS", 20_000)
    monkeypatch.setattr("digitlab.explanation.shares._MOST_KEPT", 0)
    parts = dl.take_step_apart(session).why("conv2d", 1, 1, 0, 2, image=5)
    assert parts.gradient == whole.gradient
    assert [share.share for share in parts.shares] == pytest.approx([share.share for share in whole.shares], rel=1e-6)
    assert len(parts.products) == 26 * 26
    monkeypatch.setattr("digitlab.explanation.step.MOST_MULTIPLY_ADDS", 1_000)
    with pytest.raises(InputError, match="smaller batch"):
        dl.take_step_apart(session)
