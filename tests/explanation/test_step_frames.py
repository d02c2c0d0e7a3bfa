"""What is drawn of a step is bounded, and is what the step did."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.errors import InputError
from digitlab.explanation.step import StepApart
from digitlab.explanation.step_frames import (
    FILTERS,
    IMAGES,
    ROWS,
    Chosen,
    account_of_weight,
    first_weight,
    images_of_step,
    maps_of_step,
    plan_of_step,
)
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession

CONFIG = TrainConfig(train_images=90, validation_images=0, batch_size=60)
#: 40 filters that read 3 maps; a row of 13 x 13 x 40; a row of 50, which is no square.
NETWORK = Architecture(
    [
        Conv2D(3, 3, activation="relu"),
        Conv2D(40, (3, 2), use_bias=False),
        MaxPooling2D(2),
        Dropout(0.2),
        Flatten(),
        Dense(50, activation="relu"),
        Dense(10, activation="softmax"),
    ],
    (28, 28, 1),
)


@pytest.fixture(scope="module")
def apart() -> StepApart:
    return dl.take_step_apart(TrainingSession(CONFIG, architecture=NETWORK))


def drawn(frame: dict[str, Any]) -> NDArray[np.float64]:
    """Rows, filters, height, width."""
    content = np.frombuffer(zlib.decompress(base64.b64decode(frame["content"])), np.int8)
    maps = content.reshape(len(ROWS), frame["n"], frame["height"], frame["width"]) / frame["levels"]
    return maps * np.array(frame["most"])[:, None, None, None]


def test_filters_are_what_they_were_and_became_to_half_a_shade(apart: StepApart) -> None:
    for first in (0, 16, 32):
        frame = maps_of_step(apart, Chosen(1, read=2, first=first))
        assert (frame["n"], frame["first"], frame["height"], frame["width"]) == (min(16, 40 - first), first, 3, 2)
        for k, row in enumerate(ROWS):
            real = getattr(apart.layers[1].kernel, row)[:, :, 2, first : first + 16].transpose(2, 0, 1)
            np.testing.assert_allclose(drawn(frame)[k], real, atol=0.51 * frame["most"][k] / frame["levels"])
        assert frame["most"][0] == frame["most"][3] >= np.abs(apart.layers[1].kernel.after).max()
        assert frame["biases"] is None


def test_a_dense_layer_is_drawn_as_the_maps_that_it_reads(apart: StepApart) -> None:
    frame = maps_of_step(apart, Chosen(2, read=7))
    assert (frame["height"], frame["width"]) == (12, 12)
    rows = apart.layers[2].kernel.gradient.reshape(12, 12, 40, 50)[:, :, 7, : frame["n"]].transpose(2, 0, 1)
    np.testing.assert_allclose(drawn(frame)[1], rows, atol=0.51 * frame["most"][1] / frame["levels"])
    last = maps_of_step(apart, Chosen(3))
    assert (last["height"], last["width"], last["n"], last["n_inputs"]) == (7, 8, 10, 50)
    assert (drawn(last)[:, :, 6, 2:] == 0).all()  # beyond the 50 inputs
    biases = last["biases"]
    assert biases == [getattr(apart.layers[3].bias, row).tolist() for row in ROWS]


@pytest.mark.parametrize("layer", range(4))
def test_the_chosen_weight_is_the_one_that_is_drawn_there(apart: StepApart, layer: int) -> None:
    chosen = first_weight(apart, layer)
    frame, account = maps_of_step(apart, chosen), account_of_weight(apart, chosen)
    assert chosen.place is not None
    shown = drawn(frame)[:, chosen.unit - frame["first"], chosen.place[0], chosen.place[1]]
    told = [account["before"], account["gradient"], account["after"] - account["before"], account["after"]]
    assert np.abs(shown - told).max() <= 0.51 * max(frame["most"]) / frame["levels"]
    assert abs(shown[1] - account["gradient"]) <= 0.51 * frame["most"][1] / frame["levels"]
    assert abs(account["gradient"]) == pytest.approx(np.abs(drawn(frame)[1]).max(), rel=0.01)


def test_a_place_in_a_map_is_the_weight_that_reads_it(apart: StepApart) -> None:
    wanted = {(0, 0): [1, 1, 0, 2], (1, 2): [1, 1, 2, 2], (2, 7): [(12 + 1) * 40 + 7, 2], (3, 0): [8 + 1, 2]}
    for (layer, read), index in wanted.items():
        assert account_of_weight(apart, Chosen(layer, read, 0, 2, (1, 1)))["index"] == index


def test_what_is_told_of_a_weight_adds_up(apart: StepApart) -> None:
    for chosen in (first_weight(apart, 1), Chosen(2, unit=49, place=None), Chosen(0, 0, 0, 2, (2, 2), image=59)):
        told = account_of_weight(apart, chosen)
        shares = [share for *_, share in told["shares"]]
        assert sum(shares) + told["other_shares"] + told["rounding"] == pytest.approx(told["gradient"], abs=1e-12)
        products = [value * error for _, value, error in told["products"]]
        assert sum(products) + told["other_products"] == pytest.approx(told["share"], abs=1e-8)
        assert any(image == told["image"] for image, *_ in told["shares"])
        if chosen.image is not None:
            assert told["image"] == 59
        assert told["sprite"].startswith("data:image/png")


def test_all_images_are_told_in_parts_the_largest_losses_first(apart: StepApart) -> None:
    told = [image for first in range(0, 60, IMAGES) for image in images_of_step(apart, first)["images"]]
    assert sorted(at for at, *_ in told) == list(range(60))
    losses = [loss for *_, loss in told]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(apart.losses.max(), abs=1e-4)
    assert images_of_step(apart, 60)["images"] == []


def test_what_travels_is_bounded_and_plain(apart: StepApart) -> None:
    wide = Architecture([Flatten(), Dense(300, activation="relu"), Dense(10, activation="softmax")], (28, 28, 1))
    large = dl.take_step_apart(TrainingSession(CONFIG, architecture=wide))
    for step in (apart, large):
        for layer in range(len(step.layers)):
            for first in (0, 16):
                chosen = Chosen(layer, first=first)
                maps = json.dumps(maps_of_step(step, chosen), allow_nan=False)
                assert len(maps) < 45_000
                assert len(json.dumps(account_of_weight(step, chosen), allow_nan=False)) < 9_000
        assert len(json.dumps(images_of_step(step))) < 25_000
        assert len(json.dumps(plan_of_step(step))) < 4_000
    assert maps_of_step(large, Chosen(0))["n"] <= FILTERS


@pytest.mark.parametrize(
    "chosen",
    [
        Chosen(4),
        Chosen(-1),
        Chosen(0, unit=3),
        Chosen(0, unit=-1),
        Chosen(0, place=(3, 0)),
        Chosen(0, place=(0, -1)),
        Chosen(1, place=None),  # which has no biases
        Chosen(3, place=(6, 7)),  # a gap
        Chosen(0, image=60),
        Chosen(0, image=-1),
    ],
)
def test_a_weight_that_is_not_there_is_told(apart: StepApart, chosen: Chosen) -> None:
    with pytest.raises(InputError):
        account_of_weight(apart, chosen)


def test_what_is_asked_for_beyond_the_ends_begins_anew(apart: StepApart) -> None:
    for chosen in (Chosen(1, read=99, first=10**9), Chosen(1, read=-5, first=-16)):
        frame = maps_of_step(apart, chosen)
        assert (frame["first"], 0 <= frame["read"] < 3) == (0, True)
