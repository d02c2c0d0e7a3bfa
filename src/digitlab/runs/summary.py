"""RunInfo: a run in one line, for lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from digitlab.runs.history import Steering
from digitlab.values import EpochRecord, RateChange, StepRecord, Value

__all__ = ["DamagedRun", "RunInfo", "changes_told", "rates_set", "settings_of", "status_of"]

_LONGEST_ORIGIN = 100
# What lists and reports need of a run's settings, and the least that it can be; those of a run must have the first.
_TEXT, _NUMBERS = "network", {"seed": 0, "epochs": 1}
_DAMAGED = "its evaluation is damaged. Make it again with: digitlab evaluate {name}"
_OTHER_NUMBERS = {"early_stopping": 0, "train_images": 1}


@dataclass(frozen=True, slots=True)
class RunInfo(Value):
    """A run in a list: where it is, what it was and what came out.

    ``status`` is ``complete``, ``diverged`` (it ended early, with the weights of before), ``interrupted`` (it can be
    resumed) or ``started`` (it is being trained, or was killed before anything could be resumed from). Accuracies are
    fractions or None. ``changes`` are words for what made its weights others than its settings alone would have, and
    ``resumed_after`` the batches after which it was stopped and gone on with, which changes nothing. ``problem`` is a
    sentence where its evaluation is there and damaged.
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
    changes: tuple[str, ...] = ()
    resumed_after: tuple[int, ...] = ()
    problem: str = ""

    @property
    def on_the_way(self) -> tuple[str, ...]:
        """What happened to it on the way, in words."""
        return (*self.changes, *(f"stopped after batch {step:,} and resumed" for step in self.resumed_after))

    @classmethod
    def from_files(
        cls,
        name: str,
        path: str,
        config: Mapping[str, Any],
        epochs: Sequence[EpochRecord],
        evaluation: Mapping[str, Any] | None,
        *,
        changes: tuple[str, ...] = (),
        resumed_after: tuple[int, ...] = (),
        has_model: bool,
        has_state: bool,
    ) -> RunInfo:
        """Summarise what a run's files hold; its settings as ``settings_of`` gives them.

        The evaluation is None where there is none, and has no accuracy where it is damaged.
        """
        accuracy = None if evaluation is None else evaluation.get("accuracy")
        is_known = isinstance(accuracy, float) and 0 <= accuracy <= 1
        return cls(
            name=name,
            path=path,
            status=status_of(config, epochs, has_model=has_model, has_state=has_state),
            network=config["network"],
            seed=config["seed"],
            epochs_done=len(epochs),
            epochs=config["epochs"],
            val_accuracy=epochs[-1].val_accuracy if epochs else None,
            test_accuracy=accuracy if is_known else None,
            changes=changes,
            resumed_after=resumed_after,
            problem="" if is_known or evaluation is None else _DAMAGED.format(name=name),
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


def rates_set(
    config: Mapping[str, Any], steps: Sequence[StepRecord], steering: Sequence[Steering]
) -> tuple[RateChange, ...]:
    """Return the learning rates that were set on the way.

    Histories from before they were written down tell them by their steps, as far as there was no schedule.
    """
    told = tuple(one for one in steering if isinstance(one, RateChange))
    rate = config.get("learning_rate")
    if told or config.get("schedule") != "constant" or not isinstance(rate, int | float):
        return told
    found = []
    for record in steps:
        if record.learning_rate != rate:
            rate = record.learning_rate
            found.append(RateChange(record.step - 1, rate))
    return tuple(found)


def changes_told(
    description: Mapping[str, Any], steps: Sequence[StepRecord], steering: Sequence[Steering]
) -> tuple[str, ...]:
    """Return words for what a run's settings do not say of how its weights came about.

    Examples
    --------
    >>> changes_told({"config": {"schedule": "constant"}}, [], [RateChange(40, 0.01)])
    ('learning rate 0.01 from batch 41',)
    """
    config, tuned = description.get("config"), description.get("fine_tuned")
    config = config if isinstance(config, Mapping) else {}
    peak = "" if config.get("schedule") == "constant" else "peak "
    changes = [
        f"learning rate {peak}{change.learning_rate:g} from batch {change.step + 1:,}"
        for change in rates_set(config, steps, steering)
    ]
    if isinstance(tuned, Mapping):
        figure = tuned.get("corrections")
        n = figure.get("n") if isinstance(figure, Mapping) else None
        corrections = f"{n:,} correction{'' if n == 1 else 's'}" if isinstance(n, int) else "corrections"
        changes.insert(0, f"{str(tuned.get('origin'))[:_LONGEST_ORIGIN]}, fine-tuned on {corrections}")
    return tuple(changes)
