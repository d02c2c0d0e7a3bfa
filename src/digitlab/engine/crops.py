"""What a finder learns from and what it answers: crops of pages with marks, and maps of centres.

A *finder* is a small convolutional network slid over a page (Matan, Burges, LeCun and Denker 1992; LeCun, Bottou,
Bengio and Haffner 1998, section VII: space displacement networks). It answers with maps at a quarter of the page's
resolution: where the centre of a digit is, where that of a separator is, which it is, and how large (Zhou, Wang and
Krähenbühl 2019, *Objects as Points*).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: What may part two numbers, in the order of the finder's maps; their labels come after the ten digits'.
SEPARATORS = "/-.,:x="
#: The label of what is neither learned nor held against the finder: half a digit at the paper's edge, say.
IGNORED = -1

#: Pixels of the page from one value of a map to the next. The centre of cell (row, column) is the page's point
#: ((column + 0.5) * STRIDE, (row + 0.5) * STRIDE).
STRIDE = 4

#: The maps, last axis of the answer. ``CENTERS``: two logits, that the centre of a digit, of a separator is in this
#: cell, each before ``PRIOR_LOGIT`` is added. ``DIGITS`` and ``SEPARATOR_MAPS``: logits of which, given that there is
#: one. ``PLACES``: from the cell's centre to the mark's, x and y, in cells. ``SIZES``: log(width / USUAL_PX) and
#: log(height / USUAL_PX).
CENTERS = slice(0, 2)
DIGITS = slice(2, 12)
SEPARATOR_MAPS = slice(12, 12 + len(SEPARATORS))
PLACES = slice(19, 21)
SIZES = slice(21, 23)
N_MAPS = 23

#: Centres are rare; beginning from this logit the first batches need not learn it.
PRIOR_LOGIT = -4.0
#: Sizes are learned as logarithms of their ratio to this one.
USUAL_PX = 16.0


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of pages with their marks.

    Attributes
    ----------
    images : ndarray
        float32 (n, height, width, 1): local contrast, as the finder sees a page.
    boxes : ndarray
        float32 (m, 4): left, top, right and bottom of every mark, in pixels of its crop; may reach beyond it.
    labels : ndarray
        int64 (m,): 0-9 for digits, 10 and on for ``SEPARATORS``, ``IGNORED``.
    starts : ndarray
        int64 (n + 1,): the marks of crop i are those from ``starts[i]`` to before ``starts[i + 1]``.
    """

    images: NDArray[np.float32]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: NDArray[np.int64]) -> Crops:
        """Return some of the crops, with their marks."""
        marks = [np.arange(self.starts[i], self.starts[i + 1]) for i in chosen]
        which = np.concatenate(marks) if marks else np.empty(0, np.int64)
        starts = np.cumsum([0, *map(len, marks)])
        return Crops(self.images[chosen], self.boxes[which], self.labels[which], starts)
