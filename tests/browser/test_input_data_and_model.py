"""The tabs Input Data and Model in a real browser: what needs JavaScript, a keyboard, or eyes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")

pytestmark = pytest.mark.browser

PATIENCE_MS = 30_000

Open = Callable[..., "api.Page"]


def opened(visit: Open, tab: str, *, width: int = 1280, height: int = 900, **settings: object) -> api.Page:
    """Open a tab."""
    return visit(f"?tab={tab}", width=width, height=height, **settings)


def input_data(visit: Open, **settings: object) -> api.Page:
    page = opened(visit, "input-data", **settings)
    api.expect(page.locator(".examples-card .example-digits button")).to_have_count(20, timeout=PATIENCE_MS)
    api.expect(page.locator(".example-digits")).to_have_count(2)
    return page


def model(visit: Open, **settings: object) -> api.Page:
    page = opened(visit, "model", **settings)
    api.expect(page.locator(".layer")).to_have_count(6, timeout=PATIENCE_MS)
    return page


def layers(page: api.Page) -> list[str]:
    return page.locator(".layer").evaluate_all("rows => rows.map(row => row.getAttribute('aria-label').split(', ')[1])")


def focused(page: api.Page) -> str:
    return str(page.evaluate("(e => e.getAttribute('aria-label') || e.textContent)(document.activeElement)"))


def scrolls_sideways(page: api.Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def unnamed(page: api.Page) -> list[str]:
    """Return the visible controls that a screen reader has no name for."""
    return list(
        page.evaluate(
            """() => [...document.querySelectorAll('main button, main input, main canvas, main [role=button]')]
            .filter(e => e.checkVisibility() && !e.closest('[inert], [aria-hidden=true]'))
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
            .map(e => e.outerHTML.slice(0, 200))"""
        )
    )


# Input Data


def test_arrow_keys_move_among_the_digits_and_escape_comes_back(visit: Open) -> None:
    page = input_data(visit)
    digits = page.locator(".examples-card .example-digits button")
    assert digits.evaluate_all("all => all.filter(one => one.tabIndex === 0).length") == 1
    digits.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    api.expect(digits.nth(11)).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    api.expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    api.expect(dialog).to_have_count(0)
    api.expect(digits.nth(11)).to_be_focused()


def test_every_pixel_can_be_read_with_mouse_and_keys(visit: Open) -> None:
    page = input_data(visit)
    page.locator(".examples-card .example-digits button").nth(3).click()
    canvas, told = page.locator(".pixel-view canvas"), page.locator(".pixel-view output")
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    api.expect(told).to_have_text(re.compile(r"Row 15, column 14: \d+ of 255; the network sees [01]\.\d+\."))
    # Hovering waits until the dialog has stopped moving.
    canvas.hover(position={"x": 2, "y": 2})
    api.expect(told).to_have_text(re.compile("Row 1, column 1: 0 of 255"))
    painted = canvas.evaluate("c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 200)")
    assert painted
    title = page.get_by_role("dialog").get_by_role("heading")
    before = title.inner_text()
    page.get_by_role("button", name="Next").click()
    api.expect(title).not_to_have_text(before)


def test_a_class_can_be_chosen_and_shuffled(visit: Open) -> None:
    page = input_data(visit)
    page.get_by_role("combobox", name="Class").click()
    page.get_by_role("option", name="Seven").click()
    labels = page.locator(".examples-card .example-label")
    api.expect(page.get_by_text("training images, class Seven, drawn with seed 0")).to_be_visible()
    assert set(labels.all_inner_texts()) == {"7"}
    page.get_by_role("button", name="Shuffle again").click()
    api.expect(page.get_by_text("drawn with seed 1")).to_be_visible()
    page.get_by_role("button", name="20 more").click()
    api.expect(labels).to_have_count(40)


def test_digits_are_drawn_from_the_picture(visit: Open) -> None:
    page = input_data(visit)
    digit = page.locator(".example-digit").first
    assert digit.evaluate("e => getComputedStyle(e).backgroundImage").startswith('url("data:image/png;base64,')
    assert digit.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"


# Model


def test_shapes_follow_each_key_and_the_field_keeps_the_focus(visit: Open) -> None:
    page = model(visit)
    field = page.get_by_label("Filters").first
    field.fill("")
    result = page.locator(".layer-result").first
    api.expect(result).to_contain_text("filters is empty")
    page.keyboard.type("12")
    api.expect(result).to_contain_text("24 × 24 × 12 · 312 parameters")
    api.expect(field).to_be_focused()
    api.expect(page.locator(".summary-table tbody tr").first).to_contain_text("24 × 24 × 12")
    api.expect(field).to_have_value("12")
    page.get_by_label("Stride").first.fill("2 x 1")
    api.expect(result).to_contain_text("12 × 24 × 12")
    page.get_by_role("button", name="Add ZeroPadding2D").click()
    zeros = page.locator(".layer", has_text="ZeroPadding2D").get_by_label("Padding", exact=True)
    zeros.fill("0, 1, 2")
    api.expect(page.locator(".layer.is-wrong")).to_contain_text("padding must be a whole number such as 5")
    zeros.fill("0, 1, 2, 3")
    api.expect(page.locator(".layer.is-wrong")).to_have_count(0)
    page.get_by_role("button", name="Explain ZeroPadding2D").click()
    api.expect(page.get_by_role("dialog")).to_contain_text("Padding")


def test_an_error_stands_at_its_layer(visit: Open) -> None:
    page = model(visit)
    page.get_by_label("Kernel size").nth(1).fill("13")
    wrong = page.locator(".layer.is-wrong")
    api.expect(wrong).to_have_count(1)
    api.expect(wrong).to_contain_text("does not fit into an image of 12 x 12 pixels")
    api.expect(wrong).to_have_attribute("aria-label", "Layer 3, conv2d_1")
    api.expect(page.get_by_label("Kernel size").nth(1)).to_have_attribute("aria-invalid", "true")


def test_layers_are_edited_by_keys_alone_and_the_focus_stays(visit: Open) -> None:
    page = model(visit)
    page.get_by_role("button", name="Add Dropout").focus()
    page.keyboard.press("Enter")
    api.expect(page.get_by_label("Rate")).to_be_focused()
    page.get_by_role("button", name="Move up: layer 6, dropout").focus()
    page.keyboard.press("Enter")
    api.expect(page.get_by_role("button", name="Move up: layer 5, dropout")).to_be_focused()
    assert layers(page) == ["conv2d", "max_pooling2d", "conv2d_1", "max_pooling2d_1", "dropout", "flatten", "dense"]
    page.get_by_role("button", name="Remove: layer 5, dropout").focus()
    page.keyboard.press("Enter")
    api.expect(page.get_by_role("button", name="Remove: layer 5, flatten")).to_be_focused()
    page.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Enter")
    api.expect(page.locator(".layer")).to_have_count(7)
    assert layers(page)[4] == "dropout"


def test_an_edited_network_survives_a_reload(visit: Open) -> None:
    page = model(visit)
    page.get_by_label("Filters").first.fill("5")
    api.expect(page.locator(".layer-result").first).to_contain_text("24 × 24 × 5")
    page.wait_for_url("**/?layers=*")
    page.reload()
    api.expect(page.get_by_label("Filters").first).to_have_value("5")
    api.expect(page.locator(".model-status")).to_contain_text("codelab_cnn_edited")


def test_a_network_is_saved_and_opened_again(visit: Open, tmp_path: Path) -> None:
    page = model(visit)
    page.get_by_label("Filters").first.fill("5")
    api.expect(page.locator(".layer-result").first).to_contain_text("24 × 24 × 5")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "codelab_cnn_edited.json"
    assert json.loads(path.read_text())["layers"][0]["filters"] == 5
    page.get_by_role("button", name="Use dense_baseline").click()
    api.expect(page.locator(".layer")).to_have_count(3)
    open_file(page, path)
    api.expect(page.locator(".layer")).to_have_count(6)
    api.expect(page.get_by_label("Filters").first).to_have_value("5")


def test_a_file_that_is_no_network_gets_a_sentence(visit: Open, tmp_path: Path) -> None:
    page = model(visit)
    for content, sentence in ((b"<html>", "This file is not JSON"), (b" " * 1_500_000, "the limit is 300 kB")):
        (tmp_path / "hostile.json").write_bytes(content)
        open_file(page, tmp_path / "hostile.json")
        api.expect(page.get_by_text(sentence)).to_be_visible()
    api.expect(page.locator(".layer")).to_have_count(6)


def open_file(page: api.Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open JSON").click()
    chooser.value.set_files(path)


# Learn


def test_a_question_mark_opens_a_text_and_escape_gives_the_focus_back(visit: Open) -> None:
    page = model(visit)
    page.get_by_label("Filters").first.fill("5")
    api.expect(page.locator(".layer-result").first).to_contain_text("24 × 24 × 5")
    button = page.get_by_role("button", name="Explain Conv2D").first
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Convolution")
    api.expect(dialog).to_contain_text("24 × 24 × 5 = 2,880 sums of 25 multiply-adds each: 72,000")
    dialog.get_by_role("button", name="Filter").click()
    dialog = page.get_by_role("dialog", name="Filter")
    api.expect(dialog).to_contain_text("5 filters of 5 × 5: 5 × (25 + 1) = 130 numbers")
    page.keyboard.press("Escape")
    api.expect(page.get_by_role("dialog")).to_have_count(0)
    api.expect(button).to_be_focused()


def test_every_card_explains_itself(visit: Open) -> None:
    for page, n_cards in ((input_data(visit), 4), (model(visit), 4)):
        cards = page.locator("main .studio-panel:not([hidden]) section.card")
        api.expect(cards).to_have_count(n_cards)
        for card in cards.all():
            card.get_by_role("button", name=re.compile("^Explain: ")).click()
            dialog = page.get_by_role("dialog")
            api.expect(dialog.locator("p").first).to_be_visible()
            measure = dialog.locator("p").first.evaluate(
                "p => p.clientWidth / parseFloat(getComputedStyle(p).fontSize)"
            )
            assert measure < 45, "lines are too long to read"
            page.keyboard.press("Escape")
            api.expect(dialog).to_have_count(0)


# Looks


@pytest.mark.parametrize("tab", [input_data, model])
def test_a_phone_shows_everything_without_scrolling_sideways(visit: Open, tab: Callable[..., api.Page]) -> None:
    page = tab(visit, width=360, height=740)
    assert not scrolls_sideways(page)


@pytest.mark.parametrize("tab", [input_data, model])
def test_every_control_has_a_name(visit: Open, tab: Callable[..., api.Page]) -> None:
    assert unnamed(tab(visit)) == []


def test_the_chosen_split_can_be_read_in_light_and_dark(visit: Open, least_contrast: Callable[..., float]) -> None:
    for scheme in ("light", "dark"):
        chosen = input_data(visit, color_scheme=scheme).locator(".segmented .bg-chosen")
        assert least_contrast(chosen) >= 4.5, scheme


def test_typing_does_not_move_the_page(visit: Open) -> None:
    page = model(visit)
    below = page.get_by_role("button", name="Add Conv2D")
    before = below.bounding_box()
    page.get_by_label("Filters").first.fill("31")
    api.expect(page.locator(".layer-result").first).to_contain_text("24 × 24 × 31")
    assert below.bounding_box() == before


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_columns_of_the_model_end_together(visit: Open, width: int) -> None:
    page = model(visit, width=width)
    assert not scrolls_sideways(page)
    ends = page.locator(".model-card, .model-side > .card:last-child").evaluate_all(
        "cards => cards.map(card => card.getBoundingClientRect().bottom)"
    )
    assert page.locator(".summary-table").evaluate("t => t.scrollWidth <= t.closest('.table-scroll').clientWidth")
    assert len(ends) == 2
    assert width < 1100 or abs(ends[0] - ends[1]) < 1
