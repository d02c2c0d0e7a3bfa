"""The options of ``digitlab train``, made from the fields and the docstring of ``TrainConfig``."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_type_hints

from cyclopts import Group, Parameter
from docstring_parser import DocstringStyle, parse

from digitlab.cli.numbers import NUMBER, WHOLE_NUMBER
from digitlab.training.config import PRESETS, TrainConfig

__all__ = ["TrainSettings", "describe_presets", "given"]

_GROUP = Group("Settings", sort_key=2)


def given(settings: TrainSettings | None) -> dict[str, Any]:
    """Return the settings that were given at the command line."""
    if settings is None:
        return {}
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {name: value for name, value in values.items() if value is not None}


def describe_presets() -> str:
    """Return what the presets are, in a sentence."""
    parts = []
    for name, changes in PRESETS.items():
        words = [f"{key.replace('_', '-')} {_plain(value)}" for key, value in changes.items()]
        parts.append(f"{name}: {', '.join(words) if words else 'the defaults below'}")
    return "Where the settings start from. " + "; ".join(parts) + "."


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _default(name: str, default: Any) -> str | bool:
    others = [f"{key}: {_plain(changes[name])}" for key, changes in PRESETS.items() if name in changes]
    shown = ([] if default is None else [_plain(default)]) + ([f"({', '.join(others)})"] if others else [])
    return " ".join(shown) or False


@cache
def _settings_class() -> type:
    documented = {
        entry.arg_name: entry.description for entry in parse(TrainConfig.__doc__ or "", DocstringStyle.NUMPYDOC).params
    }
    hints = get_type_hints(TrainConfig)
    converters = {int: WHOLE_NUMBER, float: NUMBER}
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(TrainConfig):
        kind = next(one for one in (bool, int, float, str) if hints[field.name] in (one, one | None))
        parameter = Parameter(
            help=" ".join((documented[field.name] or "").split()),
            show_default=_default(field.name, field.default),
            converter=converters.get(kind),
            group=_GROUP,
        )
        fields.append((field.name, Annotated[kind | None, parameter], None))
    # cyclopts takes a class of the module "types", which it would be, for one of Python's own.
    namespace = {"__module__": __name__}
    return dataclasses.make_dataclass("TrainSettings", fields, namespace=namespace, kw_only=True, frozen=True)


if TYPE_CHECKING:

    class TrainSettings:
        """Every field of ``TrainConfig``, or None where it was not given."""

        __dataclass_fields__: ClassVar[dict[str, Any]]

else:
    TrainSettings = _settings_class()
