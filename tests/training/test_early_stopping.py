"""Early stopping and best weights look at the validation images, and at nothing else."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from digitlab.engine import loop
from digitlab.errors import TrainingDivergedError
from digitlab.runs.run import Run
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord

SMALL = TrainConfig(network="dense_baseline", train_images=50, validation_images=20, batch_size=50, epochs=8)


@pytest.fixture
def session(digits, monkeypatch):
    """Return a function that trains with given validation losses, and gives the session and each epoch's weights."""

    def trained(losses, run=None, **changes):
        given = iter(losses)
        monkeypatch.setattr(loop, "cross_entropy", lambda *_: next(given))
        session = TrainingSession(dataclasses.replace(SMALL, **changes), digits, run)
        weights = [session.model.runner.parameters for record in session.records() if isinstance(record, EpochRecord)]
        return session, weights

    return trained


@pytest.mark.parametrize(
    ("patience", "losses", "n_epochs", "best_epoch"),
    [
        (1, [3, 2, 2.5, 1, 1, 1, 1, 1], 3, 2),
        (2, [3, 2, 2.5, 1, 4, 0.5, 1, 1], 8, 6),
        (2, [3, 2, 2.5, 2.5, 1, 1, 1, 1], 4, 2),
        (3, [3, 2, 2, 2, 2, 1, 1, 1], 5, 2),  # as low is not lower
        (7, [1, 2, 3, 4, 5, 6, 7, 8], 8, 1),
        (8, [1, 2, 3, 4, 5, 6, 7, 8], 8, 1),
        (0, [1, 2, 3, 4, 5, 6, 7, 8], 8, 1),
    ],
)
def test_training_stops_after_so_many_epochs_without_a_lower_validation_loss(
    session, patience, losses, n_epochs, best_epoch
):
    trained, weights = session(losses, early_stopping=patience)
    assert len(weights) == n_epochs
    assert trained.best_epoch == best_epoch
    assert trained.finished
    assert trained.stopped_early == (n_epochs < 8)
    assert np.array_equal(trained.model.runner.parameters, weights[-1])


@pytest.mark.parametrize("losses", [[3, 2, 1, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]])
def test_the_best_weights_are_those_of_the_epoch_with_the_lowest_validation_loss(session, losses, tmp_path):
    run = Run.create(tmp_path / "run")
    trained, weights = session(losses, run, best_weights=True)
    best = losses.index(min(losses))
    assert trained.best_epoch == best + 1
    assert np.array_equal(trained.model.runner.parameters, weights[best])
    kept = run.load_model()
    assert np.array_equal(np.concatenate([array.ravel() for array in kept.weights]), weights[best])
    assert kept.metadata["epoch"] == str(best + 1)


def test_best_weights_and_early_stopping_go_together(session):
    trained, weights = session([3, 1, 2, 2, 0, 0, 0, 0], best_weights=True, early_stopping=2)
    assert len(weights) == 4
    assert np.array_equal(trained.model.runner.parameters, weights[1])


def test_without_best_weights_the_last_ones_are_kept(session, tmp_path):
    run = Run.create(tmp_path / "run")
    trained, weights = session([1, 2, 3, 4, 5, 6, 7, 8], run)
    assert np.array_equal(trained.model.runner.parameters, weights[-1])
    assert run.load_model().metadata["epoch"] == "8"


def test_the_validation_loss_is_what_real_training_is_judged_by(digits):
    config = dataclasses.replace(SMALL, optimizer="sgd", learning_rate=3.0, epochs=12, batch_size=16, best_weights=True)
    trained = TrainingSession(config, digits)
    epochs, weights = [], []
    for record in trained.records():
        if isinstance(record, EpochRecord):
            epochs.append(record)
            weights.append(trained.model.runner.parameters)
    best = min(epochs, key=lambda record: record.val_loss)
    assert 1 < best.epoch < 12
    assert trained.best_epoch == best.epoch
    assert np.array_equal(trained.model.runner.parameters, weights[best.epoch - 1])


@pytest.mark.parametrize("best_weights", [False, True])
def test_a_validation_loss_of_nan_ends_the_run_with_the_weights_of_before(session, tmp_path, best_weights):
    run = Run.create(tmp_path / "run")
    with pytest.raises(TrainingDivergedError):
        session([1, 2, math.nan], run, best_weights=best_weights)
    assert [record.epoch for record in run.history() if isinstance(record, EpochRecord)] == [1, 2]
    assert run.info().status == "diverged"
    assert run.load_model().metadata["epoch"] == ("1" if best_weights else "2")


def test_an_early_end_is_a_complete_run(session, tmp_path):
    run = Run.create(tmp_path / "run")
    session([1, 2, 3, 4, 5, 6, 7, 8], run, early_stopping=2)
    info = run.info()
    assert (info.status, info.epochs_done, info.epochs) == ("complete", 3, 8)


def test_a_run_says_of_which_epoch_its_weights_are_and_gives_that_ones_accuracy(session, tmp_path):
    run = Run.create(tmp_path / "run")
    session([3, 1, 2, 4], run, best_weights=True, early_stopping=2)
    info = run.info()
    epochs = [record for record in run.history() if isinstance(record, EpochRecord)]
    assert (info.best_epoch, info.val_accuracy) == (2, epochs[1].val_accuracy)
    assert info.on_the_way == (
        "stopped early after epoch 4 of 8", "weights of epoch 2, whose val_loss was lowest",
    )  # fmt: skip
    assert info.changes == ()  # the settings alone repeat it
    metadata = run.load_model().metadata
    assert (metadata["epoch"], metadata["step"]) == ("2", "2")  # an epoch is one batch here


def test_of_a_run_whose_last_weights_are_kept_there_is_nothing_to_tell(session, tmp_path):
    run = Run.create(tmp_path / "run")
    session([8, 7, 6, 5, 4, 3, 2, 1], run, best_weights=True)
    assert run.info().on_the_way == ()
    other = Run.create(tmp_path / "other")
    session([1, 2, 3, 4, 5, 6, 7, 8], other)
    info = other.info()
    assert (info.on_the_way, info.best_epoch, info.batches_done) == ((), None, 8)


@pytest.mark.parametrize("best_weights", [False, True])
def test_a_run_that_diverged_says_after_which_batch(session, tmp_path, best_weights):
    run = Run.create(tmp_path / "run")
    with pytest.raises(TrainingDivergedError):
        session([1, 2, math.nan], run, best_weights=best_weights)
    kept = ("diverged after batch 3 of 8", "weights of epoch 1, whose val_loss was lowest")
    assert run.info().on_the_way == (kept if best_weights else ("diverged after batch 3 of 8, weights from before",))
