"""The preset reader: augmented digits, variants and what is no digit, in a normal run that can be resumed."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from digitlab.data.mnist import MnistData
from digitlab.engine.augmentation import AUGMENTATIONS, augmented
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, RunError
from digitlab.evaluation.finish import evaluate_run
from digitlab.evaluation.train import train
from digitlab.network import Architecture, Dense, Dropout, Flatten
from digitlab.runs.run import Run
from digitlab.training import nondigits
from digitlab.training.config import command_for, preset
from digitlab.training.letters import BUILT_IN, Font
from digitlab.training.material import gather_material
from digitlab.training.session import TrainingSession
from digitlab.values import CLASS_NAMES, NOT_A_DIGIT

SMALL = preset(
    "reader",
    {"train_images": 60, "validation_images": 30, "batch_size": 16, "epochs": 2, "not_a_digit": 0.2, "variants": 0.05},
)
TINY = Architecture(
    [Flatten(), Dense(8, activation="relu"), Dropout(0.3), Dense(11, activation="softmax")], name="tiny"
)


@pytest.fixture(autouse=True)
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the fonts of this machine alone: opening hundreds takes a second."""
    monkeypatch.setattr(nondigits, "find_fonts", lambda: (Font(BUILT_IN),))


def test_the_set_the_variants_and_the_others_have_their_shares(digits: MnistData) -> None:
    config = dataclasses.replace(SMALL, train_images=200, not_a_digit=0.3, variants=0.1)
    material = gather_material(config, digits, TINY)
    labels = material.training.labels
    assert len(labels) == pytest.approx(200 / 0.6, abs=2)
    assert (labels == 10).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(labels[:200], digits.training.labels)
    assert (labels[200:] < 10).sum() == pytest.approx(200 / 6, abs=3)
    assert material.nondigits is not None
    assert material.nondigits["n_training"] == (labels == 10).sum()
    assert material.nondigits["fonts"] == (BUILT_IN,)


def test_without_the_new_settings_everything_is_as_it_was(digits: MnistData) -> None:
    config = preset("codelab", {"train_images": 200, "validation_images": 60})
    material = gather_material(config, digits, config.build_architecture())
    np.testing.assert_array_equal(material.training.images.as_bytes, digits.training.images.reshape(200, 784))
    assert material.of_epoch is None
    assert material.nondigits is None
    assert "nondigits" not in TrainingSession(config, digits).describe()


def test_every_epoch_sees_the_same_labels_and_other_images(digits: MnistData) -> None:
    material = gather_material(SMALL, digits, TINY)
    assert material.of_epoch is not None
    first, again, second = (material.of_epoch(epoch) for epoch in (1, 1, 2))
    np.testing.assert_array_equal(first.labels, material.training.labels)
    np.testing.assert_array_equal(first.images.as_bytes, again.images.as_bytes)
    assert (first.images.as_bytes != second.images.as_bytes).any(axis=1).mean() > 0.95
    ranges = AUGMENTATIONS["reader"]
    assert ranges is not None
    images = material.training.images.as_bytes.reshape(-1, 28, 28)
    # The second of two epochs is the last, and changes images least.
    expected = augmented(images, ranges.times(0.25), seed=SMALL.seed, epoch=2)
    np.testing.assert_array_equal(second.images.as_bytes, expected.reshape(len(expected), -1))


def test_a_run_has_eleven_classes_a_temperature_and_a_threshold(digits: MnistData, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "reader")
    session = TrainingSession(SMALL, digits, run, TINY)
    for _ in session.records():
        pass
    checkpoint = run.load_model()
    assert checkpoint.class_names == (*CLASS_NAMES, NOT_A_DIGIT)
    assert 0.05 <= float(checkpoint.metadata["temperature"]) <= 20
    assert 0 <= float(checkpoint.metadata["refuse_above"]) <= 1
    calibration = session.calibration
    assert calibration is not None
    assert checkpoint.metadata["refuse_above"] == f"{calibration.refuse_above:.4f}"
    # The bias is part of the weights, once.
    again = TrainingSession(SMALL, digits, architecture=TINY)
    for _ in again._epochs():
        pass
    before, after = again.model.get_weights(), list(checkpoint.weights)
    np.testing.assert_array_equal(
        before[-1] + np.eye(11, dtype=np.float32)[10] * np.float32(calibration.bias), after[-1]
    )
    np.testing.assert_array_equal(before[0], after[0])
    described = run.read_json("config.json")
    assert described["nondigits"]["fonts"] == [BUILT_IN]
    assert len(described["nondigits"]["digest"]) == 64
    evaluation = evaluate_run(run, digits)
    assert evaluation.n_images == 30
    assert len(evaluation.confusion_matrix) == 11
    assert sum(evaluation.confusion_matrix[10]) == 0
    # An answer of "not a digit" to a digit is a mistake.
    predicted = Sequential.from_checkpoint(checkpoint).predict(digits.test.images).argmax(axis=1)
    assert evaluation.n_correct == (predicted == digits.test.labels).sum()


def test_the_whole_verb_trains_the_named_network(folder: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, data=str(folder), validation_images=20, epochs=1)
    run = train(config, tmp_path, name="r")
    assert run.load_model().architecture.name == "reader_cnn"


@pytest.mark.parametrize("stop_after", [1, 5, 6, 9])
def test_an_interrupted_run_gives_the_same_weights_bit_for_bit(
    digits: MnistData, tmp_path: Path, stop_after: int
) -> None:
    whole = TrainingSession(SMALL, digits, Run.create(tmp_path / "whole"), TINY)
    records = list(whole.records())
    assert len(records) == 12
    halted = TrainingSession(SMALL, digits, Run.create(tmp_path / "halted"), TINY)
    with closing(halted.records()) as first:
        for _, _ in zip(range(stop_after), first, strict=False):
            pass
    resumed = TrainingSession.resume(Run(tmp_path / "halted"), digits)
    list(resumed.records())
    np.testing.assert_array_equal(resumed.model.runner.parameters, whole.model.runner.parameters)
    assert resumed.calibration == whole.calibration


def test_threads_change_nothing(digits: MnistData) -> None:
    weights = []
    for threads in (1, 2, 3):
        session = TrainingSession(dataclasses.replace(SMALL, threads=threads), digits, architecture=TINY)
        list(session.records())
        weights.append(session.model.runner.parameters)
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[0], weights[2])


def test_other_fonts_are_told_when_resuming(digits: MnistData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = TrainingSession(SMALL, digits, Run.create(tmp_path / "r"), TINY)
    with closing(session.records()) as records:
        next(records)
    monkeypatch.setattr(nondigits, "draw_letter", lambda font, letter: np.eye(64, dtype=np.float32))
    with pytest.raises(RunError, match="it has other fonts"):
        TrainingSession.resume(Run(tmp_path / "r"), digits)


def test_ten_outputs_have_no_place_for_what_is_no_digit(digits: MnistData) -> None:
    with pytest.raises(ConfigError, match="needs a network with 11 outputs, such as reader_cnn; codelab_cnn has 10"):
        TrainingSession(preset("codelab", {"not_a_digit": 0.2, "train_images": 50, "validation_images": 10}), digits)


def test_without_validation_images_there_is_no_calibration(digits: MnistData) -> None:
    session = TrainingSession(dataclasses.replace(SMALL, validation_images=0, epochs=1), digits, architecture=TINY)
    list(session.records())
    assert "temperature" not in session.model_checkpoint().metadata


def test_the_command_repeats_the_preset() -> None:
    assert command_for(preset("reader", {"seed": 2})) == "digitlab train --preset reader --seed 2"
