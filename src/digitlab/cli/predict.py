"""``digitlab predict``."""

from __future__ import annotations

import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.text import Text

from digitlab.cli.terminal import (
    AsJson,
    Flag,
    Pixels,
    StateNetwork,
    WholeNumber,
    folding,
    print_json,
    results_table,
    right,
    say,
    shown,
    stdout,
    with_network,
)
from digitlab.errors import ConfigError, DataError
from digitlab.text import percent
from digitlab.values import CLASS_NAMES

if TYPE_CHECKING:
    from rich.table import Table

    from digitlab.reading.predictor import DigitImage, Predictor
    from digitlab.values import Prediction

_NAMED_AT_MOST = 3
_SIZE = (28, 28)
_MOST_BYTES = 5 * 2**20  # more are no image of 28 x 28
_COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ\x00")
_TINY, _WIDE = 72, 116


def predict(
    *images: Path,
    index: Annotated[tuple[WholeNumber, ...], Parameter(consume_multiple=True, show_default=False)] = (),
    limit: WholeNumber = 10,
    invert: Flag = False,
    pixels: Pixels = None,
    network: StateNetwork = None,
    device: str = "cpu",
    out: Path = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Tell which digit is on an image: any photo, scan or drawing of one digit.

    The first name may be a run (its name or folder, "latest") or a model file (.safetensors, .keras, .h5, .onnx, or
    TensorFlow.js' model.json), whose network is asked then; otherwise the reader that digitlab brings is. It also
    tells where there is no digit. IDX files, and images of 28 x 28 pixels with bright ink on dark ground as in MNIST,
    are asked as they are; on others the digit is found first. For photos of more than one digit: digitlab read.

    Parameters
    ----------
    images
        Image files and IDX files, after a run or without one. Of a PDF, TIFF or animation every page is answered.
    index
        Which images of an IDX file, counted from 0: --index 3 5 8.
    limit
        At most so many images of an IDX file, where --index does not say which.
    invert
        The images have dark ink on bright ground: turn them round.
    pixels
        How the pixels were scaled that a model file's network learned from: 0-255, 0-1, -1-1, or MEAN,STD of pixels
        from 0 to 1 (PyTorch's Normalize), such as 0.1307,0.3081. By default what the file says, or what fits far
        better, which is told.
    network
        The network whose weights a PyTorch state dict (.safetensors) holds: a name of the zoo, or a JSON file with
        layers. All other files say it themselves.
    device
        Where the network runs: cpu, digitlab's own engine; gpu, tpu or cpu-xla, which need digitlab[xla]; or auto.
    out
        The folder of runs.
    as_json
        Print a JSON list with an object for every image; its label is null where there is no digit.
    """
    from digitlab.reading.predictor import Predictor

    run, paths = (str(images[0]), images[1:]) if images and not _is_image(images[0], out) else (None, images)
    if not paths:
        raise DataError("There are no images to answer; name one at least: digitlab predict digit.png")
    if run is None and pixels is not None:
        raise ConfigError("--pixels is how a model file's network was given its pixels; name one before the images.")
    if run is None and network is not None:
        raise ConfigError("--network is that of a PyTorch state dict; name it before the images.")
    predictor = Predictor(None if run is None else with_network(run, network), out, pixels, device)
    digits: list[DigitImage] = []
    for path in paths:
        read, n_in_file = read_digits(path, index, limit)
        digits += read
        if len(read) < n_in_file and not index:
            say(f"{path}: the first {len(read):,} of {n_in_file:,} images. For more, add --limit N or --index I ...")
    _note_bright_ground(digits, predictor, invert=invert)
    if predictor.note:
        say(predictor.note, style="yellow")
    answers = predictor.answers(digits, invert=invert)
    if as_json:
        print_json([answer.to_dict() for answer in answers])
        return
    refused = {place for place, answer in enumerate(answers) if answer.is_refused}
    predictions = [answer.prediction for answer in answers]
    console = stdout()
    console.print(predictions_table(predictions, predictor.class_names, console.width, refused))


def read_digits(path: Path, indices: Sequence[int] = (), limit: int = 10) -> tuple[list[DigitImage], int]:
    """Read an image file, or the images ``indices`` or the first ``limit`` of an IDX file; and how many that has.

    Whether an image is damaged is told by who looks for the digit in it.

    Raises ``DataError`` if the file is missing, or an IDX file is damaged or has images of another size.
    """
    from digitlab.reading.predictor import DigitImage

    if limit < 1:
        raise DataError(f"--limit must be a whole number of at least 1; got {limit}.")
    if _is_idx(path):
        return _from_idx(path, indices, limit)
    if indices:
        raise DataError(f"{path} is a single image; --index is for IDX files. Leave it out.")
    from digitlab.data.storage import open_ordinary
    from digitlab.reading.predictor import small_image

    pixels = None
    try:
        with open_ordinary(path) as file:
            pixels = small_image(file.read(_MOST_BYTES + 1))
    except OSError:
        pass
    return [DigitImage(str(path), path, pixels)], 1


def _is_idx(path: Path) -> bool:
    from digitlab.data.storage import open_ordinary

    start = b""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
        if is_file:
            with open_ordinary(path) as file:
                start = file.read(6)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{str(path)!r} cannot be read: {reason}. Check its name and permissions.") from None
    if not is_file:
        raise DataError(f"{path} is not a file. Name an image or an IDX file.")
    is_named_so = "idx" in path.name.lower() or path.name.lower().endswith("ubyte")
    return is_named_so or start.startswith(_COMPRESSED) or (start[:2] == b"\x00\x00" and start[2:3] >= b"\x08")


def _from_idx(path: Path, indices: Sequence[int], limit: int) -> tuple[list[DigitImage], int]:
    from digitlab.data.idx import read_idx
    from digitlab.reading.predictor import DigitImage

    images = read_idx(path)
    if images.ndim == 1:
        raise DataError(f"{path} holds labels or other numbers, not images; name the file with the images.")
    if images.dtype != "uint8" or images.ndim != 3 or images.shape[1:] != _SIZE:
        raise DataError(
            f"{path} holds {images.dtype} of shape {images.shape}; uint8 (n, 28, 28) is needed for now. Scale the "
            "images to 28 x 28 first."
        )
    n = len(images)
    for index in indices:
        if not 0 <= index < n:
            raise DataError(f"{path} has {n:,} images, counted from 0; there is no image {index}.")
    chosen = indices or range(min(limit, n))
    if not chosen:
        raise DataError(f"{path} holds no images.")
    return [DigitImage(f"{path}#{index}", path, images[index], is_given=True) for index in chosen], n


def _is_image(word: Path, out: Path) -> bool:
    """Whether the first word is an image, and not a run."""
    from digitlab.cli.read import EXTENSIONS
    from digitlab.network.formats.files import is_model_file

    if is_model_file(word) or word.is_dir() or (out / word).is_dir():
        return False
    return word.suffix.lower() in EXTENSIONS or word.is_file()


def _note_bright_ground(digits: Sequence[DigitImage], network: Predictor, *, invert: bool) -> None:
    from digitlab.reading.predictor import has_bright_ground

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


def predictions_table(
    predictions: Sequence[Prediction], class_names: Sequence[str], width: int, refused: Collection[int] = ()
) -> Table:
    """Return source, answer, confidence and, as far as there is room, the probabilities: all, or the highest three.

    ``refused`` are the places of those images, from 0, on which there is no digit.
    """
    table = results_table("", folding("Source"), "Answer", right("Confidence"))
    n_shown = max((len(prediction.probabilities) for prediction in predictions), default=0)
    is_wide = width >= _WIDE and n_shown <= 10
    if is_wide:
        for number in range(n_shown):
            table.add_column(f"p({number})", justify="right", no_wrap=True)
    elif width > _TINY:
        table.add_column("Most probable", no_wrap=True)
    is_digits = tuple(class_names[: len(CLASS_NAMES)]) == CLASS_NAMES
    names = [str(k) for k in range(len(class_names))] if is_digits else class_names
    for place, prediction in enumerate(predictions):
        chances = prediction.probabilities
        if is_wide:
            cells = [Text(f"{p:.3f}", style="bold green" if k == prediction.label else "dim" if p < 0.0005 else "")
                     for k, p in enumerate(chances)]  # fmt: skip
        else:
            best = sorted(range(len(chances)), key=lambda k: -chances[k])[:3]
            cells = [Text("  ".join(f"{names[k]}: {chances[k]:.3f}" for k in best))] if width > _TINY else []
        if place in refused:
            answer = Text("no digit here", style="yellow")
        else:
            called = class_names[prediction.label]
            answer = Text(f"{prediction.label} {called}" if is_digits else called, style="bold")
        table.add_row(shown(prediction.source), answer, percent(prediction.confidence), *cells)
    return table
