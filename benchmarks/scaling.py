"""How does training scale with images, arithmetic, threads and the batch? Measured on the processor, told and drawn.

    python benchmarks/scaling.py [--rounds 5] [--out FOLDER] [--quick]

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
from numpy.typing import NDArray

import digitlab as dl
from digitlab.engine import cpu
from digitlab.network.cost import cost_of
from digitlab.network.zoo import ZOO, architecture
from digitlab.training.keeping import environment
from measuring import ROOT, Spread, describe_machine, in_turn, made_by, other_cpu_s, positive, write, write_json
from scaling_page import Line, charts, to_markdown

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
            print(f"round {number}/{n_rounds} of {len(points)} points", file=sys.stderr, flush=True)
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

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        self.images, self.labels = np.array(images), np.array(labels)

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
    before = _peak_bytes()
    measured = trained(n, batch_size)
    growth = _peak_bytes() - before
    del measured
    tracemalloc.start()
    counted = trained(n, batch_size)
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    for chosen in (tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain), tracemalloc.Filter(True, _ENGINE)):
        snapshot = snapshot.filter_traces([chosen])
    del warm, counted
    return {"growth_bytes": growth, "engine_bytes": sum(trace.size for trace in snapshot.traces)}


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def measure(n_rounds: int, quick: bool) -> dict[str, Any]:
    """Measure everything; return it as plain JSON types."""
    machine = describe_machine()
    training = dl.MnistData.load().training
    watch = Stopwatch(training.images, training.labels)
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
    for name, svg in charts(result).items():
        write(folder / f"docs/images/scaling-{name}.svg", svg)
    write(folder / "docs/measurements/scaling.md", to_markdown(result))


def main(argv: list[str] | None = None) -> int:
    """Measure and write; or, with the hidden option, weigh one batch size and print it."""
    parser = argparse.ArgumentParser(prog="python benchmarks/scaling.py", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="of all points (default 5)")
    parser.add_argument("--out", type=Path, default=ROOT, metavar="FOLDER", help="the project's folder by default")
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


if __name__ == "__main__":
    sys.exit(main())
