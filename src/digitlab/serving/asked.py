"""What was asked: images out of a body, whichever way they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from digitlab.errors import DataError
from digitlab.reading.predictor import DigitImage
from digitlab.reading.small_image import small_image
from digitlab.serving.multipart import File, files_of
from digitlab.serving.refusals import RefusedError

__all__ = ["PHOTO_TYPES", "PREDICT_TYPES", "Asked", "asked_of", "photo_of", "taken_apart"]

T = TypeVar("T")

#: What may be sent to predict, and a photo or document to read.
PREDICT_TYPES = ("multipart/form-data", "image/png", "image/jpeg", "application/octet-stream", "application/json")
PHOTO_TYPES = ("multipart/form-data", "image/png", "image/jpeg", "application/pdf", "application/octet-stream")

# How files of images begin that are opened for others; documents begin with %PDF- within the first kilobyte.
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_PDF, _HEAD_BYTES = b"%PDF-", 1024
_SIDE_PX = 28
_PIXELS = _SIDE_PX * _SIDE_PX
_MOST_JSON_BYTES = 16_000_000
# Of a pixel that is not 0, scaled in any of the usual ways.
_LEAST_FLOAT, _MOST_FLOAT = 1e-6, 255.0

# What is taken apart on the event loop: some ten images in JSON, a millisecond at most. More goes to a thread, one body
# after the other, because JSON takes twenty times its bytes meanwhile.
_MOST_BYTES_ON_LOOP = 64_000
_TAKING_APART = ThreadPoolExecutor(1, thread_name_prefix="digitlab-bodies")


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Images to answer.

    Attributes
    ----------
    given : ndarray or None
        float32 (n, 28, 28), 0-1, ink bright on dark, to be asked as they are; None where files were sent.
    files : list of DigitImage
        Pictures in which the digit may have to be found first.
    """

    given: NDArray[np.float32] | None = None
    files: list[DigitImage] = field(default_factory=list)


async def taken_apart(take: Callable[..., T], body: bytes, *arguments: Any) -> T:
    """Return ``take(body, *arguments)``, of large bodies without keeping the event loop from others."""
    if len(body) <= _MOST_BYTES_ON_LOOP:
        return take(body, *arguments)
    return await asyncio.get_running_loop().run_in_executor(_TAKING_APART, take, body, *arguments)


def asked_of(body: bytes, content_type: str, most: int) -> Asked:
    """Return the images of a body.

    Parameters
    ----------
    body : bytes
        What was sent.
    content_type : str
        The header of that name.
    most : int
        Images at most.

    Raises
    ------
    DataError
        If it is not what its type says, or holds too many.
    RefusedError
        If its type is none of ``PREDICT_TYPES``.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/octet-stream":
        return Asked(_from_bytes(body, most))
    if kind == "application/json":
        return Asked(_from_json(body, most))
    if kind == "multipart/form-data":
        return Asked(files=[_picture(file) for file in files_of(body, content_type, most)])
    if kind in PREDICT_TYPES:
        return Asked(files=[_picture(File("image", body))])
    raise _unknown(content_type, PREDICT_TYPES)


def photo_of(body: bytes, content_type: str) -> File:
    """Return the photo or document of a body; errors as ``asked_of``."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in PHOTO_TYPES:
        raise _unknown(content_type, PHOTO_TYPES)
    file = files_of(body, content_type, 1)[0] if kind == "multipart/form-data" else File("image", body)
    if not file.content.startswith(_SIGNATURES) and _PDF not in file.content[:_HEAD_BYTES]:
        raise DataError(f"{file.name} is no PNG, JPEG or PDF, whatever its name says. Save it as one of them.")
    return file


def _unknown(content_type: str, known: tuple[str, ...]) -> RefusedError:
    return RefusedError(
        415,
        f"The Content-Type {content_type[:100]!r} is not understood here; it is one of {', '.join(known)}.",
        "With curl: -F file=@digit.png, or --data-binary @digit.png -H 'Content-Type: image/png'",
    )


def _picture(file: File) -> DigitImage:
    if not file.content.startswith(_SIGNATURES):
        raise DataError(f"{file.name} is neither PNG nor JPEG, whatever its name says. Save it as one of them.")
    return DigitImage(file.name, file.content, small_image(file.content))


def _from_bytes(body: bytes, most: int) -> NDArray[np.float32]:
    n, rest = divmod(len(body), _PIXELS)
    if rest or not n:
        raise DataError(
            f"Raw images have {_PIXELS} bytes each, 28 x 28, row by row, ink bright on dark; got {len(body):,} bytes. "
            "For an image file, say so: Content-Type: image/png"
        )
    _check_number(n, most)
    for dtype in ("<f4", "<f8"):
        if n % np.dtype(dtype).itemsize == 0 and _are_floats(np.frombuffer(body, dtype)):
            raise DataError(
                f"These look like {np.dtype(dtype).name} numbers; raw images are bytes, uint8, 0 to 255. In Python: "
                "(images * 255).astype('uint8').tobytes(), or send numbers from 0 to 1 as JSON."
            )
    pixels = np.frombuffer(body, np.uint8).reshape(n, _SIDE_PX, _SIDE_PX)
    return pixels.astype(np.float32) / np.float32(255)


def _are_floats(numbers: NDArray[np.floating[Any]]) -> bool:
    """Whether bytes are floats of the size that pixels have; those of images of uint8 are next to never."""
    with np.errstate(invalid="ignore"):
        sizes = np.abs(numbers[numbers != 0])
        return len(sizes) > 0 and bool(((sizes >= _LEAST_FLOAT) & (sizes <= _MOST_FLOAT)).all())


def _from_json(body: bytes, most: int) -> NDArray[np.float32]:
    # Lists and objects take twenty times the memory of their text, so they are counted before they are made.
    if len(body) > _MOST_JSON_BYTES or body.count(b"[") > (_SIDE_PX + 1) * most + 1 or body.count(b"{") > 1:
        raise DataError(f"This is more than {most:,} images, or no images. Send raw bytes, or fewer at a time.")
    if body.count(b":") > 1:
        raise _no_list()
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise DataError(f"The body is no JSON: {error}. Send an object with images: {{'images': [[...]]}}") from None
    if b"true" in body or b"false" in body:
        raise DataError("Pixels are numbers, not true or false. Send 1 and 0.")
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not images:
        raise _no_list()
    _check_number(len(images), most)
    # Beside the name, texts would be in lists: of those NumPy makes arrays as wide as the longest one.
    if body.count(b'"') > 2 or not all(map(_has_shape, images)):
        raise _no_image()
    return _as_fractions(_as_array(images))


def _has_shape(image: Any) -> bool:
    """Tell whether an image is 784 of something or 28 rows of 28 of something."""
    if not isinstance(image, list):
        return False
    if len(image) == _SIDE_PX:
        return all(isinstance(row, list) and len(row) == _SIDE_PX for row in image)
    return len(image) == _PIXELS


def _no_list() -> DataError:
    return DataError('The JSON is an object with one list: {"images": [...]}, each image 28 rows of 28 numbers.')


def _no_image() -> DataError:
    return DataError(
        "An image in JSON is 28 rows of 28 numbers, or 784 numbers row by row, all of them from 0 to 255 or all "
        "from 0 to 1; one of these is not. Check the shape and that nothing but numbers is in it."
    )


def _as_array(images: list[Any]) -> NDArray[np.float64]:
    try:
        array = np.asarray(images)
    except ValueError:  # some are rows, some are not
        raise _no_image() from None
    if array.dtype.kind not in "iuf" or array.shape[1:] not in ((_SIDE_PX, _SIDE_PX), (_PIXELS,)):
        raise _no_image()
    return array.reshape(-1, _SIDE_PX, _SIDE_PX).astype(np.float64)


def _as_fractions(array: NDArray[np.float64]) -> NDArray[np.float32]:
    if array.min() < 0 or array.max() > 255:
        raise DataError("Pixels are numbers from 0 to 255, or from 0 to 1; ink is bright. Scale them first.")
    # Where none is above 1, they are fractions of full ink: of 0 to 255, such images would be black to the eye.
    return (array / (255.0 if array.max() > 1 else 1.0)).astype(np.float32)


def _check_number(n: int, most: int) -> None:
    if n > most:
        raise DataError(f"A request has at most {most:,} images; got {n:,}. Send fewer at a time.")
