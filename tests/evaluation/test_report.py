"""The report page: complete, well-formed, self-contained and safe."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitlab.data.mnist import Split
from digitlab.evaluation.evaluate import evaluate
from digitlab.evaluation.report import ReportInput, render_report
from digitlab.network import architecture
from digitlab.values import CLASS_NAMES, EpochRecord, FinderEpochRecord, StepRecord

VOID = {"meta", "link", "img", "br", "col"}
HOSTILE = "<script>alert('1')</script>\"&"


class Page(HTMLParser):
    """Checks that tags nest, and collects tags, attributes and text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend((tag, name, value) for name, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


class RandomAnswers:
    """Answers that are often right, the same every time."""

    def __init__(self, labels):
        logits = np.random.default_rng(5).normal(size=(len(labels), 10)) + 3 * np.eye(10)[labels]
        self.probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)

    def predict(self, images):
        return self.probabilities


def step(number, loss=1.0):
    return StepRecord(number, 1 + (number - 1) // 11, 1 + (number - 1) % 11, 512, loss, 0.5, 0.001, 7e4)


def epoch(number, val_loss=0.4):
    val_accuracy = None if val_loss is None else 0.9
    return EpochRecord(number, 11 * number, 0.5, 0.8, val_loss, val_accuracy, 0.001, 7e4)


@pytest.fixture(scope="module")
def full_input():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, 400)
    evaluation = evaluate(RandomAnswers(labels), images, labels)
    return ReportInput(
        title="codelab-cnn, seed 0",
        note="A note.",
        command="digitlab train --seed 0",
        config={"epochs": 10, "learning_rate": 0.001, "weight_decay": None, "nested": {"a": [1, 2]}},
        environment={"numpy": "2.4"},
        network=architecture("codelab_cnn"),
        steps=[step(i, 2.3 / i) for i in range(1, 111)],
        epochs=[epoch(i) for i in range(1, 11)],
        evaluation=evaluation,
        examples=Split("training", images[:20], labels[:20].astype(np.uint8)),
        mistake_images=images[[m.index for m in evaluation.mistakes]],
        timings={"train": 0.684, "evaluate": 0.0913},
    )


@pytest.fixture(scope="module")
def html(full_input):
    return render_report(full_input)


def test_the_page_is_well_formed_and_has_the_codelabs_cards(html):
    page = Page(html)
    text = "".join(page.texts)
    for words in (
        "Input Data Examples",
        "Model Architecture",
        "Layer NameOutput Shape# Of ParamsTrainable",
        "Model Training",
        "onBatchEnd",
        "onEpochEnd",
        "Accuracy",
        "ClassAccuracy# Samples",
        "Confusion Matrix",
        "prediction",
        "label",
        "Worst mistakes",
        "Calibration",
        "What took how long",
        "684 ms",
        "Settings",
        "digitlab train --seed 0",
        "5,994",
        *CLASS_NAMES,
    ):
        assert words in text, words
    assert page.tags.count("h1") == 1
    assert ("html", "lang", "en") in page.attributes
    assert ("meta", "charset", "utf-8") in page.attributes
    identities = [value for _, name, value in page.attributes if name == "id"]
    assert len(identities) == len(set(identities))
    links = [value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert set(links) <= set(identities)


def test_nothing_is_fetched_or_executed(html):
    page = Page(html)
    assert "script" not in page.tags
    assert not re.search(r"""https?:|["'(]//|@import|url\(""", html)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name == "src":
            assert value.startswith("data:image/png;base64,")
    assert any(name == "content" and value.startswith("default-src 'none'") for _, name, value in page.attributes)


def test_the_page_is_small_and_the_same_every_time(full_input, html):
    assert len(html.encode()) < 150_000
    assert render_report(full_input) == html


def test_a_long_training_keeps_the_page_small(full_input):
    rng = np.random.default_rng(0)
    steps = [step(i, float(rng.random())) for i in range(1, 20_001)]
    assert len(render_report(replace(full_input, steps=steps)).encode()) < 250_000


def test_every_confusion_count_is_shown_with_its_row_percent(full_input, html):
    cells = re.findall(r'<td class="(?:right|wrong)-\d" title="label (\w+), predicted (\w+): [^"]*">(\d+)</td>', html)
    matrix = full_input.evaluation.confusion_matrix
    assert cells == [
        (CLASS_NAMES[i], CLASS_NAMES[j], str(count)) for i, row in enumerate(matrix) for j, count in enumerate(row)
    ]


def test_every_threshold_has_a_row_that_adds_up(full_input, html):
    curve = full_input.evaluation.coverage
    table = html[html.index('id="threshold"') :]
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th>(.*?)</tr>', table[: table.index("</table>")])
    assert len(rows) == len(curve.points)
    for (name, cells), point in zip(rows, curve.points, strict=True):
        answered, _, _, wrong, lost = re.findall(r'<td class="number">([^<]*)</td>', cells)
        assert float(name.removesuffix(" %")) == pytest.approx(100 * point.threshold)
        n_right = curve.n_correct - int(lost.replace(",", ""))
        assert int(answered.replace(",", "")) - int(wrong.replace(",", "")) == n_right == point.n_correct


def test_images_come_back_from_the_page_pixel_by_pixel(full_input, html):
    uris = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    found = [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri)))) for uri in uris]
    expected = [*full_input.examples.images, *full_input.mistake_images]
    assert len(found) == len(expected)
    for image, original in zip(found, expected, strict=True):
        assert np.array_equal(image, original)


def test_hostile_texts_never_become_markup(full_input):
    evaluation = replace(full_input.evaluation, class_names=(HOSTILE,) * 10)
    evaluation = replace(evaluation, per_class=tuple(replace(r, name=HOSTILE) for r in evaluation.per_class))
    hostile = replace(
        full_input,
        title=HOSTILE,
        note=HOSTILE,
        command=HOSTILE,
        config={HOSTILE: HOSTILE, "list": [HOSTILE]},
        environment={HOSTILE: {HOSTILE: HOSTILE}},
        timings={HOSTILE: 1.0},
        evaluation=evaluation,
    )
    html = render_report(hostile)
    assert "<script" not in html
    assert "script" not in Page(html).tags


@settings(max_examples=30, deadline=None)
@given(st.text(), st.dictionaries(st.text(), st.text() | st.floats() | st.none() | st.lists(st.integers())))
def test_any_text_gives_a_well_formed_page(text, config):
    Page(render_report(ReportInput(title=text, note=text, command=text, config=config)))


def test_missing_parts_are_said_in_a_sentence():
    text = "".join(Page(render_report(ReportInput(title="empty"))).texts)
    for words in (
        "not evaluated yet",
        "No training was recorded",
        "No network",
        "No examples",
        "No settings",
        "No times",
    ):
        assert words in text


def test_a_run_without_validation_draws_only_training(full_input):
    html = render_report(replace(full_input, epochs=[epoch(1, None), epoch(2, None)]))
    assert "val_loss" not in html
    assert "onEpochEnd" in html


def test_diverged_losses_still_give_a_page(full_input):
    Page(render_report(replace(full_input, steps=[step(1, math.nan), step(2, math.inf)])))


def test_a_reader_without_mistakes_is_congratulated_not_crashed():
    images, labels = np.zeros((3, 28, 28), np.uint8), [0, 1, 2]

    class Perfect:
        def predict(self, _images):
            return np.eye(10, dtype=np.float32)[labels]

    text = "".join(Page(render_report(ReportInput(title="t", evaluation=evaluate(Perfect(), images, labels)))).texts)
    assert "No image was answered wrongly" in text
    assert "Every image was answered rightly" in text
    assert "100 %" in text


def test_what_a_finder_found_is_told_of_the_epoch_whose_weights_were_kept():
    epochs = [
        FinderEpochRecord(n, 5 * n, 1.0, 0.5, loss, found, 0.001, 10.0, 40, 4, 2, 1, 8)
        for n, loss, found in ((1, 1.0, 0.9), (2, 2.0, 0.25))
    ]
    for best, told in ((None, "25.00 %"), (2, "25.00 %"), (1, "90.00 %")):
        page = render_report(ReportInput(title="a finder", epochs=epochs, best_epoch=best))
        assert f"<strong>{told}</strong> of 40 digits" in page


def test_fewer_epochs_than_were_asked_for_are_told(full_input):
    n = len(full_input.epochs)
    assert f"<dd>{n}<small>of {n + 5}, " in render_report(replace(full_input, config={"epochs": n + 5}))
    assert f"<dd>{n}<small>{full_input.epochs[-1].step}" in render_report(replace(full_input, config={"epochs": n}))
