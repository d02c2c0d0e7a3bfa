"""The guided path on the page without a browser: when it is offered, what is kept, and what the checks see."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pytest
from nicegui import ui

from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.task_card import TaskKeeper, TaskPath
from digitlab.studio.task_practice import class_in
from digitlab.studio.tasks import TASK_IDS, Progress
from digitlab.studio.trainer import Trainer
from digitlab.training.config import TrainConfig
from tests.studio.steered import SMALL, train, wait_for_evaluation
from tests.studio.visiting import User, until, visit

Scenario = Callable[[User, Page, TaskPath], Awaitable[None]]


def look(trainer: Trainer, scenario: Scenario, kept: Any = "", start: str | None = None) -> None:
    pages: list[Page] = []

    def root() -> None:
        page = Page(trainer, trainer.data, ui.context.client, LessonLink(tab="training"))
        pages.append(page)
        with ui.element("main"):
            path = page.own(TaskPath)
            path.build_strip()
        page.follow()
        if start is not None:
            path.open(start)

    async def go(user: User) -> None:
        page = pages[-1]
        user.javascript_rules[re.compile(r"window\.studio\.frame")] = lambda _: 0.1
        user.find(kind=TaskKeeper).trigger("kept", kept)
        await scenario(user, page, page.own(TaskPath))

    visit(root, go)


def calls(page: Page) -> list[str]:
    """Return what the browser was told to keep and was not sent yet."""
    return [arguments[0] for _, method, arguments in page._stream._calls if method == "keep"]


def test_tasks_are_offered_when_the_first_run_is_finished(trainer: Trainer) -> None:
    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path._is_known)
        await user.should_not_see("Six short tasks")
        await user.should_see("Show the tasks")  # for whoever looks for them
        trainer.start(SMALL, owner=page.client_id)
        await until(lambda: path.progress.view == "folded")
        await user.should_see("What next? Six short tasks")
        await user.should_not_see("Predict before you see")
        user.find("Show the tasks").click()
        await user.should_see("Say what the network will answer")
        user.find("Put away").click()
        await until(lambda: path.progress.view == "off")
        await user.should_not_see("Say what the network will answer")
        await user.should_not_see("What next?")
        train(trainer, dataclasses.replace(SMALL, learning_rate=50.0), owner=page.client_id)
        assert path.progress == Progress(view="off")  # whoever has put them away is left alone
        user.find("Show the tasks").click()
        await until(lambda: path.progress.done == ("rate",))  # until they are looked for again

    look(trainer, scenario)


def test_what_was_done_is_there_at_the_next_visit(trainer: Trainer) -> None:
    kept = Progress(("rate", "fool"), "layer", "folded")

    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path.progress == kept)
        await user.should_see("2 of 6 tasks done. Next: Predict before you see.")
        path.open()
        assert path.progress.at == "predict"
        assert json.loads(calls(page)[-1])["view"] == "open"
        path.restart()
        assert path.progress == Progress(view="open")
        await user.should_see("0 of 6 done")

    look(trainer, scenario, kept.to_json())


def test_whoever_has_done_all_is_offered_nothing_more(trainer: Trainer) -> None:
    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path._is_known)
        await user.should_not_see("tasks done")
        user.find("Show the tasks").click()
        await user.should_see("6 of 6 done")
        await user.should_not_see("Next task")

    look(trainer, scenario, Progress(TASK_IDS, "rate", "folded").to_json())


@pytest.mark.parametrize("kept", [None, 7, "nonsense", "[" * 5_000, {"done": ["rate"]}, '{"done": "rate", "at": 3}'])
def test_whatever_a_browser_sends_is_a_beginning(trainer: Trainer, kept: Any) -> None:
    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path._is_known)
        assert path.progress == Progress()
        user.find(kind=TaskKeeper).trigger("kept", Progress(("rate",)).to_json())
        await user.should_see("Show the tasks")
        assert path.progress == Progress()  # a page asks once

    look(trainer, scenario, kept)


def test_lesson_begins_at_a_task_and_loses_nothing_that_was_done(trainer: Trainer) -> None:
    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path._is_known)
        assert path.progress == Progress(("rate",), "beat99", "open")
        assert [json.loads(text)["done"] for text in calls(page)] in ([["rate"]], [])
        await user.should_see("Train a network that is right on at least 99 %")

    look(trainer, scenario, Progress(("rate",), "fool", "off").to_json(), start="beat99")


def test_rate_that_breaks_and_layers_taken_away_are_seen_by_themselves(trainer: Trainer) -> None:
    small = TrainConfig(train_images=60, validation_images=20, batch_size=20, epochs=2)

    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path._is_known)
        path.choose("rate")
        await user.should_see("Ten times the rate")
        user.find("Ten times the rate").click()
        await until(lambda: page.config.learning_rate == 0.01)
        trainer.start(dataclasses.replace(small, learning_rate=2.0), owner=page.client_id)
        await until(lambda: "rate" in path.progress.done)
        await user.should_see("With a rate of 2 the loss")
        await user.should_see("A step that is too large")
        await until(lambda: trainer.evaluation is not None)
        for network in ("codelab_cnn", "dense_baseline"):
            trainer.start(dataclasses.replace(small, network=network), owner=page.client_id)
            await until(lambda: trainer.state == "finished" and trainer.evaluation is not None)
        await until(lambda: "layer" in path.progress.done)
        user.find("Next task").click()
        assert path.progress.at == "predict"
        path.choose("layer")
        await user.should_see("3 layers: ")
        assert page.tab == "Training"

    look(trainer, scenario, Progress(view="open").to_json())


def test_what_others_train_is_not_ones_own_doing(trainer: Trainer) -> None:
    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path._is_known)
        trainer.start(dataclasses.replace(SMALL, learning_rate=50.0), owner="somebody else")
        await until(lambda: trainer.state == "finished" and page.step == trainer.step_done)
        await until(lambda: path.progress.view == "folded")
        assert path.progress.done == ()

    look(trainer, scenario)


def test_foretelling_takes_only_what_is_an_answer(trainer: Trainer) -> None:
    trained = dataclasses.replace(SMALL, network="codelab_cnn", train_images=200, epochs=20, learning_rate=0.005)
    train(trainer, trained)
    wait_for_evaluation(trainer)

    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path._is_known)
        await user.should_see("Test image ")

        def field(label: str) -> Any:
            return user.find(kind=ui.number, content=label).elements.pop()

        user.find("Show its answer").click()
        await user.should_see("Say which answer it will give")
        for said, sure in ((11, 50), (4.5, 50), (4, 101), (4, None)):
            field("It will answer").value, field("and be so sure").value = said, sure
            user.find("Show its answer").click()
        assert "predict" not in path.progress.done
        await user.should_see("5 images to foretell.")
        for i in range(5):
            field("It will answer").value, field("and be so sure").value = 4, 80
            user.find("Show its answer").click()
            await user.should_see("It answers ")
            assert ("predict" in path.progress.done) == (i == 4)
            user.find("Next image").click()
        await user.should_see("That were all of this round")

    look(trainer, scenario, Progress(view="open").to_json())


def test_practice_asks_for_a_network_that_reads(trainer: Trainer) -> None:
    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await user.should_see("Train a network first")
        train(trainer, SMALL)
        user.find("Begin anew").click()
        await user.should_see("of the test images only. Train one that reads")

    look(trainer, scenario, Progress(view="open").to_json())


def test_every_task_can_be_looked_at(trainer: Trainer) -> None:
    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        await until(lambda: path._is_known)
        for name in TASK_IDS:
            user.find(marker=f"task-{name}").click()
            await until(lambda name=name: path.progress.at == name)
        await user.should_see("The shipped reader reads now.")
        user.find("Is it fooled?").click()
        await user.should_see("Say which digit you have drawn.")

    look(trainer, scenario, Progress(view="open").to_json())


@pytest.mark.parametrize("name", ["predict", "mistake"])
def test_answers_before_there_is_an_image_are_passed_over(trainer: Trainer, name: str) -> None:
    async def scenario(user: User, page: Page, path: TaskPath) -> None:
        practice = path._tasks[name]._practice
        assert practice is not None
        practice._class.set_value(3)
        with user:
            practice._answered()  # as whoever sends events of hidden buttons may have it
            practice._go_on()
        assert not practice._box.visible

    look(trainer, scenario, start=name)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400, -1, 10, 0.5, "3", None, [3]])
def test_class_is_one_that_there_is(value: Any) -> None:
    assert class_in(Mock(value=value), 10) is None
