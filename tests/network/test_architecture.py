from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.errors import NetworkError
from digitlab.network import (
    ELU,
    Activation,
    Architecture,
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
    architecture,
)
from digitlab.network.layers import ELEMENTWISE, INITIALIZERS, Layer

initializer_names = st.sampled_from(sorted(INITIALIZERS))


@st.composite
def image_layers(draw: st.DrawFn, shape: tuple[int, ...]) -> Layer:
    """A layer that fits images of this shape."""
    sizes = st.tuples(st.integers(1, min(5, shape[0])), st.integers(1, min(5, shape[1])))
    padding = draw(st.sampled_from(["valid", "same"]))
    kinds = [Conv2D, MaxPooling2D, AveragePooling2D, ZeroPadding2D, Dropout, Activation, LeakyReLU, ELU]
    kind = draw(st.sampled_from(kinds))
    steps = st.tuples(st.integers(1, 4), st.integers(1, 4))
    if kind is Conv2D:
        return Conv2D(
            draw(st.integers(1, 6)),
            draw(sizes),
            strides=draw(st.just(1) | steps),
            padding=padding,
            activation=draw(st.sampled_from(ELEMENTWISE)),
            use_bias=draw(st.booleans()),
            kernel_initializer=draw(initializer_names),
            bias_initializer=draw(initializer_names),
        )
    if kind in (MaxPooling2D, AveragePooling2D):
        return kind(draw(sizes), strides=draw(st.none() | steps), padding=padding)
    if kind is ZeroPadding2D:
        sides = st.tuples(st.integers(0, 2), st.integers(0, 2))
        return ZeroPadding2D((draw(sides), draw(sides)))
    if kind is Activation:
        return Activation(draw(st.sampled_from(ELEMENTWISE)))
    return kind(draw(st.floats(0, 0.9)))


@st.composite
def networks(draw: st.DrawFn) -> Architecture:
    """A network of up to seven layers, from images to a softmax."""
    input_shape = (draw(st.integers(1, 20)), draw(st.integers(1, 20)), draw(st.integers(1, 3)))
    layers: list[Layer] = []
    shape: tuple[int, ...] = input_shape
    for _ in range(draw(st.integers(0, 4))):
        layers.append(draw(image_layers(shape)))
        shape = layers[-1].output_shape(shape)
    layers.append(draw(st.sampled_from([Flatten(), GlobalAveragePooling2D(), GlobalMaxPooling2D()])))
    if draw(st.booleans()):
        layers.append(Dense(draw(st.integers(1, 8)), activation="relu", bias_initializer=draw(initializer_names)))
    layers.append(Dense(draw(st.integers(2, 12)), activation=draw(st.sampled_from(["softmax", "linear"]))))
    if layers[-1] == replace(layers[-1], activation="linear"):
        layers.append(Activation("softmax"))
    return Architecture(layers, input_shape=input_shape)


def keras_model(network: Architecture) -> Any:
    """The same network in Keras, its layers named by Keras."""
    import keras

    keras.backend.clear_session()
    layers = [keras.Input(network.input_shape)]
    for entry in network.to_dict()["layers"]:
        kind = getattr(keras.layers, entry.pop("class_name"))
        # Zeros, because JAX would compile a program for every shape to draw weights that nobody looks at.
        zeros = {key: "zeros" for key in entry if key.endswith("_initializer")}
        layers.append(kind(**{key: value for key, value in entry.items() if key != "name"} | zeros))
    return keras.Sequential(layers)


@pytest.mark.interop
@given(networks())
@settings(max_examples=8, deadline=None)
def test_names_shapes_and_parameters_are_those_of_keras(network: Architecture) -> None:
    model = keras_model(network)
    theirs = [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
    assert [(row.name, row.output_shape, row.n_parameters) for row in network.summary()] == theirs
    assert network.weight_shapes == tuple(tuple(weight.shape) for weight in model.weights)
    assert network.n_parameters == model.count_params()
    model.set_weights(network.initial_weights(seed=0))


@pytest.mark.interop
def test_a_second_layer_of_a_kind_is_numbered_as_in_keras() -> None:
    network = Architecture([Conv2D(2, 3), Conv2D(2, 3), MaxPooling2D(), Conv2D(2, 3), Flatten(), Dense(4), Dense(4)])
    assert [layer.name for layer in network.layers] == [layer.name for layer in keras_model(network).layers]


@given(networks())
@settings(deadline=None)
def test_the_json_form_gives_the_same_network_back(network: Architecture) -> None:
    assert Architecture.from_dict(json.loads(json.dumps(network.to_dict()))) == network


@given(networks(), st.integers(0, 2**64))
@settings(max_examples=30, deadline=None)
def test_the_same_seed_gives_the_same_weights(network: Architecture, seed: int) -> None:
    first, second = network.initial_weights(seed), network.initial_weights(seed)
    assert [weights.shape for weights in first] == list(network.weight_shapes)
    assert [weights.tobytes() for weights in first] == [weights.tobytes() for weights in second]


def test_another_seed_gives_other_weights() -> None:
    network = architecture("codelab_cnn")
    assert not np.array_equal(network.initial_weights(0)[0], network.initial_weights(1)[0])


def test_initial_weights_are_what_earlier_versions_drew() -> None:
    kernel = architecture("codelab_cnn").initial_weights(seed=0)[0]
    np.testing.assert_allclose(kernel[0, 0, 0, :3], [0.32825121, -0.20371073, 0.16733383], rtol=1e-6)


def test_the_summary_is_the_codelabs_table() -> None:
    rows = architecture("codelab_cnn").summary()
    assert [row.name for row in rows] == [
        "conv2d",
        "max_pooling2d",
        "conv2d_1",
        "max_pooling2d_1",
        "flatten",
        "dense",
    ]
    assert rows[0].to_dict() == {
        "name": "conv2d",
        "kind": "Conv2D",
        "output_shape": [24, 24, 8],
        "n_parameters": 208,
        "trainable": True,
    }


def test_given_names_are_kept_and_not_given_again() -> None:
    network = Architecture([Flatten(name="dense_1"), Dense(4, name="first"), Dense(4), Dense(4), Dense(4)])
    assert [layer.name for layer in network.layers] == ["dense_1", "first", "dense", "dense_2", "dense_3"]


def test_input_shapes_are_the_output_shapes_one_layer_on() -> None:
    network = architecture("codelab_cnn")
    assert network.input_shapes == ((28, 28, 1), *network.shapes[:-1])


def test_a_row_of_features_can_be_the_input() -> None:
    network = Architecture([Dense(10, activation="softmax")], input_shape=[784])
    assert network.weight_shapes == ((784, 10), (10,))


@pytest.mark.parametrize("end", [GlobalMaxPooling2D(), GlobalAveragePooling2D(), Flatten()])
def test_a_network_may_end_in_a_pooling_and_a_softmax_of_its_own(end: Layer) -> None:
    layers = [Conv2D(7, 3), MaxPooling2D(2), Conv2D(10, 13), end, Activation("softmax")]
    assert Architecture(layers).n_classes == 10


OUT = Dense(10, activation="softmax")


@pytest.mark.parametrize(
    ("make", "phrases"),
    [
        (lambda: Architecture([]), ["at least one layer", "Dense with a softmax"]),
        (lambda: Architecture(OUT), ["list of layers", "square brackets"]),
        (lambda: Architecture(["Dense"]), ["str is not a layer", "Conv2D, MaxPooling2D, Flatten, Dropout, Dense"]),
        (lambda: Architecture([Layer()]), ["Layer is not a layer", "use one of Conv2D"]),
        (lambda: Architecture([Flatten()] * 65), ["at most 64 layers", "65"]),
        (lambda: Architecture([OUT]), ["Layer 1, dense", "add Flatten"]),
        (lambda: Architecture([Flatten(), Conv2D(8, 5)]), ["Layer 2, conv2d", "before Flatten"]),
        (lambda: Architecture([MaxPooling2D(15), Conv2D(8, 5)]), ["Layer 2, conv2d", "1 x 1", 'padding="same"']),
        (lambda: Architecture([Flatten(), OUT, Dropout(0.5)]), ["Layer 2, dense", "last layer only", '"relu"']),
        (lambda: Architecture([Flatten(), OUT], input_shape=(28, 28)), ["(height, width, channels)", "(28, 28)"]),
        (lambda: Architecture([Flatten(), OUT], input_shape=784), ["(features,)", "784"]),
        (lambda: Architecture([Flatten(), OUT], input_shape=(28, 0, 1)), ["(28, 0, 1)"]),
        (lambda: Architecture([Flatten(), OUT], input_shape=(28, 28, True)), ["(28, 28, True)"]),
        (lambda: Architecture([MaxPooling2D(15), Flatten()], input_shape=(9999, 9999, 1)), ["16,777,216 values"]),
        (lambda: Architecture([Conv2D(65_536, 1), Flatten()]), ["Layer 1, conv2d", "(28, 28, 65536)", "too large"]),
        (lambda: Architecture([Dense(65_536)], input_shape=[784]), ["50,000,000 parameters", "51,445,760"]),
        (lambda: Architecture([Flatten(name="a b"), OUT]), ["letters, digits and underscores", "'a b'"]),
        (lambda: Architecture([Flatten(name=5), OUT]), ["a layer's name", "5"]),
        (lambda: Architecture([Flatten(name=("a",)), OUT]), ["a layer's name", "('a',)"]),
        (lambda: Architecture([Flatten(name=None), OUT]), ["a layer's name", "None"]),
        (lambda: Architecture([Flatten(name="a"), Dense(4, name="a")]), ["Two layers", "'a'"]),
        (lambda: Architecture([Flatten(), OUT], name=""), ["A network's name", "1 to 100"]),
        (lambda: Architecture([Flatten(), OUT], name="a\nb"), ["A network's name", "printable"]),
        (lambda: Architecture([Flatten(), OUT]).initial_weights(-1), ["seed", "at least 0", "-1"]),
        (lambda: Architecture([Flatten()]).n_classes, ["last layer", 'activation="softmax"', "flatten"]),
        (lambda: Architecture([Flatten(), Dense(10)]).n_classes, ["last layer", 'activation="softmax"', "dense"]),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_the_way_out(make: Callable[[], object], phrases: list[str]) -> None:
    with pytest.raises(NetworkError) as caught:
        make()
    assert [phrase for phrase in phrases if phrase.lower() not in str(caught.value).lower()] == []


@pytest.mark.parametrize(
    ("config", "phrases"),
    [
        (None, ['"layers"']),
        ({"layers": "Dense"}, ['"layers"']),
        ({"layers": [5]}, ["Layer 1", '"class_name"']),
        ({"layers": [{"class_name": "Conv2d"}]}, ["Layer 1", "'Conv2d'", "Did you mean 'Conv2D'?"]),
        ({"layers": [{"class_name": "LSTM"}]}, ["Layer 1", "'LSTM'", "It runs Conv2D"]),
        ({"layers": [{"class_name": "Dense"}]}, ["Layer 1, Dense", "'units'", "missing"]),
        ({"layers": [{"class_name": "Flatten", "rate": 1, 5: 6}]}, ["Layer 1, Flatten", "unknown setting '5'", "name"]),
        ({"layers": [{"class_name": "Dense", "units": [10]}]}, ["Layer 1, Dense", "Dense units", "(10,)"]),
        ({"layers": [{"class_name": "Flatten", "name": {"a": 1}}]}, ["layer's name", "{'a': 1}"]),
        ({"layers": [{"class_name": "Flatten"}], "input_shape": 784}, ["input_shape", "784"]),
        ({"layers": [{"class_name": "Flatten"}], "input_shape": [[1]]}, ["input_shape", "[[1]]"]),
        ({"layers": [{"class_name": "Flatten"}], "name": 7}, ["A network's name", "7"]),
    ],
)
def test_a_json_form_that_is_none_is_refused_with_the_place(config: Any, phrases: list[str]) -> None:
    with pytest.raises(NetworkError) as caught:
        Architecture.from_dict(config)
    assert [phrase for phrase in phrases if phrase.lower() not in str(caught.value).lower()] == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
@settings(deadline=None)
def test_any_change_to_a_json_form_gives_a_network_or_a_sentence(data: st.DataObject) -> None:
    config = architecture("codelab_cnn").to_dict()
    target = data.draw(st.sampled_from([config, *config["layers"]]))
    key = data.draw(st.sampled_from(sorted(target)) | st.text(max_size=8))
    target[key] = data.draw(json_values)
    try:
        network = Architecture.from_dict(config)
    except NetworkError:
        return
    assert network.n_parameters == sum(math.prod(shape) for shape in network.weight_shapes)


def test_a_network_for_images_of_any_size_says_so_in_its_shapes() -> None:
    network = Architecture(
        [Conv2D(4, 3, padding="same"), MaxPooling2D(2), Conv2D(6, 3), Conv2D(2, 1)], input_shape=(None, None, 3)
    )
    assert network.answers_maps
    assert network.shapes == ((None, None, 4), (None, None, 4), (None, None, 6), (None, None, 2))
    assert network.weight_shapes[0] == (3, 3, 3, 4)
    assert network.summary()[1].to_dict()["output_shape"] == [None, None, 4]
    assert Architecture.from_dict(json.loads(json.dumps(network.to_dict()))) == network
    assert not Architecture([Flatten(), Dense(10, activation="softmax")]).answers_maps


@pytest.mark.parametrize(
    ("layers", "shape", "sentence"),
    [
        ([Conv2D(4, 3), Flatten(), Dense(10)], (None, None, 1), "Flatten needs images of a fixed size"),
        ([Conv2D(4, 3), MaxPooling2D(2)], (None, None, 1), "its last layer is Conv2D; this ends in max_pooling2d"),
        ([Conv2D(4, 3)], (None, 28, 1), r"\(None, None, channels\) or \(features,\); got \(None, 28, 1\)"),
        ([Conv2D(4, 3)], (None, None, None), "input_shape must be"),
        ([Dense(4)], (None,), "input_shape must be"),
    ],
)
def test_what_cannot_be_of_any_size_is_said(layers: list[Layer], shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(NetworkError, match=sentence):
        Architecture(layers, shape)


def test_an_error_tells_the_layer_and_the_setting_beside_its_sentence() -> None:
    with pytest.raises(NetworkError) as wrong:
        Architecture([Conv2D(4, 63), Flatten(), Dense(10, activation="softmax")])
    error = wrong.value
    assert (error.layer, error.field) == (1, "kernel_size")
    assert str(error) == f"Layer 1, conv2d: {error.sentence}"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.sentence, again.layer, again.field) == (str(error), error.sentence, 1, "kernel_size")
    with pytest.raises(NetworkError) as wrong:
        Dense(0)
    assert (wrong.value.layer, wrong.value.field) == (0, "units")
