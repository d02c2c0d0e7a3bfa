"""Guests: whoever asks for a page and never shows it, asks for one that is not there, or sends what no page sends.

NiceGUI is made for browsers that do as they are told. It builds a whole page for every address, keeps each for a minute
until its browser comes, and prints a traceback for every event that is none. A Studio is open to whatever else runs on
the machine, so these are held here.
"""

from __future__ import annotations

import inspect
import logging
import re
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

# Who prints what is wrong with an event, from the connection up to the element that it is for.
_TELLING = ("uvicorn.error", "engineio.server", "socketio.server", "nicegui")

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")

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
    for name in _TELLING:
        logging.getLogger(name).addFilter(_in_one_line)  # once, however often it is added


def _careful(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    most = len(inspect.signature(handler).parameters)

    async def handled(*arguments: Any) -> Any:
        try:
            result = handler(*arguments[:most])
            return await result if inspect.isawaitable(result) else result
        except ConnectionRefusedError:
            raise
        except Exception as error:
            _LOG.warning("An event %r was not understood: %s", name, _where(error))
            return None

    handled.of = handler  # type: ignore[attr-defined]
    return handled


def _in_one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        what = "An event could not be handled" if isinstance(record.msg, BaseException) else record.getMessage().strip()
        record.msg, record.args, record.exc_info = "%s: %s", (what, _where(error)), None
    # Browsers may have lines written here, and what such a line holds must not steer the terminal.
    record.msg, record.args = "%s", (_CONTROLS.sub(lambda found: ascii(found[0])[1:-1], record.getMessage()),)
    return True


def _where(error: BaseException) -> str:
    """Return what kind of error it is and where it happened, and not what was in it."""
    places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    return f"{type(error).__name__} at {' > '.join(places)}"
