"""Who may talk to the Studio: the token, and the checks against other websites.

Everything passes here, pages, files and the websocket, before NiceGUI sees it. On this machine alone (a loopback
address) no token is needed, but a website that the user visits could still try to reach the Studio through the browser:
by naming its own host for 127.0.0.1 (DNS rebinding), or by opening a websocket to it, which browsers allow from any
site. So the request's Host has to be this machine, and its Origin, where the browser sends one, the Studio's own page.
Pictures and scripts that another site's page asks for have no Origin; the browser says so in Sec-Fetch-Site, and they
are refused before a page is built for them. A click on a link, such as a lesson's, is let through.
"""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digitlab.serving.api import PATHS
from digitlab.serving.guard import (
    RefusedError,
    bearer_of,
    digest,
    host_name,
    is_loopback,
    is_other_site,
    is_own_origin,
    is_same,
    response_of,
)

# Of the HTTP API beside the page, whose errors are JSON.
_WORDS = {
    401: ("The Studio asks for its token.", "Send the header 'Authorization: Bearer ...' with it."),
    400: ("The request names its Host more than once.", "Send one Host header."),
    403: ("The Studio answers only to its own address, and to no other site.", "Ask the address that it shows."),
}
_NO_TOKEN = (
    "401: this Studio asks for its token. Open the address that the terminal shows, which ends with ?token=..., or "
    "send the header 'Authorization: Bearer ...'.\n"
)
_TWO_HOSTS = "400: the request names its Host more than once.\n"
_NOTHING_HERE = "404: there is nothing at this address; the Studio is at /\n"
_WRONG_HOST = "403: the Studio answers only to the address that the terminal shows; open that one.\n"
_WRONG_ORIGIN = "403: the Studio talks only to its own page; open the address that the terminal shows.\n"


class Access:
    """Lets requests and websockets through to an ASGI app, or answers them with a sentence.

    ``token`` is what everybody has to show: once as ``?token=``, which gives the browser a cookie, or as a Bearer
    token. ``local_only`` asks for a loopback Host.
    """

    def __init__(self, app: ASGIApp, *, token: str | None = None, local_only: bool = True) -> None:
        self.app = app
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
        is_named_once = sum(name.lower() == b"host" for name, _ in scope["headers"]) < 2
        refusal = self._refusal(scope, headers) if is_named_once else PlainTextResponse(_TWO_HOSTS, 400)
        if refusal is not None:
            if scope["path"] in PATHS and refusal.status_code in _WORDS:
                refusal = response_of(RefusedError(refusal.status_code, *_WORDS[refusal.status_code]))
            await _answer(refusal, scope, receive, send)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, Guarded(send, headers.get("host", "")))

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        host = headers.get("host", "")
        if self._local_only and not is_loopback(host_name(host)):
            return PlainTextResponse(_WRONG_HOST, 403)
        if "origin" in headers and not is_own_origin(headers["origin"], host):
            return PlainTextResponse(_WRONG_ORIGIN, 403)
        if is_other_site(headers.get("sec-fetch-site", "")) and not _is_click(scope, headers):
            return PlainTextResponse(_WRONG_ORIGIN, 403)
        return self._missing(scope, headers) or _nowhere(scope)

    def _missing(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """Return what is answered to somebody without the token, or who comes with it for the first time."""
        if self._token is None:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = dict(query).get("token")
        if shown is not None and scope["type"] == "http" and scope["method"] == "GET":
            if self._opening is not None and is_same(shown, self._opening):
                self._opening = None
            elif not is_same(shown, self._token):
                return PlainTextResponse(_NO_TOKEN, 401)
            return self._welcome(scope, [pair for pair in query if pair[0] != "token"])
        return None if self._is_known(scope, headers) else PlainTextResponse(_NO_TOKEN, 401)

    def _is_known(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        shown = bearer_of(headers.get("authorization", ""))
        if shown is not None and self._token is not None:
            return is_same(shown, self._token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
        except CookieError:
            return False
        return cookie is not None and is_same(cookie.value, digest(self._session))

    def _welcome(self, scope: Scope, query: list[tuple[str, str]]) -> Response:
        """Hand out the cookie, and go on to the same address without the token."""
        # A page that goes on by itself instead of a redirect: after a click on a link in another site, browsers would
        # not send a strict cookie with the redirected request.
        path = "/" + quote(scope["path"].lstrip("/\\"))  # a path that begins with // would name another host
        address = html.escape(path + ("?" + urlencode(query) if query else ""))
        page = f'<!doctype html><title>digitlab</title><meta http-equiv="refresh" content="0; url={address}">'
        response = HTMLResponse(page, headers={"cache-control": "no-store"})
        response.set_cookie(_cookie_name(scope), self._session, httponly=True, samesite="strict", path="/")
        return response


def _is_click(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Tell whether the browser goes to an address, as with a click on a link, and shows nothing of it elsewhere."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    )


def _nowhere(scope: Scope) -> Response | None:
    """Return that there is nothing where no file can be: the system knows no names with a zero in them."""
    return PlainTextResponse(_NOTHING_HERE, 404) if "\0" in scope["path"] else None


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
