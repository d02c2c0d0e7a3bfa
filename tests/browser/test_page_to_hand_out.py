"""The page that ``digitlab export --format web`` writes, opened from the disk, answers as digitlab does."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import digitlab as dl
from digitlab.data.frame import frame
from digitlab.network.checkpoint import load_checkpoint
from digitlab.reading.answers import SHIPPED, Answers

pytestmark = pytest.mark.browser

N_IMAGES = 200
SEVEN = ((0.3, 0.25), (0.7, 0.25), (0.45, 0.8))
ONE = ((0.5, 0.2), (0.5, 0.8))
FLOATS = "(floats) => btoa(String.fromCharCode(...new Uint8Array(Float32Array.from(floats).buffer)))"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page with the reader's network, which knows "not a digit"."""
    checkpoint = load_checkpoint(SHIPPED)
    folder = tmp_path_factory.mktemp("page") / "reader"
    dl.export(dl.Sequential.from_checkpoint(checkpoint), folder, format="web", metadata=checkpoint.metadata)
    return folder


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> tuple[dl.Sequential, Path]:
    """Return a network of the ten digits, and its page."""
    training = dl.MnistData.load().training
    model = dl.codelab_cnn(seed=0)
    model.fit(training.images[:5500], training.labels[:5500], epochs=2, batch_size=128)
    folder = tmp_path_factory.mktemp("page") / "ten"
    dl.export(model, folder, format="web")
    return model, folder


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages from the disk; none may ask for anything but its own files, or complain."""
    contexts, complaints = [], []

    def go(folder: Path, *, width: int = 1000, height: int = 800, **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        page = context.new_page()
        own = {(folder / name).as_uri() for name in ("index.html", "page.css", "weights.js")}
        own |= {(folder / f"{name}.js").as_uri() for name in ("frame", "network", "picture", "pad", "page")}

        def asked(request: Any) -> None:
            if request.url not in own and not request.url.startswith("data:image/svg+xml"):
                complaints.append(request.url)

        page.on("request", asked)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((folder / "index.html").as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def draw(page: Any, points: tuple[tuple[float, float], ...]) -> None:
    """Draw a line through points, given as parts of the sheet's side."""
    box = page.locator("#pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=12)
    page.mouse.up()


def floats(page: Any, code: str) -> NDArray[np.float32]:
    """Return the numbers that some code of the page gives."""
    return np.frombuffer(base64.b64decode(page.evaluate(f"({FLOATS})({code})")), np.float32)


def shown(page: Any) -> Any:
    """Return what the page shows, once it has drawn it."""
    return page.evaluate("new Promise((done) => setTimeout(() => done(digitlab.shown), 60))")


@pytest.mark.parametrize("which", ["ten", "shipped"])
def test_the_page_answers_test_images_as_python_does(
    which: str, open_page: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    images = dl.MnistData.load().test.images[:N_IMAGES].reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)
    if which == "ten":
        model, folder = request.getfixturevalue("ten")
        expected = model.predict(images)
    else:
        folder, expected = request.getfixturevalue("shipped"), Answers().of_images(images)
    page = open_page(folder)
    sent = base64.b64encode((images * 255).round().astype(np.uint8).tobytes()).decode()
    found = page.evaluate(
        """(sent) => {
          const bytes = new Uint8Array(digitlab.decoded(sent));
          const answers = [];
          for (let at = 0; at < bytes.length; at += 784) {
            answers.push(digitlab.answer(Float32Array.from(bytes.subarray(at, at + 784), (value) => value / 255)));
          }
          return answers.map(({ probabilities }) => probabilities);
        }""",
        sent,
    )
    np.testing.assert_array_equal(np.argmax(found, axis=1), expected.argmax(axis=1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("points", "label"), [(SEVEN, 7), (ONE, 1)])
def test_a_drawing_is_answered_as_the_reader_does_on_the_same_pixels(
    shipped: Path, open_page: Callable[..., Any], points: tuple[tuple[float, float], ...], label: int
) -> None:
    page = open_page(shipped)
    draw(page, points)
    answer = shown(page)
    ink = floats_of_sheet(page)
    image = frame(ink)
    np.testing.assert_allclose(floats(page, "digitlab.frame(digitlab.sheet.ink())"), image.ravel(), rtol=0, atol=1e-4)
    expected = Answers().of_images(image[None, ..., None])[0]
    np.testing.assert_allclose(answer["probabilities"], expected, rtol=0, atol=1e-4)
    assert answer["label"] == expected.argmax() == label
    assert page.locator("#label").inner_text() == str(label)
    assert page.locator("#bars li").count() == 11
    assert page.locator("#bars .is-best span").first.inner_text() == str(label)
    page.wait_for_timeout(900)  # screen readers are told when the pen rests
    assert re.fullmatch(rf"This is {label}, >?[\d.]+ % sure\.", page.locator("#told").inner_text())


def floats_of_sheet(page: Any) -> NDArray[np.float32]:
    """Return the ink on the sheet."""
    sent = page.evaluate(
        "btoa(Array.from(digitlab.sheet.ink().ink, (value) => String.fromCharCode(Math.round(255 * value))).join(''))"
    )
    return np.frombuffer(base64.b64decode(sent), np.uint8).reshape(280, 280).astype(np.float32) / np.float32(255)


def test_a_blank_sheet_holds_no_digit(
    shipped: Path, ten: tuple[dl.Sequential, Path], open_page: Callable[..., Any]
) -> None:
    for folder in (shipped, ten[1]):
        page = open_page(folder)
        assert shown(page)["label"] is None
        assert page.locator("#says").inner_text().startswith("No digit here.")
        draw(page, SEVEN)
        assert shown(page)["label"] is not None
        page.locator("#clear").click()
        assert shown(page)["label"] is None
        assert page.locator("#says").inner_text().startswith("No digit here.")


def test_scribbles_are_refused_by_a_network_that_knows_not_a_digit(
    shipped: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(shipped)
    rng = np.random.default_rng(0)
    draw(page, tuple((float(x), float(y)) for x, y in rng.uniform(0.1, 0.9, (14, 2))))
    assert shown(page)["label"] is None
    assert page.locator("#label").inner_text() == "–"
    assert page.locator("#bars .is-best span").first.inner_text() == "no digit"


def test_one_can_draw_and_take_back_with_keys_alone(shipped: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(shipped)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pad"
    for key in ("ArrowUp",) * 12 + (" ",) + ("ArrowDown",) * 24 + (" ",):
        page.keyboard.press(key)
    assert shown(page)["label"] == 1
    page.keyboard.press("Control+z")
    assert shown(page)["label"] is None


def picture(kind: str) -> bytes:
    """Return a PNG of the third test image, a 1: as MNIST has it, or larger, dark on shadowed paper."""
    image = dl.MnistData.load().test.images[2].reshape(28, 28)
    if kind == "paper":
        large = np.asarray(Image.fromarray(image).resize((420, 420), Image.Resampling.BICUBIC), np.float32) / 255
        paper = np.linspace(235, 120, 600)[None, :] * np.ones((500, 1))
        paper[40:460, 90:510] *= 1 - 0.7 * large
        image = (paper + np.random.default_rng(0).normal(0, 3, paper.shape)).clip(0, 255).astype(np.uint8)
    elif kind == "blank":
        image = np.full((200, 200), 240, np.uint8)
    memory = io.BytesIO()
    Image.fromarray(image).save(memory, "PNG")
    return memory.getvalue()


def test_a_picture_is_chosen_from_the_disk(shipped: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(shipped)

    def choose(name: str, content: bytes) -> Any:
        page.locator("#file").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
        page.wait_for_timeout(300)
        return shown(page)

    mnist = choose("mnist.png", picture("mnist"))
    image = dl.MnistData.load().test.images[2].reshape(1, 28, 28, 1).astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(mnist["probabilities"], Answers().of_images(image)[0], rtol=0, atol=1e-4)
    assert choose("paper.png", picture("paper"))["label"] == 1
    assert choose("blank.png", picture("blank"))["label"] is None
    assert "no ink stands out" in page.locator("#says").inner_text()
    assert choose("broken.png", b"no picture")["label"] is None
    assert "broken.png is not a picture" in page.locator("#says").inner_text()
    draw(page, ONE)
    assert shown(page)["label"] == 1
    assert page.locator("#chosen").is_hidden()


def test_the_policy_forbids_the_network(shipped: Path, browser: Any) -> None:
    page = browser.new_context().new_page()
    page.goto((shipped / "index.html").as_uri())
    failed = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'went', (error) => String(error))")
    assert "Failed" in failed
    assert (
        page.evaluate(
            "new Promise((done) => { addEventListener('securitypolicyviolation', (event) =>"
            " done(event.violatedDirective)); fetch('http://127.0.0.1:9/').catch(() => 0); })"
        )
        == "connect-src"
    )
    page.context.close()


def test_the_page_fits_a_phone(shipped: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(shipped, width=360, height=740, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    box = page.locator("#pad").bounding_box()
    page.touchscreen.tap(box["x"] + 50, box["y"] + 50)
    assert not page.evaluate("digitlab.sheet.isEmpty()")
    for button in page.locator("button, .button").all():
        assert button.bounding_box()["height"] >= 44
