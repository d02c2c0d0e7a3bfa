"""Pages with truth, composed from MNIST's test digits, and the reader that all tests share."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.reading.reader import Reader

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Page:
    """A composed page: uint8 (h, w, 3), and for each number in reading order its digits and their boxes."""

    pixels: NDArray[np.uint8]
    numbers: tuple[str, ...]
    boxes: tuple[tuple[Box, ...], ...]

    @property
    def digits(self) -> list[tuple[str, Box]]:
        return list(zip("".join(self.numbers), [box for boxes in self.boxes for box in boxes], strict=True))


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="session")
def compose() -> Callable[..., Page]:
    """Return the composer: ``compose(seed, ...)`` gives a page of 20 numbers of 1 to 12 digits."""
    test = MnistData.load().test
    return lambda seed, **settings: _page(test.images.reshape(-1, 28, 28), test.labels, seed, **settings)


@pytest.fixture(scope="session")
def benchmark_modules() -> Iterator[Callable[[str], ModuleType]]:
    """Import what composes pictures for measuring, too: a script of ``benchmarks``, which is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
        yield importlib.import_module


def _page(
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    seed: int,
    n_numbers: int = 20,
    most_digits: int = 12,
    height_px: int = 44,
    skew: float = 0.0,
    shadow: float = 0.35,
    noise: float = 4.0,
    size: tuple[int, int] = (1400, 1100),
) -> Page:
    """Write numbers line by line with a pen of one width on paper, then light it unevenly and turn it by ``skew``."""
    random = np.random.default_rng(seed)
    width, height = size
    ink = np.zeros((height, width), np.float32)
    # What turning about the middle moves up or down must stay on the page.
    margin = 60 + round(abs(np.sin(np.deg2rad(skew))) * width / 2)
    left, top = 60, margin
    numbers, boxes = [], []
    pen = int(random.integers(0, 3))
    for _ in range(n_numbers):
        chosen = random.integers(0, len(labels), random.integers(1, most_digits + 1))
        glyphs = [_glyph(images[k], height_px, pen, random) for k in chosen]
        gaps = random.integers(3, 9, len(glyphs))
        wide = sum(glyph.shape[1] for glyph in glyphs) + int(gaps.sum())
        if left + wide > width - 60:
            left, top = 60, top + round(2.1 * height_px)
        placed = []
        for glyph, gap in zip(glyphs, gaps, strict=True):
            y = top + height_px - glyph.shape[0] + int(random.integers(-3, 4))
            part = ink[y : y + glyph.shape[0], left : left + glyph.shape[1]]
            np.maximum(part, glyph, out=part)
            placed.append((left, y, left + glyph.shape[1], y + glyph.shape[0]))
            left += glyph.shape[1] + int(gap)
        left += round(1.8 * height_px)
        numbers.append("".join(str(int(labels[k])) for k in chosen))
        boxes.append(tuple(placed))
    assert top + height_px < height - 40, "the page is full; compose fewer or smaller digits"
    if skew:
        # Clockwise as a reader would have to turn it back: the page itself is turned the other way.
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), skew, 1.0)
        ink = cv2.warpAffine(ink, matrix, (width, height))
    grain = cv2.GaussianBlur(random.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 1.5)
    paper = 226 + 6 * grain / grain.std()
    gradient = np.linspace(1 - shadow, 1, width)[None, :] * np.linspace(1, 1 - shadow / 2, height)[:, None]
    light = paper * (1 - ink * random.uniform(0.6, 0.85)) * gradient + random.normal(0, noise, (height, width))
    tint = np.array([1.0, 0.97, 0.88])  # yellowish
    pixels = np.clip(light[..., None] * tint, 0, 255).astype(np.uint8)
    return Page(pixels, tuple(numbers), tuple(boxes))


def _glyph(image: NDArray[np.uint8], height_px: int, pen: int, random: np.random.Generator) -> NDArray[np.float32]:
    """A test digit, enlarged, with a thinner or thicker pen."""
    scale = height_px / 20 * random.uniform(0.9, 1.1)
    large = cv2.resize(image.astype(np.float32) / 255, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    if pen:
        change = cv2.erode if pen == 1 else cv2.dilate
        large = change(large, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    left, top, wide, high = cv2.boundingRect((large > 0.3).astype(np.uint8))
    return np.clip(large[top : top + high, left : left + wide], 0, 1)
