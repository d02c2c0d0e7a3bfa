"""The trainer when something fails, and when it is closed."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from digitlab.errors import ConfigError, NetworkError, RunError, StorageError
from digitlab.network import Architecture, Dense, Flatten
from digitlab.runs.history import HistoryFile
from digitlab.runs.run import MODEL, REPORT
from digitlab.studio.trainer import Trainer
from digitlab.training.session import TrainingSession
from tests.studio.steered import (
    SMALL,
    paused_at,
    same,
    timeless,
    train,
    trained_alone,
    wait_for_evaluation,
    wait_for_state,
)


@pytest.mark.parametrize(
    ("error", "config", "architecture"),
    [
        (NetworkError, dataclasses.replace(SMALL, network="nothing"), None),
        (NetworkError, SMALL, Architecture([Flatten(), Dense(10)])),
    ],
)
def test_what_cannot_be_trained_is_told_and_the_last_training_stays(trainer, out, error, config, architecture):
    train(trainer)
    wait_for_evaluation(trainer)
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises((error, ConfigError)):
        trainer.start(config, architecture)
    assert (trainer.state, trainer.generation) == ("finished", 1)
    assert sorted(path.name for path in out.iterdir()) == before


def test_a_folder_that_cannot_be_made_is_told(digits, tmp_path):
    (tmp_path / "file").write_text("")
    trainer = Trainer(digits, tmp_path / "file" / "runs")
    with pytest.raises(StorageError, match="cannot be made"):
        trainer.start(SMALL)
    assert (trainer.state, trainer.generation) == ("idle", 0)


def test_a_training_that_diverges_fails_with_a_sentence_and_another_can_be_started(trainer):
    train(trainer, dataclasses.replace(SMALL, optimizer="sgd", learning_rate=1e9))
    assert trainer.state == "failed"
    assert "Try a learning rate ten times smaller" in trainer.message
    assert all(np.isfinite(w).all() for w in trainer.moment(None).weights)
    train(trainer)
    assert (trainer.state, trainer.message) == ("finished", "")


def test_a_full_disk_fails_with_a_sentence_and_the_run_can_be_gone_on_with(trainer, digits, monkeypatch):
    append = HistoryFile.append
    with paused_at(trainer, 6):
        trainer.stop()
        wait_for_state(trainer, "stopped")

        def full(self, records):
            raise StorageError("The disk is full. Make room.")

        monkeypatch.setattr(HistoryFile, "append", full)
        trainer.resume()
        wait_for_state(trainer, "failed")
        assert trainer.message == "The disk is full. Make room."
        monkeypatch.setattr(HistoryFile, "append", append)
        trainer.resume()
        wait_for_state(trainer, "finished")
        assert same(trainer.moment(None).weights, trained_alone(digits)[1])
        wait_for_evaluation(trainer)
        assert timeless(trainer.run.history()) == timeless(trained_alone(digits)[0])


def test_a_diverged_training_cannot_be_gone_on_with(trainer):
    train(trainer, dataclasses.replace(SMALL, optimizer="sgd", learning_rate=1e9))
    with pytest.raises(RunError, match="is complete"):
        trainer.resume()
    assert trainer.state == "failed"


def test_an_unforeseen_error_is_a_sentence_too(trainer, monkeypatch, caplog):
    def broken(self):
        raise ZeroDivisionError("oh")
        yield

    monkeypatch.setattr(TrainingSession, "records", broken)
    train(trainer)
    assert trainer.state == "failed"
    assert "unforeseen error: ZeroDivisionError('oh')" in trainer.message
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    train(trainer)
    assert trainer.state == "finished"


@pytest.mark.parametrize("error", [StorageError("The disk is full."), ValueError("oh")])
def test_a_run_whose_evaluation_fails_is_finished_and_says_so(trainer, monkeypatch, error):
    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr("digitlab.evaluation.finish.evaluate_run", broken)
    train(trainer)
    wait_for_evaluation(trainer)
    assert trainer.state == "finished"
    assert "The network is trained and kept" in trainer.message
    assert str(error) in trainer.message
    assert trainer.run.has(MODEL)


def test_closing_saves_what_is_being_trained_and_nothing_starts_any_more(trainer, digits):
    with paused_at(trainer, 5):
        trainer.close()
        assert trainer.state == "stopped"
        assert trainer.run.info().status == "interrupted"
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("digitlab-training")]
        for start in (lambda: trainer.start(SMALL), trainer.resume, lambda: trainer.resume_run(trainer.run)):
            with pytest.raises(RunError, match="being closed"):
                start()
        trainer.close()
    session = TrainingSession.resume(trainer.run, digits)
    list(session.records())
    assert same(session.model.get_weights(), trained_alone(digits)[1])


def test_closing_waits_for_the_report_of_a_finished_run(trainer):
    train(trainer)
    trainer.close()
    assert trainer.run.has(REPORT)


def test_closing_before_anything_is_nothing(digits, out):
    Trainer(digits, out).close()
    assert not out.exists()
