"""A few real digits, in memory and as a folder of IDX files, so that a training takes milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest

import digitlab as dl
from digitlab.data.mnist import Split
from digitlab.training.letters import BUILT_IN, Font
from digitlab.training.pages import make_bank


@pytest.fixture(scope="session")
def mnist() -> dl.MnistData:
    return dl.MnistData.load()


@pytest.fixture(scope="session")
def digits(mnist: dl.MnistData) -> dl.MnistData:
    """Return 200 training, 60 validation and 30 test images."""

    def some(split: Split, n: int) -> Split:
        return Split(split.name, split.images[:n].copy(), split.labels[:n].copy())

    return dl.MnistData(
        some(mnist.training, 200), some(mnist.validation, 60), some(mnist.test, 30), source="a few digits", digest="few"
    )


@pytest.fixture(scope="session")
def folder(mnist: dl.MnistData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 200 images, of which 20 become validation images, and 30 test images."""
    path = tmp_path_factory.mktemp("digits")
    for name, split, n in (("train", mnist.training, 200), ("t10k", mnist.test, 30)):
        dl.write_idx(path / f"{name}-images-idx3-ubyte", split.images[:n])
        dl.write_idx(path / f"{name}-labels-idx1-ubyte", split.labels[:n])
    return path


@pytest.fixture(scope="session")
def bank(digits):
    return make_bank(digits.training, seed=0, fonts=[Font(BUILT_IN)])
