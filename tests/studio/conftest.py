"""A few real digits, so that a training takes milliseconds, and a trainer for them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

import digitlab as dl
from digitlab.data.mnist import Split
from digitlab.studio.trainer import Trainer


@pytest.fixture(scope="module", autouse=True)
def what_was_there_before() -> Iterator[None]:
    """Keep what other tests have loaded out of the garbage collections that are made before every page."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def mnist() -> dl.MnistData:
    return dl.MnistData.load()


@pytest.fixture(scope="session")
def digits(mnist: dl.MnistData) -> dl.MnistData:
    """Return 200 training, 60 validation and 40 test images."""

    def some(split: Split, n: int) -> Split:
        return Split(split.name, split.images[:n].copy(), split.labels[:n].copy())

    return dl.MnistData(
        some(mnist.training, 200), some(mnist.validation, 60), some(mnist.test, 40), source="a few digits", digest="few"
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return the folder of runs, which does not exist yet."""
    return tmp_path / "runs"


@pytest.fixture
def trainer(digits: dl.MnistData, out: Path) -> Iterator[Trainer]:
    trainer = Trainer(digits, out)
    yield trainer
    trainer.close()
