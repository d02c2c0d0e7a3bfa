"""What a split of digits is made of: how many of each class, their mean images, and examples drawn by a seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.values import CLASS_NAMES

__all__ = ["class_counts", "draw_examples", "mean_images"]


# Splits are few and never change, and several pages ask for the same: the last few answers are kept.
@lru_cache(maxsize=6)
def class_counts(split: Split) -> NDArray[np.int64]:
    """Return how many images of each class there are, int64 (10,)."""
    counts = np.bincount(split.labels, minlength=len(CLASS_NAMES)).astype(np.int64)
    counts.setflags(write=False)
    return counts


@lru_cache(maxsize=6)
def mean_images(split: Split) -> NDArray[np.uint8]:
    """Return the mean image of each class, uint8 (10, 28, 28), 0-255; black where a class has no image."""
    means = np.zeros((len(CLASS_NAMES), *split.images.shape[1:]), np.uint8)
    for label in range(len(CLASS_NAMES)):
        chosen = np.flatnonzero(split.labels == label)
        if chosen.size:
            sums = np.zeros(split.images.shape[1:], np.int64)
            # In parts, because a class of a mapped set of any size need not fit into memory.
            for part in np.array_split(chosen, -(-chosen.size // 4096)):
                sums += split.images[part].sum(axis=0, dtype=np.int64)
            means[label] = np.rint(sums / chosen.size)
    means.setflags(write=False)
    return means


def draw_examples(split: Split, n: int, seed: int, label: int | None = None) -> NDArray[np.intp]:
    """Draw images at random, without replacement.

    For a seed, fewer are the first of more; so "more" adds to what is seen and changes nothing.

    Parameters
    ----------
    split : Split
        Where to draw from.
    n : int
        At most so many.
    seed : int
        0 or more.
    label : int, optional
        Only of this class.

    Returns
    -------
    intp (m,), m <= n
        Positions in the split.
    """
    among = np.arange(len(split)) if label is None else np.flatnonzero(split.labels == label)
    return np.random.default_rng(seed).permutation(among)[:n]
