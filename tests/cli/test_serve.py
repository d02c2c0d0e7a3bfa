"""``digitlab studio``, and ``digitlab`` by itself, open the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from digitlab.cli.app import EXIT_BAD_INPUT, main
from digitlab.studio import app


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the page was opened with, instead of a page."""
    calls: list[dict[str, Any]] = []

    def run_studio(**settings: Any) -> int:
        calls.append(settings)
        return 0

    monkeypatch.setattr(app, "run_studio", run_studio)
    return calls


@pytest.mark.parametrize("words", [[], ["studio"]])
def test_the_page_is_what_opens_by_default(words: list[str], opened: list[dict[str, Any]]) -> None:
    assert main(words) == 0
    assert opened == [
        {
            "out": Path("runs"),
            "data": None,
            "host": "127.0.0.1",
            "port": None,
            "token": None,
            "open_browser": True,
            "autostart": True,
            "page_seconds": 10.0,
            "allow_origins": (),
        }
    ]


def test_options_reach_the_page(opened: list[dict[str, Any]]) -> None:
    words = ["studio", "--out", "x", "--port", "9000", "--host", "::1", "--token", "t", "--no-browser", "--no-start"]
    words += ["--allow-origin", "http://localhost:5500", "--allow-origin", "http://localhost:5501"]
    assert main(words) == 0
    assert opened[0] == {
        "out": Path("x"),
        "data": None,
        "host": "::1",
        "port": 9000,
        "token": "t",
        "open_browser": False,
        "autostart": False,
        "page_seconds": 10.0,
        "allow_origins": ("http://localhost:5500", "http://localhost:5501"),
    }


def test_a_host_beyond_this_machine_is_refused_without_a_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIGITLAB_TOKEN", raising=False)
    words = ["studio", "--host", "0.0.0.0", "--no-browser", "--no-start", "--out", str(tmp_path)]
    assert main(words) == EXIT_BAD_INPUT
    assert "token" in capsys.readouterr().err
