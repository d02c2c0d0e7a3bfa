"""Who may ask: this machine's own programs, or whoever has the token."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.serving.accounting import Lines
from digitlab.serving.api import OPEN_PATHS, PATHS
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
