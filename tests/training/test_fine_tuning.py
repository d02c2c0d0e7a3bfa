"""Fine-tuning: corrections are learned, nothing is forgotten, and the same seed gives the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import digitlab as dl
from digitlab.data.mnist import Split
from digitlab.errors import ConfigError, InputError
from digitlab.evaluation.of_run import evaluate_run, write_report
from digitlab.network import Architecture, Dense, Flatten
from digitlab.network.checkpoint import Checkpoint
from digitlab.training.fine_tuning import FineTuningOptions, fine_tune
from digitlab.training.keeping_fine_tuned import keep_fine_tuned

OPTIONS = FineTuningOptions(replay_images=1000, batch_size=64, learning_rate=0.003)


@pytest.fixture(scope="module")
def data() -> dl.MnistData:
    whole = dl.MnistData.load()

    def some(split: Split, n: int) -> Split:
        return Split(split.name, split.images[:n], split.labels[:n])

    return dl.MnistData(
        some(whole.training, 4000), some(whole.validation, 500), some(whole.test, 1000), source="some", digest="some"
    )


@pytest.fixture(scope="module")
def trained(data: dl.MnistData) -> dl.Sequential:
    model = dl.codelab_cnn(seed=0)
    model.fit(data.training.images, data.training.labels, batch_size=64, epochs=3)
    return model


@pytest.fixture(scope="module")
def start(trained: dl.Sequential) -> Checkpoint:
    return Checkpoint(trained.architecture, tuple(trained.get_weights()), trained.class_names, {"temperature": "1.5"})


@pytest.fixture(scope="module")
def wrong(trained: dl.Sequential, data: dl.MnistData) -> tuple[np.ndarray, np.ndarray]:
    """Return six validation images that the network answers wrongly."""
    images, labels = data.validation.images, data.validation.labels
    chosen = np.flatnonzero(trained.predict(images).argmax(axis=1) != labels)[:6]
    assert len(chosen) == 6
    return images[chosen], labels[chosen]


def test_corrections_are_learned_and_mnist_is_not_forgotten(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData
) -> None:
    told: list[tuple[int, int]] = []
    tuned = fine_tune(start, *wrong, data, OPTIONS, on_step=lambda *at: told.append(at))
    assert (tuned.n_corrections, tuned.right_before, tuned.n_left_out) == (6, 0, 0)
    assert tuned.right_after >= 4
    assert tuned.accuracy_after >= tuned.accuracy_before - 0.01
    assert told == [(k, told[0][1]) for k in range(told[0][1] + 1)]
    # The numbers are those of the network that is returned.
    model = dl.Sequential.from_checkpoint(tuned.checkpoint)
    assert (model.predict(wrong[0]).argmax(axis=1) == wrong[1]).sum() == tuned.right_after
    assert (model.predict(data.test.images).argmax(axis=1) == data.test.labels).mean() == tuned.accuracy_after
    assert tuned.checkpoint.metadata["temperature"] == "1.5"


def test_the_same_seed_gives_the_same_weights_on_any_number_of_threads(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData
) -> None:
    def weights(**changes: int) -> list[np.ndarray]:
        options = FineTuningOptions(replay_images=200, epochs=1, **changes)
        return list(fine_tune(start, *wrong, data, options).checkpoint.weights)

    first, same, other = weights(threads=1), weights(threads=2), weights(seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, start.weights, strict=True))


def test_what_is_raised_on_the_way_ends_it(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData
) -> None:
    def stop(step: int, n_steps: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(start, *wrong, data, OPTIONS, on_step=stop)


def test_what_is_no_digit_is_left_out_for_a_network_of_ten(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData
) -> None:
    labels = wrong[1].copy()
    labels[:2] = 10
    tuned = fine_tune(start, wrong[0], labels, data, FineTuningOptions(replay_images=100, epochs=1))
    assert (tuned.n_corrections, tuned.n_left_out) == (4, 2)
    with pytest.raises(InputError, match="Choose the shipped reader"):
        fine_tune(start, wrong[0][:2], labels[:2], data)


def test_a_network_of_eleven_learns_what_is_no_digit(wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData) -> None:
    network = Architecture([Flatten(), Dense(11, activation="softmax")])
    fresh = Checkpoint(network, tuple(network.initial_weights(seed=0)), (*"0123456789", "Not a digit"))
    labels = np.full(len(wrong[1]), 10, np.uint8)
    tuned = fine_tune(fresh, wrong[0], labels, data, FineTuningOptions(replay_images=200, learning_rate=0.01))
    assert tuned.n_replayed > 200
    assert tuned.right_after > tuned.right_before


def test_it_is_kept_as_a_run_that_can_be_evaluated(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData, tmp_path: Path
) -> None:
    tuned = fine_tune(start, *wrong, data, FineTuningOptions(replay_images=200, epochs=2))
    run = keep_fine_tuned(tuned, data, tmp_path / "runs", origin="the shipped reader")
    assert keep_fine_tuned(tuned, data, tmp_path / "runs", origin="again").name == f"{run.name}_2"
    assert run.info().status == "complete"
    told = json.loads((run.path / "config.json").read_text())["fine_tuned"]
    assert told == {"origin": "the shipped reader"} | json.loads(json.dumps(tuned.to_dict()))
    assert evaluate_run(run, data).accuracy == tuned.accuracy_after
    assert write_report(run, data, evaluate_run(run, data)).exists()
    np.testing.assert_array_equal(
        dl.load_model(run.path).predict(wrong[0]), dl.Sequential.from_checkpoint(tuned.checkpoint).predict(wrong[0])
    )


def test_nothing_to_learn_from_is_told(start: Checkpoint, data: dl.MnistData) -> None:
    with pytest.raises(InputError, match="correct a wrong answer first"):
        fine_tune(start, np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8), data)


def test_networks_for_something_else_are_told(data: dl.MnistData, wrong: tuple[np.ndarray, np.ndarray]) -> None:
    network = Architecture([Flatten(), Dense(3, activation="softmax")])
    other = Checkpoint(network, tuple(network.initial_weights(seed=0)), ("a", "b", "c"))
    with pytest.raises(InputError, match="Choose another network"):
        fine_tune(other, *wrong, data)


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"share": 1.0}, {"share": 0.0}, {"learning_rate": 0.0}, {"seed": -1}, {"batch_size": 0}]
)
def test_options_that_cannot_be_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        FineTuningOptions(**changes)  # type: ignore[arg-type]
