"""Shaping: images and labels in whatever form people keep them, brought to uint8 (n, 28, 28) and class numbers."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.pictures import SIDE_PX
from digitlab.errors import DataError
from digitlab.values import CLASS_NAMES

FASHION = (*("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),)
#: The hiragana of KMNIST, as they are spoken.
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_CAPITALS = tuple(string.ascii_uppercase)
BALANCED = (*string.digits, *_CAPITALS, *"abdefghnqrt")
BY_CLASS = (*string.digits, *_CAPITALS, *string.ascii_lowercase)
_MOST_CLASSES = 256
_AT_ONCE = 4096
# By which most MNIST examples standardize: what black and white become.
_MEAN, _DEVIATION = 0.1307, 0.3081
_TOLERANCE = 1e-3


# ---- images ----


def image_stack(array: NDArray[Any], n_labels: int, name: str) -> NDArray[Any]:
    """Bring images to (n, height, width), whatever the order of the axes; colors become grey. DataError if unclear."""
    shape = array.shape
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {array.dtype}; images are numbers, uint8 from 0 to 255 at best. Convert them.")
    if array.ndim == 2 and n_labels not in shape[:1] and shape[1] == n_labels:
        array = array.T  # as MATLAB has them, an image a column
    if array.ndim == 4 and shape[-1] == n_labels != shape[0]:
        array = np.moveaxis(array, -1, 0)
    if array.ndim == 3 and shape[2] == n_labels != shape[0]:
        array = np.moveaxis(array, 2, 0)
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3, 4):
        array = np.moveaxis(array, 1, -1)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    elif array.ndim == 4 and array.shape[3] in (3, 4):
        array = _in_parts(array, _grey)
    elif array.ndim == 2:
        side = round(array.shape[1] ** 0.5)
        if side * side == array.shape[1]:
            array = array.reshape(len(array), side, side)
        elif array.shape[1] == 3 * SIDE_PX * SIDE_PX:
            array = _in_parts(array.reshape(len(array), SIDE_PX, SIDE_PX, 3), _grey)
    if array.ndim != 3 or not 4 <= min(array.shape[1:]) <= max(array.shape[1:]) <= 512:
        raise DataError(
            f"{name} holds an array of shape {shape}; images were expected, (n, 28, 28), (n, 784) or (n, 28, 28, 1). "
            "Reshape or scale them, and save them again."
        )
    return array


def _in_parts(array: NDArray[Any], change: Any) -> NDArray[Any]:
    return np.concatenate([change(array[k : k + _AT_ONCE]) for k in range(0, max(1, len(array)), _AT_ONCE)])


def _grey(colors: NDArray[Any]) -> NDArray[Any]:
    # ITU-R BT.601, as Pillow and Keras do it.
    grey = colors[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(grey).astype(np.uint8) if colors.dtype == np.uint8 else grey


def scale_of(images: NDArray[Any], name: str) -> tuple[float, float, str]:
    """Return what to multiply pixels by and add so that they are 0 to 255, and a word on it, empty where they are."""
    if images.dtype == np.bool_:
        return 255.0, 0.0, "true and false"
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
        raise DataError(f"{name} holds pixels that are no numbers (NaN or infinite). Replace them, and save it again.")
    if low >= 0:
        if images.dtype.kind == "f" and high <= 1:
            return 255.0, 0.0, "0 to 1"
        if high <= 1:
            return 255.0, 0.0, "0 and 1"
        if high <= 16 and images.shape[1] == 8:
            return 255 / 16, 0.0, "0 to 16"
        if high <= 255:
            return 1.0, 0.0, ""
        if high <= 65535 and images.dtype.kind in "iu":
            return 255 / 65535, 0.0, "0 to 65,535"
    elif low >= -1 and high <= 1:
        return 127.5, 127.5, "-1 to 1"
    elif abs(low + _MEAN / _DEVIATION) < 0.01 and high <= (1 - _MEAN) / _DEVIATION + 0.01:
        return 255 * _DEVIATION, 255 * _MEAN, f"standardized by {_MEAN} and {_DEVIATION}"
    raise DataError(
        f"{name} holds pixels from {low:g} to {high:g}; 0 to 255, 0 to 1 or -1 to 1 were expected, ink bright on dark. "
        "Scale them, and save it again."
    )


def as_bytes(images: NDArray[Any], times: float, plus: float) -> NDArray[np.uint8]:
    """Return pixels as uint8, 0-255: images * times + plus; as they are where they are that already."""
    if images.dtype == np.uint8 and (times, plus) == (1.0, 0.0):
        return np.ascontiguousarray(images)

    def change(part: NDArray[Any]) -> NDArray[np.uint8]:
        values = part.astype(np.float32) * np.float32(times) + np.float32(plus)
        return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8, "C")

    return _in_parts(images, change)


def to_28(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """Bring images, uint8 (n, h, w), to 28 x 28, and say how: an empty margin is cut off, all else is scaled."""
    height, width = images.shape[1:]
    if (height, width) == (SIDE_PX, SIDE_PX):
        return images, ""
    if height == width and height > SIDE_PX and (height - SIDE_PX) % 2 == 0:
        margin = (height - SIDE_PX) // 2
        inner = images[:, margin:-margin, margin:-margin]
        if int(images.sum(dtype=np.int64)) == int(inner.sum(dtype=np.int64)):
            return np.ascontiguousarray(inner), f"the empty margin of their {height} x {width} pixels was cut off"
    from PIL import Image

    from digitlab.data.pictures import scaled

    if max(height, width) <= 20:
        # As MNIST was made: 20 x 20 pixels in the middle of 28 x 28.
        out = np.zeros((len(images), SIDE_PX, SIDE_PX), np.uint8)
        size = (max(1, round(20 * width / max(height, width))), max(1, round(20 * height / max(height, width))))
        left, top = (SIDE_PX - size[0]) // 2, (SIDE_PX - size[1]) // 2
        for k, image in enumerate(images):
            small = Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BICUBIC)
            out[k, top : top + size[1], left : left + size[0]] = np.asarray(small)
        return out, f"they have {height} x {width} pixels and were scaled to {size[1]} x {size[0]} within 28 x 28"
    made = np.array([scaled(np.ascontiguousarray(image)) for image in images], np.uint8)
    return made, f"they have {height} x {width} pixels and were scaled to 28 x 28"


# ---- labels ----


def flat_labels(labels: NDArray[Any], n_images: int, name: str) -> NDArray[Any]:
    """Bring labels to a whole number or text an image, (n,): of QMNIST's rows the first, of one-hot rows the place."""
    array = np.asarray(labels)
    if array.ndim == 2 and 1 in array.shape and array.size == n_images:
        array = array.reshape(-1)
    if array.ndim == 2 and len(array) == n_images and array.dtype.kind in "biuf":
        is_one_hot = np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all() and array.shape[1] > 1
        if is_one_hot:
            array = array.argmax(axis=1)
        elif array.shape[1] == 8 and array.dtype.kind in "iu":
            array = array[:, 0]
    if array.shape != (n_images,):
        raise DataError(
            f"{name} holds labels of shape {np.shape(labels)}, and there are {n_images:,} images; one label an image "
            f"was expected, ({n_images},). Check that the two belong together."
        )
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "U":
        whole = [_whole(text) for text in array.tolist()]
        return array if None in whole else np.array(whole, np.int64)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.rint(array)).any() or np.abs(array).max(initial=0) > 1e6:
            wrong = array[~np.isfinite(array) | (array != np.rint(array)) | (np.abs(array) > 1e6)][0]
            raise DataError(f"{name} holds the label {wrong:g}; whole numbers were expected. Correct it.")
        array = array.astype(np.int64)
    elif array.dtype.kind not in "biu":
        raise DataError(f"{name} holds labels of type {array.dtype}; whole numbers or texts were expected.")
    if array.size and (int(array.min()) < 0 or int(array.max()) > 100_000):
        wrong = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise DataError(
            f"{name} holds the label {wrong} at index {int(np.flatnonzero(array == wrong)[0])}; class numbers from 0 "
            f"to {_MOST_CLASSES - 1} were expected. Correct it, or leave such images out."
        )
    return array.astype(np.int64)


def _whole(text: str) -> int | None:
    # A folder "007" is a number; digits of other scripts are names.
    found = re.fullmatch(r"\s*(\d{1,6})(?:\.0*)?\s*", text, re.ASCII)
    return int(found.group(1)) if found else None


def numbered(
    labels: Sequence[NDArray[Any]], told: str, given: Sequence[str], name: str
) -> tuple[list[NDArray[np.uint8]], tuple[str, ...], str]:
    """Turn the labels of all parts of a set into class numbers from 0, and name the classes.

    ``told`` is what the names of files say, ``given`` what the set says of its whole-number labels. Returns uint8 (n,)
    for each part, the names, and a word for people, or an empty one.
    """
    if any(one.dtype.kind == "U" for one in labels):
        return _of_texts([one.astype(str) for one in labels], name)
    present = set(np.unique(np.concatenate(labels)).tolist())
    low, high = min(present), max(present)
    shift, word = 0, ""
    names: tuple[str, ...]
    if given and high < len(given):
        shift = 0 if given[0] or low == 0 else 1  # EMNIST's letters begin with 1
        names = CLASS_NAMES if tuple(given) == tuple(string.digits) else tuple(given[shift:])
    elif (family := _family(told, low, high)) is not None:
        names, shift = family
    elif high <= 9:
        names = CLASS_NAMES
    elif present == set(range(1, 11)):
        word = "The label 10 is taken for the digit 0, as MATLAB counts."
        labels, names = [one % 10 for one in labels], CLASS_NAMES
    elif present == set(range(1, 27)):
        names, shift, word = _CAPITALS, 1, "The labels 1 to 26 are taken for the letters A to Z, as EMNIST counts."
    elif present in (set(range(47)), set(range(62))):
        names = BALANCED if high == 46 else BY_CLASS
        word = f"Its {len(names)} classes are taken for digits and letters in the order of EMNIST's."
    else:
        names = tuple(str(k) for k in range(high + 1))
        word = f"Its {len(names)} classes are called by their numbers, 0 to {high}."
    if len(names) > _MOST_CLASSES:
        raise DataError(
            f"{name} holds the label {high}; class numbers from 0 to {_MOST_CLASSES - 1} were expected. Correct it, "
            "or leave such images out."
        )
    return [(one - shift).astype(np.uint8) for one in labels], names, word


def _family(told: str, low: int, high: int) -> tuple[tuple[str, ...], int] | None:
    """Return the names of a published set's classes and its first label, if names tell which set it is."""
    told = told.lower()
    if "emnist" in told:
        if "letters" in told and high <= 26:
            return _CAPITALS, 1 if low > 0 or high == 26 else 0
        if ("balanced" in told or "bymerge" in told) and high <= 46:
            return BALANCED, 0
        if "byclass" in told and high <= 61:
            return BY_CLASS, 0
    if high <= 9:
        if "fashion" in told:
            return FASHION, 0
        if "kmnist" in told or "kuzushiji" in told:
            return KUZUSHIJI, 0
    if high <= 25 and high > 9 and re.search(r"a[_-]?z\b|a[_-]z[_ -]|letters|alphabet|sign.?(mnist|language)", told):
        return _CAPITALS, 0
    return None


def _of_texts(labels: Sequence[NDArray[np.str_]], name: str) -> tuple[list[NDArray[np.uint8]], tuple[str, ...], str]:
    present = sorted(set(np.unique(np.concatenate(labels)).tolist()), key=_natural)
    digits = [digit_in(one) for one in present]
    if None not in digits:
        place = dict(zip(present, digits, strict=True))
        names: tuple[str, ...] = CLASS_NAMES
    else:
        if len(present) > _MOST_CLASSES:
            raise DataError(
                f"{name} has {len(present):,} classes, such as {present[0]!r:.40}; at most {_MOST_CLASSES} are told "
                "apart. Check that its folders or labels are classes."
            )
        place = {one: k for k, one in enumerate(present)}
        names = tuple(" ".join(one.split())[:60] or "?" for one in present)
    return [np.array([place[one] for one in part.tolist()], np.uint8) for part in labels], names, ""


def digit_in(name: str) -> int | None:
    """Return the digit that a class is called by.

    >>> [digit_in(name) for name in ("7", "Seven", "digit_7", "A", "sample17")]
    [7, 7, 7, None, None]
    """
    words = [word.lower() for word in CLASS_NAMES]
    if name.lower() in words:
        return words.index(name.lower())
    found = re.fullmatch(r"(?:digit|number|num|class|label)?[ _-]*([0-9])", name.lower())
    return int(found.group(1)) if found else None


def is_written(names: Sequence[str]) -> bool:
    """Tell whether all classes are called as digits, letters or signs are, so that they are ink on a ground."""
    return all(len(name) <= 2 or name.isdecimal() or digit_in(name) is not None for name in names)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sort sample2 before sample10, and capitals before small letters."""
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d{1,9})", text)
    ]


def names_in_mapping(text: str) -> tuple[str, ...]:
    """Return the names of classes in a mapping: EMNIST's label and its characters' codes a line, or Kuzushiji's CSV.

    >>> names_in_mapping("0 48\\n1 49"), names_in_mapping("index,codepoint,char\\n0,U+3042,x")
    (('0', '1'), ('x',))
    """
    found: dict[int, str] = {}
    for line in text.removeprefix("index,codepoint,char\n").splitlines()[:_MOST_CLASSES]:
        match = re.fullmatch(r"(\d{1,5}) (\d{1,5})(?: \d{1,5})*|(\d{1,5}),U\+[0-9A-F]{4,5},(.)", line.strip(), re.ASCII)
        if match is None:
            return ()
        label, code, other, name = match.groups()
        found[int(label or other)] = name or chr(int(code))
    if not found or max(found) > len(found) or not all(name.isprintable() for name in found.values()):
        return ()
    return tuple(found.get(k, "") for k in range(max(found) + 1))
