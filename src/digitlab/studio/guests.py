"""Guests: whoever asks for a page and never shows it, asks for one that is not there, or sends what no page sends.

NiceGUI is made for browsers that do as they are told. It builds a whole page for every address, keeps each for a minute
until its browser comes, prints a traceback for every event that is none, and keeps what was sent in parts, or could not
be sent, for as long as it takes. A Studio is open to whatever else runs on the machine, so these are held here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import traceback
from collections.abc import Callable
from typing import Any

from nicegui import Client, app, core, ui
from socketio.exceptions import ConnectionRefusedError
from socketio.packet import BINARY_ACK, BINARY_EVENT, Packet
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from digitlab.serving.bodies import Bodies
from digitlab.serving.guard import RefusedError, response_of
from digitlab.serving.server import Stuck

#: Pages whose browser has not come yet: more than a class that opens them at once, each some megabyte.
MOST_UNSEEN = 50
#: Of what a browser sends in one piece, over a websocket or as the body of a request.
MOST_MESSAGE_BYTES = 1_000_000

_LOG = logging.getLogger(__name__)
_NOTHING_HERE = "404: there is nothing at this address; the Studio is at /\n"

# Who prints what is wrong with an event, from the connection up to the element that it is for.
_TELLING = ("uvicorn.error", "engineio.server", "socketio.server", "nicegui")

_SOCKETS = "/_nicegui_ws/"
_BODY_S = 10.0
_OF_LENGTH = (b"content-length", b"transfer-encoding")
# Characters that wait for a browser to take them: a whole page has a million.
_MOST_WAITING = 32_000_000
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")

# Clients that no browser has connected to yet, the oldest first.
_unseen: dict[Client, None] = {}


def add_page(build: Callable[..., Any]) -> None:
    """Serve a page at ``/``, and 404 without a page at every address that has nothing."""
    ui.page("/")(build)

    @app.exception_handler(404)
    async def nowhere(_: Request, __: Exception) -> Response:
        return PlainTextResponse(_NOTHING_HERE, 404)


def keep_few_unseen(client: Client) -> None:
    """Note a page that is being built, and free the oldest of those that no browser has shown where there are many."""
    _unseen[client] = None
    client.on_connect(lambda: _unseen.pop(client, None))
    client.on_delete(lambda: _unseen.pop(client, None))
    while len(_unseen) > MOST_UNSEEN:
        next(iter(_unseen)).delete()


def take_odd_events() -> None:
    """Have events that cannot be handled noted in one line, whatever was in them, and not as a traceback."""
    core.sio.packet_class = _Plain
    core.sio.eio.create_queue = _Waiting
    handlers = core.sio.handlers["/"]
    for name, handler in handlers.items():
        handlers[name] = _careful(name, getattr(handler, "of", handler))
    for name in _TELLING:
        logging.getLogger(name).addFilter(_in_one_line)  # once, however often it is added


class _Plain(Packet):  # type: ignore[misc]
    """A message of the page's; none has parts that are no text, which would be kept until the last has come."""

    def decode(self, encoded_packet: Any) -> int:
        n_parts: int = super().decode(encoded_packet)
        if n_parts or self.packet_type in (BINARY_EVENT, BINARY_ACK):
            raise ValueError("parts that are no text")
        return n_parts


class _Waiting(asyncio.Queue[Any]):
    """What a browser is to be sent. Where that becomes too much the connection ends; an honest browser comes back."""

    _n_chars, _is_over = 0, False

    async def put(self, item: Any) -> None:
        if self._is_over:
            return
        await super().put(item)
        if self._n_chars > _MOST_WAITING:
            self._is_over = True
            while not self.empty():
                self.get_nowait()
                self.task_done()
            self.put_nowait(None)  # engine.io's word for the end

    def _put(self, item: Any) -> None:
        self._n_chars += _length(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._n_chars -= _length(item)
        return item


def _length(item: Any) -> int:
    # A little for each, so that many that are empty count as well.
    return 100 + len(getattr(item, "data", None) or "")


class Socket(WSProtocol):
    """One websocket, as uvicorn has it, that ends when its client takes nothing of what it is sent."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._stuck = Stuck()

    def look(self, now: float) -> None:
        """End it if it is stuck; called every second or so with ``time.monotonic()``."""
        self._stuck.look(self.transport, now)


class Polled:
    """Bounds what browsers without websockets send: engine.io reads bodies of any length for as long as they come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bodies = Bodies(MOST_MESSAGE_BYTES, _BODY_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        if scope["type"] != "http" or not scope["path"].startswith(_SOCKETS) or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            async with self._bodies.of(scope, receive) as body:
                messages = iter([{"type": "http.request", "body": body, "more_body": False}])
                headers = [
                    pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"transfer-encoding")
                ]
                length = (b"content-length", b"%d" % len(body))

                async def received() -> Message:
                    return next(messages, None) or await receive()

                await self._app({**scope, "headers": [*headers, length]}, received, send)
        except RefusedError as refusal:
            await response_of(refusal)(scope, receive, send)


def _careful(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    most = len(inspect.signature(handler).parameters)

    async def handled(*arguments: Any) -> Any:
        try:
            result = handler(*arguments[:most])
            return await result if inspect.isawaitable(result) else result
        except ConnectionRefusedError:
            raise
        except Exception as error:
            _LOG.warning("An event %r was not understood: %s", name, _where(error))
            return None

    handled.of = handler  # type: ignore[attr-defined]
    return handled


def _in_one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        what = "An event could not be handled" if isinstance(record.msg, BaseException) else record.getMessage().strip()
        record.msg, record.args, record.exc_info = "%s: %s", (what, _where(error)), None
    # Browsers may have lines written here, and what such a line holds must not steer the terminal.
    record.msg, record.args = "%s", (_CONTROLS.sub(lambda found: ascii(found[0])[1:-1], record.getMessage()),)
    return True


def _where(error: BaseException) -> str:
    """Return what kind of error it is and where it happened, and not what was in it."""
    places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    return f"{type(error).__name__} at {' > '.join(places)}"
