"""Predictor: the object that answers images of one digit, with its network loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.sequential import Sequential, load_model
from digitlab.errors import NetworkError
from digitlab.reading.answers import SHIPPED
from digitlab.reading.apart import Apart
from digitlab.reading.options import ReadingOptions
from digitlab.reading.photo import PhotoSource
from digitlab.reading.reader import Origin, Reader, reader_of
from digitlab.reading.small_image import has_bright_ground, is_framed
from digitlab.runs.listing import checkpoint_of, open_model
from digitlab.values import Prediction

__all__ = ["Answer", "DigitImage", "Predictor"]


@dataclass(frozen=True, slots=True, eq=False)
class DigitImage:
    """One image of one digit, and where it came from.

    Attributes
    ----------
    source : str
        For people: a file name, or ``file#index``.
    photo : path, bytes or anything else that a ``Reader`` opens
        Where the digit is looked for, unless the image can be asked as it is.
    image : ndarray or None
        uint8 (28, 28), 0-255; None for a picture of another size or kind.
    is_given : bool
        Whether the image is to be asked as it is, however it looks, as those of IDX files are.
    """

    source: str
    photo: PhotoSource
    image: NDArray[np.uint8] | None
    is_given: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one image.

    Attributes
    ----------
    prediction : Prediction
        The most probable class. Of an image that is refused, ``confidence`` is how probably it is no digit.
    not_a_digit : float or None
        The probability that it is none; None from a network that does not know.
    is_refused : bool
        Whether it was taken for no digit.
    """

    prediction: Prediction
    not_a_digit: float | None = None
    is_refused: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain JSON types; its label is None where there is no digit."""
        plain = self.prediction.to_dict()
        return (plain | {"label": None} if self.is_refused else plain) | {"not_a_digit": self.not_a_digit}


class Predictor:
    """Answers images of one digit each; safe to call from several threads.

    Parameters
    ----------
    model : str, Path or None
        A run's name or folder, ``latest``, or a file of weights; its network may know other classes than digits. By
        default the shipped reader, which also tells where there is no digit.
    runs : Path
        The folder of runs.

    Attributes
    ----------
    reader : Reader or None
        What finds a digit in a picture; None where the network is not one for digits, and ``why_not`` says why.
    model : Sequential
        The network.
    file : Path
        Where its weights are.

    Raises
    ------
    RunError
        If there is no such model, or it is damaged.
    """

    def __init__(self, model: str | Path | None = None, runs: Path = Path("runs")) -> None:
        self.is_shipped = model is None
        self.file = SHIPPED if model is None else checkpoint_of(str(model), runs)
        self.reader: Reader | None = None
        self.why_not = ""
        try:
            self.reader = Reader(None if model is None else self.file)
            self.model: Sequential = self.reader.answers.model
        except NetworkError as error:
            assert model is not None
            self.why_not, self.model = str(error), load_model(model, out=runs)
            self.model.architecture.n_classes  # noqa: B018 - says so where the network answers with maps
        self.class_names = self.model.class_names

    @property
    def metadata(self) -> dict[str, str]:
        """What its file says of the network besides, such as the temperature of its answers."""
        return open_model(self.file).metadata

    def answers(self, digits: Sequence[DigitImage], *, invert: bool = False) -> list[Answer]:
        """Answer images, those together that need not be looked for in a picture.

        Parameters
        ----------
        digits : sequence of DigitImage
            The images.
        invert : bool
            They have dark ink on bright ground.

        Raises
        ------
        DataError
            If a picture cannot be opened.
        NetworkError
            If an image is not 28 x 28, and the network is not one for digits.
        """
        places, images = self.as_they_are(digits, invert=invert)
        rows = self.rows(images) if places else ()
        found = {place: self.judged(digits[place].source, row) for place, row in zip(places, rows, strict=True)}
        for place, digit in enumerate(digits):
            if place not in found:
                found[place] = self.look(digit.source, digit.photo, invert=invert)
        return [found[place] for place in range(len(digits))]

    def as_they_are(
        self, digits: Sequence[DigitImage], *, invert: bool = False
    ) -> tuple[list[int], NDArray[np.float32]]:
        """Return the places of images that need not be looked for in a picture, and those, as ``rows`` takes them."""
        known = {place: self.as_it_is(digit, invert=invert) for place, digit in enumerate(digits)}
        images = {place: image for place, image in known.items() if image is not None}
        return list(images), np.array([*images.values()], np.float32).reshape(-1, 28, 28) / np.float32(255)

    def as_it_is(self, digit: DigitImage, *, invert: bool = False) -> NDArray[np.uint8] | None:
        """Return the image for the network, or None where the digit has to be found and framed first."""
        if digit.image is None:
            return None
        image = 255 - digit.image if invert else digit.image
        if digit.is_given or not self.reader:
            return image
        return image if (is_framed(image) if self.is_shipped else not has_bright_ground(image)) else None

    def rows(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Ask the network.

        Parameters
        ----------
        images : ndarray
            float32 (n, 28, 28), 0-1, ink bright on dark.

        Returns
        -------
        ndarray
            float32 (n, classes) for ``judged``; rows sum to 1.
        """
        return self.model.predict(images) if self.reader is None else self.reader.answers.of_images(images[..., None])

    def judged(self, source: str, row: NDArray[np.float32]) -> Answer:
        """Return the answer that one of ``rows`` means."""
        chances: list[float] = row.tolist()
        if self.reader is None or not self.reader.answers.knows_not_a_digit:
            chances = chances[: len(self.class_names)]
            label = chances.index(max(chances))
            return Answer(Prediction(source, label, chances[label], tuple(chances)))
        total = max(sum(chances[:10]), 1e-12)
        return self._refused_or_not(source, [chance / total for chance in chances[:10]], chances[10], self.reader)

    def look(self, source: str, photo: PhotoSource, *, invert: bool = False, apart: Apart | None = None) -> Answer:
        """Find the digit in a picture as the reader does, and answer it; as ``answers``.

        Where ``apart`` is given, the picture is opened and looked at there.
        """
        if self.reader is None:
            raise NetworkError(f"{source} is not 28 x 28 pixels of grey. {self.why_not}")
        options = ReadingOptions(invert="always" if invert else "auto")
        if apart is None:
            probabilities, p_not_a_digit = self.reader.read_digit(photo, options)
        else:
            probabilities, p_not_a_digit = apart.call(_looked, self.reader.origin, photo, options, source=source)
        return self._refused_or_not(source, probabilities.tolist(), p_not_a_digit, self.reader)

    def _refused_or_not(self, source: str, chances: list[float], p_none: float, reader: Reader) -> Answer:
        label, is_refused = chances.index(max(chances)), p_none > reader.answers.refuse_above
        confidence = p_none if is_refused else chances[label] * (1 - p_none)
        return Answer(Prediction(source, label, confidence, tuple(chances)), p_none, is_refused)


def _looked(origin: Origin, photo: PhotoSource, options: ReadingOptions) -> tuple[NDArray[np.float32], float]:
    return reader_of(origin).read_digit(photo, options)
