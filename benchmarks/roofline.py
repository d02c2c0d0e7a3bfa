"""How near is every kernel to what this machine can do at most?

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

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from digitlab.data.mnist import MnistData
from digitlab.engine.cpu.lanes import LANES
from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.cpu.memory import Images
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.cpu.threads import available_threads
from digitlab.engine.crops import STRIDE, Crops
from digitlab.engine.optimizers import Adam
from digitlab.network.zoo import ZOO, architecture
from kernels import Block, measured_kernels, multiply_adds
from measuring import describe_machine, in_turn, made_by, parser_of, publish
from tables import markdown_table, on_machine, page, was_busy

#: The batch size that each network is usually trained with.
BATCH_SIZES = {"codelab_cnn": 512, "fast_cnn": 256}

#: The finder's page, and its batch of crops: how many, and their side.
PAGE, CROPS, CROP_PX = (768, 1024), 16, 192

PEAK, COPY, BATCH = "multiply-adds in registers", "copy of a large array", "whole batch"
_OF_MAPS = (
    "A page and a batch of crops with everything that belongs to it, shared by so many cores. Arithmetic counts as "
    "textbooks do, and 3 x 3 convolutions take less than half of it (`docs/decisions/0011-networks-of-maps.md`): so "
    "there can be more than 100 %."
)

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
        PEAK,
        2.0 * 16 * LANES * per_call,
        0.0,
        lambda core, times: multiply_adds(numbers[core], per_call * times),
    )
    halves = [(np.ones(_COPIED_FLOATS // n_cores, np.float32), np.zeros(_COPIED_FLOATS // n_cores, np.float32))] * 1
    halves += [(a.copy(), b.copy()) for a, b in halves * (n_cores - 1)]

    def copy(core: int, times: int) -> None:
        for _ in range(times):
            np.copyto(halves[core][1], halves[core][0])

    yield Work("machine", COPY, 0.0, 8.0 * (_COPIED_FLOATS // n_cores), copy)


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
    counts = sorted({1, n_cores})
    works = [*machine_works(n_cores)]
    for network in networks:
        works += kernel_works(network, data, n_cores)
    jobs: list[tuple[tuple[str, str, int], Callable[[], float]]] = []
    for work in works:
        work.run(0, 1)  # compile
        times = max(1, round(_AT_LEAST_S / seconds(work, 1, 1)))
        for n in counts:
            run = functools.partial(lambda work, n, times: seconds(work, n, times) / work.blocks, work, n, times)
            jobs.append(((work.network, work.name, n), run))
    shared: dict[tuple[str, str], float] = {}
    for n in counts:
        for network in networks:
            shared[network, BATCH], train = batch_seconds(network, data, n)
            jobs.append(((network, BATCH, n), train))
        for name, (flops, run) in finder_seconds(n).items():
            shared["finder_cnn", name] = flops
            jobs.append((("finder_cnn", name, n), run))
    best: dict[tuple[str, str, int], float] = {}
    for _, (key, run) in in_turn(jobs, n_rounds):
        best[key] = min(run(), best.get(key, math.inf))

    def entry(network: str, name: str, flops: float, bytes_: float, *, each: bool) -> dict[str, Any]:
        own = {n: best[network, name, n] for n in counts}
        return {
            "network": network,
            "name": name,
            "flops": flops,
            "bytes": bytes_,
            "microseconds": {str(n): 1e6 * s for n, s in own.items()},
            "gflops": {str(n): flops * (n if each else 1) / s / 1e9 for n, s in own.items()},
            "gbytes": {str(n): bytes_ * (n if each else 1) / s / 1e9 for n, s in own.items()},
        }

    entries = [entry(work.network, work.name, work.flops, work.bytes, each=True) for work in works]
    entries += [entry(*key, flops, 0.0, each=False) for key, flops in shared.items()]
    return {"n": n_rounds, "cores": n_cores, "lanes": LANES, "batch_sizes": BATCH_SIZES, "entries": entries}


def peak(result: dict[str, Any], cores: int) -> float:
    """Return the machine's GFLOP/s in registers on so many cores."""
    return next(entry["gflops"][str(cores)] for entry in result["entries"] if entry["name"] == PEAK)


def share(result: dict[str, Any], network: str, cores: int) -> float:
    """Return which part of the peak whole batches of a network reach."""
    found = (entry for entry in result["entries"] if (entry["network"], entry["name"]) == (network, BATCH))
    return next(found)["gflops"][str(cores)] / peak(result, cores)


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page."""
    counts, machine = sorted({1, result["cores"]}), result["machine"]
    heads = ["1 core", f"{result['cores']} cores"][: len(counts)]
    copied = next(entry["gbytes"] for entry in result["entries"] if entry["name"] == COPY)
    of_machine = [
        ["multiply-adds, GFLOP/s", *(f"{peak(result, n):.0f}" for n in counts)],
        ["copying, GB/s read and written", *(f"{copied[str(n)]:.1f}" for n in counts)],
    ]
    parts = [
        "# How near the kernels are to the machine",
        "Multiply-adds that stay in the registers are the most that the machine can do; copying a large array is the "
        "most that its memory can deliver.",
        markdown_table(["", *heads], of_machine),
    ]
    columns = ["kernel", "MFLOP", "kB"]
    for head in heads:
        columns += [f"{head}: us", "GFLOP/s", "of the peak", "GB/s"]
    for network in dict.fromkeys(entry["network"] for entry in result["entries"][2:]):
        told = (
            f"Each kernel on a block of {result['lanes']} images, and a whole batch of "
            f"{result['batch_sizes'].get(network, 512)} with everything that belongs to it. Bytes are those that must "
            "be read and written once; most come from the core's own cache."
        )
        rows = [_row(result, entry, counts) for entry in result["entries"] if entry["network"] == network]
        parts += [f"## {network}", _OF_MAPS if network == "finder_cnn" else told, markdown_table(columns, rows)]
    return page(
        *parts,
        f"The best of {result['n']} rounds over everything. {on_machine(machine)}{was_busy(machine)}. Made by "
        f"`{result['command']}`.",
    )


def _row(result: dict[str, Any], entry: dict[str, Any], counts: list[int]) -> list[str]:
    cells = [entry["name"], f"{entry['flops'] / 1e6:.2f}", f"{entry['bytes'] / 1e3:.0f}" if entry["bytes"] else ""]
    for n in counts:
        key = str(n)
        gflops, gbytes = entry["gflops"][key], entry["gbytes"][key]
        cells += [f"{entry['microseconds'][key]:.1f}"]
        cells += [f"{gflops:.0f}", f"{100 * gflops / peak(result, n):.0f} %"] if gflops else ["", ""]
        cells += [f"{gbytes:.0f}" if gbytes else ""]
    return cells


def main(argv: list[str] | None = None) -> None:
    """Measure, write JSON and the page."""
    parser = parser_of("roofline", __doc__, rounds=(7, "over everything"))
    parser.add_argument("--networks", default=",".join(ZOO), metavar="A,B")
    options = parser.parse_args(argv)
    machine = describe_machine()
    result = measure(options.rounds, options.networks.split(","))
    result |= {"machine": machine, **made_by("roofline", ["--rounds", str(options.rounds)])}
    publish(options.out, result, to_markdown, "roofline.md")


if __name__ == "__main__":
    main()
