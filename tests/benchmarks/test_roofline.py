"""The roofline counts arithmetic as textbooks do, and sets every kernel beside the peak."""

from __future__ import annotations

from typing import Any

import pytest

from digitlab.engine.cpu.program import build_program
from digitlab.engine.cpu.tiles import LANES
from digitlab.network.zoo import ZOO, architecture


@pytest.mark.parametrize("name", ZOO)
def test_arithmetic_of_a_block_is_that_of_forward_and_backward(benchmark_module, name: str) -> None:
    network = architecture(name)
    kernels = list(benchmark_module("kernels").measured_kernels(build_program(network)))
    multiply_adds = []
    for layer, before, after in zip(network.layers, network.input_shapes, network.shapes, strict=True):
        if shapes := layer.weight_shapes(before):
            size = 1
            for n in shapes[0]:
                size *= n
            multiply_adds.append(size * (after[0] * after[1] if len(after) == 3 else 1))
    # Forward and the gradient of the kernel everywhere, the gradient of the input everywhere but in the first layer.
    expected = 2 * LANES * (3 * sum(multiply_adds) - multiply_adds[0])
    assert sum(one.flops for one in kernels) == pytest.approx(expected)
    assert all(one.bytes > 0 for one in kernels)


def test_the_finders_arithmetic_is_counted_by_the_pixel(benchmark_module) -> None:
    # 5 x 5 on whole pixels, 3 x 3 on quarters and sixteenths: 16, 32, 32, five times 64 filters, and 23 maps.
    taps = 25 * 16 + 9 * (16 * 32 + 32 * 32) / 4 + (9 * (32 * 64 + 4 * 64 * 64) + 64 * 23) / 16
    assert benchmark_module("roofline").finder_multiply_adds() == taps == 14_316


def result() -> dict[str, Any]:
    def entry(network: str, name: str, one: float, two: float, flops: float = 1e6) -> dict[str, Any]:
        return {
            "network": network,
            "name": name,
            "flops": flops,
            "bytes": 0.0 if flops else 64e6,
            "microseconds": {"1": 10.0, "2": 5.0},
            "gflops": {"1": one, "2": two},
            "gbytes": {"1": 0.0 if flops else 20.0, "2": 0.0 if flops else 30.0},
        }

    entries = [
        entry("machine", "multiply-adds in registers", 100.0, 200.0),
        entry("machine", "copy of a large array", 0.0, 0.0, 0.0),
        entry("codelab_cnn", "convolution 1, forward", 95.0, 180.0),
        entry("codelab_cnn", "whole batch", 80.0, 150.0),
    ]
    machine = {"cores": 2, "cpu": "Some processor", "python": "3.11.7", "load_1min": 0.0}
    return {
        "n": 3,
        "cores": 2,
        "lanes": 16,
        "batch_sizes": {"codelab_cnn": 512},
        "entries": entries,
        "machine": machine,
        "command": "python benchmarks/roofline.py --rounds 3",
    }


def test_shares_are_those_of_the_peak_on_as_many_cores(benchmark_module) -> None:
    tables = benchmark_module("roofline")
    assert tables.share(result(), "codelab_cnn", 1) == pytest.approx(0.8)
    assert tables.share(result(), "codelab_cnn", 2) == pytest.approx(0.75)


def test_page_has_a_line_for_every_kernel(benchmark_module) -> None:
    page = benchmark_module("roofline").to_markdown(result())
    assert "| multiply-adds, GFLOP/s | 100 | 200 |" in page
    assert "| copying, GB/s read and written | 20.0 | 30.0 |" in page
    assert "| convolution 1, forward | 1.00 |  | 10.0 | 95 | 95 % |  | 5.0 | 180 | 90 % |  |" in page
    assert "| whole batch | 1.00 |  | 10.0 | 80 | 80 % |  | 5.0 | 150 | 75 % |  |" in page
    assert "not quiet" not in page
