"""Sheet: one photo, page or drawing as it was read, with every mark as the 28 x 28 image that the network saw."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitlab.evaluation.markup import percent
from digitlab.reading.frame import frame
from digitlab.reading.options import ReadingOptions
from digitlab.reading.page import Way, read_page
from digitlab.reading.photo import Photo
from digitlab.reading.reader import Reader
from digitlab.reading.reading import REASONS, Box, Digit, Reading, Refused
from digitlab.reading.upright import rotated

__all__ = ["Mark", "Sheet", "read_sheet", "upright_picture"]

_QUALITY = 85
_SERIALS = count(1)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A digit that was read, or ink that was refused.

    Attributes
    ----------
    found : Digit or Refused
        What the reading says of it.
    probabilities : tuple of float
        Eleven, of each digit and last that it is none; they sum to 1.
    image : ndarray
        uint8 (28, 28), 0-255, ink bright on dark: what the network saw.
    """

    found: Digit | Refused
    probabilities: tuple[float, ...]
    image: NDArray[np.uint8]

    def to_page(self) -> dict[str, Any]:
        """Return what the browser is told."""
        found = self.found
        plain: dict[str, Any] = {"box": list(found.box), "probabilities": [round(p, 4) for p in self.probabilities]}
        if isinstance(found, Digit):
            second = found.alternatives[0] if found.alternatives else None
            doubt = f", else {second.value}" if second is not None and second.probability >= 0.01 else ""
            return plain | {
                "value": found.value,
                "sure": percent(min(found.confidence, 1.0), 1),
                "says": f"{found.value}, {percent(min(found.confidence, 1.0), 1)} sure{doubt}.",
            }
        best = "" if found.best is None else f" Most like {found.best.value}: {percent(found.best.probability, 1)}."
        return plain | {"value": None, "sure": "", "says": f"Refused. {REASONS[found.reason]}{best}"}


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """What was read.

    Attributes
    ----------
    photo : Photo
        As it was opened.
    reading : Reading
        What stands on it.
    marks : tuple of Mark
        All digits in reading order, then all that was refused.
    serial : int
        No other sheet of this process has it: what a browser says of a mark may be about an earlier reading.
    """

    photo: Photo
    reading: Reading
    marks: tuple[Mark, ...]
    serial: int = field(default_factory=lambda: next(_SERIALS))

    @property
    def title(self) -> str:
        """Its name, with the page where it is one of a document."""
        return self.photo.source if self.photo.page == 1 else f"{self.photo.source}, page {self.photo.page}"


def read_sheet(photo: Photo, reader: Reader, options: ReadingOptions) -> Sheet:
    """Read a photo and keep what the network saw of every mark."""
    reading, way = read_page(photo, options, reader.answers)
    digits = reading.digits
    images = [frame(ink, center=options.center) for _, ink in way.glyphs]
    images += [frame(_cropped(way, refused.box, reading), center=options.center) for refused in reading.refused]
    if not images:
        return Sheet(photo, reading, ())
    framed = np.stack(images)
    answers = reader.answers.of_images(framed[len(digits) :, :, :, None]).tolist()
    seen = np.round(framed * 255).astype(np.uint8)
    found: list[Mark] = []
    for k, digit in enumerate(digits):
        found.append(Mark(digit, _of_digit(digit), seen[k]))
    for k, refused in enumerate(reading.refused):
        found.append(Mark(refused, tuple(answers[k]), seen[len(digits) + k]))
    return Sheet(photo, reading, tuple(found))


def upright_picture(sheet: Sheet) -> bytes:
    """Return the photo as it was turned and straightened, as JPEG; boxes lie on it as fractions of its sides."""
    reading, pixels = sheet.reading, np.rot90(sheet.photo.pixels, -sheet.reading.turned // 90)
    fill = (255, 255, 255) if pixels.ndim == 3 else (255,)
    image = Image.fromarray(rotated(np.ascontiguousarray(pixels), reading.skew, fill=fill))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _of_digit(digit: Digit) -> tuple[float, ...]:
    values = [0.0] * 10
    values[digit.value] = digit.confidence
    for other in digit.alternatives:
        values[other.value] = other.probability
    return (*values, max(0.0, 1.0 - sum(values)))


def _cropped(way: Way, box: Box, reading: Reading) -> NDArray[np.float32]:
    height, width = way.ink.soft.shape
    x, y = width / reading.width, height / reading.height
    top, bottom = int(box.top * y), max(int(box.top * y) + 1, round(box.bottom * y))
    left, right = int(box.left * x), max(int(box.left * x) + 1, round(box.right * x))
    return way.ink.soft[top:bottom, left:right]
