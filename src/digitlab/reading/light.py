"""Light: the grey in which ink stands out most."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["grey"]

_SMALL_PX = 256  # side of the small picture in which the channels are compared
_BRIGHTNESS = 1.25  # brightness, the mean of many sensors, has the least noise: a single colour must be clearly better
_FAINT = 0.01  # differences of less are the sensor's


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return brightness, or the colour in which ink stands out clearly better: red for blue ink on a pink form.

    Parameters
    ----------
    pixels : ndarray
        uint8 (h, w) or (h, w, 3), 0-255, red first.

    Returns
    -------
    ndarray
        float32 (h, w), 0-1.
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
