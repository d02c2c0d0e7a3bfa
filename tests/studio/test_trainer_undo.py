"""A step undone: weights, moments, records and the run's files are what they were before it, bit for bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from digitlab.errors import ConfigError, RunError, StorageError
from digitlab.explanation.step import step_after
from digitlab.runs.history import HistoryFile
from digitlab.runs.run import CONFIG, HISTORY, Run
from digitlab.studio.job import Recording
from digitlab.studio.trainer import Trainer
from digitlab.training.position import position_of
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord
from tests.studio.steered import (
    SMALL,
    paused_at,
    same,
    steps_of,
    timeless,
    trained_alone,
    wait,
    wait_for_evaluation,
    wait_for_records,
    wait_for_state,
)


def standing(trainer):
    """All that a step changes, as plain numbers; the seconds that a batch took are measured, and so left out."""
    position = position_of(trainer._job.session)
    progress = dataclasses.replace(position.progress, epoch_seconds=0.0, rates=tuple(position.progress.rates))
    runner = {name: np.asarray(value).tolist() for name, value in vars(position.runner).items()}
    best = position.best and (position.best.epoch, position.best.weights.tolist())
    weights = [array.tolist() for array in trainer.moment().weights]
    return progress, best, runner, timeless(trainer.records_since(0)[0]), trainer.recording.steps(), weights


def step(trainer):
    n = len(steps_of(trainer))
    trainer.step()
    wait(trainer, lambda: len(steps_of(trainer)) == n + 1)


def undo(trainer):
    generation = trainer.generation
    trainer.undo_step()
    wait(trainer, lambda: trainer.generation == generation + 1)


@pytest.mark.parametrize("n_before", [0, 1, 3, 4, 7, 10])  # an epoch has 4 batches
def test_undo_goes_back_bit_for_bit_and_the_training_is_the_one_that_it_would_have_been(trainer, digits, n_before):
    with paused_at(trainer, n_before):
        wait_for_records(trainer, n_before + n_before // 4)
        before = standing(trainer)
        step(trainer)
        wait_for_records(trainer, n_before + 1 + (n_before + 1) // 4)
        assert standing(trainer) != before
        undo(trainer)
        assert standing(trainer) == before
        assert (trainer.state, trainer.step_done, trainer.can_undo) == ("paused", n_before, False)
        history = trainer.run.history()
        assert timeless(history) == before[3]
        trainer.resume()
        wait_for_state(trainer, "finished")
        records, weights = trained_alone(digits)
        assert timeless(trainer.records_since(0)[0]) == timeless(records)
        assert same(trainer.moment().weights, weights)
        wait_for_evaluation(trainer)
        assert timeless(trainer.run.history()) == timeless(records)
        assert (trainer.run.steering(), trainer.run.info().status) == ([], "complete")


def test_the_run_that_a_killed_process_leaves_is_the_one_from_before_the_step(trainer, digits):
    with paused_at(trainer, 5):
        content = None
        for _ in range(3):
            step(trainer)
            undo(trainer)
            now = (trainer.run.path / HISTORY).read_bytes()
            assert content in (None, now)
            content = now
        state = trainer.run.load_state()  # as somebody else finds it now
        other = TrainingSession(SMALL, digits)
        other.restore(state)
        assert other.progress.step == 5
        for _ in other.records():
            pass
        assert same(other.model.get_weights(), trained_alone(digits)[1])


@pytest.mark.parametrize("of", ["state", "history"])
def test_a_step_is_undone_on_a_full_disk_as_far_as_it_goes_and_the_run_can_be_gone_on_with(
    trainer, digits, monkeypatch, of
):
    def full(*_):
        raise StorageError("The disk is full. Make room.")

    with paused_at(trainer, 5):
        step(trainer)
        undo(trainer)  # which saves where it stands
        step(trainer)
        with monkeypatch.context() as patch:
            patch.setattr(*(Run, "save") if of == "state" else (HistoryFile, "append"), full)
            trainer.undo_step()
            wait_for_state(trainer, "failed")
        assert trainer.message == "The disk is full. Make room."
        assert not trainer.can_undo
        trainer.resume()
        wait_for_state(trainer, "finished")
        records, weights = trained_alone(digits)
        assert same(trainer.moment().weights, weights)
        wait_for_evaluation(trainer)
        assert timeless(trainer.run.history()) == timeless(records)


def test_an_undone_step_leaves_no_record_and_another_rate_takes_its_place(trainer, digits):
    with paused_at(trainer, 2):
        step(trainer)
        for rate in (0.1, 0.01):
            generation = trainer.generation
            trainer.try_rate(rate)
            wait(trainer, lambda generation=generation: trainer.generation > generation and trainer.step_done == 3)
            wait(trainer, lambda: len(steps_of(trainer)) == 3)
            assert [record.learning_rate for record in steps_of(trainer)] == [0.001, 0.001, rate]
        assert trainer.learning_rate == 0.01
        undo(trainer)
        assert trainer.learning_rate == 0.001
        assert "steering" not in trainer.run.read_json(CONFIG)
        step(trainer)
        trainer.try_rate(0.02)
        trainer.resume()
        wait_for_state(trainer, "finished")
        wait_for_evaluation(trainer)
    session = TrainingSession(SMALL, digits)
    for record in session.records():
        if record.step == 2:
            session.set_learning_rate(0.02)
    assert same(trainer.moment().weights, session.model.get_weights())
    assert trainer.run.info().changes == ("learning rate 0.02 from batch 3",)
    assert trainer.run.read_json(CONFIG)["steering"] == [{"kind": "learning rate", "step": 2, "learning_rate": 0.02}]
    repeated = TrainingSession.repeat(trainer.run, digits)
    list(repeated.records())
    assert same(repeated.model.get_weights(), trainer.moment().weights)


def test_the_record_of_an_epoch_goes_with_the_batch_that_ended_it(trainer):
    with paused_at(trainer, 3):
        step(trainer)
        wait_for_records(trainer, 5)
        assert isinstance(trainer.records_since(0)[0][-1], EpochRecord)
        undo(trainer)
        assert len(trainer.records_since(0)[0]) == 3
        assert trainer.run.info().epochs_done == 0
        assert trainer._job.session.best_epoch is None


def test_a_training_without_a_batch_leaves_nothing_behind(trainer, out):
    with paused_at(trainer, 1):
        undo(trainer)
        trainer.stop()
        wait_for_state(trainer, "idle")
        assert (trainer.run, list(out.iterdir())) == (None, [])


def test_a_run_that_was_gone_on_with_says_so_once(trainer, digits):
    with paused_at(trainer, 3):
        trainer.stop()
        wait_for_state(trainer, "stopped")
        assert not trainer.can_undo
    trainer.resume()
    wait_for_state(trainer, "finished")
    other = Trainer(digits, trainer.out)
    with paused_at(other, 3):
        other.stop()
        wait_for_state(other, "stopped")
        run = other.run
        again = Trainer(digits, trainer.out)
        again.resume_run(run, paused=True)
        step(again)
        undo(again)
        step(again)
        again.resume()
        wait_for_state(again, "finished")
        wait_for_evaluation(again)
        assert run.info().resumed_after == (3,)
        assert same(again.moment().weights, trained_alone(digits)[1])
        again.close()
    other.close()


def test_what_cannot_be_undone_is_told_and_nothing_changes(trainer):
    for act, words in ((trainer.undo_step, "step one batch first"), (lambda: trainer.try_rate(0.1), "Pause the train")):
        with pytest.raises(RunError, match=words):
            act()
    with paused_at(trainer, 2):
        for wrong in (0.0, float("nan"), "fast"):
            with pytest.raises(ConfigError):
                trainer.try_rate(wrong)
        assert (trainer.step_done, trainer.learning_rate, trainer.can_undo) == (2, 0.001, True)
        undo(trainer)
        with pytest.raises(RunError, match="no step to undo"):
            trainer.undo_step()  # one step, and not those before
        trainer.try_rate(0.1)  # the batch is taken back already
        wait(trainer, lambda: len(steps_of(trainer)) == 2)
        assert steps_of(trainer)[-1].learning_rate == 0.1
        undo(trainer)
        assert trainer.learning_rate == 0.001


def test_a_batch_that_was_not_trained_by_itself_cannot_be_undone(trainer):
    trainer.set_speed(1e-6)
    trainer.start(SMALL)
    wait_for_records(trainer, 1)
    trainer.pause()
    assert (trainer.can_undo, trainer.single_step) == (False, None)
    step(trainer)
    assert trainer.can_undo
    trainer.stop()
    wait_for_state(trainer, "stopped")
    with pytest.raises(RunError, match="no step to undo"):
        trainer.undo_step()


def test_a_rate_that_was_set_before_the_step_stays_when_the_step_is_undone(trainer):
    with paused_at(trainer, 2):
        trainer.set_learning_rate(0.05)
        step(trainer)
        undo(trainer)
        assert trainer.learning_rate == 0.05
        step(trainer)
        assert steps_of(trainer)[-1].learning_rate == 0.05


def test_batches_that_follow_each_other_are_not_copied(trainer, monkeypatch):
    def copied(session):
        raise AssertionError("something was copied")

    monkeypatch.setattr("digitlab.studio.job.position_of", copied)
    trainer.start(SMALL)
    wait_for_state(trainer, "finished", "failed")
    assert trainer.state == "finished"
    assert trainer.single_step is None


def test_the_single_step_is_taken_apart_as_it_was_taken(trainer):
    with paused_at(trainer, 5):
        session, position = trainer.single_step
        apart = step_after(session, position)
        assert (apart.step, apart.loss) == (5, steps_of(trainer)[-1].loss)
        shown = [array.after for layer in apart.layers for array in (layer.kernel, layer.bias)]
        assert same(shown, trainer.moment().weights)


def test_a_thinned_recording_goes_back_to_the_snapshot_of_the_step():
    recording = Recording(budget_bytes=4 * 4)
    for n in range(10):
        recording.add(n, np.full(1, n, np.float32))
    recording.go_back(8, np.full(1, 8, np.float32))
    assert recording.steps() == [0, 4, 8]
    recording.add(9, np.full(1, 9, np.float32))
    recording.go_back(7, np.full(1, 7, np.float32))
    assert (recording.steps(), recording.at()[1].tolist()) == ([0, 4, 7], [7.0])
    assert recording.n_bytes == 12
