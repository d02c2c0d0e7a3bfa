"""One layer in the editor: its fields, what it makes of its input, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from digitlab.explanation.facts import plural, times
from digitlab.studio.tabs.model.layer_editor import SETTINGS, CheckedLayer, LayerDraft, Setting

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
        for name, field in self._fields.items():
            if field.value != draft.settings.get(name):
                field.set_value(draft.settings.get(name))

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
