"""Local contrast: how a finder sees a page, so that neither light nor paper nor pencil matters.

Every pixel becomes its difference from the mean around it, by the spread around it: ink is some -2 to -4 whatever the
light, paper about 0, and bright ink on a dark ground the same with the other sign.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["local_contrast"]

# Windows of the mean and of the spread, in pixels; taken twice, so that they fall off towards their ends. A digit of
# the sizes that the finder looks for (14 to 34 pixels high) is well within them.
_MEAN_PX, _SPREAD_PX = 25, 37
# Added to the spread, in units of the grey range, so that the grain of an empty paper stays small.
_GRAIN = 0.02


def local_contrast(grey: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a page as a finder sees it.

    Parameters
    ----------
    grey : ndarray
        uint8 (h, w), 0-255, or float32 (h, w), 0-1.

    Returns
    -------
    ndarray
        float32 (h, w), about -6 to 6, 0 for the usual paper.
    """
    light = grey.astype(np.float32) * np.float32(1 / 255) if grey.dtype == np.uint8 else np.asarray(grey, np.float32)
    difference = light - _around(light, _MEAN_PX)
    spread = np.sqrt(np.maximum(_around(difference * difference, _SPREAD_PX), 0))
    return np.asarray(difference / (spread + np.float32(_GRAIN)), np.float32)


def _around(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The mean of a square window around every pixel, taken twice; beyond the page its border goes on."""
    once = cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blur(once, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)
