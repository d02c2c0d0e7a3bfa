"""Reading what anybody may have written: within bounds, inside its folder, and answered with a sentence."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data import storage
from digitlab.errors import RunError
from digitlab.values import CLASS_NAMES

__all__ = [
    "MOST_JSON_BYTES",
    "MOST_WEIGHT_BYTES",
    "finite",
    "kept_metadata",
    "named_classes",
    "parse_json",
    "read_whole",
    "shown",
    "unusable",
]

#: A network of 64 layers has a description of some 50 kB.
MOST_JSON_BYTES = 2**20
#: Room for the largest network that Architecture allows, 200 MB, in the formats that others write.
MOST_WEIGHT_BYTES = 2**28
_LONGEST_WORD = 80
_LONGEST_TEXT, _MOST_TEXTS = 1000, 32


def unusable(path: Path, why: str) -> RunError:
    """Return the error that names the file and what is wrong with it; ``why`` ends with the next step."""
    return RunError(f"The model {path} cannot be used: {why}")


def read_whole(path: Path, most_bytes: int, *, folder: Path | None = None) -> bytes:
    """Read an ordinary file of bounded size.

    Parameters
    ----------
    path : Path
        The file.
    most_bytes : int
        What is larger is not read.
    folder : Path, optional
        Where the file must lie, links followed.

    Raises
    ------
    RunError
        If there is none, it is too large, leaves its folder, or cannot be read.
    """
    try:
        if folder is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise unusable(path, "it lies outside the model's folder. Copy the model's files into one folder.")
        return storage.read_ordinary(path, most_bytes)
    except FileNotFoundError:
        raise RunError(f"There is no file {path}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise unusable(path, f"it cannot be read ({reason}). Check its name and permissions.") from None


def parse_json(path: Path, content: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in ``content``, which is the file ``path`` or a part of it called ``what``.

    Raises
    ------
    RunError
        If it is larger than 1 MiB, nested too deep, or no JSON object, or a number in it is not finite or too long.
    """
    if len(content) > MOST_JSON_BYTES:
        raise unusable(path, f"{what} has more than {MOST_JSON_BYTES:,} bytes, too many for a network's description.")
    try:
        document = storage.parse_json(content)
    except ValueError as error:
        raise unusable(path, f"{what} cannot be read as JSON ({error}). Save the model again.") from None
    if not isinstance(document, dict):
        raise unusable(path, f"{what} should hold a JSON object. Save the model again.")
    return document


def finite(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Check that all weights are finite numbers.

    Raises
    ------
    RunError
        If one is NaN or infinite; the message names the array.
    """
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise unusable(path, f"its weights {shown(name)} hold NaN or infinite values. Save it before it diverged.")


def named_classes(names: Any, n_classes: int) -> tuple[str, ...]:
    """Return the class names of a file where it has fitting ones, and the usual ones where it has not."""
    if (
        isinstance(names, Sequence)
        and len(names) == n_classes
        and all(isinstance(name, str) and name.isprintable() and 1 <= len(name) <= _LONGEST_WORD for name in names)
    ):
        return tuple(names)
    return CLASS_NAMES if n_classes == len(CLASS_NAMES) else tuple(str(k) for k in range(n_classes))


def kept_metadata(given: Any) -> dict[str, str]:
    """Return what a file says of its network besides: short texts by short names, and nothing else."""
    if not isinstance(given, Mapping):
        return {}
    items = [
        (name, text)
        for name, text in given.items()
        if all(isinstance(word, str) and word.isprintable() and len(word) <= _LONGEST_TEXT for word in (name, text))
    ]
    return dict(items[:_MOST_TEXTS])


def shown(value: Any) -> str:
    """Return a value of the file as it may stand in a sentence: short and printable."""
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text if len(text) <= _LONGEST_WORD else text[: _LONGEST_WORD - 3] + "...")
