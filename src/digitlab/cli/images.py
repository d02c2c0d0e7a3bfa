"""Images of one digit: those that are as MNIST's are taken as they are, and those of IDX files."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitlab.data.idx import read_idx
from digitlab.errors import DataError

__all__ = ["Digit", "has_bright_ground", "is_framed", "read_digits"]

_SIZE = (28, 28)
# 28 x 28 pixels need a few hundred bytes; what a drawing program adds about itself may be larger.
_MOST_BYTES = 5 * 2**20
# Digits in MNIST cover a fifth of the image: their mean is near 33, and no digit there is above 130.
_BRIGHT_GROUND = 127
# Where MNIST's digits have their centre of mass, and how far the ink of one reaches.
_MIDDLE_PX, _FIELD_PX = (13.0, 15.0), 20
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ\x00")


@dataclass(frozen=True, slots=True, eq=False)
class Digit:
    """One image, and where it came from.

    Attributes
    ----------
    source : str
        For people: a file name, or ``file#index``.
    path : Path
        The file.
    image : ndarray or None
        uint8 (28, 28), 0-255; None for a picture of another size or kind, in which the digit is to be found first.
    from_idx : bool
        Whether it is one of an IDX file.
    """

    source: str
    path: Path
    image: NDArray[np.uint8] | None
    from_idx: bool = False


def read_digits(path: Path, indices: Sequence[int] = (), limit: int = 10) -> tuple[list[Digit], int]:
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
    digits : list of Digit
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
    return [Digit(str(path), path, _small_image(path))], 1


def has_bright_ground(image: NDArray[np.uint8]) -> bool:
    """Whether an image has dark ink on bright ground, it seems; MNIST has bright ink on dark."""
    return bool(image.mean() > _BRIGHT_GROUND)


def is_framed(image: NDArray[np.uint8]) -> bool:
    """Whether an image is as MNIST's are: bright ink on black, within 20 x 20, its centre of mass in the middle."""
    rows, columns = np.nonzero(image > image.max() // 8)
    if has_bright_ground(image) or not rows.size:
        return False
    is_within = max(np.ptp(rows), np.ptp(columns)) < _FIELD_PX
    total = image.sum(dtype=np.float64)
    middles = (image.sum(axis) @ np.arange(image.shape[0]) / total for axis in (0, 1))
    return bool(is_within and all(_MIDDLE_PX[0] <= middle <= _MIDDLE_PX[1] for middle in middles))


def _is_idx(path: Path) -> bool:
    try:
        # Asked before opening, because a named pipe would wait for its writer for ever.
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
    with open(path, "rb") as file:
        return file.read(6)


def _from_idx(path: Path, indices: Sequence[int], limit: int) -> tuple[list[Digit], int]:
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
    return [Digit(f"{path}#{index}", path, images[index], from_idx=True) for index in chosen], n


def _small_image(path: Path) -> NDArray[np.uint8] | None:
    """The pixels of a grey image of 28 x 28, and None for any other."""
    if path.stat().st_size > _MOST_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked here, before a pixel is decoded
            with Image.open(path, formats=_FORMATS) as image:
                return _grey(image) if image.size == _SIZE else None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None


def _grey(image: Image.Image) -> NDArray[np.uint8] | None:
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        return None  # ink on nothing: its ground is not known here
    if image.mode.startswith("I;16"):
        return (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
    return None if image.mode in ("I", "F") else np.array(image.convert("L"), np.uint8)
