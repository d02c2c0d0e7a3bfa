"""The tab Network in a real browser: every number adds up there as well, at every moment of a training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.explanation.inside import Inside
from digitlab.explanation.inside_frames import MOST_FRAME_BYTES
from digitlab.network.zoo import architecture
from digitlab.training.config import TrainConfig
from tests.browser.test_inside_page import assert_adds_up, number, shown
from tests.browser.test_read import THREE, draw

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")
expect = api.expect
# Compiling the kernels is waited for, too.
expect.set_options(timeout=60_000)

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
SMALL = "?tab=network&train_images=640&validation_images=50&batch_size=20&epochs=1"
SEED = TrainConfig().seed


@pytest.fixture(scope="module")
def test_images() -> Any:
    return dl.MnistData.load().test


def untrained(image: Any, name: str = "codelab_cnn") -> Inside:
    return dl.look_inside(dl.Sequential.from_architecture(architecture(name), seed=SEED, threads=1), image)


@pytest.fixture
def opened(visit: Visit) -> Iterator[Callable[..., Any]]:
    """Open the tab, and leave no training behind."""
    pages: list[Any] = []

    def go(query: str = SMALL, **settings: Any) -> Any:
        page = visit(query, **settings)
        pages.append(page)
        page.locator(".arithmetic h2").first.wait_for()
        return page

    yield go
    for page in pages:
        page.get_by_role("tab", name="Training").click()
        reset = page.get_by_role("button", name="Reset", exact=True)
        full = page.get_by_role("switch", name="Full speed")
        if full.get_attribute("aria-checked") == "false":
            full.click()
        if reset.get_attribute("aria-disabled") != "true":
            reset.click()
            expect(page.locator(".studio-status")).to_have_text("Nothing is being trained.")


def words(page: Any) -> Any:
    return page.locator(".side-words.of-0 > span")


def unit_of(page: Any) -> tuple[int, ...]:
    heading = page.locator(".arithmetic h2").text_content()
    return tuple(int(word) for word in heading.partition("=")[0].replace(",", " ").split() if word.isdecimal())


def press(page: Any, key: str) -> None:
    """Press a key that leads to another number, and wait until that is told."""
    heading = page.locator(".arithmetic h2")
    before = heading.text_content().partition("=")[0]
    page.keyboard.press(key)
    expect(heading).not_to_contain_text(before + "=")


def start(page: Any, *, speed: str | None = None) -> None:
    page.get_by_role("tab", name="Training").click()
    expect(page.get_by_role("switch", name="Full speed")).to_be_visible()  # the tab Network has a Start of its own
    begin = page.get_by_role("button", name="Start", exact=True)
    expect(begin).not_to_have_attribute("aria-disabled", "true")
    if speed is not None:
        page.get_by_label("Speed", exact=True).fill(speed)
        expect(page.get_by_role("switch", name="Full speed")).not_to_be_checked()
    begin.click()
    expect(begin).to_have_attribute("aria-disabled", "true")
    page.get_by_role("tab", name="Network").click()


def test_every_number_of_every_layer_adds_up_with_the_keyboard_alone(
    opened: Callable[..., Any], test_images: Any
) -> None:
    page, inside = opened(), untrained(test_images.images[0])
    assert unit_of(page)[2] == 0
    for layer in inside.layers[:-1]:
        shape, name = layer.outputs.shape, layer.layer.name
        label = f"{name}, " + ("map 0" if len(shape) == 3 else f"all {shape[0]} numbers")
        page.locator(f"canvas[aria-label='{label}']").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".arithmetic h2 b")).to_have_text(name)
        for key in ("ArrowRight", "ArrowDown", *(("PageDown", "ArrowUp", "ArrowLeft") if len(shape) == 3 else ())):
            press(page, key)
            assert_adds_up(page, inside, name, unit_of(page))
    page.locator("button.answer").nth(4).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".arithmetic h2 b")).to_have_text("dense")
    assert_adds_up(page, inside, "dense", (4,))
    answers = [number(text) for text in page.locator(".answer span:last-child").all_text_contents()]
    assert answers == pytest.approx((100 * inside.probabilities).tolist(), abs=0.051)


def test_any_of_the_maps_that_are_read_can_be_chosen(opened: Callable[..., Any], test_images: Any) -> None:
    page, inside = opened(), untrained(test_images.images[0])
    page.locator("canvas[aria-label='conv2d_1, map 3']").focus()
    page.keyboard.press("Enter")
    select = page.get_by_label("Which map is read")
    select.wait_for()
    why = inside.why("conv2d_1", *unit_of(page))
    select.focus()
    for read in (5, 2):
        select.select_option(str(read))
        own = [term.value for term in why.terms if term.place[2] == read]
        expect(page.locator(".channel-sum")).to_have_text(
            re.compile(f"{sum(t.product for t in why.terms if t.place[2] == read):.3f}".replace("-", "−"))
        )
        assert shown(page, ".products > div:first-child td") == pytest.approx(own, abs=0.006)
        assert select.evaluate("e => e === document.activeElement")
        assert_adds_up(page, inside, "conv2d_1", unit_of(page))


def test_images_are_chosen_by_number_and_steps_and_a_mistake_is_found(
    opened: Callable[..., Any], test_images: Any
) -> None:
    page = opened()
    expect(words(page)).to_contain_text("Test image 0 is")
    page.get_by_role("button", name="Next", exact=True).click()
    expect(words(page)).to_contain_text("Test image 1 is")
    page.get_by_label("Test image", exact=True).fill("4")
    expect(words(page)).to_contain_text("Test image 4 is")
    assert_adds_up(page, untrained(test_images.images[4]), "conv2d", unit_of(page))
    page.get_by_role("button", name="Next mistake", exact=True).click()
    model = dl.Sequential.from_architecture(architecture("codelab_cnn"), seed=SEED, threads=1)
    wrong = np.flatnonzero(model.predict(test_images.images[:100]).argmax(1) != test_images.labels[:100])
    expect(words(page)).to_contain_text(f"Test image {wrong[wrong > 4][0]} is")
    page.get_by_role("button", name="My drawing", exact=True).click()
    expect(page.get_by_text("Draw a digit in the tab Read")).to_be_visible()


def test_what_is_drawn_goes_through_the_network(opened: Callable[..., Any]) -> None:
    page = opened()
    page.get_by_role("tab", name="Read").click()
    page.locator(".draw-pad canvas").wait_for()
    draw(page, THREE)
    expect(page.locator(".drawn-text")).to_have_text("3")
    page.get_by_role("tab", name="Network").click()
    page.get_by_role("button", name="My drawing", exact=True).click()
    expect(words(page)).to_contain_text("Your drawing. The network answers")
    page.get_by_role("button", name="Next", exact=True).click()
    expect(words(page)).to_contain_text("Test image 1 is")
    page.get_by_role("tab", name="Read").click()
    page.get_by_role("button", name="Look inside", exact=True).click()
    expect(words(page)).to_contain_text("A digit of your drawing, read as 3. The shipped reader answers Three")


def test_it_lives_while_a_training_runs_and_the_chosen_number_stays(opened: Callable[..., Any]) -> None:
    page = opened()
    page.locator("canvas[aria-label='conv2d_1, map 3']").focus()
    page.keyboard.press("Enter")
    select = page.get_by_label("Which map is read")
    select.wait_for()
    chosen, read = unit_of(page), select.input_value()
    page.evaluate(
        "() => { window.frames_ = []; const run = window.runMethod; window.runMethod = (id, name, args) => {"
        " if (name === 'show') window.frames_.push(JSON.stringify(args).length); return run(id, name, args); } }"
    )
    start(page, speed="5")
    select.wait_for()  # what is hidden cannot have the focus
    select.focus()
    batches = [0]
    for ahead in (1, 3, 4):
        least = batches[-1] + ahead  # a busy machine may have drawn later batches already
        page.wait_for_function(
            "least => Number(/after batch ([\\d,]+)/.exec(document.querySelector('.side-words').innerText)?.[1])"
            " >= least",
            arg=least,
        )
        batches.append(int(re.search(r"after batch (\d+)", words(page).inner_text())[1]))
        assert (unit_of(page), select.input_value()) == (chosen, read)
    assert batches == sorted(set(batches))
    assert select.evaluate("e => e === document.activeElement")
    sizes = page.evaluate("window.frames_")
    assert sizes
    assert max(sizes) <= MOST_FRAME_BYTES + 300  # and a sentence
    assert not page.evaluate("document.querySelector('.inside [role=status]').textContent.includes('batch')")


def test_the_time_slider_shows_the_numbers_of_a_moment(opened: Callable[..., Any], test_images: Any) -> None:
    page = opened()
    start(page)
    expect(page.locator(".studio-status")).to_contain_text("of all 10,000 test images")
    expect(words(page)).to_contain_text("after batch 32.")
    slider = page.get_by_role("tabpanel", name="Network").get_by_label("Time travel")
    slider.fill("0")
    expect(words(page)).to_contain_text("before the first batch")
    inside = untrained(test_images.images[0])
    assert_adds_up(page, inside, "conv2d", unit_of(page))
    answers = [number(text) for text in page.locator(".answer span:last-child").all_text_contents()]
    assert answers == pytest.approx((100 * inside.probabilities).tolist(), abs=0.051)
    slider.fill("7")
    expect(words(page)).to_contain_text("after batch 7")
    page.get_by_role("tabpanel", name="Network").get_by_role("button", name="Live").click()
    expect(words(page)).to_contain_text("after batch 32.")


def test_what_speaks_for_an_answer_is_shown_when_asked_for(opened: Callable[..., Any]) -> None:
    page = opened()
    assert page.locator(".evidence figure").count() == 0
    page.get_by_label("What it would become by the smallest change").select_option("Nine")
    page.get_by_role("button", name="Show what speaks for it").click()
    expect(page.locator(".evidence figure")).to_have_count(4)
    expect(page.locator(".evidence figure").last).to_contain_text("What would make it Nine")
    expect(page.locator(".evidence h2")).to_contain_text("Test image 0 is")
    expect(page.get_by_role("button", name="Show what speaks for it")).not_to_have_attribute("aria-disabled", "true")


def test_the_answer_leads_to_its_reasons_which_go_with_the_image(opened: Callable[..., Any]) -> None:
    page = opened()
    page.get_by_role("button", name="Why this answer?").press("Enter")
    heading = page.locator(".evidence h2")
    expect(heading).to_be_focused()
    expect(heading).to_be_in_viewport()
    expect(heading).to_contain_text("Test image 0 is")
    expect(page.locator(".evidence figure")).to_have_count(4)
    page.get_by_role("button", name="Next", exact=True).click()
    expect(words(page)).to_contain_text("Test image 1 is")
    expect(page.locator(".evidence figure")).to_have_count(0)
    expect(heading).to_have_text("Why this answer")


def test_a_training_is_taken_batch_by_batch_where_its_network_is_seen(opened: Callable[..., Any]) -> None:
    page = opened()
    step = page.get_by_role("button", name="Step one batch", exact=True)
    for n in (1, 2):
        expect(step).not_to_have_attribute("aria-disabled", "true")
        step.press("Enter")
        expect(words(page)).to_contain_text(f"after batch {n}.")
    expect(step).to_be_focused()
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(words(page)).to_contain_text("after batch 32.")


COLOURS = "e => [...e.getContext('2d').getImageData(1, 1, 1, 1).data].slice(0, 3)"


def test_light_and_dark_on_a_phone(opened: Callable[..., Any]) -> None:
    page = opened(width=390, height=844, color_scheme="dark", reduced_motion="reduce")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    map_ = page.locator("canvas[aria-label='conv2d, map 1']")
    assert max(map_.evaluate(COLOURS)) < 90
    page.emulate_media(color_scheme="light")
    page.wait_for_function(
        f"() => Math.min(...({COLOURS})(document.querySelector(\"[aria-label='conv2d, map 1']\"))) > 200"
    )
    assert page.evaluate(
        "[...document.querySelectorAll('.studio-tab')].every((tab) => tab.getBoundingClientRect().right <= 391)"
    )


def test_another_network_is_shown_before_it_is_trained(opened: Callable[..., Any], test_images: Any) -> None:
    page = opened(SMALL + "&network=dense_baseline")
    inside = untrained(test_images.images[0], "dense_baseline")
    assert_adds_up(page, inside, inside.layers[0].layer.name, unit_of(page))
    page.locator("canvas[aria-label='dense, all 8 numbers']").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".arithmetic h2 b")).to_have_text("dense")
    assert_adds_up(page, inside, "dense", unit_of(page))


def beside(page: Any, name: str) -> None:
    """Choose what stands beside the network."""
    page.get_by_label("Beside it").click()
    page.get_by_role("option", name=name, exact=True).click()


def test_before_and_after_the_training_stand_beside_each_other_in_small_frames(
    opened: Callable[..., Any], test_images: Any
) -> None:
    page = opened()
    start(page)
    expect(words(page)).to_contain_text("after batch 32.")
    page.evaluate(
        "() => { window.frames_ = []; const run = window.runMethod; window.runMethod = (id, name, args) => {"
        " if (name === 'show') window.frames_.push(JSON.stringify(args).length); return run(id, name, args); } }"
    )
    beside(page, "The training here, before its first batch")
    expect(page.locator(".side-words.of-1")).to_contain_text("B")
    expect(page.locator(".side-words.of-1")).to_contain_text("before the first batch.")
    page.locator(".network.of-1 canvas[aria-label='conv2d_1, map 5']").focus()
    page.keyboard.press("Enter")
    for side in (0, 1):
        expect(page.locator(f".arithmetic.of-{side} h2")).to_contain_text("conv2d_1 row")
        expect(page.locator(f".arithmetic.of-{side} h2")).to_contain_text("map 5")
    heading = page.locator(".arithmetic.of-1 h2").text_content()
    unit = tuple(int(word) for word in heading.partition("=")[0].replace(",", " ").split() if word.isdecimal())
    inside = untrained(test_images.images[0])
    assert_adds_up(page, inside, "conv2d_1", unit, 1)
    answers = [
        [number(text) for text in page.locator(f".network.of-{side} .part").all_text_contents()] for side in (0, 1)
    ]
    assert answers[1] == pytest.approx((100 * inside.probabilities).tolist(), abs=0.051)
    gains = [number(text.lstrip("+±")) for text in page.locator(".network.of-0 .gain").all_text_contents()]
    assert gains == pytest.approx([a - b for a, b in zip(*answers, strict=True)], abs=0.16)
    page.get_by_role("button", name="Next", exact=True).click()
    for side in (0, 1):
        expect(page.locator(f".side-words.of-{side}")).to_contain_text("Test image 1 is")
    page.get_by_role("tabpanel", name="Network").get_by_label("Time travel").fill("9")
    expect(words(page)).to_contain_text("after batch 9.")
    frames = page.evaluate("window.frames_")[1:]  # the first brings the plan
    assert 0 < max(frames) <= MOST_FRAME_BYTES + 1_400  # with an image and a sentence: 10 kB
    beside(page, "Nothing")
    expect(page.locator(".arithmetic")).to_have_count(1)


def test_a_digit_of_a_photo_goes_in_and_what_a_map_likes_best_is_shown(opened: Callable[..., Any]) -> None:
    page = opened()
    page.get_by_role("button", name="From a photo").click()
    page.get_by_role("tabpanel", name="Network").get_by_role("button", name="Show an example").click()
    digit = page.get_by_role("button", name=re.compile(r"A digit of example.png, read as \d: look inside")).first
    digit.focus()
    page.keyboard.press("Enter")
    expect(words(page)).to_contain_text("A digit of example.png, read as")
    page.locator("canvas[aria-label='conv2d_1, map 3']").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="What map 3 of conv2d_1 likes best").click()
    expect(page.locator(".likes figure")).to_contain_text("What map 3 of conv2d_1 likes best")
    page.get_by_role("button", name="Show what speaks for it").click()
    expect(page.locator(".evidence h2")).to_contain_text("A digit of example.png")


def test_a_mistake_of_the_evaluation_leads_into_the_network(opened: Callable[..., Any]) -> None:
    page = opened()
    page.get_by_role("tab", name="Evaluation").click()
    first = page.locator(".image-list:visible button[aria-expanded]").first
    first.focus()
    page.keyboard.press("Enter")
    mistake = int(first.locator(".index").text_content().removeprefix("#"))
    page.get_by_role("button", name=f"Look inside the network with image {mistake}", exact=True).click()
    expect(words(page)).to_contain_text(f"Test image {mistake:,} is")
    expect(page.get_by_label("Test image", exact=True)).to_have_value(str(mistake))


def test_the_map_of_the_test_images_is_walked_with_the_keyboard_and_leads_into_the_network(
    opened: Callable[..., Any], test_images: Any
) -> None:
    page = opened()
    page.get_by_role("button", name="Draw the map").click()
    expect(page.locator(".map-card")).to_contain_text("2,000 test images, before the first batch")
    expect(page.locator(".map-axis").last).to_contain_text(re.compile(r"First direction: \d+\.\d % of the variance"))
    page.get_by_role("button", name="None", exact=True).click()
    page.get_by_role("button", name="Three", exact=True).click()
    told = page.locator(".map-told")
    page.get_by_role("application").focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        before = told.text_content()
        page.keyboard.press(key)
        expect(told).not_to_have_text(before)
        seen.append(int(re.search(r"image ([\d,]+)", told.text_content())[1].replace(",", "")))
    assert all(test_images.labels[k] == 3 for k in seen)
    pixels = "e => [...e.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, k) => k % 4 === 0)"
    page.wait_for_function(
        f"([wanted]) => String(({pixels})(document.querySelector('.map-aside canvas'))) === wanted",
        arg=[",".join(map(str, test_images.images[seen[-1]].ravel().tolist()))],
    )
    page.keyboard.press("Enter")
    expect(words(page)).to_contain_text(f"Test image {seen[-1]:,} is Three")
