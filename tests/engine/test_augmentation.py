"""Augmented images: what each range does, against independent formulas, and that nothing depends on the threads."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.ndimage import convolve, generate_binary_structure, grey_dilation, grey_erosion, map_coordinates

import digitlab as dl
from digitlab.engine.augmentation import AUGMENTATIONS, Augmentation, augmented
from digitlab.engine.cpu import augmenting
from digitlab.errors import ConfigError, DataError
from digitlab.training.config import AUGMENTATION_NAMES

READER = AUGMENTATIONS["reader"]
NAMES = [field.name for field in dataclasses.fields(Augmentation)]
assert READER is not None


@pytest.fixture(scope="module")
def images():
    return dl.MnistData.load().training.images[:700].copy()


def draws_of(n, seed=0, epoch=1):
    """The random numbers as the engine draws them: a row an image, from a stream of the seed and the epoch."""
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(4, epoch)))
    return rng.random((n, augmenting.N_DRAWS), np.float32).astype(np.float64)


def warped(image, ranges, draw):
    """What the docstring says of geometry, in float64, with SciPy's splines and SciPy's interpolation."""
    either = 2 * draw - 1
    y, x = np.mgrid[:28, :28].astype(float)
    shift = ranges.shift * either[[augmenting.RIGHT, augmenting.DOWN]]
    u, v = x - 13.5 - shift[0], y - 13.5 - shift[1]
    u = u + ranges.shear * either[augmenting.SHEAR] * v
    angle = math.radians(ranges.rotation) * either[augmenting.TURN]
    size = math.exp(ranges.scale * either[augmenting.SCALE])
    stretch = math.exp(ranges.aspect / 2 * either[augmenting.ASPECT])
    at_x = size * stretch * (math.cos(angle) * u - math.sin(angle) * v) + 13.5
    at_y = size / stretch * (math.sin(angle) * u + math.cos(angle) * v) + 13.5
    # Knots every seven pixels; the first arrow's curve is centred on pixel -7.
    basis = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    reach = np.array([np.nan_to_num(basis(np.arange(28) / 7 + 1 - k)) for k in range(augmenting.GRID)])
    arrows = ranges.elastic * either[augmenting.ARROWS :].reshape(augmenting.GRID, 2, augmenting.GRID)
    bend = np.einsum("ky,kal,lx->ayx", reach, arrows, reach)
    return map_coordinates(image.astype(float), [at_y + bend[1], at_x + bend[0]], order=1, mode="grid-constant")


def test_zero_ranges_change_nothing(images):
    np.testing.assert_array_equal(augmented(images, Augmentation(), seed=3, epoch=2), images)


@pytest.mark.parametrize(
    "ranges",
    [
        {"rotation": 40.0},
        {"shear": 0.5},
        {"scale": 0.3},
        {"aspect": 0.5},
        {"shift": 6.0},
        {"elastic": 8.0},
        {"rotation": 20.0, "shear": 0.3, "scale": 0.2, "aspect": 0.2, "shift": 2.0, "elastic": 6.0},
    ],
    ids=lambda ranges: " ".join(ranges),
)
def test_geometry_is_what_scipy_makes_of_it(images, ranges):
    own = augmented(images[:60], Augmentation(**ranges), seed=0, epoch=1)
    expected = [warped(i, Augmentation(**ranges), d) for i, d in zip(images[:60], draws_of(60), strict=True)]
    # Half a level from rounding; a little more because coordinates are float32.
    np.testing.assert_allclose(own, expected, atol=0.56)
    assert (own != images[:60]).mean() > 0.05


@pytest.mark.parametrize("name", ["thicken", "thin"])
def test_strokes_grow_and_shrink_as_in_scipy(images, name):
    own = augmented(images[:60], Augmentation(**{name: 0.5}), seed=0, epoch=1)
    cross = generate_binary_structure(2, 1)
    for image, changed, draw in zip(images, own, draws_of(60), strict=False):
        padded = np.pad(image.astype(float), 1)
        change = (grey_dilation if name == "thicken" else grey_erosion)(padded, footprint=cross)[1:-1, 1:-1]
        amount = 0.5 * draw[augmenting.STROKE] if name == "thicken" else 0.5 * (1 - draw[augmenting.STROKE])
        expected = image + amount * (change - image)
        # Whatever becomes of its edges, the brightest pixel of the ink stays as bright as it was.
        np.testing.assert_allclose(changed, expected * (image.max() / expected.max()), atol=0.51)


def test_blur_mixes_a_pixel_with_its_four_neighbors(images):
    own = augmented(images[:60], Augmentation(blur=1.0), seed=0, epoch=1)
    mean = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    for image, changed, draw in zip(images, own, draws_of(60), strict=False):
        amount = max(0.0, 2 * draw[augmenting.BLUR] - 1)
        expected = image + amount * (convolve(image.astype(float), mean, mode="constant") - image)
        np.testing.assert_allclose(changed, expected, atol=0.51)


def test_noise_has_its_spread_and_leaves_half_of_the_images_alone():
    grey = np.full((2000, 28, 28), 128, np.uint8)
    own = augmented(grey, Augmentation(noise=0.1), seed=0, epoch=1)
    amount = 25.5 * np.maximum(0, 2 * draws_of(2000)[:, augmenting.NOISE] - 1)
    spread = own.std(axis=(1, 2))
    assert (spread[amount == 0] == 0).all()
    assert (amount == 0).mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(spread[amount > 5], amount[amount > 5], rtol=0.15)
    assert own.mean() == pytest.approx(128, abs=0.2)
    # Neither rows nor neighbors hang together.
    noisy = own[spread > 15].astype(float) - 128
    assert abs(np.corrcoef(noisy[:, :, 1:].ravel(), noisy[:, :, :-1].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(noisy[:-1].ravel(), noisy[1:].ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("name", ["cut", "gap"])
def test_cuts_and_gaps_take_ink_away_and_add_none(images, name):
    half, none = (augmented(images, Augmentation(**{name: share}), seed=0, epoch=1) for share in (0.5, 0.0))
    np.testing.assert_array_equal(none, images)
    assert (half <= images).all()
    lost = 1 - half.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert 0.3 < (lost > 0).mean() < 0.55
    assert lost.max() < 0.6


def test_neighbors_reach_in_from_the_side_and_leave_the_middle_alone(images):
    own = augmented(images, Augmentation(neighbor=1.0), seed=0, epoch=1)
    assert (own >= images).all()
    more = (own.astype(int) - images).sum(axis=(0, 1))
    assert more[11:17].sum() < 0.02 * more.sum()
    assert 0.3 < (own != images).any(axis=(1, 2)).mean() <= 1


def test_paper_is_grey_sloped_or_lined_and_the_ink_stays_on_top():
    blank = np.zeros((500, 28, 28), np.uint8)
    own = augmented(blank, Augmentation(background=0.2), seed=0, epoch=1)
    assert (own == 0).all(axis=(1, 2)).mean() == pytest.approx(1 / 8, abs=0.05)
    assert own.max() <= 0.2 * 255 * 3.5 + 1
    assert len(np.unique(own[own.std(axis=(1, 2)) == 0])) > 20
    inked = np.full((500, 28, 28), 255, np.uint8)
    assert (augmented(inked, Augmentation(background=0.2), seed=0, epoch=1) == 255).all()


def test_contrast_fades_ink_or_sharpens_edges(images):
    own = augmented(images, Augmentation(contrast=0.4), seed=0, epoch=1)
    brightest = own.max(axis=(1, 2)) / images.max(axis=(1, 2))
    assert 0.6 <= brightest.min() < 0.7
    assert (brightest == 1).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("name", NAMES)
def test_every_range_changes_images_and_uses_random_numbers_of_its_own(images, name):
    largest = {"rotation": 20.0, "shift": 3.0, "elastic": 5.0}.get(name, 0.5)
    alone = augmented(images[:100], Augmentation(**{name: largest}), seed=0, epoch=1)
    assert (alone != images[:100]).any()


def test_nothing_depends_on_the_number_of_threads(images):
    many = np.concatenate([images] * 3)
    one, two, five = (augmented(many, READER, seed=1, epoch=7, threads=n) for n in (1, 2, 5))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, five)


def test_an_image_depends_on_seed_epoch_and_place_alone(images):
    ranges = dataclasses.replace(READER, neighbor=0.0)
    base = augmented(images, ranges, seed=1, epoch=2)
    np.testing.assert_array_equal(base, augmented(images, ranges, seed=1, epoch=2))
    np.testing.assert_array_equal(base[:50], augmented(images[:50], ranges, seed=1, epoch=2))
    for seed, epoch in ((1, 3), (2, 2), (2, 1)):
        assert (augmented(images, ranges, seed=seed, epoch=epoch) != base).any(axis=(1, 2)).mean() > 0.95


def test_read_only_images_are_augmented_and_not_changed(images):
    frozen = images.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(
        augmented(frozen, READER, seed=0, epoch=1), augmented(images, READER, seed=0, epoch=1)
    )
    np.testing.assert_array_equal(frozen, images)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 50, width=32), min_size=len(NAMES), max_size=len(NAMES)))
def test_any_ranges_give_images(values):
    image = np.zeros((4, 28, 28), np.uint8)
    image[:, 5:20, 10:13] = 255
    own = augmented(image, Augmentation(**dict(zip(NAMES, values, strict=True))), seed=0, epoch=1)
    assert own.dtype == np.uint8
    assert own.shape == image.shape


def test_no_image_is_fine():
    assert augmented(np.zeros((0, 28, 28), np.uint8), READER, seed=0, epoch=1).shape == (0, 28, 28)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_ranges_that_cannot_be_are_refused(value):
    with pytest.raises(ConfigError, match="noise must be a finite number of at least 0"):
        Augmentation(noise=value)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 28, 28)), np.zeros((2, 27, 28), np.uint8), np.zeros((28, 28), np.uint8)]
)
def test_other_images_are_refused(wrong):
    with pytest.raises(DataError, match="Only images of uint8"):
        augmented(wrong, READER, seed=0, epoch=1)


def test_the_names_in_the_config_are_those_of_the_engine():
    assert tuple(AUGMENTATIONS) == AUGMENTATION_NAMES
