"""The practice bank: digits, variants, what is none, and words, as practice crops and pages are composed of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digitlab.data.mnist import Split
from digitlab.engine.cpu.threads import available_threads, share
from digitlab.engine.drawing.sketching import Bank
from digitlab.engine.drawing.thinning import MOST_EDGES, thin_images
from digitlab.training.fonts import Font, draw_letter, find_fonts
from digitlab.training.handwriting import COURSES, smooth
from digitlab.training.nondigits import KINDS, fonts_for, make_nondigits
from digitlab.training.variants import make_variants

__all__ = ["CAPITAL_PX", "bank_digest", "make_bank"]

# One of the streams that come from a seed: see engine/augmentation.py for the others.
_STREAM = 8
# Kinds of what is no digit that stand by themselves on a page; pairs of digits are two digits there.
_ALONE = ("printed letter", "penned letter", "piece", "scribble", "line", "dot")
# For each digit of the set: variants, each of which is taken twice, and images that are none.
_VARIANTS, _OTHERS = 0.1, 0.3
_INK, _THIN = 90, 100.0
#: Capitals in a strip are so high; and how the strip is laid out.
CAPITAL_PX = 17
_STRIP = (32, 320)
_MIDDLE = 16.0
_WORDS_PER_FONT, _PENNED_WORDS = 14, 2_000
_TASK = 512

# By how often English has them, about.
_LETTERS = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllccuummmwwffggyyppbbvkjxqz"
# Letters that only stand in words: alone they may be digits.
_WITHIN_WORDS: dict[str, tuple[str, ...]] = {
    "o": ("~5,4 1,5 1,9 5,10 7,7 5,4 9,5",),
    "i": ("~0,7 2,4 2,9 4,10 5,8|2,1.5 2.3,1.7",),
    "l": ("~0,8 3,2 3,0 1,2 1,8 3,10 5,8",),
    "s": ("~0,9 3,4 5,8 3,10 1,9|5,9 7,8",),
    "b": ("~0,8 3,2 2,0 1,3 1,9 3,10 5,7 3,5",),
    "g": ("~6,5 3,4 1,7 3,9 6,6|~6,5 6,12 3,14 2,12 8,8",),
    "z": ("~0,5 3,4 5,5 2,9 4,10 3,14 1,13 8,8",),
}


def make_bank(digits: Split, *, seed: int = 0, fonts: Sequence[Font] | None = None, threads: int | None = None) -> Bank:
    """Gather what crops are composed of.

    Parameters
    ----------
    digits : Split
        The digits; what is made of fonts is made of other fonts for the validation split.
    seed : int
        0 or more.
    fonts : sequence of Font, optional
        What letters are drawn from; by default all that this machine has.
    threads : int, optional
        Threads that share the work; all cores by default. Nothing depends on it.
    """
    found = tuple(find_fonts() if fonts is None else fonts)
    variants, variant_labels = make_variants(max(1, round(_VARIANTS * len(digits))), digits, seed=seed)
    others = make_nondigits(max(8, round(_OTHERS * len(digits))), digits, seed=seed, fonts=found)
    own = fonts_for(digits, found)
    names = list(KINDS)
    is_alone = np.isin(others.kinds, [names.index(kind) for kind in _ALONE]) & (others.images.max((1, 2)) > _INK)
    images = np.concatenate([digits.images, variants, variants, others.images[is_alone]])
    n_digits = len(digits) + 2 * len(variants)
    labels = np.full(len(images), -1, np.int64)
    labels[:n_digits] = np.concatenate([digits.labels, variant_labels, variant_labels])
    edges, starts = _edges(images, threads or available_threads())
    printed = np.stack([np.stack([_framed(draw_letter(font, str(k))) for k in range(10)]) for font in own])
    printed = np.concatenate([printed, *(_display(lean, wide)[None] for lean in (0, 2) for wide in (3, 5))])
    printed_words = [_printed_word(own[k // _WORDS_PER_FONT], k, seed) for k in range(len(own) * _WORDS_PER_FONT)]
    strips = [strip for strip in printed_words if strip.any()]
    n_printed = len(strips)
    strips += [_penned_word(k, seed) for k in range(_PENNED_WORDS)]
    stack = np.stack(strips)
    return Bank(
        images=np.ascontiguousarray(images),
        labels=labels,
        boxes=_boxes(images),
        slants=_slants(images),
        edges=edges,
        starts=starts,
        printed=printed,
        printed_boxes=_boxes(printed.reshape(-1, 28, 28)).reshape(-1, 10, 4),
        strips=stack,
        strip_widths=np.array([int(np.flatnonzero(strip.any(0))[-1]) + 2 for strip in stack], np.int64),
        n_digits=n_digits,
        n_printed=n_printed,
    )


def bank_digest(bank: Bank) -> str:
    """SHA-256 of all that a bank holds, in hexadecimal: another machine may have other fonts."""
    digest = hashlib.sha256()
    for part in bank:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else str(part).encode())
    return digest.hexdigest()


def _edges(images: NDArray[np.uint8], n_workers: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    n = len(images)
    source = np.ascontiguousarray(images)
    all_edges, counts = np.zeros((n, MOST_EDGES, 4), np.uint8), np.zeros(n, np.int64)
    memory = [np.zeros((2, 58, 58), np.uint8) for _ in range(n_workers)]

    def task(worker: int, k: int) -> None:
        ink, marked = memory[worker]
        thin_images(source, k * _TASK, min(n, (k + 1) * _TASK), _THIN, ink, marked, all_edges, counts)

    share(task, -(-n // _TASK), n_workers)
    kept = np.arange(MOST_EDGES) < counts[:, None]
    return np.ascontiguousarray(all_edges[kept]), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _boxes(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Left, top, right and bottom of the ink: float32 (n, 4); in the middle where there is none."""
    ink = np.asarray(images > _INK)
    boxes = np.tile(np.array([4, 4, 24, 24], np.float32), (len(images), 1))
    has = np.asarray(ink.any((1, 2)))
    for first, axis in ((0, 1), (1, 2)):
        along = np.asarray(ink.any(axis))
        boxes[has, first] = along[has].argmax(1)
        boxes[has, first + 2] = 28 - along[has, ::-1].argmax(1)
    return boxes


def _slants(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far the ink leans, by its moments: float32 (n,), pixels to the right for each pixel up."""
    y = np.arange(28, dtype=np.float32)
    slants = np.zeros(len(images), np.float32)
    for k in range(0, len(images), 4096):
        ink = images[k : k + 4096].astype(np.float32)
        total = np.maximum(ink.sum((1, 2)), 1)
        rows, columns = ink.sum(2), ink.sum(1)
        mean_y, mean_x = rows @ y / total, columns @ y / total
        across = np.einsum("nyx,y,x->n", ink, y, y, optimize=True) / total - mean_y * mean_x
        along = rows @ (y * y) / total - mean_y**2
        slants[k : k + 4096] = -across / np.maximum(along, 1)
    return np.clip(slants, -1, 1)


def _display(lean: int, wide: int) -> NDArray[np.uint8]:
    """The ten digits as a display of seven bars shows them: uint8 (10, 28, 28)."""
    digits = np.zeros((10, 28, 28), np.uint8)
    left, right, gap = 7, 20, 1
    # Which bars are lit: top, upper left and right, middle, lower left and right, bottom.
    bars = (
        "1110111",
        "0010010",
        "1011101",
        "1011011",
        "0111010",
        "1101011",
        "1101111",
        "1010010",
        "1111111",
        "1111011",
    )
    half = wide // 2
    for digit, lit in zip(digits, bars, strict=True):
        for bar in np.flatnonzero([one == "1" for one in lit]):
            if bar in (0, 3, 6):
                y = (4, 14, 23)[bar // 3]
                shift = lean * (14 - y) // 10
                digit[y - half : y - half + wide - 1, left + half + gap + shift : right - half - gap + shift] = 255
            else:
                rows = np.arange(4 + gap, 14 - gap) if bar < 3 else np.arange(14 + gap, 24 - gap)
                x = left if bar in (1, 4) else right
                for row in rows:
                    digit[row, x - half + lean * (14 - row) // 10 :][: wide - 1] = 255
    return digits


def _framed(drawn: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A printed sign 20 pixels high, or wide, in the middle of 28 x 28."""
    rows, columns = np.flatnonzero(drawn.max(1) > 0.3), np.flatnonzero(drawn.max(0) > 0.3)
    image = np.zeros((28, 28), np.uint8)
    if len(rows) == 0:
        return image
    ink = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(ink.shape)
    high, wide = max(1, round(ink.shape[0] * scale)), max(1, round(ink.shape[1] * scale))
    small = cv2.resize(ink, (wide, high), interpolation=cv2.INTER_AREA)
    top, left = (28 - high) // 2, (28 - wide) // 2
    image[top : top + high, left : left + wide] = np.round(np.clip(small, 0, 1) * 255)
    return image


def _word(rng: np.random.Generator, letters: str) -> str:
    n = int(rng.integers(2, 11))
    text = "".join(letters[int(rng.integers(len(letters)))] for _ in range(n))
    if all(letter in "oilszbgq" for letter in text):
        text += "am"
    return text


def _printed_word(font: Font, number: int, seed: int) -> NDArray[np.uint8]:
    """A word in a font: uint8 ``_STRIP``; all 0 if the font cannot."""
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, 0, number)))
    text = _word(rng, _LETTERS)
    form = rng.random()
    text = text.upper() if form < 0.2 else text.capitalize() if form < 0.5 else text
    text += str(rng.choice(["", "", "", "", ".", ",", ":", " &"]))
    image = Image.new("L", (_STRIP[1], _STRIP[0]))
    try:
        size = 23
        drawn = (
            ImageFont.load_default(size)
            if font.path is None
            else ImageFont.truetype(font.path, size, layout_engine=ImageFont.Layout.BASIC)
        )
        ImageDraw.Draw(image).text((1, _MIDDLE + CAPITAL_PX / 2), text, fill=255, font=drawn, anchor="ls")
    except (OSError, ValueError, UnicodeError):  # a damaged font, or one without outlines
        return np.zeros(_STRIP, np.uint8)
    return np.array(image)


def _penned_word(number: int, seed: int) -> NDArray[np.uint8]:
    """A word in joined-up or loose handwriting: uint8 ``_STRIP``."""
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, 1, number)))
    known = {**COURSES, **_WITHIN_WORDS}
    text = _word(rng, "".join(letter for letter in _LETTERS if letter in known))
    if rng.random() < 0.4:
        capitals = [letter for letter in known if letter.isupper()]
        text = capitals[int(rng.integers(len(capitals)))] + text[1:]
    image = np.zeros(_STRIP, np.uint8)
    unit = CAPITAL_PX / 10
    x, width = 3.0, max(1, round(float(np.exp(rng.uniform(np.log(1.2), np.log(3.6))))))
    narrow, slant, hand = rng.uniform(0.5, 1.0), rng.uniform(-0.1, 0.5), rng.uniform(0.1, 0.7)
    is_joined, last = rng.random() < 0.6, None
    for letter in text:
        courses = known[letter][int(rng.integers(len(known[letter])))].split("|")
        right = 0.0
        for number_of, course in enumerate(courses):
            points = np.array([tuple(float(v) for v in point.split(",")) for point in course.removeprefix("~").split()])
            points = points + rng.normal(0, hand, points.shape)
            placed = np.stack(
                [
                    x + unit * (narrow * points[:, 0] + slant * (10 - points[:, 1])),
                    _MIDDLE - CAPITAL_PX / 2 + unit * points[:, 1],
                ],
                1,
            )
            if number_of == 0 and last is not None and is_joined and letter.islower():
                placed = np.concatenate([last[None], placed])
                course = "~" + course.removeprefix("~")
            if course.startswith("~"):
                placed = smooth(placed)
            cv2.polylines(image, [np.round(placed * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
            right = max(right, float(points[:, 0].max()))
            if number_of == 0:
                last = placed[-1]
        x += unit * narrow * (right + rng.uniform(0.5, 3))
        if x > _STRIP[1] - 30:
            break
    return image
