"""Photo: any file or array, opened upright and bounded, so that nothing a file claims can exhaust the machine."""

from __future__ import annotations

import importlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.data.storage import read_ordinary
from digitlab.engine.cpu.threads import available_threads
from digitlab.errors import DataError
from digitlab.processes import is_apart
from digitlab.reading.apart import Apart

if TYPE_CHECKING:
    from PIL import Image

#: What a photo may be: a path, a file's bytes, an open file, a Pillow image, or an array. Pillow's type cannot be named
#: without importing it.
PhotoSource = Any

#: Photos with more pixels are refused, unless their decoder can shrink them on the way.
MOST_MEGAPIXELS = 50
#: Longest side of the picture that is worked on. A page's digits of 4 mm then have 30 pixels; more tell no more.
WORK_PX = 2000
_MOST_BYTES = 400_000_000
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_RAW = "a camera's raw data"
#: By what ``kind_of`` looks at.
HEAD_BYTES = 1024
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS\0", "PSD"),
    # From here on what is not opened.
    (b"\0\0\0\x0cJXL \r\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"gimp xcf ", "XCF, as GIMP saves it,"),
    (b"AT&TFORM", "DjVu"),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"IIRO", _RAW),
    (b"IIU\0", _RAW),
    (b"%!PS-Adobe", "PostScript"),
)
_UNOPENED = {kind for _, kind in _STARTS[11:]} | {"SVG"}
# The tag that DNG has, and that of pictures within a picture.
_DNG_TAG, _SUB_PICTURES_TAG = 50706, 330
# A TIFF may hold copies of its pages in several sizes; those of one page are few.
_MOST_COPIES = 1000
# Whose further pictures are pages, or an animation's: each may show something else. In the others they are parts or
# copies of the first: an MPO's second eye and depth, an icon's sizes, the layers of a PSD.
_OF_PAGES = {"TIFF", "GIF", "PNG", "WEBP", "AVIF", "HEIF", "DCX", "FLI"}
# TIFF 6.0, section 8: NewSubfileType.
_TIFF_KIND, _TIFF_COPY, _TIFF_MASK = 254, 1, 4
#: Pillow hands EPS to another program; the others are stubs that need one.
_NOT_OPENED = {"EPS", "BUFR", "GRIB", "HDF5", "WMF", "MPEG", "FITS"}


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo or page as it is worked on: uint8 (h, w) or (h, w, 3), 0-255, red first, shrunk to a handy size.

    ``width`` and ``height`` are the photo's own, upright as its EXIF data says; ``page`` counts from 1.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    source: str = "image"
    page: int = 1


def open_photo(photo: PhotoSource, longest_px: int = WORK_PX) -> Photo:
    """Open a photo, or the first page of a document, and keep at most ``longest_px`` of its longer side.

    Arrays are (h, w), (h, w, 1), (h, w, 3) or (h, w, 4): uint8, uint16, bool, or floats from 0 to 1. DataError says why
    something cannot be opened and what to do.
    """
    return next(open_pages(photo, 1, longest_px))


def open_pages(
    photo: PhotoSource, most_pages: int = 200, longest_px: int = WORK_PX, *, first_page: int = 1
) -> Iterator[Photo]:
    """Open the pages of a PDF or TIFF, or the pictures of an animation, one by one, from ``first_page`` on.

    A photo has one. Else as ``open_photo``.
    """
    if isinstance(photo, np.ndarray):
        yield _bounded(_from_array(photo), "image", longest_px)
        return
    if hasattr(photo, "getexif") and hasattr(photo, "mode"):
        yield _from_pillow(photo, "image", longest_px)
        return
    content, source = _content(photo)
    kind = kind_of(content)
    if kind == "PDF":
        for page, pixels in pdf_pages(content, source, most_pages, longest_px, first_page):
            yield replace(_bounded(_from_array(pixels), source, longest_px), page=page)
        return
    if kind in _UNOPENED:
        raise DataError(f"{source} is {kind} and is not opened here. Save it as PNG or JPEG.")
    pictures: Iterator[Photo]
    if kind == "HEIC" and not is_apart():
        _enable_heic(source)  # which is told at once where it is missing
        # libheif decodes as a video is decoded, so it is watched as PDFium is.
        arguments = (content, source, longest_px, first_page, most_pages)
        pictures = _processes().each(pictures_here, *arguments, source=source)
    else:
        pictures = pictures_here(content, source, longest_px, first_page, most_pages)
    for photo in pictures:
        yield replace(photo, source=source)


def kind_of(content: bytes) -> str:
    """Return what a file of a picture or document is, by its first ``HEAD_BYTES``; empty for what is none, or unknown.

    >>> kind_of(b"%PDF-1.7"), kind_of(b"Dear reader"), kind_of(b"GIF89a")
    ('PDF', '', 'GIF')
    """
    head = content[:HEAD_BYTES]
    if head[:4] == b"II*\0" and head[8:10] == b"CR":
        return _RAW
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if b"%PDF-" in head:
        return "PDF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "BMP"
    if head[4:8] == b"ftyp":
        # Brands are named in any order; AVIF may name HEIF's common ones, too.
        brands = head[8:64]
        if b"crx " in brands:
            return _RAW
        return "AVIF" if b"avi" in brands else "HEIC" if any(brand in brands for brand in _HEIC_BRANDS) else ""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return "SVG" if text.startswith((b"<svg", b"<?xml", b"<!DOCTYPE svg")) and b"<svg" in text else ""


def _content(photo: PhotoSource) -> tuple[bytes, str]:
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo), "image"
    if isinstance(photo, str | os.PathLike):
        return _file(Path(photo)), Path(photo).name
    if hasattr(photo, "read"):
        file: IO[bytes] = photo
        content = file.read(_MOST_BYTES + 1)
        if not isinstance(content, bytes):
            raise DataError("The file is open as text; open it with mode 'rb'.")
        name = getattr(photo, "name", None)
        return content, Path(name).name if isinstance(name, str) else "image"
    raise DataError(
        f"A photo is a path, bytes, an open file, a Pillow image or a NumPy array; got {type(photo).__name__}."
    )


def _file(path: Path) -> bytes:
    try:
        # A pipe or a device could wait or flow for ever.
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is not a file. Name a photo or a PDF.")
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path} has more than {_MOST_BYTES // 1_000_000} MB. Save it smaller first.")
        return read_ordinary(path, _MOST_BYTES)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{str(path)!r} cannot be read: {reason}. Check its name and permissions.") from None


def pictures_here(content: bytes, source: str, longest_px: int, first_page: int, most_pages: int) -> Iterator[Photo]:
    return islice(_pictures(content, source, longest_px, first_page), most_pages)


def _pictures(content: bytes, source: str, longest_px: int, first_page: int) -> Iterator[Photo]:
    """Decode the pictures of a file, each when it is asked for."""
    with _telling(source):
        image = _opened(content, source)
    if _is_raw(image):
        raise DataError(f"{source} is {_RAW} and is not opened here. Save it as PNG or JPEG.")
    frame, has_more = 0, True
    for page in count(1):
        name = source if page == 1 else f"Page {page} of {source}"
        with _telling(name):
            try:
                image.seek(frame)
                n_copies = 0
                while frame and _is_no_page(image):
                    frame, n_copies = frame + 1, n_copies + 1
                    if n_copies > _MOST_COPIES:
                        raise DataError(f"{name} has no end of copies of its pages. Save it again.")
                    image.seek(frame)
            except EOFError:
                return
            photo = _from_pillow(image, name, longest_px) if page >= first_page else None
            if page == 1:
                has_more = _has_more(image)
        if not has_more:
            del image  # whose pixels are many more than those that are worked on
        if photo is not None:
            yield replace(photo, page=page)
        if not has_more:
            return
        frame += 1


def _has_more(image: Image.Image) -> bool:
    """Tell whether there are pages behind the first, or what is damaged and could be one."""
    try:
        return image.format in _OF_PAGES and bool(getattr(image, "is_animated", False))
    except Exception:
        return True


def _opened(content: bytes, source: str) -> Image.Image:
    from PIL import Image

    if not content:
        raise DataError(f"{source} is empty. Save or copy it again.")
    Image.init()
    if kind_of(content) == "HEIC":
        _enable_heic(source)
    return Image.open(io.BytesIO(content), formats=[name for name in Image.OPEN if name not in _NOT_OPENED])


@contextmanager
def _telling(source: str) -> Iterator[None]:
    """Tell in a sentence whatever decoding stumbles over."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's word on large pictures; their size is checked here
            yield
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{source} is no image that can be read, whatever its name says. Save it as PNG.") from None
    except Image.DecompressionBombError:
        raise _too_many(source, None) from None
    except MemoryError:
        raise DataError(f"{source} needs more memory than there is. Scale it down first.") from None
    except Exception as error:
        # Damaged bytes make decoders raise whatever they stumble over: struct.error, IndexError, zlib.error ...
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise DataError(f"{source} is damaged: {reason}. Save or copy it again.") from None


def _is_no_page(image: Image.Image) -> bool:
    """Tell whether a TIFF's picture is a smaller copy of another one, or its mask."""
    kind = getattr(image, "tag_v2", {}).get(_TIFF_KIND, 0)
    return isinstance(kind, int) and bool(kind & (_TIFF_COPY | _TIFF_MASK))


def _is_raw(image: Image.Image) -> bool:
    """Tell whether a TIFF is a camera's: DNG, NEF, ARW ..., whose first picture is a preview of what is within."""
    tags = getattr(image, "tag_v2", {})
    return _DNG_TAG in tags or (_SUB_PICTURES_TAG in tags and _is_no_page(image))


def _enable_heic(source: str) -> None:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise DataError(
            f"{source} is HEIC, as iPhones save photos, and is not opened here. Save it as JPEG, or: "
            "pip install 'digitlab[heic]'"
        ) from None


def _too_many(source: str, size: tuple[int, int] | None) -> DataError:
    pixels = f"{size[0]:,} x {size[1]:,} pixels" if size else "far too many pixels"
    return DataError(f"{source} has {pixels}; at most {MOST_MEGAPIXELS} megapixels can be read. Scale it down first.")


def _from_pillow(image: Image.Image, source: str, longest_px: int) -> Photo:
    from PIL import ImageOps

    width, height = image.size
    if width < 1 or height < 1:
        raise DataError(f"{source} has no pixels. Save it again.")
    largest = MOST_MEGAPIXELS * 1_000_000
    is_jpeg = getattr(image, "format", None) in ("JPEG", "MPO") and hasattr(image, "draft")
    # A progressive JPEG keeps all its coefficients in memory, shrunk or not.
    may_shrink = is_jpeg and not image.info.get("progressive") and not image.info.get("progression")
    if width * height > largest * (4 if may_shrink else 1):
        raise _too_many(source, (width, height))
    if is_jpeg and max(width, height) > longest_px:
        scale = longest_px / max(width, height)
        image.draft(None, (int(width * scale), int(height * scale)))
        if image.size[0] * image.size[1] > largest:
            raise _too_many(source, (width, height))
    orientation = image.getexif().get(0x0112, 1)
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    pixels = _pixels(ImageOps.exif_transpose(image))
    return _bounded(pixels, source, longest_px, (width, height))


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Bring any mode of Pillow's to grey or red, green, blue."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_array(np.asarray(image.convert("I") if image.mode.startswith("I;16") else image))
    if image.has_transparency_data:
        return _over_white(np.asarray(image.convert("RGBA"), np.uint8))
    return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"), np.uint8)


def _over_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a transparent picture on white paper; or, if that shows nothing, let its opacity be the ink."""
    alpha = pixels[..., 3:].astype(np.uint16)
    white = np.asarray((pixels[..., :3] * alpha + 255 * (255 - alpha)) // 255, np.uint8)
    if int(alpha.max()) - int(alpha.min()) > 64 and int(white.max()) - int(white.min()) < 32:
        return np.asarray(255 - alpha[..., 0], np.uint8)
    return white


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring an array to uint8 (h, w) or (h, w, 3)."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise DataError(
            f"The array has shape {array.shape}; a photo is (height, width), or (height, width, 3 or 4) with colors."
        )
    if array.shape[0] * array.shape[1] > MOST_MEGAPIXELS * 1_000_000:
        raise _too_many("The array", (array.shape[1], array.shape[0]))
    if array.dtype == np.bool_:
        plain = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint8:
        plain = array
    elif array.dtype.kind in "iuf":
        plain = _eight_bits(array)
    else:
        raise DataError(f"The array holds {array.dtype}; uint8, uint16, bool or floats from 0 to 1 are needed.")
    return _over_white(plain) if plain.ndim == 3 and plain.shape[2] == 4 else np.ascontiguousarray(plain)


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale wider numbers to 0-255 by the range that their kind usually has."""
    values = np.nan_to_num(array.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    highest = float(values.max())
    if array.dtype.kind == "f":
        full = 1.0 if highest <= 1.0 else 255.0 if highest <= 255.0 else highest
    else:
        full = next((top for top in (255.0, 4095.0, 65535.0) if highest <= top), highest)
        if array.dtype == np.uint16 and full == 255.0:
            full = 65535.0  # a black picture of 16 bits, not one of 8
    return np.asarray(np.clip(values * (255 / full), 0, 255), np.uint8)


def _bounded(pixels: NDArray[np.uint8], source: str, longest_px: int, size: tuple[int, int] | None = None) -> Photo:
    """Shrink to the size that is worked on."""
    height, width = pixels.shape[:2]
    if max(width, height) > longest_px:
        factor = longest_px / max(width, height)
        new = (max(1, round(width * factor)), max(1, round(height * factor)))
        pixels = np.asarray(cv2.resize(pixels, new, interpolation=cv2.INTER_AREA), np.uint8)
    width, height = size or (width, height)
    return Photo(pixels, width, height, source)


_DOTS_PER_POINT = 300 / 72  # at most, as scans have; 72 points are an inch
_PDFIUM = threading.RLock()  # PDFium must not be called by two threads at once, whatever the documents


_MOST_PROCESSES = 8


def pdf_pages(
    content: bytes, source: str, most_pages: int, longest_px: int, first_page: int = 1
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Draw pages of a PDF, in a process that can be ended: each one's number, and uint8 (h, w, 3), red first.

    DataError says that it is damaged, encrypted or empty, or takes too long or too much memory.
    """
    arguments = (content, source, most_pages, longest_px, first_page)
    return _drawn_pages(*arguments) if is_apart() else _processes().each(_drawn_pages, *arguments, source=source)


@cache
def _processes() -> Apart:
    """What draws for who reads in this process."""
    return Apart(min(available_threads(), _MOST_PROCESSES), reads=False)


def _drawn_pages(
    content: bytes, source: str, most_pages: int, longest_px: int, first_page: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    import pypdfium2

    try:
        with _PDFIUM:
            document = pypdfium2.PdfDocument(content)
            n_pages = len(document)
    except Exception as error:  # pypdfium2 raises its own error, and others for damaged files
        if "password" in str(error).lower():
            raise DataError(f"{source} is encrypted. Save it without a password first.") from None
        raise DataError(f"{source} is a damaged PDF: {str(error).rstrip('.')}. Save or copy it again.") from None
    try:
        if n_pages == 0:
            raise DataError(f"{source} has no pages. Save it again.")
        for k in range(first_page - 1, min(n_pages, first_page - 1 + most_pages)):
            with _PDFIUM:
                pixels = _drawn(document, k, source, longest_px)
            yield k + 1, pixels
    finally:
        with _PDFIUM:
            document.close()


def _drawn(document: Any, k: int, source: str, longest_px: int) -> NDArray[Any]:
    try:
        page = document[k]
        width, height = page.get_size()
        scale = min(_DOTS_PER_POINT, longest_px / max(width, height, 1e-3))
        if min(width, height) * scale < 1:
            raise DataError(f"Page {k + 1} of {source} is too narrow to be seen. Crop it first.")
        pixels = np.array(page.render(scale=scale, rev_byteorder=True).to_numpy())
        page.close()
    except DataError:
        raise
    except Exception as error:  # pypdfium2 raises its own error, and others for damaged files
        reason = str(error).rstrip(".")
        raise DataError(f"Page {k + 1} of {source} is damaged: {reason}. Save it again.") from None
    return pixels


def rotated_size(width: int, height: int, degrees: float) -> tuple[int, int]:
    """Return width and height of the picture that holds all of one turned by ``degrees``."""
    angle = np.deg2rad(abs(degrees))
    sine, cosine = float(np.sin(angle)), float(np.cos(angle))
    return round(width * cosine + height * sine), round(width * sine + height * cosine)


def rotated(picture: NDArray[Any], degrees: float, fill: tuple[int, ...] | None = (0,)) -> NDArray[Any]:
    """Turn a picture clockwise by a few degrees about its middle, enlarged to ``rotated_size``.

    What lies beyond it is filled with a colour or, for None, with its border.
    """
    if degrees == 0:
        return picture
    height, width = picture.shape[:2]
    size = rotated_size(width, height, degrees)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill or (0,))
    )
