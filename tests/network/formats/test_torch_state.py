"""State dicts of PyTorch and the networks that they are given: the exported model's answers, or a sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import digitlab as dl
from digitlab.errors import ConfigError, DigitlabError
from digitlab.network import (
    Activation,
    Architecture,
    AveragePooling2D,
    Checkpoint,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ZeroPadding2D,
    save_checkpoint,
)
from digitlab.network.formats.files import TORCH_EXPORT, load_model_file
from tests.network.formats.graphs import answers, node, saved, weights

FILES = Path(__file__).parent / "files"
#: The network of ``modern_torch.safetensors``.
MODERN = [
    ZeroPadding2D(((1, 0), (1, 0))),
    Conv2D(4, 3, strides=2, activation="relu"),
    Conv2D(6, 3, padding="same", activation="relu"),
    AveragePooling2D(4),
    Flatten(),
    Dense(16, activation="tanh"),
    Dense(10, activation="softmax"),
]


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return dl.MnistData.load().test.images[:2000].reshape(-1, 28, 28) / np.float32(255)


def normalization(n: int) -> dict[str, np.ndarray]:
    numbers = {part: weights(n) for part in ("weight", "bias", "running_mean")}
    variance = np.random.default_rng(n).uniform(0.5, 1.5, n).astype(np.float32)
    return numbers | {"running_var": variance, "num_batches_tracked": np.array(7)}


def state(path: Path, modules: dict[str, Any]) -> Path:
    """Write modules, each the shape of its weights, or a number of channels to normalize; return the file."""
    tensors = {}
    for name, shape in modules.items():
        if isinstance(shape, int):
            tensors |= {f"{name}.{part}": array for part, array in normalization(shape).items()}
        else:
            tensors |= {f"{name}.weight": weights(*shape), f"{name}.bias": weights(shape[0])}
    save_file(tensors, path, {"format": "pt"})
    return path


def small(*, filters: int = 3) -> Architecture:
    return Architecture([Conv2D(filters, 5, activation="relu"), MaxPooling2D(4), Flatten(), Dense(10, "softmax")])


@pytest.mark.interop
def test_a_state_dict_answers_as_the_exported_model(images: np.ndarray) -> None:
    model = dl.load_model(FILES / "modern_torch.safetensors", network=Architecture(MODERN))
    for exported in ("default", "dynamo", "script"):
        path = FILES / f"modern_torch_{exported}.onnx"
        np.testing.assert_allclose(model.predict(images), answers(path, images), rtol=0.0, atol=1e-4)
        np.testing.assert_allclose(dl.load_model(path).predict(images), model.predict(images), rtol=0.0, atol=1e-5)


def test_the_line_that_messages_tell_is_the_one_that_exported_the_kept_files() -> None:
    program = (FILES / "export_with_torch.py").read_text()
    for statement in TORCH_EXPORT.split("; "):
        assert f"\n{statement}\n" in program


@pytest.mark.interop
@pytest.mark.parametrize("is_named", [True, False])
def test_rows_behind_a_flattening_and_normalizations_are_put_in_order(
    tmp_path: Path, images: np.ndarray, is_named: bool
) -> None:
    """As ``nn.Sequential`` numbers them, and as people name them; the graph has the arrays as PyTorch has them."""
    names = ["conv1", "bn1", "fc1", "bn2", "fc2"] if is_named else ["0", "1", "5", "6", "8"]
    shapes = [(6, 1, 5, 5), 6, (12, 216), 12, (10, 12)]
    path = state(tmp_path / "m.safetensors", dict(zip(names, shapes, strict=True)))
    layers = [
        Conv2D(6, 5, activation="relu"), MaxPooling2D(4), Flatten(), Dense(12, "relu"), Dense(10, "softmax"),
    ]  # fmt: skip
    from safetensors.numpy import load_file

    arrays = load_file(path)
    conv, bn1, fc1, bn2, fc2 = names
    scales = {
        name: [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")] for name in (bn1, bn2)
    }
    nodes = [
        node("Conv", ["x", f"{conv}.weight", f"{conv}.bias"], "a"),
        node("BatchNormalization", ["a", *scales[bn1]], "b"),
        node("Relu", ["b"], "c"),
        node("MaxPool", ["c"], "d", kernel_shape=[4, 4], strides=[4, 4]),
        node("Flatten", ["d"], "e"),
        node("Gemm", ["e", f"{fc1}.weight", f"{fc1}.bias"], "f", transB=1),
        node("BatchNormalization", ["f", *scales[bn2]], "g"),
        node("Relu", ["g"], "h"),
        node("Gemm", ["h", f"{fc2}.weight", f"{fc2}.bias"], "y", transB=1),
    ]
    expected = answers(saved(tmp_path / "m.onnx", nodes, arrays), images)
    found = dl.load_model(path, network=Architecture(layers)).predict(images)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_layers_of_equal_shape_are_ordered_by_the_numbers_in_their_names(tmp_path: Path) -> None:
    names = [f"layer{i}" for i in range(12)]
    path = state(tmp_path / "m.safetensors", {"first": (8, 784), **dict.fromkeys(names, (8, 8)), "last": (10, 8)})
    network = Architecture(
        [Flatten(), Dense(8, "relu"), *[Dense(8, "relu") for _ in names], Dense(10, "softmax")], (28, 28, 1)
    )
    from safetensors.numpy import load_file

    arrays, found = load_file(path), load_model_file(path, network).weights
    for i, name in enumerate(names):
        np.testing.assert_array_equal(found[2 * (i + 1)], arrays[f"{name}.weight"].T)


def test_a_network_may_be_a_name_or_a_file_or_what_a_model_has(tmp_path: Path) -> None:
    path = state(tmp_path / "m.safetensors", {"0": (8, 1, 5, 5), "3": (16, 8, 5, 5), "7": (10, 256)})
    file = tmp_path / "network.json"
    file.write_text(json.dumps(dl.codelab_cnn().architecture.to_dict()))
    first = dl.load_model(path, network="codelab-cnn").get_weights()
    for network in (str(file), file, dl.codelab_cnn().architecture):
        for a, b in zip(first, dl.load_model(path, network=network).get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_half_and_double_weights_and_layers_without_bias_are_taken(tmp_path: Path) -> None:
    tensors = {
        "module.conv.weight": weights(3, 1, 5, 5).astype(np.float16),
        "module.fc.weight": weights(10, 108).astype(np.float64),
        "module.fc.bias": weights(10).astype(np.float64),
    }
    save_file(tensors, tmp_path / "m.safetensors")
    checkpoint = load_model_file(tmp_path / "m.safetensors", small())
    assert [array.dtype for array in checkpoint.weights] == [np.float32] * 3


def test_without_a_network_it_is_told_what_it_may_be_and_the_two_ways_to_go_on(tmp_path: Path, refused: Any) -> None:
    path = state(tmp_path / "m.safetensors", {"conv1": (6, 1, 5, 5), "bn1": 6, "fc": (10, 216)})
    sentence = refused(path)
    for words in (
        "PyTorch state dict",
        "'conv1' may be Conv2D(6, (5, 5)) of 1 channel",
        "'bn1' normalizes 6 channels",
        "'fc' may be Dense(10) of 216 features",
        "--network FILE",
        "torch.onnx.export(",
    ):
        assert words in sentence


@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.ckpt", "m.pkl"])
def test_pickles_are_refused_with_the_lines_that_export_the_model(tmp_path: Path, refused: Any, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 whatever it holds")
    sentence = refused(tmp_path / name)
    assert TORCH_EXPORT in sentence
    assert "pickle" in sentence


def problem(path: Path, network: Architecture | str | Path) -> str:
    with pytest.raises(DigitlabError) as caught:
        load_model_file(path, network)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert len(sentence) < 800
    return sentence


#: What does not fit ``small()``: modules, and words of the sentence.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "another network": ({"conv": (6, 1, 5, 5), "fc": (10, 216)}, "(6, 1, 5, 5), (10, 216), and the layers"),
    "a layer too many": ({"conv": (3, 1, 5, 5), "fc": (10, 108), "more": (10, 10)}, "(10, 10), and the layers"),
    "a layer too few": ({"conv": (3, 1, 5, 5)}, "trained as"),
    "two that may be either": ({"a": (3, 1, 5, 5), "b": (3, 1, 5, 5), "fc": (10, 108)}, "trained as"),
    "a normalization too many": ({"conv": (3, 1, 5, 5), "n": 3, "o": 3, "fc": (10, 108)}, "where exactly"),
    "a normalization of others": ({"conv": (3, 1, 5, 5), "n": 7, "fc": (10, 108)}, "where exactly"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_network_that_does_not_fit_is_a_sentence(tmp_path: Path, name: str) -> None:
    modules, words = BAD[name]
    assert words in problem(state(tmp_path / "m.safetensors", modules), small())


def test_names_that_do_not_say_which_comes_first_are_refused(tmp_path: Path) -> None:
    path = state(tmp_path / "m.safetensors", {"in": (8, 784), "here": (8, 8), "there": (8, 8), "out": (10, 8)})
    network = Architecture([Flatten(), Dense(8), Dense(8), Dense(8), Dense(10, "softmax")])
    assert "do not say which comes first" in problem(path, network)


@pytest.mark.parametrize(
    "tensors",
    [
        {"lstm.weight_ih_l0": (32, 28)},
        {"conv.weight_g": (3, 1)},
        {"norm.weight": (8,)},
        {"conv.weight": (3, 1, 5)},
        {"conv.weight": (3, 1, 5, 5), "conv.bias": (4,)},
        {"conv.bias": (3,)},
        {"bn.running_mean": (3,)},
        {"bn.running_mean": (3,), "bn.running_var": (4,)},
        {"bn.running_mean": (), "bn.running_var": ()},
        {"weight": (0, 5)},
    ],
)
def test_what_belongs_to_no_such_layer_is_named(tmp_path: Path, refused: Any, tensors: dict[str, Any]) -> None:
    save_file({name: np.zeros(shape, np.float32) for name, shape in tensors.items()}, tmp_path / "m.safetensors")
    assert "normalization" in refused(tmp_path / "m.safetensors")
    assert "normalization" in problem(tmp_path / "m.safetensors", small())


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    arrays = {"c.weight": np.full((3, 1, 5, 5), np.nan, np.float32), "f.weight": weights(10, 108)}
    save_file(arrays, tmp_path / "m.safetensors")
    assert "NaN" in problem(tmp_path / "m.safetensors", small())


def test_a_network_is_of_a_state_dict_alone(tmp_path: Path) -> None:
    network = dl.codelab_cnn().architecture
    save_checkpoint(tmp_path / "own.safetensors", Checkpoint(network, tuple(network.initial_weights(seed=0))))
    for path in (tmp_path / "own.safetensors", FILES / "codelab_torch_script.onnx"):
        with pytest.raises(ConfigError, match="says itself what its network is"):
            dl.load_model(path, network="codelab_cnn")
    with pytest.raises(ConfigError, match="is a run"):
        dl.load_model("latest", network="codelab_cnn")
    path = state(tmp_path / "m.safetensors", {"0": (3, 1, 5, 5), "3": (10, 108)})
    assert re.search("no network 'codelab'", problem(path, "codelab"))
    assert "no file" in problem(path, tmp_path / "none.json")


def test_pooling_over_all_pixels_needs_no_other_order(tmp_path: Path) -> None:
    layers = [Conv2D(3, 5, activation="relu"), GlobalAveragePooling2D(), Dense(10), Activation("softmax")]
    path = state(tmp_path / "m.safetensors", {"0": (3, 1, 5, 5), "4": (10, 3)})
    assert load_model_file(path, Architecture(layers)).architecture.n_parameters == 78 + 40
