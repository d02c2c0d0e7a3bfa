from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from digitlab.errors import NetworkError, RunError, StorageError
from digitlab.network import Architecture, Checkpoint, Dense, Flatten, architecture, load_checkpoint, save_checkpoint
from digitlab.network import checkpoint as safetensors_file


def small() -> Checkpoint:
    network = Architecture([Flatten(), Dense(3, activation="softmax")], input_shape=(2, 2, 1), name="small")
    return Checkpoint(
        network,
        tuple(network.initial_weights(seed=0)),
        class_names=("a", "b", "c"),
        metadata={"epoch": "3", "run": "größer \udc80"},
        extra={"adam/first_moment": np.arange(15, dtype=np.float32), "step": np.array([110])},
    )


def written(folder: Path, checkpoint: Checkpoint | None = None) -> Path:
    path = folder / "model.safetensors"
    save_checkpoint(path, checkpoint or small())
    return path


def header(content: bytes) -> dict[str, Any]:
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def rewritten(path: Path, tensors: dict[str, Any] | None = None, **record: Any) -> None:
    """Write the checkpoint anew with other tensors (None removes one) and other entries in its record."""
    content = path.read_bytes()
    note = json.loads(header(content)["__metadata__"]["digitlab"]) | record
    merged = {name: array for name, array in (load(content) | (tensors or {})).items() if array is not None}
    path.write_bytes(save(merged, {"digitlab": json.dumps(note)}))


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = small()
    loaded = load_checkpoint(str(written(tmp_path, saved)))
    assert loaded.architecture == saved.architecture
    assert loaded.class_names == saved.class_names
    assert loaded.metadata == saved.metadata
    for ours, theirs in zip(loaded.weights, saved.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    assert loaded.extra.keys() == saved.extra.keys()
    for name, array in saved.extra.items():
        np.testing.assert_array_equal(loaded.extra[name], array, strict=True)


@pytest.mark.parametrize("name", ["codelab_cnn", "dense_baseline", "fast_cnn"])
def test_the_zoo_survives_a_checkpoint(tmp_path: Path, name: str) -> None:
    network = architecture(name)
    loaded = load_checkpoint(written(tmp_path, Checkpoint(network, tuple(network.initial_weights(seed=1)))))
    assert loaded.architecture == network
    assert [weights.tobytes() for weights in loaded.weights] == [w.tobytes() for w in network.initial_weights(seed=1)]
    assert (loaded.extra, loaded.metadata, loaded.class_names[9]) == ({}, {}, "Nine")


def test_other_programs_find_the_tensors_by_their_layers_names(tmp_path: Path) -> None:
    content = written(tmp_path).read_bytes()
    assert set(load(content)) == {"dense/kernel", "dense/bias", "state/adam/first_moment", "state/step"}
    assert set(header(content)["__metadata__"]) == {"digitlab"}


def test_equal_checkpoints_are_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first = written(tmp_path)
    second = written(tmp_path / "again", load_checkpoint(first))
    assert first.read_bytes() == second.read_bytes()


def test_weights_that_are_not_contiguous_are_saved_in_their_order(tmp_path: Path) -> None:
    network = small().architecture
    kernel = np.arange(12, dtype=np.float32).reshape(3, 4).T
    loaded = load_checkpoint(
        written(tmp_path, Checkpoint(network, (kernel, np.zeros(3, np.float32)), class_names=("a", "b", "c")))
    )
    np.testing.assert_array_equal(loaded.weights[0], kernel)


def test_a_checkpoint_keeps_copies_of_its_own() -> None:
    network = small().architecture
    weights = network.initial_weights(seed=0)
    checkpoint = Checkpoint(network, tuple(weights), class_names=("a", "b", "c"))
    weights[0][:] = 7
    assert not (checkpoint.weights[0] == 7).any()


KERNEL, BIAS = np.zeros((4, 3), np.float32), np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("changes", "phrases"),
    [
        ({"weights": (KERNEL,)}, ["2 weight arrays", "not 1", "dense/kernel, dense/bias"]),
        ({"weights": (KERNEL.T, BIAS)}, ["dense/kernel", "(4, 3)", "(3, 4)"]),
        ({"weights": (KERNEL, BIAS.astype(float))}, ["dense/bias", "float32", "float64"]),
        ({"weights": (KERNEL, BIAS + np.nan)}, ["dense/bias", "NaN", "earlier epoch"]),
        ({"weights": (KERNEL, BIAS + np.inf)}, ["dense/bias", "infinite"]),
        ({"class_names": ("a", "b")}, ["3 classes"]),
        ({"class_names": ("a", "b", 3)}, ["3 classes", "each a text"]),
        ({"metadata": {"epoch": 3}}, ["metadata", "str()"]),
        ({"extra": {"../x": BIAS}}, ["extra tensor's name", "'../x'"]),
        ({"extra": {5: BIAS}}, ["extra tensor's name", "5"]),
        ({"extra": {"m": KERNEL}}, ["state/m", "(12,)", "(4, 3)"]),
        ({"extra": {"m": BIAS.astype(np.int32)}}, ["state/m", "float32", "int32"]),
        ({"extra": {"m": BIAS + np.nan}}, ["state/m", "NaN"]),
    ],
)
def test_what_could_not_be_loaded_cannot_be_made(changes: dict[str, Any], phrases: list[str]) -> None:
    fields = {"weights": (KERNEL, BIAS), "class_names": ("a", "b", "c")} | changes
    with pytest.raises(RunError) as caught:
        Checkpoint(small().architecture, **fields)
    assert [phrase for phrase in phrases if phrase not in str(caught.value)] == []


def test_a_layer_called_state_keeps_its_tensors(tmp_path: Path) -> None:
    network = Architecture([Flatten(), Dense(2, activation="softmax", name="state")], input_shape=(1, 1, 1))
    weights = tuple(network.initial_weights(seed=0))
    with pytest.raises(RunError, match="'kernel'"):
        Checkpoint(network, weights, class_names=("a", "b"), extra={"kernel": BIAS})
    loaded = load_checkpoint(written(tmp_path, Checkpoint(network, weights, class_names=("a", "b"), extra={"m": BIAS})))
    assert set(loaded.extra) == {"m"}


def test_a_network_without_a_softmax_has_no_checkpoint() -> None:
    network = Architecture([Flatten()])
    with pytest.raises(NetworkError, match="softmax"):
        Checkpoint(network, ())


def cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"kernel": [1.0, 2.0]}))


def foreign(path: Path) -> None:
    path.write_bytes(save({"x": KERNEL}, {"format": "np"}))


def of_dtype(dtype: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        head = json.dumps({"x": {"dtype": dtype, "shape": [2], "data_offsets": [0, 4]}}).encode()
        path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))

    return write


def of_shape(shape: list[int]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        size = 0 if 0 in shape else 4
        head = json.dumps({"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
        path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(size))

    return write


def nested(path: Path) -> None:
    path.write_bytes(save({"x": KERNEL}, {"digitlab": "[" * 100_000}))


@pytest.mark.parametrize(
    ("damage", "phrase"),
    [
        (lambda path: path.unlink(), "There is no checkpoint"),
        (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "not an ordinary file"),
        (lambda path: path.write_bytes(b""), "cut short"),
        (lambda path: cut(path, 5), "cut short"),
        (lambda path: cut(path, 8), "cut short"),
        (lambda path: cut(path, 100), "cut short"),
        (lambda path: cut(path, path.stat().st_size - 1), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "damaged"),
        (lambda path: path.write_bytes(b"\xff" * 200), "not a safetensors file"),
        (lambda path: path.write_text("These are no weights. " * 20), "not a safetensors file"),
        (lambda path: path.write_bytes((20).to_bytes(8, "little") + b"{" * 20), "damaged"),
        (pickled, "pickle"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(range(200))), "zip"),
        (foreign, "digitlab did not write it"),
        *((of_shape(shape), "a shape that no array has") for shape in ([1] * 1000, [0] + [1] * 1000, [0, 2**63])),
        (of_dtype("BF16"), "BF16"),
        (nested, "header"),
        (lambda path: rewritten(path, format=2), "its format is 2"),
        (lambda path: rewritten(path, network=None), "'network' is missing"),
        (lambda path: rewritten(path, class_names="abc"), "'class_names' is missing"),
        (lambda path: rewritten(path, class_names=["a", "b", 3]), "each a text"),
        (lambda path: rewritten(path, metadata=[]), "'metadata' is missing"),
        (lambda path: rewritten(path, metadata={"epoch": 3}), "texts to texts"),
        (lambda path: rewritten(path, network={"layers": [{"class_name": "LSTM"}]}), "'LSTM'"),
        (lambda path: rewritten(path, network={"layers": [{"class_name": "Flatten"}]}), "'dense/"),
        (lambda path: rewritten(path, {"dense/bias": None}), "'dense/bias' of its network is missing"),
        (lambda path: rewritten(path, {"dense_1/bias": BIAS}), "'dense_1/bias' that its network does not have"),
        (lambda path: rewritten(path, {"dense/bias": np.zeros(4, np.float32)}), "(3,)"),
        (lambda path: rewritten(path, {"dense/bias": np.zeros(3, np.int64)}), "int64"),
        (lambda path: rewritten(path, {"dense/bias": np.zeros(3, np.float64)}), "F64"),
        (lambda path: rewritten(path, {"dense/bias": BIAS + np.nan}), "NaN"),
        (lambda path: rewritten(path, {"state/step": np.zeros((1, 1), np.int64)}), "state/step"),
        (lambda path: rewritten(path, {"state/step": np.zeros((0, 2), np.int64)}), "state/step"),
        (lambda path: rewritten(path, {"state/\n": BIAS}), "'\\n'"),
    ],
)
def test_a_damaged_checkpoint_is_named_with_the_next_step(
    tmp_path: Path, damage: Callable[[Path], object], phrase: str
) -> None:
    path = written(tmp_path)
    damage(path)
    with pytest.raises(RunError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert phrase in message
    assert str(path) in message
    assert "`digitlab train`" in message or "give the model.safetensors in it" in message


def test_a_name_that_no_file_can_have_is_a_sentence() -> None:
    with pytest.raises(RunError, match="cannot be read"):
        load_checkpoint("model\0.safetensors")
    with pytest.raises(StorageError, match="could not be written"):
        save_checkpoint("model\0.safetensors", small())


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(RunError):
        load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_a_header_that_claims_more_than_there_is_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(RunError, match="not a safetensors file"):
        load_checkpoint(path)


def test_a_file_beyond_the_limit_is_neither_read_nor_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(safetensors_file, "_LARGEST_FILE_BYTES", 100)
    with pytest.raises(RunError, match="at most 100 are read"):
        load_checkpoint(path)
    with pytest.raises(RunError, match="more than digitlab reads back"):
        save_checkpoint(path, small())
    assert path.read_bytes() == before


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_damage_gives_a_sentence_or_a_checkpoint(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(written(tmp_path).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # The tensors are most of the bytes and the header most of the dangers.
        position = data.draw(st.integers(0, 7) | st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        loaded = load_checkpoint(path)
    except RunError as error:
        message = str(error)
    else:
        message = str(path)
        assert all(np.isfinite(weights).all() for weights in loaded.weights)
    assert str(path) in message


@given(st.binary(max_size=300), st.integers(0, 400))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_give_a_sentence(tmp_path: Path, tail: bytes, header_bytes: int) -> None:
    path = tmp_path / "noise.safetensors"
    path.write_bytes(header_bytes.to_bytes(8, "little") + tail)
    with pytest.raises(RunError):
        load_checkpoint(path)


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = written(tmp_path)
    before = path.read_bytes()
    network = architecture("codelab_cnn")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError) as caught:
        save_checkpoint(path, Checkpoint(network, tuple(network.initial_weights(seed=0))))
    monkeypatch.undo()
    message = str(caught.value)
    assert str(path) in message
    assert "nothing that existed was lost" in message
    assert os.strerror(errno.ENOSPC) in message
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="choose another folder"):
        save_checkpoint(tmp_path / "none" / "model.safetensors", small())


def test_checkpoints_need_neither_the_engine_nor_a_framework() -> None:
    program = "import sys, digitlab.network; print(*(m for m in ('numba', 'jax', 'keras', 'PIL') if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
