"""The threshold: a slider over coverage and accuracy, with the images that it refuses and the mistakes that remain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from digitlab.errors import InputError
from digitlab.evaluation.comparison import TestAnswers
from digitlab.evaluation.coverage import (
    area_sentence,
    coverage_axes,
    coverage_chart,
    coverage_curve,
    coverage_sentence,
    refusal_among,
    threshold_text,
)
from digitlab.studio.page import Page
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.controls import Scripted
from digitlab.studio.widgets.digit_views import Answers, ImageList
from digitlab.svg import IN_PAGE, standalone_svg
from digitlab.text import counted
from digitlab.values import CoverageCurve

#: Where the slider may stand: the nearer to certainty, the finer.
THRESHOLDS = (
    *(k / 100 for k in range(100)),
    *(round(1 - k / 10**digits, digits) for digits in (3, 4, 5) for k in range(9, 0, -1)),
)
_AT_FIRST = THRESHOLDS.index(0.9)
_GALLERY_SIZE = 10


class ThresholdView(Scripted, component="../static/threshold_view.js"):
    """The chart with the chosen point, the slider and what it says."""

    def __init__(self, on_choose: Callable[[int], Any]) -> None:
        super().__init__()
        box = {"width": IN_PAGE.width, "height": IN_PAGE.height, "left": IN_PAGE.left, "bottom": IN_PAGE.bottom}
        self._props.update({"chart": "", "points": [], "n": 0, "area": "", "box": box, "start": _AT_FIRST})
        self.on_number("choose", on_choose)

    def show(self, curve: CoverageCurve, chart: str) -> None:
        """Show another curve; the slider stays where it is."""
        x_axis, y_axis = coverage_axes(curve)
        points = [
            {
                "text": threshold_text(point.threshold),
                "answered": point.n_answered,
                "right": point.n_correct,
                "x": round(x_axis.at(100 * point.coverage), 1),
                "y": None if point.accuracy is None else round(y_axis.at(100 * point.accuracy), 1),
                "says": coverage_sentence(curve, point),
            }
            for point in curve.points
        ]
        self.give(chart=chart, points=points, n=curve.n_images, area=area_sentence(curve))


class ThresholdCard:
    """The card; ``tab`` is where it stands, ``on_inside`` is told with which image somebody wants to look inside."""

    def __init__(self, page: Page, tab: str, on_inside: Callable[[int], Any]) -> None:
        self._answers: TestAnswers | None = None
        self._curve: CoverageCurve | None = None
        self.at = _AT_FIRST
        exports = Exports(name="threshold", svg=self._svg, draws=True, csv=self._table, json=self._document)
        with card("Threshold", help="threshold", exports=exports, classes="threshold-card"):
            self.view = ThresholdView(self._choose)
            with ui.element("div").classes("threshold-images"):
                names = page.data.class_names
                self.refused, self.mistakes = (
                    ImageList(names, label=label, page_size=_GALLERY_SIZE, on_inside=on_inside)
                    for label in ("Refused images", "Mistakes that remain")
                )
        self._showing = page.refreshing(tab, self._show_images, gap_s=0.3)

    async def show(self, answers: TestAnswers) -> None:
        """Show what becomes of these images."""
        names = answers.evaluation.class_names

        def drawn() -> tuple[CoverageCurve, str]:
            curve = coverage_curve(answers.probabilities, answers.labels, THRESHOLDS, refusal=refusal_among(names))
            return curve, coverage_chart(curve)

        curve, chart = await asyncio.to_thread(drawn)
        self._answers, self._curve = answers, curve
        for images in (self.refused, self.mistakes):
            images.set_names(names)
        self.view.show(curve, chart)
        await self._show_images()

    def _choose(self, at: int) -> None:
        if 0 <= at < len(THRESHOLDS):
            self.at = at
            self._showing.ask(at_once=True)

    async def _show_images(self) -> None:
        answers = self._answers
        if answers is None:
            return
        is_wrong = answers.probabilities.argmax(axis=1) != answers.labels
        refused, mistakes = refused_and_mistakes(answers, THRESHOLDS[self.at])
        n_wrong = int(is_wrong[refused].sum())
        texts = {
            self.refused: f"refused: {counted(len(refused), 'image')}, {n_wrong:,} of them would be wrong",
            self.mistakes: f"mistakes that remain: {counted(len(mistakes), 'image')}, the surest first",
        }
        for images, which in ((self.refused, refused), (self.mistakes, mistakes)):
            given = [Answers("", answers.probabilities)]
            await images.show(
                texts[images], which, answers.images, answers.labels, given, numbers=answers.places, keep_page=True
            )

    # ---- what can be saved ----

    def _found(self) -> CoverageCurve:
        if self._curve is None:
            raise InputError("There is nothing to save yet; wait for the evaluation.")
        return self._curve

    def _svg(self) -> str:
        return standalone_svg(coverage_chart(self._found()))

    def _table(self) -> Rows:
        points = self._found().points
        columns = ("threshold", "n_answered", "n_correct", "coverage", "accuracy")
        return columns, [(p.threshold, p.n_answered, p.n_correct, p.coverage, p.accuracy) for p in points]

    def _document(self) -> dict[str, Any]:
        return self._found().to_dict()


def refused_and_mistakes(answers: TestAnswers, threshold: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which images are refused at a threshold, the least sure first, and which answers are wrong, the surest."""
    predicted, confidence = answers.probabilities.argmax(axis=1), answers.probabilities.max(axis=1).astype(np.float64)
    refusal = refusal_among(answers.evaluation.class_names)
    is_given = (confidence >= threshold) & (predicted != (-1 if refusal is None else refusal))
    rising = np.argsort(confidence, kind="stable")
    falling = np.argsort(-confidence, kind="stable")
    return rising[~is_given[rising]], falling[(is_given & (predicted != answers.labels))[falling]]
