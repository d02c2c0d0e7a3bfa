"""Networks that learned from pixels in another scale are told so; those that did not are not."""

from __future__ import annotations

import pytest

import digitlab as dl
from digitlab.evaluation.pixel_scale import scale_warning, scale_warning_on_mnist
from digitlab.network import Architecture, Dense

SCALES = {
    "from 0 to 255": (255.0, 0.0, "predict(images.astype('float32'))"),
    "from -1 to 1": (2.0, -1.0, "predict(images / 127.5 - 1)"),
    "of mean 0 and deviation 1 (PyTorch's Normalize)": (1 / 0.3081, -0.1307 / 0.3081, "- 0.1307) / 0.3081)"),
}


@pytest.fixture(scope="module")
def data() -> dl.MnistData:
    return dl.MnistData.load()


@pytest.fixture(scope="module")
def model(data: dl.MnistData) -> dl.Sequential:
    model = dl.dense_baseline(seed=0)
    images, labels = data.training.images[:5500], data.training.labels[:5500]
    model.fit(images, labels, batch_size=50, epochs=4, optimizer=dl.Adam(0.003))
    return model


def as_if_trained_with(model: dl.Sequential, times: float, plus: float) -> dl.Sequential:
    """Return the network that gives the same answers to pixels in another scale."""
    kernel, bias, *others = model.get_weights()
    weights = [kernel / times, bias - kernel.sum(axis=0) * plus / times, *others]
    return dl.Sequential.from_architecture(model.architecture, weights)


@pytest.mark.parametrize("words", SCALES)
def test_a_scale_that_fits_far_better_is_told_with_what_to_do(
    data: dl.MnistData, model: dl.Sequential, words: str
) -> None:
    times, plus, code = SCALES[words]
    other = as_if_trained_with(model, times, plus)
    warning = scale_warning(other, data.test.images, data.test.labels)
    assert warning.startswith(f"dense_baseline was trained with pixels {words}, it seems")
    assert code in warning
    assert warning == scale_warning_on_mnist(other)
    for network, told in ((other, "with pixels from 0 to 1"), (model, "of 2,000 images rightly")):
        right = network.predict(data.test.images[:2000]).argmax(axis=1) == data.test.labels[:2000]
        assert f"{100 * right.mean():.1f} % {told}" in warning


def test_a_network_that_learned_from_0_to_1_is_passed_over(data: dl.MnistData, model: dl.Sequential) -> None:
    assert scale_warning(model, data.test.images, data.test.labels) == ""


def test_a_network_for_something_else_is_passed_over(data: dl.MnistData) -> None:
    untrained = dl.codelab_cnn(seed=3)
    assert scale_warning_on_mnist(untrained) == ""
    three = Architecture([Dense(3, activation="softmax")], input_shape=(5,))
    other = dl.Sequential.from_architecture(three)
    assert scale_warning_on_mnist(other) == scale_warning(other, data.test.images, data.test.labels) == ""
