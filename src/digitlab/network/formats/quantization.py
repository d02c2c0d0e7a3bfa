"""Weights in fewer bits, as TensorFlow.js reads them: a whole number of 8 or 16 bits, or half-precision floats.

The whole numbers are affine: ``weight = scale * number + min``, one scale and min an array, chosen so that zero stays
exactly zero where the weights have both signs (Jacob et al. 2018, equation 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import ConfigError, RunError

__all__ = ["QUANTIZATIONS", "dequantized", "is_quantization", "item_bytes", "quantized"]

#: By name: how a weight is stored.
QUANTIZATIONS: dict[str, str] = {"uint8": "<u1", "uint16": "<u2", "float16": "<f2"}


def quantized(weights: NDArray[np.float32], kind: str) -> tuple[bytes, dict[str, Any]]:
    """Return weights in fewer bits, and how to read them.

    Parameters
    ----------
    weights : ndarray
        float32 of any shape.
    kind : {"uint8", "uint16", "float16"}
        How to store them.

    Returns
    -------
    content : bytes
        Little endian, in C order.
    description : dict
        ``dtype`` and, for whole numbers, ``min`` and ``scale``.

    Raises
    ------
    ConfigError
        If there is no such kind, or the weights are too large for float16.

    Examples
    --------
    >>> content, description = quantized(np.array([-1, 0, 1.55], np.float32), "uint8")
    >>> list(content), {key: round(value, 4) for key, value in description.items() if key != "dtype"}
    ([0, 100, 255], {'min': -1.0, 'scale': 0.01})
    """
    if kind not in QUANTIZATIONS:
        raise ConfigError(f"Weights can be stored as {', '.join(QUANTIZATIONS)}, not as {kind!r}.")
    if kind == "float16":
        largest = float(np.abs(weights).max(initial=0.0))
        if largest > float(np.finfo(np.float16).max):
            raise ConfigError(f"A weight of {largest:g} does not fit into float16; choose uint16.")
        return weights.astype("<f2").tobytes(), {"dtype": kind}
    most = 2 ** (8 * item_bytes(kind)) - 1
    low, high = float(weights.min(initial=0.0)), float(weights.max(initial=0.0))
    scale = (high - low) / most or 1.0
    # The bounds above include zero, and it shall be one of the steps.
    low = -round(-low / scale) * scale
    numbers = np.clip(np.round((weights.astype(np.float64) - low) / scale), 0, most)
    return numbers.astype(QUANTIZATIONS[kind]).tobytes(), {"dtype": kind, "min": low, "scale": scale}


def is_quantization(kind: Any) -> bool:
    """Tell whether a file's word for how its weights are stored is one of ``QUANTIZATIONS``; it may be anything."""
    return isinstance(kind, str) and kind in QUANTIZATIONS


def item_bytes(kind: str) -> int:
    """Return the bytes of one stored weight."""
    return np.dtype(QUANTIZATIONS[kind]).itemsize


def dequantized(content: bytes, description: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return the weights that ``quantized`` stored, as a row of float32.

    Raises
    ------
    RunError
        If the description cannot be used.
    """
    kind = description.get("dtype")
    if not is_quantization(kind):
        raise RunError(f"its weights are quantized in a way that TensorFlow.js does not know; use {[*QUANTIZATIONS]}.")
    numbers = np.frombuffer(content, QUANTIZATIONS[str(kind)])
    if kind == "float16":
        return numbers.astype(np.float32)
    low, scale = description.get("min"), description.get("scale")
    for value in (low, scale):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RunError("its quantized weights lack a min or scale. Save the model again.")
    assert isinstance(low, int | float)
    assert isinstance(scale, int | float)
    with np.errstate(over="ignore"):
        return (numbers * np.float64(scale) + np.float64(low)).astype(np.float32)
