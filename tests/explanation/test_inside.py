"""What is shown of a network's inside is what the engine computes, adds up, and has the gradient that it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, NetworkError
from digitlab.explanation.inside import Floats, _product, as_pixels, backward, forward
from digitlab.network import Architecture
from digitlab.network.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LeakyReLU,
    ZeroPadding2D,
)
from digitlab.network.zoo import architecture
from tests.engine.networks import ODD, digits

#: Every layer, padding and activation, beside those of the engine's own odd networks.
OTHERS = {
    "strides, borders, average pooling, smooth activations": Architecture(
        [
            ZeroPadding2D(((1, 0), (2, 1))),
            Conv2D(3, (3, 4), strides=(2, 1), padding="same", activation="tanh", bias_initializer="he_normal"),
            AveragePooling2D(3, strides=2, padding="same"),
            Conv2D(4, 2, activation="elu", bias_initializer="he_normal"),
            Dropout(0.5),
            Flatten(),
            Dense(6, activation="sigmoid", bias_initializer="he_normal"),
            Dense(4, activation="leaky_relu", bias_initializer="he_normal"),
            Dense(5),
            Activation("softmax"),
        ],
        (11, 9, 2),
    ),
    "layers that are activations, and the mean of whole maps": Architecture(
        [Conv2D(6, 3), LeakyReLU(0.1), Conv2D(5, 3), ELU(0.5), GlobalAveragePooling2D(), Activation("softmax")],
        (10, 10, 1),
    ),
    "the largest of whole maps": Architecture(
        [Conv2D(6, 3, activation="relu"), GlobalMaxPooling2D(), Dense(3, activation="softmax")], (7, 8, 1)
    ),
}
NETWORKS = ODD | OTHERS


@pytest.fixture(scope="module")
def model() -> Sequential:
    """A network that has learned a little."""
    data, model = MnistData.load(), dl.codelab_cnn(seed=0)
    model.fit(data.training.images[:2_000], data.training.labels[:2_000], epochs=3, batch_size=128)
    return model


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return np.asarray(MnistData.load().test.images[4])


@pytest.mark.parametrize(("n", "inner", "m"), [(1, 3000, 7), (2, 9, 3), (65, 576, 64), (9, 70_000, 5), (33, 512, 513)])
def test_a_product_in_pieces_is_the_product(n: int, inner: int, m: int) -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(n, inner)), rng.normal(size=(inner, m))
    np.testing.assert_allclose(_product(left, right), left @ right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_are_those_of_the_engine(name: str) -> None:
    model = Sequential.from_architecture(NETWORKS[name], seed=1)
    images, _ = digits(NETWORKS[name], 3)
    answers = forward(model, as_pixels(model, images))[-1][4]
    np.testing.assert_allclose(answers, model.predict(images), atol=2e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    model = Sequential.from_architecture(NETWORKS[name], seed=2)
    # No two values alike, so that no maximum changes its place within a step.
    pixels = np.random.default_rng(0).uniform(0.1, 0.9, (2, *NETWORKS[name].input_shape))
    steps = forward(model, pixels)
    direction = np.random.default_rng(1).normal(size=steps[-1][3].shape)

    def total(at: Floats) -> float:
        return float((forward(model, at)[-1][3] * direction).sum())

    gradient = backward(steps, direction)
    rng = np.random.default_rng(3)
    for _ in range(8):
        way = rng.normal(size=pixels.shape)
        change = (total(pixels + 1e-7 * way) - total(pixels - 1e-7 * way)) / 2e-7
        assert change == pytest.approx(float((gradient * way).sum()), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_number_adds_up(name: str) -> None:
    model = Sequential.from_architecture(NETWORKS[name], seed=3)
    images, _ = digits(NETWORKS[name], 1)
    inside = dl.look_inside(model, images[0])
    rng = np.random.default_rng(0)
    for layer in inside.layers:
        for _ in range(6):
            unit = tuple(int(rng.integers(size)) for size in layer.outputs.shape)
            why = inside.why(layer.layer.name, *unit)
            assert why.bias + sum(term.product for term in why.terms) == pytest.approx(why.total, abs=1e-12)
            assert all(term.value * term.weight == pytest.approx(term.product, abs=1e-15) for term in why.terms)
            assert why.output == pytest.approx(_output(why), abs=1e-12)
            assert why.output == layer.outputs[unit]
            for term in why.terms:
                place = term.place
                within = all(0 <= at < size for at, size in zip(place, layer.inputs.shape, strict=True))
                assert term.value == (layer.inputs[place] if within else 0.0)


def _output(why: Any) -> float:
    if why.activation == "softmax":
        return why.exponentials[why.unit[0]] / sum(why.exponentials)
    below = {"leaky_relu": (0.2, 0.1), "elu": (1.0, 0.5)}.get(why.activation, (0.0,))
    total = why.total
    made = {
        "linear": [total],
        "relu": [max(0.0, total)],
        "sigmoid": [1 / (1 + np.exp(-total))],
        "tanh": [np.tanh(total)],
        "leaky_relu": [total if total > 0 else slope * total for slope in below],
        "elu": [total if total > 0 else alpha * (np.exp(total) - 1) for alpha in below],
    }[why.activation]
    return float(min(made, key=lambda each: abs(each - why.output)))


def test_the_window_slides_with_the_unit(model: Sequential, image: NDArray[np.uint8]) -> None:
    inside = dl.look_inside(model, image)
    assert [inside.why("conv2d", 3, x, 0).window for x in (4, 5)] == [(3, 4, 5, 5), (3, 5, 5, 5)]
    pooled = inside.why("max_pooling2d", 3, 5, 2)
    assert pooled.window == (6, 10, 2, 2)
    assert sum(term.weight for term in pooled.terms) == 1
    assert pooled.output == max(term.value for term in pooled.terms)


def test_the_largest_contributions_to_a_dense_unit_come_first(model: Sequential, image: NDArray[np.uint8]) -> None:
    why = dl.look_inside(model, image).why("dense", 4, n_terms=10)
    sizes = [abs(term.product) for term in why.terms]
    assert sizes == sorted(sizes, reverse=True)
    assert (len(sizes), why.n_terms) == (10, 256)


def test_bytes_and_floats_are_the_same_image(model: Sequential, image: NDArray[np.uint8]) -> None:
    as_bytes, as_floats = (dl.look_inside(model, each) for each in (image, image[..., None] / 255))
    np.testing.assert_allclose(as_bytes.probabilities, as_floats.probabilities, atol=1e-7)
    assert as_bytes.label == model.predict(image[None])[0].argmax()


def test_the_json_form_holds_every_activation(model: Sequential, image: NDArray[np.uint8]) -> None:
    plain = dl.look_inside(model, image).to_dict()
    assert [layer["name"] for layer in plain["layers"]] == [layer.name for layer in model.architecture.layers]
    assert np.shape(plain["layers"][0]["outputs"]) == (24, 24, 8)
    assert plain["label"] == 4


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [
        (("conv", 0, 0, 0), "Did you mean .conv2d"),
        (("conv2d", 0, 0), "row 0 to 23, column 0 to 23, channel 0 to 7"),
        (("conv2d", 24, 0, 0), "row 0 to 23"),
        (("dense", -1), "place 0 to 9"),
    ],
)
def test_a_number_that_is_not_there_is_told(
    model: Sequential, image: NDArray[np.uint8], unit: tuple[Any, ...], wanted: str
) -> None:
    with pytest.raises(InputError, match=wanted):
        dl.look_inside(model, image).why(*unit)


def test_networks_that_answer_with_maps_are_refused() -> None:
    model = Sequential.from_architecture(architecture("finder_cnn"), seed=0)
    with pytest.raises(NetworkError, match="maps"):
        dl.look_inside(model, np.zeros((28, 28), np.uint8))
