"""A learning rate that is changed while a session trains: from which batch on, and that it is not forgotten."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import ConfigError, RunError
from digitlab.network import Architecture, Dense, Flatten
from digitlab.runs.run import CONFIG, ENVIRONMENT, HISTORY, STATE, Run
from digitlab.training.config import TrainConfig
from digitlab.training.keeping import environment
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, RateChange, Resumption, StepRecord

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


def test_a_rate_that_was_set_back_before_its_batch_is_no_change(digits):
    session = TrainingSession(SMALL, digits)
    session.set_learning_rate(0.1)
    session.set_learning_rate(0.001)
    assert not session.progress.rates


def test_the_history_keeps_each_change_with_its_batch_and_the_settings_stay(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    trained(TrainingSession(SMALL, digits, run), {4: 0.01, 7: 0.002})
    assert run.read_json(CONFIG)["config"]["learning_rate"] == 0.001
    assert run.steering() == [RateChange(4, 0.01), RateChange(7, 0.002)]
    lines = [json.loads(line)["kind"] for line in (run.path / HISTORY).read_text().splitlines()]
    assert lines[:8] == ["step"] * 4 + ["epoch", "learning rate", "step", "step"]
    assert [type(record) for record in run.history()] == ([StepRecord] * 4 + [EpochRecord]) * 3
    assert run.info().changes == ("learning rate 0.01 from batch 5", "learning rate 0.002 from batch 8")


def test_changes_of_a_history_that_does_not_name_them_are_told_by_its_steps(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    trained(TrainingSession(SMALL, digits, run), {4: 0.01})
    lines = (run.path / HISTORY).read_text().splitlines(keepends=True)
    (run.path / HISTORY).write_text("".join(line for line in lines if '"learning rate"' not in line))
    assert run.steering() == []
    assert run.info().changes == ("learning rate 0.01 from batch 5",)
    again = TrainingSession.repeat(run, digits)
    list(again.records())
    assert np.array_equal(again.model.get_weights()[0], run.load_model().weights[0])
    faster = TrainingSession.repeat(run, digits, {"learning_rate": 0.005})
    rates = [record.learning_rate for record in faster.records() if isinstance(record, StepRecord)]
    assert rates == [0.005] * 4 + [0.01] * 8


WAYS = {
    "constant": {},
    "one-cycle": {"schedule": "one-cycle", "learning_rate": 0.01},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stops", [(), (5,), (3, 4, 8)])
def test_a_steered_run_that_was_stopped_and_resumed_is_repeated_bit_for_bit(digits, tmp_path, way, stops):
    changes = {2: 0.02, 4: 0.003, 8: 0.01}
    config = dataclasses.replace(SMALL, **WAYS[way])
    run = Run.create(tmp_path / "run")
    session = TrainingSession(config, digits, run)
    for stop in (*stops, None):
        records = session.records()
        for record in records:
            if isinstance(record, StepRecord) and record.step in changes:
                session.set_learning_rate(changes[record.step])
            if isinstance(record, StepRecord) and record.step == stop:
                break
        records.close()
        if stop is not None:
            session = TrainingSession.resume(run, digits)
    assert run.info().resumed_after == stops
    assert [change for change in run.steering() if isinstance(change, RateChange)] == [
        RateChange(*change) for change in changes.items()
    ]
    again = TrainingSession.repeat(run, digits)
    again.run = Run.create(tmp_path / "again")
    list(again.records())
    for a, b in zip(again.run.load_model().weights, run.load_model().weights, strict=True):
        assert np.array_equal(a, b)
    assert again.run.info().changes == run.info().changes
    third = TrainingSession.repeat(again.run, digits)
    list(third.records())
    assert np.array_equal(third.model.runner.parameters, again.model.runner.parameters)


@pytest.mark.parametrize("stop", [3, 5, 6])
def test_a_run_that_was_stopped_is_repeated_as_far_as_it_was(digits, tmp_path, stop):
    run = Run.create(tmp_path / "run")
    session = TrainingSession(SMALL, digits, run)
    records = session.records()
    for n, record in enumerate(records, start=1):
        if isinstance(record, StepRecord) and record.step == 2:
            session.set_learning_rate(0.02)
        if n == stop:
            session.set_learning_rate(0.5)  # set, and never used
            break
    records.close()
    again = TrainingSession.repeat(run, digits)
    again.run = Run.create(tmp_path / "again")
    records = again.records()
    for _ in records:
        if again.is_there:
            break
    records.close()
    first, second = run.load_state(), again.run.load_state()
    for a, b in zip(first.weights, second.weights, strict=True):
        assert np.array_equal(a, b)
    for name, moment in first.extra.items():
        assert np.array_equal(moment, second.extra[name])
    # Both go on alike, with the rate that waited.
    ends = []
    for stopped in (run, again.run):
        resumed = TrainingSession.resume(stopped, digits)
        list(resumed.records())
        ends.append(resumed.model.runner.parameters)
        assert resumed.learning_rate == 0.5
    assert np.array_equal(*ends)


def test_a_repetition_that_is_stopped_on_the_way_keeps_the_rates_to_come(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    trained(TrainingSession(SMALL, digits, run), {2: 0.02, 9: 0.01})
    again = TrainingSession.repeat(run, digits)
    again.run = Run.create(tmp_path / "again")
    records = again.records()
    for _ in zip(range(4), records):  # noqa: B905 - as far as that
        pass
    records.close()
    list(TrainingSession.resume(again.run, digits).records())
    assert np.array_equal(again.run.load_model().weights[0], run.load_model().weights[0])


def test_other_data_than_a_run_began_with_does_not_repeat_it(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    list(TrainingSession(SMALL, digits, run).records())
    other = dl.MnistData(digits.training, digits.validation, digits.test, source="others", digest="others")
    with pytest.raises(RunError, match="others is not what the run"):
        TrainingSession.repeat(run, other)


def test_the_settings_file_tells_of_every_rate_that_was_trained_with_and_of_the_command(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    before = {"steering", "command"} & TrainingSession(SMALL, digits).describe().keys()
    assert before == {"command"}
    records = TrainingSession(SMALL, digits, run).records()
    next(records)
    began = (run.path / CONFIG).stat().st_mtime_ns
    records.close()
    assert "steering" not in run.read_json(CONFIG)
    session = TrainingSession.resume(run, digits)
    trained(session, {4: 0.01, 12: 0.5})  # nothing was trained with the last one
    told = run.read_json(CONFIG)
    assert told["steering"] == [{"kind": "learning rate", "step": 4, "learning_rate": 0.01}]
    assert told["command"] == run.repeat_command() == run.info().command
    assert told["config"]["learning_rate"] == 0.001
    assert (run.path / CONFIG).stat().st_mtime_ns == began  # by which runs are listed


def test_what_a_kill_took_away_is_not_told_to_have_happened(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    session = TrainingSession(SMALL, digits, run)
    records = session.records()
    for record in records:
        if isinstance(record, StepRecord) and record.step == 5:
            break
    records.close()
    state = (run.path / STATE).read_bytes()
    session = TrainingSession.resume(run, digits)
    records = session.records()
    for record in records:
        session.set_learning_rate(0.02)
        if isinstance(record, StepRecord) and record.step == 7:
            break
    records.close()
    assert run.info().changes == ("learning rate 0.02 from batch 7",)
    (run.path / STATE).write_bytes(state)  # as if it had been killed before the later one was saved
    list(TrainingSession.resume(run, digits).records())
    assert (run.info().changes, run.steering()) == ((), [Resumption(5)])
    assert "steering" not in run.read_json(CONFIG)
    assert run.read_json(CONFIG)["command"].startswith("digitlab train --network dense_baseline")
    again = TrainingSession.repeat(run, digits)
    list(again.records())
    assert np.array_equal(again.model.get_weights()[0], run.load_model().weights[0])


def test_what_happened_is_told_in_its_order(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    session = TrainingSession(SMALL, digits, run)
    for stop in (3, 8, None):
        records = session.records()
        for record in records:
            if isinstance(record, StepRecord) and record.step in (5, 8):
                session.set_learning_rate(record.step / 100)
            if isinstance(record, StepRecord) and record.step == stop:
                break
        records.close()
    assert run.info().on_the_way == (
        "stopped after batch 3 and resumed",
        "learning rate 0.05 from batch 6",
        "stopped after batch 8 and resumed",
        "learning rate 0.08 from batch 9",
    )


def test_another_network_is_trained_as_a_run_was_at_the_same_batches(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    trained(TrainingSession(SMALL, digits, run), {2: 0.02, 9: 0.01})
    other = TrainingSession.repeat(run, digits, {"network": "codelab_cnn"})
    other.run = Run.create(tmp_path / "other")
    list(other.records())
    assert other.model.architecture.name == "codelab_cnn"
    assert other.run.steering() == [RateChange(2, 0.02), RateChange(9, 0.01)]
    assert other.config == dataclasses.replace(SMALL, network="codelab_cnn")
    alone = TrainingSession(other.config, digits)
    trained(alone, {2: 0.02, 9: 0.01})
    assert np.array_equal(alone.model.runner.parameters, other.model.runner.parameters)


def test_other_settings_keep_the_runs_own_network_and_need_as_many_batches(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    network = Architecture([Flatten(), Dense(10, activation="softmax")], name="own")
    trained(TrainingSession(SMALL, digits, run, network), {9: 0.01})
    assert TrainingSession.repeat(run, digits, {"seed": 3}).model.architecture == network
    with pytest.raises(ConfigError, match="had its learning rate set at batch 10, and with these settings there are 8"):
        TrainingSession.repeat(run, digits, {"epochs": 2})
    with pytest.raises(ConfigError, match=r"no setting 'ehpochs'\. Did you mean 'epochs'"):
        TrainingSession.repeat(run, digits, {"ehpochs": 2})


def test_like_a_run_that_was_stopped_another_is_stopped_after_as_many_batches(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    records = TrainingSession(SMALL, digits, run).records()
    for _ in zip(range(6), records):  # noqa: B905 - 5 batches and an epoch
        pass
    records.close()
    other = TrainingSession.repeat(run, digits, {"seed": 5, "batch_size": 10})
    for _ in other.records():
        if other.is_there:
            break
    assert (other.progress.step, other.progress.epochs_done) == (5, 1)


def test_a_run_keeps_a_bounded_number_of_rates(digits, monkeypatch):
    monkeypatch.setattr("digitlab.training.session._MOST_RATES", 2)
    session = TrainingSession(SMALL, digits)
    with pytest.raises(ConfigError, match="was set 2 times in this training"):
        trained(session, {2: 0.02, 4: 0.01, 6: 0.03})
    assert session.learning_rate == 0.01


def test_the_machine_that_goes_on_with_a_run_is_told_where_it_is_another(digits, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run")
    session = TrainingSession(SMALL, digits, run)
    first = environment(session.runner.n_threads)
    for n, processor in enumerate((None, None, "another", "another", None)):
        if processor is not None:
            monkeypatch.setattr("digitlab.training.keeping._processor", lambda: "another")
        else:
            monkeypatch.undo()
        session = session if n == 0 else TrainingSession.resume(run, digits)
        records = session.records()
        next(records), next(records)
        records.close()
    told = run.read_json(ENVIRONMENT)
    assert told.pop("resumed") == [
        {"step": 4, "processor": "another"},
        {"step": 7, "processor": first["processor"]},
    ]
    assert told == first


def test_settings_that_are_damaged_meanwhile_do_not_end_a_training(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    session = TrainingSession(SMALL, digits, run)
    for record in session.records():
        if isinstance(record, StepRecord) and record.step == 4:
            session.set_learning_rate(0.01)
            (run.path / CONFIG).write_text("{")
    assert run.steering() == [RateChange(4, 0.01)]
    assert run.load_model().metadata["step"] == "12"
