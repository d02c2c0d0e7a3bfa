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
        Conv2D(3, 2),
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

    def go(name: str, **settings: Any) -> Any:
        path = tmp_path / f"{name}.html"
        write_inside_page(given(name)[0], seen(name), path, "<b>Why</b> & how")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url == path.as_uri() or complaints.append(request.url))
        page.goto(path.as_uri())
        page.locator(".arithmetic h2").wait_for()
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def number(text: str) -> float:
    return float(text.replace("−", "-").rstrip(" %"))


def shown(page: Any, selector: str) -> list[float]:
    return [number(text) for text in page.locator(f".arithmetic {selector}").all_text_contents()]


def assert_adds_up(page: Any, inside: Inside, layer: str, unit: tuple[int, ...]) -> None:
    """What is shown of a unit adds up as it is shown, and is what Python says."""
    why = inside.why(layer, *unit)
    assert number(page.locator(".arithmetic h2 .result").text_content()) == pytest.approx(why.output, abs=6e-5)
    for block, total in ((".grid.adds td", ".channel-sum"), (".column-sum .term", ".column-sum .sum")):
        terms = shown(page, block)
        if terms:
            (told,) = page.locator(f".arithmetic {total}").all_text_contents()
            n_digits = len(told.partition(".")[2])
            assert f"{sum(terms):.{n_digits}f}" == f"{number(told):.{n_digits}f}"
    for told in page.locator(".arithmetic .column-sum .sum").all_text_contents():
        assert number(told) == pytest.approx(why.total, abs=0.6 * 10 ** -len(told.partition(".")[2]))
    if why.activation == "softmax":
        (told,) = page.locator(".arithmetic .softmax .sum").all_text_contents()
        rounding = 0.501 * 10 ** -len(told.partition(".")[2])
        assert sum(shown(page, ".softmax .term")) == pytest.approx(number(told), abs=rounding)
        assert shown(page, ".softmax tbody tr.is-chosen td:last-child")[0] == pytest.approx(100 * why.output, abs=0.006)


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


def test_what_is_shown_is_named_escaped_and_fits_a_phone(open_inside: Callable[..., Any]) -> None:
    page = open_inside("codelab", viewport={"width": 390, "height": 844}, color_scheme="dark")
    assert page.locator("h1").text_content() == "<b>Why</b> & how"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    unnamed = page.evaluate(
        "[...document.querySelectorAll('canvas, button, select, input')]"
        ".filter((e) => !e.getAttribute('aria-label') && !e.closest('label')).length"
    )
    assert unnamed == 0
