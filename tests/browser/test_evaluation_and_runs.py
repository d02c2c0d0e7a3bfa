"""The tabs Evaluation and Runs in a real browser: what needs JavaScript, a keyboard, or eyes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import digitlab as dl
from digitlab.data.mnist import choose_images
from digitlab.evaluation.finish import evaluate_run, write_report

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")

pytestmark = pytest.mark.browser

FIRST, SECOND = "first-try", "second-try"
N = 500
#: The images that somebody chose in the tab Evaluation, and in the tab that is seen.
CHOSEN = '[aria-label="Chosen images"]'
LIST = ".image-list:visible:not(.threshold-images > *)"

Open = Callable[..., "api.Page"]


@pytest.fixture(scope="module")
def data() -> dl.MnistData:
    return dl.MnistData.load()


@pytest.fixture(scope="module")
def out(chromium: str, tmp_path_factory: pytest.TempPathFactory, data: dl.MnistData) -> Path:
    """Train two runs that differ in their seed; one has a report."""
    out = tmp_path_factory.mktemp("studio") / "runs"
    config = dl.TrainConfig(
        network="dense_baseline", train_images=2000, validation_images=200, batch_size=100, epochs=2
    )
    for seed, name in enumerate((FIRST, SECOND)):
        run = dl.train(dataclasses.replace(config, seed=seed), out, name=name)
        # A second apart, so that it is known which is the newer.
        os.utime(run.path / "config.json", (1_000_000 + seed, 1_000_000 + seed))
    first = dl.Run.open(out / FIRST)
    write_report(first, data, evaluate_run(first, data))
    return out


@pytest.fixture(scope="module")
def studio(serve: Callable[..., Any], out: Path) -> Any:
    """Serve the Studio with these runs."""
    return serve(out)


def runs_of(visit: Open, *, width: int = 1280, height: int = 900, **settings: Any) -> api.Page:
    """Open the Runs tab."""
    return visit("?tab=runs", width=width, height=height, reduced_motion="reduce", **settings)


def evaluation_of(visit: Open, run: str = FIRST, **settings: Any) -> api.Page:
    """Open the Evaluation tab on a run, from the list of runs."""
    page = runs_of(visit, **settings)
    page.get_by_role("button", name=f"Evaluate {run}", exact=True).click()
    api.expect(page.locator(".evaluated:visible")).to_contain_text(f"run {run}")
    api.expect(page.locator(f"{CHOSEN} .image-list-title")).to_contain_text("mistakes:")
    on_500(page)
    api.expect(page.locator(f"{CHOSEN} .image-list-title")).to_contain_text("of 500 images")
    return page


def on_500(page: api.Page) -> None:
    """Evaluate on as many images as the codelab does."""
    page.get_by_role("combobox", name="Test images").locator("visible=true").click()
    page.get_by_role("option", name="500 images").click()


def comparison_of(visit: Open, **settings: Any) -> api.Page:
    """Open the Runs tab and compare the two runs."""
    page = runs_of(visit, **settings)
    on_500(page)
    for run in (FIRST, SECOND):
        page.get_by_role("checkbox", name=f"Compare {run}", exact=True).check()
    api.expect(page.locator(".evaluated:visible")).to_have_text(f"A is {FIRST}, B is {SECOND}.")
    return page


def cell(page: api.Page, label: int, predicted: int) -> api.Locator:
    return page.locator(f'.confusion:visible [data-r="{label}"][data-c="{predicted}"]')


def shown_numbers(page: api.Page) -> list[int]:
    texts = page.locator(f"{LIST} .index").all_inner_texts()
    return [int(text.removeprefix("#")) for text in texts]


def shown_pixels(page: api.Page) -> np.ndarray:
    """Return the digits that are seen, uint8 (n, 28, 28), as the browser decodes them."""
    columns = page.evaluate(
        """async () => {
            const list = [...document.querySelectorAll(".image-list ul")].find(e => e.checkVisibility());
            const image = new Image();
            image.src = list.style.getPropertyValue("--sprite").slice(4, -1).replaceAll('"', "");
            await image.decode();
            const canvas = new OffscreenCanvas(image.naturalWidth, 28);
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return [...context.getImageData(0, 0, image.naturalWidth, 28).data].filter((_, i) => i % 4 === 0);
        }"""
    )
    sprite = np.array(columns, dtype=np.uint8).reshape(28, -1)
    return np.stack(np.split(sprite, sprite.shape[1] // 28, axis=1))


def answers(out: Path, data: dl.MnistData, run: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, probabilities and numbers of the 500 test images, by another way than the page's."""
    places = choose_images(data.test, N, 0)
    return data.test.labels[places], dl.load_model(out / run).predict(data.test.images[places]), places


def scrolls_sideways(page: api.Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def tab_to(page: api.Page, selector: str) -> None:
    """Press the Tab key until something that matches has the focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"The Tab key does not reach {selector}")


def focused(page: api.Page) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label')"))


def test_clicked_cell_shows_exactly_its_images(visit: Open, out: Path, data: dl.MnistData) -> None:
    labels, probabilities, numbers = answers(out, data, FIRST)
    predicted = probabilities.argmax(axis=1)
    page = evaluation_of(visit)
    mistakes = [(r, c) for r in range(10) for c in range(10) if r != c and ((labels == r) & (predicted == c)).any()]
    for label, answer in [mistakes[0], mistakes[-1], (1, 1)]:
        expected = numbers[(labels == label) & (predicted == answer)]
        button = cell(page, label, answer)
        api.expect(button).to_have_text(re.compile(rf"^{len(expected)}\D|^{len(expected)}\d+\.\d %$"))
        button.click()
        told = button.get_attribute("aria-label")
        assert told is not None
        api.expect(page.locator(f"{CHOSEN} .image-list-title")).to_have_text(told)
        shown = shown_numbers(page)
        while (
            page.locator(LIST).get_by_role("button", name="Next page").is_visible()
            and page.locator(LIST).get_by_role("button", name="Next page").is_enabled()
        ):
            np.testing.assert_array_equal(shown_pixels(page), data.test.images[shown_numbers(page)])
            before = shown_numbers(page)[0]
            page.locator(LIST).get_by_role("button", name="Next page").click()
            api.expect(page.locator(f"{LIST} .index").first).not_to_have_text(f"#{before}")
            shown += shown_numbers(page)
        np.testing.assert_array_equal(shown_pixels(page), data.test.images[shown_numbers(page)])
        assert sorted(shown) == sorted(expected.tolist())


def test_run_that_is_evaluated_brings_the_keyboard_along(visit: Open) -> None:
    page = runs_of(visit)
    page.get_by_role("button", name=f"Evaluate {SECOND}", exact=True).focus()
    page.keyboard.press("Enter")
    api.expect(page.get_by_role("tab", name="Evaluation")).to_be_focused()
    api.expect(page.locator(".evaluated:visible")).to_contain_text(f"run {SECOND}")


def test_image_opens_to_all_its_probabilities(visit: Open, out: Path, data: dl.MnistData) -> None:
    _, probabilities, numbers = answers(out, data, FIRST)
    page = evaluation_of(visit)
    first = page.locator(f"{CHOSEN} li button").first
    number = shown_numbers(page)[0]
    first.click()
    api.expect(first).to_have_attribute("aria-expanded", "true")
    table = page.get_by_role("group", name=f"All probabilities of image {number}")
    row = probabilities[int(np.flatnonzero(numbers == number)[0])]
    for k in range(10):
        text = table.locator("td.num").nth(k).inner_text()
        assert float(text.strip("<>% ")) == pytest.approx(100 * row[k], abs=0.11)
    first.click()
    api.expect(table).to_have_count(0)


def test_matrix_is_used_with_the_keyboard_alone(visit: Open) -> None:
    page = evaluation_of(visit)
    tab_to(page, ".confusion button")
    for key, told in (
        ("Control+Home", "predicted Zero: "),
        ("ArrowDown", "label Zero, predicted Zero: "),
        ("ArrowDown", "label One, predicted Zero: "),
        ("ArrowRight", "label One, predicted One: "),
        ("End", "label One, predicted Nine: "),
        ("Home", "label One: "),
        ("Control+End", "label Nine, predicted Nine: "),
    ):
        page.keyboard.press(key)
        assert focused(page).startswith(told)
    page.keyboard.press("Enter")
    title = page.locator(f"{CHOSEN} .image-list-title")
    api.expect(title).to_have_text(focused(page))
    api.expect(cell(page, 9, 9)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    api.expect(title).to_contain_text("label Nine: ")
    tab_to(page, ".image-list li button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    api.expect(page.locator(".all-probabilities")).to_have_count(1)
    before = shown_numbers(page)
    page.keyboard.press("PageDown")
    api.expect(page.locator(f"{LIST} .index").first).not_to_have_text(f"#{before[0]}")
    assert page.evaluate("document.activeElement.closest('.image-list li') !== null")


def test_table_of_classes_is_sorted_by_keyboard(visit: Open) -> None:
    page = evaluation_of(visit)
    table = page.get_by_role("region", name="Accuracy of each class")
    accuracies = table.locator("tbody td:nth-child(2)")
    api.expect(accuracies).to_have_count(10)
    assert table.locator("tbody th").all_inner_texts()[0] == "Zero"
    table.get_by_role("button", name="Accuracy").focus()
    for direction, is_falling in (("descending", True), ("ascending", False)):
        page.keyboard.press("Enter")
        api.expect(table.locator("th[aria-sort]")).to_have_attribute("aria-sort", direction)
        values = [float(text.strip("<>% ")) for text in accuracies.all_inner_texts()]
        assert values == sorted(values, reverse=is_falling)
    assert page.evaluate("document.activeElement.textContent.startsWith('Accuracy')")


def test_class_of_the_table_shows_its_images(visit: Open, out: Path, data: dl.MnistData) -> None:
    labels, _, _ = answers(out, data, FIRST)
    page = evaluation_of(visit)
    page.get_by_role("button", name="Seven: show its images").click()
    title = page.locator(f"{CHOSEN} .image-list-title")
    api.expect(title).to_contain_text(f"label Seven: {int((labels == 7).sum())} images")
    page.get_by_role("button", name="Worst mistakes").click()
    api.expect(title).to_contain_text("mistakes:")


def test_evaluation_is_on_all_images_at_first_as_the_header_is(visit: Open) -> None:
    page = runs_of(visit)
    page.get_by_role("button", name=f"Evaluate {FIRST}", exact=True).click()
    api.expect(page.get_by_text("mistakes in 10,000 images")).to_be_visible()
    api.expect(page.locator(f"{CHOSEN} .image-list-title")).to_contain_text("of 10,000 images")
    counts = page.locator(".confusion:visible td button").evaluate_all(
        "buttons => buttons.map(b => Number(b.firstChild.textContent))"
    )
    assert sum(counts) == 10_000


@pytest.mark.parametrize("kind", ["PNG", "SVG", "CSV", "JSON"])
def test_matrix_is_saved(visit: Open, tmp_path: Path, kind: str) -> None:
    page = evaluation_of(visit)
    page.get_by_role("button", name="Save: Confusion Matrix").click()
    with page.expect_download() as started:
        page.get_by_text(f"{kind} file").click()
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    assert path.name == f"confusion-matrix.{kind.lower()}"
    if kind == "PNG":
        with Image.open(path) as image:
            colors = image.convert("RGB").getcolors(maxcolors=2**20)
        assert colors is not None
        assert len(colors) > 10
    elif kind == "JSON":
        assert sum(map(sum, json.loads(path.read_text())["confusion_matrix"])) == N
    else:
        assert "Seven" in path.read_text()


def test_two_runs_are_compared(visit: Open, out: Path, data: dl.MnistData) -> None:
    labels, first, numbers = answers(out, data, FIRST)
    _, second, _ = answers(out, data, SECOND)
    a, b = first.argmax(axis=1), second.argmax(axis=1)
    page = comparison_of(visit)
    title = page.locator("#panel-runs .image-list-title")
    api.expect(title).to_have_text(f"they disagree: {int((a != b).sum())} images")
    np.testing.assert_array_equal(shown_pixels(page), data.test.images[shown_numbers(page)])
    assert set(shown_numbers(page)) <= set(numbers[a != b].tolist())
    settings = page.get_by_role("region", name="Settings that differ")
    api.expect(settings.locator("tbody tr")).to_have_text([re.compile("^seed0.*1$")])
    api.expect(page.locator("#panel-runs .live-chart-plot canvas:visible")).to_have_count(2)
    label, answer = next((labels[i], b[i]) for i in range(N) if a[i] != b[i])
    difference = int(((labels == label) & (b == answer)).sum() - ((labels == label) & (a == answer)).sum())
    button = cell(page, label, answer)
    assert button.evaluate("b => b.firstChild.textContent").replace("−", "-").lstrip("+") == str(difference)
    button.click()
    chosen = (labels == label) & (a != b) & ((a == answer) | (b == answer))
    api.expect(title).to_contain_text(f"by one of the two: {int(chosen.sum())} image")
    assert len(shown_numbers(page)) == min(24, int(chosen.sum()))
    assert set(shown_numbers(page)) <= set(numbers[chosen].tolist())


def test_report_opens_in_a_tab_of_its_own_and_is_no_part_of_the_page(visit: Open) -> None:
    page = runs_of(visit)
    with page.expect_popup() as opened:
        page.get_by_role("link", name=f"Report of {FIRST}").click()
    api.expect(opened.value.get_by_role("heading", level=1)).to_have_text(FIRST)
    assert opened.value.evaluate("origin") == "null"


@pytest.mark.parametrize("width", [1280, 360])
def test_run_is_exported_from_the_list(visit: Open, out: Path, data: dl.MnistData, tmp_path: Path, width: int) -> None:
    page = runs_of(visit, width=width)
    page.get_by_role("button", name=f"Export {FIRST}", exact=True).click()
    dialog = page.get_by_role("dialog", name=f"Export {FIRST}")
    dialog.get_by_label("For").click()
    page.get_by_role("option", name="ONNX: an .onnx file").click()
    api.expect(dialog.get_by_label("Weights")).to_be_hidden()
    with page.expect_download() as started:
        dialog.get_by_role("button", name="Export", exact=True).click()
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    assert path.name == f"{FIRST}.onnx"
    api.expect(dialog.get_by_role("status")).to_contain_text("Read by digitlab: the same answer to all 10,000 images")
    images = data.test.images[:N]
    np.testing.assert_allclose(
        dl.load_model(path).predict(images), dl.load_model(out / FIRST).predict(images), rtol=0, atol=1e-6
    )
    assert not scrolls_sideways(page)
    page.keyboard.press("Escape")
    api.expect(dialog).to_have_count(0)


def test_list_of_runs_is_the_newest_first_and_sorts(visit: Open) -> None:
    page = runs_of(visit)
    table = page.get_by_role("region", name="Runs", exact=True)

    def are(*names: str) -> None:
        for row, name in enumerate(names):
            api.expect(table.locator("tbody tr").nth(row).locator("input.over")).to_have_attribute("placeholder", name)

    are(SECOND, FIRST)
    table.get_by_role("button", name="Name").click()
    are(FIRST, SECOND)
    table.get_by_role("button", name="Began").click()
    table.get_by_role("button", name="Began").click()
    are(SECOND, FIRST)


@pytest.mark.parametrize("opened", [evaluation_of, comparison_of])
def test_nothing_scrolls_sideways_on_a_phone_and_everything_can_be_tapped(visit: Open, opened: Open) -> None:
    page = opened(visit, width=360, height=740)
    assert not scrolls_sideways(page)
    sizes = page.locator(".confusion:visible td button").evaluate_all(
        "buttons => buttons.map(b => [b.getBoundingClientRect().width, b.getBoundingClientRect().height])"
    )
    assert len(sizes) == 100
    assert np.min(sizes) >= 20
    cell(page, 1, 1).click()
    api.expect(page.locator(f"{LIST} .image-list-title")).to_be_in_viewport()


@pytest.mark.parametrize("opened", [evaluation_of, comparison_of])
def test_counts_can_be_read_in_light_and_dark(
    visit: Open, opened: Open, least_contrast: Callable[[Any], float]
) -> None:
    for scheme in ("light", "dark"):
        page = opened(visit, color_scheme=scheme)
        counts = page.locator(".confusion:visible td button, .confusion-legend:visible li")
        assert least_contrast(counts) >= 4.5


@pytest.mark.parametrize("opened", [evaluation_of, comparison_of])
def test_every_control_has_a_name(visit: Open, opened: Open) -> None:
    page = opened(visit)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("main button, main input, main [role=combobox]")]
            .filter(e => e.checkVisibility() && !e.closest("[aria-hidden=true]"))
            .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


def counted(page: api.Page) -> dict[str, int]:
    """Return the four counts beside the threshold's slider."""
    texts = page.locator(".threshold-figures > div").all_inner_texts()
    return {name: int(n.split()[0].replace(",", "")) for name, n in (text.split("\n")[:2] for text in texts)}


def test_threshold_is_moved_by_keyboard_and_its_counts_add_up(visit: Open, out: Path, data: dl.MnistData) -> None:
    labels, probabilities, numbers = answers(out, data, FIRST)
    confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    page = evaluation_of(visit)
    slider = page.get_by_role("slider", name="Answer from")
    for key, threshold in (("Home", 0.0), ("End", 0.99999), ("Home", 0.0), (None, 0.7)):
        for _ in range(1 if key else 70):
            slider.press(key or "ArrowRight")
        is_given = confidence >= threshold
        n, right = int(is_given.sum()), int((is_given & is_right).sum())
        assert counted(page) == {"Answered": n, "Right": right, "Wrong": n - right, "Refused": N - n}
        said = slider.get_attribute("aria-valuetext")
        assert said is not None
        assert said.endswith(f"{n} answered, {n - right} of them wrong")
    api.expect(page.locator(".threshold-says")).to_contain_text("At 70 % it answers")
    refused, mistakes = (page.get_by_role("region", name=name) for name in ("Refused images", "Mistakes that remain"))
    api.expect(refused).to_contain_text(f"refused: {N - n} images")
    api.expect(mistakes).to_contain_text(f"mistakes that remain: {n - right} image")
    least = np.argsort(confidence, kind="stable")[: min(10, N - n)]
    assert refused.locator(".index").all_inner_texts() == [f"#{numbers[i]}" for i in least]
    wrong = np.flatnonzero(is_given & ~is_right)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:10]
    assert mistakes.locator(".index").all_inner_texts() == [f"#{numbers[i]}" for i in surest]
    assert page.evaluate("document.activeElement.type") == "range"


def test_chosen_point_lies_on_the_curve(visit: Open) -> None:
    page = evaluation_of(visit)
    page.get_by_role("slider", name="Answer from").press("Home")
    end, point = page.evaluate(
        """() => {
            const box = document.querySelector(".threshold-picture");
            const line = [...box.querySelectorAll(".chart path.series-0")].at(-1);
            const first = line.getPointAtLength(0), matrix = line.getScreenCTM();
            const point = box.querySelector("circle:not(.chart circle)").getBoundingClientRect();
            return [
                [matrix.e + matrix.a * first.x, matrix.f + matrix.d * first.y],
                [point.left + point.width / 2, point.top + point.height / 2],
            ];
        }"""
    )
    np.testing.assert_allclose(end, point, atol=1.5)


def test_mistake_is_followed_through_the_network(visit: Open, data: dl.MnistData) -> None:
    page = evaluation_of(visit)
    number = shown_numbers(page)[0]
    page.locator(f"{CHOSEN} li button").first.focus()
    page.keyboard.press("Enter")
    tab_to(page, "[aria-label^='Look inside']")
    assert focused(page).endswith(f"image {number}")
    page.keyboard.press("Enter")
    api.expect(page.get_by_role("tab", name="Network")).to_be_focused()
    api.expect(page.locator("#panel-network")).to_contain_text(
        f"Test image {number:,} is {data.class_names[data.test.labels[number]]}"
    )
    # Once more, where the tab Network stands already.
    page.get_by_role("tab", name="Evaluation").click()
    other = page.get_by_role("region", name="Refused images").locator("li button").nth(1)
    told = f"Test image {int(str(other.locator('.index').text_content()).removeprefix('#')):,} is"
    other.click()
    page.get_by_role("button", name="Look inside").last.click()
    api.expect(page.locator("#panel-network")).to_contain_text(told)


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_evaluation_has_no_holes(visit: Open, width: int) -> None:
    page = evaluation_of(visit, width=width)
    assert not scrolls_sideways(page)
    empty = page.locator("#panel-evaluation .even-pair > .card").evaluate_all(
        """cards => cards.map(card => {
            const last = card.querySelector(".card-body").lastElementChild.getBoundingClientRect();
            return card.getBoundingClientRect().bottom - last.bottom;
        })"""
    )
    assert len(empty) == 2
    assert max(empty) < 40
