"""A map of images: what the last layer reads of them, in the two directions in which that differs most."""

from __future__ import annotations

import numpy as np
import pytest

import digitlab as dl
from digitlab.data.mnist import MnistData
from digitlab.engine.images import wrap_images
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, NetworkError
from digitlab.explanation.inside import as_pixels, forward
from digitlab.network.layers import Dense
from tests.engine.networks import digits
from tests.explanation.test_inside import NETWORKS


@pytest.fixture(scope="module")
def model() -> Sequential:
    """A network that has learned a little."""
    data, model = MnistData.load(), dl.codelab_cnn(seed=0)
    model.fit(data.training.images[:2_000], data.training.labels[:2_000], epochs=2, batch_size=128)
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_the_engine_tells_what_the_last_dense_layer_reads(name: str) -> None:
    model = Sequential.from_architecture(NETWORKS[name], seed=1, threads=2)
    images, _ = digits(NETWORKS[name], 37)
    features, probabilities = model.runner.features(wrap_images(model.architecture, images))
    steps = forward(model, as_pixels(model, images))
    read = [step[2] for step in steps if isinstance(step[0], Dense)]
    sums = steps[-1][3]
    np.testing.assert_allclose(features, read[-1] if read else sums, atol=2e-5, rtol=2e-5)
    np.testing.assert_array_equal(probabilities, model.predict(images))


@pytest.mark.parametrize("n", [12, 300])
def test_a_map_shows_the_two_directions_with_most_variance(model: Sequential, n: int) -> None:
    images = MnistData.load().test.images[:n]
    found = dl.answer_map(model, images)
    features = np.array([dl.look_inside(model, image).layer("dense").inputs for image in images])
    features -= features.mean(0)
    singular = np.linalg.svd(features, compute_uv=False)
    np.testing.assert_allclose(np.sqrt((found.points**2).sum(0)), singular[:2], rtol=1e-5)
    np.testing.assert_allclose(found.explained, singular[:2] ** 2 / (singular**2).sum(), rtol=1e-5)
    assert np.array_equal(found.predicted, model.predict(images).argmax(1))


def test_fewer_than_three_images_make_no_map(model: Sequential) -> None:
    with pytest.raises(InputError, match="Three images"):
        dl.answer_map(model, MnistData.load().test.images[:2])


def test_a_network_without_numbers_makes_no_map(model: Sequential) -> None:
    weights = model.get_weights()
    weights[0][:] = np.inf
    broken = Sequential.from_architecture(model.architecture, weights)
    with pytest.raises(NetworkError, match="smaller learning rate"):
        dl.answer_map(broken, MnistData.load().test.images[:20])
