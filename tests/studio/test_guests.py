"""Pages that nobody shows are freed, and what no browser sends leaves no traceback."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from engineio.packet import Packet
from nicegui import Client, core
from nicegui.app.app import prune_tab_storage

from digitlab.serving.server import STUCK_S, Stuck
from digitlab.studio import access, app
from digitlab.studio.page import current_page
from digitlab.studio.startup import Opening
from digitlab.studio.trainer import Trainer
from tests.studio.visiting import User, visit

pytestmark = pytest.mark.slow


class Opened(Opening):
    """An opening that is over."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(Path("unused"), autostart=False, expects_page=False)
        self.trainer, self.is_ready = trainer, True


def test_page_that_was_left_is_freed_with_all_its_tabs(trainer: Trainer) -> None:
    async def scenario(user: User) -> None:
        client = user.client
        with user:
            page = current_page()
            page.on(page.follow, "subject")
        for name in app.BUILDERS:
            page.set_tab(name)
        left = weakref.ref(page)
        await user.open("/")
        client.delete()
        del page, client

        for _ in range(1_200):  # what runs for it has to notice first, on a busy machine too
            gc.collect()
            if left() is None:
                break
            await asyncio.sleep(0.05)
        assert left() is None

    visit(app.set_up_page(Opened(trainer)), scenario)


def test_pages_that_no_browser_shows_are_few_and_the_shown_one_stays(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_unseen", {})

    async def scenario(user: User) -> None:
        shown = user.client
        for _ in range(access.MOST_UNSEEN + 10):
            assert (await user.http_client.get("/")).status_code == 200
        assert len(Client.instances) <= access.MOST_UNSEEN + 2
        assert not shown.is_deleted  # type: ignore[union-attr]

    visit(app.set_up_page(Opened(trainer)), scenario)


# ---- what no browser sends ----


@pytest.mark.parametrize("content", ['51-["event",{"_placeholder":true,"num":0}]', '59999999-["event"]', "61-[]"])
def test_messages_with_parts_that_are_no_text_are_refused(content: str) -> None:
    with pytest.raises(ValueError, match="parts that are no text"):
        access._Plain(encoded_packet=content)
    assert access._Plain(encoded_packet='2["event",{}]').data == ["event", {}]


def test_who_takes_nothing_of_what_is_sent_is_sent_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_MOST_WAITING", 1_000)

    async def go() -> None:
        waiting = access._Waiting()
        for _ in range(3):
            await waiting.put(Packet(data="x" * 200))
        assert (waiting.qsize(), (await waiting.get()).data) == (3, "x" * 200)
        for _ in range(100):
            await waiting.put(Packet(data="x" * 200))
        assert (waiting.qsize(), waiting.get_nowait()) == (1, None)

    asyncio.run(go())


def test_websocket_whose_client_takes_nothing_ends() -> None:
    ended: list[bool] = []
    transport: Any = SimpleNamespace(get_write_buffer_size=lambda: 7, abort=lambda: ended.append(True))
    stuck = Stuck()
    for now in (0.0, STUCK_S - 1):
        stuck.look(transport, now)
    assert ended == []
    stuck.look(transport, STUCK_S + 1)
    assert ended == [True]


@pytest.mark.parametrize(
    ("chunks", "headers", "status"),
    [
        ([b'40{"a":1}'], {}, 200),
        ([b"4", b"0"], {"transfer-encoding": "chunked"}, 200),
        ([b"x"], {"content-length": "1000001"}, 413),
        ([bytes(600_000)] * 2, {"transfer-encoding": "chunked"}, 413),
        ([b"x", None], {"content-length": "10"}, 408),
    ],
)
def test_bodies_of_browsers_without_websockets_are_bounded(
    monkeypatch: pytest.MonkeyPatch, chunks: list[bytes | None], headers: dict[str, str], status: int
) -> None:
    monkeypatch.setattr(access, "_BODY_S", 0.05)
    sent: list[Any] = []
    rest = iter(chunks)
    n_left = len(chunks)

    async def receive() -> Any:
        nonlocal n_left
        chunk = next(rest)
        n_left -= 1
        if chunk is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": chunk, "more_body": n_left > 0 or status == 413}

    async def send(message: Any) -> None:
        sent.append(message)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        assert message["body"] == b"".join(chunk for chunk in chunks if chunk)
        assert (b"content-length", str(len(message["body"])).encode()) in scope["headers"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/_nicegui_ws/socket.io/", "headers": raw, "query_string": b""}
    asyncio.run(access.Polled(page)(scope, receive, send))
    assert sent[0]["status"] == status


def test_what_a_tab_could_store_is_forgotten_with_it(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """NiceGUI keeps a place for every tab that ever was, for a month."""
    monkeypatch.setattr(access, "_TAB_S", -1.0)

    async def scenario(user: User) -> None:
        access.take_odd_events()
        assert core.app.storage._tabs
        await prune_tab_storage()
        assert not core.app.storage._tabs

    visit(app.set_up_page(Opened(trainer)), scenario)


def test_names_as_long_as_messages_are_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[object] = []

    async def shake(sid: str, names: dict[str, str]) -> bool:
        kept.append(names)
        return True

    handler = access._careful("handshake", shake)
    assert asyncio.run(handler("s", {"tab_id": "x" * 36, "next_message_id": 0})) is True
    assert asyncio.run(handler("s", {"tab_id": "x" * 36, "document_id": "x" * 999_000})) is None
    assert len(kept) == 1
    assert "was not understood: ValueError" in caplog.text


@pytest.mark.parametrize(
    ("query", "n", "status"),
    [
        (b"EIO=4&transport=polling", access.MOST_SESSIONS - 1, 200),
        (b"EIO=4&transport=polling", access.MOST_SESSIONS, 503),
        (b"EIO=4&transport=polling&sid=", access.MOST_SESSIONS, 503),
        (b"EIO=4&transport=polling&sid=abc", access.MOST_SESSIONS, 200),
    ],
)
def test_sessions_of_browsers_without_websockets_are_bounded(
    monkeypatch: pytest.MonkeyPatch, query: bytes, n: int, status: int
) -> None:
    monkeypatch.setattr(core.sio.eio, "sockets", dict.fromkeys(range(n)))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {"type": "http", "method": "GET", "path": "/_nicegui_ws/socket.io/", "headers": [], "query_string": query}
    asyncio.run(access.Polled(page)(scope, cast(Any, None), send))
    assert sent[0]["status"] == status
