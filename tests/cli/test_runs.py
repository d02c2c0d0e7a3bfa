"""``digitlab runs`` and ``digitlab compare``."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_runs_lists_what_there_is(call: Any, out: Path) -> None:
    (info,) = call("runs", "--out", out, "--json").json()
    assert (info["name"], info["status"], info["epochs_done"]) == ("first", "complete", 1)
    shown = call("runs", "--out", out).out
    assert all(words in shown for words in ("first", "complete", "dense_baseline", "1/1"))


def test_a_damaged_run_is_named_with_the_reason_beside_the_others(call: Any, tmp_path: Path) -> None:
    for name, seed in (("bad", "1" * 400), ("good", "1")):
        (tmp_path / name).mkdir()
        config = '{"config": {"network": "dense_baseline", "seed": SEED, "epochs": 1}}'
        (tmp_path / name / "config.json").write_text(config.replace("SEED", seed))
    outcome = call("runs", "--out", tmp_path)
    assert outcome.code == 0
    assert "good" in outcome.out
    assert "damaged" in outcome.out
    assert "Error: bad: config.json cannot be read: it holds the number 1111" in outcome.err
    found = {one["name"]: one for one in call("runs", "--out", tmp_path, "--json").json()}
    assert found["good"]["status"] == "started"
    assert found["bad"]["status"] == "damaged"
    assert "config.json cannot be read" in found["bad"]["problem"]


def test_a_damaged_evaluation_is_told_beside_its_run(call: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"config": {"network": "x", "seed": 1, "epochs": 1}}')
    (tmp_path / "run" / "evaluation.json").write_text("{")
    outcome = call("runs", "--out", tmp_path)
    assert outcome.code == 0
    assert "Error: run: its evaluation is damaged. Make it again with: digitlab evaluate run" in outcome.err


def test_where_there_are_no_runs_the_next_step_is_told(call: Any, tmp_path: Path) -> None:
    outcome = call("runs", "--out", tmp_path)
    assert outcome.code == 0
    assert f"digitlab train --out {tmp_path}" in outcome.err
    assert call("runs", "--out", tmp_path, "--json").json() == []


def test_a_folder_called_like_markup_is_printed_as_it_is(call: Any, tmp_path: Path) -> None:
    assert "[red]x" in call("runs", "--out", tmp_path / "[red]x").err


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of two seeds."""
    import digitlab as dl

    out = tmp_path_factory.mktemp("runs")
    config = {"network": "dense_baseline", "train_images": 64, "validation_images": 32, "batch_size": 32, "epochs": 1}
    for seed, name in enumerate(("first", "second")):
        dl.train(dl.TrainConfig(**config, seed=seed), out, name=name)
    return out


def test_two_runs_are_shown_beside_each_other_with_a_verdict(call: Callable[..., Any], two: Path) -> None:
    outcome = call("compare", "first", "second", "--out", two, "--images", 200)
    assert outcome.code == 0
    for words in ("first", "second", "Accuracy", "Set differently", "seed", "of the same 200 images"):
        assert words in outcome.out
    assert outcome.out.startswith("A and B were trained alike but for one thing: seed (A: 0, B: 1).")


def test_json_is_the_whole_comparison(call: Callable[..., Any], two: Path) -> None:
    import digitlab as dl

    found = call("compare", two / "first", two / "second", "--json").json()
    assert found == dl.compare("first", "second", out=two).to_dict() | {"a": found["a"], "b": found["b"]}
    assert found["a"]["evaluation"]["n_images"] == 10_000


def test_a_run_that_is_not_there_is_a_sentence(call: Callable[..., Any], two: Path) -> None:
    outcome = call("compare", "first", "secon", "--out", two)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Did you mean 'second'?" in outcome.err


def test_the_images_asked_for_are_at_least_one(call: Callable[..., Any], two: Path) -> None:
    outcome = call("compare", "first", "second", "--out", two, "--images", 0)
    assert (outcome.code, outcome.out) == (2, "")
    assert "At least 1 of the test images" in outcome.err


@pytest.fixture
def copied(out: Path, tmp_path: Path) -> Path:
    """Return a folder of its own with the run ``first``."""
    shutil.copytree(out / "first", tmp_path / "first")
    return tmp_path


def test_a_run_is_named_and_noted_and_both_are_shown(call: Any, copied: Path) -> None:
    assert "'My [red]run'" in call("runs", "name", "first", "My [red]run", "--out", copied).err
    shown = call("runs", "--out", copied).out
    assert "My [red]run" in shown
    assert "first" in shown
    assert call("runs", "note", "first", "one\n\x1b[2Jtwo", "--out", copied).code == 0
    told = call("runs", "show", "first", "--out", copied).out
    assert "My [red]run (first)" in told
    assert "two" in told
    assert call("runs", "note", copied / "first").out == "one\n[2Jtwo\n"
    assert call("runs", "name", "first", "", "--out", copied, "--json").json() == {"title": "", "note": "one\n[2Jtwo"}
    (info,) = call("runs", "--out", copied, "--json").json()
    assert (info["title"], info["note"]) == ("", "one\n[2Jtwo")


def test_a_title_that_is_too_long_is_refused(call: Any, copied: Path) -> None:
    outcome = call("runs", "name", "first", "x" * 81, "--out", copied)
    assert outcome.code == 2
    assert "at most 80 characters" in outcome.err
    assert call("runs", "name", "none", "x", "--out", copied).code == 2


def test_a_run_is_deleted_after_a_question_only_and_brought_back(
    call: Any, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = call("runs", "delete", "first", "--out", copied)
    assert outcome.code == 2
    assert "Add --yes" in outcome.err
    for answer, is_there in (("n\n", True), ("\n", True), ("", True), ("y\n", False)):
        terminal = io.StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        told = call("runs", "delete", "first", "--out", copied).err
        assert "first: settings, history, weights, evaluation and report" in told
        assert (copied / "first").exists() == is_there
    assert call("runs", "restore", "first", "--out", copied).code == 0
    assert (copied / "first" / "config.json").is_file()


def test_several_runs_are_deleted_or_none_where_one_cannot_be(call: Any, copied: Path) -> None:
    shutil.copytree(copied / "first", copied / "second")
    (copied / "second" / "notes.txt").write_text("mine")
    assert call("runs", "delete", "first", "second", "--yes", "--out", copied).code == 2
    assert (copied / "first").is_dir()
    (copied / "second" / "notes.txt").unlink()
    deleted = call("runs", "delete", "first", "second", "first", "--yes", "--out", copied, "--json").json()
    assert [one["name"] for one in deleted] == ["first", "second"]
    assert all(Path(one["path"]).is_dir() for one in deleted)
    assert call("runs", "--out", copied, "--json").json() == []
    assert call("runs", "restore", "second", "--out", copied, "--json").json()["name"] == "second"


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run whose rate was changed, one that was stopped, and one with the defaults."""
    from digitlab.training.config import TrainConfig
    from digitlab.training.session import open_session
    from digitlab.values import StepRecord

    out = tmp_path_factory.mktemp("steered")
    config = TrainConfig(network="dense_baseline", train_images=64, validation_images=32, batch_size=32, epochs=2)
    for name, rates, last in (("plain", {}, 0), ("steered", {1: 0.02, 3: 0.005}, 0), ("stopped", {1: 0.02}, 3)):
        records = open_session(config, out, name=name)
        for record in (going := records.records()):
            if isinstance(record, StepRecord):
                if record.step in rates:
                    records.set_learning_rate(rates[record.step])
                if record.step == last:
                    break
        going.close()
    return out


def test_what_was_done_in_a_run_is_told_with_the_command_that_does_it_again(call: Any, steered: Path) -> None:
    told = " ".join(call("runs", "show", "steered", "--out", steered).out.split())
    assert "On the way learning rate 0.02 from batch 2 learning rate 0.005 from batch 4 Accuracy" in told
    assert "complete: 2 of 2 epochs, 4 batches" in told
    assert "digitlab train --repeat" in told
    form = call("runs", "show", "steered", "--out", steered, "--json").json()
    assert [(one["step"], one["learning_rate"]) for one in form["steering"]] == [(1, 0.02), (3, 0.005)]
    assert form["command"] == f"digitlab train --repeat {steered / 'steered'}"
    assert form["settings"]["learning_rate"] == 0.001
    plain = call("runs", "show", "plain", "--out", steered)
    assert "nothing was changed" in plain.out
    assert "digitlab train --network dense_baseline --train-images 64" in " ".join(plain.out.split())
    stopped = call("runs", "show", "stopped", "--out", steered)
    assert "interrupted: 1 of 2 epochs, 3 batches" in stopped.out
    assert "--resume" in stopped.out
    missing = call("runs", "show", "stoped", "--out", steered)
    assert (missing.code, missing.out) == (2, "")
    assert "Did you mean 'stopped'?" in missing.err


def test_the_difference_in_steering_is_told_before_any_figure(call: Any, steered: Path) -> None:
    told = " ".join(call("compare", "plain", "steered", "--out", steered, "--images", 50).out.split())
    assert told.startswith(
        "A and B were trained alike but for one thing: what was changed on the way (A: nothing; B: learning rate 0.02 "
        "from batch 2 and learning rate 0.005 from batch 4)."
    )
    form = call("compare", "plain", "stopped", "--out", steered, "--images", 50, "--json").out
    assert form.split('"')[1] == "unlike"
    assert "where they ended (A: after the last batch; B: after batch 3 of 4)" in form


def test_another_network_is_trained_as_a_run_was(call: Any, steered: Path) -> None:
    words = ("train", "--repeat", "steered", "--network", "codelab_cnn", "--out", steered, "--name", "fair")
    outcome = call(*words)
    assert outcome.code == 0
    assert "bit for bit" not in outcome.err
    told = call("compare", "steered", "fair", "--out", steered, "--images", 50).out
    assert " ".join(told.split()).startswith(
        "A and B were trained alike but for one thing: the network (A: dense_baseline, B: codelab_cnn)."
    )
    short = call("train", "--repeat", "steered", "--epochs", 1, "--out", steered)
    assert short.code == 2
    assert "learning rate set at batch 4, and with these settings there are 2 batches" in short.err


def test_python_trains_another_network_as_a_run_was_too(steered: Path) -> None:
    import digitlab as dl
    from digitlab.errors import ConfigError
    from digitlab.runs.run import CONFIG

    run = dl.train(out=steered, repeat="steered", seed=3)
    assert (run.settings()["seed"], run.settings()["network"]) == (3, "dense_baseline")
    assert run.steering() == dl.Run.open(steered / "steered").steering()
    with pytest.raises(ConfigError, match="leave out config and resume"):
        dl.train(dl.TrainConfig(), out=steered, repeat="steered")
    description = run.read_json(CONFIG)
    run.write_json(CONFIG, description | {"fine_tuned": {"origin": "x"}})
    with pytest.raises(ConfigError, match="learned from corrections, and is repeated as it was; leave out seed"):
        dl.train(out=steered, repeat=run.path, seed=4)
