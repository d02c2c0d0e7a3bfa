"""The confusion matrix: which images are meant, what its cells say, and a picture of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from digitlab.evaluation.confusion import (
    MISTAKES,
    MORE,
    RIGHT,
    WRONG,
    Selection,
    count_cells,
    difference_cells,
    matrix_svg,
    shade,
)
from digitlab.values import CLASS_NAMES


def answers(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, n)
    probabilities = random.dirichlet(np.ones(10), n).astype(np.float32)
    return labels, probabilities


@pytest.mark.parametrize("selection", [Selection(4, 9), Selection(label=4), Selection(predicted=9), MISTAKES])
def test_selection_holds_exactly_the_images_that_it_names(selection: Selection) -> None:
    labels, probabilities = answers(500)
    predicted = probabilities.argmax(axis=1)
    expected = [
        i
        for i in range(500)
        if (selection.label is None or labels[i] == selection.label)
        and (selection.predicted is None or predicted[i] == selection.predicted)
        and (selection != MISTAKES or labels[i] != predicted[i])
    ]
    assert sorted(selection.indices(labels, probabilities).tolist()) == expected


def test_selection_begins_with_the_most_confident_mistakes_and_ends_with_the_surest_right_answers() -> None:
    labels, probabilities = answers(500)
    chosen = Selection(label=3).indices(labels, probabilities)
    confidence = probabilities[chosen].max(axis=1)
    wrong = probabilities[chosen].argmax(axis=1) != 3
    n_wrong = int(wrong.sum())
    assert wrong[:n_wrong].all()
    assert (np.diff(confidence[:n_wrong]) <= 0).all()
    assert (np.diff(confidence[n_wrong:]) >= 0).all()


@given(
    arrays.arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 9)),
    st.none() | st.integers(0, 9),
    st.none() | st.integers(0, 9),
)
def test_selection_of_cells_adds_up_to_all_images(labels: np.ndarray, label: int | None, predicted: int | None) -> None:
    _, probabilities = answers(len(labels), seed=1)
    cells = [Selection(r, c).indices(labels, probabilities).tolist() for r in range(10) for c in range(10)]
    assert sorted(i for cell in cells for i in cell) == list(range(len(labels)))
    chosen = Selection(label, predicted).indices(labels, probabilities).tolist()
    assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize(
    "args",
    [None, [], "4", {"label": "4", "predicted": 1}, {"label": 10, "predicted": None}, {"label": -1}, {"label": True}],
)
def test_selection_takes_no_nonsense_from_a_browser(args: object) -> None:
    assert Selection.from_page(args, 10) is None


def test_sentence_of_a_cell_names_label_prediction_count_and_part() -> None:
    matrix = np.zeros((10, 10), int)
    matrix[4, 4], matrix[4, 9] = 988, 12
    told = Selection(4, 9).sentence(matrix.tolist(), CLASS_NAMES)
    assert told == "label Four, predicted Nine: 12 images, 1.2 % of the Fours"


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


SVG = "{http://www.w3.org/2000/svg}"
MATRIX = [[90 if r == c else (r * c) % 7 for c in range(10)] for r in range(10)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_picture_of_a_matrix_has_every_count_and_every_name() -> None:
    found = texts(matrix_svg("Confusion matrix", CLASS_NAMES, count_cells(MATRIX, CLASS_NAMES)))
    for name in CLASS_NAMES:
        assert found.count(name) == 2
    for row in MATRIX:
        for count in row:
            assert str(count) in found


def test_picture_of_a_difference_is_a_file_of_its_own() -> None:
    cells = difference_cells(MATRIX, MATRIX[::-1], CLASS_NAMES, "A", "B")
    root = ET.fromstring(matrix_svg("B minus A <&>", CLASS_NAMES, cells))
    assert root.tag == f"{SVG}svg"
    assert {"width", "height", "viewBox"} <= set(root.attrib)
