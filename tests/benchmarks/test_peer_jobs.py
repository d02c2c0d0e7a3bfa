"""What the contestants' scripts share: agreement, layouts, recipes and the reading of reports. No peer is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.network.zoo import architecture
from digitlab.training.config import preset


def recipe_of(name: str, **changes) -> dict:
    config = preset(name, changes)
    return {
        "config": config.to_dict(),
        "changed": config.changed(),
        "architecture": config.build_architecture().to_dict(),
    }


def test_agreement_is_the_largest_difference(benchmark_module):
    job = benchmark_module("jobs")
    expected = np.full((3, 10), 0.1, np.float32)
    answers = expected.copy()
    answers[1, 2] += 5e-5
    assert job.largest_difference(answers, expected) == pytest.approx(5e-5, rel=1e-2)


@pytest.mark.parametrize("wrong", [2e-4, np.nan])
def test_answers_that_differ_are_a_failure(benchmark_module, wrong):
    job = benchmark_module("jobs")
    expected = np.full((3, 10), 0.1, np.float32)
    answers = expected.copy()
    answers[2, 9] += wrong
    with pytest.raises(ValueError, match="differ from digitlab's"):
        job.largest_difference(answers, expected)
    with pytest.raises(ValueError, match="shape"):
        job.largest_difference(expected[:2], expected)


@pytest.mark.parametrize("wrong", [3e-4, np.nan])
def test_maps_are_compared_by_their_largest_number(benchmark_module, wrong):
    job = benchmark_module("jobs")
    expected = np.full((1, 4, 5, 23), 2.0, np.float32)
    maps = expected.copy()
    maps[0, 1, 2, 3] += 1e-4
    assert job.largest_difference(maps, expected, 2.0) == pytest.approx(5e-5, rel=1e-2)
    maps[0, 1, 2, 4] += wrong
    with pytest.raises(ValueError, match="differ from digitlab's"):
        job.largest_difference(maps, expected, 2.0)


def test_channels_first_features_meet_the_weights_they_had(benchmark_module):
    net = Architecture([Conv2D(3, 5, padding="same"), MaxPooling2D(2), Flatten(), Dropout(0.5), Dense(10)], (8, 6, 2))
    weights = net.initial_weights(0)
    layers = benchmark_module("networks").placed(net.to_dict(), weights)
    assert tuple(layer.shape for layer in layers) == net.shapes
    features = np.random.default_rng(0).normal(size=(4, 4, 3, 3))
    first = features.transpose(0, 3, 1, 2).reshape(4, -1)
    np.testing.assert_allclose(first @ layers[-1].kernel.T, features.reshape(4, -1) @ weights[2], rtol=1e-6)
    np.testing.assert_array_equal(layers[0].kernel[2, 1], weights[0][:, :, 1, 2])


@pytest.mark.parametrize("name", ["codelab_cnn", "fast_cnn", "dense_baseline"])
def test_networks_of_the_zoo_are_placed_with_their_shapes(benchmark_module, name, tmp_path: Path):
    networks, jobs, net = benchmark_module("networks"), benchmark_module("jobs"), architecture(name)
    jobs.write_weights(tmp_path / "weights.npz", net.initial_weights(1))
    layers = networks.placed(net.to_dict(), jobs.read_weights(tmp_path / "weights.npz"))
    assert tuple(layer.shape for layer in layers) == net.shapes


def test_the_fast_recipe_asks_for_nothing_that_the_peer_lacks(benchmark_module):
    recipe = benchmark_module("networks")
    assert recipe.lacking(recipe_of("fast")) == []
    assert recipe.decay(recipe_of("fast")["config"]) == 0.0
    assert recipe.decay(recipe_of("fast", optimizer="adamw")["config"]) == 0.004


@pytest.mark.parametrize(
    ("changes", "lack"),
    [({"optimizer": "sgd"}, "optimizer = sgd"), ({"early_stopping": 3}, "early_stopping = 3")],
)
def test_a_recipe_beyond_the_peer_is_told_in_words(benchmark_module, changes, lack):
    assert benchmark_module("networks").lacking(recipe_of("fast", **changes)) == [lack]


def test_settings_and_layers_that_came_later_count_as_lacking(benchmark_module):
    recipe = benchmark_module("networks")
    later = recipe_of("fast")
    later["changed"]["augmentation"] = "shift"
    later["architecture"]["layers"][0] |= {"dilation": 2, "groups": None}
    later["architecture"]["layers"].insert(1, {"class_name": "BatchNormalization", "name": "bn"})
    expected = ["augmentation = shift", "Conv2D with dilation = 2", "the layer BatchNormalization"]
    assert recipe.lacking(later) == expected


def test_the_stated_accuracy_is_read_from_both_reports(benchmark_module):
    stated = benchmark_module("process_job").stated_accuracy
    assert stated("Zero 98 %\nAccuracy 92.5 % (92.0 % to 93.0 % with 95 % confidence): 750 mistakes") == 0.925
    assert stated("Accuracy 91.87 %\n") == pytest.approx(0.9187)
    assert stated("usage: digitlab COMMAND") is None


def test_only_the_first_run_ever_has_an_empty_cache(benchmark_module, tmp_path: Path):
    cache_of = benchmark_module("process_job").cache_of
    assert cache_of("digitlab-train", tmp_path) == cache_of("digitlab-help", tmp_path)
    first, second = cache_of("digitlab-first", tmp_path), cache_of("digitlab-first", tmp_path)
    assert first != second
    assert not any(first.iterdir())
