"""Accounting: every request counted, timed and logged once, and an error in digitlab itself answered like any other."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digitlab.serving.lines import Lines
from digitlab.serving.measuring import Measures
from digitlab.serving.refusals import RefusedError, response_of

__all__ = ["Accounted"]

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_MOST_PATH = 200
_OTHER = "other"


class Accounted:
    """Passes requests to an ASGI app and notes what became of them.

    Parameters
    ----------
    app : ASGI app
        What answers.
    measures, lines : Measures, Lines
        Who is told.
    paths : collection of str
        The addresses that are counted by name; all others together.
    """

    def __init__(self, app: ASGIApp, measures: Measures, lines: Lines, paths: Collection[str]) -> None:
        self._app, self._measures, self._lines = app, measures, lines
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = n_sent = 0

        async def counted(message: Message) -> None:
            nonlocal status, n_sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            else:
                n_sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception as error:
            # Where it happened, and not what was in it.
            places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
            self._lines.note(level="error", event="error in digitlab", kind=type(error).__name__, at=places)
            if status:
                raise  # the answer has begun; the connection is all that can be closed
            refusal = RefusedError(
                500, "This is an error in digitlab itself.", "Please report it with the server's log."
            )
            await response_of(refusal)(scope, receive, counted)
        finally:
            seconds = time.perf_counter() - began
            path = scope["path"]
            self._measures.note_request(path if path in self._paths else _OTHER, status, seconds)
            self._lines.note(
                level="info",
                method=scope["method"],
                path=path[:_MOST_PATH],
                status=status,
                ms=round(1000 * seconds, 2),
                bytes=scope.get("digitlab.bytes", 0),
                sent=n_sent,
            )
