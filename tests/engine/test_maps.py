"""Networks that answer with maps: what they answer is the oracle's, however the page is cut and whoever helps."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from digitlab.engine.cpu import maps_runner
from digitlab.engine.cpu.maps_program import build_maps_network, plan_page
from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, DataError, NetworkError
from digitlab.network import (
    Activation,
    Architecture,
    AveragePooling2D,
    Checkpoint,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ZeroPadding2D,
    architecture,
)
from digitlab.network.checkpoint import load_checkpoint, save_checkpoint
from tests.engine import reference
from tests.engine.finder_reference import MAP_NETWORKS, weights_of

SIZES = ((40, 28), (61, 83), (24, 20), (37, 11))


def oracle(network: Architecture, weights: list[NDArray[np.float32]], page: NDArray[np.float32]) -> NDArray[np.float64]:
    sized = Architecture(network.layers, page.shape)
    return reference.forward(sized, weights, page[None])[-1][0]


def page_of(height: int, width: int, channels: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(height).normal(size=(height, width, channels)).astype(np.float32)


@pytest.mark.parametrize("name", MAP_NETWORKS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_maps_of_odd_shapes_are_those_of_the_oracle(name: str, size: tuple[int, int]) -> None:
    network = MAP_NETWORKS[name]
    runner, weights, page = MapsRunner(network), weights_of(network), page_of(*size)
    runner.set_weights(weights)
    expected = oracle(network, weights, page)
    found = runner.predict(page)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


def test_pages_of_colours_and_of_as_many_channels_as_a_vector_has_are_answered_too() -> None:
    for channels in (3, 16):
        network = Architecture([Conv2D(9, 3, padding="same"), Conv2D(4, 3)], (None, None, channels))
        runner, weights, page = MapsRunner(network), weights_of(network), page_of(23, 18, channels)
        runner.set_weights(weights)
        np.testing.assert_allclose(runner.predict(page), oracle(network, weights, page), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MAP_NETWORKS)
def test_stripes_and_threads_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, page = MAP_NETWORKS[name], page_of(75, 45)
    monkeypatch.setattr(maps_runner, "_WORTH_HELP", 0)
    answers = set()
    for stripe in (None, 1, 2, 7, 16, 50, 75):
        for threads in (1, 3):
            monkeypatch.setattr(maps_runner, "plan_page", lambda *args, stripe=stripe: plan_page(*args, stripe))
            runner = MapsRunner(network, threads)
            runner.set_weights(weights_of(network))
            answers.add(runner.predict(page).tobytes())
    assert len(answers) == 1


def test_a_page_of_another_size_leaves_nothing_behind() -> None:
    runner = MapsRunner(MAP_NETWORKS["like the finder"])
    runner.set_weights(weights_of(runner.architecture))
    small, large = page_of(28, 32), 50 * page_of(90, 70)
    first = runner.predict(small)
    runner.predict(np.full((90, 71, 1), np.nan, np.float32))
    runner.predict(large)
    np.testing.assert_array_equal(runner.predict(small), first)


def test_memory_does_not_grow_with_the_page() -> None:
    network = build_maps_network(architecture("finder_cnn"))
    pages = [(768, 1024), (4000, 5000), (20_000, 1000)]
    plans = [plan_page(network, *page) for page in pages]
    assert max(4 * plan.n_values for plan in plans) < 100e6
    assert plans[1].out_shape == (1000, 1250, 23)
    model = Sequential.from_architecture(architecture("finder_cnn"))
    page = np.zeros((1600, 160), np.uint8)
    model.predict_maps(page[:16])  # compiled
    tracemalloc.start()
    model.predict_maps(page)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_bytes_are_a_255th_of_floats() -> None:
    model = Sequential.from_architecture(MAP_NETWORKS["like the finder"], weights_of(MAP_NETWORKS["like the finder"]))
    page = np.random.default_rng(0).integers(0, 256, (40, 36), np.uint8)
    page.flags.writeable = False
    expected = model.predict_maps(page.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(model.predict_maps(page), expected)
    np.testing.assert_array_equal(model.predict(np.stack([page, page])), np.stack([expected, expected]))


def test_the_finder_answers_a_quarter_of_a_page_with_its_maps() -> None:
    model = Sequential.from_architecture(architecture("finder-cnn"), seed=3)
    assert model.predict_maps(np.zeros((50, 63), np.float32)).shape == (12, 15, 23)
    assert model.class_names == ()


def test_a_checkpoint_keeps_a_network_of_maps(tmp_path: object) -> None:
    network = MAP_NETWORKS["odd kernels"]
    save_checkpoint(f"{tmp_path}/model.safetensors", Checkpoint(network, tuple(weights_of(network))))
    model = Sequential.from_checkpoint(load_checkpoint(f"{tmp_path}/model.safetensors"))
    assert model.architecture == network
    for ours, theirs in zip(model.get_weights(), weights_of(network), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_no_page_is_said_in_a_sentence() -> None:
    model = Sequential.from_architecture(MAP_NETWORKS["odd kernels"])
    with pytest.raises(DataError, match="too small for this network"):
        model.predict_maps(np.zeros((4, 4), np.float32))
    with pytest.raises(DataError, match=r"images of shape \(n, height, width, 1\) of any height"):
        model.predict_maps(np.zeros((40, 40, 3), np.float32))
    with pytest.raises(DataError, match="must be an array of numbers"):
        model.predict_maps(np.zeros((40, 40), complex))
    with pytest.raises(DataError, match="images of shape"):
        model.predict(np.zeros((0, 40, 40), np.float32))
    with pytest.raises(ConfigError, match="threads must be at least 1"):
        MapsRunner(model.architecture, 0)


def test_what_a_network_of_maps_cannot_do_is_said_with_what_can() -> None:
    model = Sequential.from_architecture(architecture("finder_cnn"))
    for ask in (
        lambda: model.runner,
        lambda: model.architecture.n_classes,
        lambda: model.fit(np.zeros((2, 28, 28), np.uint8), [0, 1]),
        lambda: model.labelled(np.zeros((2, 28, 28), np.uint8), [0, 1]),
    ):
        with pytest.raises(NetworkError, match="answers images of any size with maps, not one digit"):
            ask()
    with pytest.raises(NetworkError, match="answers images of one size with probabilities"):
        Sequential([Flatten(), Dense(10, activation="softmax")]).predict_maps(np.zeros((28, 28), np.uint8))


def test_a_network_of_maps_consists_of_convolutions_and_halvings() -> None:
    convolution = Conv2D(23, 3)
    for layers in (
        [MaxPooling2D(2), convolution],
        [convolution, MaxPooling2D(3), convolution],
        [convolution, MaxPooling2D(2), MaxPooling2D(2), convolution],
        [convolution, Dropout(0.5), convolution],
        [ZeroPadding2D(1), convolution],
        [convolution, AveragePooling2D(2), convolution],
        [convolution, Activation("tanh"), convolution],
    ):
        with pytest.raises(NetworkError, match="consists of Conv2D and of MaxPooling2D"):
            Sequential(layers, (None, None, 1))
    for layer in (Conv2D(5, 3, strides=2), Conv2D(5, 3, activation="tanh")):
        with pytest.raises(NetworkError, match=r'conv2d: .* has strides of 1 and the activations "linear" and "relu"'):
            Sequential([layer, convolution], (None, None, 1))


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_maps_are_those_of_keras() -> None:
    pytest.importorskip("keras")
    for network in MAP_NETWORKS.values():
        model = Sequential.from_architecture(network, weights_of(network))
        theirs = model.to_keras()
        page = page_of(41, 30)
        np.testing.assert_allclose(model.predict(page[None]), np.asarray(theirs(page[None])), rtol=0, atol=2e-5)
