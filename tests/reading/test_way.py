"""The steps of the way, each alone: grey, contrast, pyramid, glyphs, lines, numbers, cells."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitlab.engine.crops import CENTERS, DIGITS, N_MAPS, PLACES, PRIOR_LOGIT, SIZES, STRIDE, USUAL_PX
from digitlab.reading.cells import find_cells, find_grid
from digitlab.reading.confidence import is_digit, which_digit
from digitlab.reading.finder import Marks, find_marks, find_turn, pyramid, scales, together
from digitlab.reading.glyphs import all_ink, cut_out, is_bright_ink
from digitlab.reading.light import grey, local_contrast
from digitlab.reading.lines import are_parts, find_skew, group_lines, read_line
from digitlab.reading.photo import rotated, rotated_size
from digitlab.reading.reading import ReadingOptions


def marks_at(places: list[tuple[float, float]], width: float = 20, height: float = 30, p: float = 0.9) -> Marks:
    """Marks of one size; each is answered 1, 2, 3 ... in turn."""
    n = len(places)
    xs, ys = (np.array([place[k] for place in places], float) for k in (0, 1))
    answers = np.full((n, 10), 0.01)
    answers[np.arange(n), np.arange(1, n + 1) % 10] = 0.91
    sizes = np.full(n, float(width)), np.full(n, float(height))
    return Marks(xs, ys, *sizes, np.full(n, p), answers, np.full(n, 0.5), np.zeros(n))


def put(page: NDArray[np.float32], text: str, at: tuple[int, int], scale: float, light: float, thick: int) -> None:
    """Write on a page of 0-1; OpenCV's letters are for bytes."""
    ink = np.zeros(page.shape, np.uint8)
    cv2.putText(ink, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
    covered = ink.astype(np.float32) / 255
    page[:] = page * (1 - covered) + np.float32(light) * covered


# Grey and contrast


def test_the_channel_with_the_most_contrast_is_taken() -> None:
    paper = np.full((120, 200, 3), (250, 170, 160), np.uint8)  # pink: pencil shows most in red
    cv2.putText(paper, "5", (70, 90), cv2.FONT_HERSHEY_SIMPLEX, 3, (140, 150, 150), 6)
    assert grey(paper) == pytest.approx(paper[..., 0] / 255, abs=1e-6)


def test_without_color_brightness_is_taken() -> None:
    paper = np.random.default_rng(0).integers(200, 230, (60, 90)).astype(np.uint8)
    assert grey(np.stack([paper] * 3, 2)) == pytest.approx(grey(paper), abs=1 / 255)


def test_contrast_is_the_difference_from_around_by_the_spread_around() -> None:
    page = np.random.default_rng(0).random((60, 70)).astype(np.float32)

    def around(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
        for _ in range(2):
            padded = np.pad(values, side // 2, mode="edge")
            windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
            values = windows.mean((2, 3))
        return values

    difference = page - around(page.astype(float), 25)
    expected = difference / (np.sqrt(around(difference**2, 37)) + 0.02)
    assert local_contrast(page) == pytest.approx(expected, abs=1e-4)


def test_contrast_is_the_same_in_half_the_light_and_for_the_negative() -> None:
    page = np.full((200, 200), 0.8, np.float32)
    put(page, "5", (70, 130), 3, 0.2, 6)
    contrast = local_contrast(page)
    ink = page < 0.5
    assert contrast[ink].mean() < -1
    assert local_contrast(1 - page) == pytest.approx(-contrast, abs=1e-3)
    assert local_contrast(page / 2)[ink].mean() == pytest.approx(contrast[ink].mean(), rel=0.15)


# The pyramid


def finder_of(places: list[tuple[float, float, float]], size: tuple[int, int]) -> Callable[..., NDArray[np.float32]]:
    """A network that knows where three digits are: it sees from a level's size which scale it is at."""

    def network(contrast: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = contrast.shape
        maps = np.zeros((height // 4, width // 4, N_MAPS), np.float32)
        maps[..., CENTERS] = -12
        margin = 24
        scale = min(scales(*size), key=lambda s: abs(round(size[1] * s) - (width - 2 * margin)))
        for x, y, high in places:
            if not 14 <= high * scale <= 34:
                continue
            column, row = (x * scale + margin) / STRIDE - 0.5, (y * scale + margin) / STRIDE - 0.5
            r, c = round(row), round(column)
            if 0 <= r < maps.shape[0] and 0 <= c < maps.shape[1]:
                maps[r, c, 0] = 4 - PRIOR_LOGIT
                maps[r, c, DIGITS.start + 7] = 8
                maps[r, c, PLACES] = column - c, row - r
                maps[r, c, SIZES] = np.log(0.6 * high * scale / USUAL_PX), np.log(high * scale / USUAL_PX)
        return maps

    return network


def test_what_the_maps_say_comes_back_in_pixels_of_the_page_and_once() -> None:
    page = np.full((300, 400), 0.8, np.float32)
    places = [(50.0, 60.0, 20.0), (200.0, 150.0, 60.0), (330.0, 160.0, 150.0)]
    digits, separators, levels = find_marks(page, finder_of(places, page.shape))
    found = sorted(zip(digits.x, digits.y, digits.height, strict=True))
    assert len(separators) == 0
    assert len(levels) > 3
    assert np.array(found) == pytest.approx(np.array(places), rel=0.04)
    assert (digits.answers.argmax(1) == 7).all()
    assert digits.width == pytest.approx(0.6 * digits.height, rel=0.04)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(40, 2000), width=st.integers(40, 2000), part=st.floats(0, 1))
def test_every_digit_from_ten_pixels_to_the_whole_page_has_a_level_of_its_size(
    height: int, width: int, part: float
) -> None:
    all_scales = scales(height, width)
    smallest = max(10.0, 14 / all_scales[0])
    high = smallest + part * max(0.0, 0.95 * min(height, width) - smallest)
    assert any(13.9 <= high * scale <= 36 for scale in all_scales)
    assert height * width * all_scales[0] ** 2 <= 1_600_000


@pytest.mark.parametrize(("value", "on_its_head"), [(4, 2), (9, 0)])
def test_the_turn_is_that_in_which_most_is_sure_and_nines_may_be_sixes(value: int, on_its_head: int) -> None:
    page = np.full((240, 240), 0.8, np.float32)
    page[:60] = 0.2  # the network below is sure only where this edge is in the upper half

    def network(contrast: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = contrast.shape
        maps = np.zeros((height // 4, width // 4, N_MAPS), np.float32)
        strength = np.abs(contrast)
        dark_above = strength[: height // 2].mean() > 2 * strength[height // 2 :].mean()
        maps[..., 0] = -12
        maps[height // 8, width // 8, 0] = (3.0 if dark_above else 0.2) - PRIOR_LOGIT
        maps[..., SIZES] = np.log(24 / USUAL_PX)
        maps[..., DIGITS.start + value] = 9
        return maps

    for turn, right in enumerate((0, 1, on_its_head, 3)):
        turned = np.ascontiguousarray(np.rot90(page, turn))
        digits = pyramid(turned, network, [1.0])[0]
        assert find_turn(turned, network, digits) == right
        # Where a second look says that little of it is a digit, the page may be words on their heads.
        for share, told in ((1.0, right), (0.5, 0)):
            assert find_turn(turned, network, digits, look=lambda _, marks, p=share: np.full(len(marks), p)) == told


# Glyphs


def written(text: str, size: tuple[int, int], at: tuple[int, int], scale: float = 1.5) -> NDArray[np.float32]:
    page = np.full(size, 0.85, np.float32)
    put(page, text, at, scale, 0.2, 3)
    return page


def box_of(page: NDArray[np.float32]) -> Marks:
    left, top, wide, high = cv2.boundingRect((page < 0.5).astype(np.uint8))
    return marks_at([(left + wide / 2, top + high / 2)], wide, high)


def test_the_ink_of_a_box_is_cut_out_and_its_neighbours_is_not() -> None:
    alone = written("4", (90, 200), (40, 65))
    marks = box_of(alone)
    both = np.minimum(alone, written("8", (90, 200), (74, 65)))
    one, other = cut_out(alone, marks, False)[0], cut_out(both, marks, False)[0]
    assert one.max() > 0.95
    # The eight stands within the margin that is looked at.
    assert np.abs(one - other).mean() < 0.02


def test_opinions_on_the_same_ink_have_all_of_it_and_neighbours_share_it() -> None:
    page = written("4", (90, 200), (40, 65))
    whole = box_of(page)
    part = dataclasses.replace(whole, x=whole.x + 0.3 * whole.width, width=0.6 * whole.width)
    both = together([whole, part])
    alone = cut_out(page, whole, False)[0]
    assert (cut_out(page, both, False, are_neighbors=False)[0] == alone).all()
    assert cut_out(page, both, False)[0].sum() < 0.8 * alone.sum()


def test_bright_ink_gives_the_same_glyph() -> None:
    page = written("4", (90, 200), (40, 65))
    marks = box_of(page)
    assert not is_bright_ink(page, marks)
    assert is_bright_ink(1 - page, marks)
    assert cut_out(1 - page, marks, True)[0] == pytest.approx(cut_out(page, marks, False)[0], abs=0.35)


@pytest.mark.parametrize("bright_ink", [False, True])
def test_all_ink_of_a_digit_is_what_runs_out_of_its_box_and_no_stroke_beside_it(bright_ink: bool) -> None:
    page = np.full((200, 160), 0.9, np.float32)
    cv2.ellipse(page, (80, 130), (25, 30), 0, 0, 360, 0.2, 5)  # the loop of a six
    cv2.line(page, (58, 120), (75, 30), 0.2, 5)  # its stem, which the box leaves out
    cv2.line(page, (120, 100), (123, 150), 0.2, 5)  # a stroke of its own
    cv2.line(page, (140, 190), (158, 199), 0.2, 5)  # something far away
    page = 1 - page if bright_ink else page
    found = all_ink(page, (52.0, 98.0, 108.0, 163.0), bright_ink)
    assert found is not None
    assert found == pytest.approx((53, 28, 108, 163), abs=4)
    assert all_ink(page, found, bright_ink) is None


def test_a_frame_all_over_a_picture_is_not_the_ink_of_its_digit() -> None:
    page = np.full((120, 120), 0.9, np.float32)
    cv2.rectangle(page, (0, 0), (119, 119), 0.2, 4)
    cv2.line(page, (2, 60), (60, 60), 0.2, 5)
    assert all_ink(page, (20.0, 40.0, 70.0, 80.0), False) is None


def test_where_there_is_no_ink_there_is_no_glyph() -> None:
    blank = np.full((50, 50), 0.8, np.float32)
    for glyph in cut_out(blank, marks_at([(25, 25), (0, 0), (49.9, 49.9)]), False):
        assert glyph.max() == 0


# Lines


@pytest.mark.parametrize("degrees", [-18.0, -6.0, 0.0, 4.0, 15.0])
def test_the_skew_of_lines_is_found(degrees: float) -> None:
    rng = np.random.default_rng(0)
    angle = np.deg2rad(degrees)
    places = []
    for line in range(6):
        for column in range(12):
            x, y = 40 * column + rng.normal(0, 3), 90 * line + rng.normal(0, 3)
            places.append((x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)))
    assert find_skew(marks_at(places)) == pytest.approx(degrees, abs=0.8)


def test_converging_lines_stay_apart_and_in_order() -> None:
    rng = np.random.default_rng(1)
    # Held at an angle: the lines of the right side are closer together.
    places, truth = [], []
    for column in range(14):
        for line in range(5):
            spread = 80 * (1 - 0.025 * column)
            places.append((45 * column + rng.normal(0, 2), 300 + (line - 2) * spread + rng.normal(0, 3)))
            truth.append(line)
    order = rng.permutation(len(places))
    marks = marks_at([places[k] for k in order])
    rows = group_lines(marks)
    assert [sorted({truth[order[k]] for k in row}) for row in rows] == [[0], [1], [2], [3], [4]]
    assert all((np.diff(marks.x[row]) > 0).all() for row in rows)


def test_a_turned_picture_holds_all_of_it() -> None:
    picture = np.full((60, 100), 255, np.uint8)
    turned = rotated(picture, 17.0)
    assert (turned.shape[1], turned.shape[0]) == rotated_size(100, 60, 17.0)
    assert turned.sum() == pytest.approx(picture.sum(), rel=0.03)


# Numbers

NOTHING = marks_at([])


def texts(
    marks: Marks,
    sure: list[float],
    separators: Marks = NOTHING,
    boxed: dict[int, int] | None = None,
    **options,
) -> list[str]:  # fmt: skip
    row = list(np.argsort(marks.x))
    numbers, _ = read_line(
        marks, row, np.array(sure), marks.answers, separators, ReadingOptions(**options), boxed or {}
    )
    return ["".join(str(one.value) for one in path) + mark for path, mark in numbers]


def test_wide_gaps_part_numbers_unless_they_stand_in_boxes() -> None:
    marks = marks_at([(0, 0), (24, 0), (110, 0), (134, 0)])
    assert texts(marks, [0.9] * 4) == ["12", "34"]
    assert texts(marks, [0.9] * 4, boxed=dict.fromkeys(range(4), 0)) == ["1234"]


def test_separators_part_numbers_and_are_told() -> None:
    marks = marks_at([(0, 0), (24, 0), (60, 0), (84, 0)])
    slash = Marks(*(np.array([v]) for v in (42.0, 2.0, 14.0, 40.0, 0.9)), np.eye(7)[:1], np.zeros(1), np.zeros(1))
    assert texts(marks, [0.9] * 4, slash) == ["12/", "34"]
    far = Marks(*(np.array([v]) for v in (42.0, 90.0, 14.0, 40.0, 0.9)), np.eye(7)[:1], np.zeros(1), np.zeros(1))
    assert texts(marks, [0.9] * 4, far) == ["1234"]


def test_the_border_of_boxes_is_no_separator() -> None:
    marks = marks_at([(0, 0), (24, 0), (60, 0), (84, 0)])
    slash = Marks(*(np.array([v]) for v in (42.0, 2.0, 14.0, 40.0, 0.9)), np.eye(7)[:1], np.zeros(1), np.zeros(1))
    assert texts(marks, [0.9] * 4, slash, boxed=dict.fromkeys(range(4), 0)) == ["1234"]
    # Between two rows of boxes it may be one.
    assert texts(marks, [0.9] * 4, slash, boxed={0: 0, 1: 0, 2: 1, 3: 1}) == ["12/", "34"]


def test_of_two_candidates_for_the_same_ink_the_likelier_is_taken() -> None:
    marks = marks_at([(0, 0), (6, 0), (30, 0)])
    assert texts(marks, [0.6, 0.9, 0.9]) == ["23"]


def test_the_two_strokes_of_a_four_are_explained_by_the_four() -> None:
    marks = dataclasses.replace(marks_at([(0, 0), (7, 0), (14, 0)]), width=np.array([6.0, 20.0, 6.0]))
    assert texts(marks, [0.98, 0.9, 0.7]) == ["2"]
    assert texts(marks, [0.98, 0.4, 0.9]) == ["13"]


def test_the_loop_of_a_nine_is_part_of_it_and_a_speck_in_doubtful_ink_is_not() -> None:
    marks = dataclasses.replace(
        marks_at([(0, 0), (0, -6)]), width=np.array([20.0, 12.0]), height=np.array([30.0, 14.0])
    )
    assert are_parts(marks, np.array([0.9, 0.95])).tolist() == [False, True]
    assert are_parts(marks, np.array([0.3, 0.95])).tolist() == [False, False]


def test_what_is_expected_decides() -> None:
    marks = marks_at([(0, 0), (24, 0), (48, 0), (72, 0)])
    assert texts(marks, [0.95, 0.95, 0.4, 0.95], digits=3) == ["124"]
    assert texts(marks, [0.95, 0.95, 0.4, 0.95], digits=4) == ["1234"]
    assert texts(marks, [0.95, 0.95, 0.4, 0.95], expect="[0-9]{3}") == ["124"]
    assert texts(marks, [0.95] * 4, digits=3) == []  # nothing that is surely a digit is left out


def score_of(marks: Marks, sure: np.ndarray, taken: Collection[int]) -> float:
    """What is taken and what is left; what stands where something is taken is explained by it."""
    score = 0.0
    for k in range(len(marks)):
        if k in taken:
            score += np.log(sure[k]) + np.log(0.91)
        elif not any(abs(marks.x[k] - marks.x[other]) < 11 for other in taken):
            score += np.log1p(-sure[k])
    return score


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0.01, 0.99)), min_size=1, max_size=8))
def test_the_best_path_is_the_best_of_all(candidates: list[tuple[float, float]]) -> None:
    marks = marks_at([(x, 0) for x, _ in candidates])
    sure = np.array([p for _, p in candidates])
    order = np.argsort(marks.x, kind="stable")
    best = -np.inf
    for chosen in range(2 ** len(order)):
        taken = [k for place, k in enumerate(order) if chosen >> place & 1]
        if all(marks.x[b] - marks.x[a] >= 11 for a, b in itertools.pairwise(taken)):
            best = max(best, score_of(marks, sure, taken))
    numbers, _ = read_line(
        marks, list(order), sure, marks.answers, NOTHING, ReadingOptions(), dict.fromkeys(range(len(marks)), 0)
    )
    read = {one.mark for path, _ in numbers for one in path}
    assert score_of(marks, sure, read) == pytest.approx(best)


# Confidence


def test_two_sure_opinions_are_surer_than_one_and_size_counts() -> None:
    marks = marks_at([(x, 0) for x in range(0, 300, 30)], p=0.8)
    says_yes, says_no = np.full((10, 11), 0.099, np.float32), np.full((10, 11), 0.005, np.float32)
    says_yes[:, 10], says_no[:, 10] = 0.01, 0.95
    both, one, none = (
        is_digit(marks, a, b) for a, b in [(says_yes, says_yes), (says_no, says_yes), (says_no, says_no)]
    )
    assert (both > one).all()
    assert (one > none).all()
    marks.height[3] = 8
    sure = is_digit(marks, says_yes, says_yes)
    assert sure[3] < sure[2]
    assert which_digit(marks, says_yes, says_yes).sum(1) == pytest.approx(1)


def test_what_is_found_among_much_that_is_none_is_doubted() -> None:
    marks = marks_at([(30 * k, 60 * row) for row in range(4) for k in range(8)], p=0.6)
    says = np.full((32, 11), 0.09, np.float32)
    says[:, 10] = 0.1
    words = np.full((32, 11), 0.02, np.float32)
    words[:, 10] = 0.8
    words[12] = says[12]
    assert is_digit(marks, says, words)[12] < is_digit(marks, says, says)[12]


# Cells


def form(kind: str, n: int, filled: list[int]) -> tuple[NDArray[np.float32], Marks]:
    """A row of n boxes, digits in some, of one of the kinds that forms have."""
    page = np.full((160, 110 + 70 * n), 0.9, np.float32)
    for k in range(n):
        left = 50 + 70 * k
        if kind == "grid":
            cv2.rectangle(page, (left, 40), (left + 70, 120), 0.2, 2)
        elif kind == "faint":
            cv2.rectangle(page, (left, 40), (left + 70, 120), 0.75, 1)
        elif kind == "separate":
            cv2.rectangle(page, (left + 4, 40), (left + 64, 120), 0.2, 2)
        elif kind == "ticks":
            for x in (left, left + 70):
                cv2.line(page, (x, 92), (x, 122), 0.2, 2)
    places = [(50 + 70 * k + 35, 80) for k in filled]
    for k, (x, y) in zip(filled, places, strict=True):
        put(page, str(k % 10), (x - 14, y + 16), 1.5, 0.15, 4)
    return page, marks_at(places, 28, 34)


@pytest.mark.parametrize("kind", ["grid", "faint", "separate", "ticks"])
@pytest.mark.parametrize("filled", [[0, 1, 2, 3, 4], [1, 3]])
def test_boxes_of_every_kind_are_found_and_the_empty_ones_told(kind: str, filled: list[int]) -> None:
    page, marks = form(kind, 5, filled)
    cells, digits = find_cells(page, marks, range(len(marks)), False)
    assert digits == list(range(len(marks)))
    assert [len(cell.marks) for cell in cells] == [int(k in filled) for k in range(5)]
    for k, cell in enumerate(cells):
        assert (cell.left + cell.right) / 2 == pytest.approx(50 + 70 * k + 35, abs=6)


def test_a_row_reaches_as_far_as_its_digits_where_the_last_border_is_faint() -> None:
    page, marks = form("grid", 5, [0, 1, 2, 3, 4])
    page[30:130, 390:410] = 0.9
    cells, _ = find_cells(page, marks, range(5), False)
    assert [cell.marks for cell in cells] == [(0,), (1,), (2,), (3,), (4,)]


def test_boxes_whose_neighbouring_borders_nearly_touch_are_told_apart() -> None:
    page = np.full((160, 600), 0.9, np.float32)
    for k in range(7):
        cv2.rectangle(page, (30 + 76 * k, 44), (30 + 76 * k + 66, 116), 0.1, 4)
        put(page, str(k), (30 + 76 * k + 19, 96), 1.5, 0.15, 4)
    page = np.asarray(cv2.GaussianBlur(page, (0, 0), 2.0), np.float32)
    marks = marks_at([(30 + 76 * k + 33, 80) for k in range(7)], 28, 34)
    cells, _ = find_cells(page, marks, range(7), False)
    assert [cell.marks for cell in cells] == [(k,) for k in range(7)]
    assert all(cell.right < after.left for cell, after in itertools.pairwise(cells))


def test_ones_side_by_side_are_no_boxes() -> None:
    page = np.full((160, 460), 0.9, np.float32)
    places = [(60 + 70 * k, 80) for k in range(6)]
    for x, y in places:
        cv2.line(page, (x, y - 17), (x + 3, y + 17), 0.2, 5)
    marks = marks_at(places, 8, 34)
    marks = dataclasses.replace(marks, answers=np.eye(10)[[1] * 6] * 0.91 + 0.009)
    assert find_cells(page, marks, range(6), False) == ([], [0, 1, 2, 3, 4, 5])


def test_without_boxes_none_are_found() -> None:
    page, marks = form("none", 5, [0, 1, 2, 3])
    assert find_cells(page, marks, range(4), False) == ([], [0, 1, 2, 3])


@pytest.mark.parametrize("kind", ["grid", "ticks"])
def test_borders_that_were_taken_for_ones_are_borders(kind: str) -> None:
    page, marks = form(kind, 4, [0, 1, 2, 3])
    borders = marks_at([(50 + 70 * k, 80 if kind == "grid" else 107) for k in range(5)], 4, 30)
    borders = dataclasses.replace(borders, answers=np.eye(10)[[1] * 5] * 0.91 + 0.009)
    both = Marks(*(np.concatenate([getattr(m, f.name) for m in (marks, borders)]) for f in dataclasses.fields(Marks)))
    cells, digits = find_cells(page, both, [4, 0, 5, 1, 6, 2, 7, 3, 8], False)
    assert digits == [0, 1, 2, 3]
    assert [cell.marks for cell in cells] == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize("tilt", [0.0, 0.0004])
def test_a_grid_is_fitted_at_an_angle_with_blanks_and_an_empty_column(tilt: float) -> None:
    rng = np.random.default_rng(3)
    page = np.full((560, 560), 0.9, np.float32)
    for k in range(10):
        cv2.line(page, (50 + 50 * k, 50), (50 + 50 * k, 500), 0.2, 3 if k % 3 == 0 else 1)
        cv2.line(page, (50, 50 + 50 * k), (500, 50 + 50 * k), 0.2, 3 if k % 3 == 0 else 1)
    truth = rng.random((9, 9)) < 0.5
    truth[:, 8] = False  # nothing but the border tells where the last column is
    truth[:, 0] = True
    matrix = np.array([[1, 0.05, -8], [0, 1, 0], [tilt, 0, 1]])
    page = cv2.warpPerspective(page, matrix, (560, 560), borderValue=0.9)
    corners = np.array([(75 + 50 * c, 75 + 50 * r) for r, c in np.argwhere(truth)], float)
    ends = np.concatenate([corners, np.ones((len(corners), 1))], 1) @ matrix.T
    marks = marks_at([(x, y) for x, y in ends[:, :2] / ends[:, 2:]], 16, 26)
    taken = np.arange(len(marks))
    rows = find_grid(page, marks, taken, np.full(len(marks), 0.9), (9, 9), False)
    assert rows is not None
    assert np.array_equal([[bool(cell.marks) for cell in row] for row in rows], truth)
