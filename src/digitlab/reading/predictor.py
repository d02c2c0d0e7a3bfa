"""Predictor: the object that answers images of one digit, with its network loaded once."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.engine.models import opened_model
from digitlab.engine.runtime import RuntimeModel
from digitlab.errors import DataError, NetworkError
from digitlab.network.pixels import OWN
from digitlab.reading.answers import SHIPPED
from digitlab.reading.apart import Apart
from digitlab.reading.photo import PhotoSource
from digitlab.reading.reader import Origin, Reader, reader_of
from digitlab.reading.reading import ReadingOptions
from digitlab.runs.listing import checkpoint_of
from digitlab.values import Prediction

_SIZE = (28, 28)
# 28 x 28 pixels need a few hundred bytes; what a drawing program adds about itself may be larger.
_MOST_BYTES = 5 * 2**20
# Digits in MNIST cover a fifth of the image: their mean is near 33, and no digit there is above 130.
_BRIGHT_GROUND = 127
# Where MNIST's digits have their centre of mass, and how far the ink of one reaches.
_MIDDLE_PX, _FIELD_PX = (13.0, 15.0), 20
_PLACES = np.arange(_SIZE[0])
# Digits of MNIST that a network is asked to see whether it is one for digits, and how many of them it then knows.
_ASKED, _LEAST_ACCURACY = 200, 0.5
# Signature, length and name of the first chunk, width, height, bits, and 0 for grey.
_PLAIN_PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBB", 13, b"IHDR", 28, 28, 8, 0)
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


def has_bright_ground(image: NDArray[np.uint8]) -> bool:
    """Whether an image has dark ink on bright ground, it seems; MNIST has bright ink on dark."""
    return bool(image.mean() > _BRIGHT_GROUND)


def is_framed(image: NDArray[np.uint8]) -> bool:
    """Whether an image is as MNIST's are: bright ink on black, within 20 x 20, its centre of mass in the middle."""
    ink = image > image.max() // 8
    for axis in (0, 1):
        # What stands in each column, then in each row.
        sums, places = image.sum(axis, dtype=np.int64), ink.any(axis).nonzero()[0]
        total = int(sums.sum())
        if not places.size or total > _BRIGHT_GROUND * image.size or places[-1] - places[0] >= _FIELD_PX:
            return False
        if not _MIDDLE_PX[0] * total <= int(sums @ _PLACES) <= _MIDDLE_PX[1] * total:
            return False
    return True


def small_image(content: bytes) -> NDArray[np.uint8] | None:
    """Decode an image file of 28 x 28 pixels: uint8; None for one of another size or kind, or one that is damaged.

    In those the digit is to be found first, and who does that tells the damage.
    """
    if _is_plain(content):
        # Most are such files; for the rest, and for damaged ones, Pillow knows more and takes five times as long.
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is not None and decoded.shape == _SIZE and decoded.dtype == np.uint8:
            return np.asarray(decoded, np.uint8)
    from PIL import Image

    if len(content) > _MOST_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked here, before a pixel is decoded
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if getattr(image, "is_animated", False):
                    return None  # of several pictures, which are not passed over
                if image.size != _SIZE or (
                    image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255
                ):
                    return None  # of another size, or ink on nothing, whose ground is not known here
                if image.mode.startswith("I;16"):
                    return (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
                return (
                    None if image.mode in ("I", "F") else np.array(image if image.mode == "L" else image.convert("L"))
                )
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None


def _is_plain(content: bytes) -> bool:
    """Whether a file is a PNG of 28 x 28 grey pixels of 8 bits, without transparency or further pictures."""
    is_like_it = content.startswith(_PLAIN_PNG) and len(content) <= _MOST_BYTES
    return is_like_it and b"tRNS" not in content and b"acTL" not in content


@dataclass(frozen=True, slots=True, eq=False)
class DigitImage:
    """One image of one digit: a name for people, and where the digit is looked for unless it can be asked as it is.

    ``image`` is uint8 (28, 28), 0-255, or None for a picture of another size or kind; one that ``is_given``, as those
    of IDX files are, is asked as it is, however it looks.
    """

    source: str
    photo: PhotoSource
    image: NDArray[np.uint8] | None
    is_given: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one image: the most probable class, how probably it is none, and whether it was taken for none.

    Of an image that is refused, the prediction's confidence is how probably it is no digit. ``not_a_digit`` is None
    from a network that does not know.
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

    The model is a run's name or folder, ``latest``, or a file of weights, whose network may know other classes than
    digits; by default the shipped reader, which also tells where there is no digit. ``pixels`` is how the pixels were
    scaled that a file's network learned from; ``note`` says so where that was found here. Where it is another scale,
    the model is not ``is_as_in_file``. It runs on ``device``. ``metadata`` is what the file says besides, such as the
    temperature of the answers. ``reader`` is what finds a digit in a picture, None where the network is not one for
    digits: ``why_not`` says why. RunError is raised for a missing or damaged model.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        runs: Path = Path("runs"),
        pixels: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.is_shipped = model is None
        self.file = SHIPPED if model is None else checkpoint_of(str(model), runs)
        opened = opened_model(self.file if model is None else model, runs, OWN.text if model is None else pixels)
        self.model, self.metadata, self.note = opened.model, opened.metadata, opened.note
        self.is_as_in_file = opened.pixels in (None, OWN.text)
        self.reader: Reader | None = None
        self.why_not = ""
        try:
            # A runtime's model is opened once: that takes a process of its own, and seconds.
            own = self.model if isinstance(self.model, RuntimeModel) else self.file
            self.reader = Reader(None if model is None else own, pixels=opened.pixels, device=device)
            self.model = self.reader.answers.model
        except NetworkError as error:
            self.why_not = str(error)
            self.model.use_device(device)
            self.model.architecture.n_classes  # noqa: B018 - says so where the network answers with maps
        self.class_names = self.model.class_names

    @cached_property
    def knows_digits(self) -> bool:
        """Whether the network tells MNIST's digits apart, so that what is to be framed is a digit.

        Ten classes may be ten of anything, whatever they are called, and clothes fill all of 28 x 28 pixels.
        """
        if self.is_shipped or self.reader is None:
            return self.is_shipped
        known = MnistData.load().validation
        rows = self.rows(known.images[:_ASKED].astype(np.float32) / np.float32(255))
        return bool((rows[:, :10].argmax(axis=1) == known.labels[:_ASKED]).mean() >= _LEAST_ACCURACY)

    def answers(self, digits: Sequence[DigitImage], *, invert: bool = False) -> list[Answer]:
        """Answer images, those together that need not be looked for in a picture; of a document every page.

        With ``invert`` they have dark ink on bright ground. Raises DataError if a picture cannot be opened, and
        NetworkError if it is not 28 x 28 and the network is not one for digits.
        """
        places, images = self.as_they_are(digits, invert=invert)
        rows = self.rows(images) if places else ()
        found = {place: [self.judged(digits[place].source, row)] for place, row in zip(places, rows, strict=True)}
        for place, digit in enumerate(digits):
            if place not in found:
                found[place] = self._look_at_pages(digit.source, digit.photo, invert=invert)
        return [answer for place in range(len(digits)) for answer in found[place]]

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
        return image if is_framed(image) or not (self.knows_digits or has_bright_ground(image)) else None

    def framed(self, digit: DigitImage, *, invert: bool = False, apart: Apart) -> NDArray[Any]:
        """Return what the network gets of an image, uint8 0-255 or float32 0-1, (28, 28).

        Where the digit has to be found first, that is done as by the reader, in a process apart; where there is no ink,
        the image is black.
        """
        image = self.as_it_is(digit, invert=invert)
        if image is not None:
            return image
        reader = self._looking(digit.source)
        options = ReadingOptions(invert="always" if invert else "auto")
        return np.asarray(apart.call(_framed, reader.origin, digit.photo, options, source=digit.source))

    def rows(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Ask the network: float32 (n, 28, 28), 0-1, ink bright on dark; float32 (n, classes), for ``judged``."""
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

    def look(self, source: str, photo: PhotoSource, *, invert: bool = False, apart: Apart) -> Answer:
        """Find the digit in a picture as the reader does, in a process apart, and answer it; as ``answers``.

        A document has to have one page: of who sends several pictures, each gets one answer.
        """
        reader = self._looking(source)
        options = ReadingOptions(invert="always" if invert else "auto")
        probabilities, p_not_a_digit = apart.call(_looked, reader.origin, photo, options, source=source)
        return self._refused_or_not(source, probabilities.tolist(), p_not_a_digit, reader)

    def _look_at_pages(self, source: str, photo: PhotoSource, *, invert: bool) -> list[Answer]:
        """Find the digit on every page of a document as the reader does, and answer it."""
        reader = self._looking(source)
        options = ReadingOptions(invert="always" if invert else "auto")
        most = options.most_pages
        pages = list(reader.read_digits(photo, replace(options, most_pages=most + 1)))
        if len(pages) > most:
            raise DataError(f"{source} has more than {most:,} pages. Split it, and ask for some at a time.")
        names = [source] if len(pages) == 1 else [f"{source}, page {k}" for k in range(1, len(pages) + 1)]
        return [
            self._refused_or_not(name, probabilities.tolist(), p_not_a_digit, reader)
            for name, (probabilities, p_not_a_digit) in zip(names, pages, strict=True)
        ]

    def _looking(self, source: str) -> Reader:
        if self.reader is None:
            raise NetworkError(f"{source} is not 28 x 28 pixels of grey. {self.why_not}")
        return self.reader

    def _refused_or_not(self, source: str, chances: list[float], p_none: float, reader: Reader) -> Answer:
        label, is_refused = chances.index(max(chances)), p_none > reader.answers.refuse_above
        confidence = p_none if is_refused else chances[label] * (1 - p_none)
        return Answer(Prediction(source, label, confidence, tuple(chances)), p_none, is_refused)


def _framed(origin: Origin, photo: PhotoSource, options: ReadingOptions) -> NDArray[np.float32]:
    return reader_of(origin).framed_digit(photo, options, or_black=True)


def _looked(origin: Origin, photo: PhotoSource, options: ReadingOptions) -> tuple[NDArray[np.float32], float]:
    return reader_of(origin).read_digit(photo, options)
