"""What holds for all tests: Keras runs on JAX, JAX on the CPU, and the user's cache is left alone.

TensorFlow.js is installed by the first test that asks for it, into tests/tfjs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is for the machine to say.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

_TFJS = Path(__file__).parent / "tfjs"
_COMPILE = Path(__file__).parent / "compile_kernels.py"
_VARIABLE = "DIGITLAB_CACHE"
_MOST_VERSIONS = 3  # of the engine, whose kernels are kept
_CACHE = pytest.StashKey[tuple[Path, str | None]]()


# Not a fixture: modules that read the variable when they are imported are imported while tests are collected.
def pytest_configure(config: pytest.Config) -> None:
    """Give the tests a cache of their own, in .pytest_cache: kernels are compiled anew only when they have changed.

    Workers beside each other get copies of what was compiled before they began, so that none compiles it once more,
    or throws away what another is about to finish.
    """
    before, is_worker = os.environ.get(_VARIABLE), hasattr(config, "workerinput")
    if config.pluginmanager.hasplugin("cacheprovider") and not is_worker:
        folder = config.cache.mkdir("digitlab")
    else:
        folder = Path(tempfile.mkdtemp(prefix="digitlab-tests-"))
    config.stash[_CACHE] = folder, before
    os.environ[_VARIABLE] = str(folder)
    if is_worker:
        shutil.copytree(Path(before, "kernels"), folder / "kernels")
        return
    _forget_old_kernels(folder / "kernels")
    if config.getoption("numprocesses", None):
        commands = ([sys.executable, _COMPILE, kind] for kind in ("digits", "pages"))
        jobs = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
        assert [job.wait() for job in jobs] == [0, 0]


def pytest_unconfigure(config: pytest.Config) -> None:
    folder, before = config.stash[_CACHE]
    if before is None:
        del os.environ[_VARIABLE]
    else:
        os.environ[_VARIABLE] = before
    if folder.name.startswith("digitlab-tests-"):
        shutil.rmtree(folder, ignore_errors=True)


def _forget_old_kernels(folder: Path) -> None:
    """Keep those of the last versions: who goes back and forth between two compiles nothing."""
    folder.mkdir(exist_ok=True)
    for old in sorted(folder.iterdir(), key=lambda version: version.stat().st_mtime)[:-_MOST_VERSIONS]:
        shutil.rmtree(old, ignore_errors=True)


@pytest.fixture(scope="session")
def tfjs() -> Callable[..., str]:
    """Run a program of tests/tfjs under Node; what it prints is returned. Skip where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node and npm are not installed, so that TensorFlow.js cannot be asked.")
    if not (_TFJS / "node_modules" / "@tensorflow" / "tfjs").is_dir():
        _install(npm)

    def run(program: str, *words: object) -> str:
        command = [node, str(_TFJS / program), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=_TFJS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _install(npm: str) -> None:
    """Install aside and move it into place whole: two workers may begin at once."""
    with tempfile.TemporaryDirectory(dir=_TFJS, prefix=".") as folder:
        for file in _TFJS.glob("package*.json"):
            shutil.copy(file, folder)
        install = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=280)
        if done.returncode != 0:
            pytest.skip("npm cannot install TensorFlow.js here: " + done.stderr.strip()[-200:])
        with suppress(OSError):  # the other worker was faster
            Path(folder, "node_modules").rename(_TFJS / "node_modules")
