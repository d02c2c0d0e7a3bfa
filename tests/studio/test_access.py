"""Who may talk to the Studio, asked of the ASGI app directly, as a server would."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.errors import ConfigError
from digitlab.serving.guard import TOKEN_VARIABLE, checked_token, is_loopback
from digitlab.studio.access import Access

TOKEN = "a-token-of-good-length"
PORT = 8123


@dataclass(frozen=True)
class Answer:
    """What was answered: status 101 where a websocket was let through."""

    status: int
    headers: dict[str, str]
    body: str


async def _page(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    headers = [(b"content-type", b"text/html"), (b"content-length", b"30")]
    if scope["path"] == "/":
        headers.append((b"x-nicegui-content", b"page"))
    if scope["path"] == "/report":
        headers.append((b"content-security-policy", b"sandbox"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"<script>1</script>", "more_body": True})
    await send({"type": "http.response.body", "body": b"&lt;script&gt;"})


def ask(
    access: Access, path: str = "/", query: str = "", *, kind: str = "http", method: str = "GET", **headers: str
) -> Answer:
    """Send one request, or open one websocket; ``host`` is the Studio's own unless it is given."""
    sent: list[dict[str, Any]] = []
    headers = {"host": f"127.0.0.1:{PORT}"} | headers
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "server": ("127.0.0.1", PORT),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect" if kind == "websocket" else "http.request"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    asyncio.run(access(scope, receive, send))
    if sent[0]["type"] == "websocket.accept":
        return Answer(101, {}, "")
    got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], got, b"".join(message.get("body", b"") for message in sent[1:]).decode())


@pytest.fixture
def guarded() -> Access:
    return Access(_page, token=TOKEN, local_only=False)


@pytest.fixture
def local() -> Access:
    return Access(_page)


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong-token-of-length"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"cookie": f"digitlab_{PORT}={TOKEN}"},
        {"cookie": f"digitlab_{PORT}="},
        {"cookie": "=; ;;\x80"},
    ],
)
def test_without_the_token_everything_is_refused_with_a_sentence(
    guarded: Access, kind: str, headers: dict[str, str]
) -> None:
    answer = ask(guarded, kind=kind, **headers)
    assert answer.status == 401
    assert "?token=" in answer.body


@pytest.mark.parametrize(
    "path", ["/", "/studio/studio.css", "/_nicegui/3.18.0/static/nicegui.js", "/favicon.ico", "/read/k/photo/0"]
)
def test_files_need_the_token_too(guarded: Access, path: str) -> None:
    assert ask(guarded, path).status == 401
    assert ask(guarded, path, authorization=f"Bearer {TOKEN}").status == 200


def test_token_in_the_address_gives_a_cookie_that_opens_pages_and_sockets(guarded: Access) -> None:
    welcome = ask(guarded, query=f"token={TOKEN}&tab=model")
    assert welcome.status == 200
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in welcome.headers["set-cookie"]
    assert TOKEN not in welcome.headers["set-cookie"]
    assert TOKEN not in welcome.body
    assert 'url=/?tab=model"' in welcome.body
    assert welcome.headers["cache-control"] == "no-store"
    cookie = f"other=1; {cookie_of(welcome)}"
    assert ask(guarded, cookie=cookie).status == 200
    assert ask(guarded, "/_nicegui_ws/socket.io/", kind="websocket", cookie=cookie).status == 101


def test_key_of_the_browser_that_is_opened_opens_once(guarded: Access) -> None:
    key = guarded.key()
    assert key != TOKEN
    assert ask(guarded, query=f"token={key}", kind="websocket").status == 401
    assert ask(guarded, query=f"token={key}x").status == 401
    welcome = ask(guarded, query=f"token={key}")
    assert ask(guarded, cookie=cookie_of(welcome)).status == 200
    assert ask(guarded, query=f"token={key}").status == 401
    assert ask(guarded, authorization=f"Bearer {key}").status == 401


def test_cookie_of_one_process_is_nothing_to_the_next(guarded: Access) -> None:
    cookie = cookie_of(ask(guarded, query=f"token={TOKEN}"))
    assert ask(Access(_page, token=TOKEN, local_only=False), cookie=cookie).status == 401


@pytest.mark.parametrize("query", ["token=", "token=wrong", f"token=wrong&token={TOKEN[:-1]}"])
def test_wrong_token_in_the_address_gives_no_cookie(guarded: Access, query: str) -> None:
    answer = ask(guarded, query=query)
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


def test_token_in_the_address_of_a_socket_or_of_a_post_opens_nothing(guarded: Access) -> None:
    assert ask(guarded, query=f"token={TOKEN}", kind="websocket").status == 401
    assert ask(guarded, query=f"token={TOKEN}", method="POST").status == 401


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///evil.example"])
def test_the_way_on_after_the_token_stays_on_this_host(guarded: Access, path: str) -> None:
    answer = ask(guarded, path, f"token={TOKEN}")
    target = re.search(r'url=([^"]*)"', answer.body)
    assert target is not None
    assert re.fullmatch(r"/[^/\\].*", target[1])


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "127.0.0.2"])
def test_loopback_hosts_are_answered(local: Access, host: str) -> None:
    assert ask(local, host=host).status == 200


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8123", "127.0.0.1.evil.example", "localhost.evil", "", "10.0.0.1"]
)
def test_a_foreign_name_for_this_machine_is_refused(local: Access, host: str, kind: str) -> None:
    answer = ask(local, kind=kind, host=host)
    assert answer.status == 403
    assert "the address that the terminal shows" in answer.body


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"http://localhost:{PORT}", "http://127.0.0.1:1", "http://127.0.0.1", ""]
)
def test_other_origins_are_refused(local: Access, origin: str, kind: str) -> None:
    assert ask(local, "/_nicegui_ws/socket.io/", kind=kind, origin=origin).status == 403


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_own_origin_is_let_through_but_does_not_replace_the_token(local: Access, guarded: Access, kind: str) -> None:
    origin = f"http://127.0.0.1:{PORT}"
    assert ask(local, kind=kind, origin=origin).status in (101, 200)
    assert ask(guarded, kind=kind, origin=origin).status == 401


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "something new"])
def test_what_another_sites_page_asks_for_is_refused(local: Access, guarded: Access, site: str, kind: str) -> None:
    assert ask(local, kind=kind, sec_fetch_site=site).status == 403
    assert ask(guarded, kind=kind, sec_fetch_site=site, authorization=f"Bearer {TOKEN}").status == 403
    frame = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}
    assert ask(local, kind=kind, sec_fetch_site=site, **frame).status == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_own_requests_and_typed_addresses_are_let_through(local: Access, site: str) -> None:
    assert ask(local, sec_fetch_site=site).status == 200


def test_link_that_is_clicked_elsewhere_opens_the_page_and_sends_nothing(local: Access, guarded: Access) -> None:
    click = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert ask(local, **click).status == 200
    assert ask(local, method="POST", **click).status == 403
    assert ask(guarded, **click).status == 401
    assert ask(guarded, query=f"token={TOKEN}", **click).status == 200


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "hosts", [["127.0.0.1", "127.0.0.1"], ["evil.example", "127.0.0.1"], ["127.0.0.1", "evil.example"]]
)
def test_host_that_is_named_twice_is_refused(local: Access, kind: str, hosts: list[str]) -> None:
    sent: list[Any] = []
    scope = {
        "type": kind,
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", host.encode()) for host in hosts],
        "extensions": {"websocket.http.response": {}},
    }

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(local(scope, receive, send))
    assert sent[0]["status"] == 400


@pytest.mark.parametrize("path", ["/\0", "/studio/\0.css", "/runs/\0/report.html"])
def test_address_with_a_zero_in_it_is_nowhere(local: Access, guarded: Access, path: str) -> None:
    assert ask(local, path).status == 404
    assert ask(guarded, path).status == 401


def test_page_has_a_policy_whose_nonce_its_own_scripts_carry(local: Access) -> None:
    first, second = ask(local), ask(local)
    nonces = [
        re.findall('nonce[-=]"?([\\w-]{20,})', answer.headers["content-security-policy"])[0]
        for answer in (first, second)
    ]
    assert nonces[0] != nonces[1]
    assert first.body == f'<script nonce="{nonces[0]}">1</script>&lt;script&gt;'
    assert int(first.headers["content-length"]) == len(first.body)
    policy = first.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert f"ws://127.0.0.1:{PORT}" in policy
    assert "script-src 'self' 'nonce-" in policy
    assert "http:" not in policy
    assert "*" not in policy


def test_host_that_is_no_host_does_not_reach_the_policy(guarded: Access) -> None:
    answer = ask(guarded, host="evil; script-src *", authorization=f"Bearer {TOKEN}")
    assert "evil" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/other"])
def test_every_answer_has_the_headers_that_guard_it(local: Access, path: str) -> None:
    for answer in (ask(local, path), ask(local, path, host="evil.example")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_answer_with_a_policy_of_its_own_keeps_it(local: Access) -> None:
    assert ask(local, "/report").headers["content-security-policy"] == "sandbox"


def test_beyond_this_machine_a_token_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert checked_token("127.0.0.1", None) is None
    with pytest.raises(ConfigError, match="needs a token: add --token"):
        checked_token("0.0.0.0", None)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert checked_token("0.0.0.0", None) == TOKEN
    assert checked_token("127.0.0.1", None) == TOKEN
    assert checked_token("0.0.0.0", "another-token-to-use") == "another-token-to-use"


@pytest.mark.parametrize(
    "token", ["", "short", "with a space in the middle", "ümlaut-in-the-token", "line\nin-the-middle-of-it"]
)
def test_token_that_guards_nothing_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="at least 16 characters"):
        checked_token("127.0.0.1", token)


@given(st.text(max_size=40))
def test_no_text_is_taken_for_a_loopback_address_by_accident(host: str) -> None:
    assert not is_loopback(host) or host.strip("[]").lower().startswith(("127.", "::", "0:", "0000:", "localhost"))


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_is_sent_is_answered_or_refused(cookie: bytes, query: bytes) -> None:
    access = Access(_page, token=TOKEN, local_only=False)
    answer = ask(
        access, query=query.decode("latin-1").encode("ascii", "replace").decode(), cookie=cookie.decode("latin-1")
    )
    assert answer.status == 401


def test_a_page_that_is_allowed_may_ask_the_api_and_nothing_else() -> None:
    page = "http://localhost:5500"
    headers = {"origin": page, "sec_fetch_site": "same-site"}
    preflight = {"access_control_request_method": "POST", "access_control_request_headers": "content-type"}
    for token, shown in ((None, {}), (TOKEN, {"authorization": f"Bearer {TOKEN}"})):
        access = Access(_page, token=token, origins=frozenset([page]))
        first = ask(access, "/api/predict", method="OPTIONS", **headers, **preflight)
        assert (first.status, first.headers["access-control-allow-origin"]) == (200, page)
        answer = ask(access, "/api/model", **headers, **shown)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page)
        assert ask(access, "/api/model", **headers | {"host": "evil.example"}, **shown).status == 403
        for path, kind in (("/", "http"), ("/_nicegui_ws/socket.io/", "websocket"), ("/report", "http")):
            assert ask(access, path, kind=kind, **headers, **shown).status == 403
    # Its cookie is the Studio's own page's.
    welcome = ask(access, "/", f"token={TOKEN}")
    cookie = welcome.headers["set-cookie"].partition(";")[0]
    assert ask(access, "/api/model", cookie=cookie).status == 200
    assert ask(access, "/api/model", cookie=cookie, **headers).status == 401


def test_a_page_that_is_not_allowed_is_told_the_switch() -> None:
    answer = ask(Access(_page), "/api/predict", method="OPTIONS", origin="http://localhost:5500")
    assert answer.status == 403
    assert "--allow-origin http://localhost:5500" in answer.body
    assert "access-control-allow-origin" not in answer.headers
