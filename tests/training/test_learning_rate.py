"""A learning rate that is changed while a session trains: from which batch on, and that it is not forgotten."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from digitlab.errors import ConfigError, RunError
from digitlab.runs.directory import Run
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, StepRecord

# 4 batches an epoch, 12 in all.
SMALL = TrainConfig(network="dense_baseline", train_images=50, validation_images=20, batch_size=16, epochs=3)


def trained(session, changes):
    """Train, and set a rate after each of some batches: {batch: rate}."""
    records = []
    for record in session.records():
        records.append(record)
        if isinstance(record, StepRecord) and record.step in changes:
            session.set_learning_rate(changes[record.step])
    return records


def test_a_rate_holds_from_the_next_batch_on(digits):
    session = TrainingSession(SMALL, digits)
    records = trained(session, {3: 0.01, 7: 0.0005})
    rates = [record.learning_rate for record in records if isinstance(record, StepRecord)]
    assert rates == [0.001] * 3 + [0.01] * 4 + [0.0005] * 5
    assert session.learning_rate == 0.0005


def test_an_epochs_rate_is_that_of_its_last_batch(digits):
    records = trained(TrainingSession(SMALL, digits), {4: 0.01, 8: 0.02})
    assert [record.learning_rate for record in records if isinstance(record, EpochRecord)] == [0.001, 0.01, 0.02]


def test_with_a_schedule_it_is_the_peak_that_changes(digits):
    config = dataclasses.replace(SMALL, schedule="one-cycle", learning_rate=0.01)
    records = trained(TrainingSession(config, digits), {6: 0.02})
    rates = [record.learning_rate for record in records if isinstance(record, StepRecord)]
    planned = [config.rate(step, 12) for step in range(12)]
    assert rates == pytest.approx(planned[:6] + [2 * rate for rate in planned[6:]])


def test_of_two_rates_set_before_a_batch_the_last_counts(digits):
    session = TrainingSession(SMALL, digits)
    session.set_learning_rate(0.1)
    session.set_learning_rate(0.01)
    assert session.progress.rates == ((0, 0.01),)
    assert next(session.records()).learning_rate == 0.01


@pytest.mark.parametrize("stop_at", [3, 4, 5, 6, 9])
def test_a_resumed_run_goes_on_with_the_rates_that_were_set(digits, tmp_path, stop_at):
    changes = {2: 0.02, 4: 0.003, 8: 0.01}
    whole = TrainingSession(SMALL, digits)
    expected = trained(whole, changes)
    run = Run.create(tmp_path / "run")
    stopped = TrainingSession(SMALL, digits, run)
    records = stopped.records()
    for record in records:
        if isinstance(record, StepRecord):
            if record.step in changes:
                stopped.set_learning_rate(changes[record.step])
            if record.step == stop_at:
                break
    records.close()
    resumed = TrainingSession.resume(run, digits)
    trained(resumed, changes)
    assert np.array_equal(resumed.model.runner.parameters, whole.model.runner.parameters)
    assert [record.learning_rate for record in run.history()] == [record.learning_rate for record in expected]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), "fast", None, True])
def test_what_is_no_rate_changes_nothing(digits, rate):
    session = TrainingSession(SMALL, digits)
    with pytest.raises(ConfigError, match="learning_rate must be"):
        session.set_learning_rate(rate)
    assert session.learning_rate == 0.001


@pytest.mark.parametrize("rates", [[[0, -1.0]], [[0]], [["a", 0.1]], 5, None, [[0, float("nan")]], [[0, "x"]]])
def test_a_state_with_rates_that_cannot_be_is_damaged(digits, tmp_path, rates):
    run = Run.create(tmp_path / "run")
    session = TrainingSession(SMALL, digits, run)
    session.progress.rates = rates
    state = session.state_checkpoint()
    with pytest.raises(RunError, match="is damaged"):
        TrainingSession(SMALL, digits, run).restore(state)
