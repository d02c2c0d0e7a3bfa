"""Pieces and joins: parts of digits, and digits that hang together.

Whoever cuts touching digits apart tries many cuts, and all but one are wrong; so the network is shown wrong ones. A
piece of a digit may be a digit, though: the left part of a four is a one, half an eight is a nought or a three.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["cropped", "join", "piece", "torn_join"]

# Ink narrower than this part of its height may be a one.
_NARROW = 0.6
_INK = 0.3
_HEIGHT_PX = 40
_MOST_TRIES = 20
# How often a digit of a torn pair is torn; where neither is, both are.
_TORN = 0.4
# Of 40 that a digit is high.
_LEAST_PX = 6


def cropped(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the box around the ink; the whole image if there is none."""
    rows, columns = np.flatnonzero(ink.max(1) > _INK), np.flatnonzero(ink.max(0) > _INK)
    if len(rows) == 0 or len(columns) == 0:
        return ink
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _drawn(images: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.float32], int]:
    index = int(rng.integers(len(images)))
    return cropped(images[index].astype(np.float32) / np.float32(255)), index


def piece(images: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return part of a digit that is not a digit itself, as far as its shape tells: float32 (h, w), 0-1.

    A straight cut near the middle takes the rest away. What remains is used if it is not narrow, as a one is, and has
    no closed loop, as a nought, a six and a nine have.
    """
    for _ in range(_MOST_TRIES):
        ink, index = _drawn(images, rng)
        label = int(labels[index])
        if label == 1:
            continue
        height, width = ink.shape
        y, x = np.mgrid[:height, :width]
        angle = rng.choice([0.0, np.pi / 2, np.pi, 1.5 * np.pi]) + rng.normal(0, 0.25)
        if label == 7 and np.sin(angle) > 0.5:
            continue  # the upper part of a seven is a seven
        side = (x - width / 2) * np.cos(angle) - (y - height / 2) * np.sin(angle)
        rest = cropped(np.where(side > rng.uniform(-0.05, 0.25) * max(height, width), ink, 0).astype(np.float32))
        if min(rest.shape) < 5 or rest.max() < _INK or _is_like_one(rest) or _has_loop(rest):
            continue
        return rest
    return np.maximum(np.eye(9, dtype=np.float32), np.eye(9, dtype=np.float32)[::-1])  # a cross: no piece would do


def _is_like_one(ink: NDArray[np.float32]) -> bool:
    if ink.shape[1] < _NARROW * ink.shape[0]:
        return True
    points = np.argwhere(ink > _INK)[:, ::-1].astype(np.float32)
    _, size, _ = cv2.minAreaRect(points)
    is_lying = ink.shape[0] < 0.4 * ink.shape[1]
    return not is_lying and min(size) + 1 < _NARROW * (max(size) + 1)


def _has_loop(ink: NDArray[np.float32]) -> bool:
    paper = np.pad((ink < _INK).astype(np.uint8), 1, constant_values=1)
    return int(cv2.connectedComponents(paper, connectivity=4)[0]) > 2


def join(images: NDArray[np.uint8], rng: np.random.Generator, n: int = 2) -> NDArray[np.float32]:
    """Return ``n`` digits side by side that touch, or nearly do: float32 (h, w), 0-1."""
    return _side_by_side(images, rng, n)[0]


def torn_join(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return two digits that touch without the outer part of one, or of both: float32 (h, w), 0-1.

    What is left of a torn one is so much that nobody would take it for a speck beside the other.
    """
    for _ in range(_MOST_TRIES):
        ink, (first, second) = _side_by_side(images, rng, 2)
        width = ink.shape[1]
        cuts_left, cuts_right = rng.random(2) < _TORN
        if not cuts_left and not cuts_right:
            cuts_left = cuts_right = True
        left = first[0] + round(rng.uniform(0.25, 0.55) * (first[1] - first[0])) if cuts_left else 0
        right = second[1] - round(rng.uniform(0.25, 0.55) * (second[1] - second[0])) if cuts_right else width
        rest = cropped(ink[:, left:right])
        # The digits' own parts, up to where the other begins.
        of_first, of_second = min(first[1], second[0]) - left, right - max(first[1], second[0])
        if min(of_first, of_second) >= _LEAST_PX and rest.shape[1] >= _NARROW * rest.shape[0]:
            return rest
    return join(images, rng)


def _side_by_side(
    images: NDArray[np.uint8], rng: np.random.Generator, n: int
) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    digits = []
    for _ in range(n):
        ink, _ = _drawn(images, rng)
        height = round(_HEIGHT_PX * float(np.exp(rng.uniform(-0.25, 0.1))))
        width = max(2, round(ink.shape[1] * height / ink.shape[0] * float(np.exp(rng.uniform(-0.25, 0.15)))))
        resized = np.clip(cv2.resize(ink, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
        digits.append(np.asarray(resized, np.float32))
    room = sum(digit.shape[1] for digit in digits) + 8 * n
    image = np.zeros((_HEIGHT_PX + 24, room), np.float32)
    places: list[tuple[int, int]] = []
    x = 0
    for digit in digits:
        height, width = digit.shape
        top = min(max(0, 8 + (_HEIGHT_PX - height) // 2 + int(rng.integers(-6, 7))), image.shape[0] - height)
        if places:
            # Pushed together until the ink touches, then a little on, or left a little apart.
            x = _touching(image, digit, top, x) - int(rng.integers(-3, 6))
            x = max(0, x, places[-1][0] + 2)
        part = image[top : top + height, x : x + width]
        np.maximum(part, digit[:, : part.shape[1]], out=part)
        places.append((x, x + width))
        x += width
    left = cropped(image)
    return left, places


def _touching(image: NDArray[np.float32], digit: NDArray[np.float32], top: int, x: int) -> int:
    """Return how far to the left a digit can go before its ink meets what is there."""
    own = np.where((digit > _INK).any(1), (digit > _INK).argmax(1), digit.shape[1])
    there = image[top : top + len(digit)] > _INK
    last = np.where(there.any(1), there.shape[1] - there[:, ::-1].argmax(1), -digit.shape[1])
    return min(x + 4, max(0, int((last - own).max())))
