"""Lines: the log, one JSON object a request, written so that a slow reader of it slows nobody down."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from contextlib import suppress
from typing import IO, Any

__all__ = ["Lines"]

_SECONDS_BETWEEN = 0.2
_MOST_WAITING = 20_000


class Lines:
    """Gathers lines and writes them from a thread, several at a time.

    Lines have no contents of images, no names of files, no addresses with what follows the ``?``, and no tokens.

    Parameters
    ----------
    stream : text file or None
        Where to; None for nowhere.
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
