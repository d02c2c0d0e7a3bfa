"""The Studio as a process: page, API, trainer and server, from the first line in the terminal to Ctrl-C."""

from __future__ import annotations

import asyncio
import dataclasses
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request
from nicegui import Client, ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from digitlab.errors import RunError
from digitlab.reading.apart import PAGE_SECONDS
from digitlab.serving.accounting import Accounted, Lines
from digitlab.serving.api import PATHS, PredictDoor, build_api
from digitlab.serving.guard import checked_origins, checked_token, host_name, is_loopback
from digitlab.serving.limits import ServingOptions
from digitlab.serving.server import SignalledServer, address_of, lan_address, listening_socket
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
from digitlab.studio.admission import CLASS_PATH, ROOM, Admission
from digitlab.studio.assets import Assets, add_assets, serve_assets
from digitlab.studio.layout import ICON, build_frame, build_refusal, build_waiting, set_up_theme
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.rooms import Room, Rooms
from digitlab.studio.run_list import add_report_route
from digitlab.studio.startup import Opening, announce, say
from digitlab.studio.tabs.class_bar import ClassBar
from digitlab.studio.tabs.class_panel import class_link
from digitlab.studio.tabs.evaluation_tab import EvaluationTab
from digitlab.studio.tabs.input_data_tab import InputDataTab
from digitlab.studio.tabs.model_tab import ModelTab
from digitlab.studio.tabs.network_tab import NetworkTab
from digitlab.studio.tabs.read_desk import PROCESSES, add_read_routes
from digitlab.studio.tabs.read_tab import ReadTab
from digitlab.studio.tabs.runs_tab import RunsTab
from digitlab.studio.tabs.training_tab import build_training_tab
from digitlab.studio.trainer import Trainer


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


def set_up_page(
    opening: Opening, rooms: Rooms | None = None, address: str = ""
) -> Callable[[Request], Awaitable[None]]:
    """Return what builds the page for a browser that asks for it.

    Where there are ``rooms``, whoever comes as a pupil gets one; ``address`` is what others reach this machine by.
    """
    serve_assets()
    set_up_theme()
    building = asyncio.Lock() if rooms is None else rooms.building

    async def build(request: Request) -> None:
        add_assets()
        client = ui.context.client
        keep_few_unseen(client)
        client.on_connect(opening.note_page)
        name = request.scope.get(ROOM)  # which nobody has at the teacher's address
        key = "" if rooms is None else rooms.admission.key
        trainer = opening.trainer
        # A room is for whoever shows it: a request alone gets none.
        if trainer is None or name is not None:
            waiting = build_waiting(opening)
            await client.connected()
            trainer = opening.trainer or await opening.trainer_made()
            if trainer is None or client.is_deleted:
                return
            waiting.delete()
        try:
            room = None if rooms is None else await rooms.of(name, trainer, key)
            with nullcontext() if room is None else room.awaiting():
                async with building:
                    await asyncio.sleep(0)
                    if not client.is_deleted:
                        build_room(request, client, room, trainer if room is None else room.trainer)
        except RunError as error:
            build_refusal(str(error))

    def build_room(request: Request, client: Client, room: Room | None, trainer: Trainer) -> None:
        lesson, sentence = LessonLink.from_query(dict(request.query_params), len(trainer.data.class_names))
        if rooms is not None and rooms.lesson is not None and not request.query_params:
            lesson = rooms.lesson
        elif sentence or "tab" not in request.query_params:
            lesson = dataclasses.replace(lesson, tab=_FIRST_TAB)
        page = Page(trainer, trainer.data, client, lesson, lambda: opening.is_ready)
        if rooms is not None and room is not None:
            rooms.add(room, page)
            ClassBar(page, rooms, room, _reached_by(request) or address)
        build_frame(page, opening, BUILDERS)
        if lesson.tasks:
            page.tell("tasks", lesson.tasks)
        if sentence:
            page.notify(sentence, "warning")
        for note in page.notes:
            page.notify(note)
        page.follow()

    return build


def _reached_by(request: Request) -> str:
    """Return the address by which this request came, if others may come by it, too."""
    host = request.headers.get("host", "")
    return "" if not host or is_loopback(host_name(host)) else f"{request.url.scheme}://{host}"


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
    reached = address_of(listening, lan_address(host)).rstrip("/")
    opening = Opening(out, data, autostart=autostart, expects_page=open_browser)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        say(f"The Studio is at {address}")
        if rooms is not None:
            say(f"A class comes in by {class_link(reached, rooms.admission.key)}")
        say("Ctrl-C ends it.")
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(opening.open()),
            asyncio.create_task(announce(opening)),
        ]
        if open_browser:
            opened = address if token is None else address_of(listening, host, access.key())
            tasks.append(asyncio.create_task(asyncio.to_thread(webbrowser.open, opened)))
        yield
        say("Stopping ...")
        if rooms is not None:
            await rooms.close()
        await opening.close()
        await asyncio.to_thread(service.close)
        for task in tasks:
            task.cancel()

    service = Service(ServingOptions(page_timeout_s=page_seconds), runs=out, apart=PROCESSES)
    # Where everybody shows a token, there may be others than its owner.
    admission = None if token is None else Admission()
    rooms = None if admission is None else Rooms(admission, out, data, opening.turns)
    add_report_route(out, (lambda _: None) if rooms is None else rooms.folder_of)
    add_read_routes()
    add_page(set_up_page(opening, rooms, reached), CLASS_PATH)
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
    asked = BesideThePage(Assets(Polled(app)), service)
    access = Access(asked, token=token, local_only=is_local, origins=origins, admission=admission)
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
