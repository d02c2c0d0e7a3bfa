"""Two runs beside each other: figures, settings, curves, difference of their matrices, images they disagree on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from nicegui import ui

from digitlab.data.choosing import choose_images
from digitlab.errors import InputError
from digitlab.evaluation.confusion import MISTAKES, Selection, difference_cells, matrix_svg
from digitlab.evaluation.markup import listed, percent
from digitlab.studio.card import Exports, Rows, card
from digitlab.studio.comparing import ComparedRun, Comparison
from digitlab.studio.curves_view import CurvesView
from digitlab.studio.disagreeing import EVERYBODY, WHO, disagreeing, sentence
from digitlab.studio.evaluated import numbers_in_test_set
from digitlab.studio.evaluation_views import ConfusionMatrix
from digitlab.studio.image_list import Answers, ImageList
from digitlab.studio.page import Page
from digitlab.studio.pictures import png_of_svg
from digitlab.studio.sortable_table import Cell, Column, Row, SortableTable
from digitlab.values import CLASS_NAMES

__all__ = ["ComparisonView", "settings_rows", "unlike", "verdict"]

# What several settings tell of.
_GROUPS = {
    "the network": ("network", "layers", "initializers", "parameters"),
    "the data": ("data", "data digest"),
    "what was changed on the way": ("changed on the way",),
    "where it was stopped": ("stopped after batch",),
}
_UNFINISHED = "; interrupted: these are the weights that were saved last, not those of the end of its curves"


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
                self._build_figures()
                self._build_settings()
            self._curves = CurvesView(page)
            with ui.element("div").classes("wide-pair"):
                self._build_matrix()
                self._build_images()
        self._box.set_visibility(False)

    def _build_figures(self) -> None:
        with card("Two runs compared", help="comparison", exports=Exports(json=lambda: self._found().to_dict())):
            self._figures = [_RunFigures("A"), _RunFigures("B", "second")]
            self._verdict = ui.label().classes("num").props('role="status"')

    def _build_settings(self) -> None:
        exports = Exports(csv=self._settings_table, json=self._settings_records)
        with card("What was set differently", help="seed", exports=exports):
            columns = (Column("Setting"), Column("A", can_sort=False), Column("B", can_sort=False))
            self._settings = SortableTable("Settings that differ", columns)
            self._same = ui.label("Nothing: both runs have the same settings.").classes("muted")

    def _build_matrix(self) -> None:
        async def png() -> bytes:
            return await png_of_svg(self._matrix_svg())

        exports = Exports(png=png, svg=self._matrix_svg, csv=self._matrix_table, json=lambda: self._matrix_table()[1])
        with card("Difference of the confusion matrices", help="comparison", exports=exports):
            self._matrix = ConfusionMatrix(
                CLASS_NAMES, partial(self._choose, reveal=True), label="Confusion matrix of B minus that of A"
            )
            ui.label("On the diagonal more is better; beside it, less is.").classes("muted")

    def _build_images(self) -> None:
        exports = Exports(csv=self._image_table, json=self._image_records)
        with card("Images on which they disagree", help="comparison", exports=exports):
            with ui.element("div").classes("toolbar"):
                self._shown = ui.select(WHO, value=EVERYBODY, label="Show", on_change=self._choose_who)
                self._shown.classes("evaluation-set")
                self._all = ui.button("All images", on_click=lambda: self._choose(MISTAKES)).props("outline")
            self._images = ImageList(CLASS_NAMES, label="Images on which the runs disagree")

    def hide(self) -> None:
        """Show nothing: fewer than two runs are chosen."""
        self._box.set_visibility(False)

    async def show(self, comparison: Comparison) -> None:
        """Show a comparison; what was chosen in the one before stays chosen."""
        self._drawn = comparison
        self._box.set_visibility(True)
        names = comparison.a.evaluation.class_names
        for figures, run in zip(self._figures, (comparison.a, comparison.b), strict=True):
            figures.show(run, len(self._page.data.test))
        self._verdict.set_text(verdict(comparison))
        warning = unlike(comparison)
        self._unlike.set_text(warning)
        self._unlike.set_visibility(bool(warning))
        rows = settings_rows(comparison)
        self._settings.show(rows)
        self._settings.set_visibility(bool(rows))
        self._same.set_visibility(not rows)
        self._curves.show(comparison)
        self._matrix.set_names(names)
        self._images.set_names(names)
        self._matrix.show_difference(
            comparison.a.evaluation.confusion_matrix, comparison.b.evaluation.confusion_matrix, "A", "B"
        )
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
        places = np.array([d.index for d in chosen], dtype=np.intp)
        data, n_images = self._page.data, comparison.a.evaluation.n_images
        # The same images as in the comparison: the choice depends on nothing but their number.
        images = choose_images(data.test, n_images, 0)[0][places]
        n_classes = len(comparison.a.evaluation.class_names)
        answers = [
            Answers(name, np.array([p.probabilities for p in given], dtype=np.float32).reshape(-1, n_classes))
            for name, given in (("A", [d.a for d in chosen]), ("B", [d.b for d in chosen]))
        ]
        await self._images.show(
            sentence(comparison, self._selection, self._who, len(chosen)),
            np.arange(len(chosen)),
            images,
            np.array([d.label for d in chosen], dtype=np.intp),
            answers,
            numbers=numbers_in_test_set(data, n_images)[places],
        )

    # ---- what can be saved ----

    def _found(self) -> Comparison:
        if self._drawn is None:
            raise InputError("There is nothing to save yet; choose two runs.")
        return self._drawn

    def _settings_table(self) -> Rows:
        return ("setting", "a", "b"), [(s.name, s.a, s.b) for s in self._found().settings]

    def _settings_records(self) -> list[dict[str, Any]]:
        return [setting.to_dict() for setting in self._found().settings]

    def _matrix_svg(self) -> str:
        found = self._found()
        a, b = found.a.evaluation, found.b.evaluation
        cells = difference_cells(a.confusion_matrix, b.confusion_matrix, a.class_names, "A", "B")
        return matrix_svg(f"{found.b.name} minus {found.a.name}", a.class_names, cells)

    def _matrix_table(self) -> Rows:
        found = self._found()
        names = found.a.evaluation.class_names
        rows = zip(names, found.confusion_difference, strict=True)
        return ("label", *names), [(name, *counts) for name, counts in rows]

    def _image_table(self) -> Rows:
        found = self._found()
        numbers = numbers_in_test_set(self._page.data, found.a.evaluation.n_images)
        columns = ("image", "label", "predicted_a", "confidence_a", "predicted_b", "confidence_b")
        return columns, [
            (int(numbers[d.index]), d.label, d.a.label, d.a.confidence, d.b.label, d.b.confidence)
            for d in disagreeing(found, self._selection, self._who)
        ]

    def _image_records(self) -> list[dict[str, Any]]:
        columns, rows = self._image_table()
        return [dict(zip(columns, row, strict=True)) for row in rows]


class _RunFigures:
    """A letter, a run's name, and its accuracy."""

    def __init__(self, letter: str, look: str = "") -> None:
        with ui.element("div").classes("pair-line"):
            ui.label(letter).classes(f"run-letter {look}").props('aria-hidden="true"')
            self._name = ui.label().classes("run-name")
            self._accuracy = ui.label().classes("value second num")
            self._interval = ui.label().classes("muted num")

    def show(self, run: ComparedRun, n_all: int) -> None:
        """Show a run, evaluated on some of ``n_all`` test images."""
        low, high = run.evaluation.interval
        self._name.set_text(run.name)
        self._accuracy.set_text(percent(run.evaluation.accuracy))
        n = run.evaluation.n_images
        which = f"of all {n:,} images" if n == n_all else f"of {n:,} of {n_all:,} images (the list tells that of all)"
        unfinished = "" if run.is_complete else _UNFINISHED
        self._interval.set_text(
            f"{percent(low)} to {percent(high)} {which}, {run.n_parameters:,} parameters"
            + unfinished
            + "".join(f"; {change}" for change in run.on_the_way)
        )


def unlike(comparison: Comparison) -> str:
    """Say in what the two were not trained alike; empty where they were.

    Two runs that differ in one thing alone tell what that one is worth; others do not.
    """
    groups = dict.fromkeys(
        next((group for group, names in _GROUPS.items() if s.name in names), s.name.replace("_", " "))
        for s in comparison.settings
    )
    names = list(groups)
    if not names:
        return ""
    if len(names) == 1:
        return f"A and B were trained alike but for one thing: {names[0]}."
    return (
        f"A and B were not trained alike: they differ in {listed(names)}. What sets them apart in the figures below "
        "may come from any of these."
    )


def verdict(comparison: Comparison) -> str:
    """Say on how many images the two differ, and whether that tells them apart.

    The p-value is that of McNemar's exact test, see `Comparison`.
    """
    n_a, n_b, n_wrong = comparison.n_only_a_right, comparison.n_only_b_right, comparison.n_both_wrong
    n = n_a + n_b + n_wrong
    if n == 0:
        return f"They give the same answer to all {comparison.a.evaluation.n_images:,} images."
    told = (
        f"They disagree on {n:,} of the same {comparison.a.evaluation.n_images:,} images: only A is right on {n_a:,}, "
        f"only B on {n_b:,}, and on {n_wrong:,} both are wrong. "
    )
    chance = f"of two equally good ones, so uneven a split comes up in {percent(comparison.p_value, 1)} of cases."
    if comparison.p_value < 0.05:
        better = "A" if n_a > n_b else "B"
        return f"{told}So {better} is the better reader: {chance}"
    return f"{told}That does not tell which is better: {chance}"


def settings_rows(comparison: Comparison) -> Sequence[Row]:
    """Return a row for every setting that the two do not share."""
    return [
        Row(
            s.name,
            (Cell(s.name.replace("_", " ")), Cell(_text(s.a), look="setting"), Cell(_text(s.b), look="setting")),
        )
        for s in comparison.settings
    ]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return str(value)
