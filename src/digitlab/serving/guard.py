"""Guard: who may ask. The token beyond this machine, and the checks against other websites on it.

A website that the user visits could try to reach a server on this machine through the browser: by naming its own host
for 127.0.0.1 (DNS rebinding), or with a form that is sent elsewhere. So the request's Host has to be this machine
where no token guards it, and its Origin, where the browser sends one, the server itself; and it may not come, as the
browser says in Sec-Fetch-Site, from another site's page.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from digitlab.serving.refusals import RefusedError, response_of
from digitlab.serving.tokens import bearer_of, digest, host_name, is_loopback, is_other_site, is_own_origin, is_same

__all__ = ["Guard"]

_KNOWN_HOSTS = 64


class Guard:
    """Lets requests through to an ASGI app, or answers them with a sentence.

    Parameters
    ----------
    app : ASGI app
        What is guarded.
    token : str, optional
        What everybody has to show as ``Authorization: Bearer``.
    local_only : bool
        Whether the Host has to be a loopback one.
    open_paths : collection of str
        Addresses that need no token.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None = None, local_only: bool = True, open_paths: Collection[str] = ()
    ) -> None:
        self._app = app
        self._token = None if token is None else digest(token)
        self._local_only = local_only
        self._open_paths = frozenset(open_paths)
        self._local_hosts: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or lifespan; there are no websockets."""
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is not None:
                await response_of(refusal)(scope, receive, send)
                return
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "There are no websockets here."})
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> RefusedError | None:
        host = origin = authorization = ""
        n_hosts, is_foreign = 0, False
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1")
                n_hosts += 1
            elif name == b"origin":
                origin = value.decode("latin-1") or "null"
            elif name == b"authorization":
                authorization = value.decode("latin-1")
            elif name == b"sec-fetch-site":
                is_foreign = is_foreign or is_other_site(value.decode("latin-1"))
        if n_hosts > 1:
            return RefusedError(400, "The request names its Host more than once.", "Send one Host header.")
        if self._local_only and not self._is_local(host):
            return RefusedError(
                403, "The server answers only to a name of this machine itself.", "Ask http://127.0.0.1 and its port."
            )
        if is_foreign or (origin and not is_own_origin(origin, host)):
            return RefusedError(403, "Pages of other sites may not ask.", "Ask from a program, such as curl.")
        if self._token is None or scope["path"] in self._open_paths:
            return None
        shown = bearer_of(authorization)
        if shown is not None and is_same(shown, self._token):
            return None
        return RefusedError(
            401,
            "This server asks for its token.",
            "Send the header 'Authorization: Bearer ...' with it.",
            headers={"www-authenticate": "Bearer"},
        )

    def _is_local(self, host: str) -> bool:
        if host in self._local_hosts:
            return True
        is_local = is_loopback(host_name(host))
        if is_local and len(self._local_hosts) < _KNOWN_HOSTS:
            self._local_hosts.add(host)
        return is_local
