"""Images of one digit: image files, and those of IDX files."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.data.idx import read_idx
from digitlab.data.storage import open_ordinary
from digitlab.errors import DataError
from digitlab.reading.predictor import DigitImage
from digitlab.reading.small_image import small_image

__all__ = ["read_digits"]

_SIZE = (28, 28)

_MOST_BYTES = 5 * 2**20  # more are no image of 28 x 28
_COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ\x00")


def read_digits(path: Path, indices: Sequence[int] = (), limit: int = 10) -> tuple[list[DigitImage], int]:
    """Read an image file, or some images of an IDX file.

    Parameters
    ----------
    path : Path
        Any image, or IDX, plain, ``.gz`` or ``.xz``.
    indices : sequence of int
        Which images of an IDX file, counted from 0.
    limit : int
        How many from its beginning, if ``indices`` is empty; 1 or more.

    Returns
    -------
    digits : list of DigitImage
        In order.
    n_in_file : int
        How many images the file has.

    Raises
    ------
    DataError
        If the file is missing, or an IDX file is damaged or has images of another size. Whether an image is damaged,
        is told by who looks for the digit in it.
    """
    if limit < 1:
        raise DataError(f"--limit must be a whole number of at least 1; got {limit}.")
    if _is_idx(path):
        return _from_idx(path, indices, limit)
    if indices:
        raise DataError(f"{path} is a single image; --index is for IDX files. Leave it out.")
    return [DigitImage(str(path), path, _small_image(path))], 1


def _is_idx(path: Path) -> bool:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
        start = _first_bytes(path) if is_file else b""
    except FileNotFoundError:
        raise DataError(f"There is no file {path}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{str(path)!r} cannot be read: {reason}. Check its name and permissions.") from None
    if not is_file:
        raise DataError(f"{path} is not a file. Name an image or an IDX file.")
    is_named_so = "idx" in path.name.lower() or path.name.lower().endswith("ubyte")
    return is_named_so or start.startswith(_COMPRESSED) or (start[:2] == b"\x00\x00" and start[2:3] >= b"\x08")


def _first_bytes(path: Path) -> bytes:
    with open_ordinary(path) as file:
        return file.read(6)


def _from_idx(path: Path, indices: Sequence[int], limit: int) -> tuple[list[DigitImage], int]:
    images = read_idx(path)
    if images.ndim == 1:
        raise DataError(f"{path} holds labels or other numbers, not images; name the file with the images.")
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != _SIZE:
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


def _small_image(path: Path) -> NDArray[np.uint8] | None:
    """The pixels of an image of 28 x 28, and None for any other; what is damaged is told by who looks at it."""
    try:
        with open_ordinary(path) as file:
            return small_image(file.read(_MOST_BYTES + 1))
    except OSError:
        return None
