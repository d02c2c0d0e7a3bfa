"""The view of one step without a browser: what is sent, when, and what may be asked of it."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from nicegui import ui

from digitlab.explanation.step import step_after
from digitlab.explanation.step_frames import account_of_weight, images_of_step, maps_of_step
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Dense, Flatten
from digitlab.network.zoo import architecture
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs import step_view
from digitlab.studio.tabs.step_view import StepView
from digitlab.studio.trainer import Trainer
from digitlab.training.config import TrainConfig
from tests.studio.steered import SMALL, paused_at, same, train
from tests.studio.visiting import User, until, visit

LESSON = LessonLink(network="dense_baseline", tab="training")
TINY = Architecture([Conv2D(2, 3, activation="relu"), Flatten(), Dense(10, activation="softmax")], name="tiny")


@dataclass
class Tab:
    """The view as a visitor has it, and all that was sent to it."""

    user: User
    page: Page
    view: StepView
    sent: list[tuple[Any, ...]] = field(default_factory=list)

    def calls(self, method: str) -> list[tuple[Any, ...]]:
        return [arguments for name, *arguments in self.sent if name == method]

    @property
    def words(self) -> str:
        return str(self.view._words.text)

    @property
    def table(self) -> list[list[str]]:
        rows = re.findall(r"<tr>(.*?)</tr>", self.view._table.content)[1:]
        return [re.findall(r">([^<>]+)<", row) for row in rows]

    async def step(self, n: int) -> None:
        self.page.trainer.step()
        await until(lambda: self.words.startswith(f"Batch {n} of 4 in epoch 1:") and self.view.card.visible)


Scenario = Callable[[Tab], Awaitable[None]]


def look(trainer: Trainer, scenario: Scenario) -> None:
    made: list[tuple[Page, StepView, list[tuple[Any, ...]]]] = []

    def root() -> None:
        page = Page(trainer, trainer.data, ui.context.client, LESSON)
        view, sent = StepView(page), []
        view.picture.run_method = lambda name, *arguments: sent.append((name, *arguments))  # type: ignore[method-assign, assignment]
        made.append((page, view, sent))
        page.follow()
        view._ready()

    async def go(user: User) -> None:
        await scenario(Tab(user, *made[-1]))

    visit(root, go)


def test_a_step_is_shown_as_it_was_taken_and_the_chosen_weight_stays(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        assert not tab.view.card.visible
        trainer.start(SMALL, TINY, paused=True)
        await tab.step(1)
        taken = trainer.single_step
        assert taken is not None
        plan, images, maps, account = tab.calls("show")[-1]
        apart = step_after(*taken)
        assert (plan["loss"], plan["loss_after"]) == (apart.loss, apart.loss_after)
        assert images == images_of_step(apart)
        assert maps == maps_of_step(apart, tab.view._chosen)
        assert account == account_of_weight(apart, tab.view._chosen)
        await tab.view._look({"layer": 1, "read": 1, "first": 0})
        await tab.view._weigh({"unit": 4, "place": [3, 5]})
        assert tab.calls("put")[-1][1]["index"] == [(3 * 26 + 5) * 2 + tab.view._chosen.read, 4]
        await tab.view._look({"layer": 1, "read": 0, "first": 0})
        assert tab.calls("put")[-1][0]["read"] == 0
        await tab.step(2)
        account = tab.calls("show")[-1][3]
        assert (account["layer"], account["index"]) == ("dense", [(3 * 26 + 5) * 2, 4])
        await tab.view._weigh({"unit": 7, "place": None})
        assert tab.calls("put")[-1][1]["array"] == "bias"

    look(trainer, scenario)


def test_undoing_and_other_rates_on_the_same_batch_make_a_table(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        trainer.start(SMALL, TINY, paused=True)
        await tab.step(1)
        await tab.step(2)
        loss = tab.calls("show")[-1][0]["loss"]
        for n, rate in enumerate((0.02, 0.5), start=2):
            tab.view.rate.set_value(rate)
            await tab.view._try()
            await until(lambda n=n, rate=rate: len(tab.table) == n and f"learning rate {rate:g}." in tab.words)
        assert [row[0] for row in tab.table] == ["0.001", "0.02", "0.5 (stands)"]
        assert {row[1] for row in tab.table} == {f"{loss:.4f}"}
        after = [float(row[2]) for row in tab.table]
        assert after[0] > after[1]
        for row in tab.table:
            assert float(row[3].replace("−", "-")) == pytest.approx(float(row[2]) - float(row[1]), abs=2e-4)
        tab.view._undo()
        await until(lambda: "Batch 2 is undone" in tab.words)
        assert (tab.view.card.visible, tab.view.undo.enabled, tab.view.again.enabled) == (True, False, True)
        assert (trainer.step_done, trainer.learning_rate) == (1, 0.001)
        tab.view.rate.set_value(0.01)
        await tab.view._try()
        await until(lambda: len(tab.table) == 4)
        await tab.step(3)
        assert len(tab.table) == 1  # another batch

    look(trainer, scenario)


def test_nothing_is_copied_or_computed_while_batches_follow_each_other(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: object) -> None:
        raise AssertionError("a step was taken apart")

    monkeypatch.setattr(step_view, "step_after", computed)
    train(trainer)

    async def scenario(tab: Tab) -> None:
        trainer.start(SMALL)
        await until(lambda: trainer.state == "finished" and tab.page.step == 12)
        assert (tab.view.card.visible, tab.sent) == (False, [])

    look(trainer, scenario)


def test_a_rate_that_would_end_the_training_is_told_and_not_tried(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(tab: Tab) -> None:
        trainer.start(dataclasses.replace(SMALL, optimizer="sgd"), TINY, paused=True)
        await tab.step(1)
        told: list[str] = []
        monkeypatch.setattr(tab.page, "notify", lambda sentence, *_, **__: told.append(sentence))
        weights = trainer.moment().weights
        monkeypatch.setattr("digitlab.engine.loop._MOST_LOSS", 1.0)  # as if it were hopeless
        tab.view.rate.set_value(1e9)
        await tab.view._try()
        monkeypatch.undo()
        assert "learning rate 1e+09" in told[0]
        assert (trainer.state, trainer.step_done, trainer.can_undo) == ("paused", 1, True)
        assert same(trainer.moment().weights, weights)
        assert tab.view.again.enabled

    look(trainer, scenario)


def test_a_step_that_is_undone_before_it_is_shown_is_shown_as_undone(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, is_undone = threading.Event(), threading.Event()

    def slowly(*taken: Any) -> Any:
        is_asked.set()
        assert is_undone.wait(60)
        return step_after(*taken)

    monkeypatch.setattr(step_view, "step_after", slowly)

    async def scenario(tab: Tab) -> None:
        trainer.start(SMALL, TINY, paused=True)
        trainer.step()
        await until(is_asked.is_set)
        trainer.undo_step()
        await until(lambda: trainer.step_done == 0)
        is_undone.set()
        await until(lambda: "Batch 1 is undone" in tab.words)
        assert (tab.view.card.visible, tab.view.undo.enabled) == (True, False)
        assert len(tab.calls("show")) == 1

    look(trainer, scenario)


def test_it_is_gone_when_the_training_goes_on(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        trainer.start(SMALL, TINY, paused=True)
        await tab.step(1)
        trainer.resume()
        await until(lambda: trainer.state == "finished" and not tab.view.card.visible)
        assert not tab.view.undo.enabled
        trainer.reset()
        trainer.start(SMALL, paused=True)
        await tab.step(1)
        assert tab.calls("show")[-1][0]["layers"][0]["name"] == "dense"

    look(trainer, scenario)


def test_what_a_browser_makes_up_is_passed_over(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.view._look({"layer": 0})
        await tab.view._weigh({"unit": 0, "place": None})
        tab.view._more(24)
        trainer.start(SMALL, TINY, paused=True)
        await tab.step(1)
        n, chosen = len(tab.sent), tab.view._chosen
        for layer in (2, -1, None, "0", 10**9, True):
            await tab.view._look({"layer": layer, "read": "x", "first": []})
        for unit, place, image in (
            (99, [0, 0], None), (0, [0], None), (0, "00", None), (0, [0, 10**9], None), (-1, None, None),
            (0, [0, 0], -1), (0, [0, 0], 16), (0, [0, 0], "0"), ("0", None, None), (0, [0.5, 0], None),
        ):  # fmt: skip
            await tab.view._weigh({"unit": unit, "place": place, "image": image})
        for first in (-24, 0, 7, 24, 10**9):
            tab.view._more(first)
        assert (len(tab.sent), tab.view._chosen) == (n, chosen)
        for rate in (None, 0, -1):
            tab.view.rate.value = rate
            await tab.view._try()
        assert (trainer.step_done, trainer.can_undo) == (1, True)

    look(trainer, scenario)


def test_who_may_not_steer_sees_it_and_undoes_nothing(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(tab: Tab) -> None:
        with paused_at(trainer, 1, architecture=TINY):
            await until(lambda: tab.view.card.visible)
            assert tab.view.undo.enabled
            monkeypatch.setattr(Page, "may_steer", property(lambda _: False))
            tab.view._follow()
            assert (tab.view.undo.enabled, tab.view.again.enabled) == (False, False)
            tab.view._undo()
            await tab.view._try()
            assert trainer.can_undo

    look(trainer, scenario)


def test_a_batch_that_is_too_much_work_is_told(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitlab.explanation.step.MOST_MULTIPLY_ADDS", 1)

    async def scenario(tab: Tab) -> None:
        trainer.start(SMALL, TINY, paused=True)
        trainer.step()
        await until(lambda: "This step is not taken apart." in tab.words)
        assert "smaller batch size" in tab.words
        assert (tab.view.card.visible, tab.view.picture.visible) == (True, False)
        assert tab.view.undo.enabled

    look(trainer, scenario)


def test_images_are_told_in_parts(trainer: Trainer) -> None:
    config = TrainConfig(network="dense_baseline", train_images=60, validation_images=20, batch_size=60, epochs=3)

    async def scenario(tab: Tab) -> None:
        trainer.start(config, paused=True)
        trainer.step()
        await until(lambda: tab.calls("show"))
        for first in (24, 48):
            tab.view._more(first)
        shown = [tab.calls("show")[-1][1], *(images for (images,) in tab.calls("add"))]
        assert sorted(at for part in shown for at, *_ in part["images"]) == list(range(60))

    look(trainer, scenario)


def test_the_codelabs_network_travels_in_few_bytes(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        trainer.start(SMALL, architecture("codelab_cnn"), paused=True)
        await tab.step(1)
        assert len(json.dumps(tab.calls("show")[-1])) < 20_000

    look(trainer, scenario)
