"""``digitlab compare``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of two seeds."""
    import digitlab as dl

    out = tmp_path_factory.mktemp("runs")
    config = {"network": "dense_baseline", "train_images": 64, "validation_images": 32, "batch_size": 32, "epochs": 1}
    for seed, name in enumerate(("first", "second")):
        dl.train(dl.TrainConfig(**config, seed=seed), out, name=name)
    return out


def test_two_runs_are_shown_beside_each_other_with_a_verdict(call: Callable[..., Any], two: Path) -> None:
    outcome = call("compare", "first", "second", "--out", two, "--images", 200)
    assert outcome.code == 0
    for words in ("first", "second", "Accuracy", "Set differently", "seed", "of the same 200 images"):
        assert words in outcome.out
    assert "A and B were trained alike but for one thing: seed." in outcome.out


def test_json_is_the_whole_comparison(call: Callable[..., Any], two: Path) -> None:
    import digitlab as dl

    found = call("compare", two / "first", two / "second", "--json").json()
    assert found == dl.compare("first", "second", out=two).to_dict() | {"a": found["a"], "b": found["b"]}
    assert found["a"]["evaluation"]["n_images"] == 10_000


def test_a_run_that_is_not_there_is_a_sentence(call: Callable[..., Any], two: Path) -> None:
    outcome = call("compare", "first", "secon", "--out", two)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Did you mean 'second'?" in outcome.err


def test_the_images_asked_for_are_at_least_one(call: Callable[..., Any], two: Path) -> None:
    outcome = call("compare", "first", "second", "--out", two, "--images", 0)
    assert (outcome.code, outcome.out) == (2, "")
    assert "At least 1 of the test images" in outcome.err
