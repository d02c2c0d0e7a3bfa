"""Assets: the page's stylesheets, scripts and fonts, under addresses that change with their content, compressed once.

What NiceGUI serves has its version, or the time of the file, in its address; what digitlab serves has a hash there. So
browsers keep both for good, and ask again only for a script that another script names without a hash.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import posixpath
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

from nicegui import __version__ as nicegui_version
from nicegui import app, ui
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digitlab.evaluation.confusion import SHADES
from digitlab.explanation.inside_page import SOURCES

#: Where stylesheets and scripts are kept, and the path under which the page finds them.
STATIC = Path(__file__).parent / "static"
_PATH = "/studio"
_NICEGUI = f"/_nicegui/{nicegui_version}/"
# What the page shares with pages that are handed out: the look of all, and what draws a network's picture; their own
# frame is not among it.
_SHARED = [SHADES, *(path for path in sorted(SOURCES.glob("*.*s*")) if path.name != "page.css")]
# The colours and sizes that all others use come first.
_FIRST = ("tokens.css", "studio.css")

_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
# Fonts and pictures are compressed as they are.
_COMPRESSED = ("text/", "application/javascript", "application/json", "image/svg+xml")
_LEAST_BYTES = 500  # of what is worth compressing
_LEVEL = 6
#: So many files of NiceGUI's are kept compressed, more than it has: each under one address, however it can be written.
_MOST_KEPT = 300
# What would make the answer to a question not the whole file.
_PARTIAL = (b"range", b"if-range", b"if-none-match", b"if-modified-since", b"accept-encoding")


def serve_assets() -> None:
    """Serve the stylesheets and scripts of this package. Once a process."""
    for path in _SHARED:
        app.add_static_file(local_file=path, url_path=f"{_PATH}/{path.name}", max_cache_age=0)
    app.add_static_files(_PATH, STATIC, max_cache_age=0)


def add_assets() -> None:
    """Give the page being built its stylesheets and its script."""
    paths = {path.name: path for path in (*_SHARED, *sorted(STATIC.glob("*.css"))) if path.suffix == ".css"}
    names = [*_FIRST, *(name for name in paths if name not in _FIRST)]
    links = [f'<link rel="stylesheet" href="{_address(paths[name])}">' for name in names]
    script = f'<script type="module" src="{_address(STATIC / "studio.js")}"></script>'
    ui.add_head_html("\n".join([*links, script]))


def _address(path: Path) -> str:
    """Return where a file of digitlab's is found: under its name, with a hash of what is in it."""
    return f"{_PATH}/{path.name}?v={_hash_of(path.read_bytes())}"


def _hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


class _File(NamedTuple):
    """A file as it is sent; ``packed`` is empty where compressing does not pay."""

    headers: list[tuple[bytes, bytes]]
    content: bytes
    packed: bytes
    hash: str


class Assets:
    """Answers for the files of the page what an app serves there, compressed, and "as you have it" where that is so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[str, _File] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        path: str = scope.get("path", "")
        is_ours = path.startswith(f"{_PATH}/")
        if scope["type"] != "http" or scope["method"] != "GET" or not (is_ours or path.startswith(_NICEGUI)):
            await self._app(scope, receive, send)
            return
        file = self._kept.get(path)
        if file is None:
            file = await self._asked(scope, receive, send)
            if file is None:
                return
            # Whoever writes digitlab's own files wants to see them at the next look.
            if not is_ours and len(self._kept) < _MOST_KEPT and posixpath.normpath(path) == path:
                self._kept[path] = file
        headers = MutableHeaders(raw=list(file.headers))
        if is_ours:
            shown = parse_qs(scope["query_string"].decode("latin-1")).get("v", [""])[0]
            headers["cache-control"] = _FOR_GOOD if shown == file.hash else _ASK_AGAIN
        await _answer(file, headers, Headers(scope=scope))(scope, receive, send)

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> _File | None:
        """Return the app's whole answer where it is a file of text; hand any other on, and return None."""
        start: Message = {}
        content = bytearray()

        async def take(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                kind = Headers(raw=message["headers"]).get("content-type", "")
                if message["status"] == 200 and kind.startswith(_COMPRESSED):
                    return
                start = {}
            elif start:
                content.extend(message.get("body", b""))
                return
            await send(message)

        asked = [pair for pair in scope["headers"] if pair[0].lower() not in _PARTIAL]
        await self._app({**scope, "headers": asked}, receive, take)
        if not start:
            return None
        kept = [(name, value) for name, value in start["headers"] if name.lower() not in (b"content-length", b"etag")]
        whole = bytes(content)
        return _File(kept, whole, await asyncio.to_thread(_packed, whole), _hash_of(whole))


# Digitlab's own files are read at every question, and packed once.
@lru_cache(maxsize=100)
def _packed(content: bytes) -> bytes:
    """Return a file compressed; the same for the same, whenever; empty where that does not pay."""
    if len(content) < _LEAST_BYTES:
        return b""
    packed = gzip.compress(content, _LEVEL, mtime=0)
    return packed if len(packed) < len(content) else b""


def _answer(file: _File, headers: MutableHeaders, asked: Headers) -> Response:
    is_packed = bool(file.packed) and "gzip" in asked.get("accept-encoding", "")
    etag = f'"{file.hash}{"-gzip" * is_packed}"'
    headers["etag"] = etag
    headers["vary"] = "Accept-Encoding"
    if etag in [one.strip().removeprefix("W/") for one in asked.get("if-none-match", "").split(",")]:
        del headers["content-type"]
        response = Response(status_code=304)
    else:
        response = Response(file.packed if is_packed else file.content)
        if is_packed:
            headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(response.body))
    response.raw_headers = headers.raw
    return response
