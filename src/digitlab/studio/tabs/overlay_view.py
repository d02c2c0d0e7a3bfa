"""Several runs over each other: what was set differently, and their curves over the images that each had seen."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from digitlab.errors import InputError
from digitlab.evaluation.alike import differing_settings, unlike_sentence
from digitlab.evaluation.overlay import RunCurves
from digitlab.studio.page import Page
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.charts import Curve, LiveChart, few_points
from digitlab.studio.widgets.controls import say, tell
from digitlab.studio.widgets.tables import Cell, Column, Row, SortableTable
from digitlab.text import setting_text

#: How runs are called in this order.
LETTERS = "ABCDEF"

_VALIDATION, _TRAINING = "val_", ""
_OF = {_VALIDATION: "Validation, every epoch", _TRAINING: "Training, every batch"}
_NO_VALIDATION = "None of these runs was validated."
# Color, dash and mark of each, so that no two are alike in any of the three.
_LOOKS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("--series-1", (), "circle"),
    ("--series-2", (9, 4), "square"),
    ("--series-3", (2, 3), "triangle"),
    ("--series-4", (10, 3, 2, 3), "diamond"),
    ("--series-5", (5, 2), "cross"),
    ("--series-6", (15, 5), "plus"),
)


class OverlayCharts:
    """A chart of the loss and one of the accuracy, with a curve for each of two to six runs."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._runs: tuple[RunCurves, ...] = ()
        self._of = _VALIDATION
        self._charts: dict[str, LiveChart] = {}
        with ui.element("div").classes("overlay-charts"):
            with ui.element("div").classes("toolbar"):
                self._choice = ui.select(_OF, value=_VALIDATION, label="Curves", on_change=self._choose)
                self._choice.classes("curves-of")
                self._none = ui.label()
                tell(self._none, "")
            with ui.element("div").classes("grid-2"):
                self._boxes = {
                    "loss": self._card("Loss", "loss"),
                    "accuracy": self._card("Accuracy", "accuracy"),
                }

    def _card(self, title: str, field: str) -> ui.element:
        exports = Exports(
            name=f"runs-{field}",
            png=lambda: self._chart(field).png(),
            svg=lambda: self._chart(field).svg(),
            csv=lambda: curve_rows(self._runs, self._of + field),
        )
        with card(f"{title} over the Images Seen", help=field, exports=exports):
            return ui.element("div")

    def _chart(self, field: str) -> LiveChart:
        if field not in self._charts:
            raise InputError("There is nothing to save yet; choose two runs.")
        return self._charts[field]

    def _choose(self) -> None:
        self._of = str(self._choice.value or _TRAINING)
        self._draw()

    def show(self, runs: Sequence[RunCurves]) -> None:
        """Show the curves of some runs, which are called A, B, C in this order."""
        self._runs = tuple(runs)
        if not any(point.val_loss is not None for run in runs for point in run.epochs):
            self._choice.set_value(_TRAINING)
        self._draw()

    def _draw(self) -> None:
        tell(self._none, _NO_VALIDATION if self._of and not _has(self._runs, "val_loss") else "")
        for field, box in self._boxes.items():
            box.clear()
            with box:
                self._charts[field] = self._drawn(self._of + field, 1.0 if field == "accuracy" else None)

    def _drawn(self, field: str, y_max: float | None) -> LiveChart:
        curves, points = [], {}
        for letter, run, (color, dash, symbol) in zip(LETTERS, self._runs, _LOOKS, strict=False):
            title = f"{letter}  {run.title}"
            curves.append(Curve(letter, color, title=title, dash=dash, symbol=symbol if self._of else ""))
            points[letter] = few_points(*_curve(run, field))
        what = _OF[self._of].lower().replace(",", " " + field.removeprefix("val_") + ",")
        chart = LiveChart(
            self._page,
            f"{what}, of {len(self._runs)} runs",
            curves,
            x_name="Images seen",
            y_name="Accuracy" if y_max else "Loss (nats)",
            x_max=max((run.n_images for run in self._runs), default=1),
            y_max=y_max,
        )
        chart.append(points)
        return chart


class OverlayView:
    """More than two runs: in what they were not trained alike, and their curves; built into the current container."""

    def __init__(self, page: Page) -> None:
        with ui.element("div").classes("comparison") as self._box:
            self._unlike = ui.label().classes("unlike").props('role="status"')
            with card("What Was Set Differently", help="seed", exports=Exports(name="runs-settings", csv=self._rows)):
                self._settings = ui.element("div")
            self._charts = OverlayCharts(page)
        self._runs: tuple[RunCurves, ...] = ()
        self._box.set_visibility(False)

    def hide(self) -> None:
        """Show nothing."""
        self._box.set_visibility(False)

    def show(self, runs: Sequence[RunCurves]) -> None:
        """Show some runs, which are called A, B, C in this order."""
        self._runs = tuple(runs)
        self._box.set_visibility(True)
        differing = differing_settings([run.settings for run in runs])
        say(self._unlike, unlike_sentence([name for name, _ in differing]))
        self._settings.clear()
        with self._settings:
            heads = [f"{letter}  {run.title}" for letter, run in zip(LETTERS, runs, strict=False)]
            if differing:
                table = SortableTable(
                    "Settings that differ", [Column("Setting"), *(Column(head, can_sort=False) for head in heads)]
                )
                table.classes("of-settings").show(settings_rows(differing))
            else:
                ui.label("Nothing: all have the same settings.").classes("muted")
        self._charts.show(runs)

    def _rows(self) -> Rows:
        differing = differing_settings([run.settings for run in self._runs])
        return ("setting", *(run.name for run in self._runs)), [(name, *values) for name, values in differing]


def settings_rows(differing: Sequence[tuple[str, Sequence[object]]]) -> list[Row]:
    """Return a row for every setting that not all runs share, with each one's value."""
    look = "setting-value"
    return [
        Row(name, (Cell(name.replace("_", " ")), *(Cell(setting_text(value), look=look) for value in values)))
        for name, values in differing
    ]


def _has(runs: Sequence[RunCurves], field: str) -> bool:
    return any(getattr(point, field) is not None for run in runs for point in run.epochs)


def _curve(run: RunCurves, field: str) -> tuple[list[float], list[float]]:
    points = run.epochs if field.startswith(_VALIDATION) else run.batches
    told = [(float(point.images), value) for point in points if (value := getattr(point, field)) is not None]
    return [x for x, _ in told], [y for _, y in told]


def curve_rows(runs: Sequence[RunCurves], field: str) -> Rows:
    """Return the curves as a table with a row for every point, none left out."""
    rows = []
    for run in runs:
        for point in run.epochs if field.startswith(_VALIDATION) else run.batches:
            if (value := getattr(point, field)) is not None:
                rows.append((run.name, run.label.title, point.images, point.batch, point.epoch, value))
    return ("run", "title", "images_seen", "batch", "epoch", field), rows
