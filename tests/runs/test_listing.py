"""Runs are found by name, by path and as the latest; what is no run, or damaged, is not in the way."""

from __future__ import annotations

import os
import re
from contextlib import closing
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.errors import RunError
from digitlab.runs.listing import all_runs, check_name, find_run, free_name, list_runs, run_in
from digitlab.runs.run import CONFIG, EVALUATION, HISTORY, MODEL, STATE, Run
from digitlab.values import EpochRecord, RateChange, Resumption, StepRecord

SETTINGS = {"network": "codelab_cnn", "seed": 3, "epochs": 2, "early_stopping": 0}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs"


def make(out, name, began=0, **settings):
    run = Run.create(out / name)
    run.write_json(CONFIG, {"config": SETTINGS | settings, "command": "digitlab train"})
    os.utime(run.path / CONFIG, (began, began))
    return run


def validated(run, *losses):
    epochs = [EpochRecord(k, k, 1.0, 0.5, loss, 0.25 * k, 0.001, 1.0) for k, loss in enumerate(losses, start=1)]
    with closing(run.open_history()) as history:
        history.append(epochs)


def test_runs_are_listed_with_what_came_out_the_newest_last(out):
    make(out, "b", 1)
    run = make(out, "a", 3, seed=7)
    make(out, "c", 2)
    validated(run, 1.0, 0.5)
    run.write_bytes(MODEL, b"")
    run.write_json(EVALUATION, {"accuracy": 0.875})
    infos = list_runs(out)
    assert [info.name for info in infos] == ["b", "c", "a"]
    assert infos[-1].to_dict() == {
        "name": "a",
        "path": str(out / "a"),
        "status": "complete",
        "network": "codelab_cnn",
        "seed": 7,
        "epochs_done": 2,
        "epochs": 2,
        "val_accuracy": 0.5,
        "test_accuracy": 0.875,
        "changes": [],
        "resumed_after": [],
        "problem": "",
        "title": "",
        "note": "",
        "batches_done": 0,
        "best_epoch": None,
        "on_the_way": [],
        "command": "digitlab train",
    }


def test_a_folder_that_does_not_exist_or_is_a_file_has_no_runs(tmp_path):
    (tmp_path / "file").write_text("")
    assert list_runs(tmp_path / "nothing") == list_runs(tmp_path / "file") == list_runs(tmp_path) == ()


def test_a_folder_that_cannot_be_read_gets_a_sentence(out, monkeypatch):
    out.mkdir()

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(RunError, match=r"cannot be read: Permission denied. Choose another one with --out"):
        list_runs(out)


@pytest.mark.parametrize(
    ("files", "losses", "settings", "status"),
    [
        ([], [], {}, "started"),
        ([], [1.0], {}, "started"),
        ([STATE], [1.0], {}, "interrupted"),
        ([STATE, MODEL], [1.0, 0.5], {}, "interrupted"),
        ([MODEL], [1.0, 0.5], {}, "complete"),
        ([MODEL], [None, None], {}, "complete"),
        ([MODEL], [1.0], {}, "diverged"),
        ([MODEL], [], {}, "diverged"),
        ([MODEL], [0.5, 1.0], {"epochs": 5, "early_stopping": 1}, "complete"),
        ([MODEL], [0.5, 1.0], {"epochs": 5, "early_stopping": 2}, "diverged"),
    ],
)
def test_the_status_says_how_a_run_ended(out, files, losses, settings, status):
    run = make(out, "run", **settings)
    validated(run, *losses)
    for name in files:
        run.write_bytes(name, b"")
    assert run.info().status == status


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"config": []}',
        b'{"config": {"network": 3, "seed": 0, "epochs": 1}}',
        b'{"config": {"network": "x"}}',
    ],
)
def test_a_run_with_damaged_settings_is_left_out_and_says_why_when_asked(out, content):
    make(out, "good")
    (make(out, "bad").path / CONFIG).write_bytes(content)
    assert [info.name for info in list_runs(out)] == ["good"]
    with pytest.raises(RunError, match=r"config\.json.*The run is damaged; train it again\."):
        find_run("bad", out).info()


RECORD = (
    '{"kind": "epoch", "epoch": 1, "step": 1, "loss": LOSS, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, '
    '"learning_rate": 0.001, "images_per_s": 1.0}\n'
)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (HISTORY, RECORD.replace("LOSS", "1" * 400), "Line 1 of history.jsonl is not a record"),
        (HISTORY, RECORD.replace("LOSS", "NaN"), "Line 1"),
        (HISTORY, RECORD.replace("LOSS", '"low"'), "Line 1"),
        (HISTORY, RECORD.replace("LOSS", "1.0").replace('"step": 1', '"step": -1'), "Line 1"),
        (CONFIG, '{"config": {"network": "x", "seed": -1, "epochs": 1}}', "its setting 'seed' is -1"),
        (CONFIG, '{"config": {"network": "x", "seed": true, "epochs": 1}}', "its setting 'seed' is True"),
        (CONFIG, '{"config": {"network": "x", "seed": 0, "epochs": null}}', "its setting 'epochs' is None"),
        (CONFIG, '{"config": {"network": "x", "seed": 0, "epochs": 1, "data": 3}}', "its setting 'data' is 3"),
        (CONFIG, '{"config": {"network": "x", "seed": 0, "epochs": 1, "early_stopping": "5"}}', "'early_stopping'"),
        (CONFIG, '{"config": {"network": "x", "seed": 0, "epochs": 1, "train_images": 0}}', "'train_images'"),
        (CONFIG, "[" + "[]," * 2_000_000 + "[]]", "at most 4,194,304 are read"),
        (CONFIG, None, "it is not an ordinary file"),
        (HISTORY, None, "it is not an ordinary file"),
    ],
)
def test_a_damaged_run_hides_no_other_and_is_named_with_the_reason(out, name, content, reason):
    make(out, "good", 1)
    path = make(out, "bad", 2).path / name
    if content is None:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    else:
        path.write_text(content)
    found = {one.name: one for one in all_runs(out)}
    assert reason in found["bad"].problem
    assert [info.name for info in list_runs(out)] == ["good"]
    assert {*found} == {"good", "bad"}


@pytest.mark.parametrize(
    ("settings", "record"),
    [
        ({}, lambda k: Resumption(k)),
        ({}, lambda k: RateChange(k, 0.5)),
        ({"schedule": "constant"}, lambda k: StepRecord(k, 1, k, 8, 1.0, 0.5, 0.25 + k % 2, 1.0)),
    ],
    ids=["resumed", "rates", "rates by their steps"],
)
def test_a_history_of_endless_changes_is_no_history(out, monkeypatch, settings, record):
    """256 MB of them would be gigabytes in the memory of whoever lists runs, and as many words."""
    monkeypatch.setattr("digitlab.runs.history.MOST_CHANGES", 20)
    monkeypatch.setattr("digitlab.runs.run.MOST_CHANGES", 20)
    run = make(out, "a", **settings)
    make(out, "b", 1)
    for n, n_good in ((20, 2), (21, 1)):
        with closing(run.open_history()) as history:
            history.append([record(k) for k in range(1, n + 1)])
        assert len(list_runs(out)) == n_good
    assert "tells of more than 20 changes" in all_runs(out)[0].problem


def test_a_run_with_a_damaged_history_is_left_out(out):
    (make(out, "bad").path / HISTORY).write_bytes(b"{}\n")
    assert list_runs(out) == ()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"accuracy": "high"}', b'{"accuracy": NaN}', b'{"accuracy": null}'])
def test_a_damaged_evaluation_is_no_accuracy_and_is_told(out, content):
    make(out, "run").write_bytes(EVALUATION, content)
    [info] = list_runs(out)
    assert info.test_accuracy is None
    assert info.problem == "its evaluation is damaged. Make it again with: digitlab evaluate run"


def test_a_run_without_an_evaluation_has_no_problem(out):
    make(out, "run")
    [info] = list_runs(out)
    assert (info.test_accuracy, info.problem) == (None, "")


def test_folders_that_are_no_runs_and_runs_that_are_being_replaced_are_left_out(out):
    make(out, "run")
    (out / "empty").mkdir()
    (out / "file").write_text("")
    make(out, ".digitlab-0123456789abcdef.old")
    assert [info.name for info in list_runs(out)] == ["run"]


def test_a_run_is_found_by_name_by_path_and_as_the_latest(out):
    make(out, "old", 1)
    make(out, "new", 2)
    assert find_run("old", out).path == out / "old"
    assert find_run(out / "old", "elsewhere").path == out / "old"
    assert find_run(str(out / "old"), "elsewhere").path == out / "old"
    assert find_run("latest", out).path == out / "new"
    assert run_in(out, "old").path == out / "old"


def test_a_name_means_the_run_of_the_folder_before_a_path(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(out, "mine")
    make(tmp_path, "mine")
    make(tmp_path, "other")
    assert find_run("mine", out).path == out / "mine"
    assert find_run("other", out).path.resolve() == tmp_path / "other"
    with pytest.raises(RunError, match="There is no run 'other'"):
        run_in(out, "other")


def test_a_name_that_is_nearly_right_gets_the_nearest(out):
    make(out, "first-try")
    with pytest.raises(
        RunError, match=r"There is no run 'frist-try' in .*\. Did you mean 'first-try'\? See what there is"
    ):
        find_run("frist-try", out)


def test_an_empty_folder_says_how_to_train(out):
    for name in ("latest", "mine"):
        with pytest.raises(RunError, match=f"There is no run '{name}' in .*Train one with: digitlab train"):
            find_run(name, out)


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "a/b", "a\0b", "x" * 300, "nothing/here"])
def test_what_is_no_run_gets_a_sentence(out, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out.mkdir()
    for find in (lambda: find_run(name, out), lambda: run_in(out, name)):
        with pytest.raises(RunError):
            find()


def test_a_folder_that_is_no_run_says_so(out):
    (out / "folder").mkdir(parents=True)
    with pytest.raises(RunError, match=r"is not a run: it has no config\.json"):
        find_run("folder", out)


@pytest.mark.parametrize("name", ["a", "A1", "2026-11-22_codelab-cnn_s0", "x" * 100, "v1.2", "latest-one", "a-"])
def test_names_of_runs(name):
    assert check_name(name) == name


@given(st.text() | st.from_regex(r"[A-Za-z0-9._/\\ -]{0,5}", fullmatch=True))
def test_a_name_never_leaves_its_folder(name):
    try:
        check_name(name)
    except RunError:
        return
    assert name not in ("", ".", "..", "latest")
    assert not set(name) & set('/\\\0\n :*?"<>|')
    assert not name.startswith((".", "-"))
    assert not name.endswith(".")


@pytest.mark.parametrize(
    ("network", "stem"),
    [
        ("codelab_cnn", "codelab-cnn"),
        ("my nets/a b (2).json", "a-b-2"),
        ("/", "network"),
        ("日本.json", "network"),
        ("x" * 500 + ".json", "x" * 60),
        ("..", "network"),
    ],
)
def test_a_free_name_has_date_network_and_seed(out, network, stem):
    assert free_name(out, network, 7) == f"{date.today().isoformat()}_{stem}_s7"


def test_a_free_name_is_free(out):
    names = []
    for kind in (os.mkdir, os.mkdir, lambda path: os.symlink("nowhere", path), lambda path: open(path, "w").close()):
        names.append(free_name(out, "codelab_cnn", 0))
        out.mkdir(exist_ok=True)
        kind(out / names[-1])
    assert [re.sub(r".*_s0", "", name) for name in names] == ["", "_2", "_3", "_4"]


@given(network=st.text(), seed=st.integers(0, 2**31 - 1))
def test_every_free_name_is_a_name(network, seed):
    name = free_name("nowhere", network.replace("\0", ""), seed)
    assert check_name(name) == name
