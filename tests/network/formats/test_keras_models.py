"""What Keras itself writes, answered by what digitlab reads of it; Keras' answers are the oracle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.network.formats.files import load_model_file
from digitlab.network.formats.keras import CONFIG, WEIGHTS

pytestmark = [
    pytest.mark.interop,
    # Keras 3.15 gives its variables to NumPy in a way that NumPy 2 warns of, and warns of HDF5, though it writes it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

N_IMAGES = 2_000


def _lenet(keras: Any, k: Any) -> Any:
    return [
        keras.Input((28, 28)),
        k.Reshape((28, 28, 1)),
        k.Conv2D(3, 5, padding="same", activation="tanh"),
        k.AveragePooling2D(2),
        k.Conv2D(4, 5, strides=2, activation=keras.layers.LeakyReLU(negative_slope=0.1)),
        k.Flatten(),
        k.Dense(7, activation="sigmoid"),
        k.Dense(10),
    ]


def _normalized(keras: Any, k: Any) -> Any:
    return [
        keras.Input((None, None, 1)),
        k.Conv2D(3, 3, use_bias=False),
        k.BatchNormalization(),
        k.Activation("relu"),
        k.SpatialDropout2D(0.2),
        k.Conv2D(4, 3, padding="same", activation="relu"),
        k.BatchNormalization(scale=False),
        k.MaxPooling2D(2),
        k.Conv2D(5, 3),
        k.ReLU(negative_slope=0.25),
        k.BatchNormalization(center=False, epsilon=0.1),
        k.ZeroPadding2D(((1, 0), (2, 1))),
        k.Conv2D(4, 3, activation="elu"),
        k.BatchNormalization(),
        k.GlobalAveragePooling2D(),
        k.Dense(6, activation="relu"),
        k.BatchNormalization(),
        k.Dropout(0.3),
        k.Dense(10),
        k.Softmax(),
    ]


def _augmented(keras: Any, k: Any) -> Any:
    return [
        keras.Input((28, 28, 1)),
        keras.Sequential([k.RandomRotation(0.1), k.RandomZoom(0.1)], name="augmentation"),
        k.Rescaling(1 / 127.5, offset=-1),
        k.GaussianNoise(0.1),
        k.Conv2D(3, 3, padding="same", activation="relu"),
        k.GaussianDropout(0.1),
        k.GlobalMaxPooling2D(keepdims=True),
        k.Flatten(),
        k.ActivityRegularization(0.1),
        k.Dense(10, activation="softmax"),
    ]


def _nested(keras: Any, k: Any) -> Any:
    def block(filters: int) -> Any:
        return keras.Sequential(
            [
                k.Conv2D(filters, 3),
                k.BatchNormalization(),
                k.LeakyReLU(),
                k.Conv2D(filters, 3, activation="relu"),
                k.MaxPooling2D(2),
            ]
        )

    return [keras.Input((28, 28, 1)), block(3), block(4), k.Flatten(), k.Dense(10, activation="softmax")]


def _channels_first(keras: Any, k: Any) -> Any:
    first = {"data_format": "channels_first"}
    return [
        keras.Input((1, 28, 28)),
        k.Conv2D(3, 3, activation="relu", **first),
        k.BatchNormalization(axis=1),
        k.MaxPooling2D(2, **first),
        k.Conv2D(4, 3, strides=(2, 1), **first),
        k.Flatten(),
        k.BatchNormalization(),
        k.Dense(10, activation="softmax"),
    ]


def _rearranged(keras: Any, k: Any) -> Any:
    return [
        keras.Input((784,)),
        k.Normalization(mean=0.13, variance=0.09),
        k.Reshape((1, 28, 28)),
        k.Permute((2, 3, 1)),
        k.Conv2D(3, 3, activation="elu"),
        k.Dense(4, activation="tanh"),
        k.MaxPooling2D(2),
        k.Permute((3, 1, 2)),
        k.Reshape((-1,)),
        k.Dense(10, activation="softmax"),
    ]


def _adapted(keras: Any, k: Any) -> Any:
    rng = np.random.default_rng(0)
    normalization = k.Normalization()
    normalization.adapt(rng.integers(0, 256, (50, 784)).astype(np.float32))
    return [keras.Input((784,)), normalization, k.Dense(8, activation="relu"), k.Dense(10, activation="softmax")]


def _adapted_to_all_alike(keras: Any, k: Any) -> Any:
    normalization = k.Normalization(axis=None)
    normalization.adapt(np.random.default_rng(1).uniform(size=(50, 28, 28)).astype(np.float32))
    return [keras.Input((28, 28)), normalization, k.Flatten(), k.Dense(10, activation="softmax")]


KINDS: dict[str, Callable[[Any, Any], Any]] = {
    build.__name__[1:]: build
    for build in (
        _lenet,
        _normalized,
        _augmented,
        _nested,
        _channels_first,
        _rearranged,
        _adapted,
        _adapted_to_all_alike,
    )
}
#: Those that say so take pixels of 0 to 255.
BYTES = ("augmented", "adapted")


@pytest.fixture(scope="session")
def images() -> Any:
    return dl.MnistData.load().test.images[:N_IMAGES]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, images: Any) -> dict[str, tuple[Path, Any, Any]]:
    """Every kind of model as ``.keras`` and ``.h5``: the folder, the model, and what it answers to the images."""
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(1)
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        # They get other weights below, and JAX compiles something for every shape that it draws numbers for.
        patch.setattr(keras.initializers.GlorotUniform, "__call__", lambda _, shape, dtype=None: np.zeros(shape))
        for name, build in KINDS.items():
            made[name] = _made(keras, name, build, tmp_path_factory.mktemp(name), images, rng)
    return made


def _made(keras: Any, name: str, build: Any, folder: Path, images: Any, rng: np.random.Generator) -> Any:
    model = keras.Sequential(build(keras, keras.layers), name=name)
    # As if they had been learned: no weight is zero, no factor one, and statistics differ.
    weights = model.get_weights()
    for i, variable in enumerate(model.weights):
        fan_in = max(1, np.prod(weights[i].shape[:-1]))
        if "variance" in variable.name and not name.startswith("adapted"):
            weights[i] = rng.uniform(0.2, 2.0, weights[i].shape)
        elif not name.startswith("adapted") or i > 2:
            weights[i] = rng.normal(scale=2.0 / np.sqrt(fan_in), size=weights[i].shape)
    shape = [28 if n is None else n for n in model.input_shape[1:]]
    pixels = (images.reshape(-1, *shape) / (1.0 if name in BYTES else 255.0)).astype(np.float32)
    for _ in range(2):
        model.set_weights(weights)
        answers = np.asarray(model(pixels, training=False))
        answers = softmax(answers) if name == "lenet" else answers
        # Every class shall be the most probable one of some image.
        weights[-1] = weights[-1] - np.log(answers + 1e-30).mean(axis=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    return folder, model, answers


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def check(model: Any, images: Any, expected: Any) -> None:
    found = model.predict(images.reshape(-1, *model.architecture.input_shape))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    assert len(np.unique(expected.argmax(axis=1))) > 1, "a model that always says the same shows nothing"


def check_file(path: Path, images: Any, expected: Any) -> None:
    check(dl.Sequential.from_checkpoint(load_model_file(path)), images, expected)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_files_of_keras_answer_as_keras_does(models: Any, images: Any, name: str, suffix: str) -> None:
    folder, _, expected = models[name]
    check_file(folder / f"model.{suffix}", images, expected)


@pytest.mark.parametrize("name", KINDS)
def test_networks_handed_over_in_memory_answer_as_keras_does(models: Any, images: Any, name: str) -> None:
    _, model, expected = models[name]
    check(dl.Sequential.from_keras(model), images, expected)


def test_a_file_is_told_by_its_content_not_by_its_name(models: Any, images: Any, tmp_path: Path) -> None:
    folder, _, expected = models["lenet"]
    for source, name in (("model.h5", "h5.keras"), ("model.keras", "zip.h5"), ("model.h5", "M.HDF5")):
        (tmp_path / name).write_bytes((folder / source).read_bytes())
        check_file(tmp_path / name, images, expected)


def test_weights_only_tell_the_next_step(models: Any, tmp_path: Path, refused: Any) -> None:
    _, model, _ = models["lenet"]
    model.save_weights(tmp_path / "my.weights.h5")
    sentence = refused(tmp_path / "my.weights.h5")
    assert "holds only weights" in sentence
    assert "model.load_weights('my.weights.h5')" in sentence


def test_a_description_without_weights_tells_the_next_step(models: Any, tmp_path: Path, refused: Any) -> None:
    _, model, _ = models["lenet"]
    for content in (model.to_json(), json.dumps(model.to_json())):
        (tmp_path / "model.json").write_text(content)
        sentence = refused(tmp_path / "model.json")
        assert "a network without weights" in sentence
        assert "load_weights" in sentence


@pytest.mark.parametrize("sign", ["/", "\\"])
def test_archives_of_keras_2_13_and_2_14_are_read(models: Any, images: Any, tmp_path: Path, sign: str) -> None:
    """They counted layers with weights twice, and joined names with the system's own sign."""
    h5py = pytest.importorskip("h5py")
    folder, _, expected = models["nested"]
    with zipfile.ZipFile(folder / "model.keras") as archive:
        config, weights = archive.read(CONFIG), archive.read(WEIGHTS)
    (tmp_path / "new.h5").write_bytes(weights)
    with h5py.File(tmp_path / "new.h5") as new, h5py.File(tmp_path / "old.h5", "w") as old:

        def copy(path: str, group: Any) -> None:
            if not isinstance(group, h5py.Dataset) or path.startswith("optimizer"):
                return
            *parts, last = path.split("/")
            for i, part in enumerate(parts):
                stem, _, number = part.rpartition("_")
                if number.isdecimal() and stem in ("conv2d", "sequential", "dense"):
                    parts[i] = f"{stem}_{2 * int(number)}"
                elif part == "layers":
                    parts[i] = "_layer_checkpoint_dependencies"
            old[f"{sign.join(parts[:-1])}/vars/{last}"] = group[()]

        new.visititems(copy)
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        archive.writestr(CONFIG, config)
        archive.write(tmp_path / "old.h5", WEIGHTS)
    check_file(tmp_path / "old.keras", images, expected)
