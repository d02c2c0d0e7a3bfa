"""Page: the whole way of one photo, from pixels to a reading, each step in a file of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from digitlab.reading.answers import Answers
from digitlab.reading.cells import Boxed, find_cells, find_grid
from digitlab.reading.confidence import is_digit, of_number, which_digit
from digitlab.reading.finder import Level, Marks, find_marks, find_one, find_turn, shipped, together
from digitlab.reading.glyphs import all_ink, cut_out, is_bright_ink
from digitlab.reading.light import grey
from digitlab.reading.lines import are_parts, find_skew, group_lines, read_line
from digitlab.reading.photo import Photo, rotated, rotated_size
from digitlab.reading.reading import Alternative, Box, Cell, Digit, Line, Number, Reading, ReadingOptions, Refused
from digitlab.reading.second_look import Second, look_again, shipped_second
from digitlab.reading.unsure import refuse_unsure

_TAKEN = 0.5  # a candidate at least so probable is a digit
_PERHAPS = 0.15  # one at least so probable may be, where the numbers are known to be of some kind
_ASKED = 4.0  # log odds that a picture that is said to hold one digit does
_WHOLE_ODDS = 1.5  # log odds for all ink of such a picture, before a part of it
_SHOWN = 0.25  # one at least so probable is told as refused
_STRAIGHTENED = 2.5  # degrees: lines that are less skewed are read as they lie
_FEWEST = 4  # digits that say how a page is skewed
_LIKELY, _HOPELESS = 0.4, 0.04  # a candidate less probable by the finder, and less by the second look, is given up
_SIZES = (1.0, 0.87, 1.15)  # of a candidate's box, at which it is looked at again
_MOST_MARKS = 1500  # candidates on one page; more are texture


@dataclass(frozen=True, eq=False)
class Seen:
    """What three networks saw on a page.

    The photo was turned clockwise by so many quarters, then by ``skew`` degrees, and has ``size`` then, width and
    height in its own pixels. ``light`` is the grey page, float32 (h, w), 0-1; ``glyphs`` the ink of every mark,
    float32, 0-1, bright on dark; ``said`` and ``again``, float32 (n, 11), what the single-digit network and the second
    look say of each.
    """

    quarters: int
    skew: float
    size: tuple[int, int]
    light: NDArray[np.float32]
    levels: tuple[Level, ...]
    marks: Marks
    separators: Marks
    is_bright: bool
    glyphs: tuple[NDArray[np.float32], ...]
    said: NDArray[np.float32]
    again: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Way(Seen):
    """What was seen, and what became of it, for showing it.

    ``sure``, float64 (n,), is how probably each mark is a digit, all told. ``read`` and ``refused`` are marks, in the
    order of the reading's digits and refusals.
    """

    sure: NDArray[np.float64]
    read: tuple[int, ...]
    refused: tuple[int, ...]


def read_page(photo: Photo, options: ReadingOptions, answers: Answers) -> tuple[Reading, Way]:
    """Read one photo."""
    return _told(photo, options, _looked_at(photo, options, answers))


def _looked_at(photo: Photo, options: ReadingOptions, answers: Answers) -> Seen:
    """Find the candidates of a photo, upright and straightened, and ask the single-digit network about each."""
    network = shipped(answers.device)
    light = grey(photo.pixels)
    width, height = photo.width, photo.height
    marks, separators, levels = find_marks(light, network, options.flatten)
    second = shipped_second(answers.device)
    quarters = find_turn(light, network, marks, options.flatten, partial(_look, second)) if options.turn else 0
    if quarters:
        light = np.ascontiguousarray(np.rot90(light, -quarters))
        width, height = (height, width) if quarters % 2 else (width, height)
        marks, separators, levels = find_marks(light, network, options.flatten)
    skew = _skew(marks) if options.straighten else 0.0
    if skew:
        light = np.asarray(rotated(light, skew, fill=None), np.float32)
        width, height = rotated_size(width, height, skew)
        marks, separators, levels = find_marks(light, network, options.flatten)
    marks = marks[np.sort(np.argsort(-marks.p, kind="stable")[:_MOST_MARKS])]
    again = look_again(levels, marks, second, _SIZES)
    bright = options.invert == "never"
    if options.invert == "auto":
        bright = is_bright_ink(light, marks[marks.p > 0.5 * marks.p.max(initial=0)])
    # What both doubt need not be cut out.
    likely = np.flatnonzero((marks.p > _LIKELY) | (again[:, 10] < 1 - _HOPELESS))
    cut = cut_out(light, marks[likely], bright)
    glyphs = [np.zeros((4, 4), np.float32)] * len(marks)
    said = np.eye(11, dtype=np.float32)[np.full(len(marks), 10)]
    said[likely] = answers.of_glyphs(cut, center=options.center)
    for k, glyph in zip(likely, cut, strict=True):
        glyphs[k] = glyph
    size = (width, height)
    return Seen(quarters, skew, size, light, tuple(levels), marks, separators, bright, tuple(glyphs), said, again)


def _look(second: Second, levels: Sequence[Level], marks: Marks) -> NDArray[np.float64]:
    return 1 - look_again(levels, marks, second)[:, 10].astype(np.float64)


def _told(photo: Photo, options: ReadingOptions, seen: Seen) -> tuple[Reading, Way]:
    """Tell lines and numbers from what was seen."""
    light, marks = seen.light, seen.marks
    sure, which = is_digit(marks, seen.said, seen.again), which_digit(marks, seen.said, seen.again)
    # What is known of the numbers may speak for a candidate that is doubtful by itself.
    is_restricted = options.digits is not None or options.expect is not None
    taken = np.flatnonzero(sure >= (_PERHAPS if is_restricted else _TAKEN))
    taken = taken[~are_parts(marks[taken], sure[taken])]
    grid = find_grid(light, marks, taken, sure, options.grid, seen.is_bright) if options.grid else None
    if grid is None:
        rows = [taken[row] for row in group_lines(marks[taken])]
        found = [find_cells(light, marks, row.tolist(), seen.is_bright) for row in rows]
    else:
        found = [(cells, [k for cell in cells for k in cell.marks]) for cells in grid]
    place = _placer(light.shape, *seen.size)
    lines: list[Line] = []
    read: list[int] = []
    reasons: dict[int, str] = {}
    for cells, row in found:
        boxed = {mark: cell.run for cell in cells for mark in cell.marks}
        numbers, unexpected = read_line(marks, row, sure, which, seen.separators, options, boxed)
        reasons |= dict.fromkeys(unexpected, "unexpected")
        kept = []
        for path, separator in numbers:
            kept.append((tuple(_digit(marks, one.mark, one.value, sure, which, place) for one in path), separator))
            read += [one.mark for one in path]
        if kept or grid is not None:
            values = {digit.box: str(digit.value) for digits, _ in kept for digit in digits}
            told = tuple(_cell(cell, marks, values, place) for cell in cells)
            lines.append(_line(kept, told))
    others = [int(k) for k in np.flatnonzero(sure >= _SHOWN) if k not in read]
    others += [k for k in reasons if k not in others]
    refused = tuple(_refused(marks, k, reasons, taken, which, place) for k in others)
    reading = Reading(photo.source, photo.page, *seen.size, 90 * seen.quarters, seen.skew, tuple(lines), refused)
    way = Way(**vars(seen), sure=sure, read=tuple(read), refused=tuple(others))
    return without_unsure(reading, way, options.min_confidence, keeps_rows=grid is not None)


def without_unsure(reading: Reading, way: Way, least: float, *, keeps_rows: bool = False) -> tuple[Reading, Way]:
    """Refuse the digits with less confidence than ``least``, in a reading and the way to it."""
    pairs = list(zip(way.read, reading.digits, strict=True))
    read = tuple(mark for mark, digit in pairs if digit.confidence >= least)
    unsure = tuple(mark for mark, digit in pairs if digit.confidence < least)
    told = refuse_unsure(reading, least, keeps_rows=keeps_rows)
    return told, dataclasses.replace(way, read=read, refused=(*way.refused, *unsure))


def _skew(marks: Marks) -> float:
    """By how many degrees to turn clockwise so that lines are level; 0 where that is unclear or hardly needed."""
    sure = marks[marks.p > 0.5]
    if len(sure) < _FEWEST:
        return 0.0
    skew = -round(find_skew(sure), 1)
    return skew if abs(skew) >= _STRAIGHTENED else 0.0


def _placer(shape: tuple[int, ...], width: int, height: int) -> Callable[[float, float, float, float], Box]:
    """Return the function from places in the working picture to boxes in the upright photo."""
    x, y = width / shape[1], height / shape[0]

    def place(left: float, top: float, right: float, bottom: float) -> Box:
        first, upper = min(max(int(left * x), 0), width - 1), min(max(int(top * y), 0), height - 1)
        last, lower = min(round(right * x), width), min(round(bottom * y), height)
        return Box(first, upper, max(last, first + 1), max(lower, upper + 1))

    return place


def _digit(
    marks: Marks,
    mark: int,
    value: int,
    sure: NDArray[np.float64],
    which: NDArray[np.float64],
    place: Callable[[float, float, float, float], Box],
) -> Digit:
    order = [value, *(int(k) for k in np.argsort(-which[mark], kind="stable") if k != value)]
    ranked = [Alternative(k, round(float(sure[mark] * which[mark, k]), 6)) for k in order]
    return Digit(value, place(*marks.box(mark)), ranked[0].probability, tuple(ranked[1:]))


def _cell(
    cell: Boxed, marks: Marks, values: dict[Box, str], place: Callable[[float, float, float, float], Box]
) -> Cell:
    held = [values.get(place(*marks.box(mark)), "") for mark in cell.marks]
    return Cell(place(cell.left, cell.top, cell.right, cell.bottom), "".join(held))


def _refused(
    marks: Marks,
    mark: int,
    reasons: dict[int, str],
    taken: NDArray[np.int64],
    which: NDArray[np.float64],
    place: Callable[[float, float, float, float], Box],
) -> Refused:
    small = len(taken) > 2 and marks.height[mark] < 0.5 * float(np.median(marks.height[taken]))
    best = int(which[mark].argmax())
    return Refused(
        place(*marks.box(mark)),
        reasons.get(mark, "too-small" if small else "not-a-digit"),
        Alternative(best, round(float(which[mark, best]), 6)),
    )


def _line(numbers: Sequence[tuple[tuple[Digit, ...], str]], cells: tuple[Cell, ...]) -> Line:
    made = []
    for place, (digits, separator) in enumerate(numbers):
        box = _around([digit.box for digit in digits])
        confidence = of_number(np.array([digit.confidence for digit in digits]))
        value = "".join(str(digit.value) for digit in digits)
        parted = separator if place < len(numbers) - 1 else ""
        made.append(Number(value, box, round(confidence, 6), digits, parted))
    return Line(_around([number.box for number in made] or [cell.box for cell in cells]), tuple(made), cells)


def _around(boxes: Sequence[Box]) -> Box:
    box = boxes[0]
    for other in boxes[1:]:
        box = box.around(other)
    return box


def read_one(
    pixels: NDArray[np.uint8], options: ReadingOptions, answers: Answers
) -> tuple[NDArray[np.float64], float, NDArray[np.float32] | None]:
    """Answer a picture that holds one digit of any size.

    Return the ten probabilities, how probably there is a digit, and its ink, as ``frame`` takes it; None without any.
    """
    light = grey(pixels)
    marks, levels = find_one(light, shipped(answers.device), options.flatten)
    if len(marks) == 0:
        return np.full(10, 0.1), 0.0, None
    bright = is_bright_ink(light, marks[:1]) if options.invert == "auto" else options.invert == "never"
    whole = all_ink(light, marks.box(0), bright)
    if whole is not None:
        marks = together([marks, _with_box(marks[:1], whole)])
    glyphs = cut_out(light, marks, bright, are_neighbors=False)
    said = answers.of_glyphs(glyphs, center=options.center)
    again = look_again(levels, marks, shipped_second(answers.device))
    prior = np.full(len(marks), _ASKED)
    prior[-1] += _WHOLE_ODDS * (whole is not None)
    sure = is_digit(marks, said, again, prior)
    best = int(np.argmax(np.where(are_parts(marks, sure), 0, sure)))
    return which_digit(marks, said, again)[best], float(sure[best]), glyphs[best]


def _with_box(marks: Marks, box: tuple[float, float, float, float]) -> Marks:
    """The same mark with another box, for which the finder spoke less surely."""
    left, top, right, bottom = box
    answers = np.sqrt(marks.answers)
    return dataclasses.replace(
        marks,
        x=np.array([(left + right) / 2]),
        y=np.array([(top + bottom) / 2]),
        width=np.array([right - left]),
        height=np.array([bottom - top]),
        answers=answers / answers.sum(1, keepdims=True),
    )
