"""A session: the records of a training, its numbers, and what becomes of a generator that nobody exhausts."""

from __future__ import annotations

import dataclasses
import math
import threading

import numpy as np
import pytest

from digitlab.data.mnist import MnistData, Split, choose_images
from digitlab.engine.loop import batch_order
from digitlab.errors import ConfigError, DataError, NetworkError, TrainingDivergedError
from digitlab.metrics import accuracy, cross_entropy
from digitlab.network import Architecture, Dense, Flatten
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, StepRecord

SMALL = TrainConfig(network="dense_baseline", train_images=50, validation_images=20, batch_size=16, epochs=3)


def changed(**values):
    return dataclasses.replace(SMALL, **values)


def split_records(session):
    records = list(session.records())
    steps = [record for record in records if isinstance(record, StepRecord)]
    return steps, [record for record in records if isinstance(record, EpochRecord)]


def weights_after(config, digits):
    session = TrainingSession(config, digits)
    list(session.records())
    return session.model.runner.parameters


def test_the_default_session_is_the_codelabs(mnist):
    session = TrainingSession(TrainConfig(), mnist)
    assert (len(session.training), len(session.validation), session.n_steps) == (5_500, 1_000, 110)
    assert session.model.count_params() == 5_994
    steps, epochs = split_records(session)
    assert [record.step for record in steps] == list(range(1, 111))
    assert [record.n_images for record in steps] == ([512] * 10 + [380]) * 10
    assert [record.epoch for record in epochs] == list(range(1, 11))
    assert epochs[-1].val_accuracy > 0.85
    assert session.finished
    assert not session.stopped_early


def test_every_batch_and_every_epoch_has_a_record_in_order(digits):
    records = list(TrainingSession(SMALL, digits).records())
    assert [(type(record), record.epoch, getattr(record, "batch", None)) for record in records] == [
        (kind, epoch, batch)
        for epoch in (1, 2, 3)
        for kind, batch in ((StepRecord, 1), (StepRecord, 2), (StepRecord, 3), (StepRecord, 4), (EpochRecord, None))
    ]
    assert [record.n_images for record in records if isinstance(record, StepRecord)] == [16, 16, 16, 2] * 3
    assert all(record.step == 4 * record.epoch for record in records if isinstance(record, EpochRecord))


def test_an_epochs_means_are_those_of_its_batches_weighted_by_their_images(digits):
    steps, epochs = split_records(TrainingSession(SMALL, digits))
    for epoch in epochs:
        batches = [record for record in steps if record.epoch == epoch.epoch]
        n_images = [record.n_images for record in batches]
        assert epoch.loss == pytest.approx(np.average([record.loss for record in batches], weights=n_images), rel=1e-12)
        assert epoch.accuracy == pytest.approx(np.average([r.accuracy for r in batches], weights=n_images), rel=1e-12)
        seconds = sum(record.n_images / record.images_per_s for record in batches)
        assert epoch.images_per_s == pytest.approx(50 / seconds)


def test_validation_is_on_the_validation_images_with_the_epochs_last_weights(digits):
    session = TrainingSession(SMALL, digits)
    chosen = digits.validation.at(choose_images(digits.validation, 20, SMALL.seed))
    for record in session.records():
        if isinstance(record, EpochRecord):
            probabilities = session.model.predict(chosen.images)
            assert record.val_loss == cross_entropy(probabilities, chosen.labels)
            assert record.val_accuracy == accuracy(chosen.labels, probabilities.argmax(axis=1))


def test_a_batchs_loss_is_that_of_its_images_before_the_step(digits):
    session = TrainingSession(SMALL, digits)
    places = choose_images(digits.training, 50, SMALL.seed)[batch_order(50, 1, SMALL.seed, True)[:16]]
    batch = digits.training.at(places)
    before = session.model.predict(batch.images)
    record = next(session.records())
    assert record.loss == pytest.approx(cross_entropy(before, batch.labels), rel=1e-5)
    assert record.accuracy == accuracy(batch.labels, before.argmax(axis=1))


def test_the_rates_follow_the_schedule(digits):
    config = changed(schedule="one-cycle", learning_rate=0.01)
    steps, epochs = split_records(TrainingSession(config, digits))
    assert [record.learning_rate for record in steps] == [config.rate(step, 12) for step in range(12)]
    assert [record.learning_rate for record in epochs] == [config.rate(step, 12) for step in (3, 7, 11)]


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(digits):
    first = weights_after(SMALL, digits)
    assert np.array_equal(first, weights_after(SMALL, digits))
    assert np.array_equal(first, weights_after(changed(threads=1), digits))
    assert not np.array_equal(first, weights_after(changed(seed=1), digits))


def test_without_shuffling_every_epoch_has_the_same_batches(digits):
    slow = changed(shuffle=False, optimizer="sgd", learning_rate=1e-12)
    steps, _ = split_records(TrainingSession(slow, digits))
    losses = [record.loss for record in steps]
    assert losses[:4] == pytest.approx(losses[4:8], rel=1e-4)
    shuffled, _ = split_records(TrainingSession(dataclasses.replace(slow, shuffle=True), digits))
    assert [record.loss for record in shuffled[:4]] != pytest.approx(losses[:4], rel=1e-4)


@pytest.mark.parametrize(("field", "n"), [("train_images", 200), ("validation_images", 60)])
def test_a_small_set_trains_with_what_there_is_and_says_so(digits, field, n):
    session = TrainingSession(changed(**{field: 1000}), digits)
    assert getattr(session.config, field) == n
    (note,) = session.notes
    assert "has 200 images for training and 60 for validation" in note
    assert "1,000" in note
    assert session.describe()["config"][field] == n
    assert TrainingSession(session.config, digits).notes == ()


def lettered(digits, names=("a", "b", "c")):
    splits = [
        Split(one.name, one.images, one.labels % len(names))
        for one in (digits.training, digits.validation, digits.test)
    ]
    return MnistData(*splits, source="letters", digest="0", class_names=names)


def test_a_network_of_the_zoo_ends_in_as_many_classes_as_the_data_has(digits):
    session = TrainingSession(changed(), lettered(digits))
    assert session.model.architecture.n_classes == 3
    assert session.model.class_names == ("a", "b", "c")
    list(session.records())
    assert session.model_checkpoint().class_names == ("a", "b", "c")


def test_a_network_with_fewer_outputs_than_classes_gets_a_sentence(digits):
    few = Architecture([Flatten(), Dense(2, activation="softmax")])
    with pytest.raises(
        ConfigError, match=r"letters has 3 classes, a to c, and sequential tells 2 apart\. Give its last"
    ):
        TrainingSession(changed(), lettered(digits), architecture=few)
    more = Architecture([Flatten(), Dense(4, activation="softmax")])
    session = TrainingSession(changed(), lettered(digits), architecture=more)
    assert session.model.class_names == ("a", "b", "c", "3")


def test_what_is_drawn_of_digits_needs_digits(digits):
    with pytest.raises(ConfigError, match=r"letters has the classes a to c, and finders, .* are made of digits"):
        TrainingSession(changed(variants=0.2), lettered(digits))


def test_without_validation_images_nothing_is_validated(digits):
    session = TrainingSession(changed(validation_images=0), digits)
    _, epochs = split_records(session)
    assert [(record.val_loss, record.val_accuracy) for record in epochs] == [(None, None)] * 3
    assert session.best_epoch is None


def test_a_batch_can_be_larger_than_the_training_images(digits):
    session = TrainingSession(changed(batch_size=1_000_000_000), digits)
    steps, _ = split_records(session)
    assert session.n_steps == 3
    assert [record.n_images for record in steps] == [50] * 3


def test_a_session_for_one_image_works(digits):
    steps, epochs = split_records(TrainingSession(changed(train_images=1, validation_images=1, batch_size=1), digits))
    assert (len(steps), len(epochs)) == (3, 3)


def test_a_network_for_other_images_or_fewer_classes_gets_a_sentence(digits):
    with pytest.raises(DataError, match="takes images of shape"):
        TrainingSession(SMALL, digits, architecture=Architecture([Dense(10, activation="softmax")], (5,)))
    with pytest.raises(DataError, match="class numbers are 0 to 1"):
        TrainingSession(SMALL, digits, architecture=Architecture([Flatten(), Dense(2, activation="softmax")]))
    with pytest.raises(NetworkError, match="softmax"):
        TrainingSession(SMALL, digits, architecture=Architecture([Flatten(), Dense(10)]))


def test_progress_is_up_to_date_at_every_record(digits):
    session = TrainingSession(SMALL, digits)
    for record in session.records():
        assert session.progress.step == record.step
        assert session.progress.epochs_done == record.epoch - isinstance(record, StepRecord)


def test_a_session_without_a_run_writes_nothing(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    list(TrainingSession(SMALL, digits).records())
    assert list(tmp_path.iterdir()) == []


def test_records_can_be_taken_in_another_thread(digits):
    session, taken = TrainingSession(SMALL, digits), []
    thread = threading.Thread(target=lambda: taken.extend(session.records()))
    thread.start()
    thread.join()
    assert len(taken) == 15
    assert np.array_equal(session.model.runner.parameters, weights_after(SMALL, digits))


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adamw"])
def test_a_learning_rate_of_a_million_diverges_with_a_sentence_and_good_weights(digits, optimizer):
    session = TrainingSession(changed(learning_rate=1e6, optimizer=optimizer, epochs=20), digits)
    records = []
    with pytest.raises(
        TrainingDivergedError, match=r"learning rate 1e\+06\. .* Try a learning rate ten times smaller\."
    ):
        records.extend(session.records())
    assert all(math.isfinite(record.loss) for record in records)
    assert session.diverged
    assert not session.finished
    assert np.isfinite(session.model.runner.parameters).all()
    assert np.isfinite(session.model.predict(digits.test.images)).all()


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": 1e9},
        {"learning_rate": 1e-30},
        {"epsilon": 1e-30, "beta_1": 0.0, "beta_2": 0.0},
        {"epsilon": 1e9},
        {"beta_1": 1 - 2**-53, "beta_2": 1 - 2**-53},
        {"weight_decay": 1e9, "learning_rate": 1e9},
        {"optimizer": "sgd", "momentum": 1 - 2**-53, "nesterov": True, "learning_rate": 1e9},
    ],
)
def test_the_ends_of_the_ranges_train_or_diverge_without_a_warning(digits, values):
    session = TrainingSession(changed(**values), digits)
    try:
        records = list(session.records())
    except TrainingDivergedError:
        assert session.diverged
    else:
        assert all(math.isfinite(record.loss) for record in records)
    assert np.isfinite(session.model.runner.parameters).all()


def test_a_session_describes_all_that_repeating_it_needs(digits):
    description = TrainingSession(SMALL, digits).describe()
    assert TrainConfig.from_dict(description["config"]) == SMALL
    assert Architecture.from_dict(description["network"]).n_parameters == 6370
    assert description["data"] == {"source": "a few digits", "digest": "few"}
    assert description["command"].startswith("digitlab train --network dense_baseline")
