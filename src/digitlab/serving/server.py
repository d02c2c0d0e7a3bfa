"""The server as a process: from the first line in the terminal to the last answer after Ctrl-C."""

from __future__ import annotations

import asyncio
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
from digitlab.evaluation.pixel_scale import scale_warning_on_mnist
from digitlab.network.formats.opening import is_model_file
from digitlab.serving.accounting import Accounted
from digitlab.serving.api import OPEN_PATHS, PATHS, build_api
from digitlab.serving.connections import Connection, HeardOut
from digitlab.serving.guard import Guard
from digitlab.serving.lines import Lines
from digitlab.serving.listening import address_of, listening_socket
from digitlab.serving.options import ServingOptions
from digitlab.serving.predicting import PredictDoor
from digitlab.serving.service import Service
from digitlab.serving.tokens import checked_token, is_loopback

__all__ = ["SignalledServer", "guarded_api", "run_server"]

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
    """Serve the API until Ctrl-C or SIGTERM; requests that were accepted before are answered first.

    Parameters
    ----------
    options : ServingOptions
        The limits.
    model : str, optional
        A run's name or folder, ``latest``, or a file of weights; the shipped reader by default.
    runs : Path
        The folder of runs.
    host : str
        The address to listen on; any but a loopback one needs a token.
    port : int, optional
        8000 or the next free one by default.
    token : str, optional
        What everybody has to show; the environment's ``DIGITLAB_TOKEN`` by default.
    log : bool
        Write a JSON object a request to standard error.

    Returns
    -------
    int
        The exit code: 0 after Ctrl-C or SIGTERM, which is how a server ends.

    Raises
    ------
    ConfigError
        If host, port or token cannot be used.
    InputError
        If the model cannot be used.
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

    Parameters
    ----------
    app : ASGI app
        What to serve.
    name : str
        What it is called in a message.
    stopping : callable, optional
        Called when the end begins.
    **settings
        Of ``uvicorn.Config``.
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
