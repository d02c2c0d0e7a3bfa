"""The ghost: an earlier run behind the curves of the training, where it had seen as many images."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nicegui import ui

import digitlab as dl
from digitlab.runs.run import Run
from digitlab.runs.trash import delete_run
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs.ghost import Ghost
from digitlab.studio.tabs.training_tab import build_training_tab
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.charts import LiveChart
from digitlab.training.session import TrainingSession
from tests.studio.steered import SMALL, train
from tests.studio.visiting import User, until, visit

_FRAME = re.compile(r"window\.studio\.frame\((.*)\)$", re.DOTALL)

Calls = list[tuple[int, str, list[Any]]]
Scenario = Callable[[User, Page, Ghost, Calls], Awaitable[None]]


def look(trainer: Trainer, scenario: Scenario) -> None:
    pages: list[Page] = []
    calls: Calls = []

    def root() -> None:
        pages.append(Page(trainer, trainer.data, ui.context.client, LessonLink(tab="training")))
        build_training_tab(pages[0])
        pages[0].follow()

    async def go(user: User) -> None:
        def draw(match: re.Match[str]) -> float:
            calls.extend(json.loads(match[1]))
            return 0.0

        user.javascript_rules[_FRAME] = draw
        await scenario(user, pages[0], pages[0].own(Ghost), calls)

    visit(root, go)


def behind(user: User, calls: Calls) -> list[tuple[str, list[Any]]]:
    """Return what stands behind each of the four charts now: the run's title, and the points of each curve."""
    charts = sorted(user.find(kind=LiveChart).elements, key=lambda chart: chart.id)
    return [
        next((tuple(given) for i, name, given in reversed(calls) if i == one.id and name == "setBehind"), ("", []))
        for one in charts
    ]


@pytest.fixture
def before(digits: dl.MnistData, out: Path) -> Run:
    """Train a run in batches of 5 of 50 images, for two epochs."""
    run = Run.create(out / "before")
    config = dataclasses.replace(SMALL, batch_size=5, epochs=2)
    for _ in TrainingSession(config, digits, run).records():
        pass
    os.utime(run.path / "config.json", (1_000, 1_000))
    return run


def test_nothing_stands_behind_until_somebody_chooses(trainer: Trainer, before: Run) -> None:
    async def scenario(user: User, page: Page, ghost: Ghost, calls: Calls) -> None:
        await until(lambda: "before" in ghost._choice.options)
        assert ghost._choice.options["latest"] == "The run before this one: before"
        assert ghost._offer.visible
        train(trainer)
        await until(lambda: page.step == 12)
        assert not any(name == "setBehind" for _, name, _ in calls)

    look(trainer, scenario)


def test_ghost_stands_where_it_had_seen_as_many_images(trainer: Trainer, before: Run) -> None:
    before.annotate(title="Batches of 5")
    train(trainer)  # 16, 16, 16 and 2 images a batch

    async def scenario(user: User, page: Page, ghost: Ghost, calls: Calls) -> None:
        await until(lambda: "before" in ghost._choice.options)
        ghost._choice.set_value("before")
        await until(lambda: behind(user, calls)[0][0] == "Batches of 5")
        (_, (loss, val)), _, (_, (epochs, _)), _ = behind(user, calls)
        assert loss[0][:4] == [5 / 16, 10 / 16, 15 / 16, 20 / 16]
        assert loss[0][9] == 4  # 50 images: the end of the first epoch
        assert val[0] == [4, 8]
        assert epochs[0] == [1, 2]
        assert loss[1] == [pytest.approx(r.loss, rel=1e-5) for r in before.history() if hasattr(r, "n_images")]
        await until(lambda: "batch size 5 (here 16) and epochs 2 (here 3)" in ghost._sentence.text)
        assert "had seen as many images" in ghost._sentence.text
        await until(lambda: "<td class=num>150</td><td class=num>100</td>" in ghost._table.content)

    look(trainer, scenario)


def test_run_before_this_one_is_never_the_one_that_is_looked_at(trainer: Trainer, before: Run) -> None:
    async def scenario(user: User, page: Page, ghost: Ghost, calls: Calls) -> None:
        await until(lambda: "latest" in ghost._choice.options)
        ghost._choice.set_value("latest")
        await until(lambda: behind(user, calls)[0][0] == "before")
        train(trainer)
        assert trainer.run is not None
        first = trainer.run.name
        await until(lambda: page.step == 12)
        assert ghost.curves is not None
        assert ghost.curves.name == "before"
        # Four charts, before the training and for it.
        await until(lambda: sum(name == "setBehind" for _, name, _ in calls) >= 8)
        assert sum(name == "setBehind" for _, name, _ in calls) == 8
        train(trainer)
        await until(lambda: behind(user, calls)[0][0] == first)
        assert trainer.run.name != first

    look(trainer, scenario)


def test_ghost_that_is_deleted_goes(trainer: Trainer, before: Run) -> None:
    async def scenario(user: User, page: Page, ghost: Ghost, calls: Calls) -> None:
        await until(lambda: "before" in ghost._choice.options)
        ghost._choice.set_value("before")
        await until(lambda: behind(user, calls)[0][0] == "before")
        delete_run(before)
        train(trainer)
        await until(lambda: behind(user, calls)[0] == ("", [[[], []], [[], []]]))
        assert ghost._choice.value == ""

    look(trainer, scenario)


def test_damaged_run_is_told_and_the_training_goes_on(trainer: Trainer, before: Run) -> None:
    async def scenario(user: User, page: Page, ghost: Ghost, calls: Calls) -> None:
        await until(lambda: "before" in ghost._choice.options)
        (before.path / "history.jsonl").write_text("no history\n")
        ghost._choice.set_value("before")
        await until(lambda: "is not a record" in ghost._sentence.text or ghost._choice.value == "")
        train(trainer)
        await until(lambda: page.step == 12)

    look(trainer, scenario)
