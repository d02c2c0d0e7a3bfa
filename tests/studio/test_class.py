"""The class as teacher and pupils see it: panel, line above the page, watching, and what a pupil's page leads to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fastapi import Request
from nicegui import ui
from nicegui.testing.user_interaction import UserInteraction

from digitlab.studio import app
from digitlab.studio import rooms as rooms_module
from digitlab.studio.admission import ROOM, Admission
from digitlab.studio.page import Page, current_page
from digitlab.studio.rooms import Rooms
from digitlab.studio.run_list import add_report_route, report_url
from digitlab.studio.tabs.class_panel import ClassPanel, class_link, qr_code
from digitlab.studio.tabs.class_watch import Watching
from digitlab.studio.tabs.network_image import LookedAt
from digitlab.studio.tabs.network_tab import NetworkTab
from digitlab.studio.tabs.read_desk import Desk
from digitlab.studio.tabs.readers import TRAINED, of_run, readers_of
from digitlab.studio.tabs.training_controls import Commands
from digitlab.studio.task_card import TaskPath
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.controls import Command
from digitlab.studio.widgets.tables import SortableTable
from tests.studio.steered import SMALL, train, wait_for_evaluation
from tests.studio.test_guests import Opened
from tests.studio.visiting import User, only, until, visit

ADDRESS = "http://test"  # by which the simulated browser comes
MIA = "a" * 16


@pytest.fixture
def rooms(out: Path) -> Rooms:
    return Rooms(Admission(), out)


def as_teacher(trainer: Trainer, rooms: Rooms) -> Callable[[Request], Awaitable[None]]:
    return app.set_up_page(Opened(trainer), rooms, ADDRESS)


def as_pupil(trainer: Trainer, rooms: Rooms, id: str = MIA) -> Callable[[Request], Awaitable[None]]:
    """Return what builds a pupil's page; the simulated browser knows one address, and no cookies."""
    build = as_teacher(trainer, rooms)

    async def come(request: Request) -> None:
        request.scope[ROOM] = id
        await build(request)

    return come


def press(user: User, text: str) -> None:
    """Press one button; others may have its words among theirs."""
    (button,) = (one for one in user.find(kind=Command, content=text).elements if one.text == text)
    UserInteraction(user, {button}, None).click()


async def here(user: User) -> Page:
    found: list[Page] = []

    def look() -> bool:
        with user:
            try:
                found.append(current_page())
            except KeyError:
                return False
        return True

    await until(look)
    return found[-1]


def test_panel_has_the_link_its_code_and_the_rooms(trainer: Trainer, rooms: Rooms) -> None:
    async def scenario(user: User) -> None:
        link = class_link(ADDRESS, rooms.admission.key)
        room = await rooms.enter(MIA, trainer.data)
        rooms.rename(room, "Mia <b>")
        train(room.trainer)
        wait_for_evaluation(room.trainer)
        await user.should_see("1 room.")
        press(user, "Class")
        await user.should_see(link)
        table = only(user, SortableTable)
        await until(lambda: len(table.rows) == 2)
        teacher, pupil = table.rows
        assert [cell.text for cell in teacher.cells][:2] == ["The teacher", "not started"]
        assert [cell.text for cell in pupil.cells][:3] == ["Mia <b>", "finished", "12/12"]
        assert pupil.cells[3].text.endswith("%")
        assert pupil.cells[4].text == "left"

    visit(as_teacher(trainer, rooms), scenario)


def test_code_is_that_of_the_link_and_dark_on_light() -> None:
    first, second = (qr_code(class_link(ADDRESS, key)) for key in ("one", "two"))
    assert first != second
    assert first.startswith("<svg")
    assert 'fill="#fff"' in first
    assert "<script" not in first


def test_where_there_is_no_class_nothing_is_said_of_one(trainer: Trainer) -> None:
    async def scenario(user: User) -> None:
        assert not [one for one in user.client.elements.values() if "class-bar" in one.classes]

    visit(app.set_up_page(Opened(trainer)), scenario)


def test_pupil_trains_in_a_room_of_their_own_and_comes_back_to_it(trainer: Trainer, rooms: Rooms) -> None:
    async def scenario(user: User) -> None:
        page = await here(user)
        room = rooms.find(MIA)
        assert room is not None
        assert page.trainer is room.trainer is not trainer
        train(page.trainer, SMALL)
        await user.open("/")
        again = await here(user)
        assert again is not page
        assert again.trainer is page.trainer
        assert trainer.state == "idle"

    visit(as_pupil(trainer, rooms), scenario)


def test_pupils_name_is_kept(trainer: Trainer, rooms: Rooms, out: Path) -> None:
    async def scenario(user: User) -> None:
        await here(user)
        field = user.find("Your name")
        field.type("  Mia  ").trigger("blur")
        file = out / "class" / MIA / "room.json"
        await until(file.exists)
        assert [room.name for room in rooms.all] == ["Mia"]

    visit(as_pupil(trainer, rooms), scenario)


def test_what_is_shown_comes_over_the_page_and_goes_again(trainer: Trainer, rooms: Rooms) -> None:
    async def scenario(user: User) -> None:
        page = await here(user)
        other = await rooms.enter("b" * 16, trainer.data)
        train(other.trainer)
        rooms.show(other)
        await user.should_see("You watch: Room 2")
        await user.should_see("Everyone watches Room 2.")
        press(user, "Back to my room")
        await user.should_not_see("You watch: Room 2")
        press(user, "Watch Room 2")
        await user.should_see("You watch: Room 2")
        rooms.show(None)
        await user.should_not_see("You watch: Room 2")
        assert page.trainer.state == "idle"

    visit(as_pupil(trainer, rooms), scenario)


def test_who_watches_sees_the_other_training_and_cannot_steer_it(trainer: Trainer, rooms: Rooms) -> None:
    async def scenario(user: User) -> None:
        page = await here(user)
        room = await rooms.of(None, trainer)
        trainer.start(SMALL, paused=True, owner=page.client_id)
        watching = Watching(page, room)
        assert watching.trainer is trainer
        assert not watching.may_steer
        assert watching.own(Desk) is page.own(Desk), "the drawing is the visitor's own"
        with user:
            assert current_page() is page
            Commands(watching, has_errors=lambda: False)
        watching.set_cursor(0)
        assert page.cursor is None
        watching.leave()
        assert not watching.is_open
        assert page.is_open

    visit(as_pupil(trainer, rooms), scenario)


def test_who_watches_chooses_none_of_the_runs_of_the_other_room(trainer: Trainer, rooms: Rooms) -> None:
    async def scenario(user: User) -> None:
        page = await here(user)
        await rooms.of(None, trainer)
        train(trainer)
        wait_for_evaluation(trainer)
        assert trainer.run is not None
        choice = of_run(trainer.run.name)
        page.own(LookedAt).use_network(choice)  # a run of one's own may be called the same
        assert rooms.teachers is not None
        watching = Watching(page, rooms.teachers)
        with user:
            tab = NetworkTab(watching)
        assert choice in readers_of(trainer).choices()
        await tab._offer()
        assert [side.choice for side in tab.sides] == [TRAINED, ""]
        for own in tab._options:
            assert choice not in own
        for select in tab._networks:
            select.set_value(choice)
        assert [side.choice for side in tab.sides] == [TRAINED, ""]
        tab.looked_at.show_test(7)
        assert tab.field.value == 7, "who watches looks at any image"
        assert (page.own(LookedAt).number, page.own(LookedAt).network) == (0, choice)

    visit(as_pupil(trainer, rooms), scenario)


def test_lesson_of_the_teacher_stands_on_the_pupils_page_and_before_newcomers(trainer: Trainer, rooms: Rooms) -> None:
    async def scenario(user: User) -> None:
        page = await here(user)
        train(page.trainer)
        teacher = Page(trainer, trainer.data, page.client, page.lesson)
        teacher.set_settings(SMALL)
        teacher.set_tab("Model")
        teacher.set_tasks("rate")
        page.take_lesson(teacher.lesson)
        assert (page.config, page.tab, page.tasks) == (SMALL, "Model", "rate")
        assert page.own(TaskPath).progress.at == "rate"
        assert page.trainer.state == "finished"
        rooms.lesson = teacher.lesson
        await user.open("/")
        newcomer = await here(user)
        assert (newcomer.config, newcomer.tab, newcomer.tasks) == (SMALL, "Model", "rate")

    visit(as_pupil(trainer, rooms), scenario)


@pytest.mark.parametrize(
    ("bound", "next_step"), [("MOST_OF_ONE_KEY", "Ask your teacher"), ("MOST_PAGES", "Close one of them")]
)
def test_full_class_is_a_sentence(
    trainer: Trainer, rooms: Rooms, monkeypatch: pytest.MonkeyPatch, bound: str, next_step: str
) -> None:
    monkeypatch.setattr(rooms_module, bound, 0)

    async def scenario(user: User) -> None:
        await user.should_see(next_step)
        assert not [one for one in user.client.elements.values() if "studio-head" in one.classes]

    visit(as_pupil(trainer, rooms), scenario)


def test_report_of_a_room_is_found_by_its_key_alone(trainer: Trainer, rooms: Rooms, out: Path) -> None:
    async def scenario(user: User) -> None:
        add_report_route(out, rooms.folder_of)
        page = await here(user)
        train(page.trainer)
        wait_for_evaluation(page.trainer)
        await until(lambda: list((out / "class" / MIA).glob("runs/*/report.html")))
        assert page.trainer.run is not None
        name = page.trainer.run.name
        for key, status in ((page.trainer.key, 200), ("x", 404), (MIA, 404)):
            assert (await user.http_client.get(report_url(name, key))).status_code == status
        assert (await user.http_client.get(report_url(name))).status_code == 404

    visit(as_pupil(trainer, rooms), scenario)


def test_end_of_the_class_is_asked_for_and_gives_another_link(trainer: Trainer, rooms: Rooms) -> None:
    async def scenario(user: User) -> None:
        key = rooms.admission.key
        press(user, "Class")
        press(user, "End the class")
        await user.should_see("End the class?")
        press(user, "End it")
        await until(lambda: rooms.admission.key != key)
        await user.should_see(class_link(ADDRESS, rooms.admission.key))

    visit(as_teacher(trainer, rooms), scenario)


def test_only_here_is_said_where_only_this_machine_can_open_the_link(trainer: Trainer, rooms: Rooms) -> None:
    async def scenario(user: User) -> None:
        page = await here(user)
        with page.client.content:
            panel = ClassPanel(page, rooms, "http://127.0.0.1:8000", lambda room: None)
            panel.open()
        await user.should_see("Only browsers on this machine")
        assert user.find(kind=ui.dialog).elements

    visit(as_teacher(trainer, rooms), scenario)
