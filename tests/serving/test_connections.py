"""Connections that send nothing, too much, or never end: each over a real socket, to a server in this process."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from digitlab.serving import server as serving
from digitlab.serving.bodies import Bodies
from digitlab.serving.guard import RefusedError, response_of
from digitlab.serving.server import MOST_HEAD_BYTES, Connection, SignalledServer, listening_socket

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
MOST_BYTES = 100_000


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once; at /read only after the body, and at /large with more than a socket takes."""
    if scope["type"] != "http":
        return
    status, body = 200, b"hello"
    if scope["path"] == "/read":
        try:
            async with Bodies(MOST_BYTES, 30.0).of(scope, receive) as content:
                body = b"%d" % len(content)
        except RefusedError as refusal:
            await response_of(refusal)(scope, receive, send)
            return
    if scope["path"] == "/large":
        body = bytes(30_000_000)
    head = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


class Running:
    """A server in a thread of this process."""

    def __init__(self) -> None:
        self.listening = listening_socket("127.0.0.1", 0)
        self.port = self.listening.getsockname()[1]
        self.server = SignalledServer(answering, "A server", ws="none", lifespan="off", timeout_graceful_shutdown=1)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=asyncio.run, args=(self.serve(),), daemon=True)
        self.thread.start()
        wait_for(lambda: self.server.started)

    async def serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self.server.serve(sockets=[self.listening])

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(sent)
        return connection

    def ask(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        finally:
            connection.close()

    def all(self) -> list[Connection]:
        return [one for one in list(self.server.server_state.connections) if isinstance(one, Connection)]

    def look(self, seconds_later: float) -> None:
        """Have all connections looked at, as if it were later."""
        assert self.loop is not None
        done = threading.Event()

        def look() -> None:
            for one in self.all():
                one.look(time.monotonic() + seconds_later)
            done.set()

        self.loop.call_soon_threadsafe(look)
        assert done.wait(30)


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends, "what was waited for did not happen"
        time.sleep(0.002)


def everything(connection: socket.socket) -> bytes:
    """Read until the other end closes."""
    got = b""
    while chunk := connection.recv(65_536):
        got += chunk
    return got


def refusal(answer: bytes) -> tuple[int, dict[str, str]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X: " + b"x" * MOST_HEAD_BYTES + b"\r\n\r\n",
        GET + b"X: x\r\n" * (MOST_HEAD_BYTES // 6) + b"\r\n",
        b"GET /" + b"x" * MOST_HEAD_BYTES + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_head_of_too_many_bytes_is_refused_with_a_sentence(running: Running, head: bytes) -> None:
    with running.connect(head) as connection:
        status, error = refusal(everything(connection))
    assert (status, error["code"]) == (431, "head_too_large")
    assert "65,536 bytes" in error["message"]
    assert running.ask() == 200


def test_head_that_never_ends_is_not_kept(running: Running) -> None:
    with running.connect(GET + b"X: ") as connection:
        with suppress(OSError):  # the server ends it at some time
            for _ in range(100):
                connection.sendall(b"x" * 10_000)
        assert refusal(everything(connection))[0] == 431


@pytest.mark.parametrize("rest", [b"1;" + b"x" * 200_000, b"0\r\nX: " + b"x" * 200_000])
def test_what_is_neither_head_nor_body_is_bounded_too(running: Running, rest: bytes) -> None:
    with running.connect(POST % b"/read" + b"Transfer-Encoding: chunked\r\n\r\n") as connection:
        connection.sendall(rest)
        assert refusal(everything(connection))[0] == 431


def test_head_that_is_long_in_coming_ends_the_connection_with_a_sentence(running: Running) -> None:
    with running.connect(GET) as connection:
        wait_for(lambda: len(running.all()) == 1)
        running.look(5)
        assert len(running.all()) == 1
        running.look(11)
        status, error = refusal(everything(connection))
    assert (status, error["code"]) == (408, "too_slow")


def test_connection_that_sends_nothing_is_closed(running: Running) -> None:
    with running.connect() as connection:
        wait_for(lambda: len(running.all()) == 1)
        running.look(11)
        assert everything(connection) == b""


def test_body_that_nobody_waits_for_keeps_no_connection(running: Running) -> None:
    with running.connect(POST % b"/" + b"Content-Length: 1000000\r\n\r\nxx") as connection:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        wait_for(lambda: running.all()[0].waiting_since is not None)
        connection.sendall(b"x")  # drop by drop
        running.look(11)
        with suppress(ConnectionError):
            everything(connection)
    wait_for(lambda: not running.all())


def test_request_that_is_being_answered_is_left_alone(running: Running) -> None:
    with running.connect(POST % b"/read" + b"Content-Length: 4\r\n\r\nab") as connection:
        wait_for(lambda: [one.waiting_since for one in running.all()] == [None])
        running.look(1_000)
        connection.sendall(b"cd")
        got = b""
        while not got.endswith(b"\r\n\r\n4"):
            got += connection.recv(65_536)


def test_client_that_takes_nothing_of_its_answer_is_given_up(running: Running) -> None:
    with running.connect(POST % b"/large" + b"\r\n"):
        wait_for(lambda: bool(running.all()) and running.all()[0].transport.get_write_buffer_size() > 0)
        running.look(0)
        running.look(20)
        assert len(running.all()) == 1
        running.look(40)
        wait_for(lambda: not running.all())


def test_large_answer_is_not_cut_off_while_somebody_reads_it(running: Running) -> None:
    with running.connect(POST % b"/large" + b"\r\n") as connection:
        n = 0
        while n < 30_000_000:
            n += len(connection.recv(4_000_000))
            running.look(25)
    assert n > 30_000_000


def test_honest_requests_are_answered_beside_more_idle_connections_than_there_may_be(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 8)
    with ExitStack() as held:
        for k in range(40):
            held.enter_context(running.connect(GET if k % 2 else b""))
        for _ in range(5):
            assert running.ask() == 200
        assert len(running.all()) <= 9


def test_where_every_connection_has_a_request_the_next_is_told_to_come_back(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(running.connect(POST % b"/read" + b"Content-Length: 4\r\n\r\n"))
        wait_for(lambda: [one.waiting_since for one in running.all()] == [None] * 3)
        with running.connect() as connection:
            assert refusal(everything(connection))[0] == 503
    wait_for(lambda: not running.all())
    assert running.ask() == 200


def test_requests_ahead_of_their_answers_are_bounded(running: Running) -> None:
    with running.connect((GET + b"\r\n") * 5) as connection:
        got = b""
        while got.count(b"hello") < 5:
            got += connection.recv(65_536)
    with running.connect(POST % b"/read" + b"Content-Length: 4\r\n\r\nabcd" + (GET + b"\r\n") * 5_000) as connection:
        assert b" 400 " in everything(connection)


@pytest.mark.parametrize("junk", [b"\x00\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 100])
def test_what_is_no_http_is_told_in_the_shape_of_all_errors(running: Running, junk: bytes) -> None:
    with running.connect(junk) as connection:
        status, error = refusal(everything(connection))
    assert (status, error["code"]) == (400, "bad_request")


@pytest.mark.parametrize("is_told_before", [True, False])
def test_body_over_its_limit_gets_its_answer_while_it_is_still_being_sent(
    running: Running, is_told_before: bool
) -> None:
    body = bytes(20_000_000)
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        if is_told_before:
            connection.request("POST", "/read", body)
        else:
            connection.request("POST", "/read", (body[:50_000] for _ in range(400)), encode_chunked=True,
                               headers={"Transfer-Encoding": "chunked"})  # fmt: skip
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "too_large")
        connection.close()
