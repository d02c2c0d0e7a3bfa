"""Explanations keep their axioms: they add up, agree where they must, and change what they say they change."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError
from digitlab.network import Architecture
from digitlab.network.layers import Conv2D, Dense, Flatten


@pytest.fixture(scope="module")
def model() -> Sequential:
    """A network that has learned a little."""
    data, model = MnistData.load(), dl.codelab_cnn(seed=0)
    model.fit(data.training.images[:5_000], data.training.labels[:5_000], epochs=3, batch_size=128)
    return model


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return np.asarray(MnistData.load().test.images[4])


@pytest.mark.parametrize("against", [None, 9])
def test_integrated_gradients_add_up_to_the_difference_of_the_sums(
    model: Sequential, image: NDArray[np.uint8], against: int | None
) -> None:
    found = dl.attribute(model, image, 4, method="integrated", against=against)
    inside, black = (dl.look_inside(model, pixels).layers[-1].totals for pixels in (image, np.zeros_like(image)))
    wanted = inside[4] - black[4] - (0 if against is None else inside[against] - black[against])
    assert found.difference == pytest.approx(wanted, abs=1e-9)
    assert found.total == pytest.approx(wanted, rel=0.01, abs=0.02)


def test_a_pixel_without_ink_gives_nothing_to_gradients(model: Sequential, image: NDArray[np.uint8]) -> None:
    for method in ("gradient", "integrated"):
        assert not dl.attribute(model, image, method=method).values[image == 0].any()


def test_of_a_straight_network_all_gradients_say_the_same_and_exactly_what_each_pixel_adds() -> None:
    straight = Sequential.from_architecture(
        Architecture([Conv2D(2, 3), Flatten(), Dense(3, activation="softmax")], (6, 6, 1)), seed=1
    )
    pixels = np.random.default_rng(0).uniform(size=(6, 6, 1))
    whole = dl.look_inside(straight, pixels).layers[-1].totals[1]
    values = dl.attribute(straight, pixels, 1, method="gradient").values
    np.testing.assert_allclose(values, dl.attribute(straight, pixels, 1, method="integrated").values, atol=1e-9)
    for y, x in ((0, 0), (2, 3), (5, 5)):
        without = pixels.copy()
        without[y, x] = 0
        lost = whole - dl.look_inside(straight, without).layers[-1].totals[1]
        assert values[y, x, 0] == pytest.approx(lost, abs=1e-6)


def test_occlusion_is_what_is_lost_when_a_patch_is_hidden(model: Sequential, image: NDArray[np.uint8]) -> None:
    found = dl.attribute(model, image, 4, method="occlusion", patch=5)
    whole = model.predict(image[None])[0, 4]
    for y, x in ((0, 0), (14, 14), (20, 9), (27, 27)):
        hidden = image.copy()
        hidden[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 0
        assert found.values[y, x, 0] == pytest.approx(whole - model.predict(hidden[None])[0, 4], abs=1e-6)


def test_the_answer_is_explained_where_no_class_is_named(model: Sequential, image: NDArray[np.uint8]) -> None:
    assert dl.attribute(model, image, method="gradient").label == int(model.predict(image[None]).argmax())


@pytest.mark.parametrize("target", [3, 8, 9])
def test_a_small_change_makes_another_answer_and_hardly_less_does_not(
    model: Sequential, image: NDArray[np.uint8], target: int
) -> None:
    change = dl.smallest_change(model, image, target)
    assert model.predict(change.image[None].astype(np.float32)).argmax() == target
    assert 0 <= change.image.min() <= change.image.max() <= 1
    given = image[..., None] / 255
    assert change.distance == pytest.approx(float(np.linalg.norm(change.image - given)))
    assert change.distance < 0.5 * np.linalg.norm(given)
    almost = given + 0.98 * (change.image - given)
    assert model.predict(almost[None].astype(np.float32)).argmax() != target


def test_nothing_is_changed_where_the_answer_is_that_already(model: Sequential, image: NDArray[np.uint8]) -> None:
    change = dl.smallest_change(model, image, int(model.predict(image[None]).argmax()))
    assert (change.distance, change.n_steps) == (0.0, 0)


def test_a_filter_answers_its_favourite_input_more_than_any_digit(model: Sequential) -> None:
    digits = MnistData.load().test.images[:50]
    liked = dl.favourite_input(model, "conv2d_1", 3)
    assert 0 <= liked.min() <= liked.max() <= 1

    def mean_sum(pixels: NDArray[np.number]) -> float:
        return float(dl.look_inside(model, pixels).layer("conv2d_1").totals[..., 3].mean())

    assert mean_sum(liked) > max(mean_sum(digit) for digit in digits)
    assert np.array_equal(liked, dl.favourite_input(model, "conv2d_1", 3))


def test_nothing_is_lost_where_nothing_is_hidden_and_every_other_place_is_asked(
    model: Sequential, image: NDArray[np.uint8]
) -> None:
    ink = np.zeros((28, 28), np.uint8)
    ink[10, 20] = 200
    lost = dl.attribute(model, ink, 1, method="occlusion", patch=3).values[..., 0]
    asked = np.zeros((28, 28), np.bool_)
    asked[9:12, 19:22] = True
    assert not lost[~asked].any()
    np.testing.assert_array_equal(lost[asked], lost[10, 20])
    assert not dl.attribute(model, np.zeros_like(ink), 1, method="occlusion").values.any()


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"method": "occluded"}, "Did you mean .occlusion"),
        ({"label": 10}, "classes 0 to 9"),
        ({"label": 4, "against": 4}, "against itself"),
        ({"method": "occlusion", "patch": 4}, "odd number from 1 to 28"),
    ],
)
def test_what_cannot_be_explained_is_told(
    model: Sequential, image: NDArray[np.uint8], asked: dict[str, object], wanted: str
) -> None:
    with pytest.raises(InputError, match=wanted):
        dl.attribute(model, image, **asked)  # type: ignore[arg-type]
