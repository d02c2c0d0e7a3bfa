"""What three of the tasks are done with: foretelling answers, naming mistakes, and asking about a drawing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from nicegui import background_tasks, ui

from digitlab.evaluation.comparison import TestAnswers
from digitlab.reading.reading import Digit
from digitlab.studio.page import Page
from digitlab.studio.tabs.evaluation_tab import evaluate_at
from digitlab.studio.tabs.read_desk import Desk
from digitlab.studio.task_checks import Finding, Predictions, SharedMistakes, check_drawing
from digitlab.studio.widgets.controls import Command, say
from digitlab.svg import png_data_uri
from digitlab.text import percent
from digitlab.values import CLASS_NAMES

Tell = Callable[[Finding], None]

_UNTRAINED = "Train a network first; this is about its answers."
# What guesses cannot be foretold, and its mistakes tell nothing.
_LEAST = 0.5
_BETTER = "Train one that reads, such as the preset codelab, and begin anew."


class _ImageTask:
    """A test image, and what somebody and then the network say of it; of the network as it is when one begins."""

    def __init__(self, page: Page, tell: Tell) -> None:
        self._page, self._tell = page, tell
        self._names = page.data.class_names
        self._box = ui.element("div").classes("task-image-box")
        with self._box:
            self._image = ui.element("img").classes("task-image").props('alt=""')
            with ui.element("div").classes("task-answering"):
                self._number = ui.label().classes("muted num")
                self._fields()
                with ui.element("div").classes("toolbar"):
                    self._ask = Command(self._asks, self._answered, is_main=True)
                    self._following = Command("Next image", self._go_on)
                self._reply = ui.label().classes("task-reply num").props('role="status"')
        self._note = ui.label().classes("muted")
        with ui.element("div").classes("toolbar"):
            self._anew = Command("Begin anew", self.restart)
        self._box.set_visibility(False)
        self._anew.set_visibility(False)
        self.restart()

    _asks = "Show its answer"
    _class: ui.number | ui.select

    def _fields(self) -> None:
        raise NotImplementedError

    def restart(self) -> None:
        """Begin with other images, and the network as it is now."""
        background_tasks.create(self._begun(), name="digitlab studio task", context=self._page.client)

    async def _begun(self) -> None:
        page = self._page
        if page.trainer.step_done == 0:
            self._cannot_begin(_UNTRAINED)
            return
        with page.telling_errors(self._cannot_begin):
            answers = await asyncio.to_thread(evaluate_at, page.trainer, None, page.data, None)
            accuracy = answers.evaluation.accuracy
            if not page.is_open:
                return
            if accuracy < _LEAST:
                self._cannot_begin(f"This network is right on {percent(accuracy)} of the test images only. {_BETTER}")
                return
            self._start(answers)
            self._next()

    def _cannot_begin(self, sentence: str) -> None:
        self._box.set_visibility(False)
        self._anew.set_visibility(True)
        say(self._note, sentence)

    def _start(self, answers: TestAnswers) -> None:
        raise NotImplementedError

    def _place(self) -> tuple[TestAnswers, int | None]:
        raise NotImplementedError

    def _answer(self) -> None:
        raise NotImplementedError

    def _next(self) -> None:
        answers, at = self._place()
        self._box.set_visibility(at is not None)
        self._anew.set_visibility(True)  # the network may be another one by now
        say(self._note, self._end() if at is None else "")
        if at is not None:
            number = int(answers.places[at])
            self._image.props["src"] = png_data_uri(np.ascontiguousarray(answers.images[at].reshape(28, 28)))
            self._image.props["alt"] = f"Test image {number}"
            self._image.update()
            self._number.set_text(f"Test image {number:,}")
            self._ready(True)

    def _end(self) -> str:
        return "That was the last one."

    def _ready(self, is_asking: bool) -> None:
        """Let somebody answer, or show what the network answered."""
        self._ask.set_visibility(is_asking)
        self._following.set_visibility(not is_asking)
        if is_asking:
            self._reply.set_text("")

    def _replied(self, sentence: str) -> None:
        self._reply.set_text(sentence)
        self._ready(False)
        self._focus(self._following)  # so that Enter goes on

    def _answered(self) -> None:
        if self._box.visible:  # else there is nothing to answer yet, whoever says so
            self._answer()

    def _go_on(self) -> None:
        if not self._box.visible:
            return
        self._next()
        self._focus(self._anew if self._place()[1] is None else self._class)

    def _focus(self, element: ui.element) -> None:
        """Put the keyboard's focus on a button or into a field, when the browser has drawn it."""
        self._page.client.run_javascript(
            f"requestAnimationFrame(() => {{ const e = document.getElementById('{element.html_id}');"
            " (e?.matches('input, button') ? e : e?.querySelector('input'))?.focus({ preventScroll: true }); })"
        )

    def _called(self, label: int) -> str:
        return called(label, self._names)


def called(label: int, names: tuple[str, ...]) -> str:
    """Return what a class is called in a sentence: digits by their numbers."""
    return str(label) if names == CLASS_NAMES else names[label] if label < len(names) else str(label)


def class_field(label: str, names: tuple[str, ...], answer: Callable[[], Any]) -> ui.number | ui.select:
    """Build the field for one of the classes: a digit is typed, and what else there may be is chosen."""
    if names != CLASS_NAMES:
        return ui.select(dict(enumerate(names)), label=label)
    field = ui.number(label, min=0, max=9, step=1, format="%d")
    field.on("keydown.enter", answer)
    return field


def class_in(field: ui.number | ui.select, n_classes: int) -> int | None:
    """Return the class that a field holds; None for anything else."""
    value = field.value
    is_class = isinstance(value, int | float) and 0 <= value < n_classes and value == int(value)
    return int(value) if is_class else None


class PredictTask(_ImageTask):
    """Foretell answers: which class, and how sure."""

    def _fields(self) -> None:
        with ui.element("div").classes("task-fields"):
            self._class = class_field("It will answer", self._names, self._answered)
            self._sure = ui.number("and be so sure, in %", min=0, max=100, step=1, format="%d")
            self._sure.on("keydown.enter", self._answered)

    def _start(self, answers: TestAnswers) -> None:
        self._round = Predictions.of(answers, random.randrange(2**31))
        self._tell(self._round.score())

    def _place(self) -> tuple[TestAnswers, int | None]:
        return self._round.answers, self._round.at

    def _answer(self) -> None:
        said, sure, at = class_in(self._class, len(self._names)), self._sure.value, self._round.at
        if at is None or not self._ask.visible:
            return
        if said is None or not isinstance(sure, int | float) or not 0 <= sure <= 100:
            self._reply.set_text("Say which answer it will give, and how sure it will be, from 0 to 100 %.")
            return
        predicted, sureness = self._round.answer(said, sure)
        label = int(self._round.answers.labels[at])
        hit = "As you said" if said == predicted else f"You said {self._called(said)}"
        wrong = "" if predicted == label else f" It is wrong: the label is {self._called(label)}."
        self._replied(
            f"It answers {self._called(predicted)}, {percent(min(sureness, 1.0), 1)} sure. {hit}, {sure:g} %.{wrong}"
        )
        self._tell(self._round.score())

    def _next(self) -> None:
        self._class.set_value(None)
        self._sure.set_value(None)
        super()._next()

    def _end(self) -> str:
        return "That were all of this round; another round has other images."


class MistakeTask(_ImageTask):
    """Say what one sees in the network's mistakes."""

    _asks = "Compare"

    def _fields(self) -> None:
        self._class = class_field("I see", self._names, self._answered)

    def _start(self, answers: TestAnswers) -> None:
        self._round = SharedMistakes.of(answers)
        self._tell(self._round.score())

    def _place(self) -> tuple[TestAnswers, int | None]:
        return self._round.answers, self._round.at

    def _answer(self) -> None:
        said = class_in(self._class, len(self._names))
        if self._round.at is None or not self._ask.visible:
            return
        if said is None:
            self._reply.set_text("Say what you see in the image.")
            return
        predicted, sureness, label = self._round.answer(said)
        agrees = " You agree, against the label." if said == predicted else ""
        self._replied(
            f"You: {self._called(said)}. The network: {self._called(predicted)}, {percent(min(sureness, 1.0), 1)} "
            f"sure. The label: {self._called(label)}.{agrees}"
        )
        self._tell(self._round.score())

    def _next(self) -> None:
        self._class.set_value(None)
        super()._next()


class FoolTask:
    """Say which digit was drawn in the tab Read, and ask whether it is read as another one."""

    def __init__(self, page: Page, tell: Tell) -> None:
        self._desk, self._tell = page.own(Desk), tell
        self._reads = ui.label().classes("muted")
        with ui.element("div").classes("task-fields"):
            self._class = class_field("I have drawn a", CLASS_NAMES, self._ask)
            Command("Is it fooled?", self._ask, is_main=True)
        page.on(self._tell_reader, "reader")
        page.on(self._corrected, "corrected")
        self._tell_reader()

    def restart(self) -> None:
        """Forget what was said."""
        self._class.set_value(None)

    def _tell_reader(self) -> None:
        self._reads.set_text(f"{self._desk.readers.name(self._desk.choice)} reads now.")

    def _ask(self) -> None:
        self._check(class_in(self._class, len(CLASS_NAMES)))

    def _corrected(self) -> None:
        """Take it as said, where somebody has corrected a drawing in the tab."""
        drawn = self._desk.drawn
        if drawn is None or len(drawn.marks) != 1 or not drawn.changes:
            return
        found = drawn.marks[0].found
        if isinstance(found, Digit):
            self._check(found.value)

    def _check(self, said: int | None) -> None:
        self._tell(check_drawing(self._desk.drawn, said, self._desk.readers.name(self._desk.choice)))
