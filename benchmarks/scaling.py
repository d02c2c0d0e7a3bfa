"""How does training scale with images, arithmetic, threads and the batch? Measured on the processor, told and drawn.

- seconds an epoch over 1,000 to 55,000 images, with a straight line fitted to them;
- milliseconds a batch over the multiply-adds of the network: the zoo's, and the codelab's with other filters;
- the speed-up of one thread, two, and so on to all cores;
- the memory that training takes, over the batch size, each time in a fresh process (Linux only).

A time is that of the training batches alone: the model is new, the images lie in memory as writable bytes, and the
room for a batch has been made. Short epochs are trained several times over and the time divided, so that no point rests
on a few milliseconds.

For the memory, Linux' own count of the largest resident memory (``VmHWM``) begins anew, by ``/proc/self/clear_refs``,
once the images lie in memory and the kernels are loaded; what it says after three batches, less what it said before the
room for a batch was made, is what training took. Afterwards, with a second model, the engine's arrays are counted by
the allocations that NumPy reports from ``digitlab/engine/cpu``: that slows training, and takes memory itself.

Every point once a round, in an order that turns round from one round to the next. Writes
``benchmarks/results/scaling.json``, ``docs/measurements/scaling.md`` and ``docs/images/scaling-*.svg`` below the
project's folder, or below ``--out``.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import digitlab as dl
from digitlab.engine import cpu
from digitlab.network.cost import cost_of
from digitlab.network.zoo import ZOO, architecture
from digitlab.svg import Dot, Trace, spread_chart
from digitlab.training.keeping import environment
from measuring import (
    QUIET_CORES,
    ROOT,
    Spread,
    describe_machine,
    in_turn,
    made_by,
    other_cpu_s,
    parser_of,
    peak_bytes,
    say,
    write,
    write_json,
)
from tables import markdown_table, page

IMAGES = (1_000, 2_500, 5_500, 11_000, 27_500, 55_000)
#: The codelab's own network has 8 and 16.
FILTERS = ((4, 8), (16, 32), (32, 64))
THREADED, THREADS_IMAGES = ("codelab_cnn", "fast_cnn"), 5_500
BATCH_SIZE, COST_BATCH_SIZE, COST_BATCHES = 512, 256, 20
BATCH_SIZES = (32, 128, 512, 2_048, 8_192)
#: How many of each a quick try measures.
QUICK = 2
#: What one timing should at least last, and the most epochs for it.
LEAST_S, MOST_EPOCHS = 0.3, 40
#: Up to so many cores every number of threads is measured; beyond, doublings and all cores.
MOST_SINGLE_THREADS = 8
#: Batches that are weighed, and one large enough to start every thread before.
N_BATCHES, WARM_UP_BATCH = 3, 128
#: The hidden option that weighs one batch size in its own process.
OPTION = "--memory-of"

_ENGINE = str(Path(cpu.__file__).parent / "*")
_KIB, _MIB = 2**10, 2**20

T, V = TypeVar("T"), TypeVar("V")


@dataclass(frozen=True)
class Point:
    """One thing to time: so many epochs of batches over the first images, on one network and so many threads."""

    network: dl.Architecture
    n_images: int
    batch_size: int
    threads: int | None = None
    n_epochs: int = 1


def rounds_of(points: Sequence[T], measure: Callable[[T], V], n_rounds: int) -> tuple[list[list[V]], list[float]]:
    """Measure every point once a round; return each point's values.

    And for each round the cores that the rest of the machine kept busy, on average; empty where that is not known.
    """
    values: list[list[V]] = [[] for _ in points]
    other_cores = []
    began, others = time.perf_counter(), other_cpu_s()
    for k, (number, i) in enumerate(in_turn(range(len(points)), n_rounds), start=1):
        values[i].append(measure(points[i]))
        if k % len(points) == 0:
            now, used = time.perf_counter(), other_cpu_s()
            if used is not None and others is not None:
                other_cores.append(round(max(0.0, used - others) / (now - began), 3))
            began, others = now, used
            say(f"round {number}/{n_rounds} of {len(points)} points")
    return values, other_cores


def thread_counts(cores: int) -> list[int]:
    """Return the numbers of threads to measure.

    Examples
    --------
    >>> thread_counts(3), thread_counts(24)
    ([1, 2, 3], [1, 2, 4, 8, 16, 24])
    """
    if cores <= MOST_SINGLE_THREADS:
        return list(range(1, cores + 1))
    return [*(2**k for k in range(cores.bit_length()) if 2**k < cores), cores]


def codelab_with(first: int, second: int) -> dl.Architecture:
    """Return the codelab's network with other numbers of filters."""
    scaling: Any = {"kernel_initializer": "variance_scaling"}
    return dl.Architecture(
        [
            dl.Conv2D(first, 5, activation="relu", **scaling),
            dl.MaxPooling2D(2),
            dl.Conv2D(second, 5, activation="relu", **scaling),
            dl.MaxPooling2D(2),
            dl.Flatten(),
            dl.Dense(10, activation="softmax", **scaling),
        ],
        name=f"{first}/{second} filters",
    )


class Stopwatch:
    """Times points over the same images, held in memory as the engine takes them without a copy."""

    def __init__(self, digits: Any) -> None:
        self.images, self.labels = np.array(digits.images), np.array(digits.labels)

    def seconds_per_epoch(self, point: Point) -> float:
        """Train a new model, and return the seconds of one epoch."""
        model = dl.Sequential.from_architecture(point.network, seed=0, threads=point.threads)
        n = point.n_images
        records = model.steps(
            self.images[:n], self.labels[:n], batch_size=point.batch_size, epochs=point.n_epochs, seed=0
        )
        began = time.perf_counter()
        deque(records, maxlen=0)
        return (time.perf_counter() - began) / point.n_epochs

    def long_enough(self, point: Point) -> Point:
        """Return the point with as many epochs as a timing needs; what this trains also warms it up."""
        self.seconds_per_epoch(replace(point, n_images=min(point.n_images, point.batch_size)))  # loads the kernels
        n_epochs = round(LEAST_S / self.seconds_per_epoch(point))
        return replace(point, n_epochs=min(MOST_EPOCHS, max(1, n_epochs)))

    def times(self, points: Sequence[Point], n_rounds: int) -> dict[str, Any]:
        """Time points in turn."""
        points = [self.long_enough(point) for point in points]
        values, other_cores = rounds_of(points, self.seconds_per_epoch, n_rounds)
        told = [
            {
                "network": point.network.name,
                "threads": point.threads,
                "n_images": point.n_images,
                "n_epochs": point.n_epochs,
                "seconds": vars(Spread.of(seconds)),
                "runs": seconds,
            }
            for point, seconds in zip(points, values, strict=True)
        ]
        return {"points": told, "other_cores": other_cores}


def time_images(watch: Stopwatch, sizes: Sequence[int], n_rounds: int) -> dict[str, Any]:
    """Time an epoch of the codelab's network over more and more images, and fit a line to the medians."""
    network = architecture("codelab_cnn")
    result = watch.times([Point(network, n, BATCH_SIZE) for n in sizes], n_rounds)
    line = Line.through(sizes, [point["seconds"]["median"] for point in result["points"]])
    return {**result, "batch_size": BATCH_SIZE, "line": vars(line) if line else None}


def time_networks(watch: Stopwatch, networks: Sequence[dl.Architecture], n_rounds: int) -> dict[str, Any]:
    """Time a batch of networks that cost more and more."""
    networks = sorted(networks, key=lambda network: cost_of(network).multiply_adds)
    n_images = COST_BATCHES * COST_BATCH_SIZE
    result = watch.times([Point(network, n_images, COST_BATCH_SIZE) for network in networks], n_rounds)
    for point, cost in zip(result["points"], map(cost_of, networks), strict=True):
        point["ms_runs"] = [1000 * seconds / COST_BATCHES for seconds in point["runs"]]
        point["ms_per_batch"] = vars(Spread.of(point["ms_runs"]))
        point |= {"n_parameters": cost.n_parameters, "multiply_adds": cost.multiply_adds}
    return {**result, "batch_size": COST_BATCH_SIZE}


def time_threads(watch: Stopwatch, cores: int, n_rounds: int) -> dict[str, Any]:
    """Time an epoch on one thread, two, and so on to all cores; the speed-up is taken within a round."""
    points = [
        Point(architecture(name), THREADS_IMAGES, BATCH_SIZE, threads)
        for name in THREADED
        for threads in thread_counts(cores)
    ]
    result = watch.times(points, n_rounds)
    alone = {point["network"]: point["runs"] for point in result["points"] if point["threads"] == 1}
    for point in result["points"]:
        ratios = [one / own for one, own in zip(alone[point["network"]], point["runs"], strict=True)]
        point["speedup"] = vars(Spread.of(ratios))
    return {**result, "batch_size": BATCH_SIZE, "cores": cores}


def weigh(batch_sizes: Sequence[int], n_rounds: int) -> dict[str, Any]:
    """Weigh every batch size once a round, each time in a fresh process."""

    def fresh(batch_size: int) -> dict[str, int]:
        command = [sys.executable, str(Path(__file__).resolve()), OPTION, str(batch_size)]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)

    values, other_cores = rounds_of(batch_sizes, fresh, n_rounds)
    points = []
    for batch_size, runs in zip(batch_sizes, values, strict=True):
        spreads = {key: vars(Spread.of([run[key] for run in runs])) for key in ("growth_bytes", "engine_bytes")}
        points.append({"batch_size": batch_size, **spreads, "runs": runs})
    return {"points": points, "n_batches": N_BATCHES, "other_cores": other_cores}


def weigh_here(batch_size: int) -> dict[str, int]:
    """Train a few batches in this process, which should be fresh, and return what that added, in bytes."""
    data, n = dl.MnistData.load(), N_BATCHES * batch_size
    if n > len(data.training):
        raise SystemExit(f"{N_BATCHES} batches of {batch_size:,} are more than {len(data.training):,} images.")
    # Copied: images that are mapped into memory would be copied by the engine, within what is weighed.
    images, labels = (np.array(part[: max(n, WARM_UP_BATCH)]) for part in (data.training.images, data.training.labels))

    def trained(n_images: int, size: int) -> tuple[dl.Sequential, Any]:
        model = dl.codelab_cnn(seed=0)
        records = model.steps(images[:n_images], labels[:n_images], batch_size=size, epochs=1, seed=0)
        for _ in islice(records, N_BATCHES):
            pass
        return model, records

    # Kept, so that nothing of what it took can be used again below and be missing from the count.
    warm = trained(WARM_UP_BATCH, WARM_UP_BATCH)
    # Free memory that stays with the process would be used again, and training would seem to take less than it does.
    gc.collect()
    with suppress(OSError, AttributeError):  # a C library other than GNU's
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_bytes()
    measured = trained(n, batch_size)
    growth = peak_bytes() - before
    del measured
    tracemalloc.start()
    counted = trained(n, batch_size)
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    for chosen in (tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain), tracemalloc.Filter(True, _ENGINE)):
        snapshot = snapshot.filter_traces([chosen])
    del warm, counted
    return {"growth_bytes": growth, "engine_bytes": sum(trace.size for trace in snapshot.traces)}


def measure(n_rounds: int, quick: bool) -> dict[str, Any]:
    """Measure everything; return it as plain JSON types."""
    machine = describe_machine()
    watch = Stopwatch(dl.MnistData.load().training)
    most = QUICK if quick else None
    networks = [*(build() for build in ZOO.values()), *(codelab_with(*pair) for pair in FILTERS)]
    return {
        "images": time_images(watch, IMAGES[:most], n_rounds),
        "networks": time_networks(watch, networks[:most], n_rounds),
        "threads": time_threads(watch, machine["cores"], n_rounds),
        "memory": weigh(BATCH_SIZES[:most], n_rounds),
        "n_rounds": n_rounds,
        "machine": machine,
        "versions": environment(machine["cores"]),
        **made_by("scaling", ["--rounds", str(n_rounds), *["--quick"] * quick]),
    }


def publish(result: dict[str, Any], folder: Path) -> None:
    """Write the JSON, the page and its charts below a folder."""
    write_json(folder / "benchmarks/results/scaling.json", result)
    for name, section in sections(result).items():
        write(folder / f"docs/images/scaling-{name}.svg", section.svg)
    write(folder / "docs/measurements/scaling.md", to_markdown(result))


def main(argv: list[str] | None = None) -> int:
    """Measure and write; or, with the hidden option, weigh one batch size and print it."""
    parser = parser_of("scaling", __doc__, rounds=(5, "of all points"))
    parser.set_defaults(out=ROOT)  # a folder, for page and charts as well
    parser.add_argument("--quick", action="store_true", help="few points, the cheap ones: to see that it works")
    parser.add_argument(OPTION, type=int, dest="memory_of", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.memory_of:
        print(json.dumps(weigh_here(options.memory_of)))
        return 0
    result = measure(options.rounds, options.quick)
    publish(result, options.out)
    print(to_markdown(result))
    return 0


# From here on: what was measured, told and drawn. Every number is computed from the result, the sentences' too.


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


@dataclass(frozen=True)
class Section:
    """A part of the page: its heading, a sentence or more, a table, and a chart as SVG."""

    title: str
    told: str
    table: str
    svg: str


def sections(result: dict[str, Any]) -> dict[str, Section]:
    """Return the parts of the page under their names, which are the last words of the charts' files."""
    tellers = {"images": _images, "networks": _networks, "threads": _threads, "memory": _memory}
    return {name: tell(result[name]) for name, tell in tellers.items()}


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page for the documentation."""
    machine, versions, n_rounds = result["machine"], result["versions"], result["n_rounds"]
    rounds = "one round" if n_rounds == 1 else f"{n_rounds} rounds"
    told = [
        "# How training scales",
        f"On the processor. Every point is measured once a round, in an order that turns round from one round to the "
        f"next; shown are the median and, as bars and in brackets, the smallest and largest value of {rounds}. Ratios "
        "are taken within a round.",
    ]
    others = []
    for name, part in sections(result).items():
        image = f"![{part.title}](../images/scaling-{name}.svg)"
        told += [f"## {part.title}", image, part.told, part.table]
        others += result[name]["other_cores"]
    if max(others, default=0) > QUIET_CORES:
        told.append(f"Not a quiet machine: other programs kept up to {max(others):.2f} cores busy during a round.")
    told.append(
        f"digitlab {versions['digitlab']}, numba {versions['numba']}, Python {versions['python']}, {machine['cores']} "
        f"cores of {machine['cpu']}. Made by `{result['command']}` on {result['date'][:10]}."
    )
    return page(*told)


def _images(part: dict[str, Any]) -> Section:
    points, line = part["points"], part["line"]
    dots = [_dot(point["n_images"], point["seconds"]) for point in points]
    traces = [Trace("median, smallest and largest", dots)]
    told = (
        f"An epoch of codelab_cnn in batches of {part['batch_size']}: "
        f"{points[-1]['n_images'] / points[0]['n_images']:g} times the images take "
        f"{_times(points[-1]['runs'], points[0]['runs'])} times the time."
    )
    if line:
        told += (
            f" The straight line fitted to the medians by least squares is {1e6 * line['slope']:.2f} µs an image and "
            f"{round(1e3 * line['intercept'], 2) + 0.0:+.2f} ms an epoch. Its residual (root mean square) is "
            f"{1e3 * line['residual']:.2f} ms, and no median lies further from it than {100 * line['worst']:.1f} % of "
            "itself."
        )
        ends = [Dot.on_line(x, Line(**line).at(x)) for x in (dots[0].x, dots[-1].x)]
        traces.append(Trace("straight line, least squares", ends, measured=False))
    rows = [
        [f"{p['n_images']:,}", _text(p["seconds"], 4), f"{1e6 * p['seconds']['median'] / p['n_images']:.2f}"]
        for p in points
    ]
    svg = spread_chart(
        traces,
        title=f"An epoch of codelab_cnn, batches of {part['batch_size']}",
        x_label="Training images",
        y_label="Seconds an epoch",
    )
    return Section("Images", told, markdown_table(["images", "seconds an epoch", "µs an image"], rows), svg)


def _networks(part: dict[str, Any]) -> Section:
    points, size = part["points"], part["batch_size"]
    least, most = points[0], points[-1]
    rates = {p["network"]: size * p["multiply_adds"] / p["ms_per_batch"]["median"] / 1e6 for p in points}
    slowest, fastest = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    line = Line.through(*([math.log10(n) for n in ns] for ns in _columns(points, "multiply_adds", "ms_per_batch")))
    told = (
        f"A batch of {size}: from {least['network']} to {most['network']} a network has "
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
        [name, f"{p['n_parameters']:,}", f"{p['multiply_adds']:,}", _text(p["ms_per_batch"], 2), f"{rates[name]:.1f}"]
        for name, p in ((p["network"], p) for p in points)
    ]
    header = ["network", "parameters", "multiply-adds an image, forward", "ms a batch", "10⁹ multiply-adds a second"]
    dots = [_dot(p["multiply_adds"], p["ms_per_batch"], p["network"]) for p in points]
    svg = spread_chart(
        [Trace("median, smallest and largest", dots, joined=True)],
        log="xy",
        title=f"Training on a batch of {size}, network by network",
        x_label="Multiply-adds an image, forward (logarithmic)",
        y_label="Milliseconds a batch (logarithmic)",
    )
    return Section("Arithmetic", told, markdown_table(header, rows), svg)


def _threads(part: dict[str, Any]) -> Section:
    points, cores = part["points"], part["cores"]
    if cores == 1:
        told = "This machine has one core, so there is nothing to share."
    else:
        last = [p for p in points if p["threads"] == cores]
        told = " and ".join(f"{p['network']} {_text(p['speedup'], 2)} times" for p in last)
        told = f"With {cores} threads, on as many cores, training is faster than with one: {told}."
    rows = [[p["network"], str(p["threads"]), _text(p["seconds"], 3), _text(p["speedup"], 2)] for p in points]
    header = ["network", "threads", f"seconds an epoch of {points[0]['n_images']:,}", "times as fast as with one"]
    own: dict[str, list[Dot]] = {}
    for p in points:
        own.setdefault(p["network"], []).append(_dot(p["threads"], p["speedup"]))
    traces = [Trace(name, dots, joined=True) for name, dots in own.items()]
    traces.append(Trace("as many times as threads", [Dot.on_line(x, x) for x in (1, cores)], measured=False))
    svg = spread_chart(
        traces,
        title="Threads, on a machine of " + ("one core" if cores == 1 else f"{cores} cores"),
        x_label="Threads",
        y_label="Times as fast as with one thread",
    )
    return Section("Threads", told, markdown_table(header, rows), svg)


def _memory(part: dict[str, Any]) -> Section:
    points, first, last = part["points"], part["points"][0], part["points"][-1]
    keys = {"growth_bytes": "added to the process", "engine_bytes": "the engine's arrays"}
    least, most = (point["growth_bytes"]["median"] / _MIB for point in (first, last))
    told = (
        f"Training codelab_cnn for {part['n_batches']} batches adds {least:.1f} MiB to the process at a batch of "
        f"{first['batch_size']:,} images, and {most:.1f} MiB at {last['batch_size']:,}, where the engine's arrays are "
        f"{last['engine_bytes']['median'] / _MIB:.1f} MiB."
    )
    lines = [Line.through(*_columns(points, "batch_size", key)) for key in keys]
    if lines[0] and lines[1]:
        told += (
            f" By the straight lines through the medians, each image more in a batch takes {lines[0].slope / _KIB:.2f} "
            f"KiB, and {lines[1].slope / _KIB:.2f} KiB of arrays."
        )
    told += " The images themselves, and the compiled kernels, are in memory before and not counted."
    rows = [[f"{p['batch_size']:,}", *(_text(p[key], 2, 1 / _MIB) for key in keys)] for p in points]
    header = ["batch", "added to the process at its peak, MiB", "the engine's arrays, MiB"]
    own = {name: [_dot(p["batch_size"], p[key], scale=1 / _MIB) for p in points] for key, name in keys.items()}
    svg = spread_chart(
        [Trace(name, dots, joined=True) for name, dots in own.items()],
        log="xy",
        x_ticks=[p["batch_size"] for p in points],
        title="Memory that training codelab_cnn takes, at its peak",
        x_label="Images a batch (logarithmic)",
        y_label="MiB (logarithmic)",
    )
    return Section("Memory", told, markdown_table(header, rows), svg)


def _columns(points: Sequence[dict[str, Any]], x: str, spread: str) -> tuple[list[float], list[float]]:
    """Return the points' x and the medians over it."""
    return [p[x] for p in points], [p[spread]["median"] for p in points]


def _dot(x: float, spread: dict[str, float], label: str = "", scale: float = 1.0) -> Dot:
    return Dot(x, *(scale * spread[key] for key in ("median", "min", "max")), label)


def _text(spread: dict[str, Any], digits: int, scale: float = 1.0) -> str:
    return Spread(**spread).text(digits, scale)


def _times(runs: Sequence[float], base: Sequence[float]) -> str:
    """Return the ratio of two points within each round, as text."""
    spread = Spread.of([own / other for own, other in zip(runs, base, strict=True)])
    assert spread is not None
    return spread.text(1)


if __name__ == "__main__":
    sys.exit(main())
