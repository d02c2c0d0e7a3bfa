"""The settings of the next training: presets, what is folded away, what the run that is shown had, and words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from digitlab.errors import ConfigError
from digitlab.network import Architecture, Dense, Flatten
from digitlab.studio.setting_words import in_page_words, label_of
from digitlab.studio.tabs.presets import PRESET_WORDS, presets_for
from digitlab.studio.tabs.training_controls import Command
from digitlab.studio.trainer import Trainer
from digitlab.text import percent
from digitlab.training.config import PRESETS, TrainConfig
from tests.studio.test_training_tab import Tab, look
from tests.studio.visiting import only, until

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def text(tab: Tab, marker: str) -> Any:
    return tab.user.find(marker=marker).elements.pop()


def chosen(tab: Tab) -> list[str]:
    return [name for name in PRESET_WORDS if text(tab, f"preset-{name}").props["aria-pressed"] == "true"]


def had(tab: Tab) -> dict[str, str]:
    """Return what is told of the run beside each control, as a screen reader finds it."""
    found = {}
    for name in TrainConfig().to_dict():
        controls = [one for one in tab.page.client.elements.values() if name in one._markers]
        for control in controls:
            [label] = [e for e in tab.page.client.elements.values() if e.html_id == control.props["aria-describedby"]]
            if label.visible:
                found[name] = label.text
    return found


# ---- words ----


@pytest.mark.parametrize("name", TrainConfig().to_dict())
def test_every_rule_that_is_broken_is_told_in_the_pages_words(name: str) -> None:
    for wrong in (-1, 2.0e12, "nonsense", None, []):
        try:
            TrainConfig(**{name: wrong})
        except ConfigError as error:
            told = in_page_words(str(error))
            assert not any(other in told for other in TrainConfig().to_dict() if "_" in other), told
            assert not told.startswith(f"{name} "), told


def test_words_of_the_page_leave_other_sentences_alone() -> None:
    for sentence in ("The run keeps its epochs and its network.", "batch_sizes are many.", ""):
        assert in_page_words(sentence) == sentence
    assert label_of("not_a_digit") == "Not a digit"


# ---- presets ----


def test_figures_of_the_presets_are_those_that_were_measured() -> None:
    codelab = next(entry for entry in result("codelab")["entries"] if entry["name"] == "digitlab")
    agreement = (RESULTS.parents[1] / "docs" / "measurements" / "agreement.md").read_text("utf-8")
    seconds = codelab["summary"]["training_s"]["median"]
    assert "| digitlab | 93.35 % |" in agreement
    assert PRESET_WORDS["codelab"].measured == f"{seconds:.1f} s, about 93 % of validation images"
    for entry in result("time_to_accuracy")["entries"][:2]:
        summary, name = entry["summary"], entry["name"].removeprefix("digitlab-")
        told = PRESET_WORDS[name].measured
        digits = 0 if summary["training_s"]["median"] >= 10 else 1
        assert told.startswith(f"{summary['training_s']['median']:.{digits}f} s, ")
        mean = float(told.split(", ")[1].split()[0]) / 100
        assert abs(mean - summary["test_accuracy"]["median"]) < 0.0005, percent(mean)


def test_preset_is_taken_with_one_click_and_marked(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        assert chosen(tab) == []
        tab.field("seed").value = 7
        for name in ("fast", "codelab", "reader", "accurate"):
            tab.user.find(marker=f"preset-{name}").click()
            assert chosen(tab) == [name]
            assert tab.page.config == TrainConfig(**{**presets_for(trainer.data)[name].to_dict(), "seed": 7})
            assert tab.page.config.network == PRESETS[name].get("network", "codelab_cnn")
        tab.field("epochs").value = 2
        assert chosen(tab) == []

    look(trainer, scenario)


def test_what_is_folded_away_and_changed_is_counted(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        tab.user.find(marker="preset-codelab").click()
        await tab.user.should_see("More settings")
        await tab.user.should_not_see("changed from")
        tab.field("seed").value = 3
        tab.field("momentum").value = 0.5
        tab.field("epochs").value = 4
        await tab.user.should_see("More settings · 2 changed from codelab")

    look(trainer, scenario)


# ---- the run that is shown ----


def test_settings_other_than_those_of_the_run_are_marked_and_taken_back_in_one_click(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.field("epochs").value = 2
        assert had(tab) == {}  # nothing was trained yet
        tab.press("Start")
        await tab.state("finished")
        assert had(tab) == {}
        asked = tab.page.config
        for name, value in {"epochs": 9, "learning_rate": 0.5, "nesterov": True, "seed": 4}.items():
            tab.field(name).value = value
        tab.field("network").value = "codelab_cnn"
        assert had(tab) == {
            "network": "run had dense_baseline",
            "epochs": "run had 2",
            "learning_rate": "run had 0.001",
            "nesterov": "run had no",
            "seed": "run had 0",
        }
        await tab.user.should_see("5 settings not as in the run that is shown")
        only(tab.user, Command, content="As in the run")
        tab.press("As in the run")
        assert tab.page.config == asked
        assert had(tab) == {}
        tab.press("Reset")
        await until(lambda: trainer.state == "idle")

    look(trainer, scenario)


def test_run_whose_rate_was_changed_on_the_way_says_so(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.press("Step one batch")
        await until(lambda: trainer.step_done == 1 and trainer.state == "paused")
        tab.field("learning_rate").value = 0.25
        assert had(tab) == {}
        tab.press("Stop")
        await tab.state("stopped")
        tab.field("learning_rate").value = 0.125
        assert had(tab) == {"learning_rate": "run had 0.001, then 0.25"}

    look(trainer, scenario)


def test_edited_network_of_the_run_comes_back_with_its_settings(trainer: Trainer) -> None:
    own = Architecture([Flatten(), Dense(10, activation="softmax")], name="own")

    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.page.set_settings(architecture=own)
        tab.press("Start")
        await tab.state("finished")
        assert had(tab) == {}
        tab.field("network").value = "codelab_cnn"
        assert had(tab) == {"network": "run had own"}
        tab.press("As in the run")
        assert tab.page.architecture == own
        assert had(tab) == {}

    look(trainer, scenario)


# ---- a network that cannot be trained ----


def test_network_that_cannot_be_trained_is_told_where_one_starts(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.page.set_problem("Layer 5, flatten: The last layer must be Dense.")
        assert tab.enabled() == set()
        await tab.user.should_see("The network in Model cannot be trained as it is. Layer 5, flatten:")
        [reason] = {tab.command(name).props["aria-describedby"] for name in ("Start", "Step one batch")}
        assert any(element.html_id == reason for element in tab.page.client.elements.values())
        tab.press("Open Model")
        assert tab.page.tab == "Model"
        tab.user.find(marker="preset-codelab").click()
        assert tab.page.problem == ""
        assert "Start" in tab.enabled()
        await tab.user.should_not_see("cannot be trained")

    look(trainer, scenario)


def test_setting_that_cannot_be_used_is_the_reason_why_nothing_starts(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.field("epochs").value = 0
        assert tab.field("epochs").error == "Epochs must be at least 1; got 0."
        await tab.user.should_see("a setting cannot be used")
        await tab.user.should_not_see("Open Model")
        tab.field("epochs").value = 1
        await tab.user.should_not_see("a setting cannot be used")

    look(trainer, scenario)
