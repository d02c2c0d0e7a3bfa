"""TensorFlow.js models, and weights in fewer bits."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digitlab.errors import ConfigError, RunError
from digitlab.exporting.writers import write_tfjs
from digitlab.network import Checkpoint
from digitlab.network.formats.files import load_model_file
from digitlab.network.formats.tfjs import (
    QUANTIZATIONS,
    dequantized,
    is_layers_model,
    quantized,
)

SHARD = "group1-shard1of1.bin"
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(written: dict[str, Path], tmp_path: Path) -> Path:
    """Return a copy of the small network that may be changed."""
    return Path(shutil.copytree(written["tfjs"], tmp_path / "model"))


def edited(folder: Path, edit: Edit) -> Path:
    document = json.loads((folder / "model.json").read_text())
    edit(document)
    (folder / "model.json").write_text(json.dumps(document))
    return folder


def weights_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["weightsManifest"][0]["weights"]


def layers_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["modelTopology"]["model_config"]["config"]["layers"]


def same(read: Checkpoint, expected: Checkpoint) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(read.weights, expected.weights, strict=True))


def test_several_shards_are_put_together(folder: Path, checkpoint: Checkpoint) -> None:
    content = (folder / SHARD).read_bytes()
    cuts = [0, 7, 200, 201, len(content)]  # in the middle of a number too
    names = [f"shard{i}.bin" for i in range(4)]
    for name, begin, end in zip(names, cuts, cuts[1:], strict=False):
        (folder / name).write_bytes(content[begin:end])
    edited(folder, lambda document: document["weightsManifest"][0].update(paths=names))
    assert same(load_model_file(folder), checkpoint)


def test_several_groups_are_read(folder: Path, checkpoint: Checkpoint) -> None:
    content = (folder / SHARD).read_bytes()

    def split(document: dict[str, Any]) -> None:
        weights = weights_of(document)
        first = 4 * int(np.prod(weights[0]["shape"]))
        (folder / "a.bin").write_bytes(content[:first])
        (folder / "b.bin").write_bytes(content[first:])
        document["weightsManifest"] = [
            {"paths": ["a.bin"], "weights": weights[:1]}, {"paths": ["b.bin"], "weights": weights[1:]},
        ]  # fmt: skip

    assert same(load_model_file(edited(folder, split)), checkpoint)


def test_more_groups_than_the_weights_need_are_refused_before_they_are_read(folder: Path, refused: Any) -> None:
    """A thousand groups may name one shard: each would be an array of its own."""

    def repeat(document: dict[str, Any]) -> None:
        [group] = document["weightsManifest"]
        renamed = [
            {**group, "weights": [{**weight, "name": f"{i}/{weight['name']}"} for weight in group["weights"]]}
            for i in range(1000)
        ]
        document["weightsManifest"] = [group, *renamed]

    assert "holds more weights than the" in refused(edited(folder, repeat))


def test_bytes_that_stand_for_more_weights_than_there_are_are_refused(folder: Path, refused: Any) -> None:
    def shrink(document: dict[str, Any]) -> None:
        weight = weights_of(document)[0]
        weight |= {"shape": [4 * 150], "quantization": {"dtype": "uint8", "min": 0, "scale": 1}}

    assert "holds more weights than the" in refused(edited(folder, shrink))


def test_large_models_are_cut_into_shards_of_4_mib(tmp_path: Path) -> None:
    from digitlab.network import Architecture, Dense, Flatten

    network = Architecture([Flatten(), Dense(3000, activation="relu"), Dense(2, activation="softmax")])
    large = Checkpoint(network, tuple(network.initial_weights(0)), ("a", "b"))
    write_tfjs(large, tmp_path / "large")
    sizes = [(tmp_path / "large" / f"group1-shard{i}of3.bin").stat().st_size for i in (1, 2, 3)]
    assert sizes[:2] == [4 * 2**20] * 2
    assert same(load_model_file(tmp_path / "large" / "model.json"), large)


def test_keras_3_style_is_read(folder: Path, checkpoint: Checkpoint) -> None:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}

    def modernize(document: dict[str, Any]) -> None:
        for layer in layers_of(document):
            shape = layer["config"].pop("batch_input_shape", None)
            layer["config"] |= {"dtype": policy} | ({"batch_shape": shape} if shape else {})
            layer |= {"module": "keras.layers", "registered_name": None, "build_config": {}}
        for weight in weights_of(document):
            weight["name"] = "sequential_7/" + weight["name"]

    assert same(load_model_file(edited(folder, modernize)), checkpoint)


def test_names_as_tensorflow_writes_them_are_read(folder: Path, checkpoint: Checkpoint) -> None:
    def rename(document: dict[str, Any]) -> None:
        del document["format"], document["userDefinedMetadata"]
        for weight in weights_of(document):
            weight["name"] += ":0"

    read = load_model_file(edited(folder, rename))
    assert same(read, checkpoint)
    assert read.class_names == ("0", "1", "2")


@pytest.mark.parametrize(("kind", "steps"), [("uint8", 255), ("uint16", 65535), ("float16", None)])
def test_quantized_weights_are_read_to_within_half_a_step(
    tmp_path: Path, checkpoint: Checkpoint, kind: str, steps: int | None
) -> None:
    write_tfjs(checkpoint, tmp_path / "q", kind)
    for ours, theirs in zip(checkpoint.weights, load_model_file(tmp_path / "q").weights, strict=True):
        span = max(0.0, float(ours.max())) - min(0.0, float(ours.min()))
        assert np.abs(ours - theirs).max() <= (0.501 * span / steps if steps else 2**-11 * np.abs(ours).max())


@pytest.mark.parametrize(
    "shard",
    [
        "/etc/passwd",
        "../group1-shard1of1.bin",
        "a/../../x",
        "..",
        ".hidden/../x",
        "C:\\x",
        "\\\\host\\x",
        "https://host/x",
        "file:///etc/passwd",
        "x\0y",
        "",
        7,
        None,
        ["x"],
        "a" * 5000,
    ],
)
def test_weights_outside_the_folder_are_not_read(folder: Path, refused: Any, shard: object) -> None:
    edited(folder, lambda document: document["weightsManifest"][0].update(paths=[shard]))
    assert "in files beside it" in refused(folder)


def test_links_that_leave_the_folder_are_not_followed(folder: Path, refused: Any, tmp_path: Path) -> None:
    shutil.move(folder / SHARD, tmp_path / "elsewhere.bin")
    (folder / SHARD).symlink_to(tmp_path / "elsewhere.bin")
    assert "outside the model's folder" in refused(folder)
    (folder / SHARD).unlink()
    (folder / "sub").symlink_to(tmp_path)
    edited(folder, lambda document: document["weightsManifest"][0].update(paths=["sub/elsewhere.bin"]))
    assert "outside the model's folder" in refused(folder)


def test_a_shard_that_is_a_pipe_or_a_folder_or_missing_is_refused(folder: Path, refused: Any) -> None:
    (folder / SHARD).unlink()
    assert "There is no file" in refused(folder)
    os.mkfifo(folder / SHARD)
    assert "not an ordinary file" in refused(folder)
    (folder / SHARD).unlink()
    (folder / SHARD).mkdir()
    assert "Is a directory" in refused(folder)


def test_shards_of_another_size_are_refused(folder: Path, refused: Any) -> None:
    content = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(content[:-1])
    assert "1 bytes are missing" in refused(folder)
    (folder / SHARD).write_bytes(content + b"x")
    assert "at most" in refused(folder)


def test_nan_in_the_weights_is_refused(folder: Path, refused: Any) -> None:
    content = bytearray((folder / SHARD).read_bytes())
    content[40:44] = np.float32(np.nan).tobytes()
    (folder / SHARD).write_bytes(content)
    assert "NaN" in refused(folder)


def change(index: int, **values: Any) -> Edit:
    return lambda document: weights_of(document)[index].update(values)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (change(0, shape=[10**9, 10**9]), "shape"),
        (change(0, shape=[10**4, 10**4]), "more weights"),
        (change(0, shape=[-1, 3]), "shape"),
        (change(0, shape=[1.5]), "shape"),
        (change(0, shape="3"), "shape"),
        (change(0, shape=[1] * 70), "shape"),
        (change(0, shape=[3, 3, 3, 2]), "should have the shape"),
        (change(0, dtype="string"), "float32"),
        (change(0, dtype="complex64"), "float32"),
        (change(0, name="conv2d/other"), "missing"),
        (change(0, name=["x"]), "damaged"),
        (change(0, quantization={"dtype": "int4"}), "quantized in another way"),
        (change(0, quantization="uint8"), "quantized in another way"),
        *(
            (change(0, quantization={"dtype": word}), "in another way")
            for word in (["uint8"], {"a": 1}, None, 8, "int8")
        ),
        (lambda document: weights_of(document).pop(), "bytes"),
        (lambda document: document.update(weightsManifest=None), "no weightsManifest"),
        (lambda document: document.update(weightsManifest=[[]]), "damaged"),
        (lambda document: document["weightsManifest"][0].update(weights=[{}] * 2000), "too many"),
        (lambda document: document.update(modelTopology=None), "no modelTopology"),
        (lambda document: document.update(modelTopology={"node": []}), "graph model"),
        (lambda document: document.update(format="graph-model"), "graph model"),
        (lambda document: layers_of(document).append({"class_name": "Lambda", "config": {}}), "runs no code"),
        (
            lambda document: layers_of(document).append({"class_name": "DepthwiseConv2D", "config": {}}),
            "DepthwiseConv2D: digitlab does not have it; use Conv2D. If you have the original, save it as .keras",
        ),
        (lambda document: layers_of(document)[0]["config"].update(batch_input_shape=[None, 10**6, 10**6, 2]), "shape"),
    ],
)
def test_damaged_descriptions_are_a_sentence(folder: Path, refused: Any, edit: Edit, expected: str) -> None:
    assert expected in refused(edited(folder, edit))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"[" * 900_000, b'{"a":' * 150_000, b"\xff\xfe", b"9" * 9999]
)
def test_what_is_no_description_is_a_sentence(folder: Path, refused: Any, content: bytes) -> None:
    (folder / "model.json").write_bytes(content)
    refused(folder / "model.json")
    assert not is_layers_model(folder / "model.json")


def test_a_weight_that_no_layer_has_is_refused(folder: Path, refused: Any) -> None:
    def add(document: dict[str, Any]) -> None:
        layers_of(document)[0]["config"]["use_bias"] = False

    assert "more weights" in refused(edited(folder, add))


def test_models_are_told_from_other_json(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text('{"layers": []}')
    assert is_layers_model(folder / "model.json")
    assert not is_layers_model(tmp_path / "network.json")
    assert not is_layers_model(tmp_path / "none.json")


WEIGHTS = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-1000, 1000, width=32, allow_subnormal=False))


@given(weights=WEIGHTS, kind=st.sampled_from(["uint8", "uint16"]))
def test_weights_come_back_to_within_half_a_step_and_zero_stays_zero(weights: np.ndarray, kind: str) -> None:
    weights[0] = 0.0
    content, description = quantized(weights, kind)
    back = dequantized(content, description)
    assert len(content) == len(weights) * np.dtype(QUANTIZATIONS[kind]).itemsize
    assert back.dtype == np.float32
    assert back[0] == 0.0
    assert np.abs(back - weights).max() <= description["scale"] * 0.501 + 1e-6 * np.abs(weights).max()


@given(weights=WEIGHTS)
def test_half_precision_keeps_eleven_bits(weights: np.ndarray) -> None:
    back = dequantized(*quantized(weights, "float16"))
    assert np.all(np.abs(back - weights) <= np.maximum(np.abs(weights) * 2.0**-11, 2.0**-25))


def test_equal_weights_are_kept() -> None:
    for kind in QUANTIZATIONS:
        for value in (0.0, 1.0, -2.0):
            np.testing.assert_allclose(dequantized(*quantized(np.full(3, value, np.float32), kind)), value, rtol=1e-6)


def test_what_cannot_be_stored_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="uint8, uint16, float16"):
        quantized(np.zeros(1, np.float32), "int4")
    with pytest.raises(ConfigError, match="does not fit into float16"):
        quantized(np.array([1e6], np.float32), "float16")
    for wrong in (
        {"min": None, "scale": 1},
        {"min": 0, "scale": float("inf")},
        {"min": 0},
        {"min": "0", "scale": True},
    ):
        with pytest.raises(RunError, match="min or scale"):
            dequantized(b"", {"dtype": "uint8"} | wrong)
