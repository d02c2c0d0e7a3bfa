from __future__ import annotations

import numpy as np
import pytest
from visiting import User, only, until, visit

from digitlab.studio.matrix import MORE, RIGHT, WRONG, ConfusionMatrix, count_cells, difference_cells, shade
from digitlab.studio.selection import MISTAKES, Selection
from digitlab.values import CLASS_NAMES


def matrix_of(seed: int) -> list[list[int]]:
    random = np.random.default_rng(seed)
    matrix = np.diag(random.integers(900, 1000, 10)) + random.integers(0, 20, (10, 10))
    return [[int(n) for n in row] for row in matrix]


def test_cell_says_label_prediction_count_and_part_of_the_row() -> None:
    matrix = matrix_of(0)
    matrix[4] = [0, 0, 0, 0, 988, 0, 0, 0, 0, 12]
    cell = count_cells(matrix, CLASS_NAMES)[4][9]
    assert cell["says"] == "label Four, predicted Nine: 12 images, 1.2 % of the Fours"
    assert (cell["n"], cell["part"]) == ("12", "1.2 %")


def test_counts_of_the_cells_are_those_of_the_matrix() -> None:
    matrix = matrix_of(1)
    assert [[int(cell["n"]) for cell in row] for row in count_cells(matrix, CLASS_NAMES)] == matrix


def test_right_answers_and_mistakes_have_colours_of_their_own() -> None:
    for r, row in enumerate(count_cells(matrix_of(2), CLASS_NAMES)):
        for c, cell in enumerate(row):
            assert cell["shade"].startswith("right" if r == c else "wrong")


def test_one_mistake_in_ten_thousand_images_has_a_colour() -> None:
    matrix = [[1000 * (r == c) for c in range(10)] for r in range(10)]
    matrix[3][5] = 1
    cells = count_cells(matrix, CLASS_NAMES)
    assert cells[3][5]["shade"] == "wrong-1"
    assert cells[3][6]["shade"] == "wrong-0"


@pytest.mark.parametrize("scale", [WRONG, RIGHT, MORE])
def test_shades_never_get_lighter_with_more(scale: tuple[float, ...]) -> None:
    shades = [shade(part, scale) for part in np.linspace(0, 1, 2001)]
    assert shades == sorted(shades)
    assert (shades[0], shades[-1]) == (0, len(scale))


def test_row_without_images_is_empty_and_not_an_error() -> None:
    matrix = [[0] * 10 for _ in range(10)]
    assert {cell["shade"] for row in count_cells(matrix, CLASS_NAMES) for cell in row} == {"right-0", "wrong-0"}


def test_difference_is_second_minus_first_with_its_sign() -> None:
    first, second = matrix_of(3), matrix_of(4)
    shown = [
        [int(cell["n"].replace("−", "-")) for cell in row]
        for row in difference_cells(first, second, CLASS_NAMES, "A", "B")
    ]
    assert shown == (np.array(second) - np.array(first)).tolist()


def test_difference_says_both_counts() -> None:
    first, second = matrix_of(5), matrix_of(5)
    first[4][9], second[4][9] = 1, 3
    cell = difference_cells(first, second, CLASS_NAMES, "A", "B")[4][9]
    assert cell["says"] == "label Four, predicted Nine: 1 image in A, 3 images in B, 2 more in B"
    assert cell["shade"].startswith("more")


def test_chosen_cell_is_told_and_let_go_when_chosen_again() -> None:
    told: list[Selection] = []

    def root() -> None:
        ConfusionMatrix(CLASS_NAMES, told.append).show_counts(matrix_of(6))

    async def scenario(user: User) -> None:
        interaction = user.find(kind=ConfusionMatrix)
        interaction.trigger("choose", {"label": 4, "predicted": 9})
        await until(lambda: told == [Selection(4, 9)])
        assert only(user, ConfusionMatrix).chosen == Selection(4, 9)
        interaction.trigger("choose", {"label": 4, "predicted": 9})
        await until(lambda: told == [Selection(4, 9), MISTAKES])

    visit(root, scenario)


def test_choice_that_is_none_is_not_told() -> None:
    told: list[Selection] = []

    def root() -> None:
        ConfusionMatrix(CLASS_NAMES, told.append).show_counts(matrix_of(7))

    async def scenario(user: User) -> None:
        for args in ("cell", {"label": 99, "predicted": 1}, {"label": "4", "predicted": None}, [4, 9]):
            user.find(kind=ConfusionMatrix).trigger("choose", args)
        user.find(kind=ConfusionMatrix).trigger("choose", {"label": None, "predicted": 9})
        await until(lambda: told == [Selection(predicted=9)])

    visit(root, scenario)
