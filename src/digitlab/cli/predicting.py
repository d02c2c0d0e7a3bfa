"""From image files to answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.cli.checkpoints import checkpoint_of
from digitlab.cli.images import Digit, has_bright_ground, is_framed, read_digits
from digitlab.cli.photo_files import EXTENSIONS
from digitlab.cli.tables import predictions_table
from digitlab.cli.terminal import print_json, say, stdout
from digitlab.engine.loading import load_model
from digitlab.engine.sequential import Sequential
from digitlab.errors import DataError, NetworkError
from digitlab.network.formats.opening import is_model_file
from digitlab.reading.options import ReadingOptions
from digitlab.reading.reader import Reader
from digitlab.values import Prediction

__all__ = ["run_prediction"]

_NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer for one image; ``not_a_digit`` is its probability, or None from a network that does not know."""

    prediction: Prediction
    not_a_digit: float | None = None
    is_refused: bool = False

    def to_dict(self) -> dict[str, Any]:
        plain = self.prediction.to_dict()
        return (plain | {"label": None} if self.is_refused else plain) | {"not_a_digit": self.not_a_digit}


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
    network = _Network(run, out)
    digits: list[Digit] = []
    for path in paths:
        read, n_in_file = read_digits(path, indices, limit)
        digits += read
        if len(read) < n_in_file and not indices:
            say(f"{path}: the first {len(read):,} of {n_in_file:,} images. For more, add --limit N or --index I ...")
    answers = network.answers(digits, invert=invert)
    if as_json:
        print_json([answer.to_dict() for answer in answers])
    else:
        console = stdout()
        refused = frozenset(place for place, answer in enumerate(answers) if answer.is_refused)
        predictions = [answer.prediction for answer in answers]
        console.print(predictions_table(predictions, network.class_names, console.width, refused))


def _is_image(word: Path, out: Path) -> bool:
    """Whether the first word is an image, and not a run."""
    if is_model_file(word) or word.is_dir() or (out / word).is_dir():
        return False
    return word.suffix.lower() in EXTENSIONS or word.is_file()


class _Network:
    """Who answers: the shipped reader, or a run's network, which may know other classes than digits."""

    def __init__(self, run: str | None, out: Path) -> None:
        self._is_shipped = run is None
        self._reader: Reader | None = None
        self._why_not = ""
        try:
            self._reader = Reader(None if run is None else checkpoint_of(run, out))
            self._model: Sequential = self._reader.answers.model
        except NetworkError as error:
            assert run is not None
            self._why_not, self._model = str(error), load_model(run, out=out)
        self.class_names = self._model.class_names

    def answers(self, digits: Sequence[Digit], *, invert: bool) -> list[_Answer]:
        """Answer images, those together that need not be looked for in a picture."""
        known = {place: self._as_it_is(digit, invert) for place, digit in enumerate(digits)}
        images = {place: image for place, image in known.items() if image is not None}
        idx = [
            digit.source for place, digit in enumerate(digits) if digit.from_idx and has_bright_ground(images[place])
        ]
        _note_bright_ground(idx, invert=invert)
        found: dict[int, _Answer] = {}
        if images:
            rows = self._of_images(np.stack(list(images.values())))
            found = {place: self._answer(digits[place].source, row) for place, row in zip(images, rows, strict=True)}
        for place, digit in enumerate(digits):
            if place not in found:
                found[place] = self._look(digit, invert)
        return [found[place] for place in range(len(digits))]

    def _as_it_is(self, digit: Digit, invert: bool) -> NDArray[np.uint8] | None:
        """The image for the network, or None where the digit has to be found and framed first."""
        if digit.image is None:
            return None
        image = 255 - digit.image if invert else digit.image
        if digit.from_idx or not self._reader:
            return image
        return image if (is_framed(image) if self._is_shipped else not has_bright_ground(image)) else None

    def _of_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._reader is None:
            return self._model.predict(images)
        return self._reader.answers.of_images(images[..., None].astype(np.float32) / np.float32(255))

    def _answer(self, source: str, row: NDArray[np.float32]) -> _Answer:
        if self._reader is None or not self._reader.answers.knows_not_a_digit:
            row = row[: len(self.class_names)]
            return _Answer(Prediction(source, int(row.argmax()), float(row.max()), tuple(map(float, row))))
        probabilities = row[:10] / max(float(row[:10].sum()), 1e-12)
        return self._judged(source, probabilities, float(row[10]), self._reader)

    def _look(self, digit: Digit, invert: bool) -> _Answer:
        """Find the digit in a picture as the reader does."""
        if self._reader is None:
            raise NetworkError(f"{digit.source} is not 28 x 28 pixels of grey. {self._why_not}")
        options = ReadingOptions(invert="always" if invert else "auto")
        probabilities, p_not_a_digit = self._reader.read_digit(digit.path, options)
        return self._judged(digit.source, probabilities, p_not_a_digit, self._reader)

    def _judged(self, source: str, probabilities: NDArray[np.float32], p_none: float, reader: Reader) -> _Answer:
        label, is_refused = int(probabilities.argmax()), p_none > reader.answers.refuse_above
        confidence = p_none if is_refused else float(probabilities[label]) * (1 - p_none)
        prediction = Prediction(source, label, confidence, tuple(map(float, probabilities)))
        return _Answer(prediction, p_none, is_refused)


def _note_bright_ground(sources: Sequence[str], *, invert: bool) -> None:
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
