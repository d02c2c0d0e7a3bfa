"""The settings of a training as a page shows them: made from ``TrainConfig``, its types, defaults and docstring."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from digitlab.engine.optimizers import SCHEDULES
from digitlab.errors import ConfigError
from digitlab.network.zoo import ZOO
from digitlab.training.config import AUGMENTATION_NAMES, OPTIMIZERS, TrainConfig

__all__ = ["CHANGEABLE", "SettingField", "fields_at_first", "other_fields", "parsed"]

#: What may be changed while a training is under way.
CHANGEABLE = ("learning_rate",)

# The ones that a lesson is about; the others come after them, and what belongs to the machine
# is not on the page; nor is the loss, since a page trains networks for single digits.
_AT_FIRST = ("network", "train_images", "batch_size", "epochs", "optimizer", "learning_rate", "schedule", "seed")
_NOT_SHOWN = ("data", "loss", "learns_from")
_CHOICES: dict[str, Sequence[str]] = {
    "network": tuple(ZOO),
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augmentation": AUGMENTATION_NAMES,
}


@dataclass(frozen=True, slots=True)
class SettingField:
    """One setting.

    Attributes
    ----------
    name : str
        Of the field in ``TrainConfig``.
    label : str
        For people.
    help : str
        A sentence, from the docstring.
    kind : str
        ``choice``, ``bool``, ``int`` or ``float``.
    optional : bool
        Whether it may be left empty.
    choices : sequence of str
        What there is to choose.
    """

    name: str
    label: str
    help: str
    kind: str
    optional: bool
    choices: Sequence[str] = ()


def fields_at_first() -> list[SettingField]:
    """Return the settings that everybody sees."""
    return [_field(name) for name in _AT_FIRST]


def other_fields() -> list[SettingField]:
    """Return the settings for those who want more."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    return [_field(name) for name in names if name not in (*_AT_FIRST, *_NOT_SHOWN)]


def parsed(field: SettingField, value: Any) -> Any:
    """Return what a control holds as ``TrainConfig`` takes it.

    Raises
    ------
    ConfigError
        If it is empty or no number.

    Examples
    --------
    >>> parsed(fields_at_first()[1], 64.0)
    64
    """
    if value is None or value == "":
        if field.optional:
            return None
        raise ConfigError(f"{field.name} is empty; type a number.")
    if field.kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _field(name: str) -> SettingField:
    declared = str(next(field.type for field in dataclasses.fields(TrainConfig) if field.name == name))
    kind = declared.removesuffix(" | None")
    words = name.replace("_", " ").replace("train ", "training ")
    return SettingField(
        name=name,
        label=words[0].upper() + words[1:],
        help=_helps()[name],
        kind="choice" if name in _CHOICES else kind,
        optional=kind != declared,
        choices=_CHOICES.get(name, ()),
    )


def _helps() -> Mapping[str, str]:
    """Return what the docstring says of every parameter (numpydoc's section *Parameters*)."""
    section = inspect.cleandoc(TrainConfig.__doc__ or "").partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
