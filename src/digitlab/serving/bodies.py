"""Bodies: what was sent, and no more than is allowed, of one request and of all together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from starlette.types import Receive, Scope

from digitlab.serving.refusals import RefusedError

__all__ = ["Bodies", "header", "while_connected"]

T = TypeVar("T")

# Of all requests that are being answered, beside one of the largest.
_MOST_HELD = 256_000_000
_MOST_DIGITS = 18


def header(scope: Scope, name: bytes) -> str:
    """Return a request's header; empty where there is none. ``name`` is in lower case."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


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

    @asynccontextmanager
    async def of(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """Read a body and hold it for the block.

        Raises
        ------
        RefusedError
            If it is too large (told before it is read, where its header says so), too slow, or broken off, or if all
            together would take too much memory.
        """
        length = header(scope, b"content-length")
        if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > self.max_bytes):
            raise self._too_large()
        content = bytearray()
        try:
            try:
                async with asyncio.timeout(self.timeout_s):
                    is_complete = False
                    while not is_complete:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise RefusedError(400, "The connection was closed before the body had arrived.")
                        chunk = message.get("body", b"")
                        content += chunk
                        self.n_held += len(chunk)
                        self._check(len(content))
                        is_complete = not message.get("more_body", False)
            except TimeoutError:
                raise RefusedError(
                    408,
                    f"The body did not arrive within {self.timeout_s:g} seconds.",
                    "Send it again, over a faster connection or smaller.",
                ) from None
            scope["digitlab.bytes"] = len(content)
            yield bytes(content)
        finally:
            self.n_held -= len(content)

    def _check(self, n_bytes: int) -> None:
        if n_bytes > self.max_bytes:
            raise self._too_large()
        if self.n_held > _MOST_HELD + self.max_bytes:
            raise RefusedError(
                503, "The server holds as much as it can of what others sent.", "Try again later.", retry_after_s=2
            )

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413,
            f"A request has at most {self.max_bytes:,} bytes.",
            "Save the photo smaller, or send fewer images at a time.",
        )
