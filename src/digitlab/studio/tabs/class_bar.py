"""The line above the page of a class: a pupil's name and the way to the teacher's room; for the teacher, the class."""

from __future__ import annotations

import asyncio

from nicegui import background_tasks, ui

from digitlab.errors import InputError
from digitlab.studio.page import Page
from digitlab.studio.rooms import LONGEST_NAME, Room, Rooms
from digitlab.studio.tabs.class_panel import ClassPanel
from digitlab.studio.tabs.class_watch import WatchView
from digitlab.studio.widgets.controls import Command, say


class ClassBar:
    """The line; whoever is in the class sees it on every tab. Built into the current container."""

    def __init__(self, page: Page, rooms: Rooms, room: Room, address: str) -> None:
        self._page, self._rooms, self._room = page, rooms, room
        self._seen: Room | None = None
        with ui.element("div").classes("class-bar").props('role="region" aria-label="Class"'):
            if room.is_teachers:
                self._panel = ClassPanel(page, rooms, address, self._watch)
                Command("Class", self._panel.open).props('aria-haspopup="dialog"')
            else:
                self._name = ui.input("Your name", value=room.given_name).props(f"maxlength={LONGEST_NAME}")
                self._name.classes("class-name").on("blur", self._rename, []).on("keydown.enter", self._rename, [])
            self._told = ui.label().classes("class-told").props('role="status"')
            self._go = Command("Watch the teacher", self._go_there)
            self._stop = Command("Stop showing", lambda: rooms.show(None))
        self._view = WatchView(page, self._describe)
        page.on(self._follow, "class")
        self._describe()
        if rooms.shown is not None:
            background_tasks.create(self._follow(), name="digitlab studio class", context=page.client)

    def _subject(self) -> Room | None:
        """Return the room that the button leads to."""
        shown = self._rooms.shown
        if shown is not None and shown is not self._room:
            return shown
        return None if self._room.is_teachers or self._rooms.teachers is None else self._rooms.teachers

    async def _follow(self) -> None:
        """Go where everyone is taken, once: whoever is there may leave."""
        room, shown, before = self._room, self._rooms.shown, self._seen
        self._seen = shown
        if shown is not before and not room.is_teachers:
            if shown is not None and shown is not room:
                async with self._rooms.building:
                    await asyncio.sleep(0)
                    if self._rooms.shown is shown and self._page.is_open:
                        self._view.open(shown)
            elif self._view.room is not None and self._view.room is before:
                self._view.close()
        self._describe()

    def _describe(self) -> None:
        rooms, room, shown = self._rooms, self._room, self._rooms.shown
        n = len(rooms.all)
        told = f"{n} room{'s' * (n != 1)}." if room.is_teachers and n else ""
        if shown is not None:
            whose = "your room" if shown is room else "the teacher's room" if shown.is_teachers else shown.name
            told = f"Everyone watches {whose}."
        say(self._told, told)
        subject = self._subject()
        self._go.set_visibility(subject is not None)
        if subject is not None:
            self._go.set_text("Watch the teacher" if subject.is_teachers else f"Watch {subject.name}")
        self._stop.set_visibility(room.is_teachers and shown is not None)

    def _watch(self, room: Room) -> None:
        self._view.open(room)

    def _go_there(self) -> None:
        subject = self._subject()
        if subject is not None:
            self._view.open(subject)

    async def _rename(self) -> None:
        room, name = self._room, str(self._name.value or "")
        if name == room.given_name:
            return
        try:
            self._rooms.rename(room, name)
        except InputError:
            self._name.set_value(room.given_name)  # an empty name is none
            return
        self._name.set_value(room.given_name)
        with self._page.telling_errors(unforeseen="The name could not be kept: {}."):
            await asyncio.to_thread(self._rooms.keep_name, room)
