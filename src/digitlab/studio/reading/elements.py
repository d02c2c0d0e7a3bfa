"""The tab's own elements: the sheet to draw on, the answer to it, where photos come in, and a photo with its marks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import events, ui

from digitlab.studio.reading.desk import Desk
from digitlab.studio.reading.drawing import answer_of
from digitlab.studio.reading.routes import READ_PATH
from digitlab.studio.reading.sheet import Mark, Sheet

__all__ = ["Corrected", "DrawPad", "DrawnAnswer", "PhotoSource", "PhotoView"]

_ACCEPT = "image/*,.pdf,application/pdf"


@dataclass(frozen=True, slots=True)
class Corrected:
    """What somebody says of a mark: it is ``label``, 0-10.

    Attributes
    ----------
    serial, mark : int
        Of which sheet, and which of its marks.
    label : int
        What it is; 10 for no digit.
    """

    serial: int
    mark: int
    label: int

    @classmethod
    def from_page(cls, args: Any) -> Corrected | None:
        """Read what a browser sent, which may be anything; None where it is no correction.

        Examples
        --------
        >>> Corrected.from_page({"serial": 3, "mark": 0, "label": 7})
        Corrected(serial=3, mark=0, label=7)
        >>> Corrected.from_page({"serial": 3, "mark": 0, "label": 11}) is None
        True
        """
        if not isinstance(args, dict):
            return None
        numbers: list[Any] = [args.get(name) for name in ("serial", "mark", "label")]
        if any(type(number) is not int or number < 0 for number in numbers) or numbers[2] > 10:
            return None
        return cls(*numbers)

    def mark_of(self, sheet: Sheet | None) -> Mark | None:
        """Return the mark that is meant, if it is one of this sheet."""
        if sheet is None or sheet.serial != self.serial or self.mark >= len(sheet.marks):
            return None
        return sheet.marks[self.mark]


class _Correctable(ui.element):
    """Something whose marks can be corrected."""

    def _listen(self, on_correct: Callable[[Corrected], None]) -> None:
        def correct(event: events.GenericEventArguments) -> None:
            corrected = Corrected.from_page(event.args)
            if corrected is not None:
                on_correct(corrected)

        self.on("correct", correct)

    def corrected(self, what: Corrected) -> None:
        """Show that a correction is kept."""
        self.run_method("corrected", what.serial, what.mark, what.label)


class DrawnAnswer(_Correctable, component="../static/drawn_answer.js"):
    """The answer to what is drawn.

    Parameters
    ----------
    on_correct : callable
        Told what somebody says of a mark.
    keeps : bool
        Whether corrections can be kept.
    """

    def __init__(self, on_correct: Callable[[Corrected], None], *, keeps: bool) -> None:
        super().__init__()
        self._props["keeps"] = keeps
        self._listen(on_correct)

    def show(self, sheet: Sheet | None) -> None:
        """Show another answer to the same drawing, as where another network reads."""
        self.run_method("show", answer_of(sheet), 0)


class DrawPad(ui.element, component="../static/draw_pad.js"):
    """The sheet to draw on.

    Parameters
    ----------
    desk : Desk
        Where drawings go.
    answer : DrawnAnswer
        What shows the answers.
    """

    def __init__(self, desk: Desk, answer: DrawnAnswer) -> None:
        super().__init__()
        self._props.update({"url": f"{READ_PATH.format(key=desk.key)}/drawing", "answer": answer.id})


class PhotoSource(ui.element, component="../static/photo_source.js"):
    """Where photos come in.

    Parameters
    ----------
    desk : Desk
        Where they go.
    on_example : callable
        Shows an example instead.
    """

    def __init__(self, desk: Desk, on_example: Callable[[], Any]) -> None:
        super().__init__()
        self._props.update({"url": f"{READ_PATH.format(key=desk.key)}/file", "accept": _ACCEPT})
        self.on("example", on_example, [])


class PhotoView(_Correctable, component="../static/photo_view.js"):
    """A photo with a box around every mark.

    Parameters
    ----------
    desk : Desk
        Where its picture is found.
    on_correct : callable
        Told what somebody says of a mark.
    keeps : bool
        Whether corrections can be kept.
    """

    def __init__(self, desk: Desk, on_correct: Callable[[Corrected], None], *, keeps: bool) -> None:
        super().__init__()
        self._desk = desk
        self._props.update({"src": "", "name": "", "width": 1, "height": 1, "marks": [], "serial": 0, "keeps": keeps})
        self._listen(on_correct)

    def show(self, sheet: Sheet, at: int) -> None:
        """Show the sheet that is the desk's ``at``-th."""
        reading = sheet.reading
        address = f"{READ_PATH.format(key=self._desk.key)}/photo/{at}?of={sheet.serial}"
        self._props.update(
            {
                "src": address,
                "name": sheet.title,
                "width": reading.width,
                "height": reading.height,
                "marks": [mark.to_page() for mark in sheet.marks],
                "serial": sheet.serial,
            }
        )
        self.update()
