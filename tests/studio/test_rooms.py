"""Rooms: trainings and runs of their own, bounded, and there again for who comes back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import digitlab as dl
from digitlab.errors import InputError, NetworkError, RunError
from digitlab.network import Architecture, Dense, Flatten
from digitlab.studio import rooms as module
from digitlab.studio.admission import Admission
from digitlab.studio.lesson import LessonLink
from digitlab.studio.rooms import LONGEST_NAME, Room, Rooms, checked_name, training_bytes
from digitlab.training.config import TrainConfig
from tests.studio.steered import SMALL, train, wait_for_evaluation


def shown(room: Room) -> list[Any]:
    """Have a browser show a page of a room; what the page is told is noted."""
    told: list[Any] = []
    client = Mock(has_socket_connection=True, _delete_tasks={}, run_javascript=told.append)
    client.delete = lambda: told.append("deleted")
    page = SimpleNamespace(client=client, tell=told.append, take_lesson=told.append)
    room.by_client[client] = page  # type: ignore[assignment]
    return told


@pytest.fixture
def in_class(digits: dl.MnistData, out: Path) -> Callable[[Callable[[Rooms], Awaitable[None]]], None]:
    """Let something happen in a class."""

    def go(scenario: Callable[[Rooms], Awaitable[None]]) -> None:
        async def opened() -> None:
            rooms = Rooms(Admission(), out)
            try:
                await scenario(rooms)
            finally:
                await rooms.close()

        asyncio.run(opened())

    return go


def test_every_room_has_a_training_and_a_folder_of_its_own(in_class, digits, out):
    async def scenario(rooms):
        one, two = [await rooms.enter(id, digits) for id in ("1" * 16, "2" * 16)]
        assert await rooms.enter("1" * 16, digits) is one
        assert (one.name, two.name) == ("Room 1", "Room 2")
        for room in (one, two):
            train(room.trainer)
            wait_for_evaluation(room.trainer)
        for id in "12":
            assert len(list((out / "class" / (id * 16) / "runs").glob("*/evaluation.json"))) == 1
        assert not list(out.glob("*/evaluation.json")), "the teacher's list has none of them"
        assert rooms.folder_of(one.trainer.key) == out / "class" / ("1" * 16) / "runs"
        assert rooms.folder_of("") is None

    in_class(scenario)


def test_room_that_was_let_go_comes_back_with_name_and_runs(in_class, digits, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROOMS", 1)

    async def scenario(rooms):
        room = await rooms.enter("a" * 16, digits)
        rooms.rename(room, "Mia")
        rooms.keep_name(room)
        train(room.trainer)
        wait_for_evaluation(room.trainer)
        await rooms.enter("b" * 16, digits)
        assert [room.id for room in rooms.all] == ["b" * 16]
        again = await rooms.enter("a" * 16, digits)
        assert again is not room
        assert (again.name, again.number) == ("Mia", 1)
        assert len(list(again.trainer.out.glob("*/evaluation.json"))) == 1
        with pytest.raises(RunError):
            room.trainer.start(SMALL)

    in_class(scenario)


def test_who_waits_long_is_let_go_first_and_nobody_who_is_there(in_class, digits, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROOMS", 3)

    async def scenario(rooms):
        a, b, c = [await rooms.enter(letter * 16, digits) for letter in "abc"]
        shown(a)
        b.seen_at, c.seen_at = time.monotonic() - 5, time.monotonic()
        await rooms.enter("d" * 16, digits)
        assert [room.id[0] for room in rooms.all] == ["a", "c", "d"]
        for room in rooms.all:
            shown(room)
        with pytest.raises(RunError, match="All 3 rooms"):
            await rooms.enter("e" * 16, digits)

    in_class(scenario)


def test_one_key_opens_so_many_rooms_and_a_room_so_many_tabs(in_class, digits, monkeypatch):
    monkeypatch.setattr(module, "MOST_OF_ONE_KEY", 2)

    async def scenario(rooms):
        room, _ = [await rooms.enter(letter * 16, digits) for letter in "ab"]
        with pytest.raises(RunError, match="end the class"):
            await rooms.enter("c" * 16, digits)
        assert await rooms.enter("a" * 16, digits) is room
        for _ in range(module.MOST_PAGES):
            shown(room)
        with pytest.raises(RunError, match="Close one"):
            rooms.add(room, SimpleNamespace())

    in_class(scenario)


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(train_images=55_000, augmentation="reader", batch_size=55_000),
        TrainConfig(network="fast_cnn", train_images=55_000, batch_size=55_000),
    ],
)
def test_training_that_needs_too_much_memory_is_refused_with_the_way_out(in_class, digits, config):
    assert training_bytes(config, config.build_architecture()) > module.TRAINING_BYTES

    async def scenario(rooms):
        room = await rooms.enter("a" * 16, digits)
        large = Architecture(
            [Flatten(), Dense(9_000, activation="relu"), Dense(10, activation="softmax")], name="large"
        )
        with pytest.raises(NetworkError, match="fewer"):
            room.trainer.start(SMALL, large)
        assert room.trainer.state == "idle"

    in_class(scenario)


def test_repeating_a_run_is_bounded_as_well(in_class, digits, monkeypatch):
    async def scenario(rooms):
        trainer = (await rooms.enter("a" * 16, digits)).trainer
        train(trainer)
        wait_for_evaluation(trainer)
        trainer.repeat(trainer.run, {"seed": 1})
        wait_for_evaluation(trainer)
        monkeypatch.setattr(module, "TRAINING_BYTES", 1000)
        with pytest.raises(NetworkError, match="more memory"):
            trainer.repeat(trainer.run, {"seed": 2})

    in_class(scenario)


@pytest.mark.parametrize("network", ["codelab_cnn", "dense_baseline", "fast_cnn"])
def test_usual_trainings_fit_a_room(network):
    config = TrainConfig(network=network, train_images=55_000)
    assert training_bytes(config, config.build_architecture()) < module.TRAINING_BYTES


def test_everyone_hears_of_what_is_shown_and_of_the_lesson(in_class, digits, trainer):
    async def scenario(rooms):
        teacher = await rooms.of(None, trainer)
        assert (teacher.name, teacher.is_teachers, teacher.trainer) == ("The teacher", True, trainer)
        one, two = [await rooms.of(letter * 16, trainer) for letter in "ab"]
        told = [shown(room) for room in (teacher, one, two)]
        rooms.show(one)
        assert rooms.shown is one
        assert [heard.pop() for heard in told] == ["class"] * 3
        lesson = LessonLink(changes={"epochs": 3}, tab="training")
        assert await rooms.begin_lesson(lesson) == 2
        assert told == [[], [lesson], [lesson]]
        assert rooms.lesson is lesson

    in_class(scenario)


def test_end_closes_everything_but_the_teachers_page_and_changes_the_key(in_class, digits, trainer):
    async def scenario(rooms):
        teacher = shown(await rooms.of(None, trainer))
        room = await rooms.of("a" * 16, trainer)
        told, key = shown(room), rooms.admission.key
        room.trainer.start(SMALL, paused=True)
        rooms.show(room)
        await rooms.end()
        assert told[-2:] == ["location.reload()", "deleted"]
        assert "deleted" not in teacher
        assert rooms.admission.key != key
        assert (rooms.all, rooms.shown, rooms.find("a" * 16)) == ([], None, None)
        assert room.trainer.state != "training"
        trainer.start(SMALL, paused=True)

    in_class(scenario)


@pytest.mark.parametrize("ends_while", ["the browser comes", "others are let in", "the room is made", "it waits"])
def test_nobody_is_in_the_next_class_by_the_key_of_the_last(in_class, digits, trainer, monkeypatch, ends_while):
    async def scenario(rooms):
        key, made = rooms.admission.key, rooms._made
        if ends_while == "the room is made":

            def slowly(*arguments):
                asyncio.run_coroutine_threadsafe(rooms.end(), loop).result(9)
                return made(*arguments)

            loop = asyncio.get_running_loop()
            monkeypatch.setattr(rooms, "_made", slowly)
        if ends_while == "others are let in":
            async with rooms._entering:
                coming = asyncio.create_task(rooms.of("a" * 16, trainer, key))
                await asyncio.sleep(0)
                await rooms.end()
        elif ends_while == "it waits":
            room = await rooms.of("a" * 16, trainer, key)
            await rooms.end()
            with pytest.raises(RunError, match="Reload"):
                rooms.add(room, SimpleNamespace(client=Mock()))
            assert not room.by_client
            return
        else:
            if ends_while == "the browser comes":
                await rooms.end()
            coming = asyncio.create_task(rooms.of("a" * 16, trainer, key))
        with pytest.raises(RunError, match="This class is over"):
            await coming
        assert (rooms.all, rooms._keys) == ([], {})

    in_class(scenario)


def test_room_that_was_let_go_while_its_page_waited_takes_no_page(in_class, digits, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROOMS", 1)

    async def scenario(rooms):
        room = await rooms.enter("a" * 16, digits)
        await rooms.enter("b" * 16, digits)
        with pytest.raises(RunError, match="Reload"):
            rooms.add(room, SimpleNamespace(client=Mock()))

    in_class(scenario)


def test_room_whose_page_waits_to_be_built_keeps_its_place(in_class, digits, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROOMS", 1)

    async def scenario(rooms):
        room = await rooms.enter("a" * 16, digits)
        with room.awaiting():
            with pytest.raises(RunError, match="All 1 rooms"):
                await rooms.enter("b" * 16, digits)
            rooms.add(room, SimpleNamespace(client=Mock(has_socket_connection=True)))
        assert rooms.all == [room]

    in_class(scenario)


def test_pages_that_were_left_are_few_however_often_one_reloads(in_class, digits):
    async def scenario(rooms):
        room = await rooms.enter("a" * 16, digits)
        deleted = []
        for n in range(3 * module.MOST_PAGES):
            client = Mock(has_socket_connection=False, _delete_tasks={"d": None})
            client.delete = lambda n=n, client=client: (deleted.append(n), rooms._left(room, client))
            rooms.add(room, SimpleNamespace(client=client))
        assert len(room.by_client) == module.MOST_PAGES
        assert deleted == list(range(2 * module.MOST_PAGES)), "the oldest first"
        for client in list(room.by_client)[:2]:
            client.has_socket_connection = True
        rooms.add(room, SimpleNamespace(client=Mock(has_socket_connection=True)))
        assert len(room.seen_pages) == 3, "who is there stays"

    in_class(scenario)


@pytest.mark.parametrize("name", ["\u3164", "\u2800 \u2800", "\u200d", "\u0301\u0489", "\u115f\u1160", "\ufe0f\u034f"])
def test_name_that_nobody_sees_is_none(name):
    with pytest.raises(InputError):
        checked_name(name)


@given(st.text())
def test_names_are_one_short_line_that_steers_nothing(name):
    try:
        found = checked_name(name)
    except InputError:
        return
    assert 0 < len(found) <= LONGEST_NAME
    assert found.isprintable() or all(letter.isprintable() or letter == " " for letter in found)
    assert checked_name(found) == found


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"name": 3}', b'{"name": ""}', b'{"name": "\\u202e"}', b"x" * 9999]
)
def test_damaged_name_file_is_no_name(content, tmp_path):
    (tmp_path / "room.json").write_bytes(content)
    assert module._kept_name(tmp_path) == ("3" if content == b'{"name": 3}' else "")


def test_kept_name_is_read_again(in_class, digits, out):
    async def scenario(rooms):
        room = await rooms.enter("a" * 16, digits)
        rooms.rename(room, "  Zoë  ")
        rooms.keep_name(room)
        assert json.loads((out / "class" / ("a" * 16) / "room.json").read_text()) == {"name": "Zoë"}
        assert module._kept_name(out / "class" / ("a" * 16)) == "Zoë"

    in_class(scenario)
