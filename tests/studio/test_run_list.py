from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from steered import SMALL

import digitlab as dl
from digitlab.errors import StorageError
from digitlab.runs.run import Run
from digitlab.studio.run_list import RunList
from digitlab.studio.tabs.runs.runs_tab import RUN_COLUMNS, run_records, run_rows, run_table
from digitlab.studio.trainer import Trainer
from digitlab.training.session import TrainingSession


def train(digits: dl.MnistData, path: Path, seed: int = 0, n_records: int | None = None) -> Run:
    """Train a run, or interrupt it after some records."""
    run = Run.create(path)
    records = TrainingSession(dl.TrainConfig(**{**SMALL.to_dict(), "seed": seed}), digits, run).records()
    for k, _ in enumerate(records, start=1):
        if k == n_records:
            break
    records.close()
    return run


def began(run: Run, seconds: int) -> None:
    os.utime(run.path / "config.json", (seconds, seconds))


def test_runs_are_listed_the_newest_first(digits: dl.MnistData, out: Path) -> None:
    for name, seconds in (("middle", 2_000), ("newest", 3_000), ("oldest", 1_000)):
        began(train(digits, out / name), seconds)
    assert [line.name for line in RunList(out).lines()] == ["newest", "middle", "oldest"]


def test_line_tells_settings_and_results(digits: dl.MnistData, out: Path) -> None:
    train(digits, out / "one", seed=7)
    (line,) = RunList(out).lines()
    assert line.info is not None
    assert (line.info.seed, line.info.status, line.info.epochs_done) == (7, "complete", 3)
    assert line.changed == "train_images 50, validation_images 20, batch_size 16"
    assert (line.has_model, line.has_weights, line.has_report, line.problem) == (True, True, False, "")


def test_interrupted_run_can_be_compared_but_not_evaluated(digits: dl.MnistData, out: Path) -> None:
    train(digits, out / "one", n_records=6)
    (line,) = RunList(out).lines()
    assert line.info is not None
    assert (line.info.status, line.has_model, line.has_weights) == ("interrupted", False, True)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": {"network": 3}}', '{"config": {"colour": "red"}}'])
def test_damaged_run_is_listed_with_a_sentence(digits: dl.MnistData, out: Path, content: str) -> None:
    run = train(digits, out / "one")
    (run.path / "config.json").write_text(content)
    (line,) = RunList(out).lines()
    assert line.problem.endswith((".", "?"))
    assert line.has_model is False


def test_damaged_history_is_told(digits: dl.MnistData, out: Path) -> None:
    run = train(digits, out / "one")
    (run.path / "history.jsonl").write_text("not a record\n")
    (line,) = RunList(out).lines()
    assert "Line 1" in line.problem


def test_other_folders_and_hidden_ones_are_no_runs(digits: dl.MnistData, out: Path) -> None:
    train(digits, out / "one")
    (out / "notes").mkdir()
    (out / "file.txt").write_text("x")
    train(digits, out / ".hidden")
    assert [line.name for line in RunList(out).lines()] == ["one"]


def test_folder_that_is_not_there_has_no_runs(out: Path) -> None:
    assert RunList(out).lines() == []


def test_folder_that_is_a_file_is_told(out: Path) -> None:
    out.write_text("")
    with pytest.raises(StorageError, match="cannot be read"):
        RunList(out).lines()


def test_unchanged_run_is_not_read_again(digits: dl.MnistData, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(digits, out / "one")
    runs = RunList(out)
    before = runs.lines()
    monkeypatch.setattr(Run, "info", lambda self: pytest.fail("it was read again"))
    assert runs.lines() == before


def test_changed_run_is_read_again(digits: dl.MnistData, out: Path) -> None:
    run = train(digits, out / "one")
    runs = RunList(out)
    assert runs.lines()[0].info.test_accuracy is None
    run.write_json("evaluation.json", {"accuracy": 0.5})
    assert runs.lines()[0].info.test_accuracy == 0.5


def test_rows_have_a_cell_for_every_column(digits: dl.MnistData, out: Path, trainer: Trainer) -> None:
    train(digits, out / "sound")
    (train(digits, out / "damaged").path / "config.json").write_text("{")
    train(digits, out / "interrupted", n_records=6)
    rows = run_rows(RunList(out).lines(), ["sound"], trainer)
    assert {len(row.cells) for row in rows} == {len(RUN_COLUMNS)}
    marked = [row for row in rows if row.is_marked]
    assert [(row.key, row.cells[0].text, row.cells[0].is_on) for row in marked] == [("sound", "A", True)]


def test_saved_list_is_plain_values(digits: dl.MnistData, out: Path) -> None:
    train(digits, out / "sound")
    (train(digits, out / "damaged").path / "config.json").write_text("{")
    records = {record["name"]: record for record in run_records(RunList(out).lines())}
    json.dumps(records)
    assert records["damaged"]["status"] == "damaged"
    assert records["sound"]["seed"] == 0
    columns, rows = run_table(RunList(out).lines())
    assert {len(row) for row in rows} == {len(columns)}
