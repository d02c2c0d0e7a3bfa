from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from nicegui import ui

import digitlab as dl
from digitlab.errors import DigitlabError
from digitlab.evaluation.confusion import MISTAKES, Selection
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs import evaluation_tab as evaluation
from digitlab.studio.tabs.evaluation_tab import EvaluationTab
from digitlab.studio.tabs.network_image import LookedAt
from digitlab.studio.tabs.readers import SHIPPED, TRAINED
from digitlab.studio.tabs.threshold_card import THRESHOLDS, ThresholdView
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.card import Exports
from digitlab.studio.widgets.digit_views import ImageList
from digitlab.studio.widgets.tables import ConfusionMatrix, SortableTable
from tests.studio.steered import SMALL, wait_for_state
from tests.studio.visiting import User, only, until, visit

Scenario = Callable[[User, EvaluationTab, Page], Awaitable[None]]


def evaluate_on_page(trainer: Trainer, scenario: Scenario, *, tab: str = "evaluation") -> None:
    built: list[tuple[EvaluationTab, Page]] = []

    def root() -> None:
        page = Page(trainer, trainer.data, ui.context.client, LessonLink(tab=tab))
        built.append((EvaluationTab(page), page))
        page.follow()

    async def go(user: User) -> None:
        await scenario(user, *built[0])

    visit(root, go)


async def drawn(tab: EvaluationTab, what: str = "") -> None:
    await until(lambda: tab._drawn is not None and what in tab._drawn.what and tab._images.title)


def answers_of(trainer: Trainer, step: int | None = None) -> np.ndarray:
    """Return the answers to all test images by another way than the tab's."""
    weights = trainer.moment(step).weights
    return dl.Sequential.from_architecture(trainer.architecture, weights).predict(trainer.data.test.images)


@pytest.fixture
def trained(trainer: Trainer) -> Trainer:
    trainer.start(SMALL)
    wait_for_state(trainer, "finished")
    return trainer


def test_figures_are_those_of_the_newest_weights(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab, "batch 12 of 12")
        labels = trained.data.test.labels
        right = int((answers_of(trained).argmax(axis=1) == labels).sum())
        await user.should_see(f"{100 * right / len(labels):.2f} %")
        await user.should_see(f"mistakes in {len(labels)} images")
        cells = only(user, ConfusionMatrix).props["cells"]
        assert sum(int(cells[k][k]["n"]) for k in range(10)) == right

    evaluate_on_page(trained, scenario)


def test_every_cell_row_and_column_shows_exactly_its_images(trained: Trainer) -> None:
    labels, answers = trained.data.test.labels, answers_of(trained)
    predicted = answers.argmax(axis=1)
    choices = (
        [(r, c) for r in range(10) for c in range(10)] + [(k, None) for k in range(10)] + [(None, k) for k in range(10)]
    )

    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        images = tab._images
        for label, answer in choices:
            await tab._choose(Selection(label, answer))
            expected = {i for i in range(len(labels)) if label in (None, labels[i]) and answer in (None, predicted[i])}
            assert set(images.shown_numbers) == expected
            for item in images.props["items"]:
                np.testing.assert_allclose(item["answers"][0]["probabilities"], answers[item["index"]], atol=5e-5)

    evaluate_on_page(trained, scenario)


def test_chosen_cell_of_the_matrix_reaches_the_images(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        user.find(kind=ConfusionMatrix).trigger("choose", {"label": 1, "predicted": 1})
        await until(lambda: tab._images.title.startswith("label One, predicted One: "))

    evaluate_on_page(trained, scenario)


def test_chosen_class_of_the_table_marks_its_row_and_shows_its_images(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        user.find(kind=SortableTable).trigger("act", {"row": "7", "action": "choose"})
        await until(lambda: tab._images.title.startswith("label Seven: "))
        assert [row.key for row in only(user, SortableTable).rows if row.is_marked] == ["7"]
        assert only(user, ConfusionMatrix).chosen == Selection(label=7)
        user.find("Worst mistakes").click()
        await until(lambda: tab._images.title.startswith("mistakes: "))
        assert only(user, ConfusionMatrix).chosen == MISTAKES

    evaluate_on_page(trained, scenario)


def test_worst_mistakes_come_first(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        probabilities, labels = answers_of(trained), trained.data.test.labels
        wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
        worst = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
        assert tab._images.shown_numbers == worst[:24].tolist()

    evaluate_on_page(trained, scenario)


def test_untrained_network_is_evaluated_too(trainer: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab, "untrained")
        assert tab._drawn is not None
        assert tab._drawn.evaluation.n_images == 40

    evaluate_on_page(trainer, scenario)


def test_tab_follows_a_training_to_its_end(trainer: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab, "untrained")
        trainer.start(SMALL)
        await drawn(tab, "batch 12 of 12")
        assert tab._drawn is not None
        np.testing.assert_array_equal(tab._drawn.answers.probabilities, answers_of(trainer))

    evaluate_on_page(trainer, scenario)


def test_time_travel_evaluates_the_weights_of_that_step(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        page.set_cursor(5)
        await drawn(tab, "batch 5 of 12, time travel")
        assert tab._drawn is not None
        np.testing.assert_array_equal(tab._drawn.answers.probabilities, answers_of(trained, 5))
        page.set_cursor(None)
        await drawn(tab, "batch 12 of 12")

    evaluate_on_page(trained, scenario)


def test_choice_of_images_stays_while_the_answers_change(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        await tab._choose(Selection(label=2))
        page.set_cursor(1)
        await drawn(tab, "batch 1 of 12")
        await until(lambda: tab._images.title.startswith("label Two: "))
        assert set(tab._images.shown_numbers) == set(np.flatnonzero(trained.data.test.labels == 2).tolist())

    evaluate_on_page(trained, scenario)


def test_hidden_tab_computes_nothing(trained: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = evaluation.evaluate_training
    monkeypatch.setattr(evaluation, "evaluate_training", lambda *args: (asked.append(1), real(*args))[1])

    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        page.set_cursor(3)
        page.set_cursor(4)
        page.set_tab("Evaluation")
        await drawn(tab, "batch 4 of 12")
        assert len(asked) == 1

    evaluate_on_page(trained, scenario, tab="training")


def test_finished_run_is_evaluated_as_it_was_kept(trained: Trainer) -> None:
    assert trained.run is not None
    name = trained.run.name
    expected = dl.load_model(trained.run.path).predict(trained.data.test.images)
    trained.reset()

    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab, "untrained")
        page.evaluate_run(name)
        await drawn(tab, f"run {name}")
        assert tab._drawn is not None
        np.testing.assert_array_equal(tab._drawn.answers.probabilities, expected)
        await until(lambda: tab._model.value == name)
        page.evaluate_run("")
        await drawn(tab, "untrained")

    evaluate_on_page(trained, scenario)


def test_run_that_is_gone_is_told_in_a_sentence_and_the_tab_goes_on(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        page.evaluate_run("gone")
        await until(lambda: "There is no run 'gone'" in tab._status.text)
        assert "error" in tab._status.classes
        page.evaluate_run("")
        await until(lambda: tab._status.text.startswith("dense_baseline"))
        assert "error" not in tab._status.classes

    evaluate_on_page(trained, scenario)


def test_unforeseen_failure_is_a_visible_sentence(trained: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "evaluate_training", lambda *args: 1 / 0)

    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await until(lambda: tab._status.text.startswith("The evaluation failed: division by zero."))

    evaluate_on_page(trained, scenario)


def test_everything_on_the_page_is_about_one_set(mnist: dl.MnistData) -> None:
    trainer = Trainer(mnist, None)

    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        for n_images, n in ((500, 500), (None, 10_000)):
            page.evaluate_on(n_images)
            await until(lambda n=n: tab._drawn is not None and tab._drawn.evaluation.n_images == n)
            assert tab._drawn is not None
            found = tab._drawn.evaluation
            assert sum(map(sum, found.confusion_matrix)) == n
            assert sum(report.n_images for report in found.per_class) == n
            assert sum(b.n_images for b in found.calibration.bins) == n
            await until(lambda n=n: f"of {n:,} images" in tab._images.title)
            np.testing.assert_array_equal(mnist.test.images[tab._drawn.answers.places], tab._drawn.answers.images)
            np.testing.assert_array_equal(mnist.test.labels[tab._drawn.answers.places], tab._drawn.answers.labels)

    try:
        evaluate_on_page(trainer, scenario)
    finally:
        trainer.close()


def test_threshold_refuses_what_is_less_sure(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        card, probabilities, labels = tab._threshold, answers_of(trained), trained.data.test.labels
        confidence, is_wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
        await until(lambda: card.refused.title)
        for at in (0, THRESHOLDS.index(0.2), len(THRESHOLDS) - 1):
            user.find(kind=ThresholdView).trigger("choose", at)
            threshold = THRESHOLDS[at]
            refused, kept = confidence < threshold, (confidence >= threshold) & is_wrong
            titles = f"refused: {refused.sum()} image", f"mistakes that remain: {kept.sum()} image"
            for images, title in zip((card.refused, card.mistakes), titles, strict=True):
                await until(lambda images=images, title=title: images.title.startswith(title))
            assert set(card.refused.shown_numbers) <= set(np.flatnonzero(refused).tolist())
            assert set(card.mistakes.shown_numbers) <= set(np.flatnonzero(kept).tolist())
            point = card.view.props["points"][at]
            assert (point["answered"], point["right"]) == ((~refused).sum(), (~refused & ~is_wrong).sum())
        for nonsense in (-1, len(THRESHOLDS), 1.5, "0", None):
            user.find(kind=ThresholdView).trigger("choose", nonsense)
        assert card.at == len(THRESHOLDS) - 1

    evaluate_on_page(trained, scenario)


def test_slider_stands_at_rising_thresholds_that_people_can_say() -> None:
    assert list(THRESHOLDS) == sorted(set(THRESHOLDS))
    assert (THRESHOLDS[0], THRESHOLDS[-1]) == (0.0, 0.99999)
    assert {0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999} < set(THRESHOLDS)


def test_shipped_reader_is_evaluated_with_its_refusals(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        page.evaluate_run("/reader")
        await drawn(tab, "The shipped reader")
        await until(lambda: tab._threshold.refused.title)
        assert tab._drawn is not None
        answers = tab._drawn.answers
        is_refusal = answers.probabilities.argmax(axis=1) == 10
        points = tab._threshold.view.props["points"]
        assert points[0]["answered"] == (~is_refusal).sum()
        assert tab._drawn.evaluation.class_names[10] == "Not a digit"

    evaluate_on_page(trained, scenario)


def test_mistake_leads_to_the_tab_network_and_the_network_that_made_it(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        looked_at = page.own(LookedAt)
        for number, run_name, network in ((3, "", TRAINED), (5, "/reader", SHIPPED)):
            page.evaluate_run(run_name)
            await until(lambda name=run_name: tab._drawn is not None and ("reader" in tab._drawn.what) == bool(name))
            for nonsense in (-1, 10**9, "7", None):
                user.find(kind=ImageList).trigger("inside", nonsense)
            assert page.tab == "Evaluation"
            user.find(kind=ImageList).trigger("inside", number)
            await until(lambda: page.tab == "Network")
            assert (looked_at.number, looked_at.network) == (number, network)
            page.set_tab("Evaluation")

    evaluate_on_page(trained, scenario)


def test_what_is_saved_is_what_is_seen(trained: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        await drawn(tab)
        assert tab._drawn is not None
        found = tab._drawn.evaluation
        columns, rows = tab._class_table()
        assert [row[columns.index("accuracy")] for row in rows] == [report.accuracy for report in found.per_class]
        assert json.loads(json.dumps(tab._evaluation()))["n_correct"] == found.n_correct
        matrix = tab._matrix_exports()
        assert matrix.csv is not None
        assert [tuple(row[1:]) for row in matrix.csv()[1]] == list(found.confusion_matrix)
        records = json.loads(await Exports(csv=tab._image_table).content("json"))
        assert [record["image"] for record in records][:24] == tab._images.shown_numbers
        assert all(record["label"] != record["predicted"] for record in records)
        json.dumps(records)

    evaluate_on_page(trained, scenario)


def test_saving_before_there_is_anything_is_a_sentence(trainer: Trainer) -> None:
    async def scenario(user: User, tab: EvaluationTab, page: Page) -> None:
        with pytest.raises(DigitlabError, match="nothing to save yet"):
            tab._evaluation()

    evaluate_on_page(trainer, scenario, tab="training")
