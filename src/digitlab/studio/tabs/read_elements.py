"""What the tab Read is built from: the sheet to draw on and the answer to it, photos with their marks, the numbers on
them, and every step from a photo to the network."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from digitlab.errors import InputError
from digitlab.explanation.facts import plural
from digitlab.reading.change import Change
from digitlab.reading.reading import REASONS, Box, Number, ReadingOptions
from digitlab.reading.render import EDITS
from digitlab.reading.results_file import safe_cell
from digitlab.reading.steps import Step
from digitlab.studio.tabs.network_image import LookedAt
from digitlab.studio.tabs.read_desk import PROCESSES, READ_PATH, Desk
from digitlab.studio.tabs.sheet import Sheet, answer_of, image_file, overlay, steps_of_sheet
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.controls import Scripted, copy_button
from digitlab.text import percent
from digitlab.training.pages import compose_page

_ACCEPT = "image/*,.pdf,application/pdf"
_MOST_PX = 2**31
_NO_NUMBERS = "What stands on a photo is listed here."
_READ_ANEW = "The photo was read anew, without your corrections of it. What is kept to learn from stays."
_COPIED, _NOT_COPIED = (
    "The numbers are copied.",
    "The browser does not let pages copy; select the numbers and copy them yourself.",
)
_NOTHING = "Draw something or choose a photo, and every step of the way to the network is shown here."

#: The switches: the step they stand at, the option, its value where it is on and off, and what it says.
_SWITCHES: tuple[tuple[str, str, Any, Any, str], ...] = (
    ("original", "turn", True, False, "Turn it upright"),
    ("original", "straighten", True, False, "Straighten it"),
    ("grey", "invert", "auto", "never", "Find out whether the ink is dark"),
    ("contrast", "flatten", True, False, "Compare with what is around"),
    ("frames", "center", True, False, "Centre each digit"),
)

#: Told what somebody says of a place: the sheet's serial, and what stands there; a box where what was read holds.
Correct = Callable[[int, Change | Box], Any]


def as_box(given: Any) -> Box | None:
    """Read a box that a browser sent, which may be anything.

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


class _Correctable(Scripted):
    """Something in which can be said what is otherwise."""

    def _listen(self, on_correct: Correct) -> None:
        def correct(sent: dict[str, Any]) -> None:
            told = as_change(sent)
            if told is not None:
                on_correct(*told)

        self.on_values("correct", correct)

    def _open_inside(self, desk: Desk) -> None:
        """Let a mark go into the network of the tab Network, where somebody wants that."""

        def open_mark(sent: dict[str, Any]) -> None:
            serial, box = sent.get("serial"), as_box(sent.get("box"))
            sheet = desk.sheet(serial) if type(serial) is int else None
            for mark in [] if sheet is None else sheet.marks:
                if sheet is not None and mark.found.box == box:
                    desk.page.own(LookedAt).open_mark(sheet, mark)
                    return

        self.on_values("inside", open_mark)


class DrawnAnswer(_Correctable, component="../static/drawn_answer.js"):
    """The answer to what is drawn; ``on_correct`` is told what somebody says of a mark.

    ``keeps`` says whether corrections are kept to learn from.
    """

    def __init__(self, desk: Desk, on_correct: Correct, *, keeps: bool) -> None:
        super().__init__()
        self._props["keeps"] = keeps
        self._listen(on_correct)
        self._open_inside(desk)

    def show(self, sheet: Sheet | None) -> None:
        """Show another answer to the same drawing, as where another network reads or somebody corrects it."""
        self.run_method("show", answer_of(sheet), 0)


class DrawPad(Scripted, component="../static/draw_pad.js"):
    """The sheet to draw on, and what shows the answers."""

    def __init__(self, desk: Desk, answer: DrawnAnswer) -> None:
        super().__init__()
        self._props.update({"url": f"{READ_PATH.format(key=desk.key)}/drawing", "answer": answer.id})


class PhotoSource(Scripted, component="../static/photo_source.js"):
    """Where photos come in; or an example, another one every time."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk, self._n_examples = desk, 0
        self._props.update({"url": f"{READ_PATH.format(key=desk.key)}/file", "accept": _ACCEPT})
        self.on("example", self._example, [])

    async def _example(self) -> None:
        desk = self._desk
        seed, self._n_examples = self._n_examples, self._n_examples + 1

        def example() -> bytes:
            return image_file(compose_page(desk.page.data.test, seed=seed).pixels, "PNG")

        with desk.page.telling_errors():
            await desk.take_file("example.png", await asyncio.to_thread(example))


class PhotoView(_Correctable, component="../static/photo_view.js"):
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
        self._open_inside(desk)

        def edit(sent: dict[str, Any]) -> Any:
            serial, kind, box = sent.get("serial"), sent.get("kind"), as_box(sent.get("box"))
            if type(serial) is int and kind in (*EDITS, "reset") and (box or kind not in ("crop", "hide")):
                return on_edit(serial, kind, box)
            return None

        self.on_values("edit", edit)

    def show(self, sheet: Sheet, at: int) -> None:
        """Show the sheet that is the desk's ``at``-th."""
        marks = []
        for mark in sheet.marks:
            number = sheet.number_of(mark)
            told = None if number is None else {"box": list(number.box), "value": number.value}
            marks.append(mark.to_page() | {"number": told})
        self.give(
            src=f"{READ_PATH.format(key=self._desk.key)}/photo/{at}?of={sheet.serial}",
            name=sheet.title,
            width=sheet.reading.width,
            height=sheet.reading.height,
            marks=marks,
            serial=sheet.serial,
            isEdited=sheet.is_edited,
        )


class PhotoCard:
    """Photos and pages, one of them shown."""

    def __init__(self, desk: Desk, on_correct: Correct, *, keeps: bool) -> None:
        self._desk = desk
        with card("Read a Photo", help="own_photos", classes="photo-card"):
            PhotoSource(desk)
            with ui.element("div").classes("toolbar photo-bar") as self._bar:
                self._choice = ui.select({}, label="Photo", on_change=self._choose).classes("field-photo")
                ui.button("Put all away", on_click=desk.clear).props("outline")
            self.view = PhotoView(desk, on_correct, self._edit, keeps=keeps)
        self.draw()
        desk.page.on(self.draw, "photos", "corrected")

    def draw(self) -> None:
        """Show the photo that is chosen."""
        desk, sheet = self._desk, self._desk.shown
        self._bar.set_visibility(sheet is not None)
        self.view.set_visibility(sheet is not None)
        if sheet is not None:
            names = {k: f"{k + 1}. {other.title}" for k, other in enumerate(desk.sheets)}
            self._choice.set_options(names, value=desk.at)
            self.view.show(sheet, desk.at)

    async def _choose(self) -> None:
        at = self._choice.value
        if isinstance(at, int) and at != self._desk.at:
            self._desk.focus(on_drawing=False)
            await self._desk.show(at)

    async def _edit(self, serial: int, kind: str, box: Box | None) -> None:
        desk = self._desk
        had_changes = desk.shown is not None and bool(desk.shown.changes)
        desk.focus(on_drawing=False)
        with desk.page.telling_errors():
            try:
                await desk.edit(serial, kind, box)
            finally:
                self.view.run_method("idle")
            if had_changes and desk.shown is not None and not desk.shown.changes:
                desk.page.notify(_READ_ANEW)


class NumbersTable(_Correctable, component="../static/numbers_table.js"):
    """The numbers of all photos, each to be typed over; ``on_show`` is told which photo somebody wants to see."""

    def __init__(self, on_correct: Correct, on_show: Callable[[int], Any]) -> None:
        super().__init__()
        self._props.update({"rows": [], "at": 0, "hasFiles": False})
        self._listen(on_correct)
        self.on_number("show", on_show)


class NumbersCard:
    """The numbers of all photos, and as text those of the one that is shown."""

    def __init__(self, desk: Desk, on_correct: Correct) -> None:
        self._desk = desk
        exports = Exports(name="reading", png=self._overlay, csv=self._rows, json=self._records)
        with card("Numbers", help="confidence", exports=exports, classes="numbers-card"):
            self._says = ui.label().classes("muted").props('role="status"')
            with ui.element("pre").classes("numbers-text num") as self._text:
                self._content = ui.html("", sanitize=False)
            self._text.props('tabindex="0" aria-label="The numbers as text"')
            self.table = NumbersTable(on_correct, self._show)
            self._refused = ui.html("", sanitize=False)
            script = "window.studio.copyText(document.querySelector('.numbers-text').textContent)"
            self._copy = copy_button(desk.page, "Copy as text", script, _COPIED, _NOT_COPIED)
            self._copy.props("icon=content_copy")
        self.draw()
        desk.page.on(self.draw, "photos", "corrected")

    def draw(self) -> None:
        """Show what stands on the photos."""
        desk, sheet = self._desk, self._desk.shown
        text = "" if sheet is None else sheet.reading.text
        for element in (self._text, self._copy):
            element.set_visibility(bool(text))
        self._says.set_text(_NO_NUMBERS if sheet is None else _sentence(sheet))
        self._content.set_content(escape(text))
        self.table.give(rows=list(_lines(desk.sheets)), at=desk.at, hasFiles=len(desk.sheets) > 1)
        self._refused.set_content("" if sheet is None else _refused(sheet))

    async def _show(self, at: int) -> None:
        self._desk.focus(on_drawing=False)
        await self._desk.show(at)

    # Photos that are not shown may still have been read by another network: what is saved is of one reader.

    async def _rows(self) -> Rows:
        return number_rows(await self._desk.catch_up())

    async def _records(self) -> list[dict[str, Any]]:
        return records(await self._desk.catch_up())

    def _overlay(self) -> bytes:
        sheet = self._desk.shown
        if sheet is None:
            raise InputError("There is no photo yet. Choose one, or show the example.")
        return overlay(sheet)


def _numbers(sheet: Sheet) -> Iterator[tuple[int, int, Number]]:
    for at_line, line in enumerate(sheet.reading.lines, 1):
        for at, number in enumerate(line.numbers, 1):
            yield at_line, at, number


def number_rows(sheets: list[Sheet]) -> Rows:
    """Return a row for every number of the sheets."""
    columns = ("file", "page", "line", "number", "digits", "confidence", "corrected", "left", "top", "right", "bottom")
    rows = []
    for sheet in sheets:
        name, page = safe_cell(sheet.photo.source), sheet.photo.page
        for at_line, at, number in _numbers(sheet):
            is_corrected = "yes" if sheet.is_corrected(number) else ""
            rows.append((name, page, at_line, at, number.value, number.confidence, is_corrected, *number.box))
    return columns, rows


def records(sheets: list[Sheet]) -> list[dict[str, Any]]:
    """Return the sheets' readings as plain JSON types, each number telling whether somebody has corrected it."""
    told = []
    for sheet in sheets:
        plain = sheet.reading.to_dict()
        described = (of_number for line in plain["lines"] for of_number in line["numbers"])
        for (_, _, number), of_number in zip(_numbers(sheet), described, strict=True):
            of_number["corrected"] = sheet.is_corrected(number)
        told.append(plain)
    return told


def _lines(sheets: list[Sheet]) -> Iterator[dict[str, Any]]:
    """What the table in the browser is told."""
    for k, sheet in enumerate(sheets):
        for at_line, _, number in _numbers(sheet):
            yield {
                "serial": sheet.serial,
                "at": k,
                "title": sheet.title,
                "line": at_line,
                "box": list(number.box),
                "value": number.value,
                "sure": percent(min(number.confidence, 1.0), 1),
                "corrected": sheet.is_corrected(number),
            }


def _sentence(sheet: Sheet) -> str:
    reading = sheet.reading
    if not reading.digits:
        return "No digit was found on this photo."
    turned = f", after turning it by {reading.turned}°" if reading.turned else ""
    skew = f"{' and' if turned else ', after'} straightening it by {abs(reading.skew):.1f}°" if reading.skew else ""
    return f"{plural(len(reading.numbers), 'number')}, {plural(len(reading.digits), 'digit')}{turned}{skew}."


def _refused(sheet: Sheet) -> str:
    reasons = Counter(refused.reason for refused in sheet.reading.refused)
    if not reasons:
        return ""
    items = "".join(f'<li><b class="num">{n} ×</b> {escape(REASONS[why])}</li>' for why, n in reasons.most_common())
    head = f'<h3 class="refused-head">{plural(reasons.total(), "mark")} refused</h3>'
    return f'{head}<ul class="refused-list">{items}</ul>'


class StepsView(Scripted, component="../static/reading_steps.js"):
    """The steps of the desk's subject, as pictures.

    ``on_switch`` is told the option and its value when a step is switched on or off.
    """

    def __init__(self, desk: Desk, on_switch: Callable[[str, Any], Any]) -> None:
        super().__init__()
        self._desk = desk
        self._props.update({"steps": [], "about": _NOTHING, "text": "", "corrected": None})

        def switch(sent: dict[str, Any]) -> Any:
            for _, option, value, other, _ in _SWITCHES:
                if option == sent.get("name"):
                    return on_switch(option, value if sent.get("on") is True else other)
            return None

        self.on_values("switch", switch)

    async def refresh(self) -> None:
        """Show the steps of what the strip is about now."""
        desk, sheet = self._desk, self._desk.subject
        if sheet is None:
            self.give(steps=[], about=_NOTHING, text="")
            return

        def steps_now() -> list[dict[str, Any]]:
            steps = steps_of_sheet(sheet, None if sheet is desk.drawn else PROCESSES)
            return [_to_page(step, desk.options, on_drawing=desk.is_about_drawing) for step in steps]

        steps = await asyncio.to_thread(steps_now)
        subject = desk.subject
        if not self.is_deleted and subject is not None and subject.serial == sheet.serial:
            what = "Your drawing" if desk.is_about_drawing else sheet.title
            reader = desk.readers.name(desk.choice, in_sentence=True)
            text = sheet.found.text.replace("\n", " · ")
            self.give(steps=steps, about=f"{what}, read by {reader}.", text=text)
            self.retell()

    def retell(self) -> None:
        """Say what somebody has corrected in what the strip is about."""
        sheet = self._desk.subject
        is_otherwise = sheet is not None and sheet.reading.text != sheet.found.text
        self.give(corrected=sheet.reading.text.replace("\n", " · ") if sheet and is_otherwise else None)


def step_picture(picture: NDArray[np.uint8]) -> str:
    """Return a step's picture, uint8 (h, w) or (h, w, 3), as a data URI."""
    if picture.ndim == 3 and picture.shape[0] * picture.shape[1] > 40_000:
        return f"data:image/jpeg;base64,{base64.b64encode(image_file(picture, 'JPEG', quality=82)).decode()}"
    return f"data:image/png;base64,{base64.b64encode(image_file(picture, 'PNG', compress_level=1)).decode()}"


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
