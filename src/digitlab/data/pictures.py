"""Pictures: files of one digit, letter or thing each, decoded one by one within bounds, as 28 x 28 images.

What has 28 x 28 pixels is taken as it is. Ink of another size is framed as the reader does it (see ``frame``); what
is no writing is scaled.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digitlab.data.cache import read_cached, write_cached
from digitlab.data.survey import Item, shown_list
from digitlab.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SIDE_PX = 28
# A photo of one digit; pictures of a set are much smaller, and thousands of larger ones are a mistake.
_MOST_PIXELS = 25_000_000
_MOST_BYTES = 30_000_000
# Blank pages of two colors have 900. Thousands of pictures that have more would take hours.
_MOST_PIXELS_A_BYTE, _FEW_PIXELS = 1_000, 1_000_000
_WORK_PX = 400
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_AT_ONCE = 256
_BRIGHT = 127
# Of the range of grey values: what is nearer to the ground is paper, shade and noise.
_FAINT = 0.25
# Fewer are decoded in no time. The version says how pictures become images.
_LEAST_CACHED, _CACHE_VERSION = 2_000, 1


_report: ContextVar[Callable[[int, int], None]] = ContextVar("_report", default=lambda _n_read, _n: None)


@contextmanager
def watching(report: Callable[[int, int], None]) -> Iterator[None]:
    """Tell ``report`` how many pictures of how many have been decoded, again and again while the block reads them."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


class PictureReader:
    """Decodes pictures, and counts what could not be; ``is_writing`` says that ink of another size is framed."""

    def __init__(self, is_writing: bool = True) -> None:
        self._is_writing = is_writing
        self._small: list[NDArray[np.uint8]] = []
        self._is_framed: list[bool] = []
        self._kept: list[int] = []
        self._damaged: list[tuple[str, str]] = []
        self.n_added = 0

    def add(self, content: bytes, name: str) -> None:
        """Decode a picture's bytes; what is damaged is remembered by its name."""
        self._take(_decoded_or_reason(content, name, self._is_writing), name)

    def add_all(self, items: Sequence[Item]) -> None:
        """Decode files; those of a large folder come from the cache, as long as none of them has changed."""
        key = _key(items, self._is_writing)
        n, n_pixels = len(items), len(items) * SIDE_PX * SIDE_PX
        cached = None if key is None else read_cached(key[0], key[1], n_pixels + n)
        if cached is None:
            self._decode_all(items)
            if key is not None and not self._damaged:
                pixels = np.array(self._small, np.uint8).tobytes()
                write_cached(*key, [bytearray(pixels), bytearray(self._is_framed)])
            return
        self._small += list(cached[:n_pixels].reshape(n, SIDE_PX, SIDE_PX))
        self._is_framed += cached[n_pixels:].astype(bool).tolist()
        self._kept += range(self.n_added, self.n_added + n)
        self.n_added += n

    def _decode_all(self, items: Sequence[Item]) -> None:
        def decoded(item: Item) -> tuple[NDArray[np.uint8], bool] | str:
            try:
                content = item.read(_MOST_BYTES)
            except DataError as error:
                return str(error)
            return _decoded_or_reason(content, str(item), self._is_writing)

        with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's word on large pictures; their size is checked here
            for start in range(0, len(items), _AT_ONCE):
                _report.get()(start, len(items))
                part = items[start : start + _AT_ONCE]
                # Several at a time only where they are large: of small ones threads make it slower.
                each = pool.map if any(self._is_framed) else map
                for item, found in zip(part, each(decoded, part), strict=True):
                    self._take(found, str(item))

    def _take(self, found: tuple[NDArray[np.uint8], bool] | str, name: str) -> None:
        if isinstance(found, str):
            self._damaged.append((name, found))
        else:
            self._small.append(found[0])
            self._is_framed.append(found[1])
            self._kept.append(self.n_added)
        self.n_added += 1

    def images(self) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Return the images, uint8 (n, 28, 28), ink bright on dark, and which of the pictures they are, intp (n,)."""
        images = np.array(self._small, np.uint8).reshape(-1, SIDE_PX, SIDE_PX)
        as_they_are = np.flatnonzero(~np.array(self._is_framed, bool))
        if self._is_writing and len(as_they_are) and np.median(_grounds(images[as_they_are])) > _BRIGHT:
            images[as_they_are] = 255 - images[as_they_are]
        return images, np.array(self._kept, np.intp)

    def notes(self) -> list[str]:
        """Return what people should know of them."""
        notes = []
        if n := sum(self._is_framed):
            how = "framed as MNIST's digits are" if self._is_writing else "scaled to that"
            notes.append(f"{n:,} of {self.n_added:,} pictures are not 28 x 28 pixels and were {how}.")
        if self._damaged:
            notes.append(
                f"{len(self._damaged):,} of {self.n_added:,} pictures could not be read: {self._of_damaged()}."
            )
        return notes

    def _of_damaged(self) -> str:
        """Return the first few names of what could not be read, each reason once."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in self._damaged:
            by_reason.setdefault(reason, []).append(name)
        parts = [f"{shown_list(names, 3)} ({reason})" for reason, names in list(by_reason.items())[:3]]
        return "; ".join(parts) + ("; ..." if len(by_reason) > 3 else "")

    def check(self, where: str) -> None:
        """DataError if there is nothing to learn from."""
        if not self._small:
            raise DataError(f"None of the {self.n_added:,} pictures in {where} could be read: {self._of_damaged()}.")


def _key(items: Sequence[Item], is_writing: bool) -> tuple[str, bytes] | None:
    """Return the name of a folder's pictures in the cache and what they are, by name, size and time; None for few."""
    if len(items) < _LEAST_CACHED or any(item.archive is not None for item in items):
        return None
    what = hashlib.sha256(f"{_CACHE_VERSION} {is_writing}".encode())
    try:
        for item in items:
            status = os.stat(item.place)
            what.update(f"{item.place} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    except (OSError, ValueError):
        return None
    where = hashlib.sha256(os.path.abspath(items[0].place).encode("utf-8", "surrogateescape")).hexdigest()
    return f"pictures-{where[:16]}.blob", what.digest()


def _grounds(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the middle grey of each image's border, (n,)."""
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    return np.asarray(np.median(border, axis=1))


def has_bright_ground(images: NDArray[np.uint8]) -> bool:
    """Tell whether nearly all of a set's images, uint8 (n, 28, 28), show dark ink on a bright ground."""
    some = images[:: max(1, len(images) // 2000)]
    return bool((_grounds(some) > 200).mean() > 0.9 and some.mean() > _BRIGHT)


def _decoded_or_reason(content: bytes, name: str, is_writing: bool) -> tuple[NDArray[np.uint8], bool] | str:
    """Return an image, uint8 (28, 28), and whether it was made from another size; or what is wrong with a picture."""
    try:
        grey = _grey(content)
    except Exception as error:
        # Damaged bytes make decoders raise whatever they stumble over: struct.error, IndexError, MemoryError ...
        reason = str(error).split("\n")[0].strip().rstrip(".")[:100] or type(error).__name__
        return "it is no picture" if reason.startswith("cannot identify") else reason
    if grey.shape == (SIDE_PX, SIDE_PX):
        return grey, False
    return (framed(grey) if is_writing else scaled(grey)), True


def _container(content: bytes) -> tuple[str, ...]:
    """Return what Pillow calls a picture that is kept as one of a video is; none for others."""
    if content[4:8] != b"ftyp":
        return ()
    if content[8:12] in (b"avif", b"avis"):
        return ("AVIF",)
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise DataError(
            "it is HEIC, as iPhones save photos: pip install 'digitlab[heic]', or save it as JPEG"
        ) from None
    return ("HEIF",)


def _grey(content: bytes) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    image: Image.Image = Image.open(io.BytesIO(content), formats=_container(content) or _FORMATS)
    width, height = image.size
    most = min(_MOST_PIXELS, max(_FEW_PIXELS, _MOST_PIXELS_A_BYTE * len(content)))
    if not 0 < width * height <= most:
        raise DataError(
            f"it has {width:,} x {height:,} pixels, and of {len(content):,} bytes at most {most:,} are read"
        )
    if (width, height) == (SIDE_PX, SIDE_PX):
        return _plain(image)
    if max(width, height) > 2 * _WORK_PX and image.format == "JPEG":
        image.draft("L", (_WORK_PX, _WORK_PX))
    pixels = _plain(ImageOps.exif_transpose(image))
    if max(pixels.shape) > _WORK_PX:
        small = Image.fromarray(pixels)
        small.thumbnail((_WORK_PX, _WORK_PX), Image.Resampling.BOX)
        pixels = np.asarray(small)
    return pixels


def _plain(image: Image.Image) -> NDArray[np.uint8]:
    """Bring any mode of Pillow's to grey, uint8 (h, w); what is transparent lies on white, or is the ground of ink."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.nan_to_num(np.asarray(image, np.float32), nan=0, posinf=0, neginf=0)
        highest = float(values.max(initial=0))
        full = next((top for top in (255.0, 65535.0) if highest <= top), highest)
        return np.asarray(np.clip(values * (255 / full), 0, 255), np.uint8)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        alpha = np.asarray(rgba.getchannel("A"))
        over_white = np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("L"))
        is_blank = int(over_white.max()) - int(over_white.min()) < 32 and int(alpha.max()) - int(alpha.min()) > 64
        return alpha.copy() if is_blank else over_white
    return np.array(image.convert("L"), np.uint8)


def framed(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Find the ink of a picture, whichever of ink and ground is brighter, and frame it: uint8 (28, 28)."""
    from digitlab.data.frame import frame  # which needs OpenCV

    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = float(np.median(border))
    difference = grey.astype(np.float32) - np.float32(ground)
    if -difference.min() > difference.max():
        difference = -difference
    highest = float(np.percentile(difference, 99.5)) if grey.size > 1000 else float(difference.max())
    highest = highest if highest > 0 else float(difference.max())
    if highest <= 0:
        return np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    ink = np.clip((difference / np.float32(highest) - _FAINT) / (1 - _FAINT), 0, 1).astype(np.float32)
    return np.asarray(np.rint(frame(ink) * 255), np.uint8)


def scaled(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale a picture to 28 x 28 with its proportions; what is missing at its sides has the grey of its border."""
    from PIL import Image

    height, width = grey.shape
    factor = SIDE_PX / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.asarray(
        Image.fromarray(grey).resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC)
    )
    ground = np.median(np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]]))
    image = np.full((SIDE_PX, SIDE_PX), ground, np.uint8)
    top, left = (SIDE_PX - small.shape[0]) // 2, (SIDE_PX - small.shape[1]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    return image


# By a word before it, as in img12_label4.png; at the beginning, as in 3_0001.png; or at the end, as in img0012_4.png.
_IN_NAMES = (
    r"(?:label|class|digit|num)[-_= ]?([0-9]{1,3}|[A-Za-z])(?![0-9A-Za-z])",
    r"^([0-9]|[A-Za-z])(?=[-_. (])",
    r"[-_ ]([0-9]|[A-Za-z])$",
)


def labels_in_names(names: Sequence[str]) -> list[str | None]:
    """Return the labels that pictures' names say, all in the same way; None where they say none.

    >>> labels_in_names(["3_0001.png", "b (2).jpg", "0001.png"])
    ['3', 'b', None]
    >>> labels_in_names(["0-num5.png", "1-num0.png"]), labels_in_names(["img_1.png", "img_2.png", "img_10.png"])
    (['5', '0'], [None, None, None])
    """
    for pattern in _IN_NAMES:
        found = [re.search(pattern, name.rsplit(".", 1)[0]) for name in names]
        labels = [match.group(1) if match else None for match in found]
        told = [label for label in labels if label]
        # What stands at the end may count the pictures; then none comes twice.
        if 2 * len(told) >= len(names) and (pattern is not _IN_NAMES[-1] or len(told) >= 3 * len(set(told))):
            return labels
    return [None] * len(names)


def read_pictures(
    files: dict[str, list[Item]], table: dict[str, str], where: str, *, is_writing: bool
) -> tuple[NDArray[np.uint8], NDArray[np.str_], list[str]] | None:
    """Read pictures by class; those without one are looked up by name in ``table``, or have it in their names.

    Returns uint8 (n, 28, 28), texts (n,), and what people should know; None if no picture has a label.
    """
    pairs = [(label, item) for label, of_label in files.items() if label for item in of_label]
    others = files.get("", [])
    for item, in_name in zip(others, labels_in_names([item.name for item in others]), strict=True):
        names = ("/".join((*item.folders[-1:], item.name)), item.name, item.stem_and_suffix[0])
        label = next((table[name] for name in names if table.get(name)), "") or (in_name or "" if not table else "")
        if label:
            pairs.append((label, item))
    if not pairs:
        return None
    reader = PictureReader(is_writing)
    reader.add_all([item for _, item in pairs])
    reader.check(where)
    images, kept = reader.images()
    notes = reader.notes()
    if n_without := sum(map(len, files.values())) - len(pairs):
        notes.append(f"{n_without:,} pictures in {where} have no label and were left out.")
    return images, np.array([label for label, _ in pairs])[kept], notes
