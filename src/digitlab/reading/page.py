"""Page: the whole way of one photo, from pixels to a reading, each step in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.reading.answers import Answers
from digitlab.reading.ink import Ink, find_ink
from digitlab.reading.light import grey
from digitlab.reading.lines import group_lines
from digitlab.reading.numbers import ReadDigit, read_lines, without_doubtful
from digitlab.reading.options import ReadingOptions
from digitlab.reading.photo import Photo
from digitlab.reading.reading import Alternative, Box, Digit, Line, Number, Reading, Refused
from digitlab.reading.ruling import remove_ruling
from digitlab.reading.strokes import find_strokes, joined
from digitlab.reading.upright import find_skew, find_turn, rotated_size, straightened, turned

__all__ = ["Way", "digit_ink", "ink_of", "read_page"]


@dataclass(frozen=True, eq=False)
class Way:
    """What was found on the way, for showing it.

    Attributes
    ----------
    light : ndarray
        float32 (h, w), 0-1: the grey that was chosen, as the photo lies.
    ink : Ink
        Of the upright photo, without ruled lines.
    glyphs : tuple of (Box, ndarray)
        What was read as a digit: its box in ``ink``, and its ink.
    """

    light: NDArray[np.float32]
    ink: Ink
    glyphs: tuple[tuple[Box, NDArray[np.float32]], ...]


def ink_of(pixels: NDArray[np.uint8], options: ReadingOptions) -> tuple[NDArray[np.float32], Ink]:
    """Return the grey and the ink of a picture, as it lies."""
    light = grey(pixels)
    return light, find_ink(light, options.invert, options.flatten)


def digit_ink(pixels: NDArray[np.uint8], options: ReadingOptions) -> NDArray[np.float32] | None:
    """Return the ink of the one digit that a picture holds: float32 (h, w), 0-1; None without ink.

    The largest strokes count, and what is close to them; frames, the paper's edge and specks do not.
    """
    _, ink = ink_of(pixels, options)
    ink, _, inside = remove_ruling(ink)
    within = [stroke for stroke in find_strokes(ink) if _is_in(stroke.box, inside)]
    lines, _ = group_lines(within, (ink.mask.shape[1], ink.mask.shape[0]))
    strokes = [stroke for line in lines for stroke in line.strokes]
    if not strokes:
        return None
    main = max(strokes, key=lambda stroke: float(stroke.soft.sum()) * stroke.box.height)
    usual = max(main.box.height, main.box.width)
    chosen = [main]
    for stroke in strokes:
        apart_x = max(stroke.box.left - main.box.right, main.box.left - stroke.box.right, 0)
        apart_y = max(stroke.box.top - main.box.bottom, main.box.top - stroke.box.bottom, 0)
        is_part = max(stroke.box.width, stroke.box.height) > 0.3 * usual
        if stroke is not main and is_part and max(apart_x, apart_y) < 0.3 * usual:
            chosen.append(stroke)
    return joined(chosen).soft


def read_page(photo: Photo, options: ReadingOptions, answers: Answers) -> tuple[Reading, Way]:
    """Read one photo."""
    light, ink = ink_of(photo.pixels, options)
    turn = find_turn(ink, answers.of_images) if options.turn else 0
    ink = turned(ink, turn)
    skew = find_skew(ink) if options.straighten else 0.0
    ink = straightened(ink, skew)
    ink, ruled, inside = remove_ruling(ink)

    width, height = (photo.height, photo.width) if turn in (90, 270) else (photo.width, photo.height)
    if skew:
        width, height = rotated_size(width, height, skew)
    place = _placer(ink.mask.shape, width, height)

    size = (ink.mask.shape[1], ink.mask.shape[0])
    refusals = [Refused(place(box), "ruling") for box in ruled]
    within = []
    for stroke in find_strokes(ink):
        if _is_in(stroke.box, inside):
            within.append(stroke)
        else:
            refusals.append(Refused(place(stroke.box), "edge"))
    found, refused = group_lines(within, size)
    refusals += [Refused(place(stroke.box), reason) for stroke, reason in refused]
    lines: list[Line] = []
    glyphs: list[tuple[Box, NDArray[np.float32]]] = []
    for numbers, others in without_doubtful(read_lines(found, ink.stroke_px, options, answers), within):
        refusals += [_refusal(place(stroke.box), reason, probabilities) for stroke, reason, probabilities in others]
        if numbers:
            line = _line([[_digit(read, place) for read in number] for number in numbers])
            lines.append(line)
            glyphs += [(read.stroke.box, read.stroke.soft) for number in numbers for read in number]
    reading = Reading(photo.source, photo.page, width, height, turn, skew, tuple(lines), tuple(refusals))
    return reading, Way(light, ink, tuple(glyphs))


def _is_in(box: Box, inside: Box) -> bool:
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return inside.left <= x < inside.right and inside.top <= y < inside.bottom


def _placer(shape: tuple[int, ...], width: int, height: int) -> Callable[[Box], Box]:
    """Return the function from boxes in the working picture to boxes in the upright photo."""
    x, y = width / shape[1], height / shape[0]

    def place(box: Box) -> Box:
        left, top = min(int(box.left * x), width - 1), min(int(box.top * y), height - 1)
        right, bottom = min(round(box.right * x), width), min(round(box.bottom * y), height)
        return Box(left, top, max(right, left + 1), max(bottom, top + 1))

    return place


def _digit(read: ReadDigit, place: Callable[[Box], Box]) -> Digit:
    order = np.argsort(-read.probabilities[:10], kind="stable")
    ranked = [Alternative(int(k), round(float(read.probabilities[k]), 6)) for k in order]
    return Digit(ranked[0].value, place(read.stroke.box), ranked[0].probability, tuple(ranked[1:]))


def _refusal(box: Box, reason: str, probabilities: NDArray[np.float32] | None) -> Refused:
    if probabilities is None:
        return Refused(box, reason)
    best = int(np.argmax(probabilities[:10]))
    return Refused(box, reason, Alternative(best, round(float(probabilities[best]), 6)))


def _line(numbers: Sequence[Sequence[Digit]]) -> Line:
    made = []
    for digits in numbers:
        box = digits[0].box
        confidence = 1.0
        for digit in digits:
            box = box.around(digit.box)
            confidence *= digit.confidence
        made.append(Number("".join(str(digit.value) for digit in digits), box, round(confidence, 6), tuple(digits)))
    box = made[0].box
    for number in made[1:]:
        box = box.around(number.box)
    return Line(box, tuple(made))
