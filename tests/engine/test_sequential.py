"""Sequential: answers for any number and form of images, weights in and out, and a sentence for what cannot be used."""

from __future__ import annotations

import re
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

from digitlab.engine.optimizers import Adam
from digitlab.engine.sequential import Sequential, codelab_cnn, dense_baseline, fast_cnn
from digitlab.errors import ConfigError, DataError, NetworkError
from digitlab.network import Activation, Architecture, Dense, Flatten
from tests.engine import reference
from tests.engine.networks import ODD, VARIED, digits

SMALL = Architecture([Flatten(), Dense(3, activation="softmax")], (4, 5, 1), "small")


@pytest.fixture(scope="module")
def model() -> Sequential:
    return codelab_cnn(seed=0)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """uint8 (1000, 28, 28)."""
    return np.random.default_rng(0).integers(0, 256, (1000, 28, 28), dtype=np.uint8)


@pytest.fixture
def small() -> Sequential:
    return Sequential.from_architecture(SMALL, seed=0)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 255, 257, 1000])
def test_any_number_of_images_is_answered_in_order(model: Sequential, images: np.ndarray, n: int) -> None:
    answers = model.predict(images[:n])
    assert answers.shape == (n, 10)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, rtol=0.0, atol=1e-6)
    np.testing.assert_array_equal(model.predict(images[:n][::-1])[::-1], answers)


def test_answers_are_the_softmax_of_the_network(model: Sequential, images: np.ndarray) -> None:
    logits = reference.forward(model.architecture, model.get_weights(), images[:40] / 255.0)[-1]
    # Probabilities are at most 1, and the logits' error of a few 1e-6 becomes theirs.
    np.testing.assert_allclose(model.predict(images[:40]), reference.softmax(logits), rtol=0.0, atol=5e-6)


def test_bytes_and_fractions_are_the_same_images(model: Sequential, images: np.ndarray) -> None:
    np.testing.assert_array_equal(model.predict(images), model.predict(images.astype(np.float32) / np.float32(255.0)))


@pytest.mark.parametrize("shape", [(1000, 28, 28), (1000, 28, 28, 1), (1000, 784)])
def test_every_form_of_an_image_is_answered_alike(
    model: Sequential, images: np.ndarray, shape: tuple[int, ...]
) -> None:
    np.testing.assert_array_equal(model.predict(images.reshape(shape)), model.predict(images))


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "form",
    [
        lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
        lambda x: np.asfortranarray(x),
        lambda x: x.transpose(0, 2, 1).copy().transpose(0, 2, 1),
        _read_only,
        lambda x: x.astype(np.float64) / 255.0,
        lambda x: (x.astype(np.float32) / np.float32(255.0)).astype(">f4"),
        lambda x: list(x.astype(np.float32) / np.float32(255.0)),
    ],
    ids=["strided", "Fortran", "transposed", "read-only", "float64", "big-endian", "list of arrays"],
)
def test_the_layout_in_memory_does_not_matter(model: Sequential, images: np.ndarray, form: Any) -> None:
    given = form(images[:50])
    before = np.array(given)
    np.testing.assert_array_equal(model.predict(given), model.predict(images[:50]))
    np.testing.assert_array_equal(given, before)


def test_huge_sums_still_give_finite_probabilities(images: np.ndarray) -> None:
    model = codelab_cnn(seed=0)
    model.set_weights([w * 1e4 for w in model.get_weights()])
    answers = model.predict(images[:50])
    assert np.isfinite(answers).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6)


def test_memory_besides_the_answers_does_not_grow_with_the_number_of_images(model: Sequential) -> None:
    def peak_bytes(n: int) -> int:
        many = np.zeros((n, 28, 28), np.uint8)
        model.predict(many)
        tracemalloc.start()
        answers = model.predict(many)
        peak = tracemalloc.get_traced_memory()[1] - answers.nbytes
        tracemalloc.stop()
        return peak

    # 40,000 bytes are one byte for every additional image: far less than an image or its place in an order.
    assert peak_bytes(42_000) - peak_bytes(2_000) < 40_000


def test_several_threads_can_ask_one_model(model: Sequential, images: np.ndarray) -> None:
    expected = model.predict(images)
    wrong: list[int] = []

    def ask(part: int) -> None:
        chosen = slice(100 * part, 100 * part + 150 + part)
        if not all(np.array_equal(model.predict(images[chosen]), expected[chosen]) for _ in range(15)):
            wrong.append(part)

    askers = [threading.Thread(target=ask, args=(part,)) for part in range(6)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert wrong == []


@pytest.mark.parametrize("name", ODD)
def test_networks_of_any_shape_answer_as_the_oracle(name: str) -> None:
    network = ODD[name]
    weights, (images, _) = network.initial_weights(seed=5), digits(network, 37)
    expected = reference.softmax(reference.forward(network, weights, images)[-1])
    answers = Sequential.from_architecture(network, weights, threads=3).predict(images)
    np.testing.assert_allclose(answers, expected, rtol=0.0, atol=2e-6)


def test_weights_come_back_as_they_were_set_in_the_layout_of_keras(small: Sequential) -> None:
    weights = [np.arange(60.0).reshape(20, 3), np.array([1, 2, 3])]
    small.set_weights(weights)
    for ours, theirs in zip(small.get_weights(), weights, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_weights_are_copies(small: Sequential) -> None:
    before = small.get_weights()
    small.get_weights()[0][:] = 9.0
    given = [np.ones((20, 3)), np.ones(3)]
    small.set_weights(before)
    np.testing.assert_array_equal(small.get_weights()[0], before[0])
    small.set_weights(given)
    given[0][:] = 2.0
    np.testing.assert_array_equal(small.get_weights()[0], 1.0)


def test_the_seed_chooses_the_weights() -> None:
    first, again, other = codelab_cnn(seed=1), codelab_cnn(seed=1), codelab_cnn(seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


@pytest.mark.parametrize(("build", "n"), [(codelab_cnn, 5_994), (dense_baseline, 6_370), (fast_cnn, 215_194)])
def test_the_named_networks_have_their_number_of_parameters(build: Any, n: int) -> None:
    model = build()
    assert model.count_params() == sum(w.size for w in model.get_weights()) == n


def test_the_summary_has_a_line_for_every_layer(model: Sequential) -> None:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert [re.split(r"  +", line) for line in lines] == [
        ["Layer Name", "Output Shape", "# Of Params", "Trainable"],
        ["conv2d", "(batch, 24, 24, 8)", "208", "true"],
        ["max_pooling2d", "(batch, 12, 12, 8)", "0", "true"],
        ["conv2d_1", "(batch, 8, 8, 16)", "3,216", "true"],
        ["max_pooling2d_1", "(batch, 4, 4, 16)", "0", "true"],
        ["flatten", "(batch, 256)", "0", "true"],
        ["dense", "(batch, 10)", "2,570", "true"],
        ["Total: 5,994 parameters in codelab_cnn"],
    ]


def test_classes_are_called_after_their_numbers_unless_there_are_ten(model: Sequential, small: Sequential) -> None:
    assert model.class_names[:2] == ("Zero", "One")
    assert small.class_names == ("0", "1", "2")
    named = Sequential.from_architecture(SMALL, class_names=["cat", "dog", "cow"])
    assert named.class_names == ("cat", "dog", "cow")
    with pytest.raises(NetworkError, match="tells 3 classes apart but 2 names were given"):
        Sequential.from_architecture(SMALL, class_names=["cat", "dog"])


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((3, 5, 4)), r"small takes images of shape \(n, 4, 5, 1\) or .*; got \(3, 5, 4\)"),
        (np.zeros((4, 5)), r"got \(4, 5\)\. Put a single image into a batch: image\[np\.newaxis\]"),
        (np.zeros(20), r"got \(20,\)"),
        (np.float32(0.5), r"got \(\)"),
        (np.zeros((2, 4, 5, 3)), r"got \(2, 4, 5, 3\)"),
        (np.full((2, 20), 256), r"whole numbers are bytes, 0 to 255; these are 256 to 256"),
        (np.full((2, 20), np.nan), "2 of 2 images hold pixels that are NaN or infinite, the first at position 0"),
        ([np.zeros(20), np.zeros(19)], "list that makes no array"),
        (iter([np.zeros(20)]), "Images must be an array of numbers"),
        (np.zeros((2, 20), complex), "got complex128"),
        (np.full((2, 20), "x"), "among these is 'x'. Texts of digits become numbers"),
    ],
)
def test_images_that_cannot_be_used_are_an_error_that_says_what_is_wanted(
    small: Sequential, images: Any, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        small.predict(images)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([np.zeros((20, 3))], "small has 2 weight arrays; got 1"),
        ([np.zeros((3, 20)), np.zeros(3)], r"Weight array 0 of small has shape \(20, 3\); got \(3, 20\)"),
        ([np.zeros((20, 3)), np.zeros((1, 3))], r"Weight array 1 of small has shape \(3,\); got \(1, 3\)"),
    ],
)
def test_weights_of_another_network_are_an_error_and_change_nothing(
    small: Sequential, weights: list[np.ndarray], sentence: str
) -> None:
    before = small.get_weights()
    with pytest.raises(NetworkError, match=sentence):
        small.set_weights(weights)
    np.testing.assert_array_equal(small.get_weights()[0], before[0])


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_an_error(threads: int) -> None:
    with pytest.raises(ConfigError, match=f"threads must be at least 1, or left out for all cores; got {threads}"):
        Sequential.from_architecture(SMALL, threads=threads)


def test_a_network_that_does_not_end_in_a_softmax_is_an_error() -> None:
    with pytest.raises(NetworkError, match='last layer must be Dense with activation="softmax"'):
        Sequential([Flatten(), Dense(3)], (4, 5, 1))


def test_labels_that_are_not_one_hot_are_refused() -> None:
    with pytest.raises(DataError, match="one-hot rows of 10 with a single 1"):
        codelab_cnn().labelled(np.zeros((2, 28, 28), np.uint8), np.full((2, 10), 0.1))


@pytest.mark.parametrize("name", VARIED)
def test_layers_of_every_kind_learn_what_they_are_shown(name: str) -> None:
    images, labels = digits(VARIED[name], 40)
    model = Sequential.from_architecture(VARIED[name], seed=0)
    history = model.fit(images, labels, batch_size=40, epochs=60, optimizer=Adam(0.02))
    losses = [step.loss for step in history.steps]
    assert losses[-1] < 0.9 * losses[0]


def test_a_network_without_weights_has_nothing_to_learn() -> None:
    with pytest.raises(NetworkError, match="has no weights to learn; give it a Dense or a Conv2D"):
        Sequential([Flatten(), Activation("softmax")], (2, 5, 1))
