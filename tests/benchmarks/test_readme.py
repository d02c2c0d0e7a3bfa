"""The README and the contests' pages say what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script(benchmark_module) -> ModuleType:
    return benchmark_module("readme")


def test_readme_holds_the_table_of_the_last_measurement(script) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "codelab.json").read_text("utf-8"))
    readme = (ROOT / "README.md").read_text("utf-8")
    assert script.filled(readme, {"codelab": script.codelab_table(result)}) == readme
    assert f"| {result['entries'][0]['title']} |" in readme


def test_a_contestant_that_could_not_be_installed_is_in_the_table(script) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "codelab.json").read_text("utf-8"))
    result["entries"][1]["reason"] = "pip says no"
    assert "not measured: pip says no" in script.codelab_table(result)


def test_readme_and_pages_hold_the_last_contests(script, benchmark_module) -> None:
    pages = benchmark_module("pages")
    held = pages.results()
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "<!-- generated:bench -->" in readme
    assert script.filled(readme, {"bench": script.bench_table(held)}) == readme
    for name, (file, page) in pages.WRITTEN.items():
        path = pages.PAGES / file
        assert path.exists() == (name in held)
        if name in held:
            assert path.read_text("utf-8") == page(held[name])
