"""Two runs beside each other: figures, settings, curves, difference of their matrices, images they disagree on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from nicegui import ui

from digitlab.errors import InputError
from digitlab.evaluation.comparison import ComparedRun, Comparison, Disagreement, verdict
from digitlab.evaluation.confusion import MISTAKES, Selection, difference_cells, matrix_svg
from digitlab.evaluation.overlay import RunCurves, curves_of
from digitlab.explanation.facts import plural
from digitlab.runs.history import Record
from digitlab.runs.label import Label
from digitlab.studio.page import Page
from digitlab.studio.tabs.overlay_view import OverlayCharts, settings_rows
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.controls import say
from digitlab.studio.widgets.digit_views import Answers, ImageList
from digitlab.studio.widgets.tables import Column, ConfusionMatrix, SortableTable, matrix_table
from digitlab.text import percent
from digitlab.values import EpochRecord

_UNFINISHED = "; interrupted: these are the weights that were saved last, not those of the end of its curves"
EVERYBODY, ONLY_A, ONLY_B, NOBODY = "all", "a", "b", "none"

#: Who is right, as people choose it.
WHO = {EVERYBODY: "all", ONLY_A: "only A is right", ONLY_B: "only B is right", NOBODY: "both are wrong"}


class ComparisonView:
    """Built into the current container, and seen when there is something to compare."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._drawn: Comparison | None = None
        self._selection, self._who = MISTAKES, EVERYBODY
        with ui.element("div").classes("comparison") as self._box:
            # Before any figure.
            self._unlike = ui.label().classes("unlike").props('role="status"')
            with ui.element("div").classes("wide-pair"):
                exports = Exports(json=lambda: self._found().to_dict())
                with card("Two Runs Compared", help="comparison", exports=exports):
                    self._figures = [_RunFigures("A"), _RunFigures("B")]
                    self._verdict = ui.label().classes("num").props('role="status"')
                self._build_settings()
            self._curves = OverlayCharts(page)
            with ui.element("div").classes("wide-pair"):
                self._build_matrix()
                self._build_images()
        self._box.set_visibility(False)

    def _build_settings(self) -> None:
        def table() -> Rows:
            return ("setting", "a", "b"), [(s.name, s.a, s.b) for s in self._found().settings]

        def records() -> list[dict[str, Any]]:
            return [setting.to_dict() for setting in self._found().settings]

        with card("What Was Set Differently", help="seed", exports=Exports(csv=table, json=records)):
            columns = (Column("Setting"), Column("A", can_sort=False), Column("B", can_sort=False))
            self._settings = SortableTable("Settings that differ", columns)
            self._same = ui.label("Nothing: both runs have the same settings.").classes("muted")

    def _build_matrix(self) -> None:
        def svg() -> str:
            found = self._found()
            a, b = found.a.evaluation, found.b.evaluation
            cells = difference_cells(a.confusion_matrix, b.confusion_matrix, a.class_names, "A", "B")
            return matrix_svg(f"{found.b.name} minus {found.a.name}", a.class_names, cells)

        def table() -> Rows:
            found = self._found()
            return matrix_table(found.a.evaluation.class_names, found.confusion_difference)

        exports = Exports(svg=svg, draws=True, csv=table, json=lambda: table()[1])
        with card("Difference of the Confusion Matrices", help="comparison", exports=exports):
            self._matrix = ConfusionMatrix(
                self._page.data.class_names,
                partial(self._choose, reveal=True),
                label="Confusion matrix of B minus that of A",
            )
            ui.label("On the diagonal more is better; beside it, less is.").classes("muted")

    def _build_images(self) -> None:
        def table() -> Rows:
            columns = ("image", "label", "predicted_a", "confidence_a", "predicted_b", "confidence_b")
            return columns, [
                (d.place, d.label, d.a.label, d.a.confidence, d.b.label, d.b.confidence)
                for d in disagreeing(self._found(), self._selection, self._who)
            ]

        with card("Images on Which They Disagree", help="comparison", exports=Exports(csv=table)):
            with ui.element("div").classes("toolbar"):
                self._shown = ui.select(WHO, value=EVERYBODY, label="Show", on_change=self._choose_who)
                self._shown.classes("evaluation-set")
                ui.button("All images", on_click=lambda: self._choose(MISTAKES)).props("outline")
            self._images = ImageList(self._page.data.class_names, label="Images on which the runs disagree")

    def _found(self) -> Comparison:
        if self._drawn is None:
            raise InputError("There is nothing to save yet; choose two runs.")
        return self._drawn

    def hide(self) -> None:
        """Show nothing: fewer than two runs are chosen."""
        self._box.set_visibility(False)

    async def show(self, comparison: Comparison, labels: Mapping[str, Label]) -> None:
        """Show a comparison of runs with labels, by name; what was chosen in the one before stays chosen."""
        self._drawn = comparison
        self._box.set_visibility(True)
        a, b = comparison.a, comparison.b
        for figures, run in zip(self._figures, (a, b), strict=True):
            figures.show(run, labels[run.name], len(self._page.data.test))
        self._verdict.set_text(verdict(comparison))
        say(self._unlike, comparison.unlike)
        rows = settings_rows([(s.name, (s.a, s.b)) for s in comparison.settings])
        self._settings.show(rows)
        self._settings.set_visibility(bool(rows))
        self._same.set_visibility(not rows)
        self._curves.show([_curves(run, labels[run.name]) for run in (a, b)])
        names = a.evaluation.class_names
        self._matrix.set_names(names)
        self._images.set_names(names)
        self._matrix.show_difference(a.evaluation.confusion_matrix, b.evaluation.confusion_matrix, "A", "B")
        await self._show_images()

    # ---- what somebody chose ----

    async def _choose(self, selection: Selection, *, reveal: bool = False) -> None:
        self._selection = selection
        self._matrix.choose(selection)
        await self._show_images()
        if reveal and selection != MISTAKES:
            self._images.reveal()

    async def _choose_who(self) -> None:
        self._who = str(self._shown.value)
        await self._show_images()

    async def _show_images(self) -> None:
        comparison = self._drawn
        if comparison is None:
            return
        chosen = disagreeing(comparison, self._selection, self._who)
        places = np.array([d.place for d in chosen], dtype=np.intp)
        n_classes = len(comparison.a.evaluation.class_names)
        answers = [
            Answers(name, np.array([p.probabilities for p in given], dtype=np.float32).reshape(-1, n_classes))
            for name, given in (("A", [d.a for d in chosen]), ("B", [d.b for d in chosen]))
        ]
        await self._images.show(
            sentence(comparison, self._selection, self._who, len(chosen)),
            np.arange(len(chosen)),
            self._page.data.test.images[places],
            np.array([d.label for d in chosen], dtype=np.intp),
            answers,
            numbers=places,
        )


class _RunFigures:
    """A letter, a run's name, and its accuracy."""

    def __init__(self, letter: str) -> None:
        with ui.element("div").classes("pair-line"):
            ui.label(letter).classes("run-letter").props(f'aria-hidden="true" data-letter="{letter}"')
            self._name = ui.label().classes("run-name")
            self._accuracy = ui.label().classes("value second num")
            self._interval = ui.label().classes("muted num")

    def show(self, run: ComparedRun, label: Label, n_all: int) -> None:
        """Show a run, evaluated on some of ``n_all`` test images."""
        (low, high), n = run.evaluation.interval, run.evaluation.n_images
        self._name.set_text(label.of(run.name))
        self._accuracy.set_text(percent(run.evaluation.accuracy))
        which = f"of all {n:,} images" if n == n_all else f"of {n:,} of {n_all:,} images (the list tells that of all)"
        told = f"{percent(low)} to {percent(high)} {which}, {run.n_parameters:,} parameters"
        told += "" if run.is_complete else _UNFINISHED
        self._interval.set_text(told + "".join(f"; {change}" for change in run.on_the_way))


def _curves(run: ComparedRun, label: Label) -> RunCurves:
    """Return a run's curves, its records in the order of a history: that of an epoch stands behind its last batch."""
    history: list[Record] = [*run.steps, *run.epochs]
    history.sort(key=lambda record: (record.step, isinstance(record, EpochRecord)))
    return curves_of(run.name, history, label=label)


def disagreeing(comparison: Comparison, selection: Selection, who: str = EVERYBODY) -> list[Disagreement]:
    """Return the disagreements in a cell, row or column of either matrix, in their order; ``who`` is a key of `WHO`."""
    found = []
    for d in comparison.disagreements:
        right = ONLY_A if d.a.label == d.label else ONLY_B if d.b.label == d.label else NOBODY
        if (
            who in (EVERYBODY, right)
            and selection.label in (None, d.label)
            and selection.predicted in (None, d.a.label, d.b.label)
        ):
            found.append(d)
    return found


def sentence(comparison: Comparison, selection: Selection, who: str, n: int) -> str:
    """Say which images are shown and how many."""
    names = comparison.a.evaluation.class_names
    parts = []
    if selection.label is not None:
        parts.append(f"label {names[selection.label]}")
    if selection.predicted is not None:
        parts.append(f"predicted {names[selection.predicted]} by one of the two")
    if who != EVERYBODY:
        parts.append(WHO[who])
    return f"{', '.join(parts or ['they disagree'])}: {plural(n, 'image')}"
