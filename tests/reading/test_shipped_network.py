"""The network that the package ships: what it promises, measured."""

from __future__ import annotations

import re

import numpy as np
import pytest

from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.metrics import accuracy, calibration_bins, expected_calibration_error
from digitlab.network.checkpoint import Checkpoint, load_checkpoint
from digitlab.reading.answers import SHIPPED
from digitlab.training.calibration import with_temperature
from digitlab.training.letters import BUILT_IN, Font
from digitlab.training.nondigits import make_nondigits
from digitlab.values import CLASS_NAMES, NOT_A_DIGIT

CARD = SHIPPED.with_name("MODEL_CARD.md")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(SHIPPED)


@pytest.fixture(scope="module")
def answers(checkpoint: Checkpoint):
    """The calibrated answers to MNIST's test digits, with their labels."""
    data = MnistData.load()
    raw = Sequential.from_checkpoint(checkpoint).predict(data.test.images)
    return with_temperature(raw, float(checkpoint.metadata["temperature"])), data.test.labels


def test_it_is_small_and_has_eleven_classes(checkpoint: Checkpoint) -> None:
    assert SHIPPED.stat().st_size <= 2_000_000
    assert checkpoint.architecture.name == "reader_cnn"
    assert checkpoint.class_names == (*CLASS_NAMES, NOT_A_DIGIT)
    assert checkpoint.extra == {}


def test_its_metadata_says_how_to_use_it(checkpoint: Checkpoint) -> None:
    assert 0.3 < float(checkpoint.metadata["temperature"]) < 3
    assert 0 < float(checkpoint.metadata["refuse_above"]) < 1
    assert checkpoint.metadata["data"] == "MNIST, packaged"


def test_it_answers_mnists_test_digits(answers) -> None:
    probabilities, labels = answers
    assert accuracy(labels, probabilities[:, :10].argmax(axis=1)) >= 0.996
    assert accuracy(labels, probabilities.argmax(axis=1)) >= 0.996


def test_it_is_as_sure_as_it_is_right(answers) -> None:
    probabilities, labels = answers
    assert expected_calibration_error(calibration_bins(probabilities, labels)) <= 0.005


def test_the_threshold_costs_little_and_refuses_much(checkpoint: Checkpoint, answers) -> None:
    probabilities, _ = answers
    threshold = float(checkpoint.metadata["refuse_above"])
    assert (probabilities[:, 10] > threshold).mean() <= 0.005
    others = make_nondigits(300, MnistData.load().validation, seed=77, fonts=(Font(BUILT_IN),))
    raw = Sequential.from_checkpoint(checkpoint).predict(others.images)
    refused = with_temperature(raw, float(checkpoint.metadata["temperature"]))[:, 10] > threshold
    assert refused.mean() >= 0.75


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_blank_image_is_no_digit(checkpoint: Checkpoint, level: float) -> None:
    blank = np.full((1, 28, 28, 1), level, np.float32)
    assert Sequential.from_checkpoint(checkpoint).predict(blank)[0].argmax() == 10


def test_the_card_tells_of_this_file(checkpoint: Checkpoint) -> None:
    text = " ".join(CARD.read_text("utf-8").split())
    assert f"{SHIPPED.stat().st_size:,} bytes" in text
    assert f"{checkpoint.architecture.n_parameters:,} parameters" in text
    assert f"Temperature {checkpoint.metadata['temperature']}" in text
    assert f"Threshold {checkpoint.metadata['refuse_above']}" in text
    assert "`digitlab train --preset reader`" in text
    assert "CC BY-SA" in text or "Attribution-ShareAlike 3.0" in text
    assert not re.search(r"/(work|home|tmp|root)/", text)
