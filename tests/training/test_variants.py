"""Variants of ones and sevens: strokes are added, nothing else changes, and they come from the seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from digitlab.data.mnist import MnistData, Split
from digitlab.training.variants import make_variants, with_bar, with_flag


@pytest.fixture(scope="module")
def digits():
    return MnistData.load().training


def some(digits, label, n=60):
    return digits.images[digits.labels == label][:n].astype(np.float32) / 255


def enlarged(ink):
    return np.pad(np.clip(cv2.resize(ink, (112, 112), interpolation=cv2.INTER_CUBIC), 0, 1), 56)


@pytest.mark.parametrize(("label", "change"), [(1, with_flag), (7, with_bar)], ids=["one", "seven"])
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
        assert 0 < changed.sum() - before.sum() < 2 * before.sum()
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
    assert with_flag(np.zeros((28, 28), np.float32), np.random.default_rng(0)) is None
    assert with_bar(np.zeros((28, 28), np.float32), np.random.default_rng(0)) is None


def test_a_set_of_variants_is_framed_labelled_and_reproducible(digits):
    images, labels = make_variants(80, digits, seed=5)
    assert images.shape == (80, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert set(labels) == {1, 7}
    assert (images.max(axis=(1, 2)) > 200).all()
    again, _ = make_variants(30, digits, seed=5)
    np.testing.assert_array_equal(again, images[:30])
    assert (make_variants(30, digits, seed=6)[0] != again).any()


def test_a_set_without_ones_and_sevens_has_no_variants(digits):
    others = ~np.isin(digits.labels, (1, 7))
    images, labels = make_variants(5, Split("training", digits.images[others][:50], digits.labels[others][:50]))
    assert len(images) == len(labels) == 0
