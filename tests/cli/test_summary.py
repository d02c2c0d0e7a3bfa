"""``digitlab summary`` and ``digitlab learn``: they only look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from digitlab.explanation import TOPICS
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


def test_without_a_term_all_are_listed_with_their_titles(call: Any) -> None:
    outcome = call("learn")
    assert outcome.code == 0
    assert all(name in outcome.out and topic.title in outcome.out for name, topic in TOPICS.items())
    assert call("learn", "--json").json() == {name: topic.title for name, topic in TOPICS.items()}


def test_a_term_of_two_words_is_explained_with_what_leads_on(call: Any) -> None:
    outcome = call("learn", "max", "pooling")
    assert outcome.code == 0
    assert "Max-pooling keeps the largest number of every window" in outcome.out
    assert "In codelab_cnn" in outcome.out
    assert "See also: stride, convolution" in outcome.out


def test_numbers_are_those_of_the_network_that_is_asked_for(call: Any) -> None:
    document = call("learn", "filter", "--network", "fast_cnn", "--json").json()
    assert (document["term"], document["network"]) == ("filter", "fast_cnn")
    assert "24 filters of 5 × 5" in document["here"][0]
    assert document["see"] == ["convolution", "relu"]


def test_an_unknown_term_is_an_error_that_tells_the_right_one(call: Any) -> None:
    outcome = call("learn", "convolutoin")
    assert (outcome.code, outcome.out) == (2, "")
    assert "Did you mean 'convolution'?" in outcome.err
