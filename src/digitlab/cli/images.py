"""Single digits from image files and IDX files, with bounds on what is opened."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from digitlab.data.idx import read_idx
from digitlab.errors import DataError

__all__ = ["Digit", "read_digits"]

_SIZE = (28, 28)
# 28 x 28 pixels need a few hundred bytes; what a drawing program adds about itself may be larger.
_MOST_BYTES = 5 * 2**20
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ\x00")


@dataclass(frozen=True, slots=True, eq=False)
class Digit:
    """One image, uint8 (28, 28), 0-255, and where it came from."""

    source: str
    image: NDArray[np.uint8]


def read_digits(path: Path, indices: Sequence[int] = (), limit: int = 10) -> tuple[list[Digit], int]:
    """Read an image file, or some images of an IDX file.

    Parameters
    ----------
    path : Path
        28 x 28 pixels in a usual format, or IDX, plain, ``.gz`` or ``.xz``.
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
        If the file is missing, damaged, too large, or its images are not 28 x 28.
    """
    if limit < 1:
        raise DataError(f"--limit must be a whole number of at least 1; got {limit}.")
    if _is_idx(path):
        return _from_idx(path, indices, limit)
    if indices:
        raise DataError(f"{path} is a single image; --index is for IDX files. Leave it out.")
    return [Digit(str(path), _from_image(path))], 1


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
        raise DataError(f"{path} is not a file. Name an image of 28 x 28 pixels or an IDX file.")
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
    return [Digit(f"{path}#{index}", images[index]) for index in chosen], n


def _from_image(path: Path) -> NDArray[np.uint8]:
    n_bytes = path.stat().st_size
    if n_bytes > _MOST_BYTES:
        raise DataError(
            f"{path} has {n_bytes:,} bytes, too many for a digit of 28 x 28 pixels. For now the digit must be cut out "
            "and scaled to 28 x 28 first."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked here, before a pixel is decoded
            with Image.open(path, formats=_FORMATS) as image:
                if image.size != _SIZE:
                    width, height = image.size
                    raise DataError(
                        f"{path} is {width} x {height} pixels; 28 x 28 is needed for now. Cut the digit out and scale "
                        "it to 28 x 28 first."
                    )
                return _grey(image, path)
    except UnidentifiedImageError:
        raise DataError(f"{path} is no image that can be read; {', '.join(_FORMATS)} and IDX files can be.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path} has far too many pixels; 28 x 28 is needed for now.") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be decoded: {str(error).rstrip('.')}. Save or copy it again.") from None


def _grey(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
        if alpha.min() < 255:
            # Ink on nothing: whether the ground is to be dark or bright cannot be known.
            raise DataError(f"{path} is transparent in places; save it with a plain ground, black by preference.")
    if image.mode.startswith("I;16"):
        return (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise DataError(f"{path} has pixels of 32 bits; save it in grey with 8 bits.")
    return np.array(image.convert("L"), np.uint8)
