"""Guests: whoever asks for a page and never shows it, asks for one that is not there, or sends what no page sends.

NiceGUI is made for browsers that do as they are told. It builds a whole page for every address, keeps each for a minute
until its browser comes, and prints a traceback for every event that is none. A Studio is open to whatever else runs on
the machine, so these are held here.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any

from nicegui import Client, app, core, ui
from socketio.exceptions import ConnectionRefusedError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

__all__ = ["MOST_UNSEEN", "add_page", "keep_few_unseen", "take_odd_events"]

#: Pages whose browser has not come yet: more than a class that opens them at once, each some megabyte.
MOST_UNSEEN = 50

_LOG = logging.getLogger(__name__)
_NOTHING_HERE = "404: there is nothing at this address; the Studio is at /\n"

# Clients that no browser has connected to yet, the oldest first.
_unseen: dict[Client, None] = {}


def add_page(build: Callable[..., Any]) -> None:
    """Serve a page at ``/``, and 404 without a page at every address that has nothing."""
    ui.page("/")(build)

    @app.exception_handler(404)
    async def nowhere(_: Request, __: Exception) -> Response:
        return PlainTextResponse(_NOTHING_HERE, 404)


def keep_few_unseen(client: Client) -> None:
    """Note a page that is being built, and free the oldest of those that no browser has shown where there are many."""
    _unseen[client] = None
    client.on_connect(lambda: _unseen.pop(client, None))
    client.on_delete(lambda: _unseen.pop(client, None))
    while len(_unseen) > MOST_UNSEEN:
        next(iter(_unseen)).delete()


def take_odd_events() -> None:
    """Have events that cannot be handled noted in one line, whatever was in them, and not as a traceback."""
    handlers = core.sio.handlers["/"]
    for name, handler in handlers.items():
        handlers[name] = _careful(name, getattr(handler, "of", handler))
    log = logging.getLogger("nicegui")
    log.filters[:] = [*(old for old in log.filters if old is not _in_one_line), _in_one_line]


def _careful(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    async def handled(*arguments: Any) -> Any:
        try:
            result = handler(*arguments)
            return await result if inspect.isawaitable(result) else result
        except ConnectionRefusedError:
            raise
        except Exception as error:
            _LOG.warning("An event %r was not understood: %s", name, _where(error))
            return None

    handled.of = handler  # type: ignore[attr-defined]
    return handled


def _in_one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else record.msg
    if isinstance(error, BaseException):
        record.msg, record.args, record.exc_info = f"An event could not be handled: {_where(error)}", (), None
    return True


def _where(error: BaseException) -> str:
    """Return what kind of error it is and where it happened, and not what was in it."""
    places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    return f"{type(error).__name__} at {' > '.join(places)}"
