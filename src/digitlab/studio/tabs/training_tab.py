"""The tab Training: settings, commands, the codelab's charts, the network meanwhile, and time travel."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.engine.sequential import Sequential
from digitlab.errors import DigitlabError, NetworkError, RunError, TrainingDivergedError
from digitlab.evaluation.svg import png_data_uri
from digitlab.network.architecture import Architecture
from digitlab.studio.page import Page, Refreshing
from digitlab.studio.tabs.settings_form import SettingsForm
from digitlab.studio.tabs.training_controls import Commands, ProgressLine, SpeedControl, TimeTravel
from digitlab.studio.trainer import Moment
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.charts import Curve, LiveChart, png_side_by_side, svg_side_by_side
from digitlab.values import EpochRecord, Prediction, StepRecord


def filters_of(architecture: Architecture, weights: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what the first layer that learns looks for, as float32 (height, width, channels, n).

    The kernels of a convolution; or, for a dense layer, the weight that every value of the image has for every unit.
    """
    image = architecture.input_shape
    for layer, shape in zip(architecture.layers, architecture.input_shapes, strict=True):
        image = shape if len(shape) == 3 else image
        kernels = layer.weight_shapes(shape)
        if kernels:
            kernel = weights[0]
            if kernel.ndim == 4:
                return kernel
            seen = image if len(image) == 3 else (*image, 1, 1)
            return kernel.reshape(*seen, kernel.shape[-1])
    raise NetworkError(f"{architecture.name} has no layer that learns; add Conv2D or Dense.")


def answer_digits(
    architecture: Architecture, weights: Sequence[NDArray[np.float32]], images: NDArray[np.uint8]
) -> list[Prediction]:
    """Answer some images, uint8 (n, 28, 28), with the weights of a step.

    The answers of the last step before a training diverged may be no numbers: TrainingDivergedError.
    """
    model = Sequential.from_architecture(architecture, weights, threads=1)
    try:
        probabilities = model.predict(images)
    except NetworkError:
        raise TrainingDivergedError(
            "At this step the network's answers are no numbers any more. Look at an earlier step, and train with a "
            "smaller learning rate."
        ) from None
    labels = probabilities.argmax(axis=1)
    return [
        Prediction(f"#{i}", int(label), float(row[label]), tuple(row.tolist()))
        for i, (label, row) in enumerate(zip(labels, probabilities, strict=True))
    ]


#: Two of every class.
N_DIGITS = 20

# Between two looks at a training that runs; whoever moves the slider waits less.
_GAP_S = 0.25
_HURRIED_GAP_S = 0.06

_ZERO = 127  # of a byte: as far from 0 as from 254


class FilterView(ui.element, component="../static/filter_view.js"):
    """The first layer's filters as small images."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page

    def show(self, filters: NDArray[np.float32], step: int) -> None:
        """Show the filters of a step, float32 (height, width, channels, n); several channels as their mean."""
        flat = filters.mean(axis=2)
        height, width, n = flat.shape
        most = float(np.abs(flat).max()) or 1.0
        pixels = np.rint(flat / most * _ZERO + _ZERO).astype(np.uint8).transpose(2, 0, 1)
        words = f"{n} filters of {height} × {width} weights, after batch {step:,}"
        self._page.send(self, "show", b64encode(pixels.tobytes()).decode(), height, width, f"{most:.2f}", words)


class AnswerView(ui.element, component="../static/answer_view.js"):
    """Some digits, uint8 (n, 28, 28), with the present answers."""

    def __init__(self, page: Page, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        super().__init__()
        self._page = page
        self.predictions: list[Prediction] = []
        self._props |= {
            "label": f"{len(images)} test digits and the network's answers",
            "sprite": png_data_uri(np.concatenate(list(images), axis=1)),
            "digits": labels.tolist(),
        }

    def show(self, predictions: list[Prediction]) -> None:
        """Show the answers."""
        self.predictions = predictions
        answers, confidences = [p.label for p in predictions], [round(p.confidence, 4) for p in predictions]
        self._page.send(self, "show", answers, confidences)


@dataclass(frozen=True, eq=False)
class _Seen:
    moment: Moment
    filters: NDArray[np.float32]
    predictions: list[Prediction]


class LiveViews:
    """Keeps filters and digits at the step that is looked at, computing off the event loop and never twice at once."""

    def __init__(self, page: Page, tab: str) -> None:
        self._page, self._tab = page, tab
        self.images, self.labels = two_of_each(page.data.test)
        self._filters: FilterView | None = None
        self._answers: AnswerView | None = None
        self._shown: tuple[int, int] | None = None
        self._refreshing = Refreshing(self._refresh, gap_s=_GAP_S, hurried_gap_s=_HURRIED_GAP_S, name="live views")
        self._seen: _Seen | None = None

    def build_filters(self) -> None:
        """Build the filters into the current container."""
        self._filters = FilterView(self._page)

    def build_answers(self) -> None:
        """Build the digits into the current container."""
        self._answers = AnswerView(self._page, self.images, self.labels)

    def listen(self) -> None:
        """Follow the page."""
        page = self._page
        page.on_records(lambda _: self.ask())
        page.on_generation(lambda: self.ask(at_once=True))
        page.on_state(lambda _: self.ask(at_once=True))
        page.on_cursor(lambda _: self.ask(at_once=True))
        page.on_tab(lambda name: self.ask(at_once=True) if name == self._tab else None)

    def ask(self, *, at_once: bool = False) -> None:
        """Have the views brought up to date."""
        self._refreshing.ask(at_once=at_once)

    def filters_document(self) -> dict[str, Any]:
        """Return the filters that are seen, as plain values: height, width, channels, filters."""
        seen = self._what_is_seen()
        return self._heading(seen) | {"filters": seen.filters.tolist()}

    def answers_document(self) -> dict[str, Any]:
        """Return the answers that are seen, as plain values."""
        seen = self._what_is_seen()
        digits = zip(self.labels.tolist(), seen.predictions, strict=True)
        return self._heading(seen) | {"digits": [{"label": label, "prediction": p.to_dict()} for label, p in digits]}

    def answer_rows(self) -> Rows:
        """Return the answers that are seen, a row a digit."""
        seen = self._what_is_seen()
        rows = [
            (seen.moment.step, label, p.label, p.confidence, *p.probabilities)
            for label, p in zip(self.labels.tolist(), seen.predictions, strict=True)
        ]
        return ("step", "label", "prediction", "confidence", *(f"p{digit}" for digit in range(10))), rows

    def _what_is_seen(self) -> _Seen:
        if self._seen is None:
            raise RunError("There is nothing to save yet; wait a moment and try again.")
        return self._seen

    def _heading(self, seen: _Seen) -> dict[str, Any]:
        return {"network": seen.moment.architecture.name, "step": seen.moment.step}

    async def _refresh(self) -> None:
        page = self._page
        if page.tab != self._tab or page.client.is_deleted:
            return
        try:
            seen = await asyncio.to_thread(self._computed, page.cursor)
        except DigitlabError as error:
            page.notify(f"The filters and digits cannot be shown: {error}", "error")
            return
        if seen is None or page.client.is_deleted:
            return
        self._seen, self._shown = seen, (seen.moment.generation, seen.moment.step)
        if self._filters is not None:
            self._filters.show(seen.filters, seen.moment.step)
        if self._answers is not None:
            self._answers.show(seen.predictions)

    def _computed(self, step: int | None) -> _Seen | None:
        moment = self._page.trainer.moment(step)
        if (moment.generation, moment.step) == self._shown:
            return None
        predictions = answer_digits(moment.architecture, moment.weights, self.images)
        return _Seen(moment, filters_of(moment.architecture, moment.weights), predictions)


def two_of_each(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the first two images of every class, all first ones before all second ones, and their labels."""
    found = [np.flatnonzero(split.labels == label)[:2] for label in range(10)]
    chosen = np.array([positions[i] for i in range(2) for positions in found if len(positions) > i])
    return split.images[chosen], split.labels[chosen]


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
