"""Practice pages: crops of pages with digits and much that is none, composed anew for every step of a training.

Whoever finds digits on photos must have seen edges, frames, rules, words and shadows. Crop ``i`` depends on the bank,
the seed and ``i``, and on nothing else: not on how many are composed at once, and not on the threads that share them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu import sheets
from digitlab.engine.cpu.composing import CROP_PX, MOST_MARKS, Bank, compose_crop, new_desk
from digitlab.engine.cpu.threads import available_threads, share
from digitlab.engine.crops import SEPARATORS, Crops
from digitlab.reading.light import local_contrast

__all__ = ["PracticeSheet", "WrittenSign", "compose", "compose_greys", "compose_sheet"]


# Pixels of a sheet's side, and of its digits, least and most.
_SIDES, _HEIGHTS = (600, 1600), (18.0, 60.0)
_STREAM = 9
_DIGIT_NAMES = range(10)


@dataclass(frozen=True)
class WrittenSign:
    """A digit or a separator on a sheet: its text, and left, top, right and bottom of its ink in pixels."""

    text: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class PracticeSheet:
    """A whole page, and what is written on it.

    Attributes
    ----------
    image : ndarray
        uint8 (height, width), 0-255.
    turns : int
        How many quarters to the left the page was turned: ``np.rot90(image, -turns)`` is upright.
    lines : tuple
        From the top down: a line is a tuple of numbers, a number a tuple of ``WrittenSign``. The boxes are those of the
        upright page.
    """

    image: NDArray[np.uint8]
    turns: int
    lines: tuple[tuple[tuple[WrittenSign, ...], ...], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The lines' texts, with a space between numbers."""
        return tuple(" ".join("".join(sign.text for sign in number) for number in line) for line in self.lines)


def compose(bank: Bank, n: int, *, seed: int, first: int = 0, threads: int | None = None) -> Crops:
    """Compose practice crops.

    Parameters
    ----------
    bank : Bank
        What they are composed of: see ``practice_bank.make_bank``.
    n : int
        How many.
    seed : int
        0 or more.
    first : int
        The number of the first: crops 0 to 9 are the first ten of any.
    threads : int, optional
        Threads that share the work; all cores by default. Nothing depends on it.

    Returns
    -------
    Crops
        Of 144 x 144 pixels, with digits 14 to 34 pixels high.
    """
    return _composed(bank, n, seed, first, threads, has_contrast=True)


def compose_greys(bank: Bank, n: int, *, seed: int, first: int = 0, threads: int | None = None) -> Crops:
    """Compose the same crops as a camera sees them, 0-1, without local contrast."""
    return _composed(bank, n, seed, first, threads, has_contrast=False)


def _composed(bank: Bank, n: int, seed: int, first: int, threads: int | None, *, has_contrast: bool) -> Crops:
    n_workers = min(threads or available_threads(), max(1, n))
    desks = [new_desk() for _ in range(n_workers)]
    greys = np.zeros((n_workers, CROP_PX, CROP_PX), np.float32)
    images = np.empty((n, CROP_PX, CROP_PX, 1), np.float32)
    boxes, labels = np.empty((n, MOST_MARKS, 4), np.float32), np.empty((n, MOST_MARKS), np.int64)
    counts = np.zeros(n, np.int64)

    def task(worker: int, k: int) -> None:
        grey = greys[worker]
        counts[k] = compose_crop(bank, desks[worker], seed, first + k, grey, boxes[k], labels[k])
        images[k, :, :, 0] = local_contrast(grey) if has_contrast else grey

    share(task, n, n_workers)
    is_kept = np.arange(MOST_MARKS) < counts[:, None]
    return Crops(images, boxes[is_kept], labels[is_kept], np.concatenate([[0], np.cumsum(counts)]))


def compose_sheet(bank: Bank, index: int, *, seed: int, is_turned: bool = False) -> PracticeSheet:
    """Compose a whole page with lines of numbers: a sheet on a table, boxes, rules, words, shadows, perspective.

    Parameters
    ----------
    bank : Bank
        What it is composed of; for judging, that of validation digits.
    index, seed : int
        Which sheet it is.
    is_turned : bool
        Whether it may lie on a side, or on its head.
    """
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, index)))
    side = int(np.exp(rng.uniform(*np.log(_SIDES))))
    height = float(np.exp(rng.uniform(np.log(_HEIGHTS[0]), np.log(min(_HEIGHTS[1], side / 12)))))
    desk, image = new_desk(side), np.zeros((side, side), np.float32)
    boxes, labels, lines, numbers = np.zeros((MOST_MARKS, 4), np.float32), *np.zeros((3, MOST_MARKS), np.int64)
    n = sheets.compose_sheet(bank, desk, seed, index, height, image, boxes, labels, lines, numbers)
    signs = [
        WrittenSign(
            str(label) if label < len(_DIGIT_NAMES) else SEPARATORS[label - len(_DIGIT_NAMES)],
            (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        )
        for label, box in zip(labels[:n], boxes[:n], strict=True)
    ]
    written = tuple(
        tuple(
            tuple(sign for k, sign in enumerate(signs) if lines[k] == line and numbers[k] == number)
            for number in range(int(numbers[:n][lines[:n] == line].max()) + 1)
        )
        for line in range(int(lines[:n].max(initial=-1)) + 1)
        if (lines[:n] == line).any()
    )
    turns = int(rng.integers(4)) if is_turned else 0
    page = np.round(image * 255).astype(np.uint8)
    return PracticeSheet(np.ascontiguousarray(np.rot90(page, turns)), turns, written)
