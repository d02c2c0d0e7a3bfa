"""The verb ``train``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from digitlab.errors import ConfigError, RunError
from digitlab.runs.listing import check_name, find_run, free_name, list_runs, run_in
from digitlab.runs.run import Run
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, StepRecord

__all__ = ["open_session", "train"]

# How often another process may take the name that was free a moment ago.
_MOST_TRIES = 100


def train(
    config: TrainConfig | None = None,
    out: str | Path = "runs",
    *,
    name: str | None = None,
    force: bool = False,
    resume: bool = False,
    repeat: str | Path | None = None,
    on_record: Callable[[StepRecord | EpochRecord], None] | None = None,
) -> Run:
    """Train a network and keep the run.

    Ctrl-C, or an exception that ``on_record`` raises, ends it between two batches; ``resume`` goes on from there and
    gives the same weights, bit for bit on processors with the same vector instructions (AVX-512, AVX2 and NEON each
    have their own).

    Parameters
    ----------
    config : TrainConfig, optional
        How to train; the codelab's way by default. Not used when resuming.
    out : path
        The folder of runs.
    name : str, optional
        The run's name; date, network and seed by default.
    force : bool
        Replace a run of that name.
    resume : bool
        Go on with the run of that name, or with the newest that was interrupted.
    repeat : str or Path, optional
        Make the weights of this run anew, in a run of its own: with its settings, its network, and all that was done to
        it on the way. One that was stopped is trained as far as it was, and what a network learned from corrections is
        learned again.
    on_record : callable, optional
        Told of every batch and every epoch as they happen.

    Returns
    -------
    Run
        The run's directory, with the model in it.

    Raises
    ------
    InputError
        If something passed in cannot be used.
    StorageError
        If the run cannot be written.
    TrainingDivergedError
        If the loss becomes NaN or infinite; the last good weights are in the run.
    """
    if repeat is not None:
        from digitlab.training.keeping_fine_tuned import is_fine_tuned, repeat_fine_tuned

        source = find_run(repeat, out)
        if is_fine_tuned(source):
            _check_alone(config, resume=resume)
            return repeat_fine_tuned(source, Path(out), name=name, force=force)
    session = open_session(config, out, name=name, force=force, resume=resume, repeat=repeat)
    run = session.run
    assert run is not None  # there is a folder, so there is a run
    with closing(session.records()) as records:
        for record in records:
            if on_record is not None:
                on_record(record)
            if session.is_there:
                break
    return run


def open_session(
    config: TrainConfig | None = None,
    out: str | Path | None = "runs",
    *,
    name: str | None = None,
    force: bool = False,
    resume: bool = False,
    repeat: str | Path | None = None,
) -> TrainingSession:
    """Open a session without training yet; iterate over its ``records`` to train.

    Parameters are those of ``train``; ``out`` may be None for a session that writes nothing. One that repeats a run
    that was stopped says by ``is_there`` where to stop; a network that learned from corrections has no session.
    """
    if repeat is not None:
        _check_alone(config, resume=resume)
    if resume:
        folder = Path("runs" if out is None else out)
        return TrainingSession.resume(run_in(folder, name) if name is not None else _newest_interrupted(folder))
    if name is not None:
        check_name(name)
    # The directory is made last, so that nothing is left behind, or replaced, if something cannot be used.
    if repeat is not None:
        session = TrainingSession.repeat(find_run(repeat, "runs" if out is None else out))
    else:
        session = TrainingSession(config or TrainConfig())
    if out is not None:
        session.run = _new_run(session.config, Path(out), name, force)
        session.lock = session.run.lock()
    return session


def _new_run(config: TrainConfig, out: Path, name: str | None, force: bool) -> Run:
    if name is not None:
        return Run.create(out / name, force=force)
    for _ in range(_MOST_TRIES):
        path = out / free_name(out, config.network, config.seed)
        try:
            return Run.create(path)
        except RunError:
            continue  # another session took it in this moment
    raise RunError(f"No free name for a run was found in {out}; give one with --name.")


def _check_alone(config: TrainConfig | None, *, resume: bool) -> None:
    if config is not None or resume:
        raise ConfigError("A run is repeated with its own settings, from the beginning; leave out config and resume.")


def _newest_interrupted(out: Path) -> Run:
    names = [info.name for info in list_runs(out) if info.status == "interrupted"]
    if not names:
        raise RunError(
            f"There is no interrupted run in {out} to go on with. See what there is with: digitlab runs --out {out}"
        )
    return run_in(out, names[-1])
