"""Bodies: what was sent, and no more than is allowed, of one request and of all together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.types import Receive, Scope

from digitlab.serving.refusals import RefusedError

__all__ = ["Bodies", "Body", "header", "while_connected"]

T = TypeVar("T")

# Of all requests that are being answered, beside one of the largest.
_MOST_HELD = 256_000_000
_MOST_DIGITS = 18


def header(scope: Scope, name: bytes) -> str:
    """Return a request's header; empty where there is none. ``name`` is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do something for a client whose body has been read, and stop when the client has gone.

    Raises
    ------
    RefusedError
        If the client has gone; nobody will see it but the log.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise RefusedError(400, "The connection was closed before the answer was ready.")
    finally:
        for task in (working, gone):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


class Bodies:
    """Reads bodies, and knows how many bytes of them are held.

    Parameters
    ----------
    max_bytes : int
        Of one body.
    timeout_s : float
        How long one may take to arrive, in seconds.

    Attributes
    ----------
    n_held : int
        Bytes that are held now.
    """

    def __init__(self, max_bytes: int, timeout_s: float) -> None:
        self.max_bytes, self.timeout_s = max_bytes, timeout_s
        self.n_held = 0

    def of(self, scope: Scope, receive: Receive) -> Body:
        """Return the body of a request, to be read and held by ``async with``."""
        return Body(self, scope, receive)

    def check(self, n_bytes: int) -> None:
        """Refuse a body of so many bytes, or any more of them.

        Raises
        ------
        RefusedError
            If it is too large, or all together would take too much memory.
        """
        if n_bytes > self.max_bytes:
            raise self.too_large()
        if self.n_held > _MOST_HELD + self.max_bytes:
            raise RefusedError(
                503, "The server holds as much as it can of what others sent.", "Try again later.", retry_after_s=2
            )

    def too_large(self) -> RefusedError:
        """Return what is said of a body that is too large."""
        return RefusedError(
            413,
            f"A request has at most {self.max_bytes:,} bytes.",
            "Save the photo smaller, or send fewer images at a time.",
        )


class Body:
    """One body, read at the beginning of an ``async with`` block and counted as held until its end."""

    __slots__ = ("_bodies", "_n_bytes", "_receive", "_scope")

    def __init__(self, bodies: Bodies, scope: Scope, receive: Receive) -> None:
        self._bodies, self._scope, self._receive = bodies, scope, receive
        self._n_bytes = 0

    async def __aenter__(self) -> bytes:
        """Read it.

        Raises
        ------
        RefusedError
            If it is too large (told before it is read, where its header says so), too slow, or broken off, or if all
            together would take too much memory.
        """
        most = self._bodies.max_bytes
        length = header(self._scope, b"content-length")
        if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > most):
            raise self._bodies.too_large()
        try:
            async with asyncio.timeout(self._bodies.timeout_s):
                content = await self._read()
        except TimeoutError:
            self._let_go()
            raise RefusedError(
                408,
                f"The body did not arrive within {self._bodies.timeout_s:g} seconds.",
                "Send it again, over a faster connection or smaller.",
            ) from None
        except BaseException:
            self._let_go()
            raise
        self._scope["digitlab.bytes"] = len(content)
        return content

    async def __aexit__(self, *_: object) -> None:
        """Let it go."""
        self._let_go()

    async def _read(self) -> bytes:
        content = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise RefusedError(400, "The connection was closed before the body had arrived.")
            chunk: bytes = message.get("body", b"")
            self._n_bytes += len(chunk)
            self._bodies.n_held += len(chunk)
            self._bodies.check(self._n_bytes)
            if not content and not message.get("more_body", False):
                return chunk  # as most do, it came in one piece
            content += chunk
            if not message.get("more_body", False):
                return bytes(content)

    def _let_go(self) -> None:
        self._bodies.n_held -= self._n_bytes
        self._n_bytes = 0
