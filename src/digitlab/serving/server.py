"""The server as a process: from the first line in the terminal to the last answer after Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Lifespan

from digitlab.errors import ConfigError
from digitlab.evaluation.evaluate import scale_warning_on_mnist
from digitlab.network.formats.files import is_model_file
from digitlab.serving.accounting import Accounted, Lines
from digitlab.serving.api import OPEN_PATHS, PATHS, PredictDoor, build_api
from digitlab.serving.connections import Connection, HeardOut
from digitlab.serving.guard import Guard, checked_token, is_loopback
from digitlab.serving.limits import ServingOptions
from digitlab.serving.service import Service

#: The port that is tried first where none is asked for.
FIRST_PORT = 8000

_MOST_TRIES = 100


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


# Connections that are accepted in one go, so that their number is looked at before files run out.
_BACKLOG = 128


def guarded_api(
    service: Service,
    lines: Lines,
    *,
    token: str | None = None,
    local_only: bool = True,
    lifespan: Lifespan[FastAPI] | None = None,
) -> ASGIApp:
    """Return the API as an ASGI app that lets in who may ask, and counts and logs every request."""
    door = PredictDoor(build_api(service, lifespan), service)
    guard = Guard(door, token=token, local_only=local_only, open_paths=OPEN_PATHS)
    return Accounted(guard, service.measures, lines, PATHS)


def run_server(
    options: ServingOptions,
    model: str | None = None,
    runs: Path = Path("runs"),
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    log: bool = True,
) -> int:
    """Serve the API until Ctrl-C or SIGTERM, requests that were accepted before being answered first; return 0.

    Raises ``InputError`` if host, port, token or model cannot be used.
    """
    token = checked_token(host, token, "API")
    service = Service(options, model, runs)
    lines = Lines(sys.stderr if log else None)
    with listening_socket(host, port) as listening:
        print(f"Loading {model or 'the shipped reader'} ...", flush=True)
        predictor = service.predictor  # before the first request, not during it
        if model is not None and is_model_file(model) and (warning := scale_warning_on_mnist(predictor.model)):
            print(warning, flush=True)
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
            guarded_api(service, lines, token=token, local_only=is_loopback(host), lifespan=lifespan),
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
