"""What counts as found, missed, wrong and extra."""

from __future__ import annotations

import numpy as np

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
from digitlab.training.finder_score import FinderScore, find_peaks, score_maps


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
