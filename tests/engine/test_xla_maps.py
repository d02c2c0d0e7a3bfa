"""Finders on XLA: losses, steps and maps are those of the processor's own engine."""

from __future__ import annotations

import numpy as np
import pytest

import digitlab as dl
from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.optimizers import SGD, AdamW
from digitlab.errors import NetworkError
from digitlab.network import Architecture, Conv2D
from tests.engine.finder_reference import MAP_NETWORKS, crops_of, weights_of

pytestmark = pytest.mark.interop
pytest.importorskip("jax")

from digitlab.engine.xla.maps_runner import XlaMapsRunner, _roomy  # noqa: E402


@pytest.mark.parametrize("name", MAP_NETWORKS)
def test_losses_steps_and_maps_follow_the_processors_engine(name: str) -> None:
    network = MAP_NETWORKS[name]
    crops = crops_of(6, 40, 48, stride=4 if name == "like the finder" else 2)
    optimizer, chosen = AdamW(0.002), np.array([0, 2, 3, 5])
    rng = np.random.default_rng(3)
    pages = [rng.integers(0, 256, (37, 91, 1)).astype(np.uint8), rng.normal(size=(64, 33, 1)).astype(np.float32)]
    runners = (MapsRunner(network, 2), XlaMapsRunner(network, "cpu-xla"))
    losses, maps = [], []
    for runner in runners:
        runner.set_weights(weights_of(network))
        runner.start_training()
        told = [runner.train_batch(crops, chosen, optimizer.step(k + 1, 0.002), 0.05, 1.0) for k in range(4)]
        losses.append([*told, runner.losses(crops)])
        maps.append([runner.predict(page) for page in pages])
    for own, theirs in zip(*losses, strict=True):
        assert (theirs.n_marks, theirs.n_right) == (own.n_marks, own.n_right)
        for part in ("centers", "classes", "places"):
            assert getattr(theirs, part) == pytest.approx(getattr(own, part), rel=1e-4)
    for own, theirs in zip(*(runner.weights() for runner in runners), strict=True):
        np.testing.assert_allclose(theirs, own, rtol=1e-3, atol=2e-5)
    for own, theirs in zip(*maps, strict=True):
        np.testing.assert_allclose(theirs, own, rtol=1e-3, atol=1e-4 * np.abs(own).max())


def test_fit_trains_a_finder_there_and_takes_back_what_diverges() -> None:
    network, crops = MAP_NETWORKS["like the finder"], crops_of(4, 32, 32)
    losses = []
    for device in ("cpu", "cpu-xla"):
        model = dl.Sequential.from_architecture(network, weights_of(network))
        history = model.fit(
            crops, loss="finder", batch_size=3, epochs=2, optimizer=SGD(0.001), validation_data=crops, device=device,
            verbose=0,
        )  # fmt: skip
        losses.append(history.history["val_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_network_whose_maps_are_not_the_finders_is_told() -> None:
    runner = XlaMapsRunner(Architecture([Conv2D(3, 3)], (None, None, 1)), "cpu-xla")
    with pytest.raises(NetworkError, match="The finder's loss needs 23 maps"):
        runner.start_training()


def test_pages_are_filled_up_to_few_sizes_and_by_little() -> None:
    sizes = {_roomy(size) for size in range(1, 4_000)}
    assert len(sizes) < 60
    assert all(size <= _roomy(size) <= max(size + 32, 1.125 * size + 1) for size in range(1, 4_000))
