"""Upright: turning pictures by a few degrees, and what becomes of their size."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["rotated", "rotated_size"]


def rotated_size(width: int, height: int, degrees: float) -> tuple[int, int]:
    """Return width and height of the picture that holds all of one turned by ``degrees``."""
    angle = np.deg2rad(abs(degrees))
    sine, cosine = float(np.sin(angle)), float(np.cos(angle))
    return round(width * cosine + height * sine), round(width * sine + height * cosine)


def rotated(picture: NDArray[Any], degrees: float, fill: tuple[int, ...] | None = (0,)) -> NDArray[Any]:
    """Turn a picture clockwise by a few degrees about its middle, enlarged to ``rotated_size``.

    What lies beyond it is filled with a colour or, for None, with its border.
    """
    if degrees == 0:
        return picture
    height, width = picture.shape[:2]
    size = rotated_size(width, height, degrees)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill or (0,))
    )
