"""Corrections: a reading as somebody says it is, and the images that were answered wrongly as an own set of digits.

What somebody says of a mark or a number is a ``Change``, and ``corrected`` is the one place where changes become
another reading: whatever shows or saves one asks it. The images are kept in a folder::

    corrections/
      corrections-images-idx3-ubyte      every correction, 28 x 28 as the network saw it
      corrections-labels-idx1-ubyte      0-9, 10 for "not a digit", 255 for a place that is free
      train-images-idx3-ubyte            the digits among them, for ``digitlab train --data corrections``
      train-labels-idx1-ubyte
      t10k-images-idx3-ubyte.xz          MNIST's test images, so that accuracies can be compared
      t10k-labels-idx1-ubyte.xz

The first two are the truth, and the rest is made from them. Both cannot be replaced in one moment, so a change is
made at the moment when the labels are replaced: an image without a label, or at a free place, is no correction.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.data.idx import read_idx, write_idx
from digitlab.data.sources import PACKAGED_FILES, PACKAGED_FOLDER
from digitlab.data.storage import replacing
from digitlab.errors import DataError, InputError, StorageError
from digitlab.reading.reading import Alternative, Box, Digit, Line, Number, Reading, Refused
from digitlab.values import Value

__all__ = ["MOST_CORRECTIONS", "NOT_A_DIGIT_LABEL", "Change", "Correction", "Corrections", "corrected"]

#: The label of what is no digit.
NOT_A_DIGIT_LABEL = 10

#: No more are kept than these: 4 MB, and more than anybody corrects by hand.
MOST_CORRECTIONS = 5_000

# A number with more digits is no number that somebody has typed over another.
_MOST_DIGITS = 60
# Boxes that share so much of what they cover are of the same ink, though another network or step has read it.
_SAME = 0.5
_ONE_LINE = 0.4  # of the lower one's height is shared by two marks of one line
_GAP = 1.0  # of the height of writing: a wider gap parts two numbers, as it does for the reader
_TALL = 0.5  # of a number's height: lower ink within it is a speck, and no digit that was overlooked

_FREE = 255
_IMAGES, _LABELS = "corrections-images-idx3-ubyte", "corrections-labels-idx1-ubyte"
_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@dataclass(frozen=True, slots=True)
class Change(Value):
    """What somebody says of a place in a reading.

    Attributes
    ----------
    box : Box
        That of a digit, of refused ink, or of a number.
    value : str
        The digits that stand there, at most 60; empty where there is none.
    is_number : bool
        Whether the box is a number's.

    Raises
    ------
    InputError
        If the value is something else than digits.
    """

    box: Box
    value: str
    is_number: bool = False

    def __post_init__(self) -> None:
        is_plain = self.value.isascii() and self.value.isdigit() and len(self.value) <= _MOST_DIGITS
        if self.value and not is_plain:
            raise InputError(f"A number is at most {_MOST_DIGITS} digits from 0 to 9; got {self.value[:80]!r}.")


def corrected(reading: Reading, changes: Iterable[Change]) -> Reading:
    """Return a reading as somebody says it is.

    Changes apply one after the other, and one that no longer fits anything is passed over. What somebody has said has a
    confidence of 1 and no alternatives. A digit that is said to be none is refused; refused ink that is said to be a
    digit takes its place in its line, and in the number that it stands in or close to. A number's new digits go to its
    own, where there are as many of them (or as many together with what was refused among them); else they share its box
    evenly.

    Parameters
    ----------
    reading : Reading
        As it was read; it is not changed. Its boxes need not be exactly those of the changes, so that changes can be
        carried over to another reading of the same photo.
    changes : iterable of Change
        In the order in which they were said.

    Examples
    --------
    >>> digit = Digit(7, Box(10, 10, 30, 50), 0.6, (Alternative(1, 0.3),))
    >>> line = Line(digit.box, (Number("7", digit.box, 0.6, (digit,)),))
    >>> corrected(Reading("a.png", 1, 100, 60, 0, 0.0, (line,), ()), [Change(digit.box, "1")]).text
    '1'
    """
    for change in changes:
        reading = _number_changed(reading, change) if change.is_number else _mark_changed(reading, change)
    return reading


def _number_changed(reading: Reading, change: Change) -> Reading:
    numbers = reading.numbers
    k = _best([number.box for number in numbers], change.box)
    if k is None:
        return reading
    number = numbers[k]
    within = [refused for refused in reading.refused if _is_overlooked(refused, number)]
    if len(change.value) == len(number.digits):
        within, boxes = [], [digit.box for digit in number.digits]
    elif len(change.value) == len(number.digits) + len(within):
        boxes = [*(digit.box for digit in number.digits), *(refused.box for refused in within)]
        boxes.sort(key=lambda box: box.left + box.right)
    else:
        # Nobody has said which of them is what.
        boxes = _shared(number.box, len(change.value)) if change.value else []
    digits = tuple(map(_said, boxes, change.value))
    refused = [one for one in reading.refused if not any(one is other for other in within)]
    if not change.value:
        refused += [_refused(digit) for digit in number.digits]
    return _with_number(replace(reading, refused=tuple(refused)), number, digits)


def _mark_changed(reading: Reading, change: Change) -> Reading:
    digits = reading.digits
    k = _best([*(digit.box for digit in digits), *(refused.box for refused in reading.refused)], change.box)
    if k is None:
        return reading
    if k >= len(digits):
        refused = reading.refused[k - len(digits)]
        if not change.value:
            return reading
        rest = tuple(other for other in reading.refused if other is not refused)
        said = tuple(map(_said, _shared(refused.box, len(change.value)), change.value))
        return _with_digits(replace(reading, refused=rest), said)
    digit = digits[k]
    number = next(number for number in reading.numbers if any(one is digit for one in number.digits))
    at = next(i for i, one in enumerate(number.digits) if one is digit)
    said = tuple(map(_said, _shared(digit.box, len(change.value)), change.value)) if change.value else ()
    if not change.value:
        reading = replace(reading, refused=(*reading.refused, _refused(digit)))
    return _with_number(reading, number, (*number.digits[:at], *said, *number.digits[at + 1 :]))


def _said(box: Box, value: str) -> Digit:
    return Digit(int(value), box, 1.0, ())


def _refused(digit: Digit) -> Refused:
    return Refused(digit.box, "not-a-digit", Alternative(digit.value, digit.confidence))


def _is_overlooked(refused: Refused, number: Number) -> bool:
    box = refused.box
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    is_in = number.box.left <= x < number.box.right and number.box.top <= y < number.box.bottom
    return is_in and _TALL * number.box.height <= box.height <= 2 * number.box.height


def _shared(box: Box, n: int) -> list[Box]:
    """Part a box into n side by side."""
    edges = [box.left + round(box.width * k / n) for k in range(n + 1)]
    return [Box(left, box.top, max(right, left + 1), box.bottom) for left, right in pairwise(edges)]


def _best(boxes: Sequence[Box], box: Box) -> int | None:
    """Say which of the boxes is meant: the same, or the one that shares most with it."""
    parts = [_shared_part(other, box) for other in boxes]
    best = max(range(len(parts)), key=parts.__getitem__, default=None)
    return best if best is not None and parts[best] >= _SAME else None


def _shared_part(a: Box, b: Box) -> float:
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (a.width * a.height + b.width * b.height - both)


def _with_number(reading: Reading, number: Number, digits: tuple[Digit, ...]) -> Reading:
    """Give a number other digits; without any it goes, and its line with the last of its numbers."""
    lines = []
    for line in reading.lines:
        if not any(other is number for other in line.numbers):
            lines.append(line)
            continue
        numbers = [_of_digits(number, digits) if other is number else other for other in line.numbers]
        if left := [other for other in numbers if other.digits]:
            lines.append(_of_numbers(line, left))
    return replace(reading, lines=tuple(lines))


def _with_digits(reading: Reading, said: tuple[Digit, ...]) -> Reading:
    """Put digits that stand side by side where they belong."""
    box = _around(said)
    near = [(gap, k) for k, line in enumerate(reading.lines) if (gap := _gap_in_line(line, box)) is not None]
    if not near:
        number = Number("".join(str(digit.value) for digit in said), box, 1.0, said)
        below = [line for line in reading.lines if _middle(line.box) > _middle(box)]
        above = [line for line in reading.lines if _middle(line.box) <= _middle(box)]
        return replace(reading, lines=(*above, Line(box, (number,)), *below))
    chosen = min(near)[1]
    line = _line_with(reading.lines[chosen], said)
    return replace(reading, lines=tuple(line if k == chosen else other for k, other in enumerate(reading.lines)))


def _gap_in_line(line: Line, box: Box) -> int | None:
    """How far a mark is from the nearest digit of a line; None where that is higher or lower than it."""
    digits = [digit.box for number in line.numbers for digit in number.digits] or [line.box]
    nearest = min(digits, key=lambda other: _gap(other, box))
    shared = min(nearest.bottom, box.bottom) - max(nearest.top, box.top)
    return _gap(nearest, box) if shared > _ONE_LINE * min(nearest.height, box.height) else None


def _line_with(line: Line, said: tuple[Digit, ...]) -> Line:
    box = _around(said)
    heights = sorted(digit.box.height for number in line.numbers for digit in number.digits)
    near = _GAP * heights[len(heights) // 2] if heights else 0.0
    joined = [number for number in line.numbers if _gap(number.box, box) <= near]
    first = Number("", box, 1.0, ()) if not joined else joined[0]
    digits = sorted(
        (*said, *(digit for number in joined for digit in number.digits)), key=lambda digit: sum(digit.box[::2])
    )
    others = [number for number in line.numbers if not any(number is one for one in joined)]
    numbers = [*others, _of_digits(first, tuple(digits))]
    return _of_numbers(line, sorted(numbers, key=lambda number: number.box.left))


def _gap(a: Box, b: Box) -> int:
    """Columns between two boxes."""
    return max(a.left - b.right, b.left - a.right, 0)


def _middle(box: Box) -> float:
    return (box.top + box.bottom) / 2


def _of_digits(number: Number, digits: tuple[Digit, ...]) -> Number:
    confidence = round(prod(digit.confidence for digit in digits), 6)
    value = "".join(str(digit.value) for digit in digits)
    return replace(number, value=value, box=_around(digits or number.digits), confidence=confidence, digits=digits)


def _of_numbers(line: Line, numbers: Sequence[Number]) -> Line:
    return replace(line, box=_around(numbers), numbers=tuple(numbers))


def _around(marks: Sequence[Digit] | Sequence[Number]) -> Box:
    box = marks[0].box
    for mark in marks[1:]:
        box = box.around(mark.box)
    return box


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """An image and what it is.

    Attributes
    ----------
    number : int
        Its place in the files; it stays the same until it is removed.
    image : ndarray
        uint8 (28, 28), 0-255, ink bright on dark.
    label : int
        0-9, or ``NOT_A_DIGIT_LABEL``.
    """

    number: int
    image: NDArray[np.uint8]
    label: int


class Corrections:
    """The corrections in a folder. All methods may be called from any thread.

    Parameters
    ----------
    folder : Path
        Need not exist; it is made with the first correction.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def entries(self) -> list[Correction]:
        """Return them, the oldest place first.

        Raises
        ------
        DataError
            If a file is damaged.
        """
        with self._lock:
            images, labels = self._read()
        return [Correction(int(i), images[i], int(labels[i])) for i in np.flatnonzero(labels != _FREE)]

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return them as uint8 (n, 28, 28), 0-255, and uint8 (n,), 0-10.

        Raises
        ------
        DataError
            If a file is damaged.
        """
        with self._lock:
            images, labels = self._read()
        kept = labels != _FREE
        return images[kept], labels[kept]

    def add(self, image: NDArray[np.uint8], label: int) -> int:
        """Keep an image and what it is; for an image that is kept already, only the label changes.

        Returns
        -------
        int
            Its number.

        Raises
        ------
        InputError
            If it is no such image or label, or there are ``MOST_CORRECTIONS`` already.
        StorageError
            If it cannot be written; what was there is untouched.
        """
        if image.dtype != np.uint8 or image.shape != (28, 28):
            raise InputError(f"A correction is an image of uint8 (28, 28); got {image.dtype} {image.shape}.")
        if not 0 <= label <= NOT_A_DIGIT_LABEL:
            raise InputError(f"A correction's label is 0 to 9, or {NOT_A_DIGIT_LABEL} for no digit; got {label}.")
        with self._lock:
            images, labels = self._read()
            same = np.flatnonzero((labels != _FREE) & (images == image).all(axis=(1, 2)))
            if len(same):
                number = int(same[0])
            else:
                free = np.flatnonzero(labels == _FREE)
                number = int(free[0]) if len(free) else len(labels)
                if number >= MOST_CORRECTIONS:
                    raise InputError(
                        f"There are {MOST_CORRECTIONS:,} corrections, which is the most. Remove some, or begin anew by "
                        f"moving {self.folder} away."
                    )
                if number == len(labels):
                    images = np.concatenate([images, image[None]])
                    labels = np.append(labels, np.uint8(_FREE))
                images[number] = image
            labels[number] = label
            self._write(images, labels)
        return number

    def remove(self, number: int) -> None:
        """Forget a correction; its image is blackened in the files.

        Raises
        ------
        InputError
            If there is none of that number.
        StorageError
            If it cannot be written; what was there is untouched.
        """
        with self._lock:
            images, labels = self._read()
            if not 0 <= number < len(labels) or labels[number] == _FREE:
                raise InputError(f"There is no correction {number}; it may have been removed already.")
            labels[number] = _FREE
            self._write_one(_LABELS, labels)
            images[number] = 0
            self._write(images, labels)

    def __len__(self) -> int:
        with self._lock:
            return int((self._read()[1] != _FREE).sum())

    def _read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if not (self.folder / _LABELS).exists():
            return np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8)
        labels = read_idx(self.folder / _LABELS, max_bytes=MOST_CORRECTIONS + 64)
        images = read_idx(self.folder / _IMAGES, max_bytes=784 * (MOST_CORRECTIONS + 1))
        # One image more than labels is what a crash between the two files leaves.
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or labels.ndim != 1 or len(images) < len(labels):
            raise self._damaged("its two files do not belong together")
        if labels.dtype != np.uint8 or ((labels > NOT_A_DIGIT_LABEL) & (labels != _FREE)).any():
            raise self._damaged("a label is none")
        return images[: len(labels)], labels

    def _damaged(self, why: str) -> DataError:
        return DataError(f"The corrections in {self.folder} are damaged: {why}. Move the folder away to begin anew.")

    def _write(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for file in PACKAGED_FILES[2:]:
                if not (self.folder / file.name).exists():
                    with replacing(self.folder / file.name) as copy:
                        copy.write((PACKAGED_FOLDER / file.name).read_bytes())
        except OSError as error:
            raise StorageError(
                f"{self.folder} cannot be written: {error.strerror or error}. Make room, or start the Studio with "
                "another folder by --out."
            ) from error
        self._write_one(_IMAGES, images)
        self._write_one(_LABELS, labels)
        digits = labels < NOT_A_DIGIT_LABEL
        self._write_one(_TRAIN_IMAGES, images[digits])
        self._write_one(_TRAIN_LABELS, labels[digits])

    def _write_one(self, name: str, array: NDArray[np.uint8]) -> None:
        write_idx(self.folder / name, array)
