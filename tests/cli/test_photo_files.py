"""Which files are read, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from digitlab.cli.read import find_photos, unique_names
from digitlab.errors import DataError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_is_walked_as_people_count_without_what_is_hidden_or_no_photo(tmp_path: Path) -> None:
    _touch(tmp_path, "page 10.png", "page 2.PNG", "Page 1.jpg", "notes.txt", ".hidden.png", ".git/a.png", "more/x.pdf")
    found = find_photos([tmp_path])
    assert found.inside == ("Page 1.jpg", "page 2.PNG", "page 10.png", str(Path("more", "x.pdf")))
    assert found.paths == tuple(str(tmp_path / name) for name in found.inside)
    assert found.problems == ()


def test_photos_that_may_not_be_opened_are_found_so_that_they_are_told(tmp_path: Path) -> None:
    _touch(tmp_path, "IMG_1.HEIC", "IMG_2.jpg", "raw.dng")
    assert find_photos([tmp_path]).inside == ("IMG_1.HEIC", "IMG_2.jpg", "raw.dng")


def test_named_files_keep_their_order_and_come_once_whatever_they_are_called(tmp_path: Path) -> None:
    _touch(tmp_path, "b.dat", "a.png")
    found = find_photos([tmp_path / "b.dat", tmp_path / "a.png", tmp_path / "b.dat", Path("-")])
    assert found.inside == ("b.dat", "a.png", "-")


def test_a_folder_without_photos_is_a_sentence_and_the_others_are_found(tmp_path: Path) -> None:
    _touch(tmp_path, "empty/notes.txt", "full/a.png")
    found = find_photos([tmp_path / "empty", tmp_path / "full"])
    assert len(found.paths) == 1
    assert "empty holds no photos or PDFs; it has 1 other file. Name" in found.problems[0]


def test_nothing_and_options_that_do_not_exist_are_sentences() -> None:
    with pytest.raises(DataError, match="nothing to read"):
        find_photos([])
    with pytest.raises(DataError, match="no option --jsn"):
        find_photos([Path("--jsn")])


def test_a_link_to_its_own_folder_is_not_followed(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_photos([tmp_path]).inside == ("a.png",)


def test_pictures_of_two_photos_never_get_one_name() -> None:
    names = unique_names(["a.png", "A.jpg", "a-2.png", "x/a.png", "-"])
    assert len({name.casefold() for name in names}) == len(names)
    assert names[0] == "a"
    assert names[3] == str(Path("x", "a"))
