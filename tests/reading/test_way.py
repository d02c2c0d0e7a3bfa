"""The steps of the way, each alone: ink, ruling, lines, cuts and paths."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitlab.reading.cuts import Part, parted
from digitlab.reading.ink import find_ink
from digitlab.reading.light import grey, is_bright
from digitlab.reading.lines import group_lines
from digitlab.reading.paths import best_paths, candidates
from digitlab.reading.reading import Box
from digitlab.reading.ruling import remove_ruling
from digitlab.reading.strokes import Stroke, find_strokes
from digitlab.reading.upright import find_skew, rotated, rotated_size


def written(text: str = "3 8", thickness: int = 6, size: tuple[int, int] = (300, 160)) -> NDArray[np.float32]:
    """Dark letters on light paper: float32, 0-1."""
    picture = np.full((size[1], size[0]), 230, np.uint8)
    cv2.putText(picture, text, (30, 120), cv2.FONT_HERSHEY_SIMPLEX, 3, 50, thickness, cv2.LINE_AA)
    return picture.astype(np.float32) / 255


def stroke_at(left: int, top: int, width: int, height: int) -> Stroke:
    return Stroke(Box(left, top, left + width, top + height), np.ones((height, width), np.float32))


@pytest.mark.parametrize("thickness", [1, 3, 8, 16])
def test_polarity_is_decided_by_what_is_narrow(thickness: int) -> None:
    light = written(thickness=thickness)
    assert not is_bright(light)
    assert is_bright(1 - light)
    # Grey values are rounded to bytes on the way, and the negative the other way.
    assert (find_ink(light).mask ^ find_ink(1 - light, invert="never").mask).sum() <= 2


def test_a_shadow_does_not_change_the_ink() -> None:
    light = written()
    shadow = np.tile(np.linspace(1, 0.35, light.shape[1], dtype=np.float32), (light.shape[0], 1))
    plain, shaded = find_ink(light).mask, find_ink(light * shadow).mask
    assert (plain ^ shaded).sum() < 0.12 * plain.sum()
    unflattened = find_ink(light * shadow, flatten=False).mask
    assert (plain ^ unflattened).sum() > (plain ^ shaded).sum()


def test_the_channel_with_the_most_contrast_is_taken() -> None:
    pixels = np.full((120, 200, 3), (230, 120, 70), np.uint8)  # red paper
    cv2.putText(pixels, "5", (70, 95), cv2.FONT_HERSHEY_SIMPLEX, 3, (90, 110, 70), 6, cv2.LINE_AA)
    light = grey(pixels)
    assert light.max() - light.min() > 0.5


def test_ruled_lines_go_and_strokes_across_them_stay() -> None:
    light = written(size=(600, 160))
    clean = find_ink(light).mask
    light[100:103] = np.minimum(light[100:103], 0.4)
    without, boxes, _ = remove_ruling(find_ink(light))
    assert len(boxes) >= 1
    assert (without.mask ^ clean).sum() < 0.1 * clean.sum()
    assert len(find_strokes(without)) == 2


def test_a_cells_frame_goes_and_what_lies_beyond_it_is_outside() -> None:
    light = written("7", size=(160, 160))
    light[6:12] = light[:, 8:14] = 0.3
    _, boxes, inside = remove_ruling(find_ink(light))
    assert len(boxes) >= 2
    assert inside.left >= 12
    assert inside.top >= 10


def test_lines_are_read_from_the_top_and_strokes_from_the_left() -> None:
    rows = [[stroke_at(30 + 40 * k, 50 + 80 * row + 3 * (k % 2), 20, 40) for k in range(5)] for row in range(3)]
    dot = stroke_at(110, 172, 5, 5)
    strokes = sorted([stroke for row in rows for stroke in row] + [dot], key=lambda stroke: stroke.box.left)
    lines, refused = group_lines(strokes, (400, 400))
    assert [len(line.strokes) for line in lines] == [5, 6, 5]
    assert not refused
    for line in lines:
        lefts = [stroke.box.left for stroke in line.strokes]
        assert lefts == sorted(lefts)
        assert line.height == 40


def test_cuts_lose_no_ink_and_one_goes_between_two_rings() -> None:
    soft = np.zeros((60, 100), np.float32)
    for x in (28, 70):
        cv2.ellipse(soft, (x, 30), (21, 26), 0, 0, 360, 1.0, 5)
    parts = parted(Stroke(Box(10, 20, 110, 80), soft), 0, 60, 5)
    assert sum(float(part.stroke.soft.sum()) for part in parts) == pytest.approx(float(soft.sum()), rel=0.02)
    assert any(abs(part.stroke.box.left - 10 - 49) <= 6 for part in parts[1:])


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 60), st.integers(2, 90), st.integers(0, 2**32 - 1))
def test_any_ink_can_be_parted(height: int, width: int, seed: int) -> None:
    soft = (np.random.default_rng(seed).random((height, width)) > 0.6).astype(np.float32)
    parts = parted(Stroke(Box(0, 0, width, height), soft), 3, 30.0, 4.0)
    assert parts
    for part in parts:
        assert part.source == 3
        assert part.stroke.soft.shape == (part.stroke.box.height, part.stroke.box.width)


def test_the_best_path_takes_the_likeliest_pieces_and_obeys_what_is_expected() -> None:
    parts = [Part(stroke_at(40 * k, 0, 24, 40), k) for k in range(3)]
    found = candidates(parts, 40)
    probabilities = np.full((len(found), 11), 0.001, np.float32)
    for candidate, row in zip(found, probabilities, strict=True):
        if candidate.stop == candidate.start + 1:
            row[3 + candidate.start], row[8] = 0.8, 0.15
        else:
            row[10] = 0.99
    path = best_paths(parts, found, probabilities, 40)
    assert path is not None
    assert [piece.value for piece in path] == [3, 4, 5]
    path = best_paths(parts, found, probabilities, 40, accepts=lambda text: text == "385")
    assert path is not None
    assert [piece.value for piece in path] == [3, 8, 5]
    assert best_paths(parts, found, probabilities, 40, accepts=lambda text: text == "99") is None
    path = best_paths(parts, found, probabilities, 40, digits=2)
    assert path is not None
    assert sum(piece.value is not None for piece in path) == 2
    assert best_paths(parts, found, probabilities, 40, digits=7) is None


@pytest.mark.parametrize("degrees", [-15.0, -3.0, 4.0, 19.0])
def test_the_skew_of_lines_is_found(degrees: float) -> None:
    picture = np.full((900, 1300), 25, np.uint8)
    for row in range(4):
        cv2.putText(picture, "3 8 2 5 7 4", (180, 280 + 130 * row), cv2.FONT_HERSHEY_SIMPLEX, 2, 230, 5, cv2.LINE_AA)
    skewed = 1 - rotated(picture, -degrees, fill=(25,)).astype(np.float32) / 255
    assert find_skew(find_ink(skewed)) == pytest.approx(degrees, abs=0.5)
    assert skewed.shape[::-1] == rotated_size(1300, 900, degrees)


def test_few_strokes_are_not_straightened() -> None:
    assert find_skew(find_ink(written("/ / /"))) == 0
