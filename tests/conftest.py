"""What holds for all tests: Keras runs on JAX, JAX on the CPU, and the user's cache is left alone.

TensorFlow.js is installed by the first test that asks for it, into tests/tfjs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

_TFJS = Path(__file__).parent / "tfjs"
_CACHE = pytest.StashKey[tuple[str, str | None]]()


# Not a fixture: modules that read the variable when they are imported are imported while tests are collected.
def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.mkdtemp(prefix="digitlab-tests-")
    config.stash[_CACHE] = (folder, os.environ.get("DIGITLAB_CACHE"))
    os.environ["DIGITLAB_CACHE"] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    folder, before = config.stash[_CACHE]
    if before is None:
        del os.environ["DIGITLAB_CACHE"]
    else:
        os.environ["DIGITLAB_CACHE"] = before
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tfjs() -> Callable[..., str]:
    """Run a program of tests/tfjs under Node; what it prints is returned. Skip where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node and npm are not installed, so that TensorFlow.js cannot be asked.")
    if not (_TFJS / "node_modules" / "@tensorflow" / "tfjs").is_dir():
        install = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(install, cwd=_TFJS, capture_output=True, text=True, timeout=280)
        if done.returncode != 0:
            pytest.skip("npm cannot install TensorFlow.js here: " + done.stderr.strip()[-200:])

    def run(program: str, *words: object) -> str:
        command = [node, str(_TFJS / program), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=_TFJS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
