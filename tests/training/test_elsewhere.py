"""A session on JAX's devices is the session on the processor: the same records, choices and files, either way round."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import ConfigError, TrainingDivergedError
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.reading.second_look import PATCH_PX
from digitlab.runs.run import ENVIRONMENT, Run
from digitlab.training.config import TrainConfig, preset
from digitlab.training.letters import BUILT_IN, Font
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, FinderEpochRecord
from tests.engine.finder_reference import MAP_NETWORKS

pytestmark = pytest.mark.interop


def _network(n_classes: int, pool: int = 4, pixels: int = 28) -> Architecture:
    layers = [Conv2D(4, 5, activation="relu"), MaxPooling2D(pool), Flatten(), Dropout(0.2)]
    return Architecture([*layers, Dense(n_classes, activation="softmax")], input_shape=(pixels, pixels, 1))


SMALL = TrainConfig(train_images=70, validation_images=40, batch_size=32, epochs=3, learning_rate=0.01)
FINDER = preset("finder", {"train_images": 10, "validation_images": 4, "batch_size": 4, "epochs": 2})
#: What a session can be told, each with a network for it.
CASES = {
    "augmented, with variants and what is no digit, and the best weights": (
        {"augmentation": "reader", "not_a_digit": 0.2, "variants": 0.2, "best_weights": True},
        _network(11),
    ),
    "a schedule, label smoothing and another optimizer": (
        {"schedule": "one-cycle", "label_smoothing": 0.1, "optimizer": "adamw", "batch_size": 70},
        _network(10),
    ),
    "stopped early": (
        {"early_stopping": 1, "best_weights": True, "learning_rate": 0.3, "optimizer": "sgd", "epochs": 8},
        _network(10),
    ),
    "candidates that the finder found": (
        {"learns_from": "candidates", "optimizer": "adamw", "beta_2": 0.99, "weight_decay": 0.0001, "epochs": 2},
        _network(11, pixels=PATCH_PX),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _one_font() -> Iterator[None]:
    pytest.importorskip("jax")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitlab.training.pages._PENNED_WORDS", 20)
        patch.setattr("digitlab.training.letters.find_fonts", lambda: (Font(BUILT_IN),))
        yield


def assert_alike(own: list[Any], theirs: list[Any], tolerance: float = 1e-3) -> None:
    assert [(type(one), one.step) for one in theirs] == [(type(one), one.step) for one in own]
    for a, b in zip(own, theirs, strict=True):
        assert b.loss == pytest.approx(a.loss, rel=tolerance)
        assert b.learning_rate == a.learning_rate
        if isinstance(a, EpochRecord | FinderEpochRecord):
            assert b.val_loss == pytest.approx(a.val_loss, rel=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_a_session_takes_the_steps_of_the_processor_and_chooses_the_same(name: str, digits: dl.MnistData) -> None:
    changes, network = CASES[name]
    sessions, records = [], []
    for device in ("cpu", "cpu-xla"):
        config = TrainConfig.from_dict(SMALL.to_dict() | changes | {"device": device})
        session = TrainingSession(config, digits, architecture=network)
        records.append(list(session.records()))
        sessions.append(session)
    assert_alike(*records)
    own, theirs = sessions
    assert (theirs.best_epoch, theirs.stopped_early) == (own.best_epoch, own.stopped_early)
    assert own.stopped_early == (name == "stopped early")
    for a, b in zip(own.model.get_weights(), theirs.model.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-2, atol=5e-4)
    if own.calibration is not None and theirs.calibration is not None:
        assert theirs.calibration.temperature == pytest.approx(own.calibration.temperature, rel=1e-2)
    assert (theirs.calibration is None) == (own.calibration is None) == (not config.not_a_digit)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["cpu", "cpu-xla"])
@pytest.mark.parametrize(("config", "network"), [(SMALL, _network(10)), (FINDER, MAP_NETWORKS["like the finder"])])
def test_a_run_goes_on_where_another_device_is_and_says_so(
    config: TrainConfig, network: Architecture, first: str, digits: dl.MnistData, tmp_path: Any
) -> None:
    other = {"cpu": "cpu-xla", "cpu-xla": "cpu"}[first]
    whole = list(TrainingSession(config, digits, architecture=network).records())
    run = Run.create(tmp_path / "run")
    begun = TrainingSession(TrainConfig.from_dict(config.to_dict() | {"device": first}), digits, run, network)
    with closing(begun.records()) as records:
        list(itertools.islice(records, 2))
    resumed = TrainingSession.resume(run, digits, elsewhere={"device": other})
    list(resumed.records())
    assert_alike(whole, run.history())
    told = run.read_json(ENVIRONMENT)
    assert ("device" in told) == (first != "cpu")
    assert told["resumed"][0]["device"].startswith(other)


def test_a_diverging_session_ends_as_on_the_processor(digits: dl.MnistData, tmp_path: Any) -> None:
    steps, weights = [], []
    for device in ("cpu", "cpu-xla"):
        config = TrainConfig.from_dict(SMALL.to_dict() | {"device": device, "learning_rate": 1e6, "optimizer": "sgd"})
        run = Run.create(tmp_path / device)
        session = TrainingSession(config, digits, run, _network(10))
        with pytest.raises(TrainingDivergedError):
            list(session.records())
        steps.append(session.progress.step)
        weights.append(run.load_model().weights)
        assert run.info().status == "diverged"
    assert steps[0] == steps[1]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4 * np.abs(a).max())


def test_precision_needs_a_device_that_has_it(digits: dl.MnistData) -> None:
    model = dl.codelab_cnn()
    x, y = digits.training.images[:8], digits.training.labels[:8]
    with pytest.raises(ConfigError, match="bfloat16 needs --device"):
        model.fit(x, y, epochs=1, precision="bfloat16", verbose=0)


_PLAIN = """
import sys
import digitlab as dl
data = dl.MnistData.load()
model = dl.codelab_cnn()
model.fit(data.training.images[:64], data.training.labels[:64], epochs=1, verbose=0)
dl.evaluate(model, data.test.images[:10], data.test.labels[:10])
from digitlab.evaluation.sweep import sweep
import digitlab.cli.app
there = {name.partition(".")[0] for name in sys.modules} & {"jax", "jaxlib", "distributed", "dask", "fsspec", "pyarrow"}
assert not there, there
"""


def test_nothing_of_an_extra_is_imported_by_a_training_on_the_processor() -> None:
    done = subprocess.run([sys.executable, "-c", _PLAIN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
