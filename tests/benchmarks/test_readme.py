"""The README says what was measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def _readme_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_script", ROOT / "benchmarks" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_holds_the_table_of_the_last_measurement() -> None:
    script = _readme_script()
    result = json.loads((ROOT / "benchmarks" / "results" / "codelab.json").read_text("utf-8"))
    readme = (ROOT / "README.md").read_text("utf-8")
    assert script.filled(readme, {"codelab": script.codelab_table(result)}) == readme
    assert f"| {result['entries'][0]['title']} |" in readme


def test_a_contestant_that_could_not_be_installed_is_in_the_table() -> None:
    script = _readme_script()
    result = json.loads((ROOT / "benchmarks" / "results" / "codelab.json").read_text("utf-8"))
    result["entries"][1]["reason"] = "pip says no"
    assert "not measured: pip says no" in script.codelab_table(result)
