"""The API: its addresses, and the app that serves them. A route parses, calls and wraps; nothing more.

One image takes the network about as long as FastAPI takes to find out which function to call with what. So requests to
predict go straight to ``predicted``; FastAPI has the same route, and describes it.
"""

from __future__ import annotations

import asyncio
import threading
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from digitlab import __version__
from digitlab.data.storage import read_ordinary, scratch
from digitlab.engine.runtime import RuntimeModel
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, DigitlabError, NetworkError
from digitlab.explanation.attribution import METHODS
from digitlab.exporting.export import ANY_TYPE, ExportedFile, export_packed, file_stem, formats_here
from digitlab.network.checkpoint import Checkpoint, save_checkpoint
from digitlab.network.zoo import ZOO
from digitlab.reading.predictor import Predictor
from digitlab.reading.reading import ReadingOptions, grid_of
from digitlab.serving import schemas
from digitlab.serving.bodies import (
    PATTERN,
    asked_of,
    checked_expectation,
    header,
    photo_of,
    taken_apart,
    while_connected,
)
from digitlab.serving.guard import CODES, RefusedError, json_response, refusal_of, response_of
from digitlab.serving.service import MOST_COMPARED, Service

#: Every address, and those that answer without a token.
PATHS = ("/api/predict", "/api/inside", "/api/read", "/api/compare", "/api/cost", "/api/learn", "/api/model",
         "/api/model/export", "/healthz", "/readyz", "/metrics", "/openapi.json")  # fmt: skip
OPEN_PATHS = ("/healthz", "/readyz")

_DESCRIPTION = (
    "Handwritten digits from images, photos and documents; runs compared, networks and words explained. What is "
    "answered is what `digitlab predict`, `read`, `compare`, `summary --cost` and `learn` print with `--json`. Every "
    "error has one shape, with a sentence that says what to do."
)
_OPEN = (400, 403, 408, 431, 503)
_ANY = (*_OPEN, 401)
_BODY = (*_ANY, 413, 415, 422, 429)
_NAMED = (*_ANY, 404, 422, 429)
# Rows and columns, each from 2 to 50.
_GRID = r"^([2-9]|[1-4][0-9]|50)x([2-9]|[1-4][0-9]|50)$"
# One to three places.
_UNIT = r"^[0-9]{1,8}(,[0-9]{1,8}){0,2}$"
_RunName = Annotated[str, Query(min_length=1, max_length=100, description="A run's name, or latest.")]
_DEFAULT = ReadingOptions()
_NOT_FOUND = "Every address is in /openapi.json; images go to POST /api/predict, photos to POST /api/read."

#: Where images go.
PREDICT_PATH = "/api/predict"
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_OWN = "safetensors"
_MOST_BYTES = 768 * 2**20  # of a checkpoint


def download_formats() -> tuple[str, ...]:
    """Return what the network can be had as: digitlab's own format first, then what is installed for others."""
    return (_OWN, *formats_here())


def _exported(predictor: Predictor, format: str) -> ExportedFile:
    """Return the network as a file; folders are packed into one ZIP file."""
    if format not in download_formats():
        raise ConfigError(f"There is no format {format!r} here; choose one of {', '.join(download_formats())}.")
    model = predictor.model
    if isinstance(model, RuntimeModel):
        raise NetworkError(model.sentence())
    if format == _OWN:
        return ExportedFile(f"{file_stem(model.name)}.{_OWN}", ANY_TYPE, _own_file(predictor, model))
    # Read back and compared, as always; asking the runtimes would load them into this process, or start others.
    metadata = predictor.metadata
    return export_packed(model, model.name, format=format, ask_runtimes=False, metadata=metadata)[1]


def _own_file(predictor: Predictor, model: Sequential) -> bytes:
    if predictor.file.suffix == f".{_OWN}" and predictor.is_as_in_file:
        return read_ordinary(predictor.file, _MOST_BYTES)
    with scratch() as folder:
        path = folder / "model"
        weights = tuple(model.get_weights())
        save_checkpoint(path, Checkpoint(model.architecture, weights, model.class_names, predictor.metadata))
        return path.read_bytes()


def about(service: Service) -> dict[str, Any]:
    """Return what a service's network is, and the limits of one request; loads it if need be."""
    predictor, options = service.predictor, service.options
    model, reader = predictor.model, predictor.reader
    return {
        "name": model.name,
        # What a run or file is called, without its folder.
        "source": "shipped reader" if service.model_name is None else Path(service.model_name).name,
        "version": __version__,
        "n_parameters": model.count_params(),
        "input_shape": model.architecture.input_shape,
        "class_names": model.class_names,
        "knows_not_a_digit": reader is not None and reader.answers.knows_not_a_digit,
        "reads_photos": reader is not None,
        "export_formats": () if isinstance(model, RuntimeModel) else download_formats(),
        "max_bytes": options.max_bytes,
        "max_images": options.max_images,
        "max_pages": options.max_pages,
    }


async def predicted(service: Service, scope: Scope, receive: Receive) -> Response:
    """Answer the images of a request."""
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
    api.include_router(_explaining(service))
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
        words = f"The option {first['loc'][-1]} cannot be used: {first['msg']}."
        return response_of(RefusedError(422, words, "See /openapi.json for what it may be."))

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
        "/inside",
        summary="Follow one image through the network",
        description="One image as for /api/predict. Every layer's numbers; with layer, unit or both the arithmetic "
        "behind one of them; with why, what speaks for the answer.",
        openapi_extra={"requestBody": schemas.INSIDE_BODY},
        responses=_responses(schemas.INSIDE, *_BODY, 404),
    )
    async def inside(
        request: Request,
        invert: Annotated[bool, Query(description="The image has dark ink on bright ground.")] = False,
        layer: Annotated[
            str | None,
            Query(min_length=1, max_length=100, description="Such as conv2d; by default the last."),
        ] = None,
        unit: Annotated[
            str | None,
            Query(
                max_length=30,
                pattern=_UNIT,
                description="Which number of the layer: row, column and channel, or its place in a row, from 0; by "
                "default the largest.",
            ),
        ] = None,
        why: Annotated[
            str | None,
            Query(json_schema_extra={"enum": [*METHODS]}, description="How it is found what speaks for the answer."),
        ] = None,
    ) -> Response:
        async with service.bodies.of(request.scope, request.receive) as body:
            kind = request.headers.get("content-type", "")
            asked = await taken_apart(asked_of, body, kind, service.options.max_images)
            place = None if unit is None else tuple(map(int, unit.split(",")))
            looking = service.inside(asked, invert=invert, layer=layer, unit=place, why=why)
            found = await while_connected(request.receive, looking)
        return await asyncio.to_thread(json_response, found)

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


def _explaining(service: Service) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["runs, networks and words"])

    @router.get(
        "/compare",
        summary="Which of two runs reads better",
        description="Both answer the same test images; McNemar's exact test tells whether the difference may be "
        "chance. Of the histories there are the epochs.",
        responses=_responses(schemas.COMPARISON, *_NAMED),
    )
    async def compare(
        a: _RunName,
        b: _RunName,
        images: Annotated[
            int, Query(ge=1, le=MOST_COMPARED, description="So many test images instead of all.")
        ] = MOST_COMPARED,
    ) -> Response:
        return await asyncio.to_thread(json_response, await service.compare(a, b, images))

    @router.get("/cost", summary="What one image costs in a network", responses=_responses(schemas.COST, *_NAMED))
    async def cost(
        network: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=100,
                description="A network of digitlab's, such as codelab_cnn, or a run's name, or latest; by default the "
                "network that answers here.",
            ),
        ] = None,
    ) -> Response:
        return json_response(await service.cost(network))

    @router.get(
        "/learn",
        summary="A term explained, with the numbers of a network",
        description="Without a term: the titles of all.",
        responses=_responses(schemas.LESSON, *_NAMED),
    )
    async def learn(
        term: Annotated[
            str | None,
            Query(min_length=1, max_length=100, description="Such as convolution; spaces and hyphens do not matter."),
        ] = None,
        network: Annotated[
            str, Query(json_schema_extra={"enum": [*ZOO]}, description="Whose numbers are told.")
        ] = "codelab_cnn",
    ) -> Response:
        return json_response(await service.learn(term, network))

    return router


def _telling(service: Service) -> APIRouter:
    router = APIRouter(tags=["the server"])
    making = threading.Lock()

    @cache
    def made(format: str) -> ExportedFile:
        return _exported(service.predictor, format)

    # Not a coroutine: the network may have to be loaded.
    @router.get("/api/model", summary="What the network is", responses=_responses(schemas.ABOUT, *_ANY))
    def model() -> Response:
        return json_response(about(service))

    @router.get(
        "/api/model/export",
        summary="The network as a file for other programs",
        responses=_files("The file.", "application/octet-stream", "application/zip") | schemas.refusals(*_ANY, 422),
    )
    def export(
        format: Annotated[str, Query(json_schema_extra={"enum": [*download_formats()]}, description="Of which kind.")],
    ) -> Response:
        with making:  # once for each format
            file = made(format)
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
