"""The token that is asked for beyond this machine, and what counts as this machine."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
from urllib.parse import urlsplit

from digitlab.errors import ConfigError

__all__ = [
    "TOKEN_VARIABLE",
    "bearer_of",
    "checked_token",
    "digest",
    "host_name",
    "is_loopback",
    "is_other_site",
    "is_own_origin",
    "is_same",
]

#: The environment variable that gives the token where no option does.
TOKEN_VARIABLE = "DIGITLAB_TOKEN"

_SHORTEST_TOKEN = 16


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def host_name(host: str) -> str:
    """Return the name in a Host header, without the port.

    Examples
    --------
    >>> host_name("localhost:8000"), host_name("[::1]:8000"), host_name("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    return host.rpartition(":")[0] if re.search(r":\d+$", host) and not host.endswith("]") else host


def is_own_origin(origin: str, host: str) -> bool:
    """Tell whether an Origin header names the server that the Host header names.

    Examples
    --------
    >>> is_own_origin("http://127.0.0.1:8000", "127.0.0.1:8000"), is_own_origin("null", "127.0.0.1:8000")
    (True, False)
    """
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def is_other_site(fetch_site: str) -> bool:
    """Tell whether a Sec-Fetch-Site header says that a page of another site, or of another port, makes the browser ask.

    Browsers send it with every request, also where they send no Origin: with those for a picture or a script.

    Examples
    --------
    >>> is_other_site("cross-site"), is_other_site("same-origin"), is_other_site("none"), is_other_site("")
    (True, False, False, False)
    """
    return fetch_site.strip().lower() not in ("same-origin", "none", "")


def checked_token(host: str, token: str | None, what: str = "Studio") -> str | None:
    """Return the token that guards a server; None where none is needed.

    Parameters
    ----------
    host : str
        The address that the server will listen on.
    token : str, optional
        As it was given; the environment's ``DIGITLAB_TOKEN`` by default.
    what : str
        What the server is called in messages.

    Raises
    ------
    ConfigError
        If others could reach the server and there is no token, or it is too short to guard anything.
    """
    given = token if token is not None else os.environ.get(TOKEN_VARIABLE) or None
    if given is None:
        if is_loopback(host):
            return None
        raise ConfigError(
            f"With --host {host} others could reach this machine's {what}, so it needs a token: add --token, or set "
            f"{TOKEN_VARIABLE}. Here is a good one: {secrets.token_urlsafe(24)}"
        )
    if len(given) < _SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise ConfigError(
            f"A token has at least {_SHORTEST_TOKEN} characters, none of them a space or outside ASCII. "
            f"Here is a good one: {secrets.token_urlsafe(24)}"
        )
    return given


def digest(text: str) -> bytes:
    """Return a digest of equal length whatever the text, so that comparing says nothing about a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def is_same(shown: str, expected: bytes) -> bool:
    """Tell in constant time whether what was shown has the expected digest."""
    return hmac.compare_digest(digest(shown), expected)


def bearer_of(authorization: str) -> str | None:
    """Return what an Authorization header shows as ``Bearer``, or None."""
    kind, _, shown = authorization.partition(" ")
    return shown.strip() if kind.lower() == "bearer" else None
