"""The page of an image's way through a network shows the real numbers, and every sum on it adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.explanation.inside import Inside
from digitlab.explanation.inside_page import write_inside_page
from digitlab.network.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    ZeroPadding2D,
)

pytestmark = pytest.mark.browser

OTHER = dl.Architecture(
    [
        ZeroPadding2D(1),
        Conv2D(4, 3, strides=2, padding="same", activation="tanh", bias_initializer="he_normal"),
        AveragePooling2D(3, strides=2, padding="same"),
        Dropout(0.5),
        Conv2D(3, 2, activation="leaky_relu"),
        ELU(0.5),
        GlobalAveragePooling2D(),
        Dense(10),
        Activation("softmax"),
    ]
)


@pytest.fixture(scope="module")
def given() -> Callable[[str], tuple[dl.Sequential, NDArray[np.uint8]]]:
    """Return networks and a test image as each takes it."""
    data = dl.MnistData.load()
    codelab = dl.codelab_cnn(seed=0)
    codelab.fit(data.training.images[:2000], data.training.labels[:2000], epochs=3, batch_size=128)
    rows = dl.Architecture([Dense(20, activation="sigmoid"), Dense(10, activation="softmax")], (784,))
    models = {
        "codelab": codelab,
        "other": dl.Sequential.from_architecture(OTHER, seed=1),
        "dense": dl.Sequential.from_architecture(rows, seed=1),
    }
    image = data.test.images[4]
    return lambda name: (models[name], image.reshape(-1) if name == "dense" else image)


@pytest.fixture(scope="module")
def seen(given: Callable[[str], Any]) -> Callable[[str], Inside]:
    """Return the way of the test image through networks."""
    return lambda name: dl.look_inside(*given(name))


@pytest.fixture
def open_inside(
    browser: Any, tmp_path: Path, given: Callable[[str], Any], seen: Callable[[str], Inside]
) -> Iterator[Callable[..., Any]]:
    """Open the page from the disk; it may ask for nothing else, and not complain."""
    contexts, complaints = [], []

    def go(name: str, beside: tuple[dl.Sequential, Inside] | None = None, **settings: Any) -> Any:
        path = tmp_path / f"{name}.html"
        names = ("<i>Trained</i>", "Before")
        write_inside_page(given(name)[0], seen(name), path, "<b>Why</b> & how", beside=beside, names=names)
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url == path.as_uri() or complaints.append(request.url))
        page.goto(path.as_uri())
        page.locator(".arithmetic h2").last.wait_for()
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def number(text: str) -> float:
    return float(text.replace("−", "-").rstrip(" %"))


def shown(page: Any, selector: str, side: int = 0) -> list[float]:
    return [number(text) for text in page.locator(f".arithmetic.of-{side} {selector}").all_text_contents()]


def assert_written(value: float, text: str) -> None:
    """A value is what is written, to the digits that are."""
    text = text.rstrip(" %")
    assert value == pytest.approx(number(text), abs=0.5 * 10 ** -len(text.partition(".")[2]) + 1e-9), text


def assert_multiplies(text: str) -> None:
    """Of ``a × b × c``, a times b is c as it is written."""
    a, b, product = text.split(" × ")
    assert_written(number(a) * number(b), product)


def assert_softmax_is_right(page: Any, box: str) -> None:
    """Every exponential and probability is that of the figures that stand beside it, and all add up to the foot."""
    rows = [row.locator("td").all_text_contents() for row in page.locator(f"{box} .softmax tbody tr").all()]
    _, whole, total = page.locator(f"{box} .softmax tfoot td").all_text_contents()
    most = max(number(told) for told, _, _ in rows)
    for told, exponential, percent in rows:
        assert_written(float(np.exp(number(told) - most)), exponential)
        assert_written(100 * number(exponential) / number(whole), percent)
    assert sum(number(percent) for _, _, percent in rows) == pytest.approx(number(total), abs=1e-9)


def assert_adds_up(page: Any, inside: Inside, layer: str, unit: tuple[int, ...], side: int = 0) -> None:
    """What is shown of a unit adds up as it is shown, and is what Python says."""
    why, box = inside.why(layer, *unit), f".arithmetic.of-{side}"
    assert number(page.locator(f"{box} h2 .result").text_content()) == pytest.approx(why.output, abs=6e-5)
    for block, total in ((".grid.adds td", ".channel-sum"), (".column-sum .term", ".column-sum .sum")):
        terms = shown(page, block, side)
        if terms:
            (told,) = page.locator(f"{box} {total}").all_text_contents()
            n_digits = len(told.partition(".")[2])
            assert f"{sum(terms):.{n_digits}f}" == f"{number(told):.{n_digits}f}"
    for told in page.locator(f"{box} .one-product").all_text_contents():
        assert_multiplies(told.rpartition(": ")[2].replace(" = ", " × "))
    for row in page.locator(f"{box} .column-sum tbody tr").all():
        name, told = row.locator("th").text_content(), row.locator(".term").text_content()
        if "×" in name:
            assert_multiplies(f"{name.rpartition(': ')[2]} × {told}")
    if "AveragePooling" in why.kind and (values := shown(page, ".grid.pool td", side)):
        assert_written(sum(values) / len(values), page.locator(f"{box} .channel-sum").text_content())
    for told in page.locator(f"{box} .column-sum .sum").all_text_contents():
        assert number(told) == pytest.approx(why.total, abs=0.6 * 10 ** -len(told.partition(".")[2]))
    if why.activation == "softmax":
        (told,) = page.locator(f"{box} .softmax .sum").all_text_contents()
        rounding = 0.501 * 10 ** -len(told.partition(".")[2])
        assert sum(shown(page, ".softmax .term", side)) == pytest.approx(number(told), abs=rounding)
        assert shown(page, ".softmax tbody tr.is-chosen td:last-child", side)[0] == pytest.approx(
            100 * why.output, abs=0.006
        )
        assert_softmax_is_right(page, box)


@pytest.mark.parametrize("name", ["codelab", "other", "dense"])
def test_every_number_of_every_layer_adds_up(
    open_inside: Callable[..., Any], seen: Callable[[str], Inside], name: str
) -> None:
    page, inside = open_inside(name), seen(name)
    for layer in inside.layers[:-1]:
        shape = layer.outputs.shape
        words = f"{layer.layer.name}, " + ("map 0" if len(shape) == 3 else f"all {shape[0]} numbers")
        page.locator(f"canvas[aria-label='{words}']").focus()
        page.keyboard.press("Enter")
        for key in ("ArrowRight", "ArrowDown", "PageDown", "ArrowDown", "ArrowLeft"):
            page.keyboard.press(key)
            heading = page.locator(".arithmetic h2").text_content()
            unit = tuple(int(word) for word in heading.partition("=")[0].replace(",", " ").split() if word.isdecimal())
            assert_adds_up(page, inside, layer.layer.name, unit)
    for label in (4, 9):
        page.locator("button.answer").nth(label).click()
        assert_adds_up(page, inside, inside.layers[-1].layer.name, (label,))


def test_the_window_slides_with_the_arrow_keys_and_is_told(
    open_inside: Callable[..., Any], seen: Callable[[str], Inside]
) -> None:
    page, inside = open_inside("codelab"), seen("codelab")
    page.locator("canvas[aria-label='conv2d, map 2']").click(position={"x": 30, "y": 30})
    told = page.get_by_role("status")
    before = told.text_content()
    page.keyboard.press("ArrowRight")
    after = told.text_content()
    place = [int(text.partition("column ")[2].partition(",")[0]) for text in (before, after)]
    assert place[1] == place[0] + 1
    row = int(after.partition("row ")[2].partition(",")[0])
    window = inside.image[row : row + 5, place[1] : place[1] + 5, 0].ravel()
    assert shown(page, ".products > div:first-child td") == pytest.approx(window.tolist(), abs=0.006)


def test_any_one_multiplication_of_the_window_is_written_out_by_keyboard(
    open_inside: Callable[..., Any], seen: Callable[[str], Inside]
) -> None:
    page, inside = open_inside("codelab"), seen("codelab")
    page.locator("canvas[aria-label='conv2d, map 2']").focus()
    page.keyboard.press("Enter")
    heading = page.locator(".arithmetic h2").text_content().partition("=")[0].replace(",", " ")
    row, column, channel = (int(word) for word in heading.split() if word.isdecimal())
    why = inside.why("conv2d", row, column, channel)
    page.get_by_role("grid").locator("td[tabindex='0']").focus()
    for key in ("ArrowUp", "ArrowLeft") * 5:  # to the first, and not beyond
        page.keyboard.press(key)
    for at, key in enumerate(("ArrowRight", "ArrowRight", "ArrowDown")):
        page.keyboard.press(key)
        term = why.terms[(1, 2, 7)[at]]
        told = page.locator(".one-product").text_content()
        assert told.startswith(f"Row {term.place[0]}, column {term.place[1]}: ")
        a, b, product = told.rpartition(": ")[2].replace(" = ", " × ").split(" × ")
        for text, value in ((a, term.value), (b, term.weight), (product, term.product)):
            assert_written(value, text)
        assert_multiplies(f"{a} × {b} × {product}")
        assert page.evaluate("document.activeElement.matches('.adds .is-one')")
        assert page.get_by_role("status").text_content() == told
    page.locator("canvas[aria-label='conv2d, map 2']").focus()
    page.keyboard.press("ArrowDown")  # the same weight, one row below
    assert page.locator(".one-product").text_content().startswith(f"Row {row + 2}, column {column + 2}: ")


def test_what_is_shown_is_named_escaped_and_fits_a_phone(open_inside: Callable[..., Any]) -> None:
    page = open_inside("codelab", viewport={"width": 390, "height": 844}, color_scheme="dark")
    assert page.locator("h1").text_content() == "<b>Why</b> & how"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    unnamed = page.evaluate(
        "[...document.querySelectorAll('canvas, button, select, input')]"
        ".filter((e) => !e.getAttribute('aria-label') && !e.closest('label')).length"
    )
    assert unnamed == 0


def gains(page: Any, side: int) -> list[float]:
    """What stands beside the answers of a side, in points of percent."""
    return [number(text.lstrip("+±")) for text in page.locator(f".network.of-{side} .gain").all_text_contents()]


SHADES = """e => { const c = document.createElement("canvas"); c.width = 24; c.height = 24;
    const into = c.getContext("2d"); into.imageSmoothingEnabled = false; into.drawImage(e, 0, 0, 24, 24);
    return [...into.getImageData(0, 0, 24, 24).data]; }"""


def test_before_and_after_stand_beside_each_other_and_the_same_number_adds_up_on_both(
    open_inside: Callable[..., Any], given: Callable[[str], Any], seen: Callable[[str], Inside]
) -> None:
    model, image = given("codelab")
    untrained = dl.Sequential.from_architecture(model.architecture, seed=0)
    ways = [seen("codelab"), dl.look_inside(untrained, image)]
    page = open_inside("codelab", (untrained, ways[1]))
    heads = page.locator(".arithmetic h2").all_text_contents()
    assert heads[0].partition("=")[0] == heads[1].partition("=")[0]
    for width in (390, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [page.locator(f".network.of-{side}").bounding_box() for side in (0, 1)]
        is_beside = boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"]
        assert is_beside == (width == 1920)
        assert is_beside or boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]
    assert page.locator(".side-words.of-0").text_content().startswith("A<i>Trained</i>: codelab_cnn")
    for side, layer, key in (
        (0, "conv2d_1", "ArrowDown"),
        (1, "max_pooling2d", "ArrowLeft"),
        (1, "conv2d", "PageDown"),
    ):
        page.locator(f".network.of-{side} canvas[aria-label='{layer}, map 2']").focus()
        page.keyboard.press("Enter")
        page.keyboard.press(key)
        headings = [page.locator(f".arithmetic.of-{each} h2").text_content().partition("=")[0] for each in (0, 1)]
        assert headings[0] == headings[1]
        unit = tuple(int(word) for word in headings[0].replace(",", " ").split() if word.isdecimal())
        for each in (0, 1):
            assert_adds_up(page, ways[each], layer, unit, each)
    wanted = 100 * (ways[0].probabilities - ways[1].probabilities)
    assert gains(page, 0) == pytest.approx(wanted.tolist(), abs=0.101)
    assert gains(page, 1) == pytest.approx((-wanted).tolist(), abs=0.101)
    canvas = page.locator(".network.of-1 canvas[aria-label='conv2d, map 3']")
    before = canvas.evaluate(SHADES)
    page.get_by_role("switch", name="Colour in B what differs from A").focus()
    page.keyboard.press("Space")
    shades = np.array(canvas.evaluate(SHADES)).reshape(24, 24, 4)[..., :3].astype(int)
    difference = ways[1].layer("conv2d").outputs - ways[0].layer("conv2d").outputs
    red_less_blue = shades[..., 0] - shades[..., 2]  # of orange more than of the ground, of blue less
    ground = red_less_blue[np.unravel_index(np.abs(difference[..., 3]).argmin(), (24, 24))]
    far = np.abs(difference[..., 3]) > 0.2 * np.abs(difference).max()
    assert far.any()
    assert np.array_equal(np.sign(red_less_blue - ground)[far], np.sign(difference[..., 3])[far])
    page.keyboard.press("Space")
    assert canvas.evaluate(SHADES) == before


def test_networks_of_different_layers_stand_beside_each_other_and_each_is_taken_apart_alone(
    open_inside: Callable[..., Any], given: Callable[[str], Any], seen: Callable[[str], Inside]
) -> None:
    page = open_inside("codelab", (given("dense")[0], seen("dense")))
    assert page.get_by_role("switch", name="Colour in B").count() == 0
    before = page.locator(".arithmetic.of-0 h2").text_content()
    page.locator(".network.of-1 canvas[aria-label='dense, all 20 numbers']").focus()
    page.keyboard.press("ArrowRight")
    unit = int(page.locator(".arithmetic.of-1 h2").text_content().partition("number ")[2].partition(" ")[0])
    assert_adds_up(page, seen("dense"), "dense", (unit,), 1)
    assert page.locator(".arithmetic.of-0 h2").text_content() == before
    wanted = 100 * (seen("dense").probabilities - seen("codelab").probabilities)
    assert gains(page, 1) == pytest.approx(wanted.tolist(), abs=0.101)
