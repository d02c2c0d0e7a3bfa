"""From image files to answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from digitlab.cli.images import read_digits
from digitlab.cli.photo_files import EXTENSIONS
from digitlab.cli.tables import predictions_table
from digitlab.cli.terminal import print_json, say, stdout
from digitlab.engine.sequential import Sequential
from digitlab.errors import DataError
from digitlab.evaluation.pixel_scale import scale_warning_on_mnist
from digitlab.network.formats.files import is_model_file
from digitlab.reading.predictor import DigitImage, Predictor
from digitlab.reading.small_image import has_bright_ground

__all__ = ["run_prediction"]

_NAMED_AT_MOST = 3


def run_prediction(
    words: Sequence[Path], indices: Sequence[int], limit: int, out: Path, *, invert: bool, as_json: bool
) -> None:
    """Answer images, and print the answers.

    Parameters
    ----------
    words : sequence of Path
        A run's name or directory, ``latest``, or a model file, unless the first is an image; then image files and
        IDX files.
    indices : sequence of int
        Which images of an IDX file; the first ``limit`` if empty.
    limit : int
        1 or more.
    out : Path
        The folder of runs.
    invert, as_json : bool
        Turn dark ink on bright ground round; print JSON.
    """
    run, paths = (None, list(words)) if not words or _is_image(words[0], out) else (str(words[0]), list(words[1:]))
    if not paths:
        raise DataError("There are no images to answer; name one at least: digitlab predict digit.png")
    network = Predictor(run, out)
    digits: list[DigitImage] = []
    for path in paths:
        read, n_in_file = read_digits(path, indices, limit)
        digits += read
        if len(read) < n_in_file and not indices:
            say(f"{path}: the first {len(read):,} of {n_in_file:,} images. For more, add --limit N or --index I ...")
    _note_bright_ground(digits, network, invert=invert)
    if run is not None and is_model_file(run):
        warn_of_scale(network.model)
    answers = network.answers(digits, invert=invert)
    if as_json:
        print_json([answer.to_dict() for answer in answers])
    else:
        console = stdout()
        refused = frozenset(place for place, answer in enumerate(answers) if answer.is_refused)
        predictions = [answer.prediction for answer in answers]
        console.print(predictions_table(predictions, network.class_names, console.width, refused))


def warn_of_scale(model: Sequential) -> None:
    """Say so where a network of somebody's own was trained with pixels in another scale, it seems."""
    if warning := scale_warning_on_mnist(model):
        say(warning, style="yellow")


def _is_image(word: Path, out: Path) -> bool:
    """Whether the first word is an image, and not a run."""
    if is_model_file(word) or word.is_dir() or (out / word).is_dir():
        return False
    return word.suffix.lower() in EXTENSIONS or word.is_file()


def _note_bright_ground(digits: Sequence[DigitImage], network: Predictor, *, invert: bool) -> None:
    images = ((digit.source, network.as_it_is(digit, invert=invert)) for digit in digits if digit.is_given)
    sources = [source for source, image in images if image is not None and has_bright_ground(image)]
    if not sources:
        return
    n_more = len(sources) - _NAMED_AT_MOST
    names = ", ".join(sources[:_NAMED_AT_MOST]) + (f" and {n_more:,} more" if n_more > 0 else "")
    advice = "leave out --invert" if invert else "add --invert"
    say(
        f"{names}: dark ink on bright ground, it seems, and the network has learned bright ink on dark. "
        f"If so, {advice}.",
        style="yellow",
    )
