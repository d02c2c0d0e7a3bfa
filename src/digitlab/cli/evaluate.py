"""``digitlab evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from digitlab.cli.numbers import WholeNumber

__all__ = ["evaluate"]


def evaluate(
    run: str,
    /,
    *,
    images: WholeNumber | None = None,
    split: Literal["test", "validation"] = "test",
    data: Path | None = None,
    seed: WholeNumber = 0,
    out: Path = Path("runs"),
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Tell how good a trained network is, class by class.

    By default on the whole test set of the data that the run was trained with; that evaluation is kept in the run,
    with a new report. Any other is only printed. All figures come from the same images.

    Parameters
    ----------
    run
        A run's name or folder, "latest", or a model file: .safetensors, .keras, .onnx, or TensorFlow.js' model.json.
    images
        Evaluate so many images, chosen by --seed, instead of all; the codelab takes 500.
    split
        Which images: those to report with, or those to choose by.
    data
        A folder with four IDX files, instead of the data that the run was trained with.
    seed
        Which --images are chosen.
    out
        The folder of runs.
    as_json
        Print the evaluation as one JSON object.
    """
    from digitlab.cli.evaluating import run_evaluation

    run_evaluation(run, images, split, data, seed, out, as_json=as_json)
