"""The trainer: what it trains, what it keeps, who may train, and what everybody may see."""

from __future__ import annotations

import dataclasses
import json
import threading

import pytest

from digitlab.errors import RunError
from digitlab.network import Architecture
from digitlab.runs.listing import list_runs
from digitlab.runs.run import CONFIG, EVALUATION, HISTORY, MODEL, REPORT, STATE, TIMINGS
from digitlab.studio.trainer import Trainer
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, Evaluation, StepRecord
from tests.studio.steered import (
    EDITED,
    SMALL,
    paused_at,
    same,
    steps_of,
    timeless,
    train,
    trained_alone,
    wait_for_evaluation,
    wait_for_records,
    wait_for_state,
)


def test_before_the_first_start_there_is_an_untrained_codelab_network(mnist, out):
    trainer = Trainer(mnist, out)
    assert (trainer.state, trainer.message, trainer.owner, trainer.generation, trainer.run) == ("idle", "", "", 0, None)
    assert trainer.config == TrainConfig()
    assert trainer.n_steps == 110
    assert trainer.records_since(0) == ([], 0)
    moment = trainer.moment(None)
    step, weights = moment.step, moment.weights
    assert step == 0
    assert same(weights, trainer.architecture.initial_weights(0))
    assert not out.exists()


def test_a_small_data_set_is_not_asked_for_more_images_than_it_has(trainer):
    assert (trainer.config.train_images, trainer.config.validation_images) == (200, 60)


def test_steering_an_idle_trainer_does_nothing(trainer):
    for command in (trainer.pause, trainer.resume, trainer.step, trainer.stop):
        command()
        assert trainer.state == "idle"


def test_a_training_gives_the_records_and_weights_of_the_session_alone(trainer, digits):
    train(trainer)
    records, weights = trained_alone(digits)
    assert trainer.state == "finished"
    assert timeless(trainer.records_since(0)[0]) == timeless(records)
    assert same(trainer.moment(None).weights, weights)
    assert (trainer.generation, trainer.n_steps, trainer.step_done) == (1, 12, 12)


def test_every_batch_has_its_weights(trainer, digits):
    train(trainer)
    assert trainer.recording.steps() == list(range(13))
    session = TrainingSession(SMALL, digits)
    for record in session.records():
        if isinstance(record, StepRecord):
            moment = trainer.moment(record.step)
            step, weights = moment.step, moment.weights
            assert step == record.step
            assert same(weights, session.model.get_weights())


def test_a_finished_run_is_as_complete_as_one_made_at_the_terminal(trainer, digits):
    train(trainer)
    wait_for_evaluation(trainer)
    run = trainer.run
    assert trainer.message == ""
    assert {name for name in (CONFIG, EVALUATION, HISTORY, MODEL, REPORT, TIMINGS) if run.has(name)} == {
        CONFIG, EVALUATION, HISTORY, MODEL, REPORT, TIMINGS
    }  # fmt: skip
    assert not run.has(STATE)
    assert run.info().status == "complete"
    assert run.info().test_accuracy == trainer.evaluation.accuracy
    assert trainer.evaluation.n_images == 40
    assert isinstance(trainer.evaluation, Evaluation)
    assert run.history() == trainer.records_since(0)[0]
    assert same(run.load_model().weights, trainer.moment(None).weights)
    assert set(run.read_json(TIMINGS)) == {"compile", "train", "evaluate"}
    assert run.name in (run.path / REPORT).read_text()


def test_early_stopping_finishes_a_training(trainer):
    config = dataclasses.replace(SMALL, optimizer="sgd", learning_rate=1e-30, epochs=50, early_stopping=1)
    train(trainer, config)
    assert trainer.state == "finished"
    assert trainer.step_done < trainer.n_steps


def test_without_a_folder_nothing_is_written(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = Trainer(digits, None)
    train(trainer)
    assert trainer.state == "finished"
    assert trainer.run is None
    assert len(trainer.records_since(0)[0]) == 15
    trainer.close()
    assert list(tmp_path.iterdir()) == []


def test_runs_know_the_folder_of_their_data(digits, out):
    trainer = Trainer(digits, out, data_folder="somewhere")
    train(trainer, dataclasses.replace(SMALL, data="elsewhere"))
    assert trainer.run.read_json(CONFIG)["config"]["data"] == "somewhere"
    trainer.close()


def test_an_edited_network_is_trained_and_its_run_can_be_repeated(trainer, digits, out):
    train(trainer, architecture=EDITED)
    wait_for_evaluation(trainer)
    assert trainer.message == ""
    assert (trainer.architecture, trainer.config) == (EDITED, SMALL)
    config = TrainConfig.from_dict(trainer.run.read_json(CONFIG)["config"])
    assert config.build_architecture() == EDITED
    assert config.network in trainer.run.read_json(CONFIG)["command"]
    assert same(trained_alone(digits, config)[1], trainer.moment(None).weights)
    assert [info.name for info in list_runs(out)] == [trainer.run.name]
    assert "my-network" in trainer.run.name


def test_the_networks_file_is_written_once(trainer, out):
    train(trainer, architecture=EDITED)
    train(trainer, architecture=EDITED)
    (path,) = (out / "networks").iterdir()
    assert Architecture.from_dict(json.loads(path.read_text())) == EDITED


def test_the_zoos_network_given_as_an_architecture_needs_no_file(trainer, out):
    train(trainer, architecture=SMALL.build_architecture())
    assert trainer.run.read_json(CONFIG)["config"]["network"] == "dense_baseline"
    assert not (out / "networks").exists()


def test_somebody_else_cannot_start_while_one_trains(trainer):
    with paused_at(trainer, 1, owner="anna"):
        run = trainer.run
        with pytest.raises(RunError, match="Somebody else is training here"):
            trainer.start(SMALL, owner="ben")
        with pytest.raises(RunError, match="Your training is under way"):
            trainer.start(SMALL, owner="anna")
        assert (trainer.owner, trainer.run, trainer.generation) == ("anna", run, 1)
        trainer.resume()
        wait_for_state(trainer, "finished")
        train(trainer, owner="ben")
        assert (trainer.owner, trainer.state, trainer.generation) == ("ben", "finished", 2)


def test_of_several_who_start_at_once_one_trains_and_the_others_are_told(trainer, out):
    told, gate = [], threading.Barrier(4)

    def start(owner):
        gate.wait()
        try:
            trainer.start(SMALL, owner=owner, paused=True)
        except RunError as error:
            told.append(str(error))

    threads = [threading.Thread(target=start, args=(f"client {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3
    assert trainer.generation == 1
    assert len([path for path in out.iterdir() if path.is_dir()]) == 1


def test_who_stops_can_start_at_once(trainer):
    with paused_at(trainer, 2):
        first = trainer.run
        trainer.stop()
        trainer.start(SMALL)
        wait_for_state(trainer, "finished")
        assert trainer.run.path != first.path
        trainer.close()
        assert first.info().status == "interrupted"


def test_reset_goes_back_to_the_untrained_network_and_keeps_the_run(trainer, digits):
    with paused_at(trainer, 5, owner="anna"):
        run = trainer.run
        trainer.reset()
        assert (trainer.state, trainer.owner, trainer.run, trainer.generation) == ("idle", "", None, 2)
        assert (trainer.config, trainer.architecture.name) == (SMALL, "dense_baseline")
        assert trainer.records_since(0)[0] == []
        assert trainer.moment(None).step == 0
        assert same(trainer.moment(None).weights, trainer.architecture.initial_weights(SMALL.seed))
        trainer.close()
        assert run.info().status == "interrupted"
        session = TrainingSession.resume(run, digits)
        assert session.progress.step == 5
        session.lock.release()


def test_every_client_has_a_cursor_of_its_own(trainer):
    with paused_at(trainer, 3):
        first, cursor = trainer.records_since(0)
        assert [record.step for record in first] == [1, 2, 3]
        assert trainer.records_since(cursor) == ([], cursor)
        trainer.step()
        wait_for_records(trainer, 5)
        assert [type(record) for record in trainer.records_since(cursor)[0]] == [StepRecord, EpochRecord]
        assert len(trainer.records_since(0)[0]) == 5


def test_a_cursor_of_an_earlier_training_gives_all_records_of_this_one(trainer):
    train(trainer)
    _, cursor = trainer.records_since(0)
    trainer.start(dataclasses.replace(SMALL, seed=1), paused=True)
    assert trainer.records_since(cursor)[0] == []
    trainer.step()
    wait_for_records(trainer, 1)
    for known in (0, 7, cursor):
        assert [record.step for record in trainer.records_since(known)[0]] == [1]


def test_clients_that_look_while_it_trains_get_every_record_once_and_in_order(trainer):
    config = dataclasses.replace(SMALL, epochs=40)
    seen = [[] for _ in range(3)]

    def look(records):
        cursor, is_over = 0, False
        while not is_over:
            is_over = trainer.state == "finished"
            new, cursor = trainer.records_since(cursor)
            records += new

    trainer.start(config)
    threads = [threading.Thread(target=look, args=(records,)) for records in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(records == trainer.records_since(0)[0] for records in seen)
    assert [record.step for record in steps_of(trainer)] == list(range(1, 161))


def test_a_long_run_stays_within_the_memory_budget(digits):
    budget = 20 * 4 * 6_370
    trainer = Trainer(digits, None, budget)
    train(trainer, dataclasses.replace(SMALL, epochs=60))
    assert trainer.recording.n_bytes <= budget
    steps = trainer.recording.steps()
    assert (steps[0], steps[-1]) == (0, 240)
    assert trainer.moment(239).step == max(step for step in steps if step <= 239)
    trainer.close()
