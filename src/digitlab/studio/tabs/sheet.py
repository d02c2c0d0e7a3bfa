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
from digitlab.reading.apart import Apart
from digitlab.reading.change import Change, corrected
from digitlab.reading.page import Way, read_page, without_unsure
from digitlab.reading.photo import Photo, open_pages
from digitlab.reading.reader import Origin, Reader, reader_of
from digitlab.reading.reading import REASONS, Box, Digit, Number, Reading, ReadingOptions, Refused
from digitlab.reading.render import upright_pixels
from digitlab.reading.steps import Step, steps_of
from digitlab.reading.unsure import refuse_unsure
from digitlab.text import percent
from digitlab.training.corrections import NOT_A_DIGIT_LABEL
from digitlab.training.fine_tuning import KnownPhoto

#: The probabilities where nothing is drawn, which is no answer; and where what is drawn is surely no digit.
_EMPTY, _NO_DIGIT = (0.0,) * 11, (*[0.0] * 10, 1.0)
_NOT_BEGUN = "Draw a digit: it is answered while you draw."
# Less is told as nothing.
_LEAST_LIKE = 0.01
_MOST_MARKS = 60  # of a drawing
_PAPER = 255  # where there is no ink on it
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
        best = read.best
        if best is None or best.probability < _LEAST_LIKE:
            return f"Refused. {REASONS[read.reason]}"
        return f"Refused. {REASONS[read.reason]} Most like {best.value}: {percent(best.probability, 1)}."


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """What was read, and what it is.

    ``photo`` was read: the ``original``, or what somebody has made of it. Of ``whole``, what was read with every digit,
    however unsure, ``seen`` are the marks: all digits in reading order, then all that was refused. ``found`` is what is
    sure enough for the options. With ``changes``, what somebody says is otherwise, it becomes ``reading`` and
    ``marks``. ``serial`` is that of no other sheet of this process: what a browser says may be about an earlier one.
    """

    original: Photo
    photo: Photo
    reader: Reader
    options: ReadingOptions
    whole: Reading
    seen: tuple[Mark, ...]
    changes: tuple[Change, ...] = ()
    serial: int = field(default_factory=lambda: next(_SERIALS))
    found: Reading = field(init=False)
    reading: Reading = field(init=False)
    marks: tuple[Mark, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = refuse_unsure(self.whole, self.options.min_confidence)
        seen = self.seen if found == self.whole else tuple(_sure_marks(found, self.seen))
        reading = corrected(found, self.changes)
        object.__setattr__(self, "found", found)
        object.__setattr__(self, "reading", reading)
        object.__setattr__(self, "marks", seen if reading == found else tuple(_marks(reading, seen)))

    @property
    def title(self) -> str:
        """Its name, with the page where it is one of a document."""
        return self.photo.source if self.photo.page == 1 else f"{self.photo.source}, page {self.photo.page}"

    @property
    def is_edited(self) -> bool:
        """Whether somebody has turned or cropped it, or left something out."""
        return self.photo is not self.original

    @property
    def n_right(self) -> int:
        """Of the digits that were read, so many are right if all is that nobody has corrected."""
        values = {mark.found.box: mark.value for mark in self.marks}
        return sum(values.get(digit.box) == digit.value for digit in self.found.digits)

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

    def with_options(self, options: ReadingOptions) -> Sheet:
        """Return the sheet as it is read with options that differ in the least confidence alone."""
        return self if options == self.options else replace(self, options=options)

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
        found = apart.call(_found, serial, photo, reader.origin, asked, source=photo.source, keys=[serial])
    return Sheet(photo if original is None else original, photo, reader, options, *found, changes, serial)


def steps_of_sheet(sheet: Sheet, apart: Apart | None = None) -> tuple[Step, ...]:
    """Return every step of the way to a sheet's reading, made where it was read; pictures are as large as shown."""
    asked = _asked(sheet.options, is_edited=sheet.is_edited)
    about = sheet.serial, sheet.photo, asked, sheet.options, sheet.whole
    if apart is None:
        return _steps(sheet.reader, *about)
    given = (sheet.reader.origin, *about)
    steps: tuple[Step, ...] = apart.call(_steps, *given, source=sheet.photo.source, keys=[sheet.serial])
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
    each with its eleven probabilities; and ``probabilities`` those to show while no mark is chosen, all 0 on an empty
    sheet.
    """
    marks = [] if sheet is None else [mark.to_page() for mark in sheet.marks[:_MOST_MARKS]]
    digits = [mark for mark in marks if mark["value"] is not None]
    text = "" if sheet is None else sheet.reading.text.replace("\n", " ")
    is_empty = sheet is None or bool(sheet.photo.pixels.min() == _PAPER)
    if is_empty:
        says = _NOT_BEGUN
    elif not marks:
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
    shown = (digits or marks or [{"probabilities": list(_EMPTY if is_empty else _NO_DIGIT)}])[-1]
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


def _sure_marks(found: Reading, seen: tuple[Mark, ...]) -> Iterator[Mark]:
    """What was seen, as a reading has it that refuses more."""
    at = {mark.found.box: mark for mark in reversed(seen)}
    every: tuple[Digit | Refused, ...] = (*found.digits, *found.refused)
    return (replace(at[one.box], found=one, read=one) for one in every)


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


# What other processes do, too: there a reader is known by its origin.


def _here(who: Reader | Origin) -> Reader:
    return reader_of(who) if isinstance(who, Origin) else who


def _found(
    serial: int, photo: Photo, who: Reader | Origin, options: ReadingOptions
) -> tuple[Reading, tuple[Mark, ...]]:
    # With every digit: the least confidence is asked for afterwards, as often as somebody moves it.
    reading, way = read_page(photo, replace(options, min_confidence=0.0), _here(who).answers)
    _WAYS.append((serial, way))
    return reading, _seen(reading, way, options)


def _steps(
    who: Reader | Origin, serial: int, photo: Photo, asked: ReadingOptions, options: ReadingOptions, whole: Reading
) -> tuple[Step, ...]:
    way = next((way for number, way in tuple(_WAYS) if number == serial), None)
    if way is None:
        way = read_page(photo, replace(asked, min_confidence=0.0), _here(who).answers)[1]
    found, way = without_unsure(whole, way, options.min_confidence)
    return tuple(replace(step, picture=_shown_size(step.picture)) for step in steps_of(photo, options, found, way))


def _file_found(
    serials: Sequence[int], content: bytes, source: str, origin: Origin, options: ReadingOptions
) -> Iterator[tuple[Photo, Reading, tuple[Mark, ...]]]:
    file = io.BytesIO(content)
    file.name = source  # which is what errors call it
    for serial, page in zip(serials, islice(open_pages(file, len(serials)), len(serials)), strict=False):
        photo = replace(page, source=source)
        yield photo, *_found(serial, photo, origin, options)


def _shown_size(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    image.thumbnail((_WIDEST_PX, _HIGHEST_PX), Image.Resampling.BOX)
    return np.asarray(image)
