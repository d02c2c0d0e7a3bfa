from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitlab.engine.optimizers import SGD
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError
from digitlab.network import Dense

RNG = np.random.default_rng(0)
X = RNG.uniform(0.0, 1.0, (40, 6)).astype(np.float32)
Y = (X[:, 0] > 0.5).astype(np.int64)


@pytest.fixture
def model() -> Sequential:
    return Sequential([Dense(2, activation="softmax")], (6,), seed=0)


def fit(model: Sequential, *callbacks: Any, epochs: int = 2, **settings: Any) -> Any:
    return model.fit(X, Y, batch_size=16, epochs=epochs, optimizer=SGD(0.1), callbacks=callbacks, **settings)


class Everything:
    """Listens to all there is and writes it down."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def set_params(self, params: dict[str, Any]) -> None:
        self.told.append(("params", params))

    def set_model(self, model: Sequential) -> None:
        self.told.append(("model", model))

    def on_train_begin(self, logs: dict[str, float]) -> None:
        self.told.append(("train begins", logs))

    def on_train_end(self, logs: dict[str, float]) -> None:
        self.told.append(("train ends", sorted(logs)))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
        self.told.append(("epoch begins", epoch, logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.told.append(("epoch ends", epoch, sorted(logs)))

    def on_train_batch_begin(self, batch: int, logs: dict[str, float]) -> None:
        self.told.append(("batch begins", batch, logs))

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.told.append(("batch ends", batch, sorted(logs)))

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        raise AssertionError("who has on_train_batch_end is not asked for on_batch_end")


def test_callbacks_are_told_everything_in_keras_order(model: Sequential) -> None:
    listener = Everything()
    fit(model, listener, validation_data=(X, Y))
    both = ["accuracy", "loss"]
    all_four = [*both, "val_accuracy", "val_loss"]

    def epoch(n: int) -> list[tuple[Any, ...]]:
        batches = [step for batch in range(3) for step in (("batch begins", batch, {}), ("batch ends", batch, both))]
        return [("epoch begins", n, {}), *batches, ("epoch ends", n, all_four)]

    assert listener.told == [
        ("params", {"verbose": 0, "epochs": 2, "steps": 3}),
        ("model", model),
        ("train begins", {}),
        *epoch(0),
        *epoch(1),
        ("train ends", all_four),
    ]


class StopAfter:
    """Ends the training at some batch or epoch."""

    model: Sequential

    def __init__(self, method: str, number: int) -> None:
        self.n_calls = 0
        setattr(self, method, lambda i, logs: self._stop(i == number))

    def set_model(self, model: Sequential) -> None:
        self.model = model

    def _stop(self, is_time: bool) -> None:
        self.model.stop_training = self.model.stop_training or is_time


@pytest.mark.parametrize(
    ("method", "number", "steps", "epochs"),
    [("on_epoch_end", 1, 6, 2), ("on_train_batch_end", 1, 2, 0), ("on_train_batch_end", 2, 3, 1)],
)
def test_a_callback_may_end_the_training(model: Sequential, method: str, number: int, steps: int, epochs: int) -> None:
    listener = Everything()
    history = fit(model, StopAfter(method, number), listener, epochs=5)
    assert (len(history.steps), len(history.epochs)) == (steps, epochs)
    assert listener.told[-1][0] == "train ends"
    assert len(fit(model, epochs=1).epochs) == 1  # the wish is forgotten by the next fit


def test_a_callback_may_read_and_set_the_learning_rate(model: Sequential) -> None:
    seen = []

    class Halving:
        def set_model(self, model: Sequential) -> None:
            self.model = model

        def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
            seen.append(self.model.optimizer.learning_rate)
            self.model.optimizer.learning_rate = 0.1 / 2**epoch

    history = fit(model, Halving(), epochs=3)
    assert [record.learning_rate for record in history.epochs] == [0.1, 0.05, 0.025]
    assert seen == [0.1, 0.1, 0.05]
    assert [record.learning_rate for record in fit(model, schedule="cosine").steps][:2] == pytest.approx(
        [0.1, 0.0933], 1e-3
    )


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_learning_rate_that_cannot_be_is_refused(model: Sequential, rate: float) -> None:
    fit(model, epochs=1)
    with pytest.raises(ConfigError, match="learning_rate"):
        model.optimizer.learning_rate = rate


@pytest.fixture
def keras_callbacks() -> Any:
    return pytest.importorskip("keras").callbacks


@pytest.mark.interop
def test_keras_early_stopping_restores_the_best_weights(model: Sequential, keras_callbacks: Any) -> None:
    best: list[Any] = []

    class Worse(keras_callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                best.extend(self.model.get_weights())
                self.model.optimizer.learning_rate = 1e4

    stopping = keras_callbacks.EarlyStopping(monitor="val_loss", patience=1, restore_best_weights=True)
    history = fit(model, Worse(), stopping, epochs=20, validation_data=(X, Y))
    assert len(history.epochs) == 3
    for ours, kept in zip(model.get_weights(), best, strict=True):
        np.testing.assert_array_equal(ours, kept)


@pytest.mark.interop
def test_keras_callbacks_work(model: Sequential, keras_callbacks: Any, tmp_path: Path) -> None:
    begun: list[int] = []
    batches: list[int] = []
    recorded = keras_callbacks.History()
    history = fit(
        model,
        recorded,
        keras_callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras_callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: begun.append(epoch),
            on_train_batch_end=lambda batch, logs: batches.append(batch),
        ),
        keras_callbacks.LearningRateScheduler(lambda epoch, rate: 0.2 / (epoch + 1)),
        keras_callbacks.ReduceLROnPlateau(),
        keras_callbacks.TerminateOnNaN(),
        epochs=3,
        validation_data=(X, Y),
    )
    assert begun == recorded.epoch == [0, 1, 2]
    assert batches == [0, 1, 2] * 3
    assert recorded.history == history.history
    assert [record.learning_rate for record in history.epochs] == [0.2, 0.1, 0.2 / 3]
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == history.history["val_loss"]
