"""Contestants with arguments of their own, that stop early, or that are left out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def contest(benchmark_module) -> ModuleType:
    return benchmark_module("contest")


@pytest.fixture
def echo(contest, tmp_path: Path):
    """A contestant that writes down its arguments, with the running interpreter: nothing is installed."""
    path = tmp_path / "echo.py"
    path.write_text("import json, sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + ';'); print('{\"s\": 1}')")
    return lambda name: contest.Peer(name, name.title(), path, (), module="sys")


def held(contest, tmp_path: Path, *entries, quantities=("s",), rounds=3):
    columns = tuple(contest.Quantity(key, key, optional=key != "s") for key in quantities)
    result = contest.Contest("A job", "python job.py", rounds, columns, list(entries), {"cpu": "a CPU"})
    contest.hold(result, tmp_path / "envs", [str(tmp_path / "said")], say=lambda text: None)
    return result


def test_an_entry_gets_its_own_arguments_for_each_round(contest, echo, tmp_path):
    held(contest, tmp_path, contest.Entry(echo("a"), options=lambda number: ["seed", str(number)]), rounds=2)
    assert (tmp_path / "said").read_text() == "seed 1;seed 2;"


def test_an_entry_with_most_rounds_stops_without_having_failed(contest, echo, tmp_path):
    result = held(contest, tmp_path, contest.Entry(echo("a")), contest.Entry(echo("b"), most_rounds=1))
    assert [len(entry.runs) for entry in result.entries] == [3, 1]
    assert result.entries[1].reason is None


def test_an_entry_that_is_left_out_keeps_its_row_and_is_not_run(contest, echo, tmp_path):
    entry = contest.Entry(echo("a"))
    entry.leave_out("there is no such preset")
    result = held(contest, tmp_path, entry)
    assert not (tmp_path / "said").exists()
    assert "not measured: there is no such preset" in result.table()
    assert result.to_dict()["entries"][0]["reason"] == "there is no such preset"


def test_an_optional_quantity_may_be_missing(contest, echo, tmp_path):
    result = held(contest, tmp_path, contest.Entry(echo("a")), quantities=("s", "accuracy"))
    assert len(result.entries[0].runs) == 3
    assert "accuracy" not in result.to_dict()["entries"][0]["summary"]


def test_contestants_may_share_an_environment(contest, benchmark_module, tmp_path):
    contestant = benchmark_module("peers.contestants").contestant
    peer = sys.modules[contest.Peer.__module__]
    (tmp_path / "torch").mkdir()
    made_for = json.dumps([sys.version, *contestant("torch", "x.py").install])
    (tmp_path / "torch" / "complete.json").write_text(made_for)
    pythons = {peer.prepare(contestant("torch", "x.py", name=name), tmp_path) for name in ("torch-a", "torch-b")}
    assert {path.relative_to(tmp_path).parts[0] for path in pythons} == {"torch"}


def test_every_version_is_pinned(benchmark_module):
    for env, install in benchmark_module("peers.contestants").INSTALL.items():
        assert env == "digitlab" or all(requirement.count("==") == 1 for requirement in install)
