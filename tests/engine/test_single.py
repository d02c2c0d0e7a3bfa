"""One image by itself is answered as it is among others: other kernels, the same sums."""

from __future__ import annotations

import numpy as np
import pytest

from digitlab.engine.sequential import Sequential
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.network.zoo import ZOO, architecture
from tests.engine.networks import ODD, VARIED, digits

NETWORKS = ODD | VARIED | {name: architecture(name) for name in ZOO}
NETWORKS["dropout, 17 and 40 filters"] = Architecture(
    [
        Conv2D(17, 3, activation="relu", bias_initializer="he_normal"),
        Dropout(0.5),
        MaxPooling2D(2),
        Conv2D(40, 3, padding="same", bias_initializer="he_normal"),
        Flatten(),
        Dropout(0.5),
        Dense(10, activation="softmax"),
    ],
    (20, 13, 1),
)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_image_is_answered_as_among_others(name: str) -> None:
    network = NETWORKS[name]
    model = Sequential.from_architecture(network, seed=4)
    images, _ = digits(network, 3, seed=5)
    together = model.predict(images)
    alone = np.concatenate([model.predict(images[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-6)
    np.testing.assert_allclose(alone.sum(axis=1), 1.0, atol=1e-6)


def test_one_image_of_bytes() -> None:
    model = Sequential.from_architecture(architecture("codelab_cnn"), seed=0)
    image = np.random.default_rng(0).integers(0, 256, (1, 28, 28), np.uint8)
    as_floats = image.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(model.predict(image), model.predict(as_floats))


def test_one_image_sees_new_weights_at_once() -> None:
    network = ODD["2 x 2 pooling in the middle of same convolutions of 5 x 5"]
    model = Sequential.from_architecture(network, seed=0)
    images, labels = digits(network, 40)
    before = model.predict(images[:1])
    model.fit(images, labels, batch_size=8, epochs=1)
    after = model.predict(images[:1])
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after, model.predict(images[:2])[:1], rtol=0, atol=1e-6)
