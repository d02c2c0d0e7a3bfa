"""The form of a training's settings: a control for every field of ``TrainConfig``, with its errors beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from docstring_parser import DocstringStyle, parse
from nicegui import ui
from nicegui.elements.mixins.validation_element import ValidationElement

from digitlab.engine.optimizers import SCHEDULES
from digitlab.errors import ConfigError, DigitlabError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Dropout
from digitlab.network.zoo import ZOO
from digitlab.studio.page import Page
from digitlab.training.config import AUGMENTATION_NAMES, OPTIMIZERS, TrainConfig

# The ones that a lesson is about; the others come after them, and what belongs to the machine
# is not on the page; nor is the loss, since a page trains networks for single digits.
_AT_FIRST = ("network", "train_images", "batch_size", "epochs", "optimizer", "learning_rate", "schedule", "seed")
_NOT_SHOWN = ("data", "loss", "learns_from", "device", "precision")
_CHOICES = {"network": (*ZOO,), "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "augmentation": AUGMENTATION_NAMES}
# What each field is declared as, such as ``float`` or ``float | None``.
_DECLARED = {field.name: str(field.type) for field in dataclasses.fields(TrainConfig)}

# Stands in the list of networks for the one that was edited in the Model tab.
_OWN = "*"
# A setting of the network, not of TrainConfig.
_DROPOUT = "dropout"

_WHEN = "While a training is under way, a new learning rate counts from the next batch, all else from the next start."


def parsed(name: str, value: Any) -> Any:
    """Return what the control of a setting holds as ``TrainConfig`` takes it.

    >>> parsed("train_images", 64.0)
    64
    """
    declared = _DECLARED[name]
    if value is None or value == "":
        if declared.endswith(" | None"):
            return None
        raise ConfigError(f"{name} is empty; type a number.")
    return int(value) if declared.startswith("int") and isinstance(value, float) and value.is_integer() else value


class SettingsForm:
    """The settings of the next start, and the learning rate of the training under way."""

    def __init__(self, page: Page, on_validity: Callable[[], None]) -> None:
        self._page, self._on_validity = page, on_validity
        self._controls: dict[str, Any] = {}
        self._errors: dict[str, str] = {}
        # What was changed since the settings could last be used.
        self._changed: set[str] = set()
        self._is_showing = False

    @property
    def has_errors(self) -> bool:
        """Whether a control holds what cannot be used."""
        return bool(self._errors)

    def build(self) -> None:
        """Build the controls into the current container."""
        said = {p.arg_name: p.description for p in parse(TrainConfig.__doc__ or "", DocstringStyle.NUMPYDOC).params}
        helps = {name: " ".join((text or "").split()) for name, text in said.items()}
        with ui.element("div").classes("settings"):
            for name in _AT_FIRST:
                self._build_control(name, helps[name])
            self._dropout = ui.number("Dropout", min=0, max=1, step=0.05, on_change=self._change_dropout)
            self._dropout.props('hint="Part of the values that is left out at random."').mark(_DROPOUT)
            self._dropout.without_auto_validation()
        with (
            ui.expansion("More settings").classes("settings-more").props("dense dense-toggle"),
            ui.element("div").classes("settings"),
        ):
            for name in _DECLARED:
                if name not in (*_AT_FIRST, *_NOT_SHOWN):
                    self._build_control(name, helps[name])
        ui.label(_WHEN).classes("muted settings-note")
        self._page.on(self._show, "settings")
        self._show()

    def _build_control(self, name: str, help: str) -> None:
        def change(event: Any) -> None:
            self._change(name, event.value)

        words = name.replace("_", " ").replace("train ", "training ")
        label = words[0].upper() + words[1:]
        control: Any
        if name in _CHOICES:
            control = ui.select(list(_CHOICES[name]), label=label, on_change=change)
        elif _DECLARED[name] == "bool":
            control = ui.switch(label, on_change=change).props(f'aria-label="{label}"')
        else:
            control = ui.number(label, on_change=change).props("debounce=200")
            if _DECLARED[name].startswith("float"):
                control.props("step=any")
        if isinstance(control, ValidationElement):
            control.without_auto_validation()  # errors are told by _tell_errors alone
        self._controls[name] = control.mark(name).props(f'title="{help}"')

    # ---- from the page to the controls ----

    def _show(self) -> None:
        page, config = self._page, self._page.config
        self._is_showing = True
        try:
            for name, control in self._controls.items():
                if name == "network":
                    own = {} if page.architecture is None else {_OWN: f"{page.architecture.name}, as edited in Model"}
                    options = {choice: choice for choice in _CHOICES[name]} | own
                    control.set_options(options, value=_OWN if own else config.network)
                elif name not in self._changed:
                    control.set_value(getattr(config, name))
            rates = [layer.rate for layer in page.network.layers if isinstance(layer, Dropout)]
            self._dropout.set_visibility(bool(rates))
            if rates and _DROPOUT not in self._errors:
                self._dropout.set_value(rates[0])
        finally:
            self._is_showing = False

    # ---- from the controls to the page ----

    def _change(self, name: str, value: Any) -> None:
        if self._is_showing:
            return
        page = self._page
        if name == "network":
            if value != _OWN:
                page.set_settings(dataclasses.replace(page.config, network=value))
            return
        errors = {}
        values = page.config.to_dict()
        self._changed.add(name)
        for other in self._changed:
            try:
                values[other] = parsed(other, self._controls[other].value)
            except ConfigError as error:
                errors[other] = str(error)
        try:
            config = self._checked(values)
        except ConfigError as error:
            errors = (self._blamed(values) or {name: str(error)}) | errors
        self._tell_errors({other: text for other, text in self._errors.items() if other == _DROPOUT} | errors)
        if errors:
            return
        self._changed.clear()
        if name == "learning_rate":
            self._change_now(config.learning_rate)
        page.set_settings(config, page.architecture)

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

    def _change_now(self, rate: float) -> None:
        """Change the learning rate of the training under way."""
        page, trainer = self._page, self._page.trainer
        if trainer.state in ("training", "paused") and page.may_steer and trainer.learning_rate != rate:
            with page.telling_errors():
                trainer.set_learning_rate(rate)
                page.notify(f"The learning rate is {rate:g} from the next batch on.")

    def _change_dropout(self, event: Any) -> None:
        if self._is_showing:
            return
        errors = {name: text for name, text in self._errors.items() if name != _DROPOUT}
        network = self._page.network
        try:
            if event.value is None:
                raise ConfigError("dropout is empty; type a number from 0 to less than 1.")
            rate = float(event.value)
            layers = [dataclasses.replace(x, rate=rate) if isinstance(x, Dropout) else x for x in network.layers]
            changed = Architecture(layers, network.input_shape, network.name)
        except DigitlabError as error:
            self._tell_errors(errors | {_DROPOUT: str(error)})
            return
        self._tell_errors(errors)
        self._page.set_settings(architecture=changed)

    def _tell_errors(self, errors: dict[str, str]) -> None:
        had_errors, self._errors = self.has_errors, errors
        for name, control in {**self._controls, _DROPOUT: self._dropout}.items():
            if isinstance(control, ValidationElement):
                control.error = errors.get(name)
        if had_errors != self.has_errors:
            self._on_validity()
