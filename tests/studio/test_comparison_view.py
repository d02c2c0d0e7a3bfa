from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import digitlab as dl
from digitlab.evaluation.comparison import Comparison, compare
from digitlab.evaluation.confusion import MISTAKES, Selection
from digitlab.runs.run import Run
from digitlab.studio.tabs.comparison_view import (
    EVERYBODY,
    NOBODY,
    ONLY_A,
    ONLY_B,
    disagreeing,
    sentence,
)
from digitlab.studio.tabs.overlay_view import settings_rows
from digitlab.training.session import TrainingSession
from tests.studio.steered import SMALL


@pytest.fixture
def comparison(digits: dl.MnistData, tmp_path: Path) -> Comparison:
    """Compare two short runs with different seeds."""
    runs = []
    for seed in (0, 1):
        run = Run.create(tmp_path / f"s{seed}")
        for _ in TrainingSession(dataclasses.replace(SMALL, seed=seed), digits, run).records():
            pass
        runs.append(run)
    return compare(*runs, digits)


def test_disagreements_are_divided_by_who_is_right(comparison: Comparison) -> None:
    counts = [len(disagreeing(comparison, MISTAKES, who)) for who in (ONLY_A, ONLY_B, NOBODY)]
    assert counts == [comparison.n_only_a_right, comparison.n_only_b_right, comparison.n_both_wrong]
    assert sum(counts) == len(disagreeing(comparison, MISTAKES, EVERYBODY)) == len(comparison.disagreements) > 0


def test_cell_of_the_difference_holds_what_moved_into_it_or_out_of_it(comparison: Comparison) -> None:
    for label in range(10):
        for answer in range(10):
            found = disagreeing(comparison, Selection(label, answer))
            into = sum(d.b.label == answer for d in found)
            out_of = sum(d.a.label == answer for d in found)
            assert into - out_of == comparison.confusion_difference[label][answer]
            assert into + out_of == len(found)


def test_row_and_column_narrow_the_disagreements_down(comparison: Comparison) -> None:
    rows = [d for label in range(10) for d in disagreeing(comparison, Selection(label=label))]
    assert len(rows) == len(comparison.disagreements)
    for d in disagreeing(comparison, Selection(predicted=3)):
        assert 3 in (d.a.label, d.b.label)


def test_sentence_says_which_images_and_how_many(comparison: Comparison) -> None:
    assert sentence(comparison, Selection(4, 9), ONLY_B, 1) == (
        "label Four, predicted Nine by one of the two, only B is right: 1 image"
    )
    assert sentence(comparison, MISTAKES, EVERYBODY, 12) == "they disagree: 12 images"


def test_settings_that_differ_have_a_row_each(comparison: Comparison) -> None:
    differing = [(one.name, (one.a, one.b)) for one in comparison.settings]
    rows = {row.key: [cell.text for cell in row.cells] for row in settings_rows(differing)}
    assert rows["seed"] == ["seed", "0", "1"]
    assert "batch_size" not in rows
