"""The Studio as a process: page, API, trainer and server, from the first line in the terminal to Ctrl-C."""

from __future__ import annotations

import asyncio
import dataclasses
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request
from nicegui import ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from digitlab.reading.apart import PAGE_SECONDS
from digitlab.serving.accounting import Accounted, Lines
from digitlab.serving.api import PATHS, PredictDoor, build_api
from digitlab.serving.guard import checked_origins, checked_token, is_loopback
from digitlab.serving.limits import ServingOptions
from digitlab.serving.server import SignalledServer, address_of, listening_socket
from digitlab.serving.service import Service
from digitlab.studio.access import (
    MOST_MESSAGE_BYTES,
    Access,
    Polled,
    Socket,
    add_page,
    keep_few_unseen,
    take_odd_events,
)
from digitlab.studio.assets import Assets, add_assets, serve_assets
from digitlab.studio.layout import ICON, build_frame, build_waiting, set_up_theme
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.run_list import add_report_route
from digitlab.studio.startup import Opening, announce, say
from digitlab.studio.tabs.evaluation_tab import EvaluationTab
from digitlab.studio.tabs.input_data_tab import InputDataTab
from digitlab.studio.tabs.model_tab import ModelTab
from digitlab.studio.tabs.network_tab import NetworkTab
from digitlab.studio.tabs.read_desk import PROCESSES, add_read_routes
from digitlab.studio.tabs.read_tab import ReadTab
from digitlab.studio.tabs.runs_tab import RunsTab
from digitlab.studio.tabs.training_tab import build_training_tab


class BesideThePage:
    """Sends the API's addresses to the API, and all others to the page.

    The API is an app of its own, because its errors are JSON and the page's are not. Its network is loaded when the
    first request comes, so that the page opens no later for it.
    """

    def __init__(self, page: ASGIApp, service: Service) -> None:
        self._page = page
        # The network is there for whoever asks first; who waits for the server to be ready need not ask for it.
        service.state = "ready"
        # Requests to the page are not logged either.
        self._api = Accounted(PredictDoor(build_api(service), service), service.measures, Lines(None), PATHS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        is_api = scope["type"] == "http" and scope["path"] in PATHS
        await (self._api if is_api else self._page)(scope, receive, send)


# Messages that are kept for a browser that lost its connection; where more are missing it loads the page anew, which
# shows the run as well.
_MESSAGES_KEPT = 50
_RECONNECT_S = 10.0

# A digit on its way through the network, which learns meanwhile.
_FIRST_TAB = "network"


def set_up_page(opening: Opening) -> Callable[[Request], Awaitable[None]]:
    """Return what builds the page for a browser that asks for it."""
    serve_assets()
    set_up_theme()

    async def build(request: Request) -> None:
        add_assets()
        client = ui.context.client
        keep_few_unseen(client)
        client.on_connect(opening.note_page)
        if opening.trainer is None:
            waiting = build_waiting(opening)
            await client.connected()
            trainer = await opening.trainer_made()
            if trainer is None or client.is_deleted:
                return
            waiting.delete()
        else:
            trainer = opening.trainer
        lesson, sentence = LessonLink.from_query(dict(request.query_params), len(trainer.data.class_names))
        if sentence or "tab" not in request.query_params:
            lesson = dataclasses.replace(lesson, tab=_FIRST_TAB)
        page = Page(trainer, trainer.data, client, lesson, lambda: opening.is_ready)
        build_frame(page, opening, BUILDERS)
        if sentence:
            page.notify(sentence, "warning")
        for note in page.notes:
            page.notify(note)
        page.follow()

    return build


#: What builds each tab.
BUILDERS: dict[str, Callable[[Page], object]] = {
    "Input Data": InputDataTab,
    "Model": ModelTab,
    "Training": build_training_tab,
    "Network": NetworkTab,
    "Evaluation": EvaluationTab,
    "Read": ReadTab,
    "Runs": RunsTab,
}


def run_studio(
    out: Path = Path("runs"),
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    open_browser: bool = True,
    autostart: bool = True,
    page_seconds: float = PAGE_SECONDS,
    data: str | None = None,
    allow_origins: Iterable[str] = (),
) -> int:
    """Serve the Studio until Ctrl-C or SIGTERM, which is how it ends: the exit code is 0.

    Beyond a loopback ``host`` it needs a token, by default the environment's ``DIGITLAB_TOKEN``; without ``port`` it is
    8000 or the next free one. ``data`` is what is learned from, MNIST by default. Pages of ``allow_origins`` may ask
    the API. ConfigError for what cannot be used.
    """
    token = checked_token(host, token)
    origins = checked_origins(allow_origins, token)
    PROCESSES.allow(page_seconds)
    listening = listening_socket(host, port)
    address = address_of(listening, host, token and quote(token))
    opening = Opening(out, data, autostart=autostart, expects_page=open_browser)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        say(f"The Studio is at {address}\nCtrl-C ends it.")
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(opening.open()),
            asyncio.create_task(announce(opening)),
        ]
        if open_browser:
            opened = address if token is None else address_of(listening, host, access.key())
            tasks.append(asyncio.create_task(asyncio.to_thread(webbrowser.open, opened)))
        yield
        say("Stopping ...")
        await opening.close()
        await asyncio.to_thread(service.close)
        for task in tasks:
            task.cancel()

    service = Service(ServingOptions(page_timeout_s=page_seconds), runs=out, apart=PROCESSES)
    add_report_route(out)
    add_read_routes()
    add_page(set_up_page(opening))
    take_odd_events()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    ui.run_with(
        app,
        title="digitlab",
        favicon=ICON,
        dark=None,  # as the system has it
        language="en-US",
        tailwind=False,
        reconnect_timeout=_RECONNECT_S,
        message_history_length=_MESSAGES_KEPT,
        gzip_middleware_factory=None,
        show_welcome_message=False,
    )
    is_local = is_loopback(host)
    access = Access(BesideThePage(Assets(Polled(app)), service), token=token, local_only=is_local, origins=origins)
    SignalledServer(
        # What is made for one page or answer: compressing it costs more than it saves where nothing leaves the machine.
        access if is_local else GZipMiddleware(access),
        "The Studio's server",
        ws=Socket,
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_per_message_deflate=not is_local,
        timeout_graceful_shutdown=1,
    ).run(sockets=[listening])
    return 0
