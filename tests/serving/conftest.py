"""A service that tests share, a client for it in this process, and a server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with Process(tmp_path_factory.mktemp("serving")) as process:
        yield process
