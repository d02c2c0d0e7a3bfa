"""The tab Network without a browser: what is sent, and of which network, image and moment it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nicegui import ui

import digitlab as dl
from digitlab.explanation.inside_frames import account_of
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Dense, Flatten
from digitlab.network.zoo import architecture
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs.network_tab import NetworkTab
from digitlab.studio.trainer import Trainer
from tests.studio.steered import SMALL, train
from tests.studio.visiting import User, until, visit

LESSON = LessonLink(network="dense_baseline", tab="network")
TINY = Architecture([Conv2D(2, 3, activation="relu"), Flatten(), Dense(10, activation="softmax")], name="tiny")


@dataclass
class Tab:
    """The tab as a visitor has it, and all that was sent to it."""

    user: User
    page: Page
    tab: NetworkTab
    sent: list[tuple[Any, ...]] = field(default_factory=list)

    def calls(self, method: str) -> list[tuple[Any, ...]]:
        return [arguments for name, *arguments in self.sent if name == method]

    async def words(self, part: str) -> None:
        await until(lambda: any(part in shown[3] for shown in self.calls("show")[-1:]))


Scenario = Callable[[Tab], Awaitable[None]]


def look(trainer: Trainer, scenario: Scenario, lesson: LessonLink = LESSON) -> None:
    made: list[tuple[Page, NetworkTab, list[tuple[Any, ...]]]] = []

    def root() -> None:
        page = Page(trainer, trainer.data, ui.context.client, lesson)
        tab, sent = NetworkTab(page), []

        async def drawn() -> float:
            return 1.0

        def call(name: str, *arguments: Any, timeout: float = 1.0) -> Awaitable[float]:
            sent.append((name, *arguments))
            return drawn() if name == "show" else _Nothing()

        tab.view.run_method = call  # type: ignore[method-assign, assignment]
        made.append((page, tab, sent))
        page.follow()
        tab._ready()

    async def go(user: User) -> None:
        await scenario(Tab(user, *made[-1]))

    visit(root, go)


class _Nothing:
    def __await__(self) -> Any:
        yield from ()


def test_before_the_first_training_it_is_the_network_of_the_next_one(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        plan, frame, image, words = tab.calls("show")[-1]
        assert plan["name"] == "dense_baseline"
        assert image
        model = dl.Sequential.from_architecture(tab.page.network, seed=tab.page.config.seed)
        inside = dl.look_inside(model, trainer.data.test.images[0])
        assert frame["probabilities"] == inside.probabilities.tolist()
        assert words.startswith("Test image 0 is Seven. The network answers")
        tab.page.set_settings(architecture=TINY)
        await until(lambda: tab.calls("show")[-1][0] and tab.calls("show")[-1][0]["name"] == "tiny")

    look(trainer, scenario)


def test_it_follows_the_step_that_is_looked_at_and_keeps_what_is_chosen(trainer: Trainer) -> None:
    train(trainer, SMALL, architecture=TINY)

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        assert tab.calls("show")[-1][0]["name"] == "tiny"
        tab.tab._choose({"layer": 0, "unit": [4, 5, 1], "read": None})
        [account] = tab.calls("take")[-1]
        assert account == account_of(tab.tab.shown.inside, 0, (4, 5, 1))  # type: ignore[union-attr]
        for step in (0, 3, 12):
            tab.page.set_cursor(step)
            await tab.words(f"after batch {step}." if step else "before the first batch")
            plan, frame, image, _ = tab.calls("show")[-1]
            assert (plan, image) == (None, None)  # which the browser has
            assert (frame["account"]["layer"], frame["account"]["unit"]) == (0, [4, 5, 1])
            model = dl.Sequential.from_architecture(TINY, trainer.moment(step).weights)
            inside = dl.look_inside(model, trainer.data.test.images[0])
            assert frame["account"]["output"] == inside.layers[0].outputs[4, 5, 1]

    look(trainer, scenario)


def test_what_a_browser_makes_up_is_passed_over(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        chosen = tab.tab.chosen
        for layer, unit in ((-1, [0]), (99, [0]), (0, [-1]), (0, [10**9]), (0, []), (0, "0"), (None, [0]), (0, [0.5])):
            tab.tab._choose({"layer": layer, "unit": unit, "read": "x"})
        assert tab.tab.chosen == chosen
        assert tab.calls("take") == []

    look(trainer, scenario)


def test_nothing_is_computed_while_another_tab_is_shown(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        tab.page.set_tab("Runs")
        n = len(tab.sent)
        tab.tab.show_image(3)
        tab.page.tell("generation")
        assert len(tab.sent) == n
        tab.page.set_tab("Network")
        await tab.words("Test image 3 is")

    look(trainer, scenario)


def test_a_mistake_is_found_and_no_other(trainer: Trainer) -> None:
    train(trainer, SMALL, architecture=TINY)

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        model = dl.Sequential.from_architecture(TINY, trainer.moment().weights)
        test = trainer.data.test
        wrong = np.flatnonzero(model.predict(test.images).argmax(1) != test.labels)
        expected = [*wrong[wrong > 0], *wrong[wrong == 0]]
        await tab.tab._next_mistake()
        assert tab.tab.number == expected[0]
        await tab.words(f"Test image {expected[0]} is")

    look(trainer, scenario)


def test_what_cannot_be_shown_is_told(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        tab.page.set_settings(architecture=architecture("finder_cnn"))
        await until(lambda: tab.calls("tell"))
        assert "maps" in tab.calls("tell")[-1][0]

    look(trainer, scenario)


def test_what_speaks_for_the_answer_is_told_of_what_is_shown(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        await tab.tab._why()
        found, words = tab.calls("prove")[-1]
        assert len(found) >= 3
        assert "Test image 0 is Seven, before the first batch" in words

    look(trainer, scenario)
