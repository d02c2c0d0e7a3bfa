"""The tab Training: settings, commands, the codelab's charts, the network meanwhile, and time travel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from digitlab.studio.page import Page
from digitlab.studio.tabs.training.commands import Commands, ProgressLine, SpeedControl, TimeTravel
from digitlab.studio.tabs.training.live_views import LiveViews
from digitlab.studio.tabs.training.settings_form import SettingsForm
from digitlab.studio.widgets.card import Exports, card
from digitlab.studio.widgets.charts import Curve, LiveChart, png_side_by_side, svg_side_by_side
from digitlab.values import EpochRecord, StepRecord

_Record = StepRecord | EpochRecord


class TrainingCharts:
    """A chart of the loss and one of the accuracy, with one point a record; the validation is marked in both."""

    #: Which records, which of their fields is x, and what x is called.
    kind: type[_Record]
    x: str
    x_name: str

    loss: LiveChart
    accuracy: LiveChart

    def __init__(self, page: Page) -> None:
        self._page = page

    def build(self) -> None:
        """Build the charts into the current container."""
        with ui.element("div").classes("chart-pair"):
            self.loss = self._chart("loss", "val_loss")
            self.accuracy = self._chart("acc", "val_acc", y_max=1.0)

    def _chart(self, name: str, val_name: str, y_max: float | None = None) -> LiveChart:
        curves = [Curve(name), Curve(val_name, "--series-2", marked=True)]
        words = {"loss": "Loss", "acc": "Accuracy"}[name]
        label = f"{words} of every {self.x_name.lower()}"
        chart = LiveChart(self._page, label, curves, x_name=self.x_name, x_max=self.x_max, y_max=y_max)
        return chart.on_pick(self._pick)

    @property
    def x_max(self) -> int:
        """Where the x axis ends."""
        raise NotImplementedError

    @property
    def exports(self) -> Exports:
        """What can be saved."""
        return Exports(png=self._png, svg=self._svg, csv=self._rows, json=self._documents)

    def restart(self) -> None:
        """Begin anew, for another training."""
        self.loss.restart(self.x_max)
        self.accuracy.restart(self.x_max)

    def append(self, records: Sequence[_Record]) -> None:
        """Add new records."""
        own = [record for record in records if isinstance(record, self.kind)]
        x = [getattr(record, self.x) for record in own]
        validated = [
            (getattr(record, self.x), record.val_loss, record.val_accuracy)
            for record in records
            if isinstance(record, EpochRecord) and record.val_loss is not None and record.val_accuracy is not None
        ]
        val_x = [at for at, _, _ in validated]
        self.loss.append({"loss": (x, [r.loss for r in own]), "val_loss": (val_x, [loss for _, loss, _ in validated])})
        self.accuracy.append(
            {"acc": (x, [r.accuracy for r in own]), "val_acc": (val_x, [accuracy for _, _, accuracy in validated])}
        )

    def look_at(self, step: int | None) -> None:
        """Mark a step and show the values there; those of the newest for None."""
        where = None if step is None else self._x_of(step)
        record = None if where is None else next((r for r in self._records() if getattr(r, self.x) == where), None)
        self.loss.set_cursor(where, None if record is None else {"loss": record.loss})
        self.accuracy.set_cursor(where, None if record is None else {"acc": record.accuracy})

    def _x_of(self, step: int) -> float:
        raise NotImplementedError

    def _step_of(self, x: int) -> int:
        raise NotImplementedError

    def _pick(self, x: int) -> None:
        self._page.set_cursor(max(0, min(self._step_of(x), self._page.trainer.step_done)))

    def _records(self) -> list[_Record]:
        return [record for record in self._page.trainer.records_since(0)[0] if isinstance(record, self.kind)]

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        columns = list(self.kind.__dataclass_fields__)
        return columns, [[getattr(record, name) for name in columns] for record in self._records()]

    def _documents(self) -> list[dict[str, Any]]:
        return [record.to_dict() for record in self._records()]

    async def _png(self) -> bytes:
        return await asyncio.to_thread(png_side_by_side, [await self.loss.png(), await self.accuracy.png()])

    async def _svg(self) -> str:
        return svg_side_by_side([await self.loss.svg(), await self.accuracy.svg()])


class BatchCharts(TrainingCharts):
    """``onBatchEnd``; what the validation gave stands at the batch after which it was done."""

    kind, x, x_name = StepRecord, "step", "Batch"

    @property
    def x_max(self) -> int:
        """Where the x axis ends."""
        return self._page.trainer.n_steps

    def _x_of(self, step: int) -> float:
        return step

    def _step_of(self, x: int) -> int:
        return x


class EpochCharts(TrainingCharts):
    """``onEpochEnd``: means over the epoch, and the validation at its end."""

    kind, x, x_name = EpochRecord, "epoch", "Epoch"

    @property
    def x_max(self) -> int:
        """Where the x axis ends."""
        return self._page.trainer.config.epochs

    def _x_of(self, step: int) -> float:
        return step * self.x_max / max(1, self._page.trainer.n_steps)

    def _step_of(self, x: int) -> int:
        return x * self._page.trainer.n_steps // max(1, self.x_max)


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
