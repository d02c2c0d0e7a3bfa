"""Steering: what was done to a training besides its settings, and how it ended, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from digitlab.runs.history import Steering
from digitlab.values import EpochRecord, RateChange, Resumption, StepRecord

_LONGEST_ORIGIN = 100


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
) -> list[tuple[int, str]]:
    """Return words for what a run's settings do not say of how its weights came about, each after its batch.

    >>> changes_told({"config": {"schedule": "constant"}}, [], [RateChange(40, 0.01)])
    [(40, 'learning rate 0.01 from batch 41')]
    """
    config, tuned = description.get("config"), description.get("fine_tuned")
    config = config if isinstance(config, Mapping) else {}
    changes = []
    if isinstance(tuned, Mapping):
        figure = tuned.get("corrections")
        n = figure.get("n") if isinstance(figure, Mapping) else None
        corrections = f"{n:,} correction{'' if n == 1 else 's'}" if isinstance(n, int) else "corrections"
        changes.append((0, f"{str(tuned.get('origin'))[:_LONGEST_ORIGIN]}, fine-tuned on {corrections}"))
    peak = "" if config.get("schedule") == "constant" else "peak "
    for change in rates_set(config, steps, steering):
        changes.append((change.step, f"learning rate {peak}{change.learning_rate:g} from batch {change.step + 1:,}"))
    return changes


def stops_told(steering: Sequence[Steering]) -> list[tuple[int, str]]:
    """Return words for where a training was stopped and gone on with, which changes no weights, as `changes_told`."""
    stops = [one.step for one in steering if isinstance(one, Resumption)]
    return [(step, f"stopped after batch {step:,} and resumed") for step in stops]


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


def best_epoch(config: Mapping[str, Any], epochs: Sequence[EpochRecord], status: str) -> EpochRecord | None:
    """Return the epoch whose weights a run of this ``status`` keeps; None where that is not the best of them."""
    validated = [one for one in epochs if one.val_loss is not None]
    if config.get("best_weights") is not True or status not in ("complete", "diverged") or not validated:
        return None
    return min(validated, key=lambda one: one.val_loss or 0.0)


def n_batches(config: Mapping[str, Any]) -> int | None:
    """Return the batches of a whole run with these settings, which anybody may have written; None if they do not say.

    >>> n_batches({"train_images": 5_500, "batch_size": 512, "epochs": 10})
    110
    """
    images, size, epochs = (config.get(name) for name in ("train_images", "batch_size", "epochs"))
    if not (isinstance(images, int) and isinstance(size, int) and isinstance(epochs, int) and size > 0):
        return None
    return epochs * -(-images // size)


def ending_told(config: Mapping[str, Any], status: str, n_steps: int, epochs: Sequence[EpochRecord]) -> tuple[str, ...]:
    """Return words for how a training ended, where that was not with the weights of its last epoch; else nothing.

    ``status`` is as in ``RunInfo``, ``n_steps`` the batches in its history.
    """
    told = []
    best, whole = best_epoch(config, epochs, status), n_batches(config)
    if status == "complete" and len(epochs) < config["epochs"]:
        told.append(f"stopped early after epoch {len(epochs):,} of {config['epochs']:,}")
    elif status == "diverged":
        of = f" of {whole:,}" if whole and n_steps <= whole else ""
        told.append(f"diverged after batch {n_steps:,}{of}" + (", weights from before" if best is None else ""))
    if best is not None and (best.epoch < len(epochs) or status == "diverged"):
        told.append(f"weights of epoch {best.epoch:,}, whose val_loss was lowest")
    return tuple(told)
