"""A network as a JSON document: handed out, and taken from anybody."""

from __future__ import annotations

import json

from digitlab.data.storage import parse_json
from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture

__all__ = ["MOST_BYTES", "network_document", "read_network_document", "too_large"]

#: A network of 64 layers takes some 20 kB.
MOST_BYTES = 300_000
_INPUT_SHAPE = (28, 28, 1)


def network_document(architecture: Architecture) -> str:
    """Return the JSON document of a network; ``digitlab train --network FILE.json`` reads it too."""
    return json.dumps(architecture.to_dict(), indent=2) + "\n"


def read_network_document(content: bytes) -> Architecture:
    """Read a network from what somebody chose or dropped.

    Raises
    ------
    NetworkError
        If it is longer than 300 kB, no JSON, no network, or a network for other images than 28 x 28 grey ones.

    Examples
    --------
    >>> read_network_document(b"<html>")
    Traceback (most recent call last):
    ...
    digitlab.errors.NetworkError: This file is not JSON. Choose one that was downloaded here, or that to_dict() gives.
    """
    if len(content) > MOST_BYTES:
        raise too_large()
    try:
        values = parse_json(content)
    except ValueError:
        raise NetworkError(
            "This file is not JSON. Choose one that was downloaded here, or that to_dict() gives."
        ) from None
    network = Architecture.from_dict(values)
    if network.input_shape != _INPUT_SHAPE:
        raise NetworkError(
            f"This network takes inputs of shape {network.input_shape}; the digits here are {_INPUT_SHAPE}. "
            f'Set "input_shape" to {list(_INPUT_SHAPE)}.'
        )
    return network


def too_large() -> NetworkError:
    """Return what is said of a file that is too large."""
    return NetworkError(f"This file is too large to be a network's layers; the limit is {MOST_BYTES // 1_000} kB.")
