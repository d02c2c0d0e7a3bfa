"""The normalisation strip: every step from a photo to 28 x 28 as a picture, with a switch where it can be left out."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from nicegui import events, ui
from numpy.typing import NDArray
from PIL import Image

from digitlab.reading.options import ReadingOptions
from digitlab.reading.steps import Step
from digitlab.studio.reading.desk import PROCESSES, Desk
from digitlab.studio.reading.sheet import Sheet, steps_of_sheet

__all__ = ["StepsView", "step_picture"]

_WIDEST_PX, _HIGHEST_PX = 480, 360

#: The switches: the step they stand at, the option, its value where it is on and off, and what it says.
_SWITCHES: tuple[tuple[str, str, Any, Any, str], ...] = (
    ("original", "turn", True, False, "Turn it upright"),
    ("original", "straighten", True, False, "Straighten it"),
    ("grey", "invert", "auto", "never", "Find out whether the ink is dark"),
    ("contrast", "flatten", True, False, "Compare with what is around"),
    ("frames", "center", True, False, "Centre each digit"),
)


class StepsView(ui.element, component="../static/reading_steps.js"):
    """The steps of the desk's subject.

    Parameters
    ----------
    desk : Desk
        What is read.
    on_switch : callable
        Told the option and its value when a step is switched on or off.
    """

    def __init__(self, desk: Desk, on_switch: Callable[[str, Any], Any]) -> None:
        super().__init__()
        self._desk = desk
        self._props.update({"steps": [], "about": _NOTHING, "text": "", "corrected": None})

        async def switch(event: events.GenericEventArguments) -> None:
            args = event.args if isinstance(event.args, dict) else {}
            for _, option, value, other, _ in _SWITCHES:
                if option == args.get("name"):
                    await on_switch(option, value if args.get("on") is True else other)

        self.on("switch", switch)

    async def refresh(self) -> None:
        """Show the steps of what the strip is about now."""
        desk, sheet = self._desk, self._desk.subject
        if sheet is None:
            self._show([], _NOTHING, "")
            return
        steps = await asyncio.to_thread(lambda: self._steps(sheet))
        subject = desk.subject
        if not self.is_deleted and subject is not None and subject.serial == sheet.serial:
            what = "Your drawing" if desk.is_about_drawing else sheet.title
            self._show(steps, f"{what}, read by {_small(desk.readers.name(desk.choice))}.", sheet.found.text)
            self.retell()

    def retell(self) -> None:
        """Say what somebody has corrected in what the strip is about."""
        sheet = self._desk.subject
        is_otherwise = sheet is not None and sheet.reading.text != sheet.found.text
        self._props["corrected"] = sheet.reading.text.replace("\n", " · ") if sheet and is_otherwise else None
        self.update()

    def _steps(self, sheet: Sheet) -> list[dict[str, Any]]:
        desk = self._desk
        steps = steps_of_sheet(sheet, None if sheet is desk.drawn else PROCESSES)
        return [_to_page(step, desk.options, on_drawing=desk.is_about_drawing) for step in steps]

    def _show(self, steps: list[dict[str, Any]], about: str, text: str) -> None:
        self._props.update({"steps": steps, "about": about, "text": text.replace("\n", " · ")})
        self.update()


_NOTHING = "Draw something or choose a photo, and every step of the way to the network is shown here."


def step_picture(picture: NDArray[np.uint8]) -> str:
    """Return a step's picture, uint8 (h, w) or (h, w, 3), as a data URI of a size to be shown."""
    image = Image.fromarray(picture)
    image.thumbnail((_WIDEST_PX, _HIGHEST_PX), Image.Resampling.BOX)
    file = io.BytesIO()
    is_photo = image.mode == "RGB" and image.width * image.height > 40_000
    image.save(file, "JPEG" if is_photo else "PNG", **({"quality": 82} if is_photo else {"compress_level": 1}))
    return f"data:image/{'jpeg' if is_photo else 'png'};base64,{base64.b64encode(file.getvalue()).decode()}"


def _to_page(step: Step, options: ReadingOptions, *, on_drawing: bool) -> dict[str, Any]:
    switches = [
        {"name": option, "label": label, "on": getattr(options, option) == value}
        for name, option, value, _, label in _SWITCHES
        if name == step.name and not (on_drawing and name == "original")
    ]
    return {
        "name": step.name,
        "title": step.title.replace(" x ", " × "),
        "sentence": step.sentence.replace(" x ", " × "),
        "src": step_picture(step.picture),
        "isPixels": step.name == "frames",
        "switches": switches,
    }


def _small(name: str) -> str:
    return name[0].lower() + name[1:]
