"""Training: what is reported, what cannot be used, and what happens when it diverges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from digitlab.engine.images import Images, LabelledImages
from digitlab.engine.loop import batch_order, steps
from digitlab.engine.optimizers import SGD, Adam, Optimizer
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, DataError, TrainingDivergedError
from digitlab.metrics import accuracy, cross_entropy
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.values import StepRecord
from tests.engine.networks import digits

NETWORK = Architecture(
    [
        Conv2D(4, 3, activation="relu"),
        MaxPooling2D(2),
        Flatten(),
        Dropout(0.2),
        Dense(9, activation="relu"),
        Dense(5, activation="softmax"),
    ],
    (8, 7, 1),
)
N, BATCH = 70, 30  # three batches an epoch, the last of ten


@pytest.fixture
def model() -> Sequential:
    return Sequential.from_architecture(NETWORK, seed=0)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return digits(NETWORK, N)


def test_there_is_a_record_for_every_batch_and_every_epoch(model: Sequential, data: Any) -> None:
    history = model.fit(*data, batch_size=BATCH, epochs=2, validation_data=(data[0][:9], data[1][:9]))
    assert [(r.step, r.epoch, r.batch, r.n_images) for r in history.steps] == [
        (1, 1, 1, 30), (2, 1, 2, 30), (3, 1, 3, 10), (4, 2, 1, 30), (5, 2, 2, 30), (6, 2, 3, 10),
    ]  # fmt: skip
    assert [(r.epoch, r.step) for r in history.epochs] == [(1, 3), (2, 6)]
    assert {name: len(values) for name, values in history.history.items()} == {
        "loss": 2, "accuracy": 2, "val_loss": 2, "val_accuracy": 2,
    }  # fmt: skip
    for epoch in history.epochs:
        batches = [r for r in history.steps if r.epoch == epoch.epoch]
        # Means over images, not over batches.
        assert epoch.loss == pytest.approx(sum(r.loss * r.n_images for r in batches) / N)
        assert epoch.accuracy == pytest.approx(sum(r.accuracy * r.n_images for r in batches) / N)
    assert all(r.images_per_s > 0 for r in (*history.steps, *history.epochs))


def test_the_validation_is_that_of_the_weights_at_the_epochs_end(model: Sequential, data: Any) -> None:
    validation = digits(NETWORK, 33, seed=1)
    last = model.fit(*data, batch_size=BATCH, epochs=1, validation_data=validation).epochs[-1]
    answers = model.predict(validation[0])
    assert last.val_loss == cross_entropy(answers, validation[1])
    assert last.val_accuracy == accuracy(validation[1], answers.argmax(axis=1))


def test_without_validation_images_there_is_no_validation(model: Sequential, data: Any) -> None:
    history = model.fit(*data, epochs=1)
    assert set(history.history) == {"loss", "accuracy"}
    assert history.epochs[0].val_loss is None


def test_a_batch_size_above_the_number_of_images_is_one_batch_of_all(model: Sequential, data: Any) -> None:
    assert [r.n_images for r in model.fit(*data, batch_size=512, epochs=2).steps] == [N, N]


def test_training_learns_what_can_be_learnt(data: Any) -> None:
    # 70 random labels are learnt by heart.
    without_dropout = Architecture([Flatten(), Dense(40, activation="relu"), Dense(5, activation="softmax")], (8, 7, 1))
    model = Sequential.from_architecture(without_dropout, seed=0)
    history = model.fit(*data, batch_size=BATCH, epochs=60, optimizer=Adam(0.01))
    assert history.epochs[-1].accuracy > 0.98
    assert history.epochs[-1].loss < 0.1


def test_one_hot_labels_are_the_same_as_numbers(data: Any) -> None:
    images, labels = data
    runs = []
    for given in (labels, np.eye(5, dtype=np.float32)[labels], labels.astype(np.uint8), labels.tolist()):
        model = Sequential.from_architecture(NETWORK, seed=0)
        model.fit(images, given, batch_size=BATCH, epochs=1)
        runs.append(model.runner.parameters)
    for run in runs[1:]:
        np.testing.assert_array_equal(run, runs[0])


def test_every_epoch_takes_every_image_once_in_an_order_of_its_own() -> None:
    first, second = (batch_order(100, epoch, seed=3, shuffle=True) for epoch in (1, 2))
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, batch_order(100, 1, seed=3, shuffle=True))
    assert not np.array_equal(first, batch_order(100, 1, seed=4, shuffle=True))


def test_without_shuffling_batches_are_taken_in_order(data: Any) -> None:
    np.testing.assert_array_equal(batch_order(100, 7, seed=3, shuffle=False), np.arange(100))
    images, labels = data
    architecture = Architecture([Flatten(), Dense(5, activation="softmax")], (8, 7, 1))
    model, one_by_one = (Sequential.from_architecture(architecture, seed=0) for _ in range(2))
    model.fit(images, labels, batch_size=BATCH, epochs=1, shuffle=False, optimizer=SGD(0.1))
    for begin in range(0, N, BATCH):
        part = slice(begin, begin + BATCH)
        one_by_one.fit(images[part], labels[part], batch_size=BATCH, epochs=1, shuffle=False, optimizer=SGD(0.1))
    np.testing.assert_array_equal(model.runner.parameters, one_by_one.runner.parameters)


def test_callbacks_are_told_of_every_batch_and_epoch_and_may_have_one_method(model: Sequential, data: Any) -> None:
    told: list[tuple[str, int, dict[str, float]]] = []

    class Batches:
        def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            told.append(("batch", batch, dict(logs)))
            logs.clear()  # everybody has a dictionary of their own

    class Epochs:
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            told.append(("epoch", epoch, dict(logs)))

    history = model.fit(
        *data, batch_size=BATCH, epochs=2, validation_data=data, callbacks=[Batches(), Epochs(), Batches()]
    )
    assert [(kind, number) for kind, number, _ in told] == [
        *[("batch", batch) for batch in (0, 0, 1, 1, 2, 2)], ("epoch", 0),
        *[("batch", batch) for batch in (0, 0, 1, 1, 2, 2)], ("epoch", 1),
    ]  # fmt: skip
    assert all(set(logs) == {"loss", "accuracy"} for kind, _, logs in told if kind == "batch")
    epochs = [logs for kind, _, logs in told if kind == "epoch"]
    assert epochs == [{name: values[i] for name, values in history.history.items()} for i in range(2)]


def test_stopping_to_iterate_stops_training(model: Sequential, data: Any) -> None:
    records = model.steps(*data, batch_size=BATCH, epochs=5)
    next(records)
    after_one = model.runner.parameters
    records.close()
    np.testing.assert_array_equal(model.runner.parameters, after_one)


X, Y = digits(NETWORK, 6)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"x": X[:, :5]}, DataError, r"takes images of shape \(n, 8, 7, 1\)"),
        ({"x": X.astype(int) - 1}, DataError, "Pixels that are whole numbers are bytes, 0 to 255; these are -1 to"),
        ({"y": Y[:5]}, DataError, "There are 6 images but 5 labels; give one label for every image"),
        ({"y": np.eye(4)[Y % 4]}, DataError, r"shape \(6, 4\), but one class number .* or one-hot rows of 5"),
        ({"y": Y + 0.5}, DataError, "labels holds .* at position 0, but class numbers are 0 to 4"),
        ({"y": Y[:, None, None]}, DataError, r"shape \(6, 1, 1\)"),
        ({"y": [0, 1, 2, 5, 1, 1]}, DataError, "labels holds 5 at position 3, but class numbers are 0 to 4"),
        ({"y": [0, 1, 2, 1, 1, -1]}, DataError, "labels holds -1 at position 5, but class numbers are 0 to 4"),
        ({"x": X[:0], "y": Y[:0]}, DataError, "There are no images; give at least one"),
        ({"validation_data": (X, Y[:2])}, DataError, "There are 6 images but 2 labels"),
        ({"batch_size": 0}, ConfigError, "batch_size must be a whole number of at least 1; got 0"),
        ({"batch_size": 2.5}, ConfigError, "batch_size must be a whole number of at least 1; got 2.5"),
        ({"epochs": 0}, ConfigError, "epochs must be a whole number of at least 1; got 0"),
        ({"epochs": True}, ConfigError, "epochs must be a whole number of at least 1; got True"),
        ({"seed": -1}, ConfigError, "seed must be a whole number of at least 0; got -1"),
        ({"schedule": "one_cycle"}, ConfigError, "no learning rate schedule 'one_cycle'. Did you mean 'one-cycle'"),
    ],
)
def test_what_cannot_be_used_is_an_error_before_anything_changes(
    model: Sequential, arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    before = model.runner.parameters
    with pytest.raises(error, match=sentence):
        model.fit(**({"x": X, "y": Y} | arguments))
    np.testing.assert_array_equal(model.runner.parameters, before)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("optimizer", [SGD(1e6, momentum=0.9), SGD(1e30), Adam(1e35)])
def test_a_diverging_run_stops_with_a_sentence_and_keeps_good_weights(
    data: Any, optimizer: Optimizer, threads: int
) -> None:
    model = Sequential.from_architecture(NETWORK, seed=0, threads=threads)
    records = []
    run = model.steps(*data, batch_size=BATCH, epochs=100, optimizer=optimizer, validation_data=data)
    with pytest.raises(TrainingDivergedError, match=r"at step \d+, with learning rate .* ten times smaller"):
        records.extend(run)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert np.isfinite(model.predict(data[0])).all()
    assert all(np.isfinite(record.loss) for record in records)


def test_the_weights_kept_are_those_of_the_last_finite_loss(model: Sequential, data: Any) -> None:
    weights = [model.runner.parameters]
    run = model.steps(*data, batch_size=BATCH, epochs=100, optimizer=SGD(1e30))
    with pytest.raises(TrainingDivergedError):
        weights.extend(model.runner.parameters for record in run if isinstance(record, StepRecord))
    # The last step that was reported had a finite loss, but the weights that it led to gave none any more.
    np.testing.assert_array_equal(model.runner.parameters, weights[-2])


def test_images_that_are_not_numbers_are_noticed_in_every_kind_of_network() -> None:
    images, labels = digits(NETWORK, 40)
    images[33] = np.nan
    layers = {
        "dense": [Flatten(), Dense(4, activation="relu")],
        "convolution": [Conv2D(3, 3, activation="relu"), Flatten()],
        "fused pooling": [Conv2D(3, 3, activation="relu"), MaxPooling2D(2), Flatten()],
        "dropout": [Dropout(0.1), Flatten()],
    }
    for first in layers.values():
        model = Sequential([*first, Dense(5, activation="softmax")], (8, 7, 1))
        before = model.runner.parameters
        with pytest.raises(DataError, match="1 of 40 images hold pixels that are NaN"):
            model.fit(images, labels)
        # And where nobody has looked at them before.
        model.runner.start_training(40)
        given = LabelledImages(Images.from_array(images, 56), labels)
        records = steps(model.runner, given, batch_size=40, epochs=1, optimizer=Adam(), learning_rate=lambda step: 0.1)
        with pytest.raises(TrainingDivergedError, match="at step 1,"):
            next(records)
        np.testing.assert_array_equal(model.runner.parameters, before)
