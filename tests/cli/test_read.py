"""``digitlab read``: many files, a bad one among them, results as they are ready, and going on after an end."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from digitlab.cli.app import main
from digitlab.cli.read import _recipe, find_photos, unique_names
from digitlab.data.mnist import MnistData
from digitlab.engine.cpu.compiled import seal_cache
from digitlab.errors import DataError
from digitlab.processes import UnforeseenError
from digitlab.reading import many
from digitlab.reading.apart import PAGE_SECONDS
from digitlab.reading.reading import Box, Digit, Line, Number, Reading, ReadingOptions, Refused
from digitlab.reading.results_file import COLUMNS


class FakeReader:
    """Reads text files: a line a page, with numbers between spaces; ``!`` is a damaged page, ``?`` a mark."""

    def __init__(self, model: object = None) -> None:
        self.model = model
        self.n_read = 0

    def read_pages(self, photo: str | bytes, options: ReadingOptions) -> Iterator[Reading]:
        self.n_read += 1
        if isinstance(photo, str) and not Path(photo).exists():
            raise DataError(f"There is no file {photo}. Check the name and the folder.")
        text = (photo if isinstance(photo, bytes) else Path(photo).read_bytes()).decode()
        for number, line in enumerate(text.splitlines(), start=1):
            if "!" in line:
                raise DataError(f"{Path(str(photo)).name} is damaged: no pixels. Save or copy it again.")
            if "#" in line:
                raise ZeroDivisionError("a bug")
            box = Box(1, 2, 3, 4)
            numbers = tuple(
                Number(word, box, 0.5, tuple(Digit(int(digit), box, 0.9, ()) for digit in word))
                for word in line.replace("?", "").split()
            )
            lines = (Line(box, numbers),) if numbers else ()
            refused = (Refused(box, "dash"),) * line.count("?")
            yield Reading("x", number, 10, 10, 0, 0.0, lines, refused)

    def explain_pages(self, photo: str | bytes, options: ReadingOptions) -> Iterator[Any]:
        step = SimpleNamespace(name="grey", title="Grey <b>", sentence="Colors go.", picture=np.zeros((4, 4), np.uint8))
        for reading in self.read_pages(photo, options):
            yield SimpleNamespace(reading=reading, steps=(step,))


class Here:
    """Does in this process what is else done in others, where the fake reader is not known."""

    def __init__(self, most: int, page_seconds: float, memory_bytes: int) -> None:
        assert page_seconds == PAGE_SECONDS

    def each(self, function: Any, *arguments: Any, source: str) -> Iterator[Any]:
        try:
            yield from function(*arguments)
        except ZeroDivisionError as error:
            raise UnforeseenError(f"ZeroDivisionError: {error}") from None

    def close(self) -> None:
        pass


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> FakeReader:
    fake = FakeReader()
    monkeypatch.setattr(many, "Apart", Here)
    monkeypatch.setattr(many, "_reader", lambda model: fake)
    monkeypatch.setattr(Reading, "render", lambda self, photo: Image.new("RGB", (4, 4)), raising=False)
    return fake


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of "photos" for the fake reader, which is where the command runs."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"10.png": "10 11?", "2.png": "02", "1.png": "1\n\n3", "none.jpg": "??"}.items():
        Path(name).write_text(text)
    return tmp_path


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_tells_file_line_what_was_read_confidence_and_refused(
    call: Any, reader: FakeReader, folder: Path
) -> None:
    outcome = call("read", ".", "--workers", "1")
    assert outcome.code == 0
    lines = [line.split() for line in outcome.out.splitlines()]
    assert lines[0] == ["File", "Line", "Read", "Confidence", "Refused"]
    assert lines[2:] == [
        ["1.png,", "1", "1", "50.0", "%"],
        ["page", "1"],
        ["1.png,", "no", "digits"],
        ["page", "2"],
        ["1.png,", "1", "3", "50.0", "%"],
        ["page", "3"],
        ["2.png", "1", "02", "50.0", "%"],
        ["10.png", "1", "10", "11", "25.0", "%", "1"],
        ["none.jpg", "no", "digits", "2"],
    ]
    assert "4 files; 5 numbers;" in outcome.err


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_table_fits_the_terminal(
    call: Any, reader: FakeReader, folder: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    Path("a very long name of a photo that somebody gave it.png").write_text("1234567890 " * 9)
    monkeypatch.setenv("COLUMNS", str(columns))
    outcome = call("read", ".", "--workers", "1")
    assert all(len(line) <= columns for line in outcome.out.splitlines())
    assert "…" not in outcome.out


def test_a_bad_file_is_told_and_the_others_are_read(call: Any, reader: FakeReader, folder: Path) -> None:
    Path("bad.png").write_text("7\n!")
    Path("bug.png").write_text("#")
    outcome = call("read", "bad.png", "missing.png", "bug.png", "2.png", "--json", "--workers", "1")
    assert outcome.code == 1
    bad, missing, bug, good = outcome.lines()
    assert [len(entry["readings"]) for entry in (bad, missing, bug, good)] == [1, 0, 0, 1]
    assert "damaged" in bad["error"]
    assert "ZeroDivisionError" in bug["error"]
    assert good["error"] is None
    assert good["readings"][0]["text"] == "02"
    assert outcome.err.count("Error: ") == 4  # and the bug's own
    assert outcome.err.count("missing.png") == 1
    assert "3 of them could not be read" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_folder_without_photos_is_told_with_exit_code_1(call: Any, reader: FakeReader, folder: Path) -> None:
    Path("empty").mkdir()
    outcome = call("read", "empty", "2.png")
    assert outcome.code == 1
    assert "02" in outcome.out
    assert "empty holds no photos" in outcome.err


def test_where_nothing_can_be_read_the_exit_code_is_2(call: Any, reader: FakeReader, folder: Path) -> None:
    Path("bad.png").write_text("!")
    Path("empty").mkdir()
    assert call("read", "bad.png", "missing.png").code == 2
    assert call("read", "empty").code == 2


def test_pages_beyond_the_most_are_told(
    call: Any, reader: FakeReader, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "replace", lambda options, most_pages: options)
    Path("long.png").write_text("1\n" * 201)
    outcome = call("read", "long.png", "2.png", "--json", "--workers", "1")
    assert outcome.code == 1
    long, _ = outcome.lines()
    assert len(long["readings"]) == 200
    assert "more than 200 pages, and only these were read" in long["error"]


@pytest.mark.parametrize("style", [(), ("--json",), ("--overlay", "seen")])
def test_names_have_no_effect_on_the_terminal(
    call: Any, reader: FakeReader, folder: Path, style: tuple[str, ...]
) -> None:
    for text, name in (("1", "a\x1b[2Jb\u202e.png"), ("!", "bad\x07\nError: none\x9b.png")):
        Path(name).write_text(text)
    outcome = call("read", ".", "--workers", "1", *style)
    printed = outcome.out + outcome.err
    assert not set("\x1b\x07\x9b\u202e") & set(printed)
    assert "\\x1b[2J" in printed or "\\u001b[2J" in printed
    assert "\nError: none" not in printed


def test_csv_and_out_have_the_same_rows_but_for_the_state(call: Any, reader: FakeReader, folder: Path) -> None:
    printed = _rows(call("read", ".", "--csv", "--workers", "1").out)
    assert call("read", ".", "--out", "r.csv", "--workers", "1").out == ""
    written = _rows(Path("r.csv").read_text())
    assert [row | {"state": ""} for row in written] == [row | {"state": ""} for row in printed]
    assert [row["digits"] for row in printed] == ["1", "", "3", "02", "10", "11", ""]
    assert printed[4] == {
        "file": "10.png", "page": "1", "line": "1", "number": "1", "digits": "10", "confidence": "0.5000",
        "box": "1 2 3 4", "refused": "1", "error": "",
    }  # fmt: skip


def test_the_command_given_again_reads_only_what_is_new_changed_or_failed(
    call: Any, reader: FakeReader, folder: Path
) -> None:
    Path("bad.png").write_text("!")
    command = ("read", ".", "--out", "r.csv", "--workers", "1")
    assert call(*command).code == 1
    assert reader.n_read == 5
    Path("new.png").write_text("9")
    Path("2.png").write_text("22 22")
    Path("bad.png").write_text("8")
    outcome = call(*command)
    assert outcome.code == 0
    assert reader.n_read == 8
    assert "r.csv has 3 of 6 files already" in outcome.err
    assert sorted(row["digits"] for row in _rows(Path("r.csv").read_text())) == sorted(
        ["1", "", "3", "10", "11", "", "22", "22", "8", "9"]
    )
    assert call(*command, "--force").code == 0
    assert reader.n_read == 14


def test_rows_made_with_other_options_are_not_gone_on_with(call: Any, reader: FakeReader, folder: Path) -> None:
    assert call("read", ".", "--out", "r.csv", "--workers", "1").code == 0
    outcome = call("read", ".", "--out", "r.csv", "--workers", "1", "--digits", "4")
    assert outcome.code == 2
    assert "other options" in outcome.err
    assert "--force" in outcome.err


def test_ctrl_c_ends_between_two_files_and_tells_how_to_go_on(
    call: Any, reader: FakeReader, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reader.read_pages

    def interrupted(photo: str | bytes, options: ReadingOptions) -> Iterator[Reading]:
        if "2.png" in str(photo):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # the signal is heard in another thread
        return read(photo, options)

    monkeypatch.setattr(reader, "read_pages", interrupted)
    outcome = call("read", ".", "--out", "r.csv", "--workers", "1")
    assert outcome.code == 130
    assert re.search(r"Stopped after [12] of 4 files", outcome.err)
    assert "same command" in outcome.err
    monkeypatch.setattr(reader, "read_pages", read)
    assert call("read", ".", "--out", "r.csv", "--workers", "1").code == 0
    assert [row["file"] for row in _rows(Path("r.csv").read_text())] == ["1.png"] * 3 + ["2.png"] + ["10.png"] * 2 + [
        "none.jpg"
    ]


def test_pictures_of_every_photo_and_every_step(call: Any, reader: FakeReader, folder: Path) -> None:
    Path("more").mkdir()
    Path("more", "2.jpg").write_text("5")
    Path("2.jpg").write_text("5")
    outcome = call("read", ".", "--overlay", "seen", "--explain", "way", "--workers", "1")
    assert outcome.code == 0
    seen = sorted(str(path.relative_to("seen")) for path in Path("seen").rglob("*.*"))
    assert seen == [
        *("1-page-1.png", "1-page-2.png", "1-page-3.png", "10.png", "2-2.png", "2.jpg", "more/2.jpg", "none.jpg")
    ]
    assert sorted(path.name for path in Path("way", "more", "2").iterdir()) == ["01-grey.png", "index.html"]
    pages = {path.parent.name: path.read_text() for path in Path("way", "1").rglob("index.html")}
    assert sorted(pages) == ["page-1", "page-2", "page-3"]
    assert "<h1>1.png, page 2</h1>" in pages["page-2"]
    index = Path("way", "10", "index.html").read_text()
    assert "Grey &lt;b&gt;" in index
    assert "<pre>10 11</pre>" in index


def test_pictures_that_cannot_be_written_end_the_command_with_a_sentence(
    call: Any, reader: FakeReader, folder: Path
) -> None:
    Path("seen").touch()
    outcome = call("read", "2.png", "--overlay", "seen")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: seen")
    assert "another folder" in outcome.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--json", "--csv"), "one of them"),
        (("--digits", "4", "--expect", "1"), "one of them"),
        (("--digits", "0"), "1 to 100"),
        (("--digits", "four"), "whole number"),
        (("--expect", "(", "2.png"), "regular expression"),
        (("--min-confidence", "2"), "0 to 1"),
        (("--workers", "0"), "at least 1"),
        (("--force",), "--out"),
        (("--jsn",), "no option --jsn"),
        (("--model", "nothere"), "nothere"),
    ],
)
def test_options_that_cannot_be_used_are_sentences(
    call: Any, folder: Path, words: tuple[str, ...], expected: str
) -> None:
    outcome = call("read", "2.png", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: ")
    assert expected in outcome.err.replace("\n", " ")


def test_standard_input_is_read_once_and_needs_to_be_there(
    call: Any, reader: FakeReader, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"42"), isatty=lambda: False))
    (entry,) = call("read", "-", "--json").lines()
    assert (entry["file"], entry["readings"][0]["text"]) == ("standard input", "42")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert "digitlab read - <" in call("read", "-").err


def test_formulas_in_names_are_defused(call: Any, reader: FakeReader, folder: Path) -> None:
    Path("=1+1.png").write_text("5")
    assert _rows(call("read", "=1+1.png", "--csv").out)[0]["file"] == "'=1+1.png"


def test_every_option_in_the_guide_exists(call: Any) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "read-your-digits.md").read_text("utf-8")
    options = {word for line in guide.splitlines() if line.startswith("digitlab read") for word in line.split()}
    help_text = call("read", "--help").out
    assert all(option in help_text for option in options if option.startswith("--"))
    assert all(f"`{column}`" in guide for column in COLUMNS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photos: three MNIST test digits each, dark on bright, a text in between."""
    folder = tmp_path_factory.mktemp("photos")
    images = MnistData.load().test.images[[0, 1, 2, 3, 4, 5, 9, 10, 11]]
    for number in range(3):
        paper = np.full((60, 140), 255, np.uint8)
        for place in range(3):
            left = 15 + 40 * place
            paper[16:44, left : left + 28] -= images[3 * number + place]
        Image.fromarray(paper).resize((560, 240)).save(folder / f"{number}.png")
    (folder / "0-text.png").write_text("hello")
    return folder


@pytest.mark.slow
def test_real_photos_are_read_alike_by_any_number_of_workers(call: Any, photos: Path) -> None:
    one = call("read", photos, "--csv", "--workers", "1")
    assert one.code == 1
    assert "".join(row["digits"] for row in _rows(one.out)) == "721041906"
    for workers in (2, 7):
        assert call("read", photos, "--csv", "--workers", workers).out == one.out


@pytest.mark.slow
def test_real_pictures_are_written(call: Any, photos: Path, tmp_path: Path) -> None:
    outcome = call("read", photos / "0.png", "--overlay", tmp_path / "o", "--explain", tmp_path / "e", "--json")
    assert outcome.code == 0
    with Image.open(tmp_path / "o" / "0.png") as overlay:
        assert overlay.size == (560, 240)
    assert (tmp_path / "e" / "0" / "index.html").exists()
    assert len(list((tmp_path / "e" / "0").glob("*.png"))) >= 4
    assert json.loads(outcome.out)["readings"][0]["text"].replace(" ", "") == "721"


@pytest.mark.slow
def test_a_network_of_another_scale_reads_as_it_learned_and_says_so(call: Any, photos: Path, foreign: Any) -> None:
    found = call("read", photos / "0.png", "--model", foreign("0-255"), "--json")
    assert json.loads(found.out)["readings"][0]["text"].replace(" ", "") == "721"
    assert "as with --pixels 0-255" in found.err
    outcome = call("read", photos / "0.png", "--pixels", "0-255")
    assert (outcome.code, outcome.out) == (2, "")
    assert "name one with --model" in outcome.err


def test_a_scale_parts_the_results_of_one_network_from_those_of_another(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    recipes = [_recipe(ReadingOptions(), tmp_path / "m.onnx", pixels) for pixels in (None, "0-1", "0-255", "-1-1")]
    assert recipes[0] == recipes[1]
    assert len(set(recipes)) == 3


def test_weights_beside_a_model_part_its_results_from_those_of_others(tmp_path: Path) -> None:
    words = set()
    for content in (b"old", b"new"):
        (tmp_path / "m.onnx").write_bytes(b"x")
        (tmp_path / "m.onnx.data").write_bytes(content)
        words.add(_recipe(ReadingOptions(), tmp_path / "m.onnx"))
    assert len(words) == 2


def test_a_model_too_large_to_be_one_is_not_read_to_tell_runs_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("digitlab.cli.read._MOST_MODEL_BYTES", 10)
    small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"

    def recipes(path: Path) -> set[str]:
        words = set()
        for letter in b"ab":
            path.write_bytes(bytes([letter]) * (10 if path is small else 11))
            words.add(_recipe(ReadingOptions(), path))
        return words

    assert (len(recipes(small)), len(recipes(large))) == (2, 1)
    os.mkfifo(tmp_path / "pipe.onnx")
    assert len(_recipe(ReadingOptions(), tmp_path / "pipe.onnx")) == 12


@pytest.mark.slow
def test_a_killed_command_can_be_gone_on_with(photos: Path, tmp_path: Path) -> None:
    folder, table = tmp_path / "many", tmp_path / "r.csv"
    folder.mkdir()
    for number in range(16):
        (folder / f"{number}.png").symlink_to(photos / "0.png")
    command = [sys.executable, "-m", "digitlab", "read", str(folder), "--out", str(table)]
    seal_cache()  # so that the other processes need not compile the kernels again
    process = subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline and (not table.exists() or table.stat().st_size < 700):
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    done = subprocess.run([*command, "--workers", "1"], capture_output=True, text=True, timeout=120)
    assert "already" in done.stderr
    assert len({row["file"] for row in _rows(table.read_text())}) == 16


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


def test_pictures_by_what_is_in_them_are_found_whatever_they_are_called(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("L", (60, 60), 255).save(picture, "PNG")
    for name in ("scan", "photo.dat", "letter.txt"):
        (tmp_path / name).write_bytes(picture.getvalue())
    _touch(tmp_path, "notes.txt", "icon.svg", "table.csv")
    (tmp_path / "page.bak").write_bytes(b"%PDF-1.7")
    (tmp_path / "program.py").write_bytes(b"START = b'%PDF-'")
    assert find_photos([tmp_path]).inside == ("icon.svg", "letter.txt", "page.bak", "photo.dat", "scan")


@pytest.mark.slow
def test_a_photo_of_a_folder_that_cannot_be_opened_is_told_counted_and_in_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    page = Image.new("L", (60, 80), 255)
    page.paste(0, (28, 20, 32, 60))
    page.save(folder / "a.png")
    (folder / "IMG_1.jxl").write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n")
    (folder / "notes.txt").write_text("no photo")
    table = tmp_path / "results.csv"
    assert main(["read", str(folder), "--out", str(table)]) == 1
    assert "2 files, 1 of them could not be read" in " ".join(capsys.readouterr().err.split())
    errors = {Path(row["file"]).name: row["error"] for row in _rows(table.read_text())}
    assert errors["a.png"] == ""
    assert "JPEG XL" in errors["IMG_1.jxl"]
    assert len(errors) == 2
    assert main(["read", str(folder), "--json"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {Path(one["file"]).name: bool(one["error"]) for one in told} == {"a.png": False, "IMG_1.jxl": True}


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
