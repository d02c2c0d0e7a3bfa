"""What results show of themselves in notebooks: whole HTML, short, escaped, and readable on light and on dark."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import digitlab as dl
from digitlab.engine.callbacks import ProgressBar, progress
from digitlab.errors import ConfigError
from digitlab.evaluation.evaluate import evaluate_answers
from digitlab.network import Conv2D, Dense, Flatten
from digitlab.reading.reading import Box, Digit, Line, Number, Reading, Refused
from digitlab.runs.listing import RunList
from digitlab.runs.run import Run, RunInfo
from digitlab.values import EpochRecord, StepRecord

EVIL = "<script>alert(1)</script>\"'&"
#: Elements that have no end.
VOID = {"br", "img", "hr", "input"}


class Whole(HTMLParser):
    """Notes the elements, and fails where one is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert {name for name, _ in attrs}.isdisjoint({"href", "src", "xlink:href"})
        assert not any(name.startswith("on") for name, _ in attrs)
        self.open += [tag] * (tag not in VOID)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += " " + data


def shown(value: Any, most: int) -> Whole:
    html = value._repr_html_()
    assert len(html) < most, f"{len(html):,} characters"
    page = Whole(html)
    assert not {"script", "iframe", "link"} & set(page.seen)
    # No ground and no ink of its own: what is readable on white and on black takes the notebook's.
    assert not re.search(r"(?:background(?:-color)?|fill): ?(?:#|white|black)|#fff|#000", html)
    return page


def history(n_epochs: int, n_batches: int = 11, *, validated: bool = True) -> dl.History:
    val = 0.5 if validated else None
    epochs = [EpochRecord(k, k * n_batches, 1 / k, 1 - 1 / k, val, val, 0.001, 9e4) for k in range(1, n_epochs + 1)]
    steps = [
        StepRecord(k, 1 + (k - 1) // n_batches, 1 + (k - 1) % n_batches, 64, 1 / k, 1 - 1 / k, 0.001, 9e4)
        for k in range(1, n_epochs * n_batches + 1)
    ]
    return dl.History(tuple(steps), tuple(epochs))


@pytest.mark.parametrize(("n_epochs", "n_batches"), [(0, 0), (1, 1), (1, 90), (2, 3), (10, 11), (500, 100)])
@pytest.mark.parametrize("validated", [True, False])
def test_a_history_shows_its_last_figures_and_its_charts_and_stays_short(
    n_epochs: int, n_batches: int, validated: bool
) -> None:
    told = history(n_epochs, n_batches, validated=validated)
    page = shown(told, 16_500)
    assert page.seen.count("svg") == (0 if n_epochs == 0 or n_batches == 1 else 2)
    assert ("val_loss" in page.text) == (validated and n_epochs > 0)
    assert len(repr(told)) < 150
    assert f"{n_epochs:,} epoch" in repr(told)


def test_ten_epochs_take_less_room_than_their_records() -> None:
    told = history(10)
    shown(told, 11_000)
    assert repr(told) == (
        "<History: 10 epochs, 110 batches, loss 0.1000, accuracy 90.00 %, val_loss 0.5000, val_accuracy 50.00 %>"
    )


def evaluation(n_classes: int, names: tuple[str, ...] = ()) -> dl.Evaluation:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_classes, 500)
    answers = rng.dirichlet(np.ones(n_classes), 500).astype(np.float32)
    return evaluate_answers(answers, labels, class_names=names or tuple(f"class {k}" for k in range(n_classes)))


@pytest.mark.parametrize("n_classes", [2, 10, 11, 100])
def test_an_evaluation_shows_its_accuracy_classes_and_confusion_matrix(n_classes: int) -> None:
    found = evaluation(n_classes)
    page = shown(found, 14_000)
    assert f"{found.n_images - found.n_correct:,}" in page.text
    assert ("Confusion matrix" in page.text) == (n_classes <= 20)
    assert page.seen.count("td") < 250
    assert repr(found).startswith("<Evaluation: accuracy ")
    assert len(repr(found)) < 150


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_names_of_classes_are_text_and_nothing_else(name: str) -> None:
    page = Whole(evaluation(2, (name, EVIL))._repr_html_())
    assert "script" not in page.seen


def reading(n_digits: int, source: str = "photo.jpg") -> Reading:
    def digit(k: int) -> Digit:
        left, top = 10 + 30 * (k % 5), 10 + 40 * (k // 5)
        return Digit(k % 10, Box(left, top, left + 20, top + 30), (0.99, 0.9, 0.5)[k % 3], ())

    lines = []
    for start in range(0, n_digits, 5):
        digits = tuple(digit(k) for k in range(start, min(start + 5, n_digits)))
        box = digits[0].box.around(digits[-1].box)
        number = Number("".join(str(one.value) for one in digits), box, 0.9, digits)
        lines.append(Line(box, (number,)))
    refused = (Refused(Box(1, 2, 3, 4), "not-a-digit"),)
    return Reading(source, 1, 200, 40 * n_digits, 0, 0.0, tuple(lines), refused)


@pytest.mark.parametrize("n_digits", [0, 1, 7, 5_000])
def test_a_reading_shows_its_numbers_where_they_stand_and_how_sure_they_are(n_digits: int) -> None:
    page = shown(reading(n_digits), 28_000)
    assert page.seen.count("svg") == (n_digits > 0)
    if n_digits == 7:
        texts = re.findall(r"<text [^>]*>(\d)</text>", reading(7)._repr_html_())
        assert texts == list("0123456")
        assert "01234" in page.text
        assert "90.0 %" in page.text
    assert len(repr(reading(n_digits))) < 400


def test_a_file_name_is_text_and_nothing_else() -> None:
    page = shown(reading(3, EVIL), 6_000)
    assert "<script>alert" in page.text


def test_a_network_shows_its_layers() -> None:
    page = shown(dl.codelab_cnn(), 4_000)
    assert "5,994" in page.text
    assert page.seen.count("tr") == 7
    assert repr(dl.codelab_cnn()) == (
        "<Sequential codelab_cnn: (28, 28, 1) to 10 classes by 6 layers, 5,994 parameters>"
    )
    maps = shown(dl.Sequential([Conv2D(8, 3)], (None, None, 1)), 4_000)
    assert "any × any × 1" in maps.text
    assert "layers so far" in dl.Sequential()._repr_html_()
    evil = dl.Sequential([Flatten(), Dense(10, activation="softmax")], name=EVIL)
    assert "<script>alert" in shown(evil, 4_000).text


def info(name: str) -> RunInfo:
    return RunInfo(name, "runs/" + name, "complete", "codelab_cnn", 0, 3, 5, 0.9, None)


def test_runs_show_as_a_table() -> None:
    page = shown(RunList([info("a"), info(EVIL)]), 4_000)
    assert page.seen.count("tr") == 3
    assert "3 of 5" in page.text
    assert "newest 50 of 900" in shown(RunList([info("a")] * 900), 12_000).text
    assert "digitlab.train" in shown(RunList(), 3_000).text
    assert RunList([info("a")]) == (info("a"),)


def test_a_run_shows_how_it_went_and_a_damaged_one_why_nothing_can_be_told(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "a<b")
    assert "has no config.json" in shown(run, 4_000).text
    config = {"network": EVIL, "seed": 0, "epochs": 3}
    (tmp_path / "a<b" / "config.json").write_text(json.dumps({"config": config}))
    file = run.open_history()
    file.append(record for record in history(3).epochs)
    file.close()
    page = shown(run, 10_000)
    assert "a<b" in page.text
    assert page.seen.count("svg") == 2
    assert repr(run) == f"<Run {tmp_path / 'a<b'}>"


# ---- the bar ----


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], bool]]:
    """Stand for a notebook: returns what is shown, and whether it took the place of what was shown before."""
    bundles: list[tuple[dict[str, str], bool]] = []

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            assert raw
            bundles.append((bundle, True))

    def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Handle:
        assert raw
        assert display_id
        bundles.append((bundle, False))
        return Handle()

    ipython, its_display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    its_display.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", its_display)
    return bundles


X, Y = np.zeros((40, 20), np.uint8), np.arange(40) % 3


def fit(verbose: Any) -> None:
    model = dl.Sequential([Dense(3, activation="softmax")], (20,))
    model.fit(X, Y, epochs=2, batch_size=8, verbose=verbose, validation_split=0.2)


def test_in_a_notebook_one_bar_moves_by_default(notebook: list[tuple[dict[str, str], bool]], capsys: Any) -> None:
    fit("auto")
    assert [replaced for _, replaced in notebook] == [False] + [True] * (len(notebook) - 1)
    last = notebook[-1][0]
    assert 'value="1.000"' in last["text/html"]
    assert last["text/plain"].startswith("Epoch 2/2  loss ")
    assert "val_accuracy" in last["text/plain"]
    Whole(last["text/html"])
    n_shown = len(notebook)
    fit(0)
    assert len(notebook) == n_shown
    assert capsys.readouterr().out == ""


def test_elsewhere_nothing_is_printed_by_default_and_a_line_an_epoch_when_asked(capsys: Any) -> None:
    fit("auto")
    fit(0)
    assert capsys.readouterr().out == ""
    for verbose in (1, 2, True):
        fit(verbose)
        lines = capsys.readouterr().out.splitlines()
        assert [line[:9] for line in lines] == ["Epoch 1/2", "Epoch 2/2"]


def test_in_a_terminal_the_line_is_drawn_again(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    bar = ProgressBar()
    bar.set_params({"epochs": 2, "steps": 4})
    bar.on_epoch_begin(0, {})
    bar.on_train_batch_end(1, {"loss": 1.0, "accuracy": 0.5})
    bar.on_train_batch_end(2, {"loss": 1.0, "accuracy": 0.5})  # too soon to be drawn
    bar.on_epoch_end(0, {"loss": 0.5, "accuracy": 0.75})
    assert capsys.readouterr().out == (
        "\rEpoch 1/2  [============            ]  loss 1.0000  accuracy 50.00 %\x1b[K"
        "\rEpoch 1/2  loss 0.5000  accuracy 75.00 %\x1b[K\n"
    )


@pytest.mark.parametrize("verbose", [3, "yes", None, -1])
def test_a_verbosity_that_is_none_is_a_sentence(verbose: Any) -> None:
    with pytest.raises(ConfigError, match="verbose is 0 for nothing"):
        progress(verbose)
