"""Whom ``fit`` tells of what happens, and what it returns: Keras' protocol, so that its callbacks can listen too."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from digitlab.errors import ConfigError
from digitlab.notebook import LiveCell, is_notebook
from digitlab.text import counted, percent
from digitlab.values import EpochRecord, StepRecord

__all__ = ["Callback", "History"]

# Keras' own on_train_batch_end calls on_batch_end: whoever has the first is not asked for the second.
_BATCH_BEGINS = ("on_train_batch_begin", "on_batch_begin")
_BATCH_ENDS = ("on_train_batch_end", "on_batch_end")
# How often a bar is drawn again, and how long one is in a terminal.
_REDRAWN_S, _BAR = 0.1, 24
# From the line's beginning, and erased behind it: what was there may have been longer.
_REDRAWN = ("\r", "\x1b[K")


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


class ProgressBar:
    """Shows how a training goes: a bar in a notebook or a terminal; elsewhere, or if ``lines``, a line an epoch."""

    def __init__(self, *, lines: bool = False) -> None:
        self._cell = LiveCell() if is_notebook() and not lines else None
        self._draws = self._cell is None and not lines and sys.stdout.isatty()
        self._n_epochs = self._n_batches = self._epoch = 0
        self._drawn_at = -math.inf

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the numbers of epochs and batches."""
        self._n_epochs, self._n_batches = params["epochs"], params["steps"]

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
        """Count the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Move the bar, ten times a second at most."""
        if (self._cell is None and not self._draws) or time.monotonic() - self._drawn_at < _REDRAWN_S:
            return
        self._drawn_at = time.monotonic()
        done = (batch + 1) / self._n_batches
        if self._cell is not None:
            self._show((self._epoch + done) / self._n_epochs, logs)
        else:
            before, behind = _REDRAWN
            bar = f"[{'=' * round(_BAR * done):<{_BAR}}]"
            print(f"{before}{self._text(logs, bar)}{behind}", end="", flush=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Tell of the epoch."""
        if self._cell is not None:
            self._show((epoch + 1) / self._n_epochs, logs)
        else:
            before, behind = _REDRAWN if self._draws else ("", "")
            print(f"{before}{self._text(logs)}{behind}", flush=True)

    def _show(self, done: float, logs: dict[str, float]) -> None:
        assert self._cell is not None
        text = self._text(logs)
        self._cell.show(f'<progress value="{done:.3f}" max="1"></progress> {text}', text)

    def _text(self, logs: dict[str, float], bar: str = "") -> str:
        return "  ".join([f"Epoch {self._epoch + 1}/{self._n_epochs}", *[bar] * bool(bar), *_told(logs)])


def progress(verbose: Any) -> list[ProgressBar]:
    """Return who shows how a training goes, as ``fit`` is told: one, or nobody."""
    if verbose not in ("auto", 0, 1, 2):
        raise ConfigError(
            f'verbose is 0 for nothing, 1 for a bar, 2 for a line an epoch, or "auto"; got {verbose!r:.60}.'
        )
    wanted = is_notebook() if verbose == "auto" else bool(verbose)
    return [ProgressBar(lines=verbose == 2)] if wanted else []


def _told(logs: dict[str, float]) -> list[str]:
    return [f"{name} {f'{value:.4f}' if name.endswith('loss') else percent(value)}" for name, value in logs.items()]


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

    def __repr__(self) -> str:
        last = {name: values[-1] for name, values in self.history.items() if values}
        epochs, batches = counted(len(self.epochs), "epoch"), counted(len(self.steps), "batch", "batches")
        return f"<History: {', '.join([epochs, batches, *_told(last)])}>"

    def _repr_html_(self) -> str:
        from digitlab.notebook import history_html

        return history_html(self)

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
