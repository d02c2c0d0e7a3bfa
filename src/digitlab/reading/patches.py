"""Patches: a candidate with what stands around it, always of one size, for the network that looks a second time."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["DIGIT_PX", "PATCH_PX", "cut_patches"]

#: Sides of a patch, and of the larger side of a candidate's box within it, in pixels: as MNIST's digits are framed,
#: only with the neighborhood instead of nothing around them.
PATCH_PX, DIGIT_PX = 44, 20
# A patch is taken from the level on which the candidate is about so large, in pixels.
_BEST_PX = 22.0
# Local contrast as bytes: paper is 128, and so many steps are one spread.
_PAPER, _STEPS = 128.0, 32.0


def cut_patches(
    levels: Sequence[tuple[float, float, NDArray[np.float32]]], boxes: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Cut candidates out of a page, with their surroundings.

    Parameters
    ----------
    levels : sequence of (scale, margin, contrast)
        Pixels of the level a pixel of the page; pixels of the level before its page begins; float32 (h, w) local
        contrast.
    boxes : ndarray
        float64 (n, 4): centres x and y, widths and heights, in pixels of the page.

    Returns
    -------
    ndarray
        uint8 (n, 44, 44): 128 for the usual paper; ink is darker or brighter, as it is on the page.
    """
    patches = np.empty((len(boxes), PATCH_PX, PATCH_PX), np.uint8)
    scales = np.log([scale for scale, _, _ in levels])
    for k, (x, y, width, height) in enumerate(boxes):
        side = max(width, height, 1e-6)
        scale, margin, contrast = levels[int(np.argmin(np.abs(scales - np.log(_BEST_PX / side))))]
        step = side * scale / DIGIT_PX  # pixels of the level a pixel of the patch
        first_x = x * scale + margin - step * PATCH_PX / 2 + 0.5 * (step - 1)
        first_y = y * scale + margin - step * PATCH_PX / 2 + 0.5 * (step - 1)
        moved = np.array([[step, 0, first_x], [0, step, first_y]], np.float32)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(contrast, moved, (PATCH_PX, PATCH_PX), flags=how, borderMode=cv2.BORDER_REPLICATE)
        patches[k] = np.clip(_PAPER + _STEPS * seen, 0, 255)
    return patches
