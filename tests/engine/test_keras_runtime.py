"""Keras' models of layers that digitlab does not have: answered as Keras does, from files that digitlab wrote anew."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.engine import runtime_process
from digitlab.engine.runtime import RuntimeModel
from digitlab.errors import RunError
from digitlab.network.formats.files import LackingError, load_model_file

keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
layers = keras.layers

# Keras on JAX copies arrays in a way that NumPy warns of, and warns itself of its HDF5 files.
pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

PIXELS = dl.MnistData.load().test.images[:12].reshape(-1, 28, 28).astype(np.float32) / np.float32(255)


def skipping() -> Any:
    """Return a functional model with a skip connection, separable convolutions and normalization."""
    given = keras.Input((28, 28, 1))
    x = layers.RandomRotation(0.1)(given)
    x = layers.Conv2D(4, 3, padding="same", activation="gelu", kernel_regularizer="l2")(x)
    y = layers.SeparableConv2D(4, 3, padding="same", activation="swish")(layers.BatchNormalization()(x))
    x = layers.Dropout(0.2)(layers.Add()([x, y]))
    return keras.Model(given, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))


def recurrent() -> Any:
    """Return a model that goes over the rows of (28, 28) both ways, and gives logits."""
    return keras.Sequential([keras.Input((28, 28)), layers.Bidirectional(layers.GRU(5)), layers.Dense(10)])


def colored() -> Any:
    """Return a model for 64 x 64 pixels of three colors, with operations of Keras instead of layers."""
    given = keras.Input((64, 64, 3))
    x = layers.DepthwiseConv2D(3, strides=4)(given)
    x = layers.GlobalAveragePooling2D()(keras.ops.gelu(x) + x)
    return keras.Model(given, layers.Dense(10, activation="sigmoid")(x))


def normalized() -> Any:
    """Return a model with a nested one, and statistics of which one is a whole number."""
    inner = keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(3, 5, activation="mish"), layers.Flatten()])
    scaled = layers.Normalization()
    scaled.adapt(PIXELS[..., None])
    return keras.Sequential([keras.Input((28, 28, 1)), scaled, inner, layers.Dense(10, activation="softmax")])


MODELS: dict[str, Callable[[], Any]] = {
    "skipping": skipping,
    "recurrent": recurrent,
    "colored": colored,
    "normalized": normalized,
}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    keras.utils.set_random_seed(0)
    models = {name: make() for name, make in MODELS.items()}
    for model in models.values():
        model.compile("adam", "categorical_crossentropy")
    return models


def expected(model: Any) -> np.ndarray:
    """Return what Keras says of the same images."""
    shape = model.inputs[0].shape[1:]
    taken = PIXELS
    if shape[0] == 64:
        places = np.clip((np.arange(64) + 0.5) * 28 / 64 - 0.5, 0, 27)
        rows = np.stack([[np.interp(places, np.arange(28), row) for row in image] for image in PIXELS])
        taken = np.stack([[np.interp(places, np.arange(28), column) for column in image.T] for image in rows], 0)
        taken = np.repeat(taken.transpose(0, 2, 1)[..., None], 3, 3).astype(np.float32)
    rows = np.asarray(model.predict(taken.reshape(-1, *shape), verbose=0), np.float64)
    if rows.min() < 0:
        rows = np.exp(rows - rows.max(1, keepdims=True))
    return np.asarray(rows / rows.sum(1, keepdims=True))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("skipping", "keras"), ("skipping", "h5"), ("recurrent", "h5"), ("colored", "keras"), ("normalized", "keras")],
)
def test_it_answers_as_keras_does(made: dict[str, Any], tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    made[name].save(path)
    with pytest.raises(LackingError):
        load_model_file(path)
    question = runtime_process.opened(str(path), 1).question
    answers = np.concatenate(list(runtime_process.answered(str(path), 1, question, (1.0, 0.0), PIXELS)))
    np.testing.assert_allclose(answers, expected(made[name]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("is_list", [False, True], ids=["keras 2.13", "keras 1"])
def test_sequential_networks_in_the_words_of_older_keras_answer_too(tmp_path: Path, is_list: bool) -> None:
    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.SeparableConv2D(3, 5, strides=3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    path = tmp_path / "mnist.h5"
    network.save(path)
    with h5py.File(path, "r+") as file:
        described = json.loads(file.attrs["model_config"])
        [given, first, normalization, *others] = described["config"]["layers"]
        first["config"] |= {"batch_input_shape": [None, 28, 28, 1], "groups": 1, "kernel_initializer": "zeros"}
        normalization["config"]["axis"] = [3]
        old = [first, normalization, *others]
        for one in () if is_list else old:
            one |= {"module": "keras.layers", "registered_name": None}
        described["config"] = old if is_list else {"name": "old", "layers": old}
        file.attrs["model_config"] = json.dumps(described)
        names = file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs["layer_names"] = [name for name in names if name != given["config"]["name"]]
    question = runtime_process.opened(str(path), 1).question
    answers = np.concatenate(list(runtime_process.answered(str(path), 1, question, (1.0, 0.0), PIXELS)))
    np.testing.assert_allclose(answers, expected(network), rtol=0, atol=1e-5)


def rewritten(path: Path, change: Callable[[dict[str, Any]], None], extra: dict[str, bytes] | None = None) -> Path:
    """Change the description in a .keras file, and put other files beside it."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(files["config.json"])
    change(description)
    files["config.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | (extra or {})).items():
            archive.writestr(name, content)
    return path


def test_what_is_not_keras_own_is_never_given_to_keras(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made["skipping"].save(tmp_path / "model.keras")

    def change(description: dict[str, Any]) -> None:
        description["config"]["layers"][2]["config"]["activation"] = {
            "module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file",
        }  # fmt: skip

    path = rewritten(tmp_path / "model.keras", change)
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("Keras was given it."))
    with pytest.raises(RunError, match="names 'get_file', which is not one of the layers"):
        runtime_process.opened(str(path), 1)


def test_assets_in_an_archive_are_left_out(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made["skipping"].save(tmp_path / "model.keras")
    path = rewritten(tmp_path / "model.keras", lambda _: None, {"assets/../../evil.txt": b"evil", "assets/a": b"a"})
    loaded, seen = keras.saving.load_model, []

    def load(copied: Path, **settings: Any) -> Any:
        with zipfile.ZipFile(copied) as archive:
            seen.append(archive.namelist())
        return loaded(copied, **settings)

    monkeypatch.setattr(keras.saving, "load_model", load)
    runtime_process._KEPT.clear()
    runtime_process.opened(str(path), 1)
    assert seen == [["metadata.json", "config.json", "model.weights.h5"]]


@pytest.mark.slow
def test_a_process_of_its_own_answers_through_load_model(made: dict[str, Any], tmp_path: Path) -> None:
    made["skipping"].save(tmp_path / "model.keras")
    model = dl.load_model(tmp_path / "model.keras")
    assert isinstance(model, RuntimeModel)
    assert model.runtime.startswith("Keras")
    assert model.count_params() == made["skipping"].count_params()
    np.testing.assert_allclose(model.predict(PIXELS), expected(made["skipping"]), rtol=0, atol=1e-5)
