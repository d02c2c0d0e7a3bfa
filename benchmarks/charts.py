"""Charts of measurements as SVG files: dots with their spread, on linear or logarithmic axes.

Those of ``digitlab.evaluation.charts`` are drawn within a page and take its colours. These stand alone in a Markdown
page, which may be light or dark, so they bring a light ground of their own; and they show, at every dot, the range from
the smallest to the largest value. The palette and the linear axes are the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from digitlab.evaluation.axes import Axis, nice_axis, tick_text
from digitlab.evaluation.charts import PALETTE

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 84, 692, 72, 356
GROUND, INK = "#ffffff", "#1f2328"
#: Pixels a character of the legend may take; generous, because fonts differ.
CHARACTER_WIDTH = 7.6
#: Beyond this many decades the ticks at 2 and 5 would touch.
MOST_FINE_DECADES = 2.5


@dataclass(frozen=True)
class Dot:
    """One point: its median, the smallest and largest value around it, and what is written beside it."""

    x: float
    median: float
    min: float
    max: float
    label: str = ""

    @classmethod
    def on_line(cls, x: float, y: float) -> Dot:
        """Return a point without a spread, for a line that was computed."""
        return cls(x, y, y, y)


@dataclass(frozen=True)
class Trace:
    """Points of one name: ``measured`` with dots and ranges, else a dashed line through them."""

    name: str
    dots: Sequence[Dot]
    measured: bool = True
    joined: bool = False


@dataclass(frozen=True)
class Scale:
    """From values to pixels; the axis holds decimal logarithms where ``log`` is set."""

    axis: Axis
    ticks: tuple[float, ...]
    log: bool

    def at(self, value: float) -> float:
        """Return the pixel position; values beyond the ends land on them."""
        if self.log:
            value = math.log10(value) if value > 0 else self.axis.low
        return self.axis.at(value)


def linear_scale(values: Sequence[float], start: float, end: float, *, whole: bool = False) -> Scale:
    """Return a scale from 0 to a round number above all values."""
    axis = nice_axis((0.0, max(values, default=0.0) or 1.0), start, end, n_ticks=6, whole=whole, widen=True)
    return Scale(axis, axis.ticks, log=False)


def log_scale(values: Sequence[float], start: float, end: float, ticks: Sequence[float] = ()) -> Scale:
    """Return a logarithmic scale around all positive values, with round ends and ticks, or the ticks given."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    # From a decade below to one above, so that both ends are found.
    fine = [digit * 10.0**decade for decade in range(math.floor(low), math.floor(high) + 2) for digit in (1, 2, 5)]
    first = max(value for value in fine if math.log10(value) <= low + 1e-9)
    last = min(value for value in fine if math.log10(value) >= high - 1e-9 and value > first)
    step = 3 if math.log10(last / first) > MOST_FINE_DECADES else 1
    within = [value for value in fine[::step] if first <= value <= last]
    axis = Axis(math.log10(first), math.log10(last), start, end, ())
    return Scale(axis, tuple(ticks) or tuple(within), log=True)


def spread_chart(
    traces: Sequence[Trace], x_scale: Scale, y_scale: Scale, *, title: str, x_label: str, y_label: str
) -> str:
    """Draw the traces as one SVG file; the scales are made with ``LEFT`` to ``RIGHT`` and ``BOTTOM`` to ``TOP``.

    Computed lines are dashed; measured dots differ in form too, for eyes that do not tell colours apart.
    """
    told = "; ".join(
        f"{trace.name}: " + ", ".join(f"{dot.median:.4g} at {dot.x:,.6g}" for dot in trace.dots) for trace in traces
    )
    body = [_grid(x_scale, y_scale, x_label, y_label), _legend(traces)]
    # Computed lines first, so that they lie below what was measured.
    for number, trace in sorted(enumerate(traces), key=lambda item: item[1].measured):
        body.append(_trace(number, trace, x_scale, y_scale))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="{INK}">'
        f"<title>{escape(title)}</title><desc>{escape(f'{y_label} over {x_label}. {told}.')}</desc>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{GROUND}"/>'
        f'<text x="{LEFT}" y="28" font-size="16" font-weight="600">{escape(title)}</text>{"".join(body)}</svg>\n'
    )


def _grid(x_scale: Scale, y_scale: Scale, x_label: str, y_label: str) -> str:
    parts = [f'<g stroke="{INK}" stroke-opacity="0.16">']
    parts += [f'<path d="M{LEFT} {y_scale.at(tick):.1f}H{RIGHT}"/>' for tick in y_scale.ticks]
    parts += [f'<path d="M{x_scale.at(tick):.1f} {BOTTOM}v5" stroke-opacity="0.7"/>' for tick in x_scale.ticks]
    parts.append(f'<path d="M{LEFT} {BOTTOM}H{RIGHT}" stroke-opacity="0.7"/></g>')
    parts += [
        f'<text x="{LEFT - 9}" y="{y_scale.at(tick) + 4.5:.1f}" text-anchor="end">{tick_text(tick)}</text>'
        for tick in y_scale.ticks
    ]
    parts += [
        f'<text x="{x_scale.at(tick):.1f}" y="{BOTTOM + 21}" text-anchor="middle">{tick_text(tick)}</text>'
        for tick in x_scale.ticks
    ]
    parts.append(
        f'<text x="{(LEFT + RIGHT) / 2:g}" y="{HEIGHT - 18}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text transform="translate(22 {(TOP + BOTTOM) / 2:g}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def _legend(traces: Sequence[Trace]) -> str:
    parts, x, y = [], float(LEFT), 50
    for number, trace in enumerate(traces):
        if trace.measured:
            parts.append(_mark(number, x + 11, y - 4.5))
        else:
            parts.append(_stroke(number, f"M{x:.0f} {y - 4.5}h24", dashed=True))
        parts.append(f'<text x="{x + 30:.0f}" y="{y}">{escape(trace.name)}</text>')
        x += 48 + CHARACTER_WIDTH * len(trace.name)
    return "".join(parts)


def _trace(number: int, trace: Trace, x_scale: Scale, y_scale: Scale) -> str:
    places = [(x_scale.at(dot.x), y_scale.at(dot.median)) for dot in trace.dots]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    if not trace.measured:
        return _stroke(number, path, dashed=True)
    parts = [_stroke(number, path)] if trace.joined else []
    for order, (dot, (x, y)) in enumerate(zip(trace.dots, places, strict=True)):
        low, high = y_scale.at(dot.min), y_scale.at(dot.max)
        ends = "".join(f"M{x - 5:.1f} {end:.1f}h10" for end in (low, high))
        parts.append(_stroke(number, f"M{x:.1f} {low:.1f}V{high:.1f}{ends}"))
        parts.append(_mark(number, x, y))
        # In turn below to the right and above to the left: neighbors on a rising curve keep out of each other's way.
        left = order % 2 == 1
        parts.append(
            f'<text x="{x + (-10 if left else 10):.1f}" y="{y + (-8 if left else 17):.1f}" '
            f'text-anchor="{"end" if left else "start"}">{escape(dot.label)}</text>'
            if dot.label
            else ""
        )
    return "".join(parts)


def _stroke(number: int, path: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="6 5"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="{PALETTE[number % len(PALETTE)]}" stroke-width="1.8"{dashes}/>'


def _mark(number: int, x: float, y: float) -> str:
    color = PALETTE[number % len(PALETTE)]
    if number % 2:
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{color}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>'


@dataclass(frozen=True)
class Line:
    """``y = intercept + slope * x``, fitted through points."""

    intercept: float
    slope: float
    residual: float  # root of the mean squared distance of the points, in the units of y
    worst: float  # the largest distance, as a fraction of the point's own y; 0 for points of 0

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
