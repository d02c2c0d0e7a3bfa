"""Where the browser sends drawings and photos, and finds the pictures that it shows; all bounded, nothing on disk."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote

import numpy as np
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from nicegui import app
from numpy.typing import NDArray

from digitlab.errors import DataError, DigitlabError
from digitlab.serving.bodies import Bodies
from digitlab.serving.guard import RefusedError
from digitlab.studio.reading.desk import find_desk
from digitlab.studio.reading.sheet import answer_of

__all__ = ["MOST_BYTES", "READ_PATH", "add_read_routes"]

#: Under which everything is found.
READ_PATH = "/read/{key}"

#: Of a photo or document, and of a drawing.
MOST_BYTES, MOST_DRAWING_BYTES = 64_000_000, 1_000_000

# Width and height of a drawing.
_LEAST_PX, _MOST_PX = 16, 1000

# Those that arrive are held within a number of bytes and a time, as everywhere.
_FILES, _DRAWINGS = Bodies(MOST_BYTES, 60.0), Bodies(MOST_DRAWING_BYTES, 60.0)

_NO_STORE = {"Cache-Control": "no-store"}
_GONE = "This page has been away too long; reload it."
_LOG = logging.getLogger(__name__)


def add_read_routes() -> None:
    """Serve them; a second call replaces the first."""
    app.routes[:] = [r for r in app.routes if not str(getattr(r, "path", "")).startswith(READ_PATH)]

    @app.post(READ_PATH + "/drawing")
    async def drawing(key: str, width: int, request: Request) -> Response:
        desk = find_desk(key)
        if desk is None:
            return _sentence(_GONE, 404)
        try:
            sheet = await desk.take_drawing(_as_drawing(await _body(request, _DRAWINGS), width))
        except RefusedError as refusal:
            return _refused(refusal)
        except DigitlabError as error:
            return _sentence(str(error), 422)
        return JSONResponse(answer_of(sheet), headers=_NO_STORE)

    @app.post(READ_PATH + "/file")
    async def file(key: str, request: Request) -> Response:
        desk = find_desk(key)
        if desk is None:
            return _sentence(_GONE, 404)
        name = unquote(request.headers.get("x-file-name", ""))[:1000]
        try:
            return _sentence(await desk.take_file(name, await _body(request, _FILES)), 200)
        except RefusedError as refusal:
            return _refused(refusal)
        except DigitlabError as error:
            return _sentence(str(error), 422)
        except Exception as error:
            _LOG.exception("A photo could not be read.")
            return _sentence(f"This file cannot be read ({type(error).__name__}). Save it as PNG and try again.", 422)

    @app.get(READ_PATH + "/photo/{at}")
    async def photo(key: str, at: int) -> Response:
        desk = find_desk(key)
        picture = None if desk is None else await desk.picture(at)
        if picture is None:
            return _sentence(_GONE, 404)
        return Response(picture, media_type="image/jpeg", headers=_NO_STORE)


def _as_drawing(content: bytes, width: int) -> NDArray[np.uint8]:
    """Return what a browser sent as a picture: uint8 (h, width), 0-255, ink dark on bright."""
    height = len(content) // max(width, 1)
    if not (_LEAST_PX <= width <= _MOST_PX and _LEAST_PX <= height <= _MOST_PX) or len(content) != width * height:
        raise DataError("This drawing did not arrive whole. Draw on, or reload the page.")
    return np.frombuffer(content, np.uint8).reshape(height, width)


def _sentence(sentence: str, status: int) -> Response:
    content: dict[str, Any] = {"sentence": sentence}
    return JSONResponse(content, status, headers=_NO_STORE)


def _refused(refusal: RefusedError) -> Response:
    return _sentence(f"{refusal.message} {refusal.next_step or ''}".strip(), refusal.status)


async def _body(request: Request, bodies: Bodies) -> bytes:
    """Read what was sent, and no more than is allowed, whatever its header says."""
    async with bodies.of(request.scope, request.receive) as content:
        return content
