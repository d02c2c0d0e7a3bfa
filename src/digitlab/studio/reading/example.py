"""An example to read: a page of numbers made of MNIST's test digits, under uneven light, and a dash that is none."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from digitlab.data.mnist import Split

__all__ = ["EXAMPLE_NAME", "example_page"]

#: What the page is called.
EXAMPLE_NAME = "example.png"

_WIDTH, _HEIGHT = 900, 560
_NUMBERS = (4, 1, 6, 3, 5, 2)
_DIGIT_PX, _APART_PX = 84, 60


def example_page(digits: Split, *, seed: int = 0) -> tuple[bytes, tuple[str, ...]]:
    """Compose a page.

    Parameters
    ----------
    digits : Split
        Where the digits come from.
    seed : int
        Which digits, and where exactly they stand.

    Returns
    -------
    content : bytes
        A PNG file, grey, dark ink on paper with a shadow.
    numbers : tuple of str
        What stands on it, in reading order.
    """
    rng = np.random.default_rng(seed)
    ink = np.zeros((_HEIGHT, _WIDTH), np.float32)
    numbers = []
    for k, n in enumerate(_NUMBERS):
        chosen = rng.integers(len(digits), size=n)
        numbers.append("".join(str(label) for label in digits.labels[chosen]))
        left, top = (60, 500)[k % 2], 50 + 165 * (k // 2)
        for at, i in enumerate(chosen):
            x, y = left + at * _APART_PX + int(rng.integers(-3, 4)), top + int(rng.integers(-6, 7))
            image = Image.fromarray(digits.images[i]).resize((_DIGIT_PX, _DIGIT_PX), Image.Resampling.BICUBIC)
            place = ink[y : y + _DIGIT_PX, x : x + _DIGIT_PX]
            np.maximum(place, np.asarray(image, np.float32)[:, : place.shape[1]] / 255, out=place)
    # A dash, which is to be refused.
    ink[_HEIGHT - 128 : _HEIGHT - 122, 760:830] = 1
    y, x = np.mgrid[:_HEIGHT, :_WIDTH] / _WIDTH
    light = 238 - 60 * x - 45 * y + rng.normal(0, 3, ink.shape)
    page = np.clip(light * (1 - 0.82 * ink), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(page).save(file, "PNG")
    return file.getvalue(), tuple(numbers)
