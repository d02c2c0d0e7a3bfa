"""A frame of a network that learns: small, right to a shade of colour, and exact where figures are written."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.errors import InputError, NetworkError
from digitlab.explanation.inside_frames import MOST_FRAME_BYTES, account_of, first_unit, frame_of, plan_of
from digitlab.network.layers import (
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalMaxPooling2D,
    ZeroPadding2D,
)
from digitlab.network.zoo import ZOO, architecture

OTHER = dl.Architecture(
    [
        ZeroPadding2D(1),
        Conv2D(4, 3, padding="same", activation="tanh", bias_initializer="he_normal"),
        AveragePooling2D(3, strides=2, padding="same"),
        Dropout(0.5),
        Conv2D(3, 2),
        GlobalMaxPooling2D(),
        Dense(10),
        Activation("softmax"),
    ]
)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return dl.MnistData.load().test.images[4]


def inside_of(network: dl.Architecture, image: NDArray[np.uint8]) -> dl.Inside:
    return dl.look_inside(dl.Sequential.from_architecture(network, seed=1, threads=1), image)


@pytest.mark.parametrize("name", [*ZOO])
def test_a_frame_of_every_network_fits_and_gives_every_shade(name: str, image: NDArray[np.uint8]) -> None:
    inside = inside_of(architecture(name), image)
    frame, plan = frame_of(inside, *first_unit(inside)), plan_of(inside)
    assert len(json.dumps(frame, allow_nan=False)) <= MOST_FRAME_BYTES
    shades = np.frombuffer(zlib.decompress(base64.b64decode(frame["content"])), np.int8)
    most, at = list(frame["most"]), 0
    for told, layer in zip(plan["layers"], inside.layers, strict=True):
        assert tuple(told["shape"]) == layer.outputs.shape
        if told["is_same"]:
            assert np.array_equal(layer.outputs.ravel(), layer.inputs.ravel())
            continue
        own, unit = shades[at : at + layer.outputs.size], most.pop(0) / frame["levels"]
        np.testing.assert_allclose(own * unit, layer.outputs.ravel(), atol=0.51 * unit)
        at += layer.outputs.size
    assert (at, most) == (len(shades), [])
    assert frame["probabilities"] == inside.probabilities.tolist()


@pytest.mark.parametrize("network", [architecture("codelab_cnn"), OTHER], ids=["codelab", "other"])
def test_an_account_adds_up_to_the_number(network: dl.Architecture, image: NDArray[np.uint8]) -> None:
    inside = inside_of(network, image)
    for position, layer in enumerate(inside.layers):
        for spread in (0.0, 0.4, 0.99):
            unit = tuple(int(spread * size) for size in layer.outputs.shape)
            account, own = account_of(inside, position, unit), layer.layer
            assert account["output"] == layer.outputs[unit]
            if isinstance(own, Conv2D):
                assert account["bias"] + sum(account["sums"]) == pytest.approx(account["total"], abs=1e-12)
                products = np.multiply(account["values"], account["weights"])
                assert products.sum() == pytest.approx(account["sums"][account["read"]], abs=1e-12)
                assert abs(account["sums"][account["read"]]) == np.abs(account["sums"]).max()
                another = account_of(inside, position, unit, 0)
                assert another["read"] == 0
                assert np.multiply(another["values"], another["weights"]).sum() == pytest.approx(account["sums"][0])
            elif isinstance(own, Dense):
                products = [value * weight for _, value, weight in account["terms"]]
                assert account["bias"] + sum(products) + account["rest"] == pytest.approx(account["total"], abs=1e-12)
            elif isinstance(own, AveragePooling2D):
                assert np.mean(account["values"]) == pytest.approx(account["output"], abs=1e-12)
            elif "MaxPooling2D" in type(own).__name__ and account["values"]:
                assert account["values"][account["kept"]] == account["output"]
            elif isinstance(own, Flatten | Dropout):
                assert account["value"] == account["output"]
            if layer is inside.layers[-1]:
                exponentials = np.exp(account["totals"])
                assert exponentials[unit] / exponentials.sum() == pytest.approx(account["output"])


def test_fewer_shades_come_before_what_does_not_fit(image: NDArray[np.uint8]) -> None:
    inside = inside_of(architecture("codelab_cnn"), image)
    levels = []
    for room in (10_000, 4_500, 3_000):
        frame = frame_of(inside, 0, (3, 3, 0), most_bytes=room)
        assert len(json.dumps(frame)) <= room
        levels.append(frame["levels"])
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] < levels[0]
    with pytest.raises(InputError, match="digitlab explain"):
        frame_of(inside, 0, (3, 3, 0), most_bytes=1_500)


def test_numbers_that_are_none_are_told() -> None:
    model = dl.codelab_cnn(seed=0)
    weights = model.get_weights()
    weights[0][:] = np.nan
    broken = dl.Sequential.from_architecture(model.architecture, weights, threads=1)
    inside = dl.look_inside(broken, np.zeros((28, 28), np.uint8))
    with pytest.raises(NetworkError, match="smaller learning rate"):
        frame_of(inside, 0, (0, 0, 0))
