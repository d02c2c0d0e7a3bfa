"""``digitlab summary``, ``runs`` and ``about``: they only look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from digitlab import __version__
from digitlab.network.zoo import ZOO, architecture


@pytest.mark.parametrize("name", ZOO)
def test_summary_has_every_layer_and_the_total(call: Any, name: str) -> None:
    network = architecture(name)
    outcome = call("summary", name)
    assert outcome.code == 0
    for words in ("Layer Name", "Output Shape", "# Of Params", "Trainable", f"{network.n_parameters:,} parameters"):
        assert words in outcome.out
    assert all(row.name in outcome.out for row in network.summary())


def test_summary_tells_the_cost_of_an_image_layer_by_layer(call: Any) -> None:
    outcome = call("summary", "--cost")
    assert all(words in outcome.out for words in ("Multiply-adds", "115,200", "322,560", "23.4 KiB"))
    assert "Multiply-adds" not in call("summary").out
    cost = call("summary", "--cost", "--json").json()["cost"]
    assert [layer["multiply_adds"] for layer in cost["layers"]] == [115_200, 0, 204_800, 0, 0, 2_560]


def test_summary_of_a_finder_has_no_cost_of_an_image(call: Any) -> None:
    outcome = call("summary", "finder", "--cost")
    assert (outcome.code, outcome.out) == (2, "")
    assert "takes images of any size" in outcome.err


def test_summary_of_nothing_named_is_the_codelabs_network(call: Any) -> None:
    document = call("summary", "--json").json()
    assert (document["name"], document["n_parameters"]) == ("codelab_cnn", 5994)
    assert sum(row["n_parameters"] for row in document["layers"]) == 5994


def test_summary_reads_runs_checkpoints_and_json_files(call: Any, out: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps(architecture("dense_baseline").to_dict()))
    printed = {
        call("summary", name, "--out", out, "--json").out
        for name in ("dense-baseline", "first", "latest", out / "first", out / "first" / "model.safetensors", own)
    }
    assert len(printed) == 1


@pytest.mark.parametrize(
    ("name", "expected"), [("codelab_cn", "codelab_cnn"), ("no.json", "no.json"), ("no.safetensors", "no.safetensors")]
)
def test_summary_of_something_unknown_is_a_sentence(call: Any, name: str, expected: str) -> None:
    outcome = call("summary", name)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err


def test_runs_lists_what_there_is(call: Any, out: Path) -> None:
    (info,) = call("runs", "--out", out, "--json").json()
    assert (info["name"], info["status"], info["epochs_done"]) == ("first", "complete", 1)
    shown = call("runs", "--out", out).out
    assert all(words in shown for words in ("first", "complete", "dense_baseline", "1/1"))


def test_a_damaged_run_is_named_with_the_reason_beside_the_others(call: Any, tmp_path: Path) -> None:
    for name, seed in (("bad", "1" * 400), ("good", "1")):
        (tmp_path / name).mkdir()
        config = '{"config": {"network": "dense_baseline", "seed": SEED, "epochs": 1}}'
        (tmp_path / name / "config.json").write_text(config.replace("SEED", seed))
    outcome = call("runs", "--out", tmp_path)
    assert outcome.code == 0
    assert "good" in outcome.out
    assert "damaged" in outcome.out
    assert "Error: bad: config.json cannot be read: it holds the number 1111" in outcome.err
    found = {one["name"]: one for one in call("runs", "--out", tmp_path, "--json").json()}
    assert found["good"]["status"] == "started"
    assert found["bad"]["status"] == "damaged"
    assert "config.json cannot be read" in found["bad"]["problem"]


def test_a_damaged_evaluation_is_told_beside_its_run(call: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"config": {"network": "x", "seed": 1, "epochs": 1}}')
    (tmp_path / "run" / "evaluation.json").write_text("{")
    outcome = call("runs", "--out", tmp_path)
    assert outcome.code == 0
    assert "Error: run: its evaluation is damaged. Make it again with: digitlab evaluate run" in outcome.err


def test_where_there_are_no_runs_the_next_step_is_told(call: Any, tmp_path: Path) -> None:
    outcome = call("runs", "--out", tmp_path)
    assert outcome.code == 0
    assert f"digitlab train --out {tmp_path}" in outcome.err
    assert call("runs", "--out", tmp_path, "--json").json() == []


def test_a_folder_called_like_markup_is_printed_as_it_is(call: Any, tmp_path: Path) -> None:
    assert "[red]x" in call("runs", "--out", tmp_path / "[red]x").err


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
