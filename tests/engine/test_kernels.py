"""Every kernel by itself: what it made of its own inputs, which both stand in the worker's memory, is what NumPy makes.

float32 rounds by 6e-8 of a value. Sums here have up to a thousand terms of alternating sign, so a result is compared
within 2e-6 of the largest value of its array; what only selects or copies is compared bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from digitlab.engine.cpu.program import CONV, CONV_POOL, DENSE, POOL
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.optimizers import SGD, Adam, AdamW
from digitlab.network import Architecture, Conv2D, Dense, Flatten, MaxPooling2D, architecture
from tests.engine import reference
from tests.engine.networks import ODD, digits
from tests.engine.one_block import OneBlock

NETWORKS = ODD | {"the codelab's": architecture("codelab_cnn")}
N = LANES - 1  # so that the last lane has no image


@pytest.fixture(scope="module", params=list(NETWORKS))
def block(request: pytest.FixtureRequest) -> OneBlock:
    network = NETWORKS[request.param]
    return OneBlock(network, *digits(network, N, margin=True))


def assert_close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=2e-6 * np.abs(theirs).max() + 1e-9)


def of_kind(block: OneBlock, *kinds: int) -> list[tuple[Any, Any, list[int]]]:
    """Every operation of these kinds with its layer and the numbers of its weights."""
    learning = iter(range(len(block.weights)))
    layers = [layer for layer in block.network.layers if not isinstance(layer, Flatten)]
    found = []
    for op in block.ops:
        layer = layers.pop(0)
        if op["kind"] == CONV_POOL:
            layers.pop(0)
        own = [next(learning) for _ in range(1 + layer.use_bias)] if isinstance(layer, Conv2D | Dense) else []
        if op["kind"] in kinds:
            found.append((op, layer, own))
    return found


def sums_of(block: OneBlock, op: Any, layer: Any, own: list[int]) -> Any:
    """The sums before activation and pooling, float64, from what the operation read."""
    kernel, *bias = (block.weights[i].astype(np.float64) for i in own)
    # A dense layer is a convolution of one pixel.
    kernel = kernel[None, None] if isinstance(layer, Dense) else kernel
    return reference.convolve(block.read(op), kernel, *(bias or [0.0]), getattr(layer, "padding", "valid"))


def d_sums_of(block: OneBlock, op: Any, layer: Any, own: list[int]) -> Any:
    """The gradient of the sums, from the gradient of what was written."""
    d, sums = block.d_written(op).astype(np.float64), sums_of(block, op, layer, own)
    if op["kind"] == CONV_POOL:
        d = reference.pool_gradient(sums, MaxPooling2D(2), d)
    return d * (sums > 0.0) if layer.activation == "relu" else d


def stopped_below(block: OneBlock, op: Any, dx: Any) -> Any:
    """What is left of a gradient after the ReLU of the operation before, which works in the same place."""
    below = next(b for b in block.ops if b["dy"] == op["dx"])
    return dx * (block.read(op) > 0.0) if below["relu"] and below["kind"] != CONV_POOL else dx


def test_gather_puts_an_image_into_every_lane_and_repeats_the_first_in_the_others(block: OneBlock) -> None:
    images, _ = digits(block.network, N, margin=True)
    expected = np.concatenate([images, np.repeat(images[:1], LANES - N, axis=0)]).reshape(LANES, -1)
    np.testing.assert_array_equal(block.block(), expected)


def test_convolve_sums_adds_the_bias_and_cuts_at_zero(block: OneBlock) -> None:
    for op, layer, own in of_kind(block, CONV, DENSE):
        sums = sums_of(block, op, layer, own)
        assert_close(block.written(op), np.maximum(sums, 0.0) if layer.activation == "relu" else sums)


def test_convolve_and_pool_keeps_the_largest_of_every_four_pixels(block: OneBlock) -> None:
    for op, layer, own in of_kind(block, CONV_POOL):
        largest = reference.pool(sums_of(block, op, layer, own), MaxPooling2D(2))
        assert_close(block.written(op), np.maximum(largest, 0.0) if layer.activation == "relu" else largest)


def test_pool_keeps_the_largest_of_every_window(block: OneBlock) -> None:
    for op, layer, _ in of_kind(block, POOL):
        np.testing.assert_array_equal(block.written(op), reference.pool(block.read(op), layer))


def test_pool_gradient_gives_every_gradient_to_the_first_of_the_largest(block: OneBlock) -> None:
    for op, layer, _ in of_kind(block, POOL):
        if op["dx"] >= 0:
            expected = reference.pool_gradient(block.read(op), layer, block.d_written(op))
            assert_close(block.d_read(op), stopped_below(block, op, expected))


def test_input_gradient_sums_what_every_pixel_was_used_for(block: OneBlock) -> None:
    for op, layer, own in of_kind(block, CONV, CONV_POOL, DENSE):
        if op["dx"] >= 0:
            d, kernel = d_sums_of(block, op, layer, own), block.weights[own[0]].astype(np.float64)
            kernel = kernel[None, None] if isinstance(layer, Dense) else kernel
            x = block.read(op)
            expected = reference.input_gradient(x.shape, kernel, d, getattr(layer, "padding", "valid"))
            assert_close(block.d_read(op), stopped_below(block, op, expected))


def test_kernel_gradient_sums_over_all_pixels_and_images(block: OneBlock) -> None:
    for op, layer, own in of_kind(block, CONV, CONV_POOL):
        d = d_sums_of(block, op, layer, own)
        x, kernel = block.read(op).astype(np.float64), block.weights[own[0]]
        assert_close(block.gradients[own[0]], reference.kernel_gradient(x, d, kernel.shape, layer.padding))


def test_dense_kernel_gradients_come_from_the_tape_of_all_images(block: OneBlock) -> None:
    for op, layer, own in of_kind(block, DENSE):
        x, d = block.read(op).astype(np.float64), d_sums_of(block, op, layer, own)
        assert_close(block.gradients[own[0]], x.reshape(N, -1).T @ d.reshape(N, -1))


def test_bias_gradients_are_sums_over_pixels_and_images(block: OneBlock) -> None:
    for op, layer, own in of_kind(block, CONV, CONV_POOL, DENSE):
        if len(own) == 2:
            assert_close(block.gradients[own[1]], d_sums_of(block, op, layer, own).sum(axis=(0, 1, 2)))


def test_softmax_gives_the_loss_the_right_answers_and_the_gradient_of_the_sums(block: OneBlock) -> None:
    op, (_, labels) = block.ops[-1], digits(block.network, N, margin=True)
    logits = block.written(op).reshape(N, -1).astype(np.float64)
    probabilities, rows = reference.softmax(logits), np.arange(N)
    assert block.loss == pytest.approx(-np.log(probabilities[rows, labels]).mean(), rel=1e-6)
    assert block.n_correct == np.count_nonzero(logits.argmax(axis=1) == labels)
    truth = np.eye(block.network.n_classes)[labels]
    assert_close(block.d_written(op).reshape(N, -1), (probabilities - truth) / N)


def test_lanes_without_an_image_have_no_gradient_anywhere(block: OneBlock) -> None:
    for op in block.ops:
        np.testing.assert_array_equal(block.d_written(op, lanes=LANES)[N:], 0.0)


@pytest.mark.parametrize("shape", [(3, 3, 1), (5, 2, 3), (7, LANES, 1), (4, LANES + 3, 1), (4, 5, 7)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_gather_takes_images_of_any_width_with_or_without_a_border(
    shape: tuple[int, int, int], padding: str, dtype: type[np.generic]
) -> None:
    layers = [Conv2D(1, 2, padding=padding), Flatten(), Dense(2, activation="softmax")]
    images = np.random.default_rng(0).integers(0, 256, (N, *shape)).astype(dtype)
    block = OneBlock(Architecture(layers, shape), images, np.zeros(N, np.int64))
    expected = images.reshape(N, -1) / np.float32(255.0 if dtype is np.uint8 else 1.0)
    np.testing.assert_array_equal(block.block()[:N], expected)


@pytest.mark.parametrize(
    "optimizer", [Adam(0.01), AdamW(0.01, weight_decay=0.2), SGD(0.01), SGD(0.01, 0.9, nesterov=True)], ids=str
)
def test_one_step_of_the_optimizer_is_its_formula(optimizer: Adam | SGD) -> None:
    network = NETWORKS["the codelab's"]
    block = OneBlock(network, *digits(network, N), optimizer)
    before = np.concatenate([w.ravel() for w in block.weights]).astype(np.float64)
    g, rate = block.runner.gradients.astype(np.float64), optimizer.learning_rate
    kept = before * (1.0 - rate * optimizer.weight_decay)
    if isinstance(optimizer, Adam):
        m, v = (1.0 - optimizer.beta_1) * g, (1.0 - optimizer.beta_2) * g * g
        assert_close(block.runner.first_moment, m)
        assert_close(block.runner.second_moment, v)
        # Keras adds epsilon to the uncorrected root, and corrects the rate instead of the means.
        alpha = rate * np.sqrt(1.0 - optimizer.beta_2) / (1.0 - optimizer.beta_1)
        expected = kept - alpha * m / (np.sqrt(v) + optimizer.epsilon)
    else:
        m = -rate * g
        assert_close(block.runner.first_moment, m)
        expected = kept + (optimizer.momentum * m - rate * g if optimizer.nesterov else m)
    # Adam's quotient has three roundings more than the sums above.
    np.testing.assert_allclose(block.runner.parameters, expected, rtol=1e-6, atol=1e-7)


def test_empty_margins_are_left_out_without_a_trace() -> None:
    network = NETWORKS["the codelab's"]
    images, labels = digits(network, N, margin=True)
    marked = images.copy()
    marked[:, 0, 0] = marked[:, -1, -1] = 1e-38  # too little to count, but not nothing
    clipped, whole = OneBlock(network, images, labels), OneBlock(network, marked, labels)
    assert clipped.runner._training_memory[0].places[LANES : LANES + 4].tolist() == [2, 27, 1, 26]
    assert whole.runner._training_memory[0].places[LANES : LANES + 4].tolist() == [0, 28, 0, 28]
    assert clipped.loss == whole.loss
    for ours, theirs in zip(clipped.gradients, whole.gradients, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_images_without_any_ink_are_answered_with_the_biases() -> None:
    network = NETWORKS["the codelab's"]
    images, labels = digits(network, N)
    empty = OneBlock(network, np.zeros_like(images), labels)
    assert empty.runner._training_memory[0].places[LANES : LANES + 4].tolist() == [28, 0, 28, 0]
    assert np.isfinite(empty.loss)
    assert not empty.gradients[0].any()
    assert empty.gradients[-1].any()
