"""Networks that learned from pixels in another scale are told so; those that did not are not."""

from __future__ import annotations

import numpy as np
import pytest

import digitlab as dl
from digitlab.evaluation.pixel_scale import scale_warning, scale_warning_on_mnist
from digitlab.network import Architecture, Dense

SCALES = {
    "from 0 to 255": (255.0, 0.0, "predict(images.astype('float32'))"),
    "from -1 to 1": (2.0, -1.0, "predict(images / 127.5 - 1)"),
    "of mean 0, deviation 1 (PyTorch's Normalize)": (1 / 0.3081, -0.1307 / 0.3081, "- 0.1307) / 0.3081)"),
}


@pytest.fixture(scope="module")
def data() -> dl.MnistData:
    return dl.MnistData.load()


def trained(data: dl.MnistData, times: float, plus: float, epochs: int = 4) -> dl.Sequential:
    images = data.training.images[:3000].astype(np.float32) / 255 * times + plus
    model = dl.dense_baseline(seed=0)
    rate = 0.003 if times < 100 else 0.0003
    model.fit(images, data.training.labels[:3000], batch_size=50, epochs=epochs, optimizer=dl.Adam(rate))
    return model


@pytest.mark.parametrize("words", SCALES)
def test_a_scale_that_fits_far_better_is_told_with_what_to_do(data: dl.MnistData, words: str) -> None:
    times, plus, code = SCALES[words]
    model = trained(data, times, plus)
    warning = scale_warning(model, data.test.images, data.test.labels)
    assert warning.startswith(f"dense_baseline was trained with pixels {words}, it seems")
    assert code in warning
    assert warning == scale_warning_on_mnist(model)
    right = model.predict(data.test.images[:2000]).argmax(axis=1) == data.test.labels[:2000]
    assert f"{100 * right.mean():.1f} % with pixels from 0 to 1" in warning


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_network_that_learned_from_0_to_1_is_passed_over(data: dl.MnistData, epochs: int) -> None:
    assert scale_warning(trained(data, 1.0, 0.0, epochs), data.test.images, data.test.labels) == ""


def test_a_network_for_something_else_is_passed_over(data: dl.MnistData) -> None:
    untrained = dl.codelab_cnn(seed=3)
    assert scale_warning_on_mnist(untrained) == ""
    three = Architecture([Dense(3, activation="softmax")], input_shape=(5,))
    other = dl.Sequential.from_architecture(three)
    assert scale_warning_on_mnist(other) == scale_warning(other, data.test.images, data.test.labels) == ""
