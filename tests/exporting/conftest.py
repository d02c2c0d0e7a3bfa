"""A trained network, the test images, and runtimes found or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl


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


@pytest.fixture
def tfjs_found(tfjs: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let digitlab find that TensorFlow.js too."""
    monkeypatch.setenv("NODE_PATH", str(Path(__file__).parents[1] / "tfjs" / "node_modules"))


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let digitlab find none of the runtimes, which is also faster."""
    from digitlab.exporting import verify

    def absent(*_: Any) -> Any:
        raise verify.NotInstalledError("The runtime is not installed here.")

    monkeypatch.setattr(verify, "RUNTIMES", dict.fromkeys(verify.RUNTIMES, absent))
