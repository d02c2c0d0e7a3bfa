"""Reader: the object that reads, with its network loaded once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.frame import frame
from digitlab.engine.models import Model
from digitlab.engine.sequential import Sequential
from digitlab.errors import DataError
from digitlab.reading.answers import Answers
from digitlab.reading.page import read_one, read_page
from digitlab.reading.photo import Photo, PhotoSource, open_pages
from digitlab.reading.reading import Reading, ReadingOptions

if TYPE_CHECKING:
    from digitlab.reading.steps import Explained

__all__ = ["Reader", "read"]


_NUMBERS = count(1)
_MOST_KEPT = 4
_KEPT: dict[int, Reader] = {}
_DIGIT_PX = 640  # longest side of a picture of one digit, which may fill it or be a small part of it


class Reader:
    """Reads digits from photos, scans and drawings.

    Parameters
    ----------
    model : Sequential, RuntimeModel, str, Path or None
        Who answers: a model, a run or a checkpoint; by default the network that the package brings, which knows
        "not a digit". Others know it only by how unsure they are.
    pixels : str, optional
        How the pixels were scaled that a model file's network learned from, as for ``load_model``. By default what the
        file says, or what fits when MNIST's digits are asked for; a warning tells where that is not 0 to 1.
    device : {"cpu", "gpu", "tpu", "cpu-xla", "auto"}
        Where its networks run, as for ``Sequential.use_device``.

    Attributes
    ----------
    answers : Answers
        The network.
    origin : Origin
        What another process makes the same reader of.

    Raises
    ------
    RunError
        If there is no such model, or it is damaged.
    NetworkError
        If it answers other images than 28 x 28, or other classes than the ten digits.
    """

    def __init__(
        self, model: Model | str | Path | None = None, *, pixels: str | None = None, device: str = "cpu"
    ) -> None:
        self.answers = Answers(model, pixels=pixels, device=device)
        self.origin = Origin(next(_NUMBERS), model, self.answers.pixels, device)
        if self.answers.note:
            warnings.warn(self.answers.note, UserWarning, stacklevel=2)

    def read(self, photo: PhotoSource, options: ReadingOptions | None = None) -> Reading:
        """Read a photo, or the first page of a document: a UserWarning says where there are more.

        Parameters
        ----------
        photo : path, bytes, file, Pillow image or ndarray
            Any image that Pillow opens, HEIC with ``digitlab[heic]``, a PDF, or an array (h, w), (h, w, 3) or
            (h, w, 4): uint8, uint16, bool, or floats from 0 to 1.
        options : ReadingOptions, optional
            What is asked.

        Returns
        -------
        Reading
            Empty lines where there is no digit.

        Raises
        ------
        DataError
            If the photo cannot be opened.
        """
        return read_page(_first_page(photo), options or ReadingOptions(), self.answers)[0]

    def read_pages(self, photo: PhotoSource, options: ReadingOptions | None = None) -> Iterator[Reading]:
        """Read the pages of a PDF, TIFF or animation one by one, at most ``options.most_pages``; a photo has one."""
        options = options or ReadingOptions()
        for page in open_pages(photo, options.most_pages):
            yield read_page(page, options, self.answers)[0]

    def read_digit(
        self, image: PhotoSource, options: ReadingOptions | None = None
    ) -> tuple[NDArray[np.float32], float]:
        """Answer a picture that holds one digit, of any size: a drawing, a cell of a form.

        Returns
        -------
        probabilities : ndarray
            float32 (10,): of each digit, given that it is one; they sum to 1.
        p_not_a_digit : float
            The probability that it is none; 1 where there is no ink.
        """
        first, *others = self.read_digits(image, replace(options or ReadingOptions(), most_pages=2))
        if others:
            raise DataError("There are several pages, and the digit is looked for on one. Save that page.")
        return first

    def read_digits(
        self, image: PhotoSource, options: ReadingOptions | None = None
    ) -> Iterator[tuple[NDArray[np.float32], float]]:
        """Answer the pages of a document that holds one digit a page, as ``read_digit`` and ``read_pages``."""
        options = options or ReadingOptions()
        for page in open_pages(image, options.most_pages, _DIGIT_PX):
            which, sure, _ = read_one(page.pixels, options, self.answers)
            yield which.astype(np.float32), 1 - sure

    def framed_digit(
        self, image: PhotoSource, options: ReadingOptions | None = None, *, or_black: bool = False
    ) -> NDArray[np.float32]:
        """Return the digit of a picture as the network gets it, as ``read_digit`` finds it: float32 (28, 28), 0-1.

        Where there is no ink, that is black, or a DataError.
        """
        options = options or ReadingOptions()
        page = next(open_pages(image, 1, _DIGIT_PX))
        glyph = read_one(page.pixels, options, self.answers)[2]
        if glyph is None and or_black:
            return np.zeros((28, 28), np.float32)
        if glyph is None:
            raise DataError(f"There is no ink on {page.source}; use a picture of a digit.")
        return frame(glyph, center=options.center)

    def explain(self, photo: PhotoSource, options: ReadingOptions | None = None) -> Explained:
        """Read a photo and return every step of the way as a picture, besides the reading."""
        return next(self.explain_pages(photo, options))

    def explain_pages(self, photo: PhotoSource, options: ReadingOptions | None = None) -> Iterator[Explained]:
        """Explain the pages of a document one by one, as ``read_pages`` reads them."""
        from digitlab.reading.steps import explained

        options = options or ReadingOptions()
        for page in open_pages(photo, options.most_pages):
            yield explained(page, options, self.answers)


def _first_page(photo: PhotoSource) -> Photo:
    """Open the first page, and warn where it is not the only one."""
    pages = open_pages(photo, 2)
    first = next(pages)
    try:
        is_only = next(pages, None) is None
    except DataError:
        is_only = False  # the second one is damaged
    if not is_only:
        warnings.warn(
            f"{first.source} has more pages, and only the first is read here. Reader().read_pages(photo) reads all.",
            stacklevel=3,
        )
    return first


@dataclass(frozen=True)
class Origin:
    """What a reader is made of, for other processes; no other of the process that it comes from has its number."""

    number: int
    model: Model | str | Path | None
    pixels: str | None = None
    device: str = "cpu"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        if not isinstance(self.model, Sequential):
            return Origin, (self.number, self.model, self.pixels, self.device)
        model = self.model
        return _rebuilt, (self.number, model.architecture, tuple(model.get_weights()), model.class_names)


def _rebuilt(number: int, architecture: Any, weights: Any, class_names: Any) -> Origin:
    made = Sequential.from_architecture(architecture, weights, threads=1, class_names=class_names)
    return Origin(number, made)


def reader_of(origin: Origin) -> Reader:
    """Return the reader that another process means; the last ones are kept."""
    key = 0 if origin.model is None else origin.number  # the shipped one is always the same
    reader = _KEPT.pop(key, None) or Reader(origin.model, pixels=origin.pixels, device=origin.device)
    _KEPT[key] = reader
    while len(_KEPT) > _MOST_KEPT:
        _KEPT.pop(next(iter(_KEPT)))
    return reader


def warm_up() -> None:
    """Have everything compiled or loaded that reading needs."""
    page = np.full((96, 96), 255, np.uint8)
    page[24:72, 44:52] = 0
    reader = reader_of(Origin(0, None))
    reader.read(page)
    reader.answers.of_images(np.zeros((32, 28, 28, 1), np.float32))  # many go another way through the engine than one
    # Now, because a process that is ended cannot: what it has compiled would be compiled again by the next one.
    shipped = reader.answers.model
    assert isinstance(shipped, Sequential)
    shipped.runner.seal()


def read(
    photo: PhotoSource,
    *,
    model: Model | str | Path | None = None,
    options: ReadingOptions | None = None,
    device: str = "cpu",
) -> Reading:
    """Read the digits of a photo, or of the first page of a document.

    Parameters
    ----------
    photo : path, bytes, file, Pillow image or ndarray
        As for ``Reader.read``.
    model : Sequential, RuntimeModel, str, Path or None
        As for ``Reader``. To read many photos, make one ``Reader``.
    options : ReadingOptions, optional
        What is asked.
    device : str
        As for ``Reader``.

    Returns
    -------
    Reading
        Lines of numbers of digits, and what was refused and why.
    """
    return Reader(model, device=device).read(photo, options)
