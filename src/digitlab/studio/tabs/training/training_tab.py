"""The tab Training: settings, commands, live charts, what the network looks like meanwhile, and time travel."""

from __future__ import annotations

from nicegui import ui

from digitlab.studio.page import Page
from digitlab.studio.tabs.training.commands import Commands, ProgressLine, SpeedControl, TimeTravel
from digitlab.studio.tabs.training.live_views import LiveViews
from digitlab.studio.tabs.training.settings_form import SettingsForm
from digitlab.studio.tabs.training.training_charts import BatchCharts, EpochCharts, TrainingCharts
from digitlab.studio.widgets.card import Exports, card
from digitlab.values import EpochRecord, StepRecord

_NAME = "Training"


def build(page: Page) -> None:
    """Build the tab into the current container."""
    form = SettingsForm(page, on_validity=lambda: commands.enable())
    commands = Commands(page, has_errors=lambda: form.has_errors)
    batches, epochs, views = BatchCharts(page), EpochCharts(page), LiveViews(page, _NAME)
    with ui.element("div").classes("training"):
        with card("Model Training", help="training", classes="training-commands"):
            with ui.element("div").classes("training-bar"):
                commands.build()
                SpeedControl(page).build()
            progress = ProgressLine(page)
            TimeTravel(page).build()
        with card("Settings", help="optimizer", classes="training-settings"):
            form.build()
        with ui.element("div").classes("training-charts"):
            with card("onBatchEnd", help="batch", exports=batches.exports):
                batches.build()
            with card("onEpochEnd", help="epoch", exports=epochs.exports):
                epochs.build()
        with ui.element("div").classes("training-views"):
            with card("First Layer's Filters", help="filter", exports=Exports(json=views.filters_document)):
                views.build_filters()
            with card(
                "20 Test Digits",
                help="test_digits",
                exports=Exports(csv=views.answer_rows, json=views.answers_document),
            ):
                views.build_answers()
    _listen(page, [batches, epochs], progress)
    views.listen()


def _listen(page: Page, charts: list[TrainingCharts], progress: ProgressLine) -> None:
    def on_records(records: list[StepRecord | EpochRecord]) -> None:
        for one in charts:
            one.append(records)
        progress.note([record for record in records if isinstance(record, StepRecord)])
        progress.show(page.trainer)

    def on_generation() -> None:
        for one in charts:
            one.restart()
        progress.restart()
        progress.show(page.trainer)

    def on_state(state: str) -> None:
        if state != "training":
            progress.pace.rest()
        progress.show(page.trainer)

    def on_cursor(step: int | None) -> None:
        for one in charts:
            one.look_at(step)

    page.on_records(on_records)
    page.on_generation(on_generation)
    page.on_state(on_state)
    page.on_cursor(on_cursor)
    if page.cursor is not None:
        on_cursor(page.cursor)
