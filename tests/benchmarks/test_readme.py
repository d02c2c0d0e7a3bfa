"""README and generated pages say what was measured: every contestant, its spread, its failures, the circumstances."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {"cpu": "a CPU", "cores": 2, "python": "3.11.7"}


def made_by(command: str) -> dict[str, str]:
    return {"command": command, "date": "2026-11-27T12:00:00"}


@pytest.fixture(scope="module")
def readme(benchmark_module) -> ModuleType:
    return benchmark_module("readme")


@pytest.fixture(scope="module")
def pages(readme) -> SimpleNamespace:
    return SimpleNamespace(**{f"{name}_page": to_markdown for name, (_, to_markdown, _) in readme.WRITTEN.items()})


@pytest.fixture(scope="module")
def contest_of(benchmark_module):
    """Return what a benchmark script would have written, given the runs of some of its contestants."""
    contest = benchmark_module("contest")

    def make(script: str, runs: dict[str, list[dict[str, float]]]) -> dict:
        module = benchmark_module(script)
        entries = [
            contest.Entry(
                module.PEERS[name],
                [{"round": number, "versions": {"numpy": "2", name: "1"}, **run} for number, run in enumerate(own, 1)],
                reason=None if own else "pip says no",
            )
            for name, own in runs.items()
        ]
        return contest.Contest(
            "A job", made_by(f"python benchmarks/{script}.py"), 2, module.QUANTITIES, entries, MACHINE
        ).to_dict()

    return make


@pytest.fixture
def inference(contest_of):
    def run(scale: float) -> dict[str, float]:
        values = {"images_per_s": 1000 * scale, "median_us": 100 / scale, "p95_us": 120, "batch_size": 64}
        values |= {"difference": 2e-7, "call_threads": 1}
        return {f"{network}_{key}": value for network in ("codelab", "fast") for key, value in values.items()}

    return contest_of("inference", {"digitlab": [run(4), run(8)], "torch": [run(1), run(1)], "onnxruntime": []})


@pytest.fixture
def startup(contest_of):
    trained = [{"command_s": 2.0, "test_accuracy": 0.925}, {"command_s": 4.0, "test_accuracy": 0.925}]
    slow = [{"command_s": 6.0, "test_accuracy": 0.93, "other_cores": 0.6}]
    runs = {"digitlab-train": trained, "torch-train": slow, "digitlab-help": [{"command_s": 0.25}]}
    return contest_of("startup", runs | {"digitlab-first": [{"command_s": 20.0, "test_accuracy": 0.925}]})


@pytest.fixture
def accuracy(contest_of):
    def run(seconds: float, accuracy: float) -> dict[str, float]:
        return {"training_s": seconds, "test_accuracy": accuracy, "load_s": 1.0, "warm_up_s": 0.5}

    runs = {"digitlab-fast": [run(2, 0.99), run(4, 0.992)], "digitlab-accurate": []}
    runs |= {"torch-fast": [run(6, 0.99), run(12, 0.99)], "torch-example": [run(600, 0.9915)]}
    return contest_of("time_to_accuracy", runs)


def rows(page: str, title: str) -> list[list[str]]:
    lines = [line for line in page.splitlines() if line.startswith(f"| {title} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_inference_page_has_a_row_for_each_network_and_contestant(pages, inference):
    page = pages.inference_page(inference)
    assert len(rows(page, "digitlab")) == len(rows(page, "PyTorch")) == 2
    assert rows(page, "digitlab")[0][1:3] == ["6,000 [4,000, 8,000]", "1.00 x"]
    assert rows(page, "PyTorch")[0][2] == "0.19 x"
    assert rows(page, "PyTorch")[0][8] == "2.0e-07"


def test_pages_tell_who_was_not_measured_and_why(pages, inference, accuracy):
    assert rows(pages.inference_page(inference), "ONNX Runtime")[0][1] == "not measured: pip says no"
    assert (
        rows(pages.time_to_accuracy_page(accuracy), "digitlab --preset accurate")[0][1] == "not measured: pip says no"
    )


def test_every_row_is_as_long_as_its_headings(pages, inference, startup, accuracy):
    for page in (pages.inference_page(inference), pages.startup_page(startup), pages.time_to_accuracy_page(accuracy)):
        for table in page.split("\n\n"):
            lines = [line for line in table.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in lines}) <= 1


def test_finder_page_gives_milliseconds_and_ratios(pages, contest_of):
    runs = [{"page_ms": 80.0 + 20 * k, "fastest_ms": 75.0, "difference": 1e-6} for k in range(2)]
    slow = [{name: 2 * value for name, value in run.items()} for run in runs]
    page = pages.finder_page_page(contest_of("finder_page", {"digitlab": runs, "onnxruntime": slow}))
    assert rows(page, "digitlab")[0] == ["digitlab", "2", "90 [80, 100]", "1.00 x", "75", "1.00 x", "1.0e-06"]
    assert rows(page, "ONNX Runtime")[0] == [
        "ONNX Runtime",
        "2",
        "180 [160, 200]",
        "2.00 x",
        "150",
        "2.00 x",
        "2.0e-06",
    ]


def test_startup_page_leaves_accuracy_out_where_nothing_learns(pages, startup):
    page = pages.startup_page(startup)
    assert rows(page, "digitlab --help")[0] == ["digitlab --help", "1", "0.25", "0.12 x", ""]
    assert rows(page, "PyTorch script")[0][3:] == ["3.00 x", "93.0"]


def test_pages_tell_noise_versions_command_and_numbers_of_runs(pages, startup):
    page = pages.startup_page(startup)
    assert "1 to 2 runs each" in page
    assert "other programs kept up to 0.60 cores busy" in page
    assert "Python 3.11.7, digitlab-train 1" in page
    assert "numpy" not in page
    assert "Made by `python benchmarks/startup.py`" in page


def test_accuracy_page_gives_mean_standard_error_and_every_seed(pages, accuracy):
    page = pages.time_to_accuracy_page(accuracy)
    assert rows(page, "digitlab --preset fast")[0][4] == "99.10 ± 0.10 %"
    assert rows(page, "PyTorch's MNIST example")[0][4] == "99.15 %"
    assert rows(page, "1")[0] == ["1", "99.00", "99.00", "99.15"]
    assert rows(page, "2")[0] == ["2", "99.20", "99.00", ""]


def test_readme_table_takes_ratios_within_rounds(readme, inference, startup, accuracy):
    table = readme.bench_table({"inference": inference, "startup": startup, "time_to_accuracy": accuracy})
    assert "| test images answered, codelab's network | 6,000 images/s | PyTorch 0.19 x |" in table
    assert "| `digitlab train`, whole process | 3.0 s | PyTorch script 3.00 x |" in table
    assert "| `digitlab --help` | 0.25 s |  |" in table
    assert "PyTorch, the recipe of fast 3.0 x (99.00 ± 0.00 %), PyTorch's MNIST example 300.0 x (99.15 %)" in table


def test_readme_table_holds_only_what_was_measured(readme, startup):
    bench_table = readme.bench_table
    assert bench_table({}) == ""
    table = bench_table({"startup": startup})
    assert "startup.md" in table
    assert "inference" not in table


def test_pages_are_written_for_the_contests_that_were_held(readme, startup, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(readme, "PAGES", tmp_path / "measurements")
    readme.write_pages({"startup": startup})
    assert [path.name for path in (tmp_path / "measurements").iterdir()] == ["startup.md"]


def test_the_page_of_tables_holds_the_last_measurement(readme) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "codelab.json").read_text("utf-8"))
    text = readme.TABLES.read_text("utf-8")
    assert readme.filled(text, {"codelab": readme.readme_table(result)}) == text
    assert f"| {result['entries'][0]['title']} |" in text


def test_a_contestant_that_could_not_be_installed_is_in_the_table(readme) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "codelab.json").read_text("utf-8"))
    result["entries"][1] |= {"n": 0, "reason": "pip says no"}
    assert "not measured: pip says no" in readme.readme_table(result)


def test_readme_holds_three_rows_of_what_was_measured(readme) -> None:
    text = readme.README.read_text("utf-8")
    assert readme.filled(text, {"first": readme.first_table()}) == text
    rows = readme.first_table().splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["time to learn", "accuracy", "photos read"]
    assert "with one or more" in rows[2]


def test_tables_and_pages_hold_the_last_contests(readme) -> None:
    held = readme.held()
    text = readme.TABLES.read_text("utf-8")
    assert "<!-- generated:bench -->" in text
    assert readme.filled(text, {"bench": readme.bench_table(held)}) == text
    for name, (file, page, _) in readme.WRITTEN.items():
        path = readme.PAGES / file
        assert path.exists() == (name in held)
        if name in held:
            assert path.read_text("utf-8") == page(held[name])


def test_the_benchmarks_readme_names_every_script_and_no_other() -> None:
    folder = ROOT / "benchmarks"
    scripts = {path.name for path in folder.glob("*.py") if 'if __name__ == "__main__":' in path.read_text("utf-8")}
    named = set(re.findall(r"`(\w+\.py)[` ]", (folder / "README.md").read_text("utf-8")))
    # What the Studio's process runs is no command.
    assert scripts - {"studio_process.py", "reading_page.py"} <= named
    assert all((folder / name).is_file() for name in named)
