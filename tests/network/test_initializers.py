from __future__ import annotations

import math

import numpy as np
import pytest

from digitlab.errors import NetworkError
from digitlab.network.layers import INITIALIZERS, initialize

SHAPES = [(5, 5, 24, 96), (240, 400)]
FANS = {(5, 5, 24, 96): (600, 2400), (240, 400): (240, 400)}
# The standard deviation of a standard normal distribution that is cut at two.
CUT_STDDEV = 0.87962566103423978


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "scale"), [("variance_scaling", 1.0), ("he_normal", 2.0)])
def test_normal_initializers_have_the_variance_scale_over_fan_in(
    name: str, scale: float, shape: tuple[int, ...]
) -> None:
    weights = initialize(name, shape, rng())
    stddev = math.sqrt(scale / FANS[shape][0])
    assert weights.std() == pytest.approx(stddev, rel=0.02)
    assert abs(weights.mean()) < 0.02 * stddev


@pytest.mark.parametrize(("name", "scale"), [("variance_scaling", 1.0), ("he_normal", 2.0)])
def test_normal_initializers_are_cut_at_two_standard_deviations(name: str, scale: float) -> None:
    weights = np.abs(initialize(name, (240, 400), rng()))
    limit = 2 * math.sqrt(scale / 240) / CUT_STDDEV
    assert 0.99 * limit < weights.max() <= np.float32(limit)


@pytest.mark.parametrize("shape", SHAPES)
def test_glorot_uniform_fills_its_limits(shape: tuple[int, ...]) -> None:
    weights = initialize("glorot_uniform", shape, rng())
    limit = math.sqrt(6 / sum(FANS[shape]))
    assert 0.99 * limit < weights.max() <= np.float32(limit)
    assert -0.99 * limit > weights.min() >= -np.float32(limit)
    assert weights.std() == pytest.approx(limit / math.sqrt(3), rel=0.02)


@pytest.mark.interop
@pytest.mark.parametrize("name", ["variance_scaling", "he_normal", "glorot_uniform"])
@pytest.mark.parametrize("shape", [*SHAPES, (4096,)])
def test_initializers_draw_from_the_distribution_that_keras_draws_from(name: str, shape: tuple[int, ...]) -> None:
    import keras

    reference = {
        "variance_scaling": keras.initializers.VarianceScaling(
            scale=1.0, mode="fan_in", distribution="truncated_normal", seed=1
        ),
        "he_normal": keras.initializers.HeNormal(seed=1),
        "glorot_uniform": keras.initializers.GlorotUniform(seed=1),
    }[name]
    theirs = np.asarray(reference(shape)).ravel()
    ours = initialize(name, shape, rng()).ravel()
    spread = theirs.std()
    np.testing.assert_allclose(
        np.quantile(ours, np.linspace(0, 1, 11)), np.quantile(theirs, np.linspace(0, 1, 11)), atol=0.1 * spread
    )
    assert ours.std() == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(3, 3, 1, 2), (4, 3), (5,)])
def test_every_initializer_gives_float32_of_the_shape_that_was_asked_for(name: str, shape: tuple[int, ...]) -> None:
    weights = initialize(name, shape, rng())
    assert weights.dtype == np.float32
    assert weights.shape == shape
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    np.testing.assert_array_equal(initialize(name, (5, 5, 1, 8), rng()), initialize(name, (5, 5, 1, 8), rng()))


def test_zeros_are_zeros() -> None:
    assert not initialize("zeros", (8,), rng()).any()


def test_an_unknown_initializer_is_named_with_those_there_are() -> None:
    with pytest.raises(
        NetworkError, match=r"'lecun_normal'; choose one of variance_scaling, glorot_uniform, he_normal"
    ):
        initialize("lecun_normal", (8,), rng())
