"""What is no digit: every kind is something, is framed as the reader frames, and comes from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from digitlab.data.mnist import MnistData, Split
from digitlab.reading.frame import FIELD_PX, frame
from digitlab.training.nondigits.fonts import BUILT_IN, Font
from digitlab.training.nondigits.pool import KINDS, PRINTED, make_nondigits

OWN = (Font(BUILT_IN),)


@pytest.fixture(scope="module")
def digits() -> MnistData:
    return MnistData.load()


@pytest.fixture(scope="module")
def made(digits: MnistData):
    return make_nondigits(600, digits.training, seed=3, fonts=OWN)


def test_images_are_as_the_network_takes_them(made):
    assert made.images.dtype == np.uint8
    assert made.images.shape == (600, 28, 28)
    assert len(made) == 600
    assert made.fonts == (BUILT_IN,)


def test_shares_sum_to_one_and_every_kind_comes(made):
    assert sum(KINDS.values()) == pytest.approx(1)
    shares = np.bincount(made.kinds, minlength=len(KINDS)) / len(made)
    np.testing.assert_allclose(shares, list(KINDS.values()), atol=0.05)
    assert shares.min() > 0


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "texture"])
def test_every_kind_is_ink_in_the_field_with_an_empty_margin(made, kind):
    images = made.images[made.kinds == list(KINDS).index(kind)]
    assert (images.max(axis=(1, 2)) > 150).all()
    for image in images:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert max(np.ptp(rows), np.ptp(columns)) < FIELD_PX
    # No two alike.
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_texture_fills_the_whole_image_and_some_of_it_is_blank(made):
    images = made.images[made.kinds == list(KINDS).index("texture")]
    assert (images.std(axis=(1, 2)) == 0).any()
    assert (images[:, 0].any(axis=1) & images[:, -1].any(axis=1)).any()


def test_the_same_seed_gives_the_same_images_and_fewer_are_the_first_of_more(digits, made):
    again = make_nondigits(50, digits.training, seed=3, fonts=OWN)
    np.testing.assert_array_equal(again.images, made.images[:50])
    assert again.digest == make_nondigits(50, digits.training, seed=3, fonts=OWN).digest
    other = make_nondigits(50, digits.training, seed=4, fonts=OWN)
    assert other.digest != again.digest


def test_validation_is_made_otherwise_from_the_same_seed(digits):
    as_training, as_validation = (
        make_nondigits(40, Split(name, digits.training.images, digits.training.labels), seed=0, fonts=OWN)
        for name in ("training", "validation")
    )
    assert (as_training.images != as_validation.images).any(axis=(1, 2)).all()


def test_validation_letters_come_from_fonts_that_training_never_sees(digits):
    fonts = [Font(f"{k}.ttf") for k in range(40)]
    training, validation = (make_nondigits(1, split, fonts=fonts) for split in (digits.training, digits.validation))
    assert set(training.fonts) | set(validation.fonts) == {font.name for font in fonts}
    assert not set(training.fonts) & set(validation.fonts)
    assert 2 <= len(validation.fonts) <= 16


def test_letters_that_people_write_as_digits_are_left_out():
    assert not set("OoIliSsZzBbqgDQ0123456789|") & set(PRINTED)


def test_framing_them_again_changes_little(made):
    letters = made.images[made.kinds <= 1][:100]
    again = np.array([frame(image.astype(np.float32) / 255) for image in letters])
    assert np.abs(again - letters / 255).mean() < 0.02
