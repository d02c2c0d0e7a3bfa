"""What holds for all tests: Keras runs on JAX, JAX on the CPU, and the user's cache is left alone."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

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
