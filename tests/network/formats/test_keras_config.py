from __future__ import annotations

from typing import Any

import pytest

from digitlab.errors import NetworkError
from digitlab.network import Conv2D, Dense, Flatten, MaxPooling2D
from digitlab.network.formats.keras import read_keras_config

POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
CONV = {"filters": 4, "kernel_size": [3, 3], "activation": "relu", "name": "c"}
DENSE = {"units": 10, "activation": "softmax", "name": "d"}
IMAGES = {"batch_shape": [None, 28, 28, 1], "name": "i"}


def model(*layers: tuple[str, dict[str, Any]], kind: str = "Sequential") -> dict[str, Any]:
    entries = [{"class_name": name, "config": config} for name, config in layers]
    return {"class_name": kind, "config": {"name": "m", "layers": entries}}


def with_layer(kind: str, **config: Any) -> dict[str, Any]:
    return model(("InputLayer", IMAGES), ("Conv2D", CONV), (kind, config), ("Flatten", {}), ("Dense", DENSE))


def read(description: dict[str, Any]) -> Any:
    return read_keras_config(description).architecture


def test_keras_2_and_keras_3_say_the_same() -> None:
    old = model(("Conv2D", CONV | {"batch_input_shape": [None, 28, 28, 1], "dtype": "float32"}), ("Flatten", {}),
                ("Dense", DENSE))  # fmt: skip
    new = model(("InputLayer", IMAGES), ("Conv2D", CONV | {"dtype": POLICY}), ("Flatten", {"dtype": POLICY}),
                ("Dense", DENSE))  # fmt: skip
    bare = {"class_name": "Sequential", "config": old["config"]["layers"]}
    assert read(old) == read(new)
    assert read(bare).layers == read(new).layers
    assert read(new).layers[0] == Conv2D(4, 3, activation="relu", name="c")


def test_activations_of_their_own_become_part_of_the_layer_before() -> None:
    network = read(
        model(
            ("InputLayer", IMAGES),
            ("Conv2D", CONV | {"activation": "linear"}),
            ("MaxPooling2D", {"pool_size": [2, 2]}),
            ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
            ("Flatten", {}),
            ("Dense", DENSE | {"activation": None}),
            ("Activation", {"activation": "softmax"}),
        )
    )
    assert [type(layer) for layer in network.layers] == [Conv2D, MaxPooling2D, Flatten, Dense]
    assert [getattr(layer, "activation", "") for layer in network.layers] == ["relu", "", "", "softmax"]


def test_a_network_that_ends_in_logits_gets_its_softmax() -> None:
    assert read(model(("InputLayer", IMAGES), ("Flatten", {}), ("Dense", DENSE | {"activation": "linear"}))) == read(
        model(("InputLayer", IMAGES), ("Flatten", {}), ("Dense", DENSE))
    )


def test_pixels_divided_by_255_are_what_digitlab_does_anyway() -> None:
    scaled = model(("InputLayer", IMAGES), ("Rescaling", {"scale": 1 / 255, "offset": 0.0}), ("Flatten", {}),
                   ("Dense", DENSE))  # fmt: skip
    assert [type(layer) for layer in read(scaled).layers] == [Flatten, Dense]
    with pytest.raises(NetworkError, match="division by 255"):
        read(model(("InputLayer", IMAGES), ("Rescaling", {"scale": 1 / 127.5, "offset": -1.0}), ("Dense", DENSE)))


def test_a_row_of_pixels_may_be_made_an_image() -> None:
    rows = model(("InputLayer", {"batch_shape": [None, 784]}), ("Reshape", {"target_shape": [28, 28, 1]}),
                 ("Conv2D", CONV), ("Reshape", {"target_shape": [-1]}), ("Dense", DENSE))  # fmt: skip
    assert read(rows).input_shape == (28, 28, 1)
    assert [type(layer) for layer in read(rows).layers] == [Conv2D, Flatten, Dense]


def test_names_that_digitlab_does_not_allow_are_replaced() -> None:
    network = read(model(("InputLayer", IMAGES), ("Conv2D", CONV | {"name": "a/b"}), ("Flatten", {"name": 7}),
                         ("Dense", DENSE | {"units": 5, "activation": "relu"}), ("Dense", DENSE)))  # fmt: skip
    assert [layer.name for layer in network.layers] == ["conv2d", "flatten", "d", "dense"]


@pytest.mark.parametrize(
    ("kind", "alternative"),
    [
        ("BatchNormalization", "folded"),
        ("AveragePooling2D", "MaxPooling2D"),
        ("GlobalAveragePooling2D", "Flatten"),
        ("SeparableConv2D", "Conv2D"),
        ("LeakyReLU", "ReLU"),
        ("Lambda", "no code"),
        ("TFOpLambda", "no code"),
        ("LSTM", "It runs Conv2D"),
        ("Sequential", "It runs Conv2D"),
    ],
)
def test_a_layer_that_is_lacking_is_named_with_the_alternative(kind: str, alternative: str) -> None:
    with pytest.raises(NetworkError) as caught:
        read(with_layer(kind, name="x"))
    assert f"Layer 3 is {kind}" in str(caught.value)
    assert alternative in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("Conv2D", {**CONV, "strides": [2, 2]}, "MaxPooling2D to make images smaller"),
        ("Conv2D", {**CONV, "dilation_rate": 2}, "larger kernel"),
        ("Conv2D", {**CONV, "groups": 4}, "ordinary Conv2D"),
        ("Conv2D", {**CONV, "data_format": "channels_first"}, "channels last"),
        ("Conv2D", {**CONV, "activation": "tanh"}, "'tanh'"),
        ("Conv2D", {**CONV, "activation": {"class_name": "function", "config": "evil"}}, "activation"),
        ("Conv2D", {**CONV, "filters": "8"}, "filters"),
        ("Conv2D", {**CONV, "filters": 10**9}, "filters"),
        ("Conv2D", {**CONV, "filters": True}, "filters"),
        ("Conv2D", {**CONV, "kernel_size": [10**9, 1]}, "kernel_size"),
        ("Conv2D", {**CONV, "kernel_size": {"a": 1}}, "kernel_size"),
        ("Conv2D", {**CONV, "padding": ["same"]}, "padding"),
        ("MaxPooling2D", {"pool_size": [0, 2]}, "pool_size"),
        ("Dropout", {"rate": "much"}, "rate"),
        ("Dropout", {"rate": 7}, "rate"),
        ("Dense", {"units": 10**12}, "units"),
        ("ReLU", {"max_value": 6}, "plain ReLU"),
        ("Reshape", {"target_shape": [2, 2]}, "Flatten"),
        ("Softmax", {"axis": 3}, "axis"),
        ("Activation", {"activation": "softmax"}, "softmax"),
    ],
)
def test_a_setting_that_is_lacking_is_named(kind: str, config: dict[str, Any], expected: str) -> None:
    with pytest.raises(NetworkError) as caught:
        read(with_layer(kind, **config))
    assert "Layer 3" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"class_name": "Sequential"},
        {"class_name": "Evil", "config": {"layers": []}},
        {"class_name": "Sequential", "config": {"layers": [7]}},
        {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": "x"}]}},
        model(),
        model(("InputLayer", {"batch_shape": [None, 28, 28]}), ("Dense", DENSE)),
        model(("InputLayer", {"batch_shape": [None, None, None, 1]}), ("Dense", DENSE)),
        model(("InputLayer", {"batch_shape": [None, 10**9, 10**9, 10**9]}), ("Flatten", {}), ("Dense", DENSE)),
        model(("Flatten", {}), ("Dense", DENSE)),
        model(("InputLayer", IMAGES), ("Dense", DENSE)),
        model(("InputLayer", IMAGES), ("Flatten", {})),
        model(("InputLayer", IMAGES), *[("Flatten", {})] * 300),
    ],
)
def test_what_is_no_network_is_a_sentence(description: dict[str, Any]) -> None:
    with pytest.raises(NetworkError):
        read_keras_config(description)


def inbound(name: str) -> list[Any]:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None], "keras_history": [name, 0, 0]}}
    return [{"args": [tensor], "kwargs": {}}]


def functional(*sources: Any) -> dict[str, Any]:
    description = model(("InputLayer", IMAGES), ("Flatten", {"name": "f"}), ("Dense", DENSE), kind="Functional")
    for entry, source in zip(description["config"]["layers"], sources, strict=True):
        entry["inbound_nodes"] = source
    return description


def test_functional_models_are_read_if_they_are_chains() -> None:
    keras_3 = functional([], inbound("i"), inbound("f"))
    keras_2 = functional([], [[["i", 0, 0, {}]]], [[["f", 0, 0, {}]]])
    plain = model(("InputLayer", IMAGES), ("Flatten", {"name": "f"}), ("Dense", DENSE))
    assert read(keras_3).layers == read(keras_2).layers == read(plain).layers
    with pytest.raises(NetworkError, match="one after the other"):
        read(functional([], inbound("i"), inbound("i")))
    with pytest.raises(NetworkError, match="one after the other"):
        read(functional([], inbound("i"), inbound("f") + inbound("i")))
