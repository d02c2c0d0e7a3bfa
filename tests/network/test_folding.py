"""Folding against plain computation: the maps are computed where they stand, the layers by the engine's oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.errors import NetworkError
from digitlab.network import (
    ELU,
    Activation,
    Architecture,
    AveragePooling2D,
    Checkpoint,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LeakyReLU,
    MaxPooling2D,
    ZeroPadding2D,
)
from digitlab.network.folding import Affine, Weighted, folded, merged, rescaled
from digitlab.network.layers import Layer, Shape
from tests.engine.reference import forward


def weighted(layer: Layer, shape: Shape, rng: np.random.Generator) -> Weighted:
    return layer, tuple(rng.normal(size=s).astype(np.float32) for s in layer.weight_shapes(shape))


def plainly(steps: Sequence[Weighted | Affine], images: Any) -> Any:
    """Compute every step by itself, in float64."""
    values = np.asarray(images, np.float64)
    for step in steps:
        if isinstance(step, Affine):
            values = values * step.factor + step.offset
        else:
            values = forward(Architecture([step[0]], values.shape[1:]), step[1], values)[-1]
    return values


def check(steps: Sequence[Weighted | Affine], shape: Shape, seed: int = 0) -> list[Layer]:
    """Compare with the folded network, and return its layers."""
    images = np.random.default_rng(seed).uniform(-1.0, 1.0, (5, *shape))
    expected = plainly(steps, images)
    left = merged(folded(steps, shape))
    found = plainly(left, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(expected).max()))
    assert all(array.dtype == np.float32 for _, arrays in left for array in arrays)
    return [layer for layer, _ in left]


paddings = st.sampled_from(["valid", "same"])
functions = st.sampled_from(["linear", "relu", "sigmoid", "leaky_relu"])
anywhere = st.one_of(
    st.just("affine"),
    st.just(Dropout(0.5)),
    st.builds(Activation, st.sampled_from(["linear", "relu", "tanh", "elu", "leaky_relu"])),
    st.builds(LeakyReLU, st.sampled_from([0.2, 0.3])),
    st.builds(ELU, st.sampled_from([1.0, 0.5])),
)
layers = st.one_of(
    st.builds(
        Conv2D,
        st.integers(1, 3),
        st.integers(1, 3),
        padding=paddings,
        activation=functions,
        use_bias=st.booleans(),
        strides=st.integers(1, 2),
    ),
    st.builds(MaxPooling2D, st.integers(1, 2), padding=paddings),
    st.builds(AveragePooling2D, st.integers(1, 3), st.integers(1, 2), padding=paddings),
    st.builds(ZeroPadding2D, st.integers(0, 1)),
    anywhere,
)
rows = st.one_of(st.builds(Dense, st.integers(1, 4), activation=functions, use_bias=st.booleans()), anywhere)
to_rows = st.sampled_from([Flatten(), GlobalAveragePooling2D(), GlobalMaxPooling2D()])


@given(st.lists(layers, max_size=4), to_rows, st.lists(rows, max_size=3), st.integers(0, 10_000))
def test_random_networks_answer_as_before(images: list[Any], middle: Any, features: list[Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = shape = (9, 8, int(rng.integers(1, 3)))
    steps: list[Weighted | Affine] = []
    for kind in [*images, middle, *features]:
        if kind == "affine":
            # Some with nothing added, some with no negative factor, since these may pass more layers.
            factor, offset = rng.normal(size=shape[-1:]), rng.normal(size=shape[-1:]) * rng.integers(0, 2)
            steps.append(Affine.of(np.abs(factor) if rng.integers(0, 2) else factor, offset))
        else:
            try:
                behind = kind.output_shape(shape)
            except NetworkError:
                continue  # it does not fit into what is left of the image
            steps.append(weighted(kind, shape, rng))
            shape = behind
    check(steps, start, seed)


@pytest.mark.parametrize(
    ("before", "behind", "positive", "kinds"),
    [
        ([Conv2D(3, 3)], [Flatten()], False, ["Conv2D", "Flatten"]),
        ([Conv2D(3, 3, use_bias=False), MaxPooling2D(2)], [Flatten()], True, ["Conv2D", "MaxPooling2D", "Flatten"]),
        ([Conv2D(3, 3, activation="relu")], [Conv2D(2, 3)], False, ["Conv2D", "Conv2D"]),
        ([Conv2D(3, 3, activation="relu")], [Conv2D(2, 1, padding="same")], False, ["Conv2D", "Conv2D"]),
        ([Conv2D(3, 3, activation="relu")], [MaxPooling2D(2), Dropout(0.5), Flatten(), Dense(4)], True,
         ["Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense"]),
        ([Conv2D(3, 3, activation="relu")], [MaxPooling2D(2), Flatten(), Dense(4)], False,
         ["Conv2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense"]),
        ([Conv2D(3, 3, activation="relu")], [Conv2D(2, 3, padding="same")], True, ["Conv2D", "Conv2D", "Conv2D"]),
        ([Conv2D(3, 3, activation="relu")], [], True, ["Conv2D", "Conv2D"]),
        ([Flatten(), Dense(4, activation="relu")], [Dropout(0.5)], True, ["Flatten", "Dense", "Dense", "Dropout"]),
        ([Conv2D(3, (9, 8)), Flatten()], [], False, ["Conv2D", "Flatten"]),
        ([Conv2D(3, 8), Flatten()], [], False, ["Conv2D", "Flatten", "Dense"]),
    ],
)  # fmt: skip
def test_where_a_map_goes(before: list[Layer], behind: list[Layer], positive: bool, kinds: list[str]) -> None:
    rng = np.random.default_rng(3)
    start = shape = (9, 8, 2)
    steps: list[Weighted | Affine] = []
    for part in (before, behind):
        for layer in part:
            steps.append(weighted(layer, shape, rng))
            shape = layer.output_shape(shape)
        if part is before:
            factor = rng.uniform(0.5, 2.0, shape[-1]) * (1.0 if positive else -1.0)
            steps.append(Affine.of(factor, rng.normal(size=shape[-1])))
    assert [type(layer).__name__ for layer in check(steps, start)] == kinds


def test_zeros_around_an_image_allow_a_factor_but_no_offset() -> None:
    rng = np.random.default_rng(0)
    convolution = weighted(Conv2D(2, 3, padding="same", use_bias=False), (9, 8, 2), rng)
    assert check([Affine.of([2.0, -3.0]), convolution], (9, 8, 2)) == [convolution[0]]
    assert len(check([Affine.of(2.0, -1.0), convolution], (9, 8, 2))) == 2


def test_maps_that_follow_one_another_are_one() -> None:
    rng = np.random.default_rng(0)
    steps = [Affine.of(1 / 255), Affine.of(2.0, -1.0), weighted(Conv2D(2, 3), (9, 8, 1), rng)]
    assert check(steps, (9, 8, 1)) == [Conv2D(2, 3)]
    assert len(check(steps[:2], (9, 8, 1))) == 1


def test_normalization_is_what_keras_says_it_is() -> None:
    x, mean, variance = np.array([3.0, -1.0]), np.array([1.0, 2.0]), np.array([4.0, 0.25])
    plain = Affine.normalization(mean, variance, 1e-3)
    np.testing.assert_allclose(x * plain.factor + plain.offset, (x - mean) / np.sqrt(variance + 1e-3))
    whole = Affine.normalization(mean, variance, 1e-3, gamma=[2.0, -1.0], beta=[0.5, 7.0])
    expected = (x - mean) / np.sqrt(variance + 1e-3) * [2.0, -1.0] + [0.5, 7.0]
    np.testing.assert_allclose(x * whole.factor + whole.offset, expected)


def test_a_checkpoint_takes_pixels_of_another_scale() -> None:
    network = Architecture([Conv2D(2, 3), MaxPooling2D(2), Flatten(), Dense(3, activation="softmax")], (9, 8, 1), "n")
    given = Checkpoint(
        network, tuple(network.initial_weights(0)), ("a", "b", "c"), {"epoch": "1"}, {"m": np.ones(3, np.float32)}
    )
    images = np.random.default_rng(0).uniform(size=(5, 9, 8, 1))
    there = rescaled(given, 2.0, -1.0)
    assert (there.class_names, there.metadata, there.extra) == (given.class_names, given.metadata, {})
    assert there.architecture == network
    expected = forward(network, given.weights, images * 2.0 - 1.0)[-1]
    np.testing.assert_allclose(forward(there.architecture, there.weights, images)[-1], expected, atol=1e-5)
    back = rescaled(there, 0.5, 0.5)
    for ours, theirs in zip(back.weights, given.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Conv2D(2, 3), Activation("tanh")], [Conv2D(2, 3, activation="tanh")]),
        ([Conv2D(2, 3), MaxPooling2D(2), Activation("relu")], [Conv2D(2, 3, activation="relu"), MaxPooling2D(2)]),
        ([Conv2D(2, 3), AveragePooling2D(2), Activation("relu")], None),
        ([Conv2D(2, 3, activation="relu"), Activation("relu")], [Conv2D(2, 3, activation="relu")]),
        ([Conv2D(2, 3, activation="tanh"), Activation("relu")], None),
        ([Conv2D(2, 3), LeakyReLU(0.2)], [Conv2D(2, 3, activation="leaky_relu")]),
        ([Conv2D(2, 3), LeakyReLU(0.1)], None),
        ([Flatten(), Dense(3), Dropout(0.5), Activation("softmax")],
         [Flatten(), Dense(3, activation="softmax"), Dropout(0.5)]),
        ([GlobalAveragePooling2D(), Activation("softmax")], None),
        ([Activation("linear"), Flatten()], [Flatten()]),
    ],
)  # fmt: skip
def test_activations_become_part_of_the_layer_they_are_for(layers: list[Layer], expected: list[Layer] | None) -> None:
    assert [layer for layer, _ in merged([(layer, ()) for layer in layers])] == (expected or layers)


def test_a_map_of_other_channels_is_a_sentence() -> None:
    convolution = weighted(Conv2D(2, 3), (9, 8, 1), np.random.default_rng(0))
    with pytest.raises(NetworkError, match="3 channels"):
        folded([convolution, Affine.of([1.0, 2.0, 3.0])], (9, 8, 1))
    with pytest.raises(NetworkError, match="9,999 features"):
        folded([Affine.of(2.0)], (9_999,))
