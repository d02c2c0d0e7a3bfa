"""Steps: the way from a photo to 28 x 28, each step as a picture with a sentence, for those who want to see it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.reading.answers import Answers
from digitlab.reading.frame import SIDE_PX, frame
from digitlab.reading.ink import Ink
from digitlab.reading.options import ReadingOptions
from digitlab.reading.page import Way, read_page
from digitlab.reading.photo import Photo
from digitlab.reading.reading import Reading

__all__ = ["Explained", "Step", "explained"]

_MOST_FRAMES = 60  # shown; the sheet of a full page would be too small to see
_COLUMNS = 10
_MAGNIFIED = 2  # times the 28 x 28 images are enlarged
_DIGIT = (0, 150, 70)  # red, green, blue


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the way.

    Attributes
    ----------
    name : str
        "original", "grey", "flat-light", "ink", "glyphs" or "frames": for files and addresses.
    title : str
        For people.
    sentence : str
        What happened and why.
    picture : ndarray
        uint8 (h, w) or (h, w, 3), 0-255.
    """

    name: str
    title: str
    sentence: str
    picture: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Explained:
    """A reading and how it came about."""

    reading: Reading
    steps: tuple[Step, ...]


def explained(photo: Photo, options: ReadingOptions, answers: Answers) -> Explained:
    """Read one photo and show every step."""
    reading, way = read_page(photo, options, answers)
    steps = (
        Step("original", "Original", _of_original(photo), photo.pixels),
        Step(
            "grey",
            "Grey",
            "One number for each pixel: of brightness, red, green and blue the one in which the ink stands out most.",
            _bytes(way.light),
        ),
        Step("flat-light", "Flat light", _of_light(way.ink, options), _flat(way.ink)),
        Step("ink", "Ink", _of_ink(way.ink, reading), _bytes(way.ink.soft)),
        Step("glyphs", "Glyphs", _of_glyphs(reading), _glyphs(way)),
        Step("frames", "28 x 28", _of_frames(options), _frames(way, options)),
    )
    return Explained(reading, steps)


def _of_original(photo: Photo) -> str:
    height, width = photo.pixels.shape[:2]
    size = f"The photo has {photo.width:,} x {photo.height:,} pixels"
    return f"{size}." if (width, height) == (photo.width, photo.height) else f"{size}; {width:,} x {height:,} are used."


def _of_light(ink: Ink, options: ReadingOptions) -> str:
    told = {
        "auto": f"The ink was found to be {'brighter' if ink.is_bright else 'darker'} than its ground",
        "always": "The ink was taken to be darker than its ground, as you said",
        "never": "The ink was taken to be brighter than its ground, as it is in MNIST",
    }[options.invert]
    if not options.flatten:
        return f"{told}. Shadows stay: the whole photo is compared with one brightness of paper."
    return f"{told}. Every pixel is compared with the paper around it, so shadows and yellow paper drop out."


def _of_ink(ink: Ink, reading: Reading) -> str:
    if not ink.mask.any():
        return "Nothing differs from the paper by more than the paper's own noise: there is no ink."
    turned = f" The page was turned by {reading.turned} degrees." if reading.turned else ""
    skewed = f" It was straightened by {reading.skew:.1f} degrees." if reading.skew else ""
    return f"What differs from the paper is ink, bright on dark as in MNIST; ruled lines are gone.{turned}{skewed}"


def _of_glyphs(reading: Reading) -> str:
    n, m = len(reading.digits), len(reading.refused)
    return f"{n} digit{'' if n == 1 else 's'} in boxes, {m} other thing{'' if m == 1 else 's'} refused."


def _of_frames(options: ReadingOptions) -> str:
    fitted = "Every glyph is fitted into 20 x 20 and its strokes are made as wide as MNIST's"
    if options.center:
        return f"{fitted}; its centre of mass is put in the middle of 28 x 28. This is what the network sees."
    return f"{fitted}, but it is left in the corner: the network has never seen a digit there."


def _bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _flat(ink: Ink) -> NDArray[np.uint8]:
    # As paper with ink on it: white where there is nothing, black at the contrast of strong ink.
    inked = ink.flat[ink.mask]
    solid = float(np.percentile(inked, 90)) if inked.size else 1.0
    return _bytes(1 - ink.flat / np.float32(max(solid, 0.1)))


def _glyphs(way: Way) -> NDArray[np.uint8]:
    picture = np.asarray(cv2.cvtColor(_bytes(way.ink.soft), cv2.COLOR_GRAY2RGB), np.uint8)
    thickness = max(1, round(max(picture.shape) / 500))
    for box, _ in way.glyphs:
        cv2.rectangle(picture, (box.left, box.top), (box.right - 1, box.bottom - 1), _DIGIT, thickness)
    return picture


def _frames(way: Way, options: ReadingOptions) -> NDArray[np.uint8]:
    shown = way.glyphs[:_MOST_FRAMES]
    side = SIDE_PX * _MAGNIFIED + 2
    columns = max(1, min(_COLUMNS, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    sheet = np.full((rows * side, columns * side), 96, np.uint8)
    for k, (_, ink) in enumerate(shown):
        image = _bytes(frame(ink, center=options.center)).repeat(_MAGNIFIED, 0).repeat(_MAGNIFIED, 1)
        top, left = k // columns * side + 1, k % columns * side + 1
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
