"""The tab Input Data: what it shows of a split, and what each of its controls does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from nicegui import ui

import digitlab as dl
from digitlab.data.mnist import Split
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs import input_data_tab as input_data
from digitlab.studio.tabs.input_data_tab import class_counts, draw_examples, mean_images
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.digit_views import ExampleDigits, PixelView
from digitlab.values import CLASS_NAMES
from tests.studio.visiting import User, only, until, visit


@pytest.fixture
def root(trainer: Trainer, digits: dl.MnistData) -> Callable[[], None]:
    def build() -> None:
        input_data.InputDataTab(Page(trainer, digits, ui.context.client, LessonLink()))

    return build


def grids(user: User) -> tuple[ExampleDigits, ExampleDigits]:
    """Return the examples and the mean images."""
    found = sorted(user.find(kind=ExampleDigits).elements, key=lambda element: element.id)
    return found[0], found[1]


def labels(user: User) -> list[str]:
    return [digit.text for digit in grids(user)[0].digits]


def trigger(user: User, element: ui.element, event: str, args: object) -> None:
    """Do something with one of several elements."""
    interaction = user.find(kind=type(element))
    interaction.elements = {element}
    interaction.trigger(event, args)


def shown_pixels(user: User) -> list[int]:
    return list(only(user, PixelView).props["pixels"])


async def drawn(user: User, n: int = 20) -> None:
    await until(lambda: len(grids(user)[0].digits) == n and len(grids(user)[1].digits) == 10)


def count_table(user: User) -> str:
    return next(element.content for element in user.find(kind=ui.html).elements if "# Samples" in element.content)


# Statistics


def test_counts_and_means_are_those_of_the_split(digits: dl.MnistData) -> None:
    split = digits.training
    assert class_counts(split).tolist() == [int((split.labels == k).sum()) for k in range(10)]
    for k in range(10):
        mean = split.images[split.labels == k].astype(np.float64).mean(axis=0)
        assert np.abs(mean_images(split)[k] - mean).max() <= 0.5


def test_a_class_without_images_has_a_black_mean() -> None:
    split = Split("test", np.full((2, 28, 28), 9, np.uint8), np.array([3, 3], np.uint8))
    assert mean_images(split)[4].max() == 0
    assert (mean_images(split)[3] == 9).all()


def test_examples_are_drawn_without_replacement_and_more_begin_with_fewer(digits: dl.MnistData) -> None:
    twenty, forty = draw_examples(digits.training, 20, 3), draw_examples(digits.training, 40, 3)
    assert (forty[:20] == twenty).all()
    assert len(set(forty.tolist())) == 40
    assert twenty.tolist() != draw_examples(digits.training, 20, 4).tolist()


def test_examples_of_a_class_are_of_that_class_and_end_with_it(digits: dl.MnistData) -> None:
    chosen = draw_examples(digits.test, 1000, 0, label=7)
    assert (digits.test.labels[chosen] == 7).all()
    assert len(chosen) == int((digits.test.labels == 7).sum())


# The tab


def test_twenty_digits_with_their_labels_are_shown_at_first(root: Callable[[], None], digits: dl.MnistData) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        expected = draw_examples(digits.training, 20, 0)
        assert labels(user) == [str(label) for label in digits.training.labels[expected]]
        assert grids(user)[0].digits[0].says == f"{CLASS_NAMES[int(labels(user)[0])]}, image {expected[0]}"
        await user.should_see("20 of 200 training images, drawn with seed 0")

    visit(root, scenario)


def test_shuffling_takes_the_next_seed_and_shows_it(root: Callable[[], None], digits: dl.MnistData) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        user.find("Shuffle again").click()
        await user.should_see("drawn with seed 1")
        assert only(user, ui.number).value == 1
        assert labels(user) == [str(label) for label in digits.training.labels[draw_examples(digits.training, 20, 1)]]

    visit(root, scenario)


def test_a_seed_that_is_typed_is_used_and_an_empty_field_is_not(root: Callable[[], None]) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        field = only(user, ui.number)
        field.value = 77
        await user.should_see("drawn with seed 77")
        for unusable in (None, -1, 0.5, 1e300):
            field.value = unusable
        await user.should_see("drawn with seed 77")

    visit(root, scenario)


def test_choosing_a_class_shows_only_that_class(root: Callable[[], None], digits: dl.MnistData) -> None:
    n = int((digits.training.labels == 7).sum())

    async def scenario(user: User) -> None:
        await drawn(user)
        only(user, ui.select).value = 7
        await user.should_see(f"of {n} training images, class Seven")
        assert set(labels(user)) == {"7"}

    visit(root, scenario)


def test_more_shows_twenty_more_until_there_are_no_more(root: Callable[[], None]) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        only(user, ui.toggle).value = "test"
        await user.should_see("20 of 40 test images")
        before = labels(user)
        user.find("20 more").click()
        await user.should_see("40 of 40 test images")
        assert labels(user)[:20] == before
        assert not next(iter(user.find("20 more").elements)).enabled

    visit(root, scenario)


def test_another_split_changes_examples_counts_and_means(root: Callable[[], None], digits: dl.MnistData) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        sprite = grids(user)[1].props["sprite"]
        only(user, ui.toggle).value = "validation"
        await user.should_see("All 60 validation images")
        assert f">{class_counts(digits.validation)[3]:,}<" in count_table(user)
        assert grids(user)[1].props["sprite"] != sprite

    visit(root, scenario)


def test_a_chosen_digit_is_shown_large_with_its_pixels(root: Callable[[], None], digits: dl.MnistData) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        trigger(user, grids(user)[0], "open", 4)
        index = int(draw_examples(digits.training, 20, 0)[4])
        assert shown_pixels(user) == digits.training.images[index].ravel().tolist()
        await user.should_see(f"{CLASS_NAMES[digits.training.labels[index]]}: training image {index}")
        user.find("Next").click()
        following = int(draw_examples(digits.training, 20, 0)[5])
        assert shown_pixels(user) == digits.training.images[following].ravel().tolist()

    visit(root, scenario)


def test_the_first_digit_has_none_before_and_the_last_none_after(root: Callable[[], None]) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        trigger(user, grids(user)[0], "open", 0)
        assert not next(iter(user.find("Previous").elements)).enabled
        trigger(user, grids(user)[0], "open", 19)
        assert not next(iter(user.find("Next").elements)).enabled

    visit(root, scenario)


def test_a_mean_image_is_shown_large_too(root: Callable[[], None], digits: dl.MnistData) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        trigger(user, grids(user)[1], "open", 3)
        assert shown_pixels(user) == mean_images(digits.training)[3].ravel().tolist()
        await user.should_see("Mean of all Three")

    visit(root, scenario)


def test_what_no_digit_can_send_opens_nothing(root: Callable[[], None]) -> None:
    async def scenario(user: User) -> None:
        await drawn(user)
        for nonsense in (-1, 20, 10**30, "4", None, 1.5, True, {"i": 1}):
            trigger(user, grids(user)[0], "open", nonsense)
        assert shown_pixels(user) == []

    visit(root, scenario)


def test_counts_are_saved_as_table_document_and_picture(trainer: Trainer, digits: dl.MnistData) -> None:
    async def scenario(user: User) -> None:
        with user:
            tab = input_data.InputDataTab(Page(trainer, digits, user.client, LessonLink()))
        columns, rows = tab.counts_rows()
        assert columns == ("Class", "# Samples", "Share")
        assert [row[1] for row in rows] == class_counts(digits.training).tolist()
        assert sum(row[2] for row in rows) == pytest.approx(1)
        assert tab.counts_document()["counts"]["Three"] == int(class_counts(digits.training)[3])
        assert tab.counts_svg().startswith("<svg")

    visit(lambda: None, scenario)


def test_the_licence_is_told_where_the_data_is_the_packaged_one(root: Callable[[], None]) -> None:
    async def scenario(user: User) -> None:
        facts = next(
            element.content for element in user.find(kind=ui.html).elements if "Fingerprint" in element.content
        )
        assert "Creative Commons Attribution-ShareAlike 3.0" in facts
        assert "200 training, 60 validation, 40 test" in facts

    visit(root, scenario)


def test_another_data_set_is_told_by_its_source(digits: dl.MnistData) -> None:
    trainer = Trainer(digits, None, data_folder="fashion")

    def build() -> None:
        input_data.InputDataTab(Page(trainer, digits, ui.context.client, LessonLink()))

    async def scenario(user: User) -> None:
        facts = next(
            element.content for element in user.find(kind=ui.html).elements if "Fingerprint" in element.content
        )
        assert "a few digits" in facts
        assert "Creative Commons" not in facts

    visit(build, scenario)
    trainer.close()
