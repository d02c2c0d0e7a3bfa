"""``digitlab serve`` and ``digitlab studio`` (or ``digitlab`` by itself): the API alone, and the page with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from digitlab.cli.terminal import Number, Pixels, StateNetwork, WholeNumber, Workers, n_workers, with_network
from digitlab.errors import ConfigError
from digitlab.reading.apart import PAGE_SECONDS
from digitlab.serving.limits import ServingOptions

_LIMITS = Group("Limits", sort_key=1)
_DEFAULT = ServingOptions()

AllowOrigin = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


def serve(
    *,
    model: str | None = None,
    pixels: Pixels = None,
    network: StateNetwork = None,
    runs: Path = Path("runs"),
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    allow_origin: AllowOrigin = (),
    max_bytes: Annotated[WholeNumber, Parameter(group=_LIMITS)] = _DEFAULT.max_bytes,
    max_images: Annotated[WholeNumber, Parameter(group=_LIMITS)] = _DEFAULT.max_images,
    max_pages: Annotated[WholeNumber, Parameter(group=_LIMITS)] = _DEFAULT.max_pages,
    workers: Annotated[Workers, Parameter(group=_LIMITS)] = None,
    queue: Annotated[WholeNumber, Parameter(group=_LIMITS)] = _DEFAULT.queue,
    timeout: Annotated[Number, Parameter(group=_LIMITS)] = _DEFAULT.timeout_s,
    page_timeout: Annotated[Number, Parameter(group=_LIMITS)] = _DEFAULT.page_timeout_s,
    log: Annotated[bool, Parameter(negative="--no-log")] = True,
) -> int:
    """Serve the HTTP API, without the page: POST /api/predict, POST /api/read and more, described at /openapi.json.

    The Studio serves the same addresses. Ctrl-C or SIGTERM ends it; requests that were accepted are answered first.

    Parameters
    ----------
    model
        Answer with a network of your own: a run's name or folder, "latest", or a model file (.safetensors, .keras, .h5,
        .onnx, TensorFlow.js' model.json); by default the reader that digitlab brings, which also tells where there is
        no digit.
    pixels
        How the pixels were scaled that a model file's network learned from: 0-255, 0-1, -1-1, or MEAN,STD of pixels
        from 0 to 1 (PyTorch's Normalize), such as 0.1307,0.3081. By default what the file says, or what fits far
        better, which is told.
    network
        The network whose weights a PyTorch state dict (.safetensors) holds: a name of the zoo, or a JSON file with
        layers. All other files say it themselves.
    runs
        The folder of runs.
    host
        The address to listen on. Beyond this machine only with a token.
    port
        The port; by default 8000, or the next that is free; 0 for any.
    token
        What everybody has to show as "Authorization: Bearer ..."; the environment's DIGITLAB_TOKEN by default.
        On this machine alone nobody is asked for one without it: set the variable where other people have accounts
        on it.
    allow_origin
        Pages of this origin, such as http://localhost:5500, may ask from a browser; given again, several. A token
        counts for them, too; all pages (*), and those that a browser has open from a file (null), need one.
    max_bytes
        Bytes of one request.
    max_images
        Images in one request to predict.
    max_pages
        Pages of a document.
    workers
        Processes that read photos at the same time, each with 1 GB of memory.
    queue
        Photos that may wait for one of them; more are refused with 429.
    timeout
        Seconds that a photo may wait and be read.
    page_timeout
        Seconds of work that a page or picture may take.
    log
        Write a JSON object a request to standard error, without contents.
    """
    from digitlab.serving.server import run_server

    if model is None and network is not None:
        raise ConfigError("--network is that of a PyTorch state dict; name it with --model.")
    model = None if model is None else with_network(model, network)
    options = ServingOptions(max_bytes, max_images, max_pages, n_workers(workers), queue, timeout, page_timeout)
    return run_server(
        options,
        model=model,
        pixels=pixels,
        runs=runs,
        host=host,
        port=port,
        token=token,
        log=log,
        allow_origins=allow_origin,
    )


def studio(
    *,
    out: Path = Path("runs"),
    data: Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    allow_origin: AllowOrigin = (),
    browser: bool = True,
    start: Annotated[bool, Parameter(negative="--no-start")] = True,
    page_timeout: Number = PAGE_SECONDS,
) -> int:
    """Open the page: watch a network learn, step, pause and rewind it.

    Parameters
    ----------
    out
        The folder of runs.
    data
        A set of images to learn from, as for digitlab train; MNIST from the package by default.
    host
        The address to listen on. Beyond this machine only with a token; pupils of a class then come in by a link
        without it, each to a room of their own.
    port
        The port; by default 8000, or the next that is free.
    token
        What every visitor has to show; the environment's DIGITLAB_TOKEN by default. On this machine alone nobody is
        asked for one without it: set the variable where other people have accounts on it.
    allow_origin
        Pages of this origin, such as http://localhost:5500, may ask the HTTP API beside the page; given again,
        several; as for "digitlab serve".
    browser
        Open the page in your browser.
    start
        Begin with the codelab's run at once.
    page_timeout
        Seconds of work that a page or photo may take to be read.
    """
    from digitlab.studio.app import run_studio

    return run_studio(
        out=out,
        data=None if data is None else str(data),
        host=host,
        port=port,
        token=token,
        open_browser=browser,
        autostart=start,
        page_seconds=page_timeout,
        allow_origins=allow_origin,
    )
