"""The Evaluation tab: how good the looked-at network is, on one set of test images for everything that is shown."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, RunError
from digitlab.evaluation.comparison import TestAnswers, answer_test_images
from digitlab.evaluation.confusion import MISTAKES, Selection, count_cells, matrix_svg
from digitlab.evaluation.finish import is_own_data
from digitlab.evaluation.report import calibration_sentence, reliability_chart
from digitlab.runs.run import MODEL
from digitlab.studio.page import Page
from digitlab.studio.run_list import open_run, run_lines
from digitlab.studio.tabs.network_image import LookedAt
from digitlab.studio.tabs.readers import SHIPPED, Readers, readers_of
from digitlab.studio.tabs.threshold_card import ThresholdCard
from digitlab.studio.trainer import Remembered, Trainer
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.controls import choose_test_images, show_tab, tell
from digitlab.studio.widgets.digit_views import Answers, ImageList
from digitlab.studio.widgets.tables import AccuracyView, ConfusionMatrix, class_table, figure, matrix_table
from digitlab.svg import standalone_svg
from digitlab.text import percent
from digitlab.training.material import class_names_for
from digitlab.values import CLASS_NAMES, NOT_A_DIGIT, Evaluation

_NAME = "Evaluation"
_HERE = "The training here"
# No run has such a name.
_READER = "/reader"
# Evaluations that are remembered.
_MOST_EVALUATIONS = 32


class EvaluationTab:
    """What is evaluated, its figures, its confusion matrix, and the images that somebody chose.

    Nothing is computed while another tab is seen.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._selection = MISTAKES
        self._drawn: Evaluated | None = None
        self._build()
        self._refreshing = page.refreshing(_NAME, self._refresh, gap_s=1.0)
        self._offering = page.refreshing(_NAME, self._offer, gap_s=2.0)
        page.on_records(lambda _: self._refreshing.ask())
        page.on(lambda: self._refreshing.ask(at_once=True), "generation", "cursor")
        page.on(self._subject_changed, "subject", "state")

    def _build(self) -> None:
        with ui.element("div").classes("toolbar"):
            self._names = {"": _HERE} | self._reader()
            self._model = ui.select(self._names, value="", label="Network", on_change=self._choose_model)
            self._model.classes("evaluated-run")
            choose_test_images(self._page)
            self._status = ui.label().classes("evaluated muted")
        with ui.element("div").classes("even-pair"):
            with card("Accuracy", help="accuracy", exports=Exports(csv=self._class_table, json=self._evaluation)):
                self._accuracy = AccuracyView(partial(self._choose, reveal=True))
            with card("Confusion Matrix", help="confusion_matrix", exports=self._matrix_exports()):
                self._matrix = ConfusionMatrix(self._page.data.class_names, partial(self._choose, reveal=True))
        with card("Images", help="mistakes", exports=Exports(csv=self._image_table)):
            with ui.element("div").classes("toolbar"):
                ui.button("Worst mistakes", on_click=lambda: self._choose(MISTAKES)).props("outline")
            names = self._page.data.class_names
            self._images = ImageList(names, label="Chosen images", on_inside=self._look_inside)
        with card("Calibration", help="calibration", exports=self._calibration_exports(), classes="calibration-card"):
            self._reliability = ui.html("", sanitize=False).classes("reliability")
            with ui.element("div").classes("calibration-says num"):
                self._gap, _ = figure("expected calibration error", "first")
                self._calibration = ui.label()
        self._threshold = ThresholdCard(self._page, _NAME, self._look_inside)

    # ---- what somebody chose ----

    def _look_inside(self, number: int) -> None:
        page = self._page
        if not 0 <= number < len(page.data.test):
            return  # a browser may send anything
        if page.run_name == _READER:
            looked_at = page.own(LookedAt)
            looked_at.use_network(SHIPPED)
            looked_at.show_test(number)
        else:
            page.own(LookedAt).open_mistake(number, page.run_name)
        show_tab(page, "Network")

    def _choose_model(self) -> None:
        self._page.evaluate_run(str(self._model.value or ""))

    def _subject_changed(self) -> None:
        name = self._page.run_name
        if self._model.value != name:
            # Another tab chose it; the choice may not hold it yet.
            self._names = {name: f"Run {name}"} | self._names
            self._model.set_options(self._names, value=name)
        self._refreshing.ask(at_once=True)
        self._offering.ask(at_once=True)

    async def _choose(self, selection: Selection, *, reveal: bool = False) -> None:
        self._selection = selection
        self._matrix.choose(selection)
        if self._drawn is not None:
            self._draw_accuracy(self._drawn)
            await self._show_images(self._drawn, keep_page=False)
            if reveal and selection != MISTAKES:
                self._images.reveal()

    def _reader(self) -> dict[str, str]:
        """Return the choice of the shipped reader's network, where it can answer."""
        is_of_digits = self._page.data.class_names == CLASS_NAMES
        return {_READER: readers_of(self._page.trainer).name(SHIPPED)} if is_of_digits else {}

    # ---- computing and drawing ----

    async def _offer(self) -> None:
        """Bring the choice of runs up to date."""
        page = self._page
        with page.telling_errors(self._fail):
            lines = [line for line in await asyncio.to_thread(run_lines, page.trainer) if line.has_model]
            chosen = {page.run_name: f"Run {page.run_name}"} if page.run_name else {}
            options = {"": _HERE} | chosen | {line.name: f"Run {line.called}" for line in lines} | self._reader()
            if page.is_open and options != self._names:
                self._names = options
                self._model.set_options(options, value=page.run_name)

    async def _refresh(self) -> None:
        page = self._page
        with page.telling_errors(self._fail, "The evaluation failed: {}. Choose another network, or reload the page."):
            if page.run_name == _READER:
                evaluate = partial(evaluate_reader, page.trainer, page.data, page.n_images)
            elif page.run_name:
                evaluate = partial(evaluate_kept_run, page.trainer, page.data, page.run_name, page.n_images)
            else:
                evaluate = partial(evaluate_training, page.trainer, page.data, page.cursor, page.n_images)
            found = await asyncio.to_thread(evaluate)
            if page.is_open:
                await self._draw(found)

    def _fail(self, sentence: str) -> None:
        tell(self._status, sentence, is_error=True)
        # Only this is read out: what is evaluated changes with every second of a training.
        self._status.props('role="alert"')

    async def _draw(self, found: Evaluated) -> None:
        tell(self._status, found.what)
        self._status.props(remove="role")
        before, self._drawn = self._drawn, found
        if before is not None and before.evaluation is found.evaluation:
            self._draw_accuracy(found)  # that of all images may be known since
            return
        names = found.evaluation.class_names
        self._matrix.set_names(names)
        self._images.set_names(names)
        self._draw_accuracy(found)
        self._matrix.show_counts(found.evaluation.confusion_matrix)
        calibration = found.evaluation.calibration
        self._reliability.set_content(reliability_chart(calibration))
        self._gap.set_text(percent(calibration.expected_calibration_error))
        self._calibration.set_text(calibration_sentence(calibration))
        # Going on with a training changes the answers, not what somebody is looking at.
        await self._show_images(found, keep_page=True)
        await self._threshold.show(found.answers)

    def _draw_accuracy(self, found: Evaluated) -> None:
        self._accuracy.draw(found.evaluation, self._selection, found.n_all, found.accuracy_on_all)

    async def _show_images(self, found: Evaluated, *, keep_page: bool) -> None:
        answers = found.answers
        await self._images.show(
            self._selection.sentence(found.evaluation.confusion_matrix, found.evaluation.class_names),
            self._selection.indices(answers.labels, answers.probabilities),
            answers.images,
            answers.labels,
            [Answers("", answers.probabilities)],
            numbers=answers.places,
            keep_page=keep_page,
        )

    # ---- what can be saved ----

    def _found(self) -> Evaluated:
        if self._drawn is None:
            raise InputError("There is nothing to save yet; wait for the evaluation.")
        return self._drawn

    def _class_table(self) -> Rows:
        return class_table(self._found().evaluation)

    def _evaluation(self) -> dict[str, Any]:
        found = self._found()
        return {"network": found.what} | found.evaluation.to_dict()

    def _matrix_exports(self) -> Exports:
        def svg() -> str:
            found = self._found()
            names, matrix = found.evaluation.class_names, found.evaluation.confusion_matrix
            return matrix_svg(f"Confusion matrix: {found.what}", names, count_cells(matrix, names))

        def plain() -> dict[str, Any]:
            found = self._found().evaluation
            return {"class_names": found.class_names, "confusion_matrix": found.confusion_matrix}

        return Exports(svg=svg, draws=True, csv=lambda: matrix_table(*plain().values()), json=plain)

    def _calibration_exports(self) -> Exports:
        def svg() -> str:
            return standalone_svg(reliability_chart(self._found().evaluation.calibration))

        def table() -> Rows:
            bins = self._found().evaluation.calibration.bins
            rows = [(b.low, b.high, b.n_images, b.confidence, b.accuracy) for b in bins]
            return ("low", "high", "n_images", "confidence", "accuracy"), rows

        return Exports(svg=svg, draws=True, csv=table, json=lambda: self._found().evaluation.calibration.to_dict())

    def _image_table(self) -> Rows:
        found = self._found().answers
        columns = ("image", "label", "predicted", *(f"p_{name.lower()}" for name in found.evaluation.class_names))
        rows = []
        for i in self._selection.indices(found.labels, found.probabilities).tolist():
            given = found.probabilities[i]
            rows.append((int(found.places[i]), int(found.labels[i]), int(given.argmax()), *given.tolist()))
        return columns, rows


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A network in words, its answers to some of ``n_all`` test images, and its accuracy on all where that is known."""

    what: str
    answers: TestAnswers
    n_all: int
    accuracy_on_all: float | None = None

    @property
    def evaluation(self) -> Evaluation:
        """Its figures on these images."""
        return self.answers.evaluation


def _evaluations(_: Trainer) -> Remembered:
    return Remembered(_MOST_EVALUATIONS)


def evaluate_at(trainer: Trainer, step: int | None, data: MnistData, n_images: int | None) -> TestAnswers:
    """Evaluate the network of the nearest recorded step at or before ``step`` (None: the newest) on test images."""
    moment = trainer.moment(step)

    def compute() -> TestAnswers:
        names = class_names_for(moment.architecture, data)
        model = Sequential.from_architecture(moment.architecture, moment.weights, class_names=names)
        return answer_test_images(model, data, n_images)

    return trainer.own(_evaluations).get((moment.generation, moment.step, n_images), compute)


def evaluate_training(trainer: Trainer, data: MnistData, step: int | None, n_images: int | None) -> Evaluated:
    """Evaluate the training at a step (None: the newest) on so many test images (None: all)."""
    moment = trainer.moment(step)
    answers = evaluate_at(trainer, moment.step, data, n_images)
    what = f"{moment.architecture.name}, "
    what += f"batch {moment.step:,} of {trainer.n_steps:,}" if moment.step else "untrained"
    if step is not None:
        what += ", time travel"
    elif trainer.state == "training":
        what += ", live"
    whole = trainer.evaluation
    # The finished network may be that of another epoch, or have its last bias moved.
    is_last = moment.step == trainer.step_done and not (trainer.config.best_weights or trainer.config.not_a_digit)
    on_all = whole.accuracy if whole is not None and is_last and moment.generation == trainer.generation else None
    return Evaluated(what, answers, len(data.test), on_all)


def evaluate_reader(trainer: Trainer, data: MnistData, n_images: int | None) -> Evaluated:
    """Evaluate the shipped reader's network of single digits, which may refuse, as it is asked when a photo is read."""
    answers = trainer.own(_evaluations).get(
        (_READER, n_images), lambda: answer_test_images(_ReaderNetwork(readers_of(trainer)), data, n_images)
    )
    return Evaluated('The shipped reader, which may answer "not a digit"', answers, len(data.test))


class _ReaderNetwork:
    """The reader's network as something that answers images."""

    class_names: tuple[str, ...] = (*CLASS_NAMES, NOT_A_DIGIT)

    def __init__(self, readers: Readers) -> None:
        self._answers = readers.reader(SHIPPED).answers

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._answers.of_images(images)


def evaluate_kept_run(trainer: Trainer, data: MnistData, name: str, n_images: int | None) -> Evaluated:
    """Evaluate a finished run on so many test images (None: all); InputError if it cannot be."""
    run = open_run(trainer, name)
    if not run.has(MODEL):
        raise RunError(f"The run {name} has no model yet; finish its training, or choose another run.")
    try:
        key = (name, (run.path / MODEL).stat().st_mtime_ns, n_images)
    except OSError:  # a link to nowhere, say
        run.load_model()
        raise

    def compute() -> Evaluated:
        model = Sequential.from_checkpoint(run.load_model())
        answers = answer_test_images(model, data, n_images)
        if not is_own_data(run, data):
            return Evaluated(f"{model.name}, run {name}, which was trained on other data", answers, len(data.test))
        return Evaluated(f"{model.name}, run {name}", answers, len(data.test), run.info().test_accuracy)

    return trainer.own(_evaluations).get(key, compute)
