"""An interrupted run goes on as if nothing had happened: the same weights, bit for bit, and the same history."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitlab.engine.cpu.runner import CpuRunner
from digitlab.errors import RunError, StorageError
from digitlab.network import Architecture, Dense, Dropout, Flatten
from digitlab.runs.history import HistoryFile
from digitlab.runs.run import HISTORY, MODEL, STATE, Run
from digitlab.training import keeping
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, StepRecord

pytestmark = pytest.mark.slow

SMALL = TrainConfig(network="dense_baseline", train_images=50, validation_images=20, batch_size=16, epochs=3)
N_RECORDS = 15
DROPOUT = Architecture([Flatten(), Dense(8, activation="relu"), Dropout(0.5), Dense(10, activation="softmax")])
# Validation gets worse at once, so that the best weights are not the last and early stopping has something to do.
RISING = {"learning_rate": 3.0, "optimizer": "sgd"}
WAYS = {
    "adam": ({}, None),
    "momentum": ({"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True}, None),
    "adamw and cosine": ({"optimizer": "adamw", "schedule": "cosine", "weight_decay": 0.01}, None),
    "one-cycle": ({"schedule": "one-cycle", "learning_rate": 0.01}, None),
    "dropout": ({}, DROPOUT),
    "unshuffled, no validation": ({"shuffle": False, "validation_images": 0}, None),
    "best weights": ({**RISING, "best_weights": True}, None),
    "early stopping": ({**RISING, "early_stopping": 1}, None),
    "early stopping with best weights": ({**RISING, "early_stopping": 1, "best_weights": True}, DROPOUT),
}


def new_session(way, digits, run, **values):
    changes, architecture = WAYS[way]
    return TrainingSession(dataclasses.replace(SMALL, **changes, **values), digits, run, architecture)


def take(session, n):
    """Take n records of a session, or all if there are fewer, and stop."""
    with closing(session.records()) as records:
        return [record for _, record in zip(range(n), records, strict=False)]


def timeless(records):
    return [dataclasses.replace(record, images_per_s=0.0) for record in records]


def outcome(run):
    """Return all of a run that must not depend on interruptions."""
    model = run.load_model()
    return [array.tobytes() for array in model.weights], model.metadata, timeless(run.history())


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    """Return a function that trains a way without interruption, once."""
    outcomes = {}

    def trained(way, **values):
        key = (way, *sorted(values.items()))
        if key not in outcomes:
            run = Run.create(tmp_path_factory.mktemp("whole") / "run")
            records = list(new_session(way, digits, run, **values).records())
            assert run.history() == records
            outcomes[key] = outcome(run)
        return outcomes[key]

    return trained


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.integers(1, N_RECORDS), min_size=1, max_size=3))
def test_a_run_interrupted_anywhere_and_again_ends_as_if_it_had_not_been(
    way, stops, digits, uninterrupted, tmp_path_factory
):
    run = Run.create(tmp_path_factory.mktemp("parts") / "run")
    session, delivered = new_session(way, digits, run), []
    for n in stops:
        delivered += take(session, n)
        if session.finished:
            break
        session = TrainingSession.resume(run, digits)
    else:
        delivered += list(session.records())
    expected = uninterrupted(way)
    assert outcome(run) == expected
    assert timeless(delivered) == expected[2]
    assert session.finished
    assert not run.has(STATE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n", [4, 5, N_RECORDS - 1, N_RECORDS])
def test_an_epochs_record_comes_once_whether_the_run_stops_before_or_after_it(way, n, digits, uninterrupted, tmp_path):
    run = Run.create(tmp_path / "run")
    records = take(new_session(way, digits, run), n)
    records += list(TrainingSession.resume(run, digits).records()) if run.has(STATE) else []
    epochs = [record.epoch for record in records if isinstance(record, EpochRecord)]
    assert epochs == list(range(1, len(epochs) + 1))
    assert outcome(run) == uninterrupted(way)


# Mid-epoch, between an epoch's last batch and its record, and after the last record.
@pytest.mark.parametrize("n", [17, 11, 36])
def test_the_codelabs_network_resumes_bit_for_bit(n, mnist, tmp_path):
    config = TrainConfig(epochs=3)
    whole, parts = Run.create(tmp_path / "whole"), Run.create(tmp_path / "parts")
    list(TrainingSession(config, mnist, whole).records())
    assert len(take(TrainingSession(config, mnist, parts), n)) == n
    list(TrainingSession.resume(parts, mnist).records())
    assert outcome(parts) == outcome(whole)


def test_a_session_that_was_interrupted_goes_on_itself(digits, uninterrupted, tmp_path):
    session = new_session("adam", digits, Run.create(tmp_path / "run"))
    records = [*take(session, 7), *take(session, 3), *session.records()]
    assert timeless(records) == uninterrupted("adam")[2]
    assert outcome(session.run) == uninterrupted("adam")
    assert list(session.records()) == []


def test_a_session_whose_run_went_on_elsewhere_goes_on_from_there(digits, uninterrupted, tmp_path):
    run = Run.create(tmp_path / "run")
    first = new_session("adam", digits, run)
    records = take(first, 3)
    records += take(TrainingSession.resume(run, digits), 4)
    records += first.records()
    assert timeless(records) == uninterrupted("adam")[2]
    assert outcome(run) == uninterrupted("adam")


def test_a_kill_at_any_moment_leaves_what_resumes_or_a_sentence(digits, uninterrupted, tmp_path, monkeypatch):
    """What a kill leaves behind is a copy of the directory of that moment: one before and after everything written."""
    monkeypatch.setattr(keeping, "_SECONDS_BETWEEN_SAVES", -1.0)
    run = Run.create(tmp_path / "run")
    copies = []

    def copied():
        copies.append(Run(Path(shutil.copytree(run.path, tmp_path / f"copy-{len(copies)}"))))

    def watched(function):
        def call(*arguments, **options):
            copied()
            result = function(*arguments, **options)
            copied()
            return result

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", watched(os.replace))
        patch.setattr(HistoryFile, "append", watched(HistoryFile.append))
        patch.setattr(Path, "unlink", watched(Path.unlink))
        list(new_session("best weights", digits, run).records())
    assert len(copies) > 4 * N_RECORDS
    statuses = set()
    kept = [copy.has(STATE) or copy.has(MODEL) for copy in copies]
    assert all(kept[kept.index(True) :])
    for copy in copies:
        if not copy.has(STATE):
            with pytest.raises(
                RunError, match=r"is complete|was stopped before its first state was saved|has no config"
            ):
                TrainingSession.resume(copy, digits)
            continue
        statuses.add(copy.info().status)
        list(TrainingSession.resume(copy, digits).records())
        assert outcome(copy) == uninterrupted("best weights")
    assert statuses == {"interrupted"}


def test_a_history_that_is_ahead_of_the_state_is_cut(digits, uninterrupted, tmp_path):
    run = Run.create(tmp_path / "run")
    take(new_session("adam", digits, run), 4)
    # As after a kill: the epoch's record, a batch's, and half of another were written after the last state.
    epoch = EpochRecord(1, 4, 9.0, 0.1, 9.0, 0.1, 0.001, 1.0)
    step = StepRecord(5, 2, 1, 16, 9.0, 0.1, 0.001, 1.0)
    with closing(run.open_history(4)) as history:
        history.append([epoch, step])
    with open(run.path / HISTORY, "ab") as file:
        file.write(b'{"kind": "step", "st')
    assert run.history()[4:] == [epoch, step]
    list(TrainingSession.resume(run, digits).records())
    assert outcome(run) == uninterrupted("adam")


def test_a_history_that_is_behind_the_state_gets_a_sentence(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    take(new_session("adam", digits, run), 7)
    os.truncate(run.path / HISTORY, 300)
    before = (run.path / STATE).read_bytes()
    with pytest.raises(RunError, match="1 whole records where the run's state knows of 7"):
        list(TrainingSession.resume(run, digits).records())
    assert (run.path / STATE).read_bytes() == before


def test_a_complete_run_and_one_without_a_state_cannot_be_resumed(digits, tmp_path):
    complete, fresh = Run.create(tmp_path / "complete"), Run.create(tmp_path / "fresh")
    list(new_session("adam", digits, complete).records())
    with pytest.raises(RunError, match=r"complete is complete; start a new one, or replace it with --force\."):
        TrainingSession.resume(complete, digits)
    with pytest.raises(RunError, match=r"has no config\.json"):
        TrainingSession.resume(fresh, digits)
    fresh.write_json("config.json", new_session("adam", digits, None).describe())
    with pytest.raises(RunError, match="was stopped before its first state was saved"):
        TrainingSession.resume(fresh, digits)


def test_other_data_gets_a_sentence(digits, mnist, tmp_path):
    run = Run.create(tmp_path / "run")
    take(new_session("adam", digits, run), 3)
    with pytest.raises(RunError, match=r"is not what the run .* began with. Bring that data back"):
        TrainingSession.resume(run, mnist)
    take(TrainingSession.resume(run, digits), 1)


@pytest.fixture(scope="module")
def interrupted(digits, tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("interrupted") / "run")
    take(new_session("best weights", digits, run), 7)
    return run


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_state_gets_a_sentence(interrupted, digits, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "run"
    run = Run(Path(shutil.copytree(interrupted.path, path)))
    content = bytearray((run.path / STATE).read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(header, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (run.path / STATE).write_bytes(content)
    with pytest.raises(RunError, match=r"state.safetensors"):
        TrainingSession.resume(run, digits)
    assert (run.path / STATE).read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        {"step": 700},
        {"step": -6},
        {"step": 2.5},
        {"epochs_done": 2},
        {"epoch_images": 7},
        {"epoch_loss": "much"},
        {"epoch_seconds": None},
        {"best_epoch": "first"},
    ],
)
def test_a_state_with_numbers_that_cannot_be_gets_a_sentence(interrupted, digits, tmp_path, change):
    run = Run(Path(shutil.copytree(interrupted.path, tmp_path / "run")))
    state = run.load_state()
    numbers = json.loads(state.metadata["progress"])
    metadata = state.metadata | {"progress": json.dumps(numbers | change)}
    run.save(STATE, dataclasses.replace(state, metadata=metadata))
    with pytest.raises(RunError, match=r"state\.safetensors is damaged .*--force"):
        TrainingSession.resume(run, digits)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"config": []}',
        b'{"config": {"epochs": 0}, "data": {"digest": ""}}',
        b'{"config": {}, "data": []}',
    ],
)
def test_damaged_settings_get_a_sentence(interrupted, digits, tmp_path, content):
    run = Run(Path(shutil.copytree(interrupted.path, tmp_path / "run")))
    (run.path / "config.json").write_bytes(content)
    with pytest.raises(RunError, match=r"config\.json"):
        TrainingSession.resume(run, digits)


def test_only_one_session_at_a_time_has_a_run(interrupted, digits, tmp_path):
    run = Run(Path(shutil.copytree(interrupted.path, tmp_path / "run")))
    first = TrainingSession.resume(run, digits)
    with pytest.raises(RunError, match=r"is being trained by another session. Wait until it ends"):
        TrainingSession.resume(run, digits)
    records = first.records()
    next(records)
    with pytest.raises(RunError, match="is being trained by another session"):
        TrainingSession.resume(Run(run.path), digits)
    records.close()
    second = TrainingSession.resume(run, digits)
    with pytest.raises(RunError, match="is being trained by another session"):
        next(first.records())
    del second
    gc.collect()
    list(TrainingSession.resume(run, digits).records())


def test_a_failed_resume_lets_go_of_the_run(interrupted, digits, mnist, tmp_path):
    run = Run(Path(shutil.copytree(interrupted.path, tmp_path / "run")))
    for _ in range(2):
        with pytest.raises(RunError, match="is not what the run"):
            TrainingSession.resume(run, mnist)
    list(TrainingSession.resume(run, digits).records())


def test_a_new_session_does_not_overwrite_a_training(interrupted, digits, tmp_path):
    run = Run(Path(shutil.copytree(interrupted.path, tmp_path / "run")))
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(RunError, match=r"holds a training already. Go on with it by: digitlab train --out"):
        next(new_session("adam", digits, run).records())
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


@pytest.mark.parametrize("end", ["close", "forget", "throw", "break"])
def test_however_the_iteration_ends_the_state_is_saved_once(end, digits, uninterrupted, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run")
    saved = []
    monkeypatch.setattr(
        Run, "save", lambda self, name, checkpoint, save=Run.save: (saved.append(name), save(self, name, checkpoint))
    )
    records = new_session("adam", digits, run).records()
    for _ in range(6):
        next(records)
    assert saved == []
    if end == "close":
        records.close()
        records.close()
    elif end == "forget":
        del records
        gc.collect()
    elif end == "throw":
        with pytest.raises(LookupError):
            records.throw(LookupError("the consumer has enough"))
    else:
        for _ in records:
            break
        del records
    assert saved == [STATE]
    list(TrainingSession.resume(run, digits).records())
    assert outcome(run) == uninterrupted("adam")


def test_a_generator_that_was_never_started_leaves_the_directory_empty(digits, tmp_path):
    run = Run.create(tmp_path / "run")
    new_session("adam", digits, run).records().close()
    assert list(run.path.iterdir()) == []


def test_ctrl_c_in_the_middle_of_a_batch_falls_between_two(digits, uninterrupted, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run")
    session = new_session("adam", digits, run)
    train_batch, calls = CpuRunner.train_batch, []

    def interrupted_batch(runner, *arguments):
        calls.append(runner)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGINT)
        result = train_batch(runner, *arguments)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGINT)
        return result

    usual = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(CpuRunner, "train_batch", interrupted_batch)
        with pytest.raises(KeyboardInterrupt):
            list(session.records())
    assert signal.getsignal(signal.SIGINT) is usual
    assert session.progress.step == 6
    assert [record.step for record in run.history() if isinstance(record, StepRecord)] == [1, 2, 3, 4, 5, 6]
    list(TrainingSession.resume(run, digits).records())
    assert outcome(run) == uninterrupted("adam")


def test_a_batch_that_fails_half_way_does_not_replace_the_state(digits, uninterrupted, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run")
    take(new_session("adam", digits, run), 7)
    before = (run.path / STATE).read_bytes()

    def failing_batch(runner, *arguments):
        runner.parameters = np.ones_like(runner.parameters)
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(CpuRunner, "train_batch", failing_batch)
        with pytest.raises(MemoryError):
            list(TrainingSession.resume(run, digits).records())
    assert (run.path / STATE).read_bytes() == before
    list(TrainingSession.resume(run, digits).records())
    assert outcome(run) == uninterrupted("adam")


def test_a_full_disk_while_the_state_is_saved_keeps_the_last_state(digits, uninterrupted, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run")
    take(new_session("adam", digits, run), 3)
    before = (run.path / STATE).read_bytes()
    records = TrainingSession.resume(run, digits).records()
    for _ in range(5):
        next(records)

    def full(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match=r"No space left on device.*nothing that existed was lost"):
            records.close()
    assert (run.path / STATE).read_bytes() == before
    assert not list(run.path.glob(".digitlab-*"))
    list(TrainingSession.resume(run, digits).records())
    assert outcome(run) == uninterrupted("adam")


def test_a_full_disk_at_the_end_keeps_the_weights_in_a_state_if_it_can(digits, uninterrupted, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run")
    save = Run.save

    def full_for_models(self, name, checkpoint):
        if name == MODEL:
            raise StorageError("No space left on device.")
        save(self, name, checkpoint)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", full_for_models)
        with pytest.raises(StorageError):
            list(new_session("early stopping with best weights", digits, run).records())
    assert run.info().status == "interrupted"
    assert list(TrainingSession.resume(run, digits).records()) == []
    assert outcome(run) == uninterrupted("early stopping with best weights")


CHILD = """
import os, signal, sys
from digitlab.training import keeping
from digitlab.training.config import TrainConfig
from digitlab.training.session import open_session
out, folder, doing = sys.argv[1:]
keeping._SECONDS_BETWEEN_SAVES = -1.0 if doing == "wait" else 1000.0
config = TrainConfig(
    data=folder, network="dense_baseline", train_images=50, validation_images=20, batch_size=16, epochs=3
)
for n, record in enumerate(open_session(config, out, name="run").records(), start=1):
    if n == 7 and doing == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 7:
        print("holding", flush=True)
        sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and flock")
def test_a_killed_process_lets_go_of_its_run_which_resumes(folder, tmp_path):
    config = dataclasses.replace(SMALL, data=str(folder))
    run = Run(tmp_path / "run")
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), str(folder), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout.readline() == "holding\n"
            with pytest.raises(RunError, match="is being trained by another session"):
                TrainingSession.resume(run)
            with pytest.raises(RunError, match="is being trained by another session"):
                Run.create(run.path, force=True)
        finally:
            child.kill()
    assert child.returncode == -signal.SIGKILL
    list(TrainingSession.resume(run).records())
    whole = Run.create(tmp_path / "whole")
    list(TrainingSession(config, run=whole).records())
    assert outcome(run) == outcome(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_before_its_first_state_leaves_a_run_that_says_so(folder, tmp_path):
    child = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), str(folder), "die"], check=False)
    assert child.returncode == -signal.SIGKILL
    run = Run.open(tmp_path / "run")
    assert run.info().status == "started"
    assert len(run.history()) == 5  # up to the first epoch's record
    with pytest.raises(RunError, match="was stopped before its first state was saved; start a new one, or replace it"):
        TrainingSession.resume(run)
    with suppress(RunError):
        run.load_model()
    assert Run.create(run.path, force=True).history() == []
