"""Activations are the functions of NumPy in float64, at all numbers; of a vector, and of what is shorter than one."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from digitlab.engine.cpu.activation import apply_to_run
from digitlab.engine.cpu.program import COPY, ELU, LEAKY_RELU, SIGMOID, TANH
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.sequential import Sequential
from digitlab.network import Activation, Architecture, Conv2D, Dense, Flatten
from digitlab.network.layers import ELEMENTWISE
from tests.engine.networks import digits
from tests.engine.reference import activated

NAMES = {COPY: "linear", LEAKY_RELU: "leaky_relu", ELU: "elu", SIGMOID: "sigmoid", TANH: "tanh"}


@njit
def _apply(numbers, function, below):
    apply_to_run(numbers, 0, 0, len(numbers), function, below)


def applied(x: NDArray[np.float32], function: int, below: float) -> NDArray[np.float32]:
    numbers = np.zeros(-(-len(x) // LANES) * LANES, np.float32)
    numbers[: len(x)] = x
    _apply(numbers, function, np.float32(below))
    return numbers[: len(x)]


# float32 from the smallest to the largest, the steps between them about a part in a thousand; and from -20 to 20.
SIZES = np.logspace(-38, 38, 100_000, dtype=np.float32)
NUMBERS = np.concatenate([-SIZES, SIZES, np.linspace(-20, 20, 100_001, dtype=np.float32), np.zeros(1, np.float32)])


@pytest.mark.parametrize("function", NAMES)
def test_every_number_is_answered_within_a_few_roundings(function: int) -> None:
    below = {LEAKY_RELU: 0.2, ELU: 1.0}.get(function, 0.0)
    found = applied(NUMBERS, function, below)
    expected = activated(NUMBERS.astype(np.float64), Activation(NAMES[function]))
    # A rounding is 6e-8 of a number; below 1e-37 numbers have fewer digits, and exp is cut off at that of -87.
    np.testing.assert_allclose(found, expected, rtol=5e-7, atol=1.2e-37)


@pytest.mark.parametrize("function", NAMES)
def test_what_is_no_number_stays_so_and_is_noticed_in_the_loss(function: int) -> None:
    numbers = np.full(LANES, np.nan, np.float32)
    assert np.isnan(applied(numbers, function, 0.5)).all()


def test_infinity_goes_where_the_functions_go() -> None:
    ends = np.array([-np.inf, np.inf], np.float32)
    assert applied(ends, SIGMOID, 0.0).tolist() == [pytest.approx(0.0, abs=1e-37), 1.0]
    assert applied(ends, TANH, 0.0).tolist() == [-1.0, 1.0]
    assert applied(ends, ELU, 0.5).tolist() == [-0.5, np.inf]


@pytest.mark.slow
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_activation_by_itself_is_that_of_the_layer_before(name: str) -> None:
    images, labels = digits(Architecture([Flatten(), Dense(3, activation="softmax")], (7, 5, 1)), LANES + 3)
    answers = []
    for layers in (
        [Conv2D(5, 3, padding="same", activation=name), Flatten(), Dense(3, activation="softmax")],
        [Conv2D(5, 3, padding="same"), Activation(name), Flatten(), Dense(3), Activation("softmax")],
    ):
        model = Sequential(layers, (7, 5, 1), seed=2)
        model.fit(images, labels, batch_size=LANES, epochs=2)
        answers += [model.predict(images), model.predict(images[:1])]
    np.testing.assert_array_equal(answers[0], answers[2])
    np.testing.assert_array_equal(answers[1], answers[3])
