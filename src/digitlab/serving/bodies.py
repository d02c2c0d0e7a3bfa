"""Bodies: what was sent, and no more than is allowed, of one request and of all together; and what it asks.

Forms are taken apart in memory, in a thread where they are large, and nothing is written to disk.
"""

from __future__ import annotations

import asyncio
import binascii
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
from digitlab.reading.photo import kind_of
from digitlab.reading.predictor import DigitImage, small_image
from digitlab.serving.guard import RefusedError

T = TypeVar("T")

# Of all requests that are being answered, beside one of the largest.
_MOST_HELD = 256_000_000
_MOST_DIGITS = 18

_FORM, _RAW, _JSON = "multipart/form-data", "application/octet-stream", "application/json"
_PICTURES = ("png", "jpeg", "webp", "gif", "tiff", "bmp", "heic", "avif")
#: What may be sent to predict, and a photo or document to read. What else says that it is an image is looked at, too.
PREDICT_TYPES = (_FORM, *(f"image/{kind}" for kind in _PICTURES), _RAW, _JSON)
PHOTO_TYPES = (_FORM, *(f"image/{kind}" for kind in _PICTURES), "application/pdf", _RAW, _JSON)

# What is opened for others, whatever it is called.
_KINDS = ("PNG", "JPEG", "WebP", "GIF", "TIFF", "BMP", "HEIC", "AVIF")
_SIDE_PX = 28
_PIXELS = _SIDE_PX * _SIDE_PX
_SHAPES = ((_SIDE_PX, _SIDE_PX), (_PIXELS,), (_SIDE_PX, _SIDE_PX, 1), (1, _SIDE_PX, _SIDE_PX))
_MOST_JSON_BYTES = 16_000_000  # of numbers
# The name that one image has in JSON, and those that several have; the last is TensorFlow Serving's.
_ONE, _MANY = "image", ("images", "instances")
# What may stand between letters of base64, and its letters for addresses as those of the standard.
_SPACES, _STANDARD = b" \t\r\n\v\f", bytes.maketrans(b"-_", b"+/")
_LONGEST_HEAD = 1_000  # of a data URL
# A number alone in a list: the only channel of a pixel.
_ALONE = re.compile(rb"\[\s*([-+.0-9eE]+)\s*\]")
# Of a pixel that is not 0, scaled in any of the usual ways; and how many of those of an image are so, where floats are.
_LEAST_FLOAT, _MOST_FLOAT, _MOST_FLOATS = 1e-6, 255.0, 0.98
# What raw numbers may be besides bytes, the widest first: half of one may look like a narrower one.
_WIDER = ("<f8", "<u8", "<f4", "<u4", "<f2", "<u2")
# Brighter pixels than 1 and less bright than this are of neither scale.
_LEAST_BRIGHT = 16

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
                f"The part {field[:_MOST_NAME]!r} of the form is no file. Send files only, with curl: -F "
                "file=@digit.png, of a canvas what toBlob() gives; options belong into the address."
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
    kind = _media_type(content_type)
    if kind == _JSON:
        return _from_json(body, most)
    if kind == _FORM:
        return Asked(files=[_picture(file) for file in files_of(body, content_type, most)])
    if kind == _RAW and not kind_of(body):
        return Asked(_from_bytes(body, most))
    if kind == _RAW or kind.startswith("image/"):
        return Asked(files=[_picture(File("image", body))])
    raise _unknown(content_type, PREDICT_TYPES)


def photo_of(body: bytes, content_type: str) -> File:
    """Return the photo or document of a body; errors as ``asked_of``."""
    kind = _media_type(content_type)
    if kind == _JSON:
        file = _photo_in_json(body)
    elif kind == _FORM:
        file = files_of(body, content_type, 1)[0]
    elif kind.startswith("image/") or kind in PHOTO_TYPES:
        file = File("image", body)
    else:
        raise _unknown(content_type, PHOTO_TYPES)
    if kind_of(file.content) not in (*_KINDS, "PDF"):
        raise _no_picture(file, "PDF")
    return file


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _unknown(content_type: str, known: tuple[str, ...]) -> RefusedError:
    return RefusedError(
        415,
        f"The Content-Type {content_type[:100]!r} is not understood here; it is one of {', '.join(known)}.",
        "With curl: -F file=@digit.png, or --data-binary @digit.png -H 'Content-Type: image/png'. In a browser: "
        "fetch(address, {method: 'POST', headers: {'Content-Type': 'application/json'}, "
        "body: JSON.stringify({image: canvas.toDataURL()})})",
    )


def _no_picture(file: File, *more: str) -> DataError:
    kind = kind_of(file.content)
    what = f"is {kind}" if kind else "is no picture that is read here, whatever its name says"
    kinds = ", ".join((*_KINDS, *more))
    step = "Send documents to /api/read." if kind == "PDF" else f"Save it as one of {kinds}."
    return DataError(f"{file.name} {what}. {step}")


def _picture(file: File) -> DigitImage:
    if kind_of(file.content) not in _KINDS:
        raise _no_picture(file)
    return DigitImage(file.name, file.content, small_image(file.content))


def _from_bytes(body: bytes, most: int) -> NDArray[np.float32]:
    n, rest = divmod(len(body), _PIXELS)
    if rest or not n:
        saved = " Of a .npy file send the array alone: images.tobytes()." if body.startswith(b"\x93NUMPY") else ""
        raise DataError(
            f"Raw images have {_PIXELS} bytes each, 28 x 28, row by row, ink bright on dark; got {len(body):,} bytes."
            f"{saved} For an image file, say so: Content-Type: image/png"
        )
    for dtype in map(np.dtype, _WIDER):
        if n % dtype.itemsize == 0 and _are_pixels(np.frombuffer(body, dtype)):
            raise DataError(
                f"These look like {dtype.name} numbers, {_counted(n // dtype.itemsize)}; raw images are bytes, uint8, "
                "0 to 255. In Python: (images * 255).astype('uint8').tobytes() where they are from 0 to 1, or else "
                "images.astype('uint8').tobytes(). Or send the numbers as JSON."
            )
    _check_number(n, most)
    pixels = np.frombuffer(body, np.uint8).reshape(n, _SIDE_PX, _SIDE_PX)
    return pixels.astype(np.float32) / np.float32(255)


def _are_pixels(numbers: NDArray[Any]) -> bool:
    """Whether bytes are wider numbers of the size that pixels have; those of images of uint8 are next to never."""
    if numbers.dtype.kind == "u":
        return bool(numbers.any() and numbers.max() <= _MOST_FLOAT)
    with np.errstate(invalid="ignore"):
        sizes = np.abs(numbers[numbers != 0])
        are_usual = (sizes >= _LEAST_FLOAT) & (sizes <= _MOST_FLOAT)
        return len(sizes) > 0 and float(are_usual.mean()) >= _MOST_FLOATS


def _counted(n: int) -> str:
    return f"{n:,} image{'' if n == 1 else 's'}"


# ---- JSON ----


def _from_json(body: bytes, most: int) -> Asked:
    name, images = _named_in_json(body, most)
    if isinstance(images, str):
        images = [images]
    if not isinstance(images, list) or not images:
        raise _no_list()
    if all(isinstance(image, str) for image in images):
        _check_number(len(images), most)
        names = ["image"] if len(images) == 1 else [f"image#{k}" for k in range(len(images))]
        contents = map(_decoded, images, names)
        return Asked(files=[_picture(file) for file in map(File, names, contents)])
    if body.count(b'"') > 2:  # of texts NumPy makes arrays as wide as the longest one
        raise _no_image()
    if b"true" in body or b"false" in body:
        raise DataError("Pixels are numbers, not true or false. Send 1 and 0.")
    if _is_one_image(images):
        images = [images]
    _check_number(len(images), most)
    if not all(map(_has_shape, images)):
        raise _colors() if any(map(_has_colors, [images, *images])) else _no_image()
    if name == _ONE and len(images) > 1:
        raise DataError(f'These are {len(images):,} images. Call them "images", as in {{"images": [...]}}.')
    return Asked(_as_fractions(_as_array(images)))


def _photo_in_json(body: bytes) -> File:
    _, images = _named_in_json(body, 1)
    if isinstance(images, list) and len(images) == 1:
        images = images[0]
    if not isinstance(images, str):
        raise DataError(
            'A photo in JSON is one text with its bytes in base64, such as canvas.toDataURL() gives: {"image": '
            '"data:image/png;base64,..."}. Send one; numbers are for /api/predict.'
        )
    return File("image", _decoded(images, "image"))


def _named_in_json(body: bytes, most: int) -> tuple[str, Any]:
    """Return what a body of JSON has under one of the names, and the name.

    Lists and objects take twenty times the memory of their text, so they are counted before they are made.
    """
    if body.count(b"{") > 1:
        raise DataError(
            'An image in JSON is a list of numbers, as in {"images": [[...]]}, or a text in base64, and no object. The '
            'pixels of a canvas become one: send canvas.toDataURL() as "image", or Array.from(numbers).'
        )
    n_texts = body.count(b'"') // 2 - 1
    has_texts = n_texts > 0
    if body.count(b"[") * 2 > body.count(b",") and not has_texts:
        body = _ALONE.sub(rb"\1", body)
    most_lists = (_SIDE_PX + 1) * most + 2
    if (
        body.count(b"[") > most_lists
        or (has_texts and body.count(b",") > 2 * most + 2)
        or (not has_texts and len(body) > _MOST_JSON_BYTES)
    ):
        raise DataError(
            f"This is more than {_counted(most)}, or no images: under one name, all of them numbers or all texts in "
            "base64. Send raw bytes, or fewer at a time."
        )
    if body.count(b":") > 1 + max(n_texts, 0):
        raise _no_list()
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        step = 'Send {"image": "data:image/png;base64,..."} or {"images": [[...]]}.'
        raise DataError(f"The body is no JSON: {error}. {step}") from None
    if not isinstance(document, dict) or len(document) != 1 or (name := next(iter(document))) not in (_ONE, *_MANY):
        raise _no_list()
    return name, document[name]


def _decoded(text: str, name: str) -> bytes:
    """Return the bytes of a picture in base64, with or without the ``data:`` address around it that browsers make."""
    kind, data = "", text.strip()
    if data[:5].lower() == "data:":
        head, _, data = data.partition(",")
        kind, *settings = (word.strip().lower() for word in head[5:_LONGEST_HEAD].split(";"))
        if not data or data.isspace():
            raise DataError(f"{name} is a data URL with nothing in it: a canvas has to have a width and a height.")
        if "base64" not in settings:
            raise DataError(f'{name} is no base64. Send what canvas.toDataURL() gives: "data:image/png;base64,..."')
        if kind and not kind.startswith("image/") and kind not in PHOTO_TYPES:
            raise DataError(f"{name} says that it is {kind[:100]}, which is no picture. Send image/png or image/jpeg.")
    elif "://" in data[:40] or data[:5].lower() == "blob:":
        raise DataError(f"{name} is an address, and nothing is fetched from there. Send the picture itself.")
    # Of a line each 76 characters, for addresses (- and _), and without = at the end: all of them are usual.
    try:
        plain = data.encode("ascii").translate(_STANDARD, _SPACES).rstrip(b"=")
        content = binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:  # binascii's and codecs' errors are some
        content = b""
    if not content:
        raise DataError(
            f"{name} is no base64, or not all of it. Send what canvas.toDataURL() gives, or in Python: "
            "base64.b64encode(content).decode()"
        )
    return content


def _is_one_image(images: list[Any]) -> bool:
    """Tell whether what stands for all images is one alone: 784 numbers, 28 rows of 28, or those of colors."""
    first = images[0]
    if not isinstance(first, list):
        return True
    return len(images) == len(first) == _SIDE_PX and not isinstance(first[0], list)


def _has_shape(image: Any) -> bool:
    """Tell whether an image is 784 of something or 28 rows of 28 of something, maybe in a list of its only channel."""
    if isinstance(image, list) and len(image) == 1 and isinstance(image[0], list):
        image = image[0]
    if not isinstance(image, list):
        return False
    if len(image) == _SIDE_PX:
        return all(isinstance(row, list) and len(row) == _SIDE_PX for row in image)
    return len(image) == _PIXELS


def _has_colors(image: Any) -> bool:
    """Tell whether an image has three or four numbers a pixel."""
    if not isinstance(image, list):
        return False
    rows = image if len(image) == _SIDE_PX else []
    pixels = [row[0] for row in rows if isinstance(row, list) and len(row) == _SIDE_PX]
    are_colors = any(isinstance(pixel, list) and len(pixel) in (3, 4) for pixel in pixels)
    return are_colors or len(image) in (3 * _PIXELS, 4 * _PIXELS)


def _colors() -> DataError:
    return DataError(
        "These are colors, three or four numbers a pixel, and one is needed: how much ink there is. Of a canvas send "
        'canvas.toDataURL() as "image".'
    )


def _no_list() -> DataError:
    return DataError(
        'The JSON is an object with one name: {"image": "data:image/png;base64,..."}, or {"images": [...]} with more '
        "of those, or with 28 rows of 28 numbers each. Options belong into the address."
    )


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
    if array.dtype.kind not in "iuf" or array.shape[1:] not in _SHAPES:
        raise _no_image()
    return array.reshape(-1, _SIDE_PX, _SIDE_PX).astype(np.float64)


def _as_fractions(array: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return images from 0 to 1; where none is above 1 they are so already, for of 0 to 255 nothing could be seen."""
    least, brightest = float(array.min()), float(array.max())
    if least < 0 or brightest > 255:
        scaled = "scaled for a network, it seems; send them as they were before" if least < 0 else "Scale them first"
        raise DataError(
            f"Pixels are numbers from 0 to 255, or from 0 to 1; ink is bright. These go from {least:g} to "
            f"{brightest:g}: {scaled}."
        )
    if 1 < brightest < _LEAST_BRIGHT:
        raise DataError(
            f"The brightest pixel is {brightest:g}: too much for 0 to 1, and of 0 to 255 nothing could be seen. "
            "Send all from 0 to 1, or all from 0 to 255."
        )
    if brightest <= 1:
        return array.astype(np.float32)
    tops = array.max((1, 2))
    if ((tops > 0) & (tops <= 1)).any():
        raise DataError("Some images go to 255 and some to 1. Send all from 0 to 1, or all from 0 to 255.")
    return (array / 255.0).astype(np.float32)


def _check_number(n: int, most: int) -> None:
    if n > most:
        raise DataError(f"A request has at most {_counted(most)}; got {n:,}. Send fewer at a time.")
