"""The API: its addresses, and the app that serves them. A route parses, calls and wraps; nothing more."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Lifespan

from digitlab import __version__
from digitlab.errors import DigitlabError
from digitlab.reading.options import ReadingOptions, grid_of
from digitlab.serving import schemas
from digitlab.serving.about import about
from digitlab.serving.asked import photo_of, taken_apart
from digitlab.serving.bodies import while_connected
from digitlab.serving.expecting import PATTERN, checked_expectation
from digitlab.serving.exports import Exports, download_formats
from digitlab.serving.measuring import CONTENT_TYPE_LATEST
from digitlab.serving.predicting import predicted
from digitlab.serving.refusals import CODES, RefusedError, json_response, refusal_of, response_of
from digitlab.serving.service import Service

__all__ = ["OPEN_PATHS", "PATHS", "build_api"]

#: Every address, and those that answer without a token.
PATHS = ("/api/predict", "/api/read", "/api/model", "/api/model/export", "/healthz", "/readyz", "/metrics",
         "/openapi.json")  # fmt: skip
OPEN_PATHS = ("/healthz", "/readyz")

_DESCRIPTION = (
    "Handwritten digits from images, photos and documents. What is answered is what `digitlab predict --json` and "
    "`digitlab read --json` print. Every error has one shape, with a sentence that says what to do."
)
_OPEN = (400, 403, 408, 431, 503)
_ANY = (*_OPEN, 401)
_BODY = (*_ANY, 413, 415, 422, 429)
# Rows and columns, each from 2 to 50.
_GRID = r"^([2-9]|[1-4][0-9]|50)x([2-9]|[1-4][0-9]|50)$"
_DEFAULT = ReadingOptions()
_NOT_FOUND = "Every address is in /openapi.json; images go to POST /api/predict, photos to POST /api/read."


def build_api(service: Service, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """Return the app with every route, for a service that is closed by others."""
    api = FastAPI(
        title="digitlab",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    api.include_router(_answering(service))
    api.include_router(_telling(service))

    @api.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return response_of(error)

    @api.exception_handler(DigitlabError)
    async def unusable(_: Request, error: DigitlabError) -> Response:
        return response_of(refusal_of(error))

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return response_of(RefusedError(422, f"{name}: {first['msg']}.", "See /openapi.json for what it may be."))

    @api.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        status = error.status_code if error.status_code in CODES else 400
        next_step = _NOT_FOUND if status in (404, 405) else None
        return response_of(RefusedError(status, CODES[status][1], next_step, headers=error.headers))

    return api


def _answering(service: Service) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["answers"])

    @router.post(
        "/predict",
        summary="Answer images of one digit each",
        description="PNG or JPEG, also several in a form; 784 raw bytes an image; or arrays in JSON. Images of 28 x 28 "
        "as MNIST has them are asked as they are; in other pictures the digit is found first.",
        openapi_extra={"requestBody": schemas.PREDICT_BODY, "parameters": [schemas.INVERT]},
        responses=_responses(schemas.PREDICTIONS, *_BODY),
    )
    async def predict(request: Request) -> Response:
        return await predicted(service, request.scope, request.receive)

    @router.post(
        "/read",
        summary="Read the digits of a photo or document",
        description="A PNG, a JPEG or a PDF.",
        openapi_extra={"requestBody": schemas.PHOTO_BODY},
        responses=_responses(schemas.READINGS, *_BODY),
    )
    async def read(
        request: Request,
        digits: Annotated[int | None, Query(ge=1, le=100, description="Every number has so many digits.")] = None,
        expect: Annotated[
            str | None,
            Query(
                max_length=200,
                pattern=PATTERN,
                description=r"Every number is like this: digits, \d, exact counts and alternatives, as \d{4}|\d{6}. "
                "Other regular expressions could keep the server busy and are not taken.",
            ),
        ] = None,
        grid: Annotated[
            str | None,
            Query(max_length=5, pattern=_GRID, description="The page is a grid, such as 9x9."),
        ] = None,
        min_confidence: Annotated[
            float, Query(ge=0, le=1, description="Less sure digits are refused.")
        ] = _DEFAULT.min_confidence,
    ) -> Response:
        options = ReadingOptions(
            min_confidence=min_confidence,
            digits=digits,
            expect=checked_expectation(expect),
            grid=None if grid is None else grid_of(grid),
        )
        async with service.bodies.of(request.scope, request.receive) as body:
            photo = await taken_apart(photo_of, body, request.headers.get("content-type", ""))
            readings = await while_connected(request.receive, service.read(photo, options))
        return json_response([reading.to_dict() for reading in readings])

    return router


def _telling(service: Service) -> APIRouter:
    router = APIRouter(tags=["the server"])
    exports = Exports(service)

    # Not a coroutine: the network may have to be loaded.
    @router.get("/api/model", summary="What the network is", responses=_responses(schemas.ABOUT, *_ANY))
    def model() -> Response:
        return json_response(about(service, download_formats()).to_dict())

    @router.get(
        "/api/model/export",
        summary="The network as a file for other programs",
        responses=_files("The file.", "application/octet-stream", "application/zip") | schemas.refusals(*_ANY, 422),
    )
    def export(
        format: Annotated[str, Query(json_schema_extra={"enum": [*download_formats()]}, description="Of which kind.")],
    ) -> Response:
        file = exports.of(format)
        disposition = f'attachment; filename="{file.name}"'
        return Response(file.content, headers={"content-disposition": disposition}, media_type=file.media_type)

    state = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}

    @router.get("/healthz", summary="Whether the server lives", responses=_responses(state, *_OPEN))
    async def alive() -> Response:
        return json_response({"status": service.state})

    @router.get("/readyz", summary="Whether it answers", responses=_responses(state, *_OPEN))
    async def ready() -> Response:
        if service.state != "ready":
            raise RefusedError(503, f"The server is {service.state}.", "Try again later.", retry_after_s=1)
        return json_response({"status": service.state})

    @router.get(
        "/metrics",
        summary="Counts and times for Prometheus",
        responses=_files("Prometheus' text.", "text/plain") | schemas.refusals(*_ANY),
    )
    async def metrics() -> Response:
        return Response(service.measures.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def _responses(schema: dict[str, Any], *statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = dict(schema)
    content: dict[str, Any] = {"schema": schema}
    if "examples" in schema:
        content["example"] = schema.pop("examples")[0]
    return {200: {"description": "What was asked for.", "content": {"application/json": content}}} | schemas.refusals(
        *statuses
    )


def _files(description: str, *kinds: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {kind: {"schema": {"type": "string"}} for kind in kinds}}}
