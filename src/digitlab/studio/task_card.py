"""The tasks on the page: a line at its end that offers them after the first run, and the card that shows one at a time.

The card stands above the tabs and stays while one goes from tab to tab, since most tasks are done there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from nicegui import background_tasks, events, ui
from nicegui.elements.mixins.text_element import TextElement

from digitlab.network.architecture import Architecture
from digitlab.studio.page import Page
from digitlab.studio.tabs.read_desk import Desk
from digitlab.studio.tabs.readers import TRAINED
from digitlab.studio.task_checks import (
    Finding,
    check_accuracy,
    check_layer,
    check_rate,
    smaller_than_codelab,
    with_ten_times_the_rate,
)
from digitlab.studio.task_practice import FoolTask, MistakeTask, PredictTask
from digitlab.studio.tasks import TASK_IDS, TASKS, Progress, Task
from digitlab.studio.widgets.controls import Command, Scripted, mark, say
from digitlab.training.config import TrainConfig

_PRACTICE: dict[str, Callable[..., Any]] = {"predict": PredictTask, "mistake": MistakeTask, "fool": FoolTask}
_OVER = ("finished", "failed", "stopped")


class TaskKeeper(Scripted, component="static/task_keeper.js"):
    """What a browser keeps of the tasks."""


class TaskPath:
    """The tasks of one visitor. ``page.own(TaskPath)`` gives those of a page.

    What is done is kept in the browser. The checks look at what is there when a training ends, whichever task is seen.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.progress = page, Progress()
        self._is_known = False
        self._smaller: Architecture | None = None
        #: What was found out of each task last.
        self.findings: dict[str, Finding] = {}
        self._card: ui.element | None = None
        self._tasks: dict[str, _TaskBody] = {}
        with ui.element("div").classes("task-place") as self._place:
            self._keeper = TaskKeeper()
        self._keeper.on("kept", self._take_kept)
        page.on(self.open, "tasks")
        self._strip: ui.element | None = None

    # ---- for the rest of the page ----

    def open(self, name: str = "") -> None:
        """Show the card with a task, by default the first that is not done."""
        at = name if name in TASKS else self.progress.next or self.progress.at
        was_off = self.progress.view == "off"
        self._set(replace(self.progress, view="open", at=at), reveal=True)
        if was_off:
            self._look_again()

    def build_strip(self) -> None:
        """Build the line at the end of the page into the current container."""
        with ui.element("div").classes("task-strip") as self._strip:
            self._told = ui.label().classes("task-told").props('role="status"')
            self._show = Command("Show the tasks", self.open)
            self._later = Command("Not now", self.put_away)
        self._draw_strip()
        self.page.on(self._look, "state", "generation")

    # ---- what somebody does ----

    def fold(self) -> None:
        """Leave a line of the card."""
        self._set(replace(self.progress, view="folded"))
        self._focus(self._show)

    def put_away(self) -> None:
        """Leave nothing but a quiet way back at the end of the page."""
        self._set(replace(self.progress, view="off"))
        self._focus(self._show)

    def restart(self) -> None:
        """Begin anew."""
        self.findings.clear()
        self._smaller = None
        for body in self._tasks.values():
            body.restart()
        self._set(Progress(view=self.progress.view))

    def choose(self, name: str) -> None:
        """Look at a task."""
        self._set(replace(self.progress, at=name))

    def found(self, name: str, finding: Finding) -> None:
        """Take what was found out of a task, and tell where that makes it done."""
        is_new = finding.is_done and name not in self.progress.done
        if name in self.progress.done and not finding.is_done:
            return  # what was shown once stays shown
        self.findings[name] = finding
        if is_new:
            self._set(self.progress.with_done(name), redraw=False)
            if name not in _PRACTICE:  # where one looks elsewhere
                self.page.notify(f"Task done: {TASKS[name].title}.", "success")
        if self._card is not None:
            self._draw_card()

    # ---- the browser's memory ----

    def _take_kept(self, event: events.GenericEventArguments) -> None:
        if not self._is_known:
            kept, self._is_known = Progress.from_browser(event.args), True
            was_opened = self.progress.view == "open"  # by a lesson's link
            self.progress = replace(kept, at=self.progress.at, view="open") if was_opened else kept
            self._keep()
            self._draw()
            self._look_again()

    def _set(self, progress: Progress, *, reveal: bool = False, redraw: bool = True) -> None:
        if progress != self.progress or reveal:
            self.progress = progress
            self._keep()
            self._draw_strip()
            if redraw:
                self._draw()
            if reveal and self._card is not None:
                self._reveal(self._card)

    def _keep(self) -> None:
        self.page.set_tasks(self.progress.at if self.progress.view == "open" else "")
        if self._is_known:  # else what the browser knows would be lost
            self.page.send(self._keeper, "keep", self.progress.to_json())

    # ---- what is there ----

    def _look_again(self) -> None:
        if (check := self._look()) is not None:
            background_tasks.create(check, name="digitlab studio tasks", context=self.page.client)

    def _look(self) -> Any:
        """Offer the tasks after the first run that is finished, and check what a training has come to."""
        page, trainer = self.page, self.page.trainer
        if not self._is_known or self.progress.view == "off":
            return None
        if self.progress.view == "waiting":
            if trainer.state != "finished":
                return None
            self._set(replace(self.progress, view="folded"))
        if trainer.owner not in ("", page.client_id):
            return None  # somebody else's
        n_classes, is_over = len(page.data.class_names), trainer.state in _OVER
        records = trainer.records_since(0)[0] if is_over else []
        self.found(
            "rate", check_rate(records, trainer.learning_rate, n_classes, diverged=trainer.diverged, ended=is_over)
        )
        self.found("beat99", check_accuracy(trainer.evaluation, len(page.data.test)))
        if trainer.state == "finished":
            self._smaller = smaller_than_codelab(trainer) or self._smaller
        return self._check_layer() if trainer.state != "training" and "layer" not in self.progress.done else None

    async def _check_layer(self) -> None:
        with self.page.telling_errors():
            finding = await asyncio.to_thread(check_layer, self.page.trainer, self._smaller)
            if self.page.is_open:
                self.found("layer", finding)

    # ---- drawing ----

    def _draw(self) -> None:
        self._draw_strip()
        is_open = self.progress.view == "open"
        if is_open and self._card is None:
            self._build_card()
        if self._card is not None:
            self._card.set_visibility(is_open)
            self._draw_card()

    def _draw_strip(self) -> None:
        if self._strip is None:
            return
        progress, n = self.progress, len(TASK_IDS)
        is_offered = progress.view == "folded" and bool(progress.next)
        told = ""
        if is_offered and not progress.done:
            told = "What next? Six short tasks, each with something to find out."
        elif is_offered:
            told = f"{len(progress.done)} of {n} tasks done. Next: {TASKS[progress.next].title}."
        say(self._told, told)
        self._later.set_visibility(is_offered)
        self._strip.set_visibility(progress.view != "open")
        mark(self._strip, "is-offered", is_offered)

    def _build_card(self) -> None:
        with self._place, ui.element("section").classes("card task-card").props('aria-label="Tasks"') as self._card:
            with ui.element("div").classes("card-head"):
                title = ui.label("Six Short Tasks").classes("card-title")
                title.props('role="heading" aria-level="2" tabindex="-1"')
                self._count = ui.label().classes("muted num")
                Command("Start again", self.restart)
                Command("Fold", self.fold)
                Command("Put away", self.put_away)
            with ui.element("div").classes("card-body"):
                with ui.element("ol").classes("task-list").props('aria-label="Tasks"'):
                    self._items = {name: _TaskItem(task, self.choose) for name, task in TASKS.items()}
                self._body = ui.element("div")

    def _draw_card(self) -> None:
        progress = self.progress
        self._count.set_text(f"{len(progress.done)} of {len(TASK_IDS)} done")
        for name, item in self._items.items():
            item.draw(is_chosen=name == progress.at, is_done=name in progress.done)
        if progress.view != "open":
            return
        if progress.at not in self._tasks:
            with self._body:
                self._tasks[progress.at] = _TaskBody(self, TASKS[progress.at])
        for name, body in self._tasks.items():
            body.draw(progress, self.findings.get(name))

    # ---- where a task is done ----

    async def set_up(self, task: Task) -> None:
        """Make ready what a task needs, and go there."""
        page = self.page
        if task.name == "rate":
            page.set_settings(with_ten_times_the_rate(page.config), page.architecture)
            page.notify(f"The learning rate of the next run is {page.config.learning_rate:g}. Press Start.")
        elif task.name == "layer":
            # Not with a rate that the task before has broken it with.
            rate = TrainConfig().learning_rate
            page.set_settings(replace(page.config, network="codelab_cnn", learning_rate=rate))
            page.set_problem("")
            page.notify(f"The codelab's network, with its learning rate, {rate:g}.")
        elif task.name == "fool":
            with page.telling_errors():
                await page.own(Desk).choose(TRAINED)
        self.go(task.tab)

    def go(self, tab: str) -> None:
        """Show the tab where a task is done, from its beginning."""
        self.page.set_tab(tab)
        slug = tab.lower().replace(" ", "-")
        self.page.client.run_javascript(
            "requestAnimationFrame(() => {"
            f" document.getElementById('tab-{slug}')?.focus({{ preventScroll: true }});"
            f" document.getElementById('panel-{slug}')?.scrollIntoView({{ block: 'start' }}); }})"
        )

    def _reveal(self, card: ui.element) -> None:
        self.page.client.run_javascript(
            f"requestAnimationFrame(() => {{ const card = getHtmlElement({card.id});"
            " card?.scrollIntoView({ block: 'start' });"
            " card?.querySelector('[role=heading]')?.focus({ preventScroll: true }); })"
        )

    def _focus(self, element: ui.element) -> None:
        self.page.client.run_javascript(f"requestAnimationFrame(() => getHtmlElement({element.id})?.focus())")


class _TaskItem:
    """A task in the list: its number or a tick, and its title."""

    def __init__(self, task: Task, choose: Callable[[str], None]) -> None:
        with ui.element("li"):
            self._button = ui.element("button").classes("task-item").props('type="button"').mark(f"task-{task.name}")
            self._button.on("click", lambda: choose(task.name), [])
            with self._button:
                number = str(TASK_IDS.index(task.name) + 1)
                self._number = TextElement(tag="span", text=number).classes("task-number num")
                TextElement(tag="span", text=task.title)
                self._says = TextElement(tag="span", text="").classes("sr-only")

    def draw(self, *, is_chosen: bool, is_done: bool) -> None:
        """Show whether it is looked at and done."""
        self._button.props("aria-current=step") if is_chosen else self._button.props(remove="aria-current")
        mark(self._button, "is-done", is_done)
        self._says.text = ", done" if is_done else ""


class _TaskBody:
    """One task: what to do, what was found out, and what it is done with."""

    def __init__(self, path: TaskPath, task: Task) -> None:
        self._task = task
        self._practice: PredictTask | MistakeTask | FoolTask | None = None
        with ui.element("div").classes("task-body") as self._element:
            with ui.element("div").classes("task-text"):
                ui.label(task.title).classes("task-title").props('role="heading" aria-level="3"')
                ui.label(task.why)
                with ui.element("div").props('role="status"').classes("task-found"):
                    self._finding = ui.label().classes("task-finding num")
                    self._learned = ui.label().classes("task-learned")
                with ui.element("div").classes("toolbar"):
                    if task.set_up:
                        Command(task.set_up, partial(path.set_up, task), is_main=True)
                    Command(task.go, lambda: path.go(task.tab))
                    self._next = Command("Next task", lambda: path.choose(path.progress.next))
                with ui.element("details").classes("task-hint"):
                    TextElement(tag="summary", text="A hint")
                    ui.label(task.hint)
            if task.name in _PRACTICE:
                with ui.element("div").classes("task-practice"):
                    self._practice = _PRACTICE[task.name](path.page, partial(path.found, task.name))

    def draw(self, progress: Progress, finding: Finding | None) -> None:
        """Show it where it is looked at, with what was found out."""
        name = self._task.name
        is_done = name in progress.done
        self._element.set_visibility(name == progress.at)
        say(self._finding, finding.sentence if finding is not None else "")
        mark(self._finding, "is-done", is_done and finding is not None)
        say(self._learned, self._task.learned if is_done else "")
        self._next.set_visibility(is_done and progress.next not in ("", name))

    def restart(self) -> None:
        """Begin anew with what it is done with."""
        if self._practice is not None:
            self._practice.restart()
