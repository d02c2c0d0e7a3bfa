"""A network handed to Keras and taken from it, in memory; Keras is imported only by who asks for it."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import ConfigError, NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.formats.keras_config import read_keras_config
from digitlab.network.layers import Conv2D, Dense

_BACKENDS = ("tensorflow", "jax", "torch")


def keras_backend() -> str | None:
    """Return the backend that Keras will use: what ``KERAS_BACKEND`` says, or the first that is installed."""
    chosen = os.environ.get("KERAS_BACKEND")
    return chosen or next((name for name in _BACKENDS if find_spec(name) is not None), None)


def keras_network(model: Any) -> tuple[Architecture, list[NDArray[np.float32]]]:
    """Return the network and the weights of a built Keras model of layers that digitlab has, one after the other.

    Raises ``NetworkError`` if it is something else; the message names the layer.
    """
    kind = type(model).__name__
    if isinstance(model, type) or not hasattr(model, "get_config") or not hasattr(model, "get_weights"):
        raise NetworkError(f"from_keras takes a Keras model; got {kind}.")
    with warnings.catch_warnings():
        # Keras warns of code in a model that somebody might reload; here it is refused a line below.
        warnings.simplefilter("ignore", UserWarning)
        config = model.get_config()
    # Through JSON, because that turns Keras' tuples and settings into what a file would hold.
    description = json.loads(json.dumps({"class_name": kind, "config": config}, default=_plain))
    stack = read_keras_config(description)
    weights = [np.asarray(array, np.float32) for array in model.get_weights()]
    if [array.shape for array in weights] != [shape for layer in stack.learning for _, shape in layer.weights]:
        raise NetworkError(
            "The weights of the Keras model are not those of its layers; build it first, by an Input layer or by "
            "calling it once."
        )
    given = iter(weights)
    return stack.finish([[next(given) for _ in layer.weights] for layer in stack.learning])


def to_keras(network: Architecture, weights: list[NDArray[np.float32]]) -> Any:
    """Return a ``keras.Sequential`` of the same layers, names and weights, on whichever backend Keras uses."""
    backend = keras_backend()
    if backend is not None:
        os.environ.setdefault("KERAS_BACKEND", backend)
    try:
        import keras
    except ImportError as error:
        raise ConfigError(
            f"Keras cannot be used here ({error}). Install it with a backend: pip install keras jax"
        ) from None
    layers = [keras.Input(network.input_shape)]
    for layer in network.layers:
        settings = {name: value for name, value in dataclasses.asdict(layer).items() if value is not None}
        if isinstance(layer, Conv2D | Dense):
            settings["kernel_initializer"] = _initializer(keras, layer.kernel_initializer)
            settings["bias_initializer"] = _initializer(keras, layer.bias_initializer)
        layers.append(getattr(keras.layers, type(layer).__name__)(**settings))
    model = keras.Sequential(layers, name=_keras_name(network.name))
    model.set_weights(weights)
    return model


def _initializer(keras: Any, name: str) -> Any:
    # Keras' "variance_scaling" has the settings that digitlab's has; the others have no settings.
    return keras.initializers.VarianceScaling() if name == "variance_scaling" else name


def _keras_name(name: str) -> str:
    return name.replace("/", "_")


def _plain(value: Any) -> Any:
    # A dtype policy, an initializer: nothing that read_keras_config looks at.
    return {"class_name": type(value).__name__}
