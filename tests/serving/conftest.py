"""A service that tests share, a client for it in this process, and a server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.serving.accounting import Lines
from digitlab.serving.server import guarded_api
from digitlab.serving.service import Service
from tests.serving.asking import Client, Process


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    """Return test images of MNIST, uint8 (100, 28, 28), whose labels are in ``labels``."""
    return dl.MnistData.load().test.images[:100].reshape(-1, 28, 28)


@pytest.fixture(scope="session")
def labels() -> NDArray[np.int64]:
    return np.asarray(dl.MnistData.load().test.labels[:100], np.int64)


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="session")
def client(service: Service) -> Client:
    return Client(guarded_api(service, Lines(None)))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of two seeds, called first and second, and one that is damaged."""
    out = tmp_path_factory.mktemp("serving") / "runs"
    (out / "broken").mkdir(parents=True)
    (out / "broken" / "config.json").write_text("[]")
    sizes = {"train_images": 64, "validation_images": 32, "batch_size": 32, "epochs": 1}
    for seed, name in enumerate(("first", "second")):
        dl.train(dl.TrainConfig(network="dense_baseline", seed=seed, **sizes), out, name=name)
    return out


@pytest.fixture(scope="session")
def server(runs: Path) -> Iterator[Process]:
    with Process(runs.parent) as process:
        yield process
