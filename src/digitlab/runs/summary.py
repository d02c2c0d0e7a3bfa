"""RunInfo: a run in one line, for lists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from digitlab.values import EpochRecord, Value

__all__ = ["RunInfo", "status_of"]


@dataclass(frozen=True, slots=True)
class RunInfo(Value):
    """A run in a list: where it is, what it was and what came out.

    ``status`` is ``complete``, ``diverged`` (it ended early, with the weights of before), ``interrupted`` (it can be
    resumed) or ``started`` (it is being trained, or was killed before anything could be resumed from). Accuracies are
    fractions or None.
    """

    name: str
    path: str
    status: str
    network: str
    seed: int
    epochs_done: int
    epochs: int
    val_accuracy: float | None
    test_accuracy: float | None

    @classmethod
    def from_files(
        cls,
        name: str,
        path: str,
        config: Mapping[str, Any],
        epochs: Sequence[EpochRecord],
        evaluation: Mapping[str, Any],
        *,
        has_model: bool,
        has_state: bool,
    ) -> RunInfo:
        """Summarise what a run's files hold.

        Raises
        ------
        ValueError
            If a setting is missing or of the wrong kind.
        """
        for setting, kind in (("network", str), ("seed", int), ("epochs", int)):
            if not isinstance(config.get(setting), kind):
                raise ValueError(f"its setting {setting!r} is {config.get(setting)!r}")
        accuracy = evaluation.get("accuracy")
        return cls(
            name=name,
            path=path,
            status=status_of(config, epochs, has_model=has_model, has_state=has_state),
            network=config["network"],
            seed=config["seed"],
            epochs_done=len(epochs),
            epochs=config["epochs"],
            val_accuracy=epochs[-1].val_accuracy if epochs else None,
            test_accuracy=accuracy if isinstance(accuracy, float) and math.isfinite(accuracy) else None,
        )


def status_of(config: Mapping[str, Any], epochs: Sequence[EpochRecord], *, has_model: bool, has_state: bool) -> str:
    """Return how a run ended, from its settings and history and from which files there are."""
    if has_state:
        return "interrupted"
    if not has_model:
        return "started"
    losses = [record.val_loss for record in epochs if record.val_loss is not None]
    patience = config.get("early_stopping") or 0
    waited = len(losses) - 1 - losses.index(min(losses)) if losses else 0
    return "complete" if len(epochs) >= config["epochs"] or 0 < patience <= waited else "diverged"
