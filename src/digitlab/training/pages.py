"""Pages: what a finder practises on, crops and whole sheets that are composed of a bank of digits, letters and words.

Whoever finds digits on photos must have seen edges, frames, rules, words and shadows. Crop ``i`` depends on the bank,
the seed and ``i``, and on nothing else: not on how many are composed at once, and not on the threads that share them.
How one is composed is told in ``engine/cpu/composing.py``. A page without all that is ``compose_page``'s, to look at
and to judge a reader by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digitlab.data.mnist import MnistData, Split
from digitlab.engine.cpu import sheets
from digitlab.engine.cpu.composing import CROP_PX, MOST_MARKS, Bank, compose_crop, new_desk
from digitlab.engine.cpu.desk import CONTRAST
from digitlab.engine.cpu.thinning import MOST_EDGES, thin_images
from digitlab.engine.cpu.threads import available_threads, share
from digitlab.engine.crops import IGNORED, SEPARATORS, Crops
from digitlab.reading.light import local_contrast
from digitlab.training.letters import Font, find_fonts, penned_word, printed_digits, printed_word
from digitlab.training.nondigits import KINDS, fonts_for, make_nondigits
from digitlab.training.variants import make_variants

# Two of the streams that come from a seed: see engine/augmentation.py for the others.
_BANK_STREAM, _SHEET_STREAM = 8, 9
# Kinds of what is no digit that stand by themselves on a page; pairs of digits are two digits there.
_ALONE = ("printed letter", "penned letter", "piece", "scribble", "line", "dot")
# For each digit of the set: variants, each of which is taken twice, and images that are none.
_VARIANTS, _OTHERS = 0.1, 0.3
_WORDS_PER_FONT, _PENNED_WORDS = 14, 2_000
_INK, _THIN = 90, 100.0
_TASK = 512  # images that a thread thins at once

# Pixels of a sheet's side, and of its digits, least and most.
_SIDES, _HEIGHTS = (600, 1600), (18.0, 60.0)

# Of ``compose_page``: its width, a digit's side, and how far apart digits and rows are; its numbers' left sides.
_WIDTH_PX, _DIGIT_PX, _APART_PX, _ROW_PX = 900, 84, 60, 165
_LEFT_PX = (60, 500)

# Of pictures with marks: pixels of one of a crop's, between crops, the colors of marks, how many, rows and columns.
_ZOOM, _GAP_PX = 2, 3
_DIGIT, _SEPARATOR, _LEFT_OUT = (0, 140, 40), (20, 90, 220), (220, 40, 40)
_N_PICTURES, _PER_PICTURE = 4, (6, 6)


def make_bank(digits: Split, *, seed: int = 0, fonts: Sequence[Font] | None = None, threads: int | None = None) -> Bank:
    """Gather what pages are composed of: digits, variants of them, what is none, printed digits, and words.

    ``fonts`` are all that this machine has by default; of them the validation split has others than training. Nothing
    depends on ``threads``.
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
    printed = printed_digits(own)
    words = enumerate(font for font in own for _ in range(_WORDS_PER_FONT))
    strips = [printed_word(font, _rng(seed, _BANK_STREAM, 0, k)) for k, font in words]
    strips = [strip for strip in strips if strip.any()]
    n_printed = len(strips)
    strips += [penned_word(_rng(seed, _BANK_STREAM, 1, k)) for k in range(_PENNED_WORDS)]
    return Bank(
        images=images,
        labels=labels,
        boxes=_boxes(images),
        slants=_slants(images),
        edges=edges,
        starts=starts,
        printed=printed,
        printed_boxes=_boxes(printed.reshape(-1, 28, 28)).reshape(-1, 10, 4),
        strips=np.stack(strips),
        strip_widths=np.array([int(np.flatnonzero(strip.any(0))[-1]) + 2 for strip in strips], np.int64),
        n_digits=n_digits,
        n_printed=n_printed,
    )


def bank_digest(bank: Bank) -> str:
    """SHA-256 of all that a bank holds, in hexadecimal: another machine may have other fonts."""
    digest = hashlib.sha256()
    for part in bank:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else str(part).encode())
    return digest.hexdigest()


def _rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


def _edges(images: NDArray[np.uint8], n_workers: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Where a pen went: uint8 (m, 4), and int64 (n + 1,), where those of each image begin."""
    n = len(images)
    all_edges, counts = np.zeros((n, MOST_EDGES, 4), np.uint8), np.zeros(n, np.int64)
    memory = [np.zeros((2, 58, 58), np.uint8) for _ in range(n_workers)]

    def task(worker: int, k: int) -> None:
        ink, marked = memory[worker]
        thin_images(images, k * _TASK, min(n, (k + 1) * _TASK), _THIN, ink, marked, all_edges, counts)

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


def compose(
    bank: Bank, n: int, *, seed: int, first: int = 0, threads: int | None = None, is_grey: bool = False
) -> Crops:
    """Compose ``n`` crops of 144 x 144 pixels, with digits 14 to 34 pixels high, from the one of number ``first`` on.

    They are local contrast, as a finder sees them, or where ``is_grey`` what a camera sees, 0-1.
    """
    n_workers = min(threads or available_threads(), max(1, n))
    desks = [new_desk() for _ in range(n_workers)]
    greys = np.zeros((n_workers, CROP_PX, CROP_PX), np.float32)
    images = np.empty((n, CROP_PX, CROP_PX, 1), np.float32)
    boxes, labels = np.empty((n, MOST_MARKS, 4), np.float32), np.empty((n, MOST_MARKS), np.int64)
    counts = np.zeros(n, np.int64)

    def task(worker: int, k: int) -> None:
        grey = greys[worker]
        # Noise is bounded by how dark the ink is. Where there is no page, hence no ink, this would be that of the crop
        # before, whichever that was.
        desks[worker].habits[CONTRAST] = 1.0
        counts[k] = compose_crop(bank, desks[worker], seed, first + k, grey, boxes[k], labels[k])
        images[k, :, :, 0] = grey if is_grey else local_contrast(grey)

    share(task, n, n_workers)
    is_kept = np.arange(MOST_MARKS) < counts[:, None]
    return Crops(images, boxes[is_kept], labels[is_kept], np.concatenate([[0], np.cumsum(counts)]))


@dataclass(frozen=True)
class WrittenSign:
    """A digit or a separator on a sheet: its text, and left, top, right and bottom of its ink in pixels."""

    text: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class PracticeSheet:
    """A whole page, and what is written on it."""

    image: NDArray[np.uint8]  # (height, width), 0-255
    turns: int  # by how many quarters to the left it was turned: ``np.rot90(image, -turns)`` is upright
    #: From the top down: a line is a tuple of numbers, a number one of signs; their boxes are of the upright page.
    lines: tuple[tuple[tuple[WrittenSign, ...], ...], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The lines' texts, with a space between numbers."""
        return tuple(" ".join("".join(sign.text for sign in number) for number in line) for line in self.lines)


def compose_sheet(bank: Bank, index: int, *, seed: int, is_turned: bool = False) -> PracticeSheet:
    """Compose a whole page with lines of numbers: a sheet on a table, boxes, rules, words, shadows, perspective.

    Where ``is_turned`` it may lie on a side, or on its head.
    """
    rng = _rng(seed, _SHEET_STREAM, index)
    side = int(np.exp(rng.uniform(*np.log(_SIDES))))
    height = float(np.exp(rng.uniform(np.log(_HEIGHTS[0]), np.log(min(_HEIGHTS[1], side / 12)))))
    desk, image = new_desk(side), np.zeros((side, side), np.float32)
    boxes, labels, lines, numbers = np.zeros((MOST_MARKS, 4), np.float32), *np.zeros((3, MOST_MARKS), np.int64)
    n = sheets.compose_sheet(bank, desk, seed, index, height, image, boxes, labels, lines, numbers)
    written: dict[int, dict[int, list[WrittenSign]]] = {}
    for box, label, line, number in zip(boxes[:n], labels[:n], lines[:n], numbers[:n], strict=True):
        left, top, right, bottom = (float(value) for value in box)
        sign = WrittenSign(_text(int(label)), (left, top, right, bottom))
        written.setdefault(int(line), {}).setdefault(int(number), []).append(sign)
    turns = int(rng.integers(4)) if is_turned else 0
    page = np.round(image * 255).astype(np.uint8)
    return PracticeSheet(
        np.ascontiguousarray(np.rot90(page, turns)),
        turns,
        tuple(tuple(tuple(line.get(k, ())) for k in range(max(line) + 1)) for _, line in sorted(written.items())),
    )


def _text(label: int) -> str:
    return str(label) if label < 10 else SEPARATORS[label - 10]


@dataclass(frozen=True, slots=True, eq=False)
class ComposedPage:
    """A page of MNIST's digits on paper under uneven light, and what stands on it."""

    pixels: NDArray[np.uint8]  # (h, w), 0-255, dark ink on paper
    numbers: tuple[str, ...]  # in reading order
    #: For each digit left, top, right and bottom, in pixels, half-open, of the image that it was made of.
    boxes: tuple[tuple[int, int, int, int], ...]


def compose_page(
    digits: Split, *, seed: int = 0, numbers: Sequence[int] = (4, 1, 6, 3, 5, 2), digit_px: int = _DIGIT_PX
) -> ComposedPage:
    """Compose a page of numbers side by side, with a dash that is none in its last line.

    ``numbers`` says how many digits each has, at most 6; ``digit_px`` is the side of the image of a digit, of which its
    ink fills about two thirds.
    """
    rng = np.random.default_rng(seed)
    scale = digit_px / _DIGIT_PX
    lefts = [
        k * _WIDTH_PX * scale + left for k in range(max(1, round(1 / scale))) for left in np.multiply(_LEFT_PX, scale)
    ]
    n_rows = -(-len(numbers) // len(lefts))
    ink = np.zeros((round(scale * (65 + _ROW_PX * n_rows)), _WIDTH_PX), np.float32)
    written, boxes = [], []
    for k, n in enumerate(numbers):
        chosen = rng.integers(len(digits), size=n)
        written.append("".join(str(label) for label in digits.labels[chosen]))
        left, top = lefts[k % len(lefts)], scale * (50 + _ROW_PX * (k // len(lefts)))
        for at, i in enumerate(chosen):
            x = round(left + scale * (at * _APART_PX + int(rng.integers(-3, 4))))
            y = round(top + scale * int(rng.integers(-6, 7)))
            image = Image.fromarray(digits.images[i]).resize((digit_px, digit_px), Image.Resampling.BICUBIC)
            place = ink[y : y + digit_px, x : x + digit_px]
            np.maximum(place, np.asarray(image, np.float32)[:, : place.shape[1]] / 255, out=place)
            boxes.append((x, y, x + place.shape[1], y + digit_px))
    bottom = ink.shape[0] - round(128 * scale)
    ink[bottom : bottom + max(2, round(6 * scale)), _WIDTH_PX - round(140 * scale) : _WIDTH_PX - round(70 * scale)] = 1
    y, x = np.mgrid[: ink.shape[0], :_WIDTH_PX] / _WIDTH_PX
    light = 238 - 60 * x - 45 * y + rng.normal(0, 3, ink.shape)
    pixels = np.clip(light * (1 - 0.82 * ink), 0, 255).astype(np.uint8)
    return ComposedPage(pixels, tuple(written), tuple(boxes))


def draw_sheet(crops: Crops, columns: int) -> NDArray[np.uint8]:
    """Draw crops with their marks: uint8 (height, width, 3).

    Digits are framed in green, separators in blue, and what is neither learned nor held against the finder in red.
    """
    side = CROP_PX * _ZOOM
    rows = -(-len(crops) // columns)
    sheet = Image.new("RGB", (columns * (side + _GAP_PX) - _GAP_PX, rows * (side + _GAP_PX) - _GAP_PX), "white")
    for i, grey in enumerate(crops.images[..., 0]):
        image = Image.fromarray(np.round(grey * 255).astype(np.uint8)).resize((side, side)).convert("RGB")
        pen = ImageDraw.Draw(image)
        of_crop = slice(crops.starts[i], crops.starts[i + 1])
        for box, label in zip(crops.boxes[of_crop], crops.labels[of_crop], strict=True):
            left, top, right, bottom = (float(value) * _ZOOM for value in box)
            color = _LEFT_OUT if label == IGNORED else _DIGIT if label < 10 else _SEPARATOR
            pen.rectangle((left, top, max(left + 1, right), max(top + 1, bottom)), outline=color)
            pen.text((left, top - 11), "" if label == IGNORED else _text(int(label)), fill=color)
        sheet.paste(image, (i % columns * (side + _GAP_PX), i // columns * (side + _GAP_PX)))
    return np.asarray(sheet)


def write_sheets(folder: Path) -> list[Path]:
    """Write a few sheets of a training's first crops as PNG files into a folder, which is made."""
    bank = make_bank(MnistData.load().training)
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = _PER_PICTURE
    paths = [folder / f"practice-{k + 1}.png" for k in range(_N_PICTURES)]
    for k, path in enumerate(paths):
        crops = compose(bank, rows * columns, seed=0, first=k * rows * columns, is_grey=True)
        Image.fromarray(draw_sheet(crops, columns)).save(path, optimize=True)
    return paths
