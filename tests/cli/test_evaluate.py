"""``digitlab evaluate``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from digitlab.network import Architecture, Checkpoint
from digitlab.network.checkpoint import save_checkpoint


def as_row(learned: Checkpoint) -> Checkpoint:
    """Return the same network, whose input is a row."""
    return Checkpoint(Architecture(learned.architecture.layers[1:], (784,)), learned.weights)


@pytest.fixture
def run(out: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, which may be changed."""
    return Path(shutil.copytree(out / "first", tmp_path / "runs" / "first"))


def test_the_whole_test_set_is_evaluated_and_kept(call: Any, run: Path) -> None:
    kept = json.loads((run / "evaluation.json").read_text())
    (run / "evaluation.json").unlink()
    (run / "report.html").unlink()
    outcome = call("evaluate", run, "--json")
    assert outcome.code == 0
    assert outcome.json() == kept == json.loads((run / "evaluation.json").read_text())
    assert kept["n_images"] == 10_000
    assert (run / "report.html").exists()


def test_some_images_are_only_printed(call: Any, run: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    outcome = call("evaluate", "first", "--out", run.parent, "--images", "500", "--json")
    assert outcome.json()["n_images"] == 500
    assert sum(report["n_images"] for report in outcome.json()["per_class"]) == 500
    assert sum(map(sum, outcome.json()["confusion_matrix"])) == 500
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_the_seed_chooses_the_images(call: Any, run: Path) -> None:
    def answers(seed: int) -> str:
        printed = call("evaluate", run, "--images", "100", "--seed", seed, "--json").out
        assert isinstance(printed, str)
        return printed

    assert answers(0) == answers(0) != answers(1)


def test_validation_images_are_only_printed(call: Any, run: Path) -> None:
    (run / "evaluation.json").unlink()
    outcome = call("evaluate", run, "--split", "validation")
    assert "5,000 validation images" in outcome.out
    assert not (run / "evaluation.json").exists()


@pytest.mark.parametrize("name", ["latest", "first"])
def test_a_run_can_be_named(call: Any, run: Path, name: str) -> None:
    assert call("evaluate", name, "--out", run.parent, "--images", "10").code == 0


def test_a_checkpoint_file_can_be_evaluated(call: Any, run: Path) -> None:
    outcome = call("evaluate", run / "model.safetensors", "--json")
    assert outcome.json() == json.loads((run / "evaluation.json").read_text())


def test_the_tables_tell_classes_confusion_and_interval(call: Any, run: Path) -> None:
    outcome = call("evaluate", run)
    for words in ("Class", "Accuracy", "# Samples", "Precision", "F1", "labels down", "95 % confidence"):
        assert words in outcome.out
    assert "report.html" in outcome.err.replace("\n", "")


def test_a_threshold_is_told_in_a_table_and_a_sentence_and_as_json(call: Any, run: Path) -> None:
    told = call("evaluate", run, "--images", "500", "--threshold", "0.12")
    for words in ("Coverage and accuracy", "Mistakes", "12 %", "At 12 % it answers", "area"):
        assert words in " ".join(told.out.split())
    points = call("evaluate", run, "--images", "500", "--threshold", "0.12", "--json").json()["coverage"]["points"]
    (asked,) = (point for point in points if point["threshold"] == 0.12)
    n = asked["n_answered"]
    assert f"At 12 % it answers {'none of' if not n else 'all' if n == 500 else f'{n} of'} 500 images" in " ".join(
        told.out.split()
    )
    assert "Coverage" not in call("evaluate", run, "--images", "500").out


def test_data_that_changed_since_is_not_taken_for_the_runs_own(call: Any, run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["data"]["digest"] = "0" * 64
    (run / "config.json").write_text(json.dumps(config))
    outcome = call("evaluate", run)
    assert outcome.code == 2
    assert "no longer" in outcome.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nix",), "no run 'nix'"),
        (("firts",), "first"),
        (("first", "--images", "0"), "At least 1"),
        (("first", "--images", "-5"), "At least 1"),
        (("first", "--images", "10001"), "10,000"),
        (("first", "--data", "nowhere"), "nowhere"),
        (("first", "--threshold", "1.1"), "from 0 to 1"),
        (("first", "--threshold", "nan"), "--threshold"),
        (("missing.safetensors",), "missing.safetensors"),
    ],
)
def test_what_cannot_be_evaluated_is_a_sentence(call: Any, out: Path, words: tuple[str, ...], expected: str) -> None:
    outcome = call("evaluate", *words, "--out", out)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err
    assert "Traceback" not in outcome.err


def test_a_folder_that_is_no_run_is_a_sentence(call: Any, tmp_path: Path) -> None:
    outcome = call("evaluate", tmp_path)
    assert outcome.code == 2
    assert "is not a run" in outcome.err


def test_a_file_of_another_scale_is_evaluated_as_it_learned_and_told(call: Any, foreign: Any) -> None:
    found = call("evaluate", foreign("0-255"), "--images", "500", "--json")
    assert found.json()["accuracy"] > 0.85
    assert "as with --pixels 0-255: 89.8 % of 2,000 labelled images are answered rightly" in found.err
    told = call("evaluate", foreign("0-255"), "--images", "500", "--json", "--pixels", "0-255")
    assert (told.err, told.out) == ("", found.out)
    assert call("evaluate", foreign("0-255"), "--images", "500", "--json", "--pixels", "0-1").json()["accuracy"] < 0.6


@pytest.mark.parametrize("pixels", ["-1-1", "0.1307,0.3081", "-.5-.5"])
def test_every_form_of_a_scale_can_be_typed(call: Any, foreign: Any, pixels: str) -> None:
    outcome = call("evaluate", foreign(pixels), "--images", "200", "--json", "--pixels", pixels)
    assert outcome.json()["accuracy"] > 0.8


def test_a_row_of_784_is_evaluated_with_images(call: Any, learned: Any, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "row.safetensors", as_row(learned))
    outcome = call("evaluate", tmp_path / "row.safetensors", "--images", "500", "--json")
    assert outcome.json()["accuracy"] > 0.85
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("pixels", "expected"), [("255", "0-255, -1-1, or MEAN,STD"), ("0-255", "a run of digitlab's own")]
)
def test_a_scale_that_cannot_be_is_a_sentence(call: Any, out: Path, pixels: str, expected: str) -> None:
    outcome = call("evaluate", "first", "--out", out, "--pixels", pixels)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err
