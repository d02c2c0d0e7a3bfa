"""What is no digit: every kind is something, framed as the reader does, and seeded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from digitlab.data.frame import FIELD_PX, frame
from digitlab.data.mnist import MnistData, Split
from digitlab.training.letters import BUILT_IN, Font, cropped, penned_letter
from digitlab.training.nondigits import (
    KINDS,
    PRINTED,
    dot,
    join,
    line,
    make_nondigits,
    piece,
    scribble,
    texture,
    torn_join,
)

OWN = (Font(BUILT_IN),)
SEEDS = range(40)


@pytest.fixture(scope="module")
def data() -> MnistData:
    return MnistData.load()


@pytest.fixture(scope="module")
def digits(data: MnistData) -> Split:
    return data.training


@pytest.fixture(scope="module")
def made(digits: Split):
    return make_nondigits(600, digits, seed=3, fonts=OWN)


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
    again = make_nondigits(50, digits, seed=3, fonts=OWN)
    np.testing.assert_array_equal(again.images, made.images[:50])
    assert again.digest == make_nondigits(50, digits, seed=3, fonts=OWN).digest
    other = make_nondigits(50, digits, seed=4, fonts=OWN)
    assert other.digest != again.digest


def test_validation_is_made_otherwise_from_the_same_seed(digits):
    as_training, as_validation = (
        make_nondigits(40, Split(name, digits.images, digits.labels), seed=0, fonts=OWN)
        for name in ("training", "validation")
    )
    assert (as_training.images != as_validation.images).any(axis=(1, 2)).all()


def test_validation_letters_come_from_fonts_that_training_never_sees(data, digits):
    fonts = [Font(f"{k}.ttf") for k in range(40)]
    training, validation = (make_nondigits(1, split, fonts=fonts) for split in (digits, data.validation))
    assert set(training.fonts) | set(validation.fonts) == {font.name for font in fonts}
    assert not set(training.fonts) & set(validation.fonts)
    assert 2 <= len(validation.fonts) <= 16


def test_letters_that_people_write_as_digits_are_left_out():
    assert not set("OoIliSsZzBbqgDQ0123456789|") & set(PRINTED)


def test_framing_them_again_changes_little(made):
    letters = made.images[made.kinds <= 1][:100]
    again = np.array([frame(image.astype(np.float32) / 255) for image in letters])
    assert np.abs(again - letters / 255).mean() < 0.02


@pytest.mark.parametrize("make", [penned_letter, scribble, line, dot, texture], ids=lambda make: make.__name__)
def test_marks_are_ink_from_0_to_1_and_come_from_the_seed(make) -> None:
    for seed in SEEDS:
        ink, again = make(np.random.default_rng(seed)), make(np.random.default_rng(seed))
        assert ink.dtype == np.float32
        assert ink.min() >= 0
        assert ink.max() <= 1
        assert ink.max() > 0.5 or make is texture
        np.testing.assert_array_equal(ink, again)


def test_no_mark_is_a_lone_standing_line() -> None:
    for seed in range(200):
        for make in (line, dot):
            ink = cropped(make(np.random.default_rng(seed)))
            n = cv2.connectedComponents((ink > 0.3).astype(np.uint8))[0] - 1
            assert n > 1 or ink.shape[1] > 0.45 * ink.shape[0]


def test_pieces_are_part_of_a_digit_without_loops_and_not_like_a_one(digits) -> None:
    for seed in SEEDS:
        rest = piece(digits.images, digits.labels, np.random.default_rng(seed))
        assert rest.max() > 0.3
        assert rest.shape[1] >= 0.6 * rest.shape[0]
        paper = np.pad((rest < 0.3).astype(np.uint8), 1, constant_values=1)
        assert cv2.connectedComponents(paper, connectivity=4)[0] == 2


def test_a_set_of_ones_gives_a_piece_of_nothing_but_goes_on(digits) -> None:
    ones = digits.labels == 1
    assert piece(digits.images[ones][:20], digits.labels[ones][:20], np.random.default_rng(0)).max() == 1


@pytest.mark.parametrize("n", [2, 3])
def test_joined_digits_are_wider_than_one_and_hold_the_ink_of_all(digits, n) -> None:
    widths = []
    for seed in SEEDS:
        ink = join(digits.images, np.random.default_rng(seed), n)
        assert 0 <= ink.min() <= ink.max() <= 1
        widths.append(ink.shape[1] / ink.shape[0])
    assert np.mean(widths) > 0.55 * n


def test_a_torn_pair_has_less_than_a_pair_and_more_than_a_digit(digits) -> None:
    torn, whole, one = (
        [make(np.random.default_rng(seed)) for seed in SEEDS]
        for make in (
            lambda rng: torn_join(digits.images, rng),
            lambda rng: join(digits.images, rng),
            lambda rng: join(digits.images, rng, 1),
        )
    )
    assert all(ink.max() > 0.5 and ink.shape[1] >= 0.6 * ink.shape[0] for ink in torn)
    ink_of = [np.mean([ink.sum() for ink in kind]) for kind in (one, torn, whole)]
    assert ink_of[0] < ink_of[1] < ink_of[2]
