"""The command ``digitlab`` as a whole: help, errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from digitlab import __version__
from digitlab.cli.app import main

COMMANDS = ("train", "evaluate", "predict", "read", "summary", "runs", "learn", "about")


def _python(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, **options)


def test_help_names_every_command(call: Any) -> None:
    outcome = call("--help")
    assert outcome.code == 0
    assert all(f"{name} " in outcome.out for name in ("studio", *COMMANDS))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(call: Any, name: str) -> None:
    outcome = call(name, "--help")
    assert outcome.code == 0
    assert f"digitlab {name}" in outcome.out
    assert "--json" in outcome.out
    assert outcome.err == ""


def test_version_is_the_package_version(call: Any) -> None:
    assert call("--version").out == f"digitlab {__version__}\n"


@pytest.mark.parametrize("words", [("--help",), ("read", "--help"), ("train", "--help"), ("train", "--epochz", "3")])
def test_help_and_mistyped_options_wait_for_no_heavy_library(words: tuple[str, ...]) -> None:
    program = (
        "import sys; from digitlab.cli.app import main; main(sys.argv[1:]);"
        "print([name for name in ('numba', 'numpy', 'PIL') if name in sys.modules])"
    )
    assert _python("-c", program, *words).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("trian",), "train"),
        (("train", "--epoch", "3"), "--epochs"),
        (("train", "extra"), "extra"),
        (("train", "--epochs", "many"), "whole number"),
        (("train", "--epochs", "2.5"), "whole number"),
        (("train", "--epochs"), "--epochs requires"),
        (("evaluate",), "RUN"),
        (("evaluate", "latest", "--split", "tset"), "test"),
    ],
)
def test_a_mistyped_command_line_is_a_sentence_with_exit_code_2(
    call: Any, words: tuple[str, ...], expected: str
) -> None:
    outcome = call(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("Error: ")
    assert expected in outcome.err
    assert "digitlab" in outcome.err.replace("\n", " ").split("See: ")[1]
    assert "Traceback" not in outcome.err


def test_an_error_of_digitlab_itself_has_exit_code_70_and_asks_for_a_report(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("digitlab.runs.listing.all_runs", broken)
    outcome = call("runs")
    assert outcome.code == 70
    assert "Traceback" in outcome.err
    assert "report it" in outcome.err


def test_ctrl_c_is_no_traceback(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("digitlab.runs.listing.all_runs", interrupted)
    outcome = call("runs")
    assert (outcome.code, outcome.err) == (130, "Stopped.\n")


@pytest.mark.parametrize("words", [("about",), ("about", "--json")])
def test_a_reader_that_goes_away_ends_the_command_without_a_word(words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "digitlab", *words],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("words", [("about",), ("about", "--json")])
def test_output_that_cannot_be_written_is_a_sentence(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "digitlab", *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The output cannot be written")
    assert "Traceback" not in done.stderr


def test_a_terminal_that_lacks_a_character_gets_a_question_mark() -> None:
    done = _python("-m", "digitlab", "--help", env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_the_words_come_from_the_process_if_none_are_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["digitlab", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("digitlab")


def test_about_names_versions_licences_and_the_people_behind_mnist(call: Any, tmp_path: Path) -> None:
    shown = call("about").out
    for words in (__version__, "Apache-2.0", "Yann LeCun", "Corinna Cortes", "CC BY-SA 3.0", "yann.lecun.com"):
        assert words in shown
    document = call("about", "--json").json()
    assert document["digitlab"] == __version__
    assert document["data"]["licence"] == "CC BY-SA 3.0"
    assert set(document["environment"]) >= {"python", "numpy", "numba", "threads"}


def test_about_tells_where_the_cache_is_or_that_it_is_off(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITLAB_CACHE", str(tmp_path))
    assert call("about", "--json").json()["cache"] == str(tmp_path)
    monkeypatch.setenv("DIGITLAB_CACHE", "off")
    assert call("about", "--json").json()["cache"] is None
    assert "off" in call("about").out
