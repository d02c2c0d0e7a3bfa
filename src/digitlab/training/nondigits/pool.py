"""The pool: so many images that are no digit, of every kind, made from a seed and framed as the reader frames."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.reading.frame import frame
from digitlab.training.nondigits.fonts import Font, draw_letter, find_fonts
from digitlab.training.nondigits.handwriting import penned_letter
from digitlab.training.nondigits.marks import dot, line, scribble, sign, texture
from digitlab.training.nondigits.pieces import join, piece, torn_join

__all__ = ["KINDS", "PRINTED", "Nondigits", "fonts_for", "make_nondigits"]

#: Kinds with their shares; they sum to 1.
KINDS: dict[str, float] = {
    "printed letter": 0.22,
    "penned letter": 0.25,
    "pair": 0.13,
    "triple": 0.04,
    "torn pair": 0.1,
    "piece": 0.04,
    "scribble": 0.05,
    "line": 0.05,
    "sign": 0.06,
    "dot": 0.03,
    "texture": 0.03,
}
#: Signs that no digit looks like, in most hands and fonts.
PRINTED = "ACEFGHJKLMNPRTUVWXYacdefhkmnprtuvwxy" + "&@#%+=*~<€"

# One of the streams that come from a seed: see engine/augmentation.py for the others.
_STREAM = 5
# Every fifth font is for validation only, by its name, so that it is the same one on every machine.
_VALIDATION_FONTS = 5


@dataclass(frozen=True, eq=False)
class Nondigits:
    """Images that are no digit.

    Attributes
    ----------
    images : ndarray
        uint8 (n, 28, 28), 0-255, ink bright on dark.
    kinds : ndarray
        int64 (n,): the position of each image's kind in ``KINDS``.
    fonts : tuple of str
        Names of the fonts that letters were drawn from.
    """

    images: NDArray[np.uint8]
    kinds: NDArray[np.int64]
    fonts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """SHA-256 of the images, in hexadecimal: another machine may have other fonts."""
        return hashlib.sha256(self.images.tobytes()).hexdigest()


def make_nondigits(n: int, digits: Split, *, seed: int = 0, fonts: Sequence[Font] | None = None) -> Nondigits:
    """Make images that are no digit.

    Image ``i`` depends on the seed, the split's name and images, the fonts and ``i``: fewer are the first of more.

    Parameters
    ----------
    n : int
        How many.
    digits : Split
        What pieces and pairs are made of. For the validation split, fonts are used that training never sees.
    seed : int
        0 or more.
    fonts : sequence of Font, optional
        What letters are drawn from; by default all that this machine has.
    """
    found = find_fonts() if fonts is None else fonts
    own = fonts_for(digits, found)
    images = np.zeros((n, 28, 28), np.uint8)
    kinds = np.zeros(n, np.int64)
    bounds = np.cumsum(list(KINDS.values()))
    bounds[-1] = 1.0
    makers = _makers(digits, own)
    key = zlib.crc32(digits.name.encode())
    for i in range(n):
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, key, i)))
        kinds[i] = min(int(np.searchsorted(bounds, rng.random(), side="right")), len(KINDS) - 1)
        images[i] = np.round(makers[kinds[i]](rng) * 255)
    return Nondigits(images, kinds, tuple(font.name for font in own))


def fonts_for(digits: Split, fonts: Sequence[Font]) -> list[Font]:
    """Return the fonts of a split: what is drawn for the validation split is from fonts that training never sees."""
    return [font for font in fonts if _is_for_validation(font) == (digits.name != "training")] or list(fonts)


def _is_for_validation(font: Font) -> bool:
    return zlib.crc32(font.name.encode()) % _VALIDATION_FONTS == 0


def _makers(digits: Split, fonts: Sequence[Font]) -> list[Callable[[np.random.Generator], NDArray[np.float32]]]:
    images, labels = digits.images, digits.labels

    def printed(rng: np.random.Generator) -> NDArray[np.float32]:
        for _ in range(20):
            drawn = draw_letter(fonts[int(rng.integers(len(fonts)))], PRINTED[int(rng.integers(len(PRINTED)))])
            if drawn.any():
                return _bent(drawn, rng)
        return penned_letter(rng)

    makers: dict[str, Callable[[np.random.Generator], NDArray[np.float32]]] = {
        "printed letter": printed,
        "penned letter": penned_letter,
        "pair": lambda rng: join(images, rng, 2),
        "triple": lambda rng: join(images, rng, 3),
        "torn pair": lambda rng: torn_join(images, rng),
        "piece": lambda rng: piece(images, labels, rng),
        "scribble": scribble,
        "line": line,
        "sign": sign,
        "dot": dot,
    }
    framed = {name: (lambda rng, make=make: frame(make(rng))) for name, make in makers.items()}
    return [framed.get(name, texture) for name in KINDS]


def _bent(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Warp a printed letter as strongly as hands differ from print, and let its strokes be thicker or thinner."""
    side = len(ink)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    arrows = rng.normal(0, 1, (2, 5, 5)).astype(np.float32) * np.float32(rng.uniform(0, side * 0.05))
    bend_x, bend_y = (cv2.resize(a, (side, side), interpolation=cv2.INTER_CUBIC) for a in arrows)
    slant = np.float32(rng.uniform(-0.3, 0.5))
    warped = cv2.remap(ink, x + slant * (y - side / 2) + bend_x, y + bend_y, cv2.INTER_LINEAR)
    change = int(rng.integers(-2, 5))
    if change > 0:
        warped = cv2.dilate(warped, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (change + 1, change + 1)))
    return np.asarray(warped, np.float32)
