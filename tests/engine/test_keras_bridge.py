from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import ConfigError, NetworkError

# Keras 3.15 gives its variables to NumPy in a way that NumPy 2 warns of.
pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


def floats(images: Any) -> Any:
    return images.reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)


def small(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 5, activation="relu", kernel_initializer="he_normal", name="filters"),
            layers.MaxPooling2D(4),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ],
        name="small",
    )


def test_a_network_defined_in_keras_is_trained_here_and_handed_back(keras: Any) -> None:
    theirs = small(keras)
    model = dl.Sequential.from_keras(theirs, class_names=tuple("abcdefghij"))
    data = dl.MnistData.load()
    images = data.test.images[:200]
    np.testing.assert_allclose(model.predict(images), np.asarray(theirs(floats(images))), atol=1e-5)
    model.fit(
        data.training.images[:2000], data.training.labels[:2000], epochs=3, batch_size=32, optimizer=dl.Adam(0.005)
    )
    theirs.set_weights(model.get_weights())
    again = model.to_keras()
    for one in (theirs, again):
        np.testing.assert_allclose(model.predict(images), np.asarray(one(floats(images))), atol=1e-5)
    assert dl.evaluate(model, images, data.test.labels[:200], class_names=model.class_names).accuracy > 0.5
    assert (model.name, model.class_names[0], again.layers[0].name) == ("small", "a", "filters")
    assert model.architecture.layers[0].kernel_initializer == "he_normal"


def test_what_goes_to_keras_and_back_is_the_same(keras: Any) -> None:
    model = dl.codelab_cnn(seed=4)
    back = dl.Sequential.from_keras(model.to_keras())
    assert back.name == model.name
    assert [type(layer) for layer in back.architecture.layers] == [type(layer) for layer in model.architecture.layers]
    for ours, theirs in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_what_digitlab_lacks_is_named(keras: Any) -> None:
    layers = keras.layers
    front = [keras.Input((28, 28, 1)), layers.Conv2D(2, 3)]
    for layer, expected in (
        (layers.LayerNormalization(), "LayerNormalization"),
        (layers.Lambda(lambda x: x), "runs no code"),
        (layers.Conv2D(2, 3, dilation_rate=2), "larger kernel"),
        (layers.Conv2D(2, 3, activation=keras.activations.gelu), "gelu"),
        (layers.Conv2D(2, 3, activation=lambda x: x), "activation"),
    ):
        theirs = keras.Sequential([*front, layer, layers.Flatten(), layers.Dense(10)])
        with pytest.raises(NetworkError, match=expected):
            dl.Sequential.from_keras(theirs)
    images = keras.Input((28, 28, 1))
    flat = layers.Flatten()(images)
    branches = keras.Model(images, layers.Add()([layers.Dense(10)(flat), layers.Dense(10)(flat)]))
    with pytest.raises(NetworkError, match="follow the layer before"):
        dl.Sequential.from_keras(branches)


def test_models_that_are_not_built_or_none_at_all_are_a_sentence(keras: Any) -> None:
    with pytest.raises(NetworkError, match="build the model"):
        dl.Sequential.from_keras(keras.Sequential([keras.layers.Dense(10)]))
    for other in (None, 7, "model.keras", keras.layers.Dense):
        with pytest.raises(NetworkError):
            dl.Sequential.from_keras(other)


def test_without_keras_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ConfigError, match="pip install keras"):
        dl.dense_baseline().to_keras()
