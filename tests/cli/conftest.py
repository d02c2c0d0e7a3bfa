"""A small run that many tests look at, and the command line called in this process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from digitlab.cli.app import main

SIZES = {"network": "dense_baseline", "train-images": 64, "validation-images": 32, "batch-size": 32, "epochs": 1}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command returned and printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Call = Callable[..., Outcome]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call ``digitlab`` with some words, in a terminal's place of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run


def options(**changes: object) -> list[str]:
    """Return the options of a training that takes no time, with some of them changed or added."""
    settings = SIZES | {name.replace("_", "-"): value for name, value in changes.items()}
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


@pytest.fixture
def small() -> Callable[..., list[str]]:
    """Return ``options``."""
    return options


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one run, ``first``; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("cli") / "runs"
    assert main(["train", *options(), "--out", str(folder), "--name", "first", "--quiet"]) == 0
    return folder
