from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitlab.errors import DigitlabError
from digitlab.network import Checkpoint, save_checkpoint
from digitlab.network.formats.files import is_model_file, kept_metadata, load_model_file
from digitlab.network.layers import Dropout

FILES = {"keras": "small.keras", "onnx": "small.onnx", "tfjs": "model.json"}


@pytest.mark.parametrize("format", ["keras", "onnx", "tfjs"])
def test_what_is_written_is_what_is_read(written: dict[str, Path], checkpoint: Checkpoint, format: str) -> None:
    read = load_model_file(written[format])
    assert read.class_names == ("a", "b", "c")
    assert read.architecture.name == "small"
    assert read.architecture.input_shape == (9, 8, 2)
    kinds = [type(layer) for layer in checkpoint.architecture.layers if format == "keras" or type(layer) is not Dropout]
    assert [type(layer) for layer in read.architecture.layers] == kinds
    for ours, theirs in zip(checkpoint.weights, read.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_keras_files_and_tensorflowjs_models_keep_layers_as_they_are(
    written: dict[str, Path], checkpoint: Checkpoint
) -> None:
    assert load_model_file(written["keras"]).architecture == checkpoint.architecture
    names = [layer.name for layer in load_model_file(written["tfjs"] / "model.json").architecture.layers]
    assert names == [layer.name for layer in checkpoint.architecture.layers if layer.name != "dropout"]


def test_a_checkpoint_is_a_model_file_too(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "own.safetensors", checkpoint)
    assert load_model_file(tmp_path / "own.safetensors").architecture == checkpoint.architecture


def test_model_files_are_told_from_runs(written: dict[str, Path], tmp_path: Path) -> None:
    assert all(is_model_file(path) for path in written.values())
    assert is_model_file("there-is-none.keras")
    run = tmp_path / "run.onnx"
    run.mkdir()
    (run / "config.json").write_text("{}")
    assert not is_model_file(run)
    assert not any(
        is_model_file(name) for name in ("latest", "digit.png", "2026-11-22_codelab-cnn_s0", "", tmp_path, "\0")
    )


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("echo opened",)


@pytest.mark.parametrize(
    "suffix", ["pkl", "pickle", "pt", "pth", "joblib", "ckpt", "h5", "hdf5", "tflite", "pb", "xyz"]
)
def test_other_files_are_refused_with_the_way_to_go(tmp_path: Path, refused: Any, suffix: str, capfd: Any) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(pickle.dumps(_Evil()))
    sentence = refused(path)
    assert "keras" in sentence or "ONNX" in sentence
    for name in ("renamed.keras", "renamed.onnx", "renamed.json", "renamed.safetensors"):
        path.rename(tmp_path / name)
        path = tmp_path / name
        refused(path)
    assert capfd.readouterr().out == ""


def test_a_folder_of_tensorflow_is_told_the_way_to_go(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "saved_model.pb").touch()
    assert is_model_file(tmp_path)
    assert "save('model.keras')" in refused(tmp_path)


@pytest.mark.parametrize(
    "name", ["none.keras", "none.onnx", "none.json", "none.h5", "no/ne.keras", "a" * 300 + ".onnx"]
)
def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path, refused: Any, name: str) -> None:
    assert name[:20] in refused(tmp_path / name)


@pytest.mark.parametrize("name", ["pipe.keras", "pipe.onnx", "pipe.json"])
def test_a_named_pipe_is_not_waited_for(tmp_path: Path, refused: Any, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "not an ordinary file" in refused(tmp_path / name)


@pytest.mark.parametrize("name", ["endless.keras", "endless.onnx", "endless.json"])
def test_a_file_of_a_terabyte_is_not_read(tmp_path: Path, refused: Any, name: str) -> None:
    with open(tmp_path / name, "wb") as file:
        file.truncate(2**40)
    assert "at most" in refused(tmp_path / name)


@pytest.mark.parametrize("format", FILES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_a_sentence_or_still_a_network(
    written: dict[str, Path], tmp_path: Path, format: str, data: st.DataObject
) -> None:
    source = written[format]
    content = bytearray((source / "model.json" if format == "tfjs" else source).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
        if kind == "change":
            content[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place : place + data.draw(st.integers(1, 100))]
            content = content or bytearray(b"x")
        else:
            content[place:place] = data.draw(st.binary(min_size=1, max_size=9))
    folder = tmp_path / format
    folder.mkdir(exist_ok=True)
    if format == "tfjs":
        (folder / "group1-shard1of1.bin").write_bytes((source / "group1-shard1of1.bin").read_bytes())
    path = folder / FILES[format]
    path.write_bytes(content)
    try:
        read = load_model_file(path)
    except DigitlabError:
        return
    assert all(np.isfinite(array).all() for array in read.weights)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20), lambda inner: st.lists(inner) | inner
    )
    | st.dictionaries(st.text(max_size=2000), st.text(max_size=2000) | st.integers() | st.lists(st.text()), max_size=50)
)
def test_of_what_a_file_says_besides_only_short_texts_are_kept(given_: Any) -> None:
    kept = kept_metadata(given_)
    assert len(kept) <= 32
    for name, text in kept.items():
        assert given_[name] == text
        assert name.isprintable()
        assert text.isprintable()
        assert max(len(name), len(text)) <= 1000
