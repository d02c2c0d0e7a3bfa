"""Who may ask: this machine's own programs, or whoever has the token."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.errors import ConfigError
from digitlab.serving.accounting import Lines
from digitlab.serving.api import OPEN_PATHS, PATHS
from digitlab.serving.guard import checked_origins
from digitlab.serving.server import guarded_api
from digitlab.serving.service import Service
from tests.serving.asking import Client

TOKEN = "a-token-of-good-length"


@pytest.fixture(scope="module")
def guarded(service: Service) -> Client:
    return Client(guarded_api(service, Lines(None), token=TOKEN, local_only=False), host="digits.example")


@pytest.mark.parametrize("path", sorted({*PATHS, "/", "/nothing"} - {*OPEN_PATHS}))
@pytest.mark.parametrize(
    "shown", [None, "Bearer wrong-token-of-length", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", TOKEN]
)
def test_without_the_token_everything_is_refused(guarded: Client, path: str, shown: str | None) -> None:
    reply = guarded.ask("GET", path, **({} if shown is None else {"authorization": shown}))
    assert (reply.status, reply.error["code"]) == (401, "token_needed")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in reply.body.decode()


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer   {TOKEN} "])
def test_with_the_token_it_is_answered(guarded: Client, shown: str) -> None:
    assert guarded.ask("GET", "/api/model", authorization=shown).status == 200


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_health_needs_no_token(guarded: Client, path: str) -> None:
    assert guarded.ask("GET", path).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000"])
def test_names_of_this_machine_are_answered(client: Client, host: str) -> None:
    assert client.ask("GET", "/healthz", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1:8000", "localhost.evil"])
def test_foreign_names_for_this_machine_are_refused(client: Client, host: str) -> None:
    reply = client.ask("GET", "/api/model", host=host)
    assert (reply.status, reply.error["code"]) == (403, "not_allowed")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "http://[", "x"])
def test_pages_of_other_sites_are_refused(client: Client, origin: str) -> None:
    assert client.ask("POST", "/api/predict", bytes(784), origin=origin).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_other_sites_pages_make_a_browser_ask_is_refused(client: Client, guarded: Client, site: str) -> None:
    for asking, headers in ((client, {}), (guarded, {"authorization": f"Bearer {TOKEN}"})):
        reply = asking.ask("GET", "/api/model", sec_fetch_site=site, **headers)
        assert (reply.status, reply.error["code"]) == (403, "not_allowed")
    assert client.ask("GET", "/healthz", sec_fetch_site="none").status == 200


def test_host_that_is_named_twice_is_refused(client: Client) -> None:
    # One of them in capitals: the client of these tests keeps one header of a name.
    reply = client.ask("GET", "/healthz", HOST="127.0.0.1")
    assert (reply.status, reply.error["code"]) == (400, "bad_request")


def test_own_origin_is_let_through(client: Client) -> None:
    assert client.ask("GET", "/healthz", origin="http://127.0.0.1:8000").status == 200


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_every_answer_may_load_and_run_nothing(client: Client, path: str) -> None:
    headers = client.ask("GET", path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_header_lets_a_stranger_in(guarded: Client, authorization: bytes, origin: bytes) -> None:
    reply = guarded.ask(
        "GET", "/api/model", authorization=authorization.decode("latin-1").encode("ascii", "replace").decode()
    )
    assert reply.status == 401
    assert guarded.ask("GET", "/metrics", origin=origin.hex()).status in (401, 403)


# ---- pages of other origins, by --allow-origin ----

PAGE = "http://localhost:5500"
PREFLIGHT = {"access_control_request_method": "POST", "access_control_request_headers": "authorization,content-type"}


@pytest.fixture(scope="module")
def opened(service: Service) -> Client:
    return Client(guarded_api(service, Lines(None), origins=checked_origins([PAGE], None)))


@pytest.fixture(scope="module")
def opened_with_token(service: Service) -> Client:
    return Client(guarded_api(service, Lines(None), token=TOKEN, origins=checked_origins([PAGE], TOKEN)))


def test_an_allowed_page_may_ask_and_see_the_answer(opened: Client) -> None:
    headers = {"origin": PAGE, "sec_fetch_site": "same-site"}
    first = opened.ask("OPTIONS", "/api/predict", **headers, **PREFLIGHT)
    assert first.status == 200
    assert first.headers["access-control-allow-origin"] == PAGE
    assert "Authorization" in first.headers["access-control-allow-headers"]
    assert "Content-Type" in first.headers["access-control-allow-headers"]
    for reply in (
        opened.ask("POST", "/api/predict", bytes(784), content_type="application/octet-stream", **headers),
        opened.ask("POST", "/api/predict", b"x", content_type="text/plain", **headers),  # what went wrong, too
        opened.ask("GET", "/nothing", **headers),
    ):
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert "Origin" in reply.headers["vary"]
        assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("origin", ["http://localhost:5501", "https://localhost:5500", "http://evil.example", "null"])
def test_no_other_page_may_and_is_told_the_switch(opened: Client, origin: str) -> None:
    for method, more in (("OPTIONS", PREFLIGHT), ("POST", {}), ("GET", {})):
        reply = opened.ask(method, "/api/predict", origin=origin, **more)
        assert reply.status == 403
        assert f"--allow-origin {origin}" in reply.error["next"]
        assert not any(name.startswith("access-control") for name in reply.headers)


def test_the_host_counts_for_allowed_pages_too(opened: Client) -> None:
    for method, more in (("OPTIONS", PREFLIGHT), ("GET", {})):
        reply = opened.ask(method, "/api/model", host="evil.example", origin=PAGE, **more)
        assert reply.status == 403
        assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_allowing_a_page_allows_no_request_without_its_origin(opened: Client, site: str) -> None:
    assert opened.ask("GET", "/api/model", sec_fetch_site=site).status == 403
    # One header in capitals: the client of these tests keeps one of a name.
    assert opened.ask("GET", "/api/model", origin=PAGE, ORIGIN="http://evil.example").status == 403


def test_the_token_counts_for_allowed_pages_and_they_see_that_it_is_missing(opened_with_token: Client) -> None:
    assert opened_with_token.ask("OPTIONS", "/api/model", origin=PAGE, **PREFLIGHT).status == 200
    reply = opened_with_token.ask("GET", "/api/model", origin=PAGE)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (401, PAGE)
    assert opened_with_token.ask("GET", "/api/model", origin=PAGE, authorization=f"Bearer {TOKEN}").status == 200


def test_all_pages_may_ask_where_a_token_guards(service: Service) -> None:
    client = Client(guarded_api(service, Lines(None), token=TOKEN, origins=checked_origins(["*"], TOKEN)))
    for origin in ("https://anything.example", "null"):
        reply = client.ask("GET", "/api/model", origin=origin, authorization=f"Bearer {TOKEN}")
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "*")
        assert client.ask("GET", "/api/model", origin=origin).status == 401


@pytest.mark.parametrize("word", ["*", "null"])
def test_pages_that_could_be_any_need_a_token(word: str) -> None:
    with pytest.raises(ConfigError, match="token"):
        checked_origins([word], None)
    assert checked_origins([word, PAGE], TOKEN) == {word, PAGE}


@pytest.mark.parametrize(
    ("named", "origin"),
    [
        ("HTTP://LocalHost:5500/", "http://localhost:5500"),
        ("https://digits.example:443", "https://digits.example"),
        ("http://digits.example:80", "http://digits.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://bücher.example", "http://xn--bcher-kva.example"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)
def test_origins_are_known_as_browsers_send_them(named: str, origin: str) -> None:
    assert checked_origins([named], None) == {origin}


@pytest.mark.parametrize(
    "named",
    ["", "localhost:3000", "localhost", "http://", "http://a.example/page", "http://a.example?x", "http://*.example",
     "http://a@b.example", "http://a.example:0", "http://a.example:99999", "http://a b", "file:///home", "http://a\nb"],
)  # fmt: skip
def test_what_is_no_origin_is_told(named: str) -> None:
    with pytest.raises(ConfigError, match=r"scheme://host"):
        checked_origins([named], None)


def test_a_page_that_may_not_ask_stands_in_the_log_with_the_switch(service: Service) -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    Client(guarded_api(service, lines)).ask("OPTIONS", "/api/predict", origin=PAGE, **PREFLIGHT)
    lines.flush()
    [line] = map(json.loads, stream.getvalue().splitlines())
    assert line["status"] == 403
    assert f"--allow-origin {PAGE}" in line["why"]
