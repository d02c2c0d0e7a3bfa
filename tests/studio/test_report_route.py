from __future__ import annotations

import os
from pathlib import Path

import pytest
from steered import SMALL
from visiting import User, visit

import digitlab as dl
from digitlab.errors import RunError
from digitlab.runs.run import Run
from digitlab.studio.run_list import add_report_route, read_report, report_url
from digitlab.training.session import TrainingSession

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
