"""Which way up: what lies on its side is turned where it can be seen, and nothing else is."""

from __future__ import annotations

import string

import cv2
import numpy as np
import pytest

from digitlab.data.frame import frame
from digitlab.data.upright import is_transposed
from digitlab.values import CLASS_NAMES

CAPITALS = tuple(string.ascii_uppercase)


def turned(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 1))


@pytest.fixture(scope="module")
def letters() -> tuple[np.ndarray, np.ndarray]:
    """Letters in another hand than those that are compared with, slanted, small and capital."""
    random = np.random.default_rng(0)
    images, labels = [], random.integers(0, 26, 260)
    for label in labels.tolist():
        canvas = np.zeros((160, 160), np.uint8)
        letter = CAPITALS[label].lower() if random.random() < 0.5 else CAPITALS[label]
        cv2.putText(canvas, letter, (40, 110), cv2.FONT_HERSHEY_TRIPLEX, 3.0, 255, int(random.integers(3, 9)))
        slant = np.float32([[1, random.uniform(-0.4, 0.1), 20], [random.uniform(-0.1, 0.1), 1, 0]])
        canvas = cv2.warpAffine(canvas, slant, (160, 160))
        images.append(np.rint(frame(canvas.astype(np.float32) / np.float32(255)) * 255))
    return np.array(images, np.uint8), labels.astype(np.uint8)


@pytest.mark.parametrize("names", [CAPITALS, tuple(string.ascii_lowercase)])
def test_letters_that_lie_on_their_side_are_seen_whatever_they_are_called(letters, names):
    images, labels = letters
    assert is_transposed(turned(images), labels, "alphabet", names)
    assert not is_transposed(images, labels, "alphabet", names)
    # What is seen counts more than what the name says.
    assert not is_transposed(images, labels, "emnist-letters", names)


@pytest.mark.parametrize("n", [26, 52, 104])
def test_few_letters_are_never_turned_wrongly(letters, n):
    images, labels = letters
    for start in range(0, 260 - n, 13):
        assert not is_transposed(images[start : start + n], labels[start : start + n], "", CAPITALS)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_no_writing_is_not_turned(letters, seed):
    """Noise, waves as photos have them, and letters under the labels of others."""
    random = np.random.default_rng(seed)
    labels = np.arange(520, dtype=np.uint8) % 26
    noise = random.integers(0, 256, (520, 28, 28)).astype(np.uint8)
    waves = np.array([np.add.outer(np.sin(np.arange(28) / (1 + k)), np.arange(28) / 9) for k in labels])
    for images in (noise, np.clip(waves * 60 + 60, 0, 255).astype(np.uint8)):
        assert not is_transposed(images, labels, "sign_mnist", CAPITALS)
    images, labels = letters
    assert not is_transposed(turned(images), random.permutation(labels), "letters", CAPITALS)
    assert not is_transposed(turned(images), labels % 10, "mnist", CLASS_NAMES)
    assert not is_transposed(turned(images), labels % 3, "things", ("cup", "spoon", "fork"))
