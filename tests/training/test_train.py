"""The verb: one call from a config to a run, and whatever goes wrong leaves what existed as it was."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import ConfigError, DataError, NetworkError, RunError, StorageError, TrainingDivergedError
from digitlab.runs import history as history_module
from digitlab.runs import listing
from digitlab.runs.run import CONFIG, ENVIRONMENT, EVALUATION, HISTORY, MODEL, REPORT, STATE, TIMINGS, Run
from digitlab.training import keeping
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession, open_session

pytestmark = pytest.mark.slow

SMALL = TrainConfig(network="dense_baseline", train_images=50, validation_images=20, batch_size=16, epochs=3)


@pytest.fixture
def small(folder):
    return dataclasses.replace(SMALL, data=str(folder))


def files(run):
    return sorted(path.name for path in run.path.iterdir())


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_has_the_files_of_the_design_and_they_are_whole(small, tmp_path):
    told = []
    run = dl.train(small, tmp_path / "runs", on_record=told.append)
    assert files(run) == sorted([CONFIG, ENVIRONMENT, HISTORY, MODEL, EVALUATION, REPORT, TIMINGS])
    assert run.history() == told
    assert len(told) == 15
    description = run.read_json(CONFIG)
    assert TrainConfig.from_dict(description["config"]) == small
    assert dl.Architecture.from_dict(description["network"]) == small.build_architecture()
    assert description["data"]["digest"] == dl.MnistData.load(small.data).digest
    assert description["command"].startswith("digitlab train ")
    assert run.read_json(ENVIRONMENT)["digitlab"] == dl.__version__
    model = run.load_model()
    assert model.class_names == ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    assert model.metadata["data_digest"] == description["data"]["digest"]
    assert model.metadata["step"] == "12"


def test_every_line_of_the_history_is_a_json_object_with_its_kind(small, tmp_path):
    run = dl.train(small, tmp_path)
    lines = (run.path / HISTORY).read_text("utf-8").splitlines()
    assert [json.loads(line)["kind"] for line in lines] == (["step"] * 4 + ["epoch"]) * 3


def test_the_model_that_was_kept_answers_as_the_one_that_was_trained(small, tmp_path, digits):
    session = open_session(small, tmp_path)
    list(session.records())
    kept = dl.load_model(session.run.path)
    assert np.array_equal(kept.predict(digits.test.images), session.model.predict(digits.test.images))


def test_a_run_is_named_by_date_network_and_seed(small, tmp_path):
    names = [dl.train(dataclasses.replace(small, seed=7), tmp_path).name for _ in range(2)]
    assert names[0].endswith("_dense-baseline_s7")
    assert names[1] == f"{names[0]}_2"


def test_the_settings_of_a_run_train_it_again(small, tmp_path):
    first = dl.train(small, tmp_path, name="first")
    again = dl.train(TrainConfig.from_dict(first.read_json(CONFIG)["config"]), tmp_path, name="again")
    assert (first.path / MODEL).read_bytes() == (again.path / MODEL).read_bytes()


def test_an_existing_run_is_neither_lost_nor_resumed_unasked(small, tmp_path):
    run = dl.train(small, tmp_path, name="mine")
    before = contents(run.path)
    with pytest.raises(RunError, match=r"exists already\. Add --resume .* --force .* choose another --name\."):
        dl.train(small, tmp_path, name="mine")
    assert contents(run.path) == before


def test_force_replaces_a_run(small, tmp_path):
    dl.train(small, tmp_path, name="mine").write_bytes("report.html", b"")
    run = dl.train(dataclasses.replace(small, epochs=1), tmp_path, name="mine", force=True)
    assert files(run) == sorted([CONFIG, ENVIRONMENT, HISTORY, MODEL, EVALUATION, REPORT, TIMINGS])
    assert len(run.history()) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"network": "codelab_cmn"}, NetworkError),
        ({"not_a_digit": 0.2}, ConfigError),
        ({"data": "no such folder"}, DataError),
    ],
)
def test_what_cannot_be_trained_replaces_nothing_and_leaves_nothing_behind(small, tmp_path, changes, error):
    dl.train(small, tmp_path, name="mine")
    before = contents(tmp_path)
    for name, force in (("mine", True), ("other", False), (None, False)):
        with pytest.raises(error):
            dl.train(dataclasses.replace(small, **changes), tmp_path, name=name, force=force)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_was_made_of_the_data_is_a_warning_and_stands_in_the_run(small, tmp_path):
    with pytest.warns(UserWarning, match="has 180 images for training and 20 for validation; 10,000 and 20 were asked"):
        run = dl.train(dataclasses.replace(small, train_images=10_000), tmp_path, name="mine")
    assert run.settings()["train_images"] == 180
    assert run.has(REPORT)


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/b", "/tmp/x", "", ".hidden", "a b", "x" * 101, "a\n", "a\0b", "dot.", "latest"]
)
def test_a_name_that_leaves_the_folder_or_cannot_be_is_refused(small, tmp_path, name):
    out = tmp_path / "runs"
    with pytest.raises(RunError, match="name"):
        dl.train(small, out, name=name)
    with pytest.raises(RunError):
        dl.train(small, out, name=name, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_resume_goes_on_with_the_named_or_the_newest_interrupted_run(small, tmp_path):
    for name in ("first", "second"):
        with pytest.raises(StopIteration):
            dl.train(small, tmp_path, name=name, on_record=lambda record: next(iter(())))
    dl.train(small, tmp_path, name="third")
    assert Run.open(tmp_path / "first").info().status == "interrupted"
    assert dl.train(out=tmp_path, resume=True).name == "second"
    assert dl.train(out=tmp_path, name="first", resume=True).name == "first"
    models = {(tmp_path / name / MODEL).read_bytes() for name in ("first", "second", "third")}
    assert len(models) == 1
    with pytest.raises(
        RunError, match=r"There is no interrupted run in .* See what there is with: digitlab runs --out"
    ):
        dl.train(out=tmp_path, resume=True)
    with pytest.raises(RunError, match="is complete"):
        dl.train(out=tmp_path, name="third", resume=True)
    with pytest.raises(RunError, match=r"There is no run 'fourth'"):
        dl.train(out=tmp_path, name="fourth", resume=True)


def test_resume_takes_the_run_of_the_folder_and_not_one_of_the_same_name_beside_it(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dl.train(small, tmp_path, name="mine")
    with pytest.raises(RunError, match="There is no run 'mine' in elsewhere"):
        dl.train(out="elsewhere", name="mine", resume=True)


def test_an_error_of_the_listener_ends_the_run_where_it_can_be_resumed(small, tmp_path):
    def enough(record):
        if record.step == 6:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        dl.train(small, tmp_path, name="mine", on_record=enough)
    run = Run.open(tmp_path / "mine")
    assert run.info().status == "interrupted"
    assert run.history()[-1].step == 6
    assert dl.train(out=tmp_path, resume=True).info().status == "complete"


def test_a_diverged_run_keeps_finite_weights_and_a_finite_history(small, tmp_path):
    with pytest.raises(TrainingDivergedError):
        dl.train(dataclasses.replace(small, learning_rate=1e6), tmp_path, name="mine")
    run = Run.open(tmp_path / "mine")
    assert files(run) == [CONFIG, ENVIRONMENT, HISTORY, MODEL]
    assert all(np.isfinite(array).all() for array in run.load_model().weights)
    numbers = [value for record in run.history() for value in record.to_dict().values() if value is not None]
    assert numbers
    assert all(math.isfinite(number) for number in numbers)
    assert run.info().status == "diverged"
    with pytest.raises(RunError, match="is complete"):
        dl.train(out=tmp_path, name="mine", resume=True)


def test_sessions_that_start_at_the_same_moment_get_directories_of_their_own(small, tmp_path, monkeypatch):
    taken, free_name = [], listing.free_name

    def late(*arguments):
        name = free_name(*arguments)
        if len(taken) < 3:  # another process is faster, three times
            taken.append(name)
            (tmp_path / name).mkdir()
        return name

    monkeypatch.setattr(listing, "free_name", late)
    run = open_session(small, tmp_path).run
    assert len(set(taken)) == 3
    assert run.name not in taken


def test_many_sessions_at_once_get_directories_of_their_own(small, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(lambda _: open_session(small, tmp_path), range(16)))
    assert len({session.run.path for session in sessions}) == 16


def test_a_file_in_the_way_of_the_folder_gets_a_sentence(small, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(StorageError, match=r"cannot be made.* Choose another folder"):
            dl.train(small, out)
    assert (tmp_path / "file").read_text() == "mine"


class FullFile:
    """A file on a disk that has room for some bytes more."""

    def __init__(self, file, room_bytes):
        self.file, self.room_bytes = file, room_bytes

    def write(self, content):
        content = content[: self.room_bytes]
        if len(content) == 0:
            raise OSError(28, "No space left on device")
        self.room_bytes -= len(content)
        return self.file.write(content)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("room_bytes", [0, 1, 500, 1500])
def test_a_disk_that_fills_up_with_the_history_leaves_whole_lines_and_a_run_that_resumes(
    small, tmp_path, monkeypatch, room_bytes
):
    whole = dl.train(small, tmp_path, name="whole")
    with pytest.raises(LookupError):
        dl.train(small, tmp_path, name="mine", on_record=lambda record: {}[record.step])
    run = Run.open(tmp_path / "mine")
    before = contents(run.path)

    def opened(path, mode, **options):
        file = open(path, mode, **options)  # noqa: SIM115 - the history closes it
        return FullFile(file, room_bytes) if mode == "ab" else file

    with monkeypatch.context() as patch:
        patch.setattr(history_module, "open", opened, raising=False)
        with pytest.raises(StorageError, match=r"history\.jsonl cannot be written: No space left .* go on with"):
            dl.train(out=tmp_path, resume=True)
    after = contents(run.path)
    assert (run.path / HISTORY).read_bytes().endswith(b"}\n")
    assert after[HISTORY].startswith(before[HISTORY])
    assert after[STATE] == before[STATE]
    dl.train(out=tmp_path, resume=True)
    assert (run.path / MODEL).read_bytes() == (whole.path / MODEL).read_bytes()
    assert [record.step for record in run.history()] == [record.step for record in whole.history()]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_disk_error_at_any_write_leaves_whole_files_and_the_old_state(small, tmp_path, monkeypatch, broken):
    monkeypatch.setattr(keeping, "_SECONDS_BETWEEN_SAVES", -1.0)
    model = (dl.train(small, tmp_path, name="whole").path / MODEL).read_bytes()
    usual, n_done = getattr(os, broken), 0
    while True:
        calls = []

        def failing(*arguments, calls=calls, n_done=n_done):
            calls.append(arguments)
            if len(calls) > n_done:  # from here on the disk is full
                raise OSError(28, "No space left on device")
            return usual(*arguments)

        name = f"run-{n_done}"
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, failing)
            try:
                run = dl.train(small, tmp_path, name=name)
            except StorageError as error:
                assert "No space left on device" in str(error)  # noqa: PT017
                run = Run(tmp_path / name)
            else:
                break
        assert not list(run.path.glob(".digitlab-*"))
        assert len(run.history()) <= 15
        if run.has(STATE):
            dl.train(out=tmp_path, name=name, resume=True)
            assert (run.path / MODEL).read_bytes() == model
        elif run.has(MODEL):  # all but its evaluation and its report
            assert (run.path / MODEL).read_bytes() == model
        else:
            dl.train(small, tmp_path, name=name, force=True)
        n_done += 3
    assert n_done > 15
    assert (run.path / MODEL).read_bytes() == model


FILE_SIZE_LIMITED = """
import resource, sys
import digitlab as dl
from digitlab.training.session import TrainingSession
out, folder, limit = sys.argv[1:]
config = dl.TrainConfig(data=folder, train_images=50, validation_images=20, batch_size=16, epochs=30)
list(TrainingSession(config).records())  # the kernels are compiled and kept before the limit
sys.dont_write_bytecode = True  # Python would keep half of a module's, and not notice
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
try:
    dl.train(config, out, name="run")
except dl.DigitlabError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize(
    ("limit", "broken"), [(1_000, CONFIG), (5_000, HISTORY), (26_000, MODEL)], ids=[CONFIG, HISTORY, MODEL]
)
def test_a_file_that_the_system_refuses_to_grow_gets_a_sentence(folder, tmp_path, limit, broken):
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", FILE_SIZE_LIMITED, str(tmp_path), str(folder), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout.startswith("StorageError")
    assert "othing that existed was lost" in child.stdout
    run = Run(tmp_path / "run")
    assert not run.has(broken) or broken == HISTORY
    assert not list(run.path.glob(".digitlab-*"))
    assert run.history() == run.history()[: 30 * 5]


MEMORY = """
import sys
import digitlab as dl
run = dl.train(out=sys.argv[1])
try:
    lines = open("/proc/self/status").read().splitlines()
    print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a measure of the peak")
def test_the_default_training_stays_below_400_mb(tmp_path):
    list(TrainingSession(TrainConfig(epochs=1), dl.MnistData.load()).records())  # the kernels are compiled
    child = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True)
    assert float(child.stdout) < 400
    (run,) = map(Run, tmp_path.iterdir())
    assert (run.info().status, run.info().epochs_done) == ("complete", 10)


def test_settings_may_be_written_into_the_call(small, tmp_path):
    run = dl.train(small, tmp_path, epochs=1, seed=3)
    assert TrainConfig.from_dict(run.read_json(CONFIG)["config"]) == dataclasses.replace(small, epochs=1, seed=3)
    with pytest.raises(ConfigError, match=r"There is no setting 'epoch'\. Did you mean 'epochs'"):
        dl.train(out=tmp_path, epoch=1)
