"""The server as a process: from the first line in the terminal to the last answer after Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Lifespan

from digitlab.errors import ConfigError
from digitlab.serving.accounting import Accounted
from digitlab.serving.api import OPEN_PATHS, PATHS, build_api
from digitlab.serving.guard import Guard
from digitlab.serving.lines import Lines
from digitlab.serving.listening import address_of, listening_socket
from digitlab.serving.options import ServingOptions
from digitlab.serving.predicting import PredictDoor
from digitlab.serving.service import Service
from digitlab.serving.tokens import checked_token, is_loopback

__all__ = ["SignalledServer", "guarded_api", "run_server"]


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
        assert service.predictor is not None  # before the first request, not during it
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

        config = uvicorn.Config(
            guarded_api(service, lines, token=token, local_only=is_loopback(host), lifespan=lifespan),
            ws="none",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(options.timeout_s) + 1,
        )
        SignalledServer(config, "The API's server", service.stop).run(sockets=[listening])
    return 0


class SignalledServer(uvicorn.Server):
    """Ends at the first Ctrl-C or SIGTERM, and at once at the second.

    Parameters
    ----------
    config : uvicorn.Config
        What to serve, and how.
    name : str
        What it is called in a message.
    stopping : callable, optional
        Called when the end begins.
    """

    def __init__(self, config: uvicorn.Config, name: str, stopping: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._name, self._stopping = name, stopping

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
