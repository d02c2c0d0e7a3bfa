"""A fine-tuned network as a run of its own, beside those that were trained from the beginning; and made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, RunError
from digitlab.network.checkpoint import load_checkpoint
from digitlab.runs.listing import new_run
from digitlab.runs.run import CONFIG, ENVIRONMENT, MODEL, START, Run
from digitlab.training.config import TrainConfig
from digitlab.training.environment import environment
from digitlab.training.fine_tuning import MOST_VALIDATION, FineTuned, FineTuningOptions, fine_tune_again

__all__ = ["is_fine_tuned", "keep_fine_tuned", "repeat_fine_tuned"]


def keep_fine_tuned(
    tuned: FineTuned,
    data: MnistData,
    out: Path,
    *,
    origin: str,
    folder: str | None = None,
    name: str | None = None,
    force: bool = False,
) -> Run:
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
    folder : str, optional
        Where the data is, if it is not the packaged one.
    name, force : str, optional, and bool
        As for ``digitlab.train``.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    options, network = tuned.options, tuned.checkpoint.architecture
    config = TrainConfig(
        network=network.name,
        data=folder,
        train_images=min(options.replay_images, len(data.training)),
        validation_images=min(MOST_VALIDATION, len(data.validation)),
        batch_size=options.batch_size,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        schedule="cosine",
        seed=options.seed,
    )
    run = new_run(out, f"{network.name}-corrected", options.seed, name=name, force=force)
    described = {
        "config": config.to_dict(),
        "network": network.to_dict(),
        "data": {"source": data.source, "digest": data.digest},
        # The corrections are somebody's own, and are kept in the run.
        "command": run.repeat_command(),
        "fine_tuned": {"origin": origin} | tuned.to_dict(),
    }
    run.write_json(CONFIG, described)
    run.write_json(ENVIRONMENT, environment(Sequential.from_checkpoint(tuned.checkpoint).runner.n_threads))
    history = run.open_history()
    try:
        history.append(tuned.records)
    finally:
        history.close()
    if tuned.start is not None:
        run.save(START, tuned.start)
    run.save(MODEL, tuned.checkpoint)
    return run


def is_fine_tuned(run: Run) -> bool:
    """Tell whether a run is a fine-tuned network's."""
    return "fine_tuned" in run.read_json(CONFIG)


def repeat_fine_tuned(
    run: Run,
    out: Path,
    *,
    data: MnistData | None = None,
    name: str | None = None,
    force: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Run:
    """Let the network that a fine-tuned one was learn the same corrections again, in a run of its own.

    Its weights are the same, bit for bit, on processors with the same vector instructions.

    Parameters
    ----------
    run : Run
        What is repeated.
    out, name, force
        As for ``digitlab.train``.
    data : MnistData, optional
        What was replayed; loaded as the run says by default.
    on_step : callable, optional
        As for ``fine_tune``.

    Raises
    ------
    RunError
        If it is damaged or does not hold what it began with, or the data is not the same.
    StorageError
        If it cannot be written.
    """
    description = run.read_json(CONFIG)
    try:
        told, digest = description["fine_tuned"], description["data"]["digest"]
        options, origin = FineTuningOptions(**told["options"]), str(told["origin"])
        folder = TrainConfig.from_dict(description["config"]).data
    except (KeyError, TypeError, InputError) as error:
        raise RunError(f"{run.path / CONFIG} is damaged ({error}), so that it cannot be repeated.") from None
    if not run.has(START):
        raise RunError(
            f"The run {run.path} does not hold what it was fine-tuned from, as digitlab kept none then, so that it "
            "cannot be repeated. Learn from the corrections again in the Studio."
        )
    start = load_checkpoint(run.path / START)
    data = MnistData.load(folder) if data is None else data
    if data.digest != digest:
        raise RunError(
            f"The data in {data.source} is not what the run {run.path} began with. Bring that data back, or learn from "
            "the corrections again in the Studio."
        )
    tuned = fine_tune_again(start, data, options, on_step=on_step)
    return keep_fine_tuned(tuned, data, out, origin=origin, folder=folder, name=name, force=force)
