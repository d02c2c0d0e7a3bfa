"""What ``scaling.py`` times: epochs of many sizes, networks of many sizes, threads; each point once a round, in turn.

A time is that of the training batches alone: the model is new, the images lie in memory as writable bytes, and the
room for a batch has been made. Short epochs are trained several times over and the time divided, so that no point rests
on a few milliseconds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import digitlab as dl
from contest import Spread
from digitlab.network.cost import cost_of
from digitlab.network.zoo import architecture
from peers import peer
from straight_line import Line

BATCH_SIZE, COST_BATCH_SIZE, COST_BATCHES = 512, 256, 20
THREADS_IMAGES = 5_500
#: What one timing should at least last, and the most epochs for it.
LEAST_S, MOST_EPOCHS = 0.3, 40
#: Up to so many cores every number of threads is measured; beyond, doublings and all cores.
MOST_SINGLE_THREADS = 8

T, V = TypeVar("T"), TypeVar("V")


@dataclass(frozen=True)
class Point:
    """One thing to time: so many epochs of batches over the first images, on one network and so many threads."""

    network: dl.Architecture
    n_images: int
    batch_size: int
    threads: int | None = None
    n_epochs: int = 1


def in_turn(
    points: Sequence[T], measure: Callable[[T], V], n_rounds: int, say: Callable[[str], None]
) -> tuple[list[list[V]], list[float]]:
    """Measure every point once a round, in an order that turns round from one round to the next.

    Returns
    -------
    values : list of list
        For each point its value of every round.
    other_cores : list of float
        For each round the cores that the rest of the machine kept busy, on average; empty where that is not known.
    """
    values: list[list[V]] = [[] for _ in points]
    other_cores = []
    for number in range(n_rounds):
        numbers = range(len(points))
        # As the contestants of the other benchmarks are watched; there is no public name for it.
        began, others = time.perf_counter(), peer.other_cpu_s()
        for i in reversed(numbers) if number % 2 else numbers:
            values[i].append(measure(points[i]))
        if others is not None:
            busy = max(0.0, (peer.other_cpu_s() or others) - others)
            other_cores.append(round(busy / (time.perf_counter() - began), 3))
        say(f"round {number + 1}/{n_rounds} of {len(points)} points")
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


def _timed(watch: Stopwatch, points: list[Point], n_rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    points = [watch.long_enough(point) for point in points]
    values, other_cores = in_turn(points, watch.seconds_per_epoch, n_rounds, say)
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


def time_images(watch: Stopwatch, sizes: Sequence[int], n_rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Time an epoch of the codelab's network over more and more images, and fit a line to the medians."""
    network = architecture("codelab_cnn")
    result = _timed(watch, [Point(network, n, BATCH_SIZE) for n in sizes], n_rounds, say)
    line = Line.through(sizes, [point["seconds"]["median"] for point in result["points"]])
    return {**result, "batch_size": BATCH_SIZE, "line": vars(line) if line else None}


def time_networks(
    watch: Stopwatch, networks: Sequence[dl.Architecture], n_rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Time a batch of networks that cost more and more."""
    networks = sorted(networks, key=lambda network: cost_of(network).multiply_adds)
    n_images = COST_BATCHES * COST_BATCH_SIZE
    result = _timed(watch, [Point(network, n_images, COST_BATCH_SIZE) for network in networks], n_rounds, say)
    for point, cost in zip(result["points"], map(cost_of, networks), strict=True):
        point["ms_runs"] = [1000 * seconds / COST_BATCHES for seconds in point["runs"]]
        point["ms_per_batch"] = vars(Spread.of(point["ms_runs"]))
        point |= {"n_parameters": cost.n_parameters, "multiply_adds": cost.multiply_adds}
    return {**result, "batch_size": COST_BATCH_SIZE}


def time_threads(
    watch: Stopwatch, names: Sequence[str], cores: int, n_rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Time an epoch on one thread, two, and so on to all cores; the speed-up is taken within a round."""
    points = [
        Point(architecture(name), THREADS_IMAGES, BATCH_SIZE, threads)
        for name in names
        for threads in thread_counts(cores)
    ]
    result = _timed(watch, points, n_rounds, say)
    alone = {point["network"]: point["runs"] for point in result["points"] if point["threads"] == 1}
    for point in result["points"]:
        ratios = [one / own for one, own in zip(alone[point["network"]], point["runs"], strict=True)]
        point["speedup"] = vars(Spread.of(ratios))
    return {**result, "batch_size": BATCH_SIZE, "cores": cores}
