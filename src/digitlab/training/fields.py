"""The fields of a config, checked: type, range, and the nearest name to an unknown one."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from digitlab.errors import ConfigError, did_you_mean

__all__ = ["checked", "unknown"]

_WORDS = {"int": "a whole number", "float": "a finite number", "bool": "true or false", "str": "a text"}


def checked(name: str, value: Any, declared: str) -> Any:
    """Return a field's value as the plain Python type that it is declared as, such as ``int`` or ``float | None``.

    NumPy's numbers become Python's, and paths texts, so that a config has one JSON form.

    Raises
    ------
    ConfigError
        If it is of another type, or NaN or infinite.

    Examples
    --------
    >>> checked("learning_rate", 1, "float")
    1.0
    """
    kind = declared.removesuffix(" | None")
    if value is None and kind != declared:
        return None
    is_bool = isinstance(value, bool)
    if kind == "bool" and is_bool:
        return value
    if kind == "int" and isinstance(value, Integral) and not is_bool:
        return int(value)
    if kind == "float" and isinstance(value, Real) and not is_bool and _is_finite(value):
        return float(value)
    if kind == "str" and isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str) and text and "\0" not in text:
            return text
    raise ConfigError(f"{name} must be {_WORDS[kind]}; got {value!r:.100}.")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def unknown(what: str, name: object, known: Sequence[str]) -> str:
    """Return the sentence for a name that does not exist, with the nearest that does."""
    return f"There is no {what} {name!r:.100}.{did_you_mean(name, known)} There are {', '.join(known)}."
