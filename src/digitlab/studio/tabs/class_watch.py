"""Watching: another room over one's own page, its charts and its network live, to look at and not to steer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from nicegui import ui

from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.rooms import Room
from digitlab.studio.tabs.network_image import LookedAt
from digitlab.studio.tabs.network_tab import NetworkTab
from digitlab.studio.tabs.training_controls import TimeTravel, TrainingProgress
from digitlab.studio.tabs.training_tab import LiveViews, TrainingCharts
from digitlab.studio.widgets.controls import Command
from digitlab.values import EpochRecord, StepRecord

T = TypeVar("T")

# How often is looked where they are who are followed.
_LOOK_EVERY_S = 0.3
#: What can be watched of a room.
PARTS = ("Training", "Network")


class Watching(Page):
    """What a visitor's browser tab is shown of another room. Nothing here steers that room or changes an address."""

    def __init__(self, visitor: Page, room: Room) -> None:
        self._visitor, self._is_over = visitor, False
        self._looked_at: LookedAt | None = None
        super().__init__(room.trainer, visitor.data, visitor.client, LessonLink(tab="training"))

    def _register(self) -> None:
        pass  # the browser tab's page stays the visitor's own

    def own(self, make: Callable[[Page], T]) -> T:
        """Return what the visitor has: the visitor's own drawing, and not one of the other room.

        What is looked at is this view's alone: runs of the same name are others in another room.
        """
        if make is LookedAt:
            if self._looked_at is None:
                self._looked_at = LookedAt(self)
            return self._looked_at  # type: ignore[return-value]
        return self._visitor.own(make)

    @property
    def offers_runs(self) -> bool:
        """Never: the room's training is shown, and not its folder."""
        return False

    @property
    def may_steer(self) -> bool:
        """Never."""
        return False

    @property
    def is_open(self) -> bool:
        """Whether the visitor still watches."""
        return not self._is_over and super().is_open

    def leave(self) -> None:
        """Hear of nothing any more."""
        self._is_over = True

    def _write_address(self) -> None:
        pass


class WatchView:
    """The dialog over the whole page in which a room is watched; ``room`` is None while none is."""

    def __init__(self, page: Page, on_close: Callable[[], None]) -> None:
        self._page, self._on_close = page, on_close
        self.room: Room | None = None
        self._watching: Watching | None = None
        with page.client.content, ui.dialog().props("maximized transition-duration=0") as self._dialog:
            self._box = ui.element("div").classes("watch-view")
        self._dialog.on_value_change(lambda event: None if event.value else self._closed())

    def open(self, room: Room) -> None:
        """Watch a room, or another one."""
        self._leave()
        self.room, self._watching = room, Watching(self._page, room)
        self._box.clear()
        with self._box:
            self._build(room, self._watching)
        self._dialog.open()
        self._watching.follow()

    def close(self) -> None:
        """Go back to one's own room."""
        self._dialog.close()

    def _closed(self) -> None:
        if self.room is not None:
            self._leave()
            self._box.clear()
            self._on_close()

    def _leave(self) -> None:
        if self._watching is not None:
            self._watching.leave()
        self.room = self._watching = None

    def _build(self, room: Room, watching: Watching) -> None:
        with ui.element("div").classes("watch-head"):
            title = ui.label(f"You watch: {room.name}").classes("watch-title").props('role="heading" aria-level="2"')
            state = ui.label().classes("muted num").props('role="status"')
            with ui.element("div").classes("commands").props('role="group" aria-label="What you watch"'):
                choices = {name: Command(name, partial(watching.set_tab, name)) for name in PARTS}
            Command("Back to my room", self.close, is_main=True)
        self._dialog.props(f'aria-labelledby="{title.html_id}"')
        panels = {}
        with ui.element("div").classes("watch-parts"):
            TrainingProgress(watching)
            for name in PARTS:
                panels[name] = ui.element("div").classes(f"watch-{name.lower()}")
            with panels["Training"]:
                TimeTravel(watching)
                with ui.element("div").classes("training-charts"):
                    TrainingCharts(watching, "onBatchEnd", StepRecord, "step", lambda: watching.trainer.n_steps)
                    TrainingCharts(watching, "onEpochEnd", EpochRecord, "epoch", lambda: watching.trainer.config.epochs)
                with ui.element("div").classes("training-views"):
                    LiveViews(watching)
        built = {"Training"}

        def show() -> None:
            for name, panel in panels.items():
                panel.set_visibility(name == watching.tab)
                choices[name].props(f'aria-pressed="{str(name == watching.tab).lower()}"')
            if watching.tab not in built:
                built.add(watching.tab)
                with panels[watching.tab]:
                    NetworkTab(watching, steers=False)

        def tell() -> None:
            trainer = watching.trainer
            state.set_text(f"{trainer.architecture.name}, {trainer.state}")

        seen = _where(room)

        def follow() -> None:
            nonlocal seen
            now, before = _where(room), seen
            seen = now
            if now[0] != before[0] and now[0] in PARTS:
                watching.set_tab(now[0])
            if now[1] != before[1]:
                watching.set_cursor(now[1])

        watching.on(show, "tab")
        watching.on(tell, "state", "generation")
        if seen[0] == "Network":
            watching.set_tab("Network")
        if seen[1] is not None:
            watching.set_cursor(seen[1])
        show()
        ui.timer(_LOOK_EVERY_S, follow)


def _where(room: Room) -> tuple[str, int | None]:
    """Return the tab and the step that the room's own page shows."""
    lead = room.lead
    return ("", None) if lead is None else (lead.tab, lead.cursor)
