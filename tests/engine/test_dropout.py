"""Dropout: the wanted fraction, the same forward and backward, another one for every image, layer and step."""

from __future__ import annotations

import numpy as np
import pytest

from digitlab.engine.cpu.program import DROPOUT
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.sequential import Sequential
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten
from digitlab.network.layers import Layer
from tests.engine.networks import digits
from tests.engine.one_block import OneBlock

SHAPE = (14, 15, 1)


def block_of(layers: list[Layer], salt: int = 5) -> OneBlock:
    network = Architecture(
        # Linear with a bias, so that no value is zero before dropout.
        [Conv2D(6, 3, bias_initializer="he_normal"), *layers, Flatten(), Dense(10, activation="softmax")],
        SHAPE,
    )
    return OneBlock(network, *digits(network, LANES), salt=salt)


def masks(block: OneBlock) -> list[np.ndarray]:
    """Which values every dropout kept: bool (n, values)."""
    return [block.written(op).reshape(LANES, -1) != 0.0 for op in block.ops if op["kind"] == DROPOUT]


# On a map, on a row of features, and before a convolution that reads a border around the map.
PLACES = {
    "map": [Dropout(0.3)],
    "features": [Flatten(), Dropout(0.3)],
    "border": [Dropout(0.3), Conv2D(2, 5, padding="same")],
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_kept_is_scaled_up_and_everything_else_is_zero(place: str) -> None:
    block = block_of(PLACES[place])
    (kept,) = masks(block)
    op = next(op for op in block.ops if op["kind"] == DROPOUT)
    values, written = block.read(op).reshape(LANES, -1), block.written(op).reshape(LANES, -1)
    assert (values != 0.0).all()
    np.testing.assert_allclose(written, np.where(kept, values / 0.7, 0.0), rtol=3e-7)


@pytest.mark.parametrize("place", PLACES)
def test_the_gradient_is_zero_exactly_where_the_value_was_dropped(place: str) -> None:
    block = block_of(PLACES[place])
    (kept,) = masks(block)
    op = next(op for op in block.ops if op["kind"] == DROPOUT)
    above = block.d_written(op).reshape(LANES, -1)
    assert (above != 0.0).mean() > 0.9
    np.testing.assert_allclose(block.d_read(op).reshape(LANES, -1), np.where(kept, above / 0.7, 0.0), rtol=3e-7)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_fraction_dropped_is_the_rate_over_all_over_images_and_over_places(rate: float) -> None:
    kept = np.concatenate([masks(block_of([Dropout(rate)], salt))[0] for salt in range(8)])
    spread = np.sqrt(rate * (1.0 - rate))
    # Five standard errors, and for the largest of a thousand deviations or so a little more.
    assert abs((~kept).mean() - rate) < 5.0 * spread / np.sqrt(kept.size)
    for axis in (0, 1):
        assert np.abs((~kept).mean(axis=axis) - rate).max() < 5.5 * spread / np.sqrt(kept.shape[axis])


def test_every_image_step_and_layer_has_a_mask_of_its_own() -> None:
    first, second = masks(block_of([Dropout(0.5), Dropout(0.5)]))
    # The second layer keeps a value only if the first did.
    assert not (second & ~first).any()
    again, _ = masks(block_of([Dropout(0.5), Dropout(0.5)], salt=6))
    # Independent masks agree at half of the places; five standard errors.
    assert abs((first == again).mean() - 0.5) < 5 * 0.5 / np.sqrt(first.size)
    assert abs((first[:-1] == first[1:]).mean() - 0.5) < 5 * 0.5 / np.sqrt(first[1:].size)
    assert abs(second[first].mean() - 0.5) < 5 * 0.5 / np.sqrt(first.sum())


def test_the_same_step_drops_the_same_values() -> None:
    np.testing.assert_array_equal(masks(block_of([Dropout(0.5)]))[0], masks(block_of([Dropout(0.5)]))[0])


def test_the_largest_number_of_a_step_is_as_good_as_any() -> None:
    (kept,) = masks(block_of([Dropout(0.5)], salt=2**32 - 1))
    assert abs(kept.mean() - 0.5) < 5 * 0.5 / np.sqrt(kept.size)


def test_a_rate_of_zero_keeps_everything_as_it_is() -> None:
    block = block_of([Dropout(0.0)])
    op = next(op for op in block.ops if op["kind"] == DROPOUT)
    np.testing.assert_array_equal(block.written(op), block.read(op))


def test_a_rate_that_rounds_to_one_drops_everything() -> None:
    block = block_of([Dropout(1.0 - 1e-13)])
    assert not masks(block)[0].any()
    assert np.isfinite(block.loss)


@pytest.mark.parametrize("place", PLACES)
def test_predictions_are_made_as_if_there_were_no_dropout(place: str) -> None:
    layers = [Conv2D(6, 3), *PLACES[place], Flatten(), Dense(10, activation="softmax")]
    network = Architecture(layers, SHAPE)
    without = Architecture([layer for layer in layers if not isinstance(layer, Dropout)], SHAPE)
    weights, (images, _) = network.initial_weights(seed=0), digits(network, LANES + 3)
    answers = [Sequential.from_architecture(a, weights).predict(images) for a in (network, without)]
    np.testing.assert_array_equal(*answers)
