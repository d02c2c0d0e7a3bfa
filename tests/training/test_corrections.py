"""Corrections: images kept whole or not at all, and a set that can be trained with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import digitlab as dl
from digitlab.data.idx import read_idx, write_idx
from digitlab.data.sources import read_set
from digitlab.errors import DataError, DigitlabError, InputError, StorageError
from digitlab.training import corrections
from digitlab.training.corrections import NOT_A_DIGIT_LABEL, Corrections


def image(value: int) -> np.ndarray:
    made = np.zeros((28, 28), np.uint8)
    made[4:24, 10 + value % 8] = 55 + value
    return made


@pytest.fixture
def kept(tmp_path: Path) -> Corrections:
    found = Corrections(tmp_path / "corrections")
    for label in (3, NOT_A_DIGIT_LABEL, 7):
        found.add(image(label), label)
    return found


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    none = Corrections(tmp_path / "corrections")
    assert (len(none), none.entries()) == (0, [])
    assert none.arrays()[0].shape == (0, 28, 28)
    assert not none.folder.exists()


def test_what_was_kept_is_there_in_the_next_process(kept: Corrections) -> None:
    again = Corrections(kept.folder).entries()
    assert [(c.number, c.label) for c in again] == [(0, 3), (1, NOT_A_DIGIT_LABEL), (2, 7)]
    for correction in again:
        np.testing.assert_array_equal(correction.image, image(correction.label))


def test_the_same_image_is_kept_once_with_its_newest_label(kept: Corrections) -> None:
    assert kept.add(image(7), 1) == 2
    assert kept.arrays()[1].tolist() == [3, NOT_A_DIGIT_LABEL, 1]


def test_a_removed_one_leaves_no_trace_and_its_place_is_used_again(kept: Corrections) -> None:
    kept.remove(1)
    assert [c.number for c in kept.entries()] == [0, 2]
    assert not read_idx(kept.folder / "corrections-images-idx3-ubyte")[1].any()
    with pytest.raises(InputError, match="removed already"):
        kept.remove(1)
    assert kept.add(image(5), 5) == 1


def test_digits_among_them_can_be_trained_with_and_are_tested_on_mnists(kept: Corrections) -> None:
    files = read_set(kept.folder)
    assert files.training_labels.tolist() == [3, 7]
    np.testing.assert_array_equal(files.training_images[1], image(7))
    assert len(files.test_images) == 10_000
    data = dl.MnistData.load(kept.folder)
    assert (len(data.training), len(data.validation)) == (1, 1)


def test_without_a_digit_training_says_that_there_are_no_images(tmp_path: Path) -> None:
    only = Corrections(tmp_path / "c")
    only.add(image(1), NOT_A_DIGIT_LABEL)
    with pytest.raises(DataError, match="holds no images"):
        read_set(only.folder)


@pytest.mark.parametrize("at", range(4))
def test_a_crash_between_two_files_leaves_what_was_or_what_is_meant(
    kept: Corrections, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    before = [(c.number, c.label) for c in kept.entries()]
    written: list[str] = []

    def crash(path: Path, array: np.ndarray) -> None:
        written.append(path.name)
        if len(written) > at:
            raise StorageError("The disk is gone.")
        write_idx(path, array)

    monkeypatch.setattr(corrections, "write_idx", crash)
    with pytest.raises(StorageError):
        kept.add(image(6), 6)
    after = [(c.number, c.label) for c in Corrections(kept.folder).entries()]
    assert after == (before if at < 2 else [*before, (3, 6)])
    monkeypatch.undo()
    kept.add(image(8), 8)
    assert (read_set(kept.folder).training_labels == 8).sum() == 1


@pytest.mark.parametrize(
    ("made", "label"), [(image(1), -1), (image(1), 11), (image(1)[:27], 1), (image(1).astype(np.float32), 1)]
)
def test_what_is_no_correction_is_refused_with_a_sentence(kept: Corrections, made: np.ndarray, label: int) -> None:
    with pytest.raises(InputError, match="A correction"):
        kept.add(made, label)
    assert len(kept) == 3


def test_there_is_an_end_to_them(kept: Corrections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "MOST_CORRECTIONS", 3)
    with pytest.raises(InputError, match="which is the most"):
        kept.add(image(9), 9)
    kept.remove(0)
    kept.add(image(9), 9)


@pytest.mark.parametrize("name", ["corrections-images-idx3-ubyte", "corrections-labels-idx1-ubyte"])
@pytest.mark.parametrize("content", [b"", b"nonsense", bytes([0, 0, 8, 1, 0, 0, 0, 1, 99]), bytes([0, 0, 8, 1]) * 3])
def test_damaged_files_are_told_in_a_sentence(kept: Corrections, name: str, content: bytes) -> None:
    (kept.folder / name).write_bytes(content)
    with pytest.raises(DigitlabError, match=r"\.$"):
        kept.entries()


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        Corrections(tmp_path / "file" / "corrections").add(image(1), 1)


@pytest.mark.slow
def test_two_processes_lose_no_correction_of_each_other(tmp_path: Path) -> None:
    program = """
import sys, numpy as np, pathlib
from digitlab.training.corrections import Corrections
kept = Corrections(pathlib.Path("corrections"))
for k in range(int(sys.argv[1]), 40, 2):
    image = np.zeros((28, 28), np.uint8)
    image[k // 8, k % 8] = 255
    kept.add(image, k % 10)
"""
    writers = [subprocess.Popen([sys.executable, "-c", program, str(k)], cwd=tmp_path) for k in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    found = Corrections(tmp_path / "corrections").entries()
    places = [int(np.flatnonzero(one.image.ravel())[0]) for one in found]
    numbers = [place // 28 * 8 + place % 28 for place in places]
    assert sorted(numbers) == list(range(40))
    assert all(one.label == number % 10 for one, number in zip(found, numbers, strict=True))
