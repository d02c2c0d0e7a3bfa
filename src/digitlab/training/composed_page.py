"""Composed page: numbers of MNIST's digits on paper under uneven light, to look at and to judge a reader by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitlab.data.mnist import Split

__all__ = ["ComposedPage", "compose_page"]

_WIDTH_PX, _DIGIT_PX, _APART_PX, _ROW_PX = 900, 84, 60, 165
_LEFT_PX = (60, 500)  # of the two numbers of a row


@dataclass(frozen=True, slots=True, eq=False)
class ComposedPage:
    """A page and what stands on it.

    Attributes
    ----------
    pixels : ndarray
        uint8 (h, w), 0-255, dark ink on paper.
    numbers : tuple of str
        In reading order.
    boxes : tuple of tuple of int
        For each digit left, top, right and bottom, in pixels, half-open, of the image that it was made of.
    """

    pixels: NDArray[np.uint8]
    numbers: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int], ...]


def compose_page(
    digits: Split, *, seed: int = 0, numbers: Sequence[int] = (4, 1, 6, 3, 5, 2), digit_px: int = _DIGIT_PX
) -> ComposedPage:
    """Compose a page of numbers side by side, with a dash that is none in its last line.

    Parameters
    ----------
    digits : Split
        Where the digits come from.
    seed : int
        Which digits, and where exactly they stand.
    numbers : sequence of int
        How many digits each has, at most 6.
    digit_px : int
        Side of the image of a digit, of which its ink fills about two thirds.
    """
    rng = np.random.default_rng(seed)
    scale = digit_px / _DIGIT_PX
    lefts = [
        k * _WIDTH_PX * scale + left for k in range(max(1, round(1 / scale))) for left in np.multiply(_LEFT_PX, scale)
    ]
    n_rows = -(-len(numbers) // len(lefts))
    ink = np.zeros((round(scale * (65 + _ROW_PX * n_rows)), _WIDTH_PX), np.float32)
    written, boxes = [], []
    for k, n in enumerate(numbers):
        chosen = rng.integers(len(digits), size=n)
        written.append("".join(str(label) for label in digits.labels[chosen]))
        left, top = lefts[k % len(lefts)], scale * (50 + _ROW_PX * (k // len(lefts)))
        for at, i in enumerate(chosen):
            x = round(left + scale * (at * _APART_PX + int(rng.integers(-3, 4))))
            y = round(top + scale * int(rng.integers(-6, 7)))
            image = Image.fromarray(digits.images[i]).resize((digit_px, digit_px), Image.Resampling.BICUBIC)
            place = ink[y : y + digit_px, x : x + digit_px]
            np.maximum(place, np.asarray(image, np.float32)[:, : place.shape[1]] / 255, out=place)
            boxes.append((x, y, x + place.shape[1], y + digit_px))
    bottom = ink.shape[0] - round(128 * scale)
    ink[bottom : bottom + max(2, round(6 * scale)), _WIDTH_PX - round(140 * scale) : _WIDTH_PX - round(70 * scale)] = 1
    y, x = np.mgrid[: ink.shape[0], :_WIDTH_PX] / _WIDTH_PX
    light = 238 - 60 * x - 45 * y + rng.normal(0, 3, ink.shape)
    pixels = np.clip(light * (1 - 0.82 * ink), 0, 255).astype(np.uint8)
    return ComposedPage(pixels, tuple(written), tuple(boxes))
