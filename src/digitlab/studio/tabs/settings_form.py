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
from digitlab.studio.setting_words import in_page_words, label_of
from digitlab.studio.tabs.presets import Presets, differing
from digitlab.studio.widgets.controls import Command, mark, say
from digitlab.text import counted, setting_text
from digitlab.training.config import AUGMENTATION_NAMES, OPTIMIZERS, TrainConfig
from digitlab.training.material import network_for

# The ones that a learner needs; the others are folded away, with how many of them are changed, and what belongs to the
# machine is not on the page; nor is the loss, since a page trains networks for single digits.
_AT_FIRST = ("network", "epochs", "batch_size", "learning_rate", "optimizer")
_NEXT = ("train_images", "schedule", "seed")
_NOT_SHOWN = ("data", "loss", "learns_from", "device", "precision")
_CHOICES = {"network": (*ZOO,), "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "augmentation": AUGMENTATION_NAMES}
# What each field is declared as, such as ``float`` or ``float | None``.
_DECLARED = {field.name: str(field.type) for field in dataclasses.fields(TrainConfig)}
_FOLDED = (*_NEXT, *(name for name in _DECLARED if name not in (*_AT_FIRST, *_NEXT, *_NOT_SHOWN)))

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
        self._had: dict[str, ui.label] = {}
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
        self._presets = Presets(self._page)
        with ui.element("div").classes("settings"):
            for name in _AT_FIRST:
                self._build_control(name, helps[name])
            self._dropout = ui.number("Dropout", min=0, max=1, step=0.05, on_change=self._change_dropout)
            self._dropout.props('hint="Part of the values that is left out at random."').mark(_DROPOUT)
            self._dropout.without_auto_validation()
        self._more = ui.expansion("More settings").classes("settings-more").props("dense dense-toggle")
        with self._more, ui.element("div").classes("settings"):
            for name in _FOLDED:
                self._build_control(name, helps[name])
        self._differ = ui.label().classes("setting-had num")
        self._as_in_run = Command("As in the run", self._take_run).mark("as-in-run")
        ui.label(_WHEN).classes("muted settings-note")
        self._page.on(self._show, "settings")
        self._page.on(self._show_run, "settings", "generation", "state")
        self._show()

    def _build_control(self, name: str, help: str) -> None:
        def change(event: Any) -> None:
            self._change(name, event.value)

        label = label_of(name)
        control: Any
        with ui.element("div").classes("setting"):
            if name in _CHOICES:
                control = ui.select(list(_CHOICES[name]), label=label, on_change=change)
            elif _DECLARED[name] == "bool":
                control = ui.switch(label, on_change=change).props(f'aria-label="{label}"')
            else:
                control = ui.number(label, on_change=change).props("debounce=200")
                if _DECLARED[name].startswith("float"):
                    control.props("step=any")
            self._had[name] = had = ui.label().classes("setting-had num")
            had.set_visibility(False)
        if isinstance(control, ValidationElement):
            control.without_auto_validation()  # errors are told by _tell_errors alone
        self._controls[name] = control.mark(name).props(f'title="{help}" aria-describedby="{had.html_id}"')

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

        name, differs = self._presets.nearest()
        n = len(differs.intersection(_FOLDED))
        self._more.set_text(f"More settings · {n} changed from {name}" if n else "More settings")

    def _show_run(self) -> None:
        """Mark what the run that is shown had otherwise: the form is about the next one."""
        had = run_had(self._page)
        for name, label in self._had.items():
            say(label, had.get(name, ""))
        mark(self._more, "is-marked", any(name in had for name in _FOLDED))
        say(self._differ, f"{counted(len(had), 'setting')} not as in the run that is shown" if had else "")
        self._as_in_run.set_visibility(bool(had))

    def _take_run(self) -> None:
        page, trainer = self._page, self._page.trainer
        network = _run_network(page)
        config = dataclasses.replace(
            trainer.config,
            network=network or page.config.network,
            learning_rate=trainer.learning_rate,
            data=page.config.data,
        )
        page.set_settings(config, None if network else trainer.architecture)

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
                raise ConfigError("Dropout is empty; type a number from 0 to less than 1.")
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
                control.error = in_page_words(errors[name]) if name in errors else None
        if had_errors != self.has_errors:
            self._on_validity()


def run_had(page: Page) -> dict[str, str]:
    """Return what the run that is shown had otherwise than the next one will, in words by the setting's name."""
    trainer = page.trainer
    if trainer.state == "idle":
        return {}
    config, began_at, rate = trainer.config, trainer.config.learning_rate, trainer.learning_rate
    had = {name: f"run had {setting_text(getattr(config, name))}" for name in differing(page.config, config)}
    for name in ("network", "learning_rate", *_NOT_SHOWN):
        had.pop(name, None)
    if page.network.layers != trainer.architecture.layers:
        had["network"] = f"run had {_run_network(page) or trainer.architecture.name}"
    if page.config.learning_rate != rate:
        # Who changed it on the way goes on from where it was changed to.
        had["learning_rate"] = f"run had {began_at:g}" + (f", then {rate:g}" if rate != began_at else "")
    return had


def _run_network(page: Page) -> str:
    """Return what the zoo calls the network of the run that is shown; nothing for one that was edited."""
    layers = page.trainer.architecture.layers
    configs = ((name, dataclasses.replace(page.config, network=name)) for name in ZOO)
    return next((name for name, config in configs if network_for(config, page.data).layers == layers), "")
