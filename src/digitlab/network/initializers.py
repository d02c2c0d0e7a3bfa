"""Initial weights, with Keras' names and definitions.

A layer's *fan-in* is the number of values that one of its outputs sums; its *fan-out* the number of outputs that
one of its inputs reaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError

__all__ = ["INITIALIZERS", "initialize"]

# Keras divides by the standard deviation of a normal distribution cut at two standard deviations,
# so that what is left has the variance that was asked for.
_TRUNCATED_NORMAL_STDDEV = 0.87962566103423978


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        # Keras' reading of a bias: as many inputs as outputs.
        return math.prod(shape), math.prod(shape)
    receptive_field = math.prod(shape[:-2])
    return receptive_field * shape[-2], receptive_field * shape[-1]


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], stddev: float) -> NDArray[np.float32]:
    values = rng.standard_normal(shape)
    outside = np.abs(values) > 2.0
    while outside.any():
        values[outside] = rng.standard_normal(int(outside.sum()))
        outside = np.abs(values) > 2.0
    return (values * (stddev / _TRUNCATED_NORMAL_STDDEV)).astype(np.float32)


def _zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def _variance_scaling(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return _truncated_normal(rng, shape, math.sqrt(1.0 / max(1, _fans(shape)[0])))


def _he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return _truncated_normal(rng, shape, math.sqrt(2.0 / max(1, _fans(shape)[0])))


def _glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    fan_in, fan_out = _fans(shape)
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


#: Initialisers by their Keras names.
#:
#: ``variance_scaling``: truncated normal, variance 1 / fan-in (the codelab's). ``he_normal``: truncated normal,
#: variance 2 / fan-in (He et al. 2015). ``glorot_uniform``: uniform within sqrt(6 / (fan-in + fan-out))
#: (Glorot and Bengio 2010). ``zeros``: all zero.
INITIALIZERS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float32]]] = {
    "variance_scaling": _variance_scaling,
    "glorot_uniform": _glorot_uniform,
    "he_normal": _he_normal,
    "zeros": _zeros,
}


def initialize(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one weight array.

    Parameters
    ----------
    name : str
        One of ``INITIALIZERS``.
    shape : tuple of int
        Kernel ``(height, width, in, out)`` or ``(in, out)``, or bias ``(out,)``.
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    ndarray
        float32 of the given shape.

    Raises
    ------
    NetworkError
        If there is no initialiser of that name.
    """
    if name not in INITIALIZERS:
        raise NetworkError(f"There is no initializer {name!r}; choose one of {', '.join(INITIALIZERS)}.")
    return INITIALIZERS[name](rng, shape)
