"""The map of the test images in the tab Network: made when asked for, and every point of it leads into the network."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

import numpy as np
from nicegui import ui

from digitlab.explanation.answer_map import TELLS, AnswerMap, answer_map
from digitlab.studio.page import Page
from digitlab.studio.tabs.network_image import LookedAt
from digitlab.studio.tabs.network_side import subject_of
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.controls import Command, Scripted
from digitlab.text import percent

_SIZES = (500, 2_000)
#: Places of points are told in so many steps from side to side.
STEPS = 2**15 - 1


class AnswerMapView(Scripted, component="../static/answer_map.js"):
    """Points, coloured and written as their classes; one stop for the Tab key."""


class AnswerMapCard:
    """The card, for the network that the first side of the tab shows."""

    def __init__(self, page: Page, looked_at: LookedAt) -> None:
        self._page, self._looked_at, self._data = page, looked_at, page.data.test
        self.found: AnswerMap | None = None
        sizes = {n: f"first {n:,} images" for n in _SIZES if n < len(self._data)}
        exports = Exports(csv=self._table)
        with card("Map of the Test Images", exports=exports, classes="map-card"):
            ui.label(TELLS).classes("muted map-words")
            with ui.element("div").classes("toolbar network-choice"):
                everything = {len(self._data): f"all {len(self._data):,} images"}
                self._size = ui.select(sizes | everything, value=next(iter(reversed(sizes)), len(self._data)))
                self._size.props('label="Test images"').classes("network-select")
                self._draw = Command("Draw the map", self.draw)
                self._about = ui.label().classes("muted").props('role="status"')
            self.view = AnswerMapView()
            self.view.set_visibility(False)
        self.view.on_number("look", self._look)
        self.view.on_number("choose", self._choose)

    async def draw(self) -> None:
        """Make the map of the network as it is now."""
        page, n, choice = self._page, int(self._size.value), self._looked_at.network
        self._draw.set_enabled(False)
        self._about.set_text("Answering the images …")

        def make() -> tuple[AnswerMap, str, tuple[str, ...]]:
            subject = subject_of(page, choice)
            model = subject.model()
            return answer_map(model, self._data.images[:n]), subject.when or subject.who, tuple(model.class_names)

        words = ""
        with page.telling_errors():
            found, when, names = await asyncio.to_thread(make)
            self.found = found
            right = float((found.predicted == self._data.labels[:n]).mean())
            words = f"{n:,} test images, {when}; {percent(right)} are answered right."
            self.view.set_visibility(True)
            self.view.run_method("show", map_data(found, self._data.labels[:n], names))
        self._about.set_text(words)
        self._draw.set_enabled(True)

    def _look(self, position: int) -> None:
        if self.found is not None and 0 <= position < len(self.found.points):
            self.view.run_method("picture", position, b64encode(self._data.images[position].tobytes()).decode())

    def _choose(self, position: int) -> None:
        if self.found is not None and 0 <= position < len(self.found.points):
            self._looked_at.show_test(position)

    def _table(self) -> Rows:
        columns = ("image", "label", "predicted", "first", "second")
        found = self.found
        if found is None:
            return columns, []
        labels = self._data.labels[: len(found.points)].tolist()
        answers = zip(labels, found.predicted.tolist(), found.points.tolist(), strict=True)
        return columns, [(k, label, answer, *point) for k, (label, answer, point) in enumerate(answers)]


def map_data(found: AnswerMap, labels: np.ndarray[Any, np.dtype[Any]], names: tuple[str, ...]) -> dict[str, Any]:
    """Return what is drawn, as plain JSON types: places as int16 in ``STEPS`` of the largest, classes as bytes."""
    largest = float(np.abs(found.points).max()) or 1.0
    places = np.rint(found.points / largest * STEPS).astype("<i2")
    return {
        "places": b64encode(places.tobytes()).decode(),
        "labels": b64encode(labels.astype(np.uint8).tobytes()).decode(),
        "predicted": b64encode(found.predicted.astype(np.uint8).tobytes()).decode(),
        "explained": [percent(part, 1) for part in found.explained],
        "names": list(names),
    }
