"""Second look: every candidate once more, with what stands around it, by a network that has learned from mistakes.

The finder looks at all places of a page and must be small. What it proposes is little, so a larger network can afford
to look at each, always at the same size (Viola and Jones 2001 call it a cascade). It sees more than twice the box, so
that half a word, the wheel of a car or a rule is told from a digit; it has learned from what the finder takes for
digits on practice pages, right and wrong (``training/candidates.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.engine.sequential import Sequential
from digitlab.reading.finder import Level, Marks
from digitlab.runs.listing import open_model

#: Sides of a patch, and of the larger side of a candidate's box within it, in pixels: as MNIST's digits are framed,
#: only with the neighborhood instead of nothing around them.
PATCH_PX, DIGIT_PX = 44, 20
# A patch is taken from the level on which the candidate is about so large, in pixels.
_BEST_PX = 22.0
# Local contrast as bytes: paper is 128, and so many steps are one spread.
_PAPER, _STEPS = 128.0, 32.0
# A probability nearer to 0 and 1 than this leaves no doubt.
_DOUBT = 0.005


#: What looks again: from patches, uint8 (n, height, width), to float32 (n, 11).
Second = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

#: The network that the package brings.
SHIPPED_SECOND = Path(__file__).parent / "model" / "second_look.safetensors"


@cache
def shipped_second(device: str = "cpu") -> Second:
    """Return the network that the package brings, loaded once for each device: from patches to float32 (n, 11)."""
    model = Sequential.from_checkpoint(open_model(SHIPPED_SECOND))
    model.use_device(device)
    return lambda patches: model.predict(patches[..., None])


def look_again(
    levels: Sequence[Level],
    marks: Marks,
    network: Second,
    sizes: Sequence[float] = (1.0,),
) -> NDArray[np.float32]:
    """Return what the second network says of candidates: float32 (n, 11), last that it is no digit; rows sum to 1.

    Where one look leaves a doubt, others follow with the box so many times as large, and their geometric mean counts:
    a box is only roughly right, and what is a digit stays one when seen a little larger or smaller.
    """
    if not len(marks):
        return np.zeros((0, 11), np.float32)
    said = network(patches_of(levels, marks))
    doubtful = np.flatnonzero((said[:, 10] > _DOUBT) & (said[:, 10] < 1 - _DOUBT))
    if len(sizes) > 1 and len(doubtful):
        logs = [np.log(np.maximum(said[doubtful], 1e-6))]
        for size in sizes[1:]:
            logs.append(np.log(np.maximum(network(patches_of(levels, marks[doubtful], size)), 1e-6)))
        mean = np.exp(np.mean(logs, 0))
        said[doubtful] = mean / mean.sum(1, keepdims=True)
    return said


def patches_of(levels: Sequence[Level], marks: Marks, size: float = 1.0) -> NDArray[np.uint8]:
    """Cut the candidates, their boxes so many times as large, out of a page's pyramid; as ``cut_patches``."""
    boxes = np.stack([marks.x, marks.y, size * marks.width, size * marks.height], 1)
    return cut_patches([(level.scale, level.contrast) for level in levels], boxes)


def cut_patches(levels: Sequence[tuple[float, NDArray[np.float32]]], boxes: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Cut candidates out of a page, with their surroundings: uint8 (n, 44, 44), 128 for the usual paper.

    ``levels`` are the pixels of each a pixel of the page, and its local contrast, float32 (h, w); ``boxes``, float64
    (n, 4), centres x and y, widths and heights, in pixels of the page.
    """
    patches = np.empty((len(boxes), PATCH_PX, PATCH_PX), np.uint8)
    scales = np.log([scale for scale, _ in levels])
    for k, (x, y, width, height) in enumerate(boxes):
        side = max(width, height, 1e-6)
        scale, contrast = levels[int(np.argmin(np.abs(scales - np.log(_BEST_PX / side))))]
        step = side * scale / DIGIT_PX  # pixels of the level a pixel of the patch
        first_x = x * scale - step * PATCH_PX / 2 + 0.5 * (step - 1)
        first_y = y * scale - step * PATCH_PX / 2 + 0.5 * (step - 1)
        moved = np.array([[step, 0, first_x], [0, step, first_y]], np.float32)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(contrast, moved, (PATCH_PX, PATCH_PX), flags=how, borderMode=cv2.BORDER_REPLICATE)
        patches[k] = np.clip(_PAPER + _STEPS * seen, 0, 255)
    return patches
