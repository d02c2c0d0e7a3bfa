"""A run's directory: nothing in it is half written, and nothing that is not a run is ever deleted."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.data import storage as benches
from digitlab.errors import RunError, StorageError
from digitlab.network import architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.runs import run as replacement
from digitlab.runs.history import record_line
from digitlab.runs.run import CONFIG, ENVIRONMENT, EVALUATION, FILES, HISTORY, MODEL, STATE, Run
from digitlab.values import EpochRecord, StepRecord

CONTENT = {"config": {"network": "codelab_cnn", "seed": 3, "epochs": 2}, "command": "digitlab train"}
STEP = StepRecord(1, 1, 1, 512, 2.5, 0.125, 0.001, 40_000.0)
EPOCH = EpochRecord(1, 1, 2.5, 0.125, 2.25, 0.25, 0.001, 40_000.0)

finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**40)
step_records = st.builds(StepRecord, counts, counts, counts, counts, finite, finite, finite, finite)
epoch_records = st.builds(
    EpochRecord, counts, counts, finite, finite, st.none() | finite, st.none() | finite, finite, finite
)


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path / "runs" / "mine")
    run.write_json(CONFIG, CONTENT)
    return run


@pytest.fixture
def checkpoint():
    network = architecture("dense_baseline")
    return Checkpoint(network, tuple(network.initial_weights(0)))


def append(run, *records):
    with closing(run.open_history(len(run.history()))) as history:
        history.append(records)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_layout_names_every_file_once():
    assert len(set(FILES)) == len(FILES)
    assert {CONFIG, ENVIRONMENT, HISTORY, MODEL, STATE, EVALUATION} < set(FILES)
    from digitlab.runs import run as layout

    assert all(f"      {name} " in layout.__doc__ for name in FILES)


def test_a_new_run_is_an_empty_directory_with_its_parents(tmp_path):
    run = Run.create(tmp_path / "a" / "b" / "run")
    assert run.path.is_dir()
    assert list(run.path.iterdir()) == []
    assert run.name == "run"


def test_a_directory_that_exists_is_refused_with_what_to_do(run):
    with pytest.raises(RunError, match=r"exists already\. Add --resume .* --force .* choose another --name\."):
        Run.create(run.path)
    assert run.read_json(CONFIG) == CONTENT


def test_a_file_or_a_broken_link_in_the_way_is_refused_and_kept(tmp_path):
    (tmp_path / "file").write_text("mine")
    os.symlink(tmp_path / "nowhere", tmp_path / "link")
    for name in ("file", "link"):
        for force in (False, True):
            with pytest.raises(StorageError, match="a file is in the way"):
                Run.create(tmp_path / name, force=force)
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_path_that_no_file_can_have_gets_a_sentence(tmp_path, name):
    with pytest.raises(StorageError, match="cannot be made"):
        Run.create(tmp_path / name)


def test_force_replaces_a_run_and_whatever_it_wrote(run):
    for name in FILES[1:]:
        (run.path / name).write_bytes(b"old")
    (run.path / ".digitlab-0123456789abcdef.tmp").write_bytes(b"left behind by a kill")
    assert list(Run.create(run.path, force=True).path.iterdir()) == []
    assert [path.name for path in run.path.parent.iterdir()] == ["mine"]


def test_force_makes_a_run_where_there_is_none_and_fills_an_empty_directory(tmp_path):
    assert Run.create(tmp_path / "new", force=True).path.is_dir()
    assert Run.create(tmp_path / "new", force=True).path.is_dir()


def test_force_never_deletes_a_run_with_something_of_yours_in_it(run):
    (run.path / "notes.txt").write_text("mine")
    before = contents(run.path)
    with pytest.raises(RunError, match=r"also holds 'notes\.txt', which is not part of a run; move it away"):
        Run.create(run.path, force=True)
    assert contents(run.path) == before


@pytest.mark.parametrize("name", ["report.html", ".digitlab-1.tmp", "notes"])
def test_force_never_deletes_a_folder_in_a_run(run, name):
    (run.path / name).mkdir()
    (run.path / name / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not part of a run"):
        Run.create(run.path, force=True)
    assert (run.path / name / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "mine"},
        {".hidden": "mine"},
        {"model.safetensors": "mine"},
        {"config.json": '{"model_type": "bert"}', "model.safetensors": "another tool's"},
        {"config.json": "[]"},
        {"config.json": '{"config": '},
        {"report.html": "mine"},
    ],
    ids=str,
)
def test_force_never_deletes_a_folder_that_is_no_run(tmp_path, files):
    for name, text in files.items():
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(RunError, match=r"--force"):
        Run.create(tmp_path / "mine", force=True)
    assert contents(tmp_path) == before


def test_force_never_follows_a_link(run, tmp_path):
    os.symlink(run.path, tmp_path / "link")
    with pytest.raises(RunError, match="is not a run; --force replaces runs only"):
        Run.create(tmp_path / "link", force=True)
    os.symlink(run.path / CONFIG, run.path / MODEL)
    with pytest.raises(RunError, match=r"also holds 'model\.safetensors'"):
        Run.create(run.path, force=True)
    assert run.read_json(CONFIG) == CONTENT


def test_a_run_that_cannot_be_replaced_is_put_back(run, monkeypatch):
    before, mkdir = contents(run.path), Path.mkdir

    def full(path, *arguments, **options):
        if path.name == run.name:
            raise OSError(28, "No space left on device")
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StorageError, match="No space left on device"):
        Run.create(run.path, force=True)
    assert contents(run.path) == before
    assert [path.name for path in run.path.parent.iterdir()] == ["mine"]


def test_a_run_that_cannot_be_moved_away_stays(run, monkeypatch):
    def refused(path, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(benches, "_exchanged", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StorageError, match="Permission denied"):
        Run.create(run.path, force=True)
    assert run.read_json(CONFIG) == CONTENT


@pytest.mark.skipif(sys.platform == "win32", reason="needs flock")
def test_force_does_not_take_a_run_from_a_session(run):
    lock = run.lock()
    with pytest.raises(RunError, match="is being trained by another session"):
        Run.create(run.path, force=True)
    assert run.read_json(CONFIG) == CONTENT
    lock.release()
    lock.release()
    Run.create(run.path, force=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs flock")
def test_a_lock_is_let_go_when_it_is_forgotten(run):
    lock = run.lock()
    with pytest.raises(RunError, match=r"Wait until it ends, or stop it and then go on with the run by --resume\."):
        run.lock()
    del lock
    run.lock().release()
    assert [path.name for path in run.path.iterdir()] == [CONFIG]


@pytest.mark.skipif(sys.platform == "win32", reason="needs flock")
def test_a_file_system_without_locks_does_without(run, monkeypatch):
    import fcntl

    def unsupported(descriptor, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    first, second = run.lock(), run.lock()
    first.release()
    second.release()


def test_a_folder_that_is_no_run_cannot_be_opened(tmp_path):
    with pytest.raises(RunError, match=r"There is no run .* See what there is with: digitlab runs"):
        Run.open(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"is not a run: it has no config\.json"):
        Run.open(tmp_path)


def test_json_comes_back_and_is_replaced_whole(run, monkeypatch):
    run.write_json(EVALUATION, {"accuracy": 0.5})
    assert run.read_json(EVALUATION) == {"accuracy": 0.5}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StorageError, match=r"evaluation\.json cannot be written: No space left on device\. Nothing that"
    ):
        run.write_json(EVALUATION, {"accuracy": 0.75})
    assert run.read_json(EVALUATION) == {"accuracy": 0.5}
    assert sorted(path.name for path in run.path.iterdir()) == [CONFIG, EVALUATION]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"3"])
def test_damaged_json_gets_a_sentence(run, content):
    (run.path / CONFIG).write_bytes(content)
    with pytest.raises(RunError, match=r"config\.json .*The run is damaged; train it again\."):
        run.read_json(CONFIG)


def test_missing_and_unreadable_files_get_a_sentence(run):
    with pytest.raises(RunError, match=r"has no environment\.json; it may have been stopped before it was written"):
        run.read_json(ENVIRONMENT)
    (run.path / ENVIRONMENT).mkdir()
    with pytest.raises(RunError, match=r"environment\.json cannot be read: Is a directory"):
        run.read_json(ENVIRONMENT)


def test_files_too_large_to_be_a_runs_are_not_read(run):
    for name in (ENVIRONMENT, HISTORY):
        with open(run.path / name, "wb") as file:
            file.truncate(2**28 + 1)
    with pytest.raises(RunError, match="at most 4,194,304 are read"):
        run.read_json(ENVIRONMENT)
    with pytest.raises(RunError, match="larger than 256 MB"):
        run.history()
    with open(run.path / CONFIG, "wb") as file:
        file.truncate(replacement._MOST_BYTES + 1)
    with pytest.raises(RunError, match="--force"):
        Run.create(run.path, force=True)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_pipes_and_devices_in_the_place_of_files_are_told_and_not_waited_for(run, make):
    for name in (ENVIRONMENT, HISTORY):
        make(run.path / name)
    (run.path / CONFIG).unlink()
    make(run.path / CONFIG)
    for read in (lambda: run.read_json(ENVIRONMENT), run.history, run.settings, run.info):
        with pytest.raises(RunError, match="it is not an ordinary file"):
            read()
    with pytest.raises(StorageError, match=r"it is not an ordinary file|No such device"):
        run.open_history()


def test_a_line_of_the_history_is_no_longer_than_a_record(run):
    (run.path / HISTORY).write_bytes(b"[" * 5_000_000)
    with pytest.raises(RunError, match=r"Line 1 of .* is not a record"):
        run.history()


@pytest.mark.parametrize("number", ["1" * 400, "-" + "1" * 400, "1e999", "NaN", "-Infinity", str(2**53 + 1)])
def test_numbers_that_nothing_can_reckon_with_are_told(run, number):
    (run.path / CONFIG).write_text(json.dumps(CONTENT).replace("3", number))
    with pytest.raises(RunError, match=r"it holds the number .* The run is damaged"):
        run.settings()


def test_a_model_comes_back(run, checkpoint):
    with pytest.raises(
        RunError, match=r"has no model yet; go on with it by: digitlab train --out .* --name mine --resume"
    ):
        run.load_model()
    run.save(MODEL, checkpoint)
    assert all(map(np.array_equal, run.load_model().weights, checkpoint.weights))


def test_a_damaged_model_gets_a_sentence(run):
    (run.path / MODEL).write_bytes(b"not a model")
    with pytest.raises(RunError, match=r"model\.safetensors cannot be used"):
        run.load_model()


def test_a_state_is_removed_once(run, checkpoint):
    run.save(STATE, checkpoint)
    run.remove_state()
    run.remove_state()
    assert not run.has(STATE)
    (run.path / STATE).mkdir()
    with pytest.raises(StorageError, match=r"state\.safetensors cannot be removed"):
        run.remove_state()


def test_the_command_that_resumes_is_quoted(tmp_path):
    assert Run(Path("my runs") / "a").resume_command() == "digitlab train --out 'my runs' --name a --resume"


@given(records=st.lists(step_records | epoch_records, max_size=20))
def test_a_history_comes_back_equal(tmp_path_factory, records):
    run = Run.create(tmp_path_factory.mktemp("history") / "run")
    append(run, *records)
    assert run.history() == records
    append(run, STEP)
    assert run.history() == [*records, STEP]


def test_a_run_without_a_history_has_no_records(run):
    assert run.history() == []


def test_a_line_that_was_cut_off_is_left_out(run):
    append(run, STEP, EPOCH)
    content = (run.path / HISTORY).read_bytes()
    for n in range(len(content)):
        (run.path / HISTORY).write_bytes(content[:n])
        assert run.history() == [STEP, EPOCH][: content[:n].count(b"\n")]


def bad_lines():
    step = {"kind": "step"} | STEP.to_dict()
    yield b"\n"
    yield b"{}\n"
    yield b"[]\n"
    yield b'"step"\n'
    yield b"\xff\n"
    yield b"[" * 100_000 + b"\n"
    for change in (
        {"kind": "note"},
        {"kind": []},
        {"loss": "much"},
        {"loss": None},
        {"step": 1.5},
        {"step": True},
        {"x": 1},
    ):
        yield json.dumps(step | change).encode() + b"\n"
    for text in ("NaN", "Infinity", "-Infinity"):
        yield record_line(STEP).replace(b"2.5", text.encode())
    yield json.dumps({key: value for key, value in step.items() if key != "loss"}).encode() + b"\n"


@pytest.mark.parametrize("line", list(bad_lines()), ids=lambda line: str(line[:40]))
def test_a_line_that_is_no_record_gets_a_sentence_with_its_number(run, line):
    (run.path / HISTORY).write_bytes(record_line(STEP) + line + record_line(EPOCH))
    with pytest.raises(
        RunError, match=r"Line 2 of .*history\.jsonl is not a record\. The run is damaged; train it again\."
    ):
        run.history()


@given(content=st.binary(max_size=100) | st.text('{}[]"kindstep: ,\n0123', max_size=60).map(str.encode))
def test_any_bytes_are_a_history_or_a_sentence(tmp_path_factory, content):
    run = Run(tmp_path_factory.getbasetemp())
    (run.path / HISTORY).write_bytes(content)
    try:
        assert run.history() == []
    except RunError:
        assert b"\n" in content


def test_a_record_that_is_not_finite_is_never_written(run):
    with closing(run.open_history()) as history, pytest.raises(ValueError, match="JSON compliant"):
        history.append([STEP, dataclasses.replace(STEP, loss=float("nan"))])
    assert (run.path / HISTORY).read_bytes() == b""


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_history_is_cut_to_the_records_that_are_known(run, n):
    append(run, STEP, EPOCH)
    with open(run.path / HISTORY, "ab") as file:
        file.write(b'{"kind"')
    with closing(run.open_history(n)) as history:
        history.append([EPOCH])
    assert run.history() == [*[STEP, EPOCH][:n], EPOCH]


def test_a_history_with_fewer_records_than_known_is_damaged_and_kept(run):
    append(run, STEP)
    with pytest.raises(RunError, match="has 1 whole records where the run's state knows of 2"):
        run.open_history(2)
    assert run.history() == [STEP]


def test_a_history_that_cannot_be_opened_gets_a_sentence(run):
    (run.path / HISTORY).mkdir()
    with pytest.raises(StorageError, match=r"history\.jsonl cannot be written: Is a directory"):
        run.open_history()
    with pytest.raises(RunError, match=r"history\.jsonl cannot be read: Is a directory"):
        run.history()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_device_gets_a_sentence(run):
    os.symlink("/dev/full", run.path / HISTORY)
    with pytest.raises(StorageError, match=r"history\.jsonl cannot be written"), closing(run.open_history()) as history:
        history.append([STEP])
