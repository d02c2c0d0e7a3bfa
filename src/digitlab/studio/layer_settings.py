"""The settings of a layer as a form shows them, and as somebody types them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from digitlab.errors import NetworkError
from digitlab.network.layers import ACTIVATIONS, INITIALIZERS, LAYERS, PADDINGS, Layer

__all__ = ["SETTINGS", "STARTING", "Setting", "build_layer", "settings_of"]

_SIZES = re.compile(r"\s*(\d{1,9})\s*(?:[x×,;]\s*(\d{1,9})\s*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a layer's form.

    Attributes
    ----------
    name, title : str
        The layer's attribute, and what the form calls it.
    form : {"whole", "fraction", "size", "choice", "flag"}
        What is typed: a whole number, a fraction, one or two whole numbers (``5`` or ``5 x 3``), one of ``choices``,
        or yes and no.
    choices : tuple of str
        For a choice.
    least, most : float
        For numbers.
    rare : bool
        Shown only when asked for.
    may_be_empty : bool
        Whether nothing typed means None.
    """

    name: str
    title: str
    form: Literal["whole", "fraction", "size", "choice", "flag"]
    choices: tuple[str, ...] = ()
    least: float = 1
    most: float = 65_536
    rare: bool = False
    may_be_empty: bool = False


_BIAS_AND_START = (
    Setting("use_bias", "Bias", "flag", rare=True),
    Setting("kernel_initializer", "Initial weights", "choice", tuple(INITIALIZERS), rare=True),
    Setting("bias_initializer", "Initial biases", "choice", tuple(INITIALIZERS), rare=True),
)

#: The fields of each kind of layer, in the order of the form.
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "Conv2D": (
        Setting("filters", "Filters", "whole"),
        Setting("kernel_size", "Kernel size", "size"),
        Setting("padding", "Padding", "choice", PADDINGS),
        Setting("activation", "Activation", "choice", ("linear", "relu")),
        *_BIAS_AND_START,
    ),
    "MaxPooling2D": (
        Setting("pool_size", "Window", "size"),
        Setting("strides", "Stride", "size", may_be_empty=True),
        Setting("padding", "Padding", "choice", PADDINGS),
    ),
    "Flatten": (),
    "Dropout": (Setting("rate", "Rate", "fraction", least=0, most=0.99),),
    "Dense": (
        Setting("units", "Units", "whole"),
        Setting("activation", "Activation", "choice", ACTIVATIONS),
        *_BIAS_AND_START,
    ),
}

#: What a layer that is added begins with.
STARTING: dict[str, dict[str, Any]] = {
    "Conv2D": {
        "filters": 16,
        "kernel_size": 3,
        "padding": "same",
        "activation": "relu",
        "kernel_initializer": "he_normal",
    },
    "MaxPooling2D": {"pool_size": 2},
    "Flatten": {},
    "Dropout": {"rate": 0.25},
    "Dense": {"units": 32, "activation": "relu", "kernel_initializer": "he_normal"},
}


def settings_of(layer: Layer) -> dict[str, Any]:
    """Return a layer's settings as its form shows them: sizes as text, ``5`` or ``5 x 3``; without the name.

    Examples
    --------
    >>> from digitlab.network.layers import MaxPooling2D
    >>> settings_of(MaxPooling2D(2))
    {'pool_size': '2', 'strides': '2', 'padding': 'valid'}
    """
    values = {field.name: getattr(layer, field.name) for field in fields(layer) if field.name != "name"}
    return {name: _size_text(value) if isinstance(value, tuple) else value for name, value in values.items()}


def build_layer(kind: str, typed: Mapping[str, Any], name: str = "") -> Layer:
    """Return the layer that somebody has typed.

    Raises
    ------
    NetworkError
        If a setting is empty or cannot be used; the message names it.
    """
    values = {
        setting.name: _value(kind, setting, typed[setting.name]) for setting in SETTINGS[kind] if setting.name in typed
    }
    return LAYERS[kind](name=name, **values)


def _value(kind: str, setting: Setting, typed: Any) -> Any:
    if typed is None or typed == "":
        if setting.may_be_empty:
            return None
        raise NetworkError(f"{kind} {setting.name} is empty; give it {_wanted(setting)}.")
    if setting.form == "size":
        return _size(kind, setting, typed)
    if setting.form == "whole" and isinstance(typed, float) and abs(typed) < 1e9 and typed == int(typed):
        return int(typed)
    return typed


def _size(kind: str, setting: Setting, typed: Any) -> int | tuple[int, int]:
    match = _SIZES.fullmatch(str(typed))
    if match is None:
        raise NetworkError(f"{kind} {setting.name} must be {_wanted(setting)}; got {str(typed)!r:.40}.")
    height, width = int(match[1]), match[2]
    return height if width is None else (height, int(width))


def _wanted(setting: Setting) -> str:
    if setting.form == "size":
        return 'a whole number such as 5, or height and width such as "5 x 3"'
    if setting.form == "fraction":
        return "a fraction from 0 to below 1"
    return f"a whole number from {setting.least:,} to {setting.most:,}"


def _size_text(size: tuple[int, ...]) -> str:
    return str(size[0]) if len(set(size)) == 1 else " x ".join(map(str, size))
