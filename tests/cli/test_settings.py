"""The options of ``digitlab train`` are the fields of TrainConfig."""

from __future__ import annotations

import dataclasses
from typing import Any

from digitlab.cli.settings import TrainSettings, describe_presets, given
from digitlab.training.config import TrainConfig


def test_every_field_of_the_config_is_an_option_with_its_words_and_default(call: Any) -> None:
    shown = " ".join(call("train", "--help").out.replace("│", " ").split())
    for field in dataclasses.fields(TrainConfig):
        assert f"--{field.name.replace('_', '-')}" in shown
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert f"[default: {field.default}" in shown
    assert "Passes over the training images." in shown


def test_help_tells_what_a_preset_changes(call: Any) -> None:
    assert "batch-size 256" in describe_presets()
    shown = " ".join(call("train", "--help").out.replace("│", " ").split())
    assert "512 (fast: 256, accurate: 256, reader: 256, second-look: 128, finder: 8)" in shown


def test_only_what_was_given_counts() -> None:
    assert given(None) == {}
    assert given(TrainSettings(epochs=3, shuffle=False)) == {"epochs": 3, "shuffle": False}
