"""The Training tab without a browser: every control, and what would be sent to the browser."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from nicegui import ui

from digitlab.network import Architecture, Dense, Dropout, Flatten
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs import training_tab
from digitlab.studio.tabs.training_controls import Command, ProgressLine
from digitlab.studio.tabs.training_tab import AnswerView
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.charts import LiveChart
from digitlab.studio.widgets.controls import LiveSlider
from tests.studio.steered import SMALL
from tests.studio.visiting import User, only, until, visit

CHANGES = {name: getattr(SMALL, name) for name in ("train_images", "validation_images", "batch_size", "epochs")}
LESSON = LessonLink(network="dense_baseline", changes=CHANGES, tab="training")
N_BATCHES = 12

_FRAME = re.compile(r"window\.studio\.frame\((.*)\)$", re.DOTALL)


@dataclass
class Tab:
    """The tab as a visitor has it, and all that was sent to the visitor's browser."""

    user: User
    page: Page
    calls: list[tuple[int | None, str, list[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.user.javascript_rules[_FRAME] = self._draw

    def _draw(self, match: re.Match[str]) -> float:
        self.calls += json.loads(match[1])
        return 0.1

    def command(self, name: str) -> Command:
        return only(self.user, Command, content=name)

    def press(self, name: str) -> None:
        self.user.find(kind=Command, content=name).click()

    def enabled(self) -> set[str]:
        return {name for name in COMMANDS if self.command(name).enabled}

    def field(self, name: str) -> Any:
        return self.user.find(marker=name).elements.pop()

    def charts(self) -> list[LiveChart]:
        return sorted(self.user.find(kind=LiveChart).elements, key=lambda chart: chart.id)

    def sent(self, element: ui.element, method: str) -> list[list[Any]]:
        return [arguments for i, name, arguments in self.calls if i == element.id and name == method]

    def query(self) -> str:
        return [arguments for i, name, arguments in self.calls if name == "setAddress"][-1][0]

    async def state(self, *states: str) -> None:
        await until(lambda: self.page.trainer.state in states)
        await until(lambda: self.page._stream.told() == self.page.trainer.records_since(0)[0])


COMMANDS = ("Start", "Pause", "Step one batch", "Resume", "Stop", "Reset")
Scenario = Callable[[Tab], Awaitable[None]]


def look(trainer: Trainer, scenario: Scenario, *, lesson: LessonLink = LESSON, **settings: Any) -> None:
    pages: list[Page] = []

    def root() -> None:
        page = Page(trainer, trainer.data, ui.context.client, lesson, **settings)
        pages.append(page)
        training_tab.build_training_tab(page)
        page.follow()

    async def go(user: User) -> None:
        await scenario(Tab(user, pages[-1]))

    visit(root, go)


def test_commands_are_enabled_when_they_can_do_something(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: tab.enabled() == {"Start", "Step one batch"})
        tab.press("Step one batch")
        await until(lambda: tab.enabled() == {"Step one batch", "Resume", "Stop", "Reset"})
        trainer.set_speed(0.001)
        tab.press("Resume")
        await until(lambda: tab.enabled() == {"Pause", "Stop", "Reset"})
        tab.press("Pause")
        await until(lambda: "Resume" in tab.enabled())
        tab.press("Stop")
        await until(lambda: tab.enabled() == {"Start", "Resume", "Reset"})
        trainer.set_speed(None)
        tab.press("Resume")
        await until(lambda: trainer.state == "finished" and tab.enabled() == {"Start", "Reset"})
        tab.press("Reset")
        await until(lambda: tab.enabled() == {"Start", "Step one batch"})

    look(trainer, scenario)


def test_nothing_starts_before_the_kernels_are_compiled(trainer: Trainer) -> None:
    is_ready = False

    async def scenario(tab: Tab) -> None:
        nonlocal is_ready
        await until(lambda: tab.enabled() == set())
        tab.press("Start")
        await asyncio.sleep(0)
        assert trainer.state == "idle"
        is_ready = True
        await until(lambda: tab.enabled() == {"Start", "Step one batch"})

    look(trainer, scenario, is_ready=lambda: is_ready)


def test_step_trains_one_batch_and_waits(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        for n in (1, 2, 3):
            tab.press("Step one batch")
            await until(lambda n=n: trainer.step_done == n and trainer.state == "paused")
        await until(lambda: f"Batch 3 of {N_BATCHES}" in only(tab.user, ProgressLine).text)

    look(trainer, scenario)


def test_browser_gets_every_point_once_and_validation_at_its_true_place(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.press("Start")
        await tab.state("finished")
        records, _ = trainer.records_since(0)
        by_batch, by_epoch = tab.charts()[0], tab.charts()[2]
        await until(lambda: by_epoch.n_points == {"loss": 3, "val_loss": 3})
        await until(lambda: len(xs(tab, by_batch, 0)) == N_BATCHES and len(xs(tab, by_epoch, 1)) == 3)
        assert xs(tab, by_batch, 0) == list(range(1, N_BATCHES + 1))
        assert xs(tab, by_batch, 1) == [4, 8, 12]
        assert xs(tab, by_epoch, 0) == xs(tab, by_epoch, 1) == [1, 2, 3]
        assert by_batch.n_points == {"loss": N_BATCHES, "val_loss": 3}
        assert len(records) == N_BATCHES + 3

    look(trainer, scenario)


def xs(tab: Tab, chart: LiveChart, curve: int) -> list[float]:
    return [x for (columns,) in tab.sent(chart, "append") for x in columns[curve][0]]


def test_page_that_is_opened_later_shows_the_training_from_its_start(trainer: Trainer) -> None:
    trainer.start(SMALL)
    assert trainer.wait(lambda: trainer.state == "finished", 60)

    async def scenario(tab: Tab) -> None:
        await until(lambda: len(xs(tab, tab.charts()[0], 0)) == N_BATCHES)
        await until(lambda: f"Batch {N_BATCHES} of {N_BATCHES}" in only(tab.user, ProgressLine).text)

    look(trainer, scenario)


def test_another_training_begins_with_empty_charts(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.press("Start")
        await tab.state("finished")
        tab.page.set_cursor(5)
        tab.field("epochs").value = 1
        tab.press("Start")
        await until(lambda: trainer.generation == 2)
        await tab.state("finished")
        chart = tab.charts()[0]
        await until(lambda: chart.n_points == {"loss": 4, "val_loss": 1})
        await until(lambda: tab.sent(chart, "restart")[-1:] == [[4]])
        assert tab.page.cursor is None

    look(trainer, scenario)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("batch_size", 0, "Batch size must be at least 1; got 0."),
        ("batch_size", 2.5, "Batch size must be a whole number; got 2.5."),
        ("batch_size", None, "Batch size is empty; type a number."),
        ("epochs", -3, "Epochs must be at least 1; got -3."),
        ("train_images", 201, "Training images must be at most 200: there are no more training images."),
        ("validation_images", 61, "Validation images must be at most 60: there are no more validation images."),
        ("learning_rate", 0, "Learning rate must be at least 1e-30; got 0."),
        ("seed", -1, "Seed must be at least 0; got -1."),
        ("beta_1", 1, "Beta 1 must be"),
    ],
)
def test_setting_that_cannot_be_used_is_told_at_its_control(
    trainer: Trainer, name: str, value: Any, sentence: str
) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        before, control = tab.page.config, tab.field(name)
        good = control.value
        control.value = value
        assert control.error.startswith(sentence)
        assert "Start" not in tab.enabled()
        assert tab.page.config == before
        control.value = good
        assert control.error is None
        assert "Start" in tab.enabled()

    look(trainer, scenario)


def test_error_about_two_settings_is_told_at_the_one_that_it_names(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        tab.field("validation_images").value = 0
        assert tab.page.config.validation_images == 0
        tab.field("early_stopping").value = 2
        assert "need validation images" in tab.field("early_stopping").error
        tab.field("validation_images").value = 10
        assert not tab.field("early_stopping").error
        assert tab.page.config.early_stopping == 2

    look(trainer, scenario)


def test_several_wrong_settings_are_all_told_and_mended_one_by_one(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        tab.field("batch_size").value = None
        tab.field("epochs").value = None
        assert tab.field("batch_size").error
        assert tab.field("epochs").error
        tab.field("batch_size").value = 8
        assert not tab.field("batch_size").error
        assert tab.field("epochs").error
        tab.field("epochs").value = 2
        assert (tab.page.config.batch_size, tab.page.config.epochs) == (8, 2)

    look(trainer, scenario)


def test_settings_train_what_they_say_and_are_in_the_address(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        for name, value in {"batch_size": 25, "epochs": 2, "seed": 7, "optimizer": "sgd", "schedule": "cosine"}.items():
            tab.field(name).value = value
        tab.field("network").value = "codelab_cnn"
        tab.field("network").value = "dense_baseline"
        tab.press("Start")
        await tab.state("finished")
        config = trainer.config
        assert (config.batch_size, config.epochs, config.seed) == (25, 2, 7)
        assert (config.optimizer, config.schedule, config.network) == ("sgd", "cosine", "dense_baseline")
        await until(lambda: "optimizer=sgd" in tab.query())
        assert LessonLink.from_query(tab.query())[0].config == tab.page.config

    look(trainer, scenario)


def test_learning_rate_changes_the_training_that_is_paused(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.press("Step one batch")
        await until(lambda: trainer.step_done == 1 and trainer.state == "paused")
        tab.field("learning_rate").value = 0.5
        assert trainer.learning_rate == 0.5
        tab.press("Step one batch")
        await until(lambda: trainer.step_done == 2 and len(trainer.records_since(0)[0]) == 2)
        first, second = trainer.records_since(0)[0]
        assert (first.learning_rate, second.learning_rate) == (0.001, 0.5)

    look(trainer, scenario)


def test_dropout_is_a_setting_where_the_network_has_it(trainer: Trainer) -> None:
    layers = [Flatten(), Dropout(0.25), Dense(10, activation="softmax")]
    own = Architecture(layers, name="with_dropout")

    async def scenario(tab: Tab) -> None:
        dropout = next(e for e in tab.page.client.elements.values() if "dropout" in e._markers)
        assert not dropout.visible
        tab.page.set_settings(architecture=own)
        assert dropout.visible
        assert dropout.value == 0.25
        assert "with_dropout, as edited in Model" in tab.field("network").options.values()
        dropout.value = 0.5
        assert tab.page.architecture is not None
        assert [layer.rate for layer in tab.page.architecture.layers if isinstance(layer, Dropout)] == [0.5]
        dropout.value = 1.5
        assert "1.5" in dropout.error
        tab.field("network").value = "dense_baseline"
        assert tab.page.architecture is None
        assert not dropout.visible

    look(trainer, scenario)


def test_speed_goes_from_one_batch_a_second_to_full(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        slider, full = only(tab.user, LiveSlider, marker="speed"), only(tab.user, ui.switch, content="Full speed")
        assert trainer.speed is None
        assert full.value
        tab.user.find(marker="speed").trigger("slide", 0)
        await until(lambda: trainer.speed == 1.0)
        assert not full.value
        tab.user.find(marker="speed").trigger("slide", slider.max)
        await until(lambda: trainer.speed == 215.0)
        full.value = True
        await until(lambda: trainer.speed is None)

    look(trainer, scenario)


@pytest.mark.parametrize("nonsense", [None, "fast", {}, [1], 10**9, -5])
def test_slider_takes_nothing_but_its_own_values(trainer: Trainer, nonsense: Any) -> None:
    async def scenario(tab: Tab) -> None:
        tab.user.find(marker="speed").trigger("slide", nonsense if nonsense is not None else "")
        speed = trainer.speed
        assert speed is None or 1.0 <= speed <= 215.0

    look(trainer, scenario)


def test_time_travel_moves_charts_digits_and_address(trainer: Trainer) -> None:
    trainer.start(SMALL)
    assert trainer.wait(lambda: trainer.state == "finished", 60)

    async def scenario(tab: Tab) -> None:
        answers, slider = only(tab.user, AnswerView), only(tab.user, LiveSlider, marker="time")
        await until(lambda: answers.predictions and slider.max == N_BATCHES)
        newest = answers.predictions
        tab.user.find(marker="time").trigger("slide", 0)
        await until(lambda: answers.predictions != newest)
        record = trainer.records_since(0)[0][2]
        tab.user.find(marker="time").trigger("slide", 3)
        chart = tab.charts()[0]
        await until(lambda: [3, {"loss": record.loss}] in tab.sent(chart, "setCursor"))
        await until(lambda: tab.query().endswith("&step=3"))
        assert tab.command("Live").enabled
        tab.press("Live")
        await until(lambda: answers.predictions == newest)
        assert tab.page.cursor is None
        assert slider.value == N_BATCHES

    look(trainer, scenario)


def test_click_on_a_chart_is_time_travel_too(trainer: Trainer) -> None:
    trainer.start(SMALL)
    assert trainer.wait(lambda: trainer.state == "finished", 60)

    async def scenario(tab: Tab) -> None:
        by_batch, by_epoch = tab.charts()[0], tab.charts()[2]
        for chart, x, step in ((by_batch, 5, 5), (by_batch, 99, N_BATCHES), (by_epoch, 2, 8), (by_batch, -4, 0)):
            with tab.user.client:
                pick(chart, x)
            assert tab.page.cursor == step

    look(trainer, scenario)


def pick(chart: LiveChart, x: int) -> None:
    from nicegui.events import GenericEventArguments, handle_event

    for listener in chart._event_listeners.values():
        if listener.type == "pick":
            handle_event(listener.handler, GenericEventArguments(sender=chart, client=chart.client, args=x))


def test_replay_goes_through_the_training_and_can_be_ended(trainer: Trainer) -> None:
    trainer.start(SMALL)
    assert trainer.wait(lambda: trainer.state == "finished", 60)

    async def scenario(tab: Tab) -> None:
        seen: list[int | None] = []
        tab.page.on(lambda: seen.append(tab.page.cursor), "cursor")
        await until(lambda: tab.command("Replay").enabled)
        tab.press("Replay")
        await until(lambda: len(seen) >= 3)
        assert seen[:3] == [0, 1, 2]
        tab.press("Live")
        await until(lambda: tab.page.cursor is None)

    look(trainer, scenario)


def test_page_that_does_not_own_the_training_only_watches(trainer: Trainer) -> None:
    async def watch(watcher: Tab) -> None:
        await until(lambda: watcher.enabled() == set())
        assert not watcher.page.may_steer
        watcher.press("Stop")
        await asyncio.sleep(0)
        assert trainer.state == "paused"
        watcher.user.find(marker="time").trigger("slide", 1)
        assert watcher.page.cursor == 1

    def root() -> None:
        owner = Page(trainer, trainer.data, ui.context.client, LESSON)
        owner_pages.append(owner)

    owner_pages: list[Page] = []

    async def scenario(owner: User) -> None:
        trainer.start(SMALL, owner=owner_pages[0].client_id, paused=True)
        trainer.step()
        await until(lambda: trainer.step_done == 1)
        assert owner_pages[0].may_steer
        watcher_user = User(owner.http_client)
        pages: list[Page] = []

        @ui.page("/watch")
        def watching() -> None:
            page = Page(trainer, trainer.data, ui.context.client, LESSON)
            pages.append(page)
            training_tab.build_training_tab(page)
            page.follow()

        await watcher_user.open("/watch")
        await watch(Tab(watcher_user, pages[0]))
        # Who has left owns nothing any more, so that a training is never left without anybody to end it.
        owner_pages[0].client.delete()
        await until(lambda: pages[0].may_steer)
        await until(lambda: "Stop" in Tab(watcher_user, pages[0]).enabled())

    visit(root, scenario)


def test_failure_to_start_is_a_sentence(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    from digitlab.errors import StorageError

    def fail(*_: Any, **__: Any) -> None:
        raise StorageError("The disk is full; make room.")

    monkeypatch.setattr(trainer, "start", fail)

    async def scenario(tab: Tab) -> None:
        await until(lambda: "Start" in tab.enabled())
        tab.press("Start")
        await until(lambda: "The disk is full; make room." in tab.user.notify.messages)

    look(trainer, scenario)


@pytest.fixture
def rows(trainer: Trainer) -> list[list[str]]:
    trainer.start(SMALL)
    assert trainer.wait(lambda: trainer.state == "finished", 60)
    return []


def test_charts_are_saved_as_tables_with_every_batch(trainer: Trainer, rows: list[list[str]]) -> None:
    async def scenario(tab: Tab) -> None:
        tab.user.find(marker="onbatchend.csv").click()
        response = await tab.user.download.next()
        rows.extend(csv.reader(io.StringIO(response.text)))

    look(trainer, scenario)
    assert rows[0][:5] == ["step", "epoch", "batch", "n_images", "loss"]
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(1, N_BATCHES + 1)]
