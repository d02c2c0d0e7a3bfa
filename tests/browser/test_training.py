"""The Training tab in a real browser: what needs JavaScript, a keyboard, two visitors, or eyes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")
expect = api.expect
# Compiling the kernels is waited for, too.
expect.set_options(timeout=60_000)

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]

# 20 batches an epoch, 60 in all.
SMALL = "?tab=training&network=dense_baseline&train_images=400&validation_images=50&batch_size=20&epochs=3"
N = 60
# 5,000 batches.
LONG = "?tab=training&network=dense_baseline&train_images=1000&validation_images=50&batch_size=10&epochs=50"
COMMANDS = ("Start", "Pause", "Step one batch", "Resume", "Stop", "Reset")

PROGRESS = ".progress-text"
# The n-th chart's own script, and how many of its first curve's points it knows.
CHART = "n => getElement(Number(document.querySelectorAll('.live-chart')[n].id.slice(1)))"
POINTS = (
    f"n => {{ const chart = ({CHART})(n); return chart.curves[0].groups.reduce((sum, group) => sum + group.n, 0) }}"
)


@pytest.fixture(autouse=True)
def rest(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no training behind for the next test."""
    yield
    if "studio" in request.fixturenames and "browser" in request.fixturenames:
        studio, browser = request.getfixturevalue("studio"), request.getfixturevalue("browser")
        with_page = browser.new_page()
        with_page.goto(studio.address + SMALL)
        with_page.wait_for_selector(PROGRESS)
        command(with_page, "Full speed", "switch").wait_for()
        if command(with_page, "Reset").get_attribute("aria-disabled") != "true":
            command(with_page, "Reset").click()
        expect(with_page.locator(PROGRESS)).to_contain_text("Batch 0 of")
        full(with_page)
        with_page.close()


def command(page: Any, name: str, role: str = "button") -> Any:
    return page.get_by_role(role, name=name, exact=True)


def enabled(page: Any) -> set[str]:
    return {name for name in COMMANDS if command(page, name).get_attribute("aria-disabled") != "true"}


def wait_enabled(page: Any, *names: str) -> None:
    for name in COMMANDS:
        attribute = expect(command(page, name))
        (attribute.not_to_have_attribute if name in names else attribute.to_have_attribute)("aria-disabled", "true")


def batch(page: Any) -> int:
    found = re.match(r"Batch ([\d,]+) of", page.locator(PROGRESS).inner_text())
    return int(found[1].replace(",", "")) if found else -1


def wait_batch(page: Any, least: int) -> None:
    page.wait_for_function(
        "([selector, least]) => Number(/Batch ([\\d,]+)/.exec(document.querySelector(selector).innerText)?.[1]"
        ".replaceAll(',', '')) >= least",
        arg=[PROGRESS, least],
    )


def speed(page: Any, position: int) -> None:
    """Go slower: position 0 is one batch a second, every sixth ten times as fast."""
    page.get_by_label("Speed", exact=True).fill(str(position))
    expect(command(page, "Full speed", "switch")).not_to_be_checked()


def full(page: Any) -> None:
    if not command(page, "Full speed", "switch").is_checked():
        command(page, "Full speed", "switch").click()
    expect(command(page, "Full speed", "switch")).to_be_checked()


def finish(page: Any) -> None:
    expect(page.locator(".studio-status")).to_contain_text("is trained")


def test_commands_start_pause_step_resume_stop_and_reset(visit: Visit) -> None:
    page = visit(SMALL)
    wait_enabled(page, "Start", "Step one batch")
    speed(page, 0)
    command(page, "Start").click()
    wait_enabled(page, "Pause", "Stop", "Reset")
    command(page, "Pause").click()
    wait_enabled(page, "Step one batch", "Resume", "Stop", "Reset")
    page.wait_for_timeout(1000)  # the batch under way is finished, and told
    before = batch(page)
    for n in (1, 2):
        command(page, "Step one batch").click()
        wait_batch(page, before + n)
        assert batch(page) == before + n
    full(page)
    speed(page, 6)
    command(page, "Resume").click()
    wait_batch(page, before + 4)
    command(page, "Stop").click()
    wait_enabled(page, "Start", "Resume", "Reset")
    assert "Stopped after batch" in page.locator(".studio-status").inner_text()
    full(page)
    command(page, "Resume").click()
    finish(page)
    assert page.evaluate(POINTS, 0) == N
    command(page, "Reset").click()
    wait_enabled(page, "Start", "Step one batch")
    expect(page.locator(PROGRESS)).to_contain_text(f"Batch 0 of {N}")


def test_what_fails_is_told_whole_at_every_width(visit: Visit) -> None:
    page = visit(SMALL + "&optimizer=sgd&learning_rate=1000")
    wait_enabled(page, "Start", "Step one batch")
    full(page)
    command(page, "Start").click()
    message = page.get_by_role("alert").filter(has_text="Try a learning rate ten times smaller.")
    expect(message).to_be_visible()
    expect(page.locator(".studio-status")).to_have_text("The training failed.")
    for width in (1440, 1280, 1024, 900, 600, 360):
        page.set_viewport_size({"width": width, "height": 800})
        for part in (".studio-message", ".studio-status"):
            assert page.locator(part).evaluate(
                "e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight + 1 && e.clientWidth > 120"
            ), (part, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    command(page, "Reset").click()
    expect(message).not_to_be_visible()


def test_a_paused_training_is_told_the_same_batch_everywhere(visit: Visit) -> None:
    page = visit(SMALL)
    for n in (1, 2, 3, 4):
        command(page, "Step one batch").click()
        wait_batch(page, n)
        expect(page.locator(".studio-status")).to_have_text(f"Paused after batch {n}.")
        expect(page.get_by_text(f"batch {n} of {n}", exact=True)).to_be_visible()
        assert "images/s" not in page.locator(PROGRESS).inner_text()
    command(page, "Reset").click()
    wait_enabled(page, "Start", "Step one batch")


def test_learning_rate_may_be_changed_while_paused(visit: Visit) -> None:
    page = visit(SMALL)
    command(page, "Step one batch").click()
    wait_batch(page, 1)
    page.get_by_label("Learning rate", exact=True).fill("0.25")
    page.get_by_text("The learning rate is 0.25 from the next batch on.").wait_for()
    command(page, "Step one batch").click()
    wait_batch(page, 2)
    page.get_by_role("button", name="Save: onBatchEnd").click()
    with page.expect_download() as download:
        page.get_by_text("CSV file").click()
    rows = [row.split(",") for row in Path(download.value.path()).read_text().splitlines()]
    column = rows[0].index("learning_rate")
    assert [float(row[column]) for row in rows[1:]] == [0.001, 0.25]


def test_error_stands_at_its_control_where_it_can_be_read(visit: Visit) -> None:
    page = visit(SMALL)
    page.get_by_label("Batch size").fill("0")
    error = page.get_by_text("Batch size must be at least 1; got 0.")
    error.wait_for()
    above, below = (page.get_by_label(name, exact=True).bounding_box() for name in ("Batch size", "Learning rate"))
    box = error.bounding_box()
    assert above["y"] < box["y"] < below["y"]
    assert box["y"] + box["height"] <= below["y"]
    assert "Start" not in enabled(page)
    page.get_by_label("Batch size").fill("20")
    expect(command(page, "Start")).not_to_have_attribute("aria-disabled", "true")


def test_time_travel_moves_cursor_values_digits_filters_and_address(visit: Visit) -> None:
    page = visit(SMALL)
    command(page, "Start").click()
    finish(page)
    page.get_by_text(f"weights, after batch {N}").wait_for()
    newest, picture = page.locator(".answer-view").inner_text(), filters(page)
    slider = page.get_by_label("Time travel")
    slider.focus()
    slider.press("Home")
    page.wait_for_function("before => document.querySelector('.answer-view').innerText !== before", arg=newest)
    assert slider.get_attribute("aria-valuetext") == f"batch 0 of {N}"
    page.wait_for_function(
        "before => document.querySelector('.filter-view canvas').toDataURL() !== before", arg=picture
    )
    for _ in range(7):
        slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", f"batch 7 of {N}")
    expect(page).to_have_url(re.compile(r"[?&]step=7$"))
    assert page.locator(".live-chart-cursor").count() == 4
    exact = page.evaluate(f"() => ({CHART})(0).curves[0].at(7)[1].toFixed(4)")
    expect(page.locator(".live-chart-entry b").first).to_have_text(exact)
    command(page, "Live").click()
    expect(slider).to_have_attribute("aria-valuetext", f"batch {N} of {N}")
    page.wait_for_function("before => document.querySelector('.answer-view').innerText === before", arg=newest)
    assert page.locator(".live-chart-cursor").count() == 0


def filters(page: Any) -> str:
    return page.evaluate("document.querySelector('.filter-view canvas').toDataURL()")


def test_click_into_a_chart_looks_at_that_batch(visit: Visit) -> None:
    page = visit(SMALL)
    command(page, "Start").click()
    finish(page)
    box = page.locator(".live-chart-plot").first.bounding_box()
    page.mouse.click(box["x"] + 52 + (box["width"] - 66) / 2, box["y"] + 60)
    expect(page.get_by_label("Time travel")).to_have_attribute("aria-valuetext", re.compile(f"batch (29|30|31) of {N}"))


def test_digits_tell_right_from_wrong_by_sign_and_not_by_color_alone(visit: Visit) -> None:
    page = visit(SMALL)
    page.locator(".answer-view .wrong").first.wait_for()
    for kind, sign in (("right", "✓"), ("wrong", "✗")):
        for one in page.locator(f".answer-view .{kind}").all():
            assert one.locator("b").inner_text().startswith(sign)
            assert f": {kind}, " in one.get_attribute("aria-label")
    assert page.locator(".answer-view li").count() == 20


def test_reload_in_the_middle_of_a_run_shows_it_from_its_start(visit: Visit) -> None:
    page = visit(SMALL)
    speed(page, 6)
    command(page, "Start").click()
    wait_batch(page, 5)
    page.reload()
    wait_batch(page, 6)
    page.wait_for_function(f"() => ({POINTS})(0) >= 6")
    assert page.evaluate(f"() => ({CHART})(0).curves[0].groups[0].low[0]") == 1
    wait_enabled(page, "Pause", "Stop", "Reset")  # it is still this visitor's
    assert page.get_by_label("Epochs").input_value() == "3"
    full(page)
    finish(page)
    assert page.evaluate(POINTS, 0) == N


def test_others_watch_and_are_told_until_the_owner_leaves(visit: Visit) -> None:
    owner = visit(SMALL)
    speed(owner, 6)
    command(owner, "Start").click()
    wait_batch(owner, 2)
    watcher = visit("?tab=training")
    expect(watcher.locator(".studio-status")).to_contain_text("Another page trains dense_baseline; watch it here")
    wait_enabled(watcher)
    wait_batch(watcher, 4)
    command(owner, "Pause").click()
    wait_enabled(owner, "Step one batch", "Resume", "Stop", "Reset")
    watcher.get_by_label("Time travel").fill("1")
    expect(watcher.get_by_label("Time travel")).to_have_attribute("aria-valuetext", re.compile("^batch 1 of"))
    assert owner.get_by_label("Time travel").get_attribute("aria-valuetext").startswith(f"batch {batch(owner)} of")
    owner.close()
    wait_enabled(watcher, "Step one batch", "Resume", "Stop", "Reset")


def test_everything_can_be_done_with_the_keyboard(visit: Visit) -> None:
    page = visit(SMALL)
    wait_enabled(page, "Start", "Step one batch")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.innerText || document.activeElement.ariaLabel || document.activeElement.type"
            )
        )
        if reached[-1] == "Start":
            break
    assert "Training" in reached, reached
    assert reached[-1] == "Start", reached
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    finish(page)
    assert page.evaluate("document.activeElement.innerText") == "Start"  # the focus was not lost meanwhile
    page.get_by_role("tab", name="Training").focus()
    for name in ("Network", "Evaluation"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tab", name=name)).to_be_focused()
    page.keyboard.press("Home")
    expect(page.get_by_role("tab", name="Input Data")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Runs")).to_be_focused()


def test_training_steals_neither_the_focus_nor_the_tab(visit: Visit) -> None:
    page = visit(SMALL)
    speed(page, 9)
    command(page, "Start").click()
    page.get_by_label("Epochs").click()
    page.keyboard.type("4")
    wait_batch(page, 20)
    page.keyboard.type("2")
    full(page)
    page.get_by_label("Epochs").focus()
    finish(page)
    expect(page.get_by_label("Epochs")).to_be_focused()
    assert page.get_by_label("Epochs").input_value() in ("342", "423", "432")
    page.get_by_role("tab", name="Model").click()
    command(page, "Start")
    expect(page.get_by_role("tab", name="Model")).to_have_attribute("aria-selected", "true")


def test_nothing_jumps_while_it_trains(visit: Visit) -> None:
    page = visit(SMALL)
    page.locator(".answer-view .wrong").first.wait_for()
    page.evaluate(
        "() => { window.jumped = 0; new PerformanceObserver((list) => { for (const entry of list.getEntries())"
        " window.jumped += entry.value; }).observe({ type: 'layout-shift' }) }"
    )
    command(page, "Start").focus()
    page.keyboard.press("Enter")
    finish(page)
    slider = page.get_by_label("Time travel")
    for step in ("0", "30"):
        slider.fill(step)
    expect(slider).to_have_attribute("aria-valuetext", f"batch 30 of {N}")
    assert page.evaluate("window.jumped") < 0.005


@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_page_fits_every_width(visit: Visit, width: int) -> None:
    page = visit(SMALL, width=width)
    command(page, "Start").click()
    finish(page)
    for tab in ("Input Data", "Model", "Network", "Evaluation", "Runs", "Training"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        if tab == "Network":
            page.locator(".arithmetic h2").wait_for()
        if tab in ("Network", "Training"):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in COMMANDS:
        box = command(page, name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_light_and_dark_are_the_systems(visit: Visit, scheme: str, is_dark: bool) -> None:
    page = visit(SMALL, color_scheme=scheme)
    command(page, "Start").click()
    finish(page)
    for selector in ("body", ".studio-head"):
        assert lightness(page, selector) < 60 if is_dark else lightness(page, selector) > 230
    drawn = page.evaluate(f"() => ({CHART})(0).chart.getOption().series[0].color")
    page.emulate_media(color_scheme="light" if is_dark else "dark")
    page.wait_for_function(f"before => ({CHART})(0).chart.getOption().series[0].color !== before", arg=drawn)
    assert lightness(page, "body") > 230 if is_dark else lightness(page, "body") < 60


def lightness(page: Any, selector: str) -> float:
    color = page.evaluate("s => getComputedStyle(document.querySelector(s)).backgroundColor", selector)
    return sum(float(number) for number in re.findall(r"\d+", color)[:3]) / 3


def test_reduced_motion_is_respected(visit: Visit) -> None:
    page = visit(SMALL, reduced_motion="reduce")
    durations = page.evaluate(
        "[...document.querySelectorAll('*')].map((e) => parseFloat(getComputedStyle(e).transitionDuration))"
    )
    assert max(durations) < 0.001


def test_five_thousand_batches_keep_the_page_small_and_quick(visit: Visit) -> None:
    page = visit(LONG)
    page.evaluate(
        """() => {
            window.longest = 0;
            const { frame } = window.studio;
            window.studio.frame = async (calls) => {
                const took = await frame.call(window.studio, calls);
                window.longest = Math.max(window.longest, took);
                return took;
            };
        }"""
    )
    command(page, "Start").click()
    wait_batch(page, 1000)
    # In the middle of it, the page answers.
    page.get_by_role("tab", name="Input Data").click()
    expect(page.get_by_role("tab", name="Input Data")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Training").click()
    wait_batch(page, 5000)
    finish(page)
    page.wait_for_function(f"() => ({POINTS})(0) === 5000")
    groups, points, last = page.evaluate(
        f"() => {{ const [curve] = ({CHART})(0).curves;"
        " return [curve.groups.length, curve.points().length, curve.last[0]] }"
    )
    assert groups <= 1024
    assert points <= 2 * 1024 + 1
    assert last == 5000
    page.get_by_label("Time travel").fill("2500")
    expect(page.get_by_label("Time travel")).to_have_attribute("aria-valuetext", "batch 2,500 of 5,000")


def test_thinned_curve_keeps_every_peak_and_both_ends(visit: Visit) -> None:
    page = visit(SMALL)
    page.locator(".answer-view .wrong").first.wait_for()
    lowest, highest, first, last, n = page.evaluate(
        f"""() => {{
          const {{ constructor: Curve }} = ({CHART})(0).curves[0];
          const curve = new Curve();
          for (let x = 1; x <= 100000; x += 1) curve.add(x, x === 77777 ? 9 : x === 33333 ? -9 : Math.sin(x));
          const points = curve.points();
          const inOrder = points.every(([x], i) => i === 0 || points[i - 1][0] < x);
          const ys = points.map(([, y]) => y);
          return [Math.min(...ys), Math.max(...ys), points[0][0] <= 128 && inOrder, points.at(-1)[0], points.length];
        }}"""
    )
    assert (lowest, highest, first, last) == (-9, 9, True, 100000)
    assert n <= 2049


def test_slow_browser_gets_fewer_frames_but_every_point(visit: Visit) -> None:
    page = visit(SMALL)
    page.evaluate("() => { window.frames_ = 0; const { frame } = window.studio; window.studio.frame = (calls) => {"
                  " window.frames_ += 1; return frame.call(window.studio, calls); } }")  # fmt: skip
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 6})
    speed(page, 12)
    command(page, "Start").click()
    finish(page)
    page.wait_for_function(f"() => ({POINTS})(0) === {N}")
    xs = page.evaluate(f"() => ({CHART})(0).curves[0].points().map(([x]) => x)")
    assert xs == list(range(1, N + 1))


def test_charts_are_saved_as_pictures(visit: Visit) -> None:
    page = visit(SMALL)
    command(page, "Start").click()
    finish(page)
    files = {}
    for kind in ("PNG", "SVG", "JSON"):
        page.get_by_role("button", name="Save: onBatchEnd").click()
        with page.expect_download() as download:
            page.get_by_text(f"{kind} file").click()
        assert download.value.suggested_filename == f"onbatchend.{kind.lower()}"
        files[kind] = Path(download.value.path()).read_bytes()
        page.locator(".q-menu").wait_for(state="detached")
    image = Image.open(io.BytesIO(files["PNG"]))
    assert image.width > 2 * image.height
    assert len(image.getcolors(1_000_000)) > 20
    drawing = files["SVG"].decode()
    assert drawing.count("<svg") == 3
    for word in ("Batch", "Loss (nats)", "Accuracy", "val_loss", "acc", "80 %"):
        assert word in drawing
    assert "script" not in drawing


def test_lesson_link_opens_the_same_page_for_others(visit: Visit) -> None:
    page = visit(SMALL, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Epochs").fill("2")
    page.get_by_label("Optimizer").click()
    page.get_by_role("option", name="sgd").click()
    expect(page).to_have_url(re.compile("epochs=2.*optimizer=sgd"))
    page.get_by_role("button", name="Copy lesson link").click()
    page.get_by_text("The link is copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    other = visit(at=link)
    assert other.get_by_label("Epochs").input_value() == "2"
    assert other.get_by_label("Optimizer").input_value() == "sgd"


def test_codelabs_run_starts_by_itself_and_its_digits_become_right(visit: Visit, serve: Callable[..., Any]) -> None:
    page = visit(at=serve(autostart=True).address, width=1280)
    expect(page.get_by_role("tab", name="Network")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Training").click()
    finish(page)
    expect(page.locator(PROGRESS)).to_contain_text("Batch 110 of 110")
    page.locator(".answer-view .right").first.wait_for()
    page.wait_for_function("() => document.querySelectorAll('.answer-view .right').length >= 15")
    expect(page.get_by_role("tab", name="Training")).to_have_attribute("aria-selected", "true")


def test_lost_connection_is_a_sentence_and_the_page_comes_back(visit: Visit, serve: Callable[..., Any]) -> None:
    studio = serve()
    page = visit(SMALL, at=studio.address, expect=("ERR_CONNECTION_REFUSED", "CLOSING or CLOSED"))
    command(page, "Start").click()
    finish(page)
    assert studio.end() == 0
    page.get_by_text("The connection to digitlab is lost.").wait_for()
    studio.start()
    expect(page.locator(".studio-status")).to_contain_text("Nothing is being trained.")
    wait_enabled(page, "Start", "Step one batch")
    expect(page.get_by_text("The connection to digitlab is lost.")).to_be_hidden()


def test_token_in_the_address_lets_the_whole_page_in(visit: Visit, serve: Callable[..., Any]) -> None:
    token = "a-token-of-good-length"
    studio = serve(token=token)
    page = visit(SMALL + f"&token={token}", at=studio.address)
    command(page, "Start").click()
    finish(page)
    assert token not in page.url
    cookie = page.context.cookies()[0]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert page.evaluate("document.cookie") == ""
    stranger = visit(at=studio.address, expect=("401",))
    assert "401: This Studio asks for its token" in stranger.inner_text("body")
