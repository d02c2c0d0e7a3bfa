"""The tables of results."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from digitlab.cli.evaluate import confusion_table, headline, per_class_table
from digitlab.cli.predict import predictions_table
from digitlab.cli.train import timings_table
from digitlab.evaluation.evaluate import evaluate
from digitlab.values import CLASS_NAMES, Evaluation, Prediction


class _Fixed:
    def __init__(self, answers: list[int]) -> None:
        self._answers = answers

    def predict(self, images: Any, /) -> Any:
        return np.eye(10, dtype=np.float32)[self._answers]


def _evaluation(labels: list[int], answers: list[int]) -> Evaluation:
    return evaluate(_Fixed(answers), np.zeros((len(labels), 28, 28), np.uint8), labels)


def _shown(table: Any, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(table)
    return file.getvalue()


def test_the_confusion_matrix_has_labels_down_and_predictions_across() -> None:
    shown = _shown(confusion_table(_evaluation([3, 3, 3, 5], [3, 5, 5, 5]), 100), 100)
    three = next(line.split() for line in shown.splitlines() if line.startswith("Three"))
    assert three == ["Three", "·", "·", "·", "1", "·", "2", "·", "·", "·", "·"]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_tables_fit_the_terminal_whole(width: int) -> None:
    evaluation = _evaluation([0] * 1135 + list(range(10)), [0] * 1135 + list(range(10)))
    for table in (confusion_table(evaluation, width), per_class_table(evaluation), timings_table({"train": 1.0})):
        shown = _shown(table, width)
        assert "…" not in shown
        assert all(len(line) <= width for line in shown.splitlines())
    assert "1,136" in _shown(confusion_table(evaluation, width), width)


def test_a_class_without_images_has_no_accuracy() -> None:
    shown = _shown(per_class_table(_evaluation([1], [1])), 80)
    assert next(line.split()[1] for line in shown.splitlines() if line.startswith("Zero")) == "-"


def test_one_mistake_is_one() -> None:
    assert "1 mistake on 2 test images" in headline(_evaluation([1, 2], [1, 1]), "test images").plain


def test_times_have_a_sum() -> None:
    assert _shown(timings_table({"load": 0.5, "train": 1.5}), 80).splitlines()[-1].split() == ["in", "all", "2", "s"]


def test_wide_terminals_show_all_probabilities_and_narrow_ones_the_highest() -> None:
    prediction = Prediction("a.png", 7, 0.91, (0.0, 0.01, 0.0, 0.03, 0.0, 0.0, 0.0, 0.91, 0.0, 0.05))
    wide = _shown(predictions_table([prediction], CLASS_NAMES, 140), 140)
    narrow = _shown(predictions_table([prediction], CLASS_NAMES, 80), 80)
    assert "p(9)" in wide
    assert "0.010" in wide
    assert "7: 0.910  9: 0.050  3: 0.030" in narrow
