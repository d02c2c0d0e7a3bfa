"""LayerEditor: a network while somebody changes it, and one layer of it as a row of fields."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from nicegui import ui

from digitlab.errors import NetworkError
from digitlab.explanation.facts import plural, times
from digitlab.network.architecture import Architecture, named
from digitlab.network.cost import LayerCost, layer_cost
from digitlab.network.layers import ACTIVATIONS, INITIALIZERS, LAYERS, PADDINGS, Layer, Shape
from digitlab.values import CLASS_NAMES

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
    """Return the layer that somebody has typed."""
    values = {
        setting.name: _value(kind, setting, typed[setting.name]) for setting in SETTINGS[kind] if setting.name in typed
    }
    return LAYERS[kind](name=name, **values)


def _value(kind: str, setting: Setting, typed: Any) -> Any:
    if typed is None or typed == "":
        if setting.may_be_empty:
            return None
        raise NetworkError(f"{kind} {setting.name} is empty; give it {_wanted(setting)}.", field=setting.name)
    if setting.form == "size":
        return _size(kind, setting, typed)
    if setting.form == "whole" and isinstance(typed, float) and abs(typed) < 1e9 and typed == int(typed):
        return int(typed)
    return typed


def _size(kind: str, setting: Setting, typed: Any) -> int | tuple[int, int]:
    match = _SIZES.fullmatch(str(typed))
    if match is None:
        raise NetworkError(
            f"{kind} {setting.name} must be {_wanted(setting)}; got {str(typed)!r:.40}.", field=setting.name
        )
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


# The digits.
_INPUT_SHAPE = (28, 28, 1)
_MOST_UNDO = 100
_LONGEST_NAME = 100
_EDITED = "_edited"


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


class LayerEditor:
    """The layers of a network, changed one at a time, with the way back.

    Examples
    --------
    >>> from digitlab.network.zoo import architecture
    >>> editor = LayerEditor(architecture("codelab_cnn"))
    >>> editor.change(editor.drafts[0].key, "kernel_size", "3")
    >>> editor.check().layers[0].output_shape
    (26, 26, 8)
    """

    def __init__(self, architecture: Architecture) -> None:
        self._keys = itertools.count()
        self._past: list[_State] = []
        self._typing: tuple[int, str] | None = None
        self._state = _State(architecture, self._drafts_of(architecture))

    @property
    def original(self) -> Architecture:
        """The network that was loaded last."""
        return self._state.original

    @property
    def drafts(self) -> tuple[LayerDraft, ...]:
        """The layers as typed."""
        return self._state.drafts

    def load(self, architecture: Architecture) -> None:
        """Go on with another network; this too can be taken back."""
        self._set(_State(architecture, self._drafts_of(architecture)))

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
            self._set(_State(self.original, drafts), typing=(key, setting))

    def add(self, kind: str) -> int:
        """Add a layer as near to the end as it fits, or where it does least harm; return its key."""
        draft = LayerDraft(next(self._keys), kind, settings_of(build_layer(kind, STARTING[kind])))
        n = len(self.drafts)
        # After the last layer only where nothing else works: that is where the answer is given.
        choices = [(*self.drafts[:at], draft, *self.drafts[at:]) for at in (*range(n - 1, -1, -1), n)]
        self._set(_State(self.original, min(choices, key=lambda drafts: _harm(drafts, draft.key))))
        return draft.key

    def remove(self, key: int) -> None:
        """Take a layer out."""
        self._set(_State(self.original, tuple(draft for draft in self.drafts if draft.key != key)))

    def move(self, key: int, by: int) -> None:
        """Move a layer towards the end (``by`` above 0) or the beginning, as far as there is room."""
        at = self._position(key)
        to = min(max(at + by, 0), len(self.drafts) - 1)
        if to != at:
            others = [draft for draft in self.drafts if draft.key != key]
            others.insert(to, self.drafts[at])
            self._set(_State(self.original, tuple(others)))

    def undo(self) -> None:
        """Take the last change back."""
        if self._past:
            self._state = self._past.pop()
            self._typing = None

    def check(self) -> CheckedNetwork:
        """Return what the layers give: shapes and parameters, and what is wrong, at its layer."""
        checked = check_drafts(self.drafts, self.original.name)
        network = checked.architecture
        if network is not None and network.layers == self.original.layers:
            return checked
        # Another name as soon as it is another network.
        name = self.original.name.removesuffix(_EDITED)[: _LONGEST_NAME - len(_EDITED)] + _EDITED
        renamed = None if network is None else Architecture(network.layers, network.input_shape, name)
        return dataclasses.replace(checked, name=name, architecture=renamed)

    def _position(self, key: int) -> int:
        return next(i for i, draft in enumerate(self.drafts) if draft.key == key)

    def _set(self, state: _State, typing: tuple[int, str] | None = None) -> None:
        if typing is None or typing != self._typing:
            self._past = [*self._past, self._state][-_MOST_UNDO:]
        self._typing = typing
        self._state = state


@dataclass(frozen=True, slots=True)
class _State:
    original: Architecture
    drafts: tuple[LayerDraft, ...]


def check_drafts(drafts: Sequence[LayerDraft], name: str) -> CheckedNetwork:
    """Build the network that the drafts describe, as far as it can be built."""
    names = [layer.name for layer in named([build_layer(d.kind, STARTING[d.kind], d.given_name) for d in drafts])]
    checked: list[CheckedLayer] = []
    layers: list[Layer] = []
    shape: Shape | None = _INPUT_SHAPE
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
        network = Architecture(layers, _INPUT_SHAPE, name)
    except NetworkError as error:
        if error.layer:
            return _wrong_at(error.layer, name, checked, error)
        return CheckedNetwork(name, tuple(checked), error=str(error))
    try:
        n_classes = network.n_classes
        if n_classes not in (len(CLASS_NAMES), len(CLASS_NAMES) + 1):  # one more for what is no digit
            sentence = f"The last layer needs {len(CLASS_NAMES)} units, one for each digit; it has {n_classes:,}."
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


#: Which text explains a kind of layer.
_TOPICS = {
    "Conv2D": "convolution",
    "MaxPooling2D": "max_pooling",
    "Flatten": "flatten",
    "Dropout": "dropout",
    "Dense": "dense",
}


@dataclass(frozen=True, slots=True)
class LayerActions:
    """What a row reports: a changed field, a wish to move (by -1 or 1) or to go, a wish for an explanation."""

    change: Callable[[int, str, Any], None]
    move: Callable[[int, int], None]
    remove: Callable[[int], None]
    explain: Callable[[str], None]


class LayerRow:
    """A list item that stays while its layer does, so that nobody loses the field in which they type."""

    def __init__(self, draft: LayerDraft, actions: LayerActions) -> None:
        self.key, self.kind = draft.key, draft.kind
        self._actions = actions
        self._fields: dict[str, Any] = {}
        self._marked = (False, "")
        with ui.element("li").classes("layer").props("tabindex=-1") as self.element:
            with ui.element("div").classes("layer-head"):
                self._number = ui.label().classes("layer-number num").props('aria-hidden="true"')
                ui.label(self.kind).classes("layer-kind")
                self._name = ui.label().classes("layer-name muted")
                topic = _TOPICS[self.kind]
                self._button("?", f"Explain {self.kind}", lambda: actions.explain(topic))
            with ui.element("div").classes("layer-buttons"):
                self._up = self._icon("arrow_upward", lambda: actions.move(self.key, -1))
                self._down = self._icon("arrow_downward", lambda: actions.move(self.key, 1))
                self.remove_button = self._icon("close", lambda: actions.remove(self.key))
            usual = [setting for setting in SETTINGS[self.kind] if not setting.rare]
            rare = [setting for setting in SETTINGS[self.kind] if setting.rare]
            with ui.element("div").classes("layer-fields"):
                for setting in usual:
                    self._fields[setting.name] = self._field(setting, draft.settings.get(setting.name))
            with ui.element("div").classes("layer-foot"):
                self._result = ui.label().classes("layer-result num")
                if rare:
                    self._build_rare(rare, draft)

    def _build_rare(self, settings: list[Setting], draft: LayerDraft) -> None:
        with ui.element("details").classes("layer-more"):
            with ui.element("summary"):
                ui.label("Bias and initial weights")
            with ui.element("div").classes("layer-fields"):
                for setting in settings:
                    self._fields[setting.name] = self._field(setting, draft.settings.get(setting.name))

    # ---- what the editor tells the row ----

    def show(self, checked: CheckedLayer, position: int, n_layers: int, wrong_at: int) -> None:
        """Show what became of the layer, at a position from 1; ``wrong_at`` is the first layer that is wrong, or 0."""
        self._number.set_text(str(position))
        self._name.set_text(checked.name)
        self.element.props(f'aria-label="Layer {position}, {checked.name}"')
        self._up.set_enabled(position > 1)
        self._down.set_enabled(position < n_layers)
        for button, what in ((self._up, "Move up"), (self._down, "Move down"), (self.remove_button, "Remove")):
            button.props(f'aria-label="{what}: layer {position}, {checked.name}"')
        self._result.set_text(_result_text(checked, wrong_at))
        self._mark(checked)

    def take(self, draft: LayerDraft) -> None:
        """Fill the fields with what a draft holds, after an undo."""
        for name, control in self._fields.items():
            if control.value != draft.settings.get(name):
                control.set_value(draft.settings.get(name))

    def focus_field(self) -> None:
        """Put the keyboard's focus into the first field, or on the button that removes the layer."""
        target = next(iter(self._fields.values()), self.remove_button)
        _focus(target)

    def focus_move(self, by: int) -> None:
        """Put the focus back on the button that moved the layer, or on the row where it can go no further."""
        button = self._up if by < 0 else self._down
        _focus(button if button.enabled else self.element)

    def focus_remove(self) -> None:
        """Put the focus on the button that removes the layer."""
        _focus(self.remove_button)

    # ---- parts ----

    def _button(self, text: str, label: str, action: Callable[[], None]) -> ui.button:
        return ui.button(text, on_click=action).props(f'flat round dense aria-label="{label}"').classes("icon-button")

    def _icon(self, icon: str, action: Callable[[], None]) -> ui.button:
        return ui.button(icon=icon, on_click=action).props("flat round dense").classes("icon-button")

    def _field(self, setting: Setting, value: Any) -> Any:
        def changed(event: Any) -> None:
            self._actions.change(self.key, setting.name, event.value)

        if setting.form == "choice":
            return ui.select(list(setting.choices), value=value, label=setting.title, on_change=changed).classes(
                "field-choice"
            )
        if setting.form == "flag":
            return ui.checkbox(setting.title, value=bool(value), on_change=changed).classes("field-flag")
        if setting.form == "size":
            field = ui.input(setting.title, value=value, on_change=changed).props(
                'inputmode="numeric" autocomplete="off"'
            )
            if setting.may_be_empty:
                field.props('placeholder="as the window"')
            return field.classes("field-size")
        step = 0.05 if setting.form == "fraction" else 1
        return ui.number(setting.title, value=value, step=step, on_change=changed).classes("field-number")

    def _mark(self, checked: CheckedLayer) -> None:
        """Mark the row, and the field that is wrong."""
        is_wrong = (bool(checked.error), checked.wrong_setting)
        if is_wrong == self._marked:
            return
        self._marked = is_wrong
        for element, wrong in ((self.element, is_wrong[0]), *((f, n == is_wrong[1]) for n, f in self._fields.items())):
            # A class and not Quasar's error, which NiceGUI takes away again when it validates what is typed.
            element.classes(add="is-wrong" if wrong else "", remove="" if wrong else "is-wrong")
            if element is not self.element:
                element.props(add='aria-invalid="true"' if wrong else "", remove="" if wrong else "aria-invalid")


def _result_text(checked: CheckedLayer, wrong_at: int) -> str:
    if checked.error:
        return checked.error
    if checked.output_shape is None or checked.cost is None:
        return f"waits for layer {wrong_at}"
    parts = [times(checked.output_shape)]
    if checked.cost.n_parameters:
        parts.append(plural(checked.cost.n_parameters, "parameter"))
    if checked.cost.multiply_adds:
        parts.append(plural(checked.cost.multiply_adds, "multiply-add"))
    return "→ " + " · ".join(parts)


def _focus(element: ui.element) -> None:
    # After the browser has moved or made the element, which it does when it has drawn what was sent before.
    element.client.run_javascript(
        f"requestAnimationFrame(() => {{ const e = document.getElementById('{element.html_id}');"
        " (e?.matches('input, button, li') ? e : e?.querySelector('input, button'))?.focus(); })"
    )
