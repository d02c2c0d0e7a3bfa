"""How well a finder finds: its maps compared with the marks of crops that it has not learned from."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.crops import (
    CENTERS,
    DIGITS,
    IGNORED,
    PLACES,
    PRIOR_LOGIT,
    SEPARATOR_MAPS,
    SIZES,
    STRIDE,
    USUAL_PX,
    Crops,
)

#: A centre is taken where its probability is above this.
THRESHOLD = 0.3
_SEPARATOR = 10


@dataclass(frozen=True)
class FinderScore:
    """What became of the marks of some crops."""

    n_marks: int  # digits and separators that were there
    n_found: int  # those with a peak nearer than half their size
    n_missed: int  # those without
    n_wrong: int  # those found of which the label is not the mark's
    n_extra: int  # peaks where no mark is, nor anything that is ignored
    n_crops: int

    @property
    def found(self) -> float:
        """Share of the marks that were found with their own label, 0-1; 1 where there are none."""
        return (self.n_found - self.n_wrong) / self.n_marks if self.n_marks else 1.0

    def __add__(self, other: FinderScore) -> FinderScore:
        return FinderScore(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        n = max(1, self.n_marks)
        return (
            f"found {self.n_found / n:.1%}, missed {self.n_missed / n:.1%}, wrong {self.n_wrong / n:.2%}, "
            f"extra {self.n_extra / max(1, self.n_crops):.3f} a crop"
        )


@dataclass(frozen=True, eq=False)
class Peaks:
    """Local maxima of the maps of centres of one crop."""

    boxes: NDArray[np.float32]  # (n, 4): left, top, right, bottom, in pixels of the crop
    labels: NDArray[np.int64]  # (n,): 0-9, and 10 and on for separators
    probabilities: NDArray[np.float32]  # (n,): that there is a centre


def find_peaks(maps: NDArray[np.float32], threshold: float = THRESHOLD) -> Peaks:
    """Return the local maxima of a finder's answer, float32 (h, w, N_MAPS), surest first."""
    centers = 1 / (1 + np.exp(-np.clip(maps[..., CENTERS] + PRIOR_LOGIT, -30, 30)))
    padded = np.pad(centers, ((1, 1), (1, 1), (0, 0)))
    height, width = centers.shape[:2]
    around = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    rows, columns, kinds = np.nonzero((centers >= np.max(around, axis=0)) & (centers > threshold))
    at = maps[rows, columns]
    labels = np.where(
        kinds == 0, at[:, DIGITS].argmax(1), _SEPARATOR + at[:, SEPARATOR_MAPS].argmax(1) if len(at) else 0
    )
    middle = (np.stack([columns, rows], 1) + 0.5 + at[:, PLACES]) * STRIDE
    half = np.exp(np.clip(at[:, SIZES], -4, 4)) * USUAL_PX / 2
    probabilities = centers[rows, columns, kinds]
    order = np.argsort(-probabilities, kind="stable")
    boxes = np.concatenate([middle - half, middle + half], 1)[order]
    return Peaks(boxes.astype(np.float32), labels[order].astype(np.int64), probabilities[order].astype(np.float32))


def score_maps(maps: NDArray[np.float32], crops: Crops, threshold: float = THRESHOLD) -> FinderScore:
    """Compare a finder's answers, float32 (n, h, w, N_MAPS), with the marks of the crops."""
    n_marks = n_found = n_wrong = n_extra = 0
    for i in range(len(crops)):
        peaks = find_peaks(maps[i], threshold)
        boxes, labels = (a[crops.starts[i] : crops.starts[i + 1]] for a in (crops.boxes, crops.labels))
        is_mark = labels != IGNORED
        n_marks += int(is_mark.sum())
        taken = np.zeros(len(labels), bool)
        middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, np.max(boxes[:, 2:] - boxes[:, :2], axis=1, initial=0)
        # A dot's centre need not be hit to the pixel.
        reach = np.maximum(sizes / 2, STRIDE)
        for box, label in zip(peaks.boxes, peaks.labels, strict=True):
            distance = np.hypot(*((box[:2] + box[2:]) / 2 - middles).T)
            is_near = distance < reach
            free = is_near & is_mark & ~taken & ((labels >= _SEPARATOR) == (label >= _SEPARATOR))
            if free.any():
                k = int(np.where(free, distance, np.inf).argmin())
                taken[k] = True
                n_found += 1
                n_wrong += int(labels[k] != label)
            elif not (is_near & ~is_mark).any():
                n_extra += 1
    return FinderScore(n_marks, n_found, n_marks - n_found, n_wrong, n_extra, len(crops))
