"""What ``fit`` returns, and whom it tells while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from digitlab.values import EpochRecord, StepRecord

__all__ = ["Callback", "History", "tell"]


class Callback(Protocol):
    """What ``fit`` calls, as in Keras; both methods may be left out."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Be told of a batch, counted from 0 within its epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Be told of an epoch, counted from 0."""


@dataclass(frozen=True)
class History:
    """What ``fit`` returns: all records, and Keras' ``history`` dictionary of a list an epoch."""

    steps: tuple[StepRecord, ...]
    epochs: tuple[EpochRecord, ...]

    @property
    def history(self) -> dict[str, list[float]]:
        """``loss``, ``accuracy`` and, if validated, ``val_loss`` and ``val_accuracy``: one number an epoch."""
        names = ["loss", "accuracy", "val_loss", "val_accuracy"]
        columns = {name: [getattr(epoch, name) for epoch in self.epochs] for name in names}
        return {name: values for name, values in columns.items() if None not in values}


def tell(listeners: Iterable[Callback], method: str, number: int, logs: dict[str, float]) -> None:
    """Call one method of every listener that has it, each with a dictionary of its own."""
    for listener in listeners:
        if hasattr(listener, method):
            getattr(listener, method)(number, dict(logs))
