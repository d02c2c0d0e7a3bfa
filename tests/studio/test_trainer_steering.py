"""The trainer steered: pause, step, speed, stop, going on, and the learning rate on the way."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import digitlab as dl
from digitlab.errors import ConfigError, RunError
from digitlab.runs.run import CONFIG, Run
from digitlab.studio.trainer import Trainer
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, RateChange
from tests.studio.steered import (
    SMALL,
    paused_at,
    same,
    steps_of,
    timeless,
    train,
    trained_alone,
    wait,
    wait_for_evaluation,
    wait_for_records,
    wait_for_state,
)

# Slower than any test: the next batch comes when the speed is changed.
FOREVER = 1e-6


def test_a_training_that_starts_paused_waits_before_its_first_batch(trainer):
    trainer.start(SMALL, paused=True)
    assert trainer.state == "paused"
    assert trainer.records_since(0) == ([], 0)
    trainer.resume()
    wait_for_state(trainer, "finished")


def test_step_trains_one_batch_and_pauses(trainer):
    with paused_at(trainer, 2):
        assert trainer.state == "paused"
        assert [record.step for record in trainer.records_since(0)[0]] == [1, 2]


def test_a_step_that_ends_an_epoch_gives_its_record_too(trainer):
    with paused_at(trainer, 4):
        wait_for_records(trainer, 5)
        assert isinstance(trainer.records_since(0)[0][-1], EpochRecord)
        assert trainer.state == "paused"
        trainer.step()
        wait(trainer, lambda: len(steps_of(trainer)) == 5)
        assert len(trainer.records_since(0)[0]) == 6


def test_the_last_step_finishes_the_training(trainer):
    with paused_at(trainer, 12):
        wait_for_state(trainer, "finished")
        assert len(trainer.records_since(0)[0]) == 15


def test_stepping_gives_the_weights_of_training_at_once(trainer, digits):
    with paused_at(trainer, 12):
        wait_for_state(trainer, "finished")
        assert same(trainer.moment(None).weights, trained_alone(digits)[1])


def test_step_while_training_pauses_after_one_more_batch(trainer):
    trainer.set_speed(FOREVER)
    trainer.start(SMALL)
    wait_for_records(trainer, 1)
    trainer.step()
    wait(trainer, lambda: len(steps_of(trainer)) == 2)
    assert trainer.state == "paused"


def test_a_paused_training_goes_on_where_it_was(trainer, digits):
    trainer.set_speed(FOREVER)
    trainer.start(SMALL)
    wait_for_records(trainer, 1)
    trainer.pause()
    assert trainer.state == "paused"
    trainer.set_speed(None)
    assert len(steps_of(trainer)) == 1
    trainer.resume()
    assert trainer.state == "training"
    wait_for_state(trainer, "finished")
    assert same(trainer.moment(None).weights, trained_alone(digits)[1])


def test_a_slow_training_waits_between_batches_and_hears_of_another_speed_at_once(trainer):
    trainer.set_speed(FOREVER)
    trainer.start(SMALL)
    wait_for_records(trainer, 1)
    assert (trainer.state, trainer.speed, trainer.step_done) == ("training", FOREVER, 1)
    trainer.set_speed(None)
    wait_for_state(trainer, "finished")


def test_a_slow_training_can_be_stopped_at_once(trainer):
    trainer.set_speed(FOREVER)
    trainer.start(SMALL)
    wait_for_records(trainer, 1)
    trainer.stop()
    wait_for_state(trainer, "stopped")
    assert trainer.step_done == 1


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_cannot_be_is_told(trainer, speed):
    with pytest.raises(ConfigError, match="batches a second above 0"):
        trainer.set_speed(speed)


def test_a_stopped_run_can_be_gone_on_with_in_place(trainer, digits):
    with paused_at(trainer, 6):
        trainer.stop()
        wait_for_state(trainer, "stopped")
        assert trainer.run.info().status == "interrupted"
        generation = trainer.generation
        trainer.resume()
        wait_for_state(trainer, "finished")
        records, weights = trained_alone(digits)
        assert trainer.generation == generation
        assert timeless(trainer.records_since(0)[0]) == timeless(records)
        assert trainer.recording.steps() == list(range(13))
        assert same(trainer.moment(None).weights, weights)
        wait_for_evaluation(trainer)
        assert timeless(trainer.run.history()) == timeless(records)
        assert trainer.run.info().status == "complete"


def test_a_stopped_run_can_be_gone_on_with_at_the_terminal(trainer, digits, out, monkeypatch):
    with paused_at(trainer, 6):
        trainer.stop()
        wait_for_state(trainer, "stopped")
    monkeypatch.setattr(dl.MnistData, "load", lambda *args, **kwargs: digits)
    run = dl.train(out=out, resume=True)
    assert run.path == trainer.run.path
    assert same(run.load_model().weights, trained_alone(digits)[1])


def test_stopping_before_the_first_batch_leaves_nothing_behind(trainer, out):
    with paused_at(trainer, 0):
        assert len(list(out.iterdir())) == 1
        trainer.stop()
        wait_for_state(trainer, "idle")
        assert (trainer.run, list(out.iterdir())) == (None, [])
        train(trainer)
        assert (trainer.state, trainer.generation) == ("finished", 2)


def test_a_training_without_a_folder_can_be_stopped_and_gone_on_with(digits):
    trainer = Trainer(digits, None)
    with paused_at(trainer, 5):
        trainer.stop()
        wait_for_state(trainer, "stopped")
        trainer.resume()
        wait_for_state(trainer, "finished")
    assert same(trainer.moment(None).weights, trained_alone(digits)[1])
    trainer.close()


def test_an_interrupted_run_of_the_folder_can_be_gone_on_with(trainer, digits, out):
    with paused_at(trainer, 6):
        trainer.stop()
        wait_for_state(trainer, "stopped")
    other = Trainer(digits, out)
    other.resume_run(trainer.run, owner="me", paused=True)
    assert timeless(other.records_since(0)[0]) == timeless(trainer.records_since(0)[0])
    assert other.recording.steps() == [6]
    assert (other.owner, other.state, other.step_done) == ("me", "paused", 6)
    other.resume()
    wait_for_state(other, "finished")
    assert same(other.moment(None).weights, trained_alone(digits)[1])
    assert other.moment(2).step == 6
    other.close()


def test_a_run_of_another_device_is_gone_on_with_and_begun_anew_on_the_processor(trainer, digits, out):
    with paused_at(trainer, 6):
        trainer.stop()
        wait_for_state(trainer, "stopped")
    run = trainer.run
    told = run.read_json(CONFIG)
    config = told["config"] | {"device": "gpu", "precision": "bfloat16"}
    run.write_json(CONFIG, told | {"config": config})
    other = Trainer(digits, out)
    other.resume_run(run)
    wait_for_state(other, "finished")
    assert same(other.moment(None).weights, trained_alone(digits)[1])
    other.start(TrainConfig.from_dict(config))
    wait_for_state(other, "finished")
    assert other.config.device == "cpu"
    other.close()


def test_a_complete_run_cannot_be_gone_on_with(trainer):
    train(trainer)
    generation = trainer.generation
    with pytest.raises(RunError, match="is complete"):
        trainer.resume_run(trainer.run)
    assert (trainer.state, trainer.generation) == ("finished", generation)


def test_a_run_that_another_session_took_over_meanwhile_is_told(trainer, digits):
    with paused_at(trainer, 6):
        trainer.stop()
        wait_for_state(trainer, "stopped")
        list(TrainingSession.resume(Run(trainer.run.path), digits).records())
        trainer.resume()
        wait_for_state(trainer, "failed")
        assert "complete" in trainer.message


def test_the_learning_rate_changes_from_the_next_batch_on(trainer):
    with paused_at(trainer, 2):
        assert trainer.learning_rate == 0.001
        trainer.set_learning_rate(0.05)
        assert trainer.learning_rate == 0.05
        trainer.step()
        wait(trainer, lambda: len(steps_of(trainer)) == 3)
        assert [record.learning_rate for record in steps_of(trainer)] == [0.001, 0.001, 0.05]


def test_a_learning_rate_set_before_the_first_batch_holds_from_there(trainer):
    with paused_at(trainer, 0):
        trainer.set_learning_rate(0.01)
        trainer.resume()
        wait_for_state(trainer, "finished")
        assert {record.learning_rate for record in trainer.records_since(0)[0]} == {0.01}


def test_a_changed_learning_rate_outlives_stopping(trainer, digits):
    with paused_at(trainer, 2):
        trainer.set_learning_rate(0.05)
        trainer.step()
        wait(trainer, lambda: len(steps_of(trainer)) == 3)
        trainer.stop()
        wait_for_state(trainer, "stopped")
        trainer.resume()
        wait_for_state(trainer, "finished")
    session = TrainingSession(SMALL, digits)
    for record in session.records():
        if record.step == 2:
            session.set_learning_rate(0.05)
    assert same(trainer.moment(None).weights, session.model.get_weights())


def test_a_learning_rate_that_was_set_just_before_stopping_is_kept_in_the_run(trainer):
    with paused_at(trainer, 2):
        trainer.set_learning_rate(0.05)
        trainer.stop()
        wait_for_state(trainer, "stopped")
        run = trainer.run
    # Another process goes on with it.
    session = TrainingSession.resume(run, trainer.data)
    assert session.learning_rate == 0.05
    list(session.records())
    assert run.info().changes == ("learning rate 0.05 from batch 3",)
    assert run.info().resumed_after == (2,)


def test_a_learning_rate_that_cannot_be_is_told_and_nothing_changes(trainer):
    with paused_at(trainer, 1):
        for rate in (0.0, -1.0, float("nan"), "fast"):
            with pytest.raises(ConfigError, match="learning_rate"):
                trainer.set_learning_rate(rate)
        assert trainer.learning_rate == 0.001


def test_the_learning_rate_of_nothing_cannot_be_set(trainer):
    with pytest.raises(RunError, match="Nothing is being trained now"):
        trainer.set_learning_rate(0.01)


RATES = st.sampled_from((0.0003, 0.001, 0.01, 0.04))
#: What somebody does before a batch.
DEEDS = st.one_of(st.just("stop and resume"), RATES)


@settings(max_examples=8)
@given(
    deeds=st.lists(st.lists(DEEDS, max_size=3), min_size=12, max_size=12),
    way=st.sampled_from(({}, {"schedule": "cosine"}, {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01})),
)
def test_whatever_was_done_to_a_training_its_run_repeats_it_bit_for_bit(digits, tmp_path_factory, deeds, way):
    trainer = Trainer(digits, tmp_path_factory.mktemp("runs"))
    config = dataclasses.replace(SMALL, **way)
    trainer.set_speed(FOREVER)  # so that it waits until it is paused, when it is gone on with
    trainer.start(config, paused=True)
    for n, before in enumerate(deeds):
        for deed in before:
            if deed != "stop and resume":
                trainer.set_learning_rate(deed)
            elif n > 0:
                trainer.stop()
                wait_for_state(trainer, "stopped")
                trainer.resume()
                trainer.pause()
        trainer.step()
        wait(trainer, lambda n=n: len(steps_of(trainer)) == n + 1)
    wait_for_evaluation(trainer)
    trained, weights = trainer.run, trainer.moment(None).weights
    trainer.close()
    # Each rate from its batch on, and nothing else.
    rates, rate = {change.step: change.learning_rate for change in rates_of(trained)}, config.learning_rate
    for record in steps_of(trainer):
        rate = rates.get(record.step - 1, rate)
        peak = dataclasses.replace(config, learning_rate=rate)
        assert record.learning_rate == pytest.approx(peak.rate(record.step - 1, 12))
    assert trained.read_json(CONFIG).get("steering", []) == [
        {"kind": "learning rate", "step": step, "learning_rate": rate} for step, rate in rates.items()
    ]
    again = TrainingSession.repeat(trained, digits)
    list(again.records())
    assert same(again.model.get_weights(), weights)
    assert same(trained.load_model().weights, weights)


def rates_of(run):
    return [one for one in run.steering() if isinstance(one, RateChange)]


def test_another_network_is_trained_as_a_steered_run_was(trainer, digits):
    with paused_at(trainer, 4):
        trainer.set_learning_rate(0.05)
        trainer.resume()
        wait_for_evaluation(trainer)
    first = trainer.run
    trainer.repeat(first, {"network": "codelab_cnn"}, owner="me")
    wait_for_evaluation(trainer)
    assert trainer.run.path != first.path
    assert (trainer.architecture.name, trainer.owner) == ("codelab_cnn", "me")
    assert rates_of(trainer.run) == rates_of(first) == [RateChange(4, 0.05)]
    # Whoever steers it then has the last word.
    trainer.repeat(first, {"seed": 1}, paused=True)
    trainer.step()
    wait(trainer, lambda: trainer.step_done == 1)
    trainer.set_learning_rate(0.002)
    trainer.resume()
    wait_for_evaluation(trainer)
    assert rates_of(trainer.run) == [RateChange(1, 0.002)]


def test_a_learning_rate_too_many_is_told_and_the_training_goes_on(trainer, monkeypatch):
    monkeypatch.setattr("digitlab.training.session._MOST_RATES", 1)
    with paused_at(trainer, 1):
        trainer.set_learning_rate(0.05)
        trainer.step()
        wait(trainer, lambda: len(steps_of(trainer)) == 2)
        with pytest.raises(ConfigError, match="was set 1 times"):
            trainer.set_learning_rate(0.01)
        trainer.resume()
        wait_for_state(trainer, "finished")
