"""How training scales: the arithmetic of the measurement, and the page and charts of a fixed result."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from digitlab.svg import FILE

SVG = "{http://www.w3.org/2000/svg}"
MIB = 2**20


@pytest.fixture(scope="module")
def benchmark(benchmark_module) -> ModuleType:
    return benchmark_module("scaling")


def spread(middle: float, rest: float = 0.1) -> dict[str, float]:
    return {"n": 3, "median": middle, "min": middle * (1 - rest), "max": middle * (1 + rest)}


def result(benchmark: ModuleType, cores: int = 2) -> dict[str, Any]:
    sizes, seconds = (1_000, 2_500, 5_500, 11_000, 27_500, 55_000), (0.012, 0.03, 0.066, 0.132, 0.33, 0.66)
    costs = {
        "dense_baseline": (6_370, 6_352, 0.35),
        "4/8 filters": (2_202, 110_080, 1.7),
        "codelab_cnn": (5_994, 322_560, 3.9),
        "16/32 filters": (18_378, 1_054_720, 11.0),
        "fast_cnn": (216_850, 1_244_160, 13.5),
        "32/64 filters": (62_346, 3_747_840, 36.0),
    }
    return {
        "images": {
            "points": [
                {"n_images": n, "seconds": spread(s), "runs": [s, 2 * s, s / 2]}
                for n, s in zip(sizes, seconds, strict=True)
            ],
            "line": vars(benchmark.Line.through(sizes, seconds)),
            "batch_size": 512,
            "other_cores": [0.01, 0.02, 0.03],
        },
        "networks": {
            "points": [
                {
                    "network": name,
                    "n_parameters": n_parameters,
                    "multiply_adds": multiply_adds,
                    "ms_per_batch": spread(ms),
                    "runs": [ms, ms, ms],
                }
                for name, (n_parameters, multiply_adds, ms) in costs.items()
            ],
            "batch_size": 256,
            "other_cores": [],
        },
        "threads": {
            "points": [
                {"network": name, "threads": n, "n_images": 5_500, "seconds": spread(1 / n), "speedup": spread(top * n)}
                for name, top in (("codelab_cnn", 0.95), ("fast_cnn", 0.9))
                for n in range(1, cores + 1)
            ],
            "cores": cores,
            "other_cores": [],
        },
        "memory": {
            "points": [
                {
                    "batch_size": n,
                    "growth_bytes": spread(2 * MIB + 1_536 * n),
                    "engine_bytes": spread(MIB + 1_024 * n, 0),
                }
                for n in (32, 128, 512, 2_048, 8_192)
            ],
            "n_batches": 3,
            "other_cores": [],
        },
        "n_rounds": 3,
        "machine": {"cores": cores, "cpu": "a CPU"},
        "versions": {"digitlab": "0", "numba": "1", "python": "3"},
        "date": "2026-11-22T12:00:00+00:00",
        "command": "python benchmarks/scaling.py --rounds 3",
    }


def test_line_is_that_of_least_squares(benchmark):
    # By hand: means 2 and 3, slope (1 * 2 + 1 * 1) / 2, distances 0.5, 1 and 0.5.
    line = benchmark.Line.through([1, 2, 3], [1, 4, 4])
    assert (line.slope, line.intercept) == pytest.approx((1.5, 0.0))
    assert line.residual == pytest.approx((1.5 / 3) ** 0.5)
    assert line.worst == pytest.approx(0.5)
    assert line.at(10) == pytest.approx(15)


def test_no_line_is_fitted_through_two_points(benchmark):
    assert benchmark.Line.through([1, 2, 2], [1, 4, 5]) is None


def test_points_take_turns_and_the_order_turns_round(benchmark):
    turns: list[str] = []

    def measure(point: str) -> int:
        turns.append(point)
        return len(turns)

    values, _ = benchmark.rounds_of("abc", measure, 3)
    assert "".join(turns) == "abccbaabc"
    assert values == [[1, 6, 7], [2, 5, 8], [3, 4, 9]]


@pytest.mark.parametrize(("cores", "counts"), [(1, [1]), (2, [1, 2]), (8, [*range(1, 9)]), (16, [1, 2, 4, 8, 16])])
def test_threads_go_from_one_to_all_cores(benchmark, cores, counts):
    assert benchmark.thread_counts(cores) == counts


def test_codelab_with_its_own_filters_costs_what_the_codelab_network_costs(benchmark):
    points = benchmark
    own, zoo = points.cost_of(points.codelab_with(8, 16)), points.cost_of(points.architecture("codelab_cnn"))
    assert (own.n_parameters, own.multiply_adds) == (zoo.n_parameters, zoo.multiply_adds)


def test_charts_are_files_with_a_ground_of_their_own_and_named_axes(benchmark):
    written = {
        "images": "Seconds an epoch",
        "networks": "32/64 filters",
        "threads": "Times as fast as with one thread",
        "memory": "Images a batch (logarithmic)",
    }
    for name, section in benchmark.sections(result(benchmark)).items():
        root = ElementTree.fromstring(section.svg)
        assert root.tag == f"{SVG}svg"
        ground = root.find(f"{SVG}rect")
        assert (ground.get("width"), ground.get("fill")) == (root.get("width"), "#ffffff"), name
        assert written[name] in [element.text for element in root.iter(f"{SVG}text")]


def test_every_point_is_drawn_within_the_axes(benchmark):
    for name, section in benchmark.sections(result(benchmark, cores=4)).items():
        dots = [element for element in ElementTree.fromstring(section.svg) if element.tag == f"{SVG}circle"]
        inside = [dot for dot in dots if FILE.legend_y < float(dot.get("cy")) <= FILE.bottom]
        assert len(inside) == {"images": 6, "networks": 6, "threads": 4, "memory": 5}[name]
        assert all(FILE.left <= float(dot.get("cx")) <= FILE.right for dot in inside)


def test_page_states_what_the_result_says(benchmark):
    page = benchmark.to_markdown(result(benchmark))
    assert "55 times the images take 55.0 times the time" in page
    assert "12.00 µs an image" in page
    assert "590 times the multiply-adds" in page
    assert "codelab_cnn 1.90 [1.71, 2.09] times and fast_cnn 1.80 [1.62, 1.98] times" in page
    assert "each image more in a batch takes 1.50 KiB, and 1.00 KiB of arrays" in page
    assert "| 1,000 | 0.0120 [0.0108, 0.0132] | 12.00 |" in page
    assert "of 3 rounds" in page
    assert "quiet" not in page
    assert set(re.findall(r"images/scaling-(\w+)\.svg", page)) == {"images", "networks", "threads", "memory"}


def test_page_says_when_the_machine_was_not_quiet(benchmark):
    disturbed = result(benchmark)
    disturbed["networks"]["other_cores"] = [0.0, 1.25]
    assert "Not a quiet machine: other programs kept up to 1.25 cores busy" in benchmark.to_markdown(disturbed)


def test_page_of_one_core_claims_no_speed_up(benchmark):
    alone = result(benchmark, cores=1)
    assert "has one core, so there is nothing to share" in benchmark.to_markdown(alone)
    assert len(benchmark.sections(alone)) == 4


def test_everything_is_written_below_the_folder(benchmark, tmp_path):
    fixed = result(benchmark)
    benchmark.publish(fixed, tmp_path)
    assert json.loads((tmp_path / "benchmarks/results/scaling.json").read_text("utf-8")) == fixed
    assert len([*(tmp_path / "docs/images").glob("scaling-*.svg")]) == 4
    page = tmp_path / "docs/measurements/scaling.md"
    for link in re.findall(r"\]\((\S+)\)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


def test_rounds_below_one_are_refused_with_a_sentence(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--rounds", "0"])
    assert "--rounds: 0; give at least 1" in capsys.readouterr().err
