"""From settings to a trained, evaluated and reported run, shown as it goes on."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from digitlab.cli.interruption import Interruption
from digitlab.cli.progress import TrainingProgress
from digitlab.cli.tables import confusion_table, headline, per_class_table, timings_table
from digitlab.cli.terminal import print_json, say, show_command, stderr, stdout
from digitlab.errors import TrainingDivergedError
from digitlab.evaluation.markup import percent
from digitlab.evaluation.of_run import evaluate_run, keep_timings, write_report
from digitlab.runs.directory import Run
from digitlab.runs.layout import MODEL
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.training.train import open_session
from digitlab.values import EpochRecord, Evaluation, FinderEpochRecord, StepRecord

__all__ = ["run_training"]


def run_training(
    config: TrainConfig | None,
    out: Path,
    name: str | None,
    *,
    force: bool,
    as_json: bool,
    quiet: bool,
    began: float,
) -> int:
    """Train, evaluate, write the report, and print all that.

    Parameters
    ----------
    config : TrainConfig or None
        None to go on with the run ``name``, or with the newest that was interrupted.
    out, name, force
        As for ``digitlab.train``.
    as_json, quiet : bool
        Print JSON lines; print nothing but the run's folder.
    began : float
        When the command began, by ``time.perf_counter``: importing the libraries is part of loading.

    Returns
    -------
    int
        The exit code.
    """
    timings: dict[str, float] = {}
    with Interruption() as interruption:
        session = open_session(config, out, name=name, force=force, resume=config is None)
        run = session.run
        assert run is not None
        timings["load"] = time.perf_counter() - began
        try:
            _train(session, interruption, timings, as_json=as_json, quiet=quiet)
        except TrainingDivergedError as error:
            raise TrainingDivergedError(f"{error} The weights are in {run.path / MODEL}.") from None
        if not session.finished:
            keep_timings(run, timings, add=True)
            _tell_interrupted(session, run, as_json=as_json, quiet=quiet)
            return interruption.exit_code
    if not session.takes_test_images:
        _end_untested(session, run, timings, as_json=as_json, quiet=quiet)
        return 0
    try:
        evaluation, report = _evaluate(session, run, timings)
    except KeyboardInterrupt:
        say("Stopped before the evaluation was written; the trained network is kept. Evaluate it with:")
        show_command(stderr(), f"digitlab evaluate {run.path}")
        raise
    if as_json:
        print_json(
            {
                "kind": "result",
                "run": run.info().to_dict(),
                "report": str(report),
                "evaluation": evaluation.to_dict(),
                "timings": timings,
            },
            indent=None,
        )
    elif quiet:
        stdout().print(str(run.path), soft_wrap=True)
    else:
        _show(session, run, report, evaluation, timings)
    return 0


def _train(
    session: TrainingSession, interruption: Interruption, timings: dict[str, float], *, as_json: bool, quiet: bool
) -> None:
    """Train until the end or until somebody wants to stop, and note how long it took."""
    progress = TrainingProgress(
        stderr(),
        session.config.epochs,
        session.n_steps,
        lines=not as_json and not quiet,
        # Lines of JSON and a bar on the same terminal would overwrite each other.
        live=not quiet and not (as_json and stdout().is_terminal),
        is_stopping=lambda: interruption.requested,
    )
    began = time.perf_counter()
    batch_seconds: list[float] = []
    compiled = began
    with progress, closing(session.records()) as records:
        # The kernels that answer are compiled or loaded here, not in the first epoch's validation.
        if not session.is_finder:
            session.model.predict(np.zeros((2, *session.model.architecture.input_shape), np.uint8))
        compiled = time.perf_counter()
        for record in records:
            progress.record(record)
            if isinstance(record, StepRecord):
                batch_seconds.append(record.n_images / record.images_per_s)
            if as_json:
                kind = "step" if isinstance(record, StepRecord) else "epoch"
                print_json({"kind": kind} | record.to_dict(), indent=None)
            if interruption.requested:
                break
    extra = batch_seconds[0] - median(batch_seconds) if batch_seconds else 0.0
    timings["compile"] = compiled - began + max(0.0, extra)
    timings["train"] = time.perf_counter() - began - timings["compile"]


def _evaluate(session: TrainingSession, run: Run, timings: dict[str, float]) -> tuple[Evaluation, Path]:
    began = time.perf_counter()
    evaluation = evaluate_run(run, session.data, model=session.model)
    timings["evaluate"] = time.perf_counter() - began
    began = time.perf_counter()
    keep_timings(run, timings, add=True)
    report = write_report(run, session.data, evaluation)
    timings["report"] = time.perf_counter() - began
    return evaluation, report


def _end_untested(session: TrainingSession, run: Run, timings: dict[str, float], *, as_json: bool, quiet: bool) -> None:
    """Write the report of a network that single test digits are not for; its epochs tell how good it is."""
    keep_timings(run, timings, add=True)
    report = write_report(run, session.data, None)
    if as_json:
        document = {"kind": "result", "run": run.info().to_dict(), "report": str(report), "timings": timings}
        print_json(document, indent=None)
    elif quiet:
        stdout().print(str(run.path), soft_wrap=True)
    else:
        console = stdout()
        last = next((one for one in reversed(run.history()) if isinstance(one, EpochRecord)), None)
        if isinstance(last, FinderEpochRecord) and last.n_crops:
            console.print(
                f"On {last.n_crops:,} validation crops with {last.n_marks:,} digits and separators: "
                f"{percent(last.val_accuracy or 0.0)} found and called rightly, {last.n_missed:,} missed, "
                f"{last.n_wrong:,} called by another's name, {last.n_extra:,} found where nothing is."
            )
        elif last is not None and last.val_accuracy is not None:
            n = session.config.validation_images
            console.print(f"Of {n:,} candidates on validation crops {percent(last.val_accuracy)} are answered rightly.")
        console.print(timings_table(timings))
        console.print()
        console.print(f"Run     {run.path}", soft_wrap=True)
        console.print(f"Report  {report}", soft_wrap=True)


def _tell_interrupted(session: TrainingSession, run: Run, *, as_json: bool, quiet: bool) -> None:
    step, n_steps, command = session.progress.step, session.n_steps, run.resume_command()
    if as_json:
        document: dict[str, Any] = {
            "kind": "interrupted",
            "run": run.info().to_dict(),
            "step": step,
            "n_steps": n_steps,
        }
        # Whoever reads may have been interrupted too.
        with suppress(BrokenPipeError):
            print_json(document | {"resume": command}, indent=None)
    if not quiet:
        say(f"Stopped after batch {step:,} of {n_steps:,}. Everything up to there is kept; go on with:")
        show_command(stderr(), command)


def _show(session: TrainingSession, run: Run, report: Path, evaluation: Evaluation, timings: dict[str, float]) -> None:
    console = stdout()
    if session.stopped_early:
        console.print(f"Stopped early: no lower validation loss since epoch {session.best_epoch}.")
    if session.config.best_weights and session.best_epoch is not None:
        console.print(f"The weights are those of epoch {session.best_epoch}, with the lowest validation loss.")
    for part in (
        per_class_table(evaluation),
        confusion_table(evaluation, console.width),
        headline(evaluation, "test images"),
        timings_table(timings),
    ):
        console.print()
        console.print(part)
    console.print()
    console.print(f"Run     {run.path}", soft_wrap=True)
    console.print(f"Report  {report}", soft_wrap=True)
