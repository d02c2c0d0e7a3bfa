"""Whole models as HDF5 in the layouts of Keras 1 and 2, written as these described them; networks known beforehand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitlab.network import Checkpoint
from digitlab.network.formats.files import load_model_file
from tests.engine.reference import forward

h5py = pytest.importorskip("h5py")

RNG = np.random.default_rng(5)
KERNEL, BIAS = RNG.normal(size=(3, 3, 1, 2)).astype(np.float32), RNG.normal(size=2).astype(np.float32)
GAMMA, BETA, MEAN = RNG.normal(size=(3, 2)).astype(np.float32)
VARIANCE = RNG.uniform(0.5, 2.0, 2).astype(np.float32)
DENSE, LAST = RNG.normal(size=(26 * 26 * 2, 10)).astype(np.float32) / 30, RNG.normal(size=10).astype(np.float32)
IMAGES = RNG.uniform(size=(20, 28, 28, 1))


def expected(kernel: Any = KERNEL, *, epsilon: float = 1e-3, channels_first: bool = False) -> Any:
    """Convolution, normalization, ReLU, dense layer and softmax, without any of digitlab."""
    windows = np.lib.stride_tricks.sliding_window_view(IMAGES, (3, 3), (1, 2))
    maps = np.einsum("nyxcij,ijcf->nyxf", windows, kernel) + BIAS
    maps = np.maximum((maps - MEAN) / np.sqrt(VARIANCE + epsilon) * GAMMA + BETA, 0.0)
    logits = (maps.transpose(0, 3, 1, 2) if channels_first else maps).reshape(len(maps), -1) @ DENSE + LAST
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def check(path: Path, answers: Any) -> Checkpoint:
    checkpoint = load_model_file(path)
    values = forward(checkpoint.architecture, checkpoint.weights, IMAGES)[-1]
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), answers, atol=1e-5)
    return checkpoint


def layer(kind: str, name: str, **settings: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, "trainable": True, **settings}}


def conv2(**settings: Any) -> dict[str, Any]:
    """Keras 2's description of the convolution."""
    given = {"filters": 2, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "activation": "linear"}
    given |= {"batch_input_shape": [None, 28, 28, 1], "data_format": "channels_last", "dtype": "float32"}
    return layer("Conv2D", "conv2d_1", **given | settings)


KERAS_2 = [
    conv2(),
    layer("BatchNormalization", "batch_normalization_1", axis=3, epsilon=0.001, center=True, scale=True),
    layer("Activation", "activation_1", activation="relu"),
    layer("Dropout", "dropout_1", rate=0.25, noise_shape=None, seed=None),
    layer("Flatten", "flatten_1"),
    layer("Dense", "dense_1", units=10, activation="softmax", use_bias=True),
]
NORMAL = {"gamma:0": GAMMA, "beta:0": BETA, "moving_mean:0": MEAN, "moving_variance:0": VARIANCE}
WEIGHTS_2 = {
    "conv2d_1": {"conv2d_1/kernel:0": KERNEL, "conv2d_1/bias:0": BIAS},
    "batch_normalization_1": {f"batch_normalization_1/{name}": array for name, array in NORMAL.items()},
    "activation_1": {},
    "dropout_1": {},
    "flatten_1": {},
    "dense_1": {"dense_1/kernel:0": DENSE, "dense_1/bias:0": LAST},
}


def write(
    path: Path,
    layers: list[dict[str, Any]],
    weights: dict[str, dict[str, Any]],
    backend: bytes | None = b"tensorflow",
    config: Any = None,
    **options: Any,
) -> Path:
    with h5py.File(path, "w", **options) as file:
        description = {"class_name": "Sequential", "config": layers} if config is None else config
        file.attrs["model_config"] = json.dumps(description).encode()
        file.attrs["keras_version"] = b"2.0.8"
        file.attrs["training_config"] = json.dumps({"loss": "mse", "metrics": ["accuracy"]}).encode()
        group = file.create_group("model_weights")
        write_weights(group, weights, backend)
        file.create_group("optimizer_weights").create_dataset("m", data=np.zeros((50, 50), np.float32))
    return path


def write_weights(group: Any, weights: dict[str, dict[str, Any]], backend: bytes | None) -> None:
    group.attrs["layer_names"] = [name.encode() for name in weights]
    if backend is not None:
        group.attrs["backend"] = backend
    for name, arrays in weights.items():
        inner = group.create_group(name)
        inner.attrs["weight_names"] = [part.encode() for part in arrays]
        for part, array in arrays.items():
            inner.create_dataset(part, data=array)


def test_keras_2_is_read(tmp_path: Path) -> None:
    network = check(write(tmp_path / "m.h5", KERAS_2, WEIGHTS_2), expected()).architecture
    assert [type(layer).__name__ for layer in network.layers] == ["Conv2D", "Dropout", "Flatten", "Dense"]
    # TensorFlow's Keras names the network too, and lists the layers within.
    whole = {"class_name": "Sequential", "config": {"name": "mnist", "layers": KERAS_2}}
    assert check(write(tmp_path / "m.h5", [], WEIGHTS_2, config=whole), expected()).architecture.name == "mnist"
    assert check(write(tmp_path / "m.h5", KERAS_2, WEIGHTS_2, libver="latest"), expected())


def test_theano_turned_kernels_around(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", KERAS_2, WEIGHTS_2, backend=b"theano")
    check(path, expected(KERNEL[::-1, ::-1]))


@pytest.mark.parametrize("name", ["BatchNormalizationV1", "BatchNormalizationV2"])
def test_names_of_tensorflow_1_are_known(tmp_path: Path, name: str) -> None:
    layers = [entry | {"class_name": name} if i == 1 else entry for i, entry in enumerate(KERAS_2)]
    check(write(tmp_path / "m.h5", layers, WEIGHTS_2), expected())


def test_names_of_weights_may_be_others_than_those_of_their_layers(tmp_path: Path) -> None:
    """A model that was loaded and saved again, or built in another graph, has them so."""
    weights = {
        layer_name: {f"model_3/{part.replace('_1/', '_1_2/')}": array for part, array in arrays.items()}
        for layer_name, arrays in WEIGHTS_2.items()
    }
    check(write(tmp_path / "m.h5", KERAS_2, weights), expected())


def old(dim_ordering: str, **settings: Any) -> list[dict[str, Any]]:
    """Keras 1's description."""
    shape = [None, 28, 28, 1] if dim_ordering == "tf" else [None, 1, 28, 28]
    axis = -1 if dim_ordering == "tf" else 1
    convolution = {"nb_filter": 2, "nb_row": 3, "nb_col": 3, "border_mode": "valid", "subsample": [1, 1]}
    convolution |= {"dim_ordering": dim_ordering, "batch_input_shape": shape, "bias": True, "init": "glorot_uniform"}
    return [
        layer("Convolution2D", "convolution2d_1", **convolution, activation="linear", input_dtype="float32"),
        layer("BatchNormalization", "batchnormalization_1", axis=axis, mode=0, epsilon=1e-05, **settings),
        layer("Activation", "activation_1", activation="relu"),
        layer("Dropout", "dropout_1", p=0.25),
        layer("Flatten", "flatten_1"),
        layer("Dense", "dense_1", output_dim=10, activation="softmax", bias=True, input_dim=None),
    ]


@pytest.mark.parametrize("dim_ordering", ["tf", "th"])
def test_keras_1_is_read(tmp_path: Path, dim_ordering: str) -> None:
    is_first = dim_ordering == "th"
    kernel = KERNEL.transpose(3, 2, 0, 1) if is_first else KERNEL
    normal = {"gamma": GAMMA, "beta": BETA, "running_mean": MEAN, "running_std": VARIANCE}
    weights: dict[str, dict[str, Any]] = {
        "convolution2d_1": {"convolution2d_1_W": kernel, "convolution2d_1_b": BIAS},
        "batchnormalization_1": {f"batchnormalization_1_{name}": array for name, array in normal.items()},
        "activation_1": {},
        "dropout_1": {},
        "flatten_1": {},
        "dense_1": {"dense_1_W": DENSE, "dense_1_b": LAST},
    }
    path = write(tmp_path / "m.h5", old(dim_ordering), weights, backend=None)
    check(path, expected(epsilon=1e-5, channels_first=is_first))


def test_a_model_in_a_model_lists_what_learns_first(tmp_path: Path) -> None:
    inner = {"class_name": "Sequential", "config": {"name": "front", "layers": KERAS_2[:3]}}
    layers = [inner | {"name": "front"}, *KERAS_2[4:]]
    parts = {**WEIGHTS_2["conv2d_1"], **WEIGHTS_2["batch_normalization_1"]}
    order = sorted(parts, key=lambda name: "moving" in name)
    for renamed in (lambda name: name, lambda name: f"w{order.index(name)}"):  # without names their order tells
        weights = {"front": {renamed(name): parts[name] for name in order}, "flatten_1": {}} | {
            "dense_1": WEIGHTS_2["dense_1"]
        }
        check(write(tmp_path / "m.h5", layers, weights), expected())


def test_long_lists_of_names_are_in_several_attributes(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", KERAS_2, WEIGHTS_2)
    with h5py.File(path, "a") as file:
        attributes = file["model_weights/batch_normalization_1"].attrs
        names = list(attributes["weight_names"])
        del attributes["weight_names"]
        attributes["weight_names0"], attributes["weight_names1"] = names[:3], names[3:]
    check(path, expected())


def test_a_functional_model_may_list_its_layers_in_any_order(tmp_path: Path) -> None:
    layers = [layer("InputLayer", "input_1", batch_input_shape=[None, 28, 28, 1]), *KERAS_2]
    named = [
        entry | {"name": entry["config"]["name"], "inbound_nodes": [[[before["config"]["name"], 0, 0, {}]]]}
        for before, entry in pairwise(layers)
    ]
    whole = [layers[0] | {"name": "input_1", "inbound_nodes": []}, *reversed(named)]
    for kind in ("Model", "Functional"):
        config = {"class_name": kind, "config": {"name": "m", "layers": whole}}
        check(write(tmp_path / "m.h5", [], WEIGHTS_2, config=config), expected())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda file: file.attrs.__delitem__("model_config"), "no model of Keras"),
        (lambda file: file.attrs.__setitem__("model_config", "{"), "cannot be read as JSON"),
        (lambda file: file.attrs.__setitem__("model_config", "[]"), "JSON object"),
        (lambda file: file.attrs.__setitem__("model_config", " " * 2_000_000), "damaged"),
        (lambda file: file.__delitem__("model_weights/dense_1"), "model_weights/dense_1 is missing"),
        (lambda file: file["model_weights/dense_1"].attrs.__delitem__("weight_names"), "lacks weights"),
        (lambda file: file.__delitem__("model_weights/dense_1/dense_1/bias:0"), "bias:0 is missing"),
        (lambda file: file.__delitem__("model_weights"), "is missing"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, refused: Any, spoil: Any, sentence: str) -> None:
    path = write(tmp_path / "m.h5", KERAS_2, WEIGHTS_2)
    with h5py.File(path, "a") as file:
        spoil(file)
    assert sentence in refused(path)


def test_weights_only_of_keras_1_and_2_tell_the_next_step(tmp_path: Path, refused: Any) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        write_weights(file, WEIGHTS_2, b"tensorflow")
    sentence = refused(tmp_path / "model.h5")
    assert "holds only weights" in sentence
    assert "model.load_weights('model.h5')" in sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"", "no model file of Keras"),
        (b"\x89HDF\r\n\x1a\n", "layout"),
    ],
)
def test_what_stands_in_the_place_of_a_model_is_told(
    tmp_path: Path, refused: Any, content: bytes, sentence: str
) -> None:
    (tmp_path / "m.h5").write_bytes(content)
    assert sentence in refused(tmp_path / "m.h5")


def test_a_large_optimizer_is_no_reason_to_refuse_a_model(tmp_path: Path, refused: Any) -> None:
    """What is not needed is not read: here are 600 MB of it, which take no place on the disk."""
    path = write(tmp_path / "m.h5", KERAS_2, WEIGHTS_2)
    with h5py.File(path, "a") as file:
        file.create_dataset("optimizer_weights/large", (150_000_000,), "f4")[-1] = 1.0
    assert path.stat().st_size > 500_000_000
    check(path, expected())
