"""Images of 28 x 28 pixels: those that are as MNIST's are can be asked as they are."""

from __future__ import annotations

import io
import struct
import warnings

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["has_bright_ground", "is_framed", "small_image"]

_SIZE = (28, 28)
# 28 x 28 pixels need a few hundred bytes; what a drawing program adds about itself may be larger.
_MOST_BYTES = 5 * 2**20
# Digits in MNIST cover a fifth of the image: their mean is near 33, and no digit there is above 130.
_BRIGHT_GROUND = 127
# Where MNIST's digits have their centre of mass, and how far the ink of one reaches.
_MIDDLE_PX, _FIELD_PX = (13.0, 15.0), 20
_PLACES = np.arange(_SIZE[0])
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
    """Decode an image file of 28 x 28 pixels.

    Parameters
    ----------
    content : bytes
        The file. Whether it is damaged is told by who looks for the digit in it.

    Returns
    -------
    ndarray or None
        uint8 (28, 28), 0-255; None for a picture of another size or kind, in which the digit is to be found first.
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
