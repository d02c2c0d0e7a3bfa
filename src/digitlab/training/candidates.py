"""Candidates: what the finder takes for a digit on practice crops, for the network that looks at each a second time.

What is nearly a digit is best known by whoever takes it for one. So the second network learns from the finder's own
candidates, right and wrong (Viola and Jones 2001: a cascade; Girshick, Donahue, Darrell and Malik 2014: proposals and
a network that judges them), and besides from boxes that hold half a digit or two.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.desk import Bank
from digitlab.engine.crops import IGNORED
from digitlab.reading.finder import Network, candidates
from digitlab.reading.light import local_contrast
from digitlab.reading.second_look import cut_patches
from digitlab.training.pages import compose

#: The label of what is no digit.
NONE = 10
# One of the streams that come from a seed: see engine/augmentation.py for the others.
_STREAM = 11
_CHUNK = 32
_LEAST_P = 0.15
# A page of words has a hundred candidates that are alike.
_MOST_NONE = 9
# A candidate is a digit whose box it shares so much of, and none if it shares less than the other.
_IS, _IS_NOT = 0.5, 0.3
# Pixels: what is higher or lower may be a digit that this scale is not for.
_LEAST_PX, _MOST_PX = 11.0, 44.0
# A second look need not be at the exact place: standard deviations of place and size, of a side.
_PLACE, _SIZE = 0.035, 0.06
# This part is seen in a picture that was cut close: a cell of a form, a letter of a word. So far beyond the box, in
# sides of it, it ends, and from there its border goes on for so many pixels.
_CUT_CLOSE, _BEYOND, _BORDER_PX = 0.2, 0.5, 64
# For every crop so many boxes that hold half a digit, or two; and so many digits as they stand, found or not.
_PARTS, _WHOLE = 1, 1


def compose_candidates(
    bank: Bank, n: int, finder: Network, *, seed: int, first: int = 0, threads: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Compose crops, from that of number ``first`` on, until the finder has found ``n`` candidates on them.

    Returns what the second look sees of them, uint8 (n, 44, 44), and labels, int64 (n,): 0-9, or 10 for what is none.
    """
    patches, labels = np.empty((n, 44, 44), np.uint8), np.empty(n, np.int64)
    done = 0
    while done < n:
        crops = compose(bank, _CHUNK, seed=seed, first=first, threads=threads, is_grey=True)
        for k in range(_CHUNK):
            of_crop = slice(crops.starts[k], crops.starts[k + 1])
            rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, first + k)))
            grey = crops.images[k, :, :, 0]
            contrast = local_contrast(grey)
            boxes, which = _judged(finder, contrast, _centred(crops.boxes[of_crop]), crops.labels[of_crop], rng)
            some = slice(done, min(n, done + len(which)))
            patches[some] = cut_patches([(1.0, contrast)], boxes[: some.stop - done])
            # Drawn for all of a crop's candidates, so that where a set ends does not matter.
            is_cut = rng.random(len(which)) < _CUT_CLOSE
            for place in np.flatnonzero(is_cut[: some.stop - done]):
                patches[done + place] = _cut_close(grey, boxes[place], rng)
            labels[some] = which[: some.stop - done]
            done = some.stop
        first += _CHUNK
    return patches, labels


def _cut_close(grey: NDArray[np.float32], box: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A candidate as it would be seen in a picture that ends soon beyond it."""
    x, y, width, height = box
    left, top, right, bottom = rng.uniform(0, _BEYOND, 4) * max(width, height)
    first = np.maximum([x - width / 2 - left, y - height / 2 - top], 0).astype(int)
    last = np.ceil([x + width / 2 + right, y + height / 2 + bottom]).astype(int)
    picture = grey[first[1] : last[1] + 1, first[0] : last[0] + 1]
    wider = cv2.copyMakeBorder(picture, *(_BORDER_PX,) * 4, cv2.BORDER_REPLICATE)
    moved = np.array([[x - first[0] + _BORDER_PX, y - first[1] + _BORDER_PX, width, height]])
    patch: NDArray[np.uint8] = cut_patches([(1.0, local_contrast(np.asarray(wider, np.float32)))], moved)[0]
    return patch


def _centred(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """From left, top, right and bottom to centre and size."""
    sides = boxes.astype(np.float64)
    return np.concatenate([(sides[:, :2] + sides[:, 2:]) / 2, np.maximum(sides[:, 2:] - sides[:, :2], 0.5)], 1)


def _judged(
    finder: Network,
    contrast: NDArray[np.float32],
    truth: NDArray[np.float64],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The boxes of one crop to look at, and what each of them holds."""
    found = candidates(finder(contrast), _LEAST_P)
    digits = truth[(labels >= 0) & (labels < NONE)]
    parts = _parts(digits, rng)
    wanted = [found, parts]
    if len(digits):
        wanted.append(digits[rng.integers(len(digits), size=_WHOLE)])
    boxes = np.concatenate(wanted)
    side = boxes[:, 2:].max(1, initial=0)
    boxes[:, :2] += rng.normal(0, _PLACE, (len(boxes), 2)) * side[:, None]
    boxes[:, 2:] *= np.exp(rng.normal(0, _SIZE, (len(boxes), 1)))
    shared = _shared(boxes, truth)
    is_left_out = (labels == IGNORED) & ((shared > 0.15) | _holds(truth, boxes))
    is_digit = (labels >= 0) & (labels < NONE)
    best = np.where(is_digit, shared, 0).max(1, initial=0)
    which = np.full(len(boxes), NONE)
    if len(labels):
        nearest = np.where(is_digit, shared, -1).argmax(1)
        which = np.where(best >= _IS, labels[nearest], NONE)
    height = boxes[:, 3]
    # Half a digit shares up to half of its box with the whole.
    none = np.full(len(boxes), _IS_NOT)
    none[len(found) : len(found) + len(parts)] = _IS
    kept = ((best >= _IS) | (best < none)) & ~is_left_out.any(1) & (height > _LEAST_PX) & (height < _MOST_PX)
    kept &= boxes[:, 2] < _MOST_PX
    none_of_it = np.flatnonzero(kept & (which == NONE))
    kept[rng.permutation(none_of_it)[_MOST_NONE:]] = False
    return boxes[kept], which[kept].astype(np.int64)


def _parts(digits: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Boxes that hold half a digit, a digit and half of its neighbor, or two."""
    parts = []
    for _ in range(_PARTS if len(digits) else 0):
        x, y, width, height = digits[int(rng.integers(len(digits)))]
        kind = rng.integers(4)
        if kind == 0:  # beside it
            parts.append((x + rng.choice((-1, 1)) * rng.uniform(0.5, 1.0) * width, y, width, height))
        elif kind == 1:  # its upper or lower half, or a side
            parts.append((x, y + rng.choice((-1, 1)) * rng.uniform(0.25, 0.5) * height, width, 0.5 * height))
        else:  # with what stands beside it
            grown = rng.uniform(1.9, 2.6)
            parts.append((x + rng.choice((-1, 1)) * 0.5 * (grown - 1) * width, y, grown * width, height))
    return np.array(parts, np.float64).reshape(-1, 4)


def _shared(boxes: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each two boxes share, as a part of what they cover together: float64 (n, m)."""
    both = np.ones((len(boxes), len(truth)))
    for axis in (0, 1):
        a, b, c, d = boxes[:, axis, None], boxes[:, axis + 2, None] / 2, truth[:, axis], truth[:, axis + 2] / 2
        both *= np.maximum(np.minimum(a + b, c + d) - np.maximum(a - b, c - d), 0)
    together = (boxes[:, 2] * boxes[:, 3])[:, None] + truth[:, 2] * truth[:, 3] - both
    return np.asarray(both / np.maximum(together, 1e-9), np.float64)


def _holds(truth: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a box's centre is within another: bool (n, m)."""
    near = np.abs(boxes[:, None, :2] - truth[:, :2]) < truth[:, 2:] / 2
    return np.asarray(near.all(2), np.bool_)
