"""Cells: the boxes of a form that a line's digits stand in, and the grid of a sudoku.

Digits in a row of boxes are one number, however wide the boxes; and which boxes are empty is worth telling. A box is
told by its upright borders: dark lines that reach above and below the writing, or ticks that reach below it, evenly
spaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.reading.finder import Marks
from digitlab.reading.glyphs import ink_contrast

_HEIGHT_PX = 32  # of the digits in the strip in which borders are looked for
_BEYOND = 14.0  # heights to the left and right of a line's digits, where empty boxes may stand
_BORDER = (0.64, 0.92)  # a border's reach above and below the middle of writing, in heights; how much of it is dark
_TICK = (1.2, 1.96, 0.22)  # of the strip's half, its height: between which a tick stands, and how long it is at least
_ABOVE_TICK = 0.35  # at most so much of the writing's upper half is dark above a tick
_THIN = 0.4  # of the height: no border is wider
_WIDTHS = (0.6, 4.5)  # of the height: how wide boxes are
_UNEVEN = 0.12  # of the usual width: how far a border may be from where it is due
_FEWEST_LINES = 3  # borders make a row of boxes
_OWN_RIGHT = 0.6  # of a box and the gap behind it: where its right border may be
_MOST_LINES = 80  # more are texture, not borders
_NEXT = 3  # boxes that stand apart have two borders each, and a digit's stroke may be a third
_APART = 0.4  # of the height: two digits are farther apart
_MOST_RUNS = 4  # rows of boxes on one line
_OFF_MIDDLE = 0.25  # of a box: a digit so near to the middle of where one more would be stands in it
_AT_EDGE = 0.33  # of a box, from its middle: a digit farther away is hardly in it
_STRONG = 0.4  # of the darkest ink: what is as dark has no halo that joins two borders
_PRICES = (2.3, 3.0)  # of a border, and of a tick, that is missing from a row, in borders: slashes are like ticks
_LOWER = 0.62  # heights below the middle: a one that ends higher is no tick
_ON_BORDER = 0.16  # of the height: a mark so near to a border stands on it


@dataclass(frozen=True, eq=False)
class Boxed:
    """A box of a form: its place in pixels of the page, the row of boxes that it is of, and the marks in it."""

    left: float
    top: float
    right: float
    bottom: float
    run: int
    marks: tuple[int, ...]


def find_cells(
    light: NDArray[np.float32], marks: Marks, row: Sequence[int], bright_ink: bool
) -> tuple[list[Boxed], list[int]]:
    """Find the boxes that a line's digits stand in, from left to right, and which of its marks are digits then.

    There are none where a line is not in boxes. An upright line that divides it evenly with others is no one. ``light``
    is the page, float32 (h, w), 0-1; ``row`` the marks of the line.
    """
    chosen = list(row)
    xs = marks.x[chosen]
    may_be_line = (marks.answers[chosen].argmax(1) == 1) & (marks.width[chosen] < 0.5 * marks.height[chosen])
    # Where writing stands and how high it is, is told by what can be no line, if there is any.
    firm = marks[np.array(chosen)[~may_be_line | may_be_line.all()]]
    height = float(np.median(firm.height))
    slope = float(np.clip(np.polyfit(firm.x, firm.y, 1)[0], -0.15, 0.15)) if np.ptp(firm.x) > 2 * height else 0.0
    level = float(firm.y.mean() - slope * firm.x.mean())
    # A tick stands lower than the digits do; that a border reaches above and below them is seen in the strip.
    bottoms = marks.y[chosen] + marks.height[chosen] / 2 - level - slope * xs
    is_line = may_be_line & np.stack([np.ones_like(may_be_line), bottoms > _LOWER * height])
    left = max(0.0, float((xs - marks.width[chosen] / 2).min()) - _BEYOND * height)
    right = min(float(light.shape[1]), float((xs + marks.width[chosen] / 2).max()) + _BEYOND * height)
    scale = _HEIGHT_PX / height
    size = (int((right - left) * scale), 2 * _HEIGHT_PX)
    if size[0] < _HEIGHT_PX or size[0] > 20_000:
        return [], chosen
    # The strip follows the line: row 32 of it is the middle of the writing.
    matrix = np.array([[1 / scale, 0, left], [slope / scale, 1 / scale, level + slope * left - height]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shrunk = cv2.GaussianBlur(light, (0, 0), 0.4 / scale) if scale < 0.6 else light
    strip = cv2.warpAffine(shrunk, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    best: tuple[list[Boxed], list[int]] = [], chosen
    most = (-len(chosen), False, 0)
    for is_tick, columns in _borders(ink_contrast(np.asarray(strip, np.float32), bright_ink, _HEIGHT_PX)):
        at = np.array([left + column / scale for column in columns])
        on_border = np.abs(at - xs[:, None]).min(1, initial=np.inf) < _ON_BORDER * height
        may_be = on_border & is_line[int(is_tick)]
        for lines in (np.zeros_like(may_be), may_be)[: 1 + may_be.any()]:
            digits = [k for k, is_none in zip(chosen, lines, strict=True) if not is_none]
            # What is read as a digit is no border.
            free = at[np.abs(at[:, None] - marks.x[digits]).min(1, initial=np.inf) >= _ON_BORDER * height]
            found = _boxes(free, marks, digits, height, slope, level, _PRICES[is_tick])
            # Whichever hold the most digits and leave out the fewest; borders before ticks.
            n_out = len(digits) - sum(len(box.marks) for box in found)
            fit = (sum(len(box.marks) == 1 for box in found) - n_out, not is_tick, len(found))
            if fit > most and len(found) > 2 * lines.any():
                most, best = fit, (found, digits)
    return best


def _borders(contrast: NDArray[np.float32]) -> list[tuple[bool, list[float]]]:
    """The columns of a strip where upright borders stand, or ticks, of faint ink and of strong; whether it is ticks."""
    noise = 1.4826 * float(np.median(np.abs(contrast - np.median(contrast))))
    faint = max(0.035, 3.5 * noise)
    strong = _STRONG * float(np.percentile(contrast, 99))
    reach = round(_BORDER[0] * _HEIGHT_PX)
    low, high, least = (round(part * _HEIGHT_PX) for part in _TICK)
    found: list[tuple[bool, list[float]]] = []
    for threshold in [faint, strong] if strong > faint else [faint]:
        dark = (contrast > threshold).view(np.uint8)
        dark = np.asarray(cv2.dilate(dark, np.ones((1, 3), np.uint8)), np.uint8)
        whole = dark[_HEIGHT_PX - reach : _HEIGHT_PX + reach].mean(0) >= _BORDER[1]
        upright = cv2.erode(dark[low:high], np.ones((least, 1), np.uint8), borderValue=0)
        ticks = upright.any(0) & (dark[round(0.5 * _HEIGHT_PX) : _HEIGHT_PX].mean(0) < _ABOVE_TICK) & ~whole
        found += [(False, _middles(whole)), (True, _middles(ticks))]
    return found


def _middles(columns: NDArray[np.bool_]) -> list[float]:
    """The middles of runs of columns that are not too wide for a line."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], columns.view(np.int8), [0]])))
    return [(a + b - 1) / 2 for a, b in changes.reshape(-1, 2) if b - a <= _THIN * _HEIGHT_PX + 2]


def _boxes(
    at: NDArray[np.float64], marks: Marks, row: list[int], height: float, slope: float, level: float, price: float
) -> list[Boxed]:
    """Take even spaces between borders for boxes, where each holds a digit at most; one row of them after another."""
    boxes: list[Boxed] = []
    for run in range(_MOST_RUNS):
        # What is found twice is one digit.
        places = np.sort(marks.x[row])
        chain = _chain(at, places[np.diff(places, prepend=-np.inf) > _APART * height], height, price)
        if chain is None:
            break
        usual = float(np.median(np.diff(chain)))
        chain = _as_far_as_digits(chain, places, usual)
        # Boxes that stand apart have a right border of their own before the next one's left.
        rights = (at[:, None] - chain) / usual
        own = np.where((rights > _OWN_RIGHT) & (rights < 1 - _UNEVEN), rights, np.nan)
        wide = 1.0
        if np.isfinite(own[:, :-1]).any(0).mean() > 0.5:
            wide = float(np.nanmedian(own))
            if (np.abs(rights[:, -1] - wide) < _UNEVEN).any():
                chain = np.append(chain, chain[-1] + usual)
        for first, last in pairwise(chain):
            right = float(first + wide * (last - first))
            inside = tuple(k for k in row if first < marks.x[k] < last)
            middle = level + slope * (first + right) / 2
            half = max(0.75 * height, 0.5 * min(right - first, 2 * height))
            boxes.append(Boxed(float(first), middle - half, right, middle + half, run, inside))
        at = at[(at < chain[0] - 0.5 * usual) | (at > chain[-1] + 0.5 * usual)]
    return sorted(boxes, key=lambda box: box.left)


def _chain(
    at: NDArray[np.float64], digits: NDArray[np.float64], height: float, price: float
) -> NDArray[np.float64] | None:
    """The most borders that follow each other evenly, with a digit between some; a missing one is added at a price."""
    best: tuple[float, list[float]] = (_FEWEST_LINES - 0.5, [])
    if len(at) > _MOST_LINES:
        return None
    for k, first in enumerate(at):
        for second in at[k + 1 : k + 1 + _NEXT]:
            width = second - first
            if not _WIDTHS[0] * height < width < _WIDTHS[1] * height:
                continue
            chain, missing = [float(first), float(second)], 0
            while True:
                usual = (chain[-1] - chain[0]) / (len(chain) - 1)
                steps = (at - chain[-1]) / usual
                here = np.flatnonzero(np.abs(steps - 1) < _UNEVEN)
                beyond = np.flatnonzero(np.abs(steps - 2) < _UNEVEN)
                if len(here):
                    chain.append(float(at[here[np.argmin(np.abs(steps[here] - 1))]]))
                elif len(beyond):
                    after = float(at[beyond[np.argmin(np.abs(steps[beyond] - 2))]])
                    chain += [(chain[-1] + after) / 2, after]
                    missing += 1
                else:
                    break
            held = np.histogram(digits, chain)[0]
            # People write into the middle of boxes.
            inside = digits[(digits > chain[0]) & (digits < chain[-1])]
            off = np.abs(np.interp(inside, chain, np.arange(len(chain))) % 1 - 0.5)
            score = len(chain) - price * missing - 3 * (held > 1).sum() - 2 * (off > _AT_EDGE).sum()
            if held.any() and score > best[0]:
                best = score, chain
    return np.array(best[1]) if best[1] else None


def _as_far_as_digits(chain: NDArray[np.float64], digits: NDArray[np.float64], usual: float) -> NDArray[np.float64]:
    """Add boxes at the ends of a row for digits that stand just where one would, though its border is too faint."""
    if len(chain) < _FEWEST_LINES + 1:
        return chain
    for step in (-usual, usual):
        while True:
            end = chain[0 if step < 0 else -1]
            there = (digits - end) / step
            held = there[(there > 0) & (there < 1)]
            if len(held) != 1 or abs(held[0] - 0.5) > _OFF_MIDDLE:
                break
            chain = np.sort(np.append(chain, end + step))
    return chain


def find_grid(
    light: NDArray[np.float32],
    marks: Marks,
    taken: NDArray[np.int64],
    sure: NDArray[np.float64],
    shape: tuple[int, int],
    bright_ink: bool,
) -> list[list[Boxed]] | None:
    """Fit a grid of boxes, so many rows and columns, to the digits of a page, seen at whatever angle.

    ``taken`` are the marks that are digits, ``sure``, float64 (n,), how probably each mark is one. Each box holds one
    mark at most. None where the digits stand in no such grid.
    """
    n_rows, n_columns = shape
    if len(taken) < 4:
        return None
    points = np.stack([marks.x[taken], marks.y[taken]], 1)
    fitted = _lattice(points, float(np.median(marks.height[taken])))
    if fitted is None:
        return None
    places, matrix = fitted
    # Where the digits do not fill the grid, its borders tell where it begins.
    offsets = []
    low, high = places.min(0), places.max(0)
    for column in range(min(low[0], high[0] - n_columns + 1), max(low[0], high[0] - n_columns + 1) + 1):
        for row in range(min(low[1], high[1] - n_rows + 1), max(low[1], high[1] - n_rows + 1) + 1):
            inside = ((places >= [column, row]) & (places < [column + n_columns, row + n_rows])).all(1)
            held = float(sure[taken][inside].sum())
            offsets.append(
                (held + 2 * _darkness(light, matrix, column, row, n_columns, n_rows, bright_ink), column, row)
            )
    _, column, row = max(offsets)
    cells: list[list[Boxed]] = []
    for r in range(row, row + n_rows):
        cells.append([])
        for c in range(column, column + n_columns):
            here = [int(k) for k, place in zip(taken, places, strict=True) if tuple(place) == (c, r)]
            best = tuple(sorted(here, key=lambda k: -sure[k])[:1])
            corners = _project(
                matrix, np.array([(c - 0.5, r - 0.5), (c + 0.5, r - 0.5), (c - 0.5, r + 0.5), (c + 0.5, r + 0.5)])
            )
            (left, top), (right, bottom) = corners.min(0), corners.max(0)
            cells[-1].append(Boxed(float(left), float(top), float(right), float(bottom), r - row, best))
    return cells


def _lattice(points: NDArray[np.float64], height: float) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Number the columns and rows of points that stand in a grid; the matrix leads from numbers to points."""
    dx, dy = points[:, 0] - points[:, :1], points[:, 1] - points[:, 1:]
    beside = (dx > 0.7 * height) & (np.abs(dy) < 0.5 * height)
    below = (dy > 0.7 * height) & (np.abs(dx) < 0.5 * height)
    if not beside.any() or not below.any():
        return None
    across = float(np.median(np.where(beside, dx, np.inf).min(1)[beside.any(1)]))
    down = float(np.median(np.where(below, dy, np.inf).min(1)[below.any(1)]))
    # From neighbour to neighbour, so that rows that converge keep their numbers.
    numbers = np.full((len(points), 2), np.iinfo(np.int64).min)
    start = int(np.argmin(np.abs(points - np.median(points, 0)).sum(1)))
    numbers[start] = 0
    reached = [start]
    for k in reached:
        steps = np.stack([dx[k] / across, dy[k] / down], 1)
        whole = np.rint(steps)
        close = (np.abs(steps - whole) < 0.3).all(1) & (np.abs(whole).sum(1) <= 3) & (np.abs(whole).sum(1) > 0)
        for other in np.flatnonzero(close):
            if numbers[other, 0] == np.iinfo(np.int64).min:
                numbers[other] = numbers[k] + whole[other].astype(np.int64)
                reached.append(int(other))
    known = np.array(reached)
    if len(known) < 4 or len(np.unique(numbers[known, 0])) < 2 or len(np.unique(numbers[known, 1])) < 2:
        return None
    matrix = np.eye(3)
    for _ in range(3):
        plain = numbers[known].astype(np.float64)
        found, _ = cv2.findHomography(plain, points[known], cv2.RANSAC, 0.35 * min(across, down))
        if found is None:
            return None
        matrix = np.asarray(found, np.float64)
        numbers = np.rint(_project(np.asarray(np.linalg.inv(matrix), np.float64), points)).astype(np.int64)
        known = np.arange(len(points))
    return numbers, matrix


def _project(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    ends = np.concatenate([points, np.ones((len(points), 1))], 1) @ matrix.T
    return np.asarray(ends[:, :2] / ends[:, 2:], np.float64)


def _darkness(
    light: NDArray[np.float32],
    matrix: NDArray[np.float64],
    column: int,
    row: int,
    n_columns: int,
    n_rows: int,
    bright_ink: bool,
) -> float:
    """How much a grid's outer border differs from what lies a little beside it."""
    right, bottom = column + n_columns - 0.5, row + n_rows - 0.5
    left, top = column - 0.5, row - 0.5
    along = np.linspace(0.02, 0.98, 60)
    total = 0.0
    for ends in (
        ((left, top), (right, top)),
        ((left, bottom), (right, bottom)),
        ((left, top), (left, bottom)),
        ((right, top), (right, bottom)),
    ):
        a, b = np.array(ends[0]), np.array(ends[1])
        across = np.array([0.0, 1.0]) if ends[0][1] == ends[1][1] else np.array([1.0, 0.0])
        seen = []
        for away in (-0.25, -0.08, -0.04, 0.0, 0.04, 0.08, 0.25):
            places = _project(matrix, np.asarray(a + (b - a) * along[:, None] + across * away, np.float64))
            x = np.clip(np.rint(places[:, 0]), 0, light.shape[1] - 1).astype(np.int64)
            y = np.clip(np.rint(places[:, 1]), 0, light.shape[0] - 1).astype(np.int64)
            seen.append(light[y, x])
        values = np.array(seen)
        on = values[1:6].max(0) if bright_ink else values[1:6].min(0)
        beside = (values[0] + values[6]) / 2
        total += float(np.clip(np.median(on - beside if bright_ink else beside - on), 0, 0.3)) / 0.3
    return total
