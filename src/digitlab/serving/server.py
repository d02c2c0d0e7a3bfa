"""The server as a process, from the first line in the terminal to the last answer after Ctrl-C; and its connections.

How many connections there may be, how long each may wait, and how much it may send that leads to nothing is held where
bytes arrive, before anybody has asked for a token. uvicorn has a limit for requests at a time and a time for
connections between two requests; a connection that sends nothing, or the head of a request byte by byte and without
end, is nobody's business there. So its protocol is extended here, for all servers of digitlab.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from digitlab.errors import ConfigError
from digitlab.serving.accounting import Accounted, Lines
from digitlab.serving.api import OPEN_PATHS, PATHS, PredictDoor, build_api
from digitlab.serving.bodies import header
from digitlab.serving.guard import Guard, RefusedError, checked_origins, checked_token, is_loopback, response_of
from digitlab.serving.limits import ServingOptions
from digitlab.serving.service import Service

#: The port that is tried first where none is asked for.
FIRST_PORT = 8000

_MOST_TRIES = 100
# Connections that are accepted in one go, so that their number is looked at before files run out.
_BACKLOG = 128
_CLOSE = {"connection": "close"}

#: Of a request's first line and headers together, and of whatever else is neither body nor head.
MOST_HEAD_BYTES = 65_536
#: Seconds until the head of a request is there, from the connection's beginning or the answer before.
HEAD_S = 10.0
#: Seconds in which a client takes nothing of what it is sent.
STUCK_S = 30.0

# Requests that a client sends before it has the answer to the first.
_MOST_AHEAD = 16
# How long what is still sent is read after an answer was given: altogether, and while nothing comes.
_LINGER_S, _SILENCE_S = 10.0, 1.0


def _most_connections() -> int:
    """Return 512, or half of the files that this process may open: a connection is one, and it needs others."""
    if sys.platform == "win32":
        return 512
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 512 if files == resource.RLIM_INFINITY else max(16, min(512, files // 2))


#: At a time; with one more, the connection that has waited longest without a request is closed.
MOST_CONNECTIONS = _most_connections()


def listening_socket(host: str, port: int | None = None) -> socket.socket:
    """Return a socket that is bound to a host and port (0: any; None: 8000 or the next free one).

    Raises ``ConfigError`` if the port is taken or the host is not this machine.
    """
    if port is not None and not 0 <= port <= 65_535:
        raise ConfigError(f"A port is a number from 0 to 65,535; got {port}.")
    for candidate in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + _MOST_TRIES):
        try:
            return _bound(host, candidate)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(
                    f"{host} is no address of this machine; leave --host out to serve this machine alone."
                ) from None
            if port is not None:
                reason = os.strerror(error.errno).lower() if error.errno else str(error)
                raise ConfigError(f"Port {port} cannot be used: {reason}. Leave --port out for a free one.") from None
    raise ConfigError(f"Ports {FIRST_PORT} to {FIRST_PORT + _MOST_TRIES - 1} are all taken; name another with --port.")


def address_of(listening: socket.socket, host: str, token: str | None = None) -> str:
    """Return the address to open in a browser."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # "all addresses" cannot be opened
    name = f"[{shown}]" if ":" in shown else shown
    return f"http://{name}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")


def lan_address(host: str) -> str:
    """Return an address by which other machines reach a server that listens on ``host``; where none is known, that."""
    if host not in ("0.0.0.0", "::", ""):
        return host
    # Nothing is sent: the system only says from which address it would, to one that is kept for examples.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect(("192.0.2.1", 9))
        return str(towards.getsockname()[0])
    return host


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A port that was in use a moment ago may be taken again; on Windows this would share one in use.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def guarded_api(
    service: Service,
    lines: Lines,
    *,
    token: str | None = None,
    local_only: bool = True,
    origins: Collection[str] = (),
    lifespan: Lifespan[FastAPI] | None = None,
) -> ASGIApp:
    """Return the API as an ASGI app that lets in who may ask, and counts and logs every request; as ``Guard``."""
    door = PredictDoor(build_api(service, lifespan), service)
    guard = Guard(door, token=token, local_only=local_only, open_paths=OPEN_PATHS, origins=origins)
    return Accounted(guard, service.measures, lines, PATHS)


def run_server(
    options: ServingOptions,
    model: str | None = None,
    pixels: str | None = None,
    runs: Path = Path("runs"),
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    log: bool = True,
    allow_origins: Iterable[str] = (),
) -> int:
    """Serve the API until Ctrl-C or SIGTERM, requests that were accepted before being answered first; return 0.

    Raises ``InputError`` if host, port, token, origins, model or pixels cannot be used.
    """
    token = checked_token(host, token, "API")
    origins = checked_origins(allow_origins, token)
    service = Service(options, model, runs, pixels)
    lines = Lines(sys.stderr if log else None)
    with listening_socket(host, port) as listening:
        print(f"Loading {model or 'the shipped reader'} ...", flush=True)
        predictor = service.predictor  # before the first request, not during it
        if predictor.note:
            print(predictor.note, flush=True)
        address = address_of(listening, host)

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            # What has been loaded stays for good: looking through it again and again would make everybody wait.
            gc.collect()
            gc.freeze()
            print(f"The API is at {address}api/ and described at {address}openapi.json\nCtrl-C ends it.", flush=True)
            yield
            await asyncio.to_thread(service.close)
            lines.flush()

        SignalledServer(
            guarded_api(service, lines, token=token, local_only=is_loopback(host), origins=origins, lifespan=lifespan),
            "The API's server",
            service.stop,
            ws="none",
            timeout_graceful_shutdown=int(options.timeout_s) + 1,
        ).run(sockets=[listening])
    return 0


class SignalledServer(uvicorn.Server):
    """Holds connections within limits, and ends at the first Ctrl-C or SIGTERM, and at once at the second.

    ``name`` is what it is called in a message; ``stopping`` is called when the end begins.
    """

    def __init__(self, app: ASGIApp, name: str, stopping: Callable[[], None] = lambda: None, **settings: Any) -> None:
        config = uvicorn.Config(
            HeardOut(app),
            http=Connection,
            backlog=_BACKLOG,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            **settings,
        )
        super().__init__(config)
        self._name, self._stopping = name, stopping

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections every second; uvicorn calls this ten times as often."""
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if (look := getattr(connection, "look", None)) is not None:
                    look(now)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Be told of a signal."""
        if self.should_exit:
            os._exit(128 + sig)
        self._stopping()
        self.should_exit = True

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and tell a server that could not start from one that ended."""
        with suppress(KeyboardInterrupt):
            super().run(sockets=sockets)
        if not self.started:
            raise ConfigError(f"{self._name} could not be started; see the lines above.")


class Stuck:
    """Ends a connection whose client takes nothing of what it is sent."""

    def __init__(self) -> None:
        self._n_unsent, self._since = 0, 0.0

    def look(self, transport: asyncio.Transport, now: float) -> None:
        """End it if nothing was taken for too long; called every second or so with ``time.monotonic()``."""
        n_unsent = transport.get_write_buffer_size()
        if n_unsent != self._n_unsent:
            self._n_unsent, self._since = n_unsent, now
        elif n_unsent and now - self._since > STUCK_S:
            transport.abort()


class Connection(HttpToolsProtocol):
    """One connection, as uvicorn has it, within limits.

    ``waiting_since`` is when it began to wait for the head of a request, by ``time.monotonic``; None while one is
    answered.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.waiting_since: float | None = None
        self._over_since: float | None = None  # when it was refused; from then on nothing is listened to
        self._refusal: RefusedError | None = None
        self._n_idle = 0  # bytes since something came of them
        self._stuck = Stuck()

    def look(self, now: float) -> None:
        """Close it if it has waited too long; called every second or so with ``time.monotonic()``."""
        if self.transport.get_write_buffer_size():
            self._stuck.look(self.transport, now)
        elif self._over_since is not None:
            if now - self._over_since > _LINGER_S:
                self.transport.abort()
        elif self.waiting_since is not None and now - self.waiting_since > HEAD_S:
            if self._n_idle:
                self._refuse(RefusedError(408, f"The request's head did not arrive within {HEAD_S:g} seconds."))
            else:
                self.transport.close()

    # What uvicorn calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.waiting_since = time.monotonic()
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        if self._over_since is not None:
            return
        self._n_idle += len(data)
        super().data_received(data)
        if self._n_idle > MOST_HEAD_BYTES and self._over_since is None:
            self._refuse(_too_long())

    def on_headers_complete(self) -> None:
        self._n_idle = 0
        n_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if n_bytes > MOST_HEAD_BYTES:
            self._refusal = _too_long()
        elif len(self.pipeline) >= _MOST_AHEAD:
            self._refusal = RefusedError(400, f"More than {_MOST_AHEAD} requests came before the first was answered.")
        if self._refusal is not None:
            raise ValueError  # which ends the parsing, and leads to send_400_response
        self.waiting_since = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._n_idle = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._n_idle = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        has_next = bool(self.pipeline)
        super().on_response_complete()
        if not has_next:
            self.waiting_since = time.monotonic()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or RefusedError(400, "What was sent is no HTTP request."))

    def _make_room(self) -> None:
        idle = [
            (other.waiting_since, number, other)
            for number, other in enumerate(self.connections)
            if isinstance(other, Connection) and other is not self and other.waiting_since is not None
        ]
        if idle:
            _, _, oldest = min(idle)
            oldest.waiting_since = None
            self.connections.discard(oldest)
            oldest.transport.abort()
        else:
            message = f"The server has {MOST_CONNECTIONS} connections already, all of them with requests."
            self._refuse(RefusedError(503, message, "Try again later.", retry_after_s=1, headers=_CLOSE))

    def _refuse(self, refusal: RefusedError) -> None:
        """Say why, and listen to nothing more; the connection ends when the client has seen it, or soon."""
        self._over_since = time.monotonic()
        if self.transport.is_closing():
            return
        response = response_of(refusal)
        head = b"".join(name + b": " + value + b"\r\n" for name, value in response.raw_headers)
        self.transport.write(STATUS_LINE[refusal.status] + head + b"\r\n" + bytes(response.body))
        with suppress(OSError, NotImplementedError):
            self.transport.write_eof()


class HeardOut:
    """Reads on when the answer is given before a body has arrived, so that whoever still sends gets to see it.

    A connection that is closed with something unread is reset, and the answer is lost with it: a photo that is too
    large would look like a server that has died.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        if scope["type"] != "http" or not (
            header(scope, b"content-length") not in ("", "0") or header(scope, b"transfer-encoding")
        ):
            await self.app(scope, receive, send)
            return
        is_read = False

        async def received() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False) and not is_read:
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LINGER_S):
                        while not is_read:
                            await asyncio.wait_for(received(), _SILENCE_S)
                message = {"type": "http.response.body"}
            await send(message)

        await self.app(scope, received, answered)


def _too_long() -> RefusedError:
    return RefusedError(431, f"The head of a request has at most {MOST_HEAD_BYTES:,} bytes.", "Send fewer headers.")
