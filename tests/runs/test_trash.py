"""Deleted runs: gone in one step and whole, brought back the same, and nothing else is ever touched."""

from __future__ import annotations

import os
import threading

import pytest

from digitlab.errors import DigitlabError, RunError, StorageError
from digitlab.runs import trash
from digitlab.runs.listing import all_runs, find_run
from digitlab.runs.run import CONFIG, EVALUATION, HISTORY, MODEL, Run
from digitlab.runs.trash import TRASH, delete_run, deleted_runs, restore_run, what_is_lost

CONTENT = {"config": {"network": "codelab_cnn", "seed": 3, "epochs": 2}, "command": "digitlab train"}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs"


def make(out, name="mine", seed=3):
    run = Run.create(out / name)
    run.write_json(CONFIG, {"config": CONTENT["config"] | {"seed": seed}, "command": "digitlab train"})
    run.write_bytes(MODEL, b"weights")
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_deleted_run_is_listed_nowhere_and_comes_back_as_it_was(out):
    run = make(out)
    before = contents(run.path)
    deleted = delete_run(run)
    assert all_runs(out) == ()
    with pytest.raises(RunError, match="There is no run"):
        find_run("mine", out)
    assert [one.name for one in deleted_runs(out)] == ["mine"]
    assert os.listdir(out / TRASH) == [os.path.basename(deleted.path)]
    assert contents(restore_run("mine", out).path) == before
    assert deleted_runs(out) == ()
    assert [info.name for info in all_runs(out)] == ["mine"]


def test_what_is_lost_is_said_by_what_is_there(out):
    run = make(out)
    run.annotate(title="x")
    told = what_is_lost(run)
    assert told.startswith("settings, weights and title and note, ")
    run.write_json(EVALUATION, {"accuracy": 0.5})
    assert "evaluation" in what_is_lost(run)


def test_of_two_that_were_called_the_same_the_last_comes_back_first(out):
    for seed in (1, 2):
        delete_run(make(out, seed=seed))
    assert restore_run("mine", out).info().seed == 2
    with pytest.raises(RunError, match="There is a run mine again"):
        restore_run("mine", out)
    (out / "mine").rename(out / "other")
    assert restore_run("mine", out).info().seed == 1


def test_unknown_names_are_told_with_the_nearest(out):
    delete_run(make(out, "first-try"))
    with pytest.raises(RunError, match="Did you mean 'first-try'"):
        restore_run("first-tri", out)
    for name in ("../x", "", "latest", ".trash"):
        with pytest.raises(RunError):
            restore_run(name, out)


def test_run_that_is_trained_stays(out):
    run = make(out)
    lock = run.lock()
    try:
        with pytest.raises(RunError, match="is being trained"):
            delete_run(run)
        assert contents(run.path).keys() == {CONFIG, MODEL}
    finally:
        lock.release()
    delete_run(run)


def test_damaged_run_can_be_deleted(out):
    run = make(out)
    (run.path / CONFIG).write_text("{")
    (run.path / HISTORY).write_bytes(b"\xff")
    delete_run(run)
    assert all_runs(out) == ()


@pytest.mark.parametrize("name", ["notes.txt", "photos/1.png", ".hidden"])
def test_run_with_something_of_somebodys_own_stays(out, name):
    run = make(out)
    path = run.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    for refused in (what_is_lost, delete_run):
        with pytest.raises(RunError, match=r"which is no part of a run\. Move it away"):
            refused(run)
    assert path.read_text() == "mine"


def test_folder_that_is_no_run_stays(out):
    (out / "notes").mkdir(parents=True)
    with pytest.raises(RunError, match="is not a run"):
        delete_run(Run(out / "notes"))
    with pytest.raises(RunError, match="There is no run"):
        delete_run(Run(out / "nothing"))
    assert (out / "notes").is_dir()


def test_link_to_a_run_elsewhere_is_not_followed(out, tmp_path):
    run = make(tmp_path / "elsewhere")
    out.mkdir()
    (out / "link").symlink_to(run.path)
    with pytest.raises(RunError, match="leads to somewhere else"):
        delete_run(Run(out / "link"))
    assert contents(run.path).keys() == {CONFIG, MODEL}
    assert (out / "link").is_symlink()


def test_trash_that_leads_elsewhere_gets_nothing(out, tmp_path):
    run, elsewhere = make(out), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / TRASH).symlink_to(elsewhere)
    with pytest.raises(StorageError, match="leads to somewhere else"):
        delete_run(run)
    assert list(elsewhere.iterdir()) == []
    assert deleted_runs(out) == ()
    assert run.path.is_dir()


def test_links_inside_a_deleted_run_are_thrown_away_and_what_they_lead_to_stays(out, tmp_path, monkeypatch):
    precious = tmp_path / "precious"
    precious.write_text("weights of somebody else")
    run = make(out)
    (run.path / MODEL).unlink()
    (run.path / MODEL).symlink_to(precious)
    delete_run(run)
    monkeypatch.setattr(trash, "MOST_DELETED", 1)
    delete_run(make(out, "next"))
    assert [one.name for one in deleted_runs(out)] == ["next"]
    assert precious.read_text() == "weights of somebody else"


def test_trash_is_bounded_and_the_oldest_go_first(out, monkeypatch):
    monkeypatch.setattr(trash, "MOST_DELETED", 3)
    for k in range(5):
        delete_run(make(out, f"run{k}"))
    assert [one.name for one in deleted_runs(out)] == ["run2", "run3", "run4"]
    assert len(os.listdir(out / TRASH)) == 3
    monkeypatch.setattr(trash, "MOST_DELETED_BYTES", 100)
    run = make(out, "large")
    run.write_bytes(MODEL, bytes(1_000))
    delete_run(run)
    assert [one.name for one in deleted_runs(out)] == ["large"]


def test_what_else_lies_in_the_trash_is_nobodys_here(out, monkeypatch):
    monkeypatch.setattr(trash, "MOST_DELETED", 1)
    delete_run(make(out, "one"))
    (out / TRASH / "notes").mkdir()
    (out / TRASH / "notes" / "keep").write_text("x")
    delete_run(make(out, "two"))
    assert (out / TRASH / "notes" / "keep").read_text() == "x"
    assert [one.name for one in deleted_runs(out)] == ["two"]


def test_of_many_who_delete_a_run_at_once_one_does_and_the_others_are_told(out):
    run = make(out)
    results = []
    start = threading.Barrier(8)

    def delete():
        start.wait()
        try:
            results.append(delete_run(Run(run.path)).name)
        except DigitlabError as error:
            results.append(error)

    threads = [threading.Thread(target=delete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("mine") == 1
    assert len(deleted_runs(out)) == 1
    assert all("There is no run" in str(error) for error in results if error != "mine")
