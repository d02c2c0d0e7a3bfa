"""LessonLink: what a teacher hands out, a page's network, settings, tab and step as a URL's query."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from digitlab.data.storage import parse_json
from digitlab.errors import ConfigError, DigitlabError, InputError, NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import LAYERS
from digitlab.network.zoo import ZOO
from digitlab.network.zoo import architecture as named_architecture
from digitlab.studio.tasks import TASK_IDS
from digitlab.training.config import TrainConfig
from digitlab.values import CLASS_NAMES, Value

__all__ = ["TABS", "LessonLink"]

#: The tabs by their name in the link.
TABS = {
    "input-data": "Input Data",
    "model": "Model",
    "training": "Training",
    "network": "Network",
    "evaluation": "Evaluation",
    "read": "Read",
    "runs": "Runs",
}

_LONGEST_QUERY = 8_000
_LONGEST_NUMBER = 40
_LAST_STEP = 2**31 - 1
_NETWORK, _LAYERS, _TAB, _STEP, _TASKS = "network", "layers", "tab", "step", "tasks"
# Instead of a task's name: the first that is not done.
_NEXT = "on"
# What belongs to the machine that a page runs on, and not to a lesson, which is about single digits. A link must not
# make it open files.
_PRIVATE = ("data", "threads", "device", "precision", "loss", "learns_from")
_WORDS = {"true": True, "false": False}
_FIELDS = {entry.name: entry for entry in dataclasses.fields(TrainConfig) if entry.name not in (_NETWORK, *_PRIVATE)}
_IMAGE_SHAPE = (28, 28, 1)


@dataclass(frozen=True, slots=True)
class LessonLink(Value):
    """The settings of a page, as they travel in its address.

    ``layers`` is a network of one's own, instead of the zoo's ``network``; ``changes`` what differs otherwise from the
    defaults of ``TrainConfig``; ``step`` where in the training the page looks, None for the newest; ``tasks`` which of
    the tasks is open, ``on`` for the first that is not done, "" for none.

    >>> link = LessonLink(changes={"epochs": 3, "optimizer": "sgd"}, tab="training")
    >>> link.to_query()
    'network=codelab_cnn&epochs=3&optimizer=sgd&tab=training'
    >>> LessonLink.from_query(link.to_query()) == (link, "")
    True
    >>> LessonLink.from_query("epochs=many")[1]
    "This link's settings are not used: epochs must be a whole number; got 'many'."
    """

    network: str = "codelab_cnn"
    layers: Architecture | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    tab: str = "input-data"
    step: int | None = None
    tasks: str = ""

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        architecture: Architecture,
        tab: str = "input-data",
        step: int | None = None,
        tasks: str = "",
    ) -> LessonLink:
        """Return the link to a page that shows these settings and this network."""
        name = next((name for name in ZOO if named_architecture(name) == architecture), None)
        changes = {key: value for key, value in config.changed().items() if key in _FIELDS}
        return cls(name or "codelab_cnn", None if name else architecture, changes, tab, step, tasks)

    @property
    def config(self) -> TrainConfig:
        """The settings, as a training takes them."""
        return TrainConfig(network=self.network, **self.changes)

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return named_architecture(self.network) if self.layers is None else self.layers

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "network": self.network,
            "layers": None if self.layers is None else self.layers.to_dict(),
            "changes": dict(self.changes),
            "tab": self.tab,
            "step": self.step,
            "tasks": self.tasks,
        }

    def to_query(self) -> str:
        """Return the query of the address, without the question mark; letters, digits and ``-_.~+%=&`` only."""
        values: dict[str, Any] = {_NETWORK: self.network} if self.layers is None else {_LAYERS: _packed(self.layers)}
        values |= {name: _text(value) for name, value in self.changes.items()} | {_TAB: self.tab}
        if self.step is not None:
            values[_STEP] = self.step
        if self.tasks:
            values[_TASKS] = self.tasks
        query = urlencode(values)
        if len(query) > _LONGEST_QUERY:
            raise NetworkError(
                f"This network is too large for a link of {_LONGEST_QUERY:,} characters; hand out the run instead."
            )
        return query

    @classmethod
    def from_query(cls, query: str | Mapping[str, str], n_classes: int = len(CLASS_NAMES)) -> tuple[LessonLink, str]:
        """Read the query of an address that anybody may have written.

        A network has to tell ``n_classes`` apart, or one more for what is no digit. What cannot be used is told in the
        sentence, and the link has the defaults; what a link does not know, such as an access token, is left alone.
        """
        try:
            return cls._read(_pairs(query), n_classes), ""
        except DigitlabError as error:
            return cls(), f"This link's settings are not used: {error}"

    @classmethod
    def _read(cls, values: Mapping[str, str], n_classes: int) -> LessonLink:
        private = [name for name in _PRIVATE if name in values]
        if private:
            raise ConfigError(f"{private[0]} cannot be set by a link; give it to digitlab studio.")
        network, layers = values.get(_NETWORK, "codelab_cnn"), None
        if _LAYERS in values:
            layers = _unpacked(values[_LAYERS], n_classes)
            network = "codelab_cnn"
        elif network.replace("-", "_") not in ZOO:
            raise NetworkError(f"there is no network {network!r:.60}; there are {', '.join(ZOO)}.")
        tab = values.get(_TAB, "input-data")
        if tab not in TABS:
            raise InputError(f"there is no tab {tab!r:.60}; there are {', '.join(TABS)}.")
        step = _number(_STEP, values[_STEP], int) if _STEP in values else None
        if step is not None and not 0 <= step <= _LAST_STEP:
            raise InputError(f"step must be from 0 to {_LAST_STEP:,}; got {step:,}.")
        tasks = values.get(_TASKS, "")
        if tasks not in ("", _NEXT, *TASK_IDS):
            raise InputError(f"there is no task {tasks!r:.60}; there are {', '.join(TASK_IDS)}, or {_NEXT}.")
        changes = {name: _value(name, text) for name, text in values.items() if name in _FIELDS}
        link = cls(network.replace("-", "_"), layers, changes, tab, step, tasks)
        return dataclasses.replace(link, changes={k: v for k, v in link.config.changed().items() if k in changes})


def _pairs(query: str | Mapping[str, str]) -> Mapping[str, str]:
    length = len(query) if isinstance(query, str) else sum(map(len, query.values()))
    if length > _LONGEST_QUERY:
        raise InputError(f"the address is longer than {_LONGEST_QUERY:,} characters.")
    if not isinstance(query, str):
        return query
    try:
        return dict(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError as error:
        raise InputError(f"the address cannot be read ({error}).") from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(name: str, text: str) -> Any:
    kind = str(_FIELDS[name].type).removesuffix(" | None")
    if kind == "bool":
        return _WORDS.get(text.lower(), text)
    if kind == "int":
        return _number(name, text, int)
    return _number(name, text, float) if kind == "float" else text


def _number(name: str, text: str, kind: type[int] | type[float]) -> Any:
    try:
        if len(text) <= _LONGEST_NUMBER:
            return kind(text)
    except ValueError:
        pass
    raise ConfigError(f"{name} must be a {'whole ' if kind is int else ''}number; got {text!r:.60}.")


def _packed(architecture: Architecture) -> str:
    form = architecture.to_dict()
    for entry in form["layers"]:
        for known in dataclasses.fields(LAYERS[entry["class_name"]]):
            if entry.get(known.name) == known.default:
                entry.pop(known.name, None)
    text = json.dumps(form, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unpacked(text: str, n_classes: int) -> Architecture:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        form = parse_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise NetworkError("its network is damaged; copy the whole link again.") from None
    architecture = Architecture.from_dict(form)
    if architecture.input_shape != _IMAGE_SHAPE or architecture.n_classes not in (n_classes, n_classes + 1):
        raise NetworkError(
            f"its network takes {architecture.input_shape} and tells {architecture.n_classes} classes apart; the "
            f"images here are {_IMAGE_SHAPE}, and there are {n_classes} classes."
        )
    return architecture
