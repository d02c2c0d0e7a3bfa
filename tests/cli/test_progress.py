"""How a training run is shown while it goes on."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from digitlab.cli.terminal import COMPILING
from digitlab.cli.train import TrainingProgress
from digitlab.values import EpochRecord, StepRecord


def _step(step: int, images_per_s: float = 1000.0) -> StepRecord:
    return StepRecord(step, (step - 1) // 5 + 1, (step - 1) % 5 + 1, 32, 1.5, 0.5, 0.001, images_per_s)


EPOCH = EpochRecord(1, 5, 1.25, 0.625, 1.125, 0.75, 0.001, 12_345.0)


def _shown(width: int, records: list[Any], *, terminal: bool = True, **options: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    with TrainingProgress(console, 2, 10, **options) as progress:
        for record in records:
            progress.record(record)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_bar_tells_epoch_loss_accuracies_speed_and_batches(width: int) -> None:
    shown = _shown(width, [*map(_step, range(1, 6)), EPOCH, _step(6)])
    for words in (
        "Epoch 2/2",
        "batch 6/10",
        "loss 1.5000",
        "accuracy 50.00 %",
        "val_accuracy 75.00 %",
        "images/s",
        "left",
    ):
        assert words in shown


@pytest.mark.parametrize("width", [20, 40, 60])
def test_the_bar_fits_a_narrow_terminal(width: int) -> None:
    shown = _shown(width, [*map(_step, range(1, 6)), EPOCH])
    assert all(len(line) <= width for line in shown.replace("\r", "\n").split("\n") if "\x1b" not in line)


def test_at_the_end_of_an_epoch_its_means_are_shown() -> None:
    assert "loss 1.2500" in _shown(100, [*map(_step, range(1, 6)), EPOCH])


def test_elsewhere_there_is_a_line_an_epoch() -> None:
    shown = _shown(40, [*map(_step, range(1, 6)), EPOCH], terminal=False)
    expected = "Epoch 1/2  loss 1.2500  accuracy 62.50 %  val_loss 1.1250  val_accuracy 75.00 %  12,345 images/s\n"
    assert shown == expected


def test_without_validation_there_are_no_figures_of_it() -> None:
    epoch = EpochRecord(1, 5, 1.25, 0.625, None, None, 0.001, 12_345.0)
    assert "val_" not in _shown(100, [*map(_step, range(1, 6)), epoch], terminal=False)


def test_nothing_is_shown_if_nothing_is_wanted() -> None:
    assert _shown(80, [_step(1), EPOCH], lines=False, live=False) == ""
    assert _shown(80, [_step(1), EPOCH], terminal=False, lines=False) == ""


def test_compiling_is_told_when_the_first_batch_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitlab.cli.train._COMPILING_AFTER_S", 0.0)
    assert COMPILING[:20] in _shown(100, [])


def test_a_wish_to_stop_is_answered_while_a_batch_is_under_way() -> None:
    assert "Stopping" in _shown(100, [], is_stopping=lambda: True)
