"""Lines: which digits stand side by side, found from their places alone.

Every line follows its own course, so that the lines of a sheet that was photographed at an angle may converge, rise and
bend. What is much smaller than its neighbours belongs to another line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digitlab.reading.finder import Marks, common_area

__all__ = ["are_parts", "find_skew", "group_lines"]

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

    Returns
    -------
    ndarray
        bool (n,).
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
    """Group marks of a straightened page into lines, in reading order.

    Returns
    -------
    list of ndarray
        int64: positions in ``marks``, from left to right.
    """
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
