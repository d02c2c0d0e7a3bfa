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
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from digitlab.network import Checkpoint

# How long an example takes is for the machine to say.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The many processes that tests start begin sooner with what is compiled already.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

_TFJS = Path(__file__).parent / "tfjs"
_COMPILE = Path(__file__).parent / "compile_kernels.py"
_CACHE = "DIGITLAB_CACHE"
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
_MOST_VERSIONS = 3  # of the engine, whose kernels are kept
_SHARED = os.environ.get(_CACHE, "")  # of a worker: what all of them began with
_MOST_XLA_BYTES = 2**28


def _own_cache() -> Path:
    """Return a cache for the tests, in .pytest_cache: kernels are compiled anew only when they have changed.

    Workers beside each other get copies of what was compiled before they began, so that none compiles it once more,
    or throws away what another is about to finish.
    """
    if _IS_WORKER:
        folder = Path(tempfile.mkdtemp(prefix="digitlab-tests-"))
        for kind in ("kernels", "xla"):
            shutil.copytree(Path(_SHARED, kind), folder / kind)
        return folder
    folder = Path(__file__).parents[1] / ".pytest_cache" / "digitlab"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for kind in ("kernels", "xla"):
        (folder / kind).mkdir(exist_ok=True)
    if sum(file.stat().st_size for file in (folder / "xla").iterdir()) > _MOST_XLA_BYTES:
        shutil.rmtree(folder / "xla")
        (folder / "xla").mkdir()
    versions = sorted((folder / "kernels").iterdir(), key=lambda version: version.stat().st_mtime)
    for old in versions[:-_MOST_VERSIONS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


# Here, because what reads it when it is imported is imported as early as by the conftest.py of a folder below.
os.environ[_CACHE] = str(_own_cache())
# Keras' networks, too, are compiled once and not at every run of the tests.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(os.environ[_CACHE], "xla"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"


def pytest_configure(config: pytest.Config) -> None:
    """Compile what most tests need before the workers begin."""
    if config.getoption("numprocesses", None) and not _IS_WORKER:
        commands = ([sys.executable, _COMPILE, kind] for kind in ("digits", "pages"))
        jobs = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
        assert [job.wait() for job in jobs] == [0, 0]


def pytest_unconfigure(config: pytest.Config) -> None:
    if _IS_WORKER:
        _hand_back(Path(os.environ[_CACHE], "xla"), Path(_SHARED, "xla"))
        shutil.rmtree(os.environ[_CACHE], ignore_errors=True)


def _hand_back(own: Path, shared: Path) -> None:
    """Leave what a worker has compiled to the next run; nobody finds half a file."""
    for file in own.iterdir():
        if not (shared / file.name).exists():
            draft = shared / f".{os.getpid()}-{file.name}"
            shutil.copyfile(file, draft)
            draft.replace(shared / file.name)


@pytest.fixture(scope="session")
def learned() -> Checkpoint:
    """A dense network that knows MNIST's digits somewhat (90 %), and says so of no scale of pixels."""
    import digitlab as dl
    from digitlab.network import Checkpoint

    model, data = dl.dense_baseline(seed=0), dl.MnistData.load()
    images, labels = data.training.images[:5500], data.training.labels[:5500]
    model.fit(images, labels, batch_size=50, epochs=4, optimizer=dl.Adam(0.003))
    return Checkpoint(model.architecture, tuple(model.get_weights()), model.class_names)


@pytest.fixture(scope="session")
def foreign(learned: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a file with the same network as if it had learned from pixels in another scale."""
    from digitlab.network.checkpoint import save_checkpoint
    from digitlab.network.folding import rescaled
    from digitlab.network.pixels import PixelScale

    folder = tmp_path_factory.mktemp("foreign")

    def made(pixels: str) -> Path:
        scale, path = PixelScale.of(pixels), folder / f"of {pixels}.safetensors"
        save_checkpoint(path, rescaled(learned, 1 / scale.factor, -scale.offset / scale.factor))
        return path

    return made


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
