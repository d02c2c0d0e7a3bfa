"""Every block of code in docs/how-to and of the tutorial is run here, in order, in a folder with one run."""

from __future__ import annotations

import functools
import http.server
import re
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import digitlab as dl
from digitlab.cli.app import main

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
TUTORIAL = HOW_TO.parent / "tutorial" / "codelab.md"
PAGES = [*sorted(HOW_TO.glob("use-it-in-*.md")), HOW_TO / "hand-out-a-page.md", HOW_TO / "look-inside-a-network.md"]

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained run and the exports that the pages begin with."""
    folder = tmp_path_factory.mktemp("how-to")
    assert main(["train", "--epochs", "4", "--quiet", "--out", str(folder / "runs")]) == 0
    return folder


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the page's blocks of code, each with its language."""
    return re.findall(r"```(\w+)\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)


def test_the_python_of_a_sweep_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (code for language, code in blocks(HOW_TO / "sweep.md") if language == "python")
    names: dict[str, Any] = {}
    exec(compile(code, "sweep.md", "exec"), names)  # it is our own
    assert names["result"].best.settings == {"learning_rate": 0.01}


def test_the_python_of_your_own_data_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = HOW_TO / "use-your-own-data.md"
    (code,) = (code for language, code in blocks(page) if language == "python")
    names: dict[str, Any] = {}
    exec(compile(code, page.name, "exec"), names)  # it is our own
    assert names["data"].class_names == ("nought", "one", "two")


@pytest.mark.parametrize("page", [*PAGES, TUTORIAL], ids=lambda page: page.stem)
def test_every_block_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for language, code in blocks(page):
        if language == "python":
            for package in re.findall(r"^(?:import|from) (keras|onnxruntime|sklearn)", code, flags=re.MULTILINE):
                pytest.importorskip(package)
            exec(compile(code, page.name, "exec"), names)  # it is our own
        elif language == "sh":
            for line in code.splitlines():
                words = shlex.split(line)
                assert words[0] == "digitlab"
                if not words[1:]:
                    continue  # the page, which is tried elsewhere
                assert main(words[1:]) == 0, capsys.readouterr().err
        else:
            assert language == "js"
    assert "Error" not in capsys.readouterr().out


def test_the_code_for_a_page_runs(tfjs: Callable[..., str], folder: Path) -> None:
    page = HOW_TO / "use-it-in-tensorflowjs.md"
    model = dl.load_model("latest", out=folder / "runs")
    dl.export(model, folder / "served", format="tfjs")
    image = dl.MnistData.load().test.images[0]
    (folder / "image.u8").write_bytes(image.tobytes())
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/served/model.json"
        digit = tfjs("how_to.cjs", page, url, folder / "image.u8")
        server.shutdown()
    assert int(digit) == model.predict(image[None]).argmax()


def test_there_is_a_page_for_every_format() -> None:
    assert [page.stem.removeprefix("use-it-in-") for page in PAGES] == [
        "keras", "onnxruntime", "scikit-learn", "tensorflowjs", "hand-out-a-page", "look-inside-a-network",
    ]  # fmt: skip


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
