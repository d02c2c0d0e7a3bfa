"""A straight line through points, and how far they lie from it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """``y = intercept + slope * x``.

    Attributes
    ----------
    intercept, slope : float
        In the units of y, and of y per x.
    residual : float
        Root of the mean squared distance of the points from the line, in the units of y.
    worst : float
        The largest distance, as a fraction of the point's own y; 0 for points of 0.
    """

    intercept: float
    slope: float
    residual: float
    worst: float

    @classmethod
    def through(cls, xs: Sequence[float], ys: Sequence[float]) -> Line | None:
        """Fit a line by least squares; None for fewer than three different x, since two points are always on a line.

        Examples
        --------
        >>> Line.through([1, 2, 3], [3, 5, 7])
        Line(intercept=1.0, slope=2.0, residual=0.0, worst=0.0)
        """
        if len(set(xs)) < 3:
            return None
        slope, intercept = statistics.linear_regression(xs, ys)
        distances = [abs(y - intercept - slope * x) for x, y in zip(xs, ys, strict=True)]
        return cls(
            intercept,
            slope,
            math.sqrt(statistics.fmean(distance**2 for distance in distances)),
            max(distance / abs(y) if y else 0.0 for distance, y in zip(distances, ys, strict=True)),
        )

    def at(self, x: float) -> float:
        """Return y at x."""
        return self.intercept + self.slope * x
