"""Letters: printed in the fonts of a machine, however damaged, and penned as people write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from digitlab.training.letters import (
    BUILT_IN,
    COURSES,
    Font,
    Stroke,
    cropped,
    draw_letter,
    draw_strokes,
    find_fonts,
    has_letter,
    smooth,
)
from digitlab.training.nondigits import PRINTED


def test_a_machine_without_fonts_has_pillows_own(tmp_path: Path) -> None:
    assert find_fonts([tmp_path, tmp_path / "missing"]) == (Font(BUILT_IN),)
    assert all(has_letter(Font(BUILT_IN), letter) for letter in PRINTED if letter != "€")


def test_damaged_fonts_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "broken.ttf").write_bytes(b"not a font at all")
    (tmp_path / "note.txt").write_bytes(b"x")
    assert find_fonts([tmp_path]) == (Font(BUILT_IN),)


def test_a_letter_that_a_font_does_not_have_is_noticed() -> None:
    assert not has_letter(Font(BUILT_IN), "\u4e2d")
    assert draw_letter(Font("gone.ttf", "/nowhere/gone.ttf"), "A").max() == 0


def test_letters_differ() -> None:
    drawn = [draw_letter(Font(BUILT_IN), letter) for letter in "ACEF"]
    assert all(d.shape == (128, 128) and d.min() >= 0 and 0.9 < d.max() <= 1 for d in drawn)
    assert len({d.tobytes() for d in drawn}) == 4


def test_every_course_is_a_drawing() -> None:
    for letter, courses in COURSES.items():
        assert len(letter) == 1
        for course in courses:
            for stroke in course.split("|"):
                points = [point.split(",") for point in stroke.removeprefix("~").split()]
                assert len(points) >= 2
                assert all(
                    len(point) == 2 and -1 <= float(point[0]) <= 14 and -1 <= float(point[1]) <= 16 for point in points
                )


def test_a_smooth_curve_passes_its_points() -> None:
    points = np.array([[0, 0], [3, 4], [7, 1], [9, 9]], float)
    curve = smooth(points, n=5)
    assert len(curve) == 3 * 5 + 1
    np.testing.assert_allclose(curve[::5], points)
    np.testing.assert_array_equal(smooth(points[:2]), points[:2])


def test_strokes_fill_the_drawing_whatever_their_unit() -> None:
    points = np.array([[0, 0], [10, 3], [4, 10]], float)
    small, large = (draw_strokes([Stroke(points * scale + 100)], np.random.default_rng(0)) for scale in (0.01, 1000.0))
    np.testing.assert_allclose(small, large, atol=0.3)
    assert max(small.shape) in range(90, 100)


def test_cropping_nothing_gives_it_back() -> None:
    blank = np.zeros((5, 6), np.float32)
    assert cropped(blank) is blank
