"""What ``fit`` returns."""

from __future__ import annotations

from dataclasses import dataclass

from digitlab.values import EpochRecord, StepRecord

__all__ = ["History"]


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
