"""The page's frame in a real browser: one grid, one look, where a tab opens, what is said over it, what is fetched."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")
expect = api.expect
# Compiling the kernels is waited for, too.
expect.set_options(timeout=60_000)

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]

TABS = ("Input Data", "Model", "Training", "Network", "Evaluation", "Read", "Runs")
WIDTHS = {390: 844, 1280: 900, 1920: 1080}
FAILING = (
    "?tab=training&network=dense_baseline&train_images=400&validation_images=50&batch_size=20&epochs=1&optimizer=sgd"
    "&learning_rate=1000"
)
# 50,000 batches of 10 images.
ENDLESS = "?tab=training&network=dense_baseline&train_images=1000&validation_images=50&batch_size=10&epochs=500"
# As NiceGUI asks Quasar to show a sentence.
TOAST = (
    "kind => Quasar.Notify.create({type: kind, message: 'A sentence of ' + kind, closeBtn: 'Close', timeout: 0, group: "
    "false})"
)
# Every text of the line of progress from now on.
TOLD = """() => {
    const line = document.querySelector(".progress-text");
    window.told = [line.textContent];
    const changes = {characterData: true, childList: true, subtree: true};
    new MutationObserver(() => window.told.push(line.textContent)).observe(line, changes);
}"""

# How wide the text of elements is.
LINES = """all => Math.max(0, ...all.map((one) => {
    const text = document.createRange();
    text.selectNodeContents(one);
    return text.getBoundingClientRect().width;
}))"""


def show(page: Any, name: str) -> Any:
    page.get_by_role("tab", name=name).click()
    panel = page.get_by_role("tabpanel", name=name)
    expect(panel).to_be_visible()
    return panel


def test_whoever_opens_the_page_sees_a_digit_and_the_network(visit: Visit) -> None:
    page = visit()
    expect(page.get_by_role("tab", name="Network")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel", name="Network").locator("canvas").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sentences_over_the_page_can_be_read_in_either_scheme(
    visit: Visit, least_contrast: Callable[[Any], float], scheme: str
) -> None:
    page = visit("?tab=runs", color_scheme=scheme, reduced_motion="reduce")
    expect(page.get_by_role("tabpanel", name="Runs")).to_be_visible()
    for kind in ("info", "positive", "warning", "negative"):
        page.evaluate(TOAST, kind)
        expect(page.get_by_text(f"A sentence of {kind}")).to_be_visible()
    page.wait_for_timeout(300)
    assert page.locator(".q-notification").count() == 4
    for part in (".q-notification__message", ".q-notification .q-btn", ".q-notification__icon"):
        assert least_contrast(page.locator(part)) >= 4.5, part


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_buttons_can_be_read_in_either_scheme(
    visit: Visit, least_contrast: Callable[[Any], float], scheme: str
) -> None:
    page = visit("?tab=read", color_scheme=scheme)
    expect(page.locator(".draw-pad canvas")).to_be_visible()
    for part in (".studio-tab", ".studio-status", ".studio-brand b", ".card-title", "main .muted", "main .q-btn"):
        assert least_contrast(page.locator(f"{part}:visible")) >= 4.5, part
    show(page, "Training")
    assert least_contrast(page.locator(".command:not([aria-disabled]):visible")) >= 4.5
    show(page, "Input Data")
    assert least_contrast(page.locator(".segmented .q-btn, .example-label")) >= 4.5


def test_another_tab_opens_at_its_top_and_the_focus_stays_in_sight(visit: Visit) -> None:
    page = visit("?tab=training", width=390, height=700)
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).to_be_visible()
    expect(page.get_by_label("Learning rate", exact=True)).to_be_visible()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate("scrollY") > 500
    show(page, "Model")
    assert page.evaluate("scrollY") == 0
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate("scrollY") > 300
    show(page, "Training")
    expect(start).to_be_in_viewport()
    # What leads to another tab from within one goes away with it.
    page.get_by_label("Learning rate", exact=True).focus()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.evaluate("document.getElementById('tab-runs').click()")
    expect(page.get_by_role("tab", name="Runs")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Runs")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Read")).to_be_focused()


def resize(page: Any, width: int, height: int) -> None:
    """Give the window another size, and wait until the page is laid out for it."""
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_function("size => innerWidth === size[0] && innerHeight === size[1]", arg=[width, height])
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))")


def test_head_and_tabs_stand_in_one_grid_that_takes_the_width(visit: Visit) -> None:
    page = visit("?tab=read", reduced_motion="reduce")
    expect(page.locator(".draw-pad canvas")).to_be_visible()
    for name in TABS:
        panel = show(page, name)
        expect(panel.get_by_role("button").first).to_be_visible()
        for width, height in WIDTHS.items():
            resize(page, width, height)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            brand, box = page.locator(".studio-brand").bounding_box(), panel.bounding_box()
            heading = panel.get_by_role("heading", level=2).first.bounding_box()
            assert brand["x"] <= 48
            assert [box["x"], heading["x"]] == pytest.approx([brand["x"]] * 2, abs=1), (name, width)
            assert box["width"] >= width - 2 * brand["x"] - 20, (name, width)
            widest = panel.locator(":is(p, .card-body > *).muted:visible").evaluate_all(LINES)
            assert widest <= 760, (name, width)  # a line of text that can be read
    for width in WIDTHS:
        resize(page, width, 800)
        tabs = page.locator(".studio-tabs").evaluate("e => [e.scrollWidth, e.clientWidth]")
        assert tabs[0] <= tabs[1], (width, tabs)
        assert page.locator(".studio-tab").evaluate_all(
            "all => all.every((e) => e.getBoundingClientRect().right <= innerWidth && e.scrollWidth <= e.clientWidth)"
        )


def test_what_fails_and_what_to_do_can_be_read_on_a_phone_in_every_tab(visit: Visit) -> None:
    page = visit(FAILING, width=390, height=844)
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).not_to_have_attribute("aria-disabled", "true")
    start.click()
    message = page.get_by_role("alert").filter(has_text="Try a learning rate ten times smaller.")
    for name in ("Training", *TABS):
        show(page, name)
        expect(message).to_be_in_viewport(ratio=1)
        assert message.evaluate("e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight + 1"), name
    show(page, "Training")
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(message).not_to_be_visible()


def test_a_training_that_is_slowed_is_told_with_its_own_rate(visit: Visit) -> None:
    page = visit(ENDLESS)
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).not_to_have_attribute("aria-disabled", "true")
    start.click()
    line = page.locator(".progress-text")
    expect(line).to_contain_text("images/s")
    assert "at most" not in line.inner_text()
    page.evaluate(TOLD)
    page.get_by_label("Speed", exact=True).fill("6")  # 10 batches, 100 images a second
    expect(line).to_contain_text("at most 10 batches/s")
    expect(line).to_have_text(re.compile(r"images/s.*at most 10 batches/s"))
    page.wait_for_function("told.filter((text) => /images.s.*at most/.test(text)).length > 5")
    slowed = [text for text in page.evaluate("told") if "at most 10 batches/s" in text]
    rates = [float(found[1].replace(",", "")) for text in slowed if (found := re.search(r"([\d,]+) images/s", text))]
    assert max(rates) <= 500
    page.get_by_role("switch", name="Full speed").click()
    expect(line).not_to_contain_text("at most")
    page.get_by_role("button", name="Reset", exact=True).click()


def test_nothing_moves_by_itself_where_motion_is_not_wanted(visit: Visit) -> None:
    page = visit("?tab=read", reduced_motion="reduce")
    expect(page.locator(".draw-pad canvas")).to_be_visible()
    for name in TABS:
        show(page, name)
        page.wait_for_timeout(100)
        moving = "document.getAnimations().filter((one) => one.effect.getComputedTiming().activeDuration > 1).length"
        assert page.evaluate(moving) == 0, name


def test_files_come_compressed_and_only_once(browser: Any, studio: Any) -> None:
    context = browser.new_context()
    for is_first in (True, False):
        page, got = context.new_page(), []
        page.on("response", lambda one, got=got: got.append(one))
        page.goto(studio.address + "?tab=training")
        expect(page.locator(".live-chart-plot canvas").first).to_be_visible()
        got = [one for one in got if one.url.startswith(studio.address) and "_nicegui_ws" not in one.url]
        texts = [one for one in got if one.url.partition("?")[0].endswith((".js", ".mjs", ".css"))]
        sizes = {one.url: one.request.sizes()["responseBodySize"] for one in got}
        if is_first:
            assert len(texts) > 20
            for one in texts:
                headers = one.all_headers()
                assert int(headers["content-length"]) < 500 or headers["content-encoding"] == "gzip", one.url
                # A script that another one names has no hash there: browsers ask whether it is still the same.
                is_named = "/studio/" in one.url and "?" not in one.url
                assert (
                    headers["cache-control"] == "no-cache" if is_named else "immutable" in headers["cache-control"]
                ), one.url
            assert sum(sizes.values()) < 1_000_000
        else:  # nothing but the page itself travels
            assert {url for url, size in sizes.items() if size > 0} == {page.url}
        page.close()
    context.close()
