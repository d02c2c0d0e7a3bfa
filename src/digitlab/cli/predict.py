"""``digitlab predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from digitlab.cli.numbers import WholeNumber

__all__ = ["predict"]


def predict(
    *images: Path,
    index: Annotated[tuple[WholeNumber, ...], Parameter(consume_multiple=True, show_default=False)] = (),
    limit: WholeNumber = 10,
    invert: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    out: Path = Path("runs"),
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Tell which digit is on an image: any photo, scan or drawing of one digit.

    The first name may be a run (its name or folder, "latest") or a model file (.safetensors, .keras, .onnx, or
    TensorFlow.js' model.json), whose network is asked then; otherwise the reader that digitlab brings is. It also
    tells where there is no digit. IDX files, and images of 28 x 28 pixels with bright ink on dark ground as in MNIST,
    are asked as they are; on others the digit is found first. For photos of more than one digit: digitlab read.

    Parameters
    ----------
    images
        Image files and IDX files, after a run or without one.
    index
        Which images of an IDX file, counted from 0: --index 3 5 8.
    limit
        At most so many images of an IDX file, where --index does not say which.
    invert
        The images have dark ink on bright ground: turn them round.
    out
        The folder of runs.
    as_json
        Print a JSON list with an object for every image; its label is null where there is no digit.
    """
    from digitlab.cli.predicting import run_prediction

    run_prediction(images, index, limit, out, invert=invert, as_json=as_json)
