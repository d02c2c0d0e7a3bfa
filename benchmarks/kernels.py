"""The engine's kernels one by one, each with its arithmetic and the bytes it touches, for ``roofline.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from digitlab.data.mnist import MnistData
from digitlab.engine.cpu import convolution, dense, update
from digitlab.engine.cpu.blocks import gather
from digitlab.engine.cpu.convolution import kernel_gradient
from digitlab.engine.cpu.program import CONV, CONV_POOL, DENSE, Program
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.cpu.tiles import LANES, add_products, address, load, store
from digitlab.engine.images import Images
from digitlab.engine.optimizers import ADAM_RULE, Adam
from digitlab.network.architecture import Architecture

GATHER, FORWARD, POOLED, SPREAD, KERNEL, INPUT, RECORD, DENSE_KERNEL, OPTIMIZE = range(9)
_BLOCKS = 16  # blocks of images whose dense gradients are summed at once: a batch of 256 with 16 lanes

_njit: Any = numba.njit(nogil=True, error_model="numpy", boundscheck=False)


@dataclass(frozen=True)
class MeasuredKernel:
    """One kernel on one operation."""

    name: str  # for people
    kind: int  # which kernel
    op: int  # the operation's place in the program; -1 for none
    flops: float  # for one block of images
    bytes: float  # for one block of images
    blocks: int = 1  # for how many blocks one call does it


def measured_kernels(program: Program) -> Iterator[MeasuredKernel]:
    """Give the kernels in the order in which they run on a block; the sums and the step are shares of a batch's."""
    layout = program.layout
    pixels = float(layout["image_height"] * layout["image_width"])
    yield MeasuredKernel("gather images into lanes", GATHER, -1, 0.0, LANES * (pixels + 4 * pixels))
    numbers = dict.fromkeys((CONV, CONV_POOL, DENSE), 0)
    for index, op in enumerate(program.ops):
        kind = int(op["kind"])
        if kind not in numbers:
            continue
        numbers[kind] += 1
        taps = float(op["kernel_height"] * op["kernel_width"] * op["channels"])
        outputs = float(op["height"] * op["width"] * op["filters"])
        read = 4 * LANES * float(op["in_height"] * op["in_width"] * op["channels"])
        written = 4 * LANES * float(op["out_height"] * op["out_width"] * op["filters"])
        own, weights = 4 * LANES * outputs, 4.0 * float(op["n_weights"])
        flops = 2 * LANES * taps * outputs
        name = f"{'dense' if kind == DENSE else 'convolution'} {index + 1}"
        has_input = op["dx"] >= 0
        if kind == DENSE:
            yield MeasuredKernel(f"{name}, forward", FORWARD, index, flops, read + weights + written)
            yield MeasuredKernel(f"{name}, onto the tape", RECORD, index, 0.0, 2 * (read + written))
            yield MeasuredKernel(
                f"{name}, gradient of the kernel",
                DENSE_KERNEL,
                index,
                flops,
                read + written + weights / _BLOCKS,
                _BLOCKS,
            )
        else:
            pooled = kind == CONV_POOL
            title = f"{name}, forward{' with max-pooling' * pooled}"
            yield MeasuredKernel(title, POOLED if pooled else FORWARD, index, flops, read + weights + written)
            if pooled:
                yield MeasuredKernel(f"{name}, gradient of the pooling", SPREAD, index, 0.0, written * 1.25 + own)
            lane_sums = 2 * LANES * weights
            yield MeasuredKernel(f"{name}, gradient of the kernel", KERNEL, index, flops, read + own + lane_sums)
        if has_input:
            # Only taps that meet a pixel: for a valid convolution as many as forward has.
            yield MeasuredKernel(f"{name}, gradient of the input", INPUT, index, flops, own + weights + read)
    n = float(program.n_parameters)
    yield MeasuredKernel("optimizer's step", OPTIMIZE, -1, 0.0, 4 * 8 * n / _BLOCKS, _BLOCKS)


@_njit
def multiply_adds(numbers: Any, times: int) -> None:
    """Do 16 multiply-adds of vectors ``times`` times, all in registers."""
    sums = load(4, 4, numbers, 0)
    for _ in range(times):
        sums = add_products(sums, numbers, 16 * LANES, numbers, 20 * LANES)
    store(sums, numbers, 32 * LANES)


@_njit
def _run(
    kind, op, layout, times, bytes_, floats, order, params, flipped, memory, scratch, winners, places, d_lanes, tape,
    gradients, m, v, older, rates,
):  # fmt: skip
    for _ in range(times):
        if kind == GATHER:
            gather(address(bytes_, 0), address(floats, 0), len(bytes_) > 0, order, 0, LANES, layout, places, memory)
        elif kind == FORWARD:
            convolution.convolve(op, params, memory)
        elif kind == POOLED:
            convolution.convolve_and_pool(op, params, memory, winners, places, op.dx < 0)
        elif kind == SPREAD:
            convolution.spread_gradient(op, memory, winners, d_lanes)
        elif kind == KERNEL:
            kernel_gradient(op, memory, d_lanes, places, op.dx < 0)
        elif kind == INPUT:
            convolution.input_gradient(op, flipped, memory)
        elif kind == RECORD:
            dense.record(op, memory, tape, 0)
        elif kind == DENSE_KERNEL:
            dense.kernel_gradient_rows(
                op, tape, layout.tape, _BLOCKS, 0, op.n_weights // op.filters, scratch, gradients
            )
        else:
            update.optimize(params, older, gradients, m, v, 0, len(params), ADAM_RULE, rates)


class Block:
    """A network with a batch of images behind it, so that every kernel finds real numbers in its memory."""

    def __init__(self, architecture: Architecture, data: MnistData) -> None:
        self.runner = runner = CpuRunner(architecture, 1)
        n = _BLOCKS * LANES
        runner.start_training(n)
        rng = np.random.default_rng(0)
        runner.set_weights([rng.normal(0, 0.05, shape).astype(np.float32) for shape in architecture.weight_shapes])
        self._images = Images.from_array(data.training.images[:n], data.training.images[0].size)
        self._order = np.arange(n)
        runner.train_batch(self._images, data.training.labels[:n].astype(np.int64), self._order, Adam().step(1, 0.0), 0)

    def run(self, one: MeasuredKernel, times: int) -> None:
        """Call one kernel so often."""
        runner, own = self.runner, self.runner._training_memory[0]
        ops = runner.program.ops
        _run(
            one.kind, ops[max(0, one.op)], runner.program.layout, times,
            self._images.as_bytes, self._images.as_floats, self._order, runner._params, runner._flipped, own.values,
            own.scratch, own.winners, own.places, runner._d_lanes[0], runner._tape, runner._gradients,
            runner.first_moment, runner.second_moment, runner._older[0], runner._rates,
        )  # fmt: skip
