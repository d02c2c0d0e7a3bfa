"""The engine on XLA takes the steps of the processor's own engine, whatever is asked of it in between.

Tolerances are those of ``test_against_keras.py``: both compute in float32 and sum in different orders.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import digitlab as dl
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.images import Images, LabelledImages
from digitlab.engine.loop import Progress, steps
from digitlab.engine.optimizers import SGD, Adam, AdamW, Optimizer
from digitlab.errors import ConfigError, TrainingDivergedError
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, StepRecord
from tests.engine.finder_reference import MAP_NETWORKS, crops_of, weights_of
from tests.engine.networks import ODD, VARIED, digits

pytestmark = pytest.mark.interop
pytest.importorskip("jax")

from digitlab.engine.xla import runner as xla_runner  # noqa: E402
from digitlab.engine.xla.runner import XlaRunner  # noqa: E402

SMALL = Architecture(
    [
        Conv2D(4, 3, activation="relu"),
        MaxPooling2D(2),
        Flatten(),
        Dropout(0.3),
        Dense(6, activation="relu"),
        Dropout(0.1),
        Dense(5, activation="softmax"),
    ],
    (9, 8, 1),
)
N, BATCH, RATE = 70, 30, 0.01  # three batches an epoch, the last of ten

Runner = CpuRunner | XlaRunner


def records_of(
    runner: Runner,
    network: Architecture = SMALL,
    optimizer: Optimizer | None = None,
    *,
    progress: Progress | None = None,
    rate: Callable[[int], float] = lambda step: RATE / (1 + step),
    epochs: int = 2,
) -> Iterator[StepRecord | EpochRecord]:
    images, labels = digits(network, N)
    data = LabelledImages(Images.from_array(images, int(np.prod(network.input_shape))), labels)
    return steps(
        runner, data, batch_size=BATCH, epochs=epochs, optimizer=optimizer or Adam(RATE), learning_rate=rate, seed=3,
        label_smoothing=0.1, validation=data, progress=progress,
    )  # fmt: skip


def ready(kind: type[Runner] | str, network: Architecture = SMALL) -> Runner:
    runner = CpuRunner(network, 2) if kind is CpuRunner else XlaRunner(network, "cpu-xla")
    runner.set_weights(network.initial_weights(seed=1))
    runner.start_training(BATCH)
    return runner


def assert_alike(one: Runner, other: Runner, rate: float = RATE) -> None:
    for mine, theirs in zip(one.weights(), other.weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=0.02 * rate)
    for name in ("first_moment", "second_moment"):
        mine, theirs = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max() + 1e-9)


_CASES = [
    *((network, SGD(RATE, momentum=0.9, nesterov=k % 2 == 0)) for k, network in enumerate(VARIED.values())),
    (ODD[next(iter(ODD))], AdamW(RATE)),
    (SMALL, Adam(RATE)),
    (SMALL, SGD(RATE, weight_decay=0.1)),
]


@pytest.mark.parametrize(("network", "optimizer"), _CASES)
def test_every_layer_and_optimizer_follows_the_processors_engine(network: Architecture, optimizer: Optimizer) -> None:
    own, theirs = ready(CpuRunner, network), ready("xla", network)
    expected, found = (list(records_of(runner, network, optimizer)) for runner in (own, theirs))
    for a, b in zip(expected, found, strict=True):
        assert (type(a), a.step, a.accuracy, a.learning_rate) == (type(b), b.step, b.accuracy, b.learning_rate)
        assert b.loss == pytest.approx(a.loss, rel=2e-5)
        if isinstance(a, EpochRecord) and isinstance(b, EpochRecord):
            assert b.val_loss == pytest.approx(a.val_loss, rel=2e-5)
    assert_alike(own, theirs)


@pytest.mark.parametrize("n_records", range(9))
def test_the_state_is_that_of_the_record_seen_last_and_the_other_engine_goes_on_from_it(n_records: int) -> None:
    whole, first, second = ready(CpuRunner), ready("xla"), ready(CpuRunner)
    list(records_of(whole))
    progress = Progress()
    records = records_of(first, progress=progress)
    for _ in range(n_records):
        next(records)
    second.parameters = first.parameters
    second.set_moments(first.first_moment, first.second_moment)
    list(records_of(second, progress=copy.copy(progress)))
    assert_alike(second, whole)
    # Whoever looked at the first one has not disturbed it either.
    list(records)
    assert_alike(first, whole)


@pytest.mark.parametrize("chunk", [1, 2, 16])
def test_neither_the_length_of_chunks_nor_a_rate_that_is_set_meanwhile_changes_the_steps(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xla_runner, "_FIRST_STEPS", chunk)
    own, theirs = ready(CpuRunner), ready("xla")
    for runner in (own, theirs):
        rates = {"now": RATE}
        for record in records_of(runner, rate=lambda _, rates=rates: rates["now"], epochs=3):
            if isinstance(record, StepRecord) and record.step in (2, 4):
                rates["now"] = RATE / record.step
    assert_alike(own, theirs)


def test_who_asks_for_the_rate_is_told_that_of_the_step_that_was_taken() -> None:
    told: list[tuple[int, float]] = []

    class Listener:
        model: dl.Sequential

        def set_model(self, model: dl.Sequential) -> None:
            self.model = model

        def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            assert self.model.optimizer is not None
            told.append((batch, self.model.optimizer.learning_rate))

    images, labels = digits(SMALL, N)
    expected: list[tuple[int, float]] = []
    for device in ("cpu", "cpu-xla"):
        told = []
        model = dl.Sequential.from_architecture(SMALL)
        model.fit(
            images, labels, batch_size=BATCH, epochs=2, schedule="cosine", callbacks=[Listener()], device=device,
            verbose=0,
        )  # fmt: skip
        expected = expected or told
    assert told == expected
    assert len({rate for _, rate in told}) == 6


def test_a_training_that_diverges_leaves_the_weights_of_before() -> None:
    own, theirs = ready(CpuRunner), ready("xla")

    def rate(step: int) -> float:
        return 1e30 if step == 3 else RATE

    for runner in (own, theirs):
        with pytest.raises(TrainingDivergedError):
            list(records_of(runner, optimizer=SGD(RATE), rate=rate))
    np.testing.assert_allclose(theirs.parameters, own.parameters, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 70])
def test_answers_are_those_of_the_processors_engine(n: int) -> None:
    images, _ = digits(SMALL, n)
    for given in (images, (255 * np.clip(images, 0, 1)).astype(np.uint8)):
        wrapped = Images.from_array(given, 72)
        own, theirs = (ready(kind).predict(wrapped) for kind in (CpuRunner, "xla"))
        np.testing.assert_allclose(theirs, own, rtol=1e-4, atol=1e-6)


def test_over_several_seeds_the_accuracy_is_that_of_the_processors_engine() -> None:
    data = dl.MnistData.load()
    small = dl.TrainConfig(network="dense_baseline", train_images=600, validation_images=500, batch_size=32, epochs=2)
    means, errors = [], []
    for device in ("cpu", "cpu-xla"):
        accuracies = []
        for seed in range(4):
            *_, last = TrainingSession(replace(small, device=device, seed=seed), data).records()
            assert isinstance(last, EpochRecord)
            accuracies.append(last.val_accuracy)
        means.append(np.mean(accuracies))
        errors.append(np.std(accuracies, ddof=1) / 2)
    assert abs(means[0] - means[1]) < min(errors)


def test_bfloat16_learns_as_well() -> None:
    data = dl.MnistData.load()
    x, y = data.training.images[:300], data.training.labels[:300]
    losses = {}
    for precision in ("float32", "bfloat16"):
        model = dl.codelab_cnn()
        history = model.fit(x, y, batch_size=64, epochs=2, device="cpu-xla", precision=precision, verbose=0)
        losses[precision] = history.history["loss"][-1]
        assert all(weight.dtype == np.float32 for weight in model.get_weights())
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_what_is_no_device_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no device 'gpuu'. Did you mean 'gpu'\?"):
        dl.TrainConfig(device="gpuu")
    with pytest.raises(ConfigError, match="computes in float32"):
        dl.TrainConfig(precision="bfloat16")
    with pytest.raises(ConfigError, match=r"JAX sees no TPU on this machine; it sees: .*cpu"):
        dl.codelab_cnn().use_device("tpu")
    assert "no accelerator" in dl.codelab_cnn().use_device("auto")


def test_without_jax_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ConfigError, match=r"pip install 'digitlab\[xla\]'"):
        dl.codelab_cnn().use_device("gpu")


_EIGHT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
import numpy as np
import digitlab as dl
from digitlab.engine.optimizers import SGD
from digitlab.engine.xla.lanes import Lanes
from digitlab.training.session import TrainingSession
from tests.engine.finder_reference import MAP_NETWORKS, crops_of, weights_of
data = dl.MnistData.load()
model = dl.codelab_cnn()
told = model.use_device("cpu-xla")
assert told.startswith("Runs on 8 x "), told
model.fit(data.training.images[:250], data.training.labels[:250], batch_size=100, epochs=2, verbose=0)
few = dl.codelab_cnn()
few.fit(data.training.images[:5], data.training.labels[:5], batch_size=3, epochs=1, device="cpu-xla", verbose=0)
finder = dl.Sequential.from_architecture(MAP_NETWORKS["like the finder"], weights_of(MAP_NETWORKS["like the finder"]))
crops = crops_of(3, 24, 28)
finder.fit(crops, loss="finder", batch_size=2, epochs=1, optimizer=SGD(0.001), device="cpu-xla", verbose=0)
lanes, small = Lanes(11), dl.TrainConfig(network="dense_baseline", train_images=40, batch_size=20, epochs=2)
sessions = [TrainingSession(replace(small, device="cpu-xla", seed=seed), data) for seed in range(11)]
for session in sessions:
    session.runner.lanes = lanes
with ThreadPoolExecutor(11) as pool:
    list(pool.map(lambda session: (list(session.records()), lanes.leave()), sessions))
for program in lanes._programs.values():
    [state, _] = program.output_shardings
    assert not any(one.is_fully_replicated for one in state.weights), "the lanes are not shared out"
np.savez(
    sys.argv[1], *model.get_weights(), answers=model.predict(data.test.images[:21]), few=few.runner.parameters,
    finder=finder.maps_runner.parameters, lanes=[session.runner.parameters for session in sessions],
)
"""


@pytest.mark.slow
def test_eight_devices_share_a_batch_and_come_to_the_result_of_one(tmp_path: Path) -> None:
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    path = os.pathsep.join(str(Path(one).parents[n]) for one, n in ((dl.__file__, 1), (__file__, 2)))
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", _EIGHT, tmp_path / "all.npz"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    data, model = dl.MnistData.load(), dl.codelab_cnn()
    model.fit(data.training.images[:250], data.training.labels[:250], batch_size=100, epochs=2, verbose=0)
    few, network = dl.codelab_cnn(), MAP_NETWORKS["like the finder"]
    few.fit(data.training.images[:5], data.training.labels[:5], batch_size=3, epochs=1, verbose=0)
    finder = dl.Sequential.from_architecture(network, weights_of(network))
    finder.fit(crops_of(3, 24, 28), loss="finder", batch_size=2, epochs=1, optimizer=SGD(0.001), verbose=0)
    small = dl.TrainConfig(network="dense_baseline", train_images=40, batch_size=20, epochs=2)
    sessions = [TrainingSession(replace(small, seed=seed), data) for seed in range(11)]
    for session in sessions:
        list(session.records())
    expected = {
        "few": few.runner.parameters,
        "finder": finder.maps_runner.parameters,
        "lanes": [session.runner.parameters for session in sessions],
    }
    with np.load(tmp_path / "all.npz") as found:
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=3e-5, err_msg=name)
        for k, weight in enumerate(model.get_weights()):
            np.testing.assert_allclose(found[f"arr_{k}"], weight, rtol=1e-4, atol=2e-5)
        np.testing.assert_allclose(found["answers"], model.predict(data.test.images[:21]), rtol=1e-3, atol=1e-4)


def test_a_page_is_read_there_as_it_is_here() -> None:
    digits_of = dl.MnistData.load().test
    page = np.full((120, 260), 255, np.uint8)
    for k in range(4):
        page[40:68, 40 + 40 * k : 68 + 40 * k] -= digits_of.images[k].reshape(28, 28)
    here, there = (dl.read(page, device=device) for device in ("cpu", "cpu-xla"))
    own, theirs = ([number for line in read.lines for number in line.numbers] for read in (here, there))
    assert "".join(number.value for number in own) == "7210"
    assert [number.value for number in theirs] == [number.value for number in own]
    for a, b in zip(own, theirs, strict=True):
        assert b.confidence == pytest.approx(a.confidence, abs=1e-3)
