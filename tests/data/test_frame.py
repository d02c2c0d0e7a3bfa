"""Framing: what MNIST's makers did to a scanned digit, done to any ink."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitlab.data.frame import FIELD_PX, STROKE_PX, frame, frame_all, stroke_width
from digitlab.data.mnist import MnistData


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    return MnistData.load().test.images[:400].reshape(-1, 28, 28).astype(np.float32) / 255


def test_a_digit_of_mnist_comes_back_as_it_was(images: NDArray[np.float32]) -> None:
    framed = frame_all(list(images))[..., 0]
    differences = np.abs(framed - images).mean((1, 2))
    # A few have strokes out of the range or are off by the rounding of their centre of mass.
    assert np.median(differences) < 0.002
    assert (differences < 0.01).mean() > 0.9


@pytest.mark.parametrize("factor", [2, 4, 7.5])
def test_an_enlarged_digit_comes_back_nearly_as_it_was(images: NDArray[np.float32], factor: float) -> None:
    large = [cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for image in images[:100]]
    assert np.abs(frame_all(large)[..., 0] - images[:100]).mean() < 0.045


def test_the_margin_does_not_matter(images: NDArray[np.float32]) -> None:
    wide = np.zeros((90, 140), np.float32)
    wide[51:79, 3:31] = images[0]
    np.testing.assert_array_equal(frame(wide), frame(images[0]))


def test_a_hair_and_a_marker_get_strokes_as_wide_as_mnist_has_them() -> None:
    for thickness in (1, 2, 6, 60, 110):
        drawn = np.zeros((600, 600), np.uint8)
        cv2.ellipse(drawn, (300, 300), (130, 220), 0, 0, 360, 255, thickness, cv2.LINE_AA)
        framed = frame(drawn.astype(np.float32) / 255)
        assert STROKE_PX[0] * 0.9 <= stroke_width(framed) <= STROKE_PX[1] * 1.1, thickness
        assert framed.max() > 0.95


def test_shape_is_kept() -> None:
    ink = np.zeros((400, 400), np.float32)
    ink[50:350, 180:220] = 1  # a bar of 300 x 40
    framed = frame(ink)
    _, _, width, height = cv2.boundingRect((framed > 0.3).astype(np.uint8))
    assert height == FIELD_PX
    assert width in (2, 3)


def test_without_centring_the_ink_is_in_the_corner(images: NDArray[np.float32]) -> None:
    framed = frame(images[0], center=False)
    assert framed[0].any()
    assert framed[:, 0].any()
    assert not framed[FIELD_PX:].any()


def test_nothing_gives_nothing() -> None:
    for empty in (np.zeros((0, 5)), np.zeros((40, 30)), np.full((4, 4), np.nan)):
        assert not frame(empty.astype(np.float32)).any()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_ink_gives_an_image(height: int, width: int, seed: int, density: float) -> None:
    random = np.random.default_rng(seed)
    ink = (random.random((height, width)) * (random.random((height, width)) < density)).astype(np.float32)
    framed = frame(ink)
    assert framed.shape == (28, 28)
    assert framed.dtype == np.float32
    assert np.isfinite(framed).all()
    assert framed.min() >= 0
    assert framed.max() <= 1
