"""Which way up: whether a set's images lie on their side and mirrored, rows and columns exchanged, as EMNIST's do.

Names tell it of EMNIST's own files. Of others it is seen: what is written looks like what its label says one way, and
the other way does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from digitlab.data.packaged import read_packaged
from digitlab.data.shaping import BALANCED, BY_CLASS
from digitlab.values import CLASS_NAMES

_MOST_LOOKED_AT = 2000
_LEAST_SURE = 3.0  # standard deviations
# How many the nearest of what is known answers rightly, at least, and by how many more than the other way up. MNIST's
# mean digits answer four fifths of upright digits, one third of transposed ones, and anything else by chance.
_OF_DIGITS = (0.6, 0.2)
# Drawn letters answer a quarter of handwritten signs of 36 kinds, transposed 3 %; of letters in print half.
_OF_LETTERS = (0.15, 0.1)


def is_transposed(images: NDArray[np.uint8], labels: NDArray[np.uint8], told: str, class_names: Sequence[str]) -> bool:
    """Tell whether rows and columns of images, uint8 (n, 28, 28), are exchanged; ``told`` is what names say of the set.

    Digits are looked at, or else letters; of other things only the name tells it.
    """
    places = np.arange(len(labels))
    known: Callable[[], tuple[NDArray[np.float32], NDArray[np.intp]]] = _digits
    bounds = _OF_DIGITS
    if tuple(class_names) in (CLASS_NAMES, BALANCED, BY_CLASS):
        places = np.flatnonzero(labels < len(CLASS_NAMES))
    elif len(class_names) > 2 and all(len(name) == 1 and name.isascii() and name.isalpha() for name in class_names):
        known, bounds = partial(_letters, tuple(class_names)), _OF_LETTERS
    else:
        places = places[:0]
    if len(places):
        chosen = places[:: max(1, len(places) // _MOST_LOOKED_AT)]
        rows, classes = known()
        upright = _right(images[chosen], labels[chosen], rows, classes)
        turned = _right(images[chosen].transpose(0, 2, 1), labels[chosen], rows, classes)
        n_turned, n_upright = int((turned & ~upright).sum()), int((upright & ~turned).sum())
        sure = (n_turned - n_upright) / max(1.0, (n_turned + n_upright) ** 0.5)
        least, more = bounds
        for is_turned, right, other in ((True, turned, upright), (False, upright, turned)):
            if right.mean() >= least and right.mean() - other.mean() >= more and abs(sure) >= _LEAST_SURE:
                return is_turned
    return "emnist" in told.lower()


def _right(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], known: NDArray[np.float32], classes: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Tell which images the nearest of what is known, (m, 784) of classes (m,), by angle, answers: bool (n,)."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(classes[(rows @ known.T).argmax(axis=1)] == labels)


@cache
def _digits() -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return MNIST's mean digits, as `_right` takes them."""
    files = read_packaged()
    images, labels = files.training_images[:10_000], files.training_labels[:10_000]
    return _directions([images[labels == k].mean(axis=0) for k in range(10)]), np.arange(10)


@cache
def _letters(names: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return letters as OpenCV draws them, capital and small in several hands, as `_right` takes them."""
    import cv2  # here, because most sets are no letters

    from digitlab.data.frame import frame

    hands = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)
    images, classes = [], []
    for k, name in enumerate(names):
        for letter in {name, name.swapcase()}:
            for hand in hands:
                canvas = np.zeros((160, 160), np.uint8)
                cv2.putText(canvas, letter, (40, 110), hand, 3.0, 255, 8, cv2.LINE_AA)
                images.append(frame(canvas.astype(np.float32) / np.float32(255)))
                classes.append(k)
    return _directions(images), np.array(classes, np.intp)


def _directions(images: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Return images less their mean and of length 1: float32 (m, 784)."""
    rows = np.array(images, np.float32).reshape(len(images), -1)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
