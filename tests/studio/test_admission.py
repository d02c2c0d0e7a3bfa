"""Who comes into a class, asked of the ASGI app directly: by the key to one's own room, and to nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.studio.access import Access
from digitlab.studio.admission import CLASS_PATH, ROOM, Admission
from tests.studio.test_access import PORT, TOKEN, ask, cookie_of


@pytest.fixture
def admission() -> Admission:
    return Admission()


@pytest.fixture
def seen() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def access(admission: Admission, seen: list[dict[str, Any]]) -> Access:
    async def page(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    return Access(page, token=TOKEN, local_only=False, admission=admission)


def come_in(access: Access, admission: Admission, **headers: str) -> str:
    return cookie_of(ask(access, CLASS_PATH, f"key={admission.key}", **headers))


def test_key_gives_a_cookie_and_leads_to_the_page_without_the_key(access: Access, admission: Admission) -> None:
    welcome = ask(access, CLASS_PATH, f"key={admission.key}&tab=model")
    assert welcome.status == 200
    assert 'url=/class?tab=model"' in welcome.body
    assert admission.key not in welcome.body + str(welcome.headers)
    for part in ("HttpOnly", "SameSite=strict", "Max-Age="):
        assert part in welcome.headers["set-cookie"]


@pytest.mark.parametrize(
    "change", [str.upper, lambda key: f"%20{key[:4]}%20{key[4:]}", lambda key: f"{key[:5]}-{key[5:]}"]
)
def test_key_may_be_typed_as_people_type(access: Access, admission: Admission, change: Any) -> None:
    assert ask(access, CLASS_PATH, f"key={change(admission.key)}").status == 200


@pytest.mark.parametrize("query", ["", "key=", "key=wrong", f"key={TOKEN}", "key=%00", "token=wrong"])
def test_without_the_key_the_class_is_closed_with_a_sentence(access: Access, query: str) -> None:
    answer = ask(access, CLASS_PATH, query)
    assert answer.status == 401
    assert "link that your teacher shows" in answer.body


@pytest.mark.parametrize(
    "path", [CLASS_PATH, "/studio/studio.css", "/_nicegui/3/static/nicegui.js", "/read/k", "/rooms/k/r"]
)
def test_pupil_has_a_page_and_what_it_is_made_of(
    access: Access, admission: Admission, seen: list[dict[str, Any]], path: str
) -> None:
    cookie = come_in(access, admission)
    assert ask(access, path, cookie=cookie).status == 200
    assert re.fullmatch("[0-9a-f]{16}", seen[-1][ROOM])
    assert ask(access, "/_nicegui_ws/socket.io/", kind="websocket", cookie=cookie).status == 101


@pytest.mark.parametrize(
    "path",
    ["/", "//class", "/class/", "/class\n", "/runs/r/report.html", "/api/read", "/metrics", "/openapi.json", "/x"],
)
def test_pupil_has_neither_the_teachers_page_nor_runs_nor_the_api(
    access: Access, admission: Admission, seen: list[dict[str, Any]], path: str
) -> None:
    assert ask(access, path, cookie=come_in(access, admission)).status == 401
    assert seen == []


def test_teacher_who_tries_the_link_is_still_the_teacher(
    access: Access, admission: Admission, seen: list[dict[str, Any]]
) -> None:
    both = f"{cookie_of(ask(access, query=f'token={TOKEN}'))}; {come_in(access, admission)}"
    assert ask(access, "/", cookie=both).status == 200
    assert ROOM not in seen[-1]
    assert ask(access, CLASS_PATH, cookie=both).status == 200
    assert ROOM in seen[-1]


def test_teachers_token_alone_opens_no_room(access: Access) -> None:
    assert ask(access, CLASS_PATH, authorization=f"Bearer {TOKEN}").status == 401


def test_room_is_the_same_in_the_next_class_and_nobody_elses(access: Access, admission: Admission) -> None:
    def room(cookie: str) -> str | None:
        return admission.room(cookie.partition("=")[2])

    mine, others = come_in(access, admission), come_in(access, admission)
    before = room(mine)
    assert before is not None
    assert before != room(others)
    admission.renew()
    assert room(mine) is None
    assert ask(access, CLASS_PATH, cookie=mine).status == 401
    again = come_in(access, admission, cookie=mine)
    assert again != mine
    assert room(again) == before


@given(st.text())
def test_no_cookie_of_ones_own_making_lets_in(cookie: str) -> None:
    admission = Admission()
    assert admission.room(cookie) is None
    room = admission.room(admission.cookie(cookie))
    assert room is not None
    assert cookie == "" or cookie not in room or len(cookie) < 16


def test_where_nobody_shows_a_token_there_is_no_class() -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        assert ROOM not in scope
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert ask(Access(page, admission=Admission()), CLASS_PATH, host=f"127.0.0.1:{PORT}").status == 200
