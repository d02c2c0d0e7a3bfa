"""Predicting: from the request to ``POST /api/predict`` to its answer.

One image takes the network about as long as FastAPI takes to find out which function to call with what. So these
requests go straight here; FastAPI has the same route, and describes it.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from digitlab.errors import DigitlabError
from digitlab.serving.asked import asked_of, taken_apart
from digitlab.serving.bodies import header, while_connected
from digitlab.serving.refusals import RefusedError, json_response, refusal_of, response_of
from digitlab.serving.service import Service

__all__ = ["PREDICT_PATH", "PredictDoor", "predicted"]

#: Where images go.
PREDICT_PATH = "/api/predict"

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


async def predicted(service: Service, scope: Scope, receive: Receive) -> Response:
    """Answer the images of a request.

    Raises
    ------
    RefusedError, InputError
        If they cannot be answered.
    """
    invert = _invert(scope["query_string"])
    async with service.bodies.of(scope, receive) as body:
        kind = header(scope, b"content-type")
        asked = await taken_apart(asked_of, body, kind, service.options.max_images)
        answers = await service.predict(asked, invert=invert, patiently=partial(while_connected, receive))
    return json_response([answer.to_dict() for answer in answers])


class PredictDoor:
    """Answers requests to predict, and hands all others to an ASGI app."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or lifespan."""
        if scope["type"] != "http" or scope["path"] != PREDICT_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await predicted(self._service, scope, receive)
        except RefusedError as refusal:
            response = response_of(refusal)
        except DigitlabError as error:
            response = response_of(refusal_of(error))
        await response(scope, receive, send)


def _invert(query: bytes) -> bool:
    if not query:
        return False
    given = [value.lower() for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True)
             if name == "invert"]  # fmt: skip
    if any(value not in _TRUE + _FALSE for value in given):
        raise RefusedError(422, f"invert is true or false; got {given[-1][:100]!r}.", "Leave it out, or say which.")
    return bool(given) and given[-1] in _TRUE
