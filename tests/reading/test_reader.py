"""The reader: what is no digit gives none, and what comes out is consistent."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import digitlab as dl
from digitlab.data.mnist import MnistData
from digitlab.errors import ConfigError, NetworkError
from digitlab.reading.reader import Reader
from digitlab.reading.reading import REASONS, ReadingOptions
from digitlab.reading.render import render


def scene(seed: int) -> NDArray[np.uint8]:
    """A photo without digits: sky, hills, a few soft shapes."""
    random = np.random.default_rng(seed)
    picture = np.linspace(230, 90, 480)[:, None, None] * np.array([0.7, 0.85, 1.0]) * np.ones((480, 640, 3))
    for _ in range(25):
        center = (int(random.integers(0, 640)), int(random.integers(150, 480)))
        axes = (int(random.integers(20, 160)), int(random.integers(20, 90)))
        color = tuple(float(value) for value in random.integers(20, 230, 3))
        cv2.ellipse(picture, center, axes, float(random.integers(0, 180)), 0, 360, color, -1)
    return cv2.GaussianBlur(picture, (0, 0), 2).clip(0, 255).astype(np.uint8)


NOTHING = {
    "white": np.full((300, 400, 3), 255, np.uint8),
    "black": np.zeros((300, 400), np.uint8),
    "grey": np.full((28, 28), 128, np.uint8),
    "one pixel": np.zeros((1, 1), np.uint8),
    "one row": np.full((1, 500), 200, np.uint8),
    "one column": np.full((500, 1), 200, np.uint8),
    "uniform noise": np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8),
    "gaussian noise": np.random.default_rng(1).normal(200, 15, (600, 800, 3)).clip(0, 255).astype(np.uint8),
    "slope": np.tile(np.linspace(40, 250, 600).astype(np.uint8), (400, 1)),
    "long": np.full((3, 20_000), 255, np.uint8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_read_where_nothing_is_written(reader: Reader, name: str) -> None:
    assert reader.read(NOTHING[name]).text == ""
    _, p_not_a_digit = reader.read_digit(NOTHING[name])
    assert p_not_a_digit > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_hardly_a_digit_is_seen_in_a_scene_without_any(reader: Reader, seed: int) -> None:
    assert len(reader.read(scene(seed)).digits) <= 3


@pytest.mark.slow
def test_text_is_refused(reader: Reader) -> None:
    image = Image.new("L", (1100, 400), 250)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(48)
    lines = ("The quick brown fox jumps", "over the lazy dog while", "many people watch them")
    for k, line in enumerate(lines):
        draw.text((40, 40 + 110 * k), line, fill=20, font=font)
    reading = reader.read(image)
    n_letters = sum(len(line.replace(" ", "")) for line in lines)
    assert len(reading.digits) <= 0.15 * n_letters


def test_one_drawn_digit_is_read_alike_in_every_way(reader: Reader) -> None:
    test = MnistData.load().test
    images, labels = test.images[:60].reshape(-1, 28, 28), test.labels[:60]
    right = 0
    for image, label in zip(images, labels, strict=True):
        large = cv2.resize(image, (280, 280), interpolation=cv2.INTER_CUBIC)
        probabilities, p_not_a_digit = reader.read_digit(255 - large)
        assert probabilities.shape == (10,)
        assert probabilities.dtype == np.float32
        assert probabilities.sum() == pytest.approx(1, abs=1e-4)
        assert 0 <= p_not_a_digit <= 1
        right += int(probabilities.argmax()) == label
    assert right >= 58


def test_six_and_nine_stay_what_they_are(reader: Reader) -> None:
    test = MnistData.load().test
    for label in (6, 9):
        image = test.images[np.flatnonzero(test.labels == label)[0]].reshape(28, 28)
        reading = reader.read(cv2.resize(image, (200, 200), interpolation=cv2.INTER_CUBIC))
        assert reading.turned == 0
        assert reading.text == str(label)


def test_a_reading_is_plain_and_within_the_photo(reader: Reader, compose) -> None:
    page = compose(1, n_numbers=6, most_digits=4, size=(900, 500))
    reading = reader.read(page.pixels)
    assert json.loads(json.dumps(reading.to_dict())) == reading.to_dict()
    for box in [digit.box for digit in reading.digits] + [refused.box for refused in reading.refused]:
        assert 0 <= box.left < box.right <= reading.width
        assert 0 <= box.top < box.bottom <= reading.height
    assert {refused.reason for refused in reading.refused} <= set(REASONS)
    for number in reading.numbers:
        assert 0 < number.confidence <= 1
        for digit in number.digits:
            assert len(digit.alternatives) == 9
            assert digit.confidence >= max(other.probability for other in digit.alternatives)


def test_min_confidence_refuses_what_is_unsure(reader: Reader, compose) -> None:
    page = compose(1, n_numbers=6, most_digits=4, size=(900, 500))
    strict = reader.read(page.pixels, ReadingOptions(min_confidence=1.0))
    assert strict.text == ""
    assert any(refused.reason == "unsure" and refused.best is not None for refused in strict.refused)


@pytest.mark.slow
def test_render_draws_on_the_upright_photo(reader: Reader, compose) -> None:
    page = compose(1, n_numbers=6, most_digits=4, size=(900, 500))
    lying = np.ascontiguousarray(np.rot90(page.pixels))
    reading = reader.read(lying)
    picture = reading.render(lying)
    assert picture.size == (reading.width, reading.height)
    assert np.asarray(picture).shape == np.asarray(render(lying, reading)).shape
    assert (np.asarray(picture) == (0, 140, 60)).all(2).any()


@pytest.mark.slow
def test_every_step_is_explained(reader: Reader, compose) -> None:
    page = compose(1, n_numbers=6, most_digits=4, size=(900, 500))
    shown = reader.explain(page.pixels)
    assert [step.name for step in shown.steps] == [
        "original",
        "grey",
        "contrast",
        "pyramid",
        "heat",
        "second-look",
        "candidates",
        "lines",
        "frames",
    ]
    for step in shown.steps:
        assert step.picture.dtype == np.uint8
        assert step.picture.ndim == 2 or step.picture.shape[2] == 3
        assert step.title
        assert step.sentence.endswith(".")
    nothing = reader.explain(NOTHING["white"])
    assert nothing.reading.text == ""
    sentences = {step.name: step.sentence for step in nothing.steps}
    assert sentences["candidates"] == "There is no hot spot: nothing here looks like a digit."
    assert sentences["lines"] == "Digits side by side make lines; here there are none."
    # Drawings are shown with the same words.
    assert "photo" not in sentences["original"]


@pytest.mark.slow
def test_the_switches_show_why_the_steps_are_there(reader: Reader) -> None:
    test = MnistData.load().test
    canvases = []
    for image in test.images[:40].reshape(-1, 28, 28):
        canvas = np.full((300, 400), 255, np.uint8)
        canvas[10:150, 20:160] = 255 - cv2.resize(image, (140, 140), interpolation=cv2.INTER_CUBIC)
        canvases.append(canvas)

    def right(options: ReadingOptions) -> float:
        """How probable the right answers are, together."""
        answers = [reader.read_digit(canvas, options) for canvas in canvases]
        return sum(float(p[label] * (1 - none)) for (p, none), label in zip(answers, test.labels, strict=False))

    with_all = right(ReadingOptions())
    assert with_all >= 36
    assert right(ReadingOptions(center=False)) < with_all
    assert right(ReadingOptions(invert="never")) < with_all


def test_any_model_of_ten_digits_can_read_and_others_are_refused(tmp_path: Path) -> None:
    model = dl.Sequential([dl.Flatten(), dl.Dense(10, activation="softmax")], seed=0)
    reader = Reader(model)
    image = cv2.resize(MnistData.load().test.images[0].reshape(28, 28), (112, 112))
    _, p_not_a_digit = reader.read_digit(image)
    assert 0 < p_not_a_digit < 1
    assert dl.read(image, model=model, options=ReadingOptions(min_confidence=0)).source == "image"
    with pytest.raises(NetworkError, match="28 x 28"):
        Reader(dl.Sequential([dl.Flatten(), dl.Dense(10, activation="softmax")], (8, 8, 1)))
    with pytest.raises(NetworkError, match="ten digits"):
        Reader(dl.Sequential([dl.Flatten(), dl.Dense(3, activation="softmax")]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_confidence": 2},
        {"digits": 0},
        {"invert": "sometimes"},
        {"expect": "("},
        {"most_pages": 0},
        {"grid": (9, 1)},
    ],
)
def test_wrong_options_are_told(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"\.$"):
        ReadingOptions(**wrong)
