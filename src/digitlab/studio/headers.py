"""What the Studio's answers tell browsers: load nothing from elsewhere, be in no other site's frame, and so on."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from starlette.types import Message, Send

__all__ = ["HEADERS", "Guarded"]

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
