"""The tab's own elements: the sheet to draw on, the answer to it, where photos come in, a photo with its marks, and
every step from it to the network."""

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

from digitlab.errors import InputError
from digitlab.reading.change import Change
from digitlab.reading.reading import Box, ReadingOptions
from digitlab.reading.steps import Step
from digitlab.studio.tabs.read.read_desk import PROCESSES, READ_PATH, Desk
from digitlab.studio.tabs.read.sheet import EDITS, Sheet, answer_of, steps_of_sheet

_ACCEPT = "image/*,.pdf,application/pdf"
_MOST_PX = 2**31

#: Told what somebody says of a place: the sheet's serial, and what stands there; a box where what was read holds.
Correct = Callable[[int, Change | Box], Any]


def as_box(given: Any) -> Box | None:
    """Read a box that a browser sent, which may be anything.

    Examples
    --------
    >>> as_box([1, 2, 30, 40])
    Box(left=1, top=2, right=30, bottom=40)
    >>> as_box([1, 2, 1, 40]) is None
    True
    """
    if not isinstance(given, list) or len(given) != 4 or any(type(n) is not int or abs(n) > _MOST_PX for n in given):
        return None
    box = Box(*given)
    return box if box.width > 0 and box.height > 0 else None


def as_change(given: Any) -> tuple[int, Change | Box] | None:
    """Read what a browser sent of a correction, which may be anything; None where it is none.

    Examples
    --------
    >>> as_change({"serial": 3, "box": [1, 2, 30, 40], "value": "7", "isNumber": False})
    (3, Change(box=Box(left=1, top=2, right=30, bottom=40), value='7', is_number=False))
    >>> as_change({"serial": 3, "box": [1, 2, 30, 40], "value": None})
    (3, Box(left=1, top=2, right=30, bottom=40))
    >>> as_change({"serial": 3, "box": [1, 2, 30, 40], "value": "x"}) is None
    True
    """
    if not isinstance(given, dict):
        return None
    serial, box, value = given.get("serial"), as_box(given.get("box")), given.get("value")
    if type(serial) is not int or box is None:
        return None
    if value is None:
        return serial, box
    try:
        return (serial, Change(box, value, given.get("isNumber") is True)) if isinstance(value, str) else None
    except InputError:
        return None


class _Correctable(ui.element):
    """Something in which can be said what is otherwise."""

    def _listen(self, on_correct: Correct) -> None:
        def correct(event: events.GenericEventArguments) -> None:
            told = as_change(event.args)
            if told is not None:
                on_correct(*told)

        self.on("correct", correct)


class DrawnAnswer(_Correctable, component="../../static/drawn_answer.js"):
    """The answer to what is drawn; ``on_correct`` is told what somebody says of a mark.

    ``keeps`` says whether corrections are kept to learn from.
    """

    def __init__(self, on_correct: Correct, *, keeps: bool) -> None:
        super().__init__()
        self._props["keeps"] = keeps
        self._listen(on_correct)

    def show(self, sheet: Sheet | None) -> None:
        """Show another answer to the same drawing, as where another network reads or somebody corrects it."""
        self.run_method("show", answer_of(sheet), 0)


class DrawPad(ui.element, component="../../static/draw_pad.js"):
    """The sheet to draw on, and what shows the answers."""

    def __init__(self, desk: Desk, answer: DrawnAnswer) -> None:
        super().__init__()
        self._props.update({"url": f"{READ_PATH.format(key=desk.key)}/drawing", "answer": answer.id})


class PhotoSource(ui.element, component="../../static/photo_source.js"):
    """Where photos come in; ``on_example`` shows an example instead."""

    def __init__(self, desk: Desk, on_example: Callable[[], Any]) -> None:
        super().__init__()
        self._props.update({"url": f"{READ_PATH.format(key=desk.key)}/file", "accept": _ACCEPT})
        self.on("example", on_example, [])


class PhotoView(_Correctable, component="../../static/photo_view.js"):
    """A photo with a box around every mark, and what can be done to it.

    ``on_edit`` is told the sheet's serial, what is to be done to the photo, and the rectangle where it needs one.
    """

    def __init__(
        self, desk: Desk, on_correct: Correct, on_edit: Callable[[int, str, Box | None], Any], *, keeps: bool
    ) -> None:
        super().__init__()
        self._desk = desk
        self._props.update({"src": "", "name": "", "width": 1, "height": 1, "marks": [], "serial": 0, "keeps": keeps})
        self._props["isEdited"] = False
        self._listen(on_correct)

        async def edit(event: events.GenericEventArguments) -> None:
            args = event.args if isinstance(event.args, dict) else {}
            serial, kind, box = args.get("serial"), args.get("kind"), as_box(args.get("box"))
            if type(serial) is int and kind in (*EDITS, "reset") and (box or kind not in ("crop", "hide")):
                await on_edit(serial, kind, box)

        self.on("edit", edit)

    def show(self, sheet: Sheet, at: int) -> None:
        """Show the sheet that is the desk's ``at``-th."""
        reading = sheet.reading
        address = f"{READ_PATH.format(key=self._desk.key)}/photo/{at}?of={sheet.serial}"
        marks = []
        for mark in sheet.marks:
            number = sheet.number_of(mark)
            told = None if number is None else {"box": list(number.box), "value": number.value}
            marks.append(mark.to_page() | {"number": told})
        self._props.update(
            {
                "src": address,
                "name": sheet.title,
                "width": reading.width,
                "height": reading.height,
                "marks": marks,
                "serial": sheet.serial,
                "isEdited": sheet.is_edited,
            }
        )
        self.update()


class NumbersTable(_Correctable, component="../../static/numbers_table.js"):
    """The numbers of all photos, each to be typed over; ``on_show`` is told which photo somebody wants to see."""

    def __init__(self, on_correct: Correct, on_show: Callable[[int], Any]) -> None:
        super().__init__()
        self._props.update({"rows": [], "at": 0, "hasFiles": False})
        self._listen(on_correct)

        async def show(event: events.GenericEventArguments) -> None:
            if type(event.args) is int:
                await on_show(event.args)

        self.on("show", show)

    def show(self, rows: list[dict[str, Any]], at: int, *, has_files: bool) -> None:
        """Show these rows, the ``at``-th photo being the one that is shown."""
        self._props.update({"rows": rows, "at": at, "hasFiles": has_files})
        self.update()


#: The switches: the step they stand at, the option, its value where it is on and off, and what it says.
_SWITCHES: tuple[tuple[str, str, Any, Any, str], ...] = (
    ("original", "turn", True, False, "Turn it upright"),
    ("original", "straighten", True, False, "Straighten it"),
    ("grey", "invert", "auto", "never", "Find out whether the ink is dark"),
    ("contrast", "flatten", True, False, "Compare with what is around"),
    ("frames", "center", True, False, "Centre each digit"),
)


class StepsView(ui.element, component="../../static/reading_steps.js"):
    """The steps of the desk's subject, as pictures.

    ``on_switch`` is told the option and its value when a step is switched on or off.
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
    """Return a step's picture, uint8 (h, w) or (h, w, 3), as a data URI."""
    image = Image.fromarray(picture)
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
