"""Light: the grey in which ink stands out most, and how much each place differs from the paper around it.

What ink takes away is a part of the light that falls on the paper, so contrast is a ratio to the paper beside it:
then a shadow, yellow paper and the dark corners of a photo drop out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["coarse_paper", "contrast", "fine_paper", "grey", "is_bright"]

_COARSE_PX = 128  # side of the small picture in which the paper is looked for; light changes slowly
_LITTLE_PX = 200  # a picture not larger than this holds a digit or two, whose strokes are wide in half of that
_FINE_PX = 700


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the channel in which ink stands out most from the paper's noise.

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
    # Brightness, the mean of many sensors, has the least noise. A single colour must be clearly better: red for blue
    # ink, or for pencil on red paper.
    small = _small(pixels)
    candidates = [cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), *cv2.split(small)]
    rated = [_separation(np.asarray(one, np.uint8)) for one in candidates]
    rated[0] *= 1.25
    best = int(np.argmax(rated))
    chosen = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if best == 0 else pixels[..., best - 1]
    return _zero_to_one(np.asarray(chosen, np.uint8))


def coarse_paper(light: NDArray[np.float32], bright_ink: bool, flatten: bool = True) -> NDArray[np.float32]:
    """Estimate the paper's brightness by filling in all that is darker, or brighter, and narrower than any stroke.

    A morphological closing leaves a slope as it is, so a shadow stays in the paper and out of the ink.

    Parameters
    ----------
    light : ndarray
        float32 (h, w), 0-1.
    bright_ink : bool
        Whether the ink is brighter than its ground.
    flatten : bool
        False takes one brightness for all.

    Returns
    -------
    ndarray
        float32 (h, w), 0-1.
    """
    small = _small((light * 255).astype(np.uint8))
    if not flatten:
        return np.full_like(light, np.median(small) / 255)
    return _enlarged(_filled(small, bright_ink), light)


def is_bright(light: NDArray[np.float32]) -> bool:
    """Say whether the ink is brighter than its ground: what stands out from a wide surrounding and is narrow."""
    small = _small((light * 255).astype(np.uint8))
    values = small.astype(np.float32)
    # Half the short side: wide enough that a digit filling the picture is not mistaken for paper.
    side = int(np.clip(min(small.shape) // 2 * 2 + 1, 3, 101))
    surrounding = cv2.medianBlur(small, side).astype(np.float32)
    # Shadows stand out from the surrounding but are wide; the hole of a dark 0 is narrow but does not stand out.
    dark = np.minimum(_filled(small, False) - values, surrounding - values)
    bright = np.minimum(values - _filled(small, True), values - surrounding)
    height, width = small.shape
    # Frames, the paper's edge and the table are along the border, writing is not.
    inner = (slice(height // 10, height - height // 10), slice(width // 10, width - width // 10))
    faint = 0.02 * 255
    return float(np.maximum(bright[inner] - faint, 0).sum()) > float(np.maximum(dark[inner] - faint, 0).sum())


def _filled(small: NDArray[np.uint8], bright_ink: bool) -> NDArray[np.float32]:
    # A sixth of the short side: no stroke is so wide, and few shadows are so narrow.
    side = int(np.clip(min(small.shape) // 6, 3, 41)) | 1
    shape = np.ones((side, side), np.uint8)
    calm = cv2.medianBlur(small, 3)  # a maximum would take the brightest grain of noise for the paper
    # Beyond the border the paper goes on as it tends to inside: else the dark end of a slope would be filled in too.
    trend = cv2.medianBlur(small, side)
    wider = np.pad(trend.astype(np.int16), side, mode="reflect", reflect_type="odd").clip(0, 255).astype(np.uint8)
    height, width = small.shape
    wider[side : side + height, side : side + width] = calm
    filled = cv2.morphologyEx(wider, cv2.MORPH_OPEN if bright_ink else cv2.MORPH_CLOSE, shape)
    filled = filled[side : side + height, side : side + width].astype(np.float32)
    return np.asarray(cv2.blur(filled, (side // 2 | 1, side // 2 | 1)), np.float32)


def _enlarged(small: NDArray[np.float32], light: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = light.shape
    return np.asarray(cv2.resize(small / 255, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def fine_paper(
    light: NDArray[np.float32], ink: NDArray[np.bool_], coarse: NDArray[np.float32], reach_px: float
) -> NDArray[np.float32]:
    """Estimate the paper's brightness as the mean of what is no ink within ``reach_px``.

    Where there is no paper near, the coarse estimate stands. Shapes and ranges as ``coarse_paper``.
    """
    scale = min(1.0, _FINE_PX / max(light.shape))
    height, width = light.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    free = cv2.resize(1 - ink.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # A small pixel that is partly ink tells nothing of the paper.
    free = np.where(free > 0.95, np.float32(1), np.float32(0))
    base = cv2.resize(coarse, size, interpolation=cv2.INTER_AREA)
    # What is averaged is the difference to the coarse estimate: the mean of a slope, one-sided at the border, is none.
    seen = (cv2.resize(light, size, interpolation=cv2.INTER_AREA) - base) * free
    side = max(3, int(reach_px * scale)) | 1
    weight = cv2.blur(cv2.blur(free, (side, side)), (side, side))
    total = cv2.blur(cv2.blur(seen, (side, side)), (side, side))
    paper = base + total / (weight + np.float32(0.02))
    return np.asarray(cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def contrast(light: NDArray[np.float32], paper: NDArray[np.float32], bright_ink: bool) -> NDArray[np.float32]:
    """Return by what part of the light ink differs from paper: float32 (h, w), 0 on paper, near 1 where solid.

    For bright ink on dark the same of the negative.
    """
    if bright_ink:
        light, paper = 1 - light, 1 - paper
    # Where the ground is nearly black, the ratio would be one of noise to noise.
    return np.asarray((paper - light) / np.maximum(paper, np.float32(0.15)), np.float32)


def _separation(channel: NDArray[np.uint8]) -> float:
    light = _zero_to_one(channel)
    differences = np.abs(light - coarse_paper(light, is_bright(light))) / np.maximum(light.mean(), 0.1)
    return float(np.percentile(differences, 98) / (np.median(differences) + 0.01))


def _zero_to_one(channel: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.multiply(channel, np.float32(1 / 255), dtype=np.float32)


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    longest = max(picture.shape[:2])
    if longest <= _COARSE_PX:
        return picture
    scale = (_COARSE_PX if longest > _LITTLE_PX else _COARSE_PX / 2) / longest
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
