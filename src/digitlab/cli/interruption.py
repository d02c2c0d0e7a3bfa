"""Ctrl-C as a wish: the work ends where it can be taken up again."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While it is entered, the first Ctrl-C or SIGTERM is only noted; a second one ends the process at once.

    A thread of its own hears of the signals, because the main thread does not while a kernel is compiled. ``signal`` is
    the one that came, if one did.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._undo = ExitStack()

    @property
    def requested(self) -> bool:
        """Whether somebody wants the work to end."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        return 128 + (self.signal or 0)

    def __enter__(self) -> Self:
        # Python lets only the main thread handle signals; elsewhere nothing changes.
        if threading.current_thread() is not threading.main_thread():
            return self
        heard, told = socket.socketpair()
        told.setblocking(False)
        listener = threading.Thread(target=self._listen, args=(heard,), name="digitlab-signals", daemon=True)
        listener.start()
        self._undo.callback(heard.close)
        self._undo.callback(listener.join)
        self._undo.callback(told.close)
        self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False))
        for number in _SIGNALS:
            # A handler that does nothing: the wakeup descriptor has told the listener already.
            self._undo.callback(signal.signal, number, signal.signal(number, lambda *_: None))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def _listen(self, heard: socket.socket) -> None:
        while numbers := heard.recv(16):
            for number in numbers:
                if number not in _SIGNALS:
                    continue
                if self.signal is not None:
                    _end_at_once(128 + number)
                self.signal = number


def _end_at_once(code: int) -> None:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # a progress bar hides the cursor
    os._exit(code)
