"""Choosing some images of a split, by a seed."""

from __future__ import annotations

import numpy as np
import pytest

from digitlab.data.mnist import Split, choose_images
from digitlab.errors import ConfigError

SPLIT = Split(
    "test",
    np.arange(50, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2),
    np.arange(50, dtype=np.uint8) % 10,
)


def test_images_are_chosen_once_each_with_their_labels() -> None:
    images, labels = choose_images(SPLIT, 20, seed=1)
    numbers = images[:, 0, 0]
    assert len(set(numbers.tolist())) == 20
    assert np.array_equal(labels, numbers % 10)


def test_a_seed_chooses_the_same_images_and_fewer_are_the_first_of_more() -> None:
    few, many = choose_images(SPLIT, 5, seed=1)[0], choose_images(SPLIT, 20, seed=1)[0]
    assert np.array_equal(few, many[:5])
    assert not np.array_equal(many, choose_images(SPLIT, 20, seed=2)[0])


def test_all_images_come_in_their_order() -> None:
    images, labels = choose_images(SPLIT, 50, seed=1)
    assert np.array_equal(images, SPLIT.images)
    assert np.array_equal(labels, SPLIT.labels)


@pytest.mark.parametrize("n", [-1, 0, 51])
def test_a_number_that_cannot_be_chosen_is_a_sentence(n: int) -> None:
    with pytest.raises(ConfigError, match="test images"):
        choose_images(SPLIT, n, seed=0)
