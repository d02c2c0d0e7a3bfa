"""Drawings as SVG: charts, confusion matrices and bars; no library, no script, readable without colour vision.

Every line has its own Okabe-Ito colour (M. Okabe and K. Ito 2008, "Color universal design"), and differs from others by
dashes and markers too. Within a page, charts take its colours: those here are presentation attributes that a style
sheet may override through the classes ``series-0``, ``series-1`` ... As files they bring a light ground of their own.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.errors import InputError

#: Okabe-Ito without yellow (lost on white) and black (lost on a dark page).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GROUND, INK = "#ffffff", "#16181d"
FONT = 'font-family="system-ui, sans-serif"'

#: Pixels a character of the legend may take; generous, because fonts differ.
CHARACTER_WIDTH = 8.0
LEGEND_ROW = 19
#: More markers than this would hide their line.
MOST_MARKERS = 60
#: A line with more points than this is drawn thin, or it would be a block.
MOST_BOLD_POINTS = 300


Column = NDArray[np.float64]

#: Values beyond this are drawn here, so that differences and ratios of any two stay finite.
LARGEST = 1e300
#: Beyond this many decades the ticks at 2 and 5 of a logarithmic axis would touch.
MOST_FINE_DECADES = 2.5


@dataclass(frozen=True, slots=True)
class Frame:
    """Where things stand in a chart, in pixels of the drawing."""

    width: int
    height: int
    left: int
    right: int
    bottom: int
    title_y: int
    legend_y: int
    font_px: int


#: A chart within a page, and one that is a file of its own.
IN_PAGE = Frame(440, 280, left=56, right=412, bottom=232, title_y=18, legend_y=40, font_px=12)
FILE = Frame(720, 420, left=84, right=692, bottom=356, title_y=28, legend_y=50, font_px=13)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart; values that are not finite leave a gap.

    ``marked`` lines are dashed with a marker at every point: how validation is drawn.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    marked: bool = False


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Draw lines over a common x axis, within a page; returns one ``<svg>`` element.

    ``y_range`` fixes the ends of the y axis, and values beyond them are drawn at the edge; by default it ends at round
    numbers around the data.

    >>> line_chart([Series("loss", [1, 2], [2.3, 0.4])], title="loss", x_label="Batch", y_label="Value")[:4]
    '<svg'
    """
    if y_range is not None and not (np.isfinite(y_range).all() and y_range[0] < y_range[1]):
        raise InputError(f"y_range is {y_range}; pass (low, high) with low < high, for example (0, 1).")
    frame, columns = IN_PAGE, [_sorted_columns(line) for line in series]
    drawn_legend, top = legend(frame, [_entry(k, series[k], y) for k, (_, y) in enumerate(columns)])
    xs = [x for x, _ in columns]
    x_range, whole = finite_range(xs), all(bool((x == np.round(x)).all()) for x in xs)
    every_epoch = whole and x_range[1] - x_range[0] <= 10
    x_axis = nice_axis(x_range, frame.left, frame.right, n_ticks=10 if every_epoch else 6, whole=whole)
    y_values = y_range or finite_range([y[np.isfinite(x)] for x, y in columns])
    y_axis = nice_axis(y_values, frame.bottom, top, widen=y_range is None)
    body = [grid(frame, x_axis, y_axis, x_label, y_label), drawn_legend]
    for number, (line, (x, y)) in enumerate(zip(series, columns, strict=True)):
        body.append(_line(number, line, x_axis.position(x), y_axis, y))
    if not any(np.isfinite(y).any() for _, y in columns):
        middle = f'x="{(frame.left + frame.right) / 2:g}" y="{(top + frame.bottom) / 2:g}"'
        body.append(f'<text {middle} text-anchor="middle">no data</text>')
    told = "; ".join(_told(line, y) for line, (_, y) in zip(series, columns, strict=True)) or "no lines"
    return chart(frame, title, f"Lines of {y_label} over {x_label}. {told}.", body)


@dataclass(frozen=True, slots=True)
class Dot:
    """One measured point: its median, the smallest and largest value around it, and what is written beside it."""

    x: float
    median: float
    min: float
    max: float
    label: str = ""

    @classmethod
    def on_line(cls, x: float, y: float) -> Dot:
        """Return a point without a spread, for a line that was computed."""
        return cls(x, y, y, y)


@dataclass(frozen=True, slots=True)
class Trace:
    """Points of one name: ``measured`` with dots and ranges, else a dashed line through them."""

    name: str
    dots: Sequence[Dot]
    measured: bool = True
    joined: bool = False


def spread_chart(
    traces: Sequence[Trace],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    log: str = "",
    x_ticks: Sequence[float] = (),
) -> str:
    """Draw measurements with the range around each, as a file of its own.

    Axes go from 0 to a round number above all values, or as far as a range says; those that ``log`` names ("x", "xy")
    are logarithmic, and ``x_ticks`` are ticks for such a one.
    """
    frame = FILE
    xs = [dot.x for trace in traces for dot in trace.dots]
    ys = [y for trace in traces for dot in trace.dots for y in (dot.min, dot.max)]
    drawn_legend, top = legend(frame, [(trace.name, partial(_key, k, trace)) for k, trace in enumerate(traces)])
    across, upward = (frame.left, frame.right), (frame.bottom, top)
    x_axis = log_axis(xs, *across, x_ticks) if "x" in log else _linear_axis(xs, *across, x_range)
    y_axis = log_axis(ys, *upward) if "y" in log else _linear_axis(ys, *upward, y_range)
    body = [grid(frame, x_axis, y_axis, x_label, y_label), drawn_legend]
    # Computed lines first, so that they lie below what was measured.
    for number, trace in sorted(enumerate(traces), key=lambda item: item[1].measured):
        body.append(_trace(number, trace, x_axis, y_axis))
    told = "; ".join(
        f"{trace.name}: " + ", ".join(f"{dot.median:.4g} at {dot.x:,.6g}" for dot in trace.dots) for trace in traces
    )
    return standalone_svg(chart(frame, title, f"{y_label} over {x_label}. {told}.", body))


def chart(frame: Frame, title: str, description: str, body: Sequence[str]) -> str:
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {frame.width} {frame.height}" {FONT} '
        f'font-size="{frame.font_px}" fill="currentColor"><title>{escape(title)}</title>'
        f"<desc>{escape(description)}</desc>"
        f'<text class="title" x="{frame.left}" y="{frame.title_y}" font-size="{frame.font_px + 2}" font-weight="600">'
        f"{escape(title)}</text>{''.join(body)}</svg>"
    )


def _sorted_columns(line: Series) -> tuple[Column, Column]:
    x, y = np.asarray(line.x, dtype=np.float64), np.asarray(line.y, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(
            f"The series {line.name!r} has {x.size} x and {y.size} y values; pass one y value for each x value."
        )
    placed = np.isfinite(x)
    x, y = x[placed], y[placed]
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def _linear_axis(values: Sequence[float], start: float, end: float, span: tuple[float, float] | None) -> Axis:
    whole = all(value == round(value) for value in values)
    span_or_all = span or (0.0, max(values, default=0.0) or 1.0)
    return nice_axis(span_or_all, start, end, n_ticks=6, whole=whole, widen=span is None)


def grid(frame: Frame, x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> str:
    left, right, bottom = frame.left, frame.right, frame.bottom
    xs = [(x_axis.at(tick), tick_text(tick)) for tick in x_axis.ticks]
    ys = [(y_axis.at(tick), tick_text(tick)) for tick in y_axis.ticks]
    parts = ['<g class="grid" stroke="currentColor" stroke-opacity="0.16">']
    parts += [f'<path d="M{left} {y:.1f}H{right}"/>' for y, _ in ys]
    parts += [f'<path d="M{x:.1f} {bottom}v4"/>' for x, _ in xs]
    parts.append(f'<path d="M{left} {bottom}H{right}" stroke-opacity="0.5"/></g><g class="ticks">')
    parts += [f'<text x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">{text}</text>' for y, text in ys]
    parts += [f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>' for x, text in xs]
    parts.append(
        f'</g><text class="label" x="{(left + right) / 2:g}" y="{bottom + 40}" text-anchor="middle">{escape(x_label)}'
        f'</text><text class="label" transform="translate({frame.font_px + 2} {(y_axis.end + bottom) / 2:g}) '
        f'rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    return "".join(parts)


def legend(frame: Frame, entries: Sequence[tuple[str, Callable[[float, float], str]]]) -> tuple[str, int]:
    """Return the legend of texts with what draws the sign before each, and where the chart may begin below it."""
    parts, x, y = [], float(frame.left), frame.legend_y
    for text, draw in entries:
        width = 36 + CHARACTER_WIDTH * len(text)
        if x > frame.left and x + width > frame.right:
            x, y = float(frame.left), y + LEGEND_ROW
        parts.append(f'{draw(round(x), y - 4)}<text x="{x + 28:.0f}" y="{y}">{escape(text)}</text>')
        x += width
    return f'<g class="legend">{"".join(parts)}</g>', y + LEGEND_ROW - 6


def _line(number: int, line: Series, positions: Column, y_axis: Axis, values: Column) -> str:
    kept = thinned(positions, values)
    commands, broken = [], True
    heights = y_axis.position(np.where(np.isfinite(values), values, y_axis.low))
    for i in kept:
        if not np.isfinite(values[i]):
            broken = True
            continue
        # A lone point is a line of length 0, which its round cap makes a dot.
        commands.append(f"{'M' if broken else 'L'}{positions[i]:.1f} {heights[i]:.1f}{'h0' if broken else ''}")
        broken = False
    width = 2 if kept.size <= MOST_BOLD_POINTS else 1
    parts = [_stroke(number, "".join(commands), dashed=line.marked, width=width)] if commands else []
    if line.marked and kept.size <= MOST_MARKERS:
        order = [i for i in kept if np.isfinite(values[i])]
        parts += [marker(number, positions[i], heights[i], f"{line.name} {values[i]:.4g}") for i in order]
    return "".join(parts)


def _entry(number: int, line: Series, y: Column) -> tuple[str, Callable[[float, float], str]]:
    def draw(x: float, y: float) -> str:
        stroke = _stroke(number, f"M{x} {y}h22", dashed=line.marked)
        return stroke + (marker(number, x + 11, y) if line.marked else "")

    text = line.name if len(line.name) <= 40 else line.name[:39] + "…"
    return f"{text} {y[-1]:.4g}" if y.size else text, draw


def _told(line: Series, y: Column) -> str:
    finite = y[np.isfinite(y)]
    if finite.size == 0:
        return f"{line.name}: no values"
    return (
        f"{line.name}: {y.size} points between {finite.min():.4g} and {finite.max():.4g}, "
        f"first {finite[0]:.4g}, last {finite[-1]:.4g}"
    )


def _trace(number: int, trace: Trace, x_axis: Axis, y_axis: Axis) -> str:
    places = [(x_axis.at(dot.x), y_axis.at(dot.median)) for dot in trace.dots]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    if not trace.measured:
        return _stroke(number, path, dashed=True)
    parts = [_stroke(number, path)] if trace.joined else []
    for order, (dot, (x, y)) in enumerate(zip(trace.dots, places, strict=True)):
        low, high = y_axis.at(dot.min), y_axis.at(dot.max)
        ends = "".join(f"M{x - 5:.1f} {end:.1f}h10" for end in (low, high))
        parts.append(_stroke(number, f"M{x:.1f} {low:.1f}V{high:.1f}{ends}") + _mark(number, x, y))
        if dot.label:
            # In turn below to the right and above to the left: neighbors on a rising curve stay apart.
            place, anchor = (
                (f'x="{x - 10:.1f}" y="{y - 8:.1f}"', "end")
                if order % 2
                else (f'x="{x + 10:.1f}" y="{y + 17:.1f}"', "start")
            )
            parts.append(f'<text {place} text-anchor="{anchor}">{escape(dot.label)}</text>')
    return "".join(parts)


def _key(number: int, trace: Trace, x: float, y: float) -> str:
    return _mark(number, x + 11, y) if trace.measured else _stroke(number, f"M{x} {y}h22", dashed=True)


def _stroke(number: int, path: str, *, dashed: bool = False, width: int = 2) -> str:
    dashes = ' stroke-dasharray="6 5"' if dashed else ""
    return (
        f'<path class="series series-{number % len(PALETTE)}" d="{path}" fill="none" '
        f'stroke="{PALETTE[number % len(PALETTE)]}" stroke-width="{width}" stroke-linejoin="round" '
        f'stroke-linecap="round"{dashes}/>'
    )


def marker(number: int, x: float, y: float, told: str = "") -> str:
    inner = f"<title>{escape(told)}</title>" if told else ""
    color = PALETTE[number % len(PALETTE)]
    return (
        f'<circle class="marker series-{number % len(PALETTE)}" cx="{x:.1f}" cy="{y:.1f}" r="3.4" '
        f'fill="{color}" stroke="{color}">{inner}</circle>'
    )


def _mark(number: int, x: float, y: float) -> str:
    """A dot or a square in turn, for eyes that do not tell the colours apart."""
    color = PALETTE[number % len(PALETTE)]
    if number % 2:
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{color}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>'


@dataclass(frozen=True, slots=True)
class Bar:
    """A number as text, and the length of its bar as a fraction of the longest."""

    text: str
    length: float


def bar_svg(title: str, rows: Sequence[tuple[str, Bar]]) -> str:
    """Draw a named bar below the other."""
    parts = [f'<text x="16" y="27" font-size="16" font-weight="600">{escape(title)}</text>']
    for i, (name, bar) in enumerate(rows):
        y, width = 44 + 26 * i, 380 * min(max(bar.length, 0.0), 1.0)
        parts.append(
            f'<text x="118" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="130" y="{y + 2}" width="{width:.1f}" height="18" rx="3" fill="#2456d6"/>'
            f'<text x="{138 + width:.1f}" y="{y + 15}">{escape(bar.text)}</text>'
        )
    head = f'<svg role="img" viewBox="0 0 640 {56 + 26 * len(rows)}" {FONT} font-size="14" fill="{INK}">'
    return standalone_svg(f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>")


def interval_chart(title: str, rows: Sequence[tuple[str, Dot]], x_label: str) -> str:
    """Draw named values below each other, each with the range around it, as a file of its own.

    It is the forest plot of S. Lewis and M. Clarke 2001, "Forest plots: trying to see the wood and the trees".
    """
    width, top, row, room = FILE.width, 52, 24, max((len(name) for name, _ in rows), default=0)
    letter = 0.9 * CHARACTER_WIDTH
    letters = min(room, int(FILE.width / 2 / letter))
    left = math.ceil(24 + letter * letters)
    bottom = top + row * len(rows)
    values = np.array([end for _, dot in rows for end in (dot.min, dot.max)], np.float64)
    axis = nice_axis(finite_range([values]), left, FILE.right, widen=True)
    body = ['<g class="grid" stroke="currentColor" stroke-opacity="0.16">']
    body += [f'<path d="M{axis.at(tick):.1f} {top}V{bottom}"/>' for tick in axis.ticks]
    body.append('</g><g class="ticks">')
    body += [
        f'<text x="{axis.at(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick_text(tick)}</text>'
        for tick in axis.ticks
    ]
    body.append("</g>")
    for number, (name, dot) in enumerate(rows):
        y = top + row * (number + 0.5)
        low, high = axis.at(dot.min), axis.at(dot.max)
        text = name if len(name) <= letters else f"{name[: letters - 1]}…"
        body.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>')
        body.append(
            _stroke(0, f"M{low:.1f} {y:.1f}H{high:.1f}" + "".join(f"M{x:.1f} {y - 5:.1f}v10" for x in (low, high)))
        )
        body.append(marker(0, axis.at(dot.median), y, f"{name}: {dot.median:.4g} ({dot.min:.4g} to {dot.max:.4g})"))
    middle = (left + FILE.right) / 2
    body.append(f'<text class="label" x="{middle:g}" y="{bottom + 40}" text-anchor="middle">{escape(x_label)}</text>')
    told = "; ".join(f"{name}: {dot.median:.4g}, {dot.min:.4g} to {dot.max:.4g}" for name, dot in rows) or "no values"
    frame = Frame(
        width, bottom + 56, left=24, right=FILE.right, bottom=bottom, title_y=28, legend_y=0, font_px=FILE.font_px
    )
    return standalone_svg(chart(frame, title, f"{x_label}. {told}.", body))


def standalone_svg(svg: str) -> str:
    """Return an ``<svg>`` element with a ``viewBox`` as a file of its own, dark on white.

    >>> standalone_svg('<svg viewBox="0 0 40 20"><path d="M0 0"/></svg>')[:72]
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" style="co'
    """
    found = re.match(r'<svg\b([^>]*?\bviewBox="0 0 ([0-9.]+) ([0-9.]+)"[^>]*)>', svg)
    if found is None:
        raise InputError("The picture is no <svg> element with a viewBox; draw it with digitlab.svg.")
    attributes, width, height = found.groups()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" style="color: {INK}"{attributes}>'
        f'<rect width="{width}" height="{height}" fill="{GROUND}"/>{svg[found.end() :]}\n'
    )


def png_data_uri(image: ArrayLike) -> str:
    """Return a grey image, uint8 (height, width), as ``data:image/png;base64,...``, which fetches nothing."""
    from PIL import Image

    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.size == 0:
        raise InputError(
            f"The image has dtype {pixels.dtype} and shape {pixels.shape}, but uint8 (height, width) is expected; "
            "pass images as uint8 (n, 28, 28), 0-255."
        )
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=9)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


# ---- from values to positions: ranges, round tick values and the points worth drawing ----


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
