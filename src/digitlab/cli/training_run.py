"""From settings to a trained, evaluated and reported run, shown as it goes on."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.cli.interruption import Interruption
from digitlab.cli.progress import TrainingProgress
from digitlab.cli.tables import confusion_table, headline, per_class_table, timings_table
from digitlab.cli.terminal import print_json, say, show_command, stderr, stdout
from digitlab.data.mnist import MnistData
from digitlab.errors import TrainingDivergedError
from digitlab.evaluation.markup import percent
from digitlab.evaluation.of_run import evaluate_run, keep_timings, own_folder, write_report
from digitlab.runs.listing import find_run
from digitlab.runs.run import CONFIG, ENVIRONMENT, MODEL, STATE, Run
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
    repeat: str | None = None,
    as_json: bool,
    quiet: bool,
    began: float,
) -> int:
    """Train, evaluate, write the report, and print all that.

    Parameters
    ----------
    config : TrainConfig or None
        None to go on with the run ``name``, or with the newest that was interrupted; or to repeat one.
    out, name, force, repeat
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
    original: _Original | None = None
    if repeat is not None:
        original = _Original.of(find_run(repeat, out))
        if original.is_fine_tuned:
            return _learn_again(original, out, name, force=force, as_json=as_json, quiet=quiet)
    with Interruption() as interruption:
        session = open_session(
            config, out, name=name, force=force, resume=config is None and repeat is None, repeat=repeat
        )
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
            if original is not None and session.is_there:
                _tell_repeated(original, run, quiet=quiet)
                return 0
            return interruption.exit_code
    if original is not None:
        _tell_repeated(original, run, quiet=quiet)
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
            if interruption.requested or session.is_there:
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


@dataclass(frozen=True, eq=False)
class _Original:
    """A run that is repeated: looked at before, since --force may put its repetition in its place."""

    run: Run
    is_fine_tuned: bool
    weights: tuple[NDArray[np.float32], ...] | None

    @classmethod
    def of(cls, run: Run) -> _Original:
        """Look at a run."""
        return cls(run, "fine_tuned" in run.read_json(CONFIG), _weights(run))


def _weights(run: Run) -> tuple[NDArray[np.float32], ...] | None:
    if run.has(MODEL):
        return run.load_model().weights
    return run.load_state().weights if run.has(STATE) else None


def _tell_repeated(original: _Original, run: Run, *, quiet: bool) -> None:
    """Say whether the weights are the same; a repetition that came out otherwise is never passed over in silence."""
    expected, found = original.weights, _weights(run)
    if expected is None or found is None:
        return
    if len(expected) == len(found) and all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True)):
        if not quiet:
            say(f"The weights are those of {original.run.path}, bit for bit.")
        return
    say(
        f"The weights are not those of {original.run.path}: it was made by another version of digitlab, on a processor "
        f"with other vector instructions, or with other fonts. Compare {run.path / ENVIRONMENT} with its own.",
        style="yellow",
    )


def _learn_again(original: _Original, out: Path, name: str | None, *, force: bool, as_json: bool, quiet: bool) -> int:
    """Repeat a run that learned from corrections, and evaluate it where its network is one for that."""
    from digitlab.training.keeping_fine_tuned import repeat_fine_tuned

    run = repeat_fine_tuned(original.run, out, name=name, force=force)
    _tell_repeated(original, run, quiet=quiet)
    data = MnistData.load(own_folder(run))
    evaluation = evaluate_run(run, data)
    report = write_report(run, data, evaluation)
    if as_json:
        told = {"run": run.info().to_dict(), "report": str(report), "evaluation": evaluation.to_dict()}
        print_json({"kind": "result"} | told, indent=None)
    elif quiet:
        stdout().print(str(run.path), soft_wrap=True)
    else:
        stdout().print(headline(evaluation, "test images"))
        stdout().print(f"Run     {run.path}", soft_wrap=True)
        stdout().print(f"Report  {report}", soft_wrap=True)
    return 0


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
