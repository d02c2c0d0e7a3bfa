"""Guard: who may ask, the token beyond this machine, and refusals, every one of them in one shape.

A website that the user visits could try to reach a server on this machine through the browser: by naming its own host
for 127.0.0.1 (DNS rebinding), or with a form that is sent elsewhere. So the request's Host has to be this machine
where no token guards it, and its Origin, where the browser sends one, the server itself; and it may not come, as the
browser says in Sec-Fetch-Site, from another site's page. Pages that ``--allow-origin`` names may ask (CORS); Host and
token count for theirs, too.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import os
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from digitlab.errors import ConfigError, DigitlabError

_JSON_TYPE = "application/json"
_NO_STORE = {"cache-control": "no-store"}

#: What each status is called in ``code``, and when it is given.
CODES: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request is broken off or no HTTP."),
    401: ("token_needed", "The token is missing or wrong."),
    403: ("not_allowed", "The request came by a page that is not allowed, or another name for this machine."),
    404: ("not_found", "There is nothing at this address, or of this name."),
    405: ("method_not_allowed", "This address takes other methods."),
    408: ("too_slow", "The request took too long to arrive."),
    413: ("too_large", "The body has too many bytes."),
    415: ("unknown_kind", "The body is of a kind that is not understood."),
    422: ("cannot_be_used", "What was sent cannot be used; the message says why."),
    429: ("too_many", "Too many requests are waiting; try again after so many seconds."),
    431: ("head_too_large", "The headers have too many bytes."),
    500: ("error", "An error in digitlab itself."),
    503: ("unavailable", "The server is starting, stopping, or did not finish in time; try again."),
}


class RefusedError(Exception):
    """Why a request is not answered: a status of ``CODES``, what was wrong in sentences, and what to do next."""

    def __init__(
        self,
        status: int,
        message: str,
        next_step: str | None = None,
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.next_step = status, message, next_step
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
        if status in (400, 408, 413, 431):
            # What is still under way is not read any more.
            self.headers["connection"] = "close"

    def to_dict(self) -> dict[str, Any]:
        """Return the body: ``{"error": {"code", "message", "next"}}``."""
        error = {"code": CODES[self.status][0], "message": self.message}
        return {"error": error if self.next_step is None else error | {"next": self.next_step}}


def refusal_of(error: DigitlabError) -> RefusedError:
    """Return the refusal that an error of digitlab's means: what was sent cannot be used."""
    return RefusedError(422, str(error))


def response_of(refusal: RefusedError) -> Response:
    """Return the answer that says it."""
    return json_response(refusal.to_dict(), refusal.status, refusal.headers)


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with a JSON document, which nobody is to keep."""
    headers = _NO_STORE if headers is None else _NO_STORE | dict(headers)
    return Response(orjson.dumps(document), status, headers, _JSON_TYPE)


#: The environment variable that gives the token where no option does.
TOKEN_VARIABLE = "DIGITLAB_TOKEN"

_SHORTEST_TOKEN = 16


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def host_name(host: str) -> str:
    """Return the name in a Host header, without the port.

    >>> host_name("localhost:8000"), host_name("[::1]:8000"), host_name("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    return host.rpartition(":")[0] if re.search(r":\d+$", host) and not host.endswith("]") else host


def is_own_origin(origin: str, host: str) -> bool:
    """Tell whether an Origin header names the server that the Host header names.

    >>> is_own_origin("http://127.0.0.1:8000", "127.0.0.1:8000"), is_own_origin("null", "127.0.0.1:8000")
    (True, False)
    """
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def is_other_site(fetch_site: str) -> bool:
    """Tell whether a Sec-Fetch-Site header says that a page of another site, or of another port, makes the browser ask.

    Browsers send it with every request, also where they send no Origin: with those for a picture or a script.

    >>> is_other_site("cross-site"), is_other_site("same-origin"), is_other_site("none"), is_other_site("")
    (True, False, False, False)
    """
    return fetch_site.strip().lower() not in ("same-origin", "none", "")


def checked_token(host: str, token: str | None, what: str = "Studio") -> str | None:
    """Return the token that guards a server on ``host``, the environment's by default; None where none is needed.

    Raises ``ConfigError`` if others could reach the server and there is no token, or it is too short to guard anything.
    """
    given = token if token is not None else os.environ.get(TOKEN_VARIABLE) or None
    if given is None:
        if is_loopback(host):
            return None
        raise ConfigError(
            f"With --host {host} others could reach this machine's {what}, so it needs a token: add --token, or set "
            f"{TOKEN_VARIABLE}. Here is a good one: {secrets.token_urlsafe(24)}"
        )
    if len(given) < _SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise ConfigError(
            f"A token has at least {_SHORTEST_TOKEN} characters, none of them a space or outside ASCII. "
            f"Here is a good one: {secrets.token_urlsafe(24)}"
        )
    return given


def digest(text: str) -> bytes:
    """Return a digest of equal length whatever the text, so that comparing says nothing about a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def is_same(shown: str, expected: bytes) -> bool:
    """Tell in constant time whether what was shown has the expected digest."""
    return hmac.compare_digest(digest(shown), expected)


#: Of ``--allow-origin``: any page at all, and pages without an address, such as a file that a browser has open.
ANY_ORIGIN, NO_ORIGIN = "*", "null"

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_USUAL_PORTS = {"http": ":80", "https": ":443"}
_LONGEST_ORIGIN = 300


def checked_origins(named: Iterable[str], token: str | None) -> frozenset[str]:
    """Return the origins that ``--allow-origin`` names, each as browsers send it.

    Every website can send ``null`` from a frame without rights, so it needs a token as ``*`` does: without one,
    whatever site is open in this machine's browser could ask. Raises ``ConfigError`` then, and for what is no origin.
    """
    origins = frozenset(_checked_origin(name) for name in named)
    for word, why in ((ANY_ORIGIN, ""), (NO_ORIGIN, " (any can make itself null)")):
        if word in origins and token is None:
            raise ConfigError(
                f"--allow-origin {word} lets every website ask that a browser of this machine has open{why}, so it "
                f"needs a token for your page to show; here is a good one: --token {secrets.token_urlsafe(24)}. Or "
                "name the page's own address, such as --allow-origin http://localhost:5500; a page in a file gets one "
                "with python -m http.server 5500."
            )
    return origins


def _checked_origin(name: str) -> str:
    origin = name.strip().lower().removesuffix("/")
    if origin in (ANY_ORIGIN, NO_ORIGIN):
        return origin
    if not origin.isascii():
        scheme, mark, host = origin.partition("://")
        with suppress(UnicodeError):  # which is no origin, and told
            origin = scheme + mark + host.encode("idna").decode("ascii")
    if not _ORIGIN.fullmatch(origin) or len(origin) > _LONGEST_ORIGIN or not _has_port(origin):
        raise ConfigError(
            f"--allow-origin {name[:_LONGEST_ORIGIN]} is no origin of pages: scheme://host or scheme://host:port, "
            "without a path and without patterns, such as http://localhost:5500"
        )
    return origin.removesuffix(_USUAL_PORTS.get(origin.partition(":")[0], " "))


def _has_port(origin: str) -> bool:
    """Tell whether an origin's port, where it has one, can be one."""
    try:
        return urlsplit(origin).port != 0
    except ValueError:
        return False


def who_asks(headers: Iterable[tuple[bytes, bytes]], *, local_only: bool) -> RefusedError | str | None:
    """Tell by a request's headers who asks: None for a program or the server's own page, another page's origin else.

    That is empty where the browser says that another page asks, and not which. RefusedError says why nobody is answered
    who asks so: with ``local_only`` the Host has to be a loopback one.
    """
    host, n_hosts, is_foreign = "", 0, False
    origins: list[str] = []
    for name, value in headers:
        if name == b"host":
            host = value.decode("latin-1")
            n_hosts += 1
        elif name == b"origin":
            origins.append(value.decode("latin-1") or NO_ORIGIN)
        elif name == b"sec-fetch-site":
            is_foreign = is_foreign or is_other_site(value.decode("latin-1"))
    if n_hosts > 1:
        return RefusedError(400, "The request names its Host more than once.", "Send one Host header.")
    if local_only and not _is_local(host):
        words = "The server answers only to a name of this machine itself."
        return RefusedError(403, words, "Ask the address that the terminal shows.")
    if not is_foreign and all(is_own_origin(origin, host) for origin in origins):
        return None
    return origins[0] if len(origins) == 1 else ""


@lru_cache(maxsize=64)
def _is_local(host: str) -> bool:
    return is_loopback(host_name(host))


def is_allowed_origin(origin: str, allowed: Collection[str]) -> bool:
    """Tell whether pages of an origin may ask; ``allowed`` is of ``checked_origins``."""
    return origin in allowed or (ANY_ORIGIN in allowed and origin != "")


def with_cors(app: ASGIApp, allowed: Collection[str]) -> ASGIApp:
    """Return an app that tells browsers that pages of these origins may see what it answers, and answers preflights.

    Cookies are not asked for, so a page has to know the token itself.
    """
    return CORSMiddleware(
        app,
        allow_origins=allowed,
        allow_methods=("GET", "POST"),
        allow_headers=("Authorization", "Content-Type"),
        allow_private_network=True,
        expose_headers=("Content-Disposition", "Retry-After"),
    )


def foreign_page(origin: str) -> RefusedError:
    """Return the refusal of a page that is not allowed, which says how it would be."""
    named = origin.lower()
    is_one = named == NO_ORIGIN or bool(_ORIGIN.fullmatch(named[:_LONGEST_ORIGIN]))
    who = f"A page of {named}" if is_one and named != NO_ORIGIN else "A page of another site"
    switch = f"--allow-origin {named if is_one else 'and its address'}"
    return RefusedError(403, f"{who} may not ask.", f"If it is yours, start the server with {switch}")


def bearer_of(authorization: str) -> str | None:
    """Return what an Authorization header shows as ``Bearer``, or None."""
    kind, _, shown = authorization.partition(" ")
    return shown.strip() if kind.lower() == "bearer" else None


class Guard:
    """Lets requests through to an ASGI app, or answers them with a sentence.

    Everybody has to show ``token`` as ``Authorization: Bearer``, but for ``open_paths``; with ``local_only`` the Host
    has to be a loopback one. Pages of ``origins``, of ``checked_origins``, may ask from a browser.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None = None,
        local_only: bool = True,
        open_paths: Collection[str] = (),
        origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._token = None if token is None else digest(token)
        self._local_only = local_only
        self._open_paths = frozenset(open_paths)
        self._origins = origins
        # Around the token: browsers ask without it whether they may send it, and see what is wrong with it.
        self._for_pages = with_cors(self._authorized, origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or lifespan; there are no websockets."""
        if scope["type"] == "http":
            answering = self._who_answers(scope)
            if isinstance(answering, RefusedError):
                scope["digitlab.refused"] = answering
                answering = response_of(answering)
            await answering(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "There are no websockets here."})
        else:
            await self._app(scope, receive, send)

    def _who_answers(self, scope: Scope) -> ASGIApp | RefusedError:
        page = who_asks(scope["headers"], local_only=self._local_only)
        if page is None:
            return self._authorized
        if isinstance(page, RefusedError):
            return page
        return self._for_pages if is_allowed_origin(page, self._origins) else foreign_page(page)

    async def _authorized(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through who shows the token."""
        if self._token is None or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        authorization = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
        shown = bearer_of(authorization.decode("latin-1"))
        if shown is not None and is_same(shown, self._token):
            await self._app(scope, receive, send)
            return
        refusal = RefusedError(
            401,
            "This server asks for its token.",
            "Send the header 'Authorization: Bearer ...' with it.",
            headers={"www-authenticate": "Bearer"},
        )
        await response_of(refusal)(scope, receive, send)
