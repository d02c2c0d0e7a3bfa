"""This step in a real browser: every number adds up, the keyboard is enough, and what is undone is undone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")
expect = api.expect
# Compiling the kernels is waited for, too.
expect.set_options(timeout=60_000)

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
SMALL = "?tab=training&train_images=640&validation_images=50&batch_size=64&epochs=2"


@pytest.fixture
def opened(visit: Visit) -> Iterator[Callable[..., Any]]:
    """Open the tab, and leave no training behind."""
    pages: list[Any] = []

    def go(query: str = SMALL, **settings: Any) -> Any:
        page = visit(query, **settings)
        pages.append(page)
        expect(command(page, "Step one batch")).not_to_have_attribute("aria-disabled", "true")
        return page

    yield go
    for page in pages:
        reset = command(page, "Reset")
        if reset.get_attribute("aria-disabled") != "true":
            reset.click()
            expect(page.locator(".studio-status")).to_have_text("Nothing is being trained.")


def command(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def step(page: Any, n: int) -> None:
    command(page, "Step one batch").click()
    expect(page.locator(".step-words")).to_contain_text(f"Batch {n} of 10 in epoch 1: 64 images")
    expect(page.locator(".step-view")).to_have_attribute("data-step", str(n))


RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def number(text: str) -> float:
    """What a figure says, such as −2.7 × 10⁻⁵."""
    mantissa, _, power = text.strip().replace("−", "-").partition(" × 10")
    return float(mantissa) * 10.0 ** int(power.translate(RAISED) or 0)


def decimals(text: str) -> int:
    return len(text.strip().partition(".")[2])


def assert_every_sum_adds_up(page: Any) -> int:
    """Add what is shown in every table that has a sum; return how many there are."""
    tables = page.locator(".step-account .column-sum").all()
    for table in tables:
        terms, total = table.locator(".term").all_text_contents(), table.locator(".sum").text_content()
        added = sum(number(term) for term in terms)
        assert added == pytest.approx(number(total), abs=0.51 * 10.0 ** -decimals(total)), (terms, total)
        assert len(total.replace("−", "").replace("0.", "").lstrip("0")) >= 3, total
    return len(tables)


def assert_every_line_is_right(page: Any) -> None:
    """Compute what stands in every line of the optimizer's arithmetic."""
    rows = page.locator(".step-moves tr").all()
    assert rows
    for row in rows:
        text, result = row.locator(".arithmetic-text").text_content(), row.locator(".term").text_content()
        code = re.sub(r" × 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda power: "e" + power[1].translate(RAISED), text)
        code = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda power: f"**{power[0].translate(RAISED)}", code)
        code = code.replace("−", "-").replace("×", "*").replace("√", "sqrt")
        assert re.fullmatch(r"[-+*/().\de sqrt]+", code), code
        parts = [part for part in re.split(r" [+-] ", code) if part.count("(") == part.count(")")]
        size = max((abs(computed(part)) for part in parts), default=0.0)
        assert computed(code) == pytest.approx(number(result), rel=3e-6, abs=1e-6 * size), text


def computed(code: str) -> float:
    return float(eval(code, {"sqrt": math.sqrt}))  # it is our own, and was matched


def press(page: Any, key: str) -> None:
    """Press a key on the chosen weight, and wait until its answer is drawn."""
    canvas = page.locator(".step-maps canvas[tabindex='0']").nth(1)
    canvas.focus()
    told = page.locator(".step-view").get_attribute("data-told")
    page.keyboard.press(key)
    expect(page.locator(".step-view")).not_to_have_attribute("data-told", told)
    expect(page.locator(".step-maps canvas[tabindex='0']").nth(1)).to_be_focused()


def test_every_number_adds_up_in_every_layer_with_the_keyboard_alone(opened: Callable[..., Any]) -> None:
    page = opened(SMALL + "&optimizer=adamw")
    step(page, 1)
    step(page, 2)
    heading = page.locator(".step-account h2")
    for layer in range(3):
        if layer:
            page.get_by_label("Layer", exact=True).select_option(str(layer))
        expect(heading).to_contain_text(("conv2d", "conv2d_1", "dense")[layer])
        for key in (None, "ArrowLeft", "PageDown", "ArrowUp", "ArrowDown", "ArrowRight", "PageUp"):
            if key:
                press(page, key)
            assert assert_every_sum_adds_up(page) == 3
            assert_every_line_is_right(page)
    biases = page.locator(".step-maps canvas[aria-label^='Change: biases']")
    biases.click()
    expect(heading).to_contain_text("the bias of")
    assert assert_every_sum_adds_up(page) == 3
    assert page.locator(".unseen[role=status]").last.text_content().startswith("dense, the bias of")


def test_another_image_of_the_batch_is_taken_apart(opened: Callable[..., Any]) -> None:
    page = opened()
    step(page, 1)
    shares = page.locator(".step-share")
    expect(shares.first).to_have_attribute("aria-pressed", "true")
    own = page.locator(".column-sum").nth(1).locator(".sum").text_content()
    shares.nth(2).focus()
    page.keyboard.press("Enter")
    expect(shares.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(shares.nth(2)).to_be_focused()
    assert page.locator(".column-sum").nth(1).locator(".sum").text_content() != own
    assert_every_sum_adds_up(page)
    assert page.locator(".step-images li").count() == 24
    for n in (48, 64):
        page.get_by_role("button", name="Show more images").click()
        expect(page.locator(".step-images li")).to_have_count(n)
    losses = [float(text.split()[1]) for text in page.locator(".step-images li span:last-child").all_text_contents()]
    assert losses == sorted(losses, reverse=True)
    mean = float(re.search(r"loss was ([\d.]+) before", page.locator(".step-words").inner_text())[1])
    assert sum(losses) / 64 == pytest.approx(mean, abs=2e-3)


def test_a_step_is_undone_and_taken_with_another_rate(opened: Callable[..., Any]) -> None:
    page = opened()
    step(page, 1)
    step(page, 2)
    first = page.locator(".step-account h2").text_content()
    undo, again = command(page, "Undo this step"), command(page, "Try this rate")
    undo.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".step-words")).to_contain_text("Batch 2 is undone")
    expect(page.locator(".progress-text")).to_contain_text("Batch 1 of 20")
    expect(undo).to_have_attribute("aria-disabled", "true")
    told = page.locator(".step-view").get_attribute("data-told")
    step(page, 2)
    expect(page.locator(".step-view")).not_to_have_attribute("data-told", told)
    assert page.locator(".step-account h2").text_content() == first
    rate = page.get_by_label("Another learning rate")
    rate.fill("0.02")
    rate.press("Enter")
    rows = page.locator(".step-tries tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("0.02 (stands)")
    rate.fill("0.3")
    again.click()
    expect(rows).to_have_count(3)
    before, after, change = (
        [number(rows.nth(k).locator("td").nth(at).text_content()) for k in range(3)] for at in range(3)
    )
    assert len(set(before)) == 1
    assert list(change) == pytest.approx([b - a for a, b in zip(before, after, strict=True)], abs=1.1e-4)
    assert after[1] < after[0]
    expect(page.locator(".progress-text")).to_contain_text("Batch 2 of 20")
    rate.fill("-1")
    again.click()
    expect(page.get_by_text("Type a learning rate above 0")).to_be_visible()
    command(page, "Show less").click()
    expect(page.locator(".step-view")).to_be_hidden()
    command(page, "Show more").click()
    expect(page.locator(".step-account h2")).to_be_visible()


@pytest.mark.parametrize("settings", [{"width": 390, "height": 844}, {"width": 1920, "height": 1000}])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(
    opened: Callable[..., Any], least_contrast: Callable[[Any], float], settings: dict[str, int], scheme: str
) -> None:
    page = opened(**settings, color_scheme=scheme)
    step(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= settings["width"]
    words = page.locator(
        ".step-words, .step-view h3, .step-view p:not(.unseen), .step-view td, .step-view th, .step-unit, .step-row b,"
        " .step-row span, .step-images span:not(.step-image)"
    )
    assert least_contrast(words) >= 4.5
    names = page.locator(".step-maps canvas").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    assert len(set(names)) == len(names) == 4 * 9
    assert page.locator(".step-maps canvas[tabindex='0']").count() == 4
    left, right = page.locator(".step-maps .is-chosen").first.evaluate(
        "e => { const [a, b] = [e.getBoundingClientRect(), e.parentElement.getBoundingClientRect()];"
        " return [a.left - b.left, b.right - a.right] }"
    )
    assert min(left, right) >= -1  # the chosen filter is seen


def test_it_is_there_while_a_step_is_looked_at_and_no_longer(opened: Callable[..., Any]) -> None:
    page = opened()
    expect(page.locator(".step-view")).to_be_hidden()
    step(page, 1)
    page.reload()
    expect(page.locator(".step-words")).to_contain_text("Batch 1 of 10")
    expect(page.locator(".step-account h2")).to_be_visible()
    command(page, "Resume").click()
    expect(page.locator(".studio-status")).to_contain_text("is trained")
    expect(page.locator(".step-view")).to_be_hidden()
