"""A network's layers from a JSON file that anybody may have written."""

from __future__ import annotations

from pathlib import Path

from digitlab.data.storage import parse_json, read_ordinary
from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture

__all__ = ["read_network"]

_MOST_BYTES = 1_000_000


def read_network(path: Path) -> Architecture:
    """Read a network's JSON form, as ``Architecture.to_dict`` gives it.

    Raises
    ------
    NetworkError
        If there is no such file, it is larger than 1 MB, or it does not hold a network; the message names the file
        and, where it can, the layer.
    """
    try:
        values = parse_json(read_ordinary(path, _MOST_BYTES))
    except FileNotFoundError:
        raise NetworkError(f"There is no file {path}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NetworkError(
            f"{path} cannot be read as a network's JSON form: {reason}. A network's to_dict() shows what it looks like."
        ) from None
    try:
        return Architecture.from_dict(values)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
