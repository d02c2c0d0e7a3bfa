"""Who may talk to the Studio: the token, and the checks against other websites.

Everything passes here, pages, files and the websocket, before NiceGUI sees it. On this machine alone (a loopback
address) no token is needed, but a website that the user visits could still try to reach the Studio through the browser:
by naming its own host for 127.0.0.1 (DNS rebinding), or by opening a websocket to it, which browsers allow from any
site. So the request's Host has to be this machine, and its Origin, where the browser sends one, the Studio's own page.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from digitlab.errors import ConfigError
from digitlab.studio.headers import HEADERS, Guarded

__all__ = ["TOKEN_VARIABLE", "Access", "checked_token", "is_loopback"]

#: The environment variable that gives the token where no option does.
TOKEN_VARIABLE = "DIGITLAB_TOKEN"

_SHORTEST_TOKEN = 16

_NO_TOKEN = (
    "401: this Studio asks for its token. Open the address that the terminal shows, which ends with ?token=..., or "
    "send the header 'Authorization: Bearer ...'.\n"
)
_WRONG_HOST = "403: the Studio answers only to the address that the terminal shows; open that one.\n"
_WRONG_ORIGIN = "403: the Studio talks only to its own page; open the address that the terminal shows.\n"


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def checked_token(host: str, token: str | None) -> str | None:
    """Return the token that guards the Studio; None where none is needed.

    Parameters
    ----------
    host : str
        The address that the Studio will listen on.
    token : str, optional
        As it was given; the environment's ``DIGITLAB_TOKEN`` by default.

    Raises
    ------
    ConfigError
        If others could reach the Studio and there is no token, or it is too short to guard anything.
    """
    given = token if token is not None else os.environ.get(TOKEN_VARIABLE) or None
    if given is None:
        if is_loopback(host):
            return None
        raise ConfigError(
            f"With --host {host} others could reach this machine's Studio, so it needs a token: add --token, or set "
            f"{TOKEN_VARIABLE}. Here is a good one: {secrets.token_urlsafe(24)}"
        )
    if len(given) < _SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise ConfigError(
            f"A token has at least {_SHORTEST_TOKEN} characters, none of them a space or outside ASCII. "
            f"Here is a good one: {secrets.token_urlsafe(24)}"
        )
    return given


class Access:
    """Lets requests and websockets through to an ASGI app, or answers them with a sentence.

    Parameters
    ----------
    app : ASGI app
        What is guarded.
    token : str, optional
        What everybody has to show: once as ``?token=``, which gives the browser a cookie, or as a Bearer token.
    local_only : bool
        Whether the Host has to be a loopback one.
    """

    def __init__(self, app: ASGIApp, *, token: str | None = None, local_only: bool = True) -> None:
        self.app = app
        self._token = None if token is None else _digest(token)
        self._local_only = local_only
        # The cookie is not the token, and means nothing to the next process.
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(refusal, scope, receive, send)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, Guarded(send, headers.get("host", "")))

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        host = headers.get("host", "")
        if self._local_only and not is_loopback(_name(host)):
            return PlainTextResponse(_WRONG_HOST, 403)
        if "origin" in headers and urlsplit(headers["origin"]).netloc.lower() != host.lower():
            return PlainTextResponse(_WRONG_ORIGIN, 403)
        if self._token is None:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = dict(query).get("token")
        if shown is not None and scope["type"] == "http" and scope["method"] == "GET":
            if not hmac.compare_digest(_digest(shown), self._token):
                return PlainTextResponse(_NO_TOKEN, 401)
            return self._welcome(scope, [pair for pair in query if pair[0] != "token"])
        return None if self._is_known(scope, headers) else PlainTextResponse(_NO_TOKEN, 401)

    def _is_known(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._token is not None:
            return hmac.compare_digest(_digest(shown.strip()), self._token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(_digest(cookie.value), _digest(self._session))

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


def _name(host: str) -> str:
    """Return the name in a Host header, without the port."""
    return host.rpartition(":")[0] if re.search(r":\d+$", host) and not host.endswith("]") else host


def _cookie_name(scope: Scope) -> str:
    # Cookies do not know ports; two Studios on one machine must not take each other's away.
    port = (scope.get("server") or ("", 0))[1]
    return f"digitlab_{port}"


def _digest(text: str) -> bytes:
    # Of equal length whatever was shown, so that the comparison says nothing about the token.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
