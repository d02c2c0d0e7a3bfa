"""The tab Model: editing a network in the page, and what the rest of the page hears of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nicegui import ui

import digitlab as dl
from digitlab.evaluation.alike import NetworkResult, fair_pair, unlike_settings
from digitlab.evaluation.train import train
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, architecture
from digitlab.runs.run import CONFIG, Run
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.run_list import results_here
from digitlab.studio.tabs import model_tab
from digitlab.studio.tabs.model_tab import MOST_BYTES
from digitlab.studio.trainer import Trainer, network_document
from digitlab.studio.widgets.card import facts_of
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import RateChange, StepRecord
from tests.studio.visiting import User, until, visit

SMALL = TrainConfig(train_images=40, validation_images=20, batch_size=20, epochs=1, threads=1)


class Visit:
    """A page with the tab, and what a test wants to know of it."""

    def __init__(self, trainer: Trainer, lesson: LessonLink | None = None) -> None:
        self._trainer, self._lesson = trainer, lesson or LessonLink(tab="model")
        self.page: Page
        self.tab: Any

    def build(self) -> None:
        self.page = Page(self._trainer, self._trainer.data, ui.context.client, self._lesson)
        self.tab = model_tab.ModelTab(self.page)

    def field(self, position: int, name: str) -> Any:
        return list(self.tab.rows.values())[position - 1]._fields[name]

    def results(self) -> list[str]:
        return [row._result.text for row in self.tab.rows.values()]

    def kinds(self) -> list[str]:
        return [row.kind for row in self.tab.rows.values()]

    def in_the_page(self) -> list[str]:
        """Return the rows in the order in which the browser has them."""
        by_element = {row.element: row.kind for row in self.tab.rows.values()}
        return [by_element[element] for element in self.tab.list.default_slot.children]


@pytest.fixture
def seen(trainer: Trainer) -> Visit:
    return Visit(trainer)


def press(user: User, label: str) -> None:
    """Click the button with this text, or this label for screen readers."""
    interaction = user.find(kind=ui.button)
    interaction.elements = {b for b in interaction.elements if label in (b.props.get("aria-label"), b.text)}
    assert len(interaction.elements) == 1, (label, len(interaction.elements))
    interaction.click()


def test_the_codelabs_network_and_its_table_are_shown_at_first(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        assert seen.kinds() == ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense"]
        assert seen.results()[0] == "→ 24 × 24 × 8 · 208 parameters · 115,200 multiply-adds"
        table = seen.tab.table.content
        for heading in ("Layer Name", "Output Shape", "# Of Params", "Trainable"):
            assert f">{heading}<" in table
        assert ">5,994<" in table
        await user.should_see("5,994 parameters. The next training takes codelab_cnn as it is here.")

    visit(seen.build, scenario)


def test_typing_updates_shapes_and_what_training_takes(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        seen.field(1, "kernel_size").value = "3"
        seen.field(1, "filters").value = 12.0
        assert seen.results()[0] == "→ 26 × 26 × 12 · 120 parameters · 73,008 multiply-adds"
        assert seen.page.network.layers[0] == Conv2D(
            12, 3, name="conv2d", activation="relu", kernel_initializer="variance_scaling"
        )
        assert seen.page.network.name == "codelab_cnn_edited"
        assert seen.tab.select.value == "codelab_cnn_edited"

    visit(seen.build, scenario)


def test_an_error_is_shown_at_its_layer_and_training_keeps_the_last_network(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        seen.field(3, "kernel_size").value = "13"
        assert "does not fit into an image of 12 x 12" in seen.results()[2]
        assert seen.results()[3] == "waits for layer 3"
        assert seen.field(3, "kernel_size").props["aria-invalid"] == "true"
        assert "aria-invalid" not in seen.field(3, "filters").props
        assert seen.page.network == architecture("codelab_cnn")
        await user.should_see("Until then, nothing can be trained.")
        assert not seen.tab.save_button.enabled
        seen.field(3, "padding").value = "same"
        assert "aria-invalid" not in seen.field(3, "kernel_size").props
        assert seen.page.network.shapes[2] == (12, 12, 16)

    visit(seen.build, scenario)


def test_an_emptied_field_is_told_and_not_a_failure(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        seen.field(1, "filters").value = None
        assert seen.results()[0] == "Conv2D filters is empty; give it a whole number from 1 to 65,536."
        seen.field(2, "strides").value = ""
        assert "empty" in seen.results()[0]
        seen.field(1, "filters").value = 8
        assert seen.page.network.shapes[1] == (12, 12, 8)

    visit(seen.build, scenario)


def test_layers_are_added_moved_and_removed(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        press(user, "Add Dropout")
        assert seen.kinds() == seen.in_the_page()
        assert seen.kinds()[-2:] == ["Dropout", "Dense"]
        assert seen.page.network.layers[5] == Dropout(0.25, name="dropout")
        press(user, "Move up: layer 6, dropout")
        assert seen.kinds()[-3:] == seen.in_the_page()[-3:] == ["Dropout", "Flatten", "Dense"]
        press(user, "Remove: layer 2, max_pooling2d")
        assert seen.kinds() == seen.in_the_page() == ["Conv2D", "Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense"]
        assert [type(layer).__name__ for layer in seen.page.network.layers] == seen.kinds()

    visit(seen.build, scenario)


def test_the_first_layer_cannot_go_up_nor_the_last_down(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        rows = list(seen.tab.rows.values())
        assert [row._up.enabled for row in rows] == [False] + [True] * 5
        assert [row._down.enabled for row in rows] == [True] * 5 + [False]

    visit(seen.build, scenario)


def test_a_row_keeps_its_fields_while_others_change(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        field = seen.field(3, "filters")
        press(user, "Add Conv2D")
        press(user, "Move up: layer 3, conv2d_1")
        assert seen.field(2, "filters") is field
        assert not field.is_deleted

    visit(seen.build, scenario)


def test_undo_brings_fields_layers_and_network_back(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        assert not seen.tab.undo_button.enabled
        seen.field(1, "filters").value = 9
        press(user, "Remove: layer 5, flatten")
        press(user, "Undo")
        assert seen.kinds()[4] == "Flatten"
        press(user, "Undo")
        assert seen.field(1, "filters").value == 8
        assert seen.page.network == architecture("codelab_cnn")
        assert seen.page.architecture is None
        assert not seen.tab.undo_button.enabled

    visit(seen.build, scenario)


def test_choosing_a_network_of_the_zoo_replaces_the_layers(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        seen.field(1, "filters").value = 9
        seen.tab.select.value = "dense_baseline"
        assert seen.kinds() == seen.in_the_page() == ["Flatten", "Dense", "Dense"]
        assert (seen.page.config.network, seen.page.architecture) == ("dense_baseline", None)
        press(user, "Use codelab_cnn")
        assert seen.page.network == architecture("codelab_cnn")
        assert seen.tab.select.value == "codelab_cnn"

    visit(seen.build, scenario)


def test_other_settings_stay_when_the_network_changes(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        seen.page.set_settings(dataclasses.replace(seen.page.config, epochs=3))
        seen.field(1, "filters").value = 9
        press(user, "Use dense_baseline")
        assert seen.page.config.epochs == 3

    visit(seen.build, scenario)


def test_a_network_chosen_elsewhere_on_the_page_is_followed(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        seen.page.set_settings(dataclasses.replace(seen.page.config, network="dense_baseline"))
        assert seen.kinds() == ["Flatten", "Dense", "Dense"]
        assert seen.tab.select.value == "dense_baseline"

    visit(seen.build, scenario)


def test_settings_changed_elsewhere_leave_what_is_being_typed(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        seen.field(1, "filters").value = None
        seen.page.set_settings(dataclasses.replace(seen.page.config, epochs=3), seen.page.architecture)
        assert seen.field(1, "filters").value is None
        assert "empty" in seen.results()[0]

    visit(seen.build, scenario)


def test_the_network_of_a_lesson_link_is_the_one_that_is_edited(trainer: Trainer) -> None:
    network = Architecture([Conv2D(3, (3, 5), name="eyes"), Flatten(), Dense(10, activation="softmax")], name="mine")
    link, sentence = LessonLink.from_query(LessonLink.of(TrainConfig(), network, "model").to_query())
    seen = Visit(trainer, link)

    async def scenario(user: User) -> None:
        assert sentence == ""
        assert seen.field(1, "kernel_size").value == "3 x 5"
        seen.field(1, "filters").value = 4
        lesson = seen.page.lesson
        assert lesson.layers == seen.page.network
        assert LessonLink.from_query(lesson.to_query())[0].layers == seen.page.network

    visit(seen.build, scenario)


def test_an_edited_network_is_what_training_trains(seen: Visit, trainer: Trainer) -> None:
    async def scenario(user: User) -> None:
        press(user, "Use dense_baseline")
        seen.field(2, "units").value = 5
        trainer.start(SMALL, seen.page.architecture)
        await until(lambda: trainer.state == "finished")
        assert trainer.architecture.layers[1] == dataclasses.replace(architecture("dense_baseline").layers[1], units=5)

    visit(seen.build, scenario)


# Files


async def opened(user: User, seen: Visit, content: str | None) -> None:
    with user:
        seen.tab.read(SimpleNamespace(args=content))


def test_a_saved_network_can_be_opened_again(seen: Visit) -> None:
    network = Architecture([MaxPooling2D(2), Flatten(), Dense(10, activation="softmax")], name="pooled")

    async def scenario(user: User) -> None:
        await opened(user, seen, network_document(network))
        assert seen.page.network == network
        assert seen.tab.select.value == "pooled"
        press(user, "Save as JSON")
        response = await user.download.next()
        assert json.loads(response.content) == network.to_dict()
        press(user, "Undo")
        assert seen.page.network == architecture("codelab_cnn")

    visit(seen.build, scenario)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("\x89PNG", "not JSON"),
        ("\ud800", "not JSON"),
        ('{"layers": [{"class_name": "LSTM"}]}', "digitlab has no layer 'LSTM'"),
        (" " * (MOST_BYTES + 1), "too large"),
        (None, "too large"),
    ],
)
def test_a_file_that_is_no_network_is_told_and_changes_nothing(seen: Visit, content: str | None, sentence: str) -> None:
    async def scenario(user: User) -> None:
        await opened(user, seen, content)
        assert any(sentence in message for message in user.notify.messages)
        assert seen.page.network == architecture("codelab_cnn")

    visit(seen.build, scenario)


def test_a_network_without_softmax_opens_with_the_error_at_its_layer(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        await opened(user, seen, '{"layers": [{"class_name": "Flatten"}, {"class_name": "Dense", "units": 3}]}')
        assert 'activation="softmax"' in seen.results()[1]
        assert seen.page.network == architecture("codelab_cnn")

    visit(seen.build, scenario)


def test_a_hostile_name_is_only_text(seen: Visit) -> None:
    document = {"name": "<img src=x>", "layers": [{"class_name": "Flatten"}, {"class_name": "Dense", "units": 10}]}
    document["layers"][1]["activation"] = "softmax"  # type: ignore[index]

    async def scenario(user: User) -> None:
        await opened(user, seen, json.dumps(document))
        assert seen.page.network.name == "<img src=x>"
        assert all("<img" not in element.content for element in user.find(kind=ui.html).elements)
        press(user, "Save as JSON")
        response = await user.download.next()
        assert json.loads(response.content)["name"] == "<img src=x>"

    visit(seen.build, scenario)


def test_the_table_is_saved_with_its_four_columns(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        columns, rows = seen.tab.table_rows()
        assert columns == ("Layer Name", "Output Shape", "# Of Params", "Trainable")
        assert rows[2] == ("conv2d_1", "8 × 8 × 16", 3216, "yes")
        assert json.loads(json.dumps(seen.tab.table_document()))["n_parameters"] == 5994

    visit(seen.build, scenario)


# Texts


def test_every_kind_of_layer_has_its_text_with_this_networks_numbers(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        press(user, "Add Dropout")
        interaction = user.find(kind=ui.button)
        everything = set(interaction.elements)
        for label, words in (
            ("Explain Conv2D", "115,200"),
            ("Explain MaxPooling2D", "1,152"),
            ("Explain Flatten", "256"),
            ("Explain Dropout", "64 an image"),
            ("Explain Dense", "2,570"),
        ):
            interaction.elements = {
                min((b for b in everything if b.props.get("aria-label") == label), key=lambda button: button.id)
            }
            interaction.click()
            assert words in seen.tab.explanation._text.content

    visit(seen.build, scenario)


def test_a_text_leads_on_to_its_neighbours(seen: Visit) -> None:
    async def scenario(user: User) -> None:
        with user:
            seen.tab.explanation.open("convolution")
        press(user, "Stride")
        assert seen.tab.explanation.topic == "stride"

    visit(seen.build, scenario)


def test_texts_tell_of_the_network_that_the_shown_tab_is_about(seen: Visit, trainer: Trainer) -> None:
    async def scenario(user: User) -> None:
        trainer.start(dataclasses.replace(SMALL, network="dense_baseline"))
        await until(lambda: trainer.state == "finished")
        assert facts_of(seen.page).architecture.name == "codelab_cnn"
        seen.page.set_tab("Training")
        assert facts_of(seen.page).architecture.name == "dense_baseline"
        assert facts_of(seen.page).config.train_images == 40

    visit(seen.build, scenario)


# Runs of the two networks


def test_the_newest_pair_with_the_same_settings_is_compared() -> None:
    def result(run: str, seed: int) -> NetworkResult:
        return NetworkResult(run, (("seed", seed),), 0.9, None)

    first = [result("a3", 3), result("a1", 1)]
    assert fair_pair(first, [result("b1", 1), result("b3", 3)]) == (first[0], result("b3", 3), True)
    assert fair_pair(first, [result("b1", 1)]) == (first[1], result("b1", 1), True)
    assert fair_pair(first, [result("b9", 9)]) == (first[0], result("b9", 9), False)
    assert fair_pair(first, []) == (first[0], None, False)


@pytest.fixture
def two_runs(out: Path) -> Callable[[], None]:
    def go() -> None:
        for network in ("codelab_cnn", "dense_baseline"):
            train(dataclasses.replace(SMALL, network=network), out=out)

    return go


def test_accuracies_of_runs_of_both_networks_are_shown(seen: Visit, two_runs: Callable[[], None]) -> None:
    async def scenario(user: User) -> None:
        await user.should_see("train both: choose one here")
        two_runs()
        seen.page.set_tab("Training")
        seen.page.set_tab("Model")
        await until(lambda: seen.tab.comparison._results[0] is not None)
        table = seen.tab.comparison._table.content
        first, second = seen.tab.comparison._results
        assert first.run in table
        assert second.run in table
        assert first.settings == second.settings
        assert "%" in table
        columns, rows = seen.tab.comparison._rows()
        assert columns == ("", "codelab_cnn", "dense_baseline")
        assert {row[0]: row[1:] for row in rows}["Multiply-adds"] == (322_560, 6_352)

    visit(seen.build, scenario)


def steered(network: str, data: dl.MnistData, out: Path, rates: dict[int, float]) -> Run:
    """Train a run and set learning rates after some batches."""
    config = dataclasses.replace(SMALL, network=network)
    session = TrainingSession(config, data, Run.create(out / f"{network}_{len(rates)}"))
    for record in session.records():
        if isinstance(record, StepRecord) and record.step in rates:
            session.set_learning_rate(rates[record.step])
    assert session.run is not None
    return session.run


def test_unlike_runs_are_told_before_their_figures_and_make_no_ratio(
    seen: Visit, digits: dl.MnistData, out: Path
) -> None:
    steered("codelab_cnn", digits, out, {})
    steered("dense_baseline", digits, out, {1: 0.02})

    async def scenario(user: User) -> None:
        await until(lambda: seen.tab.comparison._results[0] is not None)
        card = seen.tab.comparison
        assert card._warning.visible
        assert card._warning.text.startswith(
            "These two runs were not trained alike: they differ in what was changed on the way (codelab_cnn: nothing; "
            "dense_baseline: learning rate 0.02 from batch 2)."
        )
        assert card._warning.id < card._table.id
        assert card._saved_rows()[0] == (card._warning.text, "codelab_cnn", "dense_baseline")
        assert next(iter(card._document().items())) == ("unlike", card._warning.text)
        assert "times as many mistakes" not in card._sentence.text
        assert card._alike.text.startswith("Train dense_baseline as ")
        await card._train_alike()
        await until(lambda: seen.page.trainer.evaluation is not None)
        await card.refresh()
        assert not card._warning.visible
        assert not card._alike.visible
        assert "times as many mistakes" in card._sentence.text

    visit(seen.build, scenario)


def test_a_network_is_trained_as_the_steered_run_of_the_other_was(seen: Visit, digits: dl.MnistData, out: Path) -> None:
    run = steered("dense_baseline", digits, out, {1: 0.02})

    async def scenario(user: User) -> None:
        card = seen.tab.comparison
        await until(lambda: card._results[1] is not None)
        assert card._alike.text == f"Train codelab_cnn as {run.name} was"
        await card._train_alike()
        await until(lambda: seen.page.trainer.evaluation is not None)
        assert seen.page.trainer.architecture.name == "codelab_cnn"
        made = seen.page.trainer.run
        assert made is not None
        assert made.steering() == [RateChange(1, 0.02)]
        assert seen.page.tab == "Training"

    visit(seen.build, scenario)


def test_data_and_what_was_changed_on_the_way_are_part_of_the_settings(
    trainer: Trainer, two_runs: Callable[[], None], out: Path
) -> None:
    two_runs()
    networks = [architecture("codelab_cnn"), architecture("dense_baseline")]
    assert fair_pair(*results_here(trainer, networks))[2]
    (path,) = out.glob("*dense*")
    description = json.loads((path / CONFIG).read_text())
    description["data"]["digest"] = "other"
    (path / CONFIG).write_text(json.dumps(description))
    a, b, is_fair = fair_pair(*results_here(Trainer(trainer.data, out), networks))
    assert a is not None
    assert b is not None
    assert (is_fair, unlike_settings(a, b)) == (False, ["the data"])


def test_an_edited_network_is_not_taken_for_the_codelabs(
    trainer: Trainer, two_runs: Callable[[], None], out: Path
) -> None:
    two_runs()
    (path,) = out.glob("*codelab*")
    description = json.loads((path / CONFIG).read_text())
    description["network"]["layers"][0]["filters"] = 9
    (path / CONFIG).write_text(json.dumps(description))
    found = results_here(trainer, [architecture("codelab_cnn"), architecture("dense_baseline")])
    assert [len(results) for results in found] == [0, 1]


def test_damaged_runs_are_left_out(trainer: Trainer, two_runs: Callable[[], None], out: Path) -> None:
    two_runs()
    (path,) = out.glob("*dense*")
    description = json.loads((path / CONFIG).read_text())
    del description["network"]
    (path / CONFIG).write_text(json.dumps(description))
    found = results_here(trainer, [architecture("codelab_cnn"), architecture("dense_baseline")])
    assert [len(results) for results in found] == [1, 0]


def test_without_a_folder_of_runs_there_are_no_results(digits: dl.MnistData) -> None:
    trainer = Trainer(digits, None)
    assert results_here(trainer, [architecture("codelab_cnn")]) == [[]]
    trainer.close()
