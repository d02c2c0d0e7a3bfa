"""The tab Read in a real browser: drawing, photos, the camera, the strip of steps, corrections."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import digitlab as dl
from digitlab.data.idx import read_idx
from digitlab.training.pages import compose_page

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")

pytestmark = pytest.mark.browser

# Reading takes a second, and on a machine that does something else as well, several.
api.expect.set_options(timeout=30_000)

Open = Callable[..., "api.Page"]

# As parts of the sheet's width and height.
THREE = [(0.06, 0.25), (0.13, 0.15), (0.2, 0.25), (0.18, 0.4), (0.12, 0.47), (0.2, 0.55), (0.21, 0.72), (0.13, 0.82), (0.05, 0.74)]  # fmt: skip # noqa: E501
ONE = [(0.42, 0.15), (0.41, 0.82)]
SEVEN = [(0.6, 0.18), (0.8, 0.17), (0.69, 0.82)]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio") / "runs"


@pytest.fixture(scope="module")
def studio(serve: Callable[..., Any], out: Path) -> Any:
    return serve(out)


@pytest.fixture(scope="module")
def page_of_numbers() -> tuple[bytes, tuple[str, ...]]:
    page = compose_page(dl.MnistData.load().test, seed=2)
    file = io.BytesIO()
    Image.fromarray(page.pixels).save(file, "PNG")
    return file.getvalue(), page.numbers


def read_tab(visit: Open, **settings: Any) -> api.Page:
    page = visit("?tab=read", reduced_motion="reduce", **settings)
    api.expect(page.locator(".draw-pad canvas")).to_be_visible()
    return page


def draw(page: api.Page, *strokes: Sequence[tuple[float, float]]) -> None:
    box = page.locator(".draw-pad canvas").bounding_box()
    assert box is not None
    for stroke in strokes:
        for k, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
            if k == 0:
                page.mouse.down()
        page.mouse.up()
    api.expect(page.locator(".draw-pad")).to_have_attribute("aria-busy", "false", timeout=60_000)


def answer(page: api.Page) -> api.Locator:
    return page.locator(".drawn-text")


def upload(page: api.Page, content: bytes, name: str = "page.png", kind: str = "image/png") -> None:
    with page.expect_response(lambda reply: reply.url.endswith("/file"), timeout=60_000):
        page.locator('input[type="file"]:not([capture])').set_input_files(
            [{"name": name, "mimeType": kind, "buffer": content}]
        )


def scrolls_sideways(page: api.Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_a_digit_drawn_with_the_mouse_is_answered_and_can_be_taken_back(visit: Open) -> None:
    page = read_tab(visit)
    empty = "Draw a digit: it is answered while you draw."
    api.expect(page.locator(".drawn-says")).to_have_text(empty)
    bars = page.locator(".eleven-bars li")
    # An empty sheet is no answer.
    api.expect(bars.last).to_have_text("No digit")
    api.expect(page.locator(".eleven-bars .is-best")).to_have_count(0)
    draw(page, THREE)
    api.expect(answer(page)).to_have_text("3")
    api.expect(page.locator(".eleven-bars .is-best .eleven-name")).to_have_text("3")
    api.expect(bars).to_have_count(11)
    draw(page, ONE, SEVEN)
    api.expect(answer(page)).to_have_text("317")
    page.get_by_role("button", name=re.compile("^1, ")).click()
    api.expect(page.locator(".eleven-bars .is-best .eleven-name")).to_have_text("1")
    page.keyboard.press("Control+z")
    api.expect(answer(page)).to_have_text("31")
    page.get_by_role("button", name="Undo").click()
    api.expect(answer(page)).to_have_text("3")
    page.get_by_role("button", name="Clear").click()
    api.expect(page.locator(".drawn-says")).to_have_text(empty)
    api.expect(page.get_by_role("status").filter(has_text=empty)).to_have_count(1)
    api.expect(page.locator(".eleven-bars .is-best")).to_have_count(0)


def test_a_digit_is_drawn_with_the_keyboard_alone(visit: Open) -> None:
    page = read_tab(visit)
    page.locator(".draw-pad canvas").focus()
    for key, times in (("ArrowUp", 10), ("Space", 1), ("ArrowDown", 20), ("Space", 1)):
        for _ in range(times):
            page.keyboard.press(key)
    api.expect(answer(page)).to_have_text("1", timeout=60_000)


def test_a_pen_that_presses_harder_draws_wider(visit: Open) -> None:
    page = read_tab(visit)
    widths = []
    for pressure in (0.1, 0.9):
        if widths:
            page.get_by_role("button", name="Clear").click()
        page.evaluate(
            """pressure => {
                const canvas = document.querySelector(".draw-pad canvas");
                canvas.setPointerCapture = () => {};
                const box = canvas.getBoundingClientRect();
                const send = (kind, y) => canvas.dispatchEvent(new PointerEvent(kind, {
                    pointerId: 7, pointerType: "pen", pressure, button: 0, bubbles: true,
                    clientX: box.x + box.width / 2, clientY: box.y + y * box.height }));
                send("pointerdown", 0.2); send("pointermove", 0.8); send("pointerup", 0.8);
            }""",
            pressure,
        )
        widths.append(
            page.evaluate(
                """() => {
                    const canvas = document.querySelector(".draw-pad canvas");
                    const row = canvas.getContext("2d").getImageData(0, canvas.height >> 1, canvas.width, 1).data;
                    return row.filter((v, i) => i % 4 === 3 && v > 127).length;
                }"""
            )
        )
    assert widths[1] > 2 * widths[0] > 0


def test_a_photo_has_a_box_around_every_digit_where_it_stands(
    visit: Open, page_of_numbers: tuple[bytes, tuple[str, ...]]
) -> None:
    content, numbers = page_of_numbers
    page = read_tab(visit)
    upload(page, content)
    marks = page.locator(".mark:not(.is-refused)")
    api.expect(marks.first).to_be_visible()
    read = page.locator(".numbers-text").inner_text().split()
    assert len(set(read) & set(numbers)) >= 5
    assert marks.count() == sum(map(len, read))
    image = page.locator(".photo-sheet img").bounding_box()
    ink = np.asarray(Image.open(io.BytesIO(content)).convert("L")) < 90
    assert image is not None
    for k in range(0, marks.count(), 4):
        box = marks.nth(k).bounding_box()
        assert box is not None
        x, y = ink.shape[1] / image["width"], ink.shape[0] / image["height"]
        left, top = (box["x"] - image["x"]) * x, (box["y"] - image["y"]) * y
        inside = ink[round(top) : round(top + box["height"] * y), round(left) : round(left + box["width"] * x)]
        assert inside.mean() > 0.1
    marks.first.click()
    page.get_by_role("group", name="The chosen mark").get_by_role("button", name="Not a digit").click()
    api.expect(page.locator(".photo-correcting")).to_contain_text("Not a digit, as you say")
    api.expect(page.locator(".refused-head")).to_have_text(re.compile("marks? refused"))
    page.get_by_role("button", name="As it was read").click()
    page.get_by_role("button", name="Larger").click()
    page.wait_for_function("(e => e.scrollWidth > e.clientWidth)(document.querySelector('.photo-window'))")
    assert not scrolls_sideways(page)
    for kind in ("CSV", "JSON"):
        page.get_by_role("button", name="Save: Numbers").click()
        with page.expect_download() as started:
            page.get_by_text(f"{kind} file").click()
        assert read[0] in Path(started.value.path()).read_text()


def test_files_are_dropped_and_pasted_and_bad_ones_are_told(
    visit: Open, page_of_numbers: tuple[bytes, tuple[str, ...]]
) -> None:
    page = read_tab(visit, expect=("status of 422",))
    upload(page, b"not an image", "broken.png")
    api.expect(page.locator(".photo-source [role=alert]")).to_have_text(re.compile(r"broken\.png is no image .*\."))
    give = """([kind, content]) => {
        const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], kind + ".png", { type: "image/png" }));
        const where = kind === "paste" ? document.body : document.querySelector(".photo-source");
        const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true })
                                       : new DragEvent(kind, { dataTransfer: data, bubbles: true });
        where.dispatchEvent(event);
    }"""
    for kind in ("paste", "drop"):
        page.evaluate(give, [kind, base64.b64encode(page_of_numbers[0]).decode()])
        api.expect(page.locator(".photo-sheet img")).to_have_attribute("alt", f"{kind}.png")
    api.expect(page.locator(".photo-source [role=alert]")).to_have_count(0)


def test_the_camera_takes_a_picture_or_a_sentence_says_why_not(visit: Open) -> None:
    page = read_tab(visit)
    assert page.evaluate("document.featurePolicy.allowsFeature('camera')")
    page.evaluate(
        """() => {
            const sheet = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
            const pen = sheet.getContext("2d");
            const paint = () => {
                pen.fillStyle = "#ddd"; pen.fillRect(0, 0, 640, 360); pen.fillStyle = "#222";
                pen.font = "160px sans-serif"; pen.fillText("47", 200, 230);
            };
            paint(); setInterval(paint, 50);
            navigator.mediaDevices.getUserMedia = async () => sheet.captureStream(20);
        }"""
    )
    page.get_by_role("button", name="Take a picture").click()
    page.wait_for_function("document.querySelector('.camera video')?.videoWidth > 0")
    page.get_by_role("button", name="Take it").click()
    api.expect(page.locator(".photo-sheet img")).to_have_attribute("alt", "camera.jpg")
    api.expect(page.locator(".mark").first).to_be_visible()
    api.expect(page.locator(".camera")).to_have_count(0)
    page.evaluate("() => Object.defineProperty(window, 'isSecureContext', { value: false })")
    with page.expect_file_chooser():
        page.get_by_role("button", name="Take a picture").click()
    api.expect(page.locator(".photo-source")).to_contain_text("only to pages from this machine or over HTTPS")


def test_without_centring_the_network_sees_a_corner(visit: Open) -> None:
    page = read_tab(visit)
    draw(page, THREE)
    frames = page.locator(".reading-steps li").last
    api.expect(frames.locator("h3")).to_contain_text("28")
    api.expect(page.locator(".reading-steps-end")).to_contain_text("So it reads: 3")
    before = frames.locator("img").get_attribute("src")
    page.get_by_role("switch", name="Centre each digit").focus()
    page.keyboard.press("Space")
    api.expect(frames).to_have_class("is-off")
    api.expect(frames).to_contain_text("corner")
    assert frames.locator("img").get_attribute("src") != before


def test_a_corrected_digit_is_kept_and_learned_from(visit: Open, out: Path) -> None:
    page = read_tab(visit)
    draw(page, THREE)
    api.expect(answer(page)).to_have_text("3")
    page.get_by_role("group", name="What this mark really is").get_by_role("button", name="It is a 5").click()
    api.expect(page.locator(".correcting-note").first).to_have_text("Corrected: a 5.")
    api.expect(answer(page)).to_have_text("5")
    page.get_by_role("button", name="Show an example").click()
    page.locator(".mark").first.focus()
    page.keyboard.press("ArrowRight")
    value = page.evaluate("document.activeElement.textContent.trim()")
    page.keyboard.press(value)
    api.expect(page.locator(".photo-view .correcting-note")).to_have_text(f"Corrected: a {value}.")
    page.keyboard.press("End")
    page.keyboard.press("Delete")
    api.expect(page.locator(".corrections-says")).to_have_text("3 corrections kept, 1 of them not a digit.")
    labels = read_idx(out.parent / "corrections" / "corrections-labels-idx1-ubyte")
    assert labels.tolist() == [5, int(value), 10]
    page.get_by_role("button", name="Remove correction 2").click()
    api.expect(page.locator(".correction-list li")).to_have_count(2)
    page.get_by_role("button", name="Learn from my corrections").click()
    api.expect(page.get_by_role("progressbar", name="Progress of learning")).to_be_visible()
    table = page.locator(".learned-table tbody tr")
    api.expect(table).to_have_count(4, timeout=60_000)
    api.expect(table.nth(0)).to_contain_text(re.compile("These corrections.*of.2.*of.2"))
    api.expect(table.nth(1)).to_contain_text(re.compile("MNIST test images, at most 2,000.*of.2,000"))
    api.expect(table.nth(2)).to_contain_text(re.compile("Digits of a composed page.*of.98"))
    api.expect(table.nth(3)).to_contain_text("Marks on the photos and the drawing here")
    take = page.get_by_role("button", name="Use it all the same")
    if take.is_visible():  # whether a few corrections harm is for the network to say
        take.click()
    network = page.get_by_role("combobox", name="Network").first
    api.expect(network).to_have_value(re.compile("^Run .*corrected"))
    page.get_by_role("button", name="Go back to the shipped reader").click()
    api.expect(network).to_have_value("The shipped reader")
    api.expect(answer(page)).to_have_text("5")


def test_a_mark_is_corrected_where_it_stands_and_all_results_follow(
    visit: Open, page_of_numbers: tuple[bytes, tuple[str, ...]]
) -> None:
    page = read_tab(visit)
    upload(page, page_of_numbers[0])
    text, panel, mark = page.locator(".numbers-text"), page.locator(".photo-correcting"), page.locator(".mark").first
    mark.click()
    before = text.inner_text().split()
    value = (int(before[0][0]) + 1) % 10
    a, b = mark.bounding_box(), panel.bounding_box()
    assert a is not None
    assert b is not None
    assert abs(a["x"] - b["x"]) < 40
    assert min(abs(a["y"] + a["height"] - b["y"]), abs(b["y"] + b["height"] - a["y"])) < 40
    # The keyboard goes from the mark straight to what can be said of it.
    for _ in range(2):
        page.keyboard.press("Tab")
    assert panel.evaluate("panel => panel.contains(document.activeElement)")
    panel.get_by_role("button", name=f"It is a {value}").click()
    api.expect(panel).to_contain_text(f"{value}, as you say; it was read as {before[0][0]}.")
    api.expect(text).to_contain_text(f"{value}{before[0][1:]}")
    number = page.get_by_role("textbox", name="The whole number")
    api.expect(number).to_have_value(f"{value}{before[0][1:]}")
    number.fill("123456")
    number.press("Enter")
    api.expect(text).to_contain_text("123456")
    row = page.locator(".numbers-table tbody tr").nth(1)
    row.get_by_role("textbox").fill("77")
    row.get_by_role("textbox").press("Enter")
    api.expect(row).to_contain_text("corrected")
    for kind in ("CSV", "JSON"):
        page.get_by_role("button", name="Save: Numbers").click()
        with page.expect_download() as started:
            page.get_by_text(f"{kind} file").click()
        saved = Path(started.value.path()).read_text()
        assert "123456" in saved
        assert "77" in saved
    page.get_by_role("button", name="Save: Numbers").click()
    with page.expect_download() as started:
        page.get_by_text("PNG file").click()
    with Image.open(started.value.path()) as overlay:
        assert overlay.size == (900, 560)
    mark.focus()
    mark.press("Enter")
    panel.get_by_role("button", name="As it was read").click()
    api.expect(text).to_contain_text(before[0])
    page.keyboard.press("Escape")
    api.expect(panel).to_have_count(0)


def test_a_photo_is_turned_cropped_and_partly_hidden(
    visit: Open, page_of_numbers: tuple[bytes, tuple[str, ...]]
) -> None:
    page = read_tab(visit)
    upload(page, page_of_numbers[0])
    text, image = page.locator(".numbers-text"), page.locator(".photo-sheet img")
    api.expect(text).to_be_visible()
    whole = text.inner_text().split()

    def ratio() -> float:
        box = image.bounding_box()
        assert box is not None
        return float(box["width"] / box["height"])

    def only_these(numbers: list[str]) -> None:
        api.expect(page.locator(".photo-sheet.is-busy")).to_have_count(0)
        spaced = r"\s+".join(numbers)
        api.expect(text).to_have_text(re.compile(rf"^\s*{spaced}\s*$"))

    page.get_by_role("button", name="Turn right").click()
    page.wait_for_function("(e => e.naturalWidth < e.naturalHeight)(document.querySelector('.photo-sheet img'))")
    assert ratio() < 1
    api.expect(page.locator(".photo-sheet.is-busy")).to_have_count(0)
    page.get_by_role("button", name="Reset").click()
    only_these(whole)
    # The upper half, with the mouse.
    page.get_by_role("button", name="Crop").click()
    image.scroll_into_view_if_needed()
    page.locator(".photo-sheet").evaluate("e => e.scrollIntoView({ block: 'center' })")
    box = image.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 0.34 * box["height"], steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Crop to it").click()
    only_these(whole[:2])
    # The right half of that, with the keyboard.
    page.get_by_role("button", name="Leave out").click()
    for key, times in (("ArrowRight", 20), ("Shift+ArrowDown", 20), ("ArrowUp", 20), ("Shift+ArrowDown", 20)):
        for _ in range(times):
            page.keyboard.press(key)
    page.keyboard.press("Enter")
    api.expect(text).not_to_contain_text(f"{whole[0]} {whole[1]}")
    api.expect(text).to_have_text(re.compile(f"^{whole[0][0]}"))
    api.expect(page.locator(".photo-sheet.is-busy")).to_have_count(0)
    page.get_by_role("button", name="Leave out").click()
    page.keyboard.press("Escape")
    api.expect(page.locator(".photo-drawing")).to_have_count(0)
    page.get_by_role("button", name="Reset").click()
    only_these(whole)
    api.expect(page.get_by_role("button", name="Reset")).to_have_count(0)


def test_several_photos_stand_in_one_table_and_can_be_switched(
    visit: Open, page_of_numbers: tuple[bytes, tuple[str, ...]]
) -> None:
    page = read_tab(visit)
    pages = [Image.open(io.BytesIO(page_of_numbers[0])).convert("L"), Image.new("L", (900, 560), 230)]
    pages[1].paste(pages[0].crop((0, 0, 900, 200)))
    file = io.BytesIO()
    pages[0].save(file, "PDF", save_all=True, append_images=pages[1:])
    page.locator('input[type="file"]:not([capture])').set_input_files(
        [
            {"name": "two.pdf", "mimeType": "application/pdf", "buffer": file.getvalue()},
            {"name": "one.png", "mimeType": "image/png", "buffer": page_of_numbers[0]},
        ]
    )
    names = page.locator(".numbers-file")
    api.expect(names).to_have_text(["two.pdf", "two.pdf, page 2", "one.png"], timeout=60_000)
    image = page.locator(".photo-sheet img")
    api.expect(image).to_have_attribute("alt", "one.png")
    names.nth(1).click()
    api.expect(image).to_have_attribute("alt", "two.pdf, page 2")
    page.get_by_role("button", name="Save: Numbers").click()
    with page.expect_download() as started:
        page.get_by_text("CSV file").click()
    lines = Path(started.value.path()).read_text().splitlines()
    assert lines[0].startswith("file,page,line,number,digits,confidence,corrected,")
    assert {tuple(line.split(",")[:2]) for line in lines[1:]} == {("two.pdf", "1"), ("two.pdf", "2"), ("one.png", "1")}


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_scrolls_sideways_and_everything_can_be_tapped(visit: Open, width: int) -> None:
    page = read_tab(visit, width=width, height=740, has_touch=True)
    draw(page, THREE, ONE, SEVEN)
    api.expect(answer(page)).to_have_text("317")
    page.get_by_role("button", name="Show an example").click()
    page.locator(".mark").first.click()
    api.expect(page.locator(".reading-steps li")).to_have_count(9)
    assert not scrolls_sideways(page)
    heights = page.locator(".draw-pad .command, .label-keys .command, .photo-source .command").evaluate_all(
        "buttons => buttons.map(b => b.getBoundingClientRect().height)"
    )
    assert min(heights) >= 36
    assert page.locator(".draw-pad canvas").evaluate("e => getComputedStyle(e).touchAction") == "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_and_controls_have_names_in_light_and_dark(
    visit: Open, scheme: str, least_contrast: Callable[[Any], float]
) -> None:
    page = read_tab(visit, color_scheme=scheme)
    draw(page, THREE, ONE)
    page.get_by_role("button", name="Show an example").click()
    page.locator(".mark").first.click()
    api.expect(page.locator(".reading-steps li")).to_have_count(9)
    words = (
        ".eleven-bars li, .drawn-says, .mark > span, .mark-chips button, .label-keys button, .numbers-table td, "
        ".refused-list li, .refused-list b, .reading-step-sentence, .reading-switch span, .photo-legend, .numbers-text"
    )
    assert least_contrast(page.locator("#panel-read").locator(words)) >= 4.5
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("#panel-read button, #panel-read input, #panel-read [role=combobox]")]
            .filter(e => e.checkVisibility() && !e.closest("[aria-hidden=true]"))
            .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


def test_least_confidence_is_moved_by_keyboard_and_refuses_at_once(
    visit: Open, page_of_numbers: tuple[bytes, tuple[str, ...]]
) -> None:
    page = read_tab(visit)
    upload(page, page_of_numbers[0])
    boxes = page.locator(".photo-sheet .mark")
    api.expect(boxes.first).to_be_visible()
    told = page.locator(".read-choice > .muted:last-child")
    api.expect(told).to_contain_text("digits answered")
    before = page.locator(".photo-sheet img").get_attribute("src")
    n_marks, slider = boxes.count(), page.get_by_role("slider", name="Answer from")
    slider.press("End")
    n_digits = sum(map(len, page_of_numbers[1]))
    api.expect(told).to_contain_text("0 of ")
    api.expect(page.locator(".photo-sheet .mark:not(.is-refused)")).to_have_count(0)
    slider.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0 % sure"
    api.expect(page.locator(".photo-sheet .mark:not(.is-refused)")).to_have_count(n_digits)
    api.expect(told).to_contain_text("0 refused")
    assert boxes.count() == n_marks
    assert page.locator(".photo-sheet img").get_attribute("src") == before
    assert not scrolls_sideways(page)
