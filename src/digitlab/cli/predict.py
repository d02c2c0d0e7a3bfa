"""``digitlab predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from digitlab.cli.numbers import WholeNumber

__all__ = ["predict"]


def predict(
    run: str,
    /,
    *images: Path,
    index: Annotated[tuple[WholeNumber, ...], Parameter(consume_multiple=True, show_default=False)] = (),
    limit: WholeNumber = 10,
    invert: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    out: Path = Path("runs"),
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Ask a trained network which digits are on images.

    An image is a file of 28 x 28 pixels in grey (PNG, JPEG and others), bright ink on dark ground as in MNIST, or an
    IDX file with any number of them.

    Parameters
    ----------
    run
        A run's name or folder, "latest", or a model file: .safetensors, .keras, .onnx, or TensorFlow.js' model.json.
    images
        Image files and IDX files.
    index
        Which images of an IDX file, counted from 0: --index 3 5 8.
    limit
        At most so many images of an IDX file, where --index does not say which.
    invert
        The images have dark ink on bright ground: turn them round.
    out
        The folder of runs.
    as_json
        Print a JSON list with an object for every image.
    """
    from digitlab.cli.predicting import run_prediction

    run_prediction(run, images, index, limit, out, invert=invert, as_json=as_json)
