"""The second look: candidates are cut out at one size, at their place, whatever level they come from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from digitlab.reading.finder import Level, Marks
from digitlab.reading.second_look import DIGIT_PX, PATCH_PX, cut_patches, look_again


def page(scale: float) -> np.ndarray:
    """A level with a dark box from (40, 60) to (60, 90), in pixels of the page."""
    contrast = np.zeros((round(200 * scale), round(160 * scale)), np.float32)
    left, top, right, bottom = (round(edge * scale) for edge in (40, 60, 60, 90))
    contrast[top:bottom, left:right] = -3
    return contrast


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_candidate_lies_in_the_middle_at_one_size_on_every_level(scale: float) -> None:
    patch = cut_patches([(scale, page(scale))], np.array([[50.0, 75.0, 20.0, 30.0]]))[0]
    dark = patch < 80
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    assert patch.shape == (PATCH_PX, PATCH_PX)
    assert len(rows) == pytest.approx(DIGIT_PX, abs=1)
    assert len(columns) == pytest.approx(DIGIT_PX * 20 / 30, abs=2)
    assert (rows[0] + rows[-1]) / 2 == pytest.approx((PATCH_PX - 1) / 2, abs=0.6)
    assert (columns[0] + columns[-1]) / 2 == pytest.approx((PATCH_PX - 1) / 2, abs=0.6)


def test_paper_is_grey_and_bright_ink_is_brighter() -> None:
    patch = cut_patches([(1.0, -page(1.0))], np.array([[50.0, 75.0, 20.0, 30.0]]))[0]
    assert patch[0, 0] == 128
    assert patch[PATCH_PX // 2, PATCH_PX // 2] == 128 + 3 * 32


def test_the_level_on_which_the_candidate_has_the_usual_size_is_taken() -> None:
    fine, coarse = np.full((800, 640), -1, np.float32), np.full((200, 160), 1, np.float32)
    levels = [(4.0, fine), (1.0, coarse)]
    small, large = cut_patches(levels, np.array([[80.0, 100.0, 4.0, 6.0], [80.0, 100.0, 20.0, 24.0]]))
    assert (small == 96).all()
    assert (large == 160).all()


def test_beyond_the_page_its_border_goes_on() -> None:
    contrast = cv2.resize(np.array([[1, -1]], np.float32), (100, 100), interpolation=cv2.INTER_NEAREST)
    patch = cut_patches([(1.0, contrast)], np.array([[0.0, 50.0, 20.0, 20.0]]))[0]
    assert (patch == 160).all()


def test_only_what_is_doubtful_is_looked_at_in_other_sizes_and_the_looks_are_averaged() -> None:
    n_seen: list[int] = []

    def network(patches: np.ndarray) -> np.ndarray:
        """Certain of the first candidate, and of another opinion each time about the second."""
        n_seen.append(len(patches))
        said = np.full((len(patches), 11), 1e-4, np.float32)
        said[0, 3] = 1
        if len(patches) == 1 or len(patches) == 2:
            said[-1] = (np.eye(11)[7] if len(n_seen) % 2 else np.eye(11)[10]) * 0.8 + 0.02
        return said / said.sum(1, keepdims=True)

    one = np.ones(2)
    marks = Marks(50 * one, 75 * one, 20 * one, 30 * one, one, np.full((2, 10), 0.1), 0 * one, 0 * one)
    said = look_again([Level(1.0, page(1.0), page(1.0))], marks, network, (1.0, 0.8))
    assert n_seen == [2, 1]
    assert said[0].argmax() == 3
    assert said.sum(1) == pytest.approx(1, abs=1e-3)
    assert said[1, 7] == pytest.approx(said[1, 10], abs=0.02)
