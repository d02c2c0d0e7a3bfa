"""How near is every kernel to what this machine can do at most?

    python benchmarks/roofline.py [--rounds 7] [--out benchmarks/results/roofline.json]

First the machine: multiply-adds that stay in the registers, and the copy of an array far larger than the caches, on one
core and on all at once. Then, for every network of the zoo, each kernel by itself on one block of images that lies in
the core's cache, as it does in training; at last whole batches as ``fit`` trains them, forward, backward, gradients and
optimizer. On all cores means the same work in every core at the same time, and for batches one batch that is shared.

The arithmetic of a layer is counted as textbooks do, two operations for a multiply-add: whatever a kernel leaves out
because it knows the result counts as done, and what it does beyond counts as nothing. Rounds go over everything in
turn, and the best of the rounds counts, which is the one that other programs disturbed least.

At last the finder's network, on a page of 1024 x 768 pixels and on a batch of crops, each shared by so many cores.
"""

from __future__ import annotations

import argparse
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contest import describe_machine
from digitlab.data.mnist import MnistData
from digitlab.engine.cpu.lanes import LANES
from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.cpu.memory import Images
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.cpu.threads import available_threads
from digitlab.engine.crops import STRIDE, Crops
from digitlab.engine.optimizers import Adam
from digitlab.network.zoo import ZOO, architecture
from measured_kernels import Block, measured_kernels, multiply_adds
from roofline_tables import to_markdown, write

ROOT = Path(__file__).resolve().parent.parent
#: The batch size that each network is usually trained with.
BATCH_SIZES = {"codelab_cnn": 512, "fast_cnn": 256}

#: The finder's page, and its batch of crops: how many, and their side.
PAGE, CROPS, CROP_PX = (768, 1024), 16, 192

_COPIED_FLOATS = 2**26
_AT_LEAST_S = 0.06  # waking the second core must not count


@dataclass(frozen=True)
class Work:
    """Something to measure: ``run(core, times)`` does it so often, and releases Python's lock."""

    network: str
    name: str
    flops: float
    bytes: float
    run: Callable[[int, int], None]
    blocks: int = 1  # for how many blocks of images one call does it


def machine_works(n_cores: int) -> Iterator[Work]:
    """Give what the machine itself can do."""
    per_call = 1_000
    numbers = [np.ones(64 * LANES, np.float32) for _ in range(n_cores)]
    yield Work(
        "machine",
        "multiply-adds in registers",
        2.0 * 16 * LANES * per_call,
        0.0,
        lambda core, times: multiply_adds(numbers[core], per_call * times),
    )
    halves = [(np.ones(_COPIED_FLOATS // n_cores, np.float32), np.zeros(_COPIED_FLOATS // n_cores, np.float32))] * 1
    halves += [(a.copy(), b.copy()) for a, b in halves * (n_cores - 1)]

    def copy(core: int, times: int) -> None:
        for _ in range(times):
            np.copyto(halves[core][1], halves[core][0])

    yield Work("machine", "copy of a large array", 0.0, 8.0 * (_COPIED_FLOATS // n_cores), copy)


def kernel_works(network: str, data: MnistData, n_cores: int) -> Iterator[Work]:
    """Give every kernel of a network."""
    blocks = [Block(architecture(network), data) for _ in range(n_cores)]
    for one in measured_kernels(blocks[0].runner.program):

        def run(core: int, times: int, one: Any = one) -> None:
            blocks[core].run(one, times)

        yield Work(network, one.name, one.flops, one.bytes, run, one.blocks)


def batch_seconds(network: str, data: MnistData, n_threads: int) -> tuple[float, Callable[[], float]]:
    """Return the arithmetic of a batch, and what trains one and returns the seconds."""
    runner = CpuRunner(architecture(network), n_threads)
    size = BATCH_SIZES.get(network, 512)
    rng = np.random.default_rng(0)
    runner.start_training(size)
    runner.set_weights([rng.normal(0, 0.05, shape).astype(np.float32) for shape in runner.architecture.weight_shapes])
    images = Images.from_array(data.training.images, 784)
    labels = data.training.labels.astype(np.int64)
    optimizer = Adam()
    flops = size / LANES * sum(one.flops for one in measured_kernels(runner.program))
    n_steps = 0

    def train() -> float:
        nonlocal n_steps
        times = max(3, round(_AT_LEAST_S * 5e10 / flops))
        orders = [rng.permutation(len(labels))[:size].astype(np.int64) for _ in range(times)]
        began = time.perf_counter()
        for order in orders:
            n_steps += 1
            runner.train_batch(images, labels[order], order, optimizer.step(n_steps, 1e-3), 0)
        return (time.perf_counter() - began) / times

    return flops, train


def finder_seconds(n_threads: int) -> dict[str, tuple[float, Callable[[], float]]]:
    """Return, by name, the arithmetic of what the finder does, and what does it once and returns the seconds."""
    network, rng = architecture("finder_cnn"), np.random.default_rng(0)
    answering, learning = MapsRunner(network, n_threads), MapsRunner(network, n_threads)
    for runner in (answering, learning):
        runner.set_weights([rng.normal(0, 0.05, shape).astype(np.float32) for shape in network.weight_shapes])
    learning.start_training()
    page = rng.normal(size=(*PAGE, 1)).astype(np.float32)
    corners = rng.uniform(0, CROP_PX - 20, (CROPS * 8, 2))
    boxes = np.concatenate([corners, corners + 20], axis=1).astype(np.float32)
    images = rng.normal(size=(CROPS, CROP_PX, CROP_PX, 1)).astype(np.float32)
    crops = Crops(images, boxes, np.arange(len(boxes)) % 17, np.arange(0, len(boxes) + 1, 8))
    n_steps = 0

    def answer() -> None:
        answering.predict(page)

    def learn() -> None:
        nonlocal n_steps
        n_steps += 1
        learning.train_batch(crops, np.arange(CROPS), Adam().step(n_steps, 1e-4))

    def timed(act: Callable[[], None]) -> Callable[[], float]:
        def run() -> float:
            began = time.perf_counter()
            act()
            return time.perf_counter() - began

        act()  # compile
        return run

    forward = 2.0 * finder_multiply_adds()
    first = 2.0 * math.prod(network.weight_shapes[0])  # the first layer's input needs no gradient
    size = CROPS * CROP_PX**2
    return {
        f"a page of {PAGE[1]} x {PAGE[0]}": (forward * math.prod(PAGE), timed(answer)),
        f"{CROPS} crops of {CROP_PX} x {CROP_PX}, trained": ((3 * forward - first) * size, timed(learn)),
    }


def finder_multiply_adds() -> float:
    """Return how many multiply-adds the finder's network takes for a pixel of a page, its sides divisible by STRIDE."""
    network, per_side, total = architecture("finder_cnn"), 1, 0.0
    for layer, shape in zip(network.layers, network.input_shapes, strict=True):
        if weights := layer.weight_shapes(shape):
            total += math.prod(weights[0]) / per_side**2
        else:
            per_side *= 2
    assert per_side == STRIDE
    return total


def seconds(work: Work, n_cores: int, times: int) -> float:
    """Return how long it takes once, on so many cores at the same time."""
    if n_cores == 1:
        began = time.perf_counter()
        work.run(0, times)
        return (time.perf_counter() - began) / times
    barrier = threading.Barrier(n_cores)

    def one(core: int) -> tuple[float, float]:
        barrier.wait()
        began = time.perf_counter()
        work.run(core, times)
        return began, time.perf_counter()

    with ThreadPoolExecutor(n_cores) as pool:
        spans = list(pool.map(one, range(n_cores)))
    return (max(end for _, end in spans) - min(began for began, _ in spans)) / times


def measure(n_rounds: int, networks: list[str]) -> dict[str, Any]:
    """Measure everything in turn, again and again; return the best of each."""
    n_cores, data = available_threads(), MnistData.load()
    works = [*machine_works(n_cores)]
    for network in networks:
        works += kernel_works(network, data, n_cores)
    times = []
    for work in works:
        work.run(0, 1)  # compile
        times.append(max(1, round(_AT_LEAST_S / seconds(work, 1, 1))))
    batches = {(network, n): batch_seconds(network, data, n) for network in networks for n in {1, n_cores}}
    finder = {n: finder_seconds(n) for n in sorted({1, n_cores})}
    found: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(n_rounds):
        for work, count in zip(works, times, strict=True):
            for n in sorted({1, n_cores}):
                found.setdefault((work.network, work.name, n), []).append(seconds(work, n, count) / work.blocks)
        for (network, n), (_, train) in batches.items():
            found.setdefault((network, "whole batch", n), []).append(train())
        for n, jobs in finder.items():
            for name, (_, run) in jobs.items():
                found.setdefault(("finder_cnn", name, n), []).append(run())

    def entry(network: str, name: str, flops: float, bytes_: float, *, shared: bool) -> dict[str, Any]:
        best = {n: min(found[network, name, n]) for n in sorted({1, n_cores})}
        return {
            "network": network,
            "name": name,
            "flops": flops,
            "bytes": bytes_,
            "microseconds": {str(n): 1e6 * s for n, s in best.items()},
            "gflops": {str(n): flops * (1 if shared else n) / s / 1e9 for n, s in best.items()},
            "gbytes": {str(n): bytes_ * (1 if shared else n) / s / 1e9 for n, s in best.items()},
        }

    entries = [entry(work.network, work.name, work.flops, work.bytes, shared=False) for work in works]
    for network in networks:
        entries.append(entry(network, "whole batch", batches[network, 1][0], 0.0, shared=True))
    for name, (flops, _) in finder[1].items():
        entries.append(entry("finder_cnn", name, flops, 0.0, shared=True))
    return {"n": n_rounds, "cores": n_cores, "lanes": LANES, "batch_sizes": BATCH_SIZES, "entries": entries}


def main() -> None:
    """Measure, write JSON and the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", default=",".join(ZOO), metavar="A,B")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "roofline.json")
    options = parser.parse_args()
    machine = describe_machine()
    result = measure(options.rounds, options.networks.split(","))
    command = f"python benchmarks/roofline.py --rounds {options.rounds}"
    write({**result, "machine": machine, "command": command}, options.out)
    print(to_markdown({**result, "machine": machine, "command": command}))


if __name__ == "__main__":
    main()
