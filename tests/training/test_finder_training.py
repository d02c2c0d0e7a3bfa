"""A finder is trained like any network, resumed bit for bit; and what it finds and misses is counted."""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import closing

import numpy as np
import pytest

from digitlab.engine.crops import (
    CENTERS,
    DIGITS,
    IGNORED,
    N_MAPS,
    PRIOR_LOGIT,
    SEPARATOR_MAPS,
    SIZES,
    USUAL_PX,
    Crops,
)
from digitlab.errors import ConfigError, RunError
from digitlab.evaluation.finish import evaluate_run, write_report
from digitlab.runs.run import HISTORY, Run
from digitlab.training.config import TrainConfig, preset
from digitlab.training.finder_training import FinderScore, find_peaks, score_maps
from digitlab.training.letters import BUILT_IN, Font
from digitlab.training.session import TrainingSession
from digitlab.values import FinderEpochRecord, StepRecord

SMALL = preset("finder", {"train_images": 20, "validation_images": 4, "batch_size": 8, "epochs": 2})


@pytest.fixture(scope="module", autouse=True)
def _one_font():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitlab.training.pages._PENNED_WORDS", 20)
        patch.setattr("digitlab.training.letters.find_fonts", lambda: (Font(BUILT_IN),))
        yield


def timeless(records):
    return [dataclasses.replace(record, images_per_s=0.0) for record in records]


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("finder") / "run")
    records = list(TrainingSession(SMALL, digits, run).records())
    return run, records


@pytest.mark.slow
def test_an_epoch_is_so_many_crops_and_ends_with_what_was_found(whole):
    run, records = whole
    assert [type(record) for record in records] == 2 * [StepRecord, StepRecord, StepRecord, FinderEpochRecord]
    assert [record.n_images for record in records if isinstance(record, StepRecord)] == 2 * [8, 8, 4]
    assert run.history() == records
    last = records[-1]
    assert last.n_crops == 4
    assert last.n_marks > 0
    assert last.val_accuracy == (last.n_marks - last.n_missed - last.n_wrong) / last.n_marks
    assert last.line(2).endswith("crops/s")


@pytest.mark.slow
@pytest.mark.parametrize("n_records", [0, 2, 3, 4, 7])
def test_an_interrupted_finder_goes_on_bit_for_bit(n_records, whole, digits, tmp_path):
    run = Run.create(tmp_path / "run")
    with closing(TrainingSession(SMALL, digits, run).records()) as records:
        list(itertools.islice(records, n_records))
    if n_records:
        list(TrainingSession.resume(run, digits).records())
        assert all(map(np.array_equal, run.load_model().weights, whole[0].load_model().weights))
        assert timeless(run.history()) == timeless(whole[1])


@pytest.mark.slow
def test_threads_do_not_matter(whole, digits):
    session = TrainingSession(dataclasses.replace(SMALL, threads=1), digits)
    assert timeless(session.records()) == timeless(whole[1])
    assert all(map(np.array_equal, session.model.get_weights(), whole[0].load_model().weights))


@pytest.mark.slow
def test_a_run_is_not_resumed_with_other_fonts(digits, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run")
    with closing(TrainingSession(SMALL, digits, run).records()) as records:
        next(records)
    monkeypatch.setattr("digitlab.training.pages._WORDS_PER_FONT", 3)
    with pytest.raises(RunError, match="other fonts"):
        TrainingSession.resume(run, digits)


@pytest.mark.slow
def test_the_report_tells_what_was_found(whole, digits):
    text = write_report(whole[0], digits, None).read_text()
    assert "Digits found" in text
    assert "practice pages composed of a few digits" in text


@pytest.mark.slow
def test_single_images_cannot_judge_a_finder(whole, digits):
    with pytest.raises(ConfigError, match="finds digits on pages"):
        evaluate_run(whole[0], digits)


@pytest.mark.slow
def test_a_new_finder_expects_few_centres(digits):
    model = TrainingSession(SMALL, digits).model
    maps = model.predict_maps(np.zeros((40, 40), np.float32))
    assert 1 / (1 + np.exp(-(maps[..., :2] + PRIOR_LOGIT))).max() < 0.05


@pytest.mark.slow
def test_loss_and_network_must_fit(digits):
    with pytest.raises(ConfigError, match="finder_cnn"):
        TrainingSession(TrainConfig(loss="finder"), digits)
    with pytest.raises(ConfigError, match="--preset finder"):
        TrainingSession(TrainConfig(network="finder_cnn"), digits)
    with pytest.raises(ConfigError, match="leave out augmentation"):
        preset("finder", {"augmentation": "reader"})
    with pytest.raises(ConfigError, match="cross_entropy"):
        TrainConfig(loss="crossentropy")


@pytest.mark.slow
def test_a_history_keeps_both_kinds_of_epochs(whole):
    lines = (whole[0].path / HISTORY).read_text().splitlines()
    assert sum('"kind": "finder epoch"' in line for line in lines) == 2


def maps_with(*centers):
    """Return maps of 10 x 10 cells with centres (row, column, label, height in pixels)."""
    maps = np.full((10, 10, N_MAPS), -8.0, np.float32)
    maps[..., 19:21] = 0
    for row, column, label, height in centers:
        maps[row, column, CENTERS][int(label >= 10)] = 5 - PRIOR_LOGIT
        of_kind = maps[row, column, DIGITS] if label < 10 else maps[row, column, SEPARATOR_MAPS]
        of_kind[label % 10] = 4
        maps[row, column, SIZES] = np.log(height / USUAL_PX)
    return maps


def crops_with(*marks):
    """Return one crop with marks (left, top, right, bottom, label)."""
    boxes = np.array([mark[:4] for mark in marks], np.float32).reshape(-1, 4)
    labels = np.array([mark[4] for mark in marks], np.int64)
    return Crops(np.zeros((1, 40, 40, 1), np.float32), boxes, labels, np.array([0, len(marks)]))


def test_a_peak_stands_where_its_cell_is_and_is_as_large_as_it_says():
    peaks = find_peaks(maps_with((2, 3, 7, 16.0)))
    assert peaks.labels.tolist() == [7]
    np.testing.assert_allclose(peaks.boxes, [[6, 2, 22, 18]], atol=1e-4)
    assert peaks.probabilities[0] > 0.99


def test_without_a_centre_nothing_is_found():
    assert len(find_peaks(maps_with()).labels) == 0


def test_found_missed_wrong_and_extra_are_counted():
    maps = maps_with((2, 2, 7, 16.0), (2, 7, 3, 16.0), (7, 2, 10, 16.0))[None]
    crops = crops_with((2, 2, 18, 18, 7), (22, 22, 38, 38, 1), (22, 2, 38, 18, 4))
    assert score_maps(maps, crops) == FinderScore(n_marks=3, n_found=2, n_missed=1, n_wrong=1, n_extra=1, n_crops=1)


def test_what_is_ignored_is_neither_missed_nor_extra():
    maps = maps_with((2, 2, 7, 16.0))[None]
    score = score_maps(maps, crops_with((2, 2, 18, 18, IGNORED), (22, 22, 38, 38, IGNORED)))
    assert score == FinderScore(0, 0, 0, 0, 0, 1)


def test_a_mark_is_found_once():
    maps = maps_with((2, 2, 7, 16.0), (2, 4, 7, 16.0))[None]
    assert score_maps(maps, crops_with((2, 2, 26, 26, 7))).n_extra == 1
