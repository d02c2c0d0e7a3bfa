"""What one image costs: counted against a convolution that counts."""

from __future__ import annotations

import itertools
import math

import pytest

from digitlab.network import ZOO, Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, architecture
from digitlab.network.cost import cost_of, multiply_adds


def counted(layer: Conv2D, shape: tuple[int, int, int]) -> int:
    """Count by sliding."""
    height, width, filters = layer.output_shape(shape)
    n = 0
    for _ in itertools.product(range(height), range(width), range(filters)):
        n += math.prod(layer.kernel) * shape[2]
    return n


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [1, 5, (3, 2)])
def test_a_convolution_does_a_kernel_at_every_place(padding: str, kernel: int | tuple[int, int]) -> None:
    layer = Conv2D(4, kernel, padding=padding)
    assert multiply_adds(layer, (9, 7, 3)) == counted(layer, (9, 7, 3))


def test_layers_without_weights_multiply_nothing() -> None:
    assert [multiply_adds(layer, (8, 8, 2)) for layer in (MaxPooling2D(2), Flatten(), Dropout(0.5))] == [0, 0, 0]


def test_the_codelabs_network_costs_what_its_layers_cost() -> None:
    cost = cost_of(architecture("codelab_cnn"))
    assert [layer.multiply_adds for layer in cost.layers] == [115_200, 0, 204_800, 0, 0, 2_560]
    assert (cost.n_parameters, cost.multiply_adds) == (5_994, 322_560)
    assert cost.n_values == 784 + 4_608 + 1_152 + 1_024 + 256 + 256 + 10
    assert (cost.weights_bytes, cost.values_bytes) == (4 * 5_994, 4 * cost.n_values)


@pytest.mark.parametrize("name", list(ZOO))
def test_parameters_are_those_that_training_builds(name: str) -> None:
    assert cost_of(architecture(name)).n_parameters == architecture(name).n_parameters


def test_a_dense_layer_uses_each_weight_once() -> None:
    cost = cost_of(Architecture([Flatten(), Dense(10, activation="softmax", use_bias=False)]))
    assert cost.multiply_adds == cost.n_parameters == 7_840
