"""Whole pages with truth: found, read, in place, whichever way they lie."""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pytest

from digitlab.reading.reader import Reader
from digitlab.reading.reading import Reading, ReadingOptions

SEEDS = (0, 1, 2)


def n_right_and_in_place(page: Any, reading: Reading) -> int:
    """How many of the page's digits were read with the right value where they stand."""
    free = list(reading.digits)
    n = 0
    for value, (left, top, right, bottom) in page.digits:
        x, y = (left + right) / 2, (top + bottom) / 2
        for digit in free:
            box = digit.box
            if str(digit.value) == value and box.left <= x <= box.right and box.top <= y <= box.bottom:
                free.remove(digit)
                n += 1
                break
    return n


def n_in_order(page: Any, reading: Reading) -> int:
    truth, read = "".join(page.numbers), "".join(str(digit.value) for digit in reading.digits)
    return sum(block.size for block in SequenceMatcher(None, truth, read, autojunk=False).get_matching_blocks())


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(reader: Reader, compose: Callable[..., Any]) -> list[tuple[Any, Reading]]:
    """Three pages and how they are read."""
    made = [compose(seed) for seed in SEEDS]
    return [(page, reader.read(page.pixels)) for page in made]


def test_98_of_100_digits_are_right_and_in_place(pages: list[tuple[Any, Reading]]) -> None:
    right = sum(n_right_and_in_place(page, reading) for page, reading in pages)
    assert right >= 0.98 * sum(len(page.digits) for page, _ in pages)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_page_on_its_side_or_head_is_read_the_same(
    reader: Reader, pages: list[tuple[Any, Reading]], turns: int
) -> None:
    page, upright = pages[1]
    turned = reader.read(np.ascontiguousarray(np.rot90(page.pixels, turns)))
    assert turned.turned == 90 * turns
    assert (turned.width, turned.height) == (upright.width, upright.height)
    assert abs(n_right_and_in_place(page, turned) - n_right_and_in_place(page, upright)) <= 1


@pytest.mark.parametrize("skew", [-9.0, 5.0])
def test_skewed_lines_are_straightened(reader: Reader, compose: Callable[..., Any], skew: float) -> None:
    page = compose(2, skew=skew, n_numbers=14)
    reading = reader.read(page.pixels)
    assert reading.skew == pytest.approx(skew, abs=0.6)
    assert n_in_order(page, reading) >= 0.96 * len(page.digits)


def test_a_deep_shadow_is_no_ink(reader: Reader, compose: Callable[..., Any]) -> None:
    page = compose(0, shadow=0.75)
    assert n_right_and_in_place(page, reader.read(page.pixels)) >= 0.96 * len(page.digits)


def test_bright_ink_on_a_dark_ground_is_read_too(reader: Reader, compose: Callable[..., Any]) -> None:
    page = compose(0)
    assert n_right_and_in_place(page, reader.read(255 - page.pixels)) >= 0.96 * len(page.digits)


@pytest.mark.xfail(reason="a one too many is read", strict=True)
def test_numbers_stand_apart_and_lines_in_order(pages: list[tuple[Any, Reading]]) -> None:
    page, reading = pages[0]
    numbers = [number.value for number in reading.numbers]
    assert len(numbers) == len(page.numbers)
    assert [len(number) for number in numbers] == [len(number) for number in page.numbers]


def test_ruled_lines_and_a_grid_are_no_digits(reader: Reader, compose: Callable[..., Any]) -> None:
    page = compose(0)
    ruled = page.pixels.copy()
    for row in range(40, 1080, 46):
        np.minimum(ruled[row : row + 2], (120, 130, 190), out=ruled[row : row + 2], casting="unsafe")
    reading = reader.read(ruled)
    assert n_right_and_in_place(page, reading) >= 0.9 * len(page.digits)
    grid = np.full((800, 900, 3), 235, np.uint8)
    grid[::80] = grid[:, ::80] = 60
    assert reader.read(grid).text == ""


def test_what_is_expected_decides_between_readings(reader: Reader, compose: Callable[..., Any]) -> None:
    page = compose(3, n_numbers=16, most_digits=4)
    expected = [number.value for number in reader.read(page.pixels, ReadingOptions(expect=r"\d{4}")).numbers]
    assert expected
    assert all(len(number) == 4 for number in expected)
    counted = reader.read(page.pixels, ReadingOptions(digits=4))
    assert all(len(number.value) == 4 for number in counted.numbers)
    assert any(refused.reason == "unexpected" for refused in counted.refused)


def test_a_digit_is_not_left_out_to_have_as_many_as_expected(reader: Reader, compose: Callable[..., Any]) -> None:
    page = compose(5, n_numbers=10, most_digits=4)
    expected = [number for number in page.numbers if len(number) == 2]
    assert 0 < len(expected) < len(page.numbers)
    reading = reader.read(page.pixels, ReadingOptions(digits=2))
    assert reading.numbers
    assert {number.value for number in reading.numbers} <= set(expected)
    assert "unexpected" in {refused.reason for refused in reading.refused}
