"""What ``scaling.py`` has measured, told: four charts, and a page with a sentence and a table on each.

Every number is computed from the result, the sentences' too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from digitlab.evaluation.svg import Dot, Trace, spread_chart
from measuring import QUIET_CORES, Spread
from tables import markdown_table, page

_KIB, _MIB = 2**10, 2**20


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


def charts(result: dict[str, Any]) -> dict[str, str]:
    """Return the charts as SVG, under the last words of their files' names."""
    return {
        "images": _images_chart(result["images"]),
        "networks": _networks_chart(result["networks"]),
        "threads": _threads_chart(result["threads"]),
        "memory": _memory_chart(result["memory"]),
    }


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page for the documentation."""
    sections = (
        ("Images", "images", _images_text),
        ("Arithmetic", "networks", _networks_text),
        ("Threads", "threads", _threads_text),
        ("Memory", "memory", _memory_text),
    )
    machine, versions, n_rounds = result["machine"], result["versions"], result["n_rounds"]
    rounds = "one round" if n_rounds == 1 else f"{n_rounds} rounds"
    told = [
        "# How training scales",
        f"On the processor. Every point is measured once a round, in an order that turns round from one round to the "
        f"next; shown are the median and, as bars and in brackets, the smallest and largest value of {rounds}. Ratios "
        "are taken within a round.",
    ]
    for title, key, text in sections:
        told += [f"## {title}", f"![{title}](../images/scaling-{key}.svg)", *text(result[key])]
    others = [busy for _, key, _ in sections for busy in result[key]["other_cores"]]
    if max(others, default=0) > QUIET_CORES:
        told.append(f"Not a quiet machine: other programs kept up to {max(others):.2f} cores busy during a round.")
    told.append(
        f"digitlab {versions['digitlab']}, numba {versions['numba']}, Python {versions['python']}, {machine['cores']} "
        f"cores of {machine['cpu']}. Made by `{result['command']}` on {result['date'][:10]}."
    )
    return page(*told)


def _images_text(part: dict[str, Any]) -> list[str]:
    points, line = part["points"], part["line"]
    first, last = points[0], points[-1]
    times = last["n_images"] / first["n_images"]
    told = (
        f"An epoch of codelab_cnn in batches of {part['batch_size']}: {times:g} times the images take "
        f"{_times(last['runs'], first['runs'])} times the time."
    )
    if line:
        told += (
            f" The straight line fitted to the medians by least squares is {1e6 * line['slope']:.2f} µs an image and "
            f"{round(1e3 * line['intercept'], 2) + 0.0:+.2f} ms an epoch. Its residual (root mean square) is "
            f"{1e3 * line['residual']:.2f} ms, and no median lies further from it than {100 * line['worst']:.1f} % of "
            "itself."
        )
    rows = [
        [f"{p['n_images']:,}", _text(p["seconds"], 4), f"{1e6 * p['seconds']['median'] / p['n_images']:.2f}"]
        for p in points
    ]
    return [told, markdown_table(["images", "seconds an epoch", "µs an image"], rows)]


def _images_chart(part: dict[str, Any]) -> str:
    dots = [_dot(point["n_images"], point["seconds"]) for point in part["points"]]
    traces = [Trace("median, smallest and largest", dots)]
    if part["line"]:
        line = Line(**part["line"])
        ends = [Dot.on_line(x, line.at(x)) for x in (dots[0].x, dots[-1].x)]
        traces.append(Trace("straight line, least squares", ends, measured=False))
    return spread_chart(
        traces,
        title=f"An epoch of codelab_cnn, batches of {part['batch_size']}",
        x_label="Training images",
        y_label="Seconds an epoch",
    )


def _networks_text(part: dict[str, Any]) -> list[str]:
    points = part["points"]
    least, most = points[0], points[-1]
    rates = {p["network"]: part["batch_size"] * p["multiply_adds"] / p["ms_per_batch"]["median"] / 1e6 for p in points}
    slowest, fastest = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    line = Line.through(
        [math.log10(p["multiply_adds"]) for p in points], [math.log10(p["ms_per_batch"]["median"]) for p in points]
    )
    told = (
        f"A batch of {part['batch_size']}: from {least['network']} to {most['network']} a network has "
        f"{most['multiply_adds'] / least['multiply_adds']:,.0f} times the multiply-adds, and training takes "
        f"{_times(most['runs'], least['runs'])} times the time."
    )
    if line:
        told += (
            f" A straight line through the logarithms says that time grows as the multiply-adds to the power of "
            f"{line.slope:.2f}."
        )
    told += (
        f" Counted in multiply-adds of the forward pass alone, though training goes backward too, {slowest} gets "
        f"through {rates[slowest]:.1f} thousand million a second, and {fastest} through {rates[fastest]:.1f}."
    )
    rows = [
        [
            p["network"],
            f"{p['n_parameters']:,}",
            f"{p['multiply_adds']:,}",
            _text(p["ms_per_batch"], 2),
            f"{rates[p['network']]:.1f}",
        ]
        for p in points
    ]
    header = ["network", "parameters", "multiply-adds an image, forward", "ms a batch", "10⁹ multiply-adds a second"]
    return [told, markdown_table(header, rows)]


def _networks_chart(part: dict[str, Any]) -> str:
    dots = [_dot(p["multiply_adds"], p["ms_per_batch"], p["network"]) for p in part["points"]]
    return spread_chart(
        [Trace("median, smallest and largest", dots, joined=True)],
        log="xy",
        title=f"Training on a batch of {part['batch_size']}, network by network",
        x_label="Multiply-adds an image, forward (logarithmic)",
        y_label="Milliseconds a batch (logarithmic)",
    )


def _threads_text(part: dict[str, Any]) -> list[str]:
    points, cores = part["points"], part["cores"]
    if cores == 1:
        told = "This machine has one core, so there is nothing to share."
    else:
        last = [p for p in points if p["threads"] == cores]
        told = " and ".join(f"{p['network']} {_text(p['speedup'], 2)} times" for p in last)
        told = f"With {cores} threads, on as many cores, training is faster than with one: {told}."
    rows = [[p["network"], str(p["threads"]), _text(p["seconds"], 3), _text(p["speedup"], 2)] for p in points]
    header = ["network", "threads", f"seconds an epoch of {points[0]['n_images']:,}", "times as fast as with one"]
    return [told, markdown_table(header, rows)]


def _threads_chart(part: dict[str, Any]) -> str:
    points, cores = part["points"], part["cores"]
    names = list(dict.fromkeys(p["network"] for p in points))
    own = {name: [_dot(p["threads"], p["speedup"]) for p in points if p["network"] == name] for name in names}
    traces = [Trace(name, dots, joined=True) for name, dots in own.items()]
    traces.append(Trace("as many times as threads", [Dot.on_line(x, x) for x in (1, cores)], measured=False))
    return spread_chart(
        traces,
        title="Threads, on a machine of " + ("one core" if cores == 1 else f"{cores} cores"),
        x_label="Threads",
        y_label="Times as fast as with one thread",
    )


def _memory_text(part: dict[str, Any]) -> list[str]:
    points = part["points"]
    first, last = points[0], points[-1]
    least, most = (point["growth_bytes"]["median"] / _MIB for point in (first, last))
    told = (
        f"Training codelab_cnn for {part['n_batches']} batches adds {least:.1f} MiB to the process at a batch of "
        f"{first['batch_size']:,} images, and {most:.1f} MiB at {last['batch_size']:,}, where the engine's arrays are "
        f"{last['engine_bytes']['median'] / _MIB:.1f} MiB."
    )
    sizes = [p["batch_size"] for p in points]
    lines = [Line.through(sizes, [p[key]["median"] for p in points]) for key in ("growth_bytes", "engine_bytes")]
    if lines[0] and lines[1]:
        told += (
            f" By the straight lines through the medians, each image more in a batch takes {lines[0].slope / _KIB:.2f} "
            f"KiB, and {lines[1].slope / _KIB:.2f} KiB of arrays."
        )
    told += " The images themselves, and the compiled kernels, are in memory before and not counted."
    rows = [
        [f"{p['batch_size']:,}", _text(p["growth_bytes"], 2, 1 / _MIB), _text(p["engine_bytes"], 2, 1 / _MIB)]
        for p in points
    ]
    return [told, markdown_table(["batch", "added to the process at its peak, MiB", "the engine's arrays, MiB"], rows)]


def _memory_chart(part: dict[str, Any]) -> str:
    own = {
        name: [_dot(p["batch_size"], p[key], scale=1 / _MIB) for p in part["points"]]
        for key, name in (("growth_bytes", "added to the process"), ("engine_bytes", "the engine's arrays"))
    }
    sizes = [p["batch_size"] for p in part["points"]]
    return spread_chart(
        [Trace(name, dots, joined=True) for name, dots in own.items()],
        log="xy",
        x_ticks=sizes,
        title="Memory that training codelab_cnn takes, at its peak",
        x_label="Images a batch (logarithmic)",
        y_label="MiB (logarithmic)",
    )


def _dot(x: float, spread: dict[str, float], label: str = "", scale: float = 1.0) -> Dot:
    return Dot(x, *(scale * spread[key] for key in ("median", "min", "max")), label)


def _text(spread: dict[str, Any], digits: int, scale: float = 1.0) -> str:
    return Spread(**spread).text(digits, scale)


def _times(runs: Sequence[float], base: Sequence[float]) -> str:
    """Return the ratio of two points within each round, as text."""
    spread = Spread.of([own / other for own, other in zip(runs, base, strict=True)])
    assert spread is not None
    return spread.text(1)
