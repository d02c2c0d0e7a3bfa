"""From the name of a run to its evaluation, printed and, where it is the run's own, kept."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from digitlab.cli.tables import confusion_table, headline, per_class_table
from digitlab.cli.terminal import print_json, say, stdout
from digitlab.data.mnist import MnistData
from digitlab.engine.loading import load_model
from digitlab.engine.sequential import Sequential
from digitlab.errors import DataError
from digitlab.evaluation.of_run import (
    evaluate_run,
    evaluate_split,
    is_own_data,
    keep_timings,
    own_folder,
    write_report,
)
from digitlab.evaluation.pixel_scale import scale_warning
from digitlab.network.formats.files import is_model_file
from digitlab.runs.listing import find_run

if TYPE_CHECKING:
    from digitlab.values import Evaluation

__all__ = ["run_evaluation"]


def run_evaluation(
    name: str, n_images: int | None, split: str, folder: Path | None, seed: int, out: Path, *, as_json: bool
) -> None:
    """Evaluate a run or a model file, and print it.

    Parameters
    ----------
    name : str
        A run's name or directory, ``latest``, or a model file.
    n_images : int or None
        How many images ``seed`` chooses; None for all.
    split : str
        ``test`` or ``validation``.
    folder : Path or None
        Other data than the run's own.
    seed : int
        0 or more.
    out : Path
        The folder of runs.
    as_json : bool
        Print JSON.
    """
    run = None if is_model_file(name) else find_run(name, out)
    model = load_model(name, out=out) if run is None else Sequential.from_checkpoint(run.load_model())
    data = MnistData.load(own_folder(run) if folder is None else folder)
    is_own = run is not None and is_own_data(run, data)
    if run is not None and folder is None and not is_own:
        raise DataError(
            f"{data.source} is no longer what the run {run.path} was trained with. To evaluate on it all the "
            f"same, add: --data {data.source}"
        )
    report: Path | None = None
    chosen = data.test if split == "test" else data.validation
    if run is not None and is_own and split == "test" and n_images is None:
        began = time.perf_counter()
        evaluation = evaluate_run(run, data, model=model)
        keep_timings(run, {"evaluate": time.perf_counter() - began})
        report = write_report(run, data, evaluation)
    else:
        evaluation = evaluate_split(model, chosen, n_images, seed=seed)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _show(evaluation, f"{split} images of {data.source}")
    if warning := scale_warning(model, chosen.images, chosen.labels):
        say(warning, style="yellow")
    if report is not None:
        say(f"Kept in {report.parent}; the report is {report}")


def _show(evaluation: Evaluation, images: str) -> None:
    console = stdout()
    for part in (
        per_class_table(evaluation),
        "",
        confusion_table(evaluation, console.width),
        "",
        headline(evaluation, images),
    ):
        console.print(part)
