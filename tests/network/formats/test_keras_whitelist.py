"""What Keras may be given of a stranger's description: its own layers, and in no disguise anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from digitlab.errors import NetworkError
from digitlab.network.formats.keras_whitelist import harmless

INPUT = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 28, 28, 1]}}
DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 10}, "registered_name": None}


def model(*layers: Any, **more: Any) -> dict[str, Any]:
    config = {"name": "m", "layers": [INPUT, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None} | more


def layer(kind: str, module: str | None = "keras.layers", **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": {}, "registered_name": None} | more


#: As in the advisories on Keras' safe mode, and what is near to them.
DISGUISES: dict[str, Any] = {
    "lambda": layer("Lambda"),
    "lambda by the module that it is in": layer("Lambda", "keras.src.layers.core.lambda_layer"),
    "lambda without a module": {"class_name": "Lambda", "config": {"function": "x"}},
    "lambda of tensorflow": layer("Lambda", "tf_keras.layers"),
    "marshalled code": {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
    "a function of any module": layer("function", "os", config="system", registered_name="system"),
    "a builtin function": layer("function", "builtins", config="eval", registered_name="function"),
    "a function by its registered name": layer("function", "builtins", config="relu", registered_name="own>evil"),
    "a helper of keras as a function": layer("function", "keras.utils", config="get_file", registered_name="get_file"),
    "a helper of keras as a class": layer("get_file", "keras.utils"),
    "a loader as a class": layer("load_model", "keras.models"),
    "a switch of safe mode": layer("enable_unsafe_deserialization", "keras.config"),
    "a class of any module": layer("Popen", "subprocess", config={"args": "id"}),
    "a class of Python's in a module of keras": layer("os", "keras.src.utils.file_utils"),
    "a custom class": layer("Dense", "builtins", registered_name="own>Dense"),
    "a registered name on a known class": layer("Dense", registered_name="own>Evil"),
    "a registered name without a class": {"registered_name": "own>Evil", "config": {}},
    "a module that only begins like keras": layer("Dense", "keras.layers.evil"),
    "a module of keras' neighbour": layer("Dense", "keras_hub.layers"),
    "pytorch": layer("TorchModuleWrapper", config={"module": "gASVAA=="}),
    "tensorflow's saved model": layer("TFSMLayer", config={"filepath": "/tmp/evil"}),
    "jax": layer("JaxLayer"),
    "flax": layer("FlaxLayer"),
    "a vocabulary from a file": layer("StringLookup", config={"vocabulary": "/etc/passwd"}),
    "numbers from a file": layer("IntegerLookup", config={"vocabulary": "/etc/passwd"}),
    "texts from a file": layer("TextVectorization", config={"vocabulary": "/etc/passwd"}),
    "a type of tensorflow": {"class_name": "__typespec__", "spec_name": "TensorSpec", "module": "tensorflow",
                             "registered_name": None, "config": []},
    "an array of objects": {"class_name": "__numpy__", "config": {"value": [], "dtype": "O"}},
    "a quantizer": layer("AbsMaxQuantizer", "keras.quantizers"),
    "a class that is no text": layer(["Dense"]),  # type: ignore[arg-type]
    "a module that is no text": layer("Dense", ["keras.layers"]),  # type: ignore[arg-type]
    "a class of an other list": layer("GlorotUniform", "keras.layers"),
}  # fmt: skip

#: Where one may stand.
PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "as a layer": lambda one: model(one, DENSE),
    "as a setting": lambda one: model(DENSE | {"config": {"units": 10, "activation": one}}),
    "as what a wrapper wraps": lambda one: model(layer("TimeDistributed", config={"layer": one})),
    "as a cell": lambda one: model(layer("RNN", config={"cell": layer("StackedRNNCells", config={"cells": [one]})})),
    "in a nested model": lambda one: model(model(one)),
    "in the arguments of a call": lambda one: model(DENSE | {"inbound_nodes": [{"args": [[one]], "kwargs": {}}]}),
    "by name in the arguments": lambda one: model(
        DENSE | {"inbound_nodes": [{"args": [], "kwargs": {"training": one}}]}
    ),
    "beside the layers": lambda one: model(DENSE, build_config=one),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_disguise_passes_at_any_place(disguise: str, place: str) -> None:
    description = PLACES[place](DISGUISES[disguise])
    with pytest.raises(NetworkError, match=r"^It names .*, which is not one of the layers that"):
        harmless(json.loads(json.dumps(description)))


@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_disguise_is_a_model_itself(disguise: str) -> None:
    with pytest.raises(NetworkError):
        harmless(DISGUISES[disguise])


def test_optimizers_losses_and_metrics_are_left_out_at_every_depth() -> None:
    anything = {"loss": layer("function", "my_code", config="loss"), "optimizer": layer("Evil", "my_code")}
    inner = model(DENSE, compile_config=anything)
    assert harmless(model(inner, compile_config=anything)) == model(model(DENSE))


def test_what_is_harmless_stays_as_it_is() -> None:
    description = model(
        layer("Conv2D", config={"activation": "gelu", "kernel_initializer": layer("HeNormal", "keras.initializers")}),
        layer("Bidirectional", config={"layer": layer("GRU"), "backward_layer": layer("GRU")}),
        layer("Add", "keras.src.ops.numpy", registered_name="Add"),
        layer("Activation", config={"activation": layer("function", "builtins", config="relu6")}),
        DENSE,
    )
    assert harmless(json.loads(json.dumps(description))) == description


def test_names_of_keras_2_become_those_of_keras_3() -> None:
    old = {"module": "keras.src.engine.functional", "class_name": "Functional", "config": {}}
    assert harmless(old)["module"] == "keras.src.models.functional"


def test_sequential_networks_of_keras_1_and_2_begin_with_their_input() -> None:
    first = {"class_name": "LSTM", "config": {"units": 8, "batch_input_shape": [None, 28, 28], "time_major": False}}
    given = {"class_name": "InputLayer", "config": {"batch_shape": [None, 28, 28], "name": "input_layer"}}
    units = {"class_name": "LSTM", "config": {"units": 8}}
    for config in ([first], {"name": "sequential", "layers": [first]}):
        found = harmless({"class_name": "Sequential", "config": config})
        assert found["config"] == {"name": "sequential", "layers": [given, units]}
    own = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 28, 28]}}
    [renewed, *others] = harmless({"class_name": "Sequential", "config": [own, first]})["config"]["layers"]
    assert (renewed["config"], others) == ({"batch_shape": [None, 28, 28]}, [units])


def test_settings_that_keras_3_does_not_know_any_more_are_left_out() -> None:
    old = layer("SeparableConv2D", config={"filters": 4, "groups": 1, "kernel_initializer": "glorot_uniform"})
    normalization = layer("BatchNormalization", config={"axis": [3], "dtype": {"class_name": "Policy", "config": {}}})
    first, second = harmless(model(old, normalization))["config"]["layers"][1:]
    assert first["config"] == {"filters": 4}
    assert second["config"]["axis"] == 3
    assert second["config"]["dtype"]["class_name"] == "DTypePolicy"


@pytest.mark.parametrize("description", [{}, {"class_name": None}, {"class_name": "Dense"}, {"config": {}}])
def test_what_is_no_model_is_told(description: dict[str, Any]) -> None:
    with pytest.raises(NetworkError):
        harmless(description)


def test_what_is_nested_too_deep_is_told() -> None:
    description: dict[str, Any] = model(DENSE)
    for _ in range(100):
        description = model(description)
    with pytest.raises(NetworkError, match="nested deeper"):
        harmless(description)
