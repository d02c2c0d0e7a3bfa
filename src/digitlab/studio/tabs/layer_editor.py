"""LayerEditor: a network while somebody changes it, with what each layer gives or why it cannot.

What is typed may be wrong for a while: every layer keeps it as it was typed, and ``check`` says at which layer the
network breaks. Nothing here knows the page.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture, named
from digitlab.network.cost import LayerCost, layer_cost
from digitlab.network.layers import ACTIVATIONS, INITIALIZERS, LAYERS, PADDINGS, Layer, Shape
from digitlab.values import CLASS_NAMES

#: Of the digits.
INPUT_SHAPE = (28, 28, 1)

_SIZES = re.compile(r"\s*\d{1,9}\s*(?:[x×,;]\s*\d{1,9}\s*)*", re.IGNORECASE)
_MOST_UNDO = 100
_LONGEST_NAME = 100
_EDITED = "_edited"
_WANTED = {
    "size": 'a whole number such as 5, or height and width such as "5 x 3"',
    "fraction": "a fraction from 0 to below 1",
    "whole": "a whole number from 1 to 65,536",
    "number": "a number",
}
_TITLES = {
    "pool_size": "Window", "strides": "Stride", "use_bias": "Bias", "kernel_initializer": "Initial weights",
    "bias_initializer": "Initial biases", "negative_slope": "Slope below 0",
}  # fmt: skip
_RARE = ("use_bias", "kernel_initializer", "bias_initializer")
_CHOICES = {"padding": PADDINGS, "kernel_initializer": INITIALIZERS, "bias_initializer": INITIALIZERS}


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a layer's form: the layer's attribute, what the form calls it, and what is typed.

    A ``size`` is one or two whole numbers (``5``, ``5 x 3``), for sides that differ four, and a ``flag`` yes or no. A
    ``rare`` one is shown only when asked for; where one ``may_be_empty`` nothing typed means None.
    """

    name: str
    title: str
    form: Literal["whole", "fraction", "number", "size", "choice", "flag"]
    choices: tuple[str, ...] = ()
    rare: bool = False
    may_be_empty: bool = False


def _settings(kind: str) -> Iterator[Setting]:
    """Yield a setting for every field that a kind of layer declares."""
    for declared in fields(LAYERS[kind]):
        name, words = declared.name, str(declared.type)
        if name == "name":
            continue
        choices = _CHOICES.get(name, ())
        form: Any = {"str": "choice", "bool": "flag", "float": "number"}.get(words, "whole")
        if name == "activation":
            choices = tuple(known for known in ACTIVATIONS if known != "softmax" or kind != "Conv2D")
        elif name == "rate":
            form = "fraction"
        elif "tuple" in words:
            form = "size"
        title = _TITLES.get(name) or name.replace("_", " ").capitalize()
        yield Setting(name, title, form, choices, name in _RARE, words.endswith("None"))


#: The fields of each kind of layer, in the order of the form.
SETTINGS = {kind: tuple(_settings(kind)) for kind in LAYERS}

_RELU = {"activation": "relu", "kernel_initializer": "he_normal"}
_AT_FIRST: dict[str, dict[str, Any]] = {
    "Conv2D": {"filters": 16, "kernel_size": 3, "padding": "same", **_RELU},
    "MaxPooling2D": {"pool_size": 2},
    "Dropout": {"rate": 0.25},
    "Dense": {"units": 32, **_RELU},
    "Activation": {"activation": "relu"},
}
#: What a layer that is added begins with, besides its defaults.
STARTING = {kind: _AT_FIRST.get(kind, {}) for kind in LAYERS}


def settings_of(layer: Layer) -> dict[str, Any]:
    """Return a layer's settings as its form shows them: sizes as text, ``5`` or ``5 x 3``; without the name.

    >>> from digitlab.network.layers import MaxPooling2D
    >>> settings_of(MaxPooling2D(2))
    {'pool_size': '2', 'strides': '2', 'padding': 'valid'}
    """
    values = {field.name: getattr(layer, field.name) for field in fields(layer) if field.name != "name"}
    return {name: _size_text(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _size_text(size: tuple[Any, ...]) -> str:
    """Return a size as it is typed; of sides that do not differ each pair is one number."""
    if isinstance(size[0], tuple):
        if any(len(set(pair)) > 1 for pair in size):
            return ", ".join(str(n) for pair in size for n in pair)
        size = tuple(pair[0] for pair in size)
    return str(size[0]) if len(set(size)) == 1 else " x ".join(map(str, size))


def build_layer(kind: str, typed: Mapping[str, Any], name: str = "") -> Layer:
    """Return the layer that somebody has typed."""
    values = {
        setting.name: _value(kind, setting, typed[setting.name]) for setting in SETTINGS[kind] if setting.name in typed
    }
    return LAYERS[kind](name=name, **values)


def _value(kind: str, setting: Setting, typed: Any) -> Any:
    name, wanted = setting.name, _WANTED.get(setting.form, "")
    if typed is None or typed == "":
        if setting.may_be_empty:
            return None
        raise NetworkError(f"{kind} {name} is empty; give it {wanted}.", field=name)
    if setting.form == "size":
        numbers = [int(n) for n in re.findall(r"\d+", str(typed))] if _SIZES.fullmatch(str(typed)) else []
        if len(numbers) not in (1, 2, 4):
            raise NetworkError(f"{kind} {name} must be {wanted}; got {str(typed)!r:.40}.", field=name)
        pairs = tuple(zip(numbers[::2], numbers[1::2], strict=False))
        return numbers[0] if len(numbers) == 1 else pairs[0] if len(numbers) == 2 else pairs
    if setting.form == "whole" and isinstance(typed, float) and abs(typed) < 1e9 and typed == int(typed):
        return int(typed)
    return typed


@dataclass(frozen=True, slots=True)
class LayerDraft:
    """One layer as typed; ``key`` stays with it wherever it moves."""

    key: int
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    given_name: str = ""


@dataclass(frozen=True, slots=True)
class CheckedLayer:
    """What became of a draft: its output shape and cost, or the sentence that says what is wrong, and in which setting.

    Where a layer before it is wrong, there is neither.
    """

    draft: LayerDraft
    name: str
    output_shape: Shape | None = None
    cost: LayerCost | None = None
    error: str = ""
    wrong_setting: str = ""


@dataclass(frozen=True, slots=True)
class CheckedNetwork:
    """All layers, and the network if there is one; ``error`` is what concerns no single layer."""

    name: str
    layers: tuple[CheckedLayer, ...]
    architecture: Architecture | None = None
    error: str = ""

    @property
    def wrong_at(self) -> int:
        """The position, from 1, of the first layer that is wrong; 0 if none is."""
        return next((position for position, layer in enumerate(self.layers, start=1) if layer.error), 0)

    @property
    def problem(self) -> str:
        """What is wrong, with the layer where it is one's; nothing where nothing is."""
        at = self.wrong_at
        return f"Layer {at}, {self.layers[at - 1].name}: {self.layers[at - 1].error}" if at else self.error


class LayerEditor:
    """The layers of a network, changed one at a time, with the way back.

    ``original`` is the network that was loaded last, ``drafts`` are its layers as typed.

    >>> from digitlab.network.zoo import architecture
    >>> editor = LayerEditor(architecture("codelab_cnn"))
    >>> editor.change(editor.drafts[0].key, "kernel_size", "3")
    >>> editor.check().layers[0].output_shape
    (26, 26, 8)
    """

    def __init__(self, architecture: Architecture, n_classes: int = len(CLASS_NAMES)) -> None:
        self._keys, self._n_classes = itertools.count(), n_classes
        self._past: list[tuple[Architecture, tuple[LayerDraft, ...]]] = []
        self._typing: tuple[int, str] | None = None
        self.original, self.drafts = architecture, self._drafts_of(architecture)

    def load(self, architecture: Architecture) -> None:
        """Go on with another network; this too can be taken back."""
        self._set(self._drafts_of(architecture), original=architecture)

    def _drafts_of(self, architecture: Architecture) -> tuple[LayerDraft, ...]:
        automatic = named([dataclasses.replace(layer, name="") for layer in architecture.layers])
        return tuple(
            LayerDraft(next(self._keys), type(layer).__name__, settings_of(layer), "" if layer == auto else layer.name)
            for layer, auto in zip(architecture.layers, automatic, strict=True)
        )

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._past)

    def change(self, key: int, setting: str, value: Any) -> None:
        """Set what is typed in one field; typing on in the same field is one change to take back."""
        drafts = tuple(
            dataclasses.replace(draft, settings=draft.settings | {setting: value}) if draft.key == key else draft
            for draft in self.drafts
        )
        if drafts != self.drafts:
            self._set(drafts, typing=(key, setting))

    def add(self, kind: str) -> int:
        """Add a layer as near to the end as it fits, or where it does least harm; return its key."""
        draft = LayerDraft(next(self._keys), kind, settings_of(build_layer(kind, STARTING[kind])))
        n = len(self.drafts)
        # After the last layer only where nothing else works: that is where the answer is given.
        choices = [(*self.drafts[:at], draft, *self.drafts[at:]) for at in (*range(n - 1, -1, -1), n)]
        self._set(min(choices, key=lambda drafts: _harm(drafts, draft.key)))
        return draft.key

    def remove(self, key: int) -> None:
        """Take a layer out."""
        self._set(tuple(draft for draft in self.drafts if draft.key != key))

    def move(self, key: int, by: int) -> None:
        """Move a layer towards the end (``by`` above 0) or the beginning, as far as there is room."""
        at = next(i for i, draft in enumerate(self.drafts) if draft.key == key)
        to = min(max(at + by, 0), len(self.drafts) - 1)
        if to != at:
            others = [draft for draft in self.drafts if draft.key != key]
            others.insert(to, self.drafts[at])
            self._set(tuple(others))

    def undo(self) -> None:
        """Take the last change back."""
        if self._past:
            self.original, self.drafts = self._past.pop()
            self._typing = None

    def check(self) -> CheckedNetwork:
        """Return what the layers give: shapes and parameters, and what is wrong, at its layer."""
        checked = check_drafts(self.drafts, self.original.name, self._n_classes)
        network = checked.architecture
        if network is not None and network.layers == self.original.layers:
            return checked
        # Another name as soon as it is another network.
        name = self.original.name.removesuffix(_EDITED)[: _LONGEST_NAME - len(_EDITED)] + _EDITED
        renamed = None if network is None else Architecture(network.layers, network.input_shape, name)
        return dataclasses.replace(checked, name=name, architecture=renamed)

    def _set(
        self,
        drafts: tuple[LayerDraft, ...],
        *,
        original: Architecture | None = None,
        typing: tuple[int, str] | None = None,
    ) -> None:
        if typing is None or typing != self._typing:
            self._past = [*self._past, (self.original, self.drafts)][-_MOST_UNDO:]
        self._typing = typing
        self.original, self.drafts = original or self.original, drafts


def check_drafts(drafts: Sequence[LayerDraft], name: str, n_needed: int = len(CLASS_NAMES)) -> CheckedNetwork:
    """Build the network that the drafts describe, as far as it can be built."""
    names = [layer.name for layer in named([build_layer(d.kind, STARTING[d.kind], d.given_name) for d in drafts])]
    checked: list[CheckedLayer] = []
    layers: list[Layer] = []
    shape: Shape | None = INPUT_SHAPE
    for draft, layer_name in zip(drafts, names, strict=True):
        try:
            layer = build_layer(draft.kind, draft.settings, layer_name)
            layers.append(layer)
            if shape is None:
                checked.append(CheckedLayer(draft, layer_name))
                continue
            cost = layer_cost(layer, shape)
            shape = layer.output_shape(shape)
            checked.append(CheckedLayer(draft, layer_name, shape, cost))
        except NetworkError as error:
            shape = None
            checked.append(CheckedLayer(draft, layer_name, error=str(error), wrong_setting=error.field))
    if any(layer.error for layer in checked):
        return CheckedNetwork(name, tuple(checked))
    try:
        network = Architecture(layers, INPUT_SHAPE, name)
    except NetworkError as error:
        if error.layer:
            return _wrong_at(error.layer, name, checked, error)
        return CheckedNetwork(name, tuple(checked), error=str(error))
    try:
        n_classes = network.n_classes
        if n_classes not in (n_needed, n_needed + 1):  # one more for what is no digit
            what = "digit" if n_needed == len(CLASS_NAMES) else "class"
            sentence = f"The last layer needs {n_needed} units, one for each {what}; it has {n_classes:,}."
            raise NetworkError(sentence, field="units")
    except NetworkError as error:
        return _wrong_at(len(layers), name, checked, error)
    return CheckedNetwork(name, tuple(checked), network)


def _wrong_at(position: int, name: str, checked: list[CheckedLayer], error: NetworkError) -> CheckedNetwork:
    """Put what the network as a whole complains of at a layer, from 1."""
    layer = dataclasses.replace(checked[position - 1], error=error.sentence, wrong_setting=error.field)
    return CheckedNetwork(name, (*checked[: position - 1], layer, *checked[position:]))


def _harm(drafts: Sequence[LayerDraft], added: int) -> tuple[int, int]:
    """Count the wrong layers, and the others than the added one that have no shape."""
    layers = check_drafts(drafts, "network").layers
    n_wrong = sum(bool(layer.error) for layer in layers)
    return n_wrong, sum(layer.output_shape is None for layer in layers if layer.draft.key != added)
