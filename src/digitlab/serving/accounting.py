"""Accounting: every request counted, timed and logged once, and an error in digitlab itself answered like any other."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import IO, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digitlab.serving.guard import RefusedError, response_of

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Measures:
    """Counts and times of one server; each has its own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        registry = self._registry
        words = "Requests that were answered, also with a refusal."
        self._requests = Counter("digitlab_requests", words, ["path", "status"], registry=registry)
        words = "From a request's headers to the end of its answer."
        self._seconds = Histogram("digitlab_request_seconds", words, ["path"], buckets=_SECONDS, registry=registry)
        words = "Images that went through the network together."
        self._batches = Histogram("digitlab_batch_images", words, buckets=_IMAGES, registry=registry)
        words = "Photos, and pages of documents, that were read."
        self.pages = Counter("digitlab_pages_read", words, registry=registry)
        self.images = Counter("digitlab_images_predicted", "Images that were answered.", registry=registry)
        # Looking up labels costs more than counting.
        self._known_requests: dict[tuple[str, int], Counter] = {}
        self._known_seconds: dict[str, Histogram] = {}

    def watch(self, name: str, words: str, value: Callable[[], float]) -> None:
        """Tell also what a function says when it is asked."""
        Gauge(name, words, registry=self._registry).set_function(value)

    def note_batch(self, n_images: int) -> None:
        """Count images that went through the network together."""
        self._batches.observe(n_images)

    def note_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; ``path`` is one of few, whatever was asked for."""
        counter = self._known_requests.get((path, status))
        if counter is None:
            counter = self._known_requests[path, status] = self._requests.labels(path, str(status))
        histogram = self._known_seconds.get(path)
        if histogram is None:
            histogram = self._known_seconds[path] = self._seconds.labels(path)
        counter.inc()
        histogram.observe(seconds)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)


_SECONDS_BETWEEN = 0.2
_MOST_WAITING = 20_000


class Lines:
    """The log, one JSON object a request, written from a thread so that a slow reader of it slows nobody down.

    Lines have no contents of images, no names of files, no addresses with what follows the ``?``, and no tokens.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self._waiting: deque[dict[str, Any]] = deque()
        self._n_dropped = 0
        self._is_called = False
        self._writing = threading.Lock()

    def note(self, **fields: Any) -> None:
        """Write a line soon: the time, and what is given."""
        if self._stream is None:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._n_dropped += 1
            return
        self._waiting.append({"time": time.time(), **fields})
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_later(_SECONDS_BETWEEN, self._call)

    def flush(self) -> None:
        """Write what waits, now."""
        with self._writing:
            records = [self._waiting.popleft() for _ in range(len(self._waiting))]
            dropped, self._n_dropped = self._n_dropped, 0
            if dropped:
                records.append({"time": time.time(), "event": "lines were dropped", "n": dropped})
            if records and self._stream is not None:
                text = "".join(_line(record) for record in records)
                with suppress(OSError, ValueError):
                    # Whoever read the log has gone; the server goes on.
                    self._stream.write(text)
                    self._stream.flush()

    def _call(self) -> None:
        self._is_called = False
        asyncio.get_running_loop().run_in_executor(None, self.flush)


def _line(record: dict[str, Any]) -> str:
    seconds = record["time"]
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
    return json.dumps(record | {"time": stamp}) + "\n"


_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_MOST_PATH = 200


class Accounted:
    """Passes requests to an ASGI app and notes what became of them; ``paths`` are those that are counted by name."""

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
            words = "This is an error in digitlab itself."
            refusal = RefusedError(500, words, "Please report it with the server's log.")
            await response_of(refusal)(scope, receive, counted)
        finally:
            seconds = time.perf_counter() - began
            path = scope["path"]
            self._measures.note_request(path if path in self._paths else "other", status, seconds)
            refused = scope.get("digitlab.refused")
            why = {} if refused is None else {"why": f"{refused.message} {refused.next_step or ''}".strip()}
            self._lines.note(
                level="info",
                method=scope["method"],
                path=path[:_MOST_PATH],
                status=status,
                ms=round(1000 * seconds, 2),
                bytes=scope.get("digitlab.bytes", 0),
                sent=n_sent,
                **why,
            )
