"""RunInfo: a run in one line, for lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from digitlab.values import EpochRecord, Value

__all__ = ["DamagedRun", "RunInfo", "settings_of", "status_of"]

# What lists and reports need of a run's settings, and the least that it can be; those of a run must have the first.
_TEXT, _NUMBERS = "network", {"seed": 0, "epochs": 1}
_OTHER_NUMBERS = {"early_stopping": 0, "train_images": 1}


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
        """Summarise what a run's files hold; its settings as ``settings_of`` gives them."""
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
            test_accuracy=accuracy if isinstance(accuracy, float) and 0 <= accuracy <= 1 else None,
        )


@dataclass(frozen=True, slots=True)
class DamagedRun(Value):
    """A run of which nothing can be told but why; ``problem`` is a sentence."""

    name: str
    path: str
    problem: str


def settings_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a run's ``config.json``, which anybody may have written.

    Raises
    ------
    ValueError
        If there are none, or one that lists and reports need is missing or cannot be.
    """
    config = description.get("config")
    if not isinstance(config, dict):
        raise ValueError(f"'config' is {config!r:.80}")
    for name, value in config.items():
        least = (_NUMBERS | _OTHER_NUMBERS).get(name)
        if least is not None and (type(value) is not int or value < least):
            raise ValueError(f"its setting {name!r} is {value!r:.80}")
    for name in (_TEXT, *_NUMBERS):
        if name not in config:
            raise ValueError(f"its setting {name!r} is missing")
    for name in (_TEXT, "data"):
        value = config.get(name)
        if not isinstance(value, str) and (value is not None or name == _TEXT):
            raise ValueError(f"its setting {name!r} is {value!r:.80}")
    return config


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
