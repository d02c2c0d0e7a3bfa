"""From image files to answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.cli.images import Digit, read_digits
from digitlab.cli.tables import predictions_table
from digitlab.cli.terminal import print_json, say, stdout
from digitlab.engine.loading import load_model
from digitlab.errors import DataError
from digitlab.values import Prediction

__all__ = ["run_prediction"]

# Digits in MNIST cover a fifth of the image: their mean is near 33, and no digit there is above 130.
_BRIGHT_GROUND = 127
_NAMED_AT_MOST = 3


def run_prediction(
    run: str, paths: Sequence[Path], indices: Sequence[int], limit: int, out: Path, *, invert: bool, as_json: bool
) -> None:
    """Answer images, and print the answers.

    Parameters
    ----------
    run : str
        A run's name or directory, ``latest``, or a model file.
    paths : sequence of Path
        Image files and IDX files.
    indices : sequence of int
        Which images of an IDX file; the first ``limit`` if empty.
    limit : int
        1 or more.
    out : Path
        The folder of runs.
    invert, as_json : bool
        Turn dark ink on bright ground round; print JSON.
    """
    if not paths:
        raise DataError("There are no images to answer; name one at least: digitlab predict latest digit.png")
    model = load_model(run, out=out)
    digits: list[Digit] = []
    for path in paths:
        read, n_in_file = read_digits(path, indices, limit)
        digits += read
        if len(read) < n_in_file and not indices:
            say(f"{path}: the first {len(read):,} of {n_in_file:,} images. For more, add --limit N or --index I ...")
    images = np.stack([digit.image for digit in digits])
    if invert:
        images = 255 - images
    _note_bright_ground(digits, images, invert=invert)
    probabilities = model.predict(images)
    predictions = [
        Prediction(digit.source, int(row.argmax()), float(row.max()), tuple(map(float, row)))
        for digit, row in zip(digits, probabilities, strict=True)
    ]
    if as_json:
        print_json([prediction.to_dict() for prediction in predictions])
    else:
        console = stdout()
        console.print(predictions_table(predictions, model.class_names, console.width))


def _note_bright_ground(digits: Sequence[Digit], images: NDArray[np.uint8], *, invert: bool) -> None:
    means = images.mean(axis=(1, 2))
    bright = [digit.source for digit, mean in zip(digits, means, strict=True) if mean > _BRIGHT_GROUND]
    if not bright:
        return
    n_more = len(bright) - _NAMED_AT_MOST
    names = ", ".join(bright[:_NAMED_AT_MOST]) + (f" and {n_more:,} more" if n_more > 0 else "")
    advice = "leave out --invert" if invert else "add --invert"
    say(
        f"{names}: dark ink on bright ground, it seems, and the network has learned bright ink on dark. "
        f"If so, {advice}.",
        style="yellow",
    )
