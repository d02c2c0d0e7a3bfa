"""The teacher's panel: the link and its QR code, every room of the class, and what is done with all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import segno
from nicegui import ui

from digitlab.serving.guard import host_name, is_loopback
from digitlab.studio.admission import CLASS_PATH
from digitlab.studio.page import Page
from digitlab.studio.rooms import MOST_ROOMS, Room, Rooms
from digitlab.studio.widgets.card import dialog
from digitlab.studio.widgets.controls import Command, copy_button, say
from digitlab.studio.widgets.tables import Cell, Column, Row, SortableTable
from digitlab.text import percent

_LOOK_EVERY_S = 1.0
_TEACHER = "teacher"
_COLUMNS = (
    Column("Room"),
    Column("Training"),
    Column("Batch", is_number=True),
    Column("Accuracy", is_number=True),
    Column("Tab"),
    Column("Watch", can_sort=False, is_hidden=True),
    Column("Show", can_sort=False, is_hidden=True),
)
_STATES = {"idle": "not started"}
_ONLY_HERE = "Only browsers on this machine can open this link. For a class, start: digitlab studio --host 0.0.0.0"


def class_link(address: str, key: str) -> str:
    """Return what pupils open, at an address such as ``http://192.168.1.20:8000``.

    >>> class_link("http://192.168.1.20:8000", "abc")
    'http://192.168.1.20:8000/class?key=abc'
    """
    return f"{address}{CLASS_PATH}?key={key}"


def qr_code(link: str) -> str:
    """Return a link's QR code as SVG, dark on light in every theme, since not every camera reads it otherwise."""
    return str(segno.make(link, error="m").svg_inline(scale=6, border=3, dark="#000", light="#fff", omitsize=True))


class ClassPanel:
    """The dialog. ``watch`` shows a room to the teacher."""

    def __init__(self, page: Page, rooms: Rooms, address: str, watch: Callable[[Room], None]) -> None:
        self._page, self._rooms, self._address, self._watch = page, rooms, address, watch
        with page.client.content, dialog("class-dialog") as (self._dialog, title):
            title.set_text("Class")
            with ui.element("div").classes("class-panel"):
                with ui.element("div").classes("class-invitation"):
                    self._code = ui.html("", sanitize=False).classes("class-code")
                    self._link = ui.label().classes("class-link num")
                    script = "window.studio.copyText(document.querySelector('.class-link').textContent)"
                    copy_button(page, "Copy the link", script, "The link is copied.", "Copy the link by hand.")
                    ui.label(
                        f"Whoever opens this link has a room of their own, at most {MOST_ROOMS} at a time: a training, "
                        "a drawing and runs. Nobody needs your token."
                    ).classes("muted")
                    self._only_here = ui.label().classes("error")
                with ui.element("div").classes("class-rooms"):
                    self._told = ui.label().props('role="status"')
                    self._table = SortableTable("Rooms of the class", _COLUMNS, on_action=self._act)
                    with ui.element("div").classes("toolbar"):
                        Command("Start everyone at this lesson", self._begin_lesson, is_main=True)
                        self._stop = Command("Stop showing", lambda: self._show(None))
                        Command("End the class", self._ask)
                    ui.label(
                        "A lesson is the network, settings, tab, step and open task of your page. Trainings go on."
                    ).classes("muted")
        with page.client.content, dialog("class-end") as (self._asking, title):
            title.set_text("End the class?")
            ui.label("All pupils' pages close, and the link is good no more. Their runs stay in your folder of runs.")
            with ui.element("div").classes("toolbar"):
                Command("End it", self._end, is_main=True)
                Command("Go on", self._asking.close)
        self._clock = ui.timer(_LOOK_EVERY_S, self._look, active=False)
        self._dialog.on_value_change(lambda event: self._clock.activate() if event.value else self._clock.deactivate())

    def open(self) -> None:
        """Show it."""
        self._invite()
        self._look()
        self._dialog.open()

    def _invite(self) -> None:
        link = class_link(self._address, self._rooms.admission.key)
        self._link.set_text(link)
        self._code.set_content(f'<div role="img" aria-label="QR code of the link">{qr_code(link)}</div>')
        host = self._address.partition("://")[2]
        say(self._only_here, _ONLY_HERE if is_loopback(host_name(host)) else "")

    def _look(self) -> None:
        rooms = [*([] if self._rooms.teachers is None else [self._rooms.teachers]), *self._rooms.all]
        rows = room_rows(rooms, self._rooms.shown)
        if rows != list(self._table.rows):
            self._table.show(rows)
        n, n_training = len(rooms) - 1, sum(room.trainer.state == "training" for room in rooms)
        told = "Nobody has come yet." if n < 1 else f"{n} room{'s' * (n != 1)}; {n_training or 'nobody'} training."
        shown = self._rooms.shown
        self._told.set_text(told if shown is None else f"{told} Everyone watches: {shown.name}.")
        self._stop.set_enabled(shown is not None)

    def _act(self, key: str, action: str) -> None:
        room = self._rooms.find("" if key == _TEACHER else key)
        if room is None:
            return
        if action == "watch":
            self._dialog.close()
            self._watch(room)
        elif action == "show":
            self._show(room)

    def _show(self, room: Room | None) -> None:
        self._rooms.show(room)
        self._look()

    async def _begin_lesson(self) -> None:
        n = await self._rooms.begin_lesson(self._page.lesson)
        self._page.notify(f"The lesson stands on {n} page{'s' * (n != 1)}, and before everyone who comes later.")

    def _ask(self) -> None:
        self._asking.open()

    async def _end(self) -> None:
        self._asking.close()
        await self._rooms.end()
        self._invite()
        self._look()
        self._page.notify("The class has ended. The link above is another one now.")


def room_rows(rooms: Sequence[Room], shown: Room | None) -> list[Row]:
    """Return the table's rows; the room that everybody watches is marked."""
    return [_row(room, room is shown) for room in rooms]


def _row(room: Room, is_shown: bool) -> Row:
    trainer, name = room.trainer, room.name
    pages = room.seen_pages
    tab = pages[-1].tab if pages else "left"
    if trainer.state == "idle":
        batch, accuracy = Cell("", order=None), Cell("", order=None)
    else:
        batch = Cell(f"{trainer.step_done:,}/{trainer.n_steps:,}", order=trainer.step_done / max(1, trainer.n_steps))
        accuracy = _accuracy(room)
    return Row(
        room.id or _TEACHER,
        (
            Cell(name, order=room.number),
            Cell(_STATES.get(trainer.state, trainer.state)),
            batch,
            accuracy,
            Cell(tab, look="" if pages else "muted"),
            Cell("") if room.is_teachers else Cell("Watch", kind="button", action="watch", says=f"Watch {name}"),
            Cell("Shown to all")
            if is_shown
            else Cell("Show to all", kind="button", action="show", says=f"Show {name} to all"),
        ),
        is_marked=is_shown,
    )


def _accuracy(room: Room) -> Cell:
    """Return the accuracy on the test images, or that of the newest batch while there is none."""
    evaluation = room.trainer.evaluation
    if evaluation is not None:
        return Cell(percent(evaluation.accuracy), order=evaluation.accuracy)
    newest = room.trainer.newest
    return Cell("", order=None) if newest is None else Cell(percent(newest.accuracy), order=newest.accuracy)
