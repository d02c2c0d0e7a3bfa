"""Photos turned, cropped, and with a region painted over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from digitlab.errors import DataError
from digitlab.reading.photo import Photo
from digitlab.reading.reading import Box, Reading
from digitlab.reading.render import edited


def photo(height: int = 300, width: int = 400, colors: int = 3, **more: Any) -> Photo:
    """Paper that is darker to the right and below, with a black stroke in its middle."""
    y, x = np.mgrid[:height, :width]
    light = 240 - 60 * x / width - 40 * y / height
    light[height // 2 - 20 : height // 2 + 20, width // 2 - 6 : width // 2 + 6] = 20
    pixels = light.astype(np.uint8)
    if colors == 3:
        pixels = np.stack([pixels, pixels - 5, pixels - 10], axis=-1)
    return Photo(pixels, **{"width": width, "height": height, "source": "a.png", "page": 3} | more)


def as_read(of: Photo, turned: int = 0, skew: float = 0.0) -> Reading:
    width, height = (of.height, of.width) if turned in (90, 270) else (of.width, of.height)
    return Reading(of.source, of.page, width, height, turned, skew, (), ())


@pytest.mark.parametrize("colors", [1, 3])
def test_turning_is_exact_and_four_turns_are_none(colors: int) -> None:
    first = photo(colors=colors)
    right = edited(first, as_read(first), "right")
    assert (right.width, right.height, right.source, right.page) == (300, 400, "a.png", 3)
    np.testing.assert_array_equal(right.pixels, np.rot90(first.pixels, -1))
    np.testing.assert_array_equal(edited(right, as_read(right), "left").pixels, first.pixels)


def test_what_was_turned_for_reading_is_turned_on_from_there() -> None:
    first = photo()
    then = edited(first, as_read(first, turned=90), "right")
    np.testing.assert_array_equal(then.pixels, np.rot90(first.pixels, 2))


def test_a_crop_keeps_the_photos_own_pixels_as_its_measure() -> None:
    # The photo has twice the pixels that are worked on.
    first = photo(width=800, height=600, colors=1)
    small = Photo(first.pixels[::2, ::2], 800, 600)
    part = edited(small, as_read(small), "crop", Box(100, 200, 500, 560))
    assert (part.width, part.height, part.pixels.shape) == (400, 360, (180, 200))
    np.testing.assert_array_equal(part.pixels, small.pixels[100:280, 50:250])
    beyond = edited(small, as_read(small), "crop", Box(700, 500, 9000, 9000))
    assert (beyond.width, beyond.height) == (100, 100)
    assert beyond.pixels.shape == (50, 50)


@pytest.mark.parametrize("colors", [1, 3])
def test_what_is_left_out_becomes_the_paper_around_it(colors: int) -> None:
    first = photo(colors=colors)
    plain = photo(colors=colors).pixels.copy()
    y, x = np.mgrid[:300, :400]
    paper = (240 - 60 * x / 400 - 40 * y / 300).astype(np.uint8)
    # The rectangle's border goes through the stroke, which must not be smeared over it.
    box = Box(160, 150, 260, 220)
    then = edited(first, as_read(first), "hide", box)
    inside = then.pixels.reshape(300, 400, -1)[150:220, 160:260, 0].astype(int)
    assert np.abs(inside - paper[150:220, 160:260]).max() <= 3
    outside = np.ones((300, 400), bool)
    outside[150:220, 160:260] = False
    np.testing.assert_array_equal(then.pixels[outside], plain[outside])
    assert (then.width, then.height) == (400, 300)


def test_a_whole_photo_left_out_is_empty_paper() -> None:
    first = photo(colors=1)
    then = edited(first, as_read(first), "hide", Box(0, 0, 400, 300))
    assert then.pixels.min() > 100


@pytest.mark.parametrize(
    "box", [Box(0, 0, 3, 200), Box(390, 290, 500, 500), Box(-50, -50, -20, -20), Box(500, 0, 600, 99)]
)
@pytest.mark.parametrize("kind", ["crop", "hide"])
def test_a_rectangle_that_is_too_small_is_told(kind: str, box: Box) -> None:
    first = photo(width=400, height=295)
    with pytest.raises(DataError, match="too small"):
        edited(first, as_read(first), kind, box)
