"""The verb ``train``: from settings to a run with its evaluation and its report."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.data.mnist import MnistData
from digitlab.evaluation.finish import compile_seconds, evaluate_and_report, finish, keep_timings, own_folder
from digitlab.runs.listing import find_run
from digitlab.runs.run import Run
from digitlab.training.config import TrainConfig
from digitlab.training.keeping import is_fine_tuned
from digitlab.training.session import TrainingSession, check_alone, check_unchanged, open_session
from digitlab.values import EpochRecord, StepRecord


def train(
    config: TrainConfig | None = None,
    out: str | Path = "runs",
    *,
    name: str | None = None,
    force: bool = False,
    resume: bool = False,
    repeat: str | Path | None = None,
    on_record: Callable[[StepRecord | EpochRecord], None] | None = None,
    **settings: Any,
) -> Run:
    """Train a network, evaluate it and write a report; the run keeps all that.

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
        learned again. With ``settings``, such as ``network="dense_baseline"``, it is trained the same way but for
        those, which makes a fair comparison.
    on_record : callable, optional
        Told of every batch and every epoch as they happen.
    **settings
        Fields of ``TrainConfig``, such as ``epochs=3``, instead of those of ``config`` or of the run that is repeated.

    Returns
    -------
    Run
        The run's directory, with the model, its evaluation on all test images, and ``report.html`` in it. A network
        that reads pages has no evaluation: single test images cannot judge it.

    Raises
    ------
    InputError
        If something passed in cannot be used. What was made of the data, and that there are fewer images than asked
        for, is a UserWarning.
    StorageError
        If the run cannot be written.
    TrainingDivergedError
        If the loss becomes NaN or infinite; the last good weights are in the run.
    """
    began = time.perf_counter()
    if settings and repeat is None:
        config = TrainConfig.from_dict({**(config or TrainConfig()).to_dict(), **settings})
    if repeat is not None:
        source = find_run(repeat, out)
        check_alone(config, resume=resume)
        if is_fine_tuned(source):
            from digitlab.training.fine_tuning import repeat_fine_tuned

            check_unchanged(source, settings)
            repeated = repeat_fine_tuned(source, Path(out), name=name, force=force)
            evaluate_and_report(repeated, MnistData.load(own_folder(repeated)))
            return repeated
    session = open_session(config, out, name=name, force=force, resume=resume, repeat=repeat, settings=settings)
    run = session.run
    assert run is not None  # there is a folder, so there is a run
    timings = {"load": time.perf_counter() - began}
    for note in (*session.data.notes, *session.notes):
        warnings.warn(note, UserWarning, stacklevel=2)
    try:
        train_session(session, timings, on_record)
    except KeyboardInterrupt:
        keep_timings(run, timings, add=True)
        raise
    if session.finished:
        finish(session, timings)
    else:  # it is where the run that it repeats was stopped
        keep_timings(run, timings, add=True)
    return run


def train_session(
    session: TrainingSession,
    timings: dict[str, float],
    on_record: Callable[[StepRecord | EpochRecord], None] | None = None,
    is_stopping: Callable[[], bool] = bool,
) -> None:
    """Train to the end, to where a repeated run was stopped, or until somebody wants to stop; and note the seconds."""
    batch_seconds: list[float] = []
    began = compiled = time.perf_counter()
    try:
        with closing(session.records()) as records:
            # The kernels that answer are compiled or loaded here, not in the first epoch's validation.
            if not session.is_finder:
                session.model.predict(np.zeros((2, *session.model.architecture.input_shape), np.uint8))
            compiled = time.perf_counter()
            for record in records:
                if isinstance(record, StepRecord):
                    batch_seconds.append(record.n_images / record.images_per_s)
                if on_record is not None:
                    on_record(record)
                if session.is_there or is_stopping():
                    break
    finally:
        timings["compile"] = compiled - began + compile_seconds(batch_seconds)
        timings["train"] = time.perf_counter() - began - timings["compile"]
