"""Practice pages: crops of pages with digits and much that is none, composed anew for every step of a training.

Whoever finds digits on photos must have seen edges, frames, rules, words and shadows. Crop ``i`` depends on the bank,
the seed and ``i``, and on nothing else: not on how many are composed at once, and not on the threads that share them.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.composing import CROP_PX, MOST_MARKS, Bank, compose_crop, new_desk
from digitlab.engine.cpu.threads import available_threads, share
from digitlab.engine.crops import Crops
from digitlab.reading.contrast import local_contrast

__all__ = ["compose", "compose_greys"]


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


def compose_greys(bank: Bank, n: int, *, seed: int, first: int = 0) -> Crops:
    """Compose the same crops as a camera sees them, 0-1, without local contrast: for people."""
    return _composed(bank, n, seed, first, None, has_contrast=False)


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
