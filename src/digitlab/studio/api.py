"""The HTTP API beside the page: the addresses of ``digitlab serve``, answered by the shipped reader."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from digitlab.serving.accounting import Accounted, Lines
from digitlab.serving.api import PATHS, PredictDoor, build_api
from digitlab.serving.service import Service

__all__ = ["BesideThePage"]


class BesideThePage:
    """Sends the API's addresses to the API, and all others to the page.

    The API is an app of its own, because its errors are JSON and the page's are not. Its network is loaded when the
    first request comes, so that the page opens no later for it.

    Parameters
    ----------
    page : ASGI app
        The page.
    service : Service
        Who answers.
    """

    def __init__(self, page: ASGIApp, service: Service) -> None:
        self._page = page
        # The network is there for whoever asks first; who waits for the server to be ready need not ask for it.
        service.state = "ready"
        # Requests to the page are not logged either.
        self._api = Accounted(PredictDoor(build_api(service), service), service.measures, Lines(None), PATHS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        is_api = scope["type"] == "http" and scope["path"] in PATHS
        await (self._api if is_api else self._page)(scope, receive, send)
