"""Keras on JAX, onnxruntime and TensorFlow.js under Node, on all 10,000 test images.

What digitlab writes answers there as here, and what they write answers here as there.

Tolerance: 1e-4 of a probability, as promised; float32 sums in another order differ by some 1e-6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.errors import ConfigError
from digitlab.network import Architecture

# Keras 3.15 gives its variables to NumPy in a way that NumPy 2 warns of.
pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

Images = NDArray[np.uint8]

#: Every layer of the list with every setting that changes what it computes.
EVERYTHING = Architecture(
    [
        dl.Conv2D(5, 4, padding="same", bias_initializer="he_normal"),
        dl.MaxPooling2D(3, strides=2, padding="same"),
        dl.Dropout(0.3),
        dl.Conv2D(6, (2, 5), activation="relu", use_bias=False, kernel_initializer="variance_scaling"),
        dl.MaxPooling2D((2, 1), strides=(1, 2)),
        dl.Conv2D(3, 3, padding="same", activation="relu", kernel_initializer="he_normal"),
        dl.Flatten(),
        dl.Dense(20, activation="relu", bias_initializer="he_normal"),
        dl.Dense(12, use_bias=False),
        dl.Dense(10, activation="softmax"),
    ],
    name="everything",
)


#: The layers that came later.
LATER = Architecture(
    [
        dl.ZeroPadding2D(((1, 0), (2, 3)), name="a"),
        dl.Conv2D(6, 5, strides=2, padding="same", activation="leaky_relu", bias_initializer="he_normal"),
        dl.AveragePooling2D((3, 2), strides=(2, 1), padding="same"),
        dl.Conv2D(5, (2, 3), strides=(1, 2), activation="elu", bias_initializer="he_normal"),
        dl.LeakyReLU(0.1),
        dl.Conv2D(7, 1, activation="sigmoid"),
        dl.Activation("tanh"),
        dl.ZeroPadding2D(1),
        dl.ELU(0.6),
        dl.AveragePooling2D(2),
        dl.Flatten(),
        dl.Activation("leaky_relu"),
        dl.Dense(20, activation="tanh", bias_initializer="he_normal"),
        dl.Dense(12, activation="leaky_relu"),
        dl.Dense(10),
        dl.Activation("softmax"),
    ],
    name="later",
)
#: Networks without a dense layer.
MEAN, MOST, FLAT = (
    Architecture([dl.Conv2D(8, 5, activation="relu", strides=3), *layers, dl.Activation("softmax")], name=name)
    for name, layers in {
        "mean": [dl.Conv2D(10, 3), dl.GlobalAveragePooling2D()],
        "most": [dl.Conv2D(10, 3), dl.GlobalMaxPooling2D()],
        "flat": [dl.Conv2D(5, (7, 8)), dl.Flatten()],
    }.items()
)
NETWORKS = {network.name: network for network in (EVERYTHING, LATER, MEAN, MOST, FLAT)}


@pytest.fixture(scope="module", params=list(NETWORKS))
def network(request: pytest.FixtureRequest) -> dl.Sequential:
    return dl.Sequential.from_architecture(NETWORKS[request.param], seed=2)


def floats(images: Images) -> NDArray[np.float32]:
    return images.reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)


def assert_same(ours: NDArray[np.float32], theirs: Any) -> None:
    theirs = np.asarray(theirs)
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))
    np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-4)


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


def keras_answers(model: Any, images: Images) -> NDArray[np.float32]:
    answers: NDArray[np.float32] = model.predict(floats(images), batch_size=500, verbose=0)
    return answers


def test_keras_answers_as_here(keras: Any, trained: dl.Sequential, images: Images, tmp_path: Path) -> None:
    report = dl.export(trained, tmp_path / "m.keras", format="keras")
    assert report.not_verified is None
    assert report.agreements[1].by == f"Keras {keras.__version__} on jax"
    theirs = keras.saving.load_model(tmp_path / "m.keras")
    assert_same(trained.predict(images), keras_answers(theirs, images))


@pytest.mark.parametrize("network", ["everything", "later", "mean"], indirect=True)
@pytest.mark.usefixtures("nothing_installed")  # the test asks Keras itself
def test_keras_knows_every_layer(keras: Any, network: dl.Sequential, images: Images, tmp_path: Path) -> None:
    dl.export(network, tmp_path / "m.keras", format="keras")
    theirs = keras.saving.load_model(tmp_path / "m.keras")
    assert_same(network.predict(images[:1000]), keras_answers(theirs, images[:1000]))
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in network.architecture.layers]
    assert_same(network.predict(images[:1000]), keras_answers(network.to_keras(), images[:1000]))


def test_onnxruntime_answers_as_here(trained: dl.Sequential, images: Images, tmp_path: Path) -> None:
    assert_onnxruntime_answers_as_here(trained, images, tmp_path)


def test_onnxruntime_knows_every_layer(network: dl.Sequential, images: Images, tmp_path: Path) -> None:
    assert_onnxruntime_answers_as_here(network, images, tmp_path)


def assert_onnxruntime_answers_as_here(model: dl.Sequential, images: Images, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    report = dl.export(model, tmp_path / "m.onnx", format="onnx")
    assert report.not_verified is None
    assert report.agreements[1].by == f"onnxruntime {onnxruntime.__version__}"
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (theirs,) = session.run(["probabilities"], {"images": images.reshape(-1, 28, 28, 1)})
    assert_same(model.predict(images), theirs)


@pytest.mark.parametrize("kept", ["codelab_torch_script", "codelab_torch_dynamo", "codelab_keras", "digitlab"])
def test_a_file_that_onnxruntime_writes_comes_back_in(
    trained: dl.Sequential, images: Images, tmp_path: Path, kept: str
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    given = Path(__file__).parents[1] / "network" / "formats" / "files" / f"{kept}.onnx"
    if kept == "digitlab":
        given = Path(dl.export(trained, tmp_path / "given.onnx", format="onnx").path)
    options = onnxruntime.SessionOptions()
    # Operations of ONNX only: the levels above make ones of onnxruntime's own.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "written.onnx")
    session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    assert (tmp_path / "written.onnx").read_bytes() != given.read_bytes()
    model = dl.load_model(tmp_path / "written.onnx")
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    rows = images[:, None] if shape[1] == 1 else images[..., None]
    if session.get_inputs()[0].type == "tensor(float)":
        rows = rows.astype(np.float32) / np.float32(255)
    # Exporters of others may have fixed the number of images.
    n = shape[0] if isinstance(shape[0], int) else len(rows)
    theirs = np.concatenate([session.run(None, {name: rows[k : k + n]})[0] for k in range(0, len(rows) - n + 1, n)])
    assert_same(model.predict(images[: len(theirs)]), theirs)


def asked(tfjs: Callable[..., str], folder: Path, images: Images) -> NDArray[np.float32]:
    (folder.parent / "images.f32").write_bytes(floats(images).tobytes())
    tfjs("answer.cjs", folder, folder.parent / "images.f32", folder.parent / "answers.f32")
    return np.fromfile(folder.parent / "answers.f32", np.float32).reshape(len(images), 10)


@pytest.mark.usefixtures("tfjs_found")
def test_tensorflowjs_answers_as_here(
    tfjs: Callable[..., str], trained: dl.Sequential, images: Images, tmp_path: Path
) -> None:
    report = dl.export(trained, tmp_path / "m", format="tfjs")
    assert report.not_verified is None
    assert report.agreements[1].by.startswith("@tensorflow/tfjs 4.")
    assert_same(trained.predict(images), asked(tfjs, tmp_path / "m", images))


@pytest.mark.parametrize("network", ["everything", "later", "most"], indirect=True)
def test_tensorflowjs_knows_every_layer(
    tfjs: Callable[..., str], network: dl.Sequential, images: Images, tmp_path: Path
) -> None:
    if network.name == "later":
        with pytest.raises(ConfigError, match=r"TensorFlow.js has ELU with an alpha of 1 only, and elu has 0.6"):
            dl.export(network, tmp_path / "m", format="tfjs")
        layers = [dl.ELU() if isinstance(layer, dl.ELU) else layer for layer in LATER.layers]
        network = dl.Sequential.from_architecture(Architecture(layers), network.get_weights())
    dl.export(network, tmp_path / "m", format="tfjs")
    assert_same(network.predict(images[:500]), asked(tfjs, tmp_path / "m", images[:500]))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16"])
def test_tensorflowjs_reads_quantized_weights_as_digitlab_does(
    tfjs: Callable[..., str], images: Images, tmp_path: Path, kind: str
) -> None:
    dl.export(dl.dense_baseline(seed=3), tmp_path / "m", format="tfjs", quantize=kind)
    assert_same(dl.load_model(tmp_path / "m").predict(images[:1000]), asked(tfjs, tmp_path / "m", images[:1000]))


def test_a_network_trained_in_tensorflowjs_comes_in(tfjs: Callable[..., str], images: Images, tmp_path: Path) -> None:
    training = dl.MnistData.load().training
    (tmp_path / "images.f32").write_bytes(floats(training.images[:128]).tobytes())
    (tmp_path / "labels.u8").write_bytes(training.labels[:128].tobytes())
    answers = tmp_path / "answers.f32"
    tfjs("train.cjs", tmp_path / "m", tmp_path / "images.f32", tmp_path / "labels.u8", answers)
    model = dl.load_model(tmp_path / "m" / "model.json")
    assert [type(layer).__name__ for layer in model.architecture.layers].count("Conv2D") == 2
    assert_same(model.predict(training.images[:128]), np.fromfile(answers, np.float32).reshape(128, 10))


def keras_models(keras: Any) -> dict[str, Any]:
    """Return models as people define them: every layer, activations of their own, a functional model."""
    layers = keras.layers
    known = [
        getattr(layers, type(layer).__name__)(
            **{key: value for key, value in dataclasses.asdict(layer).items() if "initializer" not in key}
        )
        for layer in EVERYTHING.layers
    ]
    loose = [
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, bias_initializer="ones"),
        layers.MaxPooling2D(2),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(12, bias_initializer="he_normal"),
        layers.Activation("relu"),
        layers.Dropout(0.5),
        layers.Dense(10),
        layers.Softmax(),
    ]
    images = keras.Input((28, 28, 1))
    x = layers.MaxPooling2D(2)(layers.Conv2D(3, 3, activation="relu")(images))
    return {
        "everything": keras.Sequential([keras.Input((28, 28, 1)), *known]),
        "loose": keras.Sequential([keras.Input((28, 28, 1)), *loose]),
        "functional": keras.Model(images, layers.Dense(10, activation="softmax")(layers.Flatten()(x))),
    }


@pytest.mark.parametrize("name", ["everything", "loose", "functional"])
def test_keras_files_come_in(keras: Any, images: Images, tmp_path: Path, name: str) -> None:
    theirs = keras_models(keras)[name]
    theirs.save(tmp_path / "m.keras")
    ours = dl.load_model(tmp_path / "m.keras")
    # The loose one divides pixels by 255 itself.
    expected = theirs.predict(floats(images[:1000]) * (255 if name == "loose" else 1), batch_size=500, verbose=0)
    assert_same(ours.predict(images[:1000]), expected)
    assert_same(dl.Sequential.from_keras(theirs).predict(images[:1000]), expected)


def test_a_trained_keras_file_with_its_optimizer_comes_in(keras: Any, images: Images, tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    theirs.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    theirs.fit(floats(images[:64]), dl.MnistData.load().test.labels[:64], epochs=2, verbose=0)
    theirs.save(tmp_path / "m.keras")
    assert_same(dl.load_model(tmp_path / "m.keras").predict(images[:1000]), keras_answers(theirs, images[:1000]))
