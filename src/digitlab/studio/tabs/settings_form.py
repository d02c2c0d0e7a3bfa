"""The form of a training's settings: a control for every field of ``TrainConfig``, with its errors beside it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.validation_element import ValidationElement

from digitlab.engine.optimizers import SCHEDULES
from digitlab.errors import ConfigError, DigitlabError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Dropout
from digitlab.network.zoo import ZOO
from digitlab.studio.page import Page
from digitlab.training.config import AUGMENTATION_NAMES, OPTIMIZERS, TrainConfig

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
    """One setting: its name in ``TrainConfig``, what people call it, a sentence of help, and what may be typed."""

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


# Stands in the list of networks for the one that was edited in the Model tab.
_OWN = "*"
# A setting of the network, not of TrainConfig.
_DROPOUT = "dropout"

_WHEN = "While a training is under way, a new learning rate counts from the next batch, all else from the next start."


class SettingsForm:
    """The settings of the next start, and the learning rate of the training under way."""

    def __init__(self, page: Page, on_validity: Callable[[], None]) -> None:
        self._page, self._on_validity = page, on_validity
        self._fields = {field.name: field for field in (*fields_at_first(), *other_fields())}
        self._controls: dict[str, Any] = {}
        self._errors: dict[str, str] = {}
        # What was changed since the settings could last be used.
        self._changed: set[str] = set()
        self._dropout: ui.number
        self._is_showing = False

    @property
    def has_errors(self) -> bool:
        """Whether a control holds what cannot be used."""
        return bool(self._errors)

    def build(self) -> None:
        """Build the controls into the current container."""
        with ui.element("div").classes("settings"):
            for field in fields_at_first():
                self._build_control(field)
            self._dropout = ui.number("Dropout", min=0, max=1, step=0.05, on_change=self._change_dropout)
            self._dropout.props('hint="Part of the values that is left out at random."').mark(_DROPOUT)
            self._dropout.without_auto_validation()
        with (
            ui.expansion("More settings").classes("settings-more").props("dense dense-toggle"),
            ui.element("div").classes("settings"),
        ):
            for field in other_fields():
                self._build_control(field)
        ui.label(_WHEN).classes("muted settings-note")
        self._page.on_settings(self._show)
        self._show()

    def _build_control(self, field: SettingField) -> None:
        def change(event: Any) -> None:
            self._change(field.name, event.value)

        control: Any
        if field.kind == "bool":
            control = ui.switch(field.label, on_change=change).props(f'aria-label="{field.label}"')
        elif field.kind == "choice":
            control = ui.select(list(field.choices), label=field.label, on_change=change)
        else:
            control = ui.number(field.label, on_change=change).props("debounce=200")
            if field.kind == "float":
                control.props("step=any")
        if isinstance(control, ValidationElement):
            control.without_auto_validation()  # errors are told by _tell_errors alone
        control.mark(field.name)
        control.props(f'title="{field.help}"')
        self._controls[field.name] = control

    # ---- from the page to the controls ----

    def _show(self) -> None:
        page, config = self._page, self._page.config
        self._is_showing = True
        try:
            for name, control in self._controls.items():
                if name == "network":
                    own = {} if page.architecture is None else {_OWN: f"{page.architecture.name}, as edited in Model"}
                    options = {choice: choice for choice in self._fields[name].choices} | own
                    control.set_options(options, value=_OWN if own else config.network)
                elif name not in self._changed:
                    control.set_value(getattr(config, name))
            rates = _dropout_rates(page.network)
            self._dropout.set_visibility(bool(rates))
            if rates and _DROPOUT not in self._errors:
                self._dropout.set_value(rates[0])
        finally:
            self._is_showing = False

    # ---- from the controls to the page ----

    def _change(self, name: str, value: Any) -> None:
        if self._is_showing:
            return
        if name == "network":
            if value != _OWN:
                self._set(dataclasses.replace(self._page.config, network=value), None)
            return
        errors = {other: text for other, text in self._errors.items() if other == _DROPOUT}
        values = self._page.config.to_dict()
        self._changed.add(name)
        for other in self._changed:
            try:
                values[other] = parsed(self._fields[other], self._controls[other].value)
            except ConfigError as error:
                errors[other] = str(error)
        try:
            config = self._checked(values)
        except ConfigError as error:
            errors = (self._blamed(values) or {name: str(error)}) | errors
        self._tell_errors(errors)
        if errors.keys() - {_DROPOUT}:
            return
        self._changed.clear()
        if name in CHANGEABLE:
            self._change_now(config)
        self._set(config, self._page.architecture)

    def _checked(self, values: dict[str, Any]) -> TrainConfig:
        config, data = TrainConfig.from_dict(values), self._page.data
        for name, split in (("train_images", data.training), ("validation_images", data.validation)):
            if getattr(config, name) > len(split):
                raise ConfigError(f"{name} must be at most {len(split):,}: there are no more {split.name} images.")
        return config

    def _blamed(self, values: dict[str, Any]) -> dict[str, str]:
        """Return the changed settings that cannot be used, each by itself, with why."""
        errors = {}
        for name in self._changed:
            try:
                self._checked(self._page.config.to_dict() | {name: values[name]})
            except ConfigError as error:
                errors[name] = str(error)
        return errors

    def _change_now(self, config: TrainConfig) -> None:
        trainer = self._page.trainer
        if trainer.state not in ("training", "paused") or not self._page.may_steer:
            return
        if trainer.learning_rate != config.learning_rate:
            try:
                trainer.set_learning_rate(config.learning_rate)
            except DigitlabError as error:
                self._page.notify(str(error), "error")
                return
            self._page.notify(f"The learning rate is {config.learning_rate:g} from the next batch on.")

    def _change_dropout(self, event: Any) -> None:
        if self._is_showing:
            return
        errors = {name: text for name, text in self._errors.items() if name != _DROPOUT}
        try:
            if event.value is None:
                raise ConfigError("dropout is empty; type a number from 0 to less than 1.")
            architecture = _with_dropout(self._page.network, float(event.value))
        except DigitlabError as error:
            self._tell_errors(errors | {_DROPOUT: str(error)})
            return
        self._tell_errors(errors)
        self._set(self._page.config, architecture)

    def _set(self, config: TrainConfig, architecture: Architecture | None) -> None:
        self._page.set_settings(config, architecture)

    def _tell_errors(self, errors: dict[str, str]) -> None:
        had_errors, self._errors = self.has_errors, errors
        for name, control in {**self._controls, _DROPOUT: self._dropout}.items():
            if isinstance(control, ValidationElement):
                control.error = errors.get(name)
        if had_errors != self.has_errors:
            self._on_validity()


def _dropout_rates(architecture: Architecture) -> list[float]:
    return [layer.rate for layer in architecture.layers if isinstance(layer, Dropout)]


def _with_dropout(architecture: Architecture, rate: float) -> Architecture:
    layers = [
        dataclasses.replace(layer, rate=rate) if isinstance(layer, Dropout) else layer for layer in architecture.layers
    ]
    return Architecture(layers, architecture.input_shape, architecture.name)
