"""The ghost: an earlier run, whose curves stand pale behind those of the training, with a table of both."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from html import escape

from nicegui import ui

from digitlab.evaluation.alike import IRRELEVANT, differing_settings
from digitlab.evaluation.overlay import CurvePoint, ImagesAxis, RunCurves, read_curves
from digitlab.studio.page import Page
from digitlab.studio.run_list import RunLine, open_run, run_lines
from digitlab.studio.setting_words import label_of
from digitlab.studio.widgets.charts import LiveChart, few_points
from digitlab.studio.widgets.controls import tell
from digitlab.text import listed, percent, setting_text
from digitlab.values import EpochRecord, StepRecord

_TAB = "Training"
_NONE, _LATEST = "", "latest"
# Told page by page, when there is another ghost, or it stands elsewhere.
_EVENT = "ghost"
# More differing settings than these are told by their number.
_MOST_TOLD = 3
# The names of the records' fields, as the charts have them.
_ROWS = (("loss", "loss"), ("accuracy", "acc"), ("val_loss", "val_loss"), ("val_accuracy", "val_acc"))


class Ghost:
    """Which run stands behind the training of a page; one for all charts of the page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.wanted = _NONE
        self.curves: RunCurves | None = None
        self._lines: list[RunLine] = []
        self._stands: tuple[str, str, int] | None = None  # what was drawn last
        self._fail: Callable[[str], None] = lambda sentence: page.notify(sentence, "error")
        self._reading = page.refreshing(_TAB, self._read, gap_s=0.5)

    def build(self) -> None:
        """Build the choice and the table into the current container."""
        section = ui.element("section").classes("card ghost").props('aria-label="Earlier run behind the curves"')
        self._box = section  # which is not seen where there is no run to choose
        section.set_visibility(len(self._options()) > 1)
        with section, ui.element("div").classes("card-body"):
            with ui.element("div").classes("toolbar"):
                label = "Earlier run behind the curves"
                self._choice = ui.select(self._options(), value=_NONE, label=label, on_change=self._choose)
                self._choice.classes("ghost-choice")
                self._offer = ui.button(
                    "Show the run before this one", on_click=lambda: self._choice.set_value(_LATEST)
                )
                self._offer.props("outline")
            self._sentence = ui.label().props('role="status"')
            with ui.expansion("Both in numbers").props("dense").classes("ghost-numbers") as self._numbers:
                self._table = ui.html("", sanitize=False).classes("table-scroll ghost-table")
        tell(self._sentence, "")
        self._numbers.set_visibility(False)
        self._fail = lambda sentence: tell(self._sentence, sentence, is_error=True)
        self._page.on(lambda: self._reading.ask(at_once=True), "generation", "state")
        telling = self._page.refreshing(_TAB, self._tell, gap_s=0.5)
        self._page.on_records(lambda _: telling.ask())
        self._page.on(lambda: telling.ask(at_once=True), _EVENT, "cursor")

    def behind(self, chart: LiveChart, names: dict[str, str], *, of_epochs: bool) -> None:
        """Draw it behind a chart: ``names`` of the chart's curves by those of the records' fields."""
        curves, trainer = self.curves, self._page.trainer
        if curves is None:
            chart.show_behind("", {})
            return
        axis, x_max = self._axis(of_epochs), trainer.config.epochs if of_epochs else trainer.n_steps
        points: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
        for field, name in names.items():
            found = curves.epochs if of_epochs or field.startswith("val_") else curves.batches
            places = [(axis.place(p.images), value) for p in found if (value := getattr(p, field)) is not None]
            # One more than the axis shows, so that the curve goes on to its end.
            n = next((i + 1 for i, (x, _) in enumerate(places) if x > x_max), len(places))
            points[name] = few_points([x for x, _ in places[:n]], [y for _, y in places[:n]])
        chart.show_behind(curves.title, points)

    def on_change(self, f: Callable[[], None]) -> None:
        """Call ``f`` when another run stands behind, or it stands elsewhere."""
        self._page.on(f, _EVENT)

    # ---- which run ----

    def _choose(self) -> None:
        self.wanted = str(self._choice.value or _NONE)
        self._reading.ask(at_once=True)

    def _options(self) -> dict[str, str]:
        latest = self._latest()
        told = {} if latest is None else {_LATEST: f"The run before this one: {latest.called}"}
        return {_NONE: "None"} | told | {line.name: line.called for line in self._lines if line.info is not None}

    def _latest(self) -> RunLine | None:
        """Return the newest complete run that is not the one that is looked at."""
        run = self._page.trainer.run
        here = run.name if run is not None else ""
        complete = (line for line in self._lines if line.info is not None and line.info.status == "complete")
        return next((line for line in complete if line.name != here), None)

    async def _read(self) -> None:
        page = self._page
        with page.telling_errors(self._fail):
            self._lines = await asyncio.to_thread(run_lines, page.trainer)
            if not page.is_open:
                return
            latest = self._latest()
            self._offer.set_visibility(latest is not None and self.wanted == _NONE)
            if self.wanted not in (options := self._options()):
                self.wanted = _NONE  # it was deleted
            if options != self._choice.options:
                self._choice.set_options(options, value=self.wanted)
            self._box.set_visibility(len(options) > 1)
            name = latest.name if self.wanted == _LATEST and latest is not None else self.wanted
            before = self.curves
            if not name:
                self.curves = None
            elif before is None or before.name != name:
                self.curves = await asyncio.to_thread(read_curves, open_run(page.trainer, name))
            elif (line := next((one for one in self._lines if one.name == name), None)) is not None:
                self.curves = dataclasses.replace(before, label=line.label)
            # Another training may have another axis.
            stands = None if self.curves is None else (name, self.curves.title, page.trainer.generation)
            if stands != self._stands:
                self._stands = stands
                page.tell(_EVENT)

    # ---- what is told ----

    async def _tell(self) -> None:
        curves = self.curves
        if curves is None:
            tell(self._sentence, "")
            self._numbers.set_visibility(False)
            return
        self._numbers.set_visibility(True)
        tell(self._sentence, self._told(curves))
        content = self._rows(curves)
        if content != self._table.content:
            self._table.set_content(content)

    def _told(self, curves: RunCurves) -> str:
        """Say how the two axes go together, and what was set otherwise."""
        own, trainer = dict(curves.settings), self._page.trainer
        here = trainer.config.to_dict()
        # What the page cannot know before a run is finished, or knows under other names, is left to Runs; and what
        # changes nothing but the time that it takes is told nowhere.
        shared = {name: own.get(name) for name in here if name != "data" and name not in IRRELEVANT}
        names = [name for name, _ in differing_settings([shared, {name: here[name] for name in shared}])]
        told = [
            f"{label_of(name).lower()} {setting_text(own.get(name))} (here {setting_text(here[name])})"
            for name in names
        ]
        if len(told) > _MOST_TOLD:
            told = [*told[:_MOST_TOLD], f"{len(told) - _MOST_TOLD} more settings"]
        unlike = f"Set otherwise: {listed(told)}." if told else "Set as this one."
        return f"{unlike} It stands where it had seen as many images as this training."

    def _rows(self, curves: RunCurves) -> str:
        live = self._live()
        images = live.images if live is not None else 0
        at, epoch_at = curves.batch_at(images), curves.epoch_at(images)
        end, last = curves.batches[-1], curves.epochs[-1] if curves.epochs else None
        columns = [(live, live), (at, epoch_at), (end, last)]
        heads = ["This training", "Behind, then", "Behind, at its end"]
        seen = [f"{point.images:,}" if point is not None else "–" for point, _ in columns]
        rows = [("images seen", seen)]
        for field, name in _ROWS:
            is_val = field.startswith("val_")
            rows.append((name, [_figure(column[is_val], field) for column in columns]))
        head = "".join(f'<th scope="col" class="num">{one}</th>' for one in heads)
        body = "".join(
            f'<tr><th scope="row">{name}</th>{"".join(f"<td class=num>{cell}</td>" for cell in cells)}</tr>'
            for name, cells in rows
        )
        caption = f'<caption class="sr-only">This training and {escape(curves.title)}, after as many images</caption>'
        return f'<table class="table">{caption}<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'

    def _live(self) -> CurvePoint | None:
        """Return where this training is, or where it is looked at."""
        cursor = self._page.cursor
        step = epoch = None
        for record in self._page.trainer.records_since(0)[0]:
            if cursor is not None and record.step > cursor:
                break
            if isinstance(record, StepRecord):
                step = record
            elif isinstance(record, EpochRecord):
                epoch = record
        if step is None:
            return None
        val = (None, None) if epoch is None else (epoch.val_loss, epoch.val_accuracy)
        images = round(self._axis(of_epochs=False).images(step.step))
        return CurvePoint(images, step.step, step.epoch, step.loss, step.accuracy, *val)

    def _axis(self, of_epochs: bool) -> ImagesAxis:
        config = self._page.trainer.config
        return ImagesAxis(config.train_images, config.batch_size, of_epochs=of_epochs)


def _figure(point: CurvePoint | None, field: str) -> str:
    value = None if point is None else getattr(point, field)
    if value is None:
        return "–"
    return percent(value) if field.endswith("accuracy") else f"{value:.4f}"
