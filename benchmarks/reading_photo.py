"""A photo of handwritten numbers, composed from MNIST's test digits on paper with a shadow and a camera's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitlab.data.mnist import MnistData


@dataclass(frozen=True)
class ComposedPhoto:
    """Grey pixels, uint8 (h, w), 0-255, and the numbers on them, a line each."""

    pixels: NDArray[np.uint8]
    numbers: tuple[str, ...]


def compose(n_lines: int = 8, n_digits: int = 5, width: int = 4000, height: int = 3000, seed: int = 0) -> ComposedPhoto:
    """Write numbers on paper, one a line, with ink of MNIST's test digits.

    Parameters
    ----------
    n_lines, n_digits : int
        Numbers, and digits in each.
    width, height : int
        Pixels.
    seed : int
        Chooses digits, places, paper and noise.
    """
    rng = np.random.default_rng(seed)
    test = MnistData.load().test
    ink = np.zeros((height, width), np.float32)
    side = min(height // (2 * n_lines), width // (2 * n_digits))
    numbers = []
    for line in range(n_lines):
        chosen = rng.integers(0, len(test), n_digits)
        left = int(rng.integers(side // 2, max(side, width // 4)))
        top = side // 2 + line * (height - side) // n_lines
        for index in chosen:
            size = round(side * rng.uniform(0.9, 1.1))
            digit = Image.fromarray(test.images[index]).resize((size, size), Image.Resampling.BICUBIC)
            y = top + int(rng.integers(-side // 20, side // 20 + 1))
            place = ink[y : y + size, left : left + size]
            np.maximum(place, np.asarray(digit, np.float32)[: place.shape[0], : place.shape[1]] / 255, out=place)
            left += round(0.85 * side)
        numbers.append("".join(str(test.labels[index]) for index in chosen))
    return ComposedPhoto(photographed(ink, rng), tuple(numbers))


def photographed(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Put ink on paper with a grain, a shadow from one side, and noise."""
    height, width = ink.shape
    coarse = Image.fromarray(rng.normal(0, 1, (-(-height // 40), -(-width // 40))).astype(np.float32))
    grain = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 230 - 90 * (x / width) ** 2 - 40 * (y / height)
    noise = rng.normal(0, 4, ink.shape).astype(np.float32)
    return np.clip(light * (1 - 0.75 * ink) + 2 * grain + noise, 0, 255).astype(np.uint8)
