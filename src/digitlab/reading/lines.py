"""Lines: which digits stand side by side, the best path along each, and the numbers that it is parted into.

Every line follows its own course, so that the lines of a sheet that was photographed at an angle may converge, rise and
bend. What is much smaller than its neighbours belongs to another line. A wide gap or a separator parts two numbers.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.crops import SEPARATORS
from digitlab.reading.finder import Marks, common_area
from digitlab.reading.reading import ReadingOptions

_MOST_SKEW = 25.0  # degrees
_NEXT = 9.0  # heights: a digit farther away than this begins another line
_BESIDE = 0.62  # of the height: how far a digit's middle may lie above or below the line's course
_WITHIN = 0.75  # of the smaller of two: so much of a part lies in the whole
_WHOLE, _LESS_SURE = 0.5, 0.2  # a whole is a digit at least so surely, and at most so much less surely than its part
_FILLED = 0.55  # so much of what was taken for one digit is filled by those that are surer
_SIZES = 2.3  # how many times as high the larger of two neighbours may be


def find_skew(marks: Marks) -> float:
    """Return by how many degrees the lines fall to the right.

    The directions from each mark to its near neighbours are gathered; most neighbours stand in the same line.
    """
    n = len(marks)
    if n < 2:
        return 0.0
    dx = marks.x[None, :] - marks.x[:, None]
    dy = marks.y[None, :] - marks.y[:, None]
    high = np.maximum(marks.height[None, :], marks.height[:, None])
    low = np.minimum(marks.height[None, :], marks.height[:, None])
    pairs = (dx > 0.35 * low) & (dx < 6 * high) & (np.abs(dy) < 0.6 * dx) & (high < 1.7 * low)
    if not pairs.any():
        return 0.0
    angles = np.degrees(np.arctan2(dy[pairs], dx[pairs]))
    distance = np.hypot(dx[pairs], dy[pairs]) / high[pairs]
    weights = (marks.p[None, :] * marks.p[:, None])[pairs] / distance
    # Near neighbours' directions are rough: a digit's middle lies now higher, now lower.
    spread = 2 + 12 / distance
    grid = np.arange(-_MOST_SKEW, _MOST_SKEW + 0.25, 0.5)
    votes = (weights / spread * np.exp(-0.5 * ((grid[:, None] - angles) / spread) ** 2)).sum(1)
    best = float(grid[np.argmax(votes)])
    near = np.abs(angles - best) < 1.5 * spread
    if not near.any():
        return best
    exact = weights * distance**2
    return float((exact * angles)[near].sum() / exact[near].sum())


def are_parts(marks: Marks, sure: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which marks are not to be read beside others: parts of a larger digit, or several digits taken for one.

    The loop of a nine is no nought. Two noughts one above the other are no eight, where each is surer than that.
    """
    area = marks.width * marks.height
    common = common_area(marks, marks)
    within = (common > _WITHIN * area[:, None]) & (area[:, None] < area)
    surer = within & (sure[:, None] > sure)
    gone = np.zeros(len(marks), np.bool_)
    for whole in np.flatnonzero(surer.sum(0) > 1):
        parts = np.flatnonzero(surer[:, whole])
        apart = common[np.ix_(parts, parts)].sum(1) - area[parts] < 0.2 * area[parts]
        gone[whole] = apart.sum() > 1 and area[parts[apart]].sum() > _FILLED * area[whole]
    is_whole = ~gone & (sure >= _WHOLE) & (sure > sure[:, None] - _LESS_SURE)
    return np.asarray(gone | (within & is_whole).any(1), np.bool_)


def group_lines(marks: Marks) -> list[NDArray[np.int64]]:
    """Group marks of a straightened page into lines, in reading order: positions in ``marks``, from left to right."""
    rows: list[list[int]] = []
    usual: list[float] = []  # height of each row's marks
    lefts, rights = marks.x - marks.width / 2, marks.x + marks.width / 2
    for k in np.argsort(marks.x, kind="stable").tolist():
        best: tuple[float, int] | None = None
        own = float(marks.height[k])
        for number, (row, height) in enumerate(zip(rows, usual, strict=True)):
            high, low = max(height, own), min(height, own)
            apart = float(lefts[k] - rights[row[-1]])
            if apart > _NEXT * high or high > _SIZES * low:
                continue
            away = abs(float(marks.y[k]) - _course(marks, row, float(marks.x[k])))
            if away > _BESIDE * high:
                continue
            cost = away / high + 0.04 * max(0.0, apart) / high
            if best is None or cost < best[0]:
                best = cost, number
        if best is None:
            rows.append([k])
            usual.append(own)
        else:
            row = rows[best[1]]
            row.append(k)
            usual[best[1]] = float(np.median(marks.height[row]))
    rows.sort(key=lambda row: float(np.mean(marks.y[row])))
    return [np.array(row, np.int64) for row in rows]


def _course(marks: Marks, row: list[int], x: float) -> float:
    """Where a line's middle would be at ``x``: the straight line through its last marks, level where there are few."""
    recent = row[-6:]
    xs, ys = marks.x[recent], marks.y[recent]
    middle = float(ys[-3:].mean())
    if len(recent) < 3:
        return middle
    span = float(np.ptp(xs))
    if span < 2 * float(marks.height[recent].mean()):
        return middle
    slope = float(np.polyfit(xs - xs.mean(), ys, 1)[0])
    # Not steeper than a sheet held at an angle shows after straightening.
    slope = float(np.clip(slope, -0.12, 0.12))
    return float(ys.mean()) + slope * min(x - float(xs.mean()), 1.5 * span)


_GAP = 1.0  # of the height of writing: a wider gap parts two numbers
_SHARED = 0.45  # of the narrower of two candidates: those that share more of it are not both digits
_MOST_PATHS = 40  # that are followed where a number is to be as expected
_LEAST = 1e-4  # below this a probability tells nothing more
_SEPARATOR = 0.5  # the least probability of a separator


@dataclass(frozen=True, eq=False)
class Chosen:
    """One digit of a path: which candidate, and what it is read as."""

    mark: int
    value: int


Path = list[Chosen]


def read_line(
    marks: Marks,
    row: Sequence[int],
    sure: NDArray[np.float64],
    answers: NDArray[np.float64],
    separators: Marks,
    options: ReadingOptions,
    boxed: Mapping[int, int],
) -> tuple[list[tuple[Path, str]], list[int]]:
    """Read one line, ``row``, from left to right: its numbers, each with what stands between it and the next.

    ``sure``, float64 (n,), is how probably each mark of the page is a digit, ``answers``, float64 (n, 10), which one
    then. ``boxed`` says which row of boxes a mark stands in: those of one row are one number, however wide the gaps.
    Returned besides are marks that are digits by themselves, but not of any number that is as expected.
    """
    accepts = None if options.expect is None else re.compile(options.expect).fullmatch
    accept = None if accepts is None else (lambda text: accepts(text) is not None)
    free = _best_path(marks, row, sure, answers, None, None)
    if free is None or not free:
        return [], []
    chunks = _parted(marks, free, separators, boxed)
    if accept is None and options.digits is None:
        return chunks, []
    numbers: list[tuple[Path, str]] = []
    unexpected: list[int] = []
    for path, separator in chunks:
        near = _near(marks, row, path)
        chosen = _best_path(marks, near, sure, answers, options.digits, accept)
        # Nothing that is surely a digit is left out to make a number fit.
        taken = {one.mark for one in chosen or []}
        if chosen is None or any(sure[one.mark] > 0.9 and not _covered(marks, one.mark, taken) for one in path):
            unexpected += [one.mark for one in path]
        else:
            numbers.append((chosen, separator))
    if unexpected:
        # Perhaps the gaps are within one number.
        whole = _best_path(marks, row, sure, answers, options.digits, accept)
        taken = {one.mark for one in whole or []}
        if whole and not any(sure[one.mark] > 0.9 and not _covered(marks, one.mark, taken) for one in free):
            return [(whole, "")], []
    return numbers, unexpected


def _best_path(
    marks: Marks,
    row: Sequence[int],
    sure: NDArray[np.float64],
    answers: NDArray[np.float64],
    digits: int | None,
    accept: Callable[[str], bool] | None,
) -> Path | None:
    """Take or leave every candidate so that the product of all probabilities is the largest (Viterbi 1967).

    What shares its ink with a digit that is taken is explained by it and costs nothing: two ones within a four need not
    be doubted. With expectations, the likeliest path that is as expected, or None.
    """
    width = _MOST_PATHS if accept is not None else 1
    n_values = 4 if accept is not None else 1
    # A path: logarithm of its probability, text, last candidate taken, steps as a linked list.
    start: _Link = (0.0, "", -1, None)
    beams: dict[tuple[int, int], list[_Link]] = {(-1, 0): [start]}
    shares = {(a, b): _shares(marks, a, b) for a, b in combinations(row, 2)}
    left_out = {k: float(np.log1p(-np.clip(sure[k], _LEAST, 1 - _LEAST))) for k in row}
    place_of = {-1: -1} | {k: place for place, k in enumerate(row)}
    for place, k in enumerate(row):
        p = float(np.clip(sure[k], _LEAST, 1 - _LEAST))
        logs = np.log(np.maximum(answers[k], _LEAST))
        values = np.argsort(-logs)[:n_values]
        grown: dict[tuple[int, int], list[_Link]] = {}
        for (last, count), paths in beams.items():
            left = grown.setdefault((last, count), [])
            is_shared = last >= 0 and shares[last, k]
            cost = 0.0 if is_shared else left_out[k]
            left += [(score + cost, text, last, link) for score, text, last, link in paths]
            if is_shared or (digits is not None and count >= digits):
                continue
            between = row[place_of[last] + 1 : place]
            back = sum(left_out[b] for b in between if shares[b, k] and not (last >= 0 and shares[last, b]))
            taken = grown.setdefault((k, count + (digits is not None)), [])
            for value in values:
                gain = np.log(p) + logs[value] - back
                taken += [
                    (score + gain, f"{text}{value}", k, (link, Chosen(k, int(value)))) for score, text, _, link in paths
                ]
        beams = {key: heapq.nlargest(width, paths, key=lambda path: path[0]) for key, paths in grown.items()}
        if len(beams) > 60:
            # Of paths with as many digits, only those that end near can still be the best.
            best = sorted(beams, key=lambda key: -beams[key][0][0])[:60]
            beams = {key: beams[key] for key in best}
    ends = [path for (_, count), paths in beams.items() if digits is None or count == digits for path in paths]
    for _, text, _, link in sorted(ends, key=lambda path: -path[0]):
        if accept is None or accept(text):
            steps: Path = []
            step: object = link
            while isinstance(step, tuple):
                step, chosen = step
                steps.append(chosen)
            return steps[::-1]
    return None


_Link = tuple[float, str, int, "tuple[object, Chosen] | None"]


def _shares(marks: Marks, a: int, b: int) -> bool:
    across = min(marks.x[a] + marks.width[a] / 2, marks.x[b] + marks.width[b] / 2) - max(
        marks.x[a] - marks.width[a] / 2, marks.x[b] - marks.width[b] / 2
    )
    return bool(across > _SHARED * min(marks.width[a], marks.width[b]))


def _covered(marks: Marks, mark: int, taken: set[int]) -> bool:
    return mark in taken or any(_shares(marks, mark, other) for other in taken)


def _near(marks: Marks, row: Sequence[int], path: Path) -> list[int]:
    """The candidates of a line within, and just beside, the digits of one of its numbers."""
    first, last = path[0].mark, path[-1].mark
    reach = 0.6 * max(float(marks.height[one.mark]) for one in path)
    left, right = marks.x[first] - marks.width[first] / 2 - reach, marks.x[last] + marks.width[last] / 2 + reach
    return [k for k in row if left <= marks.x[k] <= right]


def _parted(marks: Marks, path: Path, separators: Marks, boxed: Mapping[int, int]) -> list[tuple[Path, str]]:
    """Part a line's digits where the gap between two is wide, or where something is written that parts them."""
    parted: list[tuple[Path, str]] = []
    number: Path = [path[0]]
    for before, after in pairwise(path):
        # Between boxes there is a border, which is no slash, and a dash in one says that it is empty.
        in_boxes = before.mark in boxed and boxed[before.mark] == boxed.get(after.mark)
        separator = "" if in_boxes else _between(marks, before.mark, after.mark, separators)
        left = marks.x[before.mark] + marks.width[before.mark] / 2
        right = marks.x[after.mark] - marks.width[after.mark] / 2
        height = max(marks.height[before.mark], marks.height[after.mark])
        if separator or (right - left > _GAP * height and not in_boxes):
            parted.append((number, separator))
            number = []
        number.append(after)
    return [*parted, (number, "")]


def _between(marks: Marks, before: int, after: int, separators: Marks) -> str:
    """What is written between two digits, if anything."""
    height = max(marks.height[before], marks.height[after])
    slope = (marks.y[after] - marks.y[before]) / max(marks.x[after] - marks.x[before], 1e-6)
    best, found = _SEPARATOR, ""
    for k in range(len(separators)):
        x = separators.x[k]
        first, last = marks.x[before] + marks.width[before] / 4, marks.x[after] - marks.width[after] / 4
        if not first < x < last or separators.p[k] <= best:
            continue
        middle = marks.y[before] + slope * (x - marks.x[before])
        if abs(separators.y[k] - middle) < 0.9 * height and separators.height[k] < 2.2 * height:
            best, found = float(separators.p[k]), SEPARATORS[int(separators.answers[k].argmax())]
    return found
