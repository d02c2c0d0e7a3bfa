"""Sheet: one photo, page or drawing as it was read and as somebody says it is, every mark with what the network saw."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitlab.data.frame import frame_all
from digitlab.errors import DataError
from digitlab.reading.apart import Apart
from digitlab.reading.change import Change, corrected
from digitlab.reading.page import Way, read_page
from digitlab.reading.photo import Photo, open_pages
from digitlab.reading.reader import Origin, Reader, reader_of
from digitlab.reading.reading import REASONS, Box, Digit, Number, Reading, ReadingOptions, Refused
from digitlab.reading.render import upright_pixels
from digitlab.reading.steps import Step, steps_of
from digitlab.text import percent
from digitlab.training.corrections import NOT_A_DIGIT_LABEL
from digitlab.training.fine_tuning import KnownPhoto

#: The probabilities where there is no ink: of no digit, and surely none.
_BLANK = (*[0.0] * 10, 1.0)
_MOST_MARKS = 60  # of a drawing
_QUALITY = 85
_WIDEST_PX, _HIGHEST_PX = 480, 360  # of a step as it is shown
_SERIALS = count(1)
# The ways of the sheets that were read last, for their steps: to read a photo twice takes twice as long. No more are
# kept, since one may have 50 MB. Each process has those that it has read.
_WAYS: deque[tuple[int, Way]] = deque(maxlen=2)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A digit that was read, or ink that was refused.

    ``found`` is what the corrected reading says of it, and ``read`` what was read: None where somebody has put a digit
    that the reader did not see. ``probabilities`` are eleven, of each digit and last that it is none, and sum to 1;
    ``image``, uint8 (28, 28), ink bright on dark, is what the network saw.
    """

    found: Digit | Refused
    read: Digit | Refused | None
    probabilities: tuple[float, ...]
    image: NDArray[np.uint8] | None

    @property
    def value(self) -> int | None:
        """The digit; None where it is refused."""
        return self.found.value if isinstance(self.found, Digit) else None

    def to_page(self) -> dict[str, Any]:
        """Return what the browser is told."""
        return {
            "box": list(self.found.box),
            "value": self.value,
            "probabilities": [round(p, 4) for p in self.probabilities],
            "isCorrected": self.found != self.read,
            "says": self._says(),
        }

    def _says(self) -> str:
        read = self.read
        if self.found != read:
            refused = "; it was refused" if isinstance(read, Refused) else ""
            before = f"; it was read as {read.value}" if isinstance(read, Digit) else refused
            return f"{'Not a digit' if self.value is None else self.value}, as you say{before}."
        if isinstance(read, Digit):
            second = read.alternatives[0] if read.alternatives else None
            doubt = f", else {second.value}" if second is not None and second.probability >= 0.01 else ""
            return f"{read.value}, {percent(min(read.confidence, 1.0), 1)} sure{doubt}."
        assert isinstance(read, Refused)
        best = "" if read.best is None else f" Most like {read.best.value}: {percent(read.best.probability, 1)}."
        return f"Refused. {REASONS[read.reason]}{best}"


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """What was read, and what it is.

    ``photo`` was read: the ``original``, or what somebody has made of it. Of ``found``, what was read, ``seen`` are the
    marks: all digits in reading order, then all that was refused. With ``changes``, what somebody says is otherwise,
    they become ``reading`` and ``marks``. ``serial`` is that of no other sheet of this process: what a browser says may
    be about an earlier reading.
    """

    original: Photo
    photo: Photo
    reader: Reader
    options: ReadingOptions
    found: Reading
    seen: tuple[Mark, ...]
    changes: tuple[Change, ...] = ()
    serial: int = field(default_factory=lambda: next(_SERIALS))
    reading: Reading = field(init=False)
    marks: tuple[Mark, ...] = field(init=False)

    def __post_init__(self) -> None:
        reading = corrected(self.found, self.changes)
        object.__setattr__(self, "reading", reading)
        object.__setattr__(self, "marks", self.seen if reading == self.found else tuple(_marks(reading, self.seen)))

    @property
    def title(self) -> str:
        """Its name, with the page where it is one of a document."""
        return self.photo.source if self.photo.page == 1 else f"{self.photo.source}, page {self.photo.page}"

    @property
    def is_edited(self) -> bool:
        """Whether somebody has turned or cropped it, or left something out."""
        return self.photo is not self.original

    def has(self, change: Change) -> bool:
        """Whether there is what a change is about."""
        numbers, marks = self.reading.numbers, self.marks
        return change.box in ([one.box for one in numbers] if change.is_number else [one.found.box for one in marks])

    def is_corrected(self, number: Number) -> bool:
        """Whether a number of ``reading`` was read otherwise, or less surely than somebody says."""
        return number not in self.found.numbers

    def number_of(self, mark: Mark) -> Number | None:
        """Return the number that a mark stands in."""
        numbers = self.reading.numbers
        return next((number for number in numbers if any(digit is mark.found for digit in number.digits)), None)

    def with_change(self, change: Change) -> tuple[Sheet, list[tuple[NDArray[np.uint8], int]]]:
        """Return the sheet with another change, and what can be learned from it: images with their labels, 0-10."""
        changed = replace(self, changes=(*self.changes, change))
        before = {mark.found.box: mark.value for mark in self.marks}
        after = {mark.found.box: mark.value for mark in changed.marks}
        images = []
        for mark in self.marks:
            box = mark.found.box
            if mark.image is None or box not in after:
                continue
            # Whoever says of a single mark what it is means it, even where it was read so.
            is_meant = not change.is_number and box == change.box
            if is_meant or after[box] != before[box]:
                value = after[box]
                images.append((mark.image, NOT_A_DIGIT_LABEL if value is None else value))
        return changed, images

    def without_changes(self, box: Box) -> Sheet:
        """Return the sheet with what was read at a place, whatever somebody has said of it."""
        return replace(self, changes=tuple(change for change in self.changes if not _touch(change.box, box)))


def read_file(
    content: bytes, source: str, reader: Reader, options: ReadingOptions, most: int, apart: Apart
) -> list[Sheet]:
    """Read a photo or the first pages of a document, at most ``most``, in another process."""
    serials = [next(_SERIALS) for _ in range(most)]
    pages = apart.each(_file_found, serials, content, source, reader.origin, options, source=source, keys=serials)
    return [
        Sheet(photo, photo, reader, options, reading, seen, (), serial)
        for (photo, reading, seen), serial in zip(pages, serials, strict=False)
    ]


def read_sheet(
    photo: Photo,
    reader: Reader,
    options: ReadingOptions,
    *,
    original: Photo | None = None,
    before: Sheet | None = None,
    apart: Apart | None = None,
) -> Sheet:
    """Read a photo and keep what the network saw of every mark.

    ``original`` is what the photo was before somebody edited it, and ``before`` an earlier reading of it, whose changes
    are carried over. ``apart`` are the processes that read; drawings are small, and read in this one.
    """
    is_edited = original is not None and original is not photo
    changes = () if before is None else before.changes
    serial, asked = next(_SERIALS), _asked(options, is_edited=is_edited)
    if apart is None:
        found = _found(serial, photo, reader, asked)
    else:
        found = apart.call(_photo_found, serial, photo, reader.origin, asked, source=photo.source, keys=[serial])
    return Sheet(photo if original is None else original, photo, reader, options, *found, changes, serial)


def steps_of_sheet(sheet: Sheet, apart: Apart | None = None) -> tuple[Step, ...]:
    """Return every step of the way to a sheet's reading, made where it was read; pictures are as large as shown."""
    asked = _asked(sheet.options, is_edited=sheet.is_edited)
    about = sheet.serial, sheet.photo, asked, sheet.options, sheet.found
    if apart is None:
        return _steps(sheet.reader, *about)
    given = (sheet.reader.origin, *about)
    steps: tuple[Step, ...] = apart.call(_steps_apart, *given, source=sheet.photo.source, keys=[sheet.serial])
    return steps


def forget_ways() -> None:
    """Forget what the steps of the last sheets would be made of."""
    _WAYS.clear()


def known_photo(sheet: Sheet) -> KnownPhoto:
    """Return a sheet's photo with all that stands on it, as somebody says."""
    marks = tuple((mark.found.box, mark.value) for mark in sheet.marks)
    return KnownPhoto(sheet.photo, _asked(sheet.options, is_edited=sheet.is_edited), marks)


def upright_picture(sheet: Sheet) -> bytes:
    """Return the photo as it was turned and straightened, as JPEG; boxes lie on it as fractions of its sides."""
    return image_file(upright_pixels(sheet.photo.pixels, sheet.reading), "JPEG", quality=_QUALITY)


def overlay(sheet: Sheet) -> bytes:
    """Return the photo with the boxes and values of its corrected reading, as PNG."""
    return image_file(sheet.reading.render(sheet.photo.pixels), "PNG")


def image_file(image: Image.Image | NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    """Return an image, uint8 (h, w) or (h, w, 3) where it is an array, as a file of a kind, PNG or JPEG."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def answer_of(sheet: Sheet | None) -> dict[str, Any]:
    """Return the answer to a drawing, as plain JSON types.

    ``text`` has the digits, numbers parted by spaces; ``says`` is a sentence; ``marks`` are digits and refused marks,
    each with its eleven probabilities; and ``probabilities`` those to show while no mark is chosen.
    """
    marks = [] if sheet is None else [mark.to_page() for mark in sheet.marks[:_MOST_MARKS]]
    digits = [mark for mark in marks if mark["value"] is not None]
    text = "" if sheet is None else sheet.reading.text.replace("\n", " ")
    if not marks:
        says = "No digit here."
    elif not digits:
        says = f"No digit here. {marks[0]['says']}"
    elif len(digits) == 1:
        says = digits[0]["says"]
    else:
        unsure = [mark for mark in digits if not mark["isCorrected"]]
        says = f"{text}, {len(digits)} digits."
        if unsure:
            least = min(unsure, key=lambda mark: mark["probabilities"][mark["value"]])
            says = f"{says} The least sure is {least['says']}"
    shown = (digits or marks or [{"probabilities": list(_BLANK)}])[-1]
    serial = 0 if sheet is None else sheet.serial
    return {"serial": serial, "text": text, "says": says, "marks": marks, "probabilities": shown["probabilities"]}


def _asked(options: ReadingOptions, *, is_edited: bool) -> ReadingOptions:
    # What somebody has laid a hand on stays as it lies.
    return replace(options, turn=False, straighten=False) if is_edited else options


def _seen(reading: Reading, way: Way, options: ReadingOptions) -> tuple[Mark, ...]:
    """The marks of a reading with what its way tells of them; the networks were asked already."""
    every = [*way.read, *way.refused]
    if not every:
        return ()
    images = np.round(frame_all([way.glyphs[mark] for mark in every], center=options.center)[..., 0] * 255)
    found: tuple[Digit | Refused, ...] = (*reading.digits, *reading.refused)
    said = [_of_digit(digit) for digit in reading.digits] + [tuple(way.said[mark].tolist()) for mark in way.refused]
    pairs = zip(found, said, images.astype(np.uint8), strict=True)
    return tuple(Mark(one, one, probabilities, image) for one, probabilities, image in pairs)


def _marks(reading: Reading, seen: tuple[Mark, ...]) -> Iterator[Mark]:
    """What was seen, as a corrected reading has it."""
    at = {mark.found.box: mark for mark in reversed(seen)}
    every: tuple[Digit | Refused, ...] = (*reading.digits, *reading.refused)
    for found in every:
        if found.box in at:
            yield replace(at[found.box], found=found)
        else:
            values = [0.0] * 11
            values[found.value if isinstance(found, Digit) else NOT_A_DIGIT_LABEL] = 1.0
            yield Mark(found, None, tuple(values), None)


def _touch(a: Box, b: Box) -> bool:
    """Whether the middle of one box is in the other."""

    def is_in(one: Box, other: Box) -> bool:
        x, y = (one.left + one.right) / 2, (one.top + one.bottom) / 2
        return other.left <= x < other.right and other.top <= y < other.bottom

    return is_in(a, b) or is_in(b, a)


def _of_digit(digit: Digit) -> tuple[float, ...]:
    values = [0.0] * 10
    values[digit.value] = digit.confidence
    for other in digit.alternatives:
        values[other.value] = other.probability
    return (*values, max(0.0, 1.0 - sum(values)))


def _found(serial: int, photo: Photo, reader: Reader, options: ReadingOptions) -> tuple[Reading, tuple[Mark, ...]]:
    reading, way = read_page(photo, options, reader.answers)
    _WAYS.append((serial, way))
    return reading, _seen(reading, way, options)


def _steps(
    reader: Reader, serial: int, photo: Photo, asked: ReadingOptions, options: ReadingOptions, found: Reading
) -> tuple[Step, ...]:
    way = next((way for number, way in tuple(_WAYS) if number == serial), None)
    if way is None:
        way = read_page(photo, asked, reader.answers)[1]
    return tuple(replace(step, picture=_shown_size(step.picture)) for step in steps_of(photo, options, found, way))


# ---- what other processes do ----


def _file_found(
    serials: Sequence[int], content: bytes, source: str, origin: Origin, options: ReadingOptions
) -> Iterator[tuple[Photo, Reading, tuple[Mark, ...]]]:
    reader, file = reader_of(origin), io.BytesIO(content)
    file.name = source  # which is what errors call it
    for serial, page in zip(serials, islice(open_pages(file, len(serials)), len(serials)), strict=False):
        photo = replace(page, source=source)
        yield photo, *_found(serial, photo, reader, options)


def _photo_found(
    serial: int, photo: Photo, origin: Origin, options: ReadingOptions
) -> tuple[Reading, tuple[Mark, ...]]:
    return _found(serial, photo, reader_of(origin), options)


def _steps_apart(origin: Origin, *about: Any) -> tuple[Step, ...]:
    return _steps(reader_of(origin), *about)


def _shown_size(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    image.thumbnail((_WIDEST_PX, _HIGHEST_PX), Image.Resampling.BOX)
    return np.asarray(image)


#: What can be done: a quarter turn to either side, keeping a rectangle alone, hiding one.
EDITS = ("left", "right", "crop", "hide")

_LEAST_PX = 8
# Of the shorter side of what is hidden: how wide the border around it is from which its ground is guessed.
_BORDER = 0.15
_MOST_POINTS = 4_000


def edited(photo: Photo, reading: Reading, kind: str, box: Box | None = None) -> Photo:
    """Return a photo as it was shown, with one of ``EDITS`` done to it; ``box`` is what is kept, or hidden.

    It is to be read as it lies from then on: what somebody has turned by hand must not be turned back.
    """
    pixels = upright_pixels(photo.pixels, reading)
    if photo.pixels.ndim == 2:
        pixels = pixels[..., 0]
    width, height = reading.width, reading.height
    if kind in ("left", "right"):
        pixels, width, height = np.rot90(pixels, 1 if kind == "left" else -1), height, width
    else:
        assert box is not None
        left, top, right, bottom = _places(box, pixels.shape, width, height)
        if kind == "crop":
            pixels = pixels[top:bottom, left:right]
            width, height = min(box.right, width) - max(box.left, 0), min(box.bottom, height) - max(box.top, 0)
        else:
            pixels = pixels.copy()
            pixels[top:bottom, left:right] = _ground(pixels, Box(left, top, right, bottom))
    return Photo(np.ascontiguousarray(pixels), width, height, photo.source, photo.page)


def _places(box: Box, shape: tuple[int, ...], width: int, height: int) -> Box:
    """Bring a box of the upright photo to its pixels."""
    y, x = shape[0] / height, shape[1] / width
    left, top = max(0, round(box.left * x)), max(0, round(box.top * y))
    right, bottom = min(shape[1], round(box.right * x)), min(shape[0], round(box.bottom * y))
    if right - left < _LEAST_PX or bottom - top < _LEAST_PX:
        raise DataError("This rectangle is too small. Drag a larger one.")
    return Box(left, top, right, bottom)


def _ground(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Guess the paper in a box from the pixels around it: for each color a plane, fitted without the ink."""
    border = max(4, round(_BORDER * min(box.width, box.height)))
    top, left = max(box.top - border, 0), max(box.left - border, 0)
    around = np.ones((min(box.bottom + border, pixels.shape[0]) - top, min(box.right + border, pixels.shape[1]) - left))
    around[box.top - top : box.bottom - top, box.left - left : box.right - left] = 0
    ys, xs = np.nonzero(around)
    if len(ys) == 0:  # the whole photo
        ys, xs = np.nonzero(np.ones_like(around))
    step = max(1, len(ys) // _MOST_POINTS)
    ys, xs = ys[::step] + top, xs[::step] + left
    middle = np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])
    size = max(box.width, box.height)
    places = np.stack([np.ones(len(xs)), (xs - middle[0]) / size, (ys - middle[1]) / size], axis=1)
    values = pixels[ys, xs].reshape(len(xs), -1).astype(np.float64)
    kept = np.ones(len(xs), bool)
    for _ in range(4):
        planes = np.linalg.lstsq(places[kept], values[kept], rcond=None)[0]
        off = np.abs(values - places @ planes).max(axis=1)
        kept = off <= 2 * np.median(off) + 1
    rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right]
    inside = np.stack([np.ones(rows.shape), (columns - middle[0]) / size, (rows - middle[1]) / size], axis=-1)
    painted: NDArray[np.uint8] = np.clip(np.rint(inside @ planes), 0, 255).astype(np.uint8)
    return painted if pixels.ndim == 3 else painted[..., 0]
