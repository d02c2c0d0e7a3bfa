"""The wheel that would be published holds what digitlab needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import digitlab

ROOT = Path(__file__).parents[1]
MOST_BYTES = 15_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """Return what is in a wheel that is built from the tree."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; install requirements-build.txt")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = folder.iterdir()
    assert file.name == f"digitlab-{digitlab.__version__}-py3-none-any.whl"
    assert file.stat().st_size < MOST_BYTES
    return zipfile.Path(file)


def names(wheel: zipfile.Path) -> set[str]:
    return {name for name in wheel.root.namelist() if not name.endswith("/")}


def test_wheel_holds_every_file_of_the_package_and_no_other(wheel: zipfile.Path):
    listed = subprocess.run(["git", "ls-files", "src/digitlab"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0 or not listed.stdout:
        pytest.skip("this tree is no git repository")
    kept = {name.removeprefix("src/") for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    packed = {name for name in names(wheel) if ".dist-info/" not in name}
    assert packed == kept


def test_wheel_holds_images_weights_and_the_pages_files(wheel: zipfile.Path):
    endings = {Path(name).suffix for name in names(wheel)}
    assert {".xz", ".safetensors", ".js", ".css", ".py", ".toml", ".typed"} <= endings
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/", "examples/")) for name in names(wheel))


def test_wheel_says_what_it_is(wheel: zipfile.Path):
    (info,) = {name.split("/")[0] for name in names(wheel) if ".dist-info/" in name}
    metadata = (wheel / info / "METADATA").read_text("utf-8")
    assert f"\nVersion: {digitlab.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0 AND CC-BY-SA-3.0\n" in metadata
    assert "# digitlab" in metadata
    assert "digitlab = digitlab.cli.app:main" in (wheel / info / "entry_points.txt").read_text("utf-8")
    licences = {Path(name).name for name in names(wheel) if f"{info}/licenses/" in name}
    assert licences == {"LICENSE", "LICENSE-MNIST.txt"}
