"""The same seed gives the same weights and records, bit for bit, whatever the number of threads."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.optimizers import AdamW
from digitlab.engine.sequential import Sequential
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, architecture
from tests.engine.networks import VARIED, digits

WITH_DROPOUT = Architecture(
    [
        Conv2D(6, 3, activation="relu"),
        MaxPooling2D(2),
        Dropout(0.25),
        Flatten(),
        Dense(40, activation="relu"),
        Dropout(0.5),
        Dense(10, activation="softmax"),
    ]
)
# More parameters than from where several threads share the optimizer's step, rows that no number of threads divides.
LARGE = Architecture(
    [
        Flatten(),
        Dropout(0.2),
        Dense(67, activation="relu"),
        Dense(11, activation="relu"),
        Dense(10, activation="softmax"),
    ]
)

NETWORKS = {
    "codelab_cnn": architecture("codelab_cnn"),
    "fast_cnn": architecture("fast_cnn"),
    "with dropout": WITH_DROPOUT,
    "many parameters": LARGE,
} | VARIED
# Two batches an epoch, of more blocks than there are slots, and of less, the last of which is short.
BATCH, N = 11 * LANES, 16 * LANES + 3


def run(
    network: Architecture, threads: int, seed: int = 4
) -> tuple[list[np.ndarray], list[dict[str, Any]], np.ndarray]:
    """Train two epochs; return the weights, the records without their speed, and answers."""
    images, labels = digits(network, N)
    model = Sequential.from_architecture(network, seed=seed, threads=threads)
    validation = (images[:20], labels[:20])
    history = model.fit(
        images,
        labels,
        batch_size=BATCH,
        epochs=2,
        seed=seed,
        optimizer=AdamW(),
        schedule="cosine",
        validation_data=validation,
    )
    records = [dataclasses.replace(r, images_per_s=0.0).to_dict() for r in (*history.steps, *history.epochs)]
    return model.get_weights(), records, model.predict(images)


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_number_of_threads_changes_nothing(name: str) -> None:
    weights, records, answers = run(NETWORKS[name], threads=1)
    for threads in (2, 3, 8):
        other_weights, other_records, other_answers = run(NETWORKS[name], threads)
        assert same(weights, other_weights)
        assert records == other_records
        np.testing.assert_array_equal(answers, other_answers)


@pytest.mark.parametrize("name", ["codelab_cnn", "with dropout"])
def test_the_same_seed_repeats_a_run_and_another_does_not(name: str) -> None:
    weights, records, _ = run(NETWORKS[name], threads=2)
    again_weights, again_records, _ = run(NETWORKS[name], threads=2)
    assert same(weights, again_weights)
    assert records == again_records
    other_weights, other_records, _ = run(NETWORKS[name], threads=2, seed=5)
    assert not any(np.array_equal(a, b) for a, b in zip(weights, other_weights, strict=True))
    assert records != other_records


def test_the_seed_of_training_alone_changes_the_order_and_what_is_dropped() -> None:
    images, labels = digits(WITH_DROPOUT, N)
    weights = WITH_DROPOUT.initial_weights(seed=0)
    runs = {}
    for seed, shuffle in ((0, True), (1, True), (0, False), (1, False)):
        model = Sequential.from_architecture(WITH_DROPOUT, weights)
        model.fit(images, labels, batch_size=BATCH, epochs=1, seed=seed, shuffle=shuffle)
        runs[seed, shuffle] = model.get_weights()
    # Without shuffling the order is the same for both seeds, and what is dropped is not.
    assert not same(runs[0, False], runs[1, False])
    assert not same(runs[0, True], runs[1, True])
    assert not same(runs[0, True], runs[0, False])


def test_there_is_a_network_on_either_side_of_the_shared_step() -> None:
    assert (
        architecture("codelab_cnn").n_parameters < 50_000 < min(LARGE.n_parameters, NETWORKS["fast_cnn"].n_parameters)
    )


def test_answers_do_not_depend_on_the_images_beside_them() -> None:
    network = architecture("codelab_cnn")
    model = Sequential.from_architecture(network, seed=0)
    images, _ = digits(network, 300)
    together = model.predict(images)
    for begin, end in ((0, 1), (7, 7 + LANES), (17, 300), (299, 300)):
        np.testing.assert_array_equal(model.predict(images[begin:end]), together[begin:end])
