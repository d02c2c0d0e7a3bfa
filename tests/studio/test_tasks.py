"""The guided path without a page: its words, how far somebody is, and what makes a task done."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import digitlab as dl
from digitlab.evaluation.comparison import TestAnswers as Answers
from digitlab.evaluation.comparison import answer_test_images
from digitlab.evaluation.evaluate import evaluate_answers
from digitlab.network import Architecture
from digitlab.network.layers import Dense, Flatten
from digitlab.network.zoo import architecture
from digitlab.reading.reading import Alternative, Box, Digit, Refused
from digitlab.studio.lesson import TABS
from digitlab.studio.tabs.sheet import Mark
from digitlab.studio.task_checks import (
    Predictions,
    SharedMistakes,
    check_accuracy,
    check_drawing,
    check_layer,
    check_rate,
    smaller_than_codelab,
    with_ten_times_the_rate,
)
from digitlab.studio.tasks import TASK_IDS, TASKS, VIEWS, Progress
from digitlab.studio.trainer import Trainer
from digitlab.training.config import TrainConfig
from digitlab.values import CLASS_NAMES
from tests.studio.steered import train, wait_for_evaluation

SMALL = TrainConfig(train_images=60, validation_images=20, batch_size=20, epochs=2)


# ---- words and progress ----


def test_names_of_the_tasks_are_those_that_lesson_links_rely_on() -> None:
    assert TASK_IDS == ("predict", "rate", "layer", "beat99", "mistake", "fool")


def test_every_task_says_what_to_do_why_where_and_what_it_shows() -> None:
    for task in TASKS.values():
        assert task.tab in TABS.values()
        assert 2 <= task.why.count(". ") + task.why.endswith(".") <= 3, task.name
        assert all((task.title, task.hint, task.learned, task.go))
        assert not any(name in " ".join(dataclasses.astuple(task)) for name in ("batch_size", "learning_rate"))


def test_tutorial_has_the_tasks_in_their_order() -> None:
    tutorial = (Path(__file__).parents[2] / "docs" / "tutorial" / "codelab.md").read_text("utf-8")
    places = [tutorial.find(f"**{task.title}.**") for task in TASKS.values()]
    assert places == sorted(places)
    assert places[0] > 0


@given(st.lists(st.sampled_from(TASK_IDS)), st.sampled_from(TASK_IDS), st.sampled_from(VIEWS))
def test_browser_gives_back_what_it_was_given(names: list[str], at: str, view: str) -> None:
    progress = Progress(at=at, view=view)
    for name in names:
        progress = progress.with_done(name)
    assert set(progress.done) == set(names)
    assert list(progress.done) == [name for name in TASK_IDS if name in names]
    assert progress.next not in progress.done
    assert Progress.from_browser(progress.to_json()) == progress
    assert len(progress.to_json()) < 200


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(TASK_IDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(JSON, JSON, JSON)
def test_whatever_a_browser_keeps_becomes_some_progress(done: Any, at: Any, view: Any) -> None:
    for kept in (done, json.dumps(done), json.dumps({"done": done, "at": at, "view": view})):
        progress = Progress.from_browser(kept)
        assert set(progress.done) <= set(TASK_IDS)
        assert progress.at in TASKS
        assert progress.view in VIEWS


def test_what_is_too_long_or_too_deep_is_a_new_beginning() -> None:
    for kept in ("[" * 999, '{"done": ' + " " * 10_000 + '["rate"]}', '{"done": ["rate"]', "\x00", None, 7, ["rate"]):
        assert Progress.from_browser(kept) == Progress()


# ---- raise the rate until it breaks ----


def rate_of(trainer: Trainer, rate: float, **changes: Any) -> Any:
    train(trainer, dataclasses.replace(SMALL, learning_rate=rate, **changes))
    records, _ = trainer.records_since(0)
    return check_rate(records, trainer.learning_rate, 10, diverged=trainer.diverged, ended=True)


def test_rate_that_breaks_is_told_from_one_that_learns(trainer: Trainer) -> None:
    usual = rate_of(trainer, 0.001)
    assert not usual.is_done
    assert usual.sentence == "Waiting for a run with a higher rate than the codelab's 0.001."
    learns = rate_of(trainer, 0.005, train_images=200, epochs=12)
    assert not learns.is_done
    assert "so it still learns. Go higher." in learns.sentence
    grows = rate_of(trainer, 1.0)
    assert grows.is_done
    assert grows.sentence.startswith("With a rate of 1 the loss was 2.")
    lost = rate_of(trainer, 1000.0, optimizer="sgd")
    assert trainer.state == "failed"
    assert lost.is_done
    assert "no number any more" in lost.sentence


def test_slow_start_and_a_run_that_is_not_over_are_no_break(trainer: Trainer) -> None:
    slow = rate_of(trainer, 0.002, optimizer="sgd")
    assert slow.sentence.endswith("Go higher.")
    assert not slow.is_done
    records, _ = trainer.records_since(0)
    assert not check_rate(records, 5.0, 10, diverged=False, ended=False).is_done
    assert "too early to tell" in check_rate(records[:1], 5.0, 10, diverged=False, ended=True).sentence
    assert not check_rate([], 5.0, 10, diverged=False, ended=True).is_done


def test_ten_times_the_rate_is_a_short_number() -> None:
    config = TrainConfig()
    for expected in ("0.01", "0.1", "1", "10", "100"):
        config = with_ten_times_the_rate(config)
        assert f"{config.learning_rate:g}" == expected
        assert len(repr(config.learning_rate)) <= 5


# ---- take a layer away ----


def without(*positions: int) -> Architecture:
    layers = architecture("codelab_cnn").layers
    return Architecture([layer for i, layer in enumerate(layers) if i not in positions], name="fewer")


def test_layer_is_taken_away_when_both_networks_were_trained_alike(trainer: Trainer) -> None:
    assert not check_layer(trainer, None).is_done
    train(trainer, SMALL, architecture=without(1))
    wait_for_evaluation(trainer)
    smaller = smaller_than_codelab(trainer)
    assert smaller is not None
    assert check_layer(trainer, smaller).sentence == "Now train the codelab's network with the same settings."
    train(trainer, dataclasses.replace(SMALL, epochs=1, seed=4))
    wait_for_evaluation(trainer)
    assert smaller_than_codelab(trainer) is None
    unlike = check_layer(trainer, smaller)
    assert not unlike.is_done
    assert "they differ in epochs (" in unlike.sentence
    assert ") and seed (" in unlike.sentence
    train(trainer, SMALL)
    wait_for_evaluation(trainer)
    fair = check_layer(trainer, smaller)
    assert fair.is_done
    assert fair.sentence.startswith("5 layers: ")
    assert fair.sentence.endswith("% of the test images, trained alike.")
    assert "; 6 layers: " in fair.sentence


def test_network_that_has_learned_nothing_tells_nothing_about_a_layer(trainer: Trainer) -> None:
    guess = Architecture([Flatten(), Dense(10, activation="softmax", kernel_initializer="zeros")], name="fewer")
    train(trainer, dataclasses.replace(SMALL, learning_rate=1e-9, validation_images=200), architecture=guess)
    wait_for_evaluation(trainer)
    found = check_layer(trainer, smaller_than_codelab(trainer))
    assert not found.is_done
    assert found.sentence.startswith("That run has learned nothing")


# ---- beat 99 % ----


@pytest.mark.parametrize(("n_right", "is_done"), [(9899, False), (9900, True), (10_000, True)])
def test_goal_is_ninety_nine_percent_of_all_test_images(n_right: int, is_done: bool) -> None:
    labels = np.zeros(10_000, np.uint8)
    probabilities = np.eye(10, dtype=np.float32)[np.where(np.arange(10_000) < n_right, 0, 1)]
    evaluation = evaluate_answers(probabilities, labels, class_names=CLASS_NAMES)
    found = check_accuracy(evaluation, 10_000)
    assert found.is_done == is_done
    assert is_done or found.sentence.endswith("; 1 image to go.")
    assert not check_accuracy(evaluation, 10_001).is_done  # not on all
    assert not check_accuracy(None, 10_000).is_done


# ---- draw a digit that fools it ----


def drawing(*read: Digit | Refused) -> Any:
    return SimpleNamespace(seen=tuple(Mark(one, one, (0.0,) * 11, None) for one in read))


def test_network_is_fooled_by_another_digit_and_by_nothing_else() -> None:
    box = Box(0, 0, 9, 9)
    four = Digit(4, box, 0.98, (Alternative(9, 0.02),))
    refused = Refused(box, "unsure", None)
    found = check_drawing(drawing(four), 9, "The network trained here")
    assert found.is_done
    assert found.sentence == "You drew a 9; the network trained here reads a 4, 98.0 % sure."
    for sheet, said in (
        (drawing(four), 4),
        (drawing(four), None),
        (drawing(refused), 4),
        (drawing(four, four), 9),
        (drawing(), 9),
        (None, 9),
    ):
        other = check_drawing(sheet, said, "It")
        assert not other.is_done
        assert other.sentence.endswith(".")


# ---- predict, and share a mistake ----


@pytest.fixture(scope="module")
def answers(digits: dl.MnistData) -> Answers:
    model = dl.codelab_cnn(seed=1)
    images, labels = digits.next_train_batch(200)
    model.fit(images, labels, batch_size=20, epochs=2, verbose=0)
    return answer_test_images(model, digits)


@given(seed=st.integers(0, 2**31 - 1))
def test_images_to_foretell_are_different_ones_with_mistakes_among_them(answers: Answers, seed: int) -> None:
    chosen = Predictions.of(answers, seed).chosen
    assert len(set(chosen)) == 5
    wrong = answers.probabilities[list(chosen)].argmax(axis=1) != answers.labels[list(chosen)]
    assert wrong.sum() == min(2, (answers.probabilities.argmax(axis=1) != answers.labels).sum())


def test_whoever_foretells_is_told_how_often_and_by_how_much(answers: Answers) -> None:
    told = Predictions.of(answers, 3)
    assert not told.score().is_done
    gaps = []
    for i in range(5):
        row = answers.probabilities[told.at]
        digit = int(row.argmax()) if i % 2 else (int(row.argmax()) + 1) % 10
        gaps.append(abs(100 * float(row.max()) - 60))
        assert told.answer(digit, 60) == (int(row.argmax()), float(row.max()))
        assert told.score().is_done == (i == 4)
    assert told.at is None
    assert (
        told.score().sentence == f"Foretold: 2 of 5; its sureness missed by {round(sum(gaps) / 5)} points on average."
    )


def test_few_images_are_foretold_all(answers: Answers) -> None:
    few = dataclasses.replace(answers, probabilities=answers.probabilities[:3], labels=answers.labels[:3])
    assert sorted(Predictions.of(few, 0).chosen) == [0, 1, 2]


def test_mistake_is_shared_by_who_sees_what_the_network_answered(answers: Answers) -> None:
    shared = SharedMistakes.of(answers)
    n = len(shared.order)
    assert n > 2
    surenesses = []
    for seen in ("label", "answer", "neither"):
        row, label = answers.probabilities[shared.at], int(answers.labels[shared.at])
        answer = int(row.argmax())
        assert answer != label
        surenesses.append(float(row.max()))
        other = next(k for k in range(10) if k not in (answer, label))
        assert shared.answer({"label": label, "answer": answer, "neither": other}[seen])[::2] == (answer, label)
        assert shared.score().is_done == (seen != "label")
    assert surenesses == sorted(surenesses, reverse=True)
    assert shared.score().sentence == f"Looked at 3 of {n} mistakes; 1 of them are yours, too."


def test_network_without_mistakes_has_none_to_share(answers: Answers) -> None:
    right = np.eye(10, dtype=np.float32)[answers.labels]
    shared = SharedMistakes.of(dataclasses.replace(answers, probabilities=right))
    assert shared.at is None
    assert not shared.score().is_done


def test_words_are_read_as_they_are_written() -> None:
    words = tomllib.loads((Path(dl.__file__).parent / "studio" / "tasks.toml").read_text("utf-8"))
    assert list(words) == list(TASK_IDS)
