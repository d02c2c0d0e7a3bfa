"""Bodies: what was sent, and no more than is allowed, of one request and of all together; and what it asks.

Forms are taken apart in memory, in a thread where they are large, and nothing is written to disk.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from digitlab.errors import DataError
from digitlab.reading.predictor import DigitImage, small_image
from digitlab.serving.guard import RefusedError

T = TypeVar("T")

# Of all requests that are being answered, beside one of the largest.
_MOST_HELD = 256_000_000
_MOST_DIGITS = 18

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

_PART = r"(?:\\d|[0-9])(?:\{[1-9][0-9]?\})?"
#: What such an expectation looks like, as a regular expression.
PATTERN = rf"^(?:{_PART})+(?:\|(?:{_PART})+)*$"
_MOST_CHARACTERS = 200

_MOST_NAME = 200
# What is wrong with a form is told to who sent it; without this, Python would print it, too.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


def header(scope: Scope, name: bytes) -> str:
    """Return a request's header; empty where there is none. ``name`` is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do something for a client whose body has been read, and stop when the client has gone.

    Raises ``RefusedError`` if the client has gone; nobody will see it but the log.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise RefusedError(400, "The connection was closed before the answer was ready.")
    finally:
        for task in (working, gone):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


class Bodies:
    """Reads bodies of ``max_bytes`` within ``timeout_s`` seconds each; ``n_held`` bytes of them are held now."""

    def __init__(self, max_bytes: int, timeout_s: float) -> None:
        self.max_bytes, self.timeout_s = max_bytes, timeout_s
        self.n_held = 0

    @asynccontextmanager
    async def of(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """Read the body of a request, and count it as held until the end of the ``async with`` block.

        Raises ``RefusedError`` if it is too large (told before it is read, where its header says so), too slow, or
        broken off, or if all together would take too much memory.
        """
        length = header(scope, b"content-length")
        if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > self.max_bytes):
            raise self._too_large()
        content, chunk = bytearray(), b""
        n_bytes, is_more = 0, True
        try:
            try:
                async with asyncio.timeout(self.timeout_s):
                    while is_more:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise RefusedError(400, "The connection was closed before the body had arrived.")
                        chunk = message.get("body", b"")
                        n_bytes += len(chunk)
                        self.n_held += len(chunk)
                        self._check(n_bytes)
                        is_more = message.get("more_body", False)
                        if is_more or content:
                            content += chunk
            except TimeoutError:
                raise RefusedError(
                    408,
                    f"The body did not arrive within {self.timeout_s:g} seconds.",
                    "Send it again, over a faster connection or smaller.",
                ) from None
            scope["digitlab.bytes"] = n_bytes
            yield bytes(content) if content else chunk  # most come in one piece
        finally:
            self.n_held -= n_bytes

    def _check(self, n_bytes: int) -> None:
        if n_bytes > self.max_bytes:
            raise self._too_large()
        if self.n_held > _MOST_HELD + self.max_bytes:
            words = "The server holds as much as it can of what others sent."
            raise RefusedError(503, words, "Try again later.", retry_after_s=2)

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413,
            f"A request has at most {self.max_bytes:,} bytes.",
            "Save the photo smaller, or send fewer images at a time.",
        )


@dataclass(frozen=True, slots=True)
class File:
    """One file of a form: its name without folders, for people only, and what is in it."""

    name: str
    content: bytes


class _Parts:
    """What the parser calls: collects the parts' headers and contents."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.files: list[File] = []
        self.is_complete = False
        self._header = self._value = b""
        self._disposition = b""
        self._content = bytearray()

    def on_part_begin(self) -> None:
        if len(self.files) >= self.most:
            raise DataError(f"The form has more than {self.most:,} files. Send fewer at a time.")
        self._header = self._value = self._disposition = b""
        self._content = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def on_part_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options and field != "file":
            raise DataError(
                f"The part {field[:_MOST_NAME]!r} of the form is no file. Send files only, with curl: "
                "-F file=@digit.png; options belong into the address."
            )
        name = options.get(b"filename", b"").decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
        self.files.append(File(name[:_MOST_NAME] or "image", bytes(self._content)))
        self._content = bytearray()

    def on_end(self) -> None:
        self.is_complete = True


_CALLED = tuple(name for name in vars(_Parts) if name.startswith("on_"))


def files_of(body: bytes, content_type: str, most: int) -> list[File]:
    """Take a form of at most ``most`` files apart; its content type has the boundary.

    Raises ``DataError`` if it is no complete form, has no file, has too many, or something that is no file.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise DataError("The form has no boundary in its Content-Type. Let your client set that header.")
    parts = _Parts(most)
    callbacks = {name: getattr(parts, name) for name in _CALLED}
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise DataError(f"The form cannot be read: {str(error).rstrip('.')}. Send it again.") from None
    if not parts.is_complete:
        raise DataError("The form ends before its last boundary. Send it again.")
    if not parts.files:
        raise DataError("The form has no file. Send one at least, with curl: -F file=@digit.png")
    return parts.files


def checked_expectation(expect: str | None) -> str | None:
    r"""Return an expectation if it is harmless, and raise a DataError if it is another regular expression.

    ``digitlab read --expect`` takes any, and some take longer than the universe to say no. Over HTTP only a small part
    is taken: digits and ``\d``, each exactly once or exactly ``{n}`` times, and ``|`` between alternatives. A text is
    tried against those in one pass each.

    >>> checked_expectation(r"20\d\d|\d{6}")
    '20\\d\\d|\\d{6}'
    """
    if expect is not None and (len(expect) > _MOST_CHARACTERS or not re.match(PATTERN, expect, re.ASCII)):
        raise DataError(
            r"Over HTTP expect knows digits, \d, exact counts and alternatives, as in \d{4} or 20\d\d|\d{6}; other "
            "regular expressions are for the command: digitlab read --expect"
        )
    return expect


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Images to answer: ``given``, float32 (n, 28, 28), 0-1, ink bright on dark, to be asked as they are; or files."""

    given: NDArray[np.float32] | None = None
    files: list[DigitImage] = field(default_factory=list)


async def taken_apart(take: Callable[..., T], body: bytes, *arguments: Any) -> T:
    """Return ``take(body, *arguments)``, of large bodies without keeping the event loop from others."""
    if len(body) <= _MOST_BYTES_ON_LOOP:
        return take(body, *arguments)
    return await asyncio.get_running_loop().run_in_executor(_TAKING_APART, take, body, *arguments)


def asked_of(body: bytes, content_type: str, most: int) -> Asked:
    """Return the images of a body, at most ``most``.

    Raises ``DataError`` if it is not what its type says, or holds too many. Raises ``RefusedError`` if its type is none
    of ``PREDICT_TYPES``.
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
