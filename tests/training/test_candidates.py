"""Candidates: what a finder takes for a digit, with the truth beside it."""

from __future__ import annotations

import numpy as np
import pytest

from digitlab.engine.crops import CENTERS, N_MAPS, PRIOR_LOGIT, STRIDE
from digitlab.engine.drawing.sketching import CROP_PX
from digitlab.errors import ConfigError
from digitlab.reading.finder import candidates, shipped
from digitlab.reading.second_look import PATCH_PX
from digitlab.training.candidates import NONE, compose_candidates
from digitlab.training.config import TrainConfig, preset
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord

N = 300


@pytest.fixture(scope="module")
def composed(bank):
    return compose_candidates(bank, N, shipped(), seed=1)


@pytest.mark.slow
def test_candidates_do_not_depend_on_threads_or_on_how_many_are_asked_for(bank, composed):
    patches, labels = compose_candidates(bank, 60, shipped(), seed=1, threads=1)
    assert np.array_equal(patches, composed[0][:60])
    assert np.array_equal(labels, composed[1][:60])


@pytest.mark.slow
def test_every_digit_and_what_is_none_is_among_them(composed):
    patches, labels = composed
    assert patches.shape == (N, PATCH_PX, PATCH_PX)
    assert patches.dtype == np.uint8
    assert set(labels) == set(range(11))
    assert 0.2 * N < (labels == NONE).sum() < 0.8 * N


@pytest.mark.slow
def test_a_blind_finder_leaves_digits_as_they_stand_and_parts_of_them(bank):
    blind = np.zeros((CROP_PX // STRIDE, CROP_PX // STRIDE, N_MAPS), np.float32)
    blind[..., CENTERS] = -30
    _, labels = compose_candidates(bank, 40, lambda contrast: blind, seed=1)
    assert (labels < NONE).sum() > 10
    assert (labels == NONE).sum() > 5


def test_a_peak_becomes_a_box_in_pixels():
    maps = np.zeros((10, 12, N_MAPS), np.float32)
    maps[..., CENTERS] = -30
    maps[4, 7, 0] = 3 - PRIOR_LOGIT
    maps[4, 7, 19:23] = 0.25, -0.5, np.log(0.5), np.log(1.5)
    assert candidates(maps, 0.5) == pytest.approx(np.array([[7.75 * 4, 4.0 * 4, 8.0, 24.0]]), rel=1e-6)


def test_candidates_need_no_augmentation_and_their_own_network(digits):
    with pytest.raises(ConfigError, match="leave out"):
        TrainConfig(network="second_look_cnn", learns_from="candidates", augmentation="reader")
    with pytest.raises(ConfigError, match="digits, candidates"):
        TrainConfig(learns_from="pages")


@pytest.mark.slow
def test_a_short_run_learns_and_can_be_repeated(digits):
    config = preset("second-look", {"train_images": 1500, "validation_images": 300, "epochs": 2, "batch_size": 64})
    weights = []
    for _ in range(2):
        session = TrainingSession(config, digits)
        epochs = [record for record in session.records() if isinstance(record, EpochRecord)]
        weights.append(session.model.get_weights())
    assert epochs[-1].loss < 2.2
    assert not session.takes_test_images
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))
