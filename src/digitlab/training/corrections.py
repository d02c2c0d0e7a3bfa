"""Corrections: the images that were answered wrongly, with what they are, as an own set of digits to learn from.

They are kept in a folder::

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.data.idx import read_idx, write_idx
from digitlab.data.packaged import PACKAGED_FILES, PACKAGED_FOLDER
from digitlab.data.storage import holding, replacing
from digitlab.errors import DataError, InputError, StorageError

#: The label of what is no digit.
NOT_A_DIGIT_LABEL = 10

#: No more are kept than these: 4 MB, and more than anybody corrects by hand.
MOST_CORRECTIONS = 5_000

_FREE = 255
_IMAGES, _LABELS = "corrections-images-idx3-ubyte", "corrections-labels-idx1-ubyte"
_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """An image and what it is."""

    number: int  # its place in the files; it stays the same until it is removed
    image: NDArray[np.uint8]  # (28, 28), ink bright on dark
    label: int  # 0-9, or ``NOT_A_DIGIT_LABEL``


class Corrections:
    """The corrections in a folder, which is made with the first. All may be called from any thread and process.

    DataError where a file is damaged, StorageError where one cannot be written; what was there is then untouched.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def entries(self) -> list[Correction]:
        """Return them, the oldest place first."""
        with self._held():
            images, labels = self._read()
        return [Correction(int(i), images[i], int(labels[i])) for i in np.flatnonzero(labels != _FREE)]

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return them as uint8 (n, 28, 28), 0-255, and uint8 (n,), 0-10."""
        with self._held():
            images, labels = self._read()
        kept = labels != _FREE
        return images[kept], labels[kept]

    def add(self, image: NDArray[np.uint8], label: int) -> int:
        """Keep an image and what it is, and return its number; of an image that is kept, only the label changes.

        InputError if it is no such image or label, or there are ``MOST_CORRECTIONS`` already.
        """
        if image.dtype != np.uint8 or image.shape != (28, 28):
            raise InputError(f"A correction is an image of uint8 (28, 28); got {image.dtype} {image.shape}.")
        if not 0 <= label <= NOT_A_DIGIT_LABEL:
            raise InputError(f"A correction's label is 0 to 9, or {NOT_A_DIGIT_LABEL} for no digit; got {label}.")
        self._make_folder()
        with self._held():
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
        """Forget a correction; its image is blackened in the files. InputError if there is none of that number."""
        with self._held():
            images, labels = self._read()
            if not 0 <= number < len(labels) or labels[number] == _FREE:
                raise InputError(f"There is no correction {number}; it may have been removed already.")
            labels[number] = _FREE
            self._write_one(_LABELS, labels)
            images[number] = 0
            self._write(images, labels)

    def __len__(self) -> int:
        with self._held():
            return int((self._read()[1] != _FREE).sum())

    @contextmanager
    def _held(self) -> Iterator[None]:
        # Two processes, a Studio and a command, may share the folder, too.
        with self._lock, holding(self.folder):
            yield

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

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.folder} cannot be written: {error.strerror or error}. Make room, or start the Studio with another "
            "folder by --out."
        )

    def _write(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        self._make_folder()
        try:
            for file in PACKAGED_FILES[2:]:
                if not (self.folder / file.name).exists():
                    with replacing(self.folder / file.name) as copy:
                        copy.write((PACKAGED_FOLDER / file.name).read_bytes())
        except OSError as error:
            raise self._unwritable(error) from error
        self._write_one(_IMAGES, images)
        self._write_one(_LABELS, labels)
        digits = labels < NOT_A_DIGIT_LABEL
        self._write_one(_TRAIN_IMAGES, images[digits])
        self._write_one(_TRAIN_LABELS, labels[digits])

    def _write_one(self, name: str, array: NDArray[np.uint8]) -> None:
        write_idx(self.folder / name, array)
