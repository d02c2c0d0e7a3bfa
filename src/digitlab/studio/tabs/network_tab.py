"""The tab Network: every number on the way of an image through a network, or through two beside each other."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import numpy as np
from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from digitlab.errors import DigitlabError, InputError
from digitlab.explanation.inside_page import evidence_of, favourite_of
from digitlab.studio.page import Page
from digitlab.studio.tabs.network_image import LookedAt, title_of
from digitlab.studio.tabs.network_map import AnswerMapCard
from digitlab.studio.tabs.network_side import START, STEP, Side, subject_of
from digitlab.studio.tabs.read_desk import PROCESSES, Desk
from digitlab.studio.tabs.read_elements import PhotoSource
from digitlab.studio.tabs.readers import SHIPPED, TRAINED, readers_of
from digitlab.studio.tabs.training_controls import Commands, TimeTravel
from digitlab.studio.widgets.card import card
from digitlab.studio.widgets.controls import Command, LiveSlider, Scripted
from digitlab.studio.widgets.digit_views import Digit, ExampleDigits, side_by_side

_NAME = "Network"
# Between two looks at a training that runs: four a second, and fewer where drawing takes long.
_GAP_S, _HURRIED_GAP_S = 0.25, 0.02
# How long a browser may take to draw a frame before the next is sent all the same.
_PATIENCE_S = 5.0
# Images that are answered at a time while a mistake is looked for.
_BATCH = 250
_CHOOSE = "Choose what goes into the network, as the reader framed it; – is ink that was refused."
_NONE_FOUND = "Digits that are found on a photo, or drawn in the tab Read, stand here."
# The commands of Training with which one watches a network learn.
_COMMANDS = ("Start", "Pause", "Step one batch", "Resume")
# What may stand at each side besides the runs of the folder.
_FIRST = {TRAINED: "The training here", SHIPPED: "The shipped reader"}
_SECOND = {
    "": "Nothing",
    START: "The training here, before its first batch",
    STEP: "The training here, at another step",
    **_FIRST,
}


class NetworkView(Scripted, component="../static/network_view.js"):
    """The picture of the network, or of two."""


class NetworkTab:
    """The tab. Whoever looks chooses an image and a number of the network; both stay while the network learns.

    Where it ``steers``, the training is started and taken batch by batch here, too.
    """

    def __init__(self, page: Page, *, steers: bool = True) -> None:
        self._page, self._data = page, page.data.test
        self.looked_at = page.own(LookedAt)
        self.sides = Side(self.looked_at.network), Side("")
        self._is_ready = False
        self._refreshing = page.refreshing(_NAME, self._refresh, gap_s=_GAP_S, hurried_gap_s=_HURRIED_GAP_S)
        self._offering = page.refreshing(_NAME, self._offer, gap_s=2.0)
        with card("The Way of an Image", help="network", classes="network-card"):
            self._build_images()
            self._build_networks(steers)
            self.view = NetworkView()
        self.map = AnswerMapCard(page, self.looked_at)
        self.view.on("ready", self._ready, [])
        self.view.on_values("unit", self._choose)
        self.view.on_values("why", self._why)
        self.view.on_values("like", self._like)
        page.on_records(lambda _: self._followed())
        page.on(self._ask_at_once, "generation", "state", "cursor", "settings")
        page.on(self._image_changed, "image")
        page.on(self._network_changed, "network")
        page.on(self._drawing_changed, "drawing")
        self._offering.ask(at_once=True)

    def _build_images(self) -> None:
        at, n = self.looked_at, len(self._data)
        with ui.element("div").classes("toolbar network-choice"):
            self.field = ui.number(
                "Test image", value=at.number, min=0, max=n - 1, step=1, format="%d", on_change=self._number
            ).classes("network-number")
            Command("Previous", lambda: at.show_test((at.number - 1) % n))
            Command("Next", lambda: at.show_test((at.number + 1) % n))
            Command("Random", lambda: at.show_test(random.randrange(n)))
            self._mistake = Command("Next mistake", self._next_mistake)
            Command("My drawing", self._show_drawing)
            self._photos = Command("From a photo", self._toggle_photos)
            Command("Empty sheet", lambda: at.show(np.zeros((28, 28), np.uint8), "A sheet without ink"))
        self._photos.props("aria-expanded=false")
        self.picker = GlyphPicker(self._page, at)

    def _build_networks(self, steers: bool) -> None:
        page = self._page
        with ui.element("div").classes("toolbar network-choice"):
            # The choice of runs is read later; another tab may have chosen one already.
            chosen = {self.sides[0].choice: readers_of(page.trainer).name(self.sides[0].choice)}
            self._options = _FIRST | (chosen if self.sides[0].choice not in _FIRST else {}), _SECOND
            self._networks = tuple(
                ui.select(options, value=side.choice, label=label, on_change=change).classes("network-select")
                for options, side, label, change in zip(
                    self._options,
                    self.sides,
                    ("Network", "Beside it"),
                    (self._choose_first, self._choose_second),
                    strict=True,
                )
            )
            if steers:
                # What a setting that cannot be used means is told in Training; the last that could is taken here.
                Commands(page, has_errors=lambda: False).build(_COMMANDS)
        TimeTravel(page)
        with ui.element("div").classes("time-travel") as self._second_time:
            self._slider = LiveSlider(
                page, "Step of B", self._step_second, max=0, value=0, text="batch {value} of {max}"
            )
        self._second_time.set_visibility(False)

    # ---- which image ----

    def _image_changed(self) -> None:
        self.field.set_value(self.looked_at.number)  # which shows nothing twice: the number is known
        self._ask_at_once()

    def _number(self, event: ValueChangeEventArguments[Any]) -> None:
        value, at = event.value, self.looked_at
        is_number = isinstance(value, int | float) and value == int(value) and 0 <= value < len(self._data)
        if is_number and (value != at.number or at.is_drawn or at.given is not None):
            at.show_test(int(value))

    def _show_drawing(self) -> None:
        if not self.looked_at.show_drawing():
            self._page.notify("Nothing is drawn yet. Draw a digit in the tab Read; it is shown here then.")

    def _toggle_photos(self) -> None:
        self._photos.props(f"aria-expanded={str(self.picker.toggle()).lower()}")

    def _drawing_changed(self) -> None:
        if self.looked_at.is_drawn:
            self._ask_at_once()

    async def _next_mistake(self) -> None:
        page, at = self._page, self.looked_at
        began, choice = at.number, self.sides[0].choice

        def look() -> int | None:
            model, n = subject_of(page, choice).model(), len(self._data)
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
                at.show_test(found)
        self._mistake.set_enabled(True)

    # ---- which networks ----

    async def _offer(self) -> None:
        """Bring the choice of runs up to date."""
        if not self._page.offers_runs:
            return
        with self._page.telling_errors():
            known = await asyncio.to_thread(readers_of(self._page.trainer).choices)
            if self._page.is_open:
                self._set_options({choice: name for choice, name in known.items() if choice not in _FIRST})

    def _set_options(self, runs: dict[str, str]) -> None:
        options = _FIRST | runs, _SECOND | runs
        if options != self._options:
            self._options = options
            for control, own, side in zip(self._networks, options, self.sides, strict=True):
                control.set_options(own, value=side.choice if side.choice in own else next(iter(own)))

    def _choose_first(self, event: ValueChangeEventArguments[Any]) -> None:
        if event.value in self._options[0]:
            self.looked_at.use_network(str(event.value))

    def _network_changed(self) -> None:
        choice = self.looked_at.network
        self.sides[0].choice = choice
        if choice not in self._options[0]:
            runs = {key: name for key, name in self._options[0].items() if key not in _FIRST}
            self._set_options(runs | {choice: readers_of(self._page.trainer).name(choice)})
        self._networks[0].set_value(choice)
        self._ask_at_once()

    def _choose_second(self, event: ValueChangeEventArguments[Any]) -> None:
        side = self.sides[1]
        if event.value not in self._options[1] or event.value == side.choice:
            return
        side.choice = str(event.value)
        self._second_time.set_visibility(side.choice == STEP)
        self._followed()
        if not side.choice:
            side.forget()
            self.view.run_method("drop", 1)
        self._ask_at_once()

    def _step_second(self, step: int) -> None:
        self.sides[1].step = step
        self._ask_at_once()

    def _followed(self) -> None:
        newest = self._page.step
        self._slider.put(min(self.sides[1].step, newest), newest)
        self._slider.set_enabled(newest > 0)
        self._refreshing.ask()

    # ---- what is shown ----

    def _ready(self) -> None:
        # Also when a browser comes back: it has nothing of what it was shown.
        self._is_ready = True
        for side in self.sides:
            side.forget()
        self._ask_at_once()

    def _ask_at_once(self) -> None:
        self._refreshing.ask(at_once=True)

    async def _refresh(self) -> None:
        for position, side in enumerate(self.sides):
            if not self._is_ready or not side.choice:
                continue
            image, title = self.looked_at.image()
            other = self.sides[1 - position]
            try:
                sent = await asyncio.to_thread(side.computed, self._page, image, title, other)
            except DigitlabError as error:
                side.forget()
                self.view.run_method("tell", position, str(error))
                continue
            if sent is not None and side.choice and self._page.is_open:
                with suppress(TimeoutError):
                    # The next frame waits until this one is drawn.
                    await self.view.run_method("show", position, *sent, timeout=_PATIENCE_S)

    def _sides_of(self, values: dict[str, Any]) -> tuple[int, ...]:
        """Return the position of the side that is meant and, where that shows the same network, of the other."""
        position = values.get("side")
        if type(position) is not int or position not in (0, 1):
            return ()
        a, b = self.sides[position].shown, self.sides[1 - position].shown
        is_same = a is not None and b is not None and a.subject.architecture == b.subject.architecture
        return (position, 1 - position) if is_same else (position,)

    def _choose(self, values: dict[str, Any]) -> None:
        layer, unit, read = values.get("layer"), values.get("unit"), values.get("read")
        if type(layer) is not int or not isinstance(unit, list) or not all(type(place) is int for place in unit):
            return
        with suppress(InputError):  # a browser asks for a number that there is; this came from somewhere else
            for position in self._sides_of(values):
                account = self.sides[position].choose(layer, tuple(unit), read if type(read) is int else None)
                if account is None:
                    return
                # On both sides the same map is read.
                read = account["read"]
                self.view.run_method("take", position, account)

    async def _why(self, values: dict[str, Any]) -> None:
        positions, target = self._sides_of(values), values.get("target")
        shown = self.sides[positions[0]].shown if positions else None
        if shown is None:
            return
        position, names = positions[0], shown.inside.class_names
        is_class = type(target) is int and 0 <= target < len(names) and target != shown.inside.label
        # What goes wrong is told, and may be asked for again.
        with self._page.telling_errors():
            wanted = target if is_class else None
            found = await asyncio.to_thread(lambda: evidence_of(shown.subject.model(), shown.inside, wanted))
            answer = names[shown.inside.label]
            self.view.run_method("prove", position, found, f"Why {answer}: {shown.about}")
            return
        self.view.run_method("prove", position, [], "")

    async def _like(self, values: dict[str, Any]) -> None:
        positions, layer, unit = self._sides_of(values), values.get("layer"), values.get("unit")
        shown = self.sides[positions[0]].shown if positions else None
        if shown is None or type(layer) is not int or not 0 <= layer < len(shown.inside.layers):
            return
        if not isinstance(unit, list) or not unit or type(unit[-1]) is not int:
            return
        with self._page.telling_errors():
            found = await asyncio.to_thread(lambda: favourite_of(shown.subject.model(), layer, unit[-1]))
            self.view.run_method("likes", positions[0], found)
            return
        self.view.run_method("likes", positions[0], None)


class GlyphPicker:
    """Photos come in here, and what is found on them is chosen; built into the current container when first opened."""

    def __init__(self, page: Page, looked_at: LookedAt) -> None:
        self._page, self._looked_at = page, looked_at
        self.digits: ExampleDigits | None = None
        self._box = ui.element("div").classes("network-photos")
        self._box.set_visibility(False)
        page.on(self._draw, "drawing", "photos", "corrected")

    def toggle(self) -> bool:
        """Open or close it; tell whether it is open."""
        is_open = not self._box.visible
        if is_open and self.digits is None:
            PROCESSES.start()  # so that the first photo does not wait for one
            with self._box:
                PhotoSource(self._page.own(Desk))
                self._says = ui.label().classes("muted").props('role="status"')
                self.digits = ExampleDigits("Found digits", self._choose, size_px=52)
            self._draw()
        self._box.set_visibility(is_open)
        return is_open

    def _draw(self) -> None:
        if self.digits is None:
            return
        found, drawn = self._looked_at.glyphs(), self._page.own(Desk).drawn
        self._says.set_text(_CHOOSE if found else _NONE_FOUND)
        titles = [title_of(sheet, mark, is_drawing=sheet is drawn) for sheet, mark in found]
        names = ["–" if mark.value is None else str(mark.value) for _, mark in found]
        digits = [Digit(name, f"{title}: look inside") for name, title in zip(names, titles, strict=True)]
        images = [mark.image for _, mark in found if mark.image is not None]
        self.digits.show(digits, side_by_side(images), says="Found digits")
        self.digits.set_visibility(bool(found))

    def _choose(self, position: int) -> None:
        found = self._looked_at.glyphs()
        if position < len(found):
            self._looked_at.show_mark(*found[position])
