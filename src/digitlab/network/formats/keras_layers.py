"""The whitelist of Keras' layers: each with the settings that digitlab knows; another value is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from digitlab.errors import NetworkError
from digitlab.network.formats.stacking import Stack, is_pixel_scale
from digitlab.network.formats.untrusted import shown
from digitlab.network.layers import ACTIVATIONS, Conv2D, Dense, Dropout, Flatten, MaxPooling2D

__all__ = ["READERS", "LayerSettings"]

_INITIALIZERS = {"GlorotUniform": "glorot_uniform", "HeNormal": "he_normal", "Zeros": "zeros"}


class LayerSettings:
    """The settings of one layer, asked for one by one."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def number(self, name: str, kind: type) -> Any:
        value = self.config.get(name)
        if isinstance(value, bool) or not isinstance(value, kind | int):
            raise NetworkError(f"its setting {name} is missing or not a number.")
        return value

    def pair(self, name: str, default: Any = None) -> Any:
        value = self.config.get(name, default)
        return tuple(value) if isinstance(value, list) else value

    def text(self, name: str, default: Any) -> Any:
        value = self.config.get(name)
        return default if value is None else value

    def must_be(self, name: str, allowed: tuple[Any, ...], advice: str) -> None:
        value = self.config.get(name)
        if value is not None and value not in allowed:
            found = value if isinstance(value, int | float | list) and len(str(value)) < 40 else shown(value)
            raise NetworkError(f"its {name} is {found}, and digitlab has only {allowed[0]}; {advice}.")

    def activation(self) -> str:
        value = self.text("activation", "linear")
        if value not in ACTIVATIONS:
            raise NetworkError(f"its activation {shown(value)} is not one that digitlab has; use relu or softmax.")
        return str(value)

    def initializer(self, name: str) -> str:
        # Only for who trains the network anew from other weights; one that digitlab lacks becomes Keras' default.
        value = self.config.get(name)
        kind = value.get("class_name") if isinstance(value, Mapping) else value
        default = "zeros" if name == "bias_initializer" else "glorot_uniform"
        return _INITIALIZERS.get(kind, default) if isinstance(kind, str) else default

    def common(self) -> dict[str, Any]:
        name = self.config.get("name")
        return {
            "name": name if isinstance(name, str) else "",
            "activation": self.activation(),
            "use_bias": self.text("use_bias", True),
            "kernel_initializer": self.initializer("kernel_initializer"),
            "bias_initializer": self.initializer("bias_initializer"),
        }

    @property
    def name(self) -> str:
        name = self.config.get("name")
        return name if isinstance(name, str) else ""


def _conv(stack: Stack, settings: LayerSettings, position: int) -> None:
    settings.must_be("strides", (1, [1, 1]), "use MaxPooling2D to make images smaller")
    settings.must_be("dilation_rate", (1, [1, 1]), "use a larger kernel")
    settings.must_be("groups", (1,), "use an ordinary Conv2D")
    settings.must_be("data_format", ("channels_last",), "build the network with channels last")
    stack.add(
        Conv2D(
            settings.number("filters", int),
            settings.pair("kernel_size"),
            padding=settings.text("padding", "valid"),
            **settings.common(),
        )
    )


def _pool(stack: Stack, settings: LayerSettings, position: int) -> None:
    settings.must_be("data_format", ("channels_last",), "build the network with channels last")
    stack.add(
        MaxPooling2D(
            settings.pair("pool_size", 2),
            settings.pair("strides"),
            padding=settings.text("padding", "valid"),
            name=settings.name,
        )
    )


def _dense(stack: Stack, settings: LayerSettings, position: int) -> None:
    stack.add(Dense(settings.number("units", int), **settings.common()))


def _flatten(stack: Stack, settings: LayerSettings, position: int) -> None:
    settings.must_be("data_format", ("channels_last",), "build the network with channels last")
    stack.add(Flatten(name=settings.name))


def _dropout(stack: Stack, settings: LayerSettings, position: int) -> None:
    settings.must_be("noise_shape", (None,), "leave it out")
    stack.add(Dropout(float(settings.number("rate", float)), name=settings.name))


def _activation(stack: Stack, settings: LayerSettings, position: int) -> None:
    stack.activate(settings.activation(), position)


def _relu(stack: Stack, settings: LayerSettings, position: int) -> None:
    settings.must_be("max_value", (None,), "use a plain ReLU")
    settings.must_be("negative_slope", (0,), "use a plain ReLU")
    settings.must_be("threshold", (0,), "use a plain ReLU")
    stack.activate("relu", position)


def _softmax(stack: Stack, settings: LayerSettings, position: int) -> None:
    settings.must_be("axis", (-1, 1), "put it behind the last Dense layer")
    stack.activate("softmax", position)


def _rescaling(stack: Stack, settings: LayerSettings, position: int) -> None:
    scale, offset = settings.number("scale", float), settings.text("offset", 0.0)
    if not isinstance(offset, int | float) or stack.layers or not is_pixel_scale(float(scale), float(offset)):
        raise NetworkError(
            "its Rescaling is not the division by 255 that digitlab does itself, at the beginning; train the network "
            "with pixels from 0 to 1."
        )


#: The layers that may be in a description, by their class; each adds itself to the stack.
READERS: dict[str, Callable[[Stack, LayerSettings, int], None]] = {
    "Activation": _activation,
    "Conv2D": _conv,
    "Dense": _dense,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "MaxPooling2D": _pool,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Softmax": _softmax,
}
