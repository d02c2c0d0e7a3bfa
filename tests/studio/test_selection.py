from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from digitlab.studio.selection import MISTAKES, Selection
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
