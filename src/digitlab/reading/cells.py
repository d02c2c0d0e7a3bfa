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

__all__ = ["Boxed", "find_cells", "find_grid"]

_HEIGHT_PX = 32  # of the digits in the strip in which borders are looked for
_BEYOND = 5.0  # heights to the left and right of a line's digits, where empty boxes may stand
_BORDER = (0.64, 0.92)  # a border's reach above and below the middle of writing, in heights; how much of it is dark
_TICK = (0.3, 0.68)  # a tick stands between these heights below the middle
_THIN = 0.4  # of the height: no border is wider
_WIDTHS = (0.6, 4.5)  # of the height: how wide boxes are
_EVEN = (0.72, 1.38)  # of the usual width of the line's boxes
_ON_BORDER = 0.16  # of the height: a mark so near to a border stands on it
_GUTTER = 0.4  # of the usual width: between boxes that do not share a border


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

    There are none where a line is not in boxes. An upright line that divides it evenly with others is no one.

    Parameters
    ----------
    light : ndarray
        float32 (h, w), 0-1: the page.
    marks : Marks
        Its digits.
    row : sequence of int
        Those of the line.
    bright_ink : bool
        Whether ink is brighter than its ground.
    """
    chosen = list(row)
    xs = marks.x[chosen]
    may_be_line = (marks.answers[chosen].argmax(1) == 1) & (marks.width[chosen] < 0.5 * marks.height[chosen])
    # Where writing stands and how high it is, is told by what can be no line, if there is any.
    firm = marks[np.array(chosen)[~may_be_line | may_be_line.all()]]
    height = float(np.median(firm.height))
    slope = float(np.clip(np.polyfit(firm.x, firm.y, 1)[0], -0.15, 0.15)) if np.ptp(firm.x) > 2 * height else 0.0
    level = float(firm.y.mean() - slope * firm.x.mean())
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
    borders = _borders(ink_contrast(np.asarray(strip, np.float32), bright_ink, _HEIGHT_PX))
    at = np.array([left + border / scale for border in borders])
    is_line = may_be_line & (np.abs(at - xs[:, None]).min(1, initial=np.inf) < _ON_BORDER * height)
    best: tuple[list[Boxed], list[int]] = [], chosen
    for lines in (np.zeros_like(is_line), is_line):
        digits = [k for k, is_none in zip(chosen, lines, strict=True) if not is_none]
        # What is read as a digit is no border.
        free = at[np.abs(at[:, None] - marks.x[digits]).min(1, initial=np.inf) >= _ON_BORDER * height]
        found = _boxes(free, marks, digits, height, slope, level)
        if len(found) > len(best[0]):
            best = found, digits
    return best


def _borders(contrast: NDArray[np.float32]) -> list[float]:
    """The columns of a strip where an upright border or tick stands."""
    noise = 1.4826 * float(np.median(np.abs(contrast - np.median(contrast))))
    dark = (contrast > max(0.035, 3.5 * noise)).view(np.uint8)
    dark = cv2.dilate(dark, np.ones((1, 3), np.uint8)).astype(np.float32)
    reach = round(_BORDER[0] * _HEIGHT_PX)
    whole = dark[_HEIGHT_PX - reach : _HEIGHT_PX + reach].mean(0) >= _BORDER[1]
    low, high = (round((1 + part) * _HEIGHT_PX) for part in _TICK)
    above = dark[round(0.5 * _HEIGHT_PX) : _HEIGHT_PX].mean(0)
    ticks = (dark[low:high].mean(0) >= _BORDER[1]) & (above < 0.35)
    for columns in (whole, ticks & ~whole):
        changes = np.flatnonzero(np.diff(np.concatenate([[0], columns.view(np.int8), [0]])))
        found = [(a + b - 1) / 2 for a, b in changes.reshape(-1, 2) if b - a <= _THIN * _HEIGHT_PX + 2]
        if len(found) >= 2:
            return found
    return []


def _boxes(
    at: NDArray[np.float64], marks: Marks, row: list[int], height: float, slope: float, level: float
) -> list[Boxed]:
    """Take the spaces between borders for boxes where they are even, and hold a digit at most."""
    spaces = [(a, b, tuple(k for k in row if a < marks.x[k] < b)) for a, b in pairwise(at)]
    widths = [b - a for a, b, inside in spaces if inside and _WIDTHS[0] * height < b - a < _WIDTHS[1] * height]
    if not widths:
        return []
    usual = float(np.median(widths))
    runs: list[list[tuple[float, float, tuple[int, ...]]]] = [[]]
    for a, b, inside in spaces:
        if not inside and b - a < _GUTTER * usual:
            continue
        if _EVEN[0] * usual <= b - a <= _EVEN[1] * usual and len(inside) <= 1:
            runs[-1].append((a, b, inside))
        else:
            runs.append([])
    boxes = []
    for run, cells in enumerate(runs):
        if len(cells) >= 2 and any(inside for _, _, inside in cells):
            for a, b, inside in cells:
                middle = level + slope * (a + b) / 2
                half = max(0.75 * height, 0.5 * min(b - a, 2 * height))
                boxes.append(Boxed(a, middle - half, b, middle + half, run, inside))
    return boxes


def find_grid(
    light: NDArray[np.float32],
    marks: Marks,
    taken: NDArray[np.int64],
    sure: NDArray[np.float64],
    shape: tuple[int, int],
    bright_ink: bool,
) -> list[list[Boxed]] | None:
    """Fit a grid of boxes to the digits of a page, seen at whatever angle.

    Parameters
    ----------
    light, marks, bright_ink
        As for ``find_cells``.
    taken : ndarray
        int64: the marks that are digits.
    sure : ndarray
        float64: how probably each mark is one.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    list of list of Boxed or None
        The rows of boxes, each with one mark at most; None where the digits stand in no such grid.
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
