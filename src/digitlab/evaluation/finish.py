"""What a trained run is finished with: its evaluation, its report and its timings, as files in its directory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from digitlab.data.mnist import MnistData, Split, choose_images
from digitlab.engine.models import Model
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, DataError, DigitlabError, RunError
from digitlab.evaluation.coverage import THRESHOLDS
from digitlab.evaluation.evaluate import evaluate_answers
from digitlab.evaluation.report import ReportInput, render_report
from digitlab.network.architecture import Architecture
from digitlab.runs.run import CONFIG, ENVIRONMENT, EVALUATION, REPORT, TIMINGS, Run
from digitlab.values import EpochRecord, Evaluation, StepRecord

if TYPE_CHECKING:
    from digitlab.training.session import TrainingSession

_N_EXAMPLES = 20
_LONGEST_S = 1e9  # 30 years


def finish(session: TrainingSession, timings: dict[str, float]) -> tuple[Evaluation | None, Path]:
    """Evaluate the run of a session that is finished, and write its report; None where test images cannot judge it.

    ``timings`` are the seconds of the stages before; they are kept in the run, and those of its own are added.
    """
    run = session.run
    assert run is not None  # a session that writes nothing has nothing to finish
    keep_timings(run, timings, add=True)
    if session.takes_test_images:
        return evaluate_and_report(run, session.data, model=session.model, timings=timings)
    began = time.perf_counter()
    report = write_report(run, session.data, None)
    timings["report"] = time.perf_counter() - began
    return None, report


def evaluate_and_report(
    run: Run,
    data: MnistData,
    *,
    model: Sequential | None = None,
    timings: dict[str, float] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> tuple[Evaluation, Path]:
    """Evaluate a run as ``evaluate_run`` does, keep how long that took, and write the report.

    The seconds of both are noted in ``timings``.
    """
    timings = {} if timings is None else timings
    began = time.perf_counter()
    evaluation = evaluate_run(run, data, model=model, thresholds=thresholds)
    evaluated = time.perf_counter()
    timings["evaluate"] = evaluated - began
    keep_timings(run, {"evaluate": timings["evaluate"]})
    report = write_report(run, data, evaluation)
    timings["report"] = time.perf_counter() - evaluated
    return evaluation, report


def compile_seconds(batch_seconds: Sequence[float]) -> float:
    """Return what compiling took: what the first of the batches took longer than the others."""
    return max(0.0, batch_seconds[0] - median(batch_seconds)) if batch_seconds else 0.0


def evaluate_split(
    model: Model,
    split: Split,
    n_images: int | None = None,
    *,
    seed: int = 0,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Evaluation:
    """Evaluate a model on a split, or on ``n_images`` of it that ``seed`` chooses."""
    if model.architecture.answers_maps:
        raise ConfigError(
            f"{model.architecture.name} finds digits on pages and answers with maps; single images cannot judge it. "
            f"What it finds on validation crops stands in its run's report."
        )
    n_classes, most = model.architecture.n_classes, int(split.labels.max())
    if most >= n_classes:
        raise DataError(
            f"The {split.name} images have labels up to {most}, and {model.name} tells {n_classes} classes apart. Give "
            "other --data, or a model that was trained with such data."
        )
    chosen = split.at(choose_images(split, len(split) if n_images is None else n_images, seed))
    answers = model.predict(chosen.images)
    return evaluate_answers(answers, chosen.labels, class_names=model.class_names, thresholds=thresholds)


def own_folder(run: Run | None) -> str | None:
    """Return the folder with the data that a run was trained with; None for the packaged MNIST, or for no run."""
    return None if run is None else run.settings().get("data")


def is_own_data(run: Run, data: MnistData) -> bool:
    """Tell whether this is the data that a run was trained with."""
    described = run.read_json(CONFIG).get("data")
    return isinstance(described, dict) and described.get("digest") == data.digest


def evaluate_run(
    run: Run, data: MnistData, *, model: Sequential | None = None, thresholds: Sequence[float] = THRESHOLDS
) -> Evaluation:
    """Evaluate a run on all test images of its own data, and keep that as its ``evaluation.json``.

    ``model`` is the run's, if it is at hand; read from the run by default.
    """
    if not is_own_data(run, data):
        raise RunError(
            f"{data.source} is not what the run {run.path} was trained with, and only the evaluation on its own data "
            "is kept in it. Use evaluate_split, or digitlab evaluate with --data, to see how it fares on other data."
        )
    chosen = Sequential.from_checkpoint(run.load_model()) if model is None else model
    evaluation = evaluate_split(chosen, data.test, thresholds=thresholds)
    run.write_json(EVALUATION, evaluation.to_dict())
    return evaluation


def keep_timings(run: Run, timings: Mapping[str, float], *, add: bool = False) -> dict[str, float]:
    """Write the seconds that stages took into ``timings.json``, beside those of other stages; return all of them.

    ``add`` adds to what is there, as a run that was resumed does.
    """
    before = _timings(run)
    together = before | {
        stage: seconds + (before.get(stage, 0.0) if add else 0.0) for stage, seconds in timings.items()
    }
    run.write_json(TIMINGS, together)
    return together


def write_report(run: Run, data: MnistData, evaluation: Evaluation | None) -> Path:
    """Write ``report.html`` from the run's files; the images come from ``data``, that it was trained with.

    ``evaluation`` is that on all test images, or None of a network that they cannot judge: its epochs tell then.
    """
    description = run.read_json(CONFIG)
    config = run.settings()
    history = run.history()
    architecture = Architecture.from_dict(description.get("network", {}))
    n_examples = min(_N_EXAMPLES, config.get("train_images", _N_EXAMPLES), len(data.training))
    examples = data.training.at(choose_images(data.training, n_examples, config["seed"]))
    info = run.info()
    page = render_report(
        ReportInput(
            title=run.name,
            label=run.label,
            note=_note(architecture, data, evaluation),
            command=info.command,
            on_the_way=info.on_the_way,
            config=config,
            environment=_kept(run, ENVIRONMENT),
            network=architecture,
            steps=[record for record in history if isinstance(record, StepRecord)],
            epochs=[record for record in history if isinstance(record, EpochRecord)],
            best_epoch=info.best_epoch,
            evaluation=evaluation,
            examples=examples,
            mistake_images=data.test.images[[mistake.index for mistake in evaluation.mistakes] if evaluation else []],
            timings=_timings(run),
        )
    )
    run.write_bytes(REPORT, page.encode())
    return run.path / REPORT


def _note(architecture: Architecture, data: MnistData, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return f"{architecture.name} on practice pages composed of {data.source}."
    made = "".join(f" {note}" for note in data.notes)
    return f"{architecture.name} on {data.source}; evaluated on {evaluation.n_images:,} test images.{made}"


def _kept(run: Run, name: str) -> dict[str, Any]:
    """Return one of the run's JSON files; nothing where it is missing or damaged, which spoils no report."""
    try:
        return run.read_json(name)
    except DigitlabError:
        return {}


def _timings(run: Run) -> dict[str, float]:
    found = _kept(run, TIMINGS).items()
    return {stage: float(s) for stage, s in found if isinstance(s, int | float) and 0 <= s < _LONGEST_S}
