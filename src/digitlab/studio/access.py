"""Who may talk to the Studio, and how much: the token, the checks against other websites, and odd guests.

Everything passes here, pages, files and the websocket, before NiceGUI sees it. On this machine alone (a loopback
address) no token is needed, but a website that the user visits could still try to reach the Studio through the browser:
by naming its own host for 127.0.0.1 (DNS rebinding), or by opening a websocket to it, which browsers allow from any
site. So the request's Host has to be this machine, and its Origin, where the browser sends one, the Studio's own page.
Pictures and scripts that another site's page asks for have no Origin; the browser says so in Sec-Fetch-Site, and they
are refused before a page is built for them. A click on a link, such as a lesson's, is let through.
"""

from __future__ import annotations

import asyncio
import html
import inspect
import logging
import re
import secrets
import traceback
from collections.abc import Callable, Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode

from nicegui import Client, app, core, ui
from socketio.exceptions import ConnectionRefusedError
from socketio.packet import BINARY_ACK, BINARY_EVENT, Packet
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from digitlab.serving.api import PATHS
from digitlab.serving.bodies import Bodies
from digitlab.serving.guard import (
    Guard,
    RefusedError,
    bearer_of,
    digest,
    foreign_page,
    is_allowed_origin,
    is_same,
    response_of,
    who_asks,
)
from digitlab.serving.server import Stuck
from digitlab.studio.admission import CLASS_PATH, ROOM, Admission, is_for_pupils

_NOTHING_HERE = "There is nothing at this address.", "The Studio is at /"
_NO_TOKEN = (
    "This Studio asks for its token.",
    "Open the address that the terminal shows, which ends with ?token=..., or send the header "
    "'Authorization: Bearer ...'.",
)
_NO_KEY = (
    "This class asks for its key.",
    "Open the link that your teacher shows, or type it whole: it ends with ?key=... A class that is over has no key.",
)
_WRONG_PAGE = "The Studio talks only to its own page.", "Open the address that the terminal shows."

_BASE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
#: For everything that is not the page itself: it may load nothing.
HEADERS = _BASE | {"content-security-policy": "default-src 'none'; frame-ancestors 'none'"}

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")

#: Pages whose browser has not come yet: more than a class that opens them at once, each some megabyte.
MOST_UNSEEN = 50
#: Of what a browser sends in one piece, over a websocket or as the body of a request.
MOST_MESSAGE_BYTES = 1_000_000
#: Of browsers with and without websockets, each with the head of its request: more than there can be connections.
MOST_SESSIONS = 1_000
# A pupil comes back to the same room in the next lesson.
_PUPIL_S = 60 * 86_400
# NiceGUI has a place for what a browser's tab stores, by a name of the browser's own, for a month. Nothing is stored.
_TAB_S, _LONGEST_NAME = 60.0, 100

_LOG = logging.getLogger(__name__)

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


class Access:
    """Lets requests and websockets through to an ASGI app, or answers them with a sentence.

    ``token`` is what everybody has to show: once as ``?token=``, which gives the browser a cookie, or as a Bearer
    token. Beside it, ``admission`` lets pupils in to a page of their own. ``local_only`` asks for a loopback Host.
    Pages of ``origins``, of ``checked_origins``, may ask the API, with the Bearer token alone.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None = None,
        local_only: bool = True,
        origins: Collection[str] = (),
        admission: Admission | None = None,
    ) -> None:
        self.app, self._admission = app, admission
        self._guard = Guard(app, token=token, local_only=local_only, origins=origins)
        self._origins = origins
        self._token = None if token is None else digest(token)
        self._local_only = local_only
        # The cookie is not the token, and means nothing to the next process.
        self._session = secrets.token_urlsafe(32)
        self._opening: bytes | None = None

    def key(self) -> str:
        """Return what opens the page as the token does, but only once.

        For the browser that the Studio opens itself: other accounts of a machine see the command lines of programs, and
        with them the addresses that browsers are started with.
        """
        key = secrets.token_urlsafe(32)
        self._opening = digest(key)
        return key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        is_api = scope["type"] == "http" and scope["path"] in PATHS
        page = who_asks(scope["headers"], local_only=self._local_only)
        answer: Response | RefusedError | None
        if page is None or isinstance(page, RefusedError):
            answer = page or self._missing(scope, headers)
        elif is_api and is_allowed_origin(page, self._origins):
            await self._guard(scope, receive, Guarded(send, ""))
            return
        elif not page and "origin" not in headers and _is_click(scope, headers):
            answer = self._missing(scope, headers)
        else:
            answer = foreign_page(page) if is_api else RefusedError(403, *_WRONG_PAGE)
        if answer is None and "\0" in scope["path"]:  # the system knows no names with a zero in them
            answer = RefusedError(404, *_NOTHING_HERE)
        if isinstance(answer, RefusedError):
            answer = response_of(answer) if is_api else _in_words(answer)
        if answer is not None:
            await _answer(answer, scope, receive, send)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, Guarded(send, headers.get("host", "")))

    def _missing(self, scope: Scope, headers: Mapping[str, str]) -> Response | RefusedError | None:
        """Return what is answered to somebody without the token, or who comes with it for the first time."""
        if self._token is None:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if self._admission is not None and is_for_pupils(scope["path"]):
            answer = self._admitted(self._admission, scope, headers, query)
            if answer is not None or ROOM in scope:
                return answer
        shown = dict(query).get("token")
        if shown is not None and scope["type"] == "http" and scope["method"] == "GET":
            if self._opening is not None and is_same(shown, self._opening):
                self._opening = None
            elif not is_same(shown, self._token):
                return RefusedError(401, *_NO_TOKEN)
            return _welcome(scope, [pair for pair in query if pair[0] != "token"], _cookie_name(scope), self._session)
        return None if self._is_known(scope, headers) else RefusedError(401, *_NO_TOKEN)

    def _is_known(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        shown = bearer_of(headers.get("authorization", ""))
        if shown is not None and self._token is not None:
            return is_same(shown, self._token)
        return is_same(_cookie(headers, _cookie_name(scope)), digest(self._session))

    def _admitted(
        self, admission: Admission, scope: Scope, headers: Mapping[str, str], query: list[tuple[str, str]]
    ) -> Response | RefusedError | None:
        """Note in the scope which room a pupil belongs to, or return what is answered; None to who is no pupil."""
        name = f"{_cookie_name(scope)}_class"
        cookie, is_page = _cookie(headers, name), scope["path"] == CLASS_PATH
        shown = dict(query).get("key")
        if is_page and shown is not None and scope["type"] == "http" and scope["method"] == "GET":
            if not admission.is_key(shown):
                return RefusedError(401, *_NO_KEY)
            rest = [pair for pair in query if pair[0] != "key"]
            return _welcome(scope, rest, name, admission.cookie(cookie), max_age=_PUPIL_S)
        room = admission.room(cookie)
        if room is not None:
            scope[ROOM] = room
            return None
        return RefusedError(401, *_NO_KEY) if is_page else None


def _cookie(headers: Mapping[str, str], name: str) -> str:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if cookie is None else cookie.value


def _welcome(
    scope: Scope, query: list[tuple[str, str]], name: str, cookie: str, *, max_age: int | None = None
) -> Response:
    """Hand out a cookie, and go on to the same address without what was shown for it."""
    # A page that goes on by itself instead of a redirect: after a click on a link in another site, browsers would
    # not send a strict cookie with the redirected request.
    path = "/" + quote(scope["path"].lstrip("/\\"))  # a path that begins with // would name another host
    address = html.escape(path + ("?" + urlencode(query) if query else ""))
    page = f'<!doctype html><title>digitlab</title><meta http-equiv="refresh" content="0; url={address}">'
    response = HTMLResponse(page, headers={"cache-control": "no-store"})
    response.set_cookie(name, cookie, max_age=max_age, httponly=True, samesite="strict", path="/")
    return response


def _is_click(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Tell whether the browser goes to an address, as with a click on a link, and shows nothing of it elsewhere."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    )


def _in_words(refusal: RefusedError) -> Response:
    return PlainTextResponse(f"{refusal.status}: {refusal.message} {refusal.next_step}\n", refusal.status)


async def _answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    response.headers.update(HEADERS)
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    await receive()  # websocket.connect
    if "websocket.http.response" in scope.get("extensions", {}):
        await send(
            {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await send({"type": "websocket.http.response.body", "body": bytes(response.body)})
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": "Not allowed."})


def _cookie_name(scope: Scope) -> str:
    # Cookies do not know ports; two Studios on one machine must not take each other's away.
    port = (scope.get("server") or ("", 0))[1]
    return f"digitlab_{port}"


class Guarded:
    """Adds the headers to an answer, and a nonce to the scripts of NiceGUI's pages."""

    def __init__(self, send: Send, host: str) -> None:
        self._send, self._host = send, host
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {name.lower(): value for name, value in message["headers"]}
            if headers.get(b"x-nicegui-content") == b"page":
                self._start = message  # its length changes, so it waits for the body
                return
            # What has a policy of its own, such as a run's report, keeps it.
            extra = {name: value for name, value in HEADERS.items() if name.encode() not in headers}
            message["headers"] = [*message["headers"], *_encoded(extra)]
        elif self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body", False):
                return
            message, start = {"type": "http.response.body", "body": self._body}, self._start
            self._start = None
            await self._send_page(start, message)
            return
        await self._send(message)

    async def _send_page(self, start: Message, message: Message) -> None:
        nonce = secrets.token_urlsafe(16)
        # NiceGUI writes its own scripts into the page; everything that comes from elsewhere has "<" escaped.
        message["body"] = message["body"].replace(b"<script", f'<script nonce="{nonce}"'.encode())
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        extra = _BASE | {
            "content-security-policy": _policy(nonce, self._host),
            "content-length": str(len(message["body"])),
        }
        await self._send({**start, "headers": [*kept, *_encoded(extra)]})
        await self._send(message)


def _policy(nonce: str, host: str) -> str:
    # NiceGUI and Vue make functions of texts ('unsafe-eval') and write styles into elements ('unsafe-inline').
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            f"connect-src 'self'{sockets}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


# ---- guests: whoever asks for a page and never shows it, or sends what no page sends ----
#
# NiceGUI is made for browsers that do as they are told. It builds a whole page for every address, keeps each for a
# minute until its browser comes, prints a traceback for every event that is none, and keeps what was sent in parts, or
# could not be sent, for as long as it takes. A Studio is open to whatever else runs on the machine, so these are held
# here.


def add_page(build: Callable[..., Any], *paths: str) -> None:
    """Serve a page at ``/`` and further paths, and 404 without a page at every address that has nothing."""
    for path in ("/", *paths):
        ui.page(path)(build)

    @app.exception_handler(404)
    async def nowhere(_: Request, __: Exception) -> Response:
        return _in_words(RefusedError(404, *_NOTHING_HERE))


def keep_few_unseen(client: Client) -> None:
    """Note a page that is being built, and free the oldest of those that no browser has shown where there are many."""
    _unseen[client] = None
    client.on_connect(lambda: _unseen.pop(client, None))
    client.on_delete(lambda: _unseen.pop(client, None))
    while len(_unseen) > MOST_UNSEEN:
        next(iter(_unseen)).delete()


def forget(client: Client) -> None:
    """Free a page that a browser has shown, at once; NiceGUI, too, would when its browser stays away."""
    for document in [*client._delete_tasks]:  # else it would find nothing left to free, and say so
        client._cancel_delete_task(document)
    client.delete()


def take_odd_events() -> None:
    """Have events that cannot be handled noted in one line, whatever was in them, and not as a traceback."""
    core.sio.packet_class = _Plain
    core.sio.eio.create_queue = _Waiting
    core.app.storage.max_tab_storage_age = _TAB_S
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
        is_polled = scope["type"] == "http" and scope["path"].startswith(_SOCKETS)
        # engine.io begins a session for every request without one, and forgets it seconds later.
        if is_polled and len(core.sio.eio.sockets) >= MOST_SESSIONS and b"sid" not in parse_qs(scope["query_string"]):
            words = "The Studio is shown by too many browsers."
            refusal = RefusedError(503, words, "Try again later.", retry_after_s=9)
            await response_of(refusal)(scope, receive, send)
            return
        if not is_polled or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            async with self._bodies.of(scope, receive) as body:
                messages = iter([{"type": "http.request", "body": body, "more_body": False}])
                headers = [pair for pair in scope["headers"] if pair[0] not in _OF_LENGTH]
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
            if name == "handshake" and any(len(str(word)) > _LONGEST_NAME for word in arguments[1].values()):
                raise ValueError("a name that no browser has")
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
