"""The frame around the tabs: brand, list of tabs, a line of status, panels.

Colours, type and spaces are those of all pages, in ``explanation/page/tokens.css``; the classes that all tabs use are
in ``static/studio.css``; a tab with a stylesheet of its own puts it beside that one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from digitlab.studio.page import Page
from digitlab.studio.setting_words import in_page_words
from digitlab.studio.startup import Opening
from digitlab.studio.task_card import TaskPath
from digitlab.studio.widgets.controls import copy_button, mark, say
from digitlab.text import percent

#: The page's icon: a seven, as people in many countries write it.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#15181e"/>'
    '<path d="M9 9h13L14 25M11.5 17.5h9" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>'
)


def set_up_theme() -> None:
    """Give NiceGUI's elements a quiet look. Once a process."""
    ui.button.default_props("unelevated no-caps :ripple=false")
    for field in (ui.select, ui.number, ui.input):
        field.default_props("outlined dense options-dense")
    for switch in (ui.switch, ui.checkbox):
        switch.default_props("dense")


_SECONDS_BETWEEN_LOOKS = 0.5
_COPIED = "The link is copied: it opens this page with these settings, this tab and this step."
_NOT_COPIED = "The browser does not let pages copy; copy the address from its address bar, it is the same link."


def build_waiting(opening: Opening) -> ui.element:
    """Build what is seen before there is anything to show."""
    with ui.element("main").classes("studio-waiting") as box:
        _brand()
        sentence = ui.label(opening.sentence).props('role="status"')
        ui.timer(_SECONDS_BETWEEN_LOOKS, lambda: sentence.set_text(opening.sentence))
    return box


def build_refusal(sentence: str) -> None:
    """Build what is seen where there is no room for one more."""
    with ui.element("main").classes("studio-waiting"):
        _brand()
        ui.label(sentence).props('role="alert"')


def build_frame(page: Page, opening: Opening, tabs: Mapping[str, Callable[[Page], object]]) -> None:
    """Build the whole page into the current container.

    A tab is built when it is shown for the first time, and from then on only hidden and shown, so that it keeps what
    was done in it.
    """
    with ui.element("header").classes("studio-head"):
        _brand()
        buttons = _tab_list(page, tabs)
        _status_line(page, opening)
        link = copy_button(page, "Copy lesson link", "window.studio.copyLink()", _COPIED, _NOT_COPIED)
        link.classes("link-button").props("dense")
    panels = {}
    with ui.element("main").classes("studio-main"):
        path = page.own(TaskPath)
        for name in tabs:
            panels[name] = ui.element("div").classes("studio-panel")
            panels[name].props(f'role="tabpanel" id="panel-{_slug(name)}" aria-labelledby="tab-{_slug(name)}" hidden')
        path.build_strip()
    built = set()

    def show() -> None:
        name = page.tab
        for other, panel in panels.items():
            is_chosen = other == name
            buttons[other].props(f'aria-selected="{str(is_chosen).lower()}" tabindex="{0 if is_chosen else -1}"')
            panel.props(remove="hidden") if is_chosen else panel.props("hidden")
        if name not in built:
            built.add(name)
            with panels[name]:
                tabs[name](page)

    page.on(show, "tab")
    show()


def _brand() -> None:
    with ui.element("h1").classes("studio-brand"):
        ui.html("digit<b>lab</b>", sanitize=False)


def _tab_list(page: Page, tabs: Mapping[str, Callable[[Page], object]]) -> dict[str, ui.element]:
    buttons: dict[str, ui.element] = {}
    with ui.element("div").classes("studio-tabs").props('role="tablist" aria-label="Parts of the Studio"') as tab_list:
        tab_list.on("keydown", js_handler="(event) => window.studio.tabKey(event)")
        for name in tabs:
            slug = _slug(name)
            button = TextElement(tag="button", text=name).classes("studio-tab")
            button.props(f'type="button" role="tab" id="tab-{slug}" aria-controls="panel-{slug}" aria-label="{name}"')
            if " " in name:  # the longest is short where there is no room for all in one line
                button.props(f'data-short="{name.split()[-1]}"')
            button.on("click", lambda name=name: page.set_tab(name), [])
            buttons[name] = button
    return buttons


def _status_line(page: Page, opening: Opening) -> None:
    line = ui.label().classes("studio-status num").props('role="status"')
    # Below the tabs over the whole width, whole at every width; what fails is read out at once.
    message = ui.label().classes("studio-message").props('role="alert"')
    message.set_visibility(False)

    def show() -> None:
        waiting = opening.sentence
        # A number and its unit stay in one line.
        line.set_text((waiting or _status(page)).replace(" %", "\N{NO-BREAK SPACE}%"))
        mark(line, "is-waiting", bool(waiting))
        told = in_page_words(page.trainer.message)
        if told != message.text:
            say(message, told)
        if opening.is_ready:
            clock.deactivate()

    clock = ui.timer(_SECONDS_BETWEEN_LOOKS, show, active=not opening.is_ready)
    page.on(show, "state", "generation")
    # A training that waits may be led on batch by batch.
    page.on_records(lambda _: show())


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


def _status(page: Page) -> str:
    trainer = page.trainer
    network, step = trainer.architecture.name, page.step
    if trainer.state in ("training", "paused") and not page.may_steer:
        return f"Another page trains {network}; watch it here, and start yours when it is finished."
    if trainer.state == "finished" and trainer.evaluation is not None:
        found = trainer.evaluation
        # The recording, which the tabs show, goes on to the last batch.
        best = f" with the weights of epoch {trainer.best_epoch}" if trainer.best_epoch else ""
        return f"{network} is trained{best}: {percent(found.accuracy)} of all {found.n_images:,} test images."
    return {
        "idle": "Nothing is being trained.",
        "training": f"Training {network}.",
        "paused": f"Paused after batch {step:,}.",
        "finished": f"{network} is trained: {step:,} batches.",
        "stopped": f"Stopped after batch {step:,}; the run is kept.",
        "failed": "The training failed.",
    }[trainer.state]
