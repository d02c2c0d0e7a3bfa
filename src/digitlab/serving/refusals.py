"""Refusals: every error of the API in one shape, ``{"error": {"code", "message", "next"}}``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from digitlab.errors import DigitlabError

__all__ = ["CODES", "RefusedError", "json_response", "refusal_of", "response_of"]

_JSON_TYPE = "application/json"
_NO_STORE = {"cache-control": "no-store"}

#: What each status is called in ``code``, and when it is given.
CODES: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request is broken off or no HTTP."),
    401: ("token_needed", "The token is missing or wrong."),
    403: ("not_allowed", "The request came by another site's page or another name for this machine."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address takes other methods."),
    408: ("too_slow", "The request took too long to arrive."),
    413: ("too_large", "The body has too many bytes."),
    415: ("unknown_kind", "The body is of a kind that is not understood."),
    422: ("cannot_be_used", "What was sent cannot be used; the message says why."),
    429: ("too_many", "Too many requests are waiting; try again after so many seconds."),
    431: ("head_too_large", "The headers have too many bytes."),
    500: ("error", "An error in digitlab itself."),
    503: ("unavailable", "The server is starting, stopping, or did not finish in time; try again."),
}


class RefusedError(Exception):
    """Why a request is not answered.

    Parameters
    ----------
    status : int
        A key of ``CODES``.
    message : str
        What was wrong and what was expected, in sentences.
    next_step : str, optional
        What to do.
    retry_after_s : float, optional
        When to come back.
    headers : mapping, optional
        More headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        next_step: str | None = None,
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.next_step = status, message, next_step
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
        if status in (400, 408, 413, 431):
            # What is still under way is not read any more.
            self.headers["connection"] = "close"

    def to_dict(self) -> dict[str, Any]:
        """Return the body."""
        error = {"code": CODES[self.status][0], "message": self.message}
        return {"error": error if self.next_step is None else error | {"next": self.next_step}}


def refusal_of(error: DigitlabError) -> RefusedError:
    """Return the refusal that an error of digitlab's means: what was sent cannot be used."""
    return RefusedError(422, str(error))


def response_of(refusal: RefusedError) -> Response:
    """Return the answer that says it."""
    return json_response(refusal.to_dict(), refusal.status, refusal.headers)


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with a JSON document, which nobody is to keep."""
    headers = _NO_STORE if headers is None else _NO_STORE | dict(headers)
    return Response(orjson.dumps(document), status, headers, _JSON_TYPE)
