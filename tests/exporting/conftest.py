"""A trained network, the test images, and TensorFlow.js for Node, installed once into tests/tfjs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl

TFJS = Path(__file__).parents[1] / "tfjs"


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """Return all 10,000 test images."""
    return dl.MnistData.load().test.images


@pytest.fixture(scope="session")
def trained() -> dl.Sequential:
    """Return the codelab's network after an epoch; tests leave it as it is."""
    model = dl.codelab_cnn(seed=0)
    training = dl.MnistData.load().training
    model.fit(training.images[:5500], training.labels[:5500], epochs=2, batch_size=128)
    return model


@pytest.fixture(scope="session")
def tfjs() -> Callable[..., str]:
    """Run a program of tests/tfjs under Node; what it prints is returned. Skip where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node and npm are not installed, so that TensorFlow.js cannot be asked.")
    if not (TFJS / "node_modules" / "@tensorflow" / "tfjs").is_dir():
        install = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(install, cwd=TFJS, capture_output=True, text=True, timeout=280)
        if done.returncode != 0:
            pytest.skip("npm cannot install TensorFlow.js here: " + done.stderr.strip()[-200:])

    def run(program: str, *words: object) -> str:
        command = [node, str(TFJS / program), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=TFJS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def tfjs_found(tfjs: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let digitlab find that TensorFlow.js too."""
    monkeypatch.setenv("NODE_PATH", str(TFJS / "node_modules"))


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let digitlab find none of the runtimes, which is also faster."""
    from digitlab.exporting import runtimes, verifying

    def absent(*_: Any) -> Any:
        raise runtimes.NotInstalledError("The runtime is not installed here.")

    monkeypatch.setattr(verifying, "RUNTIMES", dict.fromkeys(runtimes.RUNTIMES, absent))
