"""Choosing some images of a split, by a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.errors import ConfigError

__all__ = ["choose_images", "chosen_places"]

# One of the streams that come from a seed: 0 draws weights, 1 the order of an epoch, 2 dropout.
_STREAM = 3


def chosen_places(split: Split, n: int, seed: int) -> NDArray[np.intp]:
    """Choose ``n`` images of a split at random, without replacement; all of them in their order if ``n`` is the number.

    For a seed, fewer images are the first of more.

    Returns
    -------
    ndarray
        intp (n,), their places in the split.

    Raises
    ------
    ConfigError
        If there are not so many, or ``n`` is below 1.
    """
    if n < 1:
        raise ConfigError(f"At least 1 of the {split.name} images must be asked for; got {n}.")
    if n > len(split):
        raise ConfigError(
            f"There are {len(split):,} {split.name} images; {n:,} were asked for. Ask for at most {len(split):,}."
        )
    if n == len(split):
        return np.arange(n)
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM,)))
    return rng.permutation(len(split))[:n]


def choose_images(split: Split, n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images and labels at ``chosen_places``, uint8 (n, 28, 28) and (n,); all of them without a copy."""
    places = chosen_places(split, n, seed)
    return (split.images, split.labels) if n == len(split) else (split.images[places], split.labels[places])
