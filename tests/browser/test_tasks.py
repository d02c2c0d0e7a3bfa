"""The guided path, presets and settings in a real browser: by keyboard alone, on a phone, and what it keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")
expect = api.expect
expect.set_options(timeout=60_000)

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]

RUN = "?tab=training&train_images=1500&validation_images=200&batch_size=50&epochs=3&learning_rate=0.003"


def start(page: Any) -> None:
    button = page.get_by_role("button", name="Start", exact=True)
    expect(button).not_to_have_attribute("aria-disabled", "true")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".studio-status")).to_contain_text("of all 10,000 test images")


def press(page: Any, name: str) -> None:
    button = page.get_by_role("button", name=name, exact=True)
    button.focus()
    page.keyboard.press("Enter")


def kept(page: Any) -> Any:
    return json.loads(page.evaluate("localStorage.getItem('digitlab-tasks') ?? 'null'"))


def opened(page: Any) -> None:
    press(page, "Show the tasks")
    expect(page.get_by_role("heading", name="Six Short Tasks")).to_be_focused()


def test_first_two_kinds_of_task_are_done_by_keyboard_alone(visit: Visit) -> None:
    page = visit(RUN)
    assert page.locator(".task-strip.is-offered").count() == 0
    start(page)
    expect(page.locator(".task-strip.is-offered")).to_contain_text("What next? Six short tasks")
    opened(page)
    for i in range(5):
        expect(page.locator(".task-image").first).to_have_attribute("alt", re.compile(r"Test image \d+"))
        answer = page.get_by_label("It will answer")
        if i == 0:
            answer.focus()
        expect(answer).to_be_focused()
        expect(answer).to_have_value("")
        page.keyboard.type("7")
        page.keyboard.press("Tab")
        page.keyboard.type("55")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Next image")).to_be_focused()
        expect(page.locator(".task-reply").first).to_contain_text("It answers")
        expect(page.locator(".task-finding").first).to_contain_text(f"of {i + 1};")
        page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Begin anew")).to_be_focused()
    expect(page.locator(".task-learned").first).to_be_visible()
    press(page, "Next task")
    for rate in ("0.03", "0.3"):
        press(page, "Ten times the rate")
        expect(page.get_by_label("Learning rate", exact=True)).to_have_value(rate)
        expect(page.get_by_role("tab", name="Training")).to_be_focused()
        assert page.locator(".training-commands").evaluate("e => e.getBoundingClientRect().top >= 48")
        start(page)
    expect(page.get_by_role("button", name="Raise the rate until it breaks , done")).to_be_visible()
    assert kept(page)["done"] == ["predict", "rate"]
    page.reload()
    expect(page.get_by_text("2 of 6 done")).to_be_visible()
    press(page, "Start again")
    expect(page.get_by_text("0 of 6 done")).to_be_visible()
    press(page, "Fold")
    expect(page.get_by_role("button", name="Show the tasks")).to_be_focused()
    press(page, "Not now")
    expect(page.locator(".task-strip")).not_to_contain_text("tasks,")
    page.wait_for_function("JSON.parse(localStorage.getItem('digitlab-tasks')).view === 'off'")


def test_drawing_that_is_read_as_another_digit_is_found(visit: Visit) -> None:
    page = visit(RUN)
    start(page)
    opened(page)
    page.get_by_role("button", name="6 Draw a digit that fools it").click()
    page.get_by_role("button", name="Let my network read").click()
    expect(page.get_by_text("The network trained here reads now.")).to_be_visible()
    sheet = page.get_by_role("application", name="Sheet to draw digits on")
    expect(sheet).to_be_in_viewport()
    box = sheet.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 5
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 4, y + box["height"] / 2, steps=8)
    page.mouse.up()
    expect(page.locator(".drawn-text")).to_have_text("1")
    field = page.get_by_label("I have drawn a")
    for said, told in (("1", "reads a 1, too"), ("7", "You drew a 7; the network trained here reads a 1")):
        field.fill(said)
        field.press("Enter")
        expect(page.locator(".task-finding:visible")).to_contain_text(told)
    expect(page.locator(".task-learned:visible")).to_contain_text("It knows only what it was shown.")


def test_tasks_fit_a_phone_and_can_be_read_light_and_dark(visit: Visit, least_contrast: Callable[[Any], float]) -> None:
    page = visit(RUN, width=390, height=844, color_scheme="dark", reduced_motion="reduce")
    start(page)
    strip = page.locator(".task-strip.is-offered")
    expect(strip).to_be_in_viewport()
    assert strip.evaluate("e => e.getBoundingClientRect().height") < 110
    assert least_contrast(strip.locator(".task-told, .command")) >= 4.5
    opened(page)
    for item in page.locator(".task-item").all():
        item.click()
        expect(item).to_have_attribute("aria-current", "step")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert item.evaluate("e => e.getBoundingClientRect().height") >= 36
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        texts = ".task-card .command:visible, .task-item, .task-title:visible, .task-text div:visible"
        assert least_contrast(page.locator(texts)) >= 4.5


def test_settings_of_the_run_are_named_to_screen_readers_and_preset_to_all(
    visit: Visit, least_contrast: Callable[[Any], float]
) -> None:
    page = visit(RUN)
    start(page)
    batch = page.get_by_label("Batch size")
    expect(batch).not_to_have_attribute("aria-describedby", "")
    for name in ("codelab", "fast"):
        page.get_by_role("button", name=name).first.click()
        expect(page.locator(".preset[aria-pressed=true] strong")).to_have_text(name)
        described = page.locator(f"#{batch.get_attribute('aria-describedby')}")
        expect(described).to_have_text("run had 50")
        assert least_contrast(page.locator(".preset *, .setting-had:visible")) >= 4.5
    expect(page.get_by_text("changed from")).to_have_count(0)
    press(page, "As in the run")
    expect(page.locator(".setting-had:visible")).to_have_count(0)
    expect(batch).to_have_value("50")


def test_network_that_cannot_be_trained_is_told_with_the_way_to_mend_it(visit: Visit) -> None:
    page = visit(RUN.replace("tab=training", "tab=model"))
    page.get_by_role("button", name="Remove: layer 6, dense").click()
    page.get_by_role("tab", name="Training").click()
    button = page.get_by_role("button", name="Start", exact=True)
    expect(button).to_have_attribute("aria-disabled", "true")
    reason = page.locator(f"#{button.get_attribute('aria-describedby')}")
    expect(reason).to_contain_text("The network in Model cannot be trained as it is. Layer 5, flatten:")
    press(page, "Open Model")
    expect(page.get_by_role("tab", name="Model")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("tab", name="Training").click()
    expect(button).not_to_have_attribute("aria-disabled", "true")
    expect(reason).to_be_hidden()
