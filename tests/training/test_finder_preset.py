"""A finder is trained like any network: in a run, with a history, and resumed bit for bit."""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import closing

import numpy as np
import pytest

from digitlab.engine.crops import PRIOR_LOGIT
from digitlab.errors import ConfigError, RunError
from digitlab.evaluation.finish import evaluate_run, write_report
from digitlab.runs.run import HISTORY, Run
from digitlab.text import epoch_line
from digitlab.training import fonts
from digitlab.training.config import TrainConfig, preset
from digitlab.training.session import TrainingSession
from digitlab.values import FinderEpochRecord, StepRecord

pytestmark = pytest.mark.slow

SMALL = preset("finder", {"train_images": 20, "validation_images": 4, "batch_size": 8, "epochs": 2})


@pytest.fixture(scope="module", autouse=True)
def _one_font():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitlab.training.practice_bank._PENNED_WORDS", 20)
        patch.setattr("digitlab.training.practice.find_fonts", lambda: (fonts.Font(fonts.BUILT_IN),))
        yield


def timeless(records):
    return [dataclasses.replace(record, images_per_s=0.0) for record in records]


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("finder") / "run")
    records = list(TrainingSession(SMALL, digits, run).records())
    return run, records


def test_an_epoch_is_so_many_crops_and_ends_with_what_was_found(whole):
    run, records = whole
    assert [type(record) for record in records] == 2 * [StepRecord, StepRecord, StepRecord, FinderEpochRecord]
    assert [record.n_images for record in records if isinstance(record, StepRecord)] == 2 * [8, 8, 4]
    assert run.history() == records
    last = records[-1]
    assert last.n_crops == 4
    assert last.n_marks > 0
    assert last.val_accuracy == (last.n_marks - last.n_missed - last.n_wrong) / last.n_marks
    assert epoch_line(last, 2).endswith("crops/s")


@pytest.mark.parametrize("n_records", [0, 2, 3, 4, 7])
def test_an_interrupted_finder_goes_on_bit_for_bit(n_records, whole, digits, tmp_path):
    run = Run.create(tmp_path / "run")
    with closing(TrainingSession(SMALL, digits, run).records()) as records:
        list(itertools.islice(records, n_records))
    if n_records:
        list(TrainingSession.resume(run, digits).records())
        assert all(map(np.array_equal, run.load_model().weights, whole[0].load_model().weights))
        assert timeless(run.history()) == timeless(whole[1])


def test_threads_do_not_matter(whole, digits):
    session = TrainingSession(dataclasses.replace(SMALL, threads=1), digits)
    assert timeless(session.records()) == timeless(whole[1])
    assert all(map(np.array_equal, session.model.get_weights(), whole[0].load_model().weights))


def test_a_run_is_not_resumed_with_other_fonts(digits, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run")
    with closing(TrainingSession(SMALL, digits, run).records()) as records:
        next(records)
    monkeypatch.setattr("digitlab.training.practice_bank._WORDS_PER_FONT", 3)
    with pytest.raises(RunError, match="other fonts"):
        TrainingSession.resume(run, digits)


def test_the_report_tells_what_was_found(whole, digits):
    text = write_report(whole[0], digits, None).read_text()
    assert "Digits found" in text
    assert "practice pages composed of a few digits" in text


def test_single_images_cannot_judge_a_finder(whole, digits):
    with pytest.raises(ConfigError, match="finds digits on pages"):
        evaluate_run(whole[0], digits)


def test_a_new_finder_expects_few_centres(digits):
    model = TrainingSession(SMALL, digits).model
    maps = model.predict_maps(np.zeros((40, 40), np.float32))
    assert 1 / (1 + np.exp(-(maps[..., :2] + PRIOR_LOGIT))).max() < 0.05


def test_loss_and_network_must_fit(digits):
    with pytest.raises(ConfigError, match="finder_cnn"):
        TrainingSession(TrainConfig(loss="finder"), digits)
    with pytest.raises(ConfigError, match="--preset finder"):
        TrainingSession(TrainConfig(network="finder_cnn"), digits)
    with pytest.raises(ConfigError, match="leave out augmentation"):
        preset("finder", {"augmentation": "reader"})
    with pytest.raises(ConfigError, match="cross_entropy"):
        TrainConfig(loss="crossentropy")


def test_a_history_keeps_both_kinds_of_epochs(whole):
    lines = (whole[0].path / HISTORY).read_text().splitlines()
    assert sum('"kind": "finder epoch"' in line for line in lines) == 2
