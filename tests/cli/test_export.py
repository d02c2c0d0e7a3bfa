"""``digitlab export``, and models of others wherever a run is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from digitlab.exporting import verify


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Do not wait for other programs here, and write where nobody minds."""

    def absent(*_: Any) -> Any:
        raise verify.NotInstalledError("Keras is not installed here.")

    monkeypatch.setattr(verify, "RUNTIMES", dict.fromkeys(verify.RUNTIMES, absent))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("format", "target"),
    [("tfjs", "first-tfjs"), ("keras", "first.keras"), ("onnx", "first.onnx"), ("web", "first-web")],
)
def test_a_run_is_exported_and_the_file_is_used_wherever_a_run_is(
    call: Any, out: Path, format: str, target: str
) -> None:
    outcome = call("export", "first", "--format", format, "--runs", out)
    assert outcome.code == 0
    assert target in outcome.out
    assert "the same answer to all 10,000 images" in outcome.out
    assert "Keras is not installed here." in outcome.err
    evaluated = call("evaluate", target, "--images", 300, "--json").json()
    own = call("evaluate", "first", "--out", out, "--images", 300, "--json").json()
    assert evaluated["confusion_matrix"] == own["confusion_matrix"]
    assert call("summary", target, "--json").json()["n_parameters"] == 6370
    again = call("export", target, "--format", "onnx", "--out", "again.onnx", "--json").json()
    assert again["agreements"][0]["n_same_answer"] == 10_000


def test_tensorflowjs_models_may_be_named_by_their_description(call: Any, out: Path, tmp_path: Path) -> None:
    call("export", "latest", "--format", "tfjs", "--runs", out, "--out", tmp_path / "page" / "digits")
    model = Path("page", "digits", "model.json")
    assert call("summary", model, "--json").json()["name"] == "dense_baseline"
    assert call("export", model, "--format", "keras").code == 0
    assert Path("digits.keras").is_file()


def test_quantizing_tells_what_it_costs(call: Any, out: Path) -> None:
    outcome = call("export", "first", "--format", "tfjs", "--quantize", "uint8", "--runs", out)
    assert "before quantizing to uint8" in outcome.out.replace("\n", " ")
    accuracy = call("export", "first", "--format", "tfjs", "--quantize", "uint8", "--runs", out, "--json").json()
    assert accuracy["accuracy"]["n_images"] == 10_000


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["none", "--format", "keras"], "no run 'none'"),
        (["first", "--format", "h5"], "h5"),
        (["first"], "--format"),
        (["first", "--format", "onnx", "--quantize", "uint8"], "Only TensorFlow.js"),
        (["first", "--format", "onnx", "--out", "m.keras"], "m.onnx"),
        (["old.h5", "--format", "onnx"], "There is no file"),
        (["evil.pkl", "--format", "onnx"], "can run any code"),
    ],
)
def test_what_cannot_be_is_a_sentence(call: Any, out: Path, words: list[str], expected: str) -> None:
    outcome = call("export", *words, "--runs", out)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err.replace("\n", " ")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", ["evaluate", "predict", "summary", "export"])
@pytest.mark.parametrize("name", ["bad.keras", "bad.onnx", "bad.json", "bad.h5"])
def test_hostile_files_are_a_sentence_at_every_command(call: Any, tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"modelTopology":' + b"[" * 100_000)
    more = {"predict": ["x.png"], "export": ["--format", "onnx"]}.get(command, [])
    outcome = call(command, name, *more)
    assert outcome.code == 2
    assert name in outcome.err.replace("\n", "")
    assert "Traceback" not in outcome.err


def test_a_file_of_another_scale_is_exported_for_pixels_of_0_to_1_and_says_so(call: Any, foreign: Any) -> None:
    found = call("export", foreign("0-255"), "--format", "keras", "--out", "own.keras")
    assert "as with --pixels 0-255" in found.err
    evaluated = call("evaluate", "own.keras", "--images", 500, "--json")
    assert evaluated.json()["accuracy"] > 0.85
    assert evaluated.err == ""
    assert "own.keras says itself how its pixels are scaled" in call("evaluate", "own.keras", "--pixels", "0-255").err
