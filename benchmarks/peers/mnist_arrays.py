"""MNIST as four arrays in a folder, so that every contestant reads the same bytes.

``python mnist_arrays.py FOLDER`` writes them (this needs digitlab; the rest does not).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

#: Of the 60,000 training images the last 5,000 are digitlab's validation images.
N_VALIDATION = 5_000


class Digits(NamedTuple):
    """Images, uint8 (n, 28, 28), 0-255, ink bright on dark, and labels, int64 (n,), 0-9, mapped from their files."""

    training_images: np.ndarray
    training_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def write_digits(folder: Path) -> None:
    """Write the four arrays; the validation images come last among the 60,000 training images."""
    import digitlab

    data = digitlab.MnistData.load()
    arrays = Digits(
        np.concatenate([data.training.images, data.validation.images]),
        np.concatenate([data.training.labels, data.validation.labels]).astype(np.int64),
        data.test.images,
        data.test.labels.astype(np.int64),
    )
    for name, array in zip(Digits._fields, arrays, strict=True):
        np.save(folder / f"{name}.npy", array)


def read_digits(folder: Path) -> Digits:
    """Map the four arrays into memory."""
    return Digits(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in Digits._fields))


def as_floats(images: np.ndarray) -> np.ndarray:
    """Return images as float32 (n, 28, 28) in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


if __name__ == "__main__":
    write_digits(Path(sys.argv[1]))
    # The benchmark runs this as it runs a contestant, and those end with a line of JSON.
    print(json.dumps({}))
