"""The tab Network without a browser: what is sent, and of which network, image and moment it is."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from nicegui import ui

import digitlab as dl
from digitlab.explanation.inside_frames import account_of
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Dense, Flatten
from digitlab.network.zoo import architecture
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs.network_image import LookedAt
from digitlab.studio.tabs.network_map import STEPS
from digitlab.studio.tabs.network_side import START, STEP
from digitlab.studio.tabs.network_tab import NetworkTab
from digitlab.studio.tabs.read_desk import Desk
from digitlab.studio.tabs.readers import TRAINED, of_run
from digitlab.studio.trainer import Trainer
from tests.studio.steered import SMALL, train, wait_for_evaluation
from tests.studio.visiting import User, until, visit

LESSON = LessonLink(network="dense_baseline", tab="network")
TINY = Architecture([Conv2D(2, 3, activation="relu"), Flatten(), Dense(10, activation="softmax")], name="tiny")


@dataclass
class Tab:
    """The tab as a visitor has it, and all that was sent to it."""

    user: User
    page: Page
    tab: NetworkTab
    sent: list[tuple[Any, ...]] = field(default_factory=list)

    def calls(self, method: str) -> list[tuple[Any, ...]]:
        return [arguments for name, *arguments in self.sent if name == method]

    async def words(self, part: str) -> None:
        await until(lambda: any(part in shown[3] for shown in self.shown()[-1:]))

    def shown(self, side: int = 0) -> list[tuple[Any, ...]]:
        """Plan, frame, image and words of all that was sent of a side."""
        return [sent for position, *sent in self.calls("show") if position == side]


Scenario = Callable[[Tab], Awaitable[None]]


def look(trainer: Trainer, scenario: Scenario, lesson: LessonLink = LESSON, network: str = TRAINED) -> None:
    made: list[tuple[Page, NetworkTab, list[tuple[Any, ...]]]] = []

    def root() -> None:
        page = Page(trainer, trainer.data, ui.context.client, lesson)
        page.own(LookedAt).network = network
        tab, sent = NetworkTab(page), []

        async def drawn() -> float:
            return 1.0

        def call(name: str, *arguments: Any, timeout: float = 1.0) -> Awaitable[float]:
            sent.append((name, *arguments))
            return drawn() if name == "show" else _Nothing()

        tab.view.run_method = call  # type: ignore[method-assign, assignment]
        made.append((page, tab, sent))
        page.follow()
        tab._ready()

    async def go(user: User) -> None:
        await scenario(Tab(user, *made[-1]))

    visit(root, go)


class _Nothing:
    def __await__(self) -> Any:
        yield from ()


def test_before_the_first_training_it_is_the_network_of_the_next_one(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        plan, frame, image, words = tab.shown()[-1]
        assert plan["name"] == "dense_baseline"
        assert image
        model = dl.Sequential.from_architecture(tab.page.network, seed=tab.page.config.seed)
        inside = dl.look_inside(model, trainer.data.test.images[0])
        assert frame["probabilities"] == inside.probabilities.tolist()
        assert words.startswith("Test image 0 is Seven. The network answers")
        tab.page.set_settings(architecture=TINY)
        await until(lambda: tab.shown()[-1][0] and tab.shown()[-1][0]["name"] == "tiny")

    look(trainer, scenario)


def test_it_follows_the_step_that_is_looked_at_and_keeps_what_is_chosen(trainer: Trainer) -> None:
    train(trainer, SMALL, architecture=TINY)

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        assert tab.shown()[-1][0]["name"] == "tiny"
        tab.tab._choose({"side": 0, "layer": 0, "unit": [4, 5, 1], "read": None})
        side, account = tab.calls("take")[-1]
        assert (side, account) == (0, account_of(tab.tab.sides[0].shown.inside, 0, (4, 5, 1)))  # type: ignore[union-attr]
        for step in (0, 3, 12):
            tab.page.set_cursor(step)
            await tab.words(f"after batch {step}." if step else "before the first batch")
            plan, frame, image, _ = tab.shown()[-1]
            assert (plan, image) == (None, None)  # which the browser has
            assert (frame["account"]["layer"], frame["account"]["unit"]) == (0, [4, 5, 1])
            model = dl.Sequential.from_architecture(TINY, trainer.moment(step).weights)
            inside = dl.look_inside(model, trainer.data.test.images[0])
            assert frame["account"]["output"] == inside.layers[0].outputs[4, 5, 1]

    look(trainer, scenario)


def test_what_a_browser_makes_up_is_passed_over(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        chosen = replace(tab.tab.sides[0].chosen)  # type: ignore[type-var]
        for layer, unit in ((-1, [0]), (99, [0]), (0, [-1]), (0, [10**9]), (0, []), (0, "0"), (None, [0]), (0, [0.5])):
            tab.tab._choose({"side": 0, "layer": layer, "unit": unit, "read": "x"})
            await tab.tab._like({"side": 0, "layer": layer, "unit": unit})
        for side in (2, -1, True, None, 1):
            tab.tab._choose({"side": side, "layer": 0, "unit": [0], "read": None})
        assert tab.tab.sides[0].chosen == chosen
        assert tab.calls("take") == []

    look(trainer, scenario)


def test_nothing_is_computed_while_another_tab_is_shown(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        tab.page.set_tab("Runs")
        n = len(tab.sent)
        tab.tab.looked_at.show_test(3)
        tab.page.tell("generation")
        assert len(tab.sent) == n
        tab.page.set_tab("Network")
        await tab.words("Test image 3 is")

    look(trainer, scenario)


def test_a_mistake_is_found_and_no_other(trainer: Trainer) -> None:
    train(trainer, SMALL, architecture=TINY)

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        model = dl.Sequential.from_architecture(TINY, trainer.moment().weights)
        test = trainer.data.test
        wrong = np.flatnonzero(model.predict(test.images).argmax(1) != test.labels)
        expected = [*wrong[wrong > 0], *wrong[wrong == 0]]
        await tab.tab._next_mistake()
        assert tab.tab.looked_at.number == expected[0]
        await tab.words(f"Test image {expected[0]} is")

    look(trainer, scenario)


def test_what_cannot_be_shown_is_told(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        tab.page.set_settings(architecture=architecture("finder_cnn"))
        await until(lambda: tab.calls("tell"))
        assert "maps" in tab.calls("tell")[-1][1]

    look(trainer, scenario)


def test_what_speaks_for_the_answer_is_told_of_what_is_shown(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        await tab.tab._why({"side": 0})
        side, found, words = tab.calls("prove")[-1]
        assert (side, len(found) >= 3) == (0, True)
        await tab.tab._why({"side": 0, "target": 4})
        assert tab.calls("prove")[-1][1][-1]["title"] == "What would make it Four"
        for made_up in (99, -1, "4", True):
            await tab.tab._why({"side": 0, "target": made_up})
            assert [each["title"] for each in tab.calls("prove")[-1][1]] == [each["title"] for each in found]
        assert "Test image 0 is Seven, before the first batch" in words

    look(trainer, scenario)


# ---- two sides ----


async def put_beside(tab: Tab, choice: str) -> None:
    await until(lambda: choice in tab.tab._options[1])
    tab.tab._networks[1].set_value(choice)
    await until(lambda: tab.tab.sides[1].choice == choice and tab.shown(1))


def test_two_moments_stand_beside_each_other_and_the_same_number_is_taken_apart(trainer: Trainer) -> None:
    train(trainer, SMALL, architecture=TINY)

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        tab.tab._choose({"side": 0, "layer": 0, "unit": [4, 5, 1], "read": 0})
        await put_beside(tab, START)
        plan, frame, image, words = tab.shown(1)[-1]
        assert plan["name"] == "tiny"
        assert image
        assert words.endswith("before the first batch.")
        image = trainer.data.test.images[0]
        ways = [
            dl.look_inside(dl.Sequential.from_architecture(TINY, trainer.moment(at).weights), image) for at in (12, 0)
        ]
        assert frame["account"] == account_of(ways[1], 0, (4, 5, 1), 0)
        for side, unit in ((0, (7, 7, 0)), (1, (3, 2, 1))):
            tab.tab._choose({"side": side, "layer": 0, "unit": list(unit), "read": None})
            told = dict(tab.calls("take")[-2:])
            assert told == {k: account_of(way, 0, unit) for k, way in enumerate(ways)}
        tab.tab._networks[1].set_value(STEP)
        tab.tab._step_second(5)
        await until(lambda: "after batch 5." in tab.shown(1)[-1][3])
        plan, _, image, _ = tab.shown(1)[-1]
        assert (plan, image) == (None, None)  # which the browser has
        tab.tab.looked_at.show_test(4)
        await until(lambda: all("Test image 4 is" in tab.shown(side)[-1][3] for side in (0, 1)))
        tab.tab._networks[1].set_value("")
        await until(lambda: tab.calls("drop") == [[1]])
        n = len(tab.shown(1))
        tab.page.set_cursor(3)
        await tab.words("after batch 3.")
        assert len(tab.shown(1)) == n

    look(trainer, scenario)


def test_a_run_of_another_network_stands_beside_and_keeps_a_number_of_its_own(trainer: Trainer) -> None:
    train(trainer, SMALL)
    wait_for_evaluation(trainer)
    run = trainer.run
    assert run is not None
    name = run.path.name
    train(trainer, SMALL, architecture=TINY)

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        await put_beside(tab, of_run(name))
        plan, frame, _, words = tab.shown(1)[-1]
        model = dl.Sequential.from_checkpoint(run.load_model())
        assert (plan["name"], frame["label"]) == (
            "dense_baseline",
            int(model.predict(trainer.data.test.images[:1]).argmax()),
        )
        assert f"Run {name} answers" in words
        tab.tab._choose({"side": 0, "layer": 0, "unit": [1, 2, 0], "read": None})
        assert [side for side, _ in tab.calls("take")] == [0]

    look(trainer, scenario)


# ---- which image ----


def test_other_tabs_lead_here_with_a_mistake_and_the_network_that_made_it(trainer: Trainer) -> None:
    train(trainer, SMALL)
    wait_for_evaluation(trainer)
    assert trainer.run is not None
    name = trainer.run.path.name

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        tab.page.set_tab("Evaluation")
        tab.page.own(LookedAt).open_mistake(7, name)
        assert tab.page.tab == "Network"
        await tab.words(f"Test image 7 is Nine. Run {name} answers")
        assert tab.tab._networks[0].value == of_run(name)
        tab.page.own(LookedAt).open_mistake(10**9)
        assert tab.tab.looked_at.number == 7
        tab.page.own(LookedAt).open_mistake(3)
        await tab.words("Test image 3 is Zero. The network answers")

    look(trainer, scenario)


def test_a_run_that_was_chosen_before_the_tab_was_opened_is_shown(trainer: Trainer) -> None:
    train(trainer, SMALL)
    wait_for_evaluation(trainer)
    assert trainer.run is not None
    name = trainer.run.path.name

    async def scenario(tab: Tab) -> None:
        await tab.words(f"Run {name} answers")
        tab.tab._networks[0].set_value(TRAINED)
        await tab.words("The network answers")

    look(trainer, scenario, network=of_run(name))


def test_what_is_found_on_a_photo_is_offered_and_goes_in_as_the_reader_framed_it(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.words("before the first batch")
        desk = tab.page.own(Desk)
        digit = trainer.data.test.images[0]
        await desk.take_drawing(255 - np.pad(np.kron(digit, np.ones((5, 5), np.uint8)), 30))
        [(_, mark)] = tab.tab.looked_at.glyphs()
        picker = tab.tab.picker
        assert picker.digits is None
        assert [picker.toggle(), picker.toggle(), picker.toggle()] == [True, False, True]
        assert [shown.text for shown in picker.digits.digits] == ["7"]  # type: ignore[attr-defined]
        picker._choose(9)
        picker._choose(0)
        await tab.words("A digit of your drawing, read as 7. The network answers")
        shown = tab.tab.sides[0].shown
        assert shown is not None
        np.testing.assert_array_equal(shown.image, mark.image)  # type: ignore[arg-type]
        tab.page.own(LookedAt).show_test(0)
        sheet = desk.drawn
        assert sheet is not None
        tab.page.own(LookedAt).open_mark(sheet, mark)  # from the tab Read: through the network that read it
        await tab.words("A digit of your drawing, read as 7. The shipped reader answers Seven")

    look(trainer, scenario)


def test_a_sheet_without_ink_goes_through_the_network_too(trainer: Trainer) -> None:
    async def scenario(tab: Tab) -> None:
        tab.user.find("Empty sheet").click()
        await tab.words("A sheet without ink. The network answers")
        await tab.tab._why({"side": 0})
        assert tab.calls("prove")[-1][2].startswith("Why")

    look(trainer, scenario)


def test_what_a_map_likes_best_is_told_when_asked_for(trainer: Trainer) -> None:
    train(trainer, SMALL, architecture=TINY)

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        await tab.tab._like({"side": 0, "layer": 0, "unit": [3, 3, 1]})
        side, found = tab.calls("likes")[-1]
        model = dl.Sequential.from_architecture(TINY, trainer.moment().weights)
        assert (side, found["title"]) == (0, "What map 1 of conv2d likes best")
        pixels = np.frombuffer(b64decode(found["values"]["content"]), "<f8").reshape(28, 28, 1)
        np.testing.assert_array_equal(pixels, dl.favourite_input(model, "conv2d", 1))
        await tab.tab._like({"side": 0, "layer": 2, "unit": [7]})
        assert tab.calls("likes")[-1][1]["title"] == "What Seven likes best"

    look(trainer, scenario)


# ---- the map ----


def test_the_map_has_every_image_at_its_place_and_leads_into_the_network(trainer: Trainer) -> None:
    train(trainer, SMALL, architecture=TINY)

    async def scenario(tab: Tab) -> None:
        await tab.words("after batch 12")
        test, sent = trainer.data.test, []
        card = tab.tab.map
        card.view.run_method = lambda *call: sent.append(call)  # type: ignore[method-assign, assignment]
        card._look(0)
        await card.draw()
        [(_, data)] = sent
        n = len(test)
        model = dl.Sequential.from_architecture(TINY, trainer.moment().weights)
        found = dl.answer_map(model, test.images)
        places = np.frombuffer(b64decode(data["places"]), "<i2").reshape(n, 2) * np.abs(found.points).max() / STEPS
        np.testing.assert_allclose(places, found.points, atol=np.abs(found.points).max() / STEPS)
        assert b64decode(data["labels"]) == bytes(test.labels.tolist())
        assert b64decode(data["predicted"]) == bytes(found.predicted.tolist())
        for made_up in (-1, n):
            card._look(made_up)
            card._choose(made_up)
        card._look(2)
        assert sent[1:] == [("picture", 2, b64encode(test.images[2].tobytes()).decode())]
        card._choose(5)
        await tab.words("Test image 5 is")
        assert card._table()[1][5][:3] == (5, int(test.labels[5]), int(found.predicted[5]))

    look(trainer, scenario)
