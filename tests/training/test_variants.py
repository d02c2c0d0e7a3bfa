"""Variants of digits: strokes are added, nothing else changes, and they come from the seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from digitlab.data.frame import stroke_width
from digitlab.data.mnist import MnistData, Split
from digitlab.training.variants import FINE, enlarged, make_variants, surrounded, with_bar, with_flag, with_tail


@pytest.fixture(scope="module")
def digits():
    return MnistData.load().training


def some(digits, label, n=60):
    return digits.images[digits.labels == label][:n].astype(np.float32) / 255


@pytest.mark.parametrize(
    ("label", "change"), [(1, with_flag), (7, with_bar), (9, with_tail)], ids=["one", "seven", "nine"]
)
def test_strokes_are_added_and_none_is_taken_away(digits, label, change):
    n_changed = 0
    for seed, ink in enumerate(some(digits, label)):
        changed = change(ink, np.random.default_rng(seed))
        if changed is None:
            continue
        n_changed += 1
        before = enlarged(ink)
        assert changed.shape == before.shape == (224, 224)
        assert (changed >= before).all()
        assert 0 < changed.sum() - before.sum() < 2.5 * before.sum()
        # One piece of ink, as before, but for specks that were there.
        pieces, were = (cv2.connectedComponents((image > 0.4).astype(np.uint8))[0] for image in (changed, before))
        assert pieces <= were
    assert n_changed > 30


def test_a_flag_points_down_to_the_left(digits):
    ink = some(digits, 1)[0]
    for seed in range(60):
        changed = with_flag(ink, np.random.default_rng(seed))
        assert changed is not None
        rows, columns = np.nonzero(changed - enlarged(ink) > 0.5)
        upper = rows < np.nonzero(enlarged(ink) > 0.5)[0].mean()
        if upper.sum() > 50:
            stem = np.nonzero(enlarged(ink) > 0.5)[1]
            assert columns[upper].mean() < stem.max()


def test_what_is_no_line_gets_no_flag(digits):
    assert all(with_flag(ink, np.random.default_rng(0)) is None for ink in some(digits, 0, 20))
    for change in (with_flag, with_bar, with_tail):
        assert change(np.zeros((28, 28), np.float32), np.random.default_rng(0)) is None


def test_a_tail_goes_down_from_the_stem(digits):
    for seed, ink in enumerate(some(digits, 4)):
        changed = with_tail(ink, np.random.default_rng(seed))
        if changed is not None:
            before = enlarged(ink) > 0.5
            assert np.flatnonzero((changed > 0.5).any(1))[-1] > np.flatnonzero(before.any(1))[-1]
            assert np.flatnonzero((changed > 0.5).any(1))[0] == np.flatnonzero(before.any(1))[0]


def test_surroundings_leave_the_digit_to_be_seen(digits):
    for seed, (image, label) in enumerate(zip(digits.images[:200], digits.labels[:200], strict=True)):
        ink = image.astype(np.float32) / 255
        fine, width = enlarged(ink), FINE * stroke_width(ink)
        cut = surrounded(fine, width, int(label), digits.images, np.random.default_rng(seed))
        assert cut.dtype == np.float32
        assert 0 <= cut.min() <= cut.max() <= 1
        rows, columns = (np.flatnonzero((fine > 0.3).any(axis)) for axis in (1, 0))
        size = max(np.ptp(rows), np.ptp(columns))
        # A box that is a little off, and a pen that changes the digit's size by less than itself.
        assert 0.75 * np.ptp(rows) < len(cut) < np.ptp(rows) + 0.35 * size + width
        assert 0.4 * fine.sum() < cut.sum() < 3 * fine.sum() + 100


def test_a_one_gets_no_line_that_makes_it_another_sign(digits):
    # Neither one across, which makes a cross, nor one beside it, which makes eleven.
    for seed, ink in enumerate(some(digits, 1, 200)):
        fine = enlarged(ink)
        cut = surrounded(
            fine, FINE * stroke_width(ink), 1, np.zeros((1, 28, 28), np.uint8), np.random.default_rng(seed)
        )
        across = np.flatnonzero((cut > 0.3).mean(1) > 0.95)
        wide = np.flatnonzero((fine > 0.3).any(0))
        if np.ptp(wide) < 0.3 * len(cut) and cut.shape[1] > 1.5 * np.ptp(wide):
            assert not ((across > 0.2 * len(cut)) & (across < 0.7 * len(cut))).any()


def test_a_blank_image_stays_blank(digits):
    blank = surrounded(np.zeros((224, 224), np.float32), 8.0, 0, digits.images, np.random.default_rng(0))
    assert not blank.any()


def test_a_set_of_variants_is_framed_labelled_and_reproducible(digits):
    images, labels = make_variants(400, digits, seed=5)
    assert images.shape == (400, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert set(labels) == set(range(10))
    shares = np.bincount(labels, minlength=10) / 400
    assert shares[1] > 0.3
    assert shares[7] > 0.1
    assert (images.max(axis=(1, 2)) > 150).all()
    again, _ = make_variants(30, digits, seed=5)
    np.testing.assert_array_equal(again, images[:30])
    assert (make_variants(30, digits, seed=6)[0] != again).any()


def test_a_set_that_lacks_a_digit_has_variants_of_the_others(digits):
    others = ~np.isin(digits.labels, (1, 7))
    images, labels = make_variants(40, Split("training", digits.images[others][:50], digits.labels[others][:50]))
    assert 0 < len(images) == len(labels) < 40
    assert not set(labels) & {1, 7}
    none = Split("training", np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8))
    assert len(make_variants(5, none)[0]) == 0
