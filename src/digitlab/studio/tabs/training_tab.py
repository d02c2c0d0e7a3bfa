"""The tab Training: settings, commands, the codelab's charts, the network meanwhile, and time travel."""

from __future__ import annotations

import asyncio
import math
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.engine.sequential import Sequential
from digitlab.errors import DigitlabError, NetworkError, RunError, TrainingDivergedError
from digitlab.network.architecture import Architecture
from digitlab.studio.page import Page
from digitlab.studio.tabs.ghost import Ghost
from digitlab.studio.tabs.settings_form import SettingsForm
from digitlab.studio.tabs.step_view import StepView
from digitlab.studio.tabs.training_controls import Commands, SpeedControl, TimeTravel, TrainingProgress
from digitlab.studio.trainer import Moment
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.charts import Curve, LiveChart, png_side_by_side, svg_side_by_side
from digitlab.studio.widgets.controls import Scripted
from digitlab.studio.widgets.digit_views import side_by_side
from digitlab.values import CLASS_NAMES, EpochRecord, Prediction, StepRecord

_Record = StepRecord | EpochRecord

# Between two looks at a training that runs; whoever moves the slider waits less.
_GAP_S, _HURRIED_GAP_S = 0.25, 0.06
# As many classes as there are two images of.
_MOST_CLASSES = 10
_ZERO = 127  # of a byte: as far from 0 as from 254


def build_training_tab(page: Page) -> None:
    """Build the tab into the current container."""
    form = SettingsForm(page, on_validity=lambda: commands.enable())
    commands = Commands(page, has_errors=lambda: form.has_errors)
    with ui.element("div").classes("training"):
        with card("Model Training", help="training", classes="training-commands"):
            with ui.element("div").classes("training-bar"):
                commands.build()
                SpeedControl(page)
            commands.build_reason()
            TrainingProgress(page)
            TimeTravel(page)
        StepView(page)
        with card("Settings", help="optimizer", classes="training-settings"):
            form.build()
        with ui.element("div").classes("training-charts"):
            page.own(Ghost).build()
            TrainingCharts(page, "onBatchEnd", StepRecord, "step", lambda: page.trainer.n_steps)
            TrainingCharts(page, "onEpochEnd", EpochRecord, "epoch", lambda: page.trainer.config.epochs)
        with ui.element("div").classes("training-views"):
            LiveViews(page)


class TrainingCharts:
    """A card with a chart of the loss and one of the accuracy, with one point a record; the validation is in both.

    What the validation gave stands at the batch, or epoch, after which it was done. ``x`` is the field of the records
    that is x, "step" or "epoch", and ``x_max`` tells where the x axis ends.
    """

    def __init__(self, page: Page, title: str, kind: type[_Record], x: str, x_max: Callable[[], int]) -> None:
        self._page, self._kind, self._x, self._x_max = page, kind, x, x_max
        exports = Exports(png=self._png, svg=self._svg, csv=self._rows)
        name = "Batch" if x == "step" else "Epoch"
        with card(title, help=name.lower(), exports=exports), ui.element("div").classes("chart-pair"):
            self.loss = self._chart(name, "Loss (nats)", f"Loss of every {name.lower()}", "loss", "val_loss")
            self.accuracy = self._chart(
                name, "Accuracy", f"Accuracy of every {name.lower()}", "acc", "val_acc", y_max=1.0
            )
        page.on_records(self.append)
        page.on(self.restart, "generation")
        page.on(self.look_at, "cursor")
        page.own(Ghost).on_change(self._draw_behind)
        if page.cursor is not None:
            self.look_at()

    def _chart(
        self, x_name: str, y_name: str, label: str, name: str, val_name: str, y_max: float | None = None
    ) -> LiveChart:
        curves = [Curve(name), Curve(val_name, "--series-2", marked=True)]
        chart = LiveChart(self._page, label, curves, x_name=x_name, y_name=y_name, x_max=self._x_max(), y_max=y_max)
        return chart.on_pick(self._pick)

    def _draw_behind(self) -> None:
        ghost, of_epochs = self._page.own(Ghost), self._x == "epoch"
        ghost.behind(self.loss, {"loss": "loss", "val_loss": "val_loss"}, of_epochs=of_epochs)
        ghost.behind(self.accuracy, {"accuracy": "acc", "val_accuracy": "val_acc"}, of_epochs=of_epochs)

    def restart(self) -> None:
        """Begin anew, for another training."""
        self.loss.restart(self._x_max())
        self.accuracy.restart(self._x_max())

    def append(self, records: Sequence[_Record]) -> None:
        """Add new records."""
        own = [record for record in records if isinstance(record, self._kind)]
        x = [getattr(record, self._x) for record in own]
        validated = [
            (getattr(record, self._x), record.val_loss, record.val_accuracy)
            for record in records
            if isinstance(record, EpochRecord) and record.val_loss is not None and record.val_accuracy is not None
        ]
        val_x = [at for at, _, _ in validated]
        self.loss.append({"loss": (x, [r.loss for r in own]), "val_loss": (val_x, [loss for _, loss, _ in validated])})
        self.accuracy.append(
            {"acc": (x, [r.accuracy for r in own]), "val_acc": (val_x, [accuracy for _, _, accuracy in validated])}
        )

    def look_at(self) -> None:
        """Mark the step that is looked at and show the values there; those of the newest for none."""
        step = self._page.cursor
        where = None if step is None else step * self._x_max() / max(1, self._page.trainer.n_steps)
        record = None if where is None else next((r for r in self._records() if getattr(r, self._x) == where), None)
        self.loss.set_cursor(where, None if record is None else {"loss": record.loss})
        self.accuracy.set_cursor(where, None if record is None else {"acc": record.accuracy})

    def _pick(self, x: int) -> None:
        trainer = self._page.trainer
        step = x * trainer.n_steps // max(1, self._x_max())
        self._page.set_cursor(max(0, min(step, trainer.step_done)))

    def _records(self) -> list[_Record]:
        return [record for record in self._page.trainer.records_since(0)[0] if isinstance(record, self._kind)]

    def _rows(self) -> Rows:
        columns = list(self._kind.__dataclass_fields__)
        return columns, [[getattr(record, name) for name in columns] for record in self._records()]

    async def _png(self) -> bytes:
        return await asyncio.to_thread(png_side_by_side, [await self.loss.png(), await self.accuracy.png()])

    async def _svg(self) -> str:
        return svg_side_by_side([await self.loss.svg(), await self.accuracy.svg()])


def filters_of(architecture: Architecture, weights: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what the first layer that learns looks for, as float32 (height, width, channels, n).

    The kernels of a convolution; or, for a dense layer, the weight that every value of the image has for every unit.
    """
    image = architecture.input_shape
    for layer, shape in zip(architecture.layers, architecture.input_shapes, strict=True):
        image = shape if len(shape) == 3 else image
        if layer.weight_shapes(shape):
            kernel = weights[0]
            if kernel.ndim == 4:
                return kernel
            # A pooling of whole maps leaves a row that is no image.
            seen = image if math.prod(image) == len(kernel) and len(image) == 3 else (len(kernel), 1, 1)
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


def two_of_each(split: Split, n_classes: int = 10) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the first two images of every class, all first ones before all second ones, and their labels.

    Of more than ten classes these are ten, spread over all of them.
    """
    shown = np.unique(np.linspace(0, n_classes - 1, min(n_classes, _MOST_CLASSES)).astype(int)).tolist()
    found = [np.flatnonzero(split.labels == label)[:2] for label in shown]
    chosen = np.array([positions[i] for i in range(2) for positions in found if len(positions) > i])
    return split.images[chosen], split.labels[chosen]


class FilterView(Scripted, component="../static/filter_view.js"):
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


class AnswerView(Scripted, component="../static/answer_view.js"):
    """Some digits, uint8 (n, 28, 28), with the present answers."""

    def __init__(self, page: Page, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        super().__init__()
        self._page = page
        self.predictions: list[Prediction] = []
        label = f"{len(images)} test digits and the network's answers"
        # Digits are told by their numbers.
        classes = page.data.class_names
        names = [str(k) for k in range(len(classes) + 1)] if classes == CLASS_NAMES else list(classes)
        self._props |= {"label": label, "sprite": side_by_side(images), "digits": labels.tolist(), "names": names}

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
    """Two cards with filters and digits at the step that is looked at, computed off the event loop, never twice."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._seen: _Seen | None = None
        self.images, self.labels = two_of_each(page.data.test, len(page.data.class_names))
        with card("First Layer's Filters", help="filter", exports=Exports(json=self._filters_document)):
            self._filters = FilterView(page)
        exports = Exports(csv=self._answer_rows, json=self._answers_document)
        with card(
            "20 Test Digits" if page.data.class_names == CLASS_NAMES else "Test Images",
            help="test_digits",
            exports=exports,
        ):
            self._answers = AnswerView(page, self.images, self.labels)
        refreshing = page.refreshing("Training", self._refresh, gap_s=_GAP_S, hurried_gap_s=_HURRIED_GAP_S)
        page.on_records(lambda _: refreshing.ask())
        page.on(lambda: refreshing.ask(at_once=True), "generation", "state", "cursor")

    async def _refresh(self) -> None:
        page = self._page
        try:
            seen = await asyncio.to_thread(self._computed, page.cursor)
        except DigitlabError as error:
            page.notify(f"The filters and digits cannot be shown: {error}", "error")
            return
        if seen is not None and page.is_open:
            self._seen = seen
            self._filters.show(seen.filters, seen.moment.step)
            self._answers.show(seen.predictions)

    def _computed(self, step: int | None) -> _Seen | None:
        moment, seen = self._page.trainer.moment(step), self._seen
        if seen is not None and (moment.generation, moment.step) == (seen.moment.generation, seen.moment.step):
            return None
        predictions = answer_digits(moment.architecture, moment.weights, self.images)
        return _Seen(moment, filters_of(moment.architecture, moment.weights), predictions)

    # ---- what can be saved ----

    def _what_is_seen(self) -> tuple[_Seen, dict[str, Any]]:
        seen = self._seen
        if seen is None:
            raise RunError("There is nothing to save yet; wait a moment and try again.")
        return seen, {"network": seen.moment.architecture.name, "step": seen.moment.step}

    def _filters_document(self) -> dict[str, Any]:
        seen, heading = self._what_is_seen()
        return heading | {"filters": seen.filters.tolist()}  # height, width, channels, filters

    def _answers_document(self) -> dict[str, Any]:
        seen, heading = self._what_is_seen()
        digits = zip(self.labels.tolist(), seen.predictions, strict=True)
        return heading | {"digits": [{"label": label, "prediction": p.to_dict()} for label, p in digits]}

    def _answer_rows(self) -> Rows:
        seen, heading = self._what_is_seen()
        digits = zip(self.labels.tolist(), seen.predictions, strict=True)
        rows = [(heading["step"], label, p.label, p.confidence, *p.probabilities) for label, p in digits]
        return (
            "step",
            "label",
            "prediction",
            "confidence",
            *(f"p{label}" for label in range(len(self._page.data.class_names))),
        ), rows
