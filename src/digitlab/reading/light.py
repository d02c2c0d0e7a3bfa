"""Light: the grey in which ink stands out most, and the local contrast, in which a finder sees a page.

In local contrast every pixel is its difference from the mean around it, by the spread around it, so that neither light
nor paper nor pencil matters: ink is some -2 to -4, paper about 0, and bright ink on a dark ground the same with the
other sign.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SMALL_PX = 256  # side of the small picture in which the channels are compared
_BRIGHTNESS = 1.25  # brightness, the mean of many sensors, has the least noise: a single colour must be clearly better
_FAINT = 0.01  # differences of less are the sensor's


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return brightness, or the colour in which ink stands out clearly better: red for blue ink on a pink form.

    From uint8 (h, w) or (h, w, 3), 0-255, red first, to float32 (h, w), 0-1.
    """
    if pixels.ndim == 2:
        return _zero_to_one(pixels)
    scale = min(1.0, _SMALL_PX / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    rated = [
        _separation(np.asarray(one, np.uint8)) for one in (cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), *cv2.split(small))
    ]
    rated[0] *= _BRIGHTNESS
    best = int(np.argmax(rated))
    chosen = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if best == 0 else pixels[..., best - 1]
    return _zero_to_one(np.asarray(chosen, np.uint8))


def _separation(channel: NDArray[np.uint8]) -> float:
    """How far what differs most from its surroundings stands out from what usually does."""
    light = _zero_to_one(channel)
    side = max(3, max(light.shape) // 8) | 1
    differences = np.abs(light - cv2.blur(light, (side, side))) / max(float(light.mean()), 0.1)
    return float(np.percentile(differences, 98) / (np.median(differences) + _FAINT))


def _zero_to_one(channel: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.multiply(channel, np.float32(1 / 255), dtype=np.float32)


# Windows of the mean and of the spread, in pixels; taken twice, so that they fall off towards their ends. A digit of
# the sizes that the finder looks for (14 to 34 pixels high) is well within them.
_MEAN_PX, _SPREAD_PX = 25, 37
# Added to the spread, in units of the grey range, so that the grain of an empty paper stays small.
_GRAIN = 0.02


def local_contrast(grey: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a page, uint8 (h, w), 0-255, or float32, 0-1, as a finder sees it: float32 (h, w), about -6 to 6."""
    light = grey.astype(np.float32) * np.float32(1 / 255) if grey.dtype == np.uint8 else np.asarray(grey, np.float32)
    difference = light - _around(light, _MEAN_PX)
    spread = np.sqrt(np.maximum(_around(difference * difference, _SPREAD_PX), 0))
    return np.asarray(difference / (spread + np.float32(_GRAIN)), np.float32)


def _around(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The mean of a square window around every pixel, taken twice; beyond the page its border goes on."""
    once = cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blur(once, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)
