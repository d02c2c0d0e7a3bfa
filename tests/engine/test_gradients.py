"""Gradients: the oracle's against finite differences, the engine's against the oracle's.

The engine cannot be compared with finite differences itself: in float32 they have three digits at best.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.images import Images
from digitlab.engine.optimizers import SGD
from digitlab.network import (
    ELU,
    Activation,
    Architecture,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LeakyReLU,
    MaxPooling2D,
    ZeroPadding2D,
    architecture,
)
from digitlab.network.layers import ELEMENTWISE, Layer, activation_of
from tests.engine import reference
from tests.engine.networks import ODD, VARIED, digits

Weights = list[NDArray[np.float32]]

NETWORKS = ODD | VARIED


def engine_gradients(
    network: Architecture, weights: Weights, images: NDArray[np.float32], labels: NDArray[np.int64], threads: int = 1
) -> tuple[float, Weights]:
    """Return the loss of one batch and the gradients, cut up as the weights are."""
    runner = CpuRunner(network, threads)
    runner.set_weights(weights)
    runner.start_training(len(labels))
    rows = Images.from_array(images, math.prod(network.input_shape))
    loss, _ = runner.train_batch(rows, labels, np.arange(len(labels)), SGD(1.0).step(1, 1.0), salt=0)
    ends = np.cumsum([w.size for w in weights])[:-1]
    return loss, [g.reshape(w.shape) for g, w in zip(np.split(runner.gradients, ends), weights, strict=True)]


def assert_close_to_the_oracle(network: Architecture, weights: Weights, n: int, images: NDArray[np.float32]) -> None:
    """Compare loss and gradients.

    float32 has a relative spacing of 6e-8. What is summed can be larger than its sum: the tolerance of 3e-6 of an
    array's largest gradient leaves room for the cancellation of one to two digits.
    """
    labels = np.random.default_rng(n).integers(0, network.n_classes, n)
    loss, found = engine_gradients(network, weights, images, labels)
    assert loss == pytest.approx(reference.loss(network, weights, images, labels), rel=1e-5, abs=1e-6)
    for ours, theirs in zip(found, reference.gradients(network, weights, images, labels), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=3e-6 * np.abs(theirs).max() + 1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_oracles_gradients_are_the_finite_differences(name: str) -> None:
    network = NETWORKS[name]
    images, labels = digits(network, 3)
    rng = np.random.default_rng(1)
    # No weight is zero, so that no sum stands exactly on the corner of a ReLU or in a draw for the largest.
    weights = [w.astype(np.float64) + rng.normal(0.0, 0.05, w.shape) for w in network.initial_weights(seed=1)]
    images = images + rng.uniform(0.0, 0.1, images.shape)
    found = reference.gradients(network, weights, images, labels)
    for i, gradient in enumerate(found):
        # The derivative along random directions of this array, to O(h * h) = 1e-12 and rounding / h = 1e-10.
        for _ in range(3):
            direction, h = rng.normal(size=gradient.shape), 1e-6
            ahead, behind = (
                reference.loss(
                    network, [*weights[:i], weights[i] + step * direction, *weights[i + 1 :]], images, labels
                )
                for step in (h, -h)
            )
            assert (ahead - behind) / (2 * h) == pytest.approx(np.sum(gradient * direction), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n", [1, LANES, 2 * LANES + 3])
def test_gradients_of_odd_shapes_are_those_of_the_oracle(name: str, n: int) -> None:
    network = NETWORKS[name]
    assert_close_to_the_oracle(network, network.initial_weights(seed=2), n, digits(network, n)[0])


@pytest.mark.parametrize("name", ["codelab_cnn", "dense_baseline", "fast_cnn"])
def test_gradients_of_the_named_networks_are_those_of_the_oracle(name: str) -> None:
    network = architecture(name)
    assert_close_to_the_oracle(network, network.initial_weights(seed=2), LANES + 2, digits(network, LANES + 2)[0])


def test_the_gradient_of_a_batch_is_the_mean_over_its_images() -> None:
    network = architecture("codelab_cnn")
    weights, n = network.initial_weights(seed=0), 3 * LANES + 1
    images, labels = digits(network, n)
    _, whole = engine_gradients(network, weights, images, labels)
    parts = [engine_gradients(network, weights, images[k : k + 1], labels[k : k + 1])[1] for k in range(n)]
    for i, gradient in enumerate(whole):
        mean = np.mean([part[i] for part in parts], axis=0, dtype=np.float64)
        np.testing.assert_allclose(gradient, mean, rtol=0.0, atol=3e-6 * np.abs(mean).max())


@st.composite
def small_networks(draw: st.DrawFn) -> Architecture:
    """Up to three convolutions and poolings of any kind, then one or two dense layers."""
    shape: tuple[int, ...] = (draw(st.integers(1, 10)), draw(st.integers(1, 10)), draw(st.integers(1, 3)))
    layers: list[Layer] = []
    here = shape
    for _ in range(draw(st.integers(0, 3))):
        padding = draw(st.sampled_from(["valid", "same"]))
        size = tuple(draw(st.integers(1, 5 if padding == "same" else min(5, n))) for n in here[:2])
        if draw(st.booleans()):
            activation, use_bias = draw(st.sampled_from(["relu", "linear"])), draw(st.booleans())
            layer: Layer = Conv2D(draw(st.integers(1, 13)), size, padding, activation, use_bias)
        else:
            # Every second pooling is the common one, which the engine runs together with the convolution before it.
            common = min(here[:2]) >= 2 and draw(st.booleans())
            strides = draw(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)))
            layer = MaxPooling2D(2, padding=padding) if common else MaxPooling2D(size, strides, padding)
        layers.append(layer)
        here = layer.output_shape(here)
    layers.append(Flatten())
    if draw(st.booleans()):
        layers.append(Dense(draw(st.integers(1, 20)), draw(st.sampled_from(["relu", "linear"])), draw(st.booleans())))
    layers.append(Dense(draw(st.integers(2, 18)), activation="softmax", use_bias=draw(st.booleans())))
    return Architecture(layers, shape)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(small_networks(), st.integers(1, 2 * LANES + 1), st.integers(0, 2**31))
def test_gradients_of_any_small_network_are_those_of_the_oracle(network: Architecture, n: int, seed: int) -> None:
    # Weights are eighths and images quarters, half of both zero: every sum below the last layer is exact in float32,
    # so that rounding never decides on which side of a ReLU a sum stands, and draws for the largest are frequent.
    rng = np.random.default_rng(seed)
    weights = [np.float32(rng.integers(-4, 5, s) * rng.integers(0, 2, s) / 8) for s in network.weight_shapes]
    shape = (n, *network.input_shape)
    images = np.float32(rng.integers(0, 5, shape) * rng.integers(0, 2, shape) / 4)
    largest = np.abs(reference.forward(network, weights, images)[-1]).max()
    # Without this the last layer's sums are so far apart that most gradients vanish.
    n_last = 2 if network.layers[-1].use_bias else 1
    weights[-n_last:] = [w / np.float32(max(1.0, largest / 4)) for w in weights[-n_last:]]
    assert_close_to_the_oracle(network, weights, n, images)


@st.composite
def varied_networks(draw: st.DrawFn) -> Architecture:
    """Up to four layers of images of every kind that there is, then a row of features in one of the ways."""
    shape: tuple[int, ...] = (draw(st.integers(1, 17)), draw(st.integers(1, 17)), draw(st.integers(1, 3)))
    layers: list[Layer] = []
    here = shape
    steps = st.tuples(st.integers(1, 4), st.integers(1, 4))
    for _ in range(draw(st.integers(1, 4))):
        padding = draw(st.sampled_from(["valid", "same"]))
        size = tuple(draw(st.integers(1, 6 if padding == "same" else min(6, n))) for n in here[:2])
        name = draw(st.sampled_from(ELEMENTWISE))
        kind = draw(st.sampled_from(["Conv2D", "Conv2D", "MaxPooling2D", "AveragePooling2D", "pair", "other"]))
        if kind == "Conv2D":
            layers.append(Conv2D(draw(st.integers(1, 9)), size, strides=draw(steps), padding=padding, activation=name))
        elif kind == "pair" and min(here[:2]) >= 2:  # which the engine fuses, with the activation between them behind
            layers += [Conv2D(draw(st.integers(1, 5)), 2, padding="same"), Activation(name), MaxPooling2D(2)]
        elif kind in ("MaxPooling2D", "AveragePooling2D"):
            pooling = MaxPooling2D if kind == "MaxPooling2D" else AveragePooling2D
            layers.append(pooling(size, draw(st.none() | steps), padding))
        else:
            sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
            layers.append(draw(st.sampled_from([LeakyReLU(0.3), ELU(1.5), Activation(name)])))
            layers.append(ZeroPadding2D((draw(sides), draw(sides))))
        here = Architecture(layers, shape).shapes[-1]
    layers.append(draw(st.sampled_from([Flatten(), GlobalAveragePooling2D(), GlobalMaxPooling2D()])))
    if draw(st.booleans()):
        layers.append(Dense(draw(st.integers(1, 20)), draw(st.sampled_from(ELEMENTWISE))))
    layers += [Dense(draw(st.integers(2, 18))), Activation("softmax")]
    return Architecture(layers, shape)


def stands_on_a_corner(network: Architecture, weights: Weights, images: NDArray[np.float32]) -> bool:
    """Whether rounding may decide which way a value goes, so that the gradient has no use as an oracle."""
    for layer, x, z in reference.sums(network, weights, images):
        if activation_of(layer)[0] in ("relu", "leaky_relu", "elu") and (np.abs(z) < 1e-5).any():
            return True
        if isinstance(layer, MaxPooling2D | GlobalMaxPooling2D):
            windows = np.sort(np.nan_to_num(reference.windows(x, layer)[0], nan=-1e9), axis=3)
            if (np.diff(windows[:, :, :, -2:], axis=3) < 1e-5).any():
                return True
    return False


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(varied_networks(), st.integers(1, LANES + 1), st.integers(0, 2**31))
def test_gradients_of_any_network_of_all_layers_are_those_of_the_oracle(
    network: Architecture, n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0.0, 0.5, shape).astype(np.float32) for shape in network.weight_shapes]
    images = rng.uniform(0.05, 1.0, (n, *network.input_shape)).astype(np.float32)
    assume(not stands_on_a_corner(network, weights, images))
    assert_close_to_the_oracle(network, weights, n, images)
    # And one image by itself, among others, and by the oracle.
    runner = CpuRunner(network, 1)
    runner.set_weights(weights)
    expected = reference.softmax(reference.forward(network, weights, images)[-1])
    for some in (images, images[:1]):
        answers = runner.predict(Images.from_array(some, math.prod(network.input_shape)))
        np.testing.assert_allclose(answers, expected[: len(some)], rtol=0.0, atol=2e-6)
