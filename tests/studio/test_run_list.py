"""The runs of a folder as lines and rows, and their reports, served."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

import digitlab as dl
from digitlab.errors import RunError, StorageError
from digitlab.runs.run import Run
from digitlab.studio.run_list import RunList, add_report_route, read_report, report_url
from digitlab.studio.tabs.run_table import RUN_COLUMNS, run_rows, run_table
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.card import Exports
from digitlab.training.session import TrainingSession
from tests.studio.steered import SMALL
from tests.studio.visiting import User, visit


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
    saved = asyncio.run(Exports(csv=lambda: run_table(RunList(out).lines())).content("json"))
    records = {record["name"]: record for record in json.loads(saved)}
    assert records["damaged"]["status"] == "damaged"
    assert records["sound"]["seed"] == 0
    columns, rows = run_table(RunList(out).lines())
    assert {len(row) for row in rows} == {len(columns)}


PAGE = "<!DOCTYPE html><title>a report</title>"


@pytest.fixture
def run(digits: dl.MnistData, out: Path) -> Run:
    run = Run.create(out / "one")
    for _ in TrainingSession(SMALL, digits, run).records():
        pass
    run.write_bytes("report.html", PAGE.encode())
    return run


def test_report_of_a_run_is_served_and_may_fetch_and_execute_nothing(run: Run, out: Path) -> None:
    async def scenario(user: User) -> None:
        response = await user.http_client.get(report_url("one"))
        assert (response.status_code, response.text) == (200, PAGE)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
        assert "script-src" not in policy
        assert response.headers["content-type"].startswith("text/html")
        assert response.headers["x-content-type-options"] == "nosniff"

    visit(lambda: add_report_route(out), scenario)


@pytest.mark.parametrize(
    "path",
    [
        "/runs/one/config.json",
        "/runs/one/model.safetensors",
        "/runs/..%2Fsecret/report.html",
        "/runs/%2e%2e/report.html",
        "/runs/../report.html",
        "/runs/one%2F..%2F..%2Fsecret/report.html",
        "/runs/latest/report.html",
        "/runs/two/report.html",
        "/runs/.hidden/report.html",
    ],
)
def test_nothing_else_is_served(run: Run, out: Path, path: str) -> None:
    secret = out.parent / "secret"
    secret.mkdir()
    (secret / "report.html").write_text("secret")
    (out / "report.html").write_text("secret")

    async def scenario(user: User) -> None:
        response = await user.http_client.get(path)
        assert "secret" not in response.text
        assert response.text != PAGE
        assert "application/json" not in response.headers["content-type"]

    visit(lambda: add_report_route(out), scenario)


def test_folder_that_was_given_last_is_served(run: Run, out: Path, tmp_path: Path) -> None:
    def root() -> None:
        add_report_route(tmp_path / "elsewhere")
        add_report_route(out)

    async def scenario(user: User) -> None:
        assert (await user.http_client.get(report_url("one"))).text == PAGE

    visit(root, scenario)


def test_report_that_is_a_link_to_another_file_is_not_read(run: Run, out: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (run.path / "report.html").unlink()
    (run.path / "report.html").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(RunError, match="cannot be read"):
        read_report(out, "one")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_report_that_is_a_pipe_does_not_block(run: Run, out: Path) -> None:
    (run.path / "report.html").unlink()
    os.mkfifo(run.path / "report.html")
    with pytest.raises(RunError, match="no report"):
        read_report(out, "one")


def test_run_without_report_says_how_to_get_one(run: Run, out: Path) -> None:
    (run.path / "report.html").unlink()
    with pytest.raises(RunError, match="digitlab evaluate one"):
        read_report(out, "one")


def test_folder_that_is_no_run_has_no_report(run: Run, out: Path) -> None:
    (out / "notes").mkdir()
    (out / "notes" / "report.html").write_text("secret")
    with pytest.raises(RunError, match="not a run"):
        read_report(out, "notes")
