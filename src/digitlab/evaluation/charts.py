"""Charts as inline SVG: no library, no script, readable in light and dark and without colour vision.

Every line has its own Okabe-Ito colour (M. Okabe and K. Ito 2008, "Color universal design"), and validation differs
from training by dashes and markers too. Colours are presentation attributes that a style sheet may override through
the classes ``series-0``, ``series-1`` ..., so a chart is readable in any page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import InputError
from digitlab.evaluation.axes import Axis, finite_range, nice_axis, thinned, tick_text
from digitlab.metrics import wilson_interval
from digitlab.values import Calibration

__all__ = ["Series", "line_chart", "reliability_chart"]

#: Okabe-Ito without yellow (lost on white) and black (lost on a dark page).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, BOTTOM = 56, 412, 232
TITLE_Y, LEGEND_Y, LEGEND_ROW = 18, 40, 19
#: Pixels a character of the legend may take; generous, because fonts differ.
CHARACTER_WIDTH = 8.0
#: More markers than this would hide their line.
MOST_MARKERS = 60
#: A line with more points than this is drawn thin, or it would be a block.
MOST_BOLD_POINTS = 300


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes
    ----------
    name : str
        For the legend.
    x, y : sequence of float, of equal length
        Real positions and values; NaN and infinities leave a gap.
    marked : bool
        Dashed with a marker at every point: how validation is drawn.
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
    """Draw lines over a common x axis.

    Parameters
    ----------
    series : sequence of Series
        Lengths and positions may differ between them.
    title, x_label, y_label : str
        Plain text; escaped here.
    y_range : (float, float), optional
        Fixed ends of the y axis, values beyond them are drawn at the edge; by default round numbers around the data.

    Returns
    -------
    str
        One ``<svg>`` element.

    Raises
    ------
    InputError
        When a series' ``x`` and ``y`` differ in length or ``y_range`` is empty.

    Examples
    --------
    >>> line_chart([Series("loss", [1, 2], [2.3, 0.4])], title="loss", x_label="Batch", y_label="Value")[:4]
    '<svg'
    """
    if y_range is not None and not (np.isfinite(y_range).all() and y_range[0] < y_range[1]):
        raise InputError(f"y_range is {y_range}; pass (low, high) with low < high, for example (0, 1).")
    columns = [_sorted_columns(line) for line in series]
    legend, n_rows = _legend(series, columns)
    top = LEGEND_Y + LEGEND_ROW * n_rows - 6
    xs = [x for x, _ in columns]
    whole = all(bool((x == np.round(x)).all()) for x in xs)
    x_range = finite_range(xs)
    every_epoch = whole and x_range[1] - x_range[0] <= 10
    x_axis = nice_axis(x_range, LEFT, RIGHT, n_ticks=10 if every_epoch else 6, whole=whole)
    y_axis = nice_axis(
        y_range or finite_range([y[np.isfinite(x)] for x, y in columns]), BOTTOM, top, widen=y_range is None
    )
    body = [_grid(x_axis, y_axis, x_label, y_label), legend]
    for number, (line, (x, y)) in enumerate(zip(series, columns, strict=True)):
        body.append(_line(number, line, x_axis.position(x), y_axis, y))
    if not any(np.isfinite(y).any() for _, y in columns):
        body.append(f'<text x="{(LEFT + RIGHT) / 2:g}" y="{(top + BOTTOM) / 2:g}" text-anchor="middle">no data</text>')
    told = "; ".join(_told(line, y) for line, (_, y) in zip(series, columns, strict=True)) or "no lines"
    return _svg(title, f"Lines of {y_label} over {x_label}. {told}.", body)


def reliability_chart(calibration: Calibration, *, title: str = "Calibration") -> str:
    """Draw accuracy against confidence; a well calibrated model lies on the diagonal.

    A bar is the accuracy of one bin, the dot sits at the bin's mean confidence, and the whisker is the 95 % Wilson
    interval, long where few answers speak.

    Returns
    -------
    str
        One ``<svg>`` element.
    """
    top = LEGEND_Y + LEGEND_ROW - 6
    x_axis = nice_axis((0.0, 1.0), LEFT, RIGHT)
    y_axis = nice_axis((0.0, 1.0), BOTTOM, top)
    color = PALETTE[0]
    body = [_grid(x_axis, y_axis, "Confidence", "Accuracy")]
    for b in calibration.bins:
        if b.n_images == 0:
            continue
        left, right, height = x_axis.at(b.low), x_axis.at(b.high), y_axis.at(b.accuracy)
        low, high = wilson_interval(round(b.accuracy * b.n_images), b.n_images)
        x = x_axis.at(b.confidence)
        body.append(
            f"<g><title>Confidence {b.low:.0%} to {b.high:.0%}: {b.n_images:,} images, "
            f"mean confidence {b.confidence:.1%}, accuracy {b.accuracy:.1%}</title>"
            f'<rect class="bar" x="{left + 1:.1f}" y="{height:.1f}" width="{max(right - left - 2, 1):.1f}" '
            f'height="{BOTTOM - height:.1f}" fill="{color}" fill-opacity="0.22"/>'
            f'<path class="series series-0" d="M{x:.1f} {y_axis.at(low):.1f}V{y_axis.at(high):.1f}" '
            f'stroke="{color}" stroke-width="1.5"/>'
            f'<circle class="marker series-0" cx="{x:.1f}" cy="{height:.1f}" r="3.2" stroke="{color}" '
            f'fill="{color}"/></g>'
        )
    body.append(
        f'<path class="diagonal" d="M{LEFT} {BOTTOM}L{RIGHT} {top}" fill="none" stroke="{PALETTE[1]}" '
        'stroke-width="1.5" stroke-dasharray="2 5" stroke-linecap="round"/>'
        f'<g class="legend"><path class="series series-0" d="M{LEFT + 6} {LEGEND_Y - 11}v14" stroke="{color}"/>'
        f"{_marker(0, LEFT + 6, LEGEND_Y - 4)}"
        f'<text x="{LEFT + 18}" y="{LEGEND_Y}">accuracy, 95 % interval</text>'
        f'<path class="diagonal" d="M{LEFT + 220} {LEGEND_Y - 4}h22" stroke="{PALETTE[1]}" stroke-width="1.5" '
        'stroke-dasharray="2 5" stroke-linecap="round"/>'
        f'<text x="{LEFT + 250}" y="{LEGEND_Y}">perfect</text></g>'
    )
    error = calibration.expected_calibration_error
    filled = [b for b in calibration.bins if b.n_images]
    told = "; ".join(f"at {b.confidence:.1%} {b.accuracy:.1%} of {b.n_images}" for b in filled)
    return _svg(title, f"Accuracy over confidence, expected calibration error {error:.4f}: {told}.", body)


def _svg(title: str, description: str, body: Sequence[str]) -> str:
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f'<text class="title" x="{LEFT}" y="{TITLE_Y}" font-size="14" font-weight="600">{escape(title)}</text>'
        f"{''.join(body)}</svg>"
    )


def _sorted_columns(line: Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(line.x, dtype=np.float64), np.asarray(line.y, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(
            f"The series {line.name!r} has {x.size} x and {y.size} y values; pass one y value for each x value."
        )
    placed = np.isfinite(x)
    x, y = x[placed], y[placed]
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def _grid(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> str:
    top = y_axis.end
    parts = ['<g class="grid" stroke="currentColor" stroke-opacity="0.16">']
    parts += [f'<path d="M{LEFT} {y_axis.at(tick):.1f}H{RIGHT}"/>' for tick in y_axis.ticks]
    parts += [f'<path d="M{x_axis.at(tick):.1f} {BOTTOM}v4"/>' for tick in x_axis.ticks]
    parts.append(f'<path d="M{LEFT} {BOTTOM}H{RIGHT}" stroke-opacity="0.5"/></g><g class="ticks">')
    parts += [
        f'<text x="{LEFT - 7}" y="{y_axis.at(tick) + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>'
        for tick in y_axis.ticks
    ]
    parts += [
        f'<text x="{x_axis.at(tick):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{tick_text(tick)}</text>'
        for tick in x_axis.ticks
    ]
    middle = (top + BOTTOM) / 2
    parts.append(
        f'</g><text class="label" x="{(LEFT + RIGHT) / 2:g}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}'
        f'</text><text class="label" transform="translate(14 {middle:g}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def _legend(
    series: Sequence[Series], columns: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> tuple[str, int]:
    parts, x, row = [], float(LEFT), 0
    for number, (line, (_, y)) in enumerate(zip(series, columns, strict=True)):
        text = line.name if len(line.name) <= 40 else line.name[:39] + "…"
        if y.size:
            text += f" {y[-1]:.4g}"
        width = 36 + CHARACTER_WIDTH * len(text)
        if x > LEFT and x + width > RIGHT:
            x, row = float(LEFT), row + 1
        y_row = LEGEND_Y + LEGEND_ROW * row
        parts.append(_stroke(number, line.marked, f"M{x:.0f} {y_row - 4}h22"))
        if line.marked:
            parts.append(_marker(number, x + 11, y_row - 4))
        parts.append(f'<text x="{x + 28:.0f}" y="{y_row}">{escape(text)}</text>')
        x += width
    return f'<g class="legend">{"".join(parts)}</g>', row + 1


def _line(number: int, line: Series, positions: NDArray[np.float64], y_axis: Axis, values: NDArray[np.float64]) -> str:
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
    parts = (
        [_stroke(number, line.marked, "".join(commands), 2 if kept.size <= MOST_BOLD_POINTS else 1)] if commands else []
    )
    if line.marked and kept.size <= MOST_MARKERS:
        order = [i for i in kept if np.isfinite(values[i])]
        parts += [_marker(number, positions[i], heights[i], f"{line.name} {values[i]:.4g}") for i in order]
    return "".join(parts)


def _stroke(number: int, marked: bool, path: str, width: int = 2) -> str:
    dashes = ' stroke-dasharray="6 5"' if marked else ""
    return (
        f'<path class="series series-{number % len(PALETTE)}" d="{path}" fill="none" '
        f'stroke="{PALETTE[number % len(PALETTE)]}" stroke-width="{width}" stroke-linejoin="round" '
        f'stroke-linecap="round"{dashes}/>'
    )


def _marker(number: int, x: float, y: float, told: str = "") -> str:
    inner = f"<title>{escape(told)}</title>" if told else ""
    color = PALETTE[number % len(PALETTE)]
    return (
        f'<circle class="marker series-{number % len(PALETTE)}" cx="{x:.1f}" cy="{y:.1f}" r="3.4" '
        f'fill="{color}" stroke="{color}">{inner}</circle>'
    )


def _told(line: Series, y: NDArray[np.float64]) -> str:
    finite = y[np.isfinite(y)]
    if finite.size == 0:
        return f"{line.name}: no values"
    return (
        f"{line.name}: {y.size} points between {finite.min():.4g} and {finite.max():.4g}, "
        f"first {finite[0]:.4g}, last {finite[-1]:.4g}"
    )
