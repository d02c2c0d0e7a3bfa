"""Steps: the way from a photo to its numbers, each step as a picture with a sentence, for those who want to see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.data.frame import SIDE_PX, frame
from digitlab.reading.answers import Answers
from digitlab.reading.page import Way, read_page
from digitlab.reading.photo import Photo
from digitlab.reading.reading import Reading, ReadingOptions
from digitlab.reading.second_look import PATCH_PX, patches_of

_MOST_FRAMES = 60  # shown; the sheet of a full page would be too small to see
_COLUMNS = 10
_MAGNIFIED = 2  # times small images are enlarged
_DIGIT, _DOUBTED, _LINE = (0, 150, 70), (214, 90, 40), (40, 90, 214)  # red, green, blue
_SHOWN_P = 0.05  # candidates that are drawn
# Contrasts that are drawn black and white; most ink is within.
_BLACK, _WHITE = -3.0, 3.0
_HIGHEST_PX = 500  # of a level as it is drawn


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the way: its name for files and addresses, its title, what happened and why, and the picture.

    The picture is uint8 (h, w) or (h, w, 3), 0-255.
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
    return Explained(reading, steps_of(photo, options, reading, way))


def steps_of(photo: Photo, options: ReadingOptions, reading: Reading, way: Way) -> tuple[Step, ...]:
    """Show the steps of a way that was gone."""
    return (
        Step("original", "Original", _of_original(photo), photo.pixels),
        Step("grey", "Grey", _of_grey(reading), _bytes(way.light)),
        Step("contrast", "Local contrast", _of_contrast(options), _contrast(way)),
        Step("pyramid", "Pyramid", _of_pyramid(way), _pyramid(way)),
        Step("heat", "Centres of digits", _of_heat(), _heat(way)),
        Step("second-look", "Second look", _of_second_look(), _second_look(way)),
        Step("candidates", "Candidates", _of_candidates(way), _candidates(way)),
        Step("lines", "Lines", _of_lines(reading), _lines(reading, way)),
        Step("frames", "28 x 28", _of_frames(options), _frames(way, options)),
    )


def _of_original(photo: Photo) -> str:
    height, width = photo.pixels.shape[:2]
    size = f"As it came: {photo.width:,} x {photo.height:,} pixels"
    return f"{size}." if (width, height) == (photo.width, photo.height) else f"{size}; {width:,} x {height:,} are used."


def _of_grey(reading: Reading) -> str:
    done = "One number for each pixel: brightness, or the colour in which the ink stands out clearly better."
    if reading.turned:
        done += f" Turned by {reading.turned} degrees: that way up its digits are surest."
    return done + (f" Straightened by {reading.skew:g} degrees, so that its lines are level." if reading.skew else "")


def _of_contrast(options: ReadingOptions) -> str:
    if not options.flatten:
        return "Left out: one light is taken for the whole page, and shadows count as much as ink."
    return (
        "Each pixel is compared with the mean around it, in units of the spread around it. "
        "Shadows, yellow paper and faint pencil look alike now."
    )


def _of_pyramid(way: Way) -> str:
    return (
        f"The finder knows digits of 14 to 34 pixels, so it looks at the page in {len(way.levels)} sizes: "
        "every digit has the right size in three or four of them."
    )


def _of_heat() -> str:
    return (
        "The codelab's convolution, slid over the whole page: a small network answers at every place how probably "
        "the middle of a digit is there. Edges, rules and letters it has learned to leave cold."
    )


def _of_second_look() -> str:
    return (
        "Every hot spot at one size with what stands around it, as a larger network sees it: it has learned from what "
        "the finder took for digits, right (green) and wrong (orange)."
    )


def _of_candidates(way: Way) -> str:
    if not len(way.marks):
        return "There is no hot spot: nothing here looks like a digit."
    sure = sum(int(p >= 0.5) for p in way.sure)
    return (
        f"{len(way.marks)} hot spots, each with a size and a first guess. With what the networks say of each, "
        f"{sure} are digits (green) and the others are not (orange)."
    )


def _of_lines(reading: Reading) -> str:
    n = len(reading.lines)
    if not n:
        return "Digits side by side make lines; here there are none."
    return (
        f"Digits side by side make {n} line{'' if n == 1 else 's'}, whatever their course. Along each the likeliest "
        "way to take or leave every candidate is chosen; wide gaps and separators part numbers."
    )


def _of_frames(options: ReadingOptions) -> str:
    placed = "its centre of mass in the middle" if options.center else "in the upper left corner: centring is left out"
    return f"Each digit's ink, fitted into 20 x 20 pixels and put into 28 x 28, {placed}, as MNIST's digits were made."


def _bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _grey_of(contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
    return _bytes((contrast - np.float32(_BLACK)) / np.float32(_WHITE - _BLACK))


def _contrast(way: Way) -> NDArray[np.uint8]:
    return _grey_of(way.levels[0].contrast)


def _pyramid(way: Way) -> NDArray[np.uint8]:
    """The levels side by side, the largest on the left."""
    first = way.levels[0].contrast
    shrink = min(1.0, _HIGHEST_PX / max(first.shape))
    pictures = []
    for level in way.levels:
        size = tuple(max(1, round(side * shrink)) for side in level.contrast.shape[::-1])
        pictures.append(cv2.resize(_grey_of(level.contrast), size, interpolation=cv2.INTER_AREA))
    sheet = np.full((pictures[0].shape[0], sum(p.shape[1] + 4 for p in pictures)), 255, np.uint8)
    left = 0
    for picture in pictures:
        sheet[-picture.shape[0] :, left : left + picture.shape[1]] = picture
        left += picture.shape[1] + 4
    return sheet


def _on_page(way: Way) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(_bytes(0.35 + 0.65 * way.light), cv2.COLOR_GRAY2RGB), np.uint8)


def _heat(way: Way) -> NDArray[np.uint8]:
    """The surest level's answer at every place, in red over the page."""
    height, width = way.light.shape
    heat = np.zeros((height, width), np.float32)
    for level in way.levels:
        np.maximum(heat, cv2.resize(level.heat, (width, height), interpolation=cv2.INTER_LINEAR), out=heat)
    page = _on_page(way).astype(np.float32)
    strength = heat[..., None] ** np.float32(1.5)
    return (page * (1 - strength) + np.array([220, 20, 40], np.float32) * strength).astype(np.uint8)


def _candidates(way: Way) -> NDArray[np.uint8]:
    picture = _on_page(way)
    thickness = max(1, round(max(picture.shape) / 700))
    for k in np.argsort(way.sure):
        if way.sure[k] >= _SHOWN_P:
            left, top, right, bottom = (round(edge) for edge in way.marks.box(int(k)))
            color = _DIGIT if way.sure[k] >= 0.5 else _DOUBTED
            cv2.rectangle(picture, (left, top), (right, bottom), color, thickness)
            scale = max(0.35, (bottom - top) / 90)
            text = f"{100 * way.sure[k]:.0f}"
            cv2.putText(picture, text, (left, top - 2), cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
    return picture


def _lines(reading: Reading, way: Way) -> NDArray[np.uint8]:
    picture = _on_page(way)
    thickness = max(2, round(max(picture.shape) / 500))
    done = 0
    for line in reading.lines:
        for number in line.numbers:
            marks = way.read[done : done + len(number.digits)]
            done += len(marks)
            course = np.array([[way.marks.x[k], way.marks.y[k]] for k in marks]).round().astype(np.int32)
            cv2.polylines(picture, [course], False, _LINE, thickness, cv2.LINE_AA)
            for k in marks:
                left, top, right, bottom = (round(edge) for edge in way.marks.box(k))
                cv2.rectangle(picture, (left, top), (right, bottom), _DIGIT, max(1, thickness // 2))
    return picture


def _second_look(way: Way) -> NDArray[np.uint8]:
    """The surest candidates and the likeliest mistakes, framed by what they were taken for."""
    shown = np.argsort(-way.sure, kind="stable")[:_MOST_FRAMES]
    patches = patches_of(way.levels, way.marks[shown])
    colors = [_DIGIT if way.sure[k] >= 0.5 else _DOUBTED for k in shown]
    return _sheet([np.repeat(patch[..., None], 3, 2) for patch in patches], PATCH_PX, colors)


def _frames(way: Way, options: ReadingOptions) -> NDArray[np.uint8]:
    framed = [_bytes(frame(way.glyphs[mark], center=options.center)) for mark in way.read[:_MOST_FRAMES]]
    return _sheet(framed, SIDE_PX, [96] * len(framed))


def _sheet(
    images: Sequence[NDArray[np.generic]], side_px: int, borders: Sequence[int | tuple[int, int, int]]
) -> NDArray[np.uint8]:
    """Small images in rows, enlarged, each with a border."""
    side = side_px * _MAGNIFIED + 2
    columns = max(1, min(_COLUMNS, len(images)))
    rows = max(1, -(-len(images) // columns))
    sheet = np.full((rows * side, columns * side, *(images[0].shape[2:] if images else ())), 96, np.uint8)
    for k, (image, border) in enumerate(zip(images, borders, strict=True)):
        top, left = k // columns * side, k % columns * side
        sheet[top : top + side, left : left + side] = border
        inside = sheet[top + 1 : top + side - 1, left + 1 : left + side - 1]
        inside[:] = image.repeat(_MAGNIFIED, 0).repeat(_MAGNIFIED, 1)
    return sheet
