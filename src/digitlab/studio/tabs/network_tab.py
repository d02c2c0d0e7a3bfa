"""The tab Network: every number on the way of an image through the network that learns, at the step looked at."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui import ui
from nicegui.events import ValueChangeEventArguments
from numpy.typing import NDArray

from digitlab.engine.sequential import Sequential
from digitlab.errors import DigitlabError, InputError
from digitlab.explanation.inside import Inside, look_inside
from digitlab.explanation.inside_frames import account_of, first_unit, frame_of, plan_of
from digitlab.explanation.inside_page import evidence_of
from digitlab.network.architecture import Architecture
from digitlab.studio.page import Page
from digitlab.studio.tabs.read_desk import Desk
from digitlab.studio.tabs.training_controls import TimeTravel
from digitlab.studio.widgets.card import card
from digitlab.studio.widgets.controls import Command, Scripted
from digitlab.text import percent
from digitlab.training.material import class_names_for

_NAME = "Network"
# Between two looks at a training that runs: four a second, and fewer where drawing takes long.
_GAP_S, _HURRIED_GAP_S = 0.25, 0.02
# How long a browser may take to draw a frame before the next is sent all the same.
_PATIENCE_S = 5.0
# Images that are answered at a time while a mistake is looked for.
_BATCH = 250


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network at a step: of the training, or of the next start where nothing was trained yet."""

    key: tuple[Any, ...]
    words: str
    architecture: Architecture
    weights: list[NDArray[np.float32]]

    def model(self, page: Page) -> Sequential:
        """Return it as a model that knows the classes' names."""
        names = class_names_for(self.architecture, page.data)
        return Sequential.from_architecture(self.architecture, self.weights, threads=1, class_names=names)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a browser has been shown: of which network, which image, and the way of the image."""

    subject: Subject
    image: NDArray[np.uint8]
    title: str
    inside: Inside


class NetworkView(Scripted, component="../static/network_view.js"):
    """The picture of the network."""


class NetworkTab:
    """The tab. Whoever looks chooses an image and a number of the network; both stay while the network learns."""

    def __init__(self, page: Page) -> None:
        self._page, self._data = page, page.data.test
        self.number = page.test_image
        self.is_drawn = False
        #: The layer and the number of it that are taken apart, and of which map what it reads is told; None for the
        #: first that there is.
        self.chosen: tuple[int, tuple[int, ...], int | None] | None = None
        self._chosen_of: Architecture | None = None
        self.shown: Shown | None = None
        self._is_ready = False
        self._refreshing = page.refreshing(_NAME, self._refresh, gap_s=_GAP_S, hurried_gap_s=_HURRIED_GAP_S)
        with card("The Way of an Image", help="network", classes="network-card"):
            with ui.element("div").classes("toolbar network-choice"):
                self.field = ui.number(
                    "Test image",
                    value=self.number,
                    min=0,
                    max=len(self._data) - 1,
                    step=1,
                    format="%d",
                    on_change=self._number,
                ).classes("network-number")
                Command("Previous", lambda: self.show_image((self.number - 1) % len(self._data)))
                Command("Next", lambda: self.show_image((self.number + 1) % len(self._data)))
                Command("Random", lambda: self.show_image(random.randrange(len(self._data))))
                self._mistake = Command("Next mistake", self._next_mistake)
                Command("My drawing", self._show_drawing)
            TimeTravel(page)
            self.view = NetworkView()
        self.view.on("ready", self._ready, [])
        self.view.on_values("unit", self._choose)
        self.view.on("why", self._why, [])
        page.on_records(lambda _: self._refreshing.ask())
        page.on(self._ask_at_once, "generation", "state", "cursor", "settings")
        page.on(lambda: self._ask_at_once() if self.is_drawn else None, "drawing")
        page.on(lambda: self.show_image(page.test_image), "image")

    # ---- which image ----

    def show_image(self, number: int) -> None:
        """Show a test image."""
        self.number, self.is_drawn = number, False
        self.field.set_value(number)  # which shows nothing twice: the number is known
        self._ask_at_once()

    def _number(self, event: ValueChangeEventArguments[Any]) -> None:
        value = event.value
        is_number = isinstance(value, int | float) and value == int(value) and 0 <= value < len(self._data)
        if is_number and (value != self.number or self.is_drawn):
            self.show_image(int(value))

    def _show_drawing(self) -> None:
        if self._drawing() is None:
            self._page.notify("Nothing is drawn yet. Draw a digit in the tab Read; it is shown here then.")
            return
        self.is_drawn = True
        self._ask_at_once()

    def _drawing(self) -> NDArray[np.uint8] | None:
        """Return the first digit that is drawn in the tab Read, as a network gets it."""
        sheet = self._page.own(Desk).drawn
        return None if sheet is None else next((mark.image for mark in sheet.marks if mark.image is not None), None)

    def _image(self) -> tuple[NDArray[np.uint8], str]:
        drawing = self._drawing() if self.is_drawn else None
        if drawing is not None:
            return drawing, "Your drawing"
        label = self._page.data.class_names[int(self._data.labels[self.number])]
        return self._data.images[self.number], f"Test image {self.number:,} is {label}"

    async def _next_mistake(self) -> None:
        page, began = self._page, self.number

        def look() -> int | None:
            model, n = self._subject().model(page), len(self._data)
            for first in range(0, n, _BATCH):
                places = np.arange(began + 1 + first, began + 1 + min(first + _BATCH, n)) % n
                wrong = model.predict(self._data.images[places]).argmax(1) != self._data.labels[places]
                if wrong.any():
                    return int(places[wrong.argmax()])
            return None

        self._mistake.set_enabled(False)
        with page.telling_errors():
            found = await asyncio.to_thread(look)
            if found is None:
                page.notify("The network answers all test images right.", "success")
            else:
                self.show_image(found)
        self._mistake.set_enabled(True)

    # ---- what is shown ----

    def _ready(self) -> None:
        # Also when a browser comes back: it has nothing of what it was shown.
        self.shown, self._is_ready = None, True
        self._ask_at_once()

    def _ask_at_once(self) -> None:
        self._refreshing.ask(at_once=True)

    def _subject(self) -> Subject:
        """Return the network that is looked at; before the first training the one of the next start."""
        page, trainer = self._page, self._page.trainer
        if trainer.state == "idle":
            network, seed = page.network, page.config.seed
            return Subject((network, seed), "before the first batch", network, network.initial_weights(seed))
        moment = trainer.moment(page.cursor)
        words = f"after batch {moment.step:,}" if moment.step else "before the first batch"
        return Subject((moment.generation, moment.step), words, moment.architecture, moment.weights)

    async def _refresh(self) -> None:
        if not self._is_ready:
            return
        image, title = self._image()
        try:
            sent = await asyncio.to_thread(self._computed, image, title)
        except DigitlabError as error:
            self.shown = None
            self.view.run_method("tell", str(error))
            return
        if sent is not None and self._page.is_open:
            with suppress(TimeoutError):
                # The next frame waits until this one is drawn.
                await self.view.run_method("show", *sent, timeout=_PATIENCE_S)

    def _computed(self, image: NDArray[np.uint8], title: str) -> tuple[Any, ...] | None:
        """Return what is sent: plan, frame, image and words, the first and the third where they are other ones."""
        subject, before = self._subject(), self.shown
        is_same_image = before is not None and np.array_equal(before.image, image) and before.title == title
        if before is not None and is_same_image and before.subject.key == subject.key:
            return None
        model = subject.model(self._page)
        inside = look_inside(model, image.reshape(-1) if len(model.architecture.input_shape) == 1 else image)
        is_same_network = before is not None and before.subject.architecture == subject.architecture
        if self.chosen is None or self._chosen_of != subject.architecture:
            self.chosen, self._chosen_of = (*first_unit(inside), None), subject.architecture
        layer, unit, read = self.chosen
        frame = frame_of(inside, layer, unit, read)
        if read is None and self.chosen == (layer, unit, None):
            self.chosen = layer, unit, frame["account"]["read"]
        self.shown = Shown(subject, image, title, inside)
        plan = None if is_same_network else plan_of(inside)
        pixels = None if is_same_image and is_same_network else b64encode(image.tobytes()).decode()
        answer = f"{inside.class_names[inside.label]}, {percent(float(inside.probabilities[inside.label]), 1)}"
        return plan, frame, pixels, f"{title}. The network answers {answer}, {subject.words}."

    def _choose(self, values: dict[str, Any]) -> None:
        layer, unit, read, shown = values.get("layer"), values.get("unit"), values.get("read"), self.shown
        if shown is None or type(layer) is not int or not 0 <= layer < len(shown.inside.layers):
            return
        if not isinstance(unit, list) or not all(type(place) is int for place in unit):
            return
        with suppress(InputError):  # a browser asks for a number that there is; this came from somewhere else
            account = account_of(shown.inside, layer, tuple(unit), read if type(read) is int else None)
            self.chosen = layer, tuple(unit), account["read"]
            self.view.run_method("take", account)

    async def _why(self) -> None:
        shown = self.shown
        if shown is None:
            return
        # What goes wrong is told, and may be asked for again.
        with self._page.telling_errors():
            model = shown.subject.model(self._page)
            found = await asyncio.to_thread(evidence_of, model, shown.inside)
            answer = shown.inside.class_names[shown.inside.label]
            self.view.run_method("prove", found, f"Why {answer}: {shown.title}, {shown.subject.words}")
            return
        self.view.run_method("prove", [], "")
