"""From values to positions: ranges, round tick values and the points worth drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

#: Values beyond this are drawn here, so that differences and ratios of any two stay finite.
LARGEST = 1e300
#: Beyond this many decades the ticks at 2 and 5 of a logarithmic axis would touch.
MOST_FINE_DECADES = 2.5


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from values in [low, high] to positions start..end; ``ticks`` are the values to name.

    Where ``log`` is set, low and high are decimal logarithms, and values and ticks are not.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def position(self, values: Column) -> Column:
        """Return pixel positions, float64 of the same shape; values outside the axis land on its ends."""
        if self.log:
            values = np.log10(np.maximum(values, 10.0**self.low))
        fraction = (np.clip(values, self.low, self.high) - self.low) / (self.high - self.low)
        return self.start + fraction * (self.end - self.start)

    def at(self, value: float) -> float:
        """Return the pixel position of one value."""
        return float(self.position(np.array([value], np.float64))[0])


def finite_range(columns: Iterable[Column]) -> tuple[float, float]:
    """Return the smallest range, never empty, that holds all finite values.

    Examples
    --------
    >>> finite_range([np.array([1.0, np.nan, 3.0]), np.array([2.0])])
    (1.0, 3.0)
    >>> finite_range([])
    (0.0, 1.0)
    """
    parts = [column[np.isfinite(column)] for column in columns]
    values = np.concatenate(parts) if parts else np.zeros(0)
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.clip([values.min(), values.max()], -LARGEST, LARGEST).tolist()
    size = max(abs(low), abs(high))
    if size < 1 / LARGEST:
        return 0.0, 1.0
    if high - low <= 1e-9 * size:
        return low - 0.05 * size, high + 0.05 * size
    return low, high


def nice_axis(
    value_range: tuple[float, float],
    start: float,
    end: float,
    *,
    n_ticks: int = 5,
    whole: bool = False,
    widen: bool = False,
) -> Axis:
    """Return an axis with about ``n_ticks`` ticks at multiples of 1, 2 or 5 times a power of ten.

    ``whole`` allows ticks at whole numbers only, for steps and epochs; ``widen`` lets the axis begin and end at a tick.

    Examples
    --------
    >>> nice_axis((0.3, 2.1), 0, 100, widen=True).ticks
    (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
    >>> nice_axis((1, 3), 0, 100, whole=True).ticks
    (1.0, 2.0, 3.0)
    """
    low, high = value_range
    rough = (high - low) / n_ticks
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if widen:
        low, high = first * step, last * step
    slack = 1e-9 * (high - low)
    candidates = (round(k * step, 12) if 1e-9 < step < 1e9 else k * step for k in range(first, last + 1))
    return Axis(low, high, start, end, tuple(tick for tick in candidates if low - slack <= tick <= high + slack))


def log_axis(values: Sequence[float], start: float, end: float, ticks: Sequence[float] = ()) -> Axis:
    """Return a logarithmic axis around all positive values, with round ends and ticks, or the ticks given."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    # From a decade below to one above, so that both ends are found.
    fine = [digit * 10.0**decade for decade in range(math.floor(low), math.floor(high) + 2) for digit in (1, 2, 5)]
    first = max(value for value in fine if math.log10(value) <= low + 1e-9)
    last = min(value for value in fine if math.log10(value) >= high - 1e-9 and value > first)
    step = 3 if math.log10(last / first) > MOST_FINE_DECADES else 1
    within = tuple(value for value in fine[::step] if first <= value <= last)
    return Axis(math.log10(first), math.log10(last), start, end, tuple(ticks) or within, log=True)


def tick_text(value: float) -> str:
    """Return a short text for a tick or a figure.

    Examples
    --------
    >>> [tick_text(v) for v in (0.0, 0.25, 1.0, 12000.0, 3e-7)]
    ['0', '0.25', '1', '12,000', '3e-07']
    """
    if value == 0:
        return "0"
    if 1000 <= abs(value) < 1e7 and value == round(value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def thinned(positions: Column, values: Column) -> NDArray[np.intp]:
    """Choose the points that matter to the eye when many share a pixel column: at most five of each.

    Of every column the first, lowest, highest and last value stay, and one gap (a value that is not finite), so
    peaks survive and the drawing's size depends on its width and not on the length of the training. Positions rise.
    """
    column = np.floor(positions).astype(np.int64)
    bounds = np.flatnonzero(np.diff(column)) + 1
    kept: list[int] = []
    for group in np.split(np.arange(column.size), bounds):
        if group.size <= 4:
            kept.extend(group.tolist())
            continue
        finite = group[np.isfinite(values[group])]
        chosen = set(group[~np.isfinite(values[group])][:1].tolist())
        if finite.size:
            lowest, highest = finite[values[finite].argmin()], finite[values[finite].argmax()]
            chosen |= {int(finite[0]), int(lowest), int(highest), int(finite[-1])}
        kept.extend(sorted(chosen))
    return np.array(kept, dtype=np.intp)
