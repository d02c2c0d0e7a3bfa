"""Where a server listens: port 8000 or the next free one, or the one that was asked for."""

from __future__ import annotations

import errno
import os
import socket

from digitlab.errors import ConfigError

__all__ = ["FIRST_PORT", "address_of", "listening_socket"]

#: The port that is tried first where none is asked for.
FIRST_PORT = 8000

_MOST_TRIES = 100


def listening_socket(host: str, port: int | None = None) -> socket.socket:
    """Return a socket that is bound to a host and port, so that nobody else can take it any more.

    Parameters
    ----------
    host : str
        A name or address of this machine.
    port : int, optional
        0 for any; by default 8000 or the next free one.

    Raises
    ------
    ConfigError
        If the port is taken or the host is not this machine.
    """
    if port is not None and not 0 <= port <= 65_535:
        raise ConfigError(f"A port is a number from 0 to 65,535; got {port}.")
    for candidate in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + _MOST_TRIES):
        try:
            return _bound(host, candidate)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(
                    f"{host} is no address of this machine; leave --host out to serve this machine alone."
                ) from None
            if port is not None:
                reason = os.strerror(error.errno).lower() if error.errno else str(error)
                raise ConfigError(f"Port {port} cannot be used: {reason}. Leave --port out for a free one.") from None
    raise ConfigError(f"Ports {FIRST_PORT} to {FIRST_PORT + _MOST_TRIES - 1} are all taken; name another with --port.")


def address_of(listening: socket.socket, host: str, token: str | None = None) -> str:
    """Return the address to open in a browser."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # "all addresses" cannot be opened
    name = f"[{shown}]" if ":" in shown else shown
    return f"http://{name}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A port that was in use a moment ago may be taken again; on Windows this would share one in use.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening
