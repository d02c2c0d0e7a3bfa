"""The presets as buttons: each says what it trains, how long that takes and what comes of it; the chosen one is marked.

The figures are those of docs/measurements, which a test holds them to.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from digitlab.data.mnist import MnistData
from digitlab.studio.page import Page
from digitlab.studio.widgets.controls import mark
from digitlab.training.config import TrainConfig, preset
from digitlab.training.material import fitted
from digitlab.values import CLASS_NAMES


@dataclass(frozen=True, slots=True)
class PresetWords:
    """What a preset does, and what was measured of it on MNIST."""

    does: str
    measured: str
    for_digits_only: bool = False


#: The presets that train a network for single digits, as the page tells of them.
PRESET_WORDS = {
    "codelab": PresetWords("The codelab's run", "0.6 s, about 93 % of validation images"),
    "fast": PresetWords("All images once", "2.4 s, 99.2 % of test images"),
    "accurate": PresetWords("All images six times", "14 s, 99.45 % of test images"),
    "reader": PresetWords("For digits on photos", "most of an hour", for_digits_only=True),
}
_MEASURED = "Measured at full speed on 2 cores of AMD EPYC."
# A number and its unit stay together.
_BETWEEN = re.compile(r"(?<=\d) (?=s\b|%)")
# Whoever takes a preset keeps these: they say where the training runs and which of many like it this is.
_KEPT = ("data", "threads", "seed")


class Presets:
    """The buttons, and which preset the page's settings are nearest to."""

    def __init__(self, page: Page) -> None:
        self._page = page
        is_mnist = page.trainer.config.data is None
        self._configs = presets_for(page.data)
        self._buttons: dict[str, ui.element] = {}
        with ui.element("div").classes("presets").props('role="group" aria-label="Presets"'):
            for name in self._configs:
                words = PRESET_WORDS[name]
                button = ui.element("button").classes("preset").props('type="button"').mark(f"preset-{name}")
                button.on("click", lambda name=name: self._choose(name), [])
                with button:
                    TextElement(tag="strong", text=f"{name} ").classes("preset-name")
                    measured = f": {words.measured}" if is_mnist else ""
                    sentence = _BETWEEN.sub("\N{NO-BREAK SPACE}", f"{words.does}{measured}.")
                    TextElement(tag="span", text=sentence).classes("preset-does num")
                self._buttons[name] = button
        if is_mnist:
            ui.label(_MEASURED).classes("muted preset-note")
        page.on(self._show, "settings")
        self._show()

    def nearest(self) -> tuple[str, set[str]]:
        """Return the preset that the settings are nearest to, and the names of those that differ from it."""
        page = self._page
        found = {name: differing(page.config, config) for name, config in self._configs.items()}
        name = min(found, key=lambda name: len(found[name]))
        return name, found[name] | ({"network"} if page.architecture is not None else set())

    def _show(self) -> None:
        name, differs = self.nearest()
        for other, button in self._buttons.items():
            is_chosen = other == name and differs <= set(_KEPT)
            button.props(f"aria-pressed={str(is_chosen).lower()}")
            mark(button, "is-chosen", is_chosen)

    def _choose(self, name: str) -> None:
        page = self._page
        page.set_settings(dataclasses.replace(self._configs[name], **{key: getattr(page.config, key) for key in _KEPT}))
        # Whatever stands half done in Model, this is another network.
        page.set_problem("")


def presets_for(data: MnistData) -> dict[str, TrainConfig]:
    """Return the page's presets for as many images as there are."""
    return {
        name: fitted(preset(name), data)[0]
        for name, words in PRESET_WORDS.items()
        if data.class_names == CLASS_NAMES or not words.for_digits_only
    }


def differing(config: TrainConfig, other: TrainConfig) -> set[str]:
    """Return the names of the settings that two configs do not share; where the data lies is none."""
    mine, others = config.to_dict(), other.to_dict()
    return {name for name in mine if name != "data" and mine[name] != others[name]}
