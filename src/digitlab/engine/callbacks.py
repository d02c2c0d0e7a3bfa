"""Whom ``fit`` tells of what happens, and what it returns: Keras' protocol, so that its callbacks can listen too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from digitlab.values import EpochRecord, StepRecord

__all__ = ["Callback", "History"]

# Keras' own on_train_batch_end calls on_batch_end: whoever has the first is not asked for the second.
_BATCH_BEGINS = ("on_train_batch_begin", "on_batch_begin")
_BATCH_ENDS = ("on_train_batch_end", "on_batch_end")


class Callback(Protocol):
    """What ``fit`` calls, as in Keras; all of it may be left out.

    ``logs`` holds ``loss`` and ``accuracy``, at an epoch's end also ``val_loss`` and ``val_accuracy`` if there are
    validation images. Every callback gets a dictionary of its own. Who sets ``model.stop_training`` to True ends the
    training after the batch or epoch; who sets ``model.optimizer.learning_rate`` changes the steps from then on.
    """

    def set_params(self, params: dict[str, Any]) -> None:
        """Be told ``epochs`` and ``steps``, the batches of one epoch."""

    def set_model(self, model: Any) -> None:
        """Be given the ``Sequential`` that is trained."""

    def on_train_begin(self, logs: dict[str, float]) -> None:
        """Be told that training begins."""

    def on_train_end(self, logs: dict[str, float]) -> None:
        """Be told that it has ended; ``logs`` are those of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
        """Be told that an epoch begins, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Be told of an epoch, counted from 0."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, float]) -> None:
        """Be told that a batch begins, counted from 0 within its epoch."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Be told of a batch; who has no such method is asked for ``on_batch_end``, as older callbacks have it."""


class Listeners:
    """The callbacks of one ``fit`` of so many epochs at most, of ``n_batches`` each."""

    def __init__(
        self, callbacks: Iterable[Any], model: Any, epochs: int, n_batches: int, accuracy_name: str = "accuracy"
    ) -> None:
        self._callbacks, self._model, self._epochs, self._n_batches = list(callbacks), model, epochs, n_batches
        self._accuracy_name = accuracy_name
        for callback in self._callbacks:
            if hasattr(callback, "set_params"):
                callback.set_params({"verbose": 0, "epochs": epochs, "steps": n_batches})
            if hasattr(callback, "set_model"):
                callback.set_model(model)

    def follow(self, records: Iterable[StepRecord | EpochRecord]) -> History:
        """Tell of all records, until they end or a callback ends the training, and return them."""
        steps: list[StepRecord] = []
        epochs: list[EpochRecord] = []
        logs: dict[str, float] = {}
        self._tell({}, ("on_train_begin",))
        self._epoch_begins(0)
        for record in records:
            logs = {"loss": record.loss, self._accuracy_name: record.accuracy}
            if isinstance(record, StepRecord):
                steps.append(record)
                self._tell(logs, _BATCH_ENDS, record.batch - 1)
                if record.batch == self._n_batches:
                    continue  # the epoch's record is next
                if self._model.stop_training:
                    break
                self._tell({}, _BATCH_BEGINS, record.batch)
            else:
                epochs.append(record)
                if record.val_loss is not None and record.val_accuracy is not None:
                    logs |= {"val_loss": record.val_loss, f"val_{self._accuracy_name}": record.val_accuracy}
                self._tell(logs, ("on_epoch_end",), record.epoch - 1)
                if self._model.stop_training:
                    break
                if record.epoch < self._epochs:
                    self._epoch_begins(record.epoch)
        self._tell(logs, ("on_train_end",))
        return History(tuple(steps), tuple(epochs), self._accuracy_name)

    def _epoch_begins(self, epoch: int) -> None:
        self._tell({}, ("on_epoch_begin",), epoch)
        self._tell({}, _BATCH_BEGINS, 0)

    def _tell(self, logs: dict[str, float], methods: tuple[str, ...], *numbers: int) -> None:
        for callback in self._callbacks:
            method = next((getattr(callback, name) for name in methods if hasattr(callback, name)), None)
            if method is not None:
                method(*numbers, dict(logs))


@dataclass(frozen=True)
class History:
    """What ``fit`` returns: all records, and Keras' ``history`` dictionary of a list an epoch."""

    steps: tuple[StepRecord, ...]
    epochs: tuple[EpochRecord, ...]
    accuracy_name: str = "accuracy"

    @property
    def history(self) -> dict[str, list[float]]:
        """``loss``, ``accuracy`` and, if validated, ``val_loss`` and ``val_accuracy``: one number an epoch."""
        names = {"loss": "loss", self.accuracy_name: "accuracy"}
        names |= {f"val_{name}": f"val_{field}" for name, field in names.items()}
        columns = {name: [getattr(epoch, field) for epoch in self.epochs] for name, field in names.items()}
        return {name: values for name, values in columns.items() if None not in values}

    @property
    def epoch(self) -> list[int]:
        """The epochs, counted from 0 as Keras counts them."""
        return [record.epoch - 1 for record in self.epochs]
