"""ARCHITECTURE.md shows the layers of the contract, and names files that exist; its journeys can be made again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "docs" / "tools"
TEXT = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def told(name: str) -> list[str]:
    """Return the files that a journey names."""
    (block,) = re.findall(rf"<!-- generated:journey-{name} -->(.*?)<!-- /generated", TEXT, flags=re.DOTALL)
    return re.findall(r"\(src/digitlab/([\w/]+\.py)\)", block)


def test_the_picture_is_that_of_the_contract():
    code = "import layers; print(layers.to_svg(layers.layers()), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOOLS, capture_output=True, text=True, check=True)
    kept = (ROOT / "docs" / "images" / "layers.svg").read_text("utf-8")
    assert done.stdout == kept, "make it anew with: make architecture"


@pytest.mark.parametrize("name", ["batch", "photo", "request"])
def test_a_journey_names_files_that_exist(name: str):
    files = told(name)
    assert files
    assert len(set(files)) == len(files)
    for file in files:
        assert (ROOT / "src" / "digitlab" / file).is_file(), f"{file} is gone; make architecture"


@pytest.mark.slow
def test_the_journeys_enter_the_files_that_are_told():
    done = subprocess.run(
        [sys.executable, str(TOOLS / "journeys.py")],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    entered: list[set[str]] = []
    for line in done.stdout.splitlines():
        if line.startswith("  "):
            entered[-1].add(line.split()[0])
        else:
            entered.append(set())
    # Which helper thread comes first, and what a server looks after meanwhile, is chance: a file more or less.
    for name, files in zip(("batch", "photo", "request"), entered, strict=True):
        assert len(files ^ set(told(name))) <= 2, f"make architecture: {sorted(files ^ set(told(name)))}"
