"""Keeping a fine-tuned network as a run of its own, beside those that were trained from the beginning."""

from __future__ import annotations

from pathlib import Path

from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.errors import RunError
from digitlab.runs.directory import CONFIG, ENVIRONMENT, MODEL, Run
from digitlab.runs.listing import free_name
from digitlab.training.config import TrainConfig
from digitlab.training.environment import environment
from digitlab.training.fine_tuning import MOST_VALIDATION, FineTuned

__all__ = ["keep_fine_tuned"]

_MOST_TRIES = 100


def keep_fine_tuned(tuned: FineTuned, data: MnistData, out: Path, *, origin: str) -> Run:
    """Write a fine-tuned network as a run of its own.

    Parameters
    ----------
    tuned : FineTuned
        What to keep.
    data : MnistData
        What was replayed.
    out : Path
        The folder of runs.
    origin : str
        What it was before, for people: the name of a run, or "the shipped reader".

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    options, network = tuned.options, tuned.checkpoint.architecture
    config = TrainConfig(
        network=network.name,
        train_images=min(options.replay_images, len(data.training)),
        validation_images=min(MOST_VALIDATION, len(data.validation)),
        batch_size=options.batch_size,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        schedule="cosine",
        seed=options.seed,
    )
    run = _new_run(out, f"{network.name}-corrected", options.seed)
    described = {
        "config": config.to_dict(),
        "network": network.to_dict(),
        "data": {"source": data.source, "digest": data.digest},
        # No command repeats it: the corrections are somebody's own.
        "command": "",
        "fine_tuned": {"origin": origin} | tuned.to_dict(),
    }
    run.write_json(CONFIG, described)
    run.write_json(ENVIRONMENT, environment(Sequential.from_checkpoint(tuned.checkpoint).runner.n_threads))
    history = run.open_history()
    try:
        history.append(tuned.records)
    finally:
        history.close()
    run.save(MODEL, tuned.checkpoint)
    return run


def _new_run(out: Path, stem: str, seed: int) -> Run:
    for _ in range(_MOST_TRIES):
        try:
            return Run.create(out / free_name(out, stem, seed))
        except RunError:
            continue  # somebody else took the name in this moment
    raise RunError(f"No free name for a run was found in {out}; choose another folder with --out.")
