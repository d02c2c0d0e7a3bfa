"""Layers: shapes, parameters, refusals; and initial weights as Keras draws them."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.errors import MissingNameError, NetworkError
from digitlab.network import (
    ELU,
    Activation,
    AveragePooling2D,
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
from digitlab.network.layers import INITIALIZERS, LAYERS, Layer, initialize, settings_of


def test_conv2d_without_padding_shrinks_by_the_kernel_less_one() -> None:
    layer = Conv2D(8, (5, 3))
    assert layer.output_shape((28, 28, 1)) == (24, 26, 8)
    assert layer.weight_shapes((28, 28, 1)) == ((5, 3, 1, 8), (8,))


def test_conv2d_with_same_padding_keeps_height_and_width() -> None:
    assert Conv2D(4, 5, padding="same").output_shape((3, 7, 2)) == (3, 7, 4)


def test_layers_without_bias_have_a_kernel_only() -> None:
    assert Conv2D(8, 5, use_bias=False).weight_shapes((28, 28, 3)) == ((5, 5, 3, 8),)
    assert Dense(10, use_bias=False).weight_shapes((256,)) == ((256, 10),)


def test_max_pooling_steps_by_its_window_unless_told() -> None:
    assert MaxPooling2D((2, 3)).stride == (2, 3)
    assert MaxPooling2D(3, strides=1).stride == (1, 1)
    assert MaxPooling2D(2).output_shape((11, 11, 4)) == (5, 5, 4)
    assert MaxPooling2D(2, padding="same").output_shape((11, 11, 4)) == (6, 6, 4)


def test_strides_skip_places_of_the_kernel() -> None:
    assert Conv2D(4, 5, strides=2).output_shape((28, 28, 1)) == (12, 12, 4)
    assert Conv2D(4, (5, 2), strides=(3, 2), padding="same").output_shape((28, 27, 1)) == (10, 14, 4)


def test_global_poolings_leave_a_row_of_one_number_a_channel() -> None:
    assert GlobalAveragePooling2D().output_shape((7, 5, 6)) == GlobalMaxPooling2D().output_shape((7, 5, 6)) == (6,)


def test_zeros_are_added_on_every_side_as_they_are_told() -> None:
    assert ZeroPadding2D(2).output_shape((28, 28, 1)) == (32, 32, 1)
    assert ZeroPadding2D((1, 2)).sides == ((1, 1), (2, 2))
    assert ZeroPadding2D([[0, 1], [2, 3]]).output_shape((4, 4, 3)) == (5, 9, 3)  # type: ignore[arg-type]


def test_a_convolution_of_stride_1_is_written_as_it_was_before_there_were_strides() -> None:
    assert "strides" not in settings_of(Conv2D(8, 5))
    assert settings_of(Conv2D(8, 5, strides=(2, 1)))["strides"] == [2, 1]


def test_layers_that_learn_nothing_have_no_weights() -> None:
    assert [layer.weight_shapes((8, 8, 4)) for layer in (MaxPooling2D(), Flatten(), Dropout(0.5))] == [(), (), ()]


def test_flatten_and_dropout_keep_every_value() -> None:
    assert Flatten().output_shape((4, 4, 16)) == (256,)
    assert Flatten().output_shape((256,)) == (256,)
    assert Dropout(0.5).output_shape((4, 4, 16)) == (4, 4, 16)


def test_equal_settings_are_equal_layers() -> None:
    assert Conv2D(8, 5) == Conv2D(filters=8, kernel_size=(5, 5))
    assert MaxPooling2D(2) == MaxPooling2D((2, 2), strides=2)
    assert len({Conv2D(8, 5), Conv2D(8, (5, 5))}) == 1


def test_layers_cannot_be_changed() -> None:
    with pytest.raises(MissingNameError, match="cannot be given another units"):
        Dense(10).units = 11  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "phrases"),
    [
        (lambda: Conv2D(0, 5), ["Conv2D filters", "from 1 to 65,536", "0"]),
        (lambda: Conv2D(True, 5), ["Conv2D filters", "True"]),
        (lambda: Conv2D(8.0, 5), ["Conv2D filters", "8.0"]),
        (lambda: Conv2D(8, 0), ["Conv2D kernel_size", "at least 1"]),
        (lambda: Conv2D(8, (5, 5, 5)), ["Conv2D kernel_size", "two of them"]),
        (lambda: Conv2D(8, True), ["Conv2D kernel_size", "True"]),
        (lambda: Conv2D(8, "5"), ["Conv2D kernel_size", "'5'"]),
        (lambda: Conv2D(8, 64), ["Conv2D kernel_size", "at most 63"]),
        (lambda: Conv2D(8, 5, padding="causal"), ["Conv2D padding", "valid, same", "'causal'"]),
        (lambda: Conv2D(8, 5, activation="softmax"), ["Conv2D activation", "linear, relu"]),
        (lambda: Conv2D(8, 5, use_bias="no"), ["Conv2D use_bias", "True or False", "'no'"]),
        (lambda: Conv2D(8, 5, kernel_initializer="ones"), ["Conv2D kernel_initializer", "variance_scaling"]),
        (lambda: Conv2D(8, 5, bias_initializer=None), ["Conv2D bias_initializer", "zeros"]),
        (lambda: Dense(65_537), ["Dense units", "65,536"]),
        (lambda: Dense(8, activation="gelu"), ["Dense activation", "linear, relu, sigmoid", "'gelu'"]),
        (lambda: Dense(8, use_bias=1), ["Dense use_bias", "True or False"]),
        (lambda: Dense(8, kernel_initializer=["zeros"]), ["Dense kernel_initializer", "he_normal"]),
        (lambda: Dense(8, bias_initializer="one"), ["Dense bias_initializer", "zeros"]),
        (lambda: Dropout(1.0), ["Dropout rate", "0 to below 1", "1.0"]),
        (lambda: Dropout(float("nan")), ["Dropout rate", "nan"]),
        (lambda: Dropout("0.5"), ["Dropout rate", "'0.5'"]),
        (lambda: MaxPooling2D(16), ["MaxPooling2D", "at most 225 pixels"]),
        (lambda: MaxPooling2D(2, strides=0), ["MaxPooling2D strides", "at least 1"]),
        (lambda: MaxPooling2D(2, padding="full"), ["MaxPooling2D padding", "valid, same"]),
        (lambda: AveragePooling2D(64), ["AveragePooling2D pool_size", "at most 63"]),
        (lambda: Conv2D(8, 5, strides=0), ["Conv2D strides", "at least 1"]),
        (lambda: ZeroPadding2D(-1), ["ZeroPadding2D padding", "from 0 to 63", "-1"]),
        (lambda: ZeroPadding2D((1, 2, 3)), ["ZeroPadding2D padding", "((top, bottom), (left, right))"]),
        (lambda: Activation("gelu"), ["Activation activation", "sigmoid, tanh, elu, leaky_relu, softmax"]),
        (lambda: LeakyReLU(-0.1), ["LeakyReLU negative_slope", "from 0 to 1,000", "-0.1"]),
        (lambda: ELU(float("inf")), ["ELU alpha", "inf"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(make: Callable[[], Layer], phrases: list[str]) -> None:
    with pytest.raises(NetworkError) as caught:
        make()
    assert [phrase for phrase in phrases if phrase not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("layer", "input_shape", "phrases"),
    [
        (Conv2D(8, 5), (784,), ["Conv2D", "(784,)", "before Flatten"]),
        (Conv2D(8, 5), (4, 28, 1), ["Conv2D", "4 x 28", 'padding="same"']),
        (MaxPooling2D(2), (10,), ["MaxPooling2D", "before Flatten"]),
        (MaxPooling2D(3), (3, 2, 1), ["MaxPooling2D", "3 x 2", "smaller pool_size"]),
        (Dense(10), (4, 4, 16), ["Dense", "(4, 4, 16)", "add Flatten"]),
        (AveragePooling2D(3), (3, 2, 1), ["AveragePooling2D", "3 x 2", "smaller pool_size"]),
        (GlobalMaxPooling2D(), (10,), ["GlobalMaxPooling2D", "before Flatten"]),
        (GlobalAveragePooling2D(), (None, None, 4), ["GlobalAveragePooling2D", "fixed size"]),
        (ZeroPadding2D(), (10,), ["ZeroPadding2D", "before Flatten"]),
        (Activation("softmax"), (4, 4, 16), ["softmax", "row of features", "Flatten or GlobalAveragePooling2D"]),
    ],
)
def test_a_shape_that_does_not_fit_is_named_with_the_way_out(
    layer: Layer, input_shape: tuple[int, ...], phrases: list[str]
) -> None:
    with pytest.raises(NetworkError) as caught:
        layer.output_shape(input_shape)
    assert [phrase for phrase in phrases if phrase not in str(caught.value)] == []


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=3)


@given(st.sampled_from(sorted(LAYERS)), st.data())
@settings(deadline=None)
def test_whatever_is_passed_gives_a_layer_or_a_sentence(kind: str, data: st.DataObject) -> None:
    fields = [field for field in dataclasses.fields(LAYERS[kind]) if field.name != "name"]
    values = {field.name: data.draw(anything) for field in fields}
    try:
        said = repr(LAYERS[kind](**values))
    except NetworkError as error:
        said = str(error)
    assert kind in said


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


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        (Conv2D, {"input_shape": (28, 28, 1)}, "Sequential\\(layers, input_shape="),
        (Dense, {"kernel_regularizer": "l2"}, "weight_decay"),
        (Dense, {"unit": 3}, "Did you mean 'units'"),
        (Conv2D, {"filters": 3}, "Conv2D needs kernel_size"),
    ],
)
def test_settings_that_a_layer_does_not_have_are_a_sentence(
    kind: type[Layer], settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NetworkError, match=sentence):
        kind(**settings)


def test_attributes_that_keras_layers_have_are_told_of() -> None:
    layer = Dense(3)
    for name in ("get_weights", "output", "trainable", "weights"):
        assert not hasattr(layer, name)
    with pytest.raises(MissingNameError, match=r"model.get_weights\(\)"):
        layer.get_weights()  # type: ignore[attr-defined]
    for name, sentence in (("trainable", "every layer is trained"), ("units", r"make one anew, dataclasses\.replace")):
        with pytest.raises(MissingNameError, match=sentence):
            setattr(layer, name, 5)
    assert layer.units == 3
    assert pickle.loads(pickle.dumps(layer)) == copy.deepcopy(layer) == dataclasses.replace(layer) == layer
