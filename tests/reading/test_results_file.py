"""The file of results: whole files or nothing, gone on with, and never another's."""

from __future__ import annotations

import csv
import errno
import os
import tracemalloc
from pathlib import Path

import pytest

from digitlab.errors import ConfigError, StorageError
from digitlab.reading import results_file
from digitlab.reading.many import FileReading
from digitlab.reading.reading import Box, Digit, Line, Number, Reading, Refused
from digitlab.reading.results_file import COLUMNS, ResultsFile, safe_cell, table_rows


def page(*numbers: str, number: int = 1, refused: int = 0) -> Reading:
    """A page with one number a line."""
    box = Box(1, 2, 30, 40)
    lines = tuple(
        Line(box, (Number(value, box, 0.5, tuple(Digit(int(digit), box, 0.9, ()) for digit in value)),))
        for value in numbers
    )
    return Reading("x", number, 100, 50, 0, 0.0, lines, (Refused(box, "dash"),) * refused)


def result(name: str, *pages: Reading, error: str | None = None) -> FileReading:
    return FileReading(name, pages, error, 0.1)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "a.png"
    path.write_bytes(b"a photo")
    return str(path)


def test_a_row_a_number_with_its_place_and_leading_zeros() -> None:
    first, second, third = table_rows(result("a", page("007", "12", refused=3), page(number=2)), "whole")
    assert COLUMNS == ("file", "page", "line", "number", "digits", "confidence", "box", "refused", "error", "state")
    assert first == ["a", "1", "1", "1", "007", "0.5000", "1 2 30 40", "3", "", ""]
    assert second[2:5] == ["2", "1", "12"]
    assert third == ["a", "2", "", "", "", "", "", "0", "", "whole"]


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@x.png", "\tx", "\rx", "'=x"])
def test_no_name_becomes_a_formula(name: str) -> None:
    assert safe_cell(name) == f"'{name}"
    assert safe_cell(name[1:] + name) == name[1:] + name or name[1] in "='"


@pytest.mark.parametrize(
    ("name", "cell"),
    [("a;=1.png", "a;'=1.png"), ("a;'=1", "a;''=1"), ("a\n=1", "a\n'=1"), ("a|  @x", "a|'  @x"), ("；=1", "；=1")],
)
def test_nothing_behind_what_may_end_a_cell_becomes_a_formula(name: str, cell: str) -> None:
    assert safe_cell(name) == cell


def test_a_name_that_is_no_text_can_be_written() -> None:
    assert safe_cell("a\udcff.png") == "a\\udcff.png"


def test_what_was_written_is_not_read_again_until_it_changes(tmp_path: Path, photo: str) -> None:
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how") as table:
        assert not table.has(photo, photo)
        table.append(result(photo, page("1", "2")), photo)
    with ResultsFile(path, "how") as table:
        assert table.has(photo, photo)
        os.utime(photo, (1, 1))
        assert not table.has(photo, photo)
        table.forget([photo])
        table.append(result(photo, page("3")), photo)
    assert [row["digits"] for row in rows(path)] == ["3"]


def test_a_file_that_failed_is_tried_again(tmp_path: Path, photo: str) -> None:
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how") as table:
        table.append(result(photo, error="It is damaged."), photo)
    assert rows(path)[0]["error"] == "It is damaged."
    with ResultsFile(path, "how") as table:
        assert not table.has(photo, photo)


def test_whatever_a_killed_process_leaves_only_whole_files_stay(tmp_path: Path, photo: str) -> None:
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how") as table:
        table.append(result('first, "quoted"\nname', page("1", "2")), photo)
        n_first = path.stat().st_size
        table.append(result("second\nname", page("3", "4"), page("5", number=2)), photo)
    whole = path.read_bytes()
    first = whole[:n_first]
    for n_bytes in range(len(whole)):
        path.write_bytes(whole[:n_bytes])
        with ResultsFile(path, "how"):
            pass
        expected = first if n_bytes >= n_first else (",".join(COLUMNS) + "\n").encode()
        assert path.read_bytes() == expected, n_bytes


def test_other_options_and_other_files_are_never_mixed_up(tmp_path: Path, photo: str) -> None:
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how") as table:
        table.append(result("a", page("1")), photo)
    with pytest.raises(ConfigError, match="other options"):
        ResultsFile(path, "else")
    for foreign in ("name,age\nx,1\n", "hello", "\n", '"', "file,page\n", "\x00\n" * 3, "file;page;line\n1;2;3\n"):
        path.write_text(foreign)
        with pytest.raises(ConfigError, match="no table"):
            ResultsFile(path, "how")
        assert path.read_text() == foreign
    with ResultsFile(path, "how", force=True):
        pass
    assert rows(path) == []


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "no" / "r.csv", tmp_path / "pipe", Path("/dev/null"), tmp_path / ("x" * 300)):
        with pytest.raises((StorageError, ConfigError), match=r"--out|--csv"):
            ResultsFile(path, "how")


def test_two_commands_do_not_write_the_same_file(tmp_path: Path) -> None:
    with ResultsFile(tmp_path / "r.csv", "how"), pytest.raises(StorageError, match="another digitlab read"):
        ResultsFile(tmp_path / "r.csv", "how")


def test_one_of_two_commands_that_begin_at_once_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = tmp_path / "r.csv", results_file.try_lock
    others: list[ResultsFile] = []

    def late(descriptor: int) -> bool | None:
        # Another process is faster, between the moment when the file was opened and the moment when it is locked.
        if not others:
            monkeypatch.setattr(results_file, "try_lock", lock)
            others.append(ResultsFile(path, "how"))
        return lock(descriptor)

    monkeypatch.setattr(results_file, "try_lock", late)
    with pytest.raises(StorageError, match="another digitlab read"):
        ResultsFile(path, "how")
    with others[0] as table:
        table.append(result("a", page("1")), str(path))
        with pytest.raises(StorageError, match="another digitlab read"):
            ResultsFile(path, "how")
    assert [row["digits"] for row in rows(path)] == ["1"]


def test_a_full_disk_loses_nothing(tmp_path: Path, photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how") as table:
        table.append(result("a", page("1")), photo)
        before = path.read_bytes()
        write = table._write

        def full(content: bytes) -> None:
            write(content[:7])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(table, "_write", full)
        with pytest.raises(StorageError, match=r"No space left.*kept.*same command"):
            table.append(result("b", page("2")), photo)
        assert path.read_bytes() == before


def test_permissions_and_links_stay(tmp_path: Path, photo: str) -> None:
    path, link = tmp_path / "r.csv", tmp_path / "link.csv"
    with ResultsFile(path, "how") as table:
        table.append(result("a", page("1")), photo)
    path.chmod(0o640)
    link.symlink_to(path)
    with ResultsFile(link, "how") as table:
        table.forget(["a"])
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert rows(path) == []


def test_a_table_that_a_spreadsheet_has_saved_is_gone_on_with(tmp_path: Path, photo: str) -> None:
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how") as table:
        table.append(result(photo, page("1", "2")), photo)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    with ResultsFile(path, "how") as table:
        assert table.has(photo, photo)


def test_a_large_table_is_looked_through_in_little_memory(tmp_path: Path, photo: str) -> None:
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how") as table:
        table.append(result(photo, page("1", "2")), photo)
        table.append(result("b", page("3")), photo)
    heading, *lines = path.read_bytes().splitlines(keepends=True)
    rest = b"".join(lines)
    path.write_bytes(heading + rest * (2**21 // len(rest)))
    tracemalloc.start()
    try:
        with ResultsFile(path, "how") as table:
            assert table.has(photo, photo)
            table.forget(["b"])
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert path.read_bytes() == heading + b"".join(lines[:2]) * (2**21 // len(rest))


@pytest.mark.parametrize("rest", [b"x" * 2**21, b"," * 2**21, b'"' + b'","\n' * 2**19, b'"' + b"x\n" * 2**20])
def test_no_row_takes_more_memory_than_one_that_was_written(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how"):
        pass
    content = path.read_bytes() + rest
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no table"):
        ResultsFile(path, "how")
    assert path.read_bytes() == content


def test_a_table_of_too_many_files_is_refused(tmp_path: Path, photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_file, "_MOST_FILES", 2)
    path = tmp_path / "r.csv"
    with ResultsFile(path, "how") as table:
        for name in "abc":
            table.append(result(name, page("1")), photo)
    with pytest.raises(ConfigError, match="tells of over 2 files"):
        ResultsFile(path, "how")
