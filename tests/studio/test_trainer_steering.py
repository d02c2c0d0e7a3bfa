"""The trainer steered: pause, step, speed, stop, going on, and the learning rate on the way."""

from __future__ import annotations

import pytest

import digitlab as dl
from digitlab.errors import ConfigError, RunError
from digitlab.runs.run import Run
from digitlab.studio.trainer import Trainer
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord
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
