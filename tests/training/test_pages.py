"""Practice crops and sheets: the same whenever they are asked for, and marked where the ink is."""

from __future__ import annotations

import numpy as np
import pytest

from digitlab.engine.cpu.composing import compose_crop
from digitlab.engine.cpu.desk import CROP_PX, MOST_MARKS, new_desk
from digitlab.engine.crops import IGNORED, SEPARATORS
from digitlab.reading.light import local_contrast
from digitlab.training.letters import BUILT_IN, Font
from digitlab.training.pages import bank_digest, compose, compose_sheet, draw_sheet, make_bank

N = 60


@pytest.fixture(scope="module")
def crops(bank):
    return compose(bank, N, seed=1)


@pytest.mark.slow
def test_a_bank_is_the_same_every_time(bank, digits):
    again = make_bank(digits.training, seed=0, fonts=[Font(BUILT_IN)], threads=1)
    assert bank_digest(again) == bank_digest(bank)


@pytest.mark.slow
def test_a_bank_is_of_its_split_alone(bank, digits):
    assert bank_digest(make_bank(digits.validation, seed=0, fonts=[Font(BUILT_IN)])) != bank_digest(bank)
    assert {image.tobytes() for image in digits.training.images} <= {image.tobytes() for image in bank.images}
    assert (bank.labels[: bank.n_digits] >= 0).all()
    assert (bank.labels[bank.n_digits :] == -1).all()


def test_edges_lie_within_the_ink_of_their_image(bank):
    for index in range(150):
        edges = bank.edges[bank.starts[index] : bank.starts[index + 1]].astype(float) / 9
        left, top, right, bottom = bank.boxes[index]
        assert len(edges) > 3
        assert edges[:, ::2].min() >= left - 1
        assert edges[:, ::2].max() <= right + 1
        assert edges[:, 1::2].min() >= top - 1
        assert edges[:, 1::2].max() <= bottom + 1


def test_crops_do_not_depend_on_threads_or_on_how_many_are_composed(bank, crops):
    alone = compose(bank, 7, seed=1, first=11, threads=1)
    assert np.array_equal(alone.images, crops.images[11:18])
    marks = slice(crops.starts[11], crops.starts[18])
    assert np.array_equal(alone.boxes, crops.boxes[marks])
    assert np.array_equal(alone.labels, crops.labels[marks])


def test_a_crop_does_not_depend_on_those_before_it(bank):
    many = compose(bank, 60, seed=0, threads=1, is_grey=True)
    for k, image in enumerate(many.images):
        assert np.array_equal(compose(bank, 1, seed=0, first=k, is_grey=True).images[0], image), k


def test_other_seeds_and_other_numbers_give_other_crops(bank, crops):
    assert not np.array_equal(compose(bank, 1, seed=2).images[0], crops.images[0])
    assert len({image.tobytes() for image in crops.images}) > 0.9 * N  # some are nothing but white


def test_crops_are_local_contrast_of_what_a_camera_sees(bank, crops):
    greys = compose(bank, 5, seed=1, is_grey=True)
    assert greys.images.min() >= 0
    assert greys.images.max() <= 1
    assert np.array_equal(greys.boxes, crops.boxes[: crops.starts[5]])
    for grey, seen in zip(greys.images[..., 0], crops.images[..., 0], strict=False):
        assert np.array_equal(local_contrast(grey), seen)


def test_marks_have_labels_of_digits_separators_or_none(crops):
    assert set(crops.labels.tolist()) <= {IGNORED, *range(10 + len(SEPARATORS))}
    assert (crops.labels >= 10).any()
    assert (crops.labels == IGNORED).any()
    assert set(range(10)) <= set(crops.labels.tolist())


def test_marks_that_are_learned_are_in_view_and_as_large_as_a_finder_looks_for(crops):
    is_digit = (crops.labels >= 0) & (crops.labels < 10)
    boxes = crops.boxes[crops.labels >= 0]
    inside = np.clip(boxes, 0, CROP_PX)
    area, seen = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes, inside))
    assert (seen >= 0.6 * area).all()
    heights = (crops.boxes[:, 3] - crops.boxes[:, 1])[is_digit]
    assert heights.min() >= 12
    assert heights.max() <= 42


def test_boxes_are_tight_around_the_ink(bank):
    desk = new_desk()
    image, boxes, labels = np.zeros((CROP_PX, CROP_PX), np.float32), np.zeros((MOST_MARKS, 4), np.float32), None
    labels = np.zeros(MOST_MARKS, np.int64)
    touched = n_digits = 0
    for index in range(80):
        n = compose_crop(bank, desk, 1, index, image, boxes, labels)
        ink = np.maximum(desk.ink, desk.print)
        for box, label in zip(boxes[:n], labels[:n], strict=True):
            left, top, right, bottom = np.round(box).astype(int)
            if not 0 <= label < 10 or min(left, top) < 0 or max(right, bottom) > CROP_PX:
                continue
            n_digits += 1
            part = ink[top:bottom, left:right] > 0.2
            sides = [part[:2].any(), part[-2:].any(), part[:, :2].any(), part[:, -2:].any()]
            touched += all(sides)
    assert n_digits > 100
    assert touched >= 0.97 * n_digits  # but for what an uneven pen or the cover of another leaves out


def test_what_is_covered_is_not_learned(bank):
    desk = new_desk()
    image, boxes = np.zeros((CROP_PX, CROP_PX), np.float32), np.zeros((MOST_MARKS, 4), np.float32)
    labels = np.zeros(MOST_MARKS, np.int64)
    n_covered = 0
    for index in range(150):
        n = compose_crop(bank, desk, 3, index, image, boxes, labels)
        hidden = desk.hidden > 0.5
        n_covered += bool(hidden.any() and n)
        for box, label in zip(boxes[:n], labels[:n], strict=True):
            left, top, right, bottom = np.clip(box, 0, CROP_PX).astype(int)
            if label >= 0 and bottom - top > 3 and right - left > 3:
                assert hidden[top:bottom, left:right].mean() < 0.4
    assert n_covered > 10


def test_no_crop_is_flat_or_infinite(crops):
    assert np.isfinite(crops.images).all()
    assert (np.abs(crops.images).max((1, 2, 3)) < 25).all()


def test_a_sheet_tells_what_is_written_line_by_line(bank):
    sheet = compose_sheet(bank, 0, seed=1)
    again = compose_sheet(bank, 0, seed=1, is_turned=True)
    assert sheet.image.dtype == np.uint8
    assert 600 <= min(sheet.image.shape) <= max(sheet.image.shape) <= 1600
    assert np.array_equal(np.rot90(again.image, -again.turns), sheet.image)
    assert again.texts == sheet.texts
    assert len(sheet.texts) >= 2
    signs = [sign for line in sheet.lines for number in line for sign in number]
    assert all(sign.text in "0123456789" + SEPARATORS for sign in signs)
    tops = [min(sign.box[1] for number in line for sign in number) for line in sheet.lines]
    assert tops == sorted(tops)
    for line in sheet.lines:
        for number in line:
            middles = [sign.box[0] + sign.box[2] for sign in number]
            assert middles == sorted(middles)


def test_a_drawn_sheet_shows_marks_in_their_colors(bank):
    drawn = draw_sheet(compose(bank, 6, seed=1, is_grey=True), columns=3)
    assert drawn.shape == (2 * 288 + 3, 3 * 288 + 6, 3)
    assert (drawn == (0, 140, 40)).all(2).any()
