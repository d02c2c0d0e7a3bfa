"""The benchmark's own arithmetic and its honesty about contestants that fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

MACHINE = {"cpu": "a CPU", "cores": 2, "python": "3.11.7"}


@pytest.fixture(scope="module")
def contest(benchmark_module) -> ModuleType:
    return benchmark_module("contest")


@pytest.fixture(scope="module")
def tables(benchmark_module) -> ModuleType:
    return benchmark_module("tables")


@pytest.fixture
def script(tmp_path: Path):
    def write(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return path

    return write


def entry(contest: ModuleType, name: str, seconds: list[float], reason: str | None = None):
    versions = {name: "1.0"}
    runs = [{"round": number, "training_s": value, "versions": versions} for number, value in enumerate(seconds, 1)]
    return contest.Entry(contest.Peer(name, name.title(), Path("none.py"), (f"{name}==1.0",)), runs, reason)


def held(contest: ModuleType, *entries, rounds: int = 3):
    quantities = (contest.Quantity("training_s", ratio=True),)
    made_by = {"command": "python job.py", "date": "2026-11-27T12:00:00"}
    return contest.Contest("A job", made_by, rounds, quantities, list(entries), MACHINE)


def row(tables: ModuleType, contest_held, title: str) -> list[str]:
    table = tables.contest_table(
        contest_held.to_dict(), ["n", "s", "times"], [tables.n_runs, ("training_s", 2), tables.times("training_s")]
    )
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {title} "))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_spread_is_median_smallest_and_largest(contest):
    assert contest.Spread.of([3.0, 1.0, 2.0, 10.0]) == contest.Spread(4, 2.5, 1.0, 10.0)
    assert contest.Spread.of([]) is None


def test_spread_text_drops_brackets_that_say_nothing(contest):
    assert contest.Spread.of([1.0, 2.0, 4.0]).text(1) == "2.0 [1.0, 4.0]"
    assert contest.Spread.of([2.001, 2.002]).text(2) == "2.00"
    assert contest.Spread.of([2**21]).text(0, scale=2**-20) == "2"


def test_ratio_is_taken_within_each_round(contest):
    # The machine is ten times slower in round 2; both suffer, the ratio does not.
    fast, slow = entry(contest, "fast", [1.0, 10.0, 1.0]), entry(contest, "slow", [4.0, 40.0, 5.0])
    assert contest.ratio(slow, fast, "training_s") == contest.Spread(3, 4.0, 4.0, 5.0)


def test_ratio_ignores_rounds_that_one_did_not_finish(contest):
    fast, slow = entry(contest, "fast", [1.0, 2.0, 3.0]), entry(contest, "slow", [4.0])
    assert contest.ratio(slow, fast, "training_s") == contest.Spread(1, 4.0, 4.0, 4.0)
    assert contest.ratio(slow, entry(contest, "none", []), "training_s") is None


def test_table_shows_n_medians_and_ratios_and_tells_versions_and_command(contest, tables):
    outcome = held(contest, entry(contest, "fast", [1.0, 1.0, 2.0]), entry(contest, "slow", [4.0, 5.0, 6.0]))
    assert row(tables, outcome, "Fast") == ["Fast", "3", "1.00 [1.00, 2.00]", "1.00 x"]
    assert row(tables, outcome, "Slow") == ["Slow", "3", "5.00 [4.00, 6.00]", "4.00 x"]
    told = tables.circumstances(outcome.to_dict())
    assert "3 runs each" in told
    assert "2 cores of a CPU, Python 3.11.7, fast 1.0, slow 1.0." in told
    assert "`python job.py`" in told


def test_table_keeps_the_row_of_a_contestant_that_failed(contest, tables):
    broken = entry(contest, "broken", [], reason="not installed: ERROR: no such version")
    outcome = held(contest, entry(contest, "fast", [1.0]), broken)
    assert row(tables, outcome, "Broken")[:2] == ["Broken", "not measured: not installed: ERROR: no such version"]


def test_the_runs_before_a_crash_are_kept_beside_its_reason(contest, tables):
    crashed = entry(contest, "crashed", [2.0], reason="round 2: exit status 1: MemoryError")
    outcome = held(contest, entry(contest, "fast", [1.0, 1.0, 1.0]), crashed)
    assert row(tables, outcome, "Crashed") == ["Crashed", "1", "2.00", "2.00 x"]
    assert "Crashed failed: round 2: exit status 1: MemoryError." in tables.circumstances(outcome.to_dict())


def test_it_is_told_when_the_machine_was_not_quiet(contest, tables):
    quiet, disturbed = entry(contest, "fast", [1.0]), entry(contest, "slow", [9.0])
    quiet.runs[0]["other_cores"] = 0.02
    assert "quiet" not in tables.circumstances(held(contest, quiet).to_dict())
    disturbed.runs[0]["other_cores"] = 1.5
    told = tables.circumstances(held(contest, quiet, disturbed).to_dict())
    assert "The machine was not quiet: other programs kept up to 1.50 cores busy" in told


def test_json_holds_every_timing_and_the_circumstances(benchmark_module, contest, tmp_path):
    path = tmp_path / "results" / "job.json"
    outcome = held(contest, entry(contest, "fast", [1.0, 3.0]), entry(contest, "slow", [], "why"))
    benchmark_module("measuring").write_json(path, outcome.to_dict())
    written = json.loads(path.read_text())
    assert [run["training_s"] for run in written["entries"][0]["runs"]] == [1.0, 3.0]
    assert written["entries"][0]["summary"]["training_s"] == {"n": 2, "median": 2.0, "min": 1.0, "max": 3.0}
    assert written["entries"][1]["reason"] == "why"
    assert written["entries"][1]["ratios"] == {}
    assert {"command", "date", "machine", "rounds", "interrupted", "baseline"} <= written.keys()
    assert [item.name for item in path.parent.iterdir()] == ["job.json"]


def test_contestants_take_turns_and_failures_are_reported(contest, script, tmp_path):
    # "sys" can always be imported, so the running interpreter serves and nothing is installed.
    turns = tmp_path / "turns"
    text = "import sys; open(sys.argv[1], 'a').write({!r}); print('noise'); print('{{\"training_s\": 1.5}}')"
    scripts = {
        "a": text.format("a"),
        "b": text.format("b"),
        "crashing": "raise RuntimeError('out of luck')",
        "silent": "",
        "partial": "print('{}')",
    }
    peers = [contest.Peer(name, name, script(name, code), (), module="sys") for name, code in scripts.items()]
    contest_held = held(contest, *map(contest.Entry, peers), rounds=2)
    contest.hold(contest_held, tmp_path / "envs", [str(turns)], say=lambda text: None)
    a, b, crashing, silent, partial = contest_held.entries
    assert turns.read_text() == "abba"
    assert [run["round"] for run in a.runs] == [1, 2]
    assert all(run["process_s"] > 0 for run in b.runs)
    assert crashing.reason.startswith("round 1: exit status 1: ")
    assert crashing.reason.endswith("RuntimeError: out of luck")
    assert "not a JSON object" in silent.reason
    assert partial.reason == "round 1: it does not report training_s"
    assert not (tmp_path / "envs").exists()


def test_contestant_that_cannot_be_installed_is_reported(contest, script, tmp_path, monkeypatch):
    def fail(command, stdout=None, **options):
        stdout.write("Looking in indexes: https://packages.example/simple\nERROR: no matching distribution for x==9\n")
        return contest.subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(contest.subprocess, "run", fail)
    contest_held = held(contest, contest.Entry(contest.Peer("x", "X", script("x", ""), ("x==9",))))
    contest.hold(contest_held, tmp_path / "envs", [], say=lambda text: None)
    assert contest_held.entries[0].reason == "not installed: ERROR: no matching distribution for x==9"
    assert contest_held.to_dict()["entries"][0]["n"] == 0
    assert "ERROR" in (tmp_path / "envs" / "x.log").read_text()


def test_complete_environment_is_reused_and_one_for_other_versions_is_not(contest, script, tmp_path, monkeypatch):
    commands = []

    def succeed(command, **options):
        commands.append(command)
        Path(tmp_path / "x").mkdir(exist_ok=True)
        return contest.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(contest.subprocess, "run", succeed)
    for install, n_commands in ((("x==1",), 2), (("x==1",), 2), (("x==2",), 4)):
        contest.prepare(contest.Peer("x", "X", script("x", ""), install), tmp_path)
        assert len(commands) == n_commands
    assert commands[-1][-3:] == ["pip", "install", "x==2"]


def test_interrupted_contest_keeps_what_is_complete(contest, tables, script, tmp_path):
    said = []

    def interrupt_in_round_two(text: str) -> None:
        said.append(text)
        if text.startswith("round 2"):
            raise KeyboardInterrupt

    a = contest.Peer("a", "A", script("a", "print('{\"training_s\": 1}')"), (), module="sys")
    contest_held = held(contest, contest.Entry(a), rounds=9)
    contest.hold(contest_held, tmp_path, [], say=interrupt_in_round_two)
    assert contest_held.to_dict()["interrupted"] is True
    assert len(contest_held.entries[0].runs) == 2
    assert "interrupted before 9 rounds" in tables.circumstances(contest_held.to_dict())


def test_reasons_name_no_address_and_no_folder_of_the_machine(contest):
    text = "first\n\nERROR: got https://host.example/x/y from /home/someone/env/lib/thing.py\nnotice: ignored"
    assert contest.last_lines(text) == "ERROR: got (address) from thing.py"
    assert contest.last_lines("") == "it said nothing"


def test_codelab_refuses_unknown_contestants_with_a_sentence(benchmark_module, capsys):
    codelab = benchmark_module("codelab")
    with pytest.raises(SystemExit):
        codelab.main(["--peers", "torch,tensorflwo"])
    assert "there is no tensorflwo; there are digitlab, torch" in capsys.readouterr().err


@pytest.fixture
def echo(contest, tmp_path: Path):
    """A contestant that writes down its arguments, with the running interpreter: nothing is installed."""
    path = tmp_path / "echo.py"
    path.write_text("import json, sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + ';'); print('{\"s\": 1}')")
    return lambda name: contest.Peer(name, name.title(), path, (), module="sys")


def held_now(contest, tmp_path: Path, *entries, quantities=("s",), rounds=3):
    columns = tuple(contest.Quantity(key, optional=key != "s") for key in quantities)
    made_by = {"command": "python job.py", "date": "2026-11-27T12:00:00"}
    result = contest.Contest("A job", made_by, rounds, columns, list(entries), MACHINE)
    contest.hold(result, tmp_path / "envs", [str(tmp_path / "said")], say=lambda text: None)
    return result


def test_an_entry_gets_its_own_arguments_for_each_round(contest, echo, tmp_path):
    held_now(contest, tmp_path, contest.Entry(echo("a"), options=lambda number: ["seed", str(number)]), rounds=2)
    assert (tmp_path / "said").read_text() == "seed 1;seed 2;"


def test_an_entry_with_most_rounds_stops_without_having_failed(contest, echo, tmp_path):
    result = held_now(contest, tmp_path, contest.Entry(echo("a")), contest.Entry(echo("b"), most_rounds=1))
    assert [len(entry.runs) for entry in result.entries] == [3, 1]
    assert result.entries[1].reason is None


def test_an_optional_quantity_may_be_missing(contest, echo, tmp_path):
    result = held_now(contest, tmp_path, contest.Entry(echo("a")), quantities=("s", "accuracy"))
    assert len(result.entries[0].runs) == 3
    assert "accuracy" not in result.to_dict()["entries"][0]["summary"]


def test_contestants_may_share_an_environment(contest, tmp_path):
    contestant = contest.contestant
    (tmp_path / "torch").mkdir()
    made_for = json.dumps([sys.version, *contestant("torch", "codelab").install])
    (tmp_path / "torch" / "complete.json").write_text(made_for)
    pythons = {contest.prepare(contestant("torch", "codelab", name=name), tmp_path) for name in ("a", "b")}
    assert {path.relative_to(tmp_path).parts[0] for path in pythons} == {"torch"}


def test_every_version_is_pinned(contest):
    for env, install in contest.INSTALL.items():
        assert env == "digitlab" or all(requirement.count("==") == 1 for requirement in install)


@pytest.mark.parametrize("name", ["codelab", "inference", "finder_page", "startup", "time_to_accuracy"])
def test_every_contestants_script_knows_its_job(benchmark_module, name):
    for peer in benchmark_module(name).PEERS.values():
        assert all(f'"{job}": ' in peer.script.read_text() for job in peer.job), peer
